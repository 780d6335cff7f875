//! Which types can stand in settings, and what each accepts.

use super::{Schema, Setting};
use crate::problem::Pointer;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};

impl Setting for bool {
    const SCHEMA: Schema = Schema::Bool;
}

impl Setting for String {
    const SCHEMA: Schema = Schema::Text { format: None };
}

macro_rules! integer {
    ($($type:ident $min:literal $max:literal)*) => {$(
        impl Setting for $type {
            const SCHEMA: Schema = Schema::Integer { min: $min, max: $max };
        }
    )*};
}
integer! {
    u8 "0" "255"
    u16 "0" "65535"
    u32 "0" "4294967295"
    // Integers in TOML are 64 bits with a sign.
    u64 "0" "9223372036854775807"
    i8 "-128" "127"
    i16 "-32768" "32767"
    i32 "-2147483648" "2147483647"
    i64 "-9223372036854775808" "9223372036854775807"
}

impl Setting for f64 {
    const SCHEMA: Schema = Schema::Number;
}

impl<T: Setting> Setting for Option<T> {
    const SCHEMA: Schema = T::SCHEMA;
    const OPTIONAL: bool = true;
}

impl<T: Setting> Setting for Vec<T> {
    const SCHEMA: Schema = Schema::List(&T::SCHEMA);
}

impl<T: Setting> Setting for BTreeMap<String, T> {
    const SCHEMA: Schema = Schema::Map { keys: &<String as Setting>::SCHEMA, values: &T::SCHEMA };
}

/// A table with free keys, in the order the operator wrote them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map<T, K = String>(Vec<(K, T)>);

impl<T, K> Default for Map<T, K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, K> Deref for Map<T, K> {
    type Target = [(K, T)];

    fn deref(&self) -> &[(K, T)] {
        &self.0
    }
}

impl<T, K> IntoIterator for Map<T, K> {
    type Item = (K, T);
    type IntoIter = alloc::vec::IntoIter<(K, T)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<T: Setting, K: Setting> Setting for Map<T, K> {
    const SCHEMA: Schema = Schema::Map { keys: &K::SCHEMA, values: &T::SCHEMA };
}

impl<'de, T: Deserialize<'de>, K: Deserialize<'de>> Deserialize<'de> for Map<T, K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T, K>(PhantomData<(T, K)>);

        impl<'de, T: Deserialize<'de>, K: Deserialize<'de>> Visitor<'de> for Entries<T, K> {
            type Value = Map<T, K>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Map(entries))
            }
        }

        deserializer.deserialize_map(Entries(PhantomData))
    }
}

/// One value, or a list of them: `add = { via = "a" }` or `add = { via = ["a", "b"] }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneOrMany<T> {
    items: Vec<T>,
    /// Written as a list.
    many: bool,
}

impl<T> OneOrMany<T> {
    /// One value, written as such.
    pub fn one(item: T) -> Self {
        Self { items: Vec::from([item]), many: false }
    }

    /// Where the item of this number was written, for a [`Problem`](crate::Problem); `at` is where the whole was.
    pub fn pointer(&self, at: &Pointer, index: usize) -> Pointer {
        if self.many { at.index(index) } else { at.clone() }
    }
}

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self { items: Vec::new(), many: true }
    }
}

impl<T> Deref for OneOrMany<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
}

impl<T> IntoIterator for OneOrMany<T> {
    type Item = T;
    type IntoIter = alloc::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.items.into_iter()
    }
}

impl<T: Setting> Setting for OneOrMany<T> {
    const SCHEMA: Schema = Schema::Any(&[T::SCHEMA, Schema::List(&T::SCHEMA)]);
}

/// How [`OneOrMany`] tells the reader what it is: serde has no word for it that does not cost every type a branch for every other.
pub(super) const ONE_OR_MANY: &str = "portcullis::OneOrMany";

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
            type Value = OneOrMany<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one value or a list of them")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                // The reader says which form it was by its hint.
                let many = list.size_hint() != Some(1);
                let mut items = Vec::new();
                while let Some(item) = list.next_element()? {
                    items.push(item);
                }
                Ok(OneOrMany { items, many })
            }
        }

        deserializer.deserialize_newtype_struct(ONE_OR_MANY, Items(PhantomData))
    }
}

/// The name of an upstream. The proxy refuses a configuration in which it does not exist.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Upstream(String);

impl Deref for Upstream {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl From<Upstream> for String {
    fn from(upstream: Upstream) -> Self {
        upstream.0
    }
}

impl Setting for Upstream {
    const SCHEMA: Schema = Schema::Text { format: Some("upstream") };
}

/// The name of a store. The proxy refuses a configuration in which it does not exist.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct StoreName(String);

impl Deref for StoreName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Setting for StoreName {
    const SCHEMA: Schema = Schema::Text { format: Some("store") };
}
