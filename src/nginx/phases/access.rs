//! The access phase: `allow` and `deny`, `auth_basic`, `auth_request`, and `satisfy`
//! (ngx_http_core_access_phase; the modules run in this order).

use super::walk::{Phase, Step, Walk};
use super::{Answer, End, What, pass};
use crate::handshake::Reply;
use crate::nginx::model::ItemId;
use crate::nginx::uri;
use crate::value::Value;

/// What one of the modules says.
enum Verdict {
    /// It has nothing to say here.
    Silent,
    Yes,
    No(u16, Answer, ItemId),
    Ends(End),
}

impl Walk<'_, '_> {
    pub(super) fn access(&mut self) -> Step {
        // Subrequests pass without.
        if self.depth > 0 {
            return Step::Go(Phase::TryFiles);
        }
        let view = self.view;
        let any = view
            .in_force(self.scope.location, "satisfy")
            .is_some_and(|item| view.directive(item).arg(0) == Some("any"));
        let mut refused = None;
        for module in [Self::addresses, Self::credentials, Self::asks] {
            match module(self) {
                Verdict::Silent => {}
                Verdict::Yes if any => return Step::Go(Phase::TryFiles),
                Verdict::Yes => {}
                // A 401 is kept, so that the client may send a password.
                Verdict::No(status @ (401 | 403), by, item) if any => {
                    if !matches!(refused, Some(Step::Status(401, ..))) {
                        refused = Some(Step::Status(status, by, item));
                    }
                }
                Verdict::No(status, by, item) => return Step::Status(status, by, item),
                Verdict::Ends(end) => return Step::End(end),
            }
        }
        refused.unwrap_or(Step::Go(Phase::TryFiles))
    }

    /// ngx_http_access_module: the first rule that matches decides.
    fn addresses(&mut self) -> Verdict {
        let view = self.view;
        let level = view
            .outward(self.scope.location)
            .find(|level| !view.level(*level).access.is_empty());
        let Some(level) = level else {
            return Verdict::Silent;
        };
        let client = self.client();
        let at_socket = self.request.socket.is_some();
        let mut doubted: Option<ItemId> = None;
        let mut may = (false, false);
        let mut decided = None;
        for item in &view.level(level).access {
            let rule = view.directive(*item);
            let allows = rule.name() == "allow";
            let matches = match rule.args().first() {
                Some(word) if word.templated => None,
                Some(word) if word.text == "all" => Some(true),
                Some(word) if word.text == "unix:" => Some(at_socket),
                // Whoever comes to a socket in the file system has no address.
                Some(_) if at_socket => Some(false),
                Some(word) => client.and_then(|client| contains(&word.text, client)),
                None => None,
            };
            match matches {
                Some(true) => {
                    decided = Some((allows, *item));
                    break;
                }
                Some(false) => {}
                None => {
                    doubted.get_or_insert(*item);
                    may = (may.0 | allows, may.1 | !allows);
                }
            }
        }
        let outcome = decided.is_none_or(|(allows, _)| allows);
        let differs = if outcome { may.1 } else { may.0 };
        if differs && let Some(item) = doubted {
            let why = "the client's address decides who may come here";
            return match self.suppose(item, why) == outcome {
                true => self.admitted(outcome, decided.map(|(_, item)| item), item),
                false => self.admitted(!outcome, None, item),
            };
        }
        match decided {
            Some((allows, item)) => self.admitted(allows, Some(item), item),
            None => Verdict::Silent,
        }
    }

    fn admitted(&mut self, allowed: bool, by: Option<ItemId>, rule: ItemId) -> Verdict {
        let item = by.unwrap_or(rule);
        if allowed {
            return Verdict::Yes;
        }
        self.note(item, What::Access, "turns the client away with 403");
        Verdict::No(403, Answer::Denied, item)
    }

    /// The client's address, where only this very machine is asked.
    fn client(&self) -> Option<[u8; 4]> {
        let local = self.request.host == "localhost" || self.request.host.starts_with("127.");
        local.then_some([127, 0, 0, 1])
    }

    /// ngx_http_auth_basic_module: a handshake comes without credentials.
    fn credentials(&mut self) -> Verdict {
        let view = self.view;
        let block = self.scope.location;
        let (Some(item), Some(_)) = (
            view.in_force(block, "auth_basic"),
            view.in_force(block, "auth_basic_user_file"),
        ) else {
            return Verdict::Silent;
        };
        let Some(realm) = view.directive(item).args().first() else {
            return Verdict::Silent;
        };
        let off = match self.scope.word(realm).decide(|realm| realm == "off") {
            Some(off) => off,
            None => self.suppose(
                item,
                "whether a password is asked for depends on a variable",
            ),
        };
        if off {
            return Verdict::Silent;
        }
        self.note(item, What::Access, "asks for a password with 401");
        Verdict::No(401, Answer::Unauthorized, item)
    }

    /// ngx_http_auth_request_module: 2xx allows, 401 and 403 are passed on, all else is 500.
    fn asks(&mut self) -> Verdict {
        let view = self.view;
        let Some(item) = view.in_force(self.scope.location, "auth_request") else {
            return Verdict::Silent;
        };
        let Some(word) = view.directive(item).args().first() else {
            return Verdict::Silent;
        };
        if word.text == "off" {
            return Verdict::Silent;
        }
        let Value::Known(target) = self.scope.word(word) else {
            return Verdict::Ends(self.undecided(item, "what `auth_request` asks"));
        };
        let (path, args) = uri::split(&target);
        let args = Value::Known(args.unwrap_or_default().to_owned());
        let (end, page) = self.subrequest(path, args);
        let end = match (end, page) {
            // Who is asked for the page of a refusal is no judge of whom it lets in, and a 101 from
            // there cannot be taken.
            (End::Forwards(forwarded), Some(page))
                if forwarded.reply == Reply::Intact
                    || forwarded.module.upgrades() && pass::is_handshake(&forwarded.request) =>
            {
                self.undecided(page, "what its upstream says to the page of a refusal")
            }
            (end, _) => end,
        };
        let status = match end {
            // An `error_page` keeps the status, whatever answers there.
            End::Forwards(forwarded)
                if let Reply::Replaced {
                    status: Some(status),
                } = forwarded.reply
                    && !(forwarded.module.upgrades() && pass::is_handshake(&forwarded.request)) =>
            {
                status
            }
            End::Forwards(forwarded) => {
                // The answer of a server elsewhere is taken to be yes.
                self.note(
                    item,
                    What::Access,
                    "asks a server, whose answer is taken to be yes",
                );
                self.asked.push(*forwarded);
                return Verdict::Yes;
            }
            End::Undecided { why, item } => {
                let allowed = self.suppose(item, format!("`auth_request` depends on {why}"));
                if allowed {
                    return Verdict::Yes;
                }
                403
            }
            End::Answers {
                status: Some(status),
                ..
            } => status,
            // 444 closes the client's connection from here as well (ngx_http_finalize_request).
            end @ End::Answers { status: None, .. } => return Verdict::Ends(end),
        };
        match status {
            200..=299 => Verdict::Yes,
            401 | 403 => {
                self.note(item, What::Access, format!("what it asks says {status}"));
                Verdict::No(status, Answer::AuthRequest, item)
            }
            _ => {
                let message = format!("what it asks says {status}, which counts as a failure");
                self.note(item, What::Access, message);
                Verdict::No(500, Answer::AuthRequest, item)
            }
        }
    }
}

/// Whether an address or network of IPv4 holds `client`; `None` if it can't be read.
fn contains(network: &str, client: [u8; 4]) -> Option<bool> {
    if network.contains(':') {
        return Some(false);
    }
    let (address, bits) = network.split_once('/').unwrap_or((network, "32"));
    let address: std::net::Ipv4Addr = address.parse().ok()?;
    let bits: u32 = bits.parse().ok().filter(|bits| *bits <= 32)?;
    let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
    let client = u32::from_be_bytes(client);
    Some(u32::from(address) & mask == client & mask)
}
