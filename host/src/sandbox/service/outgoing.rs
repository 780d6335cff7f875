//! `wasi:http/outgoing-handler`: requests to upstreams that were granted, by their names as hosts: `http://idp/token`. They go the way of plugins'
//! errands, whole and at most 1 MiB in each direction.

use super::Shared;
use crate::message::{RequestHead, Scheme};
use crate::sandbox::fields;
use crate::sandbox::imports::{Errand, ErrandError, Errands};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use std::future::Future;
use std::sync::Arc;
use tokio::sync::oneshot;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

const MOST_BODY: usize = 1 << 20;

/// What a guest may write to its answer in one go, and what waits there until it is taken, bytes.
const CHUNK: usize = 64 << 10;

pub(super) struct Outgoing {
    shared: Arc<Shared>,
    /// `None`: nothing can be sent from here.
    errands: Option<Errands>,
}

impl Outgoing {
    pub(super) fn new(shared: Arc<Shared>, errands: Option<Errands>) -> Self {
        Self { shared, errands }
    }
}

type Sending = Result<(http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl WasiHttpHooks for Outgoing {
    fn default_scheme(&mut self) -> Option<http::uri::Scheme> {
        Some(http::uri::Scheme::HTTP)
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _done: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sending> + Send> {
        let (parts, body) = request.into_parts();
        let errands = self.errands.clone();
        let begun = errand(&self.shared, &parts, options);
        Box::new(async move {
            let mut errand = begun?;
            let whole = Limited::new(body, MOST_BODY).collect().await.map_err(|_| Error::HttpRequestBodySize(None))?;
            errand.body = whole.to_bytes();
            let (answer, receiver) = oneshot::channel();
            let errands = errands.ok_or(Error::DestinationUnavailable)?;
            errands.send((errand, answer)).map_err(|_| Error::DestinationUnavailable)?;
            let reply = receiver.await.map_err(|_| Error::DestinationUnavailable)?.map_err(refused)?;
            let body = Full::new(reply.body).map_err(|never| match never {}).boxed_unsync();
            let mut response = http::Response::new(body);
            *response.status_mut() = reply.status;
            let shown = reply.headers.iter().filter(|(name, _)| !fields::is_hidden(name));
            response.headers_mut().extend(shown.map(|(name, value)| (name.clone(), value.clone())));
            let nothing: Box<dyn Future<Output = Result<(), Error>> + Send> = Box::new(async { Ok(()) });
            Ok((response, nothing))
        })
    }
}

/// Without its body yet.
fn errand(shared: &Shared, parts: &http::request::Parts, options: Option<RequestOptions>) -> Result<Errand, Error> {
    let upstream = parts.uri.host().ok_or(Error::HttpRequestUriInvalid)?;
    if !shared.http.contains(upstream) {
        return Err(Error::HttpRequestDenied);
    }
    let shown = parts.headers.iter().filter(|(name, _)| !fields::is_hidden(name));
    let head = RequestHead {
        method: fields::method(parts.method.as_str()).map_err(|_| Error::HttpRequestMethodInvalid)?,
        // What the server is spoken to with is the upstream's own affair.
        scheme: Scheme::Http,
        authority: fields::authority(upstream).map_err(|_| Error::HttpRequestUriInvalid)?,
        path: fields::path(parts.uri.path()).map_err(|_| Error::HttpRequestUriInvalid)?,
        query: parts.uri.query().map(fields::query).transpose().map_err(|_| Error::HttpRequestUriInvalid)?,
        headers: shown.map(|(name, value)| (name.clone(), value.clone())).collect(),
    };
    let timeout = options.and_then(|options| options.first_byte_timeout);
    Ok(Errand { upstream: upstream.to_owned(), head, body: Bytes::new(), timeout, most_body: MOST_BODY })
}

fn refused(error: ErrandError) -> Error {
    match error {
        ErrandError::Timeout => Error::HttpResponseTimeout,
        ErrandError::Failed(_) => Error::DestinationUnavailable,
        ErrandError::TooLarge => Error::HttpResponseBodySize(None),
    }
}
