//! When a certificate is renewed, and when a failed order is tried again.

use crate::certs::coverage::Coverage;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;
use time::OffsetDateTime;

/// The first pause after a failure; each further one is twice as long.
const FIRST: Duration = Duration::from_secs(60);
const LAST: Duration = Duration::from_secs(24 * 3600);

/// When two thirds of the certificate's life are over, or up to a twentieth of it earlier: certificates that were made in one wave are
/// not renewed in one. The same at every call, since it comes from the certificate.
pub fn renewal(certificate: &Coverage) -> OffsetDateTime {
    let life = certificate.not_after - certificate.not_before;
    let spread = certificate.dns.iter().flat_map(|name| name.bytes()).chain(certificate.not_after.unix_timestamp().to_le_bytes());
    let fraction = f64::from(spread.fold(0u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte.into())) % 1000) / 1000.0;
    certificate.not_before + life * (2.0 / 3.0 - fraction / 20.0)
}

/// Failures in a row.
#[derive(Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// How long to wait after one more failure: 1 minute, then twice as long each time, at most a day; ± 10 %.
    pub fn failed(&mut self) -> Duration {
        let pause = FIRST.saturating_mul(1 << self.failures.min(16)).min(LAST);
        self.failures += 1;
        let random = RandomState::new().hash_one(0u8) % 2001;
        pause.mul_f64(0.9 + random as f64 / 10_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn ninety_days_are_renewed_after_about_sixty() {
        let not_before = datetime!(2026-01-01 0:00 UTC);
        let mut days = std::collections::BTreeSet::new();
        for n in 0..200 {
            let certificate = Coverage {
                dns: vec![format!("s{n}.example.com")],
                ips: Vec::new(),
                not_before,
                not_after: not_before + time::Duration::days(90),
            };
            assert_eq!(renewal(&certificate), renewal(&certificate));
            let age = renewal(&certificate) - not_before;
            assert!((time::Duration::hours(55 * 24 + 11)..=time::Duration::days(60)).contains(&age), "{age}");
            days.insert(age.whole_days());
        }
        assert!(days.len() >= 4, "spread over {days:?}");
    }

    #[test]
    fn failures_wait_from_a_minute_to_a_day() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..14).map(|_| backoff.failed().as_secs()).collect();
        assert!((54..=66).contains(&waits[0]) && (108..=132).contains(&waits[1]), "{waits:?}");
        assert!(waits[13] >= 77_760 && waits.iter().all(|wait| *wait <= 95_040), "{waits:?}");
    }
}
