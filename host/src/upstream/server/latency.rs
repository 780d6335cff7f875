//! How long a server took lately.

use std::time::Duration;
use tokio::time::Instant;

/// What a server took lately to a response head: jumps up with a slow answer, and comes down in the course of seconds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Latency {
    /// Zero: nothing is known.
    micros: f32,
    at: Option<Instant>,
}

/// How long a slow answer is remembered: after this time a third of it is left. As Finagle has it.
pub(super) const MEMORY: Duration = Duration::from_secs(10);

/// What is fast, whatever it is, in microseconds; so are twice and half as slow the same. Otherwise chance would decide who gets all requests.
const NOISE: f32 = 1000.0;

/// A slow server gets requests when others have so many times as much to do: one slow answer must not keep all from it.
const MOST_SLOWER: f32 = 8.0;

impl Latency {
    /// The same after an answer that took so long.
    pub fn after(self, took: Duration, now: Instant) -> Self {
        let took = took.as_micros() as f32;
        let micros = if took < self.micros {
            let kept = self.kept(now);
            self.micros * kept + took * (1.0 - kept)
        } else {
            took
        };
        Self { micros, at: Some(now) }
    }

    /// As it was noted last.
    pub fn lately(self) -> Duration {
        Duration::from_micros(self.micros as u64)
    }

    /// What is left of it by now.
    fn kept(self, now: Instant) -> f32 {
        self.at.map_or(0.0, |at| (-now.saturating_duration_since(at).as_secs_f32() / MEMORY.as_secs_f32()).exp())
    }

    /// How many times as slow it is.
    pub fn over(self, other: Self, now: Instant) -> f32 {
        // It only gets less, so that two within the noise stay there.
        if self.at.is_none() || other.at.is_none() || (self.micros <= NOISE && other.micros <= NOISE) {
            return 1.0;
        }
        let ratio = (self.micros * self.kept(now)).max(NOISE) / (other.micros * other.kept(now)).max(NOISE);
        if (0.5..=2.0).contains(&ratio) { 1.0 } else { ratio.clamp(1.0 / MOST_SLOWER, MOST_SLOWER) }
    }
}
