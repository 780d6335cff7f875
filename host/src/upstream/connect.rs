//! Making connections: names to addresses, addresses in turn, all within one deadline.

use super::SendError;
use crate::config::ServerAddress;
use std::io;
use std::net::SocketAddr;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};

/// Connects to the first address that answers, before `until`.
pub(super) async fn connect(server: &ServerAddress, until: Instant) -> Result<TcpStream, SendError> {
    let addresses: Vec<SocketAddr> = match timeout_at(until, lookup_host((server.host.as_str(), server.port))).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => return Err(sort(error)),
        Err(_) => return Err(SendError::ConnectTimeout),
    };
    let mut last = SendError::Connect(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    for (index, address) in addresses.iter().enumerate() {
        // An address that does not answer leaves the others their share of the time.
        let now = Instant::now();
        let share = until.saturating_duration_since(now) / (addresses.len() - index) as u32;
        match timeout_at(now + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Requests are written whole; waiting for more would only delay their end.
                stream.set_nodelay(true).map_err(sort)?;
                return Ok(stream);
            }
            Ok(Err(error)) => last = sort(error),
            Err(_) => last = SendError::ConnectTimeout,
        }
    }
    Err(last)
}

/// Tells the origin's faults from ours.
fn sort(error: io::Error) -> SendError {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM | libc::EADDRNOTAVAIL | libc::EAGAIN) => {
            SendError::Overloaded(error)
        }
        _ => SendError::Connect(error),
    }
}
