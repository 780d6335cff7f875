//! What a service manager is told (sd_notify(3)): a small protocol of environment variables and datagrams, so no crate.

use arc_swap::ArcSwap;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Whoever started us, if it wants to know how we are.
#[derive(Default)]
pub struct Manager {
    told: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
    status: ArcSwap<String>,
    stopping: AtomicBool,
    /// Another process is who it hears of now.
    handed_over: AtomicBool,
}

impl Manager {
    /// The one that the environment names.
    pub fn of_environment() -> Self {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return Self::default() };
        match open(&name) {
            Ok(told) => Self { told: Some(told), watchdog: watchdog(), ..Self::default() },
            Err(error) => {
                tracing::warn!("the service manager cannot be told anything: {error}");
                Self::default()
            }
        }
    }

    pub fn ready(&self, status: &str) {
        self.announce("READY=1", status);
    }

    pub fn reloading(&self) {
        self.announce(&format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic().as_micros()), "reloading");
    }

    pub fn stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        self.announce("STOPPING=1", "running requests are finished");
    }

    /// From now on that process is the service's, and speaks for it. That it is ready is said again: a manager may listen to the main process only, and
    /// has not heard it from the other.
    pub fn handed_over(&self, successor: u32) {
        self.tell(&format!("MAINPID={successor}\nREADY=1\nSTATUS=process {successor} has taken over"));
        self.handed_over.store(true, Ordering::Relaxed);
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// How often it wants to hear that we are alive; twice as often as it must.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog.map(|most| most / 2)
    }

    /// With the status once more: what was told before this process became the main one was not heard.
    pub fn alive(&self) {
        self.tell(&format!("WATCHDOG=1\nSTATUS={}", self.status.load()));
    }

    fn announce(&self, state: &str, status: &str) {
        self.status.store(Arc::new(status.to_owned()));
        self.tell(&format!("{state}\nSTATUS={status}"));
    }

    fn tell(&self, what: &str) {
        if let Some((socket, manager)) = &self.told
            && !self.handed_over.load(Ordering::Relaxed)
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
