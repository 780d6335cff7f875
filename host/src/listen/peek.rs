//! A look at the client hello, before it is known who will answer it. What was read stays with the socket, to be read again.

use super::io::Socket;
use crate::message::ClientHello;
use crate::wire::{BadHello, HelloReader};
use bytes::BytesMut;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

/// What a read asks for: a client hello with post-quantum keys fits.
const ROOM: usize = 2 << 10;

/// A client hello, and the one who has read it.
pub(super) struct Seen {
    pub hello: ClientHello,
    pub reader: HelloReader,
}

/// Why there is no client hello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unseen {
    /// The client left, or said nothing to the end.
    Gone,
    Timeout,
    Bad(BadHello),
}

impl Unseen {
    /// The reason token: the same in log, metric and documentation.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Gone => "client_gone",
            Self::Timeout => "hello_timeout",
            Self::Bad(bad) => bad.reason(),
        }
    }
}

/// Waits for a client hello, at most `limit` in all.
pub(super) async fn client_hello(socket: &mut Socket, limit: Duration) -> Result<Seen, Unseen> {
    let mut received = BytesMut::from(&*std::mem::take(&mut socket.early));
    let seen = timeout(limit, look(socket, &mut received)).await.unwrap_or(Err(Unseen::Timeout));
    socket.early = received.freeze();
    seen
}

async fn look(socket: &mut Socket, received: &mut BytesMut) -> Result<Seen, Unseen> {
    let mut reader = HelloReader::default();
    loop {
        if let Some(hello) = reader.read(received).map_err(Unseen::Bad)? {
            return Ok(Seen { hello, reader });
        }
        received.reserve(ROOM);
        let Ok(count @ 1..) = socket.stream.read_buf(received).await else { return Err(Unseen::Gone) };
        if let Some(traffic) = &socket.traffic {
            traffic.receive(count);
        }
    }
}
