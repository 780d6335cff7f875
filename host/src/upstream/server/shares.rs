//! Choosing among servers that are not all alike: some come first, or some are new and get less than their share for a while.
//!
//! What an upstream has neither of, it does not come here. It costs more than usual: every server is looked at.

use super::levels::{self, Loads};
use super::{Server, Tried, Upstream};
use crate::config::Balance;
use crate::upstream::hash;
use smallvec::SmallVec;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// What a server's share is counted in: hundredths of its weight.
pub(super) const WHOLE: u32 = 100;

/// A new server has so much of its share at once, in per cent, as Envoy has it: with nothing it would never get warm.
const FIRST: u32 = 10;

/// A server that may be chosen.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    index: usize,
    /// Its weight in hundredths, less while it is new.
    share: u64,
}

type Candidates = SmallVec<[Candidate; 16]>;

impl Upstream {
    /// Whether a server comes before another, or has less than its share.
    pub(super) fn has_unlike(&self, now: Instant) -> bool {
        self.levels.is_some()
            || self.slow_start.is_some_and(|time| (0..self.servers.len()).any(|index| self.grown(index, time, now) < WHOLE))
    }

    /// As `pick`.
    pub(super) fn pick_unlike(&self, tried: &Tried, key: Option<u64>, now: Instant) -> Option<usize> {
        self.has_any_out(now);
        for level in self.order(key, now) {
            let among = self.candidates_of(level, tried, now);
            if let Some(chosen) = self.chosen(&among, key, now) {
                return Some(chosen);
            }
        }
        self.quietest_left(self.servers.len(), tried, now)
    }

    /// The levels in the order in which they are asked for a server: first one at random, as often as its part of the load says. With a mark for
    /// those whose servers all count as well.
    fn order(&self, key: Option<u64>, now: Instant) -> SmallVec<[(usize, bool); 4]> {
        let Some(levels) = &self.levels else { return SmallVec::from_slice(&[(0, false)]) };
        let healths = levels.healths(|index| !self.is_unwell(index, now));
        let loads = levels::loads(&healths);
        // Whoever cannot bear the load alone is helped by those who may only seem to be down.
        let panics = !levels::suffice(&loads);
        let mut order: SmallVec<[(usize, bool); 4]> =
            (0..).zip(&healths).map(|(level, health)| (level, panics && health.is_doubtful())).collect();
        let first = self.first(&loads, key);
        if let Some(first) = order.get(first).copied() {
            order.retain(|(level, _)| *level != first.0);
            order.insert(0, first);
        }
        order
    }

    /// A level at random, or always the same for a key, as often as its part of the load says; the first one if none can bear any.
    fn first(&self, loads: &Loads, key: Option<u64>) -> usize {
        let all: u32 = loads.iter().sum();
        if loads.first() == Some(&all) || all == 0 {
            return 0;
        }
        let mut ticket = key.map_or_else(|| self.random(), |key| (key >> 32) as u32) % all;
        for (level, load) in loads.iter().enumerate() {
            if ticket < *load {
                return level;
            }
            ticket -= load;
        }
        0
    }

    fn candidates_of(&self, (level, all_well): (usize, bool), tried: &Tried, now: Instant) -> Candidates {
        let candidate = |(index, server): (usize, &Rc<Server>)| {
            let here = self.levels.as_ref().is_none_or(|levels| levels.level(index) == level);
            let may = here && !tried.contains(&index) && !self.is_full(index) && (all_well || !self.is_unwell(index, now));
            let grown = self.slow_start.map_or(WHOLE, |time| self.grown(index, time, now));
            may.then(|| Candidate { index, share: u64::from(server.weight.get()) * u64::from(grown) })
        };
        self.servers.iter().enumerate().filter_map(candidate).collect()
    }

    /// How much of its share a server has, in per cent: from a tenth of it when it came, to all of it after `time`, evenly.
    fn grown(&self, index: usize, time: Duration, now: Instant) -> u32 {
        let Some(server) = self.servers.get(index) else { return WHOLE };
        let checked = self.checked.as_ref().and_then(|checked| checked.back(index));
        let Some(came) = server.since.into_iter().chain(server.standing.back(now)).chain(checked).max() else { return WHOLE };
        let passed = now.saturating_duration_since(came);
        if passed >= time {
            return WHOLE;
        }
        let per_cent = passed.as_secs_f32() / time.as_secs_f32() * WHOLE as f32;
        (per_cent as u32).clamp(FIRST, WHOLE)
    }

    /// As the upstream is balanced.
    fn chosen(&self, among: &Candidates, key: Option<u64>, now: Instant) -> Option<usize> {
        match (&self.balance, &**among) {
            (_, []) => None,
            (_, [one]) => Some(one.index),
            (Balance::Hash(_), _) if key.is_some() => {
                let bids = self.bids().filter(|bid| among.iter().any(|candidate| candidate.index == bid.index));
                hash::owner(key.unwrap_or_default(), bids)
            }
            (Balance::RoundRobin, _) => self.richest(among),
            (Balance::Least, _) => {
                let least = among.iter().map(|candidate| self.load_for(candidate)).min()?;
                self.drawn_from(&among.iter().filter(|candidate| self.load_for(candidate) == least).copied().collect())
                    .map(|drawn| drawn.index)
            }
            (Balance::P2c | Balance::Hash(_), _) => self.better_of_drawn(among, now),
        }
    }

    /// Smooth weighted round robin, as `furthest_behind`.
    fn richest(&self, among: &Candidates) -> Option<usize> {
        let (mut best, mut total): (Option<(usize, i64)>, i64) = (None, 0);
        for Candidate { index, share } in among {
            let Some(server) = self.servers.get(*index) else { continue };
            let share = i64::try_from(*share).unwrap_or(i64::MAX);
            let credit = server.credit.get().saturating_add(share);
            server.credit.set(credit);
            total = total.saturating_add(share);
            if best.is_none_or(|(_, most)| credit > most) {
                best = Some((*index, credit));
            }
        }
        let (best, _) = best?;
        if let Some(server) = self.servers.get(best) {
            server.credit.update(|credit| credit.saturating_sub(total));
        }
        Some(best)
    }

    /// What runs on a server for its share.
    fn load_for(&self, candidate: &Candidate) -> u64 {
        let running = self.servers.get(candidate.index).map_or(0, |server| server.running.get());
        (u64::from(running) << 24) / candidate.share.max(1)
    }

    /// Two at random by their shares, the better of them.
    fn better_of_drawn(&self, among: &Candidates, now: Instant) -> Option<usize> {
        let (one, other) = (self.drawn_from(among)?, self.drawn_from(among)?);
        let better = match (self.servers.get(one.index), self.servers.get(other.index)) {
            (Some(first), Some(second)) => second.is_better_for(other.share, (first, one.share), now),
            _ => false,
        };
        Some(if better { other.index } else { one.index })
    }

    fn drawn_from(&self, among: &Candidates) -> Option<Candidate> {
        let total: u64 = among.iter().map(|candidate| candidate.share).sum();
        let mut ticket = (u64::from(self.random()) << 32 | u64::from(self.random())) % total.max(1);
        for candidate in among {
            if ticket < candidate.share {
                return Some(*candidate);
            }
            ticket -= candidate.share;
        }
        among.first().copied()
    }
}
