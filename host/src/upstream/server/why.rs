//! Why a server got a request and others did not, in words for the access log.

use super::{Tried, Upstream, Wish};
use crate::config::Balance;
use std::fmt::Write as _;
use std::rc::Rc;
use tokio::time::Instant;

/// Servers that are told of at most: a line of the log should stay one.
const MOST: usize = 8;

/// Where there are more, nobody looks through all of them for every request to find out who has too much to do, or is down on its level.
const FEW: usize = 64;

impl Upstream {
    /// What made it this one; `None`: there is no other.
    pub fn why(&self, index: usize, wish: Wish) -> Option<&'static str> {
        if self.servers.len() < 2 {
            return None;
        }
        Some(match self.balance {
            _ if wish.is_for(index) => "sticky",
            Balance::Hash(_) if wish.has_key() => "hash",
            // What has no key to be hashed goes anywhere.
            Balance::P2c | Balance::Hash(_) => "p2c",
            Balance::RoundRobin => "round-robin",
            Balance::Least => "least",
        })
    }

    /// Those that did not come into question, each with the reason: `10.0.0.2:80(down),10.0.0.3:80(failed)`. `None`: all did.
    pub fn passed_over(&self, chosen: usize, tried: &Tried, now: Instant) -> Option<Rc<str>> {
        let looked_at = (self.limit.is_some() || self.levels.is_some()) && self.servers.len() <= FEW;
        let checked = self.checked.as_ref().is_some_and(|checked| checked.counts());
        if self.servers.len() < 2 || (tried.is_empty() && !self.drained.any() && self.out.get() == 0 && !checked && !looked_at) {
            return None;
        }
        let others = (0..self.servers.len()).filter(|index| *index != chosen);
        let mut passed = others.filter_map(|index| Some((self.servers.get(index)?, self.against(index, tried, now)?)));
        let mut text = String::new();
        for (server, why) in passed.by_ref().take(MOST) {
            let _ = write!(text, "{}{}({why})", if text.is_empty() { "" } else { "," }, server.label);
        }
        if passed.next().is_some() {
            text.push_str(",…");
        }
        (!text.is_empty()).then(|| text.into())
    }

    /// What speaks against a server; what was found first comes first.
    fn against(&self, index: usize, tried: &Tried, now: Instant) -> Option<&'static str> {
        let server = self.servers.get(index)?;
        if tried.contains(&index) {
            Some("failed")
        } else if self.is_drained(index) {
            Some("drained")
        } else if self.out.get() > 0 && server.standing.is_out(now) {
            Some("ejected")
        } else if self.is_unwell(index, now) {
            Some("down")
        } else if self.is_full(index) {
            Some("busy")
        } else {
            None
        }
    }
}
