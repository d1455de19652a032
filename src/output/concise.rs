//! `concise`: `file:line:column: severity[rule] message`, one line a finding.

use std::io::{self, Write};

use super::{Checked, findings, visible};

pub(super) fn write(checked: &[Checked], out: &mut dyn Write) -> io::Result<()> {
    for (project, finding) in findings(checked) {
        let source = project.source(finding.span.source);
        let at = source.position(finding.span.start as usize);
        writeln!(
            out,
            "{}:{}:{}: {}[{}] {}",
            visible(&source.display),
            at.line,
            at.column,
            finding.severity.name(),
            finding.rule,
            visible(&finding.message).replace('\n', " ")
        )?;
    }
    Ok(())
}
