//! Binding: every address once for each worker, before anything is served.

use crate::config::{Config, Diagnostic, ListenAddress, Location, Peers};
use crate::listen::{self, Listening};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A bound address.
pub struct Listener {
    pub address: ListenAddress,
    pub speaks: Speaks,
    /// One for each worker.
    pub sockets: Vec<Listening>,
    /// Removed from the file system when the last listener is gone.
    pub file: Option<SocketFile>,
}

/// The file of a Unix socket; dropping this removes it, unless another has taken its place.
pub struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    pub fn of(path: &Path) -> io::Result<Self> {
        let found = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_path_buf(), device: found.dev(), inode: found.ino() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = |found: fs::Metadata| (found.dev(), found.ino()) == (self.device, self.inode);
        if fs::symlink_metadata(&self.path).is_ok_and(ours) {
            // Nobody is left to be told; the next start replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
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
fn wanted(config: &Config) -> Vec<(ListenAddress, Option<Location>, Speaks)> {
    let of = |list: &[(ListenAddress, Option<Location>)], speaks| {
        list.iter().map(move |(address, at)| (address.clone(), at.clone(), speaks)).collect()
    };
    let mut all: Vec<_> = of(&config.listen.https, Speaks::Https);
    for (number, tcp) in config.tcp.iter().enumerate() {
        for address in &tcp.addresses {
            match all.iter_mut().find(|(other, ..)| other == address && address.port().is_some_and(|port| port != 0)) {
                // `config` lets no other TCP listener have the address.
                Some(shared) => shared.2 = Speaks::HttpsAndTcp(number),
                None => all.push((address.clone(), Some(tcp.at.clone()), Speaks::Tcp(number))),
            }
        }
    }
    let http: Vec<_> = of(&config.listen.http, Speaks::Http);
    all.extend(http);
    all
}

/// Who must begin with a PROXY header where this is spoken.
pub fn proxy_protocol(config: &Config, speaks: Speaks) -> Arc<Peers> {
    let peers = match speaks {
        Speaks::Tcp(number) => config.tcp.get(number).map(|tcp| &tcp.proxy_protocol),
        Speaks::Http | Speaks::Https | Speaks::HttpsAndTcp(_) => Some(&config.listen.proxy_protocol),
    };
    Arc::new(peers.cloned().unwrap_or_default())
}

/// Binds all addresses, or says of each that cannot be bound why.
pub fn bind(config: &Config, workers: usize) -> Result<Vec<Listener>, Vec<Diagnostic>> {
    let (mut bound, mut problems) = (Vec::new(), Vec::new());
    for (address, at, speaks) in wanted(config) {
        let made = match &address {
            ListenAddress::Ip(address) => bind_for_all(*address, speaks, workers),
            ListenAddress::Unix { path, mode } => bind_file(&address, path, *mode, speaks, workers),
        };
        match made {
            Ok(listener) => bound.push(listener),
            // A machine without IPv6 has no `[::]` to listen on; nobody asked for it by name.
            Err(error)
                if at.is_none() && error.raw_os_error() == Some(libc::EAFNOSUPPORT) && !matches!(address, ListenAddress::Unix { .. }) => {}
            Err(error) => problems.push(refused(&address, at.as_ref(), &error)),
        }
    }
    if problems.is_empty() { Ok(bound) } else { Err(problems) }
}

fn bind_for_all(address: SocketAddr, speaks: Speaks, workers: usize) -> io::Result<Listener> {
    // SO_REUSEPORT would let us share a port with another process of ours without a word: ask first.
    drop(listen::bind(address, false)?);
    let first = listen::bind(address, true)?;
    let address = first.local_addr()?;
    let mut sockets = vec![Listening::Tcp(first)];
    for _ in 1..workers {
        sockets.push(Listening::Tcp(listen::bind(address, true)?));
    }
    Ok(Listener { address: address.into(), speaks, sockets, file: None })
}

/// A path is bound once, so all workers wait at the same socket.
fn bind_file(address: &ListenAddress, path: &Path, mode: u32, speaks: Speaks, workers: usize) -> io::Result<Listener> {
    let first = Listening::Unix(listen::bind_unix(path, mode)?);
    let file = Some(SocketFile::of(path)?);
    let mut sockets = Vec::new();
    for _ in 1..workers {
        sockets.push(first.try_clone()?);
    }
    sockets.push(first);
    Ok(Listener { address: address.clone(), speaks, sockets, file })
}

pub fn refused(address: &ListenAddress, at: Option<&Location>, error: &io::Error) -> Diagnostic {
    let (reason, help) = match (address, error.kind()) {
        (ListenAddress::Ip(address), io::ErrorKind::AddrInUse) => {
            ("another process listens there", Some(format!("find it with: ss -ltnp 'sport = :{}'", address.port())))
        }
        (ListenAddress::Unix { path, .. }, io::ErrorKind::AddrInUse) => {
            ("another process listens there, or it is no socket", Some(format!("look with: ss -lxp src {}", path.display())))
        }
        (ListenAddress::Ip(_), io::ErrorKind::PermissionDenied) => (
            "ports below 1024 need a privilege",
            Some("give the binary CAP_NET_BIND_SERVICE, or listen on a higher port in [listen]".to_owned()),
        ),
        (ListenAddress::Unix { .. }, io::ErrorKind::PermissionDenied) => ("its directory is not ours to write in", None),
        (ListenAddress::Unix { .. }, io::ErrorKind::NotFound) => ("its directory is not there", None),
        (_, io::ErrorKind::AddrNotAvailable) => ("the address is none of this machine's", None),
        _ => ("the system refuses", None),
    };
    let mut diagnostic = Diagnostic::port_taken(address, at.cloned(), &format_args!("{reason} ({error})"));
    diagnostic.help.extend(help);
    diagnostic
}
