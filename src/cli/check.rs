//! `wslint check`.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Color, Failure, complain, sources};
use crate::check::{Selection, check_resolved};
use crate::context::Context;
use crate::fix::{self, Changed};
use crate::output::{self, Checked, Format};
use crate::project::{self, Declared, Options, Plan, Problem, Project};
use crate::rule::{self, Severity, closest};
use crate::source::Kind;

/// The arguments of `wslint check`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Files or folders to check; `-` reads one file from stdin
    #[arg(default_value = ".", value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// How to show what is found
    #[arg(long, value_enum, default_value_t = Format::Full)]
    format: Format,
    /// Run only these rules or groups (nginx, nginx/connection-value, …)
    #[arg(long, value_name = "RULE", value_delimiter = ',')]
    select: Vec<String>,
    /// Leave out these rules or groups
    #[arg(long, value_name = "RULE", value_delimiter = ',')]
    ignore: Vec<String>,
    /// Apply the safe fixes, each checked again before it is written
    #[arg(long)]
    fix: bool,
    /// Count fixes that need a person's judgement among those to apply
    #[arg(long)]
    unsafe_fixes: bool,
    /// Show what --fix would change as a unified diff, and write nothing
    #[arg(long)]
    diff: bool,
    /// Show hygiene too
    #[arg(long)]
    pedantic: bool,
    /// The lowest severity that makes the exit status 1
    #[arg(long, value_enum, default_value_t = FailOn::Warning, value_name = "SEVERITY")]
    fail_on: FailOn,
    /// Make the exit status 1 if anything is undecided, too
    #[arg(long)]
    strict: bool,
    /// A path or URL that carries WebSockets (repeatable)
    #[arg(long, value_name = "URL|PATH")]
    endpoint: Vec<String>,
    /// Read this configuration in place of the nearest wslint.toml
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Read no configuration
    #[arg(long, conflicts_with = "config")]
    isolated: bool,
    /// Leave out what this glob, relative to the working directory, matches (repeatable)
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Leave out excluded files even if they are given by name
    #[arg(long)]
    force_exclude: bool,
    /// What stdin holds, by the name and place that it would have
    #[arg(long, value_name = "NAME")]
    stdin_filename: Option<PathBuf>,
    /// When to colour the output
    #[arg(long, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    color: Color,
    /// Show findings only: no notes, no summary
    #[arg(short, long)]
    quiet: bool,
    /// Tell on stderr which files are read, as what, and by which configuration
    #[arg(short, long, conflicts_with = "quiet")]
    verbose: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FailOn {
    Error,
    Warning,
    Info,
    Never,
}

impl FailOn {
    fn fails(self, severity: Severity) -> bool {
        match self {
            Self::Error => severity >= Severity::Error,
            Self::Warning => severity >= Severity::Warning,
            Self::Info => true,
            Self::Never => false,
        }
    }
}

/// Runs the subcommand; the exit status.
pub(super) fn run(arguments: Arguments, out: &mut dyn Write) -> Result<u8, Failure> {
    let (options, paths) = sources::Asked {
        paths: &arguments.paths,
        stdin_filename: arguments.stdin_filename.as_ref(),
        endpoints: &arguments.endpoint,
        exclude: &arguments.exclude,
        config: arguments.config.as_ref(),
        isolated: arguments.isolated,
        force_exclude: arguments.force_exclude,
    }
    .options()?;
    let mut problems = Vec::new();
    let plans = project::plan(&paths, &options, &mut problems);
    check_names(&arguments, &plans)?;
    // One project after the other: each is parallel in itself, and its trees are gone before
    // the next begins.
    let whole = plans.iter().any(|plan| plan.only.is_none());
    let mut fixing = Fixing::default();
    let checked: Vec<Checked> = plans
        .into_iter()
        .map(|plan| checked(plan, &arguments, &options, &mut fixing, &mut problems))
        .collect();
    if arguments.diff {
        return show_diff(&fixing, &problems, &arguments, out);
    }
    let color = arguments.color.wanted();
    match (&fixing.stdin, arguments.fix) {
        // Whoever pipes a file through wants it back.
        (Some(text), true) => {
            out.write_all(text.as_bytes())?;
            output::write(&checked, arguments.format, false, &mut io::stderr())?;
        }
        _ => output::write(&checked, arguments.format, color, out)?,
    }
    out.flush()?;
    let for_people = arguments.format.is_for_people();
    let files: usize = checked.iter().map(|one| one.outcome.files).sum();
    if for_people && !arguments.quiet {
        output::write_undecided(&checked, &mut io::stderr())?;
        if fixing.count > 0 {
            complain(&fixing.told("fixed"));
        }
        // Given files that are no kind of ours: not a word, so that a hook may pass anything.
        if files > 0 {
            complain(&output::summary(&checked));
        } else if problems.is_empty() && whole {
            complain("no nginx, Caddy or Django file found here");
        }
    }
    for problem in &problems {
        complain(&format!("error: {problem}"));
    }
    let failed = checked.iter().any(|one| {
        let findings = &one.outcome.findings;
        findings
            .iter()
            .any(|finding| arguments.fail_on.fails(finding.severity))
            || (arguments.strict && !one.outcome.undecided.is_empty())
    });
    std::mem::forget(checked);
    Ok(match (problems.is_empty(), failed) {
        (false, _) => 2,
        (true, true) => 1,
        (true, false) => 0,
    })
}

/// A misspelt rule on the command line would silently select nothing.
fn check_names(arguments: &Arguments, plans: &[Plan]) -> Result<(), Failure> {
    let own = || plans.iter().flat_map(|plan| &plan.config.own_rules);
    for name in arguments.select.iter().chain(&arguments.ignore) {
        let known =
            rule::names(&[]).any(|known| known == name) || own().any(|rule| rule.is_named_by(name));
        if !known {
            let hint = closest(name, rule::names(&[]))
                .map_or_else(String::new, |right| format!("; did you mean `{right}`?"));
            return Err(Failure::Message(format!(
                "no rule or group is called `{name}`{hint}"
            )));
        }
    }
    Ok(())
}

/// What is fixed, or would be.
#[derive(Debug, Default)]
struct Fixing {
    /// How many findings.
    count: usize,
    /// The files that change.
    changed: Vec<Changed>,
    /// What stdin holds, fixed; it has no file to be written to.
    stdin: Option<String>,
}

impl Fixing {
    fn told(&self, what: &str) -> String {
        format!("{what} {}", output::plural(self.count, "finding"))
    }

    /// Fixes a project, and writes what changes to disk unless a diff is all that is asked for.
    fn fix(
        &mut self,
        project: Project,
        selection: &Selection,
        arguments: &Arguments,
        options: &Options,
        problems: &mut Vec<Problem>,
    ) -> Project {
        let before: Vec<(String, String)> = project
            .sources
            .iter()
            .map(|source| (source.path.clone(), source.text.clone()))
            .collect();
        let fixed = fix::fix(project, selection, arguments.unsafe_fixes);
        self.count += fixed.count;
        let mut changed = fix::changed(&before, &fixed.project);
        if let Some((path, text)) = options.stdin_in(&fixed.project) {
            self.stdin = Some(text);
            if !arguments.diff {
                changed.retain(|file| file.path != path);
            }
        }
        if !arguments.diff {
            fix::write(&fixed.project.root, &changed, problems);
        }
        self.changed.extend(changed);
        fixed.project
    }
}

fn show_diff(
    fixing: &Fixing,
    problems: &[Problem],
    arguments: &Arguments,
    out: &mut dyn Write,
) -> Result<u8, Failure> {
    for file in &fixing.changed {
        out.write_all(fix::diff(file).as_bytes())?;
    }
    out.flush()?;
    for problem in problems {
        complain(&format!("error: {problem}"));
    }
    if !arguments.quiet {
        complain(&match fixing.count {
            0 => "nothing to fix".to_owned(),
            _ => fixing.told("would fix"),
        });
    }
    Ok(match (problems.is_empty(), fixing.changed.is_empty()) {
        (false, _) => 2,
        (true, false) => 1,
        (true, true) => 0,
    })
}

fn checked(
    plan: Plan,
    arguments: &Arguments,
    options: &Options,
    fixing: &mut Fixing,
    problems: &mut Vec<Problem>,
) -> Checked {
    let only = plan.only.clone();
    let mut project = project::load(plan, options, problems);
    project
        .config
        .endpoints
        .extend(arguments.endpoint.iter().map(|endpoint| Declared {
            endpoint: endpoint.clone(),
            span: None,
        }));
    let selection = Selection {
        select: arguments.select.clone(),
        ignore: arguments.ignore.clone(),
        pedantic: arguments.pedantic,
        only,
    };
    if arguments.verbose {
        tell(&project, &selection.only);
    }
    if arguments.fix || arguments.diff {
        project = fixing.fix(project, &selection, arguments, options, problems);
    }
    let context = Context::resolve(&project);
    let mut outcome = check_resolved(&context, &selection);
    // To try them costs another check, and only some are told of them.
    let counts = arguments.format.is_for_people() && !arguments.quiet;
    if counts || arguments.format.holds_fixes() {
        fix::keep_what_holds(&context, &mut outcome);
    }
    // The process ends soon; freeing millions of nodes one by one would only delay it.
    std::mem::forget(context);
    Checked { project, outcome }
}

fn tell(project: &Project, only: &Option<BTreeSet<String>>) {
    for source in &project.sources {
        let (kind, path) = (source.kind.name(), &source.display);
        match (source.kind, only) {
            (Kind::Config, _) => complain(&format!("configuration: {path}")),
            (_, Some(only)) if !only.contains(&source.path) => {
                complain(&format!("{kind}: {path} (for context)"));
            }
            _ => complain(&format!("{kind}: {path}")),
        }
    }
}
