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

/// Where connections come from, and what becomes of them.
pub struct Listener {
    pub socket: Listening,
    pub kind: Kind,
    /// `None`: nobody looks at connections.
    pub door: Option<Rc<dyn Door>>,
    /// Who must begin with a PROXY header.
    pub proxy_protocol: Arc<Peers>,
    /// `None`: nobody collects numbers.
    pub tally: Option<Arc<WorkerTally>>,
}

/// After an error that will not go away at once: out of file descriptors or memory.
const PAUSE: Duration = Duration::from_millis(50);

/// What the connections of one listener share.
pub(super) struct Service<H> {
    pub kind: Kind,
    /// `None`: nobody looks at connections.
    pub door: Option<Rc<dyn Door>>,
    pub proxy_protocol: Arc<Peers>,
    /// For peers without the PROXY header that they must send.
    pub log: Sparse,
    pub limits: Arc<Limits>,
    pub handler: H,
    pub connections: Rc<Connections>,
    pub tally: Option<Arc<WorkerTally>>,
}

/// Accepts connections on this worker and serves each in a task of its own, until `shutdown`; then closes the listening socket and
/// returns when the last connection has ended, at the latest after `limits.stop`, with upgraded ones `limits.stop_upgraded`. Must
/// run where tasks can be spawned locally. Dropping it leaves the connections to the runtime.
///
/// # Errors
/// Only if the socket cannot be registered with the runtime. Errors of accepting are waited out.
pub async fn serve<H: Handler>(
    listener: Listener,
    limits: Arc<Limits>,
    gate: Arc<Gate>,
    handler: H,
    mut shutdown: Shutdown,
) -> io::Result<()> {
    let Listener { socket, kind, door, proxy_protocol, tally } = listener;
    let socket = Accepting::new(socket)?;
    let connections = Rc::new(Connections::default());
    let service = Rc::new(Service { kind, door, proxy_protocol, log: Sparse::new(), limits, handler, connections, tally });
    tokio::select! {
        // Both are cancel-safe, and neither is polled again.
        () = accept_all(&socket, &gate, &service) => {}
        () = shutdown.draining() => {}
    }
    close(socket, &gate, &service);
    drain(&service.connections, &service.limits).await;
    Ok(())
}

/// A listening socket as the runtime has it.
enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Accepting {
    fn new(socket: Listening) -> io::Result<Self> {
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

async fn accept_all<H: Handler>(listener: &Accepting, gate: &Arc<Gate>, service: &Rc<Service<H>>) {
    let log = Sparse::new();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => admit(stream, peer, gate, service),
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
fn close<H: Handler>(listener: Accepting, gate: &Arc<Gate>, service: &Rc<Service<H>>) {
    // Not through the runtime: it may not have been told yet that there are any.
    match listener {
        Accepting::Tcp(listener) => {
            let Ok(listener) = listener.into_std() else { return };
            while let Ok((stream, peer)) = listener.accept() {
                if let Ok(stream) = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)) {
                    admit(Stream::Tcp(stream), Some(peer), gate, service);
                }
            }
        }
        Accepting::Unix(listener) => {
            let Ok(listener) = listener.into_std() else { return };
            while let Ok((stream, _)) = listener.accept() {
                if let Ok(stream) = stream.set_nonblocking(true).and_then(|()| UnixStream::from_std(stream)) {
                    admit(Stream::Unix(stream), None, gate, service);
                }
            }
        }
    }
}

/// Starts a connection if there is room for it. Whom a PROXY header will name counts from then on; who has no address, only in all.
fn admit<H: Handler>(stream: Stream, peer: Option<SocketAddr>, gate: &Arc<Gate>, service: &Rc<Service<H>>) {
    let proxied = !service.proxy_protocol.is_empty() && service.proxy_protocol.include(peer.map(|peer| peer.ip()));
    let permit = match peer.filter(|_| !proxied) {
        Some(peer) => gate.admit(peer.ip()),
        None => gate.admit_somebody(),
    };
    if let Some(WorkerTally { connections, .. }) = service.tally.as_deref() {
        if permit.is_ok() { connections.accepted.one() } else { connections.refused.one() }
    }
    if let Ok(permit) = permit {
        start(stream, peer, proxied, permit, service);
    }
}

/// Gives a connection its task. The list of connections is its owner.
fn start<H: Handler>(stream: Stream, peer: Option<SocketAddr>, proxied: bool, permit: Permit, service: &Rc<Service<H>>) {
    let entry = service.connections.enter();
    let index = entry.index();
    let task = match proxied {
        false => spawn_local(connection::run(stream, peer, permit, entry, service.clone())),
        true => spawn_local(proxied::run(stream, peer, permit, entry, service.clone())),
    };
    service.connections.attach(index, task.abort_handle());
}

async fn drain(connections: &Connections, limits: &Limits) {
    connections.drain();
    if timeout(limits.stop, connections.all_but_upgraded_ended()).await.is_err() {
        connections.abort(false);
    }
    let left = limits.stop_upgraded.saturating_sub(limits.stop);
    if timeout(left, connections.all_ended()).await.is_err() {
        connections.abort(true);
        connections.all_ended().await;
    }
}
