//! Truth: what the real servers do with every example of every rule, with both incidents, and with
//! whole stacks.
//!
//! Each example whose rule has `proof = "server"` runs unchanged in a sandbox before a strict
//! RFC 6455 upstream or as a Django application; a breaking one must fail with the status that it
//! states, a working one must open and echo, and wslint must agree with both.

mod caddy;
mod case;
mod compose;
mod examples;
mod harmless;
mod incidents;
mod installed;
mod machine;
mod nginx;
mod polling;
mod proofs;
mod sandbox;
#[path = "../support/socket/mod.rs"]
mod socket;
mod stack;
mod stacks;

use std::process::ExitCode;

use socket::{client, upstream};

fn main() -> ExitCode {
    if let Some(folder) = sandbox::inside() {
        return match sandbox::serve(&folder) {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        };
    }
    let arguments = libtest_mimic::Arguments::from_args();
    let mut trials = proofs::trials();
    trials.extend(examples::trials());
    trials.extend(harmless::trials());
    trials.extend(incidents::trials());
    trials.extend(stacks::trials());
    let conclusion = libtest_mimic::run(&arguments, trials);
    installed::clean();
    conclusion.exit_code()
}
