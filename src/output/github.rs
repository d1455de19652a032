//! `github`: workflow commands, which GitHub shows beside the lines of a pull request.
//!
//! Escaping as in the runner's own toolkit (`@actions/core`, command.ts): `%`, CR and LF in a
//! message, and `:` and `,` too in a property.

use std::io::{self, Write};

use super::{Checked, findings, visible};
use crate::rule::Severity;

pub(super) fn write(checked: &[Checked], out: &mut dyn Write) -> io::Result<()> {
    for (project, finding) in findings(checked) {
        let source = project.source(finding.span.source);
        let start = source.position(finding.span.start as usize);
        let end = source.position(finding.span.end as usize);
        let command = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "notice",
        };
        let mut message = finding.message.clone();
        for label in &finding.labels {
            message.push_str(&format!(
                "\n{}: {}",
                project.place(label.span),
                label.message
            ));
        }
        for note in &finding.notes {
            message.push_str(&format!("\nnote: {note}"));
        }
        for help in &finding.help {
            message.push_str(&format!("\nhelp: {help}"));
        }
        write!(
            out,
            "::{command} file={},line={},endLine={}",
            property(&source.display),
            start.line,
            end.line
        )?;
        // Columns are allowed only within one line.
        if start.line == end.line {
            write!(out, ",col={},endColumn={}", start.column, end.column)?;
        }
        writeln!(
            out,
            ",title={}::{}",
            property(&finding.rule),
            data(&message)
        )?;
    }
    Ok(())
}

fn data(text: &str) -> String {
    visible(text)
        .replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_can_not_end_its_command() {
        assert_eq!(data("50%\n::error::x"), "50%25%0A::error::x");
        assert_eq!(property("a,b:c\n"), "a%2Cb%3Ac%0A");
    }
}
