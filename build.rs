//! Compiles the grammars and turns `rules/` into static tables, so that nothing of it costs
//! time at start-up and a rule whose check does not exist does not compile.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{env, fs};

use proc_macro2::TokenStream;
use quote::quote;
use serde::Deserialize;

#[allow(dead_code, reason = "the binary uses the rest of it")]
#[path = "src/rule/schema.rs"]
mod schema;

type Error = Box<dyn std::error::Error>;

fn main() -> Result<(), Error> {
    grammars();
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo::rerun-if-changed=rules");
    write(&out.join("rules.rs"), &rules(Path::new("rules"))?)?;
    write(
        &out.join("endpoints.rs"),
        &endpoints(&fs::read_to_string("rules/endpoints.toml")?)?,
    )?;
    write(
        &out.join("edges.rs"),
        &edges(&fs::read_to_string("rules/edges.toml")?)?,
    )?;
    let directives = "src/nginx/refused/directives.txt";
    println!("cargo::rerun-if-changed={directives}");
    write(
        &out.join("directives.rs"),
        &nginx_directives(&fs::read_to_string(directives)?)?,
    )?;
    Ok(())
}

/// The table of nginx's directives.
fn nginx_directives(text: &str) -> Result<TokenStream, Error> {
    let mut rows = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split(" | ").collect();
        let [name, contexts, arguments, value, ref versions @ ..] = fields[..] else {
            return Err(format!("directives.txt: {line}").into());
        };
        let contexts = contexts.split(' ').map(|context| {
            let name = context.to_uppercase().replace('-', "_");
            quote::format_ident!("{name}")
        });
        let block = arguments.ends_with("{}");
        let mut counts = 0u16;
        for count in arguments
            .trim_end_matches("{}")
            .split(',')
            .filter(|count| !count.is_empty())
        {
            counts |= match count.strip_suffix('+') {
                Some(least) => u16::MAX << least.parse::<u16>()?,
                None => 1 << count.parse::<u16>()?,
            };
        }
        let value = match value.split_once(':') {
            Some(("number", bounds)) => {
                let (least, most) = bounds.split_once("..").ok_or("bounds of a number")?;
                let (least, most) = (least.parse::<u64>()?, most.parse::<u64>()?);
                quote!(Value::Number(#least, #most))
            }
            Some((kind, words)) => {
                let words = words.split('|');
                let kind =
                    quote::format_ident!("{}", if kind == "one-of" { "OneOf" } else { "SomeOf" });
                quote!(Value::#kind(&[#(#words),*]))
            }
            None => match value {
                "flag" => quote!(Value::Flag),
                "size" => quote!(Value::Size),
                "offset" => quote!(Value::Offset),
                "number" => quote!(Value::Number(0, u64::MAX)),
                "time" => quote!(Value::Seconds),
                "time-ms" => quote!(Value::Milliseconds),
                "buffers" => quote!(Value::Buffers),
                "text" | "path" | "access" | "once" => quote!(Value::Once),
                "-" => quote!(Value::Any),
                other => return Err(format!("directives.txt: no value is called {other}").into()),
            },
        };
        let version = |kind: &str| -> Result<TokenStream, Error> {
            let found = versions
                .iter()
                .find_map(|version| version.strip_prefix(kind));
            let Some(version) = found else {
                return Ok(quote!(None));
            };
            let numbers = version
                .split('.')
                .map(str::parse)
                .collect::<Result<Vec<u32>, _>>()?;
            Ok(quote!(Some([#(#numbers),*])))
        };
        let (since, until) = (version("since ")?, version("until ")?);
        rows.push((
            name.to_owned(),
            quote!(Known {
                name: #name,
                contexts: #(#contexts)|*,
                counts: #counts,
                block: #block,
                value: #value,
                since: #since,
                until: #until,
            }),
        ));
    }
    rows.sort_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
    let rows = rows.into_iter().map(|(_, row)| row);
    Ok(quote! {
        /// Sorted by the length of the name, which is compared sooner, then by the name.
        static DIRECTIVES: &[Known] = &[#(#rows),*];
    })
}

fn write(path: &Path, tokens: &TokenStream) -> Result<(), Error> {
    Ok(fs::write(path, tokens.to_string())?)
}

/// Compiles our two parsers: generated C that is committed, so that nothing but a C compiler is needed.
fn grammars() {
    for name in ["nginx", "caddyfile"] {
        let source = Path::new("grammars").join(name).join("src");
        let mut build = cc::Build::new();
        // Optimised in debug builds too: it costs half a second once, and every test parses.
        build
            .std("c11")
            .opt_level(2)
            .include(&source)
            .warnings(false);
        for file in ["parser.c", "scanner.c"] {
            let file = source.join(file);
            println!("cargo::rerun-if-changed={}", file.display());
            build.file(file);
        }
        build.compile(&format!("wslint_grammar_{name}"));
    }
}

/// The table of all rules, sorted by id (the rule file's path).
fn rules(folder: &Path) -> Result<TokenStream, Error> {
    let mut files = BTreeMap::new();
    for group in fs::read_dir(folder)? {
        let group = group?.path();
        if !group.is_dir() {
            continue;
        }
        for file in fs::read_dir(&group)? {
            let file = file?.path();
            if file
                .extension()
                .is_some_and(|extension| extension == "toml")
            {
                let relative = file.strip_prefix(folder)?.with_extension("");
                files.insert(relative.to_string_lossy().replace('\\', "/"), file);
            }
        }
    }
    let mut table = TokenStream::new();
    for (id, file) in files {
        let rule = schema::RuleFile::read(&fs::read_to_string(&file)?)
            .and_then(|read| rule(&id, &read))
            .map_err(|error| format!("{}: {error}", file.display()))?;
        table.extend(quote!(#rule,));
    }
    Ok(quote! {
        static RULES: &[Rule] = &[#table];
    })
}

fn rule(id: &str, rule: &schema::RuleFile) -> Result<TokenStream, String> {
    let severity = match rule.severity.as_str() {
        "error" => quote!(Severity::Error),
        "warning" => quote!(Severity::Warning),
        _ => quote!(Severity::Info),
    };
    let check = match (&rule.check, &rule.pattern) {
        (Some(path), _) => {
            let path: syn::Path =
                syn::parse_str(path).map_err(|_| format!("`{path}` is no path of a function"))?;
            quote!(Check::Function(crate::#path))
        }
        (None, Some(pattern)) => {
            let query = query(pattern)?;
            quote!(Check::Query(#query))
        }
        (None, None) => unreachable!("RuleFile::read asks for one of them"),
    };
    let proof = match &rule.source {
        Some(source) => quote!(Proof::Source(Cow::Borrowed(#source))),
        None => quote!(Proof::Server),
    };
    let examples = rule.example.iter().map(example);
    let (summary, why, fix) = (&rule.summary, rule.why.trim(), rule.fix.trim());
    let references = &rule.references;
    Ok(quote! {
        Rule {
            id: Cow::Borrowed(#id),
            severity: #severity,
            summary: Cow::Borrowed(#summary),
            why: Cow::Borrowed(#why),
            fix: Cow::Borrowed(#fix),
            proof: #proof,
            references: Cow::Borrowed(&[#(Cow::Borrowed(#references)),*]),
            examples: Cow::Borrowed(&[#(#examples),*]),
            check: #check,
        }
    })
}

fn query(pattern: &schema::PatternFile) -> Result<TokenStream, String> {
    let kind = match pattern.kind.as_str() {
        "nginx" => quote!(Kind::Nginx),
        "caddy" => quote!(Kind::Caddyfile),
        "django" => quote!(Kind::Python),
        other => return Err(format!("unknown kind `{other}`")),
    };
    let predicate = |matches: bool| {
        move |(capture, regex): (&String, &String)| {
            quote!(Predicate {
                capture: Cow::Borrowed(#capture),
                regex: Cow::Borrowed(#regex),
                matches: #matches,
            })
        }
    };
    let regex = pattern.regex.iter().map(predicate(true));
    let not = pattern.not.iter().map(predicate(false));
    let labels = pattern.labels.iter().map(pair);
    let schema::PatternFile {
        query,
        contains,
        at,
        message,
        label,
        help,
        ..
    } = pattern;
    Ok(quote! {
        QueryRule {
            kind: #kind,
            query: Cow::Borrowed(#query),
            contains: Cow::Borrowed(&[#(Cow::Borrowed(#contains)),*]),
            predicates: Cow::Borrowed(&[#(#regex,)* #(#not,)*]),
            at: Cow::Borrowed(#at),
            message: Cow::Borrowed(#message),
            label: Cow::Borrowed(#label),
            labels: Cow::Borrowed(&[#(#labels),*]),
            help: Cow::Borrowed(&[#(Cow::Borrowed(#help)),*]),
        }
    })
}

fn example(example: &schema::ExampleFile) -> TokenStream {
    let schema::ExampleFile { title, breaks, .. } = example;
    let handshake = match &example.handshake {
        Some(handshake) => {
            let url = &handshake.url;
            let status = option(handshake.status.map(|status| quote!(#status)));
            let headers = handshake.headers.iter().map(pair);
            let lives = handshake.lives;
            quote!(Some(ExampleHandshake {
                url: Cow::Borrowed(#url),
                status: #status,
                lives: #lives,
                headers: Cow::Borrowed(&[#(#headers),*]),
            }))
        }
        None => quote!(None),
    };
    let server = option(
        example
            .server
            .as_ref()
            .map(|server| quote!(Cow::Borrowed(#server))),
    );
    let files = example.files.iter().map(pair);
    quote! {
        Example {
            title: Cow::Borrowed(#title),
            breaks: #breaks,
            handshake: #handshake,
            server: #server,
            files: Cow::Borrowed(&[#(#files),*]),
        }
    }
}

fn pair((name, value): (&String, &String)) -> TokenStream {
    quote!((Cow::Borrowed(#name), Cow::Borrowed(#value)))
}

fn option(value: Option<TokenStream>) -> TokenStream {
    match value {
        Some(value) => quote!(Some(#value)),
        None => quote!(None),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EndpointsFile {
    companions: Vec<String>,
    endpoint: Vec<EndpointFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct EndpointFile {
    path: String,
    software: String,
    #[serde(default)]
    polls_first: bool,
    source: String,
}

fn endpoints(text: &str) -> Result<TokenStream, Error> {
    let table: EndpointsFile = toml::from_str(text)?;
    let rows = table.endpoint.iter().map(|row| {
        let EndpointFile {
            path,
            software,
            polls_first,
            source,
        } = row;
        quote!(Endpoint {
            path: #path,
            software: #software,
            polls_first: #polls_first,
            source: #source,
        })
    });
    let companions = &table.companions;
    Ok(quote! {
        static ENDPOINTS: &[Endpoint] = &[#(#rows),*];
        static COMPANIONS: &[&str] = &[#(#companions),*];
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct EdgeFile {
    title: String,
    ends_tls: bool,
    origin: String,
    protocol: String,
    #[serde(default)]
    from: Vec<String>,
    #[serde(default)]
    sends: BTreeMap<String, String>,
    #[serde(default)]
    on_pages: BTreeMap<String, String>,
    #[serde(default)]
    not_sent: BTreeMap<String, String>,
    idle: Option<LimitFile>,
    lifetime: Option<LimitFile>,
    sources: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitFile {
    seconds: u32,
    #[serde(default)]
    change: String,
}

impl EdgeFile {
    /// What is wrong with it, if anything: above all a fact without a source.
    fn fault(&self) -> Option<String> {
        let facts = [
            ("ends-tls", true),
            ("origin", true),
            ("protocol", true),
            ("from", !self.from.is_empty()),
            ("sends", !self.sends.is_empty()),
            ("on-pages", !self.on_pages.is_empty()),
            ("not-sent", !self.not_sent.is_empty()),
            ("idle", self.idle.is_some()),
            ("lifetime", self.lifetime.is_some()),
        ];
        for (fact, stated) in facts {
            if stated != self.sources.contains_key(fact) {
                let what = if stated {
                    "has no source"
                } else {
                    "is not stated"
                };
                return Some(format!("`{fact}` {what}"));
            }
        }
        let known = |name: &String| facts.iter().any(|(fact, _)| fact == name);
        if let Some(name) = self.sources.keys().find(|name| !known(name)) {
            return Some(format!("no fact is called `{name}`"));
        }
        if let Some(url) = self
            .sources
            .values()
            .find(|url| !url.starts_with("https://"))
        {
            return Some(format!("`{url}` is no source"));
        }
        let is_name = |name: &String| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        let headers = [&self.sends, &self.on_pages, &self.not_sent];
        if let Some(name) = headers
            .iter()
            .flat_map(|map| map.keys())
            .find(|name| !is_name(name))
        {
            return Some(format!("`{name}` is no header"));
        }
        if let Some(name) = self
            .not_sent
            .keys()
            .find(|name| self.sends.contains_key(*name))
        {
            return Some(format!("`{name}` is sent and not sent"));
        }
        if let Some(name) = self
            .on_pages
            .keys()
            .find(|name| !self.sends.contains_key(*name))
        {
            return Some(format!("`{name}` is sent on pages only"));
        }
        let limits = [&self.idle, &self.lifetime];
        let mut zeros = limits
            .into_iter()
            .flatten()
            .filter(|limit| limit.seconds == 0);
        zeros.next().map(|_| "a limit of 0 seconds".to_owned())
    }
}

fn edges(text: &str) -> Result<TokenStream, Error> {
    let table: BTreeMap<String, EdgeFile> = toml::from_str(text)?;
    let mut rows = Vec::new();
    for (kind, row) in &table {
        if let Some(fault) = row.fault() {
            return Err(format!("edges.toml, [{kind}]: {fault}").into());
        }
        let origin = match row.origin.as_str() {
            "plain" => quote!(Origin::Plain),
            "tls" => quote!(Origin::Tls),
            other => {
                return Err(format!("edges.toml: origin = \"{other}\": write plain or tls").into());
            }
        };
        let protocol = match row.protocol.as_str() {
            "HTTP/1.1" => quote!(Protocol::Http11),
            "HTTP/2" => quote!(Protocol::Http2),
            other => return Err(format!("edges.toml: protocol = \"{other}\"").into()),
        };
        let from = &row.from;
        let pair = |(name, value): (&String, &String)| quote!((#name, #value));
        let [sends, on_pages, not_sent, sources] =
            [&row.sends, &row.on_pages, &row.not_sent, &row.sources]
                .map(|map| map.iter().map(pair).collect::<Vec<_>>());
        let [idle, lifetime] = [&row.idle, &row.lifetime].map(|limit| {
            option(limit.as_ref().map(|LimitFile { seconds, change }| {
                quote!(Limit { seconds: #seconds, change: #change })
            }))
        });
        let EdgeFile {
            title, ends_tls, ..
        } = row;
        rows.push(quote!(Edge {
            kind: #kind,
            title: #title,
            ends_tls: #ends_tls,
            origin: #origin,
            protocol: #protocol,
            from: &[#(#from),*],
            sends: &[#(#sends),*],
            on_pages: &[#(#on_pages),*],
            not_sent: &[#(#not_sent),*],
            idle: #idle,
            lifetime: #lifetime,
            sources: &[#(#sources),*],
        }));
    }
    Ok(quote!(static EDGES: &[Edge] = &[#(#rows),*];))
}
