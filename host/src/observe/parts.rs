//! What access lines of all kinds are made of: named values, times and sizes, as text and as members of a JSON object.

use super::escape::{quoted, word};
use bytestring::ByteString;
use std::io::Write;
use std::time::Duration;

/// Of what links have set: what is meant for the log.
pub(super) fn logged(attributes: &[(ByteString, ByteString)]) -> impl Iterator<Item = (&str, &str)> {
    attributes.iter().filter(|(name, _)| name.starts_with("log.")).map(|(name, value)| (&**name, &**value))
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

/// `,"name":"value"`, each.
pub(super) fn members<'a>(out: &mut Vec<u8>, pairs: impl Iterator<Item = (&'a str, &'a str)>) {
    for (name, value) in pairs {
        out.push(b',');
        quoted(out, name);
        out.push(b':');
        quoted(out, value);
    }
}

/// How long it took, and how much was carried.
pub(super) struct Cost {
    pub total: Duration,
    /// A part of it that has a name, if it is known.
    pub part: (&'static str, Option<Duration>),
    /// Bytes from the client.
    pub received: u64,
    /// Bytes to the client.
    pub sent: u64,
}

impl Cost {
    pub fn text(&self, out: &mut Vec<u8>) {
        print(out, format_args!(" total={:.3}ms", millis(self.total)));
        if let (name, Some(part)) = self.part {
            print(out, format_args!(" {name}={:.3}ms", millis(part)));
        }
        print(out, format_args!(" in={} out={}", self.received, self.sent));
    }

    pub fn json(&self, out: &mut Vec<u8>) {
        print(out, format_args!(",\"total_ms\":{:.3}", millis(self.total)));
        if let (name, Some(part)) = self.part {
            print(out, format_args!(",\"{name}_ms\":{:.3}", millis(part)));
        }
        print(out, format_args!(",\"in\":{},\"out\":{}", self.received, self.sent));
    }
}

/// Writing to a `Vec` cannot fail.
pub(super) fn print(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    drop(out.write_fmt(text));
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
