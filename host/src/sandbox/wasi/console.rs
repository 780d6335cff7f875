//! stdout and stderr of guests: whole lines to the log, tagged with the link, at a bounded rate. Never to a client.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

pub(super) const STDOUT: u32 = 1;
pub(super) const STDERR: u32 = 2;

/// Bytes of a line; what is longer is cut.
const LONGEST: usize = 4096;

/// Lines that a link may print at once, and a second in the long run. Generous for debugging, harmless for a disk.
const BURST: f64 = 100.0;
const PER_SECOND: f64 = 20.0;

/// How loud a line is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox) enum Stream {
    Out,
    Err,
}

impl Stream {
    const fn level(self) -> Level {
        match self {
            Self::Out => Level::Info,
            Self::Err => Level::Warn,
        }
    }

    pub(super) const fn of(rep: u32) -> Self {
        if rep == STDERR { Self::Err } else { Self::Out }
    }
}

/// Unfinished lines of one guest.
#[derive(Default)]
pub(in crate::sandbox) struct Console {
    out: Line,
    err: Line,
}

#[derive(Default)]
struct Line {
    bytes: Vec<u8>,
    cut: bool,
}

impl Console {
    pub(in crate::sandbox) fn print(&mut self, log: &Log, stream: Stream, mut bytes: &[u8]) {
        let line = match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        };
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (head, tail) = bytes.split_at(end);
            line.push(head);
            line.end(log, stream);
            bytes = tail.strip_prefix(b"\n").unwrap_or(tail);
        }
        line.push(bytes);
    }

    pub(in crate::sandbox) fn flush(&mut self, log: &Log) {
        for (line, stream) in [(&mut self.out, Stream::Out), (&mut self.err, Stream::Err)] {
            if !line.bytes.is_empty() {
                line.end(log, stream);
            }
        }
    }
}

impl Line {
    fn push(&mut self, bytes: &[u8]) {
        let fits = bytes.len().min(LONGEST - self.bytes.len());
        let (taken, rest) = bytes.split_at(fits);
        self.bytes.extend_from_slice(taken);
        self.cut |= !rest.is_empty();
    }

    fn end(&mut self, log: &Log, stream: Stream) {
        log.line(stream.level(), None, &self.bytes, self.cut);
        self.bytes.clear();
        self.cut = false;
    }
}

/// Where a link's lines go; shared by all its guests on all workers, so that the rate is the link's.
pub(in crate::sandbox) struct Log {
    link: String,
    /// A lock, because lines are rare and the rate must hold for all workers together.
    rate: Mutex<Rate>,
}

struct Rate {
    tokens: f64,
    at: Instant,
    dropped: u64,
}

impl Log {
    pub(in crate::sandbox) fn new(link: &str) -> Self {
        Self { link: link.to_owned(), rate: Mutex::new(Rate { tokens: BURST, at: Instant::now(), dropped: 0 }) }
    }

    /// One line of the capability `log`.
    pub(in crate::sandbox) fn say(&self, level: Level, exchange: Option<u64>, bytes: &[u8]) {
        let shown = bytes.get(..LONGEST).unwrap_or(bytes);
        self.line(level, exchange, shown, shown.len() < bytes.len());
    }

    fn line(&self, level: Level, exchange: Option<u64>, bytes: &[u8], cut: bool) {
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        if !rate.admit(Instant::now()) {
            return;
        }
        let dropped = std::mem::take(&mut rate.dropped);
        drop(rate);
        if dropped > 0 {
            tracing::warn!(target: "portcullis::plugin", link = %self.link, "{dropped} lines dropped: more than {PER_SECOND} a second");
        }
        let text = printable(bytes, cut);
        let id = exchange.map(|id| tracing::field::display(Hex(id)));
        match level {
            Level::Debug => tracing::debug!(target: "portcullis::plugin", link = %self.link, id, "{text}"),
            Level::Info => tracing::info!(target: "portcullis::plugin", link = %self.link, id, "{text}"),
            Level::Warn => tracing::warn!(target: "portcullis::plugin", link = %self.link, id, "{text}"),
            Level::Error => tracing::error!(target: "portcullis::plugin", link = %self.link, id, "{text}"),
        }
    }
}

/// The id of an exchange, as logs write it.
struct Hex(u64);

impl std::fmt::Display for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl Rate {
    fn admit(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = passed.mul_add(PER_SECOND, self.tokens).min(BURST);
        self.at = now;
        let admitted = self.tokens >= 1.0;
        if admitted {
            self.tokens -= 1.0;
        } else {
            self.dropped += 1;
        }
        admitted
    }
}

/// Control characters escaped: a guest must not be able to forge log lines or drive a terminal.
fn printable(bytes: &[u8], cut: bool) -> String {
    let mut text = String::with_capacity(bytes.len() + 4);
    for c in String::from_utf8_lossy(bytes).trim_end_matches('\r').chars() {
        if c.is_control() && c != '\t' {
            let _ = write!(text, "{}", c.escape_default());
        } else {
            text.push(c);
        }
    }
    if cut {
        text.push_str(" …");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn lines_cannot_forge_others_and_are_cut() {
        assert_eq!(printable(b"a\x1b[2Jb\tc\r", false), "a\\u{1b}[2Jb\tc");
        let mut line = Line::default();
        line.push(&[b'x'; 5000]);
        line.push(b"y");
        assert_eq!((line.bytes.len(), line.cut), (LONGEST, true));
    }

    #[test]
    fn the_rate_holds_and_recovers() {
        let begin = Instant::now();
        let mut rate = Rate { tokens: BURST, at: begin, dropped: 0 };
        let admitted = (0..1_000_000).filter(|_| rate.admit(begin)).count();
        assert_eq!((admitted, rate.dropped), (100, 999_900));
        let later = begin + Duration::from_secs(2);
        assert_eq!((0..1000).filter(|_| rate.admit(later)).count(), 40);
    }
}
