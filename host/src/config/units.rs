//! Quantities in strings: `"10s"`, `"4MiB"`, `"20%"`. Pure text → number, and back for messages and tables.

use super::forms::Wrong;
use std::time::Duration;

/// Units of time, longest first so that `ms` is not read as `m`.
const TIMES: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const SIZES: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

/// `"250ms"`, `"10s"`, `"5m"`, `"1h"`, `"1h30m"`; whole numbers, each unit at most once, largest first.
pub fn duration(text: &str) -> Result<Duration, Wrong> {
    let (mut at, mut total, mut last) = (0, 0u64, u64::MAX);
    while at < text.len() || at == 0 {
        let (number, digits) = whole(text, at, "a duration is a number and a unit", "30s")?;
        let unit_at = at + digits;
        let rest = text.get(unit_at..).unwrap_or_default();
        let length = rest.bytes().position(|b| b.is_ascii_digit()).unwrap_or(rest.len());
        let unit = rest.get(..length).unwrap_or_default();
        let Some((_, worth)) = TIMES.iter().find(|(name, _)| *name == unit) else {
            return Err(unknown_unit(text, unit_at, length, "ms, s, m, h, d"));
        };
        if *worth >= last {
            return Err(Wrong::at(unit_at..unit_at + length, "larger units come first, each once").help("for example: 1h30m"));
        }
        last = *worth;
        total = number.checked_mul(*worth).and_then(|part| total.checked_add(part)).ok_or_else(|| Wrong::whole(text, "too long a time"))?;
        at = unit_at + length;
    }
    Ok(Duration::from_millis(total))
}

/// Whether a configuration may say it so; if not, why.
pub fn check_duration(text: &str) -> Result<(), String> {
    duration(text).map(drop).map_err(|wrong| wrong.message)
}

/// `"512KiB"`, `"4MiB"`, `"1MB"`, `"100B"`; in bytes. KiB are 1024 bytes, kB 1000.
pub fn size(text: &str) -> Result<u64, Wrong> {
    let (number, digits) = whole(text, 0, "a size is a number and a unit", "4MiB")?;
    let unit = text.get(digits..).unwrap_or_default();
    let Some((_, worth)) = SIZES.iter().find(|(name, _)| *name == unit) else {
        return Err(unknown_unit(text, digits, unit.len(), "B, KiB, MiB, GiB, kB, MB, GB"));
    };
    number.checked_mul(*worth).ok_or_else(|| Wrong::whole(text, "too large a size"))
}

/// `"20%"`, 0 to 100.
pub fn percent(text: &str) -> Result<u32, Wrong> {
    let (number, digits) = whole(text, 0, "a percentage is a number and `%`", "20%")?;
    if text.get(digits..) != Some("%") {
        return Err(Wrong::at(digits..text.len(), "`%` expected").help("for example: 20%"));
    }
    u32::try_from(number).ok().filter(|n| *n <= 100).ok_or_else(|| Wrong::at(0..digits, "more than 100 %"))
}

/// `"100/s"`, `"30/m"`; the plugin `rate-limit` reads it again, and knows its bounds.
pub fn rate(text: &str) -> Result<String, Wrong> {
    let (number, digits) = whole(text, 0, "a rate is a number, `/` and a unit of time", "100/s")?;
    let unit = text.get(digits..).unwrap_or_default();
    if !["/s", "/m", "/h", "/d"].contains(&unit) {
        return Err(unknown_unit(text, digits, unit.len(), "/s, /m, /h, /d"));
    }
    if number == 0 { Err(Wrong::at(0..digits, "nothing would be let through")) } else { Ok(text.to_owned()) }
}

/// As `duration` reads it, with the fewest units.
pub fn show_duration(time: Duration) -> String {
    let mut rest = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    // Up to two minutes people think in seconds: 75s, not 1m15s.
    if rest.is_multiple_of(1_000) && rest < 120_000 {
        return format!("{}s", rest / 1_000);
    }
    let mut out = String::new();
    for (unit, worth) in [TIMES[4], TIMES[3], TIMES[2], TIMES[1], TIMES[0]] {
        if rest >= worth {
            out.push_str(&format!("{}{unit}", rest / worth));
            rest %= worth;
        }
    }
    out
}

/// As [`size`] reads it, in the largest binary unit that divides it.
pub fn show_size(bytes: u64) -> String {
    let fits = [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
        .into_iter()
        .find(|(_, worth)| bytes >= *worth && bytes.is_multiple_of(*worth));
    fits.map_or_else(|| format!("{bytes}B"), |(unit, worth)| format!("{}{unit}", bytes / worth))
}

/// The whole number at `at`, and how many digits it has.
fn whole(text: &str, at: usize, message: &str, example: &str) -> Result<(u64, usize), Wrong> {
    let rest = text.get(at..).unwrap_or_default();
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let help = format!("for example: {example}");
    if digits == 0 {
        let length = rest.chars().next().map_or(0, char::len_utf8);
        return Err(Wrong::at(at..at + length, message).help(help));
    }
    let number = rest.get(..digits).and_then(|digits| digits.parse().ok());
    number.map(|n| (n, digits)).ok_or_else(|| Wrong::at(at..at + digits, "too large a number").help(help))
}

fn unknown_unit(text: &str, at: usize, length: usize, units: &str) -> Wrong {
    if length == 0 {
        return Wrong::at(at..text.len(), "the unit is missing").help(format!("units: {units}"));
    }
    let unit = text.get(at..at + length).unwrap_or_default();
    let known = TIMES.iter().chain(&SIZES).any(|(name, _)| *name == unit.trim());
    if unit.starts_with(' ') && known {
        return Wrong::at(at..at + 1, "no blank before the unit").help(format!("write {}", text.replace(' ', "")));
    }
    if text.as_bytes().get(at) == Some(&b'.') {
        return Wrong::at(at..at + length, "whole numbers only").help("for example 1500ms instead of 1.5s, 1536KiB instead of 1.5MiB");
    }
    Wrong::at(at..at + length, "no such unit").help(format!("units: {units}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("10s").expect("fine"), Duration::from_secs(10));
        assert_eq!(duration("250ms").expect("fine"), Duration::from_millis(250));
        assert_eq!(duration("1h30m").expect("fine"), Duration::from_secs(5400));
        for (text, at) in [("", 0..0), ("10", 2..2), ("10 s", 2..3), ("1.5s", 1..2), ("s", 0..1), ("5m5m", 3..4), ("10sec", 2..5)] {
            assert_eq!(duration(text).expect_err(text).at, at, "{text}");
        }
        assert!(duration("99999999999999999999s").is_err() && duration("9999999999999999d").is_err());
    }

    #[test]
    fn sizes_and_percentages() {
        assert_eq!(size("4MiB").expect("fine"), 4 << 20);
        assert_eq!(size("1MB").expect("fine"), 1_000_000);
        assert_eq!(size("4M").expect_err("no such unit").at, 1..2);
        assert_eq!(percent("20%").expect("fine"), 20);
        assert!(percent("101%").is_err() && percent("20").is_err());
    }

    #[test]
    fn shown_as_read() {
        for millis in [0, 1, 250, 1000, 55_000, 90_000, 5_400_000, 86_400_000] {
            let time = Duration::from_millis(millis);
            assert_eq!(duration(&show_duration(time)).expect("own output"), time);
        }
        for bytes in [0, 1, 1000, 1 << 10, 8 << 10, 3 << 20, 1 << 30] {
            assert_eq!(size(&show_size(bytes)).expect("own output"), bytes);
        }
    }
}
