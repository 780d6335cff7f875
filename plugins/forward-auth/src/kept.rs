//! What of a "yes" the request goes on with, and how it is kept.

use core::time::Duration;
use portcullis_sdk::http::Response;
use portcullis_sdk::kv::Store;
use portcullis_sdk::prelude::*;

/// Fields that say who it is.
#[derive(Debug, PartialEq, Eq)]
pub struct Identity(Vec<(String, Vec<u8>)>);

impl Identity {
    pub fn of(answer: &Response, copy: &[String]) -> Self {
        let wanted = answer.headers().filter(|(name, _)| copy.iter().any(|wanted| wanted == name));
        Self(wanted.map(|(name, value)| (name.to_owned(), value.to_vec())).collect())
    }

    pub fn apply(&self, edit: &mut RequestEdits) {
        for (name, value) in &self.0 {
            edit.append_header(name, value);
        }
    }

    /// `name: value` and a line feed, which neither can hold.
    fn write(&self) -> Vec<u8> {
        self.0.iter().flat_map(|(name, value)| [name.as_bytes(), b":", value, b"\n"].concat()).collect()
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let field = |line: &[u8]| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some((core::str::from_utf8(&line[..colon]).ok()?.to_owned(), line[colon + 1..].to_vec()))
        };
        lines.map(field).collect::<Option<Vec<_>>>().map(Self)
    }
}

/// Whether the server lets its answer be kept.
pub fn may_be(answer: &Response) -> bool {
    let says = answer.header_str("cache-control").unwrap_or_default();
    !says.split(',').any(|word| matches!(word.trim(), "no-store" | "no-cache"))
}

/// Where a "yes" is kept, and how long.
pub struct Cache {
    time: Duration,
    store: Option<StoreName>,
}

impl Cache {
    pub const fn new(time: Duration, store: Option<StoreName>) -> Self {
        Self { time, store }
    }

    fn store(&self) -> Store<'_> {
        // The store of this process is what the proxy grants its own plugins.
        Store::named(self.store.as_deref().unwrap_or("(local)"))
    }

    /// A store that does not answer knows nothing; the server is asked then.
    pub fn find(&self, digest: &[u8; 32]) -> Option<Identity> {
        self.store().get(key(digest)).ok().flatten().and_then(|kept| Identity::read(&kept))
    }

    /// If it cannot be kept, it is asked for again.
    pub fn keep(&self, digest: &[u8; 32], identity: &Identity) {
        let kept = identity.write();
        // The contract's largest value.
        if kept.len() <= 64 << 10 {
            let _ = self.store().set(key(digest), kept, Some(self.time));
        }
    }
}

fn key(digest: &[u8; 32]) -> Vec<u8> {
    [b"auth|", &digest[..]].concat()
}
