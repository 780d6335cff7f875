//! Binding: every address once for each worker, before anything is served.

use crate::config::{Diagnostic, ListenSpec, Location};
use crate::listen;
use std::io;
use std::net::{SocketAddr, TcpListener};

/// A bound address.
pub struct Listener {
    pub address: SocketAddr,
    pub tls: bool,
    /// One for each worker.
    pub sockets: Vec<TcpListener>,
}

/// Binds all addresses, or says of each that cannot be bound why.
pub fn bind(spec: &ListenSpec, workers: usize) -> Result<Vec<Listener>, Vec<Diagnostic>> {
    let (mut bound, mut problems) = (Vec::new(), Vec::new());
    let https = spec.https.iter().map(|listener| (listener, true));
    for ((address, at), tls) in https.chain(spec.http.iter().map(|listener| (listener, false))) {
        match bind_for_all(*address, workers) {
            Ok((address, sockets)) => bound.push(Listener { address, tls, sockets }),
            // A machine without IPv6 has no `[::]` to listen on; nobody asked for it by name.
            Err(error) if at.is_none() && address.is_ipv6() && error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {}
            Err(error) => problems.push(refused(*address, at.as_ref(), &error)),
        }
    }
    if problems.is_empty() { Ok(bound) } else { Err(problems) }
}

fn bind_for_all(address: SocketAddr, workers: usize) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
    // SO_REUSEPORT would let us share a port with another process of ours without a word: ask first.
    drop(listen::bind(address, false)?);
    let first = listen::bind(address, true)?;
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..workers {
        sockets.push(listen::bind(address, true)?);
    }
    Ok((address, sockets))
}

fn refused(address: SocketAddr, at: Option<&Location>, error: &io::Error) -> Diagnostic {
    let (reason, help) = match error.kind() {
        io::ErrorKind::AddrInUse => {
            ("another process listens there", Some(format!("find it with: ss -ltnp 'sport = :{}'", address.port())))
        }
        io::ErrorKind::PermissionDenied => (
            "ports below 1024 need a privilege",
            Some("give the binary CAP_NET_BIND_SERVICE, or listen on a higher port in [listen]".to_owned()),
        ),
        io::ErrorKind::AddrNotAvailable => ("the address is none of this machine's", None),
        _ => ("the system refuses", None),
    };
    let mut diagnostic = Diagnostic::port_taken(&address, at.cloned(), &format_args!("{reason} ({error})"));
    diagnostic.help.extend(help);
    diagnostic
}
