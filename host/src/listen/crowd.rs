//! How many connections each client has open, over all workers.

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Workers rarely meet in the same of 16.
const SHARDS: usize = 16;

/// Shared by all workers.
#[derive(Default)]
pub struct Crowd {
    hasher: RandomState,
    /// A lock and not an atomic map: it is held for one look-up, once at each end of a connection.
    clients: [Mutex<HashMap<Client, u32>>; SHARDS],
}

/// Who counts as one client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Client {
    V4(u32),
    /// The /64: what one household or machine is usually given.
    V6(u64),
}

impl Client {
    pub fn of(peer: IpAddr) -> Self {
        match peer.to_canonical() {
            IpAddr::V4(v4) => Self::V4(v4.to_bits()),
            IpAddr::V6(v6) => Self::V6((v6.to_bits() >> 64) as u64),
        }
    }
}

/// One open connection. Dropping it counts it out.
pub struct Counted {
    crowd: Arc<Crowd>,
    client: Client,
    /// Open connections of the client when this one came, itself included.
    pub open: u32,
}

impl Crowd {
    pub fn enter(self: &Arc<Self>, peer: IpAddr) -> Counted {
        let client = Client::of(peer);
        let mut clients = self.shard(client);
        let open = clients.entry(client).or_default();
        *open = open.saturating_add(1);
        let open = *open;
        drop(clients);
        Counted { crowd: Arc::clone(self), client, open }
    }

    fn leave(&self, client: Client) {
        if let Entry::Occupied(mut open) = self.shard(client).entry(client) {
            *open.get_mut() -= 1;
            if *open.get() == 0 {
                open.remove();
            }
        }
    }

    fn shard(&self, client: Client) -> std::sync::MutexGuard<'_, HashMap<Client, u32>> {
        // The low bits choose the bucket inside the map, so the shard is chosen by others.
        let index = (self.hasher.hash_one(client) >> 32) as usize % SHARDS;
        self.clients[index].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.crowd.leave(self.client);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_counts_by_itself_and_leaves_nothing_behind() {
        let crowd = Arc::new(Crowd::default());
        let enter = |ip: &str| crowd.enter(ip.parse().expect("an address"));
        let (first, second, other) = (enter("10.0.0.1"), enter("::ffff:10.0.0.1"), enter("10.0.0.2"));
        assert_eq!((first.open, second.open, other.open), (1, 2, 1));
        assert_eq!(enter("2001:db8::1").open, 1);
        assert_eq!(enter("2001:db8::2").open, 1, "the first has left");
        let six = enter("2001:db8::1");
        assert_eq!((six.open, enter("2001:db8::ffff").open, enter("2001:db8:0:1::1").open), (1, 2, 1));
        drop(first);
        assert_eq!(enter("10.0.0.1").open, 2);
        drop((second, other, six));
        assert!(crowd.clients.iter().all(|shard| shard.lock().expect("not poisoned").is_empty()));
    }
}
