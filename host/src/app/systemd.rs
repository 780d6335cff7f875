//! What a service manager is told (sd_notify(3)), and the sockets that it hands over (sd_listen_fds(3)). Two small protocols of environment variables
//! and datagrams, so no crate.

use crate::config::ListenAddress;
use crate::listen::Listening;
use rustix::io::{FdFlags, fcntl_setfd};
use socket2::{Socket, Type};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Whoever started us, if it wants to know how we are.
#[derive(Default)]
pub struct Manager {
    told: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
    stopping: AtomicBool,
}

impl Manager {
    /// The one that the environment names.
    pub fn of_environment() -> Self {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return Self::default() };
        match open(&name) {
            Ok(told) => Self { told: Some(told), watchdog: watchdog(), stopping: AtomicBool::new(false) },
            Err(error) => {
                tracing::warn!("the service manager cannot be told anything: {error}");
                Self::default()
            }
        }
    }

    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    pub fn reloading(&self) {
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=reloading", monotonic().as_micros()));
    }

    pub fn stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.tell("STOPPING=1\nSTATUS=running requests are finished");
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// How often it wants to hear that we are alive; twice as often as it must.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog.map(|most| most / 2)
    }

    pub fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    fn tell(&self, what: &str) {
        if let Some((socket, manager)) = &self.told
            && let Err(error) = socket.send_to_addr(what.as_bytes(), manager)
        {
            tracing::warn!("the service manager was not told {what:?}: {error}");
        }
    }
}

fn open(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let manager = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    // It may be slow, and we must not wait for it.
    socket.set_nonblocking(true)?;
    Ok((socket, manager))
}

/// `None`: nobody waits for it, or for it from another process.
fn watchdog() -> Option<Duration> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
    number("WATCHDOG_USEC").filter(|micros| ours && *micros > 0).map(Duration::from_micros)
}

#[allow(unsafe_code, reason = "clock_gettime(2) has no wrapper in std that shows the number; the struct is ours and valid for the call")]
fn monotonic() -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    Duration::new(u64::try_from(now.tv_sec).unwrap_or_default(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

/// Listening sockets that were there before us.
#[derive(Default)]
pub struct Inherited(Vec<Listening>);

/// The first that is handed over.
const FIRST: RawFd = 3;

impl Inherited {
    /// Those that the environment names. Called once, before anything else opens files that could be taken for them.
    pub fn of_environment() -> Self {
        let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<i32>().ok());
        if number("LISTEN_PID") != i32::try_from(std::process::id()).ok() {
            return Self::default();
        }
        let count = number("LISTEN_FDS").unwrap_or(0).max(0);
        Self(
            (FIRST..FIRST.saturating_add(count))
                .filter_map(|fd| take(fd).map_err(|error| tracing::warn!("file {fd}: {error}")).ok())
                .collect(),
        )
    }

    /// The one at this address; all workers accept from it.
    pub fn take(&mut self, address: &ListenAddress) -> Option<Listening> {
        let is = |socket: &Listening| match (socket, address) {
            (Listening::Tcp(socket), ListenAddress::Ip(wanted)) => socket.local_addr().is_ok_and(|own| own == *wanted),
            (Listening::Unix(socket), ListenAddress::Unix { path, .. }) => {
                socket.local_addr().is_ok_and(|own| own.as_pathname().is_some_and(|own| own == path))
            }
            _ => false,
        };
        let index = self.0.iter().position(is)?;
        Some(self.0.swap_remove(index))
    }

    /// Says which nobody has taken.
    pub fn finish(self) {
        for socket in self.0 {
            tracing::warn!(
                "nothing in the configuration listens at {}, for which there is a socket from the service manager",
                socket.name()
            );
        }
    }
}

#[allow(unsafe_code, reason = "the service manager says that the file is open and ours (sd_listen_fds); nothing else has taken it")]
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
