//! How one of an upstream's servers is chosen.

use super::shares::WHOLE;
use super::{Server, Tried, Upstream};
use crate::config::Balance;
use crate::message::{RequestHead, Scheme};
use crate::upstream::hash::{self, Bid};
use http::HeaderValue;
use std::net::IpAddr;
use std::rc::Rc;
use tokio::time::Instant;

/// What a request has to say about where it goes.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::upstream) struct Wish {
    /// Requests of one key go to one server. `None`: it has none, or nobody asks.
    key: Option<u64>,
    /// The server that it names.
    stays: Option<usize>,
}

impl Wish {
    pub(super) const fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// Whether this is the server that it names.
    pub(super) fn is_for(&self, index: usize) -> bool {
        self.stays == Some(index)
    }
}

impl Upstream {
    /// `head`: of the request, if there is one. `from`: the client.
    pub fn wish(&self, head: Option<&RequestHead>, from: IpAddr) -> Wish {
        let key = match &self.balance {
            Balance::Hash(of) => hash::key(of, head, from),
            Balance::P2c | Balance::RoundRobin | Balance::Least => None,
        };
        let stays = self.sticky.as_ref().zip(head).and_then(|(sticky, head)| sticky.server(head));
        Wish { key, stays }
    }

    /// What the client is to be told so that it stays with the server that answered, unless it does, or the one that it names only has too
    /// much to do.
    pub fn keeps(&self, wish: Wish, server: usize, tried: &Tried, (scheme, now): (Scheme, Instant)) -> Option<HeaderValue> {
        let stays = |named: usize| named == server || (!tried.contains(&named) && !self.is_unwell(named, now));
        let sticky = self.sticky.as_ref().filter(|_| !wish.stays.is_some_and(stays))?;
        sticky.set_cookie(server, scheme)
    }

    /// Chooses a server that has not been tried and is not set aside, if there is one; else one that has not been tried. `None`: there is
    /// none, or all are taken out.
    pub fn pick(&self, tried: &Tried, wish: Wish, now: Instant) -> Option<usize> {
        if self.drained.any() {
            return self.pick_of_the_rest(tried, wish, now);
        }
        self.pick_of_all(tried, wish, now)
    }

    /// As though those that are taken out had been tried.
    fn pick_of_the_rest(&self, tried: &Tried, wish: Wish, now: Instant) -> Option<usize> {
        let rest = || (0..self.servers.len()).filter(|index| !self.is_drained(*index));
        if rest().all(|index| tried.contains(&index)) {
            // Where there is nothing else, the one that was tried first; it is asked for a second time only if it was not its fault.
            return rest().next();
        }
        let gone = (0..self.servers.len()).filter(|index| tried.contains(index) || self.is_drained(*index));
        self.pick_of_all(&gone.collect(), wish, now)
    }

    fn pick_of_all(&self, tried: &Tried, wish: Wish, now: Instant) -> Option<usize> {
        if let Some(index) = wish.stays.filter(|index| !tried.contains(index) && !self.is_out(*index, now)) {
            return Some(index);
        }
        match self.servers.len() {
            0 => None,
            1 => Some(0),
            _ if self.has_unlike(now) => self.pick_unlike(tried, wish.key, now),
            _ if wish.key.is_some() => wish.key.and_then(|key| self.home(key, tried, now)),
            count if tried.is_empty() && !self.has_any_out(now) && !self.checked.as_ref().is_some_and(|checked| checked.counts()) => {
                let usual = match self.balance {
                    Balance::RoundRobin => self.turn(count),
                    // What has no key to be hashed goes anywhere.
                    Balance::P2c | Balance::Hash(_) => self.better_of_two(count, now),
                    Balance::Least => self.quietest(count),
                };
                if self.is_full(usual) { self.quietest_left(count, tried, now) } else { Some(usual) }
            }
            count => self.quietest_left(count, tried, now),
        }
    }

    /// Of those that are well and have room, else of those that were not tried.
    pub(super) fn quietest_left(&self, count: usize, tried: &Tried, now: Instant) -> Option<usize> {
        let first = self.turn(count);
        let others = || (0..count).map(|offset| (first + offset) % count).filter(|index| !tried.contains(index));
        let load = |index: &usize| self.load_of(*index);
        let sound = others().filter(|index| !self.is_out(*index, now)).min_by_key(load);
        let left = || others().filter(|index| !self.is_full(*index)).min_by_key(load);
        sound.or_else(left).or_else(|| others().min_by_key(load)).or(Some(first))
    }

    /// The server of this key, or the next best if that one is out or has too much to do.
    fn home(&self, key: u64, tried: &Tried, now: Instant) -> Option<usize> {
        let untried = |index: usize| !tried.contains(&index);
        let sound = |index: usize| untried(index) && !self.is_out(index, now);
        let owner = |among: &dyn Fn(usize) -> bool| hash::owner(key, self.bids().filter(|bid| among(bid.index)));
        let with_room = |index: usize| untried(index) && !self.is_full(index);
        owner(&sound).or_else(|| owner(&with_room)).or_else(|| owner(&untried)).or_else(|| owner(&|_| true))
    }

    pub(super) fn bids(&self) -> impl Iterator<Item = Bid> + Clone {
        let bid = |(index, server): (usize, &Rc<Server>)| Bid {
            index,
            seed: server.seed,
            weight: server.weight.get(),
            running: server.running.get(),
        };
        self.servers.iter().enumerate().map(bid)
    }

    pub(super) fn turn(&self, count: usize) -> usize {
        if self.weights.is_some() {
            return self.furthest_behind();
        }
        let index = self.next.get() % count;
        self.next.set(index + 1);
        index
    }

    /// Each gains its weight, the richest gets the request and pays for it what all have gained: as often as its weight says, and
    /// spread as evenly as can be.
    fn furthest_behind(&self) -> usize {
        let (mut best, mut total) = ((0, i64::MIN), 0);
        for (index, server) in self.servers.iter().enumerate() {
            // In hundredths, since new servers have less than their weight.
            let share = i64::from(server.weight.get()) * i64::from(WHOLE);
            let credit = server.credit.get() + share;
            server.credit.set(credit);
            total += share;
            if credit > best.1 {
                best = (index, credit);
            }
        }
        if let Some(server) = self.servers.get(best.0) {
            server.credit.update(|credit| credit - total);
        }
        best.0
    }

    /// The least busy of all; of equals the one whose turn it is, so that the first does not get all that comes one by one.
    fn quietest(&self, count: usize) -> usize {
        let first = self.turn(count);
        (0..count).map(|offset| (first + offset) % count).min_by_key(|index| self.load_of(*index)).unwrap_or(first)
    }

    /// Two different ones at random, the better of them: near to "least busy" without herding, at constant cost.
    fn better_of_two(&self, count: usize, now: Instant) -> usize {
        let random = self.random() as usize;
        let (one, other) = match &self.weights {
            None => {
                let one = random % count;
                (one, (one + 1 + (random / count) % (count - 1)) % count)
            }
            // A heavy one may be drawn twice, and is then as welcome as its weight says.
            Some(sums) => (self.drawn(sums, random as u32), self.drawn(sums, self.random())),
        };
        match (self.servers.get(one), self.servers.get(other)) {
            (Some(first), Some(second)) if second.is_better_than(first, now) => other,
            _ => one,
        }
    }

    /// One at random, as often as its weight says.
    fn drawn(&self, sums: &[u32], random: u32) -> usize {
        let total = sums.last().copied().unwrap_or(1).max(1);
        let ticket = random % total;
        sums.partition_point(|sum| *sum <= ticket)
    }

    /// xorshift64*: good enough to spread load. The upper bits are the better ones.
    pub(super) fn random(&self) -> u32 {
        let mut state = self.random.get();
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        self.random.set(state);
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) as u32
    }

    /// What runs on a server for its weight.
    pub(super) fn load_of(&self, index: usize) -> u64 {
        self.servers.get(index).map_or(u64::MAX, |server| server.load())
    }
}
