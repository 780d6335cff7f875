//! Limits how many connections a client may have open.
//!
//! The proxy counts, over all its workers; this only compares. So it is exact, needs no memory of its own, and a guest that is replaced
//! forgets nothing.
#![cfg_attr(target_family = "wasm", no_std)]

use portcullis_sdk::prelude::*;

const OPEN: &str = "peer.connections";

/// Limits how many connections a client may have open.
#[settings]
pub struct ConnLimit {
    /// Connections of one client that may be open at once.
    #[setting(min = 1)]
    most: u32,
    /// How the next one is refused: the client sees an error, or an end.
    #[setting(default)]
    refuse: Refuse,
}

#[settings]
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum Refuse {
    #[default]
    Reset,
    Close,
}

#[plugin(name = "conn-limit", description = "Limits how many connections a client may have open")]
impl ConnLimit {
    #[interest(attributes = ["peer.connections"])]
    fn on_accept(&self, accepted: &Accepted, _: &mut ConnectionEdits) -> AcceptVerdict {
        // Who comes over a Unix socket is no client that could be told from others, and is not counted.
        let open = accepted.attribute(OPEN).and_then(|open| open.parse::<u32>().ok()).unwrap_or(0);
        match (open > self.most, self.refuse) {
            (false, _) => AcceptVerdict::Next,
            (true, Refuse::Reset) => AcceptVerdict::Reset,
            (true, Refuse::Close) => AcceptVerdict::Close,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portcullis_sdk::test::{Harness, connection, unix_connection};

    #[test]
    fn the_one_too_many_is_refused() {
        let limit = Harness::<ConnLimit>::new(r#"{"most": 2}"#);
        let verdict = |open: &str| limit.on_accept(connection("192.0.2.1:4000").attribute(OPEN, open)).verdict().clone();
        assert_eq!([verdict("1"), verdict("2"), verdict("3")], [AcceptVerdict::Next, AcceptVerdict::Next, AcceptVerdict::Reset]);
        assert_eq!(limit.on_accept(unix_connection()).verdict(), &AcceptVerdict::Next);
    }

    #[test]
    fn it_can_end_in_order() {
        let limit = Harness::<ConnLimit>::new(r#"{"most": 1, "refuse": "close"}"#);
        assert_eq!(limit.on_accept(connection("192.0.2.1:1").attribute(OPEN, "2")).verdict(), &AcceptVerdict::Close);
        assert_eq!(Harness::<ConnLimit>::refused(r#"{"most": 0}"#)[0].path, "/most");
    }
}
