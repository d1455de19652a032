//! The story of a handshake, hop by hop, for people.

use std::collections::HashMap;
use std::io::{self, Write};

use super::super::{plural, visible};
use super::{Ways, decisive, header, leaving, origin, path_and_query};
use crate::handshake::{Outcome, Protocol, Reply, Request};
use crate::project::Project;
use crate::source::Span;
use crate::trace::{Run, Step, Target, Verdict, Way};
use crate::value::Value;

/// The headers that decide: those of the handshake, and those by which hops tell each other of it.
const SHOWN: [&str; 4] = ["Host", "Upgrade", "Connection", "X-Forwarded-Proto"];

/// Ways that are listed beside the one that is told.
const LISTED: usize = 10;

/// Escape sequences, or nothing.
struct Ink(bool);

impl Ink {
    fn paint(&self, code: &str, text: &str) -> String {
        if self.0 && !text.is_empty() {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }

    fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    /// Line numbers and their rule, as in `check`.
    fn margin(&self, text: &str) -> String {
        self.paint("1;94", text)
    }

    fn verdict(&self, verdict: Verdict, text: &str) -> String {
        let code = match verdict {
            Verdict::Opens => "1;32",
            Verdict::Fails => "1;91",
            Verdict::Undecided => "1;33",
        };
        self.paint(code, text)
    }
}

pub(super) fn write(
    target: &Target,
    ways: Ways<'_>,
    color: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    let ink = Ink(color);
    let Some((project, way)) = ways.first() else {
        return Ok(());
    };
    let (browser, run) = decisive(way);
    let who = if way.differs() {
        browser.name()
    } else {
        "Chrome and Firefox"
    };
    writeln!(
        out,
        "{}  {who}\n",
        ink.bold(&visible(if target.origin.is_some() {
            &target.text
        } else {
            &way.url
        }))
    )?;
    for (number, step) in run.steps.iter().enumerate() {
        write_step(project, run, number, step, &ink, out)?;
    }
    write_end(way, run, &ink, out)?;
    write_causes(project, way, &ink, out)?;
    if ways.len() > 1 {
        write_others(ways, &ink, out)?;
    }
    Ok(())
}

fn write_step(
    project: &Project,
    run: &Run,
    number: usize,
    step: &Step,
    ink: &Ink,
    out: &mut dyn Write,
) -> io::Result<()> {
    let place = visible(&project.place(step.at));
    writeln!(
        out,
        "{} {}  {place}",
        ink.margin(&format!("{}.", number + 1)),
        ink.bold(step.layer)
    )?;
    let lines = Lines::of(project, step);
    lines.write(project, ink, out)?;
    let margin = " ".repeat(lines.width);
    let lost = run.lost_at == Some(number) && run.verdict != Verdict::Opens;
    match &step.passage.outcome {
        Outcome::Forwards { reply, .. } => {
            write_request(project, step, &margin, ink, out)?;
            if lost || matches!(reply, Reply::Replaced { .. } | Reply::Spoiled { .. }) {
                write_loss(run, step, &margin, ink, out)?;
            }
        }
        Outcome::Answers { status: Some(101) } => {
            writeln!(out, "{margin}   {} 101", ink.verdict(Verdict::Opens, "←"))?;
        }
        Outcome::Answers { status } => {
            let what = match status {
                Some(status) => status.to_string(),
                // Which page an application has for it is not always in the files.
                None if step.layer == "django" => "no 101".to_owned(),
                None => "no answer".to_owned(),
            };
            writeln!(
                out,
                "{margin}   {} {what}",
                ink.verdict(Verdict::Fails, "←")
            )?;
            write_rule(step, &margin, ink, out)?;
        }
        Outcome::Undecided { why } => {
            writeln!(
                out,
                "{margin}   {} {}",
                ink.verdict(Verdict::Undecided, "?"),
                visible(why)
            )?;
        }
    }
    writeln!(out)
}

/// The lines that decided, in the order of events, each with what it did.
struct Lines<'a> {
    /// The file, the line's number, and what it did.
    rows: Vec<(Span, usize, Vec<&'a str>)>,
    /// The width of the longest number.
    width: usize,
}

impl<'a> Lines<'a> {
    fn of(project: &Project, step: &'a Step) -> Self {
        let mut rows: Vec<(Span, usize, Vec<&str>)> = Vec::new();
        // A loop says the same over and over: twice shows that it is one.
        let mut told: HashMap<(Span, &str), usize> = HashMap::new();
        for because in &step.passage.because {
            let times = told.entry((because.span, &because.message)).or_default();
            *times += 1;
            if *times > 2 {
                continue;
            }
            let source = project.source(because.span.source);
            let line = source.position(because.span.start as usize).line;
            match rows.last_mut() {
                Some((span, last, messages))
                    if span.source == because.span.source && *last == line =>
                {
                    messages.push(&because.message);
                }
                _ => rows.push((because.span, line, vec![&because.message])),
            }
        }
        let width = rows
            .iter()
            .map(|(_, line, _)| line.to_string().len())
            .max()
            .unwrap_or(1)
            .max(2);
        Self { rows, width }
    }

    fn write(&self, project: &Project, ink: &Ink, out: &mut dyn Write) -> io::Result<()> {
        let mut file = None;
        for (span, line, messages) in &self.rows {
            let source = project.source(span.source);
            // The step's own file is in its title.
            if file.is_some_and(|before| before != span.source) {
                let margin = " ".repeat(self.width);
                writeln!(
                    out,
                    "{margin} {} {}",
                    ink.margin(":::"),
                    visible(&source.display)
                )?;
            }
            file = Some(span.source);
            let text = source
                .text
                .lines()
                .nth(line - 1)
                .map(|text| visible(text.trim()).replace('\t', " "))
                .unwrap_or_default();
            writeln!(
                out,
                "{} {}",
                ink.margin(&format!("{line:>width$} |", width = self.width)),
                shortened(&text)
            )?;
            for message in messages {
                writeln!(
                    out,
                    "{}   {}",
                    ink.margin(&format!("{:>width$} |", "", width = self.width)),
                    visible(message)
                )?;
            }
        }
        Ok(())
    }
}

/// A line of a hundred characters is enough to know it again.
fn shortened(text: &str) -> String {
    const MOST: usize = 100;
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn version(request: &Request) -> &'static str {
    match request.protocol {
        Protocol::Http10 => "HTTP/1.0",
        Protocol::Http11 => "HTTP/1.1",
        Protocol::Http2 => "HTTP/2",
        Protocol::Http3 => "HTTP/3",
    }
}

fn write_request(
    project: &Project,
    step: &Step,
    margin: &str,
    ink: &Ink,
    out: &mut dyn Write,
) -> io::Result<()> {
    let request = leaving(step);
    let to = match step.followed.as_ref().map(origin) {
        Some(Some(origin)) => origin,
        _ => "an upstream that the files do not name".to_owned(),
    };
    writeln!(
        out,
        "{margin}   {} {}",
        ink.bold("→"),
        ink.bold(&visible(&format!(
            "{} {} {}, to {to}",
            request.method,
            path_and_query(request),
            version(request)
        )))
    )?;
    for name in SHOWN {
        let before = header(&step.arrived, name);
        let after = header(request, name);
        let text = match (&before, &after) {
            (None, None) => continue,
            (Some(_), None) => "(gone)".to_owned(),
            (_, Some(Value::Known(value))) if value.is_empty() => "(empty)".to_owned(),
            (_, Some(Value::Known(value))) => visible(value),
            (_, Some(Value::OneOf(values))) => {
                let values: Vec<_> = values.iter().map(|value| visible(value)).collect();
                let values: Vec<_> = values
                    .iter()
                    .map(|value| if value.is_empty() { "nothing" } else { value })
                    .collect();
                values.join(" or ")
            }
            (_, Some(Value::Unknown(why))) => format!("(unknown: {})", visible(why)),
        };
        let from = request
            .lines(name)
            .find_map(|line| line.from)
            .map_or_else(String::new, |span| {
                format!("   # {}", visible(&project.place(span)))
            });
        let text = if matches!(name, "Upgrade" | "Connection") && before != after {
            ink.bold(&text)
        } else {
            text
        };
        writeln!(out, "{margin}     {name}: {text}{}", ink.margin(&from))?;
    }
    Ok(())
}

fn write_loss(
    run: &Run,
    step: &Step,
    margin: &str,
    ink: &Ink,
    out: &mut dyn Write,
) -> io::Result<()> {
    let lost = match run.verdict {
        Verdict::Undecided => ink.verdict(run.verdict, "?"),
        _ => ink.verdict(run.verdict, "lost here:"),
    };
    let why: Vec<String> = run.reasons.iter().map(|why| visible(why)).collect();
    // What the next hop answers is told there.
    if matches!(step.passage.outcome, Outcome::Forwards { .. }) && !why.is_empty() {
        writeln!(out, "{margin}   {lost} {}", why.join("; "))?;
    }
    write_rule(step, margin, ink, out)
}

fn write_rule(step: &Step, margin: &str, ink: &Ink, out: &mut dyn Write) -> io::Result<()> {
    if let Some(rule) = &step.rule {
        writeln!(
            out,
            "{margin}   {}",
            ink.bold(&format!(
                "{rule}: `wslint explain {rule}` says why and what to write"
            ))
        )?;
    }
    Ok(())
}

/// What the browser meets with.
fn write_end(way: &Way, run: &Run, ink: &Ink, out: &mut dyn Write) -> io::Result<()> {
    let verdict = ink.verdict(run.verdict, run.verdict.name());
    let told = run.steps.iter().rev().find(|step| step.layer != "edge");
    let inside = told.is_some_and(|step| matches!(step.passage.outcome, Outcome::Answers { .. }));
    match (run.verdict, run.status) {
        (Verdict::Opens, _) if inside => {
            writeln!(out, "{verdict}: the browser gets 101, and the socket opens")?;
        }
        (Verdict::Opens, _) => writeln!(
            out,
            "{verdict}: a whole handshake reaches the last upstream, and the browser gets the 101 that a correct WebSocket server answers"
        )?,
        (Verdict::Fails, Some(101)) => writeln!(
            out,
            "{verdict}: the browser gets a 101 that it must refuse, and the page sees close code 1006"
        )?,
        (Verdict::Fails, Some(status)) => writeln!(
            out,
            "{verdict}: the browser gets {status} in place of 101{}, and the page sees close code 1006",
            if (300..400).contains(&status) {
                ", which it follows nowhere"
            } else {
                ""
            }
        )?,
        (Verdict::Fails, None) if inside => writeln!(
            out,
            "{verdict}: the browser gets {}, and the page sees close code 1006",
            match told.map(|step| step.layer) {
                Some("django") => "whatever it answers, which is no 101",
                _ if run.steps.iter().filter(|step| step.layer != "edge").count() == 1 =>
                    "no answer",
                _ => "an error page",
            }
        )?,
        (Verdict::Fails, None) => writeln!(
            out,
            "{verdict}: what reaches the last upstream is no handshake ({}); whatever that answers is no 101, and the page sees close code 1006",
            run.reasons
                .iter()
                .map(|why| visible(why))
                .collect::<Vec<_>>()
                .join("; ")
        )?,
        (Verdict::Undecided, _) => {
            let why: Vec<_> = run.reasons.iter().map(|why| visible(why)).collect();
            writeln!(out, "{verdict}: {}", why.join("; "))?;
        }
    }
    if way.differs() {
        writeln!(
            out,
            "Chrome {}, Firefox {}: they differ in Connection (`Upgrade`, `keep-alive, Upgrade`)",
            way.runs[0].verdict.name(),
            way.runs[1].verdict.name()
        )?;
    }
    Ok(())
}

/// What one would change, as `check` says it.
fn write_causes(project: &Project, way: &Way, ink: &Ink, out: &mut dyn Write) -> io::Result<()> {
    if way.causes.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nwhat to change:")?;
    for finding in &way.causes {
        let place = visible(&project.place(finding.span));
        writeln!(out, "\n{}  {place}", ink.bold(&finding.rule))?;
        writeln!(out, "  {}", visible(&finding.message))?;
        for help in &finding.help {
            for (number, line) in visible(help).lines().enumerate() {
                let margin = if number == 0 {
                    "  = help: "
                } else {
                    "          "
                };
                writeln!(out, "{}", format!("{margin}{line}").trim_end())?;
            }
        }
    }
    Ok(())
}

fn write_others(ways: Ways<'_>, ink: &Ink, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "\n{} in were tried; the first decides:",
        plural(ways.len(), "way")
    )?;
    for (project, way) in ways.iter().take(LISTED) {
        let run = way.decisive();
        let status = match (run.verdict, run.status) {
            (Verdict::Fails, Some(status)) => format!(" {status}"),
            _ => String::new(),
        };
        let place = way
            .entrance
            .or_else(|| {
                run.steps
                    .iter()
                    .find(|step| step.layer != "edge")
                    .map(|step| step.at)
            })
            .map_or_else(String::new, |span| visible(&project.place(span)));
        writeln!(
            out,
            "  {}{status}  {}  {place}",
            ink.verdict(run.verdict, run.verdict.name()),
            visible(&way.url)
        )?;
    }
    if ways.len() > LISTED {
        writeln!(out, "  and {} more", ways.len() - LISTED)?;
    }
    Ok(())
}
