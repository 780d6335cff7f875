//! A client's socket, encrypted or not.

use crate::message::Duplex;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// What HTTP is spoken over. Boxed once per connection: a virtual call costs less than a second copy of the server in the
/// instruction cache.
pub trait ClientIo: Duplex {
    /// From now on, dropping the connection resets it, so that the client cannot take what it got for the whole.
    fn reset(&self);
}

impl ClientIo for TcpStream {
    fn reset(&self) {
        // An error means that it is already closed.
        let _ = self.set_zero_linger();
    }
}

impl ClientIo for TlsStream<TcpStream> {
    fn reset(&self) {
        self.get_ref().0.reset();
    }
}

#[cfg(test)]
impl ClientIo for tokio::io::DuplexStream {
    fn reset(&self) {}
}
