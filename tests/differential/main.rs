//! wslint against nginx: random configurations, the same handshakes sent to a real nginx and
//! through the library, and no disagreement. One that is found is printed with its seed, cut down
//! to the lines that matter.

mod configuration;
#[path = "../support/differential.rs"]
mod differential;
mod generate;
mod lines;
mod servers;
#[path = "../support/socket/mod.rs"]
mod socket;
mod work;

use std::path::Path;
use std::process::ExitCode;

use differential::{Server, Trial};

fn main() -> ExitCode {
    if let Some(ended) = differential::inside(work::Nginx::start) {
        return ended;
    }
    let arguments = libtest_mimic::Arguments::from_args();
    let trial = libtest_mimic::Trial::test("nginx_and_wslint_agree", || {
        let debian = Server::installed("nginx", Path::new("/usr/sbin/nginx"), "-v")?;
        let trial = Trial {
            count: 1200,
            batch: generate::BATCH,
            refused: 20,
            opened: 20,
            undecided: 3.0,
            sandboxes: 1,
        };
        differential::agree(&debian, trial)
    });
    libtest_mimic::run(&arguments, vec![trial]).exit_code()
}
