//! `handshakes PORT SECONDS CONNECTIONS full|resumed`: a new TLS connection for each request, so many at a time, a thread for each.
//!
//! TLS 1.3, X25519 and AES-128-GCM only, so that all proxies do the same cryptography. `full` offers no ticket, `resumed` that of the
//! connection before; a handshake that was not of the kind asked for counts as an error, and so does any answer but the right one.
//! Certificates are not checked: that would only slow the client.
//!
//! Prints `RESULT requests seconds p50 p99 errors`; times are µs from connecting to the end of the answer.

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CipherSuite, ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, SignatureScheme, StreamOwned};
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// Of the certificate. Not `bench.test`, which is served in the clear.
const NAME: &str = "tls.bench.test";
const REQUEST: &[u8] = b"GET /bench HTTP/1.1\r\nHost: tls.bench.test\r\nConnection: close\r\n\r\n";
/// Bytes of the right answer's body.
const BODY: usize = 1024;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [port, seconds, connections, kind] = &arguments[..] else { return Err("handshakes PORT SECONDS CONNECTIONS full|resumed".into()) };
    let kind = match kind.as_str() {
        "full" => HandshakeKind::Full,
        "resumed" => HandshakeKind::Resumed,
        other => return Err(format!("{other}: neither full nor resumed").into()),
    };
    let (port, seconds) = (port.parse()?, Duration::from_secs(seconds.parse()?));
    let client = Client { port, kind };
    let began = Instant::now();
    let threads: Vec<_> = (0..connections.parse()?).map(|_: u32| thread::spawn(move || client.repeat(began + seconds))).collect();
    let (mut times, mut errors) = (Vec::new(), Vec::new());
    for thread in threads {
        let (taken, failed) = thread.join().map_err(|_| "a thread panicked")??;
        times.extend(taken);
        errors.extend(failed);
    }
    // One says as much as all.
    errors.first().inspect(|error| eprintln!("{error}"));
    println!("{}", result(times, began.elapsed(), errors.len()));
    Ok(())
}

fn result(mut times: Vec<Duration>, took: Duration, errors: usize) -> String {
    times.sort_unstable();
    let at = |share: usize| times.get(times.len() * share / 100).copied().unwrap_or_default().as_secs_f64() * 1e6;
    format!("RESULT {} {:.6} {:.2} {:.2} {errors}", times.len(), took.as_secs_f64(), at(50), at(99))
}

#[derive(Clone, Copy)]
struct Client {
    port: u16,
    kind: HandshakeKind,
}

impl Client {
    /// How long each connection took, and what failed.
    fn repeat(self, until: Instant) -> Result<(Vec<Duration>, Vec<io::Error>), rustls::Error> {
        let config = Arc::new(self.config()?);
        let (mut times, mut errors) = (Vec::new(), Vec::new());
        // Brings the first ticket; no handshake of the kind to be measured, so it is not counted.
        errors.extend(self.ask(&config).err());
        while Instant::now() < until {
            let began = Instant::now();
            match self.ask(&config) {
                Ok(kind) if kind == Some(self.kind) => times.push(began.elapsed()),
                Ok(kind) => errors.push(io::Error::other(format!("a handshake of another kind: {kind:?}"))),
                Err(error) => {
                    errors.push(error);
                    // Nobody there, or a proxy that ends connections: not as fast as one can.
                    thread::sleep(Duration::from_millis(10));
                }
            }
        }
        Ok((times, errors))
    }

    fn config(self) -> Result<ClientConfig, rustls::Error> {
        let mut cryptography = CryptoProvider { kx_groups: vec![aws_lc_rs::kx_group::X25519], ..aws_lc_rs::default_provider() };
        cryptography.cipher_suites.retain(|suite| suite.suite() == CipherSuite::TLS13_AES_128_GCM_SHA256);
        let versions = ClientConfig::builder_with_provider(Arc::new(cryptography)).with_protocol_versions(&[&rustls::version::TLS13])?;
        let mut config = versions.dangerous().with_custom_certificate_verifier(Arc::new(Unchecked)).with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = match self.kind {
            HandshakeKind::Resumed => Resumption::in_memory_sessions(8),
            _ => Resumption::disabled(),
        };
        Ok(config)
    }

    /// One connection with one request; says how its handshake went.
    fn ask(self, config: &Arc<ClientConfig>) -> io::Result<Option<HandshakeKind>> {
        let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        socket.set_write_timeout(Some(Duration::from_secs(10)))?;
        let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
        let connection = ClientConnection::new(Arc::clone(config), name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, socket);
        stream.write_all(REQUEST)?;
        let mut answer = Vec::new();
        // Tickets come before the answer or with it, and an end without a close_notify is none for HTTP, which knows its length.
        match stream.read_to_end(&mut answer) {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => return Err(error),
            _ => {}
        }
        let whole = answer.windows(4).position(|four| four == b"\r\n\r\n").is_some_and(|head| answer.len() - head - 4 == BODY);
        if answer.starts_with(b"HTTP/1.1 200 ") && whole {
            Ok(stream.conn.handshake_kind())
        } else {
            Err(io::Error::other(format!("a wrong answer: {}", String::from_utf8_lossy(&answer))))
        }
    }
}

/// Takes whatever certificate the proxy has.
#[derive(Debug)]
struct Unchecked;

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
