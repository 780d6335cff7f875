//! What a listener asks about each connection before it knows what will be spoken on it, and what it tells at the end. Who answers is not its
//! business.

use super::peek::Seen;
use crate::message::{Admission, Attributes, ClientHello, EndReason, Ending, Refusal, Traffic};
use crate::wire::Stream;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// Someone who looks at the connections of a listener.
pub trait Door {
    /// A connection was accepted; `None`: a Unix socket.
    fn arrive(&self, peer: Option<SocketAddr>, local: Option<SocketAddr>) -> Box<dyn Visit>;
}

/// One connection, as seen by who looks at it. Synchronous and short, all of it.
pub trait Visit {
    /// What becomes of it, now that it was accepted.
    fn on_accept(&mut self) -> Admission;

    /// Whether [`Visit::on_client_hello`] is wanted.
    fn wants_hello(&self) -> bool;

    /// Whether [`Visit::on_close`] wants to know how many bytes went each way.
    fn wants_bytes(&self) -> bool;

    /// What becomes of it, now that the client hello is there; `raw` is the handshake message.
    fn on_client_hello(&mut self, hello: &ClientHello, raw: &[u8]) -> Admission;

    /// What was set on it so far.
    fn attributes(&self) -> &Attributes;

    /// It has ended. If it was refused, the reason given here does not count.
    fn on_close(self: Box<Self>, ending: Ending);
}

/// Turns a connection away.
pub(super) async fn refuse(mut socket: Stream, refusal: Refusal) {
    match refusal {
        Refusal::Reset => {
            socket.reset_on_drop();
        }
        // Boxed, with its buffer: few connections are refused, and all would hold the memory for it.
        Refusal::Close => Box::pin(farewell(&mut socket, &[])).await,
        // A fatal alert in a plaintext record (RFC 8446, sections 5.1 and 6.2).
        Refusal::Alert(number) => Box::pin(farewell(&mut socket, &[21, 3, 3, 0, 2, 2, number])).await,
    }
}

/// How long a client may take to notice that it is not wanted; chosen arbitrarily.
const FAREWELL: Duration = Duration::from_secs(1);

async fn farewell(socket: &mut Stream, words: &[u8]) {
    let farewell = async {
        socket.write_all(words).await?;
        socket.shutdown().await?;
        // What it has sent must be read: closing over unread bytes resets, and the words could be lost.
        let mut rest = [0; 1024];
        while socket.read(&mut rest).await? > 0 {}
        std::io::Result::Ok(())
    };
    // Who is gone or slow has no need to be told.
    let _ = timeout(FAREWELL, farewell).await;
}

/// A visit from arrival to end: however the connection's task ends, the one who looks is told.
pub(super) struct Stay {
    /// `None`: nobody looks.
    visit: Option<(Box<dyn Visit>, Instant)>,
    why: EndReason,
    traffic: Option<Rc<Traffic>>,
}

impl Stay {
    /// Nobody looks if there is no door.
    pub fn begin(door: Option<&dyn Door>, peer: Option<SocketAddr>, local: Option<SocketAddr>) -> (Self, Admission) {
        // Until something else is known: the task was dropped.
        let why = EndReason::Stopped;
        let Some(door) = door else { return (Self { visit: None, why, traffic: None }, Admission::Onward) };
        let began = Instant::now();
        let mut visit = door.arrive(peer, local);
        let admission = visit.on_accept();
        let traffic = visit.wants_bytes().then(Rc::default);
        (Self { visit: Some((visit, began)), why, traffic }, admission)
    }

    /// What becomes of it, now that the client hello is there; where nobody wants to see it, it goes on.
    pub fn on_client_hello(&mut self, seen: &Seen) -> Admission {
        match &mut self.visit {
            Some((visit, _)) if visit.wants_hello() => visit.on_client_hello(&seen.hello, seen.reader.message()),
            _ => Admission::Onward,
        }
    }

    pub fn attributes(&self) -> Attributes {
        self.visit.as_ref().map(|(visit, _)| visit.attributes().clone()).unwrap_or_default()
    }

    /// Where bytes are to be counted, if anybody wants to know.
    pub fn traffic(&self) -> Option<Rc<Traffic>> {
        self.traffic.clone()
    }

    /// The connection has ended in this way.
    pub fn end(mut self, why: EndReason) {
        self.why = why;
    }
}

impl Drop for Stay {
    fn drop(&mut self) {
        let Some((visit, began)) = self.visit.take() else { return };
        let (received, sent) = self.traffic.as_ref().map_or((0, 0), |traffic| (traffic.received.get(), traffic.sent.get()));
        visit.on_close(Ending { received, sent, duration: began.elapsed(), why: self.why });
    }
}
