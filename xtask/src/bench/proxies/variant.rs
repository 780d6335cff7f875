//! Columns of one proxy that differ in a setting, where a scenario is about that setting.

use super::Kind;
use crate::bench::scenario::{Load, Scenario};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// As configured for all scenarios alike.
    Usual,
    /// Ours: `isolate = "request"`, asked each time.
    FreshGuests,
    /// The same, its decisions remembered. All requests of a scenario are alike.
    Remembered,
    /// HAProxy: splices both ways, which it does not unless told. Ours does without being told.
    Splice,
    /// nginx: buffers of 256 KiB instead of 16; as much as one of our pipes holds.
    WideBuffers,
}

impl Variant {
    /// Those that a scenario compares, each with what follows the proxy's name. The first nginx is what others are held against.
    pub fn of(kind: Kind, scenario: &Scenario) -> &'static [(Self, &'static str)] {
        match (kind, scenario.load) {
            (Kind::Portcullis, Load::Http1) if scenario.filters > 0 => {
                &[(Self::Usual, " worker"), (Self::FreshGuests, " request"), (Self::Remembered, " remembered")]
            }
            (Kind::Haproxy, Load::Bulk(_)) => &[(Self::Usual, ""), (Self::Splice, " splice")],
            (Kind::Nginx, Load::Bulk(_)) => &[(Self::Usual, ""), (Self::WideBuffers, " wide")],
            _ => &[(Self::Usual, "")],
        }
    }
}
