//! What a collector is told: spans, numbers, and lines of both logs, by OTLP over HTTP, in protocol buffers. One thread for a collector; workers
//! hand over what they have and never wait. What finds the queue full, or the collector away, is dropped and counted.
//!
//! In reading order: `post` (one request), `send` (from a queue), `messages` (of spans, and what all have in common), `metrics`, `logs`.

mod logs;
mod messages;
mod metrics;
mod post;
mod send;

use super::exposition::Told;
use super::tally::{ExportTallies, ExportTally};
use crate::config::{ObserveSpec, Signal};
use prost::Message;
use send::{Means, Sending};
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval_at};

/// Exchanges whose spans wait, and lines that do. Some seconds of a busy proxy that traces one in a hundred; arbitrary.
const QUEUE: usize = 4096;

/// A span as it is told.
#[derive(Debug, Clone)]
pub struct Span {
    pub trace: [u8; 16],
    pub span: [u8; 8],
    pub parent: Option<[u8; 8]>,
    pub kind: SpanKind,
    pub name: String,
    pub begun: SystemTime,
    pub ended: SystemTime,
    pub attributes: Vec<Attribute>,
    pub events: Vec<SpanEvent>,
    pub failed: bool,
}

/// As OTLP numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    Internal = 1,
    Server = 2,
    Client = 3,
}

#[derive(Debug, Clone)]
pub struct SpanEvent {
    pub at: SystemTime,
    pub name: String,
    pub attributes: Vec<Attribute>,
}

#[derive(Debug, Clone)]
pub struct Attribute {
    name: String,
    value: Value,
}

#[derive(Debug, Clone)]
enum Value {
    Text(String),
    Number(i64),
}

impl Attribute {
    pub fn text(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: Value::Text(value.into()) }
    }

    pub fn number(name: impl Into<String>, value: i64) -> Self {
        Self { name: name.into(), value: Value::Number(value) }
    }
}

/// A line of one of the logs.
#[derive(Debug, Clone)]
pub enum LogRecord {
    /// Of the access log: an object whose names are OpenTelemetry's.
    Access {
        at: SystemTime,
        name: &'static str,
        object: Vec<u8>,
    },
    Log {
        at: SystemTime,
        level: tracing::Level,
        target: &'static str,
        message: String,
        fields: Vec<(String, String)>,
    },
}

/// Where things are put that are to be sent.
#[derive(Debug)]
pub struct Outlet<T> {
    queue: Sender<Vec<T>>,
    tally: Arc<ExportTally>,
}

impl<T> Clone for Outlet<T> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), tally: Arc::clone(&self.tally) }
    }
}

impl<T> Outlet<T> {
    fn new(tally: &Arc<ExportTally>) -> (Self, Receiver<Vec<T>>) {
        let (queue, waiting) = channel(QUEUE);
        (Self { queue, tally: Arc::clone(tally) }, waiting)
    }

    /// Never waits.
    pub fn put(&self, things: Vec<T>) {
        if let Err(refused) = self.queue.try_send(things) {
            self.tally.lost(refused.into_inner().len());
        }
    }

    #[cfg(test)]
    pub fn nowhere() -> Self {
        Self::new(&Arc::default()).0
    }
}

/// Where one collector is told what; it is told nothing more when this is gone.
#[derive(Debug)]
pub struct Outlets {
    pub spans: Option<Outlet<Span>>,
    pub logs: Option<Outlet<LogRecord>>,
    /// Numbers are told as long as this is there.
    _numbers: Option<Sender<Infallible>>,
}

/// The process's numbers, as they are told.
#[derive(Clone)]
pub struct Numbers {
    pub told: Arc<dyn Fn() -> Vec<Told> + Send + Sync>,
    /// When they began.
    pub since: SystemTime,
}

/// The threads that send: one for the collector in use, and for a while one for each that was before.
#[derive(Default)]
pub struct Exporters {
    /// A lock, because it is taken when collectors change.
    running: Mutex<Vec<Running>>,
}

struct Running {
    /// Dropped when it is to send what there is, and end.
    _ending: watch::Sender<()>,
    thread: JoinHandle<()>,
}

impl Exporters {
    /// One more, which ends when its outlets are gone. Errors: no runtime or thread can be had.
    pub fn start(&self, spec: &ObserveSpec, tallies: &ExportTallies, numbers: Numbers) -> io::Result<Outlets> {
        let (ended, ending) = watch::channel(());
        let means = Means { collector: spec.otlp.clone(), service: spec.service.clone(), ending };
        let wants = |signal: Signal| spec.signals.contains(&signal);
        let spans = wants(Signal::Traces).then(|| Outlet::new(&tallies.spans));
        let logs = wants(Signal::Logs).then(|| Outlet::new(&tallies.logs));
        let told = wants(Signal::Metrics).then(|| channel(1));
        let (spans, spans_wait) = spans.unzip();
        let (logs, logs_wait) = logs.unzip();
        let (alive, gone) = told.unzip();
        let every = spec.interval;
        let sends_spans = Sending::new(means.clone(), ("spans", "/v1/traces"), messages::encode, Arc::clone(&tallies.spans));
        let sends_logs = Sending::new(means.clone(), ("lines of logs", "/v1/logs"), logs::encode, Arc::clone(&tallies.logs));
        let tells = Telling {
            numbers,
            every,
            sending: Sending::new(means, ("numbers", "/v1/metrics"), |_, _| Vec::new(), Arc::clone(&tallies.points)),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("telemetry".into()).spawn(move || {
            runtime.block_on(async {
                let spans = async {
                    if let Some(waiting) = spans_wait {
                        sends_spans.run(waiting).await;
                    }
                };
                let logs = async {
                    if let Some(waiting) = logs_wait {
                        sends_logs.run(waiting).await;
                    }
                };
                let numbers = async {
                    if let Some(gone) = gone {
                        tells.run(gone).await;
                    }
                };
                tokio::join!(spans, logs, numbers);
            });
            // A look-up of a name that hangs in the system's resolver must not hold up our end.
            runtime.shutdown_background();
        })?;
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|running| !running.thread.is_finished());
        running.push(Running { _ending: ended, thread });
        Ok(Outlets { spans, logs, _numbers: alive })
    }

    /// Sends what there is, within a deadline, and waits for that.
    pub fn finish(&self) {
        let running = std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        // All are told before any is waited for.
        let threads: Vec<_> = running.into_iter().map(|running| running.thread).collect();
        for thread in threads {
            // A panic in it has been printed; there is nothing else to do about it here.
            drop(thread.join());
        }
    }
}

/// Tells the process's numbers now and then.
struct Telling {
    numbers: Numbers,
    every: Duration,
    sending: Sending<Infallible>,
}

impl Telling {
    /// Until nobody wants to know any more, or it is time to end; then for a last time.
    async fn run(mut self, mut gone: Receiver<Infallible>) {
        let mut ending = self.sending.ending();
        let mut ticks = interval_at(tokio::time::Instant::now() + self.every, self.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // All are cancel-safe.
            let last = tokio::select! {
                _ = ticks.tick() => false,
                _ = gone.recv() => true,
                _ = ending.changed() => true,
            };
            let told = (self.numbers.told)();
            let count = told.iter().map(|told| told.samples.len()).sum();
            let resource = messages::Resource::of(self.sending.service());
            let request = metrics::ExportRequest::new(resource, told, self.numbers.since, SystemTime::now());
            self.sending.send(request.encode_to_vec(), count).await;
            if last {
                return;
            }
        }
    }
}
