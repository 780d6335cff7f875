//! What access lines of all kinds are made of: named values, times and sizes, as text and as members of a JSON object.

use super::escape::word;
use super::mask;
use super::vocabulary::{Field, Vocabulary};
use crate::config::AccessRules;
use bytestring::ByteString;
use std::io::Write;
use std::time::Duration;

/// Of what links have set: what is meant for the log.
pub(super) fn logged<'a>(attributes: &'a [(ByteString, ByteString)], rules: &'a AccessRules) -> impl Iterator<Item = (&'a str, &'a str)> {
    let meant = attributes.iter().filter(|(name, _)| name.starts_with("log."));
    meant.map(|(name, value)| (&**name, mask::attribute(name, value, rules)))
}

/// ` name=value`, each. Neither can be forged into something else.
pub(super) fn words<'a>(out: &mut Vec<u8>, pairs: impl Iterator<Item = (&'a str, &'a str)>) {
    for (name, value) in pairs {
        out.push(b' ');
        word(out, name);
        out.push(b'=');
        word(out, value);
    }
}

/// How long it took, and how much was carried.
pub(super) struct Cost {
    pub total: Duration,
    /// A part of it that has a name, if it is known.
    pub part: (Field, Option<Duration>),
    /// Bytes from the client.
    pub received: u64,
    /// Bytes to the client.
    pub sent: u64,
}

impl Cost {
    pub fn text(&self, out: &mut Vec<u8>) {
        print(out, format_args!(" total={:.3}ms", millis(self.total)));
        if let (name, Some(part)) = self.part {
            let name = Vocabulary::Ours.name(name).trim_end_matches("_ms");
            print(out, format_args!(" {name}={:.3}ms", millis(part)));
        }
        print(out, format_args!(" in={} out={}", self.received, self.sent));
    }

    pub fn json(&self, out: &mut Vec<u8>, terms: Vocabulary) {
        terms.time(out, Field::Total, self.total);
        if let (name, Some(part)) = self.part {
            terms.time(out, name, part);
        }
        terms.number(out, Field::Received, self.received);
        terms.number(out, Field::Sent, self.sent);
    }
}

/// Writing to a `Vec` cannot fail.
pub(super) fn print(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    drop(out.write_fmt(text));
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
