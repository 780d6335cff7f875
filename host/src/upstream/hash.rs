//! Consistent hashing with bounded loads: requests of one key go to one server, whichever worker or machine they come to; with a server that
//! comes or goes only its own keys move; and a server that has too much to do passes keys on.
//!
//! By the highest of random weights (Thaler and Ravishankar, 1996) instead of a ring: weights hold exactly, and there is no table to be made
//! anew with each reload. What it costs grows with the number of servers, some ten nanoseconds for each.

use crate::config::HashKey;
use crate::message::RequestHead;
use http::header;
use std::net::IpAddr;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Of the average for its weight, in per cent, a server may have so much to do before its keys go to others (Mirrokni et al., 2016).
const BOUND: u64 = 125;

/// What is no load at all, whatever the average is. Arbitrary.
const FEW: u32 = 3;

/// A server that a key may go to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bid {
    pub index: usize,
    /// [`seed`] of its address.
    pub seed: u64,
    pub weight: u32,
    /// Requests that run there.
    pub running: u32,
}

pub(super) fn seed(address: &str) -> u64 {
    xxh3_64(address.as_bytes())
}

/// What goes to the same server. `None`: the request has no such thing. `head`: of the request, if it is one.
pub(super) fn key(of: &HashKey, head: Option<&RequestHead>, from: IpAddr) -> Option<u64> {
    match of {
        HashKey::Client => Some(match from.to_canonical() {
            IpAddr::V4(ip) => xxh3_64(&ip.octets()),
            // Its network: hosts change the rest from day to day.
            IpAddr::V6(ip) => xxh3_64(ip.octets().first_chunk::<8>()?),
        }),
        HashKey::Path => Some(xxh3_64(head?.path.as_bytes())),
        HashKey::Header(name) => Some(xxh3_64(head?.headers.get(name)?.as_bytes())),
        HashKey::Cookie(name) => cookie(head?, name).map(xxh3_64),
    }
}

/// The value of the request's first cookie of this name.
pub(super) fn cookie<'h>(head: &'h RequestHead, name: &str) -> Option<&'h [u8]> {
    let lines = head.headers.get_all(header::COOKIE).iter();
    let mut crumbs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
    crumbs.find_map(|crumb| crumb.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// Whose the key is, of those that have room: with all that runs and the request itself shared by weight, one always has.
pub(super) fn owner(key: u64, bids: impl Iterator<Item = Bid> + Clone) -> Option<usize> {
    let (running, weight) =
        bids.clone().fold((1, 0), |(running, weight), bid| (running + u64::from(bid.running), weight + u64::from(bid.weight)));
    let share = |bid: &Bid| BOUND * running * u64::from(bid.weight);
    let has_room = |bid: &Bid| bid.running < FEW || u64::from(bid.running) * weight * 100 < share(bid);
    let scored = bids.filter(has_room).map(|bid| (score(key, &bid), bid.index));
    scored.max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(_, index)| index)
}

/// The highest one has the key: as many of all keys as the server's weight says.
fn score(key: u64, bid: &Bid) -> f64 {
    let mixed = xxh3_64_with_seed(&key.to_le_bytes(), bid.seed);
    // Between 0 and 1, and neither.
    let even = ((mixed >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    -f64::from(bid.weight) / even.ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Scheme;
    use http::{HeaderMap, HeaderName, HeaderValue, Method};

    fn bids(weights: &[u32]) -> Vec<Bid> {
        let bid = |(index, weight): (usize, &u32)| Bid { index, seed: seed(&format!("10.0.0.{index}:80")), weight: *weight, running: 0 };
        weights.iter().enumerate().map(bid).collect()
    }

    fn owners(bids: &[Bid]) -> Vec<usize> {
        (0..10_000).filter_map(|key: u64| owner(xxh3_64(&key.to_le_bytes()), bids.iter().copied())).collect()
    }

    #[test]
    fn keys_are_shared_by_weight() {
        let owners = owners(&bids(&[1, 1, 2]));
        let counts = [0, 1, 2].map(|index| owners.iter().filter(|owner| **owner == index).count());
        assert!((2_300..2_700).contains(&counts[0]) && (2_300..2_700).contains(&counts[1]) && counts[2] > 4_700, "{counts:?}");
    }

    #[test]
    fn only_the_keys_of_a_server_that_goes_move() {
        let (all, mut fewer) = (bids(&[1; 5]), bids(&[1; 5]));
        fewer.remove(3);
        let moved = owners(&all).into_iter().zip(owners(&fewer)).filter(|(before, after)| before != after).all(|(before, _)| before == 3);
        assert!(moved);
    }

    #[test]
    fn a_server_with_too_much_to_do_passes_keys_on_and_gets_them_back() {
        let mut bids = bids(&[1; 4]);
        let at = |bids: &[Bid]| owner(42, bids.iter().copied()).expect("one of four");
        let home = at(&bids);
        bids[home].running = 2;
        assert_eq!(at(&bids), home, "that is nothing");
        bids[home].running = 10;
        let second = at(&bids);
        assert_ne!(second, home);
        // When all have as much to do, it is no more than the others.
        bids.iter_mut().for_each(|bid| bid.running = 10);
        assert_eq!(at(&bids), home);
        bids.iter_mut().for_each(|bid| bid.running = u32::MAX);
        assert!(owner(42, bids.into_iter()).is_some(), "there is always one");
        assert_eq!(owner(42, std::iter::empty()), None);
    }

    #[test]
    fn a_key_is_of_the_request() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("sid2=no; sid=a=b ;x"));
        headers.append("x-user", HeaderValue::from_static("me"));
        let (method, scheme) = (Method::GET, Scheme::Https);
        let head = RequestHead { method, scheme, authority: "a.test".into(), path: "/p".into(), query: Some("q".into()), headers };
        let of = |key: &HashKey, ip: &str| self::key(key, Some(&head), ip.parse().expect("an address"));
        let known = |text: &str| Some(xxh3_64(text.as_bytes()));
        assert_eq!(of(&HashKey::Path, "::1"), known("/p"));
        assert_eq!(of(&HashKey::Header(HeaderName::from_static("x-user")), "::1"), known("me"));
        assert_eq!(of(&HashKey::Header(HeaderName::from_static("x-other")), "::1"), None);
        assert_eq!(of(&HashKey::Cookie("sid".into()), "::1"), known("a=b"));
        assert_eq!(of(&HashKey::Cookie("id".into()), "::1"), None);
        let client = |ip| of(&HashKey::Client, ip);
        assert!(client("10.0.0.1") == client("::ffff:10.0.0.1") && client("10.0.0.1") != client("10.0.0.2"));
        assert!(client("2001:db8::1") == client("2001:db8::ffff") && client("2001:db8::1") != client("2001:db8:0:1::1"));
        assert_eq!(self::key(&HashKey::Path, None, "::1".parse().expect("an address")), None);
    }
}
