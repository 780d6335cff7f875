//! Header names and values that a guest gave lately. Most guests give the same few again and again: cloning what is known spares parsing
//! it and two allocations.
//!
//! Bounded, of what a guest itself wrote into its decisions only, and known to that guest alone: otherwise the time that a call takes
//! would tell one guest what another has written. So a guest that lives for one exchange knows nothing.

use http::{HeaderName, HeaderValue};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};

/// Longer ones are seldom given twice.
const LONGEST: usize = 64;

/// Of one worker. A power of two; so many that the headers of a dozen guests seldom meet: two in one place take turns in being made anew.
const SLOTS: usize = 512;

/// A guest in the eyes of this file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Giver(u64);

/// Places are made when the first is asked for: most threads run no guests.
struct Recent<T>(Vec<Option<(Giver, T)>>);

thread_local! {
    static GIVER: Cell<Giver> = const { Cell::new(Giver::NOBODY) };
    static NAMES: RefCell<Recent<HeaderName>> = const { RefCell::new(Recent(Vec::new())) };
    static VALUES: RefCell<Recent<HeaderValue>> = const { RefCell::new(Recent(Vec::new())) };
}

impl Giver {
    /// Whose headers are not remembered.
    pub(super) const NOBODY: Self = Self(0);

    /// One that nobody was before.
    pub(super) fn new() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// What is asked for from now on is this guest's.
    #[inline]
    pub(super) fn gives(self) {
        GIVER.set(self);
    }

    /// As [`Self::gives`], through a call that may wait: others give between its steps.
    pub(super) async fn throughout<T>(self, call: impl Future<Output = T>) -> T {
        let mut call = pin!(call);
        poll_fn(|cx| {
            self.gives();
            call.as_mut().poll(cx)
        })
        .await
    }
}

/// The name of these bytes, by `make` if it is not known.
#[inline]
pub(super) fn name<E>(bytes: &[u8], make: impl FnOnce(&[u8]) -> Result<HeaderName, E>) -> Result<HeaderName, E> {
    NAMES.with_borrow_mut(|names| names.find(GIVER.get(), bytes, make))
}

/// The value of these bytes, likewise.
#[inline]
pub(super) fn value<E>(bytes: &[u8], make: impl FnOnce(&[u8]) -> Result<HeaderValue, E>) -> Result<HeaderValue, E> {
    VALUES.with_borrow_mut(|values| values.find(GIVER.get(), bytes, make))
}

trait Text: Clone {
    fn bytes(&self) -> &[u8];
}

impl Text for HeaderName {
    fn bytes(&self) -> &[u8] {
        self.as_str().as_bytes()
    }
}

impl Text for HeaderValue {
    fn bytes(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl<T: Text> Recent<T> {
    #[inline]
    fn find<E>(&mut self, giver: Giver, bytes: &[u8], make: impl FnOnce(&[u8]) -> Result<T, E>) -> Result<T, E> {
        if giver == Giver::NOBODY {
            return make(bytes);
        }
        if self.0.is_empty() {
            self.0.resize_with(SLOTS, || None);
        }
        let Some(slot) = place(giver, bytes).and_then(|place| self.0.get_mut(place)) else { return make(bytes) };
        match slot {
            Some((whose, known)) if *whose == giver && known.bytes() == bytes => Ok(known.clone()),
            slot => make(bytes).inspect(|made| *slot = Some((giver, made.clone()))),
        }
    }
}

/// Where bytes belong, from what is quick to look at; `None`: nowhere.
#[inline]
fn place(giver: Giver, bytes: &[u8]) -> Option<usize> {
    let (first, last) = (bytes.first()?, bytes.last()?);
    let middle = bytes.get(bytes.len() / 2)?;
    let seen = u64::from(*first) | u64::from(*last) << 8 | u64::from(*middle) << 16 | (bytes.len() as u64) << 24 | giver.0 << 32;
    // Multiplying spreads what differs over the upper bits (Knuth, volume 3, section 6.4).
    let mixed = seen.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    (bytes.len() <= LONGEST).then_some(mixed as usize % SLOTS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{InvalidHeaderName, InvalidHeaderValue};

    fn name_of(bytes: &[u8]) -> Result<HeaderName, InvalidHeaderName> {
        name(bytes, HeaderName::from_bytes)
    }

    fn value_of(bytes: &[u8]) -> Result<HeaderValue, InvalidHeaderValue> {
        value(bytes, HeaderValue::from_bytes)
    }

    #[test]
    fn what_is_known_is_what_was_asked_for() {
        Giver::new().gives();
        // Many more than there are places, each twice, and in a row.
        for n in 0..1000 {
            let text = format!("x-{n}-{}", "y".repeat(n % 80));
            for _ in 0..2 {
                assert_eq!(name_of(text.as_bytes()).expect("a name").as_str(), text);
                assert_eq!(value_of(text.as_bytes()).expect("a value"), text.as_str());
            }
        }
        assert_eq!(value_of(b"").expect("a value"), "");
    }

    #[test]
    fn a_name_is_known_in_lower_case_only() {
        Giver::new().gives();
        for _ in 0..2 {
            assert_eq!(name_of(b"X-Tag").expect("a name").as_str(), "x-tag");
            assert_eq!(name_of(b"x-tag").expect("a name").as_str(), "x-tag");
        }
    }

    #[test]
    fn a_guest_knows_what_it_gave_itself_and_nothing_else() {
        let asked = |bytes: &[u8]| {
            let made = Cell::new(false);
            let find = |bytes: &[u8]| HeaderValue::from_bytes(bytes).inspect(|_| made.set(true));
            value(bytes, find).expect("a value");
            made.get()
        };
        Giver::new().gives();
        assert_eq!((asked(b"secret"), asked(b"secret")), (true, false));
        Giver::new().gives();
        assert!(asked(b"secret"), "another guest");
        Giver::NOBODY.gives();
        assert!(asked(b"other") && asked(b"other"));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_guest_that_waits_gives_for_itself_when_it_goes_on() {
        let (one, other) = (Giver::new(), Giver::new());
        let waits = one.throughout(async {
            tokio::task::yield_now().await;
            GIVER.get()
        });
        let meanwhile = async { other.gives() };
        assert_eq!(tokio::join!(waits, meanwhile).0, one);
        assert_eq!(Giver::NOBODY.throughout(async { GIVER.get() }).await, Giver::NOBODY);
    }

    #[test]
    fn what_is_wrong_stays_wrong() {
        Giver::new().gives();
        for _ in 0..2 {
            assert!(name_of(b"no name").is_err() && value_of(b"no\nvalue").is_err());
        }
    }
}
