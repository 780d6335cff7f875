//! From the queue to the collector: some at a time, each within a deadline, none twice. A connection for each batch: there is one a second.

use super::Span;
use super::messages::ExportRequest;
use crate::config::{Collector, ObserveSpec};
use crate::observe::{RateCap, SpanTally};
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use prost::Message;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc::Receiver;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// Spans in one request; a collector takes 4 MiB by default.
const MOST: usize = 512;
/// From the first span of a request to its sending.
const PERIOD: Duration = Duration::from_secs(1);
/// For a request and its answer; and for all that is sent at the end.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) struct Sending {
    collector: Collector,
    service: String,
    tally: Arc<SpanTally>,
    log: RateCap,
    /// Its other end is dropped when it is time to end.
    ending: oneshot::Receiver<Infallible>,
    /// The end: what is not sent by then is dropped.
    end: Option<Instant>,
}

/// Why the collector did not take it.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("cannot connect: {0}")]
    Connect(#[from] std::io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error("it took longer than {PATIENCE:?}")]
    Timeout,
}

impl Sending {
    pub fn new(spec: &ObserveSpec, tally: Arc<SpanTally>, ending: oneshot::Receiver<Infallible>) -> Self {
        // Arbitrary: a collector that is away is worth a line now and then.
        let log = RateCap::new(1, Duration::from_secs(60));
        Self { collector: spec.otlp.clone(), service: spec.service.clone(), tally, log, ending, end: None }
    }

    /// Until nobody can put anything into the queue any more, or it is time to end; what is in it then is sent.
    pub async fn run(mut self, mut waiting: Receiver<Vec<Span>>) {
        while let Some(mut spans) = self.next(&mut waiting).await {
            let until = Instant::now() + PERIOD;
            while spans.len() < MOST {
                match timeout_at(until, self.next(&mut waiting)).await {
                    Ok(Some(more)) => spans.extend(more),
                    Ok(None) | Err(_) => break,
                }
            }
            self.send(spans).await;
        }
    }

    /// Cancel-safe.
    async fn next(&mut self, waiting: &mut Receiver<Vec<Span>>) -> Option<Vec<Span>> {
        if self.end.is_none() {
            tokio::select! {
                // Both are cancel-safe.
                spans = waiting.recv() => return spans,
                _ = &mut self.ending => {}
            }
            self.end = Some(Instant::now() + PATIENCE);
            waiting.close();
        }
        // What was in it; then nothing.
        waiting.recv().await
    }

    async fn send(&mut self, spans: Vec<Span>) {
        let count = spans.len();
        let body = ExportRequest::new(&self.service, spans).encode_to_vec();
        let late = Instant::now() + PATIENCE;
        match timeout_at(self.end.map_or(late, |end| end.min(late)), self.post(body.into())).await.unwrap_or(Err(Failed::Timeout)) {
            Ok(()) => self.tally.took(count),
            Err(failed) => {
                self.tally.lost(count);
                if self.log.admit(std::time::Instant::now()).is_some() {
                    tracing::warn!("spans are dropped, the collector at {} does not take them: {failed}", self.collector);
                }
            }
        }
    }

    async fn post(&self, body: Bytes) -> Result<(), Failed> {
        let Collector { host, port, path } = &self.collector;
        let stream = TcpStream::connect((host.as_str(), *port)).await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let mut request = Request::post(path.as_str()).body(Full::new(body)).unwrap_or_default();
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("portcullis/", env!("CARGO_PKG_VERSION"))));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        // `config` has read it, so it is one.
        headers.extend(HeaderValue::try_from(self.collector.authority()).map(|host| (header::HOST, host)));
        // Cut off with the answer's head, which is all that is wanted.
        let mut driven = JoinSet::new();
        driven.spawn(connection);
        match sender.send_request(request).await?.status() {
            status if status.is_success() => Ok(()),
            status => Err(Failed::Status(status)),
        }
    }
}
