//! Durations in settings, as the proxy's own configuration has them: `250ms`, `10s`, `5m`, `1h30m`, `7d`.

use core::time::Duration;

/// Milliseconds of each; `ms` before `m`.
const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Whole numbers with units, larger ones first.
///
/// # Errors
/// What it would have to be, in words for the operator.
pub fn parse(text: &str) -> Result<Duration, &'static str> {
    const FORM: &str = "a duration is a number and a unit (ms, s, m, h, d), such as 30s or 1h30m";
    let (mut rest, mut total, mut last) = (text, 0_u64, u64::MAX);
    while !rest.is_empty() || last == u64::MAX {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().map_err(|_| FORM)?;
        rest = &rest[digits..];
        let length = rest.bytes().take_while(u8::is_ascii_lowercase).count();
        let (_, worth) = *UNITS.iter().find(|(name, _)| *name == &rest[..length]).ok_or(FORM)?;
        if worth >= last {
            return Err("larger units of a duration come first, each once: 1h30m");
        }
        last = worth;
        rest = &rest[length..];
        total = number.checked_mul(worth).and_then(|part| total.checked_add(part)).ok_or("too long a time")?;
    }
    Ok(Duration::from_millis(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, millis) in [("0s", 0), ("250ms", 250), ("30s", 30_000), ("1h30m", 5_400_000), ("7d", 604_800_000), ("1m1ms", 60_001)] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "30", "s", "1.5s", "-1s", "1s1h", "1s1s", "1 s", "1S", "99999999999999999999s", "999999999999999999d", "ä", "1ä"]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
