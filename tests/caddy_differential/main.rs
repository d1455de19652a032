//! wslint against Caddy: random Caddyfiles, the same handshakes sent through a real Caddy and
//! through the library, and no disagreement. Whatever disagrees is printed in full.

#[path = "../support/differential.rs"]
mod differential;
mod generate;
#[path = "../support/socket/mod.rs"]
mod socket;
mod work;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use differential::{Server, Trial};
use libtest_mimic::Failed;

fn main() -> ExitCode {
    if let Some(ended) = differential::inside(work::Caddy::start) {
        return ended;
    }
    let arguments = libtest_mimic::Arguments::from_args();
    let servers = std::env::var_os("WSLINT_SERVERS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/servers"),
        PathBuf::from,
    );
    let current = servers.join("caddy/bin/caddy");
    // In turn, since each of them uses every core.
    let trial = libtest_mimic::Trial::test("caddy_and_wslint_agree", move || {
        let both = [
            agree(&current, 700),
            agree(Path::new("/usr/bin/caddy"), 120),
        ];
        let wrong: Vec<String> = both
            .into_iter()
            .filter_map(|told| told.err())
            .filter_map(|told| told.message().map(str::to_owned))
            .collect();
        match wrong.is_empty() {
            true => Ok(()),
            false => Err(wrong.join("\n\n").into()),
        }
    });
    libtest_mimic::run(&arguments, vec![trial]).exit_code()
}

fn agree(caddy: &Path, count: u64) -> Result<(), Failed> {
    let caddy = Server::installed("Caddy", caddy, "version")?;
    let trial = Trial {
        count,
        batch: 4,
        refused: 10,
        opened: 8,
        undecided: 3.0,
        sandboxes: 1,
    };
    differential::agree(&caddy, trial)
}
