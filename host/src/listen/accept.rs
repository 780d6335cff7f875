//! The accept loop of one worker. What becomes of a connection from there on, see `connection`.

use super::connection;
use super::door::Door;
use super::gate::{Gate, Permit, Sparse};
use super::handler::Handler;
use super::shutdown::{Connections, Shutdown};
use super::tunnels::Tcp;
use crate::certs::TlsSettings;
use crate::config::Limits;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
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

/// After an error that will not go away at once: out of file descriptors or memory.
const PAUSE: Duration = Duration::from_millis(50);

/// What the connections of one listener share.
pub(super) struct Service<H> {
    pub kind: Kind,
    /// `None`: nobody looks at connections.
    pub door: Option<Rc<dyn Door>>,
    pub limits: Arc<Limits>,
    pub handler: H,
    pub connections: Rc<Connections>,
}

/// Accepts connections on this worker and serves each in a task of its own, until `shutdown`; then closes the listening socket and
/// returns when the last connection has ended, at the latest after `limits.stop`, with upgraded ones `limits.stop_upgraded`. Must
/// run where tasks can be spawned locally. Dropping it leaves the connections to the runtime.
///
/// # Errors
/// Only if the socket cannot be registered with the runtime. Errors of accepting are waited out.
pub async fn serve<H: Handler>(
    listener: std::net::TcpListener,
    kind: Kind,
    door: Option<Rc<dyn Door>>,
    limits: Arc<Limits>,
    gate: Arc<Gate>,
    handler: H,
    mut shutdown: Shutdown,
) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let connections = Rc::new(Connections::default());
    let service = Rc::new(Service { kind, door, limits, handler, connections });
    tokio::select! {
        // Both are cancel-safe, and neither is polled again.
        () = accept_all(&listener, &gate, &service) => {}
        () = shutdown.draining() => {}
    }
    close(listener, &gate, &service);
    drain(&service.connections, &service.limits).await;
    Ok(())
}

async fn accept_all<H: Handler>(listener: &TcpListener, gate: &Arc<Gate>, service: &Rc<Service<H>>) {
    let log = Sparse::new();
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => match gate.admit(peer.ip()) {
                Ok(permit) => start(socket, peer, permit, service),
                Err(_refused) => drop(socket),
            },
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
fn close<H: Handler>(listener: TcpListener, gate: &Arc<Gate>, service: &Rc<Service<H>>) {
    // Not through the runtime: it may not have been told yet that there are any.
    let Ok(listener) = listener.into_std() else { return };
    while let Ok((socket, peer)) = listener.accept() {
        let socket = socket.set_nonblocking(true).and_then(|()| TcpStream::from_std(socket));
        if let (Ok(socket), Ok(permit)) = (socket, gate.admit(peer.ip())) {
            start(socket, peer, permit, service);
        }
    }
}

/// Gives a connection its task. The list of connections is its owner.
fn start<H: Handler>(socket: TcpStream, peer: SocketAddr, permit: Permit, service: &Rc<Service<H>>) {
    let entry = service.connections.enter();
    let index = entry.index();
    let life = connection::run(socket, peer, entry, service.clone());
    let task = spawn_local(async move {
        let _held = permit;
        life.await;
    });
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
