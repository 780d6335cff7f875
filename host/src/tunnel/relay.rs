//! Bytes both ways until both sides have ended, one breaks, or neither says anything for too long.

use super::ends::End;
use super::flow::{Broken, Flow, Way};
use super::record::{Counts, Ended, Ledger};
use crate::message::HeaderWatch;
use bytes::Bytes;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

pub(super) struct Relay {
    client: End,
    origin: End,
    inward: Flow,
    outward: Flow,
    counts: Rc<Counts>,
    ledger: Rc<Ledger>,
    idle: Duration,
    /// What was carried at the last look, and when that was.
    seen: (u64, Instant),
    timer: Pin<Box<Sleep>>,
}

/// What is known of the client's first bytes.
pub(super) struct Early {
    /// Read before; they go first.
    pub bytes: Bytes,
    /// If what comes must not be a PROXY header.
    pub watch: Option<HeaderWatch>,
}

impl Relay {
    /// `idle`: without a byte in either direction.
    pub fn new(client: End, origin: End, early: Early, idle: Duration, ledger: &Rc<Ledger>, counts: Rc<Counts>) -> Self {
        let now = Instant::now();
        let timer = Box::pin(sleep_until(later(now, idle)));
        let (inward, outward) = (Flow::with(&early.bytes, early.watch), Flow::default());
        Self { client, origin, inward, outward, counts, ledger: ledger.clone(), idle, seen: (0, now), timer }
    }

    /// `Ready(Some)`: it is over.
    fn poll_flows(&mut self, cx: &mut Context<'_>) -> Option<Ended> {
        let (means, client, origin) = (&self.ledger.means, &mut self.client, &mut self.origin);
        let inward = self.inward.poll(&mut Way { giving: client, taking: origin, means, carried: &self.counts.received }, cx);
        let outward = self.outward.poll(&mut Way { giving: origin, taking: client, means, carried: &self.counts.sent }, cx);
        match (inward, outward) {
            (Poll::Ready(Err(Broken::Unlisted)), _) | (_, Poll::Ready(Err(Broken::Unlisted))) => Some(Ended::Unlisted),
            (Poll::Ready(Err(Broken::Giving)), _) | (_, Poll::Ready(Err(Broken::Taking))) => Some(Ended::ClientGone),
            (Poll::Ready(Err(Broken::Taking)), _) | (_, Poll::Ready(Err(Broken::Giving))) => Some(Ended::OriginGone),
            _ if self.inward.has_ended() && self.outward.has_ended() => Some(Ended::Both),
            _ => None,
        }
    }

    /// Ready when nothing was carried for too long. The timer is set anew when it fires, not with every byte.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let carried = self.counts.received.get() + self.counts.sent.get();
        if carried != self.seen.0 {
            self.seen = (carried, Instant::now());
        }
        while self.timer.as_mut().poll(cx).is_ready() {
            let until = later(self.seen.1, self.idle);
            if until <= Instant::now() {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(until);
        }
        Poll::Pending
    }
}

impl Future for Relay {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        let ended = match self.poll_flows(cx) {
            Some(ended) => ended,
            None if self.poll_idle(cx).is_ready() => Ended::Idle,
            None => return Poll::Pending,
        };
        if matches!(ended, Ended::ClientGone | Ended::OriginGone | Ended::Unlisted) {
            // Whoever is still there must not take what came for the whole.
            self.client.reset();
            self.origin.reset();
        }
        Poll::Ready(ended)
    }
}

/// Far enough away if it cannot be said.
fn later(now: Instant, time: Duration) -> Instant {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
    now + time.min(YEAR)
}
