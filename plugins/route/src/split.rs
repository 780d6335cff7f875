//! Weights: each upstream gets its share of a hash's range.
//!
//! The hash spreads evenly and is the same on every worker and after every restart, so what it goes by keeps its upstream as long as the weights stay.
//! It is no secret: a client that may choose its cookie may choose its upstream.

use portcullis_sdk::RequestInterest;
use portcullis_sdk::field::header_name;
use portcullis_sdk::prelude::*;

/// What is hashed.
pub(crate) enum By {
    /// The exchange's number: each request goes its own way.
    Request,
    ClientIp,
    Cookie(String),
    Header(String),
}

impl By {
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        const KINDS: &str = "one of `request`, `client.ip`, `cookie:NAME`, `header:NAME`";
        match text.split_once(':') {
            None if text == "request" => Ok(Self::Request),
            None if text == "client.ip" => Ok(Self::ClientIp),
            Some(("cookie", name)) if !name.is_empty() => Ok(Self::Cookie(name.to_string())),
            Some(("header", name)) => header_name(name).map(Self::Header),
            _ => Err(KINDS),
        }
    }
}

pub(crate) struct Split {
    /// Upstreams with the end of their share, rising.
    shares: Vec<(String, u64)>,
    total: u64,
    by: By,
}

impl Split {
    pub(crate) fn of(weights: Map<u32, Upstream>, by: By) -> Result<Self, &'static str> {
        let mut total = 0;
        let mut shares = Vec::new();
        for (upstream, weight) in weights {
            total += u64::from(weight);
            shares.push((upstream.into(), total));
        }
        if total == 0 { Err("at least one weight must be more than 0") } else { Ok(Self { shares, total, by }) }
    }

    pub(crate) fn ask(&self, interest: &mut RequestInterest) {
        match &self.by {
            By::Request => interest.exchange(),
            By::ClientIp => interest.attribute("client.ip"),
            // A request without it goes its own way.
            By::Cookie(_) => interest.header("cookie").exchange(),
            By::Header(name) => interest.header(name.clone()).exchange(),
        };
    }

    pub(crate) fn pick(&self, request: &Request) -> &str {
        let hash = match &self.by {
            By::Request => mix(request.exchange()),
            By::ClientIp => hash(request.attribute("client.ip").unwrap_or_default().as_bytes()),
            By::Cookie(name) => request.cookie(name).map_or_else(|| mix(request.exchange()), hash),
            By::Header(name) => request.header(name).map_or_else(|| mix(request.exchange()), hash),
        };
        // The upper half of a product is the hash, scaled from 2^64 to the total.
        let place = ((u128::from(hash) * u128::from(self.total)) >> 64) as u64;
        let share = self.shares.iter().find(|(_, end)| place < *end);
        share.map(|(upstream, _)| &**upstream).unwrap_or_default()
    }
}

/// FNV-1a, whose upper bits are poor until they are mixed.
fn hash(bytes: &[u8]) -> u64 {
    let start = 0xcbf2_9ce4_8422_2325_u64;
    mix(bytes.iter().fold(start, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)))
}

/// The finalizer of SplitMix64.
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
