//! The servers on this machine, and what they need that no repository holds.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use crate::{caddy, sandbox};

/// A Caddy of Debian's age, and a current one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CaddyVersion {
    Debian,
    Current,
}

impl CaddyVersion {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Debian => "Debian's Caddy",
            Self::Current => "a current Caddy",
        }
    }

    fn path(self) -> PathBuf {
        match self {
            Self::Debian => find("caddy"),
            Self::Current => sandbox::servers().join("caddy/bin/caddy"),
        }
    }
}

/// The Caddy of that version.
pub(crate) fn caddy(version: CaddyVersion) -> Result<String, String> {
    let path = version.path();
    let how = match version {
        CaddyVersion::Debian => "apt-get install caddy",
        CaddyVersion::Current => "tests/run",
    };
    present(&path, version.name(), how)
}

/// nginx.
pub(crate) fn nginx() -> Result<String, String> {
    present(&find("nginx"), "nginx", "apt-get install nginx")
}

/// The virtual environment for an example's `server`.
pub(crate) fn python(server: Option<&str>) -> Result<String, String> {
    let name = ["bare", "redis", "others"]
        .into_iter()
        .find(|name| server.is_some_and(|server| server.rsplit('-').next() == Some(*name)))
        .unwrap_or("django");
    let folder = sandbox::servers().join(name);
    present(
        &folder.join("bin/python"),
        "Django with its servers",
        "tests/run",
    )?;
    Ok(folder.to_string_lossy().into_owned())
}

fn present(path: &Path, what: &str, how: &str) -> Result<String, String> {
    if path.exists() {
        return Ok(path.to_string_lossy().into_owned());
    }
    Err(format!("{what} is missing; this installs it: {how}"))
}

/// Where a command lies; where nothing lies if there is none.
fn find(command: &str) -> PathBuf {
    let path = std::env::var("PATH").unwrap_or_default();
    let found = path
        .split(':')
        .chain(["/usr/sbin", "/sbin"])
        .map(|folder| Path::new(folder).join(command))
        .find(|path| path.exists());
    found.unwrap_or_else(|| Path::new("/nonexistent").join(command))
}

static CERTIFICATES: OnceLock<Result<PathBuf, String>> = OnceLock::new();
static FOLDER: Mutex<Option<tempfile::TempDir>> = Mutex::new(None);

/// A folder with a certificate for nginx and an authority for Caddy, made once a run.
pub(crate) fn certificates() -> Result<String, String> {
    let made = CERTIFICATES.get_or_init(|| {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let path = folder.path().to_owned();
        if let Ok(mut kept) = FOLDER.lock() {
            *kept = Some(folder);
        }
        let output = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
            ])
            .args(["-nodes", "-days", "30", "-subj", "/CN=wslint.test"])
            .arg("-keyout")
            .arg(path.join("key.pem"))
            .arg("-out")
            .arg(path.join("cert.pem"))
            .output()
            .map_err(|error| format!("openssl (apt-get install openssl): {error}"))?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        let version = [CaddyVersion::Debian, CaddyVersion::Current]
            .into_iter()
            .find_map(|version| caddy(version).ok());
        if let Some(version) = version {
            caddy::authority(&version, &path)?;
        }
        Ok(path)
    });
    made.clone().map(|path| path.to_string_lossy().into_owned())
}

/// Removes what [`certificates`] made.
pub(crate) fn clean() {
    if let Ok(mut kept) = FOLDER.lock() {
        kept.take();
    }
}
