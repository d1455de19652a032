//! Caddyfiles as Caddy would adapt them: one configuration for each Caddyfile that nothing
//! imports, with its global options and its sites.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::address::{Address, Ports};
use super::environment::Deployment;
use super::expand::{Directive, Expander, Trees, Word};
use super::files::Folders;
use super::handler::{Builder, Handlers};
use super::import::{Found, find};
use super::order::{self, Order};
use super::proxy::Trust;
use super::refused::{self, Refusal};
use super::route::{self, Route, Served};
use super::server::sorted;
use super::syntax;
use crate::finding::Undecided;
use crate::parallel;
use crate::project::{Project, Version};
use crate::source::{Kind, Source, SourceId, Span};
use crate::syntax::{SyntaxError, Tree};

/// Lines of `handle_errors` that are read for the sake of other sites of their listeners.
const MAX_OTHER_ERRORS: usize = 100_000;

/// What the global option `auto_https` leaves of automatic HTTPS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoHttps {
    /// Certificates, and the redirect on port 80.
    #[default]
    Full,
    /// `disable_redirects`: nothing listens on port 80.
    NoRedirects,
    /// `off`.
    Off,
}

/// The Caddy that is taken to run where no target says another.
pub const CURRENT: Version = [2, 11, 7];

/// The `servers` options of one listener, or of all.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The port of the listener that they are for; `None` for all.
    pub port: Option<u16>,
    /// `protocols`: its line and what stands there.
    pub protocols: Option<(Span, Vec<String>)>,
    /// `listener_wrappers { http_redirect }`: its line.
    pub redirects: Option<Span>,
    /// `strict_sni_host on`: its line.
    pub strict: Option<Span>,
}

/// The global options that matter to a handshake.
#[derive(Clone, Debug)]
pub struct Options {
    /// The ports that stand for `http` and `https`.
    pub ports: Ports,
    /// `auto_https`.
    pub auto_https: AutoHttps,
    /// Its line.
    pub auto_https_line: Option<Span>,
    /// The order of directives.
    pub order: Order,
    /// The version of Caddy.
    pub version: Version,
    /// `servers { trusted_proxies … }`.
    pub trust: Trust,
    /// The `servers` blocks.
    pub servers: Vec<Directive>,
    /// What they say of listeners.
    pub listeners: Vec<ServerOptions>,
    /// `auto_https disable_certs`.
    pub no_certificates: bool,
    /// `default_sni` or `fallback_sni`: a certificate for whoever names none that is known.
    pub fallback_sni: bool,
    /// `on_demand_tls`.
    pub on_demand: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            ports: Ports::default(),
            auto_https: AutoHttps::default(),
            auto_https_line: None,
            order: Order::default(),
            version: CURRENT,
            trust: Trust::default(),
            servers: Vec::new(),
            listeners: Vec::new(),
            no_certificates: false,
            fallback_sni: false,
            on_demand: false,
        }
    }
}

/// Where a site has its certificates from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Certificates {
    /// Automatic HTTPS, by the names of its addresses.
    #[default]
    Automatic,
    /// `tls`, which also issues them itself.
    Explicit,
    /// `tls CERT KEY`: for names that the files do not show.
    Loaded,
    /// `on_demand`: for any name.
    OnDemand,
}

/// A site.
#[derive(Clone, Debug)]
pub struct Site {
    /// Its addresses; empty for a fragment that some site elsewhere imports.
    pub addresses: Vec<Address>,
    /// The addresses' bytes.
    pub span: Span,
    /// What it does with requests.
    pub handlers: Handlers,
    /// Its certificates.
    pub certificates: Certificates,
}

impl Site {
    /// Whether it takes requests for `host`.
    pub fn takes(&self, host: &str) -> bool {
        self.addresses.iter().any(|address| address.takes(host))
    }

    /// Whether it is no site but a part of one, whose address and surroundings are elsewhere.
    pub fn is_fragment(&self) -> bool {
        self.addresses.is_empty()
    }
}

/// One Caddyfile with everything that it imports.
#[derive(Clone, Debug)]
pub struct Config {
    /// The root file.
    pub source: SourceId,
    /// The files that it imports.
    pub imported: Vec<SourceId>,
    /// Its global options.
    pub options: Options,
    /// Its sites, in order.
    pub sites: Vec<Site>,
    /// What Caddy refuses in it.
    pub refusals: Vec<Refusal>,
    /// It can be parsed.
    pub is_readable: bool,
}

/// All Caddyfiles of a project, adapted.
#[derive(Debug, Default)]
pub struct Model {
    /// One for each Caddyfile that no other one imports.
    pub configs: Vec<Config>,
    /// Where handshakes arrive, with the evidence for it.
    pub routes: Vec<Route>,
    /// The routes of the application behind it.
    pub served: Vec<Served>,
    /// What could not be resolved.
    pub undecided: Vec<Undecided>,
}

impl Model {
    /// Adapts everything of Caddy's in `project`, for which no application speaks.
    pub fn resolve(project: &Project) -> Self {
        let mut model = Self::read(project);
        model.find_routes(project, Vec::new());
        model
    }

    /// Adapts the Caddyfiles; [`Model::find_routes`] completes it.
    pub fn read(project: &Project) -> Self {
        let trees = parse_all(project);
        let imported = imported(project, &trees);
        let roots: Vec<&Tree> = project
            .of_kind(Kind::Caddyfile)
            .filter(|source| !imported.contains(&source.id) && is_root(project, source))
            .filter_map(|source| trees.get(&source.id))
            .collect();
        let deployment = Deployment::read(project);
        let read = parallel::map(&roots, project.pays_threads(), |tree| {
            adapt(project, &deployment, &trees, tree)
        });
        let mut model = Self::default();
        let mut reached = HashSet::new();
        for (mut config, undecided) in read {
            model.undecided.extend(undecided);
            let own = std::iter::once(config.source).chain(config.imported.iter().copied());
            let unreadable =
                refused::unreadable(own.filter_map(|id| trees.get(&id)), config.options.version);
            if let Some(first) = unreadable {
                // What stands in it is not read.
                config.refusals = vec![first];
                config.is_readable = false;
            }
            reached.insert(config.source);
            reached.extend(&config.imported);
            if config.refusals.is_empty()
                && let Some((glued, said)) = read_literally(project, &deployment, &trees, &config)
            {
                config.refusals = vec![refused::glued(glued, &said)];
            }
            model.configs.push(config);
        }
        for id in reached {
            for error in trees.get(&id).into_iter().flat_map(|tree| &tree.errors) {
                model.undecided.push(Undecided {
                    span: error.span,
                    message: error.message.clone(),
                    alike: None,
                });
            }
        }
        model
    }

    /// Finds where handshakes arrive; `served` are the application's routes that go through these
    /// configurations.
    pub fn find_routes(&mut self, project: &Project, served: Vec<Served>) {
        self.served = served;
        let (routes, unsearched) = route::find(project, self);
        self.routes = routes;
        self.undecided.extend(unsearched);
        let notes = route::undecided(self, &self.routes);
        self.undecided.extend(notes);
        for (at, config) in self.configs.iter_mut().enumerate() {
            let carries = self.routes.iter().any(|route| route.config == at);
            if config.is_readable {
                let more = refused::find(project, config, carries);
                config.refusals.extend(more);
            }
            if !carries {
                self.undecided.extend(refused::caddy_1(project, config));
                let hidden = config.refusals.iter().find(|refusal| refusal.hides);
                self.undecided.extend(hidden.map(|refusal| Undecided {
                    span: refusal.span,
                    message: refusal.message.clone(),
                    alike: None,
                }));
            }
            // What is a finding is none of what is undecided.
            if carries {
                let told: HashSet<Span> = config.refusals.iter().map(|one| one.span).collect();
                self.undecided.retain(|note| !told.contains(&note.span));
            }
        }
        self.undecided.sort();
        self.undecided.dedup();
    }

    /// The site of a route.
    pub fn site(&self, route: &Route) -> &Site {
        &self.configs[route.config].sites[route.site]
    }
}

/// Parses every Caddyfile, and what they import though its name says nothing.
pub(super) fn parse_all(project: &Project) -> Trees {
    let sources: Vec<&Source> = project.of_kind(Kind::Caddyfile).collect();
    let parsed = parallel::map(&sources, project.pays_threads(), |source| {
        syntax::parse(source)
    });
    let mut trees: Trees = parsed.into_iter().map(|tree| (tree.source, tree)).collect();
    let mut new: Vec<SourceId> = trees.keys().copied().collect();
    while !new.is_empty() {
        let wanted: HashSet<SourceId> = new
            .iter()
            .filter_map(|id| trees.get(id))
            .flat_map(|tree| imports(project, tree))
            .filter(|id| !trees.contains_key(id) && project.source(*id).kind != Kind::Config)
            .collect();
        new = wanted.into_iter().collect();
        for id in &new {
            trees.insert(*id, syntax::parse(project.source(*id)));
        }
    }
    trees
}

/// The files that a tree's imports name.
fn imports(project: &Project, tree: &Tree) -> Vec<SourceId> {
    let source = project.source(tree.source);
    let patterns: HashSet<&str> = tree
        .all()
        .filter(|directive| directive.name() == "import")
        .filter_map(|directive| directive.arg(0))
        .collect();
    let mut files = Vec::new();
    for pattern in patterns {
        if let Found::Files(found) = find(project, source, pattern) {
            files.extend(found);
        }
    }
    files
}

/// The files that some other one imports.
fn imported(project: &Project, trees: &Trees) -> HashSet<SourceId> {
    trees
        .values()
        .flat_map(|tree| {
            let own = tree.source;
            imports(project, tree)
                .into_iter()
                .filter(move |id| *id != own)
        })
        .collect()
}

/// Whether a file that nothing imports is a configuration: the loader also reads files that an
/// import only might mean.
fn is_root(project: &Project, source: &Source) -> bool {
    let name = source.name().to_ascii_lowercase();
    name.contains("caddy")
        || project
            .config
            .files
            .get("caddy")
            .is_some_and(|globs| globs.iter().any(|glob| names(glob, &source.path)))
}

/// Whether a glob of `[files]` means this path; one without a slash means a name.
fn names(glob: &str, path: &str) -> bool {
    let anywhere = if glob.contains('/') {
        glob.to_owned()
    } else {
        format!("**/{glob}")
    };
    globset::Glob::new(&anywhere).is_ok_and(|glob| glob.compile_matcher().is_match(path))
}

/// Where a brace has no blank before it: what Caddy refuses for reading it as a part of its word.
fn read_literally<'t>(
    project: &Project,
    deployment: &Deployment<'_>,
    trees: &'t Trees,
    config: &Config,
) -> Option<(&'t SyntaxError, Refusal)> {
    let own = std::iter::once(config.source).chain(config.imported.iter().copied());
    let glued = |tree: &'t Tree| {
        let mut errors = tree.errors.iter();
        errors.find(|error| error.message.ends_with(syntax::GLUED))
    };
    let with: Vec<(SourceId, &SyntaxError)> = own
        .filter_map(|id| Some((id, glued(trees.get(&id)?)?)))
        .collect();
    let (_, first) = *with.first()?;
    let mut literal = trees.clone();
    for (id, _) in &with {
        literal.insert(*id, syntax::parse_literally(project.source(*id)));
    }
    let (read, _) = adapt(project, deployment, &literal, literal.get(&config.source)?);
    let own = std::iter::once(read.source).chain(read.imported.iter().copied());
    let own = own.filter_map(|id| literal.get(&id));
    let said = refused::unreadable(own, read.options.version);
    let said = said
        .or_else(|| read.refusals.first().cloned())
        .or_else(|| refused::find(project, &read, false).into_iter().next())?;
    Some((first, said))
}

/// Adapts one root: the configuration, and what is undecided about it.
fn adapt(
    project: &Project,
    deployment: &Deployment<'_>,
    trees: &Trees,
    tree: &Tree,
) -> (Config, Vec<Undecided>) {
    let supplies = deployment.of(project, project.source(tree.source));
    let mut expander = Expander::new(project, trees, &supplies);
    let directives = expander.file(tree);
    let mut options = Options {
        version: project.config.targets.caddy.unwrap_or(CURRENT),
        ..Options::default()
    };
    let mut named_routes = HashMap::new();
    let mut sites = Vec::new();
    let mut globals = Vec::new();
    let mut twice = Vec::new();
    let (mut options_seen, mut misplaced_options) = (false, None);
    for directive in directives {
        let name = directive.name();
        if directive.words.is_empty() {
            if options_seen || !sites.is_empty() || !named_routes.is_empty() {
                misplaced_options.get_or_insert(directive.head);
            }
            options_seen = true;
            read_options(&directive, &mut options);
            globals.push(directive);
        } else if let Some(name) = name
            .strip_prefix("&(")
            .and_then(|name| name.strip_suffix(')'))
        {
            // 2.11.4 and before take the last one.
            if named_routes.contains_key(name) && options.version >= [2, 11, 7] {
                twice.push(refused::named_twice(directive.head, name));
            }
            named_routes.insert(name.to_owned(), directive);
        } else if let ([word], None) = (directive.words.as_slice(), &directive.block)
            && let (Some(_), Some(variable)) = (&word.unknown, &word.variable)
            && project.slice(word.span).starts_with("{$")
        {
            expander.undecided.push(Undecided {
                span: directive.head,
                message: format!(
                    "`{}` may bring options or sites, which the files do not show",
                    variable.written
                ),
                alike: None,
            });
        } else {
            sites.push(directive);
        }
    }
    // Prose reads as the addresses of a site without braces.
    if let [only] = sites.as_slice()
        && globals.is_empty()
        && !only.braces
        && only.children().is_empty()
        && !is_fragment(&sites)
    {
        expander.undecided.push(Undecided {
            span: only.head,
            message: "a file without a single directive: taken to be no Caddyfile".to_owned(),
            alike: None,
        });
        sites.clear();
    }
    // A part of a site has no global options.
    let fragment = is_fragment(&sites) && globals.is_empty() && !sites.iter().any(refused::is_site);
    let refusals = match fragment {
        true => Vec::new(),
        false => {
            let misplaced = misplaced_options.map(refused::misplaced);
            let given = project.config.targets.caddy;
            let written = refused::written(given, &options, &globals, &sites, &named_routes);
            let templated = |span: &Span| project.source(span.source).is_template();
            let imports = std::mem::take(&mut expander.refused).into_iter();
            let imports = imports.filter(|refusal| !templated(&refusal.span));
            misplaced
                .into_iter()
                .chain(imports)
                .chain(twice)
                .chain(written)
                .collect()
        }
    };
    let mut config = Config {
        source: tree.source,
        imported: expander.imported,
        options,
        sites: Vec::new(),
        refusals,
        is_readable: true,
    };
    if fragment {
        // The first line of a fragment looks like a site without braces: see `expand::fragment`.
        let mut lines = Vec::new();
        for mut site in sites {
            let flat = if site.braces { None } else { site.block.take() };
            lines.push(site);
            lines.extend(flat.unwrap_or_default());
        }
        let span = lines
            .first()
            .map_or(Span::new(tree.source, 0..0), |line| line.head);
        let handlers = Builder::new(&config.options, &named_routes).site(&lines);
        config.sites.push(Site {
            addresses: Vec::new(),
            span,
            handlers,
            certificates: Certificates::default(),
        });
    } else {
        let mut folders =
            Folders::new(project, &deployment.containers, project.source(tree.source));
        for site in &sites {
            let mut handlers = Builder::new(&config.options, &named_routes).site(site.children());
            handlers.find_folders(&mut folders);
            let addresses: Vec<Address> = site
                .words
                .iter()
                .filter(|word| !word.text.is_empty())
                .map(Address::parse)
                .collect();
            handlers.partial |= site.partial;
            config.sites.push(Site {
                addresses,
                span: site.head,
                handlers,
                certificates: certificates(site.children()),
            });
        }
        other_errors(&mut config, &sites, &named_routes);
    }
    (config, expander.undecided)
}

/// Gives each site without `handle_errors` those of others that its listeners share with it.
fn other_errors(config: &mut Config, sites: &[Directive], named: &HashMap<String, Directive>) {
    let handles = |site: &Directive| {
        let mut lines = site.children().iter();
        lines.any(|line| line.name() == "handle_errors")
    };
    let handling: Vec<bool> = sites.iter().map(handles).collect();
    if !handling.contains(&true) {
        return;
    }
    let mut budget = MAX_OTHER_ERRORS;
    let mut found: Vec<(usize, u16, usize, Vec<Address>)> = Vec::new();
    let ports: BTreeSet<u16> = config
        .sites
        .iter()
        .flat_map(|site| &site.addresses)
        .map(|address| address.listens(&config.options.ports))
        .collect();
    for port in ports {
        let mine = config.listening(port);
        let order = sorted(&mine);
        let others: Vec<usize> = order.iter().copied().filter(|at| handling[*at]).collect();
        for at in order.iter().filter(|at| !handling[**at]) {
            for other in &others {
                let own = mine.iter().filter(|(index, _, _)| index == other);
                let addresses = own.map(|(_, _, address)| (*address).clone()).collect();
                found.push((*at, port, *other, addresses));
            }
            if found.len() > budget {
                return;
            }
        }
    }
    for (at, port, other, addresses) in found {
        let lines = sites[other].children();
        let Some(rest) = budget.checked_sub(lines.len()) else {
            return;
        };
        budget = rest;
        let handlers = std::mem::take(&mut config.sites[at].handlers);
        let builder = Builder::new(&config.options, named);
        config.sites[at].handlers = builder.other(handlers, port, addresses, lines);
    }
}

/// Whether a file's top level holds directives in place of sites.
fn is_fragment(sites: &[Directive]) -> bool {
    sites.first().is_some_and(|site| {
        let name = site.name();
        name.starts_with('@') || Order::is_default(name) || order::SETTINGS.contains(&name)
    })
}

/// Reads the `tls` of a site.
fn certificates(lines: &[Directive]) -> Certificates {
    let mut found = Certificates::Automatic;
    for line in lines.iter().filter(|line| line.name() == "tls") {
        let has = |name: &str| line.children().iter().any(|option| option.name() == name);
        found = if has("on_demand") {
            Certificates::OnDemand
        } else if line.args().len() == 2 || has("load") || has("get_certificate") {
            Certificates::Loaded
        } else {
            Certificates::Explicit
        };
    }
    found
}

/// Reads `servers [listener] { … }`.
fn server_options(line: &Directive, options: &mut Options) {
    let port = line.arg(0).map(|address| {
        address
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok())
    });
    let mut own = ServerOptions {
        // An address without a port is none that a site listens on.
        port: port.map(|port| port.unwrap_or(0)),
        protocols: None,
        redirects: None,
        strict: None,
    };
    // 2.6 and before: `protocol { experimental_http3 }`, which is no list of protocols.
    for option in line.children() {
        match option.name() {
            "protocols" => {
                let names = option.args().iter().map(|word| word.text.clone());
                own.protocols = Some((option.head, names.collect()));
            }
            "trusted_proxies" => options.trust.read(option.args()),
            "strict_sni_host" if option.arg(0).is_none_or(|word| word == "on") => {
                own.strict = Some(option.head);
            }
            "listener_wrappers" => {
                let mut wrappers = option.children().iter();
                let wrapper = wrappers.find(|wrapper| wrapper.name() == "http_redirect");
                own.redirects = own.redirects.or(wrapper.map(|wrapper| wrapper.head));
            }
            _ => {}
        }
    }
    options.listeners.push(own);
}

fn read_options(block: &Directive, options: &mut Options) {
    // Where the environment decides, by the default that is written.
    let port = |word: Option<&Word>| word.and_then(|word| word.text.parse().ok());
    for line in block.children() {
        match line.name() {
            "http_port" => {
                options.ports.http = port(line.args().first()).unwrap_or(options.ports.http)
            }
            "https_port" => {
                options.ports.https = port(line.args().first()).unwrap_or(options.ports.https)
            }
            "auto_https" => {
                options.auto_https_line = Some(line.head);
                if line.conditional {
                    // It may be off.
                    options.auto_https = AutoHttps::Off;
                    continue;
                }
                for word in line.args() {
                    match word.text.as_str() {
                        "off" => options.auto_https = AutoHttps::Off,
                        "disable_redirects" => options.auto_https = AutoHttps::NoRedirects,
                        "disable_certs" => options.no_certificates = true,
                        _ => {}
                    }
                }
            }
            "servers" => {
                server_options(line, options);
                options.servers.push(line.clone());
            }
            "default_sni" | "fallback_sni" => options.fallback_sni = true,
            "on_demand_tls" => options.on_demand = true,
            "order" if line.conditional => options.order.certain = false,
            "order" => options.order.apply(line),
            _ => {}
        }
    }
}

/// Paths that a Caddyfile imports, as tails for the project's loader.
pub fn references(source: &Source) -> Vec<String> {
    let text = &source.text;
    let mut tails = Vec::new();
    for at in memchr::memmem::find_iter(text.as_bytes(), b"import") {
        let before = text[..at]
            .rfind('\n')
            .map_or(&text[..at], |line| &text[line + 1..at]);
        if !before.trim().is_empty() {
            continue;
        }
        let line = text[at + 6..].lines().next().unwrap_or_default();
        if !line.starts_with([' ', '\t']) {
            continue;
        }
        let Some(target) = line.split_whitespace().next() else {
            continue;
        };
        let target = target.trim_matches(['"', '`']);
        let is_snippet = !target.contains(['/', '.', '*']) && text.contains(&format!("({target})"));
        if is_snippet || target.contains(['{', '}', '$']) || target.starts_with('(') {
            continue;
        }
        let parts: Vec<&str> = target
            .split('/')
            .filter(|part| !matches!(*part, "" | "." | ".."))
            .collect();
        // Of an absolute path only the end can lie in the project.
        let from = if target.starts_with('/') {
            parts.len().saturating_sub(2)
        } else {
            0
        };
        if !parts.is_empty() {
            tails.push(parts[from..].join("/"));
        }
    }
    tails.sort();
    tails.dedup();
    tails
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(files: &[(&str, &str)]) -> Model {
        Model::resolve(&Project::in_memory(files.iter().copied()).expect("project"))
    }

    fn addresses(model: &Model) -> Vec<String> {
        let sites = model.configs.iter().flat_map(|config| &config.sites);
        let addresses = sites.flat_map(|site| &site.addresses);
        addresses.map(|address| address.text.clone()).collect()
    }

    #[test]
    fn what_another_file_imports_is_no_configuration_of_its_own() {
        let model = resolve(&[
            ("Caddyfile", "import sites/*.caddy\n"),
            ("sites/a.caddy", "a.test {\n\trespond x\n}\n"),
            ("sites/b.caddy", "b.test, http://b.test {\n\trespond x\n}\n"),
        ]);
        assert_eq!(model.configs.len(), 1);
        assert_eq!(addresses(&model), ["a.test", "b.test", "http://b.test"]);
    }

    #[test]
    fn sites_do_without_braces_and_share_named_routes() {
        let model = resolve(&[("Caddyfile", "localhost:8080\n\nreverse_proxy app:1\n")]);
        assert_eq!(addresses(&model), ["localhost:8080"]);
        assert_eq!(model.configs[0].sites[0].handlers.proxies().count(), 1);
        let file =
            "&(app) {\n\treverse_proxy app:1\n}\n:80 {\n\tinvoke app\n}\n:81 {\n\tinvoke app\n}\n";
        let model = resolve(&[("Caddyfile", file)]);
        let proxies = model.configs[0]
            .sites
            .iter()
            .map(|site| site.handlers.proxies().count());
        assert_eq!(proxies.collect::<Vec<_>>(), [1, 1]);
    }

    #[test]
    fn global_options_are_read() {
        let file = "{\n\thttp_port 8080\n\thttps_port 8443\n\tauto_https disable_redirects\n\torder respond first\n}\n:80 {\n}\n";
        let options = &resolve(&[("Caddyfile", file)]).configs[0].options;
        assert_eq!((options.ports.http, options.ports.https), (8080, 8443));
        assert_eq!(options.auto_https, AutoHttps::NoRedirects);
        assert_eq!(options.order.position("respond"), Some(0));
    }

    #[test]
    fn a_syntax_error_leaves_the_rest() {
        let file = "a.test {\n\treverse_proxy app:1 {}\n}\nb.test {\n\trespond x\n}\n";
        let model = resolve(&[("Caddyfile", file)]);
        assert_eq!(addresses(&model), ["a.test", "b.test"]);
        assert!(!model.undecided.is_empty());
        let partial = model.configs[0]
            .sites
            .iter()
            .map(|site| site.handlers.partial);
        assert_eq!(partial.collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn references_are_tails_of_imported_files() {
        let text = "(common) {\n}\nimport common\nimport sites/*.caddy\n:80 {\n\timport ../ws.conf 1\n\
                    \timport /etc/caddy/parts/tls.conf\n\timport {$X}\n\t# import no.conf\n\timportant x/y\n}\n";
        let files = [("Caddyfile", text)];
        let project = Project::in_memory(files).expect("project");
        let source = project.by_path("Caddyfile").expect("a source");
        assert_eq!(
            references(source),
            ["parts/tls.conf", "sites/*.caddy", "ws.conf"]
        );
    }
}
