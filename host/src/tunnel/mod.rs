//! The TCP corridor: a connection in, a connection out, and bytes both ways until both sides are done. Looks at none of them; what TLS
//! a client asked for was read by the listening wall.
//!
//! In reading order: `routes` (which upstream), this file (a connection from end to end), `record` and `reasons` (what is said of it), `relay` (bytes
//! both ways), `flow` (one way of it), `pipe` (its way without copying), `ends`.

mod ends;
mod flow;
mod pipe;
mod reasons;
mod record;
mod relay;
mod routes;

pub use reasons::{TUNNEL_REASONS, TunnelReason};
pub use record::Ledger;
pub use routes::Routes;

use crate::config::{Limits, TcpSpec};
use crate::message::{ClientHello, Connection, Duplex, HeaderWatch, Traffic, Unrouted};
use crate::upstream::{Failed, Held, Upstreams};
use bytes::Bytes;
use ends::End;
use record::Record;
use relay::{Early, Relay};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::net::TcpStream;

/// One TCP listener's corridor on one worker.
pub struct Tunnel {
    routes: Routes,
    upstreams: Rc<Upstreams>,
    idle: Duration,
    ledger: Rc<Ledger>,
}

/// A connection to be carried, or one that is not.
pub struct Arrival {
    pub connection: Rc<Connection>,
    pub hello: Option<ClientHello>,
    /// Told at the end how many bytes were carried.
    pub traffic: Option<Rc<Traffic>>,
    /// If the client must not begin with a PROXY header.
    pub watch: Option<HeaderWatch>,
}

/// The client's bytes: as they are on its socket, or with TLS taken off.
pub enum Client {
    Socket(TcpStream),
    Stream(Box<dyn Duplex>),
}

impl Tunnel {
    /// `upstreams` are those of the snapshot that `spec` is from.
    pub fn new(spec: &TcpSpec, limits: &Limits, upstreams: Rc<Upstreams>, ledger: Rc<Ledger>) -> Rc<Self> {
        Rc::new(Self { routes: Routes::new(spec), upstreams, idle: spec.idle.unwrap_or(limits.tcp_idle), ledger })
    }

    /// The upstream, as [`Self::carry`] wants it, for a connection with this client hello.
    pub fn route(&self, hello: Option<&ClientHello>) -> Result<usize, Unrouted> {
        let upstream = self.routes.find(hello)?;
        // `config` knows every upstream that a route names.
        self.upstreams.index(&upstream.0).ok_or(Unrouted::Name)
    }

    /// The upstream of this name, as [`Self::carry`] wants it.
    pub fn named(&self, upstream: &str) -> Option<usize> {
        self.upstreams.index(upstream)
    }

    /// Carries a connection to a server of the upstream until both sides are done. `early` was read from the client before. Dropping
    /// the future closes both connections.
    pub fn carry(self: &Rc<Self>, arrival: Arrival, client: Client, early: Bytes, upstream: usize) -> Pin<Box<dyn Future<Output = ()>>> {
        // An idle tunnel, which may stand for hours, holds neither the client's hello nor the memory for the way out.
        let connected = Box::pin(connect(self.clone(), arrival, client, early, upstream));
        Box::pin(async move {
            if let Some((relay, mut record, held)) = connected.await {
                record.ended(relay.await);
                drop(held);
            }
        })
    }

    /// Notes a connection that is not carried.
    pub fn refuse(&self, arrival: Arrival, reason: &'static str) {
        Record::open(&self.ledger, &arrival).refused(reason);
    }
}

/// A connection to a server for this client. `None`: there is none, and it is over.
async fn connect(tunnel: Rc<Tunnel>, arrival: Arrival, client: Client, early: Bytes, upstream: usize) -> Option<(Relay, Record, Held)> {
    let mut record = Record::open(&tunnel.ledger, &arrival);
    record.forwarded(tunnel.upstreams.name(upstream));
    match tunnel.upstreams.open(upstream, &arrival.connection).await {
        Ok(opened) => {
            record.connected(&opened.attempt);
            let early = Early { bytes: early, watch: arrival.watch };
            let relay = Relay::new(client.into(), opened.io.into(), early, tunnel.idle, &tunnel.ledger, record.counts());
            Some((relay, record, opened.held))
        }
        Err(Failed { error, attempt }) => {
            record.failed(&error, &attempt);
            // Closed without a word, a connection looks like one that was served.
            End::from(client).reset();
            None
        }
    }
}
