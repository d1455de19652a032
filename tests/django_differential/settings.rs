//! Settings modules at random: the idioms of real ones, and small programs over free names that
//! try the evaluator itself.

use crate::differential::Random;

/// Names that mean nothing to Django.
pub(crate) const FREE: [&str; 5] = ["A", "B", "C", "D", "E"];

/// What Django and Channels read.
pub(crate) const SETTINGS: [&str; 12] = [
    "DEBUG",
    "ALLOWED_HOSTS",
    "SECURE_SSL_REDIRECT",
    "SECURE_PROXY_SSL_HEADER",
    "SECURE_REDIRECT_EXEMPT",
    "SECURE_SSL_HOST",
    "USE_X_FORWARDED_HOST",
    "MIDDLEWARE",
    "INSTALLED_APPS",
    "CHANNEL_LAYERS",
    "ASGI_APPLICATION",
    "ROOT_URLCONF",
];

/// What an environment sets.
pub(crate) type Environment = &'static [(&'static str, &'static str)];

/// Environments that set only what no module gives a default: where one of them changes an answer,
/// no reader of the files can know it.
///
/// STAGE has one, but the library leaves open which branch of a stage runs: the default is that of
/// a developer's machine.
pub(crate) const UNKNOWN: [Environment; 14] = [
    &[("STAGE", "production")],
    &[("PRODUCTION", "1")],
    &[("T1", "1")],
    &[("V2", "v")],
    &[("NO_SUCH", "1")],
    &[("DEBUG", "1")],
    &[("EXTRA_HOST", "example.com")],
    &[("EXTRA_HOST", "www.example.com")],
    &[("EXTRA_HOST", "other.test")],
    &[("REQUIRED_HOST", "example.com")],
    &[("REQUIRED_HOST", "www.example.com")],
    &[("REQUIRED_HOST", "other.test")],
    &[("HOSTS", "other.test")],
    &[("PRODUCTION", "1"), ("T1", "1"), ("V2", "")],
];

/// Environments that a module is evaluated in; the first one is empty.
pub(crate) const ENVIRONMENTS: [Environment; 4] = [
    &[],
    &[("PRODUCTION", "1"), ("T1", "1")],
    &[
        ("T2", "no"),
        ("T3", "no"),
        ("REDIRECT", "False"),
        ("HOSTS", "elsewhere.example"),
    ],
    &[
        ("PRODUCTION", "1"),
        ("STAGE", "production"),
        ("V1", "v"),
        ("V2", "v"),
        ("V3", "v"),
        ("V4", "v"),
        ("V5", "yes"),
        ("V6", ""),
        ("PROXY", "HTTP_X_FORWARDED_PROTO,https"),
    ],
];

/// Environments that a compose file sets, so that the files do say what they hold.
pub(crate) const DEPLOYED: [Environment; 3] = [
    &[
        ("REDIRECT", "True"),
        ("REDIRECT_NUMBER", "1"),
        ("HOSTS", "www.example.com"),
        ("T2", "no"),
        ("V1", "v"),
    ],
    &[
        ("STAGE", "production"),
        ("REDIRECT", "False"),
        ("REDIRECT_NUMBER", "0"),
        ("HOSTS", "other.test,example.com"),
        ("PROXY", "HTTP_X_FORWARDED_PROTO,https"),
        ("V4", "v"),
        ("V5", "yes"),
    ],
    &[
        ("PRODUCTION", "1"),
        ("T1", "1"),
        ("T3", "no"),
        ("EXTRA_HOST", "example.com"),
        ("REQUIRED_HOST", "other.test"),
        ("PROXY", "HTTP_X_FORWARDED_PROTO,http"),
        ("V2", "v"),
        ("V6", "v"),
    ],
];

const HEAD: &str = "import os\nimport sys\nfrom pathlib import Path\n";

/// What real modules begin with; Django runs with it.
const FOUNDATION: &str = "\
BASE_DIR = Path(__file__).resolve().parent
SECRET_KEY = 'x' * 50
USE_TZ = True
ROOT_URLCONF = 'p.urls'
ASGI_APPLICATION = 'p.asgi.application'
LOGGING_CONFIG = None
INSTALLED_APPS = ['channels', 'django.contrib.auth', 'django.contrib.contenttypes', 'django.contrib.sessions']
";

/// The class of the settings where they are classes.
pub(crate) const CONFIGURATION: &str = "Production";

/// The files of settings: `p/settings.py` and what it imports; and whether they are classes.
pub(crate) fn files(random: &mut Random) -> (Vec<(String, String)>, bool) {
    if random.chance(12) {
        let files = vec![("p/settings.py".to_owned(), classes(random))];
        return (files, true);
    }
    (modules(random), false)
}

/// Settings as django-configurations has them.
fn classes(random: &mut Random) -> String {
    let mut text = format!(
        "{HEAD}{}from configurations import Configuration, values\n",
        helpers(random)
    );
    let foundation = format!("{FOUNDATION}DEBUG = False\n{MIDDLEWARE}");
    let mut common = indented(&foundation);
    for _ in 0..1 + random.below(3) {
        common.push_str(&indented(&attribute(random)));
    }
    text.push_str(&format!("class Common(Configuration):\n{common}"));
    text.push_str("class Plain:\n");
    text.push_str(&indented(&attribute(random)));
    text.push_str("class Development(Common):\n    DEBUG = True\n");
    let bases = random.pick(&["Common", "Common", "Plain, Common", "Common, Plain"]);
    text.push_str(&format!("class Production({bases}):\n"));
    for _ in 0..1 + random.below(4) {
        text.push_str(&indented(&attribute(random)));
    }
    if random.chance(10) {
        text.push_str("    @classmethod\n    def setup(cls):\n        super().setup()\n        cls.SECURE_SSL_REDIRECT = True\n");
    }
    text
}

/// One attribute of a class of settings.
fn attribute(random: &mut Random) -> String {
    match random.below(12) {
        0 => "SECURE_SSL_REDIRECT = values.BooleanValue(True)\n",
        1 => "SECURE_SSL_REDIRECT = values.BooleanValue(False, environ_name='REDIRECT', environ_prefix=None)\n",
        2 => "ALLOWED_HOSTS = values.ListValue(['example.com', '.example.org'])\n",
        3 => "ALLOWED_HOSTS = values.ListValue(('example.com',), environ_name='HOSTS', environ_prefix='')\n",
        4 => "SECURE_PROXY_SSL_HEADER = values.TupleValue(('HTTP_X_FORWARDED_PROTO', 'https'))\n",
        5 => "A = values.Value('a', environ_name='V1', environ_prefix=None)\nB = values.IntegerValue(3)\nC = values.DictValue({'k': 'v'})\n",
        6 => "CHANNEL_LAYERS = values.DictValue({'default': {'BACKEND': 'channels.layers.InMemoryChannelLayer'}}, environ=False)\n",
        7 => "@property\ndef ALLOWED_HOSTS(self):\n    return ['example.com']\n",
        8 => "def D(self):\n    return [1]\n",
        _ => return idiom_alone(random),
    }
    .to_owned()
}

fn modules(random: &mut Random) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut base = String::from(HEAD);
    base.push_str(helpers(random));
    base.push_str(FOUNDATION);
    base.push_str(&format!(
        "DEBUG = {}\n",
        random.pick(&[
            "False",
            "False",
            "False",
            "os.environ.get('DEBUG', '0') == '1'",
            "config('DEBUG', default=False, cast=bool)",
            "os.environ.get('DEBUG') == '1'",
        ])
    ));
    base.push_str(MIDDLEWARE);
    for name in FREE {
        base.push_str(&format!("{name} = {}\n", atom(random)));
    }
    let mut own = String::new();
    for _ in 0..2 + random.below(5) {
        own.push_str(&idiom(random));
    }
    for _ in 0..random.below(5) {
        let statement = statement(random, 0, 0);
        own.push_str(&statement);
    }
    match random.below(4) {
        // One module.
        0 => {
            base.push_str(&own);
            files.push(("p/settings.py".to_owned(), base));
            return files;
        }
        // A package of several.
        1 => {
            let first = format!("{HEAD}{}from .common import *\n", helpers(random));
            files.push(("p/settings/common.py".to_owned(), base));
            if random.chance(40) {
                let middle = format!("from .common import *  # noqa\n{}", idiom(random));
                files.push(("p/settings/server.py".to_owned(), HEAD.to_owned() + &middle));
                let first = first.replace(".common", ".server");
                files.push(("p/settings/__init__.py".to_owned(), first + &own));
            } else {
                files.push(("p/settings/__init__.py".to_owned(), first + &own));
            }
        }
        _ => {
            let import = random.pick(&[
                "from .base import *\n",
                "from p.base import *\n",
                "try:\n    from .base import *\nexcept ImportError:\n    raise\n",
                "from p import base\nfrom p.base import *\n",
            ]);
            let first = format!("{HEAD}{}{import}", helpers(random));
            files.push(("p/base.py".to_owned(), base));
            files.push(("p/settings.py".to_owned(), first + &own));
        }
    }
    if random.chance(8) {
        // What a deployment leaves out, or not.
        let last = files.last_mut().expect("just pushed");
        last.1
            .push_str("try:\n    from .extra import *\nexcept ImportError:\n    pass\n");
        if random.chance(50) {
            let folder = if last.0.ends_with("__init__.py") {
                "p/settings"
            } else {
                "p"
            };
            let extra = idiom_alone(random);
            files.push((
                format!("{folder}/extra.py"),
                HEAD.to_owned() + helpers(random) + &extra,
            ));
        }
    }
    files
}

const MIDDLEWARE: &str = "\
MIDDLEWARE = [
    'django.middleware.security.SecurityMiddleware',
    'django.middleware.common.CommonMiddleware',
]
";

/// The helpers that [`idiom`]s use; always the same names, in several libraries' spelling.
fn helpers(random: &mut Random) -> &'static str {
    const ENVIRON: &str = "\
import environ
from decouple import config, Csv
env = environ.Env(FLAG=(bool, False))
def flag(name, default='False'):
    return os.environ.get(name, default).lower() in ('1', 'true', 'yes')
";
    const SCHEMA: &str = "\
from decouple import Csv, config
import environ
env = environ.Env(FLAG=(bool, True), NAMES=(list, ['n']))
def flag(name, default=False):
    value = os.getenv(name)
    if value is None:
        return default
    return value == 'true'
";
    match random.below(2) {
        0 => ENVIRON,
        _ => SCHEMA,
    }
}

/// One setting as people write it, where nothing before it is needed.
fn idiom_alone(random: &mut Random) -> String {
    let (name, values): (&str, &[&str]) = match random.below(5) {
        0 => (
            "SECURE_SSL_REDIRECT",
            &[
                "True",
                "False",
                "os.environ.get('REDIRECT', 'True') == 'True'",
                "env.bool('REDIRECT', default=True)",
                "env('REDIRECT', default='1') == '1'",
                "config('REDIRECT', default=True, cast=bool)",
                "config('REDIRECT', default='no', cast=bool)",
                "flag('REDIRECT')",
                "bool(int(os.environ.get('REDIRECT_NUMBER', '1')))",
                "bool(int(os.environ.get('REDIRECT_NUMBER', 0)))",
                "'False'",
                "os.getenv('NO_SUCH') is None",
                "env('FLAG')",
            ],
        ),
        1 => (
            "SECURE_PROXY_SSL_HEADER",
            &[
                "('HTTP_X_FORWARDED_PROTO', 'https')",
                "['HTTP_X_FORWARDED_PROTO', 'https']",
                "('HTTP_CLOUDFRONT_FORWARDED_PROTO', 'https')",
                "('X-Forwarded-Proto', 'https')",
                "('HTTP_X_FORWARDED_PROTO', 'HTTPS')",
                "('HTTP_X_FORWARDED_PROTO',)",
                "('HTTP_X_FORWARDED_PROTO' 'https')",
                "None",
                "tuple(os.environ.get('PROXY', 'HTTP_X_FORWARDED_PROTO,https').split(','))",
                "tuple('HTTP_X_FORWARDED_SSL:on'.split(':'))",
                "('HTTP_X_FORWARDED_%s' % 'PROTO', 'https')",
                "(f'HTTP_{\"X_FORWARDED_PROTO\"}', 'https')",
                "('HTTP_{}'.format('X_FORWARDED_PROTO'), 'https')",
                "(config('PROXY_NAME', default='HTTP_X_FORWARDED_PROTO'), 'https')",
                "tuple(env.list('PROXY', default=['HTTP_X_FORWARDED_PROTO', 'https']))",
                "config('PROXY', default='HTTP_X_FORWARDED_PROTO, https', cast=Csv(post_process=tuple))",
            ],
        ),
        2 => (
            "ALLOWED_HOSTS",
            &[
                "['example.com']",
                "['.example.com', 'localhost']",
                "['*']",
                "('example.com',)",
                "[]",
                "os.environ.get('HOSTS', 'example.com,www.example.com').split(',')",
                "os.environ.get('HOSTS', 'example.com www.example.com').split()",
                "[host.strip() for host in os.environ.get('HOSTS', 'example.com, a.test').split(',')]",
                "[host.strip() for host in 'example.com, a.test,'.split(',') if host.strip()]",
                "env.list('HOSTS', default=['example.com'])",
                "env('HOSTS', default='example.com').split(',')",
                "config('HOSTS', default='example.com, www.example.com', cast=Csv())",
                "config('HOSTS', default='example.com', cast=lambda v: [s.strip() for s in v.split(',')])",
                "['www.%s' % 'example.com', '{}.{}'.format('example', 'com')]",
                "[f'{part}.example.com' for part in ('www', 'api')] + ['example.com']",
                "list({'example.com'})",
                "['.' + name for name in ('example.com', 'example.org')]",
                "['https://example.com']",
                "['*.example.com']",
            ],
        ),
        3 => (
            "CHANNEL_LAYERS",
            &[
                "{'default': {'BACKEND': 'channels.layers.InMemoryChannelLayer'}}",
                "dict(default=dict(BACKEND='channels.layers.InMemoryChannelLayer'))",
                "{}",
                "{'default': {'CONFIG': {}}}",
                "{'default': {'BACKEND': 'channels.layers.NoSuchLayer'}}",
                "{'default': {'BACKEND': 'channels.layers.InMemoryChannelLayer', 'ROUTING': 'p.routing'}}",
                "{name: {'BACKEND': 'channels.layers.InMemoryChannelLayer'} for name in ('default', 'other')}",
            ],
        ),
        _ => (
            "SECURE_REDIRECT_EXEMPT",
            &[
                "[r'^ws/']",
                "[]",
                "['^/ws/', '^health$']",
                "[r'^ws/'] if DEBUG_FREE else [r'^chat/']",
                "list(map(str, ['^ws/']))",
            ],
        ),
    };
    let value = random.pick(values);
    if value.contains("DEBUG_FREE") {
        return format!(
            "DEBUG_FREE = {}\n{name} = {value}\n",
            random.pick(&["True", "False", "''"])
        );
    }
    format!("{name} = {value}\n")
}

/// One thing as people write it, after the base.
fn idiom(random: &mut Random) -> String {
    if random.chance(55) {
        return idiom_alone(random);
    }
    let inner = indented(&idiom_alone(random));
    let name = random.pick(&["www.example.com", "example.com", ".example.org"]);
    match random.below(46) {
        0 => format!("if DEBUG:\n{inner}"),
        1 => format!("if not DEBUG:\n{inner}else:\n    ALLOWED_HOSTS = ['*']\n"),
        2 if random.chance(50) => format!("if os.environ.get('PRODUCTION'):\n{inner}"),
        3 if random.chance(50) => format!(
            "if 'PRODUCTION' in os.environ:\n{inner}else:\n    SECURE_SSL_REDIRECT = False\n"),
        4 => format!("STAGE = os.environ.get('STAGE', 'local')\nif STAGE == 'production':\n{inner}elif STAGE in ('local', 'test'):\n    SECURE_SSL_REDIRECT = False\n"),
        5 => format!("ALLOWED_HOSTS = ['a.test']\nALLOWED_HOSTS += ['{name}']\n"),
        6 => format!("ALLOWED_HOSTS = []\nALLOWED_HOSTS.append('{name}')\nALLOWED_HOSTS.extend(['b.test', 'c.test'])\n"),
        7 => format!("ALLOWED_HOSTS = ['a.test']\nif (extra := os.environ.get('EXTRA_HOST')):\n    ALLOWED_HOSTS.append(extra)\nALLOWED_HOSTS.insert(0, '{name}')\n"),
        8 => "MIDDLEWARE.insert(0, 'django.middleware.gzip.GZipMiddleware')\n".to_owned(),
        9 => "MIDDLEWARE = ['django.middleware.gzip.GZipMiddleware', *MIDDLEWARE]\n".to_owned(),
        10 => "MIDDLEWARE = [name for name in MIDDLEWARE if 'security' not in name]\n".to_owned(),
        11 => "if 'django.middleware.common.CommonMiddleware' in MIDDLEWARE:\n    MIDDLEWARE.remove('django.middleware.common.CommonMiddleware')\n".to_owned(),
        12 => "MIDDLEWARE += ('django.middleware.gzip.GZipMiddleware',)\n".to_owned(),
        13 => "LOCAL_APPS = ('django.contrib.messages',)\nINSTALLED_APPS += [name for name in LOCAL_APPS if name not in INSTALLED_APPS]\n".to_owned(),
        14 => "if 'django.contrib.staticfiles' not in INSTALLED_APPS:\n    INSTALLED_APPS = ['django.contrib.staticfiles'] + INSTALLED_APPS\n".to_owned(),
        15 => "CHANNEL_LAYERS = {'default': {}}\nCHANNEL_LAYERS['default']['BACKEND'] = 'channels.layers.InMemoryChannelLayer'\n".to_owned(),
        16 => "CHANNEL_LAYERS = {}\nCHANNEL_LAYERS.update({'default': {'BACKEND': 'channels.layers.InMemoryChannelLayer'}})\n".to_owned(),
        22 => "LAYER = {}\nCHANNEL_LAYERS = {'default': LAYER}\nLAYER['BACKEND'] = 'channels.layers.InMemoryChannelLayer'\n".to_owned(),
        23 => "CHANNEL_LAYERS = {'default': {}}\nCHANNEL_LAYERS['default'].update(BACKEND='channels.layers.InMemoryChannelLayer')\n".to_owned(),
        24 => "MORE = MIDDLEWARE\nMORE.append('django.middleware.gzip.GZipMiddleware')\n".to_owned(),
        25 => "def add(name):\n    if name not in INSTALLED_APPS:\n        INSTALLED_APPS.append(name)\nadd('django.contrib.messages')\n".to_owned(),
        26 => format!("def hosts(*names):\n    return list(names)\nALLOWED_HOSTS = hosts('{name}')\n"),
        27 => format!("def hosts(text, separator=','):\n    names = [part.strip() for part in text.split(separator)]\n    return [part for part in names if part]\nALLOWED_HOSTS = hosts('a.test;{name}', separator=';')\n"),
        28 => "MIDDLEWARE[1] = 'django.middleware.gzip.GZipMiddleware'\n".to_owned(),
        29 => format!("def required(name):\n    try:\n        return os.environ[name]\n    except KeyError:\n        return '{name}'\nALLOWED_HOSTS = [required('REQUIRED_HOST')]\n"),
        17 if random.chance(50) => format!("globals()['ALLOWED_HOSTS'] = ['{name}']\n"),
        18 => format!("HOST = '{name}'\nALLOWED_HOSTS = [HOST, f'www.{{HOST}}']\n"),
        19 => format!("ALLOWED_HOSTS = getattr(sys, 'no_such', None) or ['{name}']\n"),
        20 if random.chance(30) => format!("for key, value in {{'ALLOWED_HOSTS': ['{name}'], 'SECURE_SSL_REDIRECT': True}}.items():\n    globals()[key] = value\n"),
        31 => "MORE = MIDDLEWARE\nMORE += ['django.middleware.gzip.GZipMiddleware']\n".to_owned(),
        32 => "LAST = MIDDLEWARE.pop()\nMIDDLEWARE.insert(0, LAST)\n".to_owned(),
        33 => "MIDDLEWARE.insert(MIDDLEWARE.index('django.middleware.common.CommonMiddleware') + 1 if 'django.middleware.common.CommonMiddleware' in MIDDLEWARE else 0, 'django.middleware.gzip.GZipMiddleware')\n".to_owned(),
        34 => "MIDDLEWARE.insert(-1, 'django.middleware.gzip.GZipMiddleware')\n".to_owned(),
        35 => "def add(names, name):\n    names.append(name)\nadd(MIDDLEWARE, 'django.middleware.gzip.GZipMiddleware')\n".to_owned(),
        36 => "MORE = MIDDLEWARE.copy()\nMORE.clear()\n".to_owned(),
        37 => "MORE = list(MIDDLEWARE)\nMORE += ['no.such.Middleware']\n".to_owned(),
        38 => "CHANNEL_LAYERS = {}\nLAYER = CHANNEL_LAYERS.setdefault('default', {})\nLAYER['BACKEND'] = 'channels.layers.InMemoryChannelLayer'\n".to_owned(),
        39 => "CHANNEL_LAYERS = {'other': {}, 'default': {'BACKEND': 'channels.layers.InMemoryChannelLayer'}}\ndel CHANNEL_LAYERS['other']\n".to_owned(),
        40 => "DEBUG and MIDDLEWARE.append('no.such.Middleware')\nDEBUG or MIDDLEWARE.append('django.middleware.gzip.GZipMiddleware')\n".to_owned(),
        41 => "[INSTALLED_APPS.append(name) for name in ('django.contrib.messages',) if name not in INSTALLED_APPS]\n".to_owned(),
        42 => format!("EVERY = [['a.test'], ['b.test']]\nALLOWED_HOSTS = EVERY[1]\nEVERY[-1].append('{name}')\n"),
        43 => "BOTH = {'all': MIDDLEWARE, 'same': MIDDLEWARE}\nBOTH['all'].append('django.middleware.gzip.GZipMiddleware')\ndel BOTH['same'][0]\n".to_owned(),
        44 => "class Shared:\n    middleware = MIDDLEWARE\nShared.middleware.reverse()\n".to_owned(),
        45 => format!("if os.environ.get('PRODUCTION'):\n    MORE = MIDDLEWARE\nelse:\n    MORE = []\nMORE.append('django.middleware.gzip.GZipMiddleware')\nALLOWED_HOSTS = ['{name}']\n"),
        30 => format!("try:\n    import no_such_module\n    SECURE_SSL_REDIRECT = False\nexcept ImportError:\n{inner}"),
        _ => idiom_alone(random),
    }
}

pub(crate) fn indented(lines: &str) -> String {
    lines.lines().map(|line| format!("    {line}\n")).collect()
}

fn name(random: &mut Random) -> &'static str {
    FREE[random.below(FREE.len())]
}

fn atom(random: &mut Random) -> &'static str {
    random.pick(&[
        "1",
        "0",
        "True",
        "False",
        "None",
        "'x'",
        "'y,z'",
        "''",
        "'True'",
        "os.environ.get('V1', 'd')",
        "os.environ.get('V2')",
        "os.getenv('V3', 'a,b')",
        "os.environ.get('V4', 'True') == 'True'",
        "os.environ.get('V5', 'no') in ('yes', '1')",
        "os.environ.get('V6') or 'w'",
    ])
}

fn expression(random: &mut Random, depth: usize) -> String {
    let part = |random: &mut Random| expression(random, depth + 1);
    if depth > 2 || random.chance(25) {
        return atom(random).to_owned();
    }
    match random.below(16) {
        0 => name(random).to_owned(),
        1 => {
            let parts: Vec<_> = (0..random.below(4)).map(|_| part(random)).collect();
            format!("[{}]", parts.join(", "))
        }
        2 => {
            let parts: String = (0..random.below(4)).map(|_| part(random) + ", ").collect();
            match parts.is_empty() {
                true => "()".to_owned(),
                false => format!("({parts})"),
            }
        }
        3 => format!("{} if {} else {}", atom(random), test(random), part(random)),
        4 => format!("[{}] + [{}]", part(random), part(random)),
        5 => format!("['q', *[{}]]", part(random)),
        6 => format!("{{'k': {}, 'm': {}}}", part(random), part(random)),
        7 | 8 => random
            .pick(&[
                "'a,b'.split(',')",
                "tuple('a,b'.split(','))",
                "f'HTTP_{\"X\"}'",
                "'a%s' % 'b'",
                "'a{}'.format('b')",
                "('a' 'b')",
                "not DEBUG",
                "bool('')",
                "bool('x')",
                "'X'.lower()",
                "tuple(['a'])",
                "list(('a',))",
                "str(1)",
                "int('3')",
                "dict(k=1)",
                "'a-%s-%d' % ('b', 2)",
                "'{}:{}'.format('h', 80)",
                "'{name}!'.format(name='n')",
                "','.join(['a', 'b'])",
                "'a b'.split()",
                "[x for x in ('a', 'b')]",
                "[x.upper() for x in 'a,b'.split(',') if x != 'b']",
                "{k: 1 for k in ['a', 'b']}",
                "len(['a'])",
                "sorted(['b', 'a'])",
                "'a,b'.split(',')[0]",
                "'a,b'.split(',')[-1]",
                "['a', 'b'][:1]",
                "{'a': 1}.get('a')",
                "{'a': 1}.get('b', 2)",
                "'abc'.strip('a')",
                "{**{'a': 1}, 'b': 2}",
                "{'a': 1} | {'b': 2}",
                "[*('a', 'b')]",
                "1 < 2",
                "'a' < 'b'",
                "any([0, 1])",
                "all([])",
                "'x' in 'xyz'",
                "isinstance('a', str)",
                "'a' 'b'.upper()",
                "-1",
                "2 * 3",
                "['a'] * 2",
                "'ab'[0]",
                "'1'.isdigit()",
                "getattr(sys, 'no_such', 'd')",
                "globals().get('DEBUG')",
                "locals().get('NO_SUCH', 3)",
            ])
            .to_owned(),
        9 => format!("not {}", part(random)),
        10 | 11 => format!("({}) or ({})", part(random), part(random)),
        12 => format!("({}) and ({})", part(random), part(random)),
        13 => format!("({}) == ({})", part(random), part(random)),
        14 => format!(
            "{} if ({}) else {}",
            atom(random),
            part(random),
            atom(random)
        ),
        _ => format!("[{}, {}]", part(random), name(random)),
    }
}

fn test(random: &mut Random) -> String {
    match random.below(12) {
        0 => "DEBUG".to_owned(),
        1 => "not DEBUG".to_owned(),
        2 => "os.environ.get('T1')".to_owned(),
        3 => "os.environ.get('T2', 'yes') == 'yes'".to_owned(),
        4 => "True".to_owned(),
        5 => "os.environ.get('T3', 'x') == 'x' and not DEBUG".to_owned(),
        6 => name(random).to_owned(),
        7 => format!("not {}", name(random)),
        8 => "'k' in ['k']".to_owned(),
        9 => "DEBUG is False".to_owned(),
        10 => "len(sys.argv) > 50".to_owned(),
        _ => "'T1' in os.environ".to_owned(),
    }
}

fn statement(random: &mut Random, indent: usize, depth: usize) -> String {
    let pad = "    ".repeat(indent);
    let target = name(random);
    let body = |random: &mut Random| -> String {
        (0..1 + random.below(2))
            .map(|_| statement(random, indent + 1, depth + 1))
            .collect()
    };
    let what = if depth < 2 {
        random.below(20)
    } else {
        random.below(12)
    };
    let lines = match what {
        0..=4 => format!("{target} = {}", expression(random, 0)),
        5 if random.chance(50) => {
            format!("{target} = {} = {}", name(random), expression(random, 0))
        }
        5 => {
            let other = name(random);
            let change = random.pick(&[
                "append(1)",
                "insert(-1, 1)",
                "reverse()",
                "extend([1, 2])",
                "pop()",
                "clear()",
                "remove('a')",
            ]);
            format!(
                "{other} = ['a', {}]\n{target} = [{other}, {}]\n{other}.{change}\n{other} += ['z']",
                expression(random, 1),
                expression(random, 1)
            )
        }
        6 => format!(
            "{target}, {} = {}, {}",
            name(random),
            expression(random, 0),
            expression(random, 0)
        ),
        7 => format!("{target} = ['a']\n{target} += [{}]", expression(random, 0)),
        8 => format!("{target} = []\n{target}.append({})", expression(random, 0)),
        9 => format!("{target} = {{}}\n{target}['k'] = {}", expression(random, 0)),
        10 => format!(
            "{target} = {{'z': 1}}\n{target}.update({{'k': {}}})",
            expression(random, 0)
        ),
        11 => match random.below(5) {
            0 => format!("{target} = ['b', 'c']\n{target}.remove('b')"),
            1 => format!(
                "{target} = ['b']\n{target}.insert(0, {})",
                expression(random, 0)
            ),
            2 => format!("{target} = 1\ndel {target}"),
            3 => format!("globals()['{target}'] = {}", expression(random, 0)),
            _ => format!(
                "{target} = ['b']\n{target}.extend([{}])",
                expression(random, 0)
            ),
        },
        12..=16 => {
            let mut text = format!("{pad}if {}:\n{}", test(random), body(random));
            if random.chance(30) {
                text.push_str(&format!("{pad}elif {}:\n{}", test(random), body(random)));
            }
            if random.chance(50) {
                text.push_str(&format!("{pad}else:\n{}", body(random)));
            }
            return text;
        }
        17 => return format!("{pad}for _i in [1, 2]:\n{}", body(random)),
        18 => return format!("{pad}for {target} in ['a', 'b']:\n{}", body(random)),
        _ => {
            return format!(
                "{pad}try:\n{}{pad}except Exception:\n{}",
                body(random),
                body(random)
            );
        }
    };
    lines.lines().map(|line| format!("{pad}{line}\n")).collect()
}
