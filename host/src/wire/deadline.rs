//! A deadline that moves with every request and costs a timer only now and then.
//!
//! Moving it later leaves the timer where it is; when that fires too early, it is armed anew. So a busy connection touches the
//! runtime's timer wheel every few seconds, not several times a request.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::time::{Instant, Sleep, sleep_until};

/// Expires at the time it was set to, unless moved or cleared before.
#[derive(Debug, Default)]
pub struct Deadline {
    at: Option<Instant>,
    /// Armed for `at` or earlier. Made at the first wait, kept from then on.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    pub fn set(&mut self, at: Instant) {
        self.at = Some(at);
    }

    /// Never expires until set again. The timer may still wake the task once, to no effect.
    pub fn clear(&mut self) {
        self.at = None;
    }

    pub fn at(&self) -> Option<Instant> {
        self.at
    }

    /// Ready once the time is over. Call it only when all else is pending: it registers the task.
    pub fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.at else { return Poll::Pending };
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(at)));
        if sleep.deadline() > at {
            sleep.as_mut().reset(at);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= at {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::time::Duration;

    const SOON: Duration = Duration::from_millis(20);
    const NEVER: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn moved_later_it_expires_no_sooner() {
        let (mut deadline, start) = (Deadline::default(), Instant::now());
        deadline.set(start + SOON);
        assert!(poll_fn(|cx| Poll::Ready(deadline.poll_expired(cx))).await.is_pending());
        deadline.set(start + SOON * 3);

        poll_fn(|cx| deadline.poll_expired(cx)).await;

        assert!(start.elapsed() >= SOON * 3);
    }

    #[tokio::test]
    async fn moved_earlier_it_expires_then() {
        let (mut deadline, start) = (Deadline::default(), Instant::now());
        deadline.set(start + NEVER);
        assert!(poll_fn(|cx| Poll::Ready(deadline.poll_expired(cx))).await.is_pending());
        deadline.set(start + SOON);

        poll_fn(|cx| deadline.poll_expired(cx)).await;

        assert!((SOON..NEVER).contains(&start.elapsed()));
    }

    #[tokio::test]
    async fn cleared_it_does_not_expire() {
        let mut deadline = Deadline::default();
        deadline.set(Instant::now());
        deadline.clear();
        assert!(poll_fn(|cx| Poll::Ready(deadline.poll_expired(cx))).await.is_pending());

        deadline.set(Instant::now());
        poll_fn(|cx| deadline.poll_expired(cx)).await;
    }
}
