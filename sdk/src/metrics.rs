//! Numbers for the operator's metrics. Granted by `metrics = true`.
//!
//! Each is exported as `portcullis_plugin_<name>`, with the labels given and `plugin`. A name or label that is not `[a-z_][a-z0-9_]*`, more
//! than 8 labels, and a name used for two kinds of number are faults. A plugin has at most 1,000 series; what would be one more is dropped
//! and counted, so a label's values should be few.
//!
//! ```
//! use portcullis_sdk::metrics;
//!
//! # let outside = portcullis_sdk::test::Outside::new().metrics().install();
//! metrics::count("lookups", &[("result", "hit")], 1);
//! # assert_eq!(outside.counted("lookups", &[("result", "hit")]), 1);
//! ```

use crate::outside;

/// A name and a value.
pub type Label<'l> = (&'l str, &'l str);

/// Adds to a counter.
#[inline]
pub fn count(name: &str, labels: &[Label<'_>], add: u64) {
    outside::count(name, labels, add);
}

/// Sets a gauge.
#[inline]
pub fn gauge(name: &str, labels: &[Label<'_>], value: f64) {
    outside::gauge(name, labels, value);
}

/// Observes a value of a histogram, whose buckets are powers of two from 2⁻²⁰ to 2³⁰.
#[inline]
pub fn observe(name: &str, labels: &[Label<'_>], value: f64) {
    outside::observe(name, labels, value);
}
