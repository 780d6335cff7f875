//! One request to the collector. A connection for each: there are few.

use crate::config::Collector;
use crate::wire::dial;
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Request, StatusCode};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::time::Duration;
use tokio::net::lookup_host;
use tokio::task::JoinSet;

/// For a request and its answer; and for all that is sent at the end.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// Why the collector did not take it.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    #[error("cannot connect: {0}")]
    Connect(#[from] std::io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error("it took longer than {PATIENCE:?}")]
    Timeout,
}

/// `path`: `/v1/traces` and its like.
pub(super) async fn post(collector: &Collector, path: &str, body: Bytes) -> Result<(), Failed> {
    let stream = dial(lookup_host((collector.host.as_str(), collector.port)).await?.collect()).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut request = Request::post(format!("{}{path}", collector.path)).body(Full::new(body)).unwrap_or_default();
    let headers = request.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(concat!("portcullis/", env!("CARGO_PKG_VERSION"))));
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    // `config` has read it, so it is one.
    headers.extend(HeaderValue::try_from(collector.authority()).map(|host| (header::HOST, host)));
    // Cut off with the answer's head, which is all that is wanted.
    let mut driven = JoinSet::new();
    driven.spawn(connection);
    match sender.send_request(request).await?.status() {
        status if status.is_success() => Ok(()),
        status => Err(Failed::Status(status)),
    }
}
