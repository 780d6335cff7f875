//! Figures with their spread. CPU time, since the machine may have other things to do.

use crate::app::desk::shown;
use crate::chain::Fault;
use std::time::{Duration, Instant};

/// Of many measurements: the middle one, and where the middle four fifths lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    pub median: Duration,
    pub low: Duration,
    pub high: Duration,
}

impl Spread {
    /// At least one.
    pub fn of(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        let at = |tenths: usize| all.get((all.len().saturating_sub(1)) * tenths / 10).copied().unwrap_or_default();
        Self { median: at(5), low: at(1), high: at(9) }
    }
}

/// Long enough for the clock, which takes a fraction of a microsecond to read.
const BATCH: Duration = Duration::from_millis(1);
const ROUNDS: std::ops::RangeInclusive<usize> = 7..=501;

/// Measures one thing for about `time`. `run` does it so many times and says what that cost.
pub async fn spread(time: Duration, mut run: impl AsyncFnMut(usize) -> Result<Duration, Fault>) -> Result<Spread, String> {
    let told = |fault: Fault| format!("{}: {}", shown::cause(fault.cause), fault.detail);
    let mut count = 1;
    while count < 1 << 16 && run(count).await.map_err(told)? < BATCH {
        count *= 2;
    }
    let begun = Instant::now();
    let mut all = Vec::new();
    while all.len() < *ROUNDS.start() || (begun.elapsed() < time && all.len() < *ROUNDS.end()) {
        let took = run(count).await.map_err(told)?;
        all.push(Duration::from_nanos(u64::try_from(took.as_nanos() / count as u128).unwrap_or(u64::MAX)));
    }
    Ok(Spread::of(all))
}

/// Bytes of this process that are in memory and nobody else's; 0 where the system does not say.
pub fn touched() -> usize {
    /// As every machine we run on has.
    const PAGE: usize = 4096;
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let mut pages = pages.split_whitespace().skip(1).map(|word| word.parse::<usize>().unwrap_or_default());
    pages.next().unwrap_or_default().saturating_sub(pages.next().unwrap_or_default()) * PAGE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_its_surroundings() {
        let all: Vec<Duration> = (0..=10).rev().map(Duration::from_micros).collect();
        let us = Duration::from_micros;
        assert_eq!(Spread::of(all), Spread { median: us(5), low: us(1), high: us(9) });
        assert_eq!(Spread::of(vec![us(3)]).median, us(3));
    }
}
