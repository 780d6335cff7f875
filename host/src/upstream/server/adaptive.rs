//! How many requests an upstream bears at once, found out by what answers take: Netflix's `Gradient2Limit` (concurrency-limits), which here may shrink also while less than half of it is used. While answers take
//! no longer than they do on average over a long time, the limit grows; as soon as they take clearly longer, requests queue somewhere, and it
//! shrinks by as much. Each worker finds its own. Under a load that does not let up for minutes the average follows, and the limit creeps up with
//! it: what must not be exceeded in any case is written as a number (`per-server`).

use std::time::Duration;
use tokio::time::Instant;

/// What no limit falls below and none exceeds, all workers together. Netflix has 20 to 200, for one service behind one process.
pub(super) const LEAST: u32 = 10;
pub(super) const MOST: u32 = 1000;

/// Where it begins, for each worker: Netflix's.
const FIRST: f32 = 20.0;
/// Answers may take this much longer than on average before that means something.
const TOLERANCE: f32 = 1.5;
/// It never shrinks to less than this in one step.
const STEEPEST: f32 = 0.5;
/// What may queue at a server; added at each step, so that the limit grows while nothing slows down.
const QUEUE: f32 = 4.0;
/// Of the new limit in each step; the rest is the old one.
const SMOOTHING: f32 = 0.2;
/// Steps over which the average goes, about.
const LONG: f32 = 600.0;
/// The average is simply one for so many steps, so that a slow first answer is not remembered for long.
const WARM: u32 = 10;
/// A step needs so many answers and so much time.
const ANSWERS: u32 = 10;
const WINDOW: Duration = Duration::from_millis(100);

/// One worker's share of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub least: u32,
    pub most: u32,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Gradient {
    limit: f32,
    /// What answers take on average, in seconds.
    long: f32,
    steps: u32,
    window: Window,
}

/// Answers since the last step.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    since: Option<Instant>,
    answers: u32,
    /// Seconds.
    sum: f32,
    /// The most that ran at once.
    running: u32,
}

impl Default for Gradient {
    fn default() -> Self {
        Self { limit: FIRST, long: 0.0, steps: 0, window: Window::default() }
    }
}

impl Gradient {
    /// What may run at once.
    pub fn limit(&self, bounds: Bounds) -> u32 {
        (self.limit as u32).clamp(bounds.least, bounds.most)
    }

    /// The same after an answer that took so long, while so many ran.
    pub fn after(mut self, took: Duration, running: u32, bounds: Bounds, now: Instant) -> Self {
        let window = &mut self.window;
        let since = *window.since.get_or_insert(now);
        window.answers += 1;
        window.sum += took.as_secs_f32();
        window.running = window.running.max(running);
        if window.answers >= ANSWERS && now.saturating_duration_since(since) >= WINDOW {
            let Window { answers, sum, running, .. } = std::mem::take(window);
            self.step(sum / answers as f32, running, bounds);
        }
        self
    }

    fn step(&mut self, short: f32, running: u32, Bounds { least, most }: Bounds) {
        self.steps = self.steps.saturating_add(1);
        let weight = if self.steps <= WARM { 1.0 / self.steps as f32 } else { 2.0 / (LONG + 1.0) };
        self.long += (short - self.long) * weight;
        // After a long time of slow answers the average comes down faster.
        if self.long > 2.0 * short {
            self.long *= 0.95;
        }
        self.limit = self.limit.clamp(least as f32, most as f32);
        let gradient = (TOLERANCE * self.long / short.max(f32::MIN_POSITIVE)).clamp(STEEPEST, 1.0);
        // Where few come and are well, nothing is learnt about many.
        if gradient >= 1.0 && (running as f32) < self.limit / 2.0 {
            return;
        }
        let next = self.limit * gradient + QUEUE;
        self.limit = (self.limit * (1.0 - SMOOTHING) + next * SMOOTHING).clamp(least as f32, most as f32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { least: 10, most: 1000 };

    /// Steps in which answers take as long as `takes` says when so many run as may.
    fn steps(mut gradient: Gradient, count: u32, takes: impl Fn(u32) -> Duration) -> Gradient {
        let mut now = Instant::now();
        for _ in 0..count * ANSWERS {
            now += WINDOW / ANSWERS + Duration::from_millis(2);
            let running = gradient.limit(BOUNDS);
            gradient = gradient.after(takes(running), running, BOUNDS, now);
        }
        gradient
    }

    #[test]
    fn it_grows_while_nothing_slows_down() {
        let gradient = steps(Gradient::default(), 2000, |_| Duration::from_millis(10));
        assert_eq!(gradient.limit(BOUNDS), BOUNDS.most);
    }

    #[test]
    fn it_stays_near_what_the_upstream_bears() {
        // Fifty at once take 10 ms; what is more waits its turn.
        let takes = |running: u32| Duration::from_millis(10).mul_f32((running as f32 / 50.0).max(1.0));
        let limit = steps(Gradient::default(), 200, takes).limit(BOUNDS);
        assert!((50..=150).contains(&limit), "{limit}");
    }

    #[test]
    fn it_shrinks_when_the_upstream_becomes_slow_and_never_below_its_least() {
        let before = steps(Gradient::default(), 200, |_| Duration::from_millis(10));
        let slow = steps(before, 10, |_| Duration::from_millis(100));
        assert!(slow.limit(BOUNDS) < before.limit(BOUNDS) / 2, "{before:?} {slow:?}");
        let slower = steps(slow, 30, |_| Duration::from_secs(10));
        assert!(slower.limit(BOUNDS) >= BOUNDS.least);
    }

    #[test]
    fn few_requests_say_nothing_about_many() {
        let mut gradient = Gradient::default();
        let mut now = Instant::now();
        for _ in 0..1000 {
            now += WINDOW;
            gradient = gradient.after(Duration::from_millis(5), 2, BOUNDS, now);
        }
        assert_eq!(gradient.limit(BOUNDS), FIRST as u32);
    }
}
