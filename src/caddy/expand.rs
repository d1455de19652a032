//! A Caddyfile as Caddy sees it after `{$ENV}`, snippets and imports: one tree of directives,
//! each word still pointing at the bytes that gave it.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::environment::{Supplies, Variable, environment};
use super::import::{Found, find};
use super::model::CURRENT;
use super::refused::{self, Refusal};
use crate::finding::Undecided;
use crate::project::{Project, Version};
use crate::source::{SourceId, Span};
use crate::syntax::{self, Quote, Tree};

/// Deeper blocks are not looked at: no configuration nests so, and drops stay shallow.
const MAX_DEPTH: usize = 64;
/// Imports within imports; Caddy itself refuses cycles.
const MAX_IMPORTS: usize = 24;
/// Directives that imports may bring into one site: a snippet bomb ends here.
const MAX_DIRECTIVES: usize = 50_000;
/// Directives that a root file may hold itself: a generated file ends here.
const MAX_WRITTEN: usize = 100_000;
/// Arguments of one directive; of a million upstreams the first ones tell what there is to tell.
const MAX_ARGS: usize = 1_000;
/// A word that arguments make longer than this is none that anybody wrote.
const MAX_WORD: usize = 1 << 16;

/// A word after expansion.
#[derive(Clone, Debug)]
pub struct Word {
    /// Its value; where `unknown` says that a part cannot be known, as it is written, or by default.
    pub text: String,
    /// How it was written.
    pub quote: Quote,
    /// Where it stands (for a snippet's argument: where the argument is given).
    pub span: Span,
    /// What supplies a part of it that the files do not show: `{$NAME}`, a template.
    pub unknown: Option<String>,
    /// The variable of the environment that gives a part of it; of several, one with its default.
    pub variable: Option<Arc<Variable>>,
}

impl Word {
    /// The text, unless something outside of the files supplies a part of it.
    pub fn known(&self) -> Option<&str> {
        self.unknown.is_none().then_some(self.text.as_str())
    }
}

/// A directive after expansion.
#[derive(Clone, Debug)]
pub struct Directive {
    /// The name and then the arguments; empty for global options.
    pub words: Vec<Word>,
    /// From the first word to the end of the directive.
    pub span: Span,
    /// From the name to the last argument.
    pub head: Span,
    /// Its block's directives; `None` where it opens none.
    pub block: Option<Vec<Directive>>,
    /// Whether braces stand around the block: a site may do without.
    pub braces: bool,
    /// A syntax error touches it, or something in it was too deep or could not be imported.
    pub partial: bool,
    /// A template decides whether it is written in its site.
    pub conditional: bool,
}

impl Directive {
    /// The name; empty for global options.
    pub fn name(&self) -> &str {
        self.words.first().map_or("", |word| &word.text)
    }

    /// The arguments.
    pub fn args(&self) -> &[Word] {
        self.words.get(1..).unwrap_or_default()
    }

    /// The n-th argument's text, known or not.
    pub fn arg(&self, n: usize) -> Option<&str> {
        self.args().get(n).map(|word| word.text.as_str())
    }

    /// The directives in its block.
    pub fn children(&self) -> &[Directive] {
        self.block.as_deref().unwrap_or_default()
    }
}

/// Parsed files by source.
pub(super) type Trees = HashMap<SourceId, Tree>;

/// What an import gave: arguments and a block, for `{args[0]}` and `{block}`.
#[derive(Default)]
struct Given {
    args: Vec<Word>,
    block: Vec<Directive>,
    /// How many directives the block holds, at any depth.
    size: usize,
}

/// A snippet: where its content is.
#[derive(Clone, Copy)]
struct Snippet<'a> {
    tree: &'a Tree,
    node: u32,
}

/// Expands one root Caddyfile.
pub(super) struct Expander<'a> {
    project: &'a Project,
    trees: &'a Trees,
    supplies: &'a Supplies<'a, 'a>,
    snippets: HashMap<String, Snippet<'a>>,
    /// What could not be resolved.
    pub(super) undecided: Vec<Undecided>,
    /// What Caddy refuses of snippets and imports.
    pub(super) refused: Vec<Refusal>,
    /// Files that were imported.
    pub(super) imported: Vec<SourceId>,
    budget: usize,
    /// What is left of [`MAX_WRITTEN`].
    written: usize,
    /// Sites, or whatever else stands at the top, that spent the budget.
    bombs: u32,
    /// The head of what is expanded at the top.
    site: Option<Span>,
    /// Imports on the way that a template may leave out.
    perhaps: usize,
    stack: Vec<String>,
    /// What the imports stand for, by file and pattern.
    found: HashMap<(SourceId, String), Found>,
}

impl<'a> Expander<'a> {
    pub(super) fn new(
        project: &'a Project,
        trees: &'a Trees,
        supplies: &'a Supplies<'a, 'a>,
    ) -> Self {
        Self {
            project,
            trees,
            supplies,
            snippets: HashMap::new(),
            undecided: Vec::new(),
            refused: Vec::new(),
            imported: Vec::new(),
            budget: MAX_DIRECTIVES,
            written: MAX_WRITTEN,
            bombs: 0,
            site: None,
            perhaps: 0,
            stack: Vec::new(),
            found: HashMap::new(),
        }
    }

    /// The whole file: sites, named routes and global options, without the snippets.
    pub(super) fn file(&mut self, tree: &'a Tree) -> Vec<Directive> {
        let mut out = Vec::new();
        let given = Rc::new(Given::default());
        self.nodes(tree, &top_level(tree), &given, 0, &mut out);
        out
    }

    fn note(&mut self, span: Span, message: impl Into<String>) {
        self.undecided.push(Undecided {
            span,
            message: message.into(),
            alike: None,
        });
    }

    /// Takes so many directives from what is left, `false` if that is not enough: of what the root
    /// file holds itself, or of what imports may make of one site, for they multiply.
    fn spend(&mut self, count: usize, place: Span) -> bool {
        let in_import = !self.stack.is_empty();
        let left = if in_import {
            &mut self.budget
        } else {
            &mut self.written
        };
        if *left > count {
            *left -= count;
            return true;
        }
        if std::mem::take(left) > 0 {
            self.bombs += u32::from(in_import);
            self.note(place, "too many directives; the rest is not read");
        }
        false
    }

    /// Expands these nodes into `out`; `false` if some of it is missing.
    fn nodes(
        &mut self,
        tree: &'a Tree,
        nodes: &[u32],
        given: &Rc<Given>,
        depth: usize,
        out: &mut Vec<Directive>,
    ) -> bool {
        let mut whole = true;
        for &index in nodes {
            whole &= self.node(tree, index, given, depth, out);
        }
        whole
    }

    fn node(
        &mut self,
        tree: &'a Tree,
        index: u32,
        given: &Rc<Given>,
        depth: usize,
        out: &mut Vec<Directive>,
    ) -> bool {
        let at = tree.at(index);
        let node = at.node();
        if depth == 0
            && let [name] = node.words.as_slice()
            && let Some(name) = name
                .text
                .strip_prefix('(')
                .and_then(|name| name.strip_suffix(')'))
        {
            let new = Snippet { tree, node: index };
            if let Some(old) = self.snippets.insert(name.to_owned(), new)
                && (old.node != index || old.tree.source != tree.source)
            {
                self.refused.push(refused::redeclared(at.head(), name));
            }
            return true;
        }
        if depth == 0 {
            self.site = Some(at.head());
            // A bomb is one site's fault, and the others are read; many of them get less each.
            if self.stack.is_empty() {
                self.budget = MAX_DIRECTIVES >> self.bombs.min(63);
            }
        }
        if !self.spend(1, at.head()) {
            return false;
        }
        let conditional = depth > 0
            && (self.perhaps > 0
                || self.site.is_some_and(|site| {
                    self.project
                        .source(tree.source)
                        .is_conditional(at.head(), site)
                }));
        let mut given_words = node.words.as_slice();
        // Of other directives each word counts: a matcher may name thousands of addresses.
        if node.words.len() > MAX_ARGS
            && matches!(node.words[0].text.as_str(), "reverse_proxy" | "to")
        {
            given_words = &node.words[..MAX_ARGS];
            let message = format!("only the first {MAX_ARGS} upstreams of this line are read");
            self.note(node.words[MAX_ARGS].span, message);
        }
        let mut words = Vec::with_capacity(given_words.len());
        let from = out.len();
        for word in given_words {
            self.word(word, given, &mut words, out);
        }
        for directive in &mut out[from..] {
            directive.conditional |= conditional;
        }
        if words.is_empty() && !node.words.is_empty() && node.block.is_none() {
            // `{block}`, or an environment variable whose default is empty.
            return true;
        }
        if words
            .first()
            .is_some_and(|word| word.text == "import" && word.quote == Quote::None)
        {
            self.perhaps += usize::from(conditional);
            let whole = self.import(tree, index, words, given, depth, out);
            self.perhaps -= usize::from(conditional);
            return whole;
        }
        let mut partial = !node.intact;
        // Only at the top is a line without braces a site; see `fragment`.
        let mut block = (node.block.is_some() || depth == 0 && node.end > index + 1).then(Vec::new);
        if let Some(block) = &mut block {
            if depth >= MAX_DEPTH {
                self.note(at.head(), "nested too deeply to be followed");
                partial = true;
            } else {
                let below: Vec<u32> = at.children().map(|child| child.index).collect();
                partial |= !self.nodes(tree, &below, given, depth + 1, block);
            }
        }
        out.push(Directive {
            span: node.span,
            head: at.head(),
            words,
            block,
            braces: node.block.is_some(),
            partial,
            conditional,
        });
        true
    }

    /// Expands one word into `words`, or, where `{block}` begins a line, directives into `out`.
    fn word(
        &mut self,
        word: &syntax::Word,
        given: &Rc<Given>,
        words: &mut Vec<Word>,
        out: &mut Vec<Directive>,
    ) {
        if word.quote == Quote::None {
            if word.text == "{block}" && words.is_empty() && self.version() >= [2, 9, 0] {
                // Caddy 2.9: the tokens of the block that the import was given.
                if self.spend(given.size, word.span) {
                    out.extend(given.block.iter().cloned());
                }
                return;
            }
            if let Some(key) = word
                .text
                .strip_prefix("{blocks.")
                .and_then(|key| key.strip_suffix('}'))
            {
                if let Some(entry) = given.block.iter().find(|entry| entry.name() == key) {
                    words.extend(entry.args().iter().cloned());
                    if self.spend(given.size, word.span) {
                        out.extend(entry.children().iter().cloned());
                    }
                }
                return;
            }
            if let Some((start, end)) = variadic(&word.text, given.args.len()) {
                words.extend(given.args[start..end].iter().cloned());
                return;
            }
        }
        let from = words.len();
        environment(word, self.supplies, words);
        for word in &mut words[from..] {
            arguments(word, &given.args);
        }
    }

    /// An import of what is being imported.
    fn cycle(&mut self, target: &Word, what: String) {
        let message = format!("{what} imports itself");
        self.note(target.span, message.as_str());
        if self.perhaps == 0 && target.variable.is_none() {
            self.refused.push(refused::cycle(target.span, &message));
        }
    }

    fn version(&self) -> Version {
        self.project.config.targets.caddy.unwrap_or(CURRENT)
    }

    /// A block without a name in the one that an import is given (parse.go, doImport).
    fn anonymous(&mut self, block: &[Directive]) {
        let version = self.version();
        let mut unnamed = block
            .iter()
            .filter(|entry| entry.words.is_empty() && !entry.conditional);
        if version >= [2, 9, 0]
            && let Some(first) = unnamed.next()
        {
            self.refused.push(refused::anonymous(first.head));
        }
    }

    fn import(
        &mut self,
        tree: &'a Tree,
        index: u32,
        words: Vec<Word>,
        given: &Rc<Given>,
        depth: usize,
        out: &mut Vec<Directive>,
    ) -> bool {
        let at = tree.at(index);
        let Some(target) = words.get(1).cloned() else {
            return false;
        };
        if target.unknown.is_some() {
            self.note(
                target.span,
                format!(
                    "which file `import {}` means depends on the environment",
                    target.text
                ),
            );
            return false;
        }
        if self.stack.len() >= MAX_IMPORTS {
            self.note(at.head(), "imports are nested too deeply to be followed");
            return false;
        }
        let mut block = Vec::new();
        let before = self.budget + self.written;
        if at.has_block() && depth < MAX_DEPTH {
            let below: Vec<u32> = at.children().map(|child| child.index).collect();
            self.nodes(tree, &below, given, depth + 1, &mut block);
            self.anonymous(&block);
        }
        let inner = Rc::new(Given {
            args: words.into_iter().skip(2).collect(),
            block,
            size: before - self.budget - self.written,
        });
        if let Some(snippet) = self.snippets.get(&target.text).copied() {
            let key = format!("({})", target.text);
            if self.stack.contains(&key) {
                self.cycle(&target, format!("the snippet `{}`", target.text));
                return false;
            }
            self.stack.push(key);
            let below: Vec<u32> = snippet
                .tree
                .at(snippet.node)
                .children()
                .map(|child| child.index)
                .collect();
            // At depth 0 a snippet's content is what it holds: whole sites, or global options.
            let whole = self.nodes(snippet.tree, &below, &inner, depth, out);
            self.stack.pop();
            return whole;
        }
        let source = self.project.source(tree.source);
        let found = self
            .found
            .entry((tree.source, target.text.clone()))
            .or_insert_with(|| find(self.project, source, &target.text));
        let files = match found.clone() {
            Found::Files(files) => files,
            Found::Missing => {
                let name = format!("({})", target.text);
                let later = tree.top().find(|top| top.name() == name);
                if let Some(later) = later
                    && self.perhaps == 0
                    && target.variable.is_none()
                {
                    let one = refused::defined_later(target.span, &target.text, later.head());
                    self.refused.push(one);
                }
                let message = format!(
                    "`{}` is no snippet defined before this line, and no such file is in the project",
                    target.text
                );
                self.undecided
                    .push(Undecided::absent(target.span, &target.text, message));
                return false;
            }
        };
        let mut whole = true;
        for id in files {
            let Some(tree) = self.trees.get(&id) else {
                continue;
            };
            let key = self.project.source(id).path.clone();
            if self.stack.contains(&key) {
                self.cycle(&target, format!("`{key}`"));
                whole = false;
                continue;
            }
            self.imported.push(id);
            self.stack.push(key);
            let nodes = if depth == 0 {
                top_level(tree)
            } else {
                fragment(tree)
            };
            whole &= self.nodes(tree, &nodes, &inner, depth, out);
            self.stack.pop();
        }
        whole
    }
}

/// The nodes at the top.
fn top_level(tree: &Tree) -> Vec<u32> {
    tree.top().map(|node| node.index).collect()
}

/// The nodes of a file that is imported within a site. What the parser takes for a site without
/// braces is a directive here, and its content are the directives that follow.
fn fragment(tree: &Tree) -> Vec<u32> {
    let mut nodes = Vec::new();
    for node in tree.top() {
        nodes.push(node.index);
        if node.node().block.is_none() {
            nodes.extend(node.children().map(|child| child.index));
        }
    }
    nodes
}

/// Replaces `{args[0]}` and `{args.0}`; an index that was not given stays as it is, as in Caddy.
fn arguments(word: &mut Word, args: &[Word]) {
    if args.is_empty() || !word.text.contains("{args") {
        return;
    }
    let length: usize = args.iter().map(|arg| arg.text.len()).sum();
    if length + word.text.len() > MAX_WORD {
        word.unknown
            .get_or_insert_with(|| "an argument of great length".to_owned());
        return;
    }
    let mut text = String::with_capacity(word.text.len());
    let mut rest = word.text.as_str();
    let mut whole = None;
    while let Some(at) = rest.find("{args") {
        text.push_str(&rest[..at]);
        let from = &rest[at..];
        let Some(end) = from.find('}') else {
            rest = from;
            break;
        };
        let key = &from[5..end];
        let index = key
            .strip_prefix('[')
            .and_then(|key| key.strip_suffix(']'))
            .or_else(|| key.strip_prefix('.'));
        match index
            .and_then(|index| index.parse::<usize>().ok())
            .and_then(|index| args.get(index))
        {
            Some(arg) => {
                text.push_str(&arg.text);
                if word.unknown.is_none() {
                    word.unknown.clone_from(&arg.unknown);
                }
                word.variable = word.variable.take().or_else(|| arg.variable.clone());
                if from.len() == word.text.len() && end + 1 == from.len() {
                    whole = Some(arg.span);
                }
            }
            None => text.push_str(&from[..=end]),
        }
        rest = &from[end + 1..];
    }
    text.push_str(rest);
    word.text = text;
    if let Some(span) = whole {
        word.span = span;
    }
}

/// The range of arguments that a whole word `{args[1:]}` stands for.
fn variadic(text: &str, count: usize) -> Option<(usize, usize)> {
    let range = text.strip_prefix("{args[")?.strip_suffix("]}")?;
    let (start, end) = range.split_once(':')?;
    let start = if start.is_empty() {
        0
    } else {
        start.parse().ok()?
    };
    let end = if end.is_empty() {
        count
    } else {
        end.parse().ok()?
    };
    (start <= end && end <= count).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(files: &[(&str, &str)]) -> (Vec<Directive>, Vec<Undecided>) {
        let project = Project::in_memory(files.iter().copied()).expect("project");
        let trees = super::super::parse_all(&project);
        let root = project.by_path("Caddyfile").expect("a root").id;
        let deployment = super::super::environment::Deployment::read(&project);
        let supplies = deployment.of(&project, project.source(root));
        let mut expander = Expander::new(&project, &trees, &supplies);
        let out = expander.file(&trees[&root]);
        (out, expander.undecided)
    }

    fn lines(directives: &[Directive], depth: usize, out: &mut Vec<String>) {
        for directive in directives {
            let words: Vec<_> = directive
                .words
                .iter()
                .map(|word| word.text.as_str())
                .collect();
            out.push(format!("{}{}", " ".repeat(depth), words.join(" ")));
            lines(directive.children(), depth + 1, out);
        }
    }

    fn text(files: &[(&str, &str)]) -> String {
        let mut out = Vec::new();
        lines(&expand(files).0, 0, &mut out);
        out.join("\n")
    }

    #[test]
    fn snippets_take_arguments_and_blocks() {
        let file = "(ws) {\n\treverse_proxy {args[0]} {args[1:]} {\n\t\t{block}\n\t}\n}\n\
                    :80 {\n\timport ws /ws app:1 app:2 {\n\t\theader_up A b\n\t}\n}\n";
        assert_eq!(
            text(&[("Caddyfile", file)]),
            ":80\n reverse_proxy /ws app:1 app:2\n  header_up A b"
        );
    }

    #[test]
    fn environment_defaults_split_bare_words() {
        let file = "{$SITE:a.test, b.test} {\n\treverse_proxy {$UP:x:1 y:2} {$NONE}\n}\n";
        let (out, _) = expand(&[("Caddyfile", file)]);
        let proxy = &out[0].children()[0];
        assert_eq!(proxy.args().len(), 3);
        assert!(proxy.args()[0].variable.is_some());
        assert!(proxy.args()[2].unknown.is_some());
    }

    #[test]
    fn files_are_found_beside_the_one_that_imports_them() {
        let files = [
            ("Caddyfile", ":80 {\n\timport parts/*.caddy\n}\n"),
            ("parts/a.caddy", "encode gzip\nreverse_proxy app:1\n"),
        ];
        assert_eq!(text(&files), ":80\n encode gzip\n reverse_proxy app:1");
    }

    #[test]
    fn what_is_missing_is_undecided_and_cycles_end() {
        let (_, undecided) = expand(&[("Caddyfile", ":80 {\n\timport gone\n}\n")]);
        assert_eq!(undecided.len(), 1);
        let (_, undecided) =
            expand(&[("Caddyfile", "(a) {\n\timport a\n}\n:80 {\n\timport a\n}\n")]);
        assert_eq!(undecided.len(), 1);
    }

    #[test]
    fn a_snippet_bomb_ends() {
        let mut file = String::from("(s0) {\n\trespond x\n}\n");
        for n in 1..20 {
            let line = format!("\timport s{}\n", n - 1);
            file.push_str(&format!("(s{n}) {{\n{}}}\n", line.repeat(10)));
        }
        file.push_str(":80 {\n\timport s19\n}\n");
        let (_, undecided) = expand(&[("Caddyfile", &file)]);
        assert!(
            undecided
                .iter()
                .any(|note| note.message.contains("too many"))
        );
    }

    #[test]
    fn the_sites_after_a_bomb_are_read() {
        let mut file = String::from("(s0) {\n\trespond x\n}\n");
        for n in 1..20 {
            let line = format!("\timport s{}\n", n - 1);
            file.push_str(&format!("(s{n}) {{\n{}}}\n", line.repeat(10)));
        }
        file.push_str(":80 {\n\timport s19\n}\n:81 {\n\timport s0\n\trespond y\n}\n");
        let (sites, _) = expand(&[("Caddyfile", &file)]);
        let [bombed, after] = sites.as_slice() else {
            panic!("{} sites", sites.len());
        };
        assert!(bombed.partial && !after.partial);
        assert_eq!(after.children().len(), 2);
    }

    #[test]
    fn blocks_that_multiply_end_too() {
        let mut file = String::new();
        for n in 0..12 {
            let line = format!(
                "\timport s{} {{\n\t\t{{block}}\n\t\t{{block}}\n\t}}\n",
                n + 1
            );
            let snippet = if n == 11 {
                "\t{block}\n".to_owned()
            } else {
                line.repeat(4)
            };
            file = format!("(s{n}) {{\n{snippet}}}\n{file}");
        }
        file.push_str(":80 {\n\timport s0 {\n\t\trespond x\n\t\trespond y\n\t}\n}\n");
        let (sites, undecided) = expand(&[("Caddyfile", &file)]);
        assert!(sites.len() == 1 && !undecided.is_empty());
    }

    #[test]
    fn of_a_million_upstreams_the_first_are_read() {
        let file = format!(":80 {{\n\treverse_proxy {}\n}}\n", "a ".repeat(5_000));
        let (sites, undecided) = expand(&[("Caddyfile", &file)]);
        assert_eq!(sites[0].children()[0].words.len(), MAX_ARGS);
        assert_eq!(undecided.len(), 1);
    }
}
