//! What a plugin keeps of an exchange from one phase to another: dropped when the exchange is over, whichever way it ends.
//!
//! For plugins that have a phase of bodies: those are told when an exchange ends. The number is `exchange()` of a request or response, which
//! heads must be asked for (`#[interest(exchange)]`) and beginnings of bodies always have.
//!
//! ```
//! use portcullis_sdk::exchange;
//!
//! struct Counted(u64);
//! exchange::keep(7, Counted(0));
//! exchange::with(7, |counted: &mut Counted| counted.0 += 5);
//! assert_eq!(exchange::take::<Counted>(7).map(|counted| counted.0), Some(5));
//! assert!(exchange::take::<Counted>(7).is_none());
//! ```

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::any::{Any, TypeId};
use core::cell::RefCell;

type Kept = RefCell<BTreeMap<u64, BTreeMap<TypeId, Box<dyn Any>>>>;

#[cfg(target_family = "wasm")]
struct Single(Kept);

// SAFETY: a guest has one thread.
#[cfg(target_family = "wasm")]
#[allow(unsafe_code, reason = "a static of a guest, which has one thread")]
unsafe impl Sync for Single {}

#[cfg(target_family = "wasm")]
static KEPT: Single = Single(RefCell::new(BTreeMap::new()));

#[cfg(target_family = "wasm")]
fn kept<T>(look: impl FnOnce(&Kept) -> T) -> T {
    look(&KEPT.0)
}

#[cfg(not(target_family = "wasm"))]
fn kept<T>(look: impl FnOnce(&Kept) -> T) -> T {
    std::thread_local! {
        static KEPT: Kept = const { RefCell::new(BTreeMap::new()) };
    }
    KEPT.with(look)
}

/// Keeps a value for this exchange, in place of one of the same type.
pub fn keep<T: 'static>(exchange: u64, value: T) {
    let earlier = kept(|kept| kept.borrow_mut().entry(exchange).or_default().insert(TypeId::of::<T>(), Box::new(value)));
    drop(earlier);
}

/// Looks at what is kept. `None`: nothing of this type is.
pub fn with<T: 'static, R>(exchange: u64, look: impl FnOnce(&mut T) -> R) -> Option<R> {
    let mut value: T = take(exchange)?;
    let result = look(&mut value);
    keep(exchange, value);
    Some(result)
}

/// Takes what is kept.
pub fn take<T: 'static>(exchange: u64) -> Option<T> {
    let taken = kept(|kept| kept.borrow_mut().get_mut(&exchange)?.remove(&TypeId::of::<T>()))?;
    taken.downcast().ok().map(|value| *value)
}

/// The exchange is over.
#[cfg_attr(not(target_family = "wasm"), allow(dead_code, reason = "the proxy calls it, and the harness"))]
pub(crate) fn release(exchange: u64) {
    let gone = kept(|kept| kept.borrow_mut().remove(&exchange));
    drop(gone);
}
