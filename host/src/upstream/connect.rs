//! Making connections: names to addresses, a race between those that one server has (RFC 8305), all within one deadline.

use super::{Inside, SendError};
use crate::config::ServerAddress;
use crate::wire::{Stream, dial};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::time::{Instant, timeout_at};

/// Connects to a server, before `until`. `also`: its other address, if it has one of either family.
pub(super) async fn connect(
    (server, also): (&ServerAddress, Option<IpAddr>),
    inside: Option<&dyn Inside>,
    until: Instant,
) -> Result<Stream, SendError> {
    match server {
        ServerAddress::Component(component) => match inside {
            Some(inside) => inside.connect().map(Stream::Unix).map_err(sort),
            None => Err(SendError::Connect(io::Error::new(io::ErrorKind::NotFound, format!("{component} does not run here")))),
        },
        // Not so: what its records name is connected to.
        ServerAddress::Service { name } => Err(SendError::Connect(io::Error::new(io::ErrorKind::NotFound, format!("{name} is no host")))),
        ServerAddress::Tcp { host, port } => tcp((host, also), *port, until).await.map(Stream::Tcp),
        ServerAddress::Unix(path) => unix(path, until).await.map(Stream::Unix),
    }
}

/// Waits only while the server's queue is full.
async fn unix(path: &Path, until: Instant) -> Result<UnixStream, SendError> {
    match timeout_at(until, UnixStream::connect(path)).await {
        // Linux says so instead of letting us wait: the server accepts too slowly.
        Ok(Err(error)) if error.raw_os_error() == Some(libc::EAGAIN) => Err(SendError::Connect(error)),
        Ok(connected) => connected.map_err(sort),
        Err(_) => Err(SendError::ConnectTimeout),
    }
}

/// Connects to the first address that answers.
async fn tcp((host, also): (&str, Option<IpAddr>), port: u16, until: Instant) -> Result<TcpStream, SendError> {
    let reach = async {
        let addresses = lookup_host((host, port)).await?;
        dial(addresses.chain(also.map(|ip| SocketAddr::new(ip, port))).collect()).await
    };
    let stream = timeout_at(until, reach).await.map_err(|_| SendError::ConnectTimeout)?.map_err(sort)?;
    // Requests are written whole; waiting for more would only delay their end.
    stream.set_nodelay(true).map_err(sort)?;
    Ok(stream)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::silent;
    use std::time::Duration;

    #[tokio::test]
    async fn a_server_that_does_not_accept_is_given_up_in_time() {
        let (address, _listener, _waiting) = silent().await;
        let server = ServerAddress::Tcp { host: "127.0.0.1".into(), port: address.port() };

        let outcome = connect((&server, None), None, Instant::now() + Duration::from_millis(20)).await;

        assert!(matches!(outcome, Err(SendError::ConnectTimeout)), "{:?}", outcome.err());
    }

    #[test]
    fn a_lack_of_descriptors_is_our_fault() {
        assert!(matches!(sort(io::Error::from_raw_os_error(libc::EMFILE)), SendError::Overloaded(_)));
        assert!(matches!(sort(io::Error::from_raw_os_error(libc::ECONNREFUSED)), SendError::Connect(_)));
    }
}
