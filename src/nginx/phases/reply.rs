//! What becomes of an upstream's 101 on its way back: the status that `error_page` keeps, and
//! headers that are hidden or added.

use super::walk::Walk;
use super::{Module, What};
use crate::handshake::Reply;
use crate::nginx::model::ItemId;
use crate::value::Value;

/// Headers of the 101 that a browser must find as the upstream sent them (RFC 6455, 4.1). nginx
/// writes Connection itself.
const OF_HANDSHAKE: &[&str] = &["Upgrade", "Sec-WebSocket-Accept"];

fn is_of_handshake(name: &str) -> bool {
    OF_HANDSHAKE
        .iter()
        .any(|header| header.eq_ignore_ascii_case(name))
}

impl Walk<'_, '_> {
    /// What becomes of a 101, and by which directive.
    pub(super) fn reply(&mut self, module: Module) -> (Reply, Option<ItemId>) {
        if let Some((status, item)) = self.err_status
            && status != 101
        {
            self.note(
                item,
                What::Reply,
                format!("the client gets {status} in place of a 101"),
            );
            let status = Some(status);
            return (Reply::Replaced { status }, Some(item));
        }
        let hides = match module {
            Module::Proxy => "proxy_hide_header",
            Module::Uwsgi => "uwsgi_hide_header",
            Module::Scgi => "scgi_hide_header",
            Module::Fastcgi | Module::Grpc => return (Reply::Replaced { status: None }, None),
        };
        let view = self.view;
        let block = self.scope.location;
        let hidden = view.setting(block, hides).items.into_iter().find(|item| {
            let name = view.directive(*item).arg(0);
            name.is_some_and(is_of_handshake)
        });
        if let Some(item) = hidden.or_else(|| self.cleared(block)) {
            self.note(
                item,
                What::Reply,
                "a browser refuses a 101 without this header",
            );
            return (Reply::Spoiled, Some(item));
        }
        self.added(block)
    }

    /// `more_clear_headers` and `more_set_headers` of the headers-more module: outer levels count
    /// as well.
    fn cleared(&self, block: ItemId) -> Option<ItemId> {
        let view = self.view;
        let mut items = view
            .outward(block)
            .flat_map(|level| view.level(level).settings.iter().copied());
        items.find(|item| {
            let directive = view.directive(*item);
            let mut args = directive.args().iter().map(|word| word.text.as_str());
            match directive.name() {
                "more_clear_headers" => args.any(|name| {
                    let prefix = name.strip_suffix('*');
                    is_of_handshake(name)
                        || prefix.is_some_and(|prefix| {
                            let matches = |header: &&str| {
                                header
                                    .get(..prefix.len())
                                    .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
                            };
                            OF_HANDSHAKE.iter().any(matches)
                        })
                }),
                "more_set_headers" => args.any(|line| {
                    let name = line.split(':').next().unwrap_or_default();
                    name.eq_ignore_ascii_case("Sec-WebSocket-Accept")
                }),
                _ => false,
            }
        })
    }

    /// `add_header`: on a 101 only with `always` (ngx_http_headers_filter).
    fn added(&mut self, block: ItemId) -> (Reply, Option<ItemId>) {
        let view = self.view;
        for item in view.setting(block, "add_header").items {
            let directive = view.directive(item);
            let [name, value, always] = directive.args() else {
                continue;
            };
            let protocol = name.text.eq_ignore_ascii_case("Sec-WebSocket-Protocol");
            if always.text != "always" || !(protocol || is_of_handshake(&name.text)) {
                continue;
            }
            if self.scope.word(value) == Value::Known(String::new()) {
                continue;
            }
            if protocol {
                let why = "only a client that asks for just this subprotocol accepts the 101";
                self.note(item, What::Reply, why);
                return (
                    Reply::Undecided {
                        why: why.to_owned(),
                    },
                    Some(item),
                );
            }
            self.note(
                item,
                What::Reply,
                "a browser refuses a 101 with two of these headers",
            );
            return (Reply::Spoiled, Some(item));
        }
        (Reply::Intact, None)
    }
}
