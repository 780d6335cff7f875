//! How long we wait for the client: one timer per connection, whatever it is that we wait for.

use crate::wire::Deadline;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::Instant;

/// Set to a time for heads and idle connections; for bodies it runs out when nothing has moved in either direction.
#[derive(Default)]
pub struct Patience {
    deadline: Deadline,
    /// Whether the deadline was set by `poll_stalled` and nothing has moved since.
    stalled: bool,
}

impl Patience {
    pub fn set(&mut self, at: Instant) {
        self.stalled = false;
        self.deadline.set(at);
    }

    /// Ready once the time set is over.
    pub fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.deadline.poll_expired(cx)
    }

    /// Ready once the client has neither sent nor taken a byte for `idle`. To be called when something waits for it.
    pub fn poll_stalled(&mut self, idle: Duration, cx: &mut Context<'_>) -> Poll<()> {
        if !self.stalled {
            self.deadline.set(Instant::now() + idle);
            self.stalled = true;
        }
        self.deadline.poll_expired(cx)
    }

    /// The client did something.
    pub fn progress(&mut self) {
        self.stalled = false;
    }
}
