//! Binding: every address once for each worker, before anything is served.

use crate::config::{Config, Diagnostic, Location};
use crate::listen;
use std::io;
use std::net::{SocketAddr, TcpListener};

/// A bound address.
pub struct Listener {
    pub address: SocketAddr,
    pub speaks: Speaks,
    /// One for each worker.
    pub sockets: Vec<TcpListener>,
}

/// What is spoken at an address; numbers are those of the configuration's TCP listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    Http,
    Https,
    Tcp(usize),
    /// Some names are passed through, the rest is HTTPS.
    HttpsAndTcp(usize),
}

impl Speaks {
    pub fn https(self) -> bool {
        matches!(self, Self::Https | Self::HttpsAndTcp(_))
    }

    pub fn tcp(self) -> bool {
        matches!(self, Self::Tcp(_) | Self::HttpsAndTcp(_))
    }
}

/// Every address once, with where it is written.
fn wanted(config: &Config) -> Vec<(SocketAddr, Option<Location>, Speaks)> {
    let of = |list: &[(SocketAddr, Option<Location>)], speaks| list.iter().map(move |(address, at)| (*address, at.clone(), speaks)).collect();
    let mut all: Vec<_> = of(&config.listen.https, Speaks::Https);
    for (number, tcp) in config.tcp.iter().enumerate() {
        for address in &tcp.addresses {
            match all.iter_mut().find(|(other, ..)| other == address && address.port() != 0) {
                // `config` lets no other TCP listener have the address.
                Some(shared) => shared.2 = Speaks::HttpsAndTcp(number),
                None => all.push((*address, Some(tcp.at.clone()), Speaks::Tcp(number))),
            }
        }
    }
    let http: Vec<_> = of(&config.listen.http, Speaks::Http);
    all.extend(http);
    all
}

/// Binds all addresses, or says of each that cannot be bound why.
pub fn bind(config: &Config, workers: usize) -> Result<Vec<Listener>, Vec<Diagnostic>> {
    let (mut bound, mut problems) = (Vec::new(), Vec::new());
    for (address, at, speaks) in wanted(config) {
        match bind_for_all(address, workers) {
            Ok((address, sockets)) => bound.push(Listener { address, speaks, sockets }),
            // A machine without IPv6 has no `[::]` to listen on; nobody asked for it by name.
            Err(error) if at.is_none() && address.is_ipv6() && error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {}
            Err(error) => problems.push(refused(address, at.as_ref(), &error)),
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
