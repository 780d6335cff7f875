//! What the plugin says in traces: attributes and events of the span that the proxy makes for each of its calls. Granted by `tracing = true`.
//!
//! Most exchanges are not traced; then nothing happens, at the cost of a call of the host. Do not format what nobody may read. In
//! `on_done` and `on_tick` nothing is noted either: there is no span that still runs.
//!
//! ```
//! use portcullis_sdk::tracing;
//!
//! # let outside = portcullis_sdk::test::Outside::new().tracing().install();
//! tracing::attribute("cache", "hit");
//! tracing::event("asked", &[("server", "idp")]);
//! # assert_eq!(outside.traced("cache").as_deref(), Some("hit"));
//! # assert_eq!(outside.events(), ["asked"]);
//! ```

use crate::outside;
use alloc::string::String;

/// Sets an attribute of this call's span; the latest value of a name counts. At most 32 for a call; names are cut at 128 bytes, values at 1,024.
#[inline]
pub fn attribute(name: &str, value: &str) {
    outside::set_attribute(name, value);
}

/// Something has happened, now. At most 32 for a call, each with at most 8 attributes: more of these is a fault.
#[inline]
pub fn event(name: &str, attributes: &[(&str, &str)]) {
    outside::add_event(name, attributes);
}

/// The value of `traceparent` for requests on behalf of this exchange. `None`: the proxy takes part in no trace, or no exchange is in hand.
/// Requests of [`http`](crate::http) have it already.
#[inline]
pub fn traceparent() -> Option<String> {
    outside::traceparent()
}
