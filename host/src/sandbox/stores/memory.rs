//! A store in this process. Full when it is full: nothing is evicted before it expires, since a counter that is forgotten is a limit that
//! does not hold, and a session that is forgotten is a user who must log in again. (That is why it is no cache crate.)

use super::Time;
use super::{Add, Operation, Outcome, Replace, Set, StoreError, Take, Taken};
use foldhash::quality::RandomState;
use hashbrown::HashMap;
use std::cell::OnceCell;
use std::hash::BuildHasher;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Powers of two. Enough that workers seldom meet, and fewer where each would have no room for the largest value.
const MOST_SHARDS: usize = 64;
const LEAST_OF_SHARD: usize = 128 << 10;

/// What an entry costs beside its key and value: its place in the table, and what allocations round up to.
const OVERHEAD: usize = 96;

pub struct MemoryStore {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    time: Time,
}

struct Shard {
    entries: HashMap<Box<[u8]>, Entry, RandomState>,
    used: usize,
    most: usize,
    /// New keys since expired ones were last looked for.
    news: usize,
    /// When they were looked for and none was found.
    in_vain: Option<Instant>,
}

/// So long a full shard is not looked through again in vain: whoever fills it must not make each request cost a look at all of it.
const PAUSE: Duration = Duration::from_millis(100);

struct Entry {
    value: Value,
    expires: Option<Instant>,
}

enum Value {
    Bytes(Box<[u8]>),
    Counter(i64),
    /// Full when it expires.
    Bucket,
}

impl MemoryStore {
    pub(super) fn new(bytes: usize) -> Self {
        Self::by(bytes, Time::Real)
    }

    /// Expires by this time.
    pub(super) fn by(bytes: usize, time: Time) -> Self {
        let hasher = RandomState::default();
        let count = (bytes / LEAST_OF_SHARD).clamp(1, MOST_SHARDS);
        // Down to a power of two.
        let count = 1 << count.ilog2();
        let shard = || {
            let entries = HashMap::with_hasher(hasher.clone());
            Mutex::new(Shard { entries, used: 0, most: bytes / count, news: 0, in_vain: None })
        };
        Self { shards: (0..count).map(|_| shard()).collect(), hasher, time }
    }

    pub(super) fn run(&self, operation: Operation) -> Result<Outcome, StoreError> {
        // Bits that the table does not use for what is near.
        let shard = (self.hasher.hash_one(operation.key()) >> 40) as usize % self.shards.len();
        let mut shard = self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner);
        let now = &Now { time: &self.time, at: OnceCell::new() };
        match operation {
            Operation::Get(key) => Ok(Outcome::Value(shard.live(&key, now).map(|entry| entry.value.bytes()))),
            Operation::Set(Set { key, value, ttl }) => shard.put(key, Value::of(value), due(now, ttl), now).map(|()| Outcome::Done(true)),
            Operation::Add(add) => shard.add(add, now).map(Outcome::Sum),
            Operation::Replace(replace) => shard.replace(replace, now).map(Outcome::Done),
            Operation::Delete(key) => {
                let there = shard.live(&key, now).is_some();
                shard.remove(&key);
                Ok(Outcome::Done(there))
            }
            Operation::Take(take) => shard.take(take, now).map(Outcome::Taken),
        }
    }
}

/// When an operation happens. The clock is asked by those that it matters to.
struct Now<'t> {
    time: &'t Time,
    at: OnceCell<Instant>,
}

impl Now<'_> {
    fn get(&self) -> Instant {
        *self.at.get_or_init(|| self.time.instant())
    }
}

/// A time beyond what the clock can say is never.
fn due(now: &Now<'_>, ttl: Option<Duration>) -> Option<Instant> {
    ttl.and_then(|ttl| now.get().checked_add(ttl))
}

impl Shard {
    fn live(&mut self, key: &[u8], now: &Now<'_>) -> Option<&mut Entry> {
        self.entries.get_mut(key).filter(|entry| entry.is_live(now))
    }

    fn add(&mut self, Add { key, delta, ttl }: Add, now: &Now<'_>) -> Result<i64, StoreError> {
        match self.live(&key, now) {
            Some(entry) => {
                let counter = entry.value.counter().ok_or(StoreError::WrongType)?;
                *counter = counter.checked_add(delta).ok_or(StoreError::WrongType)?;
                Ok(*counter)
            }
            None => self.put(key, Value::Counter(delta), due(now, ttl), now).map(|()| delta),
        }
    }

    fn replace(&mut self, Replace { key, expected, value, ttl }: Replace, now: &Now<'_>) -> Result<bool, StoreError> {
        let there = self.live(&key, now).map(|entry| entry.value.bytes());
        if there != expected {
            return Ok(false);
        }
        self.put(key, Value::of(value), due(now, ttl), now).map(|()| true)
    }

    fn take(&mut self, Take { key, bucket, units }: Take, now: &Now<'_>) -> Result<Taken, StoreError> {
        let (missing, there) = match self.live(&key, now) {
            Some(Entry { value: Value::Bucket, expires: Some(expires) }) => (expires.duration_since(now.get()), Some(expires)),
            Some(_) => return Err(StoreError::WrongType),
            None => (Duration::ZERO, None),
        };
        let taken = bucket.take(units, u64::try_from(missing.as_nanos()).unwrap_or(u64::MAX));
        let full = now.get() + Duration::from_nanos(taken.full);
        match there {
            Some(expires) => *expires = full,
            None => self.put(key, Value::Bucket, Some(full), now)?,
        }
        Ok(taken)
    }

    fn put(&mut self, key: Vec<u8>, value: Value, expires: Option<Instant>, now: &Now<'_>) -> Result<(), StoreError> {
        let (cost, before) = (cost(&key, &value), self.entries.get(&*key).map(|entry| self::cost(&key, &entry.value)));
        if before.is_none() {
            self.news += 1;
        }
        // Each new key pays for looking at one old one.
        let rests = self.in_vain.is_some_and(|then| now.get() < then + PAUSE);
        if self.news > self.entries.len() + 64 || (!self.fits(cost, before) && !rests) {
            self.sweep(now);
        }
        if !self.fits(cost, before.filter(|_| self.entries.contains_key(&*key))) {
            return Err(StoreError::Full);
        }
        self.remove(&key);
        self.used += cost;
        self.entries.insert(key.into(), Entry { value, expires });
        Ok(())
    }

    fn fits(&self, cost: usize, instead_of: Option<usize>) -> bool {
        self.used - instead_of.unwrap_or(0) + cost <= self.most
    }

    fn remove(&mut self, key: &[u8]) {
        if let Some((key, entry)) = self.entries.remove_entry(key) {
            self.used -= cost(&key, &entry.value);
        }
    }

    fn sweep(&mut self, now: &Now<'_>) {
        let before = self.entries.len();
        let used = &mut self.used;
        self.entries.retain(|key, entry| {
            let live = entry.is_live(now);
            if !live {
                *used -= cost(key, &entry.value);
            }
            live
        });
        self.news = 0;
        self.in_vain = (self.entries.len() == before).then(|| now.get());
    }
}

fn cost(key: &[u8], value: &Value) -> usize {
    let length = match value {
        Value::Bytes(bytes) => bytes.len(),
        Value::Counter(_) | Value::Bucket => 0,
    };
    OVERHEAD + key.len() + length
}

impl Entry {
    fn is_live(&self, now: &Now<'_>) -> bool {
        self.expires.is_none_or(|expires| expires > now.get())
    }
}

impl Value {
    fn of(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes.into())
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.to_vec(),
            Self::Counter(counter) => counter.to_string().into_bytes(),
            Self::Bucket => Vec::new(),
        }
    }

    /// As a counter, which it becomes if it reads as one. The digits must be those that a counter would have: what is read back is then
    /// what was set.
    fn counter(&mut self) -> Option<&mut i64> {
        if let Self::Bytes(bytes) = self {
            let number: i64 = std::str::from_utf8(bytes).ok()?.parse().ok()?;
            if number.to_string().as_bytes() != &**bytes {
                return None;
            }
            *self = Self::Counter(number);
        }
        match self {
            Self::Counter(counter) => Some(counter),
            Self::Bytes(_) | Self::Bucket => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Bucket;
    use super::*;

    fn set(key: &str, value: &str, ttl: Option<Duration>) -> Operation {
        Operation::Set(Set { key: key.into(), value: value.into(), ttl })
    }

    fn add(key: &str, delta: i64) -> Operation {
        Operation::Add(Add { key: key.into(), delta, ttl: None })
    }

    fn get(store: &MemoryStore, key: &str) -> Option<String> {
        let value = store.run(Operation::Get(key.into())).expect("never fails").value();
        value.map(|value| String::from_utf8(value).expect("text"))
    }

    #[test]
    fn values_are_set_read_replaced_and_deleted() {
        let store = MemoryStore::new(1 << 20);
        assert_eq!(get(&store, "a"), None);
        store.run(set("a", "1x", None)).expect("room");
        assert_eq!(get(&store, "a").as_deref(), Some("1x"));
        let replace = |expected: Option<&str>, value: &str| {
            store.run(Operation::Replace(Replace { key: "a".into(), expected: expected.map(Into::into), value: value.into(), ttl: None }))
        };
        assert_eq!(replace(None, "2"), Ok(Outcome::Done(false)));
        assert_eq!(replace(Some("1x"), "2"), Ok(Outcome::Done(true)));
        assert_eq!(get(&store, "a").as_deref(), Some("2"));
        let delete = || store.run(Operation::Delete("a".into()));
        assert_eq!((delete(), delete()), (Ok(Outcome::Done(true)), Ok(Outcome::Done(false))));
        assert_eq!(replace(None, "3"), Ok(Outcome::Done(true)));
    }

    #[test]
    fn counters_are_decimal_and_keep_within_64_bits() {
        let store = MemoryStore::new(1 << 20);
        assert_eq!((store.run(add("n", 5)), store.run(add("n", -7))), (Ok(Outcome::Sum(5)), Ok(Outcome::Sum(-2))));
        assert_eq!(get(&store, "n").as_deref(), Some("-2"));
        store.run(set("n", "40", None)).expect("room");
        assert_eq!(store.run(add("n", 2)), Ok(Outcome::Sum(42)));
        assert_eq!(store.run(add("n", i64::MAX)), Err(StoreError::WrongType));
        assert_eq!(get(&store, "n").as_deref(), Some("42"));
        for no_number in ["x", "", "+1", "01"] {
            store.run(set("n", no_number, None)).expect("room");
            assert_eq!(store.run(add("n", 1)), Err(StoreError::WrongType), "{no_number}");
            assert_eq!(get(&store, "n").as_deref(), Some(no_number));
        }
    }

    #[test]
    fn buckets_hold_what_they_hold_and_are_for_taking_alone() {
        let store = MemoryStore::new(1 << 20);
        let bucket = Bucket::new(3, 3_600_000_000_000).expect("a bucket");
        let take = |key: &str, units| store.run(Operation::Take(Take { key: key.into(), bucket, units })).map(Outcome::taken);
        let left = |taken: Result<Taken, StoreError>| taken.map(|taken| (taken.admitted, taken.left));
        assert_eq!(left(take("a", 2)), Ok((true, 1)));
        assert_eq!(left(take("a", 2)), Ok((false, 1)));
        assert_eq!((left(take("a", 1)), left(take("a", 1)), left(take("b", 3))), (Ok((true, 0)), Ok((false, 0)), Ok((true, 0))));
        assert_eq!((store.run(add("a", 1)), get(&store, "a").as_deref()), (Err(StoreError::WrongType), Some("")));
        store.run(set("x", "1", None)).expect("room");
        assert_eq!(take("x", 1), Err(StoreError::WrongType));
        assert_eq!(store.run(Operation::Delete("a".into())), Ok(Outcome::Done(true)));
        assert_eq!(left(take("a", 3)), Ok((true, 0)));
    }

    #[test]
    fn what_has_expired_is_gone_and_makes_room() {
        let store = MemoryStore::new(2 * (OVERHEAD + 16));
        store.run(set("a", "1", Some(Duration::ZERO))).expect("room");
        assert_eq!((get(&store, "a"), store.run(add("a", 1))), (None, Ok(Outcome::Sum(1))));
        for n in 0..10_000 {
            store.run(set(&format!("key {n}"), "v", Some(Duration::ZERO))).expect("what expired makes room");
        }
    }

    #[test]
    fn the_smallest_store_has_room_for_the_largest_value() {
        let store = MemoryStore::new(1 << 20);
        for n in 0..3 {
            assert_eq!(store.run(set(&format!("{n}{}", "k".repeat(1023)), &"v".repeat(64 << 10), None)), Ok(Outcome::Done(true)));
            store.run(Operation::Delete(format!("{n}{}", "k".repeat(1023)).into())).expect("never fails");
        }
    }

    #[test]
    fn a_full_store_says_so_and_stays_within_its_bound() {
        let store = MemoryStore::new(1 << 20);
        let full = (0..100_000).find(|n| store.run(set(&format!("{n:06}"), &"v".repeat(100), None)) == Err(StoreError::Full));
        assert!(full.is_some());
        let used: usize = store.shards.iter().map(|shard| shard.lock().expect("no panic").used).sum();
        assert!(used <= 1 << 20);
        assert_eq!(store.run(set("000000", &"w".repeat(100), None)), Ok(Outcome::Done(true)), "in place of what is there");
        store.run(Operation::Delete("000000".into())).expect("never fails");
        assert_eq!(store.run(set("000000", "w", None)), Ok(Outcome::Done(true)));
    }
}
