//! Going out: picks a server, takes a pooled connection or makes one, sends the request and hands back the response as it comes.
//!
//! One set per worker and snapshot: nothing here is shared between threads, so there are no locks. A request is driven by whoever
//! polls it: no task, no channel. Knows nothing of routes, links or statuses.

mod body;
mod error;

pub use body::Body;
pub use error::{Failed, SendError};

use crate::config::{Limits, UpstreamName, UpstreamSpec};
use crate::message::{BodyError, RequestHead, ResponseHead, Switched};
use bytes::Bytes;
use http::HeaderValue;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use tokio::time::Instant;

/// All upstreams of a snapshot, as one worker knows them.
pub struct Upstreams {}

/// A request on its way out.
pub struct Outgoing<'a, B> {
    /// As the chain left it; hop-by-hop fields are gone.
    pub head: &'a RequestHead,
    pub body: B,
    /// The `Upgrade` field to send along with `Connection: upgrade`.
    pub upgrade: Option<HeaderValue>,
    pub times: Times,
}

/// How long an origin may take.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// From the request's end to the response head.
    pub response: Duration,
    /// Between two pieces of the response body, and for taking a piece of the request body.
    pub idle: Duration,
    /// When the whole exchange must be over.
    pub total: Option<Instant>,
}

/// The response to a request.
pub struct Answered<B> {
    /// Framing fields are gone (`Content-Length` stays where it only describes: HEAD, 304); hop-by-hop fields are still there.
    pub head: ResponseHead,
    pub content: Content<B>,
    pub attempt: Attempt,
}

/// What follows a response head.
pub enum Content<B> {
    Body(Body<B>),
    /// After 101: the connection speaks another protocol now.
    Switched(Switched),
}

/// What was tried, for the log.
#[derive(Debug, Clone, Default)]
pub struct Attempt {
    /// `host:port` of the last server tried.
    pub server: Option<Rc<str>>,
    /// How many times a server was tried; 1 is the usual.
    pub attempts: u32,
    /// The connection came from the pool.
    pub reused: bool,
    /// For making the connection; zero if it came from the pool.
    pub connect: Duration,
    /// From the call to the response head.
    pub first_byte: Duration,
}

impl Upstreams {
    /// For one worker; `spec`s and `limits` of the snapshot.
    pub fn new(_specs: &BTreeMap<UpstreamName, UpstreamSpec>, _limits: &Limits) -> Rc<Self> {
        unimplemented!("step 0")
    }

    /// For [`Self::send`]; look it up once per snapshot, not per request.
    pub fn index(&self, _name: &str) -> Option<usize> {
        unimplemented!("step 0")
    }

    pub fn name(&self, _upstream: usize) -> Option<&Rc<str>> {
        unimplemented!("step 0")
    }

    /// Sends a request to a server of the upstream. Dropping the future, or the body it led to, closes the connection: the origin
    /// learns that nobody waits any more.
    ///
    /// # Errors
    /// If there is no response head; a body that fails later says so itself.
    pub async fn send<B>(self: &Rc<Self>, _upstream: usize, _outgoing: Outgoing<'_, B>) -> Result<Answered<B>, Failed>
    where
        B: http_body::Body<Data = Bytes, Error = BodyError> + Unpin,
    {
        unimplemented!("step 0")
    }
}
