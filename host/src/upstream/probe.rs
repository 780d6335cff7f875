//! One look at a server, without a request: can it be reached, and who does it say it is. For `portcullis check --online`.

use super::connect::connect;
use super::tls::{broken, handshake};
use super::{SendError, announce};
use crate::certs::{Offer, ServerTls};
use crate::config::{Limits, Protocol, ProxyVersion, ServerAddress};
use crate::message::Connection;
use crate::wire::Stream;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

/// How long a server may take to say that it does not like our certificate; chosen arbitrarily. One that is content says nothing.
const SECOND_THOUGHTS: Duration = Duration::from_millis(300);

/// What a server is like.
#[derive(Debug)]
pub struct Probed {
    /// The address that its name led to; `None`: a Unix socket.
    pub address: Option<String>,
    pub tls: Option<ProbedTls>,
}

#[derive(Debug)]
pub struct ProbedTls {
    /// As rustls names it: `TLSv1_3`.
    pub version: String,
    /// DER, the server's own first.
    pub certificates: Vec<Vec<u8>>,
}

/// Connects, and makes the handshake if there is to be one.
///
/// # Errors
/// As for a request's connection.
pub async fn probe(
    server: &ServerAddress,
    tls: Option<&ServerTls>,
    (protocol, proxy_protocol): (Protocol, Option<ProxyVersion>),
    limits: &Limits,
) -> Result<Probed, SendError> {
    let until = Instant::now() + if tls.is_some() { limits.connect_tls } else { limits.connect };
    let mut socket = connect((server, None), None, until).await?;
    let address = match &socket {
        Stream::Tcp(socket) => socket.peer_addr().ok().map(|address| address.to_string()),
        Stream::Unix(_) => None,
    };
    if let Some(version) = proxy_protocol {
        // For nobody: it is our own connection.
        let header = announce::header(version, &Connection::unix());
        socket.write_all(&header).await.map_err(SendError::Connect)?;
    }
    let Some(tls) = tls else { return Ok(Probed { address, tls: None }) };
    let mut stream = handshake(socket, tls, Offer::of(protocol), until).await?;
    let session = stream.get_ref().1;
    let version = session.protocol_version().map(|version| format!("{version:?}")).unwrap_or_default();
    let certificates = session.peer_certificates().unwrap_or_default().iter().map(|der| der.to_vec()).collect();
    if let Ok(Err(error)) = timeout(SECOND_THOUGHTS, stream.read(&mut [0])).await
        && let alert @ SendError::Alert(_) = broken(error)
    {
        return Err(alert);
    }
    Ok(Probed { address, tls: Some(ProbedTls { version, certificates }) })
}
