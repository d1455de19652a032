//! Channels' ProtocolTypeRouter: which application takes which protocol.

use std::sync::Arc;

use super::walk::Walk;
use super::{MAX_WRAPPERS, WebSocket};
use crate::django::data::{Call, Data, Dictionary, Possible, certain};
use crate::django::mounts::behind;
use crate::source::Span;

/// The call of ProtocolTypeRouter in a value, through wrappers.
pub(in crate::django) fn protocol_router(possible: &Possible) -> Option<(Arc<Call>, Span)> {
    let mut at = possible.clone();
    for _ in 0..MAX_WRAPPERS {
        let Data::Call(call) = &at.data else {
            return None;
        };
        if is_a(&call.function.data, "ProtocolTypeRouter") {
            return Some((call.clone(), at.span));
        }
        if is_graphql(&call.function.data) {
            return Some((Arc::new(graphql(call, at.span)), at.span));
        }
        at = match behind(call) {
            Some(inner) => inner.clone(),
            None => certain(call.positional.first()?)?.clone(),
        };
    }
    None
}

/// Whether a function is Strawberry's router, which makes its own routes.
fn is_graphql(function: &Data) -> bool {
    let symbol = function.symbol();
    symbol.starts_with("strawberry.channels.") && symbol.ends_with(".GraphQLProtocolTypeRouter")
}

/// The ProtocolTypeRouter that Strawberry's router is (strawberry/channels/router.py): WebSockets
/// at `url_pattern`, and the rest of HTTP to `django_application`.
fn graphql(call: &Call, span: Span) -> Call {
    let literal = |data| Possible::literal(data, span);
    let external = |name: &str| Data::External(name.into());
    let pattern = call.argument(2, "url_pattern").cloned().unwrap_or_else(|| {
        vec![match call.complete {
            true => literal(Data::text("^graphql")),
            false => Possible::unknown("it is computed", span),
        }]
    });
    let consumer = external("strawberry.channels.GraphQLWSConsumer");
    let consumer = Call::new(
        literal(Data::attribute(consumer, "as_asgi")),
        Vec::new(),
        Vec::new(),
        true,
    );
    let consumer = vec![literal(Data::call(consumer))];
    let route = literal(external("django.urls.re_path"));
    let route = Call::new(route, vec![pattern, consumer], Vec::new(), true).at(vec![span, span]);
    let routes = Data::sequence(false, vec![vec![literal(Data::call(route))]], true);
    let router = literal(external("channels.routing.URLRouter"));
    let router = Call::new(router, vec![vec![literal(routes)]], Vec::new(), true);
    let http = call.argument(1, "django_application").cloned();
    let http = http.unwrap_or_else(|| vec![literal(external("strawberry.channels"))]);
    let protocols = vec![
        (literal(Data::text("http")), http),
        (
            literal(Data::text("websocket")),
            vec![literal(Data::call(router))],
        ),
    ];
    let protocols = vec![vec![literal(Data::dictionary(protocols, true))]];
    let function = literal(external("channels.routing.ProtocolTypeRouter"));
    Call::new(function, protocols, Vec::new(), true)
}

/// Whether a function is the class of that name in Channels, or a subclass of it.
pub(in crate::django) fn is_a(function: &Data, name: &str) -> bool {
    let mut at = function.clone();
    for _ in 0..MAX_WRAPPERS {
        match at {
            Data::External(path) => return path.rsplit('.').next() == Some(name),
            Data::Class(class) => match class.bases.first().and_then(|base| certain(base)) {
                Some(base) => at = base.data.clone(),
                None => return false,
            },
            _ => return false,
        }
    }
    false
}

/// What the router makes of `http`.
fn http(router: &Call) -> Option<&Possible> {
    let (_, values) = mapping(router)?.get("http")?;
    certain(values)
}

fn mapping(router: &Call) -> Option<&Dictionary> {
    let values = router.argument(0, "application_mapping")?;
    match &certain(values)?.data {
        Data::Dictionary(protocols) => Some(protocols),
        _ => None,
    }
}

pub(super) fn serves_django(router: &Call) -> bool {
    http(router).is_some_and(|value| match &value.data {
        Data::Call(call) => is_django(call),
        _ => false,
    })
}

pub(super) fn protocols(router: &Call) -> Vec<(String, Span)> {
    let Some(protocols) = mapping(router) else {
        return Vec::new();
    };
    protocols
        .pairs
        .iter()
        .filter_map(|(key, _)| Some((key.data.as_text()?.to_owned(), key.span)))
        .collect()
}

pub(super) fn socketio(router: &Call) -> Option<Span> {
    let value = http(router)?;
    match &value.data {
        Data::Call(call) if call.function.data.symbol() == "socketio.ASGIApp" => Some(value.span),
        _ => None,
    }
}

/// Whether a call makes Django's own ASGI application.
pub(super) fn is_django(call: &Call) -> bool {
    matches!(
        call.function.data.symbol().as_str(),
        "django.core.asgi.get_asgi_application" | "configurations.asgi.get_asgi_application"
    )
}

/// Follows what takes a handshake with `application`.
pub(super) fn follow<'a>(
    router: &Call,
    sure: bool,
    walk: &mut Walk<'a>,
    application: impl Fn(&mut Walk<'a>, &Possible, bool) -> WebSocket,
) -> WebSocket {
    let Some(protocols) = mapping(router) else {
        walk.lost(&router.function);
        return WebSocket::Unknown;
    };
    let Some((_, values)) = protocols.get("websocket") else {
        if protocols.complete {
            return WebSocket::Nothing;
        }
        walk.lost(&router.function);
        return WebSocket::Unknown;
    };
    let mut kind = WebSocket::Unknown;
    for value in values {
        kind = application(walk, value, sure && values.len() == 1);
    }
    match values.as_slice() {
        [_] => kind,
        [first, ..] => {
            walk.lost(first);
            WebSocket::Unknown
        }
        [] => WebSocket::Unknown,
    }
}
