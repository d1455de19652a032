//! wslint against whole stacks: random projects of proxies and Django applications, started as
//! their files say, the same handshakes sent by a client and through the library, and no
//! disagreement; nor does `check` say of a route what a client does not meet. One that is found is
//! printed with its seed, cut down to the lines that matter.

mod application;
#[path = "../support/differential.rs"]
mod differential;
mod project;
mod proxies;
mod servers;
#[path = "../support/socket/mod.rs"]
mod socket;
mod work;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use differential::{Server, Trial};

/// Where tests/run installs servers.
fn installed() -> PathBuf {
    std::env::var_os("WSLINT_SERVERS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/servers"),
        PathBuf::from,
    )
}

fn main() -> ExitCode {
    if let Some(ended) = differential::inside(work::Stacks::start) {
        return ended;
    }
    let arguments = libtest_mimic::Arguments::from_args();
    let trial = libtest_mimic::Trial::test("stacks_and_wslint_agree", || {
        let caddy = installed().join("caddy/bin/caddy");
        let caddy = Server::installed("stacks with Caddy", &caddy, "version")?;
        let trial = Trial {
            count: 60,
            batch: 1,
            refused: 10,
            opened: 10,
            undecided: 0.5,
            // An application takes its time for a refusal.
            sandboxes: 3,
        };
        differential::agree(&caddy, trial)
    });
    libtest_mimic::run(&arguments, vec![trial]).exit_code()
}
