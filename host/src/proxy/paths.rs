//! Paths of all sites, each with the routes that ask for it: one text, one table, so that ten thousand sites cost little more memory
//! than their paths, and looking one up touches few cache lines that other requests have left cold.

use super::router::Conditions;
use crate::message::RequestHead;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::collections::BTreeMap;
use std::hash::BuildHasher;

/// A route that is chosen if its conditions hold.
#[derive(Debug)]
pub(super) struct Candidate {
    pub route: u32,
    pub conditions: Option<Box<Conditions>>,
}

/// Never changes once built.
#[derive(Debug, Default)]
pub(super) struct Paths {
    table: HashTable<Group>,
    hasher: RandomState,
    text: Box<str>,
    candidates: Box<[Candidate]>,
}

/// How long a site's paths are: spares look-ups that cannot succeed, and bounds them by the longest path rather than by what the client
/// sent.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Lengths {
    /// Bit n: some path has n bytes; the last one: that many or more.
    bits: u64,
    longest: u32,
}

/// A site's path, and who takes it.
#[derive(Debug, Clone, Copy)]
struct Group {
    site: u32,
    /// Place in `text`.
    text: u32,
    length: u32,
    takers: Takers,
}

#[derive(Debug, Clone, Copy)]
enum Takers {
    /// This route, whatever else the request says: what most paths have.
    Always(u32),
    /// The first of these candidates whose conditions hold.
    First { from: u32, to: u32 },
}

/// Collects candidates by site and path.
#[derive(Debug, Default)]
pub(super) struct PathsBuilder(BTreeMap<(u32, String), Vec<Candidate>>);

impl Paths {
    /// The route for exactly this path. `lengths` are the site's.
    pub fn at(&self, site: u32, lengths: Lengths, path: &str, head: &RequestHead) -> Option<u32> {
        if !lengths.has(path.len()) {
            return None;
        }
        let group = self.table.find(self.hash(site, path), |group| group.site == site && self.path(group) == path)?;
        match group.takers {
            Takers::Always(route) => Some(route),
            Takers::First { from, to } => {
                let candidates = self.candidates.get(from as usize..to as usize)?;
                candidates.iter().find(|candidate| candidate.takes(head)).map(|candidate| candidate.route)
            }
        }
    }

    /// The route for the longest prefix of `path` that ends at an element boundary and has one.
    pub fn above(&self, site: u32, lengths: Lengths, path: &str, head: &RequestHead) -> Option<u32> {
        let longest = (lengths.longest as usize + 1).min(path.len());
        let within = path.as_bytes().get(..longest)?;
        let whole = (longest == path.len()).then_some(longest);
        let mut boundaries = whole.into_iter().chain(memchr::memrchr_iter(b'/', within));
        boundaries.find_map(|end| self.at(site, lengths, path.get(..end)?, head))
    }

    fn hash(&self, site: u32, path: &str) -> u64 {
        self.hasher.hash_one((site, path))
    }

    fn path(&self, group: &Group) -> &str {
        self.text.get(group.text as usize..(group.text + group.length) as usize).unwrap_or_default()
    }
}

impl Lengths {
    fn add(&mut self, length: usize) {
        self.bits |= Self::bit(length);
        self.longest = self.longest.max(small(length));
    }

    fn has(self, length: usize) -> bool {
        self.bits & Self::bit(length) != 0 && length <= self.longest as usize
    }

    fn bit(length: usize) -> u64 {
        1 << length.min(63)
    }
}

impl PathsBuilder {
    pub fn add(&mut self, site: u32, path: &str, candidate: Candidate, lengths: &mut Lengths) {
        lengths.add(path.len());
        self.0.entry((site, path.to_owned())).or_default().push(candidate);
    }

    pub fn build(self) -> Paths {
        let (mut text, mut all) = (String::new(), Vec::new());
        let mut groups = Vec::with_capacity(self.0.len());
        for ((site, path), mut candidates) in self.0 {
            // Stable: candidates of equal rank stay in file order.
            candidates.sort_by_key(Candidate::rank);
            let takers = match candidates.as_slice() {
                [Candidate { route, conditions: None }, ..] => Takers::Always(*route),
                _ => Takers::First { from: small(all.len()), to: small(all.len() + candidates.len()) },
            };
            if let Takers::First { .. } = takers {
                all.append(&mut candidates);
            }
            groups.push(Group { site, text: small(text.len()), length: small(path.len()), takers });
            text.push_str(&path);
        }
        let mut paths = Paths { text: text.into(), candidates: all.into(), ..Paths::default() };
        let mut table = HashTable::with_capacity(groups.len());
        for group in groups {
            let hash = |group: &Group| paths.hash(group.site, paths.path(group));
            table.insert_unique(hash(&group), group, hash);
        }
        paths.table = table;
        paths
    }
}

/// Sizes of a configuration that is in memory as text.
fn small(size: usize) -> u32 {
    u32::try_from(size).expect("a configuration has fewer than 4 GiB of paths")
}
