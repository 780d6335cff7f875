//! The accept loop of one worker. What becomes of a connection from there on, see `connection`.

use super::bind::Listening;
use super::door::Door;
use super::gate::{Gate, Permit, Sparse};
use super::handler::Handler;
use super::shutdown::{Connections, Shutdown};
use super::tunnels::Tcp;
use super::{connection, proxied};
use crate::certs::TlsSettings;
use crate::config::{Limits, Peers};
use crate::observe::WorkerTally;
use crate::wire::Stream;
use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

/// What a listener speaks.
pub enum Kind {
    /// HTTP/1.1 in the clear.
    Plain,
    /// HTTP/2 or HTTP/1.1, as ALPN decides.
    Tls(TlsSettings),
    /// Whatever client and server speak with each other.
    Tcp(Tcp),
}

/// What becomes of connections from now on.
pub struct Entrance {
    pub kind: Kind,
    /// `None`: nobody looks at connections.
    pub door: Option<Rc<dyn Door>>,
    /// Who must begin with a PROXY header.
    pub proxy_protocol: Arc<Peers>,
    pub limits: Arc<Limits>,
    /// `None`: nobody collects numbers.
    pub tally: Option<Arc<WorkerTally>>,
}

/// After an error that will not go away at once: out of file descriptors or memory.
const PAUSE: Duration = Duration::from_millis(50);

/// What holds for the connections that come between two changes of a listener.
pub(super) struct Era<H> {
    pub entrance: Entrance,
    /// For peers without the PROXY header that they must send.
    pub log: Sparse,
    pub service: Rc<Service<H>>,
}

/// What HTTP connections keep for as long as they live; their requests are for whatever is current then.
pub(super) struct Service<H> {
    pub limits: Arc<Limits>,
    pub handler: H,
    pub tally: Option<Arc<WorkerTally>>,
}

/// One listener's connections on this worker, those that are there and those that come.
pub struct Reception<H> {
    era: RefCell<Rc<Era<H>>>,
    connections: Rc<Connections>,
    handler: H,
}

impl<H: Handler> Reception<H> {
    pub fn new(entrance: Entrance, handler: H) -> Rc<Self> {
        let era = RefCell::new(Era::new(entrance, &handler));
        Rc::new(Self { era, connections: Rc::default(), handler })
    }

    /// Connections that come from now on enter here; the others go on.
    pub fn change(&self, entrance: Entrance) {
        // Dropped after it was replaced: what it holds may look here.
        let _earlier = self.era.replace(Era::new(entrance, &self.handler));
    }

    /// The same, but those that came before are asked to leave, as when stopping: idle ones at once, busy ones after the exchange in hand, all of
    /// them in the end. The future is done when they have left; it must be polled.
    pub fn renew(self: &Rc<Self>, entrance: Entrance) -> impl Future<Output = ()> + 'static {
        let limits = Arc::clone(&self.era().entrance.limits);
        self.change(entrance);
        let before = self.connections.begin();
        let connections = Rc::clone(&self.connections);
        async move { drain(&connections, before, &limits).await }
    }

    /// Asks all connections to leave, and waits for that: at most `limits.stop`, for upgraded ones `limits.stop_upgraded`. `handed_over`: idle
    /// ones are given time, since another process is there for whatever comes next.
    pub async fn leave(&self, handed_over: bool) {
        let limits = Arc::clone(&self.era().entrance.limits);
        if handed_over {
            self.connections.hand_over();
        }
        drain(&self.connections, u64::MAX, &limits).await;
    }

    /// Lets every connection, and every exchange on it, look whether something has changed for it.
    pub fn rouse(&self) {
        self.connections.rouse(u64::MAX);
    }

    fn era(&self) -> Rc<Era<H>> {
        Rc::clone(&self.era.borrow())
    }
}

impl<H: Handler> Era<H> {
    fn new(entrance: Entrance, handler: &H) -> Rc<Self> {
        let service = Rc::new(Service { limits: Arc::clone(&entrance.limits), handler: handler.clone(), tally: entrance.tally.clone() });
        Rc::new(Self { entrance, log: Sparse::new(), service })
    }
}

/// Accepts connections on this worker and serves each in a task of its own, until `shutdown`; then closes the listening socket, or leaves it to the
/// process that has taken over. The connections
/// go on: see [`Reception::leave`]. Must run where tasks can be spawned locally. Errors of accepting are waited out.
pub async fn accept<H: Handler>(socket: Accepting, reception: &Reception<H>, gate: &Arc<Gate>, mut shutdown: Shutdown) {
    tokio::select! {
        // Both are cancel-safe, and neither is polled again.
        () = accept_all(&socket, gate, reception) => {}
        () = shutdown.draining() => {}
    }
    if !shutdown.is_handing_over() {
        close(socket, gate, reception);
    }
}

/// A listening socket as the runtime has it.
pub enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Accepting {
    /// Errors: the socket cannot be registered with the runtime.
    pub fn new(socket: Listening) -> io::Result<Self> {
        match socket {
            Listening::Tcp(socket) => TcpListener::from_std(socket).map(Self::Tcp),
            Listening::Unix(socket) => UnixListener::from_std(socket).map(Self::Unix),
        }
    }

    /// The next connection, and where it comes from.
    async fn accept(&self) -> io::Result<(Stream, Option<SocketAddr>)> {
        match self {
            Self::Tcp(socket) => socket.accept().await.map(|(stream, peer)| (Stream::Tcp(stream), Some(peer))),
            Self::Unix(socket) => socket.accept().await.map(|(stream, _)| (Stream::Unix(stream), None)),
        }
    }
}

async fn accept_all<H: Handler>(listener: &Accepting, gate: &Arc<Gate>, reception: &Reception<H>) {
    let log = Sparse::new();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => admit(stream, peer, gate, reception),
            // Of the connection, not of the socket: it was gone before we took it.
            Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) => {}
            Err(error) => {
                if let Some(unsaid) = log.allow() {
                    tracing::warn!(%error, unsaid, "cannot accept connections");
                }
                sleep(PAUSE).await;
            }
        }
    }
}

/// Closes the listening socket, but first takes the connections that the kernel has already made: closing would reset them.
fn close<H: Handler>(listener: Accepting, gate: &Arc<Gate>, reception: &Reception<H>) {
    // Not through the runtime: it may not have been told yet that there are any.
    match listener {
        Accepting::Tcp(listener) => {
            let Ok(listener) = listener.into_std() else { return };
            while let Ok((stream, peer)) = listener.accept() {
                if let Ok(stream) = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) {
                    admit(Stream::Tcp(stream), Some(peer), gate, reception);
                }
            }
        }
        Accepting::Unix(listener) => {
            let Ok(listener) = listener.into_std() else { return };
            while let Ok((stream, _)) = listener.accept() {
                if let Ok(stream) = stream.set_nonblocking(true).and_then(|()| UnixStream::from_std(stream)) {
                    admit(Stream::Unix(stream), None, gate, reception);
                }
            }
        }
    }
}

/// Starts a connection if there is room for it. Whom a PROXY header will name counts from then on; who has no address, only in all.
fn admit<H: Handler>(stream: Stream, peer: Option<SocketAddr>, gate: &Arc<Gate>, reception: &Reception<H>) {
    let era = reception.era();
    let senders = &era.entrance.proxy_protocol;
    let proxied = !senders.is_empty() && senders.include(peer.map(|peer| peer.ip()));
    let permit = match peer.filter(|_| !proxied) {
        Some(peer) => gate.admit(peer.ip()),
        None => gate.admit_somebody(),
    };
    if let Some(WorkerTally { connections, .. }) = era.service.tally.as_deref() {
        if permit.is_ok() { connections.accepted.one() } else { connections.refused.one() }
    }
    if let Ok(permit) = permit {
        start(stream, peer, proxied, permit, (era, &reception.connections));
    }
}

/// Gives a connection its task. The list of connections is its owner.
fn start<H: Handler>(
    stream: Stream,
    peer: Option<SocketAddr>,
    proxied: bool,
    permit: Permit,
    (era, connections): (Rc<Era<H>>, &Rc<Connections>),
) {
    let entry = connections.enter();
    let index = entry.index();
    let task = match proxied {
        false => spawn_local(connection::run(stream, peer, permit, entry, era)),
        true => spawn_local(proxied::run(stream, peer, permit, entry, era)),
    };
    connections.attach(index, task.abort_handle());
}

/// Those that came before `era`.
async fn drain(connections: &Connections, era: u64, limits: &Limits) {
    connections.drain(era);
    if timeout(limits.stop, connections.all_but_upgraded_ended(era)).await.is_err() {
        connections.abort(era, false);
    }
    let left = limits.stop_upgraded.saturating_sub(limits.stop);
    if timeout(left, connections.all_ended(era)).await.is_err() {
        connections.abort(era, true);
        connections.all_ended(era).await;
    }
}
