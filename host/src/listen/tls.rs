//! The TLS handshake of one connection.

use super::door;
use super::io::Socket;
use crate::certs::TlsSettings;
use crate::message::{Refusal, TlsFacts, TlsVersion};
use rustls::ProtocolVersion;
use rustls::server::Acceptor;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

/// A fatal `unrecognized_name` alert in a plaintext record (RFC 8446, sections 5.1 and 6.2): what RFC 6066, section 3, wants for a name
/// that nobody here answers to, and what rustls cannot be made to say.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// Takes at most `limit`, from the first wait for the client hello to the end.
///
/// # Errors
/// The client's, mostly: it went away, took too long, speaks no version or cipher of ours, or asked for an unknown name.
pub(super) async fn handshake(
    socket: Socket,
    settings: &TlsSettings,
    local: SocketAddr,
    limit: Duration,
) -> io::Result<(TlsStream<Socket>, TlsFacts)> {
    let handshake = async {
        let mut start = LazyConfigAcceptor::new(Acceptor::default(), socket).await?;
        match settings.choose(&start.client_hello(), local.ip()) {
            Some(config) => start.into_stream(config).await,
            None => {
                start.io.write_all(&UNRECOGNIZED_NAME).await?;
                let name = start.client_hello().server_name().unwrap_or("none").to_owned();
                Err(io::Error::other(format!("no site for server name {name}")))
            }
        }
    };
    let stream = timeout(limit, handshake).await??;
    let facts = facts(&stream);
    Ok((stream, facts))
}

/// Refuses a client that asked for a name which nobody here answers to, without a handshake.
pub(super) async fn unrecognized_name(socket: Socket) {
    door::refuse(socket.stream, Refusal::Alert(112)).await;
}

fn facts(stream: &TlsStream<Socket>) -> TlsFacts {
    let (_, session) = stream.get_ref();
    TlsFacts {
        version: if session.protocol_version() == Some(ProtocolVersion::TLSv1_2) { TlsVersion::V1_2 } else { TlsVersion::V1_3 },
        sni: session.server_name().map(|name| name.to_ascii_lowercase().into()),
        h2: session.alpn_protocol() == Some(b"h2"),
    }
}
