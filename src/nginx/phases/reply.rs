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

const WITHOUT: &str = "a browser refuses a 101 without this header";

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
        let block = self.scope.location;
        if let Some(item) = self.cleared(block) {
            self.note(item, What::Reply, WITHOUT);
            return (Reply::Spoiled, Some(item));
        }
        let view = self.view;
        let hidden = view.setting(block, hides).items;
        let hides = |header: &str| {
            hidden.iter().copied().find(|item| {
                let name = view.directive(*item).arg(0).unwrap_or_default();
                name.eq_ignore_ascii_case(header)
            })
        };
        for header in OF_HANDSHAKE {
            // Hidden and written again, it is there once.
            let wrong = match (hides(header), self.adds(block, header)) {
                (None, None) => continue,
                (None, Some((item, _))) => (item, "a browser refuses a 101 with two of these"),
                (Some(_), Some((_, Value::Known(value))))
                    if *header == "Upgrade" && value.eq_ignore_ascii_case("websocket") =>
                {
                    continue;
                }
                (Some(item), _) => (item, WITHOUT),
            };
            self.note(wrong.0, What::Reply, wrong.1);
            return (Reply::Spoiled, Some(wrong.0));
        }
        if let Some((item, _)) = self.adds(block, "Sec-WebSocket-Protocol") {
            let why = "only a client that asks for just this subprotocol accepts the 101";
            self.note(item, What::Reply, why);
            let why = why.to_owned();
            return (Reply::Undecided { why }, Some(item));
        }
        (Reply::Intact, None)
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

    /// An `add_header` of `header`: on a 101 only with `always` (ngx_http_headers_filter), and
    /// never an empty one.
    fn adds(&mut self, block: ItemId, header: &str) -> Option<(ItemId, Value)> {
        let view = self.view;
        for item in view.setting(block, "add_header").items {
            if let [name, value, always] = view.directive(item).args()
                && always.text == "always"
                && name.text.eq_ignore_ascii_case(header)
            {
                let value = self.scope.word(value);
                if value != Value::Known(String::new()) {
                    return Some((item, value));
                }
            }
        }
        None
    }
}
