//! Listening sockets.

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::fs::{self, Permissions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// Connections that wait to be accepted; the kernel cuts it to `net.core.somaxconn` (4096 since Linux 5.4).
const BACKLOG: i32 = 4096;

/// A listening socket.
#[derive(Debug)]
pub enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listening {
    /// The same socket once more: whoever accepts first has the connection.
    pub fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(socket) => socket.try_clone().map(Self::Tcp),
            Self::Unix(socket) => socket.try_clone().map(Self::Unix),
        }
    }

    /// Its address, for logs.
    pub fn name(&self) -> String {
        let name = match self {
            Self::Tcp(socket) => socket.local_addr().map(|address| address.to_string()),
            Self::Unix(socket) => {
                let path = |address: std::os::unix::net::SocketAddr| address.as_pathname().map(|path| path.display().to_string());
                socket.local_addr().map(|address| format!("unix:{}", path(address).unwrap_or_default()))
            }
        };
        name.unwrap_or_default()
    }
}

/// A non-blocking listening socket in the file system, whose file has these permissions. A file that a process left behind is replaced;
/// one that somebody listens on is not. There is one for all workers: a path can be bound once.
pub fn bind_unix(path: &Path, mode: u32) -> io::Result<UnixListener> {
    if fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
        match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)?,
            _ => return Err(io::ErrorKind::AddrInUse.into()),
        }
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // Before anybody can connect.
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

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
    fn a_file_left_behind_is_replaced_and_one_in_use_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("p.sock");
        drop(bind_unix(&path, 0o600).expect("bound"));
        let again = bind_unix(&path, 0o660).expect("bound over what was left");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o660);
        assert_eq!(bind_unix(&path, 0o660).err().map(|error| error.kind()), Some(io::ErrorKind::AddrInUse));
        assert_eq!(Listening::Unix(again).name(), format!("unix:{}", path.display()));
        let file = dir.path().join("file");
        fs::write(&file, "precious").expect("written");
        assert!(bind_unix(&file, 0o660).is_err() && file.is_file());
    }

    #[test]
    fn both_wildcards_stand_side_by_side() {
        let v6 = bind("[::]:0".parse().expect("an address"), true).expect("bound");
        let port = v6.local_addr().expect("bound").port();
        assert!(bind(([0, 0, 0, 0], port).into(), true).is_ok());
    }
}
