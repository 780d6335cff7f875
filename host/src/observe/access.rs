//! Where access lines go: each worker has a buffer of its own, one thread writes them out. A worker never waits for the output:
//! lines that find their buffer full are counted and dropped.

use super::otlp::{LogRecord, Outlet};
use super::vocabulary::Vocabulary;
use crate::config::{AccessLog, AccessRules};
use crate::message::ExchangeId;
use std::cell::RefCell;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};
use time::OffsetDateTime;
use time::macros::format_description;

/// A line is written out at the latest after this time: short enough to follow with `tail -f`.
const FLUSH: Duration = Duration::from_millis(100);
/// A buffer is written out early from here, bytes.
const HIGH: usize = 128 << 10;
/// A buffer takes no more lines from here, bytes: about 5,000 lines, a tenth of a second of a busy worker.
const FULL: usize = 1 << 20;

/// The output and its thread. Dropping it writes out what is there and ends the thread; workers end first.
pub struct AccessOutput {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What can be written as a line. `time` is RFC 3339.
pub trait Line {
    /// What it is about, as a collector is told.
    const EVENT: &'static str;

    fn id(&self) -> ExchangeId;
    /// It ended otherwise than it should: written whatever the sample.
    fn matters(&self) -> bool;
    fn text(&self, out: &mut Vec<u8>, time: &str, rules: &AccessRules);
    /// One object; keys always in the same order, absent ones left out.
    fn json(&self, out: &mut Vec<u8>, time: &str, terms: Vocabulary, rules: &AccessRules);
}

/// One worker's end.
pub struct AccessWriter {
    shared: Arc<Shared>,
    lines: Arc<Mutex<Vec<u8>>>,
    clock: RefCell<Clock>,
    rules: RefCell<Arc<AccessRules>>,
    /// Who gets lines besides, as of this turn.
    also: RefCell<(u64, Option<Outlet<LogRecord>>)>,
}

/// Says who gets lines besides.
#[derive(Clone)]
pub struct AccessTap(Arc<Shared>);

#[derive(Default)]
struct Shared {
    workers: Mutex<Vec<Arc<Mutex<Vec<u8>>>>>,
    wanted: Mutex<Wanted>,
    wake: Condvar,
    /// Some buffer has lines and the thread has been told.
    pending: AtomicBool,
    dropped: AtomicU64,
    /// How often it has changed who gets lines besides; workers look here, and take the lock only after a change.
    turns: AtomicU64,
    also: Mutex<Option<Outlet<LogRecord>>>,
}

/// What the thread is asked for.
#[derive(Default, Clone, Copy, PartialEq, PartialOrd)]
enum Wanted {
    #[default]
    Nothing,
    /// Within `FLUSH`.
    Soon,
    Now,
    Stop,
}

impl AccessOutput {
    /// Starts the thread that writes to `out`. Fails if the system has no thread to give.
    pub fn start(out: impl Write + Send + 'static) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = std::thread::Builder::new().name("access".into()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.write_out(out)
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// The end for one worker.
    pub fn writer(&self) -> AccessWriter {
        let lines = Arc::default();
        lock(&self.shared.workers).push(Arc::clone(&lines));
        AccessWriter {
            shared: Arc::clone(&self.shared),
            lines,
            clock: RefCell::default(),
            rules: RefCell::default(),
            also: RefCell::default(),
        }
    }

    /// Lines dropped so far because the output was too slow.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// For who says who gets lines besides.
    pub fn tap(&self) -> AccessTap {
        AccessTap(Arc::clone(&self.shared))
    }

    /// The same, to be asked for later.
    pub fn counter(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let shared = Arc::clone(&self.shared);
        move || shared.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for AccessOutput {
    fn drop(&mut self) {
        self.shared.want(Wanted::Stop);
        if let Some(thread) = self.thread.take() {
            // It panics only if the output does; then there is nothing left to write with.
            drop(thread.join());
        }
    }
}

impl AccessTap {
    /// From now on lines go here too. `None`: nowhere else.
    pub fn to(&self, outlet: Option<Outlet<LogRecord>>) {
        *lock(&self.0.also) = outlet;
        self.0.turns.fetch_add(1, Ordering::Release);
    }
}

impl AccessWriter {
    /// What holds from now on.
    pub fn turn(&self, rules: &Arc<AccessRules>) {
        *self.rules.borrow_mut() = Arc::clone(rules);
    }

    /// A line that is written goes to who gets it besides.
    fn tell<L: Line>(&self, line: &L, time: &str, rules: &AccessRules) {
        let turns = self.shared.turns.load(Ordering::Acquire);
        let mut also = self.also.borrow_mut();
        if also.0 != turns {
            *also = (turns, lock(&self.shared.also).clone());
        }
        if let Some(outlet) = &also.1 {
            let mut object = Vec::new();
            line.json(&mut object, time, Vocabulary::Otel, rules);
            outlet.put(vec![LogRecord::Access { at: SystemTime::now(), name: L::EVENT, object }]);
        }
    }

    /// Writes one line, if the mode is not off and the sample has it. Never waits for the output.
    pub fn write(&self, mode: AccessLog, entry: &impl Line) {
        let rules = self.rules.borrow();
        let terms = match mode {
            AccessLog::Off => return,
            AccessLog::Text => None,
            AccessLog::Json => Some(Vocabulary::Ours),
            AccessLog::Ecs => Some(Vocabulary::Ecs),
            AccessLog::Otel => Some(Vocabulary::Otel),
        };
        if !is_sampled(entry.id(), rules.sample) && !entry.matters() {
            return;
        }
        let mut clock = self.clock.borrow_mut();
        let mut lines = lock(&self.lines);
        if lines.len() >= FULL {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let time = clock.read(SystemTime::now());
        match terms {
            None => entry.text(&mut lines, time, &rules),
            Some(terms) => entry.json(&mut lines, time, terms, &rules),
        }
        let high = lines.len() >= HIGH;
        drop(lines);
        self.tell(entry, time, &rules);
        if high {
            self.shared.want(Wanted::Now);
        } else if !self.shared.pending.swap(true, Ordering::AcqRel) {
            self.shared.want(Wanted::Soon);
        }
    }
}

/// Whether an exchange is among so many of a hundred: the same answer whoever asks, and even whatever numbers are given out in a row.
fn is_sampled(id: ExchangeId, percent: u8) -> bool {
    // The end of SplitMix64, which spreads neighbours over all there is.
    let spread = (id.0 ^ (id.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let spread = (spread ^ (spread >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (spread ^ (spread >> 31)) % 100 < u64::from(percent)
}

impl Shared {
    /// Asks the thread for more than it was asked for, never for less.
    fn want(&self, more: Wanted) {
        let mut wanted = lock(&self.wanted);
        if more > *wanted {
            *wanted = more;
            self.wake.notify_one();
        }
    }

    /// The thread.
    fn write_out(&self, mut out: impl Write) {
        let (mut spare, mut reported) = (Vec::new(), 0);
        loop {
            let wanted = self.wait();
            self.pending.store(false, Ordering::Release);
            let workers = lock(&self.workers).clone();
            for lines in workers {
                std::mem::swap(&mut *lock(&lines), &mut spare);
                // Nobody can be told but the log, and that by the next line.
                let written = out.write_all(&spare);
                if let Err(error) = written {
                    tracing::warn!("access lines cannot be written: {error}");
                }
                spare.clear();
            }
            drop(out.flush());
            let dropped = self.dropped.load(Ordering::Relaxed);
            if dropped > reported {
                tracing::warn!("{} access lines dropped: the output is too slow", dropped - reported);
                reported = dropped;
            }
            if wanted == Wanted::Stop {
                return;
            }
        }
    }

    /// Until something is to be written out now.
    fn wait(&self) -> Wanted {
        let idle = |wanted: &mut Wanted| *wanted == Wanted::Nothing;
        let guard = self.wake.wait_while(lock(&self.wanted), idle).unwrap_or_else(PoisonError::into_inner);
        let patient = |wanted: &mut Wanted| *wanted == Wanted::Soon;
        let (mut guard, _) = self.wake.wait_timeout_while(guard, FLUSH, patient).unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *guard)
    }
}

/// A panic while a buffer was locked leaves at worst half a line.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The time as text, RFC 3339 with milliseconds; what is the same within a second is formatted once.
#[derive(Default)]
struct Clock {
    second: Option<u64>,
    text: String,
}

impl Clock {
    fn read(&mut self, now: SystemTime) -> &str {
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        if self.second != Some(since.as_secs()) {
            let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].");
            let second = i64::try_from(since.as_secs()).ok().and_then(|second| OffsetDateTime::from_unix_timestamp(second).ok());
            self.text = second.and_then(|second| second.format(format).ok()).unwrap_or_default();
            self.second = Some(since.as_secs());
        }
        self.text.truncate("2026-11-23T16:24:00.".len());
        let millis = since.subsec_millis();
        for digit in [millis / 100, millis / 10 % 10, millis % 10] {
            self.text.push(char::from_digit(digit, 10).unwrap_or('0'));
        }
        self.text.push('Z');
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::line::tests::entry;
    use std::sync::mpsc;

    /// Hands on what is written, and waits for leave before each write if there is a gate.
    struct Output(mpsc::Sender<Vec<u8>>, Option<mpsc::Receiver<()>>);

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            if let Some(gate) = &self.1 {
                let _ = gate.recv();
            }
            drop(self.0.send(bytes.to_vec()));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn lines(written: &mpsc::Receiver<Vec<u8>>) -> usize {
        written.try_iter().flatten().filter(|byte| *byte == b'\n').count()
    }

    #[test]
    fn line_comes_out_by_itself() {
        let (sender, written) = mpsc::channel();
        let output = AccessOutput::start(Output(sender, None)).expect("a thread");
        output.writer().write(AccessLog::Text, &entry());
        let line = written.recv_timeout(Duration::from_secs(10)).expect("a line without any further call");
        assert!(line.ends_with(b"out=12\n"));
    }

    #[test]
    fn all_workers_lines_are_there_at_the_end_and_none_when_off() {
        let (sender, written) = mpsc::channel();
        let output = AccessOutput::start(Output(sender, None)).expect("a thread");
        let threads = (0..4).map(|_| {
            let writer = output.writer();
            std::thread::spawn(move || {
                for _ in 0..1000 {
                    writer.write(AccessLog::Json, &entry());
                    writer.write(AccessLog::Off, &entry());
                }
            })
        });
        threads.collect::<Vec<_>>().into_iter().for_each(|thread| thread.join().expect("no panic"));
        let dropped = output.dropped();
        drop(output);
        assert_eq!((lines(&written), dropped), (4000, 0));
    }

    #[test]
    fn stuck_output_drops_lines_instead_of_blocking() {
        let (sender, written) = mpsc::channel();
        let (gate, leave) = mpsc::channel();
        let output = AccessOutput::start(Output(sender, Some(leave))).expect("a thread");
        let writer = output.writer();
        while output.dropped() < 10 {
            writer.write(AccessLog::Text, &entry());
        }
        assert!(lock(&writer.lines).len() < FULL + 1000);
        drop(gate);
        drop(output);
        assert!(lines(&written) > 1000);
    }

    #[test]
    fn a_sample_has_its_share_and_all_that_matters() {
        let share = |percent| (0..100_000).filter(|id| is_sampled(ExchangeId(*id), percent)).count();
        assert_eq!((share(0), share(100)), (0, 100_000));
        assert!((9_000..=11_000).contains(&share(10)), "{}", share(10));
        let (sender, written) = mpsc::channel();
        let output = AccessOutput::start(Output(sender, None)).expect("a thread");
        let writer = output.writer();
        writer.turn(&Arc::new(AccessRules { sample: 0, ..AccessRules::default() }));
        for (status, reason) in [(200, None), (304, None), (404, Some("no_route")), (500, None)] {
            writer.write(AccessLog::Text, &crate::observe::Entry { status: Some(status), reason, ..entry() });
        }
        drop(writer);
        drop(output);
        assert_eq!(lines(&written), 2);
    }

    #[test]
    fn clock_reads_like_rfc_3339() {
        let mut clock = Clock::default();
        let at = |ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms);
        for (ms, text) in
            [(0, "1970-01-01T00:00:00.000Z"), (7, "1970-01-01T00:00:00.007Z"), (1_700_000_000_999, "2023-11-14T22:13:20.999Z")]
        {
            assert_eq!(clock.read(at(ms)), text);
        }
    }
}
