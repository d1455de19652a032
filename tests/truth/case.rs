//! What a sandbox is told, and what it answers.

use serde::{Deserialize, Serialize};

pub(crate) use crate::socket::{Attempt, Url};

/// One configuration and the handshake to send through it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Case {
    /// The files, by path.
    pub(crate) files: Vec<(String, String)>,
    /// `ws://` or `wss://`.
    pub(crate) url: String,
    /// Headers that an edge or a page adds.
    pub(crate) headers: Vec<(String, String)>,
    /// Watch the socket after its echo: it opens only if it lives on.
    pub(crate) lives: bool,
    /// An edge ended the client's TLS and speaks plain HTTP to port 80.
    pub(crate) plain: bool,
    /// The Caddy to run a Caddyfile with.
    pub(crate) caddy: String,
    /// The virtual environment to run a Procfile's command in.
    pub(crate) python: String,
    /// A folder with the certificates that the sandbox's servers use.
    pub(crate) certificates: String,
}

/// What became of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Why a server refused to start; there are no attempts then.
    pub(crate) refused: Option<String>,
    /// One handshake in each browser's form.
    pub(crate) attempts: Vec<Attempt>,
    /// What the servers and the upstream wrote.
    pub(crate) log: String,
}
