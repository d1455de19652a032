//! What looks suspicious and works: a real nginx or Caddy opens the socket through all of it.

#[path = "../support/caddy_harmless.rs"]
mod caddyfiles;
#[path = "../support/nginx_harmless.rs"]
mod table;

use libtest_mimic::{Failed, Trial};

use crate::case::Case;
use crate::examples::report;
use crate::installed::{self, CaddyVersion};
use crate::sandbox;

/// One trial for each group of configurations, and for each Caddyfile.
pub(crate) fn trials() -> Vec<Trial> {
    let caddyfiles = caddyfiles::all()
        .into_iter()
        .zip(1..)
        .map(|(text, number)| {
            Trial::test(format!("caddy/harmless: {number}"), move || {
                through_caddy(&text).map_err(Failed::from)
            })
        });
    table::harmless()
        .into_iter()
        .map(|(title, configurations)| {
            Trial::test(format!("nginx/harmless: {title}"), move || {
                for http in &configurations {
                    opens(http).map_err(Failed::from)?;
                }
                Ok(())
            })
        })
        .chain(caddyfiles)
        .collect()
}

fn through_caddy(text: &str) -> Result<(), String> {
    let outcome = sandbox::run(&Case {
        files: vec![("Caddyfile".to_owned(), text.to_owned())],
        url: "ws://localhost/ws".to_owned(),
        headers: Vec::new(),
        plain: false,
        lives: false,
        caddy: installed::caddy(CaddyVersion::Current)?,
        python: String::new(),
        certificates: installed::certificates()?,
    })?;
    let opened = outcome.attempts.len() == 2 && outcome.attempts.iter().all(|try_| try_.opens);
    if opened {
        Ok(())
    } else {
        Err(format!("{text}\n{}", report(&outcome)))
    }
}

fn opens(http: &str) -> Result<(), String> {
    installed::nginx()?;
    let own = table::FILES.map(|(path, text)| (path.to_owned(), text.to_owned()));
    let outcome = sandbox::run(&Case {
        files: std::iter::once(("nginx.conf".to_owned(), table::whole(http)))
            .chain(own)
            .collect(),
        url: format!("ws://localhost{}", table::ENDPOINT),
        headers: Vec::new(),
        plain: false,
        lives: false,
        caddy: String::new(),
        python: String::new(),
        certificates: installed::certificates()?,
    })?;
    let opened = outcome.attempts.len() == 2 && outcome.attempts.iter().all(|try_| try_.opens);
    if opened {
        Ok(())
    } else {
        Err(format!("{http}\n{}", report(&outcome)))
    }
}
