//! An address of this machine that no command opens, where the application that routes what is sent
//! there is started at another one.

use super::topology::Program;
use super::{Stack, only, ways};
use crate::context::Context;
use crate::django::command::{Command, Program as Server};
use crate::handshake::Upstream;
use crate::source::Span;

/// A command that starts the application somewhere else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Missed {
    /// The command.
    pub(crate) command: Span,
    /// The port that it opens; `None` for a socket.
    pub(crate) port: Option<u16>,
}

impl Stack<'_> {
    /// The commands of the only application near that routes `path`, if they are on the machine that
    /// `from` dials and none of them opens `upstream`, of which no file says what it is. Another
    /// program may still listen there: what this tells is why nobody knows, and no loss.
    pub(crate) fn missed(
        &self,
        cx: &Context<'_>,
        from: usize,
        upstream: &Upstream,
        path: &str,
    ) -> Vec<Missed> {
        if !upstream.is_loopback() || upstream.port.known().is_none() {
            return Vec::new();
        }
        let topology = self.topology;
        let near = topology.applications.to(&topology.places[from].folder);
        let homes = near.iter().map(|hop| topology.places[*hop].folder.as_str());
        let Some(home) = only(homes) else {
            return Vec::new();
        };
        let here = near
            .iter()
            .filter(|hop| self.is_on_machine_of(from, **hop, true));
        let commands = here.filter_map(|hop| match &topology.places[*hop].program {
            Program::Django { commands, .. } => Some(commands),
            _ => None,
        });
        let commands: Vec<&Command> = commands
            .flatten()
            .map(|command| &self.django.commands[*command])
            .filter(|command| command.serves_websockets() && command.program != Server::Runserver)
            .collect();
        let told = commands.iter().map(|command| {
            let port = command.written_port();
            let is_said = port.is_some() || command.socket().is_some();
            is_said.then_some(Missed {
                command: command.span,
                port,
            })
        });
        let told = told.collect::<Option<Vec<_>>>().unwrap_or_default();
        let is_other = |missed: &Missed| missed.port.as_ref() != upstream.port.known();
        if told.is_empty() || !told.iter().all(is_other) {
            return Vec::new();
        }
        let routes = ways::routes(cx, home, &near).into_iter();
        let mut routes = routes.filter_map(|(_, _, route)| self.django.routes.get(route?));
        match routes.any(|route| route.matches(path) == Some(true)) {
            true => told,
            false => Vec::new(),
        }
    }
}
