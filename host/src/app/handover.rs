//! Another process takes over from this one, usually a newer binary at the same path: it gets the listening sockets, and when it serves, this one
//! finishes what runs and leaves. Both accept meanwhile, and no connection waits at a socket that nobody has. If the other does not come to
//! serve, nothing has happened.
//!
//! What a process keeps to itself starts anew: counters of limits, kv in memory, TLS session keys, metrics.

use super::inherited::SOCKETS;
use rustix::io::{FdFlags, dup, fcntl_setfd};
use rustix::pipe::pipe;
use socket2::SockRef;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::time::timeout;

/// Names the file of a pipe that a successor writes to when it serves.
const READY: &str = "PORTCULLIS_READY";

/// For a successor to come to serve: it may have to compile all plugins anew. Chosen arbitrarily.
const PATIENCE: Duration = Duration::from_secs(120);

/// How this process was started.
pub struct Origin {
    /// Taken at the start, for a file that has been replaced has another name afterwards.
    program: PathBuf,
    arguments: Vec<OsString>,
}

/// Why nobody has taken over.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    #[error("this is process 1, with which its container would end: start a new container beside it")]
    First,
    #[error("{} cannot be started: {source}", program.display())]
    Start {
        program: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} ended without serving ({status}); what it said is in the log", program.display())]
    Ended { program: PathBuf, status: String },
    #[error("{} did not serve within {} s, and was ended", program.display(), PATIENCE.as_secs())]
    Slow { program: PathBuf },
}

impl Origin {
    /// To be called before anybody can have replaced the binary.
    pub fn of_process() -> io::Result<Self> {
        Ok(Self { program: std::env::current_exe()?, arguments: std::env::args_os().skip(1).collect() })
    }

    /// Starts the successor with the listening sockets of this process, and waits until it serves. Its process number.
    ///
    /// # Errors
    /// If it does not come to serve; then it is gone.
    pub async fn succeed(&self) -> Result<u32, HandoverError> {
        if std::process::id() == 1 {
            return Err(HandoverError::First);
        }
        let program = || self.program.clone();
        let failed = |source| HandoverError::Start { program: program(), source };
        let (mut starting, mut ready) = self.start().map_err(failed)?;
        let mut byte = [0];
        let told = timeout(PATIENCE, ready.read_exact(&mut byte)).await;
        let Some(child) = starting.0.as_mut() else { return Err(HandoverError::Slow { program: program() }) };
        match told {
            Ok(Ok(_)) => {
                let number = child.id();
                starting.0 = None;
                Ok(number)
            }
            Ok(Err(_)) => {
                // It has closed the pipe, so it has ended, or is about to.
                let status = child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
                Err(HandoverError::Ended { program: program(), status })
            }
            Err(_) => Err(HandoverError::Slow { program: program() }),
        }
    }

    fn start(&self) -> io::Result<(Starting, Receiver)> {
        let sockets = listening()?;
        let (reader, writer) = pipe()?;
        fcntl_setfd(&reader, FdFlags::CLOEXEC)?;
        let names: Vec<String> = sockets.iter().map(|socket| socket.as_raw_fd().to_string()).collect();
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env(SOCKETS, names.join(",")).env(READY, writer.as_raw_fd().to_string());
        // Meant for this process, by its number.
        for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID"] {
            command.env_remove(name);
        }
        let child = command.spawn()?;
        // Ours of `sockets` and `writer` close here: the child has its own.
        let starting = Starting(Some(child));
        Ok((starting, Receiver::from_owned_fd(reader)?))
    }
}

/// A successor that does not serve yet, and must not when nobody waits for it any more.
struct Starting(Option<Child>);

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Says to the predecessor, if there is one, that we serve.
pub fn serves() {
    let Some(fd) = std::env::var(READY).ok().and_then(|text| text.parse::<RawFd>().ok()).filter(|fd| *fd > 2) else { return };
    if let Err(error) = told(fd) {
        tracing::warn!("the process before this one was not told that it can leave: {error}");
    }
}

#[allow(unsafe_code, reason = "whoever started us says that the file is open and ours; nothing else has taken it")]
fn told(fd: RawFd) -> io::Result<()> {
    // The environment may be wrong, and what is not open must not be owned.
    fcntl_setfd(unsafe { BorrowedFd::borrow_raw(fd) }, FdFlags::CLOEXEC)?;
    fs::File::from(unsafe { OwnedFd::from_raw_fd(fd) }).write_all(&[1])
}

/// Every listening socket of this process once more, to be had by the next program too. Asked of the system, since workers and the admin listener
/// each have their own.
#[allow(unsafe_code, reason = "numbers of files that were open a moment ago; one that is not any more gives an error")]
fn listening() -> io::Result<Vec<OwnedFd>> {
    let mut sockets = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let Some(fd) = entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()) else { continue };
        let file = unsafe { BorrowedFd::borrow_raw(fd) };
        let socket = SockRef::from(&file);
        // The one for questions is bound anew by who comes.
        let questions =
            || socket.local_addr().is_ok_and(|own| own.as_pathname().is_some_and(|path| path.starts_with(Path::new("/proc/self/fd"))));
        if socket.is_listener().unwrap_or(false) && !questions() {
            sockets.push(dup(file)?);
        }
    }
    Ok(sockets)
}
