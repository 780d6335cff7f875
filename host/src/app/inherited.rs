//! Listening sockets that were there before us: from a service manager (sd_listen_fds(3)), or from the process whose successor we are (`handover`).

use crate::config::ListenAddress;
use crate::listen::Listening;
use rustix::io::{FdFlags, fcntl_setfd};
use socket2::{Socket, Type};
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Names the files of a predecessor's sockets, with commas between them.
pub const SOCKETS: &str = "PORTCULLIS_SOCKETS";

/// The first that a service manager hands over.
const FIRST: RawFd = 3;

/// What nobody has taken yet.
#[derive(Default)]
pub struct Inherited(Vec<Socketed>);

struct Socketed {
    socket: Listening,
    giver: Giver,
}

/// Where a socket is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Giver {
    /// It keeps it, and the file of a Unix socket too.
    Manager,
    /// It leaves it to us.
    Predecessor,
}

impl Inherited {
    /// Those that the environment names. Called once, before anything else opens files that could be taken for them.
    pub fn of_environment() -> Self {
        let manager = from_manager().map(|fd| (fd, Giver::Manager));
        let predecessor = from_predecessor().into_iter().map(|fd| (fd, Giver::Predecessor));
        let taken = manager.chain(predecessor).filter_map(|(fd, giver)| {
            let socket = take(fd).map_err(|error| tracing::warn!("file {fd}, which was handed over: {error}")).ok()?;
            Some(Socketed { socket, giver })
        });
        Self(taken.collect())
    }

    /// Those at this address. A manager's is one, which all workers accept from; a predecessor had one for each worker, unless it is a file's.
    pub fn take(&mut self, address: &ListenAddress) -> Option<(Vec<Listening>, Giver)> {
        let is = |socket: &Listening| match (socket, address) {
            (Listening::Tcp(socket), ListenAddress::Ip(wanted)) => socket.local_addr().is_ok_and(|own| own == *wanted),
            (Listening::Unix(socket), ListenAddress::Unix { path, .. }) => {
                socket.local_addr().is_ok_and(|own| own.as_pathname().is_some_and(|own| own == path))
            }
            _ => false,
        };
        let (all, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.0).into_iter().partition(|own| is(&own.socket));
        self.0 = others;
        let giver = all.first()?.giver;
        let one = giver == Giver::Manager || matches!(address, ListenAddress::Unix { .. });
        let sockets = all.into_iter().map(|own| own.socket).take(if one { 1 } else { usize::MAX });
        Some((sockets.collect(), giver))
    }

    /// Says which nobody has taken. A predecessor's is closed: the configuration has changed since.
    pub fn finish(self) {
        for Socketed { socket, .. } in self.0.into_iter().filter(|own| own.giver == Giver::Manager) {
            tracing::warn!(
                "nothing in the configuration listens at {}, for which there is a socket from the service manager",
                socket.name()
            );
        }
    }
}

fn from_manager() -> std::ops::Range<RawFd> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<i32>().ok());
    if number("LISTEN_PID") != i32::try_from(std::process::id()).ok() {
        return FIRST..FIRST;
    }
    FIRST..FIRST.saturating_add(number("LISTEN_FDS").unwrap_or(0).max(0))
}

fn from_predecessor() -> Vec<RawFd> {
    let named = std::env::var(SOCKETS).unwrap_or_default();
    // Never the standard streams, whatever the environment says.
    named.split(',').filter_map(|fd| fd.parse().ok()).filter(|fd| *fd >= FIRST).collect()
}

#[allow(unsafe_code, reason = "whoever started us says that the file is open and ours; nothing else has taken it")]
fn take(fd: RawFd) -> io::Result<Listening> {
    // The environment may be wrong, and what is not open must not be owned.
    fcntl_setfd(unsafe { BorrowedFd::borrow_raw(fd) }, FdFlags::CLOEXEC)?;
    let socket = Socket::from(unsafe { OwnedFd::from_raw_fd(fd) });
    if !(socket.r#type()? == Type::STREAM && socket.is_listener()?) {
        return Err(io::Error::other("it is no listening stream socket"));
    }
    socket.set_nonblocking(true)?;
    Ok(if socket.local_addr()?.is_unix() { Listening::Unix(socket.into()) } else { Listening::Tcp(socket.into()) })
}
