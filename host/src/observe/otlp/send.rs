//! From a queue to the collector: some at a time, each within a deadline, none twice.

use super::post::{Failed, PATIENCE, post};
use crate::config::Collector;
use crate::observe::{ExportTally, RateCap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// Things in one request; a collector takes 4 MiB by default.
const MOST: usize = 512;
/// From the first thing of a request to its sending.
const PERIOD: Duration = Duration::from_secs(1);

/// What all signals have in common.
#[derive(Clone)]
pub(super) struct Means {
    pub collector: Collector,
    pub service: String,
    /// Its other end is dropped when it is time to end.
    pub ending: watch::Receiver<()>,
}

/// Sends one kind of things.
pub(super) struct Sending<T> {
    means: Means,
    /// What they are called, and where they go.
    what: &'static str,
    path: &'static str,
    encode: fn(&str, Vec<T>) -> Vec<u8>,
    tally: Arc<ExportTally>,
    log: RateCap,
    /// The end: what is not sent by then is dropped.
    end: Option<Instant>,
}

impl<T> Sending<T> {
    pub fn new(
        means: Means,
        (what, path): (&'static str, &'static str),
        encode: fn(&str, Vec<T>) -> Vec<u8>,
        tally: Arc<ExportTally>,
    ) -> Self {
        // Arbitrary: a collector that is away is worth a line now and then.
        let log = RateCap::new(1, Duration::from_secs(60));
        Self { means, what, path, encode, tally, log, end: None }
    }

    /// Until nobody can put anything into the queue any more, or it is time to end; what is in it then is sent.
    pub async fn run(mut self, mut waiting: Receiver<Vec<T>>) {
        while let Some(mut things) = self.next(&mut waiting).await {
            let until = Instant::now() + PERIOD;
            while things.len() < MOST {
                match timeout_at(until, self.next(&mut waiting)).await {
                    Ok(Some(more)) => things.extend(more),
                    Ok(None) | Err(_) => break,
                }
            }
            let count = things.len();
            let body = (self.encode)(&self.means.service, things);
            self.send(body, count).await;
        }
    }

    /// Cancel-safe.
    async fn next(&mut self, waiting: &mut Receiver<Vec<T>>) -> Option<Vec<T>> {
        if self.end.is_none() {
            tokio::select! {
                // Both are cancel-safe.
                things = waiting.recv() => return things,
                _ = self.means.ending.changed() => {}
            }
            self.end = Some(Instant::now() + PATIENCE);
            waiting.close();
        }
        // What was in it; then nothing.
        waiting.recv().await
    }

    pub fn service(&self) -> &str {
        &self.means.service
    }

    /// Says when it is time to end.
    pub fn ending(&self) -> watch::Receiver<()> {
        self.means.ending.clone()
    }

    /// `count` things.
    pub async fn send(&mut self, body: Vec<u8>, count: usize) {
        let late = Instant::now() + PATIENCE;
        let sent = timeout_at(self.end.map_or(late, |end| end.min(late)), post(&self.means.collector, self.path, body.into())).await;
        match sent.unwrap_or(Err(Failed::Timeout)) {
            Ok(()) => self.tally.took(count),
            Err(failed) => {
                self.tally.lost(count);
                if self.log.admit(std::time::Instant::now()).is_some() {
                    let Self { what, path, means: Means { collector, .. }, .. } = self;
                    tracing::warn!("{what} are dropped, the collector at {collector}{path} does not take them: {failed}");
                }
            }
        }
    }
}
