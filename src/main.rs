//! The command line, nothing else.

use std::panic;
use std::process::ExitCode;

fn main() -> ExitCode {
    // A panic is our mistake: exit status 2, as the contract says, and not Rust's 101.
    panic::catch_unwind(|| wslint::cli::run(std::env::args_os()))
        .unwrap_or_else(|_| ExitCode::from(2))
}
