//! What `check` and `trace` share: where their sources come from, and when they use colour.

use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;

use clap::ValueEnum;

use super::{Failure, working_directory};
use crate::project::config::check_endpoint;
use crate::project::{self, Options};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Color {
    Auto,
    Always,
    Never,
}

impl Color {
    /// Colour is for terminals, unless NO_COLOR (no-color.org) says otherwise.
    pub(super) fn wanted(self) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                    && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
                    && io::stdout().is_terminal()
            }
        }
    }
}

/// What a command line says about sources.
pub(super) struct Asked<'a> {
    pub(super) paths: &'a [PathBuf],
    pub(super) stdin_filename: Option<&'a PathBuf>,
    pub(super) endpoints: &'a [String],
    pub(super) exclude: &'a [String],
    pub(super) config: Option<&'a PathBuf>,
    pub(super) isolated: bool,
    pub(super) force_exclude: bool,
}

impl Asked<'_> {
    /// How to look for files, and which ones; reads stdin where it is asked for.
    pub(super) fn options(&self) -> Result<(Options, Vec<PathBuf>), Failure> {
        let cwd = working_directory()?;
        for endpoint in self.endpoints {
            check_endpoint(endpoint)
                .map_err(|message| Failure::Message(format!("--endpoint: {message}")))?;
        }
        for glob in self.exclude {
            globset::Glob::new(glob).map_err(|error| {
                Failure::Message(format!("--exclude: `{glob}` is no glob: {}", error.kind()))
            })?;
        }
        let mut paths = self.paths.to_vec();
        let mut stdin = None;
        if paths.iter().any(|path| path.as_os_str() == "-") {
            let Some(name) = self.stdin_filename else {
                return Err(Failure::Message(
                    "`-` needs --stdin-filename NAME, to know what stdin holds".to_owned(),
                ));
            };
            let mut bytes = Vec::new();
            io::stdin()
                .take(project::MAX_SOURCE_BYTES + 1)
                .read_to_end(&mut bytes)
                .map_err(|error| Failure::Message(format!("stdin: {error}")))?;
            paths.retain(|path| path.as_os_str() != "-");
            paths.push(name.clone());
            stdin = Some((name.clone(), bytes));
        }
        let options = Options {
            cwd,
            config: self.config.cloned(),
            isolated: self.isolated,
            exclude: self.exclude.to_vec(),
            force_exclude: self.force_exclude,
            stdin,
        };
        Ok((options, paths))
    }
}
