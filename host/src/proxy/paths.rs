//! A set of paths, each with the routes that ask for it: one text, one array, one table of numbers, so that ten thousand routes cost
//! little more memory than their paths.

use super::router::Conditions;
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
    /// Bit n: some path has n bytes. Spares look-ups that cannot succeed, and bounds them by the longest path rather than by what the
    /// client sent.
    lengths: Box<[u64]>,
}

/// Places in `text` and `candidates`.
#[derive(Debug, Clone, Copy)]
struct Group {
    text: u32,
    length: u32,
    first: u32,
    count: u32,
}

/// Collects candidates by path.
#[derive(Debug, Default)]
pub(super) struct PathsBuilder(BTreeMap<String, Vec<Candidate>>);

impl Paths {
    /// The candidates of exactly this path.
    pub fn at(&self, path: &str) -> Option<&[Candidate]> {
        if !self.has_length(path.len()) {
            return None;
        }
        let group = self.table.find(self.hasher.hash_one(path), |group| self.path(group) == path)?;
        self.candidates.get(group.first as usize..(group.first + group.count) as usize)
    }

    /// The candidates of each prefix of `path` that ends at an element boundary, from the longest to the shortest.
    pub fn above<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a [Candidate]> {
        let longest = (self.lengths.len() * 64).min(path.len());
        let within = path.as_bytes().get(..longest).unwrap_or_default();
        let whole = (longest == path.len()).then_some(longest);
        let boundaries = whole.into_iter().chain(memchr::memrchr_iter(b'/', within));
        boundaries.filter_map(|end| self.at(path.get(..end)?))
    }

    fn has_length(&self, length: usize) -> bool {
        self.lengths.get(length / 64).is_some_and(|bits| bits >> (length % 64) & 1 == 1)
    }

    fn path(&self, group: &Group) -> &str {
        self.text.get(group.text as usize..(group.text + group.length) as usize).unwrap_or_default()
    }
}

impl PathsBuilder {
    pub fn add(&mut self, path: &str, candidate: Candidate) {
        match self.0.get_mut(path) {
            Some(candidates) => candidates.push(candidate),
            None => drop(self.0.insert(path.to_owned(), vec![candidate])),
        }
    }

    pub fn build(self) -> Paths {
        let (mut text, mut all) = (String::new(), Vec::new());
        let mut groups = Vec::with_capacity(self.0.len());
        let mut lengths = Vec::new();
        for (path, mut candidates) in self.0 {
            // Stable: candidates of equal rank stay in file order.
            candidates.sort_by_key(Candidate::rank);
            groups.push(Group {
                text: small(text.len()),
                length: small(path.len()),
                first: small(all.len()),
                count: small(candidates.len()),
            });
            lengths.resize(lengths.len().max(path.len() / 64 + 1), 0_u64);
            lengths[path.len() / 64] |= 1 << (path.len() % 64);
            text.push_str(&path);
            all.append(&mut candidates);
        }
        let mut paths = Paths { text: text.into(), candidates: all.into(), lengths: lengths.into(), ..Paths::default() };
        let mut table = HashTable::with_capacity(groups.len());
        for group in groups {
            let hash = |group: &Group| paths.hasher.hash_one(paths.path(group));
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
