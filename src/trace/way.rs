//! What is told of a handshake: its hops, what each browser meets, and the way as a whole.

use crate::finding::Finding;
use crate::handshake::{Because, Outcome, Passage, Request, Upstream};
use crate::source::Span;

/// What becomes of a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The socket opens.
    Opens,
    /// It does not.
    Fails,
    /// Cannot be decided from the files.
    Undecided,
}

impl Verdict {
    /// Its name in output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opens => "opens",
            Self::Fails => "fails",
            Self::Undecided => "undecided",
        }
    }

    /// Which one is reported where several ways differ: what fails for some, fails.
    pub(super) const fn weight(self) -> u8 {
        match self {
            Self::Opens => 0,
            Self::Undecided => 1,
            Self::Fails => 2,
        }
    }
}

/// One hop that received the handshake.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its technology.
    pub layer: &'static str,
    /// Which hop of the [`crate::stack::Stack`] it is; `None` for an edge.
    pub hop: Option<usize>,
    /// Where the hop itself is written, whatever block of it took the request.
    pub place: Span,
    /// The block that took the request, or the file.
    pub at: Span,
    /// The request as it arrived.
    pub arrived: Request,
    /// What it did, and why.
    pub passage: Passage,
    /// The upstream that the handshake was followed to.
    pub followed: Option<Upstream>,
    /// What each of several upstreams makes of it, where they are not all the same.
    pub siblings: Vec<Sibling>,
    /// The rule that names what is lost here.
    pub rule: Option<String>,
}

impl Step {
    /// The lines that set the headers of the upgrade as it leaves.
    pub(super) fn sent_by(&self) -> Vec<Span> {
        let Outcome::Forwards { request, .. } = &self.passage.outcome else {
            return Vec::new();
        };
        let lines = ["upgrade", "connection"].map(|name| request.lines(name));
        lines
            .into_iter()
            .flatten()
            .filter_map(|line| line.from)
            .collect()
    }
}

/// One of several upstreams that a hop chooses from.
#[derive(Clone, Debug)]
pub struct Sibling {
    /// The upstream.
    pub upstream: Upstream,
    /// What becomes of a handshake that it gets.
    pub verdict: Verdict,
    /// The status that it answers.
    pub status: Option<u16>,
    /// The technology that decides it, where, and why; `None` for one that is not in the files.
    pub decided: Option<(&'static str, Because)>,
}

/// The way of one browser's handshake.
#[derive(Clone, Debug)]
pub struct Run {
    /// What becomes of it.
    pub verdict: Verdict,
    /// The status that the client sees; `None` where the files do not decide it, or where there
    /// is none.
    pub status: Option<u16>,
    /// The hops, in order.
    pub steps: Vec<Step>,
    /// Why it ends so, in words.
    pub reasons: Vec<String>,
    /// The step at which it is lost.
    pub lost_at: Option<usize>,
}

/// One way into the project, for both browsers.
#[derive(Clone, Debug)]
pub struct Way {
    /// The URL that leads there.
    pub url: String,
    /// What opens this way, where it was tried for itself.
    pub entrance: Option<Span>,
    /// What each browser's handshake meets, in the order of [`crate::handshake::Browser::ALL`].
    pub runs: [Run; 2],
    /// Whether the first hop answers by itself; of a path that every server is asked for, those
    /// that pass it on mean it.
    pub answers_itself: bool,
    /// What a check found on it, where the handshake is lost: the lines to change.
    pub causes: Vec<Finding>,
}

impl Way {
    /// What holds for both browsers.
    pub fn verdict(&self) -> Verdict {
        self.decisive().verdict
    }

    /// The run that decides the verdict.
    pub fn decisive(&self) -> &Run {
        let [chrome, firefox] = &self.runs;
        if firefox.verdict.weight() > chrome.verdict.weight() {
            firefox
        } else {
            chrome
        }
    }

    /// Which of several ways decides: those that pass the handshake on before those that answer
    /// by themselves, and what fails first.
    pub fn order(&self) -> impl Ord + use<> {
        (
            self.answers_itself,
            std::cmp::Reverse(self.verdict().weight()),
        )
    }

    /// Whether the browsers meet with different things.
    pub fn differs(&self) -> bool {
        self.runs[0].verdict != self.runs[1].verdict
    }
}
