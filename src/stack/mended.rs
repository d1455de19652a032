//! What leaves a proxy broken, and opens nevertheless: whoever is behind it makes a handshake of it
//! again, as a proxy does that sets the headers anew.

use std::collections::BTreeSet;

use super::topology::Program;
use crate::context::Context;
use crate::handshake::{Judged, judge};
use crate::nginx::model::ROOT;
use crate::nginx::route::Route;
use crate::source::Span;
use crate::trace::Verdict;

/// The spans through which handshakes go that are mended behind, with nginx's configuration.
#[derive(Debug, Default)]
pub(crate) struct Mended {
    /// Of each passage.
    passages: Vec<(u32, BTreeSet<Span>)>,
}

impl Mended {
    /// Of all ways on which a socket opens for both browsers.
    pub(crate) fn of(cx: &Context<'_>) -> Self {
        let mut passages = Vec::new();
        for traced in cx.ways() {
            let runs = &traced.way.runs;
            if !runs.iter().all(|run| run.verdict == Verdict::Opens) {
                continue;
            }
            for pair in runs[0].steps.windows(2) {
                let [step, next] = pair else { continue };
                let (Some(hop), Some(_)) = (step.hop, next.hop) else {
                    continue;
                };
                if let Program::Nginx(config) = cx.topology.places[hop].program
                    && matches!(judge(&next.arrived), Judged::Lost(_))
                {
                    let because = step.passage.because.iter();
                    let spans = because.map(|because| because.span).chain([step.at]);
                    passages.push((config, spans.collect()));
                }
            }
        }
        Self { passages }
    }

    /// Whether what a route of nginx's loses is made good behind it.
    pub(crate) fn has(&self, cx: &Context<'_>, route: &Route) -> bool {
        if self.passages.is_empty() {
            return false;
        }
        let view = cx.nginx.view(route.config);
        let location = &view.config.locations[route.location as usize];
        let server = view.config.servers[location.server as usize].item;
        let head = |item| (item != ROOT).then(|| view.directive(item).head());
        let own = [head(route.pass), head(server)];
        let mut passages = self.passages.iter();
        passages.any(|(config, spans)| {
            *config == route.config && own.iter().flatten().all(|span| spans.contains(span))
        })
    }
}
