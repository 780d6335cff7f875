//! Rates: `100/s`, `30/m`.

use core::time::Duration;

/// So many in so many seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub count: u32,
    pub seconds: u32,
    /// From one to the next.
    pub interval: Duration,
}

/// Beyond it, nothing is limited.
const MOST: u32 = 1_000_000;

const UNITS: [(&str, u32); 4] = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];

impl Rate {
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "a rate is a number, `/`, and s, m, h or d, such as 100/s";
        let (count, unit) = text.split_once('/').ok_or(FORM)?;
        let (_, seconds) = *UNITS.iter().find(|(name, _)| *name == unit).ok_or(FORM)?;
        let digits = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
        let count: u32 = if digits { count.parse().ok() } else { None }.ok_or(FORM)?;
        if count == 0 || count / seconds > MOST {
            return Err("a rate lies between 1/d and 1000000/s");
        }
        let nanos = u64::from(seconds) * 1_000_000_000 / u64::from(count);
        Ok(Self { count, seconds, interval: Duration::from_nanos(nanos) })
    }

    /// Whether as many can be let through at once, which is to say: whether they come back within a year.
    pub fn fits(&self, burst: u32) -> bool {
        const YEAR: u64 = 366 * 86_400;
        u64::from(burst) * u64::from(self.seconds) / u64::from(self.count) <= YEAR
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        for (text, nanos) in
            [("100/s", 10_000_000), ("3/s", 333_333_333), ("30/m", 2_000_000_000), ("1/d", 86_400_000_000_000), ("1000000/s", 1_000)]
        {
            assert_eq!(Rate::parse(text).map(|rate| rate.interval), Ok(Duration::from_nanos(nanos)), "{text}");
        }
        for text in ["", "100", "/s", "100/", "100/S", "-1/s", "+1/s", "1.5/s", "0/s", "1000001/s", "99999999999/d", "1/ s", "1/w"] {
            assert!(Rate::parse(text).is_err(), "{text}");
        }
        let slow = Rate::parse("1/d").expect("a rate");
        assert!(slow.fits(366) && !slow.fits(367));
    }
}
