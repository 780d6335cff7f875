//! Numbers that one thread writes and another reads at any time: a load and a store each, no lock, no bus cycle.
//!
//! Right only with a single writer. Each worker has its own; the sum is made when somebody looks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Goes up.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// Goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

/// Times, by how long they were.
#[derive(Debug)]
pub struct Histogram {
    bounds: Bounds,
    /// One more than bounds.
    buckets: Box<[Counter]>,
    /// Nanoseconds; 584 years fit.
    sum: Counter,
}

/// Where buckets end, in nanoseconds, with the same in seconds as text.
pub type Bounds = &'static [(u64, &'static str)];

/// What a client waits for: from an answer out of memory to what only a person would call an answer. Three to four a decade, so that
/// a quantile between two is at most 2.5 times off.
pub const OF_EXCHANGES: Bounds = &[
    (500_000, "0.0005"),
    (1_000_000, "0.001"),
    (2_500_000, "0.0025"),
    (5_000_000, "0.005"),
    (10_000_000, "0.01"),
    (25_000_000, "0.025"),
    (50_000_000, "0.05"),
    (100_000_000, "0.1"),
    (250_000_000, "0.25"),
    (500_000_000, "0.5"),
    (1_000_000_000, "1.0"),
    (2_500_000_000, "2.5"),
    (5_000_000_000, "5.0"),
    (10_000_000_000, "10.0"),
    (30_000_000_000, "30.0"),
    (60_000_000_000, "60.0"),
];

/// Making a connection: from the same machine to the limits of 3 and 5 seconds.
pub const OF_CONNECTS: Bounds = &[
    (100_000, "0.0001"),
    (500_000, "0.0005"),
    (1_000_000, "0.001"),
    (5_000_000, "0.005"),
    (10_000_000, "0.01"),
    (50_000_000, "0.05"),
    (100_000_000, "0.1"),
    (500_000_000, "0.5"),
    (1_000_000_000, "1.0"),
    (3_000_000_000, "3.0"),
    (5_000_000_000, "5.0"),
];

impl Counter {
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    #[inline]
    pub fn one(&self) {
        self.add(1);
    }

    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Gauge {
    #[inline]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    #[inline]
    pub fn add(&self, count: u64) {
        self.set(self.value().wrapping_add(count));
    }

    #[inline]
    pub fn sub(&self, count: u64) {
        self.set(self.value().wrapping_sub(count));
    }

    #[inline]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Histogram {
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, buckets: (0..=bounds.len()).map(|_| Counter::default()).collect(), sum: Counter::default() }
    }

    pub fn observe(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let at = self.bounds.partition_point(|(end, _)| *end < nanos);
        // There is one more than there are bounds.
        self.buckets.get(at).iter().for_each(|bucket| bucket.one());
        self.sum.add(nanos);
    }
}

/// Several histograms of the same bounds, added up.
#[derive(Debug, Clone)]
pub struct Times {
    pub bounds: Bounds,
    pub buckets: Vec<u64>,
    pub nanos: u64,
}

impl Times {
    pub fn none(bounds: Bounds) -> Self {
        Self { bounds, buckets: vec![0; bounds.len() + 1], nanos: 0 }
    }

    pub fn take(&mut self, histogram: &Histogram) {
        for (sum, bucket) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *sum += bucket.value();
        }
        self.nanos = self.nanos.wrapping_add(histogram.sum.value());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_fall_into_the_bucket_whose_end_they_do_not_pass() {
        let histogram = Histogram::new(OF_CONNECTS);
        for micros in [100, 101, 500, 6_000_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let mut times = Times::none(OF_CONNECTS);
        times.take(&histogram);
        times.take(&histogram);
        assert_eq!(times.buckets, [2, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!(times.nanos, 2 * 6_000_701_000);
    }

    #[test]
    fn bounds_are_said_as_they_are_meant() {
        for (nanos, text) in OF_EXCHANGES.iter().chain(OF_CONNECTS) {
            let seconds: f64 = text.parse().expect("a number");
            assert!((seconds * 1e9 - *nanos as f64).abs() < 1.0, "{text}");
        }
        assert!(OF_EXCHANGES.is_sorted() && OF_CONNECTS.is_sorted());
    }
}
