//! How many connections may be open: in all, and per client address. Counted before TLS, so that a flood costs no handshake.

use super::crowd::Client;
use crate::config::Limits;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Workers rarely meet in the same of 16.
const SHARDS: usize = 16;

/// Shared by all workers and listeners.
pub struct Gate {
    most: AtomicUsize,
    most_per_client: AtomicUsize,
    open: AtomicUsize,
    hasher: RandomState,
    /// A lock and not an atomic map: it is held for one look-up, once at each end of a connection.
    clients: [Mutex<HashMap<Client, usize>>; SHARDS],
    log: Sparse,
}

/// Why a connection was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    Total,
    PerClient,
}

/// One open connection. Dropping it makes room.
pub struct Permit {
    gate: Arc<Gate>,
    /// `None`: not known yet, or it has no address.
    client: Option<Client>,
}

impl Gate {
    pub fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            most: limits.connections.into(),
            most_per_client: limits.connections_per_ip.into(),
            open: AtomicUsize::new(0),
            hasher: RandomState::new(),
            clients: Default::default(),
            log: Sparse::new(),
        })
    }

    /// From now on these limits hold; who is in stays.
    pub fn adjust(&self, limits: &Limits) {
        self.most.store(limits.connections, Ordering::Relaxed);
        self.most_per_client.store(limits.connections_per_ip, Ordering::Relaxed);
    }

    /// Lets a connection in, or says which limit is reached. A refusal is logged, at most once a second.
    pub fn admit(self: &Arc<Self>, peer: IpAddr) -> Result<Permit, Refused> {
        let mut permit = self.admit_somebody()?;
        permit.name(peer)?;
        Ok(permit)
    }

    /// As [`Self::admit`] for a client whose address is not known yet, to be told with [`Permit::name`], or that has none.
    pub fn admit_somebody(self: &Arc<Self>) -> Result<Permit, Refused> {
        let most = self.most.load(Ordering::Relaxed);
        let room = |open: usize| (open < most).then_some(open + 1);
        match self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room) {
            Ok(_) => Ok(Permit { gate: self.clone(), client: None }),
            Err(_) => Err(self.refuse(Refused::Total, None)),
        }
    }

    fn refuse(&self, refused: Refused, peer: Option<IpAddr>) -> Refused {
        if let Some(unsaid) = self.log.allow() {
            let peer = peer.map_or_else(|| "somebody".into(), |peer| peer.to_string());
            tracing::warn!(%peer, limit = ?refused, unsaid, "too many connections; closed at once");
        }
        refused
    }

    /// How many are open now.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    fn enter(&self, client: Client) -> Result<(), Refused> {
        let mut clients = self.shard(client);
        let count = clients.entry(client).or_default();
        if *count >= self.most_per_client.load(Ordering::Relaxed) {
            return Err(Refused::PerClient);
        }
        *count += 1;
        Ok(())
    }

    fn leave(&self, client: Client) {
        if let Entry::Occupied(mut count) = self.shard(client).entry(client) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    fn shard(&self, client: Client) -> std::sync::MutexGuard<'_, HashMap<Client, usize>> {
        // The low bits choose the bucket inside the map, so the shard is chosen by others.
        let index = (self.hasher.hash_one(client) >> 32) as usize % SHARDS;
        self.clients[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Says whose connection it is, once; from then on it counts among that client's.
    ///
    /// # Errors
    /// If the client has too many. Logged as by [`Gate::admit`].
    pub fn name(&mut self, peer: IpAddr) -> Result<(), Refused> {
        debug_assert!(self.client.is_none(), "named once");
        let client = Client::of(peer);
        self.gate.enter(client).map_err(|refused| self.gate.refuse(refused, Some(peer)))?;
        self.client = Some(client);
        Ok(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(client) = self.client {
            self.gate.leave(client);
        }
    }
}

/// A log line that is written at most once a second.
pub struct Sparse {
    start: Instant,
    /// Seconds since `start`, plus one; 0: never.
    last: AtomicU64,
    unsaid: AtomicU64,
}

impl Sparse {
    pub fn new() -> Self {
        Self { start: Instant::now(), last: AtomicU64::new(0), unsaid: AtomicU64::new(0) }
    }

    /// Whether to write the line now, and how many were swallowed since the last.
    pub fn allow(&self) -> Option<u64> {
        let now = self.start.elapsed().as_secs() + 1;
        if self.last.swap(now, Ordering::Relaxed) == now {
            self.unsaid.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.unsaid.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(connections: usize, connections_per_ip: usize) -> Arc<Gate> {
        Gate::new(&Limits { connections, connections_per_ip, ..Limits::default() })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_client_is_an_ipv4_address_or_an_ipv6_network() {
        let gate = gate(100, 1);
        let held = [ip("10.0.0.1"), ip("10.0.0.2"), ip("2001:db8::1"), ip("2001:db8:0:1::1")].map(|peer| gate.admit(peer).expect("room"));
        for again in ["10.0.0.1", "::ffff:10.0.0.2", "2001:db8::2", "2001:db8:0:1:ffff::"] {
            assert_eq!(gate.admit(ip(again)).err(), Some(Refused::PerClient), "{again}");
        }
        assert_eq!(gate.open(), held.len());
    }

    #[test]
    fn dropping_a_permit_makes_room() {
        let gate = gate(1, 1);
        let permit = gate.admit(ip("10.0.0.1")).expect("room");
        assert_eq!(gate.admit(ip("10.0.0.2")).err(), Some(Refused::Total));
        drop(permit);
        assert!(gate.admit(ip("10.0.0.2")).is_ok());
        assert_eq!(gate.open(), 0);
        assert!(gate.clients.iter().all(|shard| shard.lock().expect("not poisoned").is_empty()), "nothing is kept of clients that left");
    }

    #[test]
    fn somebody_counts_in_all_and_with_a_name_as_one_client() {
        let gate = gate(3, 1);
        let (mut first, mut second) = (gate.admit_somebody().expect("room"), gate.admit_somebody().expect("room"));
        assert_eq!(gate.open(), 2);
        assert_eq!((first.name(ip("10.0.0.1")), second.name(ip("10.0.0.1"))), (Ok(()), Err(Refused::PerClient)));
        drop((first, second));
        assert!(gate.open() == 0 && gate.admit(ip("10.0.0.1")).is_ok());
        assert!(gate.clients.iter().all(|shard| shard.lock().expect("not poisoned").is_empty()));
    }

    #[test]
    fn a_log_line_is_written_once_a_second() {
        let log = Sparse::new();
        let written: Vec<_> = (0..1000).filter_map(|_| log.allow()).collect();
        assert!((1..=2).contains(&written.len()), "{written:?}");
    }
}
