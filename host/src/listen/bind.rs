//! Listening sockets.

use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};

/// Connections that wait to be accepted; the kernel cuts it to `net.core.somaxconn` (4096 since Linux 5.4).
const BACKLOG: i32 = 4096;

/// A non-blocking listening socket. With `reuse_port`, each worker binds one of its own and the kernel spreads connections.
///
/// For port 0, bind once, ask the socket for its `local_addr`, and bind the other workers' to that. `[::]` means IPv6 only, so that
/// it can stand beside `0.0.0.0`. Errors: the port is taken or privileged, or the address is none of this machine's.
pub fn bind(addr: SocketAddr, reuse_port: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted proxy must get its port back while old connections are in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(reuse_port)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_a_port() {
        let first = bind("127.0.0.1:0".parse().expect("an address"), true).expect("bound");
        let addr = first.local_addr().expect("bound");
        assert_ne!(addr.port(), 0);
        assert!(bind(addr, true).is_ok());
        assert_eq!(bind(addr, false).err().map(|error| error.kind()), Some(io::ErrorKind::AddrInUse));
    }

    #[test]
    fn both_wildcards_stand_side_by_side() {
        let v6 = bind("[::]:0".parse().expect("an address"), true).expect("bound");
        let port = v6.local_addr().expect("bound").port();
        assert!(bind(([0, 0, 0, 0], port).into(), true).is_ok());
    }
}
