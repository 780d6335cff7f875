//! Binding: every address once for each worker, before anything is served by a configuration. What is bound already stays so.

use super::inherited::{Giver, Inherited};
use crate::config::{Config, Diagnostic, ListenAddress, Location, Peers};
use crate::listen::{self, Listening};
use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A bound address, as long as any generation has it.
#[derive(Clone)]
pub struct Bound {
    /// The same for all workers and generations.
    pub id: u64,
    /// As it is written; the port may be the kernel's choice.
    wanted: ListenAddress,
    pub address: ListenAddress,
    pub speaks: Speaks,
    /// Removed from the file system when the last has gone.
    _file: Option<Arc<SocketFile>>,
}

/// A bound address of a configuration, with its sockets if it is new: one for each worker.
pub struct Listener {
    pub bound: Bound,
    pub sockets: Vec<Listening>,
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

impl Bound {
    /// Sets the permissions that are written; they may have changed.
    pub fn settle(&self) {
        if let ListenAddress::Unix { path, mode } = &self.wanted
            && let Err(error) = fs::set_permissions(path, Permissions::from_mode(*mode))
        {
            tracing::warn!("the mode of {} cannot be set: {error}", path.display());
        }
    }

    /// Whether it is what is meant by this address. The mode of a file can change.
    fn is_at(&self, address: &ListenAddress) -> bool {
        match (&self.wanted, address) {
            (ListenAddress::Unix { path: own, .. }, ListenAddress::Unix { path, .. }) => own == path,
            (own, address) => own == address,
        }
    }

    fn speaks_as(&self, speaks: Speaks) -> bool {
        (self.speaks.https(), self.speaks.tcp()) == (speaks.https(), speaks.tcp())
    }

    /// What is spoken there, in words for the log.
    pub fn words(&self) -> impl Iterator<Item = &'static str> + use<> {
        let words = [(self.speaks == Speaks::Http, "http"), (self.speaks.https(), "https"), (self.speaks.tcp(), "tcp")];
        words.into_iter().filter(|(spoken, _)| *spoken).map(|(_, word)| word)
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

/// Binds all addresses that are not bound already, or says of each that cannot be bound why. Whoever has `before` lets go of the others
/// afterwards.
pub fn bind(config: &Config, workers: usize, before: &[Bound], inherited: &mut Inherited) -> Result<Vec<Listener>, Vec<Diagnostic>> {
    let (mut bound, mut problems) = (Vec::new(), Vec::new());
    let wanted = wanted(config);
    let kept = kept(wanted.iter().map(|(address, _, speaks)| (address, *speaks)), before);
    let mut id = before.iter().map(|bound| bound.id + 1).max().unwrap_or_default();
    for ((address, at, speaks), kept) in wanted.into_iter().zip(kept) {
        if let Some(kept) = kept {
            bound.push(Listener { bound: Bound { wanted: address, speaks, ..kept.clone() }, sockets: Vec::new() });
            continue;
        }
        id += 1;
        let made = match (inherited.take(&address), &address) {
            (Some((sockets, giver)), _) => handed_over(&address, sockets, giver, workers),
            (None, ListenAddress::Ip(ip)) => bind_for_all(*ip, workers, before),
            (None, ListenAddress::Unix { path, mode }) => bind_file(&address, path, *mode, workers),
        };
        let made = made.map(|(address_now, sockets, file)| {
            let bound = Bound { id, wanted: address.clone(), address: address_now, speaks, _file: file.map(Arc::new) };
            Listener { bound, sockets }
        });
        match made {
            Ok(listener) => bound.push(listener),
            // A machine without IPv6 has no `[::]` to listen on; nobody asked for it by name.
            Err(error)
                if at.is_none() && error.raw_os_error() == Some(libc::EAFNOSUPPORT) && !matches!(address, ListenAddress::Unix { .. }) => {}
            Err(error) => problems.push(refused(&address, at.as_ref(), &error)),
        }
    }
    std::mem::take(inherited).finish();
    if problems.is_empty() { Ok(bound) } else { Err(problems) }
}

/// Beside what is wanted: what is there already. First what speaks the same at the same address, for port 0 can be wanted several times; what is
/// left then changes its language.
fn kept<'w, 'b>(wanted: impl Iterator<Item = (&'w ListenAddress, Speaks)> + Clone, before: &'b [Bound]) -> Vec<Option<&'b Bound>> {
    let mut left: Vec<&Bound> = before.iter().collect();
    let mut take = |address: &ListenAddress, speaks: Option<Speaks>| {
        let index = left.iter().position(|bound| bound.is_at(address) && speaks.is_none_or(|speaks| bound.speaks_as(speaks)))?;
        Some(left.remove(index))
    };
    let mut kept: Vec<_> = wanted.clone().map(|(address, speaks)| take(address, Some(speaks))).collect();
    for (kept, (address, _)) in kept.iter_mut().zip(wanted) {
        *kept = kept.or_else(|| take(address, None));
    }
    kept
}

type Made = (ListenAddress, Vec<Listening>, Option<SocketFile>);

fn bind_for_all(address: SocketAddr, workers: usize, before: &[Bound]) -> io::Result<Made> {
    // SO_REUSEPORT would let us share a port with another process of ours without a word: ask first. Where it is ourselves who have the
    // port, on another of its addresses, asking is no use.
    let ours = before.iter().any(|bound| address.port() != 0 && bound.address.port() == Some(address.port()));
    if !ours {
        drop(listen::bind(address, false)?);
    }
    let first = listen::bind(address, true)?;
    let address = first.local_addr()?;
    let mut sockets = vec![Listening::Tcp(first)];
    for _ in 1..workers {
        sockets.push(Listening::Tcp(listen::bind(address, true)?));
    }
    Ok((address.into(), sockets, None))
}

/// Sockets that were there before. Where there is one, all workers wait at it; else each has its own, as before.
fn handed_over(address: &ListenAddress, mut sockets: Vec<Listening>, giver: Giver, workers: usize) -> io::Result<Made> {
    let file = match address {
        ListenAddress::Unix { path, .. } if giver == Giver::Predecessor => Some(SocketFile::of(path)?),
        _ => None,
    };
    if sockets.len() > workers {
        tracing::warn!(
            "{address} had {} workers and has {workers} now: connections that wait for one of the others are lost",
            sockets.len()
        );
        sockets.truncate(workers);
    }
    let one = sockets.len() == 1;
    while let Some(first) = sockets.first().filter(|_| sockets.len() < workers) {
        let another = match address {
            ListenAddress::Ip(ip) if !one => Listening::Tcp(listen::bind(*ip, true)?),
            _ => first.try_clone()?,
        };
        sockets.push(another);
    }
    Ok((address.clone(), sockets, file))
}

/// A path is bound once, so all workers wait at the same socket.
fn bind_file(address: &ListenAddress, path: &Path, mode: u32, workers: usize) -> io::Result<Made> {
    let first = Listening::Unix(listen::bind_unix(path, mode)?);
    let file = Some(SocketFile::of(path)?);
    let mut sockets = Vec::new();
    for _ in 1..workers {
        sockets.push(first.try_clone()?);
    }
    sockets.push(first);
    Ok((address.clone(), sockets, file))
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
