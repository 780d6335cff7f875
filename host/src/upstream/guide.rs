//! Who else has a say in where a request goes and whether it is tried again. This room does not know who that is; it keeps what they
//! want within what is safe.

use super::SendError;
use crate::message::{Again, Candidate, Choice};
use http::StatusCode;

/// Asked on the way of one request.
pub trait Guide {
    /// Whether it chooses servers.
    fn chooses(&self) -> bool;

    /// The place of the server that gets the request; `None`: as the upstream is balanced.
    ///
    /// # Errors
    /// The request is not to be sent at all.
    fn choose(&self, choice: &Choice<'_>) -> Result<Option<usize>, Halted>;

    /// Whether it wants to hear of an attempt that brought this status; `None`: no response.
    fn judges(&self, status: Option<StatusCode>) -> bool;

    /// What it wants to follow.
    ///
    /// # Errors
    /// The request is not to be sent again, nor its response to be used.
    fn judge(&self, attempt: &Judged<'_>) -> Result<Again, Halted>;
}

/// The request has to end, for reasons that the guide knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Halted;

/// An attempt that is over.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a> {
    pub server: &'a str,
    /// Attempts made, this one included.
    pub attempt: u32,
    pub brought: Result<StatusCode, &'a SendError>,
    /// The server may have seen some of the request.
    pub sent: bool,
    /// Attempts that may follow.
    pub left: u32,
    /// Where the next one could go.
    pub candidates: &'a [Candidate<'a>],
}

impl From<Halted> for SendError {
    fn from(Halted: Halted) -> Self {
        Self::Halted
    }
}
