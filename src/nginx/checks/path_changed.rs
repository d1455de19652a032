//! `nginx/path-changed`: the URI in `proxy_pass` makes another path of the client's, surely not
//! the one that was meant.

use super::{Causes, Place, upgrading};
use crate::context::Context;
use crate::finding::Report;
use crate::handshake::{Endpoint, Evidence, endpoints};
use crate::nginx::location::Matcher;
use crate::nginx::model::{Context as Block, ItemId, ROOT};
use crate::nginx::words::variables;
use crate::project::Declared;

/// What is wrong with the path that the upstream is asked for.
enum Wrong {
    /// A slash from either side of the joint.
    Doubled,
    /// The words at the joint are one.
    Glued,
    /// Socket.IO's own prefix is gone.
    Stripped,
    /// All requests ask for one path, without a query.
    Fixed,
    /// The query is gone.
    Query,
}

/// Reports every route whose upstream is asked for a path that nobody can have meant.
pub fn check(cx: &Context<'_>, report: &mut Report<'_>) {
    let mut causes = Causes::default();
    for place in upgrading(cx) {
        let Some((wrong, path, sent)) = judge(&place) else {
            continue;
        };
        let location = place.name();
        let (message, label, note) = match wrong {
            Wrong::Doubled => (
                format!("`{path}` reaches the upstream as `{sent}`, with a doubled slash"),
                "this URI ends in a slash, and so begins what follows it",
                "nginx puts the URI in place of what the location matched, byte for byte, and leaves the slash that comes after it; an application has no route for the doubled one",
            ),
            Wrong::Glued => (
                format!("`{path}` reaches the upstream as `{sent}`, in one word"),
                "no slash at its end",
                "nginx puts the URI in place of what the location matched, byte for byte: the slash at the end of the location is gone, and nothing stands between the two",
            ),
            Wrong::Stripped => (
                format!(
                    "`{path}` reaches the upstream as `{sent}`, without the path by which it knows its clients"
                ),
                "replaces the path of the location",
                "the server of Socket.IO takes what begins with its own path and leaves the rest to the application, which answers 404",
            ),
            Wrong::Fixed => (
                format!(
                    "every request to {location} asks the upstream for `{sent}`, without its own path and query"
                ),
                "a URI beside a variable is all that is sent",
                "with a variable in `proxy_pass` nginx takes its URI as the whole request, and does not put it in place of what the location matched",
            ),
            Wrong::Query => (
                format!("the query of `{path}` does not reach the upstream"),
                "no `$is_args$args` behind the path",
                "with a variable in `proxy_pass` nginx takes its URI as the whole request, and `$uri` is the path alone; `EIO` and `transport` are missing, and the server answers 400",
            ),
        };
        let Some(word) = place.view.directive(place.route.pass).args().first() else {
            continue;
        };
        let route = (place.head(place.location()), "for this path".to_owned());
        causes.add(word.span, Some(route), || {
            let finding = report.finding(message, word.span, label).note(note);
            let end = authority_end(&word.text).unwrap_or(word.text.len());
            let written = &word.text[..end];
            // Behind a variable the whole request is written out.
            let whole = match wrong {
                Wrong::Fixed | Wrong::Query => "$request_uri",
                _ => "",
            };
            place.because(finding).help(format!(
                "write instead, to pass the path on as the client sent it:\n{}proxy_pass {written}{whole};",
                place.indent(place.route.pass)
            ))
        });
    }
    causes.report(report);
}

/// What is wrong at a place, the path that a client asks for, and the one that is sent
/// (ngx_http_proxy_module.c, ngx_http_proxy_create_request).
fn judge(place: &Place<'_>) -> Option<(Wrong, String, String)> {
    let view = place.view;
    let location = &view.config.locations[place.route.location as usize];
    let directive = view.directive(place.route.pass);
    let word = directive.args().first()?;
    if directive.name() != "proxy_pass" || word.templated || is_rewritten(place) {
        return None;
    }
    let uri = &word.text[authority_end(&word.text)?..];
    if uri.is_empty() {
        return None;
    }
    let known = known(place);
    let (own, exact) = match &location.matcher {
        Matcher::Exact(path) => (path.as_str(), true),
        Matcher::Prefix { path, .. } => (path.as_str(), false),
        _ => return None,
    };
    let socket_io = software(place);
    if word.text.contains('$') {
        let names = variables(uri);
        if uri.contains('$') {
            // What an unknown variable holds may be all of it.
            let bare = names == ["uri"] && uri == "$uri";
            let loses = bare && socket_io.is_some();
            return loses.then(|| (Wrong::Query, own.to_owned(), own.to_owned()));
        }
        // A location for whatever lies below it, and a URI that is meant to go on.
        let below = !exact && own.ends_with('/') && uri.ends_with('/');
        let other = known.iter().any(|path| path != uri);
        return (below && (known.is_empty() || other) || socket_io.is_some())
            .then(|| (Wrong::Fixed, own.to_owned(), uri.to_owned()));
    }
    if exact || uri.contains('?') {
        return None;
    }
    if let Some(endpoint) = socket_io
        && uri == "/"
        && own
            .trim_end_matches('/')
            .ends_with(endpoint.path.trim_end_matches('/'))
    {
        let path = if own.ends_with('/') {
            own.to_owned()
        } else {
            format!("{own}/")
        };
        let sent = format!("{uri}{}", &path[own.len()..]);
        return Some((Wrong::Stripped, path, sent));
    }
    // Which clients come is known, or else the slash at the end says that they go on below.
    let paths = if known.is_empty() && own.ends_with('/') && own.len() > 1 {
        vec![format!("{own}chat")]
    } else {
        known
    };
    paths.into_iter().find_map(|path| {
        let rest = path.strip_prefix(own)?;
        let sent = format!("{uri}{rest}");
        let doubled = uri.ends_with('/') && rest.starts_with('/');
        let glued = own.ends_with('/') && !uri.ends_with('/') && !rest.is_empty();
        let wrong = match (doubled, glued) {
            (true, _) => Wrong::Doubled,
            (_, true) => Wrong::Glued,
            _ => return None,
        };
        Some((wrong, path, sent))
    })
}

/// The paths that clients are known to open here.
fn known(place: &Place<'_>) -> Vec<String> {
    let mut paths: Vec<String> = place
        .route
        .evidence
        .iter()
        .filter_map(|evidence| match evidence {
            Evidence::Declared { endpoint } => {
                let declared = Declared {
                    endpoint: endpoint.clone(),
                    span: None,
                };
                Some(declared.path().to_owned())
            }
            _ => None,
        })
        .collect();
    if let (true, Some(endpoint)) = (paths.is_empty(), software(place)) {
        let location = &place.view.config.locations[place.route.location as usize];
        if let Matcher::Prefix { path, .. } = &location.matcher
            && !path.ends_with('/')
            && endpoint.path.ends_with('/')
        {
            paths.push(format!("{path}/"));
        }
    }
    paths
}

/// Socket.IO or what it is built on, whose clients send a query to a path of its own.
fn software(place: &Place<'_>) -> Option<&'static Endpoint> {
    place
        .route
        .evidence
        .iter()
        .find_map(|evidence| match evidence {
            Evidence::WellKnown { software, .. } => endpoints().iter().find(|known| {
                known.software == software && matches!(known.path, "/socket.io/" | "/engine.io/")
            }),
            _ => None,
        })
}

/// Whether something else changes the path before, so that the URI does not count or joins to
/// another one.
fn is_rewritten(place: &Place<'_>) -> bool {
    let view = place.view;
    let rewrites = |level| {
        let names = |item: &ItemId| matches!(view.directive(*item).name(), "rewrite" | "break");
        view.level(level).rewrites.iter().any(|item| {
            names(item)
                || (view.context(*item) == Block::If
                    && view.level(*item).rewrites.iter().any(names))
        })
    };
    let changes = |level: ItemId| {
        let found = view.level(level);
        found.unseen.is_some()
            || found.conditional
            || found.try_files.is_some()
            || found.scripted
            || found.internal
            || rewrites(level)
    };
    place.route.block != place.location()
        || view
            .outward(place.location())
            .filter(|level| *level != ROOT && view.context(*level) != Block::Http)
            .any(changes)
}

/// Where the address of a URL ends.
fn authority_end(url: &str) -> Option<usize> {
    let start = url.find("://")? + 3;
    let rest = &url[start..];
    if let Some(socket) = rest.strip_prefix("unix:") {
        let end = socket
            .find(':')
            .map_or(rest.len(), |at| "unix:".len() + at + 1);
        return Some(start + end);
    }
    Some(start + rest.find(['/', '?']).unwrap_or(rest.len()))
}
