//! The policies of `src/csp.rs` in Chromium: pages under each of them open a WebSocket to their own
//! site, and what the browser lets through is what the rules call open.

#[path = "support/socket/mod.rs"]
mod socket;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use socket::frame;
use socket::message::Head;
use wslint::csp::{Policy, Site};

/// What pages come with; none of them keeps the script from running that opens the socket.
const POLICIES: &[&str] = &[
    "script-src 'self'",
    "connect-src 'none'",
    "connect-src",
    "connect-src 'self'",
    "connect-src self",
    "connect-src 'self'; connect-src 'none'",
    "connect-src 'self', connect-src 'none'",
    "default-src 'self'",
    "DEFAULT-SRC 'SELF'",
    "default-src 'none'; script-src 'self'",
    "default-src 'none'; script-src 'self'; connect-src 'self'",
    "default-src https: data:; script-src 'self'",
    "connect-src *",
    "connect-src ws:",
    "connect-src wss:",
    "connect-src wss",
    "connect-src https:",
    "connect-src http:",
    "connect-src https://app.test",
    "connect-src http://app.test",
    "connect-src app.test",
    "connect-src app.test:*",
    "connect-src ws://app.test",
    "connect-src wss://app.test",
    "connect-src wss://app.test/",
    "connect-src wss://app.test/ws",
    "connect-src wss://app.test/ws/",
    "connect-src wss://app.test:8443",
    "connect-src ws://app.test:8443",
    "connect-src wss://*.test",
    "connect-src wss://*:*",
    "connect-src wss://other.test",
];

/// Long enough for a browser that starts on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn secure_pages_are_let_through_as_the_rules_say() {
    compare(true);
}

#[test]
fn plain_pages_are_let_through_as_the_rules_say() {
    compare(false);
}

fn compare(tls: bool) {
    let seen = browse(tls);
    assert_eq!(seen.len(), POLICIES.len(), "{seen:?}");
    let mut wrong = Vec::new();
    let mut opened = 0;
    for (policy, seen) in POLICIES.iter().zip(&seen) {
        let site = Site {
            tls,
            host: Some("app.test"),
            port: if tls { 443 } else { 80 },
            path: Some("/ws"),
        };
        let expected = match Policy::new(policy).judge(site) {
            None => "opens".to_owned(),
            Some(_) => "violates connect-src".to_owned(),
        };
        opened += usize::from(seen == "opens");
        if *seen != expected {
            wrong.push(format!("{policy}: Chromium {seen}, the rules {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!((5..POLICIES.len() - 5).contains(&opened), "{opened} opened");
}

/// What Chromium reports for each policy.
fn browse(tls: bool) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let (report, reported) = mpsc::channel();
    let config = tls.then(|| certificate(folder.path()));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (config, report) = (config.clone(), report.clone());
            std::thread::spawn(move || match config {
                None => serve(stream, &report),
                Some(config) => {
                    let connection = rustls::ServerConnection::new(config).expect("a connection");
                    serve(rustls::StreamOwned::new(connection, stream), &report);
                }
            });
        }
    });
    let scheme = if tls { "https" } else { "http" };
    let browser = Command::new("chromium-headless-shell")
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--ignore-certificate-errors",
        ])
        // Nothing leaves this machine, and the site has the ports that policies mean by default.
        .arg(format!("--host-resolver-rules=MAP * 127.0.0.1:{port}"))
        .arg(format!("--user-data-dir={}", folder.path().display()))
        .arg(format!("{scheme}://app.test/"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("chromium-headless-shell is missing; this installs it: tests/run");
    let browser = Browser(browser);
    let said = reported.recv_timeout(PATIENCE).expect("a report in time");
    drop(browser);
    serde_json::from_str(&said).expect("a list")
}

/// A browser that ends with the test.
struct Browser(Child);

impl Drop for Browser {
    fn drop(&mut self) {
        // The command is a script, and the browser its child: all of the group ends.
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.0.wait();
    }
}

fn certificate(folder: &std::path::Path) -> Arc<rustls::ServerConfig> {
    let made = Command::new("openssl")
        .args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=app.test".split(' '))
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(folder)
        .output()
        .expect("apt-get install openssl");
    assert!(made.status.success(), "{made:?}");
    let chain = CertificateDer::pem_file_iter(folder.join("cert.pem")).expect("a certificate");
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).expect("a key");
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a right certificate");
    Arc::new(config)
}

/// Answers one request: the page of all pages, a page under a policy, the script, the socket, or
/// the report.
fn serve(mut stream: impl Read + Write, report: &mpsc::Sender<String>) {
    let Ok(head) = Head::read(&mut stream) else {
        return;
    };
    let path = head.first.split(' ').nth(1).unwrap_or_default();
    let (kind, body, policy) = match path {
        "/ws" => {
            let key = head.all("sec-websocket-key").first().copied();
            let accept = frame::accept(key.unwrap_or_default());
            let _ = write!(
                stream,
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
            );
            let _ = stream.flush();
            let _ = stream.read(&mut [0; 64]);
            return;
        }
        "/report" => {
            let length = head.all("content-length").first().copied();
            let mut body = vec![0; length.and_then(|text| text.parse().ok()).unwrap_or(0)];
            if stream.read_exact(&mut body).is_ok() {
                let _ = report.send(String::from_utf8_lossy(&body).into_owned());
            }
            ("text/plain", String::new(), None)
        }
        "/socket.js" => ("text/javascript", SOCKET.to_owned(), None),
        "/" => {
            let all = ALL.replace("COUNT", &POLICIES.len().to_string());
            ("text/html", all, None)
        }
        _ => {
            let number = path.trim_start_matches('/').parse::<usize>();
            match number.ok().and_then(|at| POLICIES.get(at)) {
                Some(policy) => (
                    "text/html",
                    "<!doctype html><script src=/socket.js></script>".to_owned(),
                    Some(policy),
                ),
                None => ("text/plain", String::new(), None),
            }
        }
    };
    let policy = policy.map_or_else(String::new, |policy| {
        format!("Content-Security-Policy: {policy}\r\n")
    });
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{policy}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    let _ = stream.flush();
}

/// Opens each page in a frame, and reports what all of them say.
const ALL: &str = r"<!doctype html><body><script>
const said = Array(COUNT).fill(null);
addEventListener('message', event => {
  const at = Number(event.data.at);
  said[at] ??= event.data.what;
  if (said.every(what => what !== null))
    fetch('/report', {method: 'POST', body: JSON.stringify(said)});
});
for (let at = 0; at < COUNT; at++) {
  const frame = document.createElement('iframe');
  frame.src = '/' + at;
  document.body.append(frame);
}
setTimeout(() => fetch('/report', {method: 'POST', body: JSON.stringify(said.map(String))}), 60000);
</script>";

/// Opens the site's socket and says what became of it; a refusal counts only with its violation.
const SOCKET: &str = r"
const say = what => parent.postMessage({at: location.pathname.slice(1), what}, '*');
addEventListener('securitypolicyviolation', event => say('violates ' + event.effectiveDirective));
const socket = new WebSocket(location.origin.replace('http', 'ws') + '/ws');
socket.onopen = () => say('opens');
socket.onerror = () => setTimeout(() => say('fails without a violation'), 5000);
";
