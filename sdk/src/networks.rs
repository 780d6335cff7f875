//! Lists of networks: from text to disjoint ranges, so that an address is looked up by halving, however long the list.
//!
//! ```
//! use portcullis_sdk::networks::{Networks, read};
//!
//! let entries = read("10.0.0.0/8, 2001:db8::/32 # ours").map(|network| (network.unwrap(), "inside"));
//! let within = read("10.1.0.0/16").map(|network| (network.unwrap(), "guests"));
//! let networks = Networks::of(entries.chain(within).collect());
//! assert_eq!(networks.find("10.1.2.3".parse().unwrap()), Some("guests"));
//! assert_eq!(networks.find("10.2.2.3".parse().unwrap()), Some("inside"));
//! assert_eq!(networks.find("192.0.2.1".parse().unwrap()), None);
//! ```

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

/// One network, or one address.
#[derive(Debug, Clone, Copy)]
pub struct Network {
    address: IpAddr,
    length: u8,
    /// Bits are set behind the prefix.
    pub is_sloppy: bool,
}

/// The networks of a text: separated by white space or commas, each line up to `#` or `;`. What is none is told in words for the operator.
pub fn read(text: &str) -> impl Iterator<Item = Result<Network, String>> {
    let lines = text.lines().map(|line| line.split(['#', ';']).next().unwrap_or_default());
    lines.flat_map(|line| line.split([' ', '\t', ',', '\r'])).filter(|word| !word.is_empty()).map(network)
}

/// One network in text.
///
/// # Errors
/// Why it is none, in words for the operator.
pub fn network(word: &str) -> Result<Network, String> {
    let wrong = |why: &str| Err(["`", word, "` is no network: ", why].concat());
    let (address, length) = word.split_once('/').map_or((word, None), |(address, length)| (address, Some(length)));
    let Ok(address) = address.parse::<IpAddr>() else { return wrong("write 192.0.2.0/24, 2001:db8::/32 or an address") };
    let (most, too_long) = match address {
        IpAddr::V4(_) => (32, "a prefix of IPv4 has at most 32 bits"),
        IpAddr::V6(_) => (128, "a prefix of IPv6 has at most 128 bits"),
    };
    let length = match length.map(str::parse::<u8>) {
        None => most,
        Some(Ok(length)) if length <= most => length,
        Some(_) => return wrong(too_long),
    };
    let mapped = match address {
        IpAddr::V6(six) if length >= 96 => six.to_ipv4_mapped(),
        _ => None,
    };
    let (address, length) = mapped.map_or((address, length), |four| (IpAddr::V4(four), length - 96));
    let (_, bits) = number(address);
    let is_sloppy = bits & tail(address, length) != 0;
    Ok(Network { address, length, is_sloppy })
}

impl Network {
    /// As it would be written.
    pub fn shown(&self) -> String {
        format!("{}/{}", self.address, self.length)
    }

    fn range(&self) -> (usize, u128, u128) {
        let (family, bits) = number(self.address);
        let tail = tail(self.address, self.length);
        (family, bits & !tail, bits | tail)
    }
}

/// Family, and the address as a number.
fn number(ip: IpAddr) -> (usize, u128) {
    match ip.to_canonical() {
        IpAddr::V4(four) => (0, u128::from(four.to_bits())),
        IpAddr::V6(six) => (1, six.to_bits()),
    }
}

/// The bits behind a prefix.
fn tail(address: IpAddr, length: u8) -> u128 {
    let bits = if address.is_ipv4() { 32 } else { 128 } - u32::from(length);
    1_u128.checked_shl(bits).map_or(u128::MAX, |one| one - 1)
}

/// What each family's addresses belong to: the places where it changes, sorted; each holds up to the next.
#[derive(Debug, Clone)]
pub struct Networks<T>([Vec<(u128, Option<T>)>; 2]);

impl<T: Copy + Ord> Networks<T> {
    /// The longest prefix that holds an address decides; of equal ones, that with the greatest value.
    pub fn of(entries: Vec<(Network, T)>) -> Self {
        let mut ranges = [Vec::new(), Vec::new()];
        for (network, value) in entries {
            let (family, from, to) = network.range();
            ranges[family].push((from, to, value));
        }
        Self(ranges.map(flattened))
    }

    /// `None`: in no network.
    pub fn find(&self, ip: IpAddr) -> Option<T> {
        let (family, bits) = number(ip);
        let changes = &self.0[family];
        let behind = changes.partition_point(|(from, _)| *from <= bits);
        behind.checked_sub(1).and_then(|index| changes[index].1)
    }
}

/// Networks either nest or do not meet: the ones that are open form a stack with the longest prefix on top.
fn flattened<T: Copy + Ord>(mut ranges: Vec<(u128, u128, T)>) -> Vec<(u128, Option<T>)> {
    // The larger first, of equal ones that with the lesser value.
    ranges.sort_unstable_by(|a, b| (a.0, b.1, a.2).cmp(&(b.0, a.1, b.2)));
    let mut changes: Vec<(u128, Option<T>)> = Vec::new();
    let mut open: Vec<(u128, T)> = Vec::new();
    for (from, to, value) in ranges {
        close(&mut open, &mut changes, Some(from));
        change(&mut changes, from, Some(value));
        open.push((to, value));
    }
    close(&mut open, &mut changes, None);
    changes.shrink_to_fit();
    changes
}

/// Ends what ends before `next`; all, without one.
fn close<T: Copy + Ord>(open: &mut Vec<(u128, T)>, changes: &mut Vec<(u128, Option<T>)>, next: Option<u128>) {
    while let Some((to, _)) = open.last().copied().filter(|(to, _)| next.is_none_or(|next| *to < next)) {
        open.pop();
        // The last address of all has none behind it.
        if let Some(behind) = to.checked_add(1) {
            change(changes, behind, open.last().map(|(_, value)| *value));
        }
    }
}

/// The last that is said of a place holds.
fn change<T: Copy + Ord>(changes: &mut Vec<(u128, Option<T>)>, from: u128, value: Option<T>) {
    if changes.last().is_some_and(|(last, _)| *last == from) {
        changes.pop();
    }
    if changes.last().is_none_or(|(_, last)| *last != value) {
        changes.push((from, value));
    }
}
