//! What Caddy itself refuses to load: then nothing of the configuration runs.
//!
//! [`site`] judges what is written in the sites, [`certificates`] where these are from, [`proxy`] the
//! proxies; [`lines`] says what their
//! lines take. Only what no plugin could change is told.

mod blocks;
mod certificates;
mod lines;
mod proxy;
mod site;
mod upstream;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::expand::Directive;
use super::handler::{Action, Handler};
use super::model::{Config, Options};
use super::syntax::LONELY_BRACE;
use crate::finding::Undecided;
use crate::handshake::known_endpoint;
use crate::project::{Project, Version};
use crate::source::Span;
use crate::syntax::{Quote, SyntaxError, Tree};

/// Directives of Caddy 1 that no plugin of Caddy 2 has, with what took their place.
const CADDY_1: &[(&str, &str)] = &[
    ("proxy", "reverse_proxy"),
    ("gzip", "encode gzip"),
    ("fastcgi", "php_fastcgi"),
    ("browse", "file_server browse"),
    ("websocket", "reverse_proxy"),
];

/// Something for which Caddy does not load the file at all, in words.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// What it does not take.
    pub span: Span,
    /// What happens.
    pub message: String,
    /// What that is.
    pub label: String,
    /// What Caddy says about it.
    pub note: Option<String>,
    /// What to write.
    pub help: String,
    /// Further places of the same cause, each with what it is.
    pub also: Vec<(Span, String)>,
    /// The target is not given, and older versions of Caddy take it.
    pub by_version: bool,
    /// A directive of Caddy 1 that shows itself that it is for sockets.
    pub for_sockets: bool,
    /// What was meant as a site may stand in something else, and no route of it is seen.
    pub hides: bool,
    /// It is a line of Caddy 1.
    is_old: bool,
    /// What to write at the further places.
    pub more_help: Vec<String>,
}

impl Refusal {
    /// Both of them as one cause, told at the first.
    fn with(mut self, other: Self) -> Self {
        let help = std::iter::once(other.help).chain(other.more_help);
        let new = help.filter(|help| *help != self.help && !self.more_help.contains(help));
        let new: Vec<String> = new.collect();
        self.more_help.extend(new);
        self.also.push((other.span, other.label));
        self.also.extend(other.also);
        self.for_sockets |= other.for_sockets;
        self
    }
}

/// A file for Caddy 1 whose sockets are not followed here, where nothing says which Caddy runs.
pub(super) fn caddy_1(project: &Project, config: &Config) -> Option<Undecided> {
    let handlers = config.sites.iter().flat_map(|site| &site.handlers.all);
    let mut old = handlers.filter_map(|handler| old_directive(project, config, handler));
    let first = old.find(|refusal| refusal.for_sockets)?;
    project.config.targets.caddy.is_none().then(|| Undecided {
        span: first.span,
        message: "a directive of Caddy 1, whose files are not followed here; Caddy 2 refuses the whole file".to_owned(),
        alike: None,
    })
}

/// What Caddy refuses in the files of one configuration before it looks at what they say.
pub(super) fn unreadable<'t>(
    trees: impl Iterator<Item = &'t Tree>,
    version: Version,
) -> Option<Refusal> {
    let certain = |error: &&SyntaxError| {
        error.certain && (version >= [2, 7, 0] || error.message != LONELY_BRACE)
    };
    let errors = trees.filter_map(|tree| tree.errors.first().filter(certain));
    let first = errors.min_by_key(|error| error.span)?;
    let said = first.message.as_str();
    let help = if said.contains('{') || said.contains('}') {
        "a block opens with `{`, a blank before it, at the end of a line, and closes with `}` on a line of its own"
    } else {
        ""
    };
    Some(refusal(
        first.span,
        format!("Caddy refuses the whole file: {said}"),
        "cannot be read beyond this",
        help,
    ))
}

/// A brace that has no blank before it, and what Caddy refuses for it.
pub(super) fn glued(brace: &SyntaxError, said: &Refusal) -> Refusal {
    let mut one = refusal(
        brace.span,
        format!("Caddy refuses the whole file: {}", brace.message),
        "a part of the word, and no brace",
        "write a blank before `{`",
    );
    one.also.push((said.span, "so this is refused".to_owned()));
    one.note.clone_from(&said.note);
    one.hides = true;
    one
}

/// A snippet that is defined after the line that imports it.
pub(super) fn defined_later(import: Span, name: &str, definition: Span) -> Refusal {
    let mut one = refusal(
        import,
        format!(
            "Caddy refuses the whole file: the snippet `{name}` is defined only after this line"
        ),
        "not defined yet",
        format!("move `({name})` to the top of the file, before every site that imports it"),
    );
    one.also.push((definition, "its definition".to_owned()));
    one.note = Some(format!("Caddy says `File to import not found: {name}`"));
    one
}

/// Global options that are not the first block of the file.
pub(super) fn misplaced(block: Span) -> Refusal {
    refusal(
        block,
        "Caddy refuses the whole file: a block without a name holds the global options, and they come first, once".to_owned(),
        "not the first block",
        "move its lines into the block at the top of the file, or give the site its address",
    )
}

/// What Caddy refuses of the lines that are written in its sites, once they are expanded.
pub(super) fn written(
    given: Option<Version>,
    options: &Options,
    globals: &[Directive],
    sites: &[Directive],
    named_routes: &HashMap<String, Directive>,
) -> Vec<Refusal> {
    let mut found = site::find(options, globals, sites, named_routes);
    if options.version < [2, 7, 0] {
        let all = globals.iter().chain(sites);
        found.extend(all.filter_map(heredoc).next());
    }
    found.extend(certificates::on_demand(given, options, globals, sites));
    let mut options_lines = globals.iter().flat_map(Directive::children);
    if let Some(site) = sites.last()
        && matches!(site.words.as_slice(), [only] if only.text == "}" && only.quote == Quote::None)
        && site.block.is_none()
        && globals.iter().all(site::is_whole)
        && !options_lines.any(|line| {
            line.words.first().is_none_or(|word| !site::is_plain(word))
                || matches!(line.name(), "local_certs" | "cert_issuer" | "import")
        })
    {
        let mut one = refusal(
            site.head,
            "Caddy refuses the whole file: there is one `}` too many".to_owned(),
            "closes nothing, and is read as the address of a site",
            "delete it, or look above for a block whose `{` is missing",
        );
        one.note = Some("Caddy says `subject does not qualify for certificate: '}'`".to_owned());
        found.push(one);
    }
    for block in globals {
        blocks::options(block, options.version, &mut found);
    }
    found
}

/// A heredoc, which 2.7 was the first to read: to those before it, its lines are directives.
fn heredoc(line: &Directive) -> Option<Refusal> {
    if line.conditional {
        return None;
    }
    let word = line.words.iter().find(|word| word.quote == Quote::Heredoc);
    let Some(word) = word else {
        return line.children().iter().find_map(heredoc);
    };
    Some(refusal(
        word.span,
        "this Caddy refuses the whole file: it has no heredocs, which came with 2.7".to_owned(),
        "read as directives",
        "write the text in quotes or backticks, or upgrade Caddy",
    ))
}

/// Whether a block is surely meant as a site: no directive is called so.
pub(super) fn is_site(line: &Directive) -> bool {
    let name = line.name();
    line.block.is_some()
        && line.braces
        && !line.conditional
        && line.words.first().is_some_and(site::is_plain)
        && (name.contains('.') || name.starts_with(':') || name.contains("://"))
        && !name.contains('{')
        && !name.starts_with(['@', '/'])
}

/// A snippet that has the name of one before it.
pub(super) fn redeclared(head: Span, name: &str) -> Refusal {
    refusal(
        head,
        format!("Caddy refuses the whole file: the snippet `{name}` is defined twice"),
        "the second definition",
        "give it another name",
    )
}

/// A snippet or a file that imports itself.
pub(super) fn cycle(import: Span, what: &str) -> Refusal {
    let mut one = refusal(
        import,
        format!("Caddy refuses the whole file: {what}"),
        "imports what imports it",
        "delete one of the two imports",
    );
    one.note = Some("Caddy says `a cycle of imports exists`".to_owned());
    one
}

/// A block without a name in the block of an import.
pub(super) fn anonymous(head: Span) -> Refusal {
    refusal(
        head,
        "Caddy refuses the whole file: a block without a name is given to an import".to_owned(),
        "no name",
        "delete its braces: the import's own block is what `{block}` stands for",
    )
}

/// A named route that has the name of one before it.
pub(super) fn named_twice(head: Span, name: &str) -> Refusal {
    refusal(
        head,
        format!("Caddy refuses the whole file: the named route `{name}` is defined twice"),
        "the second definition",
        "give it another name",
    )
}

/// What else Caddy refuses in `config`; `carries` says whether it has a route for sockets.
pub(super) fn find(project: &Project, config: &Config, carries: bool) -> Vec<Refusal> {
    let target = project.config.targets.caddy;
    let mut found: Vec<Refusal> = Vec::new();
    let mut matchers = HashSet::new();
    for site in &config.sites {
        for handler in &site.handlers.all {
            // Of a named matcher only the use counts.
            let matcher = &handler.matcher;
            if !matcher.conditional && matchers.insert(Arc::as_ptr(&matcher.tests)) {
                found.extend(site::repeated(&matcher.tests));
            }
            // It may well be one for Caddy 1, unless something of Caddy 2 stands in it.
            let old = old_directive(project, config, handler);
            found.extend(old.filter(|_| carries || target.is_some()));
            if handler.conditional {
                continue;
            }
            if let Action::Proxy(proxy) = &handler.action {
                found.extend(proxy::lines(project, config, handler));
                found.extend(upstream::find(target, handler, proxy));
            }
        }
        found.extend(site::addresses(target, site));
    }
    let known: HashSet<Span> = config.refusals.iter().map(|refusal| refusal.span).collect();
    let mut seen = HashSet::new();
    found.retain(|refusal| !known.contains(&refusal.span) && seen.insert(refusal.span));
    // A file that was written for Caddy 1 is one cause.
    let (mut old, mut found): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|refusal| refusal.is_old);
    old.sort_by_key(|refusal| refusal.span);
    found.extend(old.into_iter().reduce(Refusal::with));
    found
}

fn refusal(
    span: Span,
    message: String,
    label: impl Into<String>,
    help: impl Into<String>,
) -> Refusal {
    Refusal {
        span,
        message,
        label: label.into(),
        note: None,
        help: help.into(),
        also: Vec::new(),
        by_version: false,
        for_sockets: false,
        hides: false,
        is_old: false,
        more_help: Vec::new(),
    }
}

/// A directive of Caddy 1.
fn old_directive(project: &Project, config: &Config, handler: &Handler) -> Option<Refusal> {
    let (_, now) = CADDY_1.iter().find(|(name, _)| *name == handler.name)?;
    let unknown = matches!(handler.action, Action::Plugin)
        && config.options.order.position(&handler.name).is_none()
        && !handler.in_route
        && !handler.conditional;
    if !unknown {
        return None;
    }
    let preset = handler
        .lines
        .iter()
        .any(|line| matches!(line.name(), "websocket" | "header_upstream" | "transparent"));
    let known = handler
        .matcher
        .paths()
        .any(|path| known_endpoint(&path.text).is_some());
    let args: Vec<&str> = handler.args.iter().map(|word| word.text.as_str()).collect();
    let path = handler.matcher.span.map(|span| project.slice(span));
    let help = if *now == "reverse_proxy" && handler.name == "proxy" {
        let path = match path {
            None | Some("/") => String::new(),
            Some(path) => format!("{}/* ", path.trim_end_matches('/')),
        };
        format!(
            "in Caddy 2 this is one line; sockets and the headers of `transparent` need nothing more:\n\nreverse_proxy {path}{}",
            args.join(" ")
        )
    } else {
        format!("in Caddy 2 this is `{now}`")
    };
    let mut refusal = refusal(
        handler.head,
        format!(
            "Caddy 2 refuses the whole file: `{}` is a directive of Caddy 1",
            handler.name
        ),
        "no directive of Caddy 2",
        help,
    );
    refusal.note = Some(format!(
        "Caddy says `unrecognized directive: {}`",
        handler.name
    ));
    refusal.is_old = true;
    refusal.for_sockets = handler.name == "proxy" && (preset || known);
    Some(refusal)
}

#[cfg(test)]
mod tests;
