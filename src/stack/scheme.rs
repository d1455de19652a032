//! What Django is told of the client's scheme, through the proxies of the project.
//!
//! Requests of a client that uses TLS are sent through every way in. Where one reaches an
//! application of Django, the header that its settings trust either says so, or does not: then a
//! hop on the way dropped it, overwrote it with the scheme of its own connection, or never set it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Stack;
use super::ways::{self, Reached};
use crate::context::Context;
use crate::django::settings::{Redirects, Settings};
use crate::django::trusted_header::{
    Header as Trusted, SERVERS_WORD, header, meta_name, never, sent_name,
};
use crate::django::{Https, Spared};
use crate::handshake::{Header, Outcome, Peer, Request};
use crate::source::{SourceId, Span};
use crate::trace::{Asked, Run, Step, Tracer, Way};

/// Paths that are asked for: real projects have a few routes that tell of each other.
const MAX_PATHS: usize = 24;

/// Ways in that are tried for one application.
const MAX_ENTRANCES: usize = 64;

/// Pages that a project of Django has, wherever its sockets are.
const PAGES: [&str; 2] = ["/", "/admin/"];

/// A header that Django trusts, and the value that means https to it.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    /// As it is sent.
    pub(crate) header: String,
    /// What Django waits for.
    pub(crate) secure: String,
    /// Where the settings name it.
    pub(crate) name: Span,
    /// Where they give the value that they wait for.
    pub(crate) value: Span,
}

/// Who keeps the client's scheme from Django.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Culprit {
    /// A line that gives the header another value.
    Line(Span),
    /// A Caddy that believes nobody's header; the proxy, and whom it dials.
    Resets(Span, Span),
    /// A proxy that takes the header off; whom it dials.
    Drops(Span),
    /// A proxy that sees the client's TLS, or is told of it, and says nothing; whom it dials.
    Silent(Span),
}

impl Culprit {
    /// The bytes that one would change.
    pub(crate) const fn span(self) -> Span {
        match self {
            Self::Line(span) | Self::Resets(span, _) | Self::Drops(span) | Self::Silent(span) => {
                span
            }
        }
    }
}

/// An application that takes a client which uses TLS for one that does not.
#[derive(Clone, Debug)]
pub(crate) struct Mistold {
    /// Its settings.
    pub(crate) settings: SourceId,
    /// What they trust.
    pub(crate) trust: Trust,
    /// Who is to blame.
    pub(crate) culprit: Culprit,
    /// Where the same is done as well.
    pub(crate) others: Vec<Span>,
    /// What the header says; `None` where it does not arrive.
    pub(crate) says: Option<String>,
    /// Whether `X-Forwarded-Proto: https` arrives, for settings that trust another header.
    pub(crate) proto_arrives: bool,
    /// The server that ends the client's TLS; `None` where an edge does, or nothing shows who.
    pub(crate) ends_tls: Option<Span>,
    /// Whether the files show that clients use TLS.
    pub(crate) proved: bool,
    /// A page that is mistold.
    pub(crate) page: Option<String>,
    /// A handshake that is mistold.
    pub(crate) handshake: Option<String>,
    /// Whether handshakes come another way, on which they are told right.
    pub(crate) handshakes_are_right: bool,
}

/// Whether a page may come to the application of these settings; not where the proxies before it
/// send it handshakes alone.
pub(crate) fn takes_pages(cx: &Context<'_>, settings: SourceId) -> bool {
    let stack = Stack::of(cx);
    let tracer = Tracer::new(cx, &stack);
    let reached = ways::reached(cx, &stack, &tracer);
    let is_own = |hop: &usize| stack.hops[*hop].place().source == settings;
    let own = reached.iter().filter(|one| one.hops.iter().any(is_own));
    let own: Vec<_> = own.collect();
    let sockets: Vec<String> = own.iter().flat_map(|one| handshakes(cx, one)).collect();
    let entrances: Vec<_> = own.iter().flat_map(|one| &one.entrances).collect();
    if entrances.is_empty() || entrances.len() > MAX_ENTRANCES {
        return true;
    }
    entrances.into_iter().any(|(entry, entrance)| {
        let is_page = |path: &String| !sockets.iter().any(|own| own.starts_with(path.as_str()));
        let named = stack.hops[*entry].paths(entrance).into_iter();
        let named = named.filter(is_page);
        let mut pages = PAGES.map(str::to_owned).into_iter().chain(named);
        pages.any(|page| {
            let way = tracer.through(*entry, entrance, &page, Asked::PageOverTls);
            let [run, _] = &way.runs;
            let last = run.steps.last().map(|step| &step.passage.outcome);
            application(run).is_some() || matches!(last, None | Some(Outcome::Undecided { .. }))
        })
    })
}

/// Everything that is told wrong on its way through a proxy of the project.
pub(crate) fn mistold(cx: &Context<'_>) -> Vec<Mistold> {
    let trusting: HashMap<SourceId, (&Settings, Trust)> = cx
        .django
        .production()
        .filter(|settings| !settings.is_debug())
        .filter_map(|settings| Some((settings.source, (settings, trust(settings)?))))
        .collect();
    if trusting.is_empty() {
        return Vec::new();
    }
    let stack = Stack::of(cx);
    let tracer = Tracer::new(cx, &stack);
    let mut found: BTreeMap<(SourceId, Culprit), Mistold> = BTreeMap::new();
    // Applications that a client's TLS surely leads to.
    let mut proved: BTreeSet<SourceId> = BTreeSet::new();
    // Applications that handshakes reach as they should.
    let mut right: BTreeSet<SourceId> = BTreeSet::new();
    for reached in ways::reached(cx, &stack, &tracer) {
        let is_trusting = |hop: &usize| trusting.contains_key(&stack.hops[*hop].place().source);
        if !reached.hops.iter().any(is_trusting) {
            continue;
        }
        let pages = PAGES.map(|path| (path.to_owned(), Asked::PageOverTls));
        let handshakes = handshakes(cx, &reached)
            .into_iter()
            .map(|path| (path, Asked::HandshakeOverTls));
        let asked: Vec<(String, Asked)> = handshakes.chain(pages).collect();
        for (entry, entrance) in reached.entrances.iter().take(MAX_ENTRANCES) {
            for (path, asked) in &asked {
                let page = *asked == Asked::PageOverTls;
                let way = tracer.through(*entry, entrance, path, *asked);
                let [run, _] = &way.runs;
                let Some((at, step)) = application(run) else {
                    continue;
                };
                let Some((settings, trust)) = trusting.get(&step.place.source) else {
                    continue;
                };
                if run.steps[0].arrived.tls {
                    proved.insert(settings.source);
                }
                if settings.exempts(&step.arrived.path) == Some(true) {
                    continue;
                }
                let Some(one) = judge(settings, trust, &way, at) else {
                    if !page && matches!(says(&step.arrived, trust), Says::Https) {
                        right.insert(settings.source);
                    }
                    continue;
                };
                // The server's own word counts then.
                if one.says.is_none()
                    && one.proto_arrives
                    && step.arrived.peer == Peer::Local
                    && cx
                        .django
                        .servers_know_https_from(cx.project, settings, true, None)
                        != Https::Unknown
                {
                    continue;
                }
                let known = found
                    .entry((settings.source, one.culprit))
                    .or_insert_with(|| one.clone());
                if one.proved && !known.proved {
                    *known = one.clone();
                }
                if one.proved != known.proved {
                    continue;
                }
                let url = if page {
                    &mut known.page
                } else {
                    &mut known.handshake
                };
                url.get_or_insert(way.url);
            }
        }
    }
    // Where TLS is known to end somewhere, a server without it is for other clients.
    let mut told: Vec<Mistold> = Vec::new();
    let mut all: Vec<Mistold> = found
        .into_values()
        .filter(|one| one.proved || !proved.contains(&one.settings))
        .collect();
    // What pages meet is told first; the same mistake elsewhere is one cause.
    all.sort_by_key(|one| (one.settings, one.page.is_none()));
    for one in all {
        let same = |known: &&mut Mistold| {
            known.settings == one.settings
                && std::mem::discriminant(&known.culprit) == std::mem::discriminant(&one.culprit)
        };
        if let Some(known) = told.iter_mut().find(same) {
            known.others.push(one.culprit.span());
            known.page = known.page.take().or(one.page);
            known.handshake = known.handshake.take().or(one.handshake);
        } else {
            told.push(one);
        }
    }
    for one in &mut told {
        one.handshakes_are_right = one.handshake.is_none() && right.contains(&one.settings);
    }
    told
}

/// What settings trust, where that is one certain pair that can match.
fn trust(settings: &Settings) -> Option<Trust> {
    let setting = settings.get("SECURE_PROXY_SSL_HEADER");
    let Trusted::Pair { name, value } = header(setting.certain()?) else {
        return None;
    };
    let meta = name.data.as_text()?;
    // What can never match is told by a rule of its own.
    if SERVERS_WORD.contains(&meta) || never(&name, &value, |_| true).is_some() {
        return None;
    }
    Some(Trust {
        header: sent_name(meta),
        secure: value.data.as_text()?.to_owned(),
        name: name.span,
        value: value.span,
    })
}

/// Paths of handshakes: the application's routes and the endpoints; without any, what the proxies
/// name for sockets.
fn handshakes(cx: &Context<'_>, reached: &Reached<'_, '_>) -> Vec<String> {
    let routes = ways::routes(cx, reached.home, &reached.hops).into_iter();
    let endpoints = cx.project.config.endpoints.iter();
    let mut paths: Vec<String> = routes
        .map(|(path, _, _)| path)
        .chain(endpoints.map(|endpoint| endpoint.path().to_owned()))
        .take(MAX_PATHS)
        .collect();
    if paths.is_empty() {
        let nginx = cx.nginx.routes.iter().filter_map(|route| {
            let config = &cx.nginx.configs[route.config as usize];
            config.locations[route.location as usize].sample()
        });
        let caddy = cx.caddy.routes.iter().map(|route| route.path.clone());
        paths.extend(nginx.chain(caddy).take(MAX_PATHS));
    }
    paths.sort();
    paths.dedup();
    paths
}

/// The application that a run ends at, behind a proxy of the project.
fn application(run: &Run) -> Option<(usize, &Step)> {
    let at = run.steps.iter().position(|step| step.layer == "django")?;
    let through_proxy = run.steps[..at].iter().any(|step| step.layer != "edge");
    through_proxy.then(|| (at, &run.steps[at]))
}

/// What the header says in a request.
enum Says {
    Https,
    Other(String),
    Nothing,
    Unknown,
}

fn says(request: &Request, trust: &Trust) -> Says {
    // WSGI puts lines of one name under `META` in a form that ignores dashes and case.
    let mut lines = request
        .headers
        .iter()
        .filter(|line| meta_name(&line.name) == meta_name(&trust.header));
    let Some(line) = lines.next() else {
        return Says::Nothing;
    };
    let secure = |sent: &String| sent.split(',').next().map(str::trim) == Some(&*trust.secure);
    match line.value.decide(secure) {
        Some(true) => Says::Https,
        Some(false) => Says::Other(line.value.known().cloned().unwrap_or_default()),
        None => Says::Unknown,
    }
}

/// What Django, step `at` of a way, is told; `None` where nothing is wrong, or not to be known.
fn judge(settings: &Settings, trust: &Trust, way: &Way, at: usize) -> Option<Mistold> {
    let steps = &way.runs[0].steps;
    let arrived = &steps[at].arrived;
    let told = match says(arrived, trust) {
        Says::Https | Says::Unknown => return None,
        Says::Other(value) => Some(value),
        // Then the scheme of the connection counts.
        Says::Nothing if arrived.tls => return None,
        Says::Nothing => None,
    };
    let behind_edge = steps[0].layer == "edge";
    let proved = steps[0].arrived.tls;
    let first = steps.iter().position(|step| step.layer != "edge")?;
    let entered = says(&steps[first].arrived, trust);
    // Wrong from the start: the edge does not send what Django waits for.
    if matches!(entered, Says::Other(_))
        || (behind_edge && matches!(entered, Says::Nothing) && told.is_none())
    {
        return None;
    }
    // Whoever ends TLS here unseen may send what nobody takes off.
    if !proved && told.is_none() {
        return None;
    }
    let culprit = culprit(steps, at, first, trust, told.is_some())?;
    let proto = |line: &Header| {
        line.name.eq_ignore_ascii_case("X-Forwarded-Proto")
            && line.value.decide(|value| value == "https") == Some(true)
    };
    Some(Mistold {
        settings: settings.source,
        trust: trust.clone(),
        culprit,
        others: Vec::new(),
        says: told,
        proto_arrives: arrived.headers.iter().any(proto),
        ends_tls: (!behind_edge && proved)
            .then(|| steps[..at].iter().rev().find(|step| step.arrived.tls))
            .flatten()
            .map(|step| {
                step.passage
                    .because
                    .first()
                    .map_or(step.at, |first| first.span)
            }),
        proved,
        page: None,
        handshake: None,
        handshakes_are_right: false,
    })
}

/// Which of the proxies between `first` and the application `at` is to blame.
fn culprit(
    steps: &[Step],
    at: usize,
    first: usize,
    trust: &Trust,
    is_told: bool,
) -> Option<Culprit> {
    let proxies = || steps[first..at].iter();
    let dials = |step: &Step| step.followed.as_ref().map(|upstream| upstream.from);
    let of_header = |line: &&Header| meta_name(&line.name) == meta_name(&trust.header);
    if is_told {
        let line = steps[at].arrived.headers.iter().find(of_header)?;
        if let Some(span) = line.from {
            return Some(Culprit::Line(span));
        }
        let step = proxies().rev().find(|step| step.layer == "caddy")?;
        let dials = dials(step)?;
        let mut heads = step
            .passage
            .because
            .iter()
            .rev()
            .map(|because| because.span);
        let head = heads.find(|head| head.contains(dials));
        return Some(Culprit::Resets(head.unwrap_or(dials), dials));
    }
    let sends = |step: &&Step| match &step.passage.outcome {
        Outcome::Forwards { request, .. } => request.headers.iter().any(|line| of_header(&line)),
        _ => false,
    };
    let has = |step: &&Step| step.arrived.headers.iter().any(|line| of_header(&line));
    if let Some(step) = proxies().find(|step| has(step) && !sends(step)) {
        return dials(step).map(Culprit::Drops);
    }
    let ends = proxies().rev().find(|step| step.arrived.tls);
    dials(ends.or(proxies().next())?).map(Culprit::Silent)
}

/// Whether an application redirects what it takes for plain HTTP.
pub(crate) fn redirects(cx: &Context<'_>, settings: &Settings) -> Redirects {
    match cx.django.spared(cx.project, settings) {
        Spared::Everything => Redirects::No,
        _ => settings.redirects(),
    }
}

#[cfg(test)]
mod tests {
    use crate::context::Context;
    use crate::project::Project;
    use crate::stack::tests::{conf, django};
    use crate::trace::{Target, Verdict, trace};

    /// What uvicorn and gunicorn take for the scheme where they believe 127.0.0.1.
    #[test]
    fn a_server_believes_the_proxy_beside_it_wherever_it_listens() {
        let settings = "ROOT_URLCONF = 'site.urls'\nINSTALLED_APPS = ['channels']\nALLOWED_HOSTS = ['*']\nMIDDLEWARE = ['django.middleware.security.SecurityMiddleware']\nSECURE_SSL_REDIRECT = True\nSECURE_PROXY_SSL_HEADER = ('HTTP_X_SCHEME', 'https')\n";
        for (command, host, status) in [
            ("gunicorn -b 0.0.0.0:9000 site.wsgi", "127.0.0.1", None),
            ("gunicorn -b 0.0.0.0:9000 site.wsgi", "10.0.0.7", Some(301)),
            (
                "uvicorn --ws none --port 9000 --no-proxy-headers site.asgi:application",
                "127.0.0.1",
                Some(301),
            ),
        ] {
            let nginx = conf(&format!(
                "server {{ listen 443 ssl; server_name a.example; location / {{ proxy_set_header X-Forwarded-Proto $scheme; proxy_pass http://{host}:9000; }} }}"
            ));
            let start = format!("{command}\n");
            let mut files = django("");
            files.retain(|(path, _)| !path.ends_with("settings.py"));
            files.push(("site/settings.py".into(), settings.into()));
            files.push(("nginx.conf".into(), nginx));
            files.push(("start.sh".into(), start));
            files.push((
                "site/wsgi.py".into(),
                "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n".into(),
            ));
            files.push(("site/urls.py".into(), "urlpatterns = []\n".into()));
            let files = files.iter();
            let files = files.map(|(path, text)| (path.as_str(), text.as_str()));
            let project = Project::in_memory(files).expect("valid");
            let cx = Context::resolve(&project);
            let target = Target::parse("wss://a.example/x/").expect("a URL");
            let ways = trace(&cx, &target, None);
            let run = ways[0].decisive();
            assert_eq!(
                (run.verdict, run.status),
                (Verdict::Fails, status),
                "{command} {host}"
            );
        }
    }
}
