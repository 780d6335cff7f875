//! Idle connections to one server, kept for the next request.

use super::channel::Channel;
use super::seats::Seat;
use crate::message::Connection;
use crate::observe::UpstreamTally;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

pub(super) struct Pool {
    /// The one used last is on top and taken first, so the others grow old and go.
    idle: RefCell<Vec<Idle>>,
    keep: usize,
    time: Duration,
    age: Duration,
    /// Knows how many there are, of all servers of the upstream.
    tally: Arc<UpstreamTally>,
}

struct Idle {
    channel: Box<Channel>,
    since: Instant,
}

/// Between two sweeps.
pub(super) const SWEEP: Duration = Duration::from_secs(5);
/// How many times `keep` may be idle between two sweeps. Under load, answers come in bursts: for a moment most connections are idle,
/// and to close them then means to make them again right away.
const BURST: usize = 8;

impl Pool {
    pub fn new(keep: usize, time: Duration, age: Duration, tally: &Arc<UpstreamTally>) -> Self {
        Self { idle: RefCell::default(), keep, time, age, tally: Arc::clone(tally) }
    }

    /// Whether it keeps as many for as long.
    pub fn is_as(&self, other: &Self) -> bool {
        (self.keep, self.time, self.age) == (other.keep, other.time, other.age)
    }

    /// A connection that is open and not too old. `sure`: the kernel is asked whether it is open, which costs a system call.
    pub fn take(&self, now: Instant, sure: bool) -> Option<Box<Channel>> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { mut channel, since }) = idle.pop() {
            if now.saturating_duration_since(since) >= self.time {
                // Those below are older still.
                self.tally.idle.sub(1 + idle.len() as u64);
                idle.clear();
                return None;
            }
            self.tally.idle.sub(1);
            let young = now.saturating_duration_since(channel.opened()) < self.age;
            if young && if sure { channel.is_surely_quiet() } else { channel.is_quiet() } {
                return Some(channel);
            }
        }
        None
    }

    /// As [`Self::take`], but only what was made for this client.
    pub fn take_of(&self, client: &Rc<Connection>, now: Instant, sure: bool) -> Option<Box<Channel>> {
        let owned = |idle: &Idle| idle.channel.owner.as_ref().is_some_and(|owner| std::ptr::eq(owner.as_ptr(), Rc::as_ptr(client)));
        let mut idle = self.idle.borrow_mut();
        while let Some(at) = idle.iter().rposition(owned) {
            let Idle { mut channel, since } = idle.remove(at);
            self.tally.idle.sub(1);
            let fresh = now.saturating_duration_since(since) < self.time && now.saturating_duration_since(channel.opened()) < self.age;
            if fresh && if sure { channel.is_surely_quiet() } else { channel.is_quiet() } {
                return Some(channel);
            }
        }
        None
    }

    pub fn is_empty(&self) -> bool {
        self.idle.borrow().is_empty()
    }

    /// Closes the connection that has lain here the longest; its seat is for another.
    pub fn evict(&self) -> Option<Seat> {
        let mut idle = self.idle.borrow_mut();
        if idle.is_empty() {
            return None;
        }
        let mut channel = idle.remove(0).channel;
        self.tally.idle.sub(1);
        channel.seat.take()
    }

    pub fn put(&self, mut channel: Box<Channel>, now: Instant) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < self.keep.saturating_mul(BURST) && !channel.is_orphaned() {
            channel.rest();
            idle.push(Idle { channel, since: now });
            self.tally.idle.add(1);
        }
    }

    /// Closes what nobody needed lately: connections past their time, and those beyond `keep` that lay idle since the last sweep.
    pub fn sweep(&self, now: Instant) {
        let mut idle = self.idle.borrow_mut();
        let before = idle.len();
        let mut surplus = idle.len().saturating_sub(self.keep);
        idle.retain_mut(|Idle { channel, since }| {
            let rested = now.saturating_duration_since(*since);
            if surplus > 0 && rested >= SWEEP {
                surplus -= 1;
                return false;
            }
            rested < self.time && !channel.is_orphaned() && now.saturating_duration_since(channel.opened()) < self.age && channel.is_quiet()
        });
        self.tally.idle.sub((before - idle.len()) as u64);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.tally.idle.sub(self.idle.get_mut().len() as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::io::OriginIo;
    use crate::wire::{HeadLimits, Stream};
    use tokio::net::{TcpListener, TcpStream};

    const MINUTE: Duration = Duration::from_secs(60);

    /// Open connections, with the sockets that keep them so.
    async fn channels(count: usize, opened: Instant) -> Vec<(Box<Channel>, TcpStream)> {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mut channels = Vec::new();
        for _ in 0..count {
            let stream = TcpStream::connect(listener.local_addr().expect("bound")).await.expect("a connection");
            let peer = listener.accept().await.expect("a connection").0;
            channels.push((
                Box::new(Channel::new(OriginIo::Plain(Stream::Tcp(stream)), HeadLimits { start_line: 99, fields: 99, count: 9 }, opened)),
                peer,
            ));
        }
        channels
    }

    fn fill(pool: &Pool, channels: Vec<(Box<Channel>, TcpStream)>, now: Instant) -> Vec<TcpStream> {
        let put = |(channel, peer)| {
            pool.put(channel, now);
            peer
        };
        channels.into_iter().map(put).collect()
    }

    #[tokio::test]
    async fn a_burst_is_kept_until_it_was_not_needed_for_a_while() {
        let now = Instant::now();
        let pool = Pool::new(2, MINUTE, MINUTE * 60, &Arc::default());
        let _peers = fill(&pool, channels(5, now).await, now);
        assert_eq!(pool.idle.borrow().len(), 5);

        pool.sweep(now + SWEEP / 2);
        assert_eq!(pool.idle.borrow().len(), 5);
        pool.sweep(now + SWEEP);
        assert_eq!(pool.idle.borrow().len(), 2);
        pool.sweep(now + MINUTE);
        assert_eq!(pool.idle.borrow().len(), 0);
    }

    #[tokio::test]
    async fn even_a_burst_has_its_bounds() {
        let now = Instant::now();
        let pool = Pool::new(1, MINUTE, MINUTE * 60, &Arc::default());
        let _peers = fill(&pool, channels(BURST + 1, now).await, now);
        assert_eq!(pool.idle.borrow().len(), BURST);
    }

    #[tokio::test]
    async fn a_connection_leaves_when_it_is_too_old_or_closed() {
        let now = Instant::now();
        let pool = Pool::new(9, MINUTE, MINUTE * 60, &Arc::default());
        let _old = fill(&pool, channels(1, now).await, now + MINUTE * 60);
        assert!(pool.take(now + MINUTE * 60, false).is_none());

        let mut channels = channels(2, now).await;
        let (closed, peer) = channels.pop().expect("made");
        drop(peer);
        let OriginIo::Plain(Stream::Tcp(socket)) = &closed.io else { panic!("made so") };
        socket.readable().await.expect("the end to be read");
        let _open = fill(&pool, channels, now);
        pool.put(closed, now);
        pool.sweep(now);
        assert_eq!(pool.idle.borrow().len(), 1);
        assert!(pool.take(now, false).is_some());
    }
    #[tokio::test]
    async fn a_connection_that_belongs_to_a_client_serves_no_other() {
        let now = Instant::now();
        let pool = Pool::new(9, MINUTE, MINUTE * 60, &Arc::default());
        let (one, other) = (Rc::new(Connection::unix()), Rc::new(Connection::unix()));
        let mut channels = channels(2, now).await;
        channels.iter_mut().zip([&one, &other]).for_each(|((channel, _), owner)| channel.owner = Some(Rc::downgrade(owner)));
        let _peers = fill(&pool, channels, now);

        assert!(pool.take_of(&one, now, true).is_some() && pool.take_of(&one, now, true).is_none());
        drop(other);
        pool.sweep(now);
        assert_eq!(pool.idle.borrow().len(), 0, "nobody can use what belonged to a client that left");
    }

    #[tokio::test]
    async fn the_longest_idle_gives_its_seat_up() {
        let now = Instant::now();
        let pool = Pool::new(9, MINUTE, MINUTE * 60, &Arc::default());
        let (row, tally) = (crate::upstream::Seats::default().of("app").row("a:1"), Arc::default());
        let mut channels = channels(2, now).await;
        channels.iter_mut().for_each(|(channel, _)| channel.seat = row.seat(None, &tally));
        let peers = fill(&pool, channels, now);

        assert!(pool.evict().is_some() && !pool.is_empty());
        peers[0].readable().await.expect("closed");
        assert_eq!(peers[0].try_read(&mut [0]).expect("the end"), 0);
        assert!(row.has_free(2) && pool.evict().is_some() && pool.is_empty() && pool.evict().is_none() && row.has_free(1));
    }

    #[tokio::test]
    async fn a_close_that_the_runtime_has_not_seen_yet_is_found_by_asking_the_kernel() {
        let now = Instant::now();
        let pool = Pool::new(9, MINUTE, MINUTE * 60, &Arc::default());
        let peers = fill(&pool, channels(1, now).await, now);
        drop(peers);
        assert!(pool.take(now, true).is_none());

        let _peers = fill(&pool, channels(1, now).await, now);
        assert!(pool.take(now, true).is_some());
    }
}
