//! The way from what takes the protocol `websocket` through wrappers and nested routers to the
//! consumers.

use std::collections::HashMap;
use std::collections::hash_map::Entry::{Occupied, Vacant};
use std::sync::Arc;

use super::patterns::{pattern, pattern_function};
use super::protocols::{follow, is_a, is_django, protocol_router};
use super::{Gap, Level, MAX_ROUTES, MAX_WRAPPERS, Misuse, MisuseKind, Route, WebSocket, connect};
use crate::django::data::{Call, Data, Possible, certain};
use crate::django::evaluate::Program;
use crate::source::Span;

/// A walk through nested routers.
pub(super) struct Walk<'a> {
    program: &'a Program<'a>,
    application: usize,
    routes: &'a mut Vec<Route>,
    misuses: &'a mut Vec<Misuse>,
    levels: Vec<Level>,
    target: Option<Possible>,
    wrappers: Vec<Possible>,
    gap: Option<Gap>,
}

/// What a router's entry leads to, through its wrappers.
struct Unwrapped {
    /// What is inside.
    inner: Possible,
    /// The wrappers, the outermost first.
    wrappers: Vec<Possible>,
}

/// What one can do about it.
const HINT: &str = "a list of routes that is written out can be";

/// Why nothing is known of what a value leads to.
fn reason(data: &Data) -> String {
    match data {
        Data::Unknown(why) => why.to_string(),
        Data::External(name) => format!(
            "`{name}` is of a package outside the project; try its routes on the running server"
        ),
        Data::Call(_) | Data::Attribute(_) => match data.symbol() {
            name if name.is_empty() => format!("it is computed; {HINT}"),
            name => format!("what `{name}` gives is not followed; {HINT}"),
        },
        _ => format!("it is no list of routes that can be read; {HINT}"),
    }
}

fn unwrap(value: &Possible) -> Unwrapped {
    let mut inner = value.clone();
    let mut wrappers = Vec::new();
    for _ in 0..MAX_WRAPPERS {
        let Data::Call(call) = &inner.data else { break };
        let symbol = call.function.data.symbol();
        if is_a(&call.function.data, "URLRouter")
            || symbol.ends_with("as_asgi")
            || symbol.ends_with("as_view")
        {
            break;
        }
        let argument = call.positional.first().or_else(|| {
            ["inner", "app", "application"]
                .iter()
                .find_map(|name| call.keyword(name))
        });
        let Some(argument) = argument.and_then(|values| certain(values)) else {
            break;
        };
        let argument = argument.clone();
        let outer = std::mem::replace(&mut inner, argument);
        wrappers.push(outer);
    }
    Unwrapped { inner, wrappers }
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        program: &'a Program<'a>,
        application: usize,
        routes: &'a mut Vec<Route>,
        misuses: &'a mut Vec<Misuse>,
    ) -> Self {
        Self {
            program,
            application,
            routes,
            misuses,
            levels: Vec::new(),
            target: None,
            wrappers: Vec::new(),
            gap: None,
        }
    }

    /// What stands behind the wrappers, these, and where the walk ended for lack of knowledge.
    pub(super) fn found(self) -> (Option<Possible>, Vec<Possible>, Option<Gap>) {
        (self.target, self.wrappers, self.gap)
    }

    /// The walk ends at `value` without knowing what follows; the first such place is kept.
    pub(super) fn lost(&mut self, value: &Possible) -> bool {
        self.lost_at(value.span, reason(&value.data))
    }

    fn lost_at(&mut self, span: Span, why: String) -> bool {
        self.gap.get_or_insert(Gap { span, why });
        false
    }

    /// Follows what serves the websocket protocol.
    pub(super) fn application(&mut self, value: &Possible, sure: bool) -> WebSocket {
        self.followed(value, sure, 0)
    }

    fn followed(&mut self, value: &Possible, sure: bool, depth: usize) -> WebSocket {
        // A function hands its scope to a router of its own.
        if let Some((router, _)) = protocol_router(value)
            && depth < MAX_WRAPPERS
        {
            return follow(&router, sure, self, |walk, value, sure| {
                walk.followed(value, sure, depth + 1)
            });
        }
        let unwrapped = unwrap(value);
        self.wrappers = unwrapped.wrappers;
        self.target = Some(unwrapped.inner.clone());
        match &unwrapped.inner.data {
            Data::Call(call) if is_a(&call.function.data, "URLRouter") => {
                if self.router(call, unwrapped.inner.span, sure) {
                    WebSocket::Routed
                } else {
                    WebSocket::Unknown
                }
            }
            Data::Call(call) if call.function.data.symbol().ends_with(".as_asgi") => {
                WebSocket::Everything
            }
            // An application of the project's own, which does as it likes.
            Data::Function(_) => WebSocket::Everything,
            Data::Call(call) if is_django(call) => WebSocket::Django,
            Data::Sequence(_) if sure => {
                self.misused(MisuseKind::List, unwrapped.inner.span, value.span);
                WebSocket::Unknown
            }
            _ => {
                self.lost(&unwrapped.inner);
                WebSocket::Unknown
            }
        }
    }

    fn misused(&mut self, kind: MisuseKind, span: Span, router: Span) {
        if self
            .misuses
            .iter()
            .all(|misuse| (misuse.span, misuse.kind) != (span, kind))
            && self.misuses.len() < MAX_ROUTES
        {
            self.misuses.push(Misuse {
                kind,
                span,
                router,
                application: self.application,
            });
        }
    }

    /// Follows a router's routes; false if some of them can't be seen.
    fn router(&mut self, call: &Call, at: Span, sure: bool) -> bool {
        let Some(lists) = call.argument(0, "routes") else {
            return self.lost_at(at, format!("its argument is computed; {HINT}"));
        };
        if let Some(given) = certain(lists).filter(|_| sure) {
            let kind = match &given.data {
                Data::Module(_) => Some(MisuseKind::Module),
                Data::Call(call) => pattern_function(call).map(|_| MisuseKind::Route),
                Data::Sequence(list) if list.complete && list.items.is_empty() => {
                    Some(MisuseKind::Empty)
                }
                _ => None,
            };
            if let Some(kind) = kind {
                let place = call.places.first().copied().unwrap_or(given.span);
                self.misused(kind, place, at);
            }
        }
        let mut complete = true;
        // An entry that every alternative of the list holds is surely there.
        let mut entries: Vec<(&Possible, usize)> = Vec::new();
        let mut places: HashMap<Span, usize> = HashMap::new();
        for list in lists {
            let Data::Sequence(sequence) = &list.data else {
                complete = self.lost(list);
                continue;
            };
            if !sequence.complete {
                complete = self.lost_at(
                    list.span,
                    "some of the list is computed; what is written out of it is checked".to_owned(),
                );
            }
            for item in &sequence.items {
                for entry in item {
                    let held = usize::from(item.len() == 1);
                    match places.entry(entry.span) {
                        Occupied(at) => entries[*at.get()].1 += held,
                        Vacant(at) => {
                            at.insert(entries.len());
                            entries.push((entry, held));
                        }
                    }
                }
            }
        }
        for (entry, held) in entries {
            if self.routes.len() >= MAX_ROUTES || self.levels.len() >= MAX_WRAPPERS {
                return self.lost_at(entry.span, "there are too many of them".to_owned());
            }
            complete &= self.entry(entry, at, sure && held >= lists.len());
        }
        complete
    }

    fn entry(&mut self, entry: &Possible, router: Span, sure: bool) -> bool {
        let Data::Call(call) = &entry.data else {
            return self.lost(entry);
        };
        let Some((function, called)) = pattern_function(call) else {
            return self.lost(entry);
        };
        let Some((pattern, span)) = pattern(call, function) else {
            let at = call.places.first().copied().unwrap_or(entry.span);
            return self.lost_at(
                at,
                "the files do not say what this pattern is; a pattern that is written out can be"
                    .to_owned(),
            );
        };
        let view = call
            .argument(1, "view")
            .and_then(|values| certain(values))
            .cloned();
        let unwrapped = view.as_ref().map(unwrap);
        let inner = unwrapped
            .as_ref()
            .and_then(|unwrapped| match &unwrapped.inner.data {
                Data::Call(call) if is_a(&call.function.data, "URLRouter") => {
                    Some((call.clone(), unwrapped.inner.span))
                }
                _ => None,
            });
        let includes = view.as_ref().is_some_and(|view| match &view.data {
            Data::Call(call) => matches!(
                call.function.data.symbol().as_str(),
                "django.urls.include" | "django.conf.urls.include"
            ),
            _ => false,
        });
        if includes {
            if sure {
                self.misused(MisuseKind::Include, entry.span, router);
            }
            return false;
        }
        let wrapper = unwrapped.and_then(|unwrapped| {
            let wrapper = unwrapped.wrappers.into_iter().next()?;
            match &wrapper.data {
                Data::Call(call) => Some((call.function.data.symbol(), wrapper.span)),
                _ => None,
            }
        });
        let nested = inner.is_some();
        self.levels.push(Level {
            function,
            called,
            pattern,
            span,
            endpoint: !nested || wrapper.is_some(),
            wrapper: wrapper.filter(|_| nested),
            regex: Arc::default(),
        });
        let complete = match inner {
            Some((inner, at)) => self.router(&inner, at, sure),
            None => {
                self.routes.push(Route {
                    levels: self.levels.clone(),
                    connect: connect(self.program, view.as_ref()),
                    consumer: view,
                    place: call.places.get(1).copied().unwrap_or(entry.span),
                    span: entry.span,
                    application: self.application,
                    certain: sure,
                });
                true
            }
        };
        self.levels.pop();
        complete
    }
}
