//! Modules and classes of settings, with the roles and values that they have.

use super::*;

fn roles(files: &[(&str, &str)]) -> Vec<(String, Role)> {
    let project = Project::in_memory(files.iter().copied()).unwrap();
    let mut program = Program::new(&project, crate::django::evaluate::parse(&project));
    find(&project, &mut program)
        .into_iter()
        .map(|settings| (project.source(settings.source).path.clone(), settings.role))
        .collect()
}

fn role(files: &[(&str, &str)], path: &str) -> Role {
    roles(files)
        .into_iter()
        .find(|(found, _)| found == path)
        .unwrap()
        .1
}

#[test]
fn production_is_what_the_entry_point_names() {
    let base = ("p/settings/base.py", "INSTALLED_APPS = []\n");
    let prod = ("p/settings/production.py", "from .base import *\n");
    let dev = ("p/settings/dev.py", "from .base import *\nDEBUG = True\n");
    let stage = ("p/settings/stage.py", "from .base import *\n");
    let wsgi = (
        "p/wsgi.py",
        "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'p.settings.production')\n",
    );
    let all = [base, prod, dev, stage, wsgi];
    assert_eq!(role(&all, base.0), Role::Inherited);
    assert_eq!(role(&all, prod.0), Role::Production);
    assert_eq!(role(&all, dev.0), Role::Other);
    assert_eq!(role(&all, stage.0), Role::Other);
    assert_eq!(role(&[base, dev], base.0), Role::Production);
    assert_eq!(role(&[base, stage], stage.0), Role::Production);
    let manage = (
        "manage.py",
        "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'p.settings.dev')\n",
    );
    assert_eq!(role(&[base, dev, prod, manage], prod.0), Role::Production);
    let docker = (
        "Dockerfile",
        "ENV DJANGO_SETTINGS_MODULE=p.settings.stage\n",
    );
    assert_eq!(role(&[base, stage, docker], stage.0), Role::Production);
}

#[test]
fn exempt_paths_are_not_redirected() {
    for (code, expected) in [
        ("", Some(false)),
        ("SECURE_REDIRECT_EXEMPT = [r'^ws/']", Some(true)),
        ("SECURE_REDIRECT_EXEMPT = [r'^/ws/']", Some(false)),
        ("SECURE_REDIRECT_EXEMPT = ['*']", None),
        ("SECURE_REDIRECT_EXEMPT = other()", None),
    ] {
        let code = format!("ROOT_URLCONF = 'u'\n{code}\n");
        let project = Project::in_memory([("p/settings.py", code.as_str())]).unwrap();
        let mut program = Program::new(&project, crate::django::evaluate::parse(&project));
        assert_eq!(
            find(&project, &mut program)[0].exempts("/ws/chat/"),
            expected,
            "{code}"
        );
    }
}

fn redirects(code: &str) -> &'static str {
    let code = format!(
        "ROOT_URLCONF = 'u'\nMIDDLEWARE = ['django.middleware.security.SecurityMiddleware']\n{code}\n"
    );
    let project = Project::in_memory([("p/settings.py", code.as_str())]).unwrap();
    let mut program = Program::new(&project, crate::django::evaluate::parse(&project));
    match find(&project, &mut program)[0].redirects() {
        Redirects::Yes(_) => "yes",
        Redirects::Perhaps(_) => "perhaps",
        Redirects::Unknown => "unknown",
        Redirects::No => "no",
    }
}

#[test]
fn redirects_are_known_as_far_as_the_files_say() {
    for (code, expected) in [
        ("SECURE_SSL_REDIRECT = True", "yes"),
        ("SECURE_SSL_REDIRECT = 'False'", "yes"),
        ("SECURE_SSL_REDIRECT = False", "no"),
        ("", "no"),
        (
            "DEBUG = False\nif not DEBUG: SECURE_SSL_REDIRECT = True",
            "yes",
        ),
        (
            "import os\nSECURE_SSL_REDIRECT = os.environ.get('X', 'True') == 'True'",
            "perhaps",
        ),
        (
            "import os\nSECURE_SSL_REDIRECT = os.environ.get('X') == 'True'",
            "unknown",
        ),
        (
            "import os\nSECURE_SSL_REDIRECT = bool(os.environ.get('X', ''))",
            "unknown",
        ),
        ("if x: SECURE_SSL_REDIRECT = True", "perhaps"),
        (
            "SECURE_SSL_REDIRECT = True\ntry:\n    from .local import *\nexcept ImportError: pass",
            "perhaps",
        ),
        ("SECURE_SSL_REDIRECT = True\nMIDDLEWARE = ['a']", "no"),
    ] {
        assert_eq!(redirects(code), expected, "{code}");
    }
}

#[test]
fn classes_are_settings() {
    let common = "from configurations import Configuration, values\nclass Common(Configuration):\n    ROOT_URLCONF = 'p.urls'\n    \
         ALLOWED_HOSTS = values.ListValue(['a.example'])\n    SECURE_SSL_REDIRECT = values.BooleanValue(True, environ_prefix=None)\n    \
         APPS = ['a']\n    def OWN(self):\n        return 1\n    @property\n    def MIDDLEWARE(self):\n        return ['m']\n    @other\n    def CHANGED(self):\n        return 1\n\
         class Dev(Common):\n    DEBUG = True\n\
         class Prod(Common):\n    APPS = Common.APPS + ['b']\n    SECURE_SSL_REDIRECT = values.BooleanValue(False, environ=False)\n\
         class Staging(Prod):\n    ALLOWED_HOSTS = values.SecretValue()\n";
    for (manage, wsgi, expected) in [
        ("", "", "Staging"),
        ("Dev", "", "Staging"),
        ("Dev", "Prod", "Prod"),
    ] {
        let text = |name: &str| {
            format!(
                "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'p.settings')\nos.environ.setdefault('DJANGO_CONFIGURATION', '{name}')\n"
            )
        };
        let (manage, wsgi) = (text(manage), text(wsgi));
        let project = Project::in_memory([
            ("p/settings.py", common),
            ("manage.py", manage.as_str()),
            ("p/wsgi.py", wsgi.as_str()),
        ])
        .unwrap();
        let mut program = Program::new(&project, crate::django::evaluate::parse(&project));
        let found = find(&project, &mut program);
        let production: Vec<_> = found
            .iter()
            .filter(|settings| settings.role == Role::Production)
            .collect();
        let [production] = production.as_slice() else {
            panic!("{expected}: {found:?}");
        };
        let value = |name: &str| {
            let setting = production.get(name);
            let value = certain(&setting.values).cloned().unwrap();
            (value.data.truth(), value.is_default())
        };
        let hosts = match expected {
            "Staging" => (None, true),
            _ => (Some(true), true),
        };
        assert_eq!(value("ALLOWED_HOSTS"), hosts, "{expected}");
        assert_eq!(value("SECURE_SSL_REDIRECT"), (Some(false), false));
        assert_eq!(value("OWN"), (Some(true), false));
        assert_eq!(value("MIDDLEWARE"), (Some(true), false));
        assert_eq!(value("CHANGED"), (None, false));
        assert_eq!(value("CHANNEL_LAYERS"), (Some(false), false));
        assert!(matches!(
            &production.get("APPS").certain().unwrap().data,
            Data::Sequence(list) if list.items.len() == 2
        ));
    }
}

/// configurations/base.py: a configuration holds all of Django's defaults, which go before what a
/// later base sets; what has no default there comes from that base.
#[test]
fn a_base_beside_a_configuration_sets_what_django_has_no_default_of() {
    let text = "from configurations import Configuration\nclass Common(Configuration):\n    MIDDLEWARE = []\n\
        class Plain:\n    CHANNEL_LAYERS = {'default': {}}\n    USE_X_FORWARDED_HOST = True\n    def ALLOWED_HOSTS(self):\n        return ['a']\n\
        class Production(Common, Plain):\n    DEBUG = False\n";
    let project = Project::in_memory([("p/settings.py", text)]).unwrap();
    let mut program = Program::new(&project, crate::django::evaluate::parse(&project));
    let found = find(&project, &mut program);
    let production = found
        .iter()
        .find(|settings| settings.role == Role::Production);
    let truth = |name: &str| {
        let setting = production.unwrap().get(name);
        certain(&setting.values).unwrap().data.truth()
    };
    assert_eq!(truth("CHANNEL_LAYERS"), Some(true));
    assert_eq!(truth("USE_X_FORWARDED_HOST"), None);
    assert_eq!(truth("ALLOWED_HOSTS"), None);
    assert_eq!(truth("DEBUG"), Some(false));
}

/// The chain of places, the latest first; what says the same again is none of them.
#[test]
fn a_value_knows_what_it_overrides() {
    let files = [
        (
            "manage.py",
            "os.environ['DJANGO_SETTINGS_MODULE'] = 'p.production'\n",
        ),
        (
            "p/base.py",
            "MIDDLEWARE = []\nSECURE_SSL_REDIRECT = False\nHOSTS = ['a']\nHOSTS += ['b']\n",
        ),
        (
            "p/cloud.py",
            "from .base import *\nSECURE_SSL_REDIRECT = False\nSECURE_SSL_REDIRECT = 'yes'\nALLOWED_HOSTS = ['a']\n",
        ),
        (
            "p/production.py",
            "from .cloud import *\nSECURE_SSL_REDIRECT = True\nALLOWED_HOSTS += ['b']\nALLOWED_HOSTS.append('c')\n",
        ),
    ];
    let project = Project::in_memory(files).unwrap();
    let mut program = Program::new(&project, crate::django::evaluate::parse(&project));
    let all = find(&project, &mut program);
    let named = |settings: &&Settings| project.source(settings.source).name() == "production.py";
    let settings = all.iter().find(named).unwrap();
    let history = |name: &str| -> Vec<String> {
        let value = settings.get(name).values[0].clone();
        let places = settings.history(value.span).into_iter();
        places
            .map(|(span, words)| format!("{} {words}", project.place(span)))
            .collect()
    };
    assert_eq!(
        history("SECURE_SSL_REDIRECT"),
        [
            "p/cloud.py:3 set here before, and overridden",
            "p/cloud.py:2 set here before, and overridden"
        ]
    );
    assert!(history("MIDDLEWARE").is_empty());
    assert_eq!(
        history("ALLOWED_HOSTS"),
        [
            "p/production.py:4 changed here",
            "p/cloud.py:4 set here before, and added to",
        ]
    );
}

#[test]
fn what_dynaconf_puts_together_is_never_certain() {
    let project = Project::in_memory([(
        "p/settings.py",
        "INSTALLED_APPS = []\nSECURE_SSL_REDIRECT = True\nimport dynaconf\nsettings = dynaconf.DjangoDynaconf(__name__)\n",
    )])
    .unwrap();
    let mut program = Program::new(&project, crate::django::evaluate::parse(&project));
    let found = find(&project, &mut program);
    for name in ["SECURE_SSL_REDIRECT", "SECURE_PROXY_SSL_HEADER"] {
        let setting = found[0].get(name);
        assert!(setting.certain().is_none(), "{name}");
        let absent = |value: &Possible| matches!(value.data, Data::Absent);
        assert!(!setting.values.iter().any(absent), "{name}");
    }
}
