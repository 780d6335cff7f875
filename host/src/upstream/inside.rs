//! Servers within this process: components that answer requests themselves.

use crate::config::ServerAddress;
use std::rc::Rc;
use tokio::net::UnixStream;

/// A server within this process. It speaks HTTP/1.1 over connections as any other does, but may answer with [`FAILED`] instead.
pub trait Inside {
    /// One end of a new connection; the other is served by its owner.
    ///
    /// # Errors
    /// If the system has no more descriptors.
    fn connect(&self) -> std::io::Result<UnixStream>;
}

/// The server within this process for an address, if there is one.
pub type Insides<'i> = dyn Fn(&ServerAddress) -> Option<Rc<dyn Inside>> + 'i;

/// The field in an answer of a server within this process that says that it is none, and by which [`InsideFault`] in lower case.
pub const FAILED: &str = "portcullis-service-failed";

/// How a server within this process failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsideFault {
    Trap,
    /// More CPU time or time than its limit.
    Timeout,
    Memory,
    /// It ended without an answer, or with one that is none.
    Answer,
    Overload,
}

impl InsideFault {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Timeout => "timeout",
            Self::Memory => "memory",
            Self::Answer => "answer",
            Self::Overload => "overload",
        }
    }

    /// The reason token of an exchange that ends by it.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Trap => "service_trap",
            Self::Timeout => "service_timeout",
            Self::Memory => "service_memory",
            Self::Answer => "service_answer",
            Self::Overload => "service_overload",
        }
    }

    pub(super) fn read(text: &[u8]) -> Self {
        let all = [Self::Timeout, Self::Memory, Self::Answer, Self::Overload];
        all.into_iter().find(|fault| fault.as_str().as_bytes() == text).unwrap_or(Self::Trap)
    }
}
