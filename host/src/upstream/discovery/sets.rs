//! The servers of all upstreams at one time, and what checks have found of them. Never changed: when servers come or go there is another.

use super::LookUp;
use super::query::{Query, expand};
use crate::certs::Outbound;
use crate::config::{UpstreamName, UpstreamSpec};
use crate::upstream::health::HealthBoard;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Default)]
pub struct Sets {
    /// With the servers that there are in the place of names.
    pub specs: BTreeMap<UpstreamName, UpstreamSpec>,
    /// Which of them are down.
    pub board: Arc<HealthBoard>,
}

impl Sets {
    /// Those that follow: what is `known` by now makes servers of what is `written`. What is thought of servers that stay goes over.
    pub fn succeed(&self, written: &BTreeMap<UpstreamName, UpstreamSpec>, known: &BTreeMap<Query, LookUp>, outbound: &Outbound) -> Self {
        let found = |query: &Query| known.get(query).map(|known| &*known.found).unwrap_or_default();
        let specs: BTreeMap<_, _> = written.iter().map(|(name, spec)| (name.clone(), expand(spec, found))).collect();
        let board = self.board.succeed(&specs, outbound);
        Self { specs, board }
    }
}
