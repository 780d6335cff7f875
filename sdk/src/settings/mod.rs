//! Settings: from the operator's JSON to a plugin's own type, and the schema that the proxy checks them against.
//!
//! `#[settings]` on a struct or enum implements [`Setting`] and serde's `Deserialize` for it. The schema is a constant tree, put
//! together by the compiler; only `describe` turns it into text.

mod json;
mod kinds;
mod place;
mod read;
mod schema;
mod write;

pub use kinds::{Map, OneOrMany, StoreName, Upstream};
pub use schema::{Narrow, Object, Property, Schema};

pub(crate) use read::configure;
pub(crate) use write::describe;

use serde::de::DeserializeOwned;

/// A type that can stand in settings.
///
/// Implemented for `bool`, integers, floats, `String`, `Option`, `Vec`, `BTreeMap<String, _>`, [`Map`] (keeps the order),
/// [`OneOrMany`], [`Upstream`], [`StoreName`], and by `#[settings]`.
pub trait Setting: DeserializeOwned {
    /// What the proxy checks a value of this type against.
    const SCHEMA: Schema;

    /// Whether a struct's field of this type may be left out without a default.
    const OPTIONAL: bool = false;
}
