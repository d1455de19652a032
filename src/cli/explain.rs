//! `wslint explain RULE`.

use std::io::Write;

use clap::Args;

use super::Failure;
use crate::rule::{self, Example, Proof, Rule, closest, rules};

/// The arguments of `wslint explain`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The rule's id, such as nginx/connection-value
    rule: String,
}

/// Runs the subcommand; the exit status.
pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> Result<u8, Failure> {
    let name = &arguments.rule;
    // `upgrade-value` is enough where it is clear.
    let own = super::own_rules()?;
    let mut named = rules()
        .iter()
        .chain(&own)
        .filter(|rule| rule.id == *name || rule.id.split('/').nth(1) == Some(name));
    let Some(rule) = named.next().filter(|_| named.next().is_none()) else {
        let hint = match closest(name, rule::names(&own).filter(|name| name.contains('/'))) {
            Some(right) => format!("did you mean `{right}`?"),
            None => "`wslint rules` lists them all".to_owned(),
        };
        return Err(Failure::Message(format!(
            "no rule is called `{name}`; {hint}"
        )));
    };
    explain(rule, out)?;
    Ok(0)
}

fn explain(rule: &Rule, out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(
        out,
        "{} ({})\n{}\n",
        rule.id,
        rule.severity.name(),
        rule.summary
    )?;
    writeln!(out, "Why\n{}\n", indented(&rule.why))?;
    writeln!(out, "Fix\n{}\n", indented(&rule.fix))?;
    for example in rule.examples.iter() {
        write_example(example, out)?;
    }
    let proof = match &rule.proof {
        Proof::Server => {
            "each example above runs on the real server in wslint's own tests, which send it a \
             browser's handshake and compare the answer"
                .to_owned()
        }
        Proof::Source(source) => {
            format!("no server on this machine can show it; it rests on {source}")
        }
    };
    writeln!(out, "Proof\n{}", indented(&proof))?;
    if !rule.references.is_empty() {
        writeln!(out, "\nReferences")?;
        for reference in rule.references.iter() {
            writeln!(out, "  {reference}")?;
        }
    }
    Ok(())
}

fn write_example(example: &Example, out: &mut dyn Write) -> std::io::Result<()> {
    let kind = if example.breaks { "Breaks" } else { "Works" };
    writeln!(out, "{kind}: {}", example.title)?;
    for (path, text) in example
        .files
        .iter()
        .filter(|(_, text)| !text.trim().is_empty())
    {
        writeln!(out, "  {path}")?;
        for line in text.trim_end().lines() {
            writeln!(out, "    {line}")?;
        }
    }
    if let Some(handshake) = &example.handshake {
        let answer = match (handshake.status, example.breaks) {
            (Some(status), _) => format!("answers {status}"),
            (None, true) => "no answer: the server refuses to start, closes, or hangs".to_owned(),
            (None, false) => "answers 101".to_owned(),
        };
        writeln!(out, "  {} → {answer}", handshake.url)?;
    }
    writeln!(out)
}

fn indented(text: &str) -> String {
    let lines: Vec<String> = text
        .lines()
        .map(|line| {
            if line.is_empty() {
                String::new()
            } else {
                format!("  {line}")
            }
        })
        .collect();
    lines.join("\n")
}
