//! A connection that must begin with a PROXY header, because its peer is a proxy of the operator's. The header says whose connection it is;
//! what follows is served as if that client had come itself.

use super::accept::Era;
use super::connection;
use super::gate::Permit;
use super::handler::Handler;
use super::shutdown::Entry;
use crate::message::Connection;
use crate::wire::{BadProxyHeader, Stream, Told, read_proxy_header};
use bytes::{Bytes, BytesMut};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

/// What a read asks for: a header with what usually comes behind it in the same packet.
const ROOM: usize = 2 << 10;

/// Why there is no header.
#[derive(Debug, thiserror::Error)]
enum Unnamed {
    #[error(transparent)]
    Bad(#[from] BadProxyHeader),
    #[error("the PROXY header did not come in time")]
    Late,
    #[error("the connection ended within the PROXY header")]
    Gone,
}

/// Serves a connection to its end, from its header on.
#[expect(clippy::manual_async_fn, reason = "the arguments of an async fn have room twice, and every connection holds them")]
pub(super) fn run<H: Handler>(
    stream: Stream,
    peer: Option<SocketAddr>,
    mut permit: Permit,
    entry: Entry,
    era: Rc<Era<H>>,
) -> impl Future<Output = ()> {
    async move {
        entry.register().await;
        if let Some((stream, early, connection)) = Box::pin(introduced(stream, peer, era.clone())).await {
            // From here on it counts as one of the client's; a refusal has been logged.
            if connection.unix || permit.name(connection.peer.ip()).is_ok() {
                connection::serve(stream, (early, None), connection, entry, era).await;
            }
        }
        drop(permit);
    }
}

/// The connection, as its header says whose it is. `None`: it is over; if that is the peer's fault, the log has it.
async fn introduced<H: Handler>(mut stream: Stream, peer: Option<SocketAddr>, era: Rc<Era<H>>) -> Option<(Stream, Bytes, Connection)> {
    // An error means that the peer is gone already.
    let mut connection = connection::opened(&stream, peer).ok()?;
    let header = timeout(era.service.limits.proxy_header, header(&mut stream)).await;
    match header.unwrap_or(Err(Unnamed::Late)) {
        // A balancer that only looks whether somebody listens.
        Ok(None) => None,
        Ok(Some((told, early))) => {
            name(&mut connection, told);
            Some((stream, early, connection))
        }
        Err(error) => {
            if let Some(unsaid) = era.log.allow() {
                let peer = peer.map_or_else(|| "unix".to_owned(), |peer| peer.ip().to_string());
                tracing::warn!(%peer, unsaid, "closed: {error}");
            }
            None
        }
    }
}

/// The header and what came behind it. `None`: the peer left without a word.
async fn header(stream: &mut Stream) -> Result<Option<(Told, Bytes)>, Unnamed> {
    let mut received = BytesMut::new();
    loop {
        received.reserve(ROOM);
        match stream.read_buf(&mut received).await {
            Ok(1..) => {}
            Ok(0) | Err(_) if received.is_empty() => return Ok(None),
            Ok(0) => return Err(Unnamed::Gone),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return Err(Unnamed::Gone),
        }
        if let Some((length, told)) = read_proxy_header(&received)? {
            let early = received.split_off(length);
            // An empty rest would still hold the memory.
            return Ok(Some((told, if early.is_empty() { Bytes::new() } else { early.freeze() })));
        }
    }
}

fn name(connection: &mut Connection, told: Told) {
    if let Told::Client { source, destination, more } = told {
        (connection.peer, connection.local, connection.unix) = (source, destination, false);
        connection.proxied = Some(more);
    }
}
