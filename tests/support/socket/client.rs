//! The browsers: a handshake in Chrome's and in Firefox's form, judged as they judge the answer.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

use super::frame;
use super::message::Head;
use super::{Attempt, Url};

/// How long a person would wait; nothing that works here takes a tenth of it.
const PATIENCE: Duration = Duration::from_secs(8);

/// Where and how to send the handshake.
#[derive(Clone, Debug)]
pub(crate) struct Dial {
    pub(crate) url: Url,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: bool,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) lives: bool,
    /// What is silent for longer hangs.
    pub(crate) patience: Duration,
    /// The client's own address.
    pub(crate) from: Ipv4Addr,
}

impl Dial {
    /// Where the URL says, on this machine.
    pub(crate) fn here(url: Url) -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: url.port,
            tls: url.tls,
            headers: Vec::new(),
            lives: false,
            patience: PATIENCE,
            from: NEIGHBOUR,
            url,
        }
    }
}

/// A client on this machine, but not at 127.0.0.1, which application servers trust as their proxy.
pub(crate) const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Both browsers, at the same time.
pub(crate) fn attempts(dial: &Dial) -> Vec<Attempt> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = ["Chrome", "Firefox"]
            .into_iter()
            .map(|browser| scope.spawn(move || attempt(browser, dial)))
            .collect();
        threads
            .into_iter()
            .filter_map(|thread| thread.join().ok())
            .collect()
    })
}

pub(crate) fn attempt(browser: &str, dial: &Dial) -> Attempt {
    let mut attempt = Attempt {
        browser: browser.to_owned(),
        ..Attempt::default()
    };
    if let Err(error) = talk(&mut attempt, dial) {
        attempt.note = match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                format!("silent for {} seconds", dial.patience.as_secs())
            }
            _ => error.to_string(),
        };
    }
    attempt
}

impl Attempt {
    /// The status, and where it points.
    fn take(&mut self, head: &Head) {
        let status = head.first.split(' ').nth(1);
        self.status = status.and_then(|status| status.parse().ok());
        let location = head.all("location");
        self.location = location.first().map(|&location| location.to_owned());
    }
}

/// A connection over which a handshake travels.
pub(crate) trait Stream: Read + Write {}
impl<T: Read + Write + ?Sized> Stream for T {}

pub(crate) fn connect(dial: &Dial) -> io::Result<Box<dyn Stream>> {
    let address = (dial.host.as_str(), dial.port)
        .to_socket_addrs()?
        .find(SocketAddr::is_ipv4)
        .ok_or_else(|| io::Error::other(format!("no address for {}", dial.host)))?;
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((dial.from, 0)).into())?;
    socket.connect_timeout(&address.into(), dial.patience)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(dial.patience))?;
    stream.set_write_timeout(Some(dial.patience))?;
    if !dial.tls {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(dial.url.host.clone()).map_err(io::Error::other)?;
    let session = rustls::ClientConnection::new(tls_config()?, name).map_err(io::Error::other)?;
    Ok(Box::new(rustls::StreamOwned::new(session, stream)))
}

/// Whether a TLS handshake with the host succeeds now.
pub(crate) fn speaks_tls(dial: &Dial) -> bool {
    // One byte that no HTTP request begins with is enough to drive the handshake.
    connect(dial).is_ok_and(|mut stream| stream.write_all(b"\n").is_ok() && stream.flush().is_ok())
}

/// What an ordinary GET is answered.
pub(crate) fn page(dial: &Dial, host: &str, target: &str) -> io::Result<Attempt> {
    let mut stream = connect(dial)?;
    let mut request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n");
    for (name, value) in &dial.headers {
        request += &format!("{name}: {value}\r\n");
    }
    request += "Connection: close\r\n\r\n";
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let head = Head::read(&mut stream)?;
    let mut answer = Attempt::default();
    answer.take(&head);
    Ok(answer)
}

fn talk(attempt: &mut Attempt, dial: &Dial) -> io::Result<()> {
    let key = key();
    let mut stream = connect(dial)?;
    stream.write_all(request(&attempt.browser, dial, &key).as_bytes())?;
    stream.flush()?;
    let head = Head::read(&mut stream)?;
    attempt.take(&head);
    if attempt.status != Some(101) {
        return Ok(());
    }
    acceptable(&head, &key, dial).map_err(io::Error::other)?;
    let text = format!("wslint {}", attempt.browser);
    frame::write(
        &mut stream,
        frame::TEXT,
        text.as_bytes(),
        Some([0x37, 0xfa, 0x21, 0x3d]),
    )?;
    let deadline = Instant::now() + dial.patience;
    while Instant::now() < deadline {
        let frame = frame::read(&mut stream)
            .map_err(|error| io::Error::new(error.kind(), format!("101, but no echo: {error}")))?;
        if frame.opcode == frame::CLOSE {
            return Err(io::Error::other("101, then closed"));
        }
        // An application may greet first.
        if frame::text(&frame).contains(&text) {
            if dial.lives {
                outlive(&mut stream, dial.patience)?;
            }
            attempt.opens = true;
            return Ok(());
        }
    }
    Err(io::Error::other("101, but no echo"))
}

/// Watches an open socket: an error if it closes within that time.
fn outlive(stream: &mut impl Stream, time: Duration) -> io::Result<()> {
    let opened = Instant::now();
    while opened.elapsed() < time {
        match frame::read(stream) {
            Ok(frame) if frame.opcode == frame::PING => {
                let mask = Some([0x11, 0x22, 0x33, 0x44]);
                frame::write(stream, frame::PONG, &frame.payload, mask)?;
            }
            Ok(frame) if frame.opcode != frame::CLOSE => {}
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                return Ok(());
            }
            _ => {
                return Err(io::Error::other(format!(
                    "101 and an echo, then closed after {:.1} seconds",
                    opened.elapsed().as_secs_f32()
                )));
            }
        }
    }
    Ok(())
}

/// What a browser demands of a 101 (RFC 6455 section 4.1).
pub(crate) fn acceptable(head: &Head, key: &str, dial: &Dial) -> Result<(), String> {
    match head.all("upgrade")[..] {
        [value] if value.eq_ignore_ascii_case("websocket") => {}
        ref values => return Err(format!("101 with Upgrade {values:?}")),
    }
    if !head.has_token("connection", "upgrade") {
        return Err(format!("101 with Connection {:?}", head.all("connection")));
    }
    if head.all("sec-websocket-accept")[..] != [frame::accept(key)] {
        return Err("101 with a wrong Sec-WebSocket-Accept".to_owned());
    }
    let offered = dial
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-protocol"))
        .flat_map(|(_, value)| value.split(',').map(str::trim));
    match head.all("sec-websocket-protocol")[..] {
        [] => {}
        [one] if offered.clone().any(|offer| offer == one) => {}
        ref values => {
            return Err(format!(
                "101 with the subprotocol {values:?}, not asked for"
            ));
        }
    }
    let extensions = head.all("sec-websocket-extensions");
    if !extensions
        .iter()
        .all(|value| value.starts_with("permessage-deflate"))
    {
        return Err(format!(
            "101 with the extensions {extensions:?}, not asked for"
        ));
    }
    Ok(())
}

/// The request, header by header in the browser's own order.
pub(crate) fn request(browser: &str, dial: &Dial, key: &str) -> String {
    let host = dial.url.authority();
    let origin = format!("{}://{host}", if dial.url.tls { "https" } else { "http" });
    let own: &[(&str, &str)] = if browser == "Chrome" {
        &[
            ("Host", &host),
            ("Connection", "Upgrade"),
            ("Pragma", "no-cache"),
            ("Cache-Control", "no-cache"),
            (
                "User-Agent",
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
            ),
            ("Upgrade", "websocket"),
            ("Origin", &origin),
            ("Sec-WebSocket-Version", "13"),
            ("Accept-Encoding", "gzip, deflate, br, zstd"),
            ("Accept-Language", "en-US,en;q=0.9"),
            ("Sec-WebSocket-Key", key),
            (
                "Sec-WebSocket-Extensions",
                "permessage-deflate; client_max_window_bits",
            ),
        ]
    } else {
        &[
            ("Host", &host),
            (
                "User-Agent",
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            ),
            ("Accept", "*/*"),
            ("Accept-Language", "en-US,en;q=0.5"),
            ("Accept-Encoding", "gzip, deflate, br, zstd"),
            ("Sec-WebSocket-Version", "13"),
            ("Origin", &origin),
            ("Sec-WebSocket-Extensions", "permessage-deflate"),
            ("Sec-WebSocket-Key", key),
            ("Connection", "keep-alive, Upgrade"),
            ("Sec-Fetch-Dest", "empty"),
            ("Sec-Fetch-Mode", "websocket"),
            ("Sec-Fetch-Site", "same-origin"),
            ("Pragma", "no-cache"),
            ("Cache-Control", "no-cache"),
            ("Upgrade", "websocket"),
        ]
    };
    let replaced = |name: &str| {
        dial.headers
            .iter()
            .any(|(added, _)| added.eq_ignore_ascii_case(name))
    };
    let mut request = format!("GET {} HTTP/1.1\r\n", dial.url.target);
    let added = dial
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let kept = own.iter().copied().filter(|(name, _)| !replaced(name));
    for (name, value) in kept.chain(added) {
        request += &format!("{name}: {value}\r\n");
    }
    request + "\r\n"
}

/// Sixteen bytes that no other handshake of the run has.
pub(crate) fn key() -> String {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos());
    let bytes = sha1_smol::Sha1::from(format!("{now} {:?}", std::thread::current().id())).digest();
    base64::engine::general_purpose::STANDARD.encode(&bytes.bytes()[..16])
}

fn tls_config() -> io::Result<Arc<rustls::ClientConfig>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// Accepts any certificate: what is tested is the handshake above TLS.
#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
