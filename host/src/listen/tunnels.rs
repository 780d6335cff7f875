//! What a TCP listener hands connections to.

use super::io::Socket;
use crate::certs::TlsSettings;
use crate::message::{ClientHello, Connection, Duplex, HeaderWatch, Traffic, Unrouted};
use crate::wire::Stream;
use bytes::Bytes;
use std::pin::Pin;
use std::rc::Rc;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// The TCP corridor, as one listener sees it. A trait, because the walls do not know the corridors.
pub trait Tunnels {
    /// Where a connection with this client hello goes (`None`: nobody looked for one).
    fn route(&self, hello: Option<&ClientHello>) -> Result<Route, Unrouted>;

    /// The way out to the upstream of this name.
    fn named(&self, upstream: &str) -> Option<Route>;

    /// Carries a connection to its end. Dropping the future ends it at once.
    fn carry(&self, arrived: Arrived, route: Route) -> Pin<Box<dyn Future<Output = ()>>>;

    /// Notes a connection that is not carried; `reason` is the token for the log.
    fn refuse(&self, connection: &Connection, hello: Option<&ClientHello>, reason: &'static str);
}

/// A way out, as the corridor numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route(pub usize);

/// A connection to be carried.
pub struct Arrived {
    pub connection: Rc<Connection>,
    pub io: ArrivedIo,
    /// What was read already; nothing else has been.
    pub early: Bytes,
    pub hello: Option<ClientHello>,
    /// Where bytes are to be counted, if it is not done on the way.
    pub traffic: Option<Rc<Traffic>>,
    /// If the client must not begin with a PROXY header.
    pub watch: Option<HeaderWatch>,
}

/// Its bytes: as they are on the socket, or with TLS taken off.
pub enum ArrivedIo {
    Socket(TcpStream),
    Stream(Box<dyn Duplex>),
}

/// A TCP listener.
pub struct Tcp {
    pub tls: Ends,
    pub tunnels: Rc<dyn Tunnels>,
}

impl Tcp {
    /// Whether connections that are not carried are for our sites, which have a log of their own.
    pub(super) fn is_for_sites(&self) -> bool {
        matches!(self.tls, Ends::Beyond { sites: Some(_) })
    }
}

/// Where TLS ends.
pub enum Ends {
    /// There is none that concerns us.
    Nowhere,
    /// At the server. What no route takes goes to our sites, if they are served on the same address.
    Beyond {
        sites: Option<TlsSettings>,
    },
    Here(TlsSettings),
}

impl Arrived {
    pub(super) fn plain(socket: Socket, connection: Connection, hello: Option<ClientHello>) -> Self {
        let Socket { stream, early, traffic, watch } = socket;
        let io = match stream {
            Stream::Tcp(socket) => ArrivedIo::Socket(socket),
            stream => ArrivedIo::Stream(Box::new(stream)),
        };
        Self { connection: Rc::new(connection), io, early, hello, traffic, watch }
    }

    pub(super) fn decrypted(stream: TlsStream<Socket>, connection: Connection, hello: Option<ClientHello>) -> Self {
        let io = ArrivedIo::Stream(Box::new(stream));
        Self { connection: Rc::new(connection), io, early: Bytes::new(), hello, traffic: None, watch: None }
    }
}
