//! How a query changes. Parts that are not touched stay byte for byte as the client wrote them.

use portcullis_sdk::prelude::*;
use portcullis_sdk::query::{encode_into, name, parts};

#[settings]
#[derive(Default)]
pub(crate) struct Changes {
    /// Parameters to set, replacing those of the same name.
    #[setting(default)]
    set: Map<String>,
    /// Parameters to add at the end: one value, or a list of them.
    #[setting(default)]
    add: Map<OneOrMany<String>>,
    /// Names of parameters to remove.
    #[setting(default)]
    remove: Vec<String>,
}

/// [`Changes`] with what is to be written already encoded.
pub(crate) struct QueryEdits {
    remove: Vec<String>,
    /// Name, and `name=value`.
    set: Vec<(String, String)>,
    /// `name=value`
    add: Vec<String>,
}

impl QueryEdits {
    /// `None` if queries stay as they are.
    pub(crate) fn of(changes: Changes) -> Option<Self> {
        let set: Vec<_> = changes.set.into_iter().map(|(name, value)| (name.clone(), pair(&name, &value))).collect();
        let add: Vec<_> = changes.add.iter().flat_map(|(name, values)| values.iter().map(|value| pair(name, value))).collect();
        let nothing = set.is_empty() && add.is_empty() && changes.remove.is_empty();
        (!nothing).then_some(Self { remove: changes.remove, set, add })
    }

    /// The query after the edits; `None` if it is the same. Empty: no query.
    pub(crate) fn changed(&self, query: &str) -> Option<String> {
        let mut new = String::with_capacity(query.len() + 32);
        let mut done = vec![false; self.set.len()];
        for part in parts(query) {
            let found = name(part);
            if self.remove.iter().any(|removed| *removed == found) {
                continue;
            }
            match self.set.iter().position(|(set, _)| *set == found) {
                // The first one is replaced in its place, others of that name go.
                Some(index) if !core::mem::replace(&mut done[index], true) => push(&mut new, &self.set[index].1),
                Some(_) => {}
                None => push(&mut new, part),
            }
        }
        self.set.iter().zip(done).filter(|(_, done)| !done).for_each(|((_, pair), _)| push(&mut new, pair));
        self.add.iter().for_each(|pair| push(&mut new, pair));
        (new != query).then_some(new)
    }
}

fn push(query: &mut String, part: &str) {
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(part);
}

fn pair(name: &str, value: &str) -> String {
    let mut pair = String::new();
    encode_into(&mut pair, name);
    pair.push('=');
    encode_into(&mut pair, value);
    pair
}
