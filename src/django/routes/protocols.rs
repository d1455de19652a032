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
        at = match behind(call) {
            Some(inner) => inner.clone(),
            None => certain(call.positional.first()?)?.clone(),
        };
    }
    None
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
