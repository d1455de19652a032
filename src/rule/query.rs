//! Declarative rules: a tree-sitter query over single files, with regular expressions on its
//! captures. Ours and the users' run through this one engine.

use std::borrow::Cow;

use regex::Regex;
use tree_sitter::{Query, QueryCursor, StreamingIterator};
use tree_sitter_language::LanguageFn;

use crate::finding::Report;
use crate::grammar;
use crate::project::Project;
use crate::source::{Kind, Source, Span};

/// Nodes within nodes below which a query looks for nothing.
const MAX_DEPTH: u32 = 10_000;

/// A regular expression on a capture.
#[derive(Clone, Debug)]
pub struct Predicate {
    /// The capture's name.
    pub capture: Cow<'static, str>,
    /// The expression.
    pub regex: Cow<'static, str>,
    /// Whether it must match; else it must not.
    pub matches: bool,
}

/// What a declarative rule looks for and says.
#[derive(Clone, Debug)]
pub struct QueryRule {
    /// The kind of file that it reads.
    pub kind: Kind,
    /// The tree-sitter query.
    pub query: Cow<'static, str>,
    /// Texts of which a file must hold one to be worth parsing; none means every file.
    pub contains: Cow<'static, [Cow<'static, str>]>,
    /// Regular expressions on captures.
    pub predicates: Cow<'static, [Predicate]>,
    /// The capture to underline.
    pub at: Cow<'static, str>,
    /// What breaks; `{capture}` stands for the captured text.
    pub message: Cow<'static, str>,
    /// What to write next to the underlined bytes.
    pub label: Cow<'static, str>,
    /// What to write next to other captures.
    pub labels: Cow<'static, [(Cow<'static, str>, Cow<'static, str>)]>,
    /// What to do.
    pub help: Cow<'static, [Cow<'static, str>]>,
}

/// A [`QueryRule`] ready to run.
struct Compiled {
    query: Query,
    predicates: Vec<(u32, Regex, bool)>,
    at: u32,
    labels: Vec<(u32, String)>,
}

impl QueryRule {
    /// The grammar of the kind that it reads.
    fn language(&self) -> LanguageFn {
        match self.kind {
            Kind::Caddyfile => grammar::CADDYFILE,
            Kind::Python => tree_sitter_python::LANGUAGE,
            _ => grammar::NGINX,
        }
    }

    fn compile(&self) -> Result<Compiled, String> {
        let query = Query::new(&self.language().into(), &self.query)
            .map_err(|error| format!("the query does not compile: {error}"))?;
        let capture = |name: &str| {
            query
                .capture_index_for_name(name)
                .ok_or_else(|| format!("the query captures no `@{name}`"))
        };
        let predicates = self
            .predicates
            .iter()
            .map(|predicate| {
                let regex = Regex::new(&predicate.regex)
                    .map_err(|error| format!("`{}` does not compile: {error}", predicate.regex))?;
                Ok((capture(&predicate.capture)?, regex, predicate.matches))
            })
            .collect::<Result<_, String>>()?;
        let labels = self
            .labels
            .iter()
            .map(|(name, message)| Ok((capture(name)?, message.to_string())))
            .collect::<Result<_, String>>()?;
        Ok(Compiled {
            at: capture(&self.at)?,
            labels,
            predicates,
            query,
        })
    }

    /// Checks that the query and the regular expressions compile.
    ///
    /// # Errors
    /// What does not.
    pub fn validate(&self) -> Result<(), String> {
        self.compile().map(drop)
    }

    /// Reports every match in the project's files of its kind. A match that a template or a
    /// syntax error touches proves nothing and is left out.
    pub fn run(&self, project: &Project, report: &mut Report<'_>) {
        let wanted = |source: &&Source| {
            let holds = |text: &Cow<'_, str>| {
                memchr::memmem::find(source.text.as_bytes(), text.as_bytes()).is_some()
            };
            self.contains.is_empty() || self.contains.iter().any(holds)
        };
        let mut sources = project.of_kind(self.kind).filter(wanted).peekable();
        if sources.peek().is_none() {
            return;
        }
        // Built-in queries are compiled by a test and a user's when its file is loaded.
        let Ok(compiled) = self.compile() else { return };
        for source in sources {
            if let Some(tree) = grammar::parse(self.language(), source.parsed_text()) {
                self.matches(&compiled, source, &tree, report);
            }
        }
    }

    fn matches(
        &self,
        compiled: &Compiled,
        source: &Source,
        tree: &tree_sitter::Tree,
        report: &mut Report<'_>,
    ) {
        let mut cursor = QueryCursor::new();
        // A cursor counts depth in 16 bits; below 65,535 nested nodes half-made matches pile up.
        cursor.set_max_start_depth(Some(MAX_DEPTH));
        let mut matches = cursor.matches(&compiled.query, tree.root_node(), source.text.as_bytes());
        while let Some(found) = matches.next() {
            let captured = |index: u32| {
                found
                    .captures()
                    .iter()
                    .find(|capture| capture.index == index)
                    .map(|capture| Span::new(source.id, capture.node.byte_range()))
            };
            let certain = found.captures().iter().all(|capture| {
                let span = Span::new(source.id, capture.node.byte_range());
                !capture.node.has_error() && !source.is_masked(span)
            });
            let fits = compiled.predicates.iter().all(|(index, regex, matches)| {
                captured(*index).is_some_and(|span| regex.is_match(source.slice(span)) == *matches)
            });
            let (true, true, Some(at)) = (certain, fits, captured(compiled.at)) else {
                continue;
            };
            let fill = |text: &str| {
                let mut filled = text.to_owned();
                for capture in found.captures() {
                    let name = compiled.query.capture_names()[capture.index as usize];
                    let span = Span::new(source.id, capture.node.byte_range());
                    filled = filled.replace(&format!("{{{name}}}"), source.slice(span));
                }
                filled
            };
            let mut finding = report.finding(fill(&self.message), at, fill(&self.label));
            for (index, message) in &compiled.labels {
                if let Some(span) = captured(*index) {
                    finding = finding.label(span, fill(message));
                }
            }
            for help in self.help.iter() {
                finding = finding.help(fill(help));
            }
            report.push(finding);
        }
    }
}
