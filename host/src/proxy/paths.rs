//! Names and paths of all sites, each with what it stands for: one text, two tables, so that ten thousand sites cost little more memory
//! than their names and paths, and looking one up touches few cache lines that other requests have left cold.

use super::router::{Conditions, small};
use crate::message::RequestHead;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::collections::BTreeMap;
use std::hash::BuildHasher;

/// A route that is chosen if its conditions hold.
#[derive(Debug)]
pub(super) struct Candidate {
    pub route: u32,
    pub conditions: Option<Box<Conditions>>,
}

/// Where a part of a longer text stands.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Part {
    from: u32,
    length: u32,
}

/// Sites by name.
#[derive(Debug, Default)]
pub(super) struct Names {
    table: HashTable<(Part, u32)>,
    hasher: RandomState,
}

/// Routes by site and path. Never changes once built.
#[derive(Debug, Default)]
pub(super) struct Paths {
    table: HashTable<Group>,
    hasher: RandomState,
    candidates: Vec<Candidate>,
}

/// How long a site's paths are: spares look-ups that cannot succeed, and bounds them by the longest path rather than by what the client
/// sent. Bit n below 48: some path has n bytes; from there on a bit for each power of two.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Lengths(u64);

/// A site's path, and who takes it.
#[derive(Debug, Clone, Copy)]
struct Group {
    site: u32,
    path: Part,
    takers: Takers,
}

#[derive(Debug, Clone, Copy)]
enum Takers {
    /// This route, whatever else the request says: what most paths have.
    Always(u32),
    /// The first of these candidates whose conditions hold.
    First { from: u32, to: u32 },
}

/// Collects the candidates of one site by path.
#[derive(Debug, Default)]
pub(super) struct PathsBuilder<'c>(BTreeMap<&'c str, (Part, Vec<Candidate>)>);

impl Part {
    /// Appends to the text.
    pub fn add(text: &mut String, part: &str) -> Self {
        let from = small(text.len());
        text.push_str(part);
        Self { from, length: small(part.len()) }
    }

    pub fn of(self, text: &str) -> &str {
        text.get(self.from as usize..(self.from + self.length) as usize).unwrap_or_default()
    }

    /// The last bytes of it.
    pub fn last(self, length: usize) -> Self {
        let length = small(length).min(self.length);
        Self { from: self.from + self.length - length, length }
    }

    /// Where `inner` stands in it.
    pub fn find(self, text: &str, inner: &str) -> Option<Self> {
        self.of(text).find(inner).map(|at| Self { from: self.from + small(at), length: small(inner.len()) })
    }
}

impl Names {
    /// `name` is part of `text`; of equal names the last counts.
    pub fn add(&mut self, text: &str, name: Part, site: u32) {
        let Self { table, hasher } = self;
        match table.entry(
            hasher.hash_one(name.of(text)),
            |(known, _)| known.of(text) == name.of(text),
            |(known, _)| hasher.hash_one(known.of(text)),
        ) {
            Entry::Occupied(mut known) => known.get_mut().1 = site,
            Entry::Vacant(new) => drop(new.insert((name, site))),
        }
    }

    /// The site of this name.
    pub fn get(&self, text: &str, name: &str) -> Option<u32> {
        self.table.find(self.hasher.hash_one(name), |(known, _)| known.of(text) == name).map(|(_, site)| *site)
    }

    /// That of the longest name of which `host` ends with a dot and it.
    pub fn get_above(&self, text: &str, host: &str) -> Option<u32> {
        if self.table.is_empty() {
            return None;
        }
        // The longest suffix first, since it begins at the first dot.
        let dots = memchr::memchr_iter(b'.', host.as_bytes());
        dots.filter_map(|dot| host.get(dot + 1..)).find_map(|suffix| self.get(text, suffix))
    }
}

impl Paths {
    /// The route for exactly this path. `text` is what was built, `lengths` are the site's.
    pub fn at(&self, text: &str, site: u32, lengths: Lengths, path: &str, head: &RequestHead) -> Option<u32> {
        if !lengths.may_have(path.len()) {
            return None;
        }
        let group = self.table.find(self.hash(site, path), |group| group.site == site && group.path.of(text) == path)?;
        match group.takers {
            Takers::Always(route) => Some(route),
            Takers::First { from, to } => {
                let candidates = self.candidates.get(from as usize..to as usize)?;
                candidates.iter().find(|candidate| candidate.takes(head)).map(|candidate| candidate.route)
            }
        }
    }

    /// The route for the longest prefix of `path` that ends at an element boundary and has one.
    pub fn above(&self, text: &str, site: u32, lengths: Lengths, path: &str, head: &RequestHead) -> Option<u32> {
        let longest = (lengths.longest()? + 1).min(path.len());
        let within = path.as_bytes().get(..longest)?;
        let whole = (longest == path.len()).then_some(longest);
        let mut boundaries = whole.into_iter().chain(memchr::memrchr_iter(b'/', within));
        boundaries.find_map(|end| self.at(text, site, lengths, path.get(..end)?, head))
    }

    fn hash(&self, site: u32, path: &str) -> u64 {
        self.hasher.hash_one((site, path))
    }

    fn insert(&mut self, text: &str, group: Group) {
        let Self { table, hasher, .. } = self;
        let hash = |group: &Group| hasher.hash_one((group.site, group.path.of(text)));
        table.insert_unique(hash(&group), group, hash);
    }
}

impl Lengths {
    const EXACT: usize = 48;

    fn add(&mut self, length: usize) {
        self.0 |= 1 << Self::bit(length);
    }

    fn may_have(self, length: usize) -> bool {
        self.0 & 1 << Self::bit(length) != 0
    }

    /// No path is longer.
    fn longest(self) -> Option<usize> {
        let bit = self.0.checked_ilog2()? as usize;
        Some(match bit {
            0..Self::EXACT => bit,
            63 => usize::MAX >> 1,
            _ => (Self::EXACT << 1) << (bit - Self::EXACT),
        })
    }

    fn bit(length: usize) -> usize {
        if length < Self::EXACT { length } else { (Self::EXACT + (length / Self::EXACT).ilog2() as usize).min(63) }
    }
}

impl<'c> PathsBuilder<'c> {
    /// `at` is where the path stands in the text.
    pub fn add(&mut self, path: &'c str, at: Part, candidate: Candidate) {
        self.0.entry(path).or_insert((at, Vec::new())).1.push(candidate);
    }

    /// Enters them as the site's; the lengths are what its look-ups need.
    pub fn enter(self, site: u32, text: &str, paths: &mut Paths) -> Lengths {
        let mut lengths = Lengths::default();
        for (path, mut candidates) in self.0.into_values() {
            lengths.add(path.of(text).len());
            // Stable: candidates of equal rank stay in file order.
            candidates.sort_by_key(Candidate::rank);
            let takers = match candidates.as_slice() {
                [Candidate { route, conditions: None }, ..] => Takers::Always(*route),
                _ => Takers::First { from: small(paths.candidates.len()), to: small(paths.candidates.len() + candidates.len()) },
            };
            if let Takers::First { .. } = takers {
                paths.candidates.append(&mut candidates);
            }
            paths.insert(text, Group { site, path, takers });
        }
        lengths
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_rule_out_only_what_is_not_there() {
        for length in [0, 1, 47, 48, 49, 95, 96, 97, 1_000, 65_535] {
            let mut lengths = Lengths::default();
            assert_eq!((lengths.longest(), lengths.may_have(length)), (None, false));
            lengths.add(length);
            assert!(lengths.may_have(length) && lengths.longest() >= Some(length), "{length}: {lengths:?}");
            assert!(lengths.longest() <= Some(length.max(47) * 2), "{length}: {lengths:?}");
            assert!(!lengths.may_have(length + 1) || length >= Lengths::EXACT, "{length}");
            assert!(!lengths.may_have(length * 2 + 1), "{length}");
        }
        let mut endless = Lengths::default();
        endless.add(5_000_000);
        assert!(endless.may_have(5_000_000) && endless.longest() > Some(5_000_000));
    }
}
