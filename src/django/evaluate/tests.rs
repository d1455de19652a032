//! Expressions and modules with what they evaluate to.

use super::*;
use crate::django::data::{Data, Origin, Possible};

fn shown(data: &Data) -> String {
    match data {
        Data::None => "None".into(),
        Data::Bool(value) => if *value { "True" } else { "False" }.into(),
        Data::Integer(value) => value.to_string(),
        Data::Text(text) => format!("{text:?}"),
        Data::Sequence(sequence) => {
            let mut parts: Vec<String> = sequence.items.iter().map(|values| all(values)).collect();
            if !sequence.complete {
                parts.push("…".into());
            }
            format!("[{}]", parts.join(", "))
        }
        Data::Dictionary(dictionary) => {
            let pairs = dictionary
                .pairs
                .iter()
                .map(|(key, values)| format!("{}: {}", shown(&key.data), all(values)));
            let mut parts: Vec<String> = pairs.collect();
            if !dictionary.complete {
                parts.push("…".into());
            }
            format!("{{{}}}", parts.join(", "))
        }
        Data::Absent => "absent".into(),
        Data::Unknown(_) => "?".into(),
        other => other.symbol(),
    }
}

fn all(values: &[Possible]) -> String {
    let parts: Vec<String> = values
        .iter()
        .map(|value| {
            format!(
                "{}{}",
                shown(&value.data),
                match value.origin {
                    Origin::Literal => "",
                    Origin::Default(_) | Origin::Hidden(_) => "~",
                    Origin::Supplied(..) => "=",
                }
            )
        })
        .collect();
    parts.join("|")
}

fn value(files: &[(&str, &str)], module: &str, name: &str) -> String {
    let project = Project::in_memory(files.iter().copied()).unwrap();
    let program = Program::new(&project, parse(&project));
    let evaluated = program.module(project.by_path(module).unwrap().id).unwrap();
    match evaluated.get(name) {
        Some(binding) => {
            let reopened = if evaluated.reopened(binding).is_some() {
                "!"
            } else {
                ""
            };
            format!("{}{reopened}", all(&binding.values))
        }
        None if evaluated.open().is_some() => "?".into(),
        None => "absent".into(),
    }
}

#[test]
fn expressions_evaluate_as_python_does() {
    for (code, expected) in [
        ("A = ('x', \"y\" 'z')", r#"["x", "yz"]"#),
        ("A = 'x', 1", r#"["x", 1]"#),
        ("A = ('x')", r#""x""#),
        ("A = '%s-%d%%' % ('a', 2)", r#""a-2%""#),
        ("A = '{}:{p}{{'.format('h', p=80)", r#""h:80{""#),
        ("A = ','.join(['a', 'b']).split()", r#"["a,b"]"#),
        (
            "A = list(map(str.strip, 'a, b'.split(',')))",
            r#"["a", "b"]"#,
        ),
        ("A = list(filter(None, ['a', '']))", r#"["a"]"#),
        ("A = 'x' in 'xyz' and len(['a']) < 2", "True"),
        ("A = {'a': 1}.get('b', 3)", "3"),
        ("import os\nA = (os.environ.get('V', '') or x) or 'y'", "?"),
        ("A = 'ab'[-1]", r#""b""#),
        (
            "from enum import Enum\nclass K(str, Enum):\n    X = 'x'\nA = [f'{K.X}', f'{K.X.value}', K.X]",
            r#"[?, "x", "x"]"#,
        ),
        (
            "from enum import Enum\nclass K(str, Enum):\n    X = 'x'\nA = ['%s' % K.X, '%s-%s' % (1, K.X), '{}'.format(K.X), '{k}'.format(k=K.X), str(K.X), str(K.X.value)]",
            r#"[?, ?, ?, ?, ?, "x"]"#,
        ),
        (
            "from enum import StrEnum\nclass K(StrEnum):\n    X = 'x'\nA = f'{K.X}'",
            r#""x""#,
        ),
        // The same value twice, once by a default.
        (
            "import os\nA = (True if x else os.environ.get('V', 'on') == 'on') and 'y'",
            r#""y"~"#,
        ),
        ("A = [-1, ['a', 'b'][-1]]", r#"[-1, "b"]"#),
        // What stands for the same list or dictionary changes with it.
        ("L = {}\nA = {'d': L}\nL['b'] = 1", r#"{"d": {"b": 1}}"#),
        (
            "A = ['a']\nB = A\nB.append('b')\nB += ['c']",
            r#"["a", "b", "c"]"#,
        ),
        (
            "A = ['a']\nB = list(A)\nC = A.copy()\nB.clear()\nC += ['c']",
            r#"["a"]"#,
        ),
        ("A = ('a',)\nB = A\nB += ('b',)", r#"["a"]"#),
        ("B = []\nA = [B, B]\nA[0].append(1)", "[[1], [1]]"),
        ("A = []\nB = []\nB.append(A)\nB[0].append(1)", "[1]"),
        (
            "A = []\nif x:\n    B = A\nelse:\n    B = []\nB.append(1)",
            "[1]|[]",
        ),
        ("A = []\nB = [A, []]\nB[x].append(1)", "?"),
        ("A = []\nB = {'k': A}\nB[x].append(1)", "?"),
        (
            "A = ['a']\ndef f(x):\n    x.append('b')\nf(A)",
            r#"["a", "b"]"#,
        ),
        (
            "A = ['a']\ndef f(x):\n    x.append('b')\n    x = []\nf(A)",
            r#"["a", "b"]"#,
        ),
        (
            "A = ['a']\nclass C:\n    b = A\nC.b.append('b')",
            r#"["a", "b"]"#,
        ),
        (
            "A = ['a']\nB = A\nclass C:\n    B.append('b')",
            r#"["a", "b"]"#,
        ),
        (
            "B = {}\nA = B.setdefault('k', [])\nA.append(1)\nA = B",
            r#"{"k": [1]}"#,
        ),
        // What comes out of a list is no longer in it.
        (
            "B = ['a', 'b', 'c']\nA = [B.pop(), B.pop(0)] + B",
            r#"["c", "a", "b"]"#,
        ),
        (
            "A = ['a', 'b']\nA.insert(A.index('b') + 1, 'c')\nA.insert(-1, 'd')",
            r#"["a", "b", "d", "c"]"#,
        ),
        ("A = ['a', 'b']\nA.sort(key=f)", "?"),
        ("A = ['a', x]\nA.remove('b')", "?"),
        ("A = {'a': 1, 'b': 2}\ndel A['a']\nA.pop('b')", "{}"),
        ("A = ['a', 'b']\ndel A[0]", r#"["b"]"#),
        // What may not be evaluated changes nothing for sure.
        ("A = []\nDEBUG and A.append(1)\nDEBUG or A.append(2)", "[2]"),
        ("A = []\nx and A.append(1)", "[1]|[]"),
        (
            "A = []\n[A.append(x) for x in ('a', 'b') if x != 'a']",
            r#"["b"]"#,
        ),
        (
            "A = []\ndef add(x):\n    A.append(x)\nadd('a')\nadd(x='b')",
            r#"["a", "b"]"#,
        ),
        (
            "def f(a, b='c'):\n    if a:\n        return [a, b]\n    return b\nA = f('x')",
            r#"["x", "c"]"#,
        ),
        ("def f(*a):\n    return a\nA = f(1)", "[1]"),
        ("def f(**a):\n    return a\nA = f(b=1)", "?"),
        ("def f():\n    return f()\nA = f()", "?"),
        (
            "import os\ndef f(n, d='0'):\n    return os.environ.get(n, d).lower() in ('1', 'on')\nA = f('X', 'On')",
            "True~",
        ),
        (
            "import os\nA = [h.strip() for h in os.environ.get('H', 'a, b,').split(',') if h.strip()]",
            r#"["a"~, "b"~]~"#,
        ),
        (
            "A = []\nfor x in ('a', 'b'):\n    A += [x]",
            r#"["a", "b"]"#,
        ),
        (
            "A = []\nfor x in ('a', 'b'):\n    if y: break\n    A += [x]",
            "[]|?",
        ),
        (
            "B = ['a']\nA = ['z', *B] + ['b']\nA += ['c']\nA.append('d')\nA.insert(0, 'e')\nA.extend(['f'])",
            r#"["e", "z", "a", "b", "c", "d", "f"]"#,
        ),
        (
            "A = {'a': 1}\nA['b'] = 2\nA.update({'a': 3}, c=4)",
            r#"{"b": 2, "a": 3, "c": 4}"#,
        ),
        ("A = {'a': {}}\nA['a']['b'] = 2", r#"{"a": {"b": 2}}"#),
        ("import os\nA = os.environ.get('X', 'd')", r#""d"~"#),
        ("import os\nA = os.environ.get('X')", "?~"),
        ("import os\nA = os.environ.get('X', '')", "?~"),
        ("import os\nA = os.environ['X']", "?~"),
        (
            "import os\nA = os.getenv('X', 'True').lower() == 'true'",
            "True~",
        ),
        (
            "from os import environ\nA = environ.get('X', 'no') in ('yes', '1')",
            "False~",
        ),
        ("import os\nA = os.environ.get('X') or 'd'", r#""d"~"#),
        (
            "import environ\nenv = environ.Env(DEBUG=(bool, False))\nA = env('DEBUG')",
            "False~",
        ),
        (
            "import environ\nenv = environ.Env()\nA = env.bool('X', default=True)",
            "True~",
        ),
        (
            "import environ\nenv = environ.Env()\nA = env.list('X', default=['a'])",
            r#"["a"]~"#,
        ),
        (
            "from decouple import config\nA = config('X', default='false', cast=bool)",
            "False~",
        ),
        (
            "from decouple import config, Csv\nA = config('X', default='a', cast=Csv())",
            r#"["a"]~"#,
        ),
        ("def helper(x): return 1\nA = helper('X')", "1"),
        ("A = tuple('a,b'.split(','))", r#"["a", "b"]"#),
        ("H = 'X'\nA = f'HTTP_{H}'", r#""HTTP_X""#),
        ("A = 'a%s' % 'b'", r#""ab""#),
        ("import os\nA = f\"{os.environ['X']}\"", "?"),
        ("if unknown():\n    A = 1\nelse:\n    A = 2", "1|2"),
        ("A = 0\nif unknown():\n    A = 1", "1|0"),
        ("DEBUG = False\nif not DEBUG:\n    A = 1", "1"),
        ("DEBUG = True\nif not DEBUG:\n    A = 1", "absent"),
        (
            "import os\nDEBUG = os.environ.get('D', 'True') == 'True'\nif DEBUG:\n    A = 1\nelse:\n    A = 2",
            "2",
        ),
        ("if x:\n    raise E\nelse:\n    A = 1", "1"),
        ("A = 1 if x else 2", "1|2"),
        ("A = 1\nfor a in b:\n    A = 2", "1|?"),
        // The second time round `B` is set.
        ("B = 0\nfor x in y:\n    if B: A = 1\n    B = 1", "absent|?"),
        ("import os\nA = not os.environ.get('X') or 'd'", "?"),
        // The handler runs before or after the first assignment.
        (
            "A = 0\ntry:\n    A = 1\n    f()\nexcept E:\n    pass",
            "1|0",
        ),
        (
            "A = 0\ntry:\n    A = 1\n    A = 2\nexcept E:\n    pass",
            "2|0|?",
        ),
        ("DEBUG = False\nA = not DEBUG", "True"),
        (
            "import os\nDEBUG = os.environ.get('D', 'True') == 'True'\nA = not DEBUG",
            "True~",
        ),
        (
            "A = 1\ntry:\n    from .local import *\nexcept ImportError:\n    pass",
            "1!",
        ),
        ("A = 1\nglobals().update(x)", "1!"),
        ("globals()['A'] = 1", "1"),
        ("A = B = 1", "1"),
        ("(A, B) = ('x', 'y')", r#""x""#),
        ("A = dict(a=1)", r#"{"a": 1}"#),
        ("A = not False", "True"),
        ("A = [x for x in y]", "?"),
        ("A = [1] + other()", "[1, …]"),
        ("if (A := 3) > 2: pass", "3"),
        (
            "from django.core.asgi import get_asgi_application as g\nA = g()",
            "django.core.asgi.get_asgi_application()",
        ),
        ("class C(X): pass\nA = C.as_asgi", "C.as_asgi"),
    ] {
        assert_eq!(
            value(&[("settings.py", code)], "settings.py", "A"),
            expected,
            "{code}"
        );
    }
}

#[test]
fn modules_see_each_other() {
    let files = [
        ("p/settings/base.py", "A = 1\nB = 1\nL = ['a']\n_C = 1\n"),
        (
            "p/settings/prod.py",
            "from .base import *\nB = 2\nL += ['b']\n",
        ),
        (
            "p/settings/far.py",
            "from p.settings.prod import B as A, L\nimport p.settings.base as b\nC = b.A\n",
        ),
        (
            "p/settings/open.py",
            "from thirdparty.settings import *\nB = 1\n",
        ),
        ("p/settings/below.py", "from .open import *\n"),
        ("p/settings/loop.py", "from .loop2 import *\nA = 1\n"),
        ("p/settings/loop2.py", "from .loop import *\nB = 1\n"),
    ];
    for (module, name, expected) in [
        ("prod", "A", "1"),
        ("prod", "B", "2"),
        ("prod", "L", r#"["a", "b"]"#),
        ("prod", "_C", "absent"),
        ("far", "A", "2"),
        ("far", "C", "1"),
        ("open", "A", "?"),
        ("open", "B", "1"),
        ("below", "B", "1"),
        ("below", "A", "?"),
        ("loop", "A", "1"),
    ] {
        assert_eq!(
            value(&files, &format!("p/settings/{module}.py"), name),
            expected,
            "{module}.{name}"
        );
    }
}

#[test]
fn the_deployment_chooses_a_branch() {
    let settings = "import os\nSTAGE = os.environ.get('STAGE', 'local')\nif STAGE == 'production':\n    A = 1\nelse:\n    A = 2\n";
    let set = "services:\n  web:\n    build: .\n    environment:\n";
    for (path, file, expected) in [
        (
            "compose.yml",
            format!("{set}      STAGE: production\n"),
            "1",
        ),
        (
            "compose.yml",
            format!("{set}      - STAGE=production\n"),
            "1",
        ),
        (
            "Dockerfile",
            "FROM python\nENV STAGE production\n".into(),
            "1",
        ),
        (".env", "STAGE=production\n".into(), "1"),
        (".env.prod", "STAGE=\"production\"\n".into(), "1"),
        (".env", "STAGE=local\n".into(), "1|2"),
        (".env", "# STAGE=production\n".into(), "1|2"),
        (".env", "STAGE=${STAGE:-production}\n".into(), "1|2"),
        (
            "compose.yml",
            format!(
                "{set}      STAGE: production\n  other:\n    build: .\n    environment:\n      STAGE: staging\n"
            ),
            "1|2",
        ),
        (
            "compose.yml",
            format!(
                "{set}      STAGE: production\n  other:\n    build: .\n    environment:\n      STAGE: local\n"
            ),
            "1",
        ),
    ] {
        let files = [("p/settings.py", settings), (path, file.as_str())];
        assert_eq!(
            value(&files, "p/settings.py", "A"),
            expected,
            "{path} {file}"
        );
    }
    let files = [
        (
            "p/settings.py",
            "import os\nA = os.environ['STAGE'].upper()\n",
        ),
        (".env", "STAGE=prod\n"),
    ];
    assert_eq!(value(&files, "p/settings.py", "A"), "\"PROD\"");
}

#[test]
fn the_deployment_says_what_a_variable_is() {
    let settings = "import environ\nimport os\nfrom decouple import config, Csv\nenv = environ.Env(S=(bool, False))\nA = os.environ.get('A', 'a').split(',')\nB = env.bool('B', default=False)\nL = env.list('L', default=['x'])\nC = config('C', default='', cast=Csv())\nI = config('I', default=1, cast=int)\nS = env('S')\nK = os.environ['K']\nD = env.bool('DEBUG', default=False)\n";
    let variables = "A=b,c B=True L=d,e C=f,g I=7 S=yes K=k DEBUG=True";
    let list = variables.split(' ').map(|set| format!("      - {set}\n"));
    let compose = format!(
        "services:\n  web:\n    build: .\n    command: daphne p.asgi:application\n    environment:\n{}  worker:\n    build: .\n    command: celery -A p worker\n  db:\n    image: postgres\n    environment: {{A: z}}\n",
        list.collect::<String>()
    );
    let image = format!("FROM python\nCOPY . /app\nENV {variables}\n");
    let unit = format!(
        "[Service]\nEnvironment={variables}\nExecStart=/srv/env/bin/daphne p.asgi:application\n"
    );
    let known = [
        ("A", "[\"b\", \"c\"]="),
        ("B", "True="),
        ("L", "[\"d\"=, \"e\"=]="),
        ("C", "[\"f\"=, \"g\"=]="),
        ("I", "7="),
        ("S", "True="),
        ("K", "\"k\"="),
        ("D", "False~"),
    ];
    for (path, file) in [
        ("compose.yml", &compose),
        ("Dockerfile", &image),
        ("web.service", &unit),
    ] {
        let files = [("p/settings.py", settings), (path, file.as_str())];
        for (name, expected) in known {
            let told = value(&files, "p/settings.py", name);
            assert_eq!(told, expected, "{path} {name}");
        }
    }
    // A developer's file, another service that serves without it, and a value that is not written.
    let other =
        format!("{compose}  second:\n    build: .\n    command: daphne p.asgi:application\n");
    let hidden = compose.replace("A=b,c", "A=${A}");
    let local = compose.replace("A=b,c", "A=localhost,127.0.0.1,web");
    for (path, file) in [
        ("compose.dev.yml", &compose),
        ("compose.yml", &other),
        ("compose.yml", &hidden),
        ("compose.yml", &local),
    ] {
        let files = [("p/settings.py", settings), (path, file.as_str())];
        assert_eq!(
            value(&files, "p/settings.py", "A"),
            "[\"a\"]~",
            "{path} {file}"
        );
    }
}

#[test]
fn hostile_modules_end() {
    let doubling = format!("A = ['x' * 9]\n{}", "A = A + A\n".repeat(200));
    assert!(value(&[("settings.py", &doubling)], "settings.py", "A").contains('…'));
    let nested = format!("A = []\n{}B = 1\n", "A = [A, A]\n".repeat(100));
    assert_eq!(value(&[("settings.py", &nested)], "settings.py", "B"), "1");
    let branches = format!("{}B = 1\n", "if x: A = [A]\nelse: A = y()\n".repeat(5000));
    assert_eq!(
        value(&[("settings.py", &branches)], "settings.py", "B"),
        "1"
    );
    let chain = format!("A = {}1\n", "1 + ".repeat(20_000));
    value(&[("settings.py", &chain)], "settings.py", "A");
    let call = format!("A = f{}\n", "(1)".repeat(20_000));
    value(&[("settings.py", &call)], "settings.py", "A");
}

/// What `A` of these settings is where the deployment holds these files.
fn deployed(settings: &str, files: &[(&str, &str)]) -> String {
    let own = [("manage.py", ""), ("p/settings.py", settings)];
    let files: Vec<(&str, &str)> = own.into_iter().chain(files.iter().copied()).collect();
    value(&files, "p/settings.py", "A")
}

const SERVICE: &str =
    "services:\n  web:\n    build: .\n    command: daphne p.asgi:application\n    environment:\n";

#[test]
fn what_another_file_sets_the_service_does_not_tell() {
    let settings = "import os\nA = os.environ.get('A', 'a')\n";
    let compose = format!("{SERVICE}      A: b\n");
    let (known, hidden) = ("\"b\"=", "\"a\"~");
    for (path, text, expected) in [
        (
            "fly.toml",
            "[env]\nA = 'c'\n[processes]\nweb = 'daphne p.asgi'\n",
            hidden,
        ),
        (
            "k8s/web.yaml",
            "apiVersion: apps/v1\nspec:\n  containers:\n  - env:\n    - name: A\n      value: c\n",
            hidden,
        ),
        ("app.json", "{\"env\": {\"A\": \"c\"}}", hidden),
        (
            "p.service.d/override.conf",
            "[Service]\nEnvironment=A=c\n",
            hidden,
        ),
        ("entrypoint.sh", "export A=c\nexec \"$@\"\n", hidden),
        (
            "stack.yml",
            "services:\n  web:\n    image: p\n    environment: {A: c}\n",
            hidden,
        ),
        ("site/Dockerfile", "FROM node\nENV A=c\n", known),
        ("entrypoint.sh", "echo $A ${A}\n# A=c\nexec \"$@\"\n", known),
        (
            "compose.dev.yml",
            "services:\n  web:\n    image: p\n    environment: {A: c}\n",
            known,
        ),
        (
            "Makefile",
            "dev:\n\tA=c manage.py runserver\nup:\n\tdocker compose -f compose.yml up\n",
            known,
        ),
    ] {
        let files = [("compose.yml", compose.as_str()), (path, text)];
        assert_eq!(deployed(settings, &files), expected, "{path} {text}");
    }
    let inline = compose
        .replace("daphne", "sh -c \"A=c daphne")
        .replace("application\n", "application\"\n");
    assert_eq!(deployed(settings, &[("compose.yml", &inline)]), hidden);
    // What sets it nowhere leaves the default, whatever the tests set.
    let compose = format!("{SERVICE}      B: b\n");
    let tests = ("test.sh", "pip install x\nA=c manage.py test\n");
    assert_eq!(
        deployed(
            "import os\nA = os.environ.get('A', 'a').upper()\n",
            &[("compose.yml", &compose), tests]
        ),
        "\"A\"~"
    );
}

#[test]
fn a_service_of_developers_is_not_what_runs() {
    let settings = "import os\nA = os.environ.get('A', 'a')\n";
    let local = format!("{SERVICE}      A: b\n")
        .replace("daphne p.asgi:application", "manage.py runserver");
    let more = "services:\n  web:\n    command: daphne p.asgi\n    environment: {A: c}\n";
    let make = "up:\n\tdocker compose -f compose.yml -f compose.prod.yml up\n";
    let base = format!("{SERVICE}      A: b\n");
    for (files, expected) in [
        (vec![("compose.yml", local.as_str())], "\"b\"="),
        (
            vec![
                ("compose.yml", &local),
                ("Procfile", "web: daphne p.asgi\n"),
            ],
            "\"a\"~",
        ),
        (
            vec![("compose.yml", &local), ("compose.prod.yml", more)],
            "\"c\"=",
        ),
        (
            vec![
                ("compose.yml", &base),
                ("compose.prod.yml", more),
                ("Makefile", make),
            ],
            "\"c\"=",
        ),
        (vec![(".devcontainer/compose.yml", &base)], "\"a\"~"),
    ] {
        assert_eq!(deployed(settings, &files), expected, "{files:?}");
    }
}

#[test]
fn a_value_is_what_compose_passes_on() {
    let settings = "import os\nA = os.environ.get('A', 'a')\n";
    for (written, expected) in [
        ("True", "\"true\"="),
        ("FALSE", "\"false\"="),
        ("'True'", "\"True\"="),
        ("yes", "\"yes\"="),
        ("8000", "\"8000\"="),
        ("-1", "\"-1\"="),
        ("10.0.0.1", "\"10.0.0.1\"="),
        ("'b '", "\"b \"="),
        ("010", "\"a\"~"),
        ("1.10", "\"a\"~"),
        ("2026-01-01", "\"a\"~"),
        ("~", "\"a\"~"),
        ("", "\"a\"~"),
    ] {
        let compose = format!("{SERVICE}      A: {written}\n");
        assert_eq!(
            deployed(settings, &[("compose.yml", &compose)]),
            expected,
            "{written}"
        );
    }
    let list = format!("{SERVICE}      - A=True\n");
    assert_eq!(deployed(settings, &[("compose.yml", &list)]), "\"True\"=");
}

#[test]
fn a_unit_is_read_as_systemd_reads_it() {
    let settings = "import os\nA = os.environ.get('A', 'a')\n";
    for (lines, expected) in [
        (
            "Environment=\"B=1\" \\\n  \"A=b\"\nExecStart=daphne",
            "\"b\"=",
        ),
        ("Environment=A=b\nEnvironment=\nExecStart=daphne", "\"a\"~"),
        (
            "Environment=A=b\nExecStart=/usr/bin/env A=c daphne",
            "\"a\"~",
        ),
    ] {
        let unit = format!("[Service]\n{lines} p.asgi:application\n");
        assert_eq!(
            deployed(settings, &[("p.service", &unit)]),
            expected,
            "{lines}"
        );
    }
}

#[test]
fn each_reader_has_its_own_truth() {
    let environ = "import environ\nenv = environ.Env()\nA = env.bool('A')\n";
    let decouple = "from decouple import config\nA = config('A', cast=bool)\n";
    for (settings, value, expected) in [
        (environ, "t", "False="),
        (environ, "ok ", "True="),
        (environ, "enabled", "False="),
        (
            "import environ\nenv = environ.Env()\nA = env('A', cast=list)\n",
            "b,c",
            "[\"b\"=, \"c\"=]=",
        ),
        (decouple, "t", "True="),
        (decouple, "off", "False="),
    ] {
        let compose = format!("{SERVICE}      A: '{value}'\n");
        assert_eq!(
            deployed(settings, &[("compose.yml", &compose)]),
            expected,
            "{settings} {value}"
        );
    }
}

#[test]
fn names_with_a_prefix_are_not_looked_up_without() {
    let compose = format!("{SERVICE}      A: b\n      P_A: c\n");
    for settings in [
        "from environs import Env\nenv = Env()\nwith env.prefixed('P_'):\n    A = env('A', 'a')\n",
        "import environ\nenv = environ.Env()\nenv.prefix = 'P_'\nA = env('A', default='a')\n",
    ] {
        assert_eq!(
            deployed(settings, &[("compose.yml", &compose)]),
            "\"a\"~",
            "{settings}"
        );
    }
}
