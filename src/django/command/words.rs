//! The words of the files that start servers.

use super::{Program, Word};
use crate::source::{Kind, Source, Span};

/// Tables of `pyproject.toml` in which a task runner finds its commands.
const TASKS: [&str; 5] = [
    "tool.poe.tasks",
    "tool.pdm.scripts",
    "tool.taskipy.tasks",
    "tool.rye.scripts",
    "tool.pixi.tasks",
];

/// Keys of YAML that hold a command: compose's, and those of platforms.
const KEYS: [&str; 5] = [
    "command:",
    "entrypoint:",
    "startCommand:",
    "dockerCommand:",
    "run_command:",
];

/// The words of a file; `None` stands where a command ends.
pub(super) fn of(source: &Source) -> Vec<Option<Word>> {
    let text = source.text.as_str();
    let name = source.name().to_ascii_lowercase();
    let yaml = name.ends_with(".yml") || name.ends_with(".yaml");
    let package = source.kind == Kind::Requirements;
    let mut words = Vec::new();
    let mut start = 0;
    // The indentation of the key whose block scalar or list we are in.
    let mut block: Option<usize> = None;
    let mut continued = false;
    let mut tasks = Tasks::default();
    let mut lists = name.contains("dockerfile").then(Lists::default);
    for line in text.split_inclusive('\n') {
        let here = start;
        start += line.len();
        let content = line.trim_end();
        let trimmed = content.trim_start();
        let indent = content.len() - trimmed.len();
        if trimmed.starts_with('#') {
            continue;
        }
        if package {
            let begins = match name.as_str() {
                "package.json" => tasks.begins_script(trimmed),
                _ => tasks.begins(trimmed),
            };
            if begins {
                words.push(None);
            }
            if !tasks.is_inside {
                continue;
            }
        } else if yaml {
            let inside = block
                .is_some_and(|key| indent > key || (indent == key && trimmed.starts_with("- ")));
            if !inside {
                words.push(None);
                let key = trimmed.strip_prefix("- ").unwrap_or(trimmed);
                let named = KEYS.iter().any(|known| key.starts_with(known));
                block = named.then_some(indent);
            }
        } else if !continued {
            words.push(None);
            if let Some(lists) = &mut lists {
                lists.instruction(trimmed, words.len());
            }
        }
        // supervisor's and systemd's key touches the program.
        let key = ["command=", "ExecStart="]
            .into_iter()
            .find(|key| !continued && content.starts_with(key));
        let key = key.map_or(0, str::len);
        continued = content.ends_with('\\');
        split(
            source,
            here + key,
            content[key..].strip_suffix('\\').unwrap_or(&content[key..]),
            &mut words,
        );
    }
    words.push(None);
    if let Some(lists) = lists {
        lists.join(&mut words);
    }
    words
}

/// Where we are among the tasks of a package's metadata.
#[derive(Default)]
struct Tasks {
    /// In a table of tasks, or in that of one, and not for development.
    table: bool,
    /// In such a task.
    is_inside: bool,
}

impl Tasks {
    /// Takes a line; whether something begins there.
    fn begins(&mut self, line: &str) -> bool {
        if let Some(header) = line.strip_prefix('[')
            && let Some(header) = header.trim_end().strip_suffix(']')
            && !header.contains(['"', ','])
        {
            let hatch = header.starts_with("tool.hatch.envs.") && header.contains(".scripts");
            self.table = (hatch || TASKS.iter().any(|known| header.starts_with(known)))
                && !is_for_development(header);
            self.is_inside = self.table;
            return true;
        }
        let Some((key, _)) = line.split_once('=') else {
            return false;
        };
        let key = key.trim().trim_matches('"');
        let is_key = !key.is_empty() && key.bytes().all(|byte| !b" \t'\"[({,".contains(&byte));
        if is_key {
            // `cmd` and its like stand in the table of one task.
            self.is_inside = self.table && !is_for_development(key);
        }
        is_key
    }

    /// The same for a line of `package.json`, one script of `"scripts"` a line.
    fn begins_script(&mut self, line: &str) -> bool {
        self.is_inside = false;
        let Some((key, value)) = line.split_once("\":") else {
            self.table &= !line.starts_with('}');
            return true;
        };
        let key = key.trim_start_matches('"');
        if value.trim_start().starts_with('{') {
            self.table = key == "scripts";
        } else {
            self.is_inside = self.table && !is_for_development(key);
        }
        true
    }
}

/// Whether the name of a task says that no production runs it.
fn is_for_development(name: &str) -> bool {
    name.split(['.', '-', '_', ':']).any(|part| {
        [
            "dev",
            "develop",
            "development",
            "local",
            "debug",
            "watch",
            "reload",
        ]
        .contains(&part)
            || part.starts_with("test")
    })
}

/// The lists of a Dockerfile: those of CMD are arguments of ENTRYPOINT's
/// (docs.docker.com/reference/dockerfile/#understand-how-cmd-and-entrypoint-interact).
#[derive(Default)]
struct Lists {
    /// Where the words of this stage's ENTRYPOINT begin.
    entrypoint: Option<usize>,
    /// Those of an ENTRYPOINT and of the CMD after it.
    pairs: Vec<(usize, usize)>,
}

impl Lists {
    /// Takes an instruction, whose words begin at `at`.
    fn instruction(&mut self, line: &str, at: usize) {
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let is_list = rest.trim_start().starts_with('[');
        if name.eq_ignore_ascii_case("FROM") {
            self.entrypoint = None;
        } else if name.eq_ignore_ascii_case("ENTRYPOINT") {
            self.entrypoint = is_list.then_some(at);
        } else if name.eq_ignore_ascii_case("CMD")
            && is_list
            && let Some(entrypoint) = self.entrypoint
        {
            // The last CMD of a stage counts.
            self.pairs.retain(|(other, _)| *other != entrypoint);
            self.pairs.push((entrypoint, at));
        }
    }

    /// Adds to each ENTRYPOINT that starts a server the words of its CMD.
    fn join(self, words: &mut Vec<Option<Word>>) {
        for (entrypoint, cmd) in self.pairs.into_iter().rev() {
            let rest = |from: usize| words[from..].iter().map_while(Option::as_ref);
            let starts = |word: &Word| Program::of(&word.text).is_some() || word.is_management();
            if !rest(entrypoint).any(starts) {
                continue;
            }
            let end = entrypoint + rest(entrypoint).count();
            let arguments: Vec<_> = rest(cmd).skip(1).cloned().map(Some).collect();
            words.splice(end..end, arguments);
        }
    }
}

/// Splits one line into words: quotes, commas and brackets of JSON fall away, operators of the
/// shell end a command. A quoted string is split too: it may be a command line of its own.
fn split(source: &Source, at: usize, line: &str, words: &mut Vec<Option<Word>>) {
    let mut word: Option<usize> = None;
    let close = |from: Option<usize>, to: usize, words: &mut Vec<Option<Word>>| {
        // What closes a map of YAML's or TOML's is no word.
        if let Some(from) =
            from.filter(|from| *from < to && !line[*from..to].trim_matches('}').is_empty())
        {
            words.push(Some(Word {
                text: line[from..to].replace(['"', '\''], ""),
                span: Span::new(source.id, at + from..at + to),
            }));
        }
    };
    let mut quote = None;
    let mut previous = ' ';
    let mut end = line.len();
    for (here, char) in line.char_indices() {
        match char {
            '#' if previous.is_whitespace() => {
                end = here;
                break;
            }
            '"' | '\'' => {
                if quote == Some(char) {
                    close(word.take(), here, words);
                    quote = None;
                } else if word.is_none() {
                    quote = Some(char);
                }
            }
            ' ' | '\t' | ',' | '[' | ']' | '\r' => close(word.take(), here, words),
            ';' | '|' | '&' | '`' => {
                close(word.take(), here, words);
                words.push(None);
            }
            _ => {
                word.get_or_insert(here);
            }
        }
        previous = char;
    }
    close(word, end, words);
}

#[cfg(test)]
mod tests {
    use super::super::commands;
    use crate::source::{Kind, Source, SourceId};

    /// The servers that the file starts, each with what follows its name.
    fn started(path: &str, kind: Kind, text: &str) -> Vec<String> {
        let source = Source::new(
            SourceId(0),
            path.into(),
            path.into(),
            kind,
            text.into(),
            None,
        );
        let said = |command: &super::super::Command| {
            let words = command.words.iter().map(|word| word.text.as_str());
            let words: Vec<&str> = std::iter::once(command.program.name())
                .chain(words)
                .collect();
            words.join(" ")
        };
        commands(&source).iter().map(said).collect()
    }

    #[test]
    fn a_dockerfiles_cmd_goes_on_with_its_entrypoint() {
        for (text, expected) in [
            (
                "FROM a\nENTRYPOINT [\"gunicorn\", \\\n  \"-w\", \"2\"]\nEXPOSE 80\nCMD [\"old.wsgi\"]\nCMD [\"p.wsgi\", \"-b\", \":80\"]\n",
                &["gunicorn -w 2 p.wsgi -b :80"][..],
            ),
            (
                "FROM a\nENTRYPOINT [\"/entrypoint.sh\"]\nCMD [\"daphne\", \"p.asgi:application\"]\n",
                &["daphne p.asgi:application"],
            ),
            (
                "FROM a\nENTRYPOINT [\"python\", \"manage.py\"]\nCMD [\"runserver\", \"0.0.0.0:80\"]\n",
                &["runserver 0.0.0.0:80"],
            ),
            (
                "FROM a\nENTRYPOINT gunicorn p.wsgi\nCMD [\"-w\", \"2\"]\n",
                &["gunicorn p.wsgi"],
            ),
            (
                "FROM a\nENTRYPOINT [\"gunicorn\"]\nFROM b\nCMD [\"p.wsgi\"]\n",
                &[],
            ),
        ] {
            assert_eq!(
                started("Dockerfile", Kind::Command, text),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn what_touches_a_command_is_not_of_it() {
        for (path, text, expected) in [
            (
                "supervisord.conf",
                "[program:asgi]\ncommand=daphne -p 8001 p.asgi:application\n",
                "daphne -p 8001 p.asgi:application",
            ),
            (
                "web.service",
                "ExecStart=uvicorn p.asgi:application \\\n  --port 8001\n",
                "uvicorn p.asgi:application --port 8001",
            ),
            (
                "compose.yml",
                "services:\n  web: {build: ., command: \"daphne p.asgi:application\"}\n",
                "daphne p.asgi:application",
            ),
        ] {
            assert_eq!(started(path, Kind::Command, text), [expected], "{path}");
        }
    }

    #[test]
    fn scripts_of_package_json_start_servers() {
        let text = "{\n  \"name\": \"gunicorn p.wsgi\",\n  \"scripts\": {\n    \"start\": \"daphne -p 8001 p.asgi:application\",\n    \"dev\": \"uvicorn p.asgi:application\",\n    \"test:ws\": \"uvicorn p.asgi:application\"\n  },\n  \"x\": \"gunicorn p.wsgi\"\n}\n";
        let found = started("package.json", Kind::Requirements, text);
        assert_eq!(found, ["daphne -p 8001 p.asgi:application"]);
    }

    #[test]
    fn platforms_start_servers() {
        for (path, text, expected) in [
            (
                "render.yaml",
                "services:\n  - type: web\n    name: shop\n    buildCommand: pip install gunicorn\n    startCommand: gunicorn p.wsgi:application -w 2\n",
                "gunicorn p.wsgi:application -w 2",
            ),
            (
                "render.yaml",
                "services:\n  - type: web\n    startCommand: >-\n      daphne\n      p.asgi:application\n    plan: free\n",
                "daphne p.asgi:application",
            ),
            (
                "railway.json",
                "{\n  \"deploy\": {\n    \"startCommand\": \"python manage.py migrate && gunicorn p.wsgi\",\n    \"healthcheckPath\": \"/\"\n  }\n}\n",
                "gunicorn p.wsgi",
            ),
            (
                "railway.toml",
                "[deploy]\nstartCommand = \"hypercorn asgi:p.asgi:application --bind [::]:$PORT\"\n",
                "hypercorn asgi:p.asgi:application --bind :: :$PORT",
            ),
            (
                "fly.toml",
                "[env]\n  PORT = \"8000\"\n[processes]\n  app = \"granian --interface asgi p.asgi:application\"\n  worker = \"celery -A p worker\"\n",
                "granian --interface asgi p.asgi:application",
            ),
            (
                "app.yaml",
                "runtime: python312\nentrypoint: gunicorn -b :$PORT p.wsgi:application\n",
                "gunicorn -b :$PORT p.wsgi:application",
            ),
            (
                "nixpacks.toml",
                "[start]\ncmd = \"waitress-serve --listen=*:8000 p.wsgi:application\"\n",
                "waitress-serve --listen=*:8000 p.wsgi:application",
            ),
            (
                "heroku.yml",
                "build:\n  docker:\n    web: Dockerfile\nrun:\n  web: daphne p.asgi:application\n",
                "daphne p.asgi:application",
            ),
        ] {
            assert_eq!(started(path, Kind::Command, text), [expected], "{path}");
        }
    }

    #[test]
    fn a_packages_tasks_start_servers() {
        for (text, expected) in [
            (
                "[project]\ndependencies = [\"gunicorn\", \"p.wsgi\"]\n[tool.poe.tasks]\nserve = \"gunicorn p.wsgi -w 2\"\ndev = \"uvicorn p.asgi:application\"\nlint = \"ruff check\"\n",
                &["gunicorn p.wsgi -w 2"][..],
            ),
            (
                "[tool.pdm.scripts]\nstart = {cmd = [\n  \"daphne\",\n  \"p.asgi:application\",\n]}\n[tool.ruff]\nx = \"gunicorn p.wsgi\"\n",
                &["daphne p.asgi:application"],
            ),
            (
                "[tool.poe.tasks.serve-dev]\ncmd = \"gunicorn p.wsgi\"\n[tool.poe.tasks.serve]\ncmd = \"hypercorn p.asgi:application\"\n",
                &["hypercorn p.asgi:application"],
            ),
            (
                "[tool.hatch.envs.prod.scripts]\nrun = \"gunicorn p.wsgi\"\n",
                &["gunicorn p.wsgi"],
            ),
            ("[project.scripts]\ngunicorn = \"p.wsgi:main\"\n", &[]),
        ] {
            let found = started("pyproject.toml", Kind::Requirements, text);
            assert_eq!(found, expected, "{text}");
        }
    }
}
