//! The TLS handshake of one connection.

use super::accept::Service;
use super::door;
use super::identity::identify;
use super::io::Socket;
use crate::certs::{Chosen, TlsSettings, Unanswered};
use crate::message::{Alpn, ClientAuth, Refusal, TlsFacts, TlsVersion};
use crate::observe::Handshakes;
use rustls::server::Acceptor;
use rustls::{HandshakeKind, ProtocolVersion};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

/// `unrecognized_name`: what RFC 6066, section 3, wants for a name that nobody here answers to, and what rustls cannot be made to say.
const UNRECOGNIZED_NAME: u8 = 112;

/// `internal_error`: the site's first certificate has not come yet.
const NO_CERTIFICATE_YET: u8 = 80;

/// Takes at most `limits.tls-handshake`, from the first wait for the client hello to the end.
///
/// # Errors
/// The client's, mostly: it went away, took too long, speaks no version or cipher of ours, or asked for an unknown name.
pub(super) async fn handshake<H>(
    socket: Socket,
    settings: &TlsSettings,
    local: SocketAddr,
    service: &Service<H>,
) -> io::Result<(TlsStream<Socket>, TlsFacts)> {
    let made = make(socket, settings, local, service.limits.tls_handshake).await;
    if let Some(tally) = &service.tally {
        count(&tally.connections.handshakes, made.as_ref().ok());
    }
    made
}

fn count(handshakes: &Handshakes, made: Option<&(TlsStream<Socket>, TlsFacts)>) {
    let Some((stream, facts)) = made else { return handshakes.failed.one() };
    let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
    let [old, new] = if resumed { &handshakes.resumed } else { &handshakes.full };
    if facts.version == TlsVersion::V1_2 { old.one() } else { new.one() }
}

async fn make(socket: Socket, settings: &TlsSettings, local: SocketAddr, limit: Duration) -> io::Result<(TlsStream<Socket>, TlsFacts)> {
    let handshake = async {
        let start = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
        let proof = start.client_hello().alpn().is_some_and(TlsSettings::is_proof_wanted);
        match settings.choose(&start.client_hello(), local.ip()) {
            Ok(Chosen { config, .. }) if proof => {
                start.into_stream(config).await?.shutdown().await?;
                Err(io::Error::other("a CA has seen the proof it wanted"))
            }
            Ok(Chosen { config, guard: None }) => Ok((start.into_stream(config).await?, None)),
            Ok(Chosen { config, guard }) => match start.into_stream(config).into_fallible().await {
                Ok(stream) => Ok((stream, guard)),
                Err((error, socket)) => {
                    // In TLS 1.3 it has sent its first request along with the certificate, and a socket that is closed over unread
                    // bytes is reset, which may overtake the alert.
                    door::refuse(socket.stream, Refusal::Close).await;
                    Err(error)
                }
            },
            Err(refusal) => {
                let (alert, why) = match refusal {
                    Unanswered::UnknownName => (UNRECOGNIZED_NAME, "no site for server name"),
                    Unanswered::NotYet => (NO_CERTIFICATE_YET, "no certificate yet for server name"),
                };
                let name = start.client_hello().server_name().unwrap_or("none").to_owned();
                door::refuse(start.io.stream, Refusal::Alert(alert)).await;
                Err(io::Error::other(format!("{why} {name}")))
            }
        }
    };
    let (stream, guard) = timeout(limit, handshake).await??;
    let facts = facts(&stream, guard)?;
    Ok((stream, facts))
}

fn facts(stream: &TlsStream<Socket>, guard: Option<Arc<str>>) -> io::Result<TlsFacts> {
    let (_, session) = stream.get_ref();
    let client = match guard {
        None => None,
        Some(site) => {
            let identity = session.peer_certificates().map(identify).transpose()?.map(Rc::new);
            Some(ClientAuth { site, identity })
        }
    };
    Ok(TlsFacts {
        version: if session.protocol_version() == Some(ProtocolVersion::TLSv1_2) { TlsVersion::V1_2 } else { TlsVersion::V1_3 },
        sni: session.server_name().map(|name| name.to_ascii_lowercase().into()),
        alpn: Alpn::of(session.alpn_protocol()),
        client,
    })
}
