//! Spans on their way to a collector: OTLP over HTTP, in protocol buffers. One thread for the process; workers hand over what they have and
//! never wait. What finds the queue full, or the collector away, is dropped and counted.

mod messages;
mod send;

use super::registry::Registry;
use crate::config::ObserveSpec;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::SystemTime;
use tokio::sync::mpsc::{Sender, channel};

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
#[derive(Clone)]
pub struct Outlet {
    queue: Sender<Vec<Span>>,
    registry: Arc<Registry>,
}

impl Outlet {
    /// Never waits.
    pub fn put(&self, spans: Vec<Span>) {
        if let Err(refused) = self.queue.try_send(spans) {
            self.registry.spans_dropped(refused.into_inner().len());
        }
    }

    #[cfg(test)]
    pub fn nowhere() -> Self {
        Self { queue: channel(1).0, registry: Arc::default() }
    }
}

/// The thread. Dropping it sends what is there, once all outlets are gone, and ends the thread.
pub struct Exporter {
    outlet: Option<Outlet>,
    thread: Option<JoinHandle<()>>,
}

impl Exporter {
    /// Errors: no runtime or thread can be had.
    pub fn start(spec: &ObserveSpec, registry: &Arc<Registry>) -> io::Result<Self> {
        let (queue, waiting) = channel(QUEUE);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let sending = send::Sending::new(spec, Arc::clone(registry));
        let thread = std::thread::Builder::new().name("traces".into()).spawn(move || {
            runtime.block_on(sending.run(waiting));
            // A look-up of a name that hangs in the system's resolver must not hold up our end.
            runtime.shutdown_background();
        })?;
        Ok(Self { outlet: Some(Outlet { queue, registry: Arc::clone(registry) }), thread: Some(thread) })
    }

    /// One more; `None`: it is about to end.
    pub fn outlet(&self) -> Option<Outlet> {
        self.outlet.clone()
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        drop(self.outlet.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it has been printed; there is nothing else to do about it here.
            drop(thread.join());
        }
    }
}
