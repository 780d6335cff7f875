//! The three calls of epoll(7) that the origin needs.
#![allow(unsafe_code, reason = "std has no epoll, and xtask takes no crate for three calls")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

pub struct Epoll(OwnedFd);

impl Epoll {
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the descriptor that it returns is nobody else's.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        // SAFETY: as above, and not negative.
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) })) }
    }

    /// Watches for input; closing the descriptor ends that.
    pub fn add(&self, fd: RawFd) -> io::Result<()> {
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: fd as u64 };
        // SAFETY: `event` lives through the call, which copies it.
        let done = unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Waits for input and says where.
    pub fn wait(&self) -> io::Result<impl Iterator<Item = RawFd> + use<>> {
        const MOST: usize = 256;
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; MOST];
        // SAFETY: the kernel writes at most MOST events into an array of that many.
        let ready = unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), MOST as i32, -1) };
        match usize::try_from(ready) {
            Ok(ready) => Ok(events.into_iter().take(ready).map(|event| event.u64 as RawFd)),
            Err(_) => Err(io::Error::last_os_error()),
        }
    }
}
