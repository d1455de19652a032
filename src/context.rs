//! What a rule's check may look at: the project and the resolved model of each technology.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use crate::django::Fault;
use crate::edge::hints::{self, Hint};
use crate::finding::Undecided;
use crate::project::{Project, Suppressions};
use crate::source::{Kind, SourceId, Span};
use crate::stack::redirected::{self, Redirected};
use crate::stack::scheme::{self, Mistold};
use crate::stack::{Graph, Lost, Mended, Stack, Traced};
use crate::{caddy, django, nginx, parallel, stack};

/// The project with its models.
#[derive(Debug)]
pub struct Context<'a> {
    /// The sources and the configuration.
    pub project: &'a Project,
    /// The nginx configurations, resolved.
    pub nginx: nginx::Model,
    /// The Caddyfiles, adapted.
    pub caddy: caddy::Model,
    /// The Django applications, evaluated.
    pub django: django::Model,
    /// Where everything runs.
    pub topology: stack::Topology,
    suppressions: Vec<Suppressions>,
    edge_hints: OnceLock<Vec<Hint>>,
    graph: OnceLock<Graph>,
    faults: OnceLock<HashMap<String, Arc<[Fault]>>>,
    processes: OnceLock<HashMap<String, (u32, Span)>>,
    proxies_text: OnceLock<[String; 2]>,
    ways: OnceLock<Vec<Traced>>,
    mended: OnceLock<Mended>,
    mistold: OnceLock<Vec<Mistold>>,
    redirected: OnceLock<Vec<Redirected>>,
    lost: OnceLock<Vec<Lost>>,
}

impl<'a> Context<'a> {
    /// Resolves everything in `project`.
    pub fn resolve(project: &'a Project) -> Self {
        let pays = project.pays_threads();
        // All threads parse Python, which is most of the work; what follows from it is one thread's,
        // beside the parsing of the proxies' files.
        let python = django::evaluate::parse(project);
        let (django, (mut nginx, mut caddy)) = parallel::join(
            pays,
            || django::Model::evaluate(project, python),
            || {
                parallel::join(
                    pays,
                    || nginx::Model::read(project),
                    || caddy::Model::read(project),
                )
            },
        );
        let topology = stack::Topology::read(project, &nginx, &caddy, &django);
        let served = stack::served(project, &topology, &django, &nginx);
        nginx.find_routes(project, &served);
        let served = stack::served_by_caddy(project, &topology, &django, &caddy);
        caddy.find_routes(project, served);
        Self {
            topology,
            project,
            nginx,
            caddy,
            django,
            suppressions: crate::check::suppressions(project),
            edge_hints: OnceLock::new(),
            graph: OnceLock::new(),
            faults: OnceLock::new(),
            processes: OnceLock::new(),
            proxies_text: OnceLock::new(),
            ways: OnceLock::new(),
            mended: OnceLock::new(),
            mistold: OnceLock::new(),
            redirected: OnceLock::new(),
            lost: OnceLock::new(),
        }
    }

    /// The suppression comments of a source.
    pub fn suppressions(&self, source: SourceId) -> &Suppressions {
        &self.suppressions[source.0 as usize]
    }

    /// What hints at an edge, outermost first; nothing where one is declared.
    pub fn edge_hints(&self) -> &[Hint] {
        self.edge_hints.get_or_init(|| {
            if self.project.config.edge.declared.is_some() {
                return Vec::new();
            }
            hints::hints(self.project)
        })
    }

    /// Computes what rules share, before several threads run them. A thread that waits for its own
    /// part of a parallel task takes up others in the meantime, and would wait for itself where
    /// such a rule asks for what it is just computing.
    pub(crate) fn prepare(&self) {
        self.mended();
        self.mistold();
        self.redirected();
        self.lost();
    }

    /// Who leads where among the hops of `stack`, which is this project's.
    pub(crate) fn graph(&self, stack: &Stack<'_>) -> &Graph {
        self.graph.get_or_init(|| Graph::of(stack))
    }

    /// The certain faults of each application, by its home.
    pub(crate) fn faults(&self) -> &HashMap<String, Arc<[Fault]>> {
        self.faults.get_or_init(|| django::faults(self))
    }

    /// In how many processes applications run beyond the workers of one command, by their homes,
    /// and the places that say so.
    pub(crate) fn processes(&self) -> &HashMap<String, (u32, Span)> {
        self.processes.get_or_init(|| stack::processes(self))
    }

    /// What the proxies' files say, lower case and without comments, and the lines of it that set
    /// uwsgi's parameters.
    pub(crate) fn proxies_text(&self) -> &[String; 2] {
        self.proxies_text.get_or_init(|| {
            let mut texts = [String::new(), String::new()];
            let proxies = self.project.sources.iter();
            let proxies =
                proxies.filter(|source| matches!(source.kind, Kind::Nginx | Kind::Caddyfile));
            for line in proxies.flat_map(|source| source.text.lines()) {
                if line.trim_start().starts_with('#') {
                    continue;
                }
                let line = line.to_ascii_lowercase();
                if line.contains("uwsgi_param") {
                    texts[1].extend([line.as_str(), "\n"]);
                }
                texts[0].extend([line.as_str(), "\n"]);
            }
            texts
        })
    }

    /// What becomes of handshakes on their ways to the applications.
    pub fn ways(&self) -> &[Traced] {
        self.ways.get_or_init(|| stack::ways(self))
    }

    /// What leaves nginx broken and opens nevertheless.
    pub(crate) fn mended(&self) -> &Mended {
        self.mended.get_or_init(|| Mended::of(self))
    }

    /// Applications that take a client which uses TLS for one that does not.
    pub(crate) fn mistold(&self) -> &[Mistold] {
        self.mistold.get_or_init(|| scheme::mistold(self))
    }

    /// Redirects to https inside a chain of the project's hops.
    pub(crate) fn redirected(&self) -> &[Redirected] {
        self.redirected.get_or_init(|| redirected::redirected(self))
    }

    /// The routes of applications that a proxy before them loses.
    pub fn lost(&self) -> &[Lost] {
        self.lost.get_or_init(|| stack::lost(self))
    }

    /// What the models could not resolve, syntax errors among it.
    pub fn undecided(&self) -> impl Iterator<Item = &Undecided> {
        self.nginx
            .undecided
            .iter()
            .chain(&self.caddy.undecided)
            .chain(&self.django.undecided)
            .chain(&self.topology.undecided)
    }
}
