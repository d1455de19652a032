//! The rewrite module: `set`, `if`, `break`, `return` and `rewrite`, in the order in which they
//! stand (ngx_http_rewrite_module.c; the code runs in ngx_http_script.c).

use super::walk::{Step, Walk};
use super::{Answer, End, What};
use crate::nginx::model::{Context, ItemId};
use crate::nginx::uri;
use crate::syntax::Word;
use crate::value::Value;

/// Where a piece of the code leads.
enum Flow {
    On,
    /// `break`, or a `rewrite` with a flag.
    Stop,
    Leads(Step),
}

impl Walk<'_, '_> {
    /// Runs the rewrites of a level; what they lead to, if it is not the next phase.
    pub(super) fn rewrites(&mut self, level: ItemId) -> Option<Step> {
        match self.code(level) {
            Flow::Leads(step) => Some(step),
            Flow::On | Flow::Stop => None,
        }
    }

    fn code(&mut self, level: ItemId) -> Flow {
        let view = self.view;
        for item in &view.level(level).rewrites {
            let item = *item;
            let flow = match view.directive(item).name() {
                "set" => {
                    self.scope.assign(item, Some(true));
                    Flow::On
                }
                "break" => {
                    // ngx_http_script_break_code
                    if self.uri_changed {
                        self.valid_location = false;
                        self.uri_changed = false;
                    }
                    Flow::Stop
                }
                "return" => Flow::Leads(self.returns(item)),
                "rewrite" => self.rewrite(item),
                "if" if view.context(item) == Context::If => self.condition(item),
                _ => Flow::On,
            };
            if !matches!(flow, Flow::On) {
                return flow;
            }
        }
        Flow::On
    }

    fn condition(&mut self, item: ItemId) -> Flow {
        let view = self.view;
        let holds = match self.file_test(item) {
            Some(decided) => decided,
            None => self.scope.condition(item),
        };
        let holds = match holds {
            Some(holds) => holds,
            None => {
                let why = self.scope.why(item);
                self.suppose(
                    item,
                    format!("whether this condition holds depends on {why}"),
                )
            }
        };
        if !holds {
            return Flow::On;
        }
        self.note(item, What::If, "this condition holds");
        // Only within a location the block has settings of its own (ngx_http_rewrite_if).
        let parent = view.item(item).parent;
        if parent != self.server_item() {
            self.enter(item);
        }
        self.code(item)
    }

    /// Tests for files, where `if` makes one: the inner `None` if the files do not say.
    fn file_test(&mut self, item: ItemId) -> Option<Option<bool>> {
        let args = self.view.directive(item).args();
        let first = args.iter().position(|word| word.text != "(")?;
        let operator = args[first].text.trim_start_matches('(');
        let kind = operator.trim_start_matches('!');
        if !matches!(kind, "-f" | "-d" | "-e" | "-x") {
            return None;
        }
        let word = args.get(first + 1)?;
        let mut path = word.clone();
        path.text = word.text.trim_end_matches(')').to_owned();
        let there = self.is_there(
            &path,
            match kind {
                "-f" => Kind::File,
                "-d" => Kind::Folder,
                "-x" => Kind::Program,
                _ => Kind::Any,
            },
        );
        Some(there.map(|there| there != operator.starts_with('!')))
    }

    /// `return` (ngx_http_script_return_code, ngx_http_send_response).
    fn returns(&mut self, item: ItemId) -> Step {
        let args = self.view.directive(item).args();
        let Some(first) = args.first() else {
            return Step::End(self.undecided(item, "a malformed `return`"));
        };
        if first.templated {
            return Step::End(self.undecided(item, "a template supplies the status"));
        }
        let (status, text) = match first.text.parse::<u16>() {
            Ok(status) => (status, args.get(1)),
            // `return https://…` alone means 302.
            Err(_) => (302, Some(first)),
        };
        self.note(
            item,
            What::Return,
            match status {
                444 => "closes the connection without an answer".to_owned(),
                300..=399 => format!("redirects with {status}, without asking the upstream"),
                _ => format!("answers {status}, without asking the upstream"),
            },
        );
        if matches!(status, 301 | 302 | 303 | 307 | 308) {
            self.redirect = text.map(|word| self.scope.word(word));
            return Step::Status(status, Answer::Return, item);
        }
        let has_text = text.is_some_and(|word| !word.text.is_empty());
        if status >= 400 && !has_text {
            return Step::Status(status, Answer::Return, item);
        }
        Step::End(End::Answers {
            status: Some(self.sent(status)).filter(|status| *status != 444),
            by: Answer::Return,
            item,
            to: None,
        })
    }

    /// `rewrite` (ngx_http_script_regex_start_code, ngx_http_script_regex_end_code).
    fn rewrite(&mut self, item: ItemId) -> Flow {
        let directive = self.view.directive(item);
        let (Some(pattern), Some(target)) = (
            self.view.config.patterns.get(&item),
            directive.args().get(1),
        ) else {
            return Flow::Leads(Step::End(self.undecided(item, "a malformed `rewrite`")));
        };
        if directive.args().iter().any(|word| word.templated) {
            let why = "a template supplies a part of this `rewrite`";
            return Flow::Leads(Step::End(self.undecided(item, why)));
        }
        let uri = Value::Known(self.uri().to_owned());
        match self.scope.matches(pattern, &uri) {
            Some(true) => {}
            Some(false) => return Flow::On,
            None => {
                let why = "its expression could not be read";
                return Flow::Leads(Step::End(self.undecided(item, why)));
            }
        }
        let flag = directive.arg(2).unwrap_or_default();
        let redirects = ["http://", "https://", "$scheme"]
            .iter()
            .any(|start| target.text.starts_with(start));
        let status = match flag {
            "permanent" => Some(301),
            "redirect" => Some(302),
            _ => redirects.then_some(302),
        };
        // A `?` at the end drops the query.
        let (text, keeps_args) = match target.text.strip_suffix('?') {
            Some(text) => (text, false),
            None => (target.text.as_str(), true),
        };
        let (path, args) = uri::split(text);
        let before = self.args();
        let path = self.expand(path, status.is_some());
        let args = args.map(|args| self.expand(args, true));
        // ngx_http_script_regex_start_code, for a redirect as well: what an `error_page` for it
        // leads to finds these.
        self.internal = true;
        self.valid_unparsed_uri = false;
        if flag == "break" {
            self.valid_location = false;
            self.uri_changed = false;
        } else {
            self.uri_changed = true;
        }
        if let Some(status) = status {
            let mut parts = vec![path];
            if let Some(args) = args.clone() {
                parts.extend([Value::Known("?".to_owned()), args.clone()]);
            }
            if keeps_args && before != Value::Known(String::new()) {
                let joint = if args.is_some() { "&" } else { "?" };
                parts.extend([Value::Known(joint.to_owned()), before]);
            }
            self.redirect = Some(joined(parts));
            self.note(item, What::Rewrite, format!("redirects with {status}"));
            return Flow::Leads(Step::Status(status, Answer::Rewrite, item));
        }
        let path = match path {
            Value::Known(path) => path,
            Value::Unknown(why) => return Flow::Leads(Step::End(self.undecided(item, why))),
            Value::OneOf(_) => {
                let why = "the new path has several possible values";
                return Flow::Leads(Step::End(self.undecided(item, why)));
            }
        };
        let args = match (args, keeps_args) {
            (Some(args), true) if before == Value::Known(String::new()) => args,
            (Some(args), true) => joined([args, Value::Known("&".to_owned()), before]),
            (Some(args), false) => args,
            (None, true) => before,
            (None, false) => Value::Known(String::new()),
        };
        let told = match flag {
            "last" => "; the search for a location begins again",
            "break" => "; and stays in this location",
            _ => "",
        };
        self.note(
            item,
            What::Rewrite,
            format!("the path becomes `{path}`{told}"),
        );
        self.named_file = Self::names_file(target);
        if path.is_empty() {
            return Flow::Leads(Step::Status(500, Answer::Rewrite, item));
        }
        if let Some(here) = &mut self.scope.here {
            (here.uri, here.args) = (path, args);
        }
        match flag {
            "last" | "break" => Flow::Stop,
            _ => Flow::On,
        }
    }

    /// A text with its variables replaced; captures are encoded where the path came so.
    fn expand(&mut self, text: &str, escape: bool) -> Value {
        if let Some(here) = &mut self.scope.here {
            here.escape = escape && here.quoted;
        }
        let value = self.scope.expand(text);
        if let Some(here) = &mut self.scope.here {
            here.escape = false;
        }
        value
    }

    /// Whether the path has the ending of a file, which may well be there.
    pub(super) fn has_ending(&self) -> bool {
        let name = self.uri().rsplit('/').next();
        name.is_some_and(|name| name.contains('.'))
    }

    /// Whether the file that a word names is there. What the path of a handshake names is no
    /// file, as far as anyone can tell, unless it has the ending of one, and what the configuration names as one is; other files
    /// are the disk's business.
    pub(super) fn is_there(&self, word: &Word, kind: Kind) -> Option<bool> {
        if word.templated {
            return None;
        }
        let of_request = crate::nginx::words::variables(&word.text)
            .iter()
            .any(|name| {
                matches!(
                    name.to_ascii_lowercase().as_str(),
                    "uri" | "document_uri" | "request_uri" | "request_filename"
                ) || name.bytes().all(|byte| byte.is_ascii_digit())
            });
        if !of_request {
            return None;
        }
        let itself = ["$uri", "$uri/", "$request_filename", "$document_root$uri"];
        let itself = itself.contains(&word.text.as_str());
        if self.uri().chars().all(|character| character == '/') {
            // The root itself: a folder.
            return itself.then_some(matches!(kind, Kind::Folder | Kind::Any | Kind::Program));
        }
        let is_file = itself && matches!(kind, Kind::File | Kind::Any);
        match is_file && !self.named_file && self.has_ending() {
            true => None,
            false => Some(self.named_file && is_file),
        }
    }
}

/// What is asked about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Folder,
    Any,
    /// Something that may be executed.
    Program,
}

/// Values one after the other.
fn joined(values: impl IntoIterator<Item = Value>) -> Value {
    let mut text = String::new();
    for value in values {
        match value {
            Value::Known(part) => text.push_str(&part),
            other => return other,
        }
    }
    Value::Known(text)
}
