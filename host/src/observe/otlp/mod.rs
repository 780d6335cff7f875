//! Spans on their way to a collector: OTLP over HTTP, in protocol buffers. One thread for a collector; workers hand over what they have and
//! never wait. What finds the queue full, or the collector away, is dropped and counted.

mod messages;
mod send;

use super::tally::SpanTally;
use crate::config::ObserveSpec;
use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::SystemTime;
use tokio::sync::mpsc::{Sender, channel};
use tokio::sync::oneshot;

/// Exchanges whose spans wait. Some seconds of a busy proxy that traces one in a hundred; arbitrary.
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

/// Where workers put spans.
#[derive(Debug, Clone)]
pub struct Outlet {
    queue: Sender<Vec<Span>>,
    tally: Arc<SpanTally>,
}

impl Outlet {
    /// Never waits.
    pub fn put(&self, spans: Vec<Span>) {
        if let Err(refused) = self.queue.try_send(spans) {
            self.tally.lost(refused.into_inner().len());
        }
    }

    #[cfg(test)]
    pub fn nowhere() -> Self {
        Self { queue: channel(1).0, tally: Arc::default() }
    }
}

/// The threads that send: one for the collector in use, and for a while one for each that was before.
#[derive(Default)]
pub struct Exporters {
    /// A lock, because it is taken when collectors change.
    running: Mutex<Vec<Running>>,
}

struct Running {
    /// Dropped when it is to send what there is, and end.
    _ending: oneshot::Sender<Infallible>,
    thread: JoinHandle<()>,
}

impl Exporters {
    /// One more, which ends when its outlets are gone. Errors: no runtime or thread can be had.
    pub fn start(&self, spec: &ObserveSpec, tally: &Arc<SpanTally>) -> io::Result<Outlet> {
        let (queue, waiting) = channel(QUEUE);
        let (ending, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let sending = send::Sending::new(spec, Arc::clone(tally), ended);
        let thread = std::thread::Builder::new().name("traces".into()).spawn(move || {
            runtime.block_on(sending.run(waiting));
            // A look-up of a name that hangs in the system's resolver must not hold up our end.
            runtime.shutdown_background();
        })?;
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|running| !running.thread.is_finished());
        running.push(Running { _ending: ending, thread });
        Ok(Outlet { queue, tally: Arc::clone(tally) })
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
