//! How long an origin may take for one exchange: what links set, else the route, else the limits.

use crate::config::{Limits, RouteTimeouts};
use crate::message::Exchange;
use crate::upstream::Times;
use std::time::Duration;
use tokio::time::Instant;

/// The times that hold. `unreadable` hears of attributes that are no duration, by name and value; they count as not set.
pub(super) fn of(exchange: &Exchange, route: RouteTimeouts, limits: &Limits, mut unreadable: impl FnMut(&str, &str)) -> Times {
    let mut chosen = route;
    for (name, value) in &exchange.attributes {
        let place = match &**name {
            "timeout.total" => &mut chosen.total,
            "timeout.response" => &mut chosen.response,
            "timeout.idle" => &mut chosen.idle,
            _ => continue,
        };
        match duration(value) {
            Some(time) => *place = Some(time),
            None => unreadable(name, value),
        }
    }
    Times {
        response: chosen.response.unwrap_or(limits.response),
        idle: chosen.idle.unwrap_or(limits.response_idle),
        // Links have decided by now, which takes microseconds of a time that is given in seconds.
        total: chosen.total.and_then(|total| Instant::now().checked_add(total)),
    }
}

/// A whole number and `ms`, `s`, `m` or `h`; zero is no timeout that anybody means.
fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.bytes().take_while(u8::is_ascii_digit).count());
    let number: u64 = number.parse().ok().filter(|number| *number > 0)?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        let cases = [
            ("250ms", Some(250)),
            ("5s", Some(5_000)),
            ("2m", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("5", None),
            ("s", None),
            ("", None),
            ("0s", None),
            ("-1s", None),
            ("1.5s", None),
            ("5 s", None),
            ("99999999999999999999s", None),
            ("18446744073709551615h", None),
        ];
        for (text, millis) in cases {
            assert_eq!(duration(text), millis.map(Duration::from_millis), "{text}");
        }
    }
}
