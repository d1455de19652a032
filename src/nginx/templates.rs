//! Templates: what an expression between the directives of a configuration may write, or leave out.

use std::collections::{HashMap, HashSet};

use super::model::sets_half;
use crate::project::Project;
use crate::source::{Source, Span};
use crate::syntax::{Directive, Tree};

/// Template expressions that stand between the directives of a block.
#[derive(Debug, Clone)]
pub(super) struct Gap {
    /// The first of them.
    pub(super) span: Span,
    /// Some may write directives; else they only decide whether what we see is written.
    pub(super) adds: bool,
}

/// The gaps of all files, by tree and block (`None` for the file's top).
#[derive(Debug, Default)]
pub(super) struct Templates {
    pub(super) gaps: HashMap<(u32, Option<u32>), Gap>,
    /// Locations that a template may leave out of their server, by tree and node: their heads.
    pub(super) perhaps: HashMap<(u32, u32), Span>,
    /// Lines for Upgrade or Connection that a template may leave out of their block.
    pub(super) pair: HashSet<Span>,
}

impl Templates {
    /// Looks at the blanks between the directives of every template.
    pub(super) fn read(project: &Project, trees: &[Tree]) -> Self {
        let mut templates = Self::default();
        for (index, tree) in trees.iter().enumerate() {
            let source = project.source(tree.source);
            if source.is_template() {
                templates.file(index as u32, tree, source);
            }
        }
        templates
    }

    fn file(&mut self, index: u32, tree: &Tree, source: &Source) {
        let mut end_of_last: HashMap<Option<u32>, u32> = HashMap::new();
        // A file without a server is written into one elsewhere.
        let mut server = Span::new(source.id, 0..0);
        for (node_index, node) in tree.nodes.iter().enumerate() {
            let directive = tree.at(node_index as u32);
            match directive.name() {
                "server" if directive.has_block() => server = directive.head(),
                "location" if source.is_conditional(directive.head(), server) => {
                    self.perhaps
                        .insert((index, node_index as u32), directive.head());
                }
                "proxy_set_header" if sets_half(directive) => {
                    let block = directive
                        .parent()
                        .map_or(Span::new(source.id, 0..0), Directive::head);
                    if source.is_conditional(directive.head(), block) {
                        self.pair.insert(directive.head());
                    }
                }
                _ => {}
            }
            let start = end_of_last
                .get(&node.parent)
                .copied()
                .unwrap_or_else(|| node.parent.map_or(0, |parent| block_start(tree, parent)));
            self.gap(index, node.parent, start, node.span.start, source);
            end_of_last.insert(node.parent, node.span.end);
            if let Some(block) = node.block
                && node.end == node_index as u32 + 1
            {
                self.gap(
                    index,
                    Some(node_index as u32),
                    block.start + 1,
                    block.end,
                    source,
                );
            }
        }
        for (parent, end) in end_of_last {
            let stop = parent.map_or(source.text.len() as u32, |parent| {
                tree.nodes[parent as usize].span.end
            });
            self.gap(index, parent, end, stop, source);
        }
    }

    fn gap(&mut self, tree: u32, block: Option<u32>, start: u32, end: u32, source: &Source) {
        let span = Span {
            source: source.id,
            start,
            end: end.max(start),
        };
        if !source.is_masked(span) {
            return;
        }
        let mut at = start as usize;
        for line in source.parsed_text()[span.range()].split_inclusive('\n') {
            // What stands in a comment is written nowhere.
            let code = line.find('#').unwrap_or(line.len());
            let code = Span::new(source.id, at..at + code);
            at += line.len();
            if source.is_masked(code) {
                self.masked(tree, block, code, source.slice(code));
            }
        }
    }

    fn masked(&mut self, tree: u32, block: Option<u32>, code: Span, text: &str) {
        // `{{ … }}`, `<%= … %>` and the statements that bring text from elsewhere write lines;
        // `if` and `for` only decide about the lines that stand between them.
        let adds = [
            "{{", "<%=", "<%-", "${", "include", "import", "call ", "macro", "block ", "raw",
        ]
        .iter()
        .any(|mark| text.contains(mark));
        let start = code.start + (text.len() - text.trim_start().len()) as u32;
        let end = code.start + text.trim_end().len() as u32;
        let span = Span {
            start,
            end: end.max(start),
            ..code
        };
        let gap = self.gaps.entry((tree, block)).or_insert(Gap { span, adds });
        if adds && !gap.adds {
            *gap = Gap { span, adds };
        }
    }
}

fn block_start(tree: &Tree, node: u32) -> u32 {
    let node = &tree.nodes[node as usize];
    node.block.map_or(node.span.start, |block| block.start + 1)
}
