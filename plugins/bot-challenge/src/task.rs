//! Tasks and what becomes of them. A task is the second until which it holds and an authentication code over that and the client; the work is a number which, written
//! behind the task, gives a digest with enough zeros in front.

use core::net::IpAddr;
use hmac::{Hmac, Mac};
use portcullis_sdk::prelude::*;
use portcullis_sdk::secret::same;
use sha2::{Digest, Sha256};

pub struct Tasks {
    secret: Vec<u8>,
    /// Leading zero bits.
    difficulty: u8,
    /// Seconds.
    valid: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Work {
    Done,
    /// Or done for somebody else, or long ago.
    NotDone,
}

/// Digits of a number that was found; the hardest task takes eight or nine.
const LONGEST: usize = 20;

impl Tasks {
    pub const fn new(secret: Vec<u8>, difficulty: u8, valid: u64) -> Self {
        Self { secret, difficulty, valid }
    }

    /// `1700043200.0f3a…`
    pub fn set(&self, who: &str, now: u64) -> String {
        self.task(who, &(now + self.valid).to_string())
    }

    fn task(&self, who: &str, until: &str) -> String {
        // Keys of any length will do.
        let Ok(mac) = Hmac::<Sha256>::new_from_slice(&self.secret) else { return String::new() };
        // The difficulty too: when it is raised, work of before is not enough.
        let code = mac.chain_update(until).chain_update([b'|', self.difficulty, b'|']).chain_update(who).finalize().into_bytes();
        let mut task = [until, "."].concat();
        for byte in &code[..16] {
            for digit in [byte >> 4, byte & 15] {
                task.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
            }
        }
        task
    }

    /// The task, a dot, and the number.
    pub fn check(&self, cookie: &[u8], who: &str, now: u64) -> Work {
        let done = core::str::from_utf8(cookie).ok().and_then(|cookie| {
            let (task, found) = cookie.rsplit_once('.')?;
            let (until, _) = task.split_once('.')?;
            let whole = until.len() <= LONGEST && until.bytes().all(|byte| byte.is_ascii_digit());
            let in_time = whole && until.parse().is_ok_and(|until: u64| now < until && until <= now + self.valid);
            let number = !found.is_empty() && found.len() <= LONGEST && found.bytes().all(|byte| byte.is_ascii_digit());
            let right = in_time && number && same(task.as_bytes(), self.task(who, until).as_bytes());
            right.then(|| zeros(&Sha256::digest(cookie)) >= u32::from(self.difficulty))
        });
        if done == Some(true) { Work::Done } else { Work::NotDone }
    }
}

/// Leading zero bits.
pub fn zeros(digest: &[u8]) -> u32 {
    let whole = digest.iter().take_while(|byte| **byte == 0).count();
    let part = digest.get(whole).map_or(0, |byte| byte.leading_zeros());
    u32::try_from(whole * 8).unwrap_or(u32::MAX) + part
}

/// A network of IPv6 is one client: its address changes by itself.
pub fn client(address: Option<IpAddr>, text: &str) -> String {
    match address.map(|ip| ip.to_canonical()) {
        Some(IpAddr::V6(six)) => (six.to_bits() >> 64).to_string(),
        Some(IpAddr::V4(four)) => four.to_bits().to_string(),
        None => text.to_owned(),
    }
}
