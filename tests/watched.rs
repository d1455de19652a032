//! Nothing is executed, no network is asked, nothing is written: the kernel watches.
//!
//! `support/watched.py` starts a program under a filter of system calls (seccomp) that kills it as
//! soon as it, or any thread of it, starts a process, makes a socket or opens a file to write it.

mod support;

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

use support::{folder, repository};

/// The signal by which the kernel ends what the filter forbids.
const SIGSYS: i32 = 31;

fn watched(words: &[&str]) -> Output {
    let mut python = Command::new("python3");
    python
        .arg(repository().join("tests/support/watched.py"))
        .args(words)
        .current_dir(repository());
    python.output().expect("python3 runs")
}

#[test]
fn the_watch_bites() {
    for attempt in [
        "import socket; socket.socket()",
        "import subprocess; subprocess.run(['true'])",
        "import os; os.execv('/bin/true', ['true'])",
        "import os; os.fork()",
        "open('/dev/null', 'w')",
        "import threading; t = threading.Thread(target=lambda: open('/dev/null', 'a')); t.start(); t.join()",
    ] {
        let said = watched(&["/usr/bin/python3", "-c", attempt]);
        assert_eq!(said.status.signal(), Some(SIGSYS), "{attempt}: {said:?}");
    }
    for attempt in ["import socket; socket.socket()", "import os; os.fork()"] {
        let said = watched(&["--writes", "/usr/bin/python3", "-c", attempt]);
        assert_eq!(said.status.signal(), Some(SIGSYS), "{attempt}: {said:?}");
    }
    let harmless = "import threading; t = threading.Thread(target=print); t.start(); t.join()";
    let said = watched(&["/usr/bin/python3", "-c", harmless]);
    assert!(said.status.success(), "{said:?}");
}

/// Code that would be noticed if anybody ran it, in all places from which programs run code.
#[test]
fn a_project_of_traps_is_read_and_not_run() {
    let trap = "import os, socket, subprocess\nsocket.create_connection(('127.0.0.1', 9))\nopen('ran', 'w')\nsubprocess.run(['touch', 'ran'])\n";
    let settings = format!("{trap}ALLOWED_HOSTS = ['*']\nROOT_URLCONF = 'market.urls'\n");
    let asgi = format!(
        "{trap}from channels.routing import ProtocolTypeRouter\napplication = ProtocolTypeRouter({{}})\n"
    );
    let project = folder(&[
        ("manage.py", trap),
        ("conftest.py", trap),
        ("gunicorn.conf.py", trap),
        ("sitecustomize.py", trap),
        ("market/settings.py", &settings),
        ("market/asgi.py", &asgi),
        (
            "entrypoint.sh",
            "#!/bin/sh\ntouch ran\nexec gunicorn market.wsgi\n",
        ),
        (
            "Procfile",
            "web: touch ran && gunicorn -c gunicorn.conf.py market.wsgi\n",
        ),
        (
            "nginx.conf",
            "events {}\nhttp { perl_set $a 'sub { `touch ran` }'; server { location /ws/ { proxy_pass http://internal.example; } } }\n",
        ),
        (
            "Caddyfile",
            "example.com {\n\treverse_proxy http://internal.example\n}\n",
        ),
    ]);
    let path = project.path().display().to_string();
    let wslint = env!("CARGO_BIN_EXE_wslint");
    let said = watched(&[wslint, "check", &path]);
    assert_eq!(said.status.signal(), None, "{said:?}");
    assert!(matches!(said.status.code(), Some(0 | 1)), "{said:?}");
    assert!(!project.path().join("ran").exists());
}

#[test]
fn no_command_starts_a_process_or_dials() {
    let wslint = env!("CARGO_BIN_EXE_wslint");
    let incident = "tests/incidents/301-cloudfront-header/broken";
    let chat = "wss://shop.example.com/ws/chat/lobby/";
    for (words, says) in [
        (&["check", "tests/stacks", "tests/incidents"][..], "error"),
        (
            &["check", "--format", "json", "--pedantic", "."],
            "\"schema\"",
        ),
        (
            &["check", "--unsafe-fixes", "--diff", "tests/stacks"],
            "+++",
        ),
        (&["trace", chat, incident], "301"),
        (
            &["trace", "/ws/rooms/lobby/", "tests/stacks/application"],
            "ws",
        ),
        (&["explain", "stack/unknown-host"], "Host"),
        (&["rules", "--format", "json"], "stack/unknown-host"),
    ] {
        let words: Vec<&str> = [wslint].into_iter().chain(words.iter().copied()).collect();
        let said = watched(&words);
        assert_eq!(said.status.signal(), None, "{words:?}: {said:?}");
        let stdout = String::from_utf8_lossy(&said.stdout);
        assert!(stdout.contains(says), "{words:?}: {said:?}");
    }
}

/// Fixing writes the file, and does nothing else.
#[test]
fn fixing_starts_no_process_and_dials_nobody() {
    let conf = "events {}\nhttp {\n    server {\n        location /ws/ {\n            proxy_pass http://app:8000;\n        }\n    }\n}\n";
    let project = folder(&[("nginx.conf", conf)]);
    let path = project.path().display().to_string();
    let wslint = env!("CARGO_BIN_EXE_wslint");
    let said = watched(&["--writes", wslint, "check", "--fix", &path]);
    assert_eq!(said.status.code(), Some(0), "{said:?}");
    let fixed = std::fs::read_to_string(project.path().join("nginx.conf")).expect("there");
    assert!(fixed.contains("proxy_set_header Upgrade"), "{fixed}");
}
