//! `Date` (RFC 9110, section 6.6.1), written once a second and thread.

use http::HeaderValue;
use std::cell::RefCell;
use std::time::Duration;
use time::OffsetDateTime;
use tokio::time::Instant;

struct Cached {
    value: HeaderValue,
    /// When the next second begins.
    until: Instant,
}

thread_local! {
    static CACHED: RefCell<Option<Cached>> = const { RefCell::new(None) };
}

/// Appends the current time as `Sun, 06 Nov 1994 08:49:37 GMT`. `now` is the caller's recent reading of the clock, so that this one
/// need not be asked again.
pub fn put_date(out: &mut Vec<u8>, now: Instant) {
    with_current(now, |date| out.extend_from_slice(date.as_bytes()));
}

/// The same as a field's value.
pub fn date(now: Instant) -> HeaderValue {
    with_current(now, HeaderValue::clone)
}

fn with_current<R>(now: Instant, then: impl FnOnce(&HeaderValue) -> R) -> R {
    CACHED.with_borrow_mut(|cached| match cached {
        Some(cached) if now < cached.until => then(&cached.value),
        stale => {
            let time = OffsetDateTime::now_utc();
            let left = Duration::from_secs(1).saturating_sub(Duration::from_nanos(time.nanosecond().into()));
            // Only what may stand in a value, so it is one.
            let value = HeaderValue::from_bytes(&format(time)).unwrap_or(HeaderValue::from_static(""));
            then(&stale.insert(Cached { value, until: Instant::now() + left }).value)
        }
    })
}

fn format(time: OffsetDateTime) -> [u8; 29] {
    let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    let day = time.weekday().to_string();
    let month = time.month().to_string();
    let year = time.year().unsigned_abs();
    put(&mut text, 0, day.as_bytes().get(..3).unwrap_or_default());
    put(&mut text, 5, &two(time.day()));
    put(&mut text, 8, month.as_bytes().get(..3).unwrap_or_default());
    put(&mut text, 12, &two((year / 100 % 100) as u8));
    put(&mut text, 14, &two((year % 100) as u8));
    put(&mut text, 17, &two(time.hour()));
    put(&mut text, 20, &two(time.minute()));
    put(&mut text, 23, &two(time.second()));
    text
}

fn put(text: &mut [u8; 29], at: usize, part: &[u8]) {
    if let Some(place) = text.get_mut(at..at + part.len()) {
        place.copy_from_slice(part);
    }
}

fn two(number: u8) -> [u8; 2] {
    [b'0' + number / 10 % 10, b'0' + number % 10]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_imf_fixdate() {
        let time = OffsetDateTime::from_unix_timestamp(784_111_777).expect("in range");

        assert_eq!(std::str::from_utf8(&format(time)), Ok("Sun, 06 Nov 1994 08:49:37 GMT"));
    }
}
