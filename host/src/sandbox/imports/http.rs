//! `http-client`: requests to upstreams that were granted. This room knows no sockets: it hands errands out, and whoever holds the other
//! end of [`Errands`] runs them on the worker's upstreams.

use super::Capability;
use crate::message::trace::TRACEPARENT;
use crate::message::{Reply, RequestHead, Scheme};
use crate::sandbox::fault::Stop;
use crate::sandbox::fields;
use crate::sandbox::lift::BadOutput;
use crate::sandbox::offer::Offer;
use crate::sandbox::state::{Cx, State};
use ::http::HeaderMap;
use bytes::Bytes;
use bytestring::ByteString;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Lower};

/// Requests in one call.
const MOST: usize = 16;
const MOST_BODY: usize = 1 << 20;

/// Where a worker's guests hand in what they want to know from outside.
pub type Errands = mpsc::UnboundedSender<(Errand, Answering)>;

/// One request of a guest's.
pub struct Errand {
    pub upstream: String,
    pub head: RequestHead,
    pub body: Bytes,
    /// `None`: as long as the guest's call may take; then it stops listening.
    pub timeout: Option<Duration>,
    /// The answer's body is at most this long.
    pub most_body: usize,
}

/// Where its answer goes; closed: nobody waits for it any more.
pub type Answering = oneshot::Sender<Result<Reply, ErrandError>>;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrandError {
    Timeout,
    Failed(String),
    TooLarge,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct Request {
    upstream: Box<str>,
    method: Box<str>,
    authority: Box<str>,
    path: Box<str>,
    headers: Vec<HeaderIn>,
    body: Vec<u8>,
    timeout: Option<u32>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
struct HeaderIn {
    name: Box<str>,
    value: Vec<u8>,
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct HeaderOut {
    name: String,
    value: Vec<u8>,
}

#[derive(ComponentType, Lower)]
#[component(record)]
struct Response {
    status: u16,
    headers: Vec<HeaderOut>,
    body: Vec<u8>,
}

#[derive(ComponentType, Lower)]
#[component(variant)]
enum Error {
    #[component(name = "denied")]
    Denied,
    #[component(name = "invalid")]
    Invalid(String),
    #[component(name = "timeout")]
    Timeout,
    #[component(name = "failed")]
    Failed(String),
    #[component(name = "too-large")]
    TooLarge,
}

type Answers = (Vec<Result<Response, Error>>,);
/// What is on its way, or why it is not.
type Sent = Result<oneshot::Receiver<Result<Reply, ErrandError>>, Error>;

pub(super) fn link(offer: &mut Offer<'_>, waits: bool) -> wasmtime::Result<()> {
    let mut client = offer.capability(Capability::HttpClient)?;
    if waits {
        return client.waiting_func("send", |cx: StoreContextMut<'_, State>, (requests,): (Vec<Request>,)| {
            let sent = send(&cx, requests);
            async move { Ok(answers(sent?).await) }
        });
    }
    client.func("send", |_, (_,): (Vec<Request>,)| Err::<Answers, _>(Stop::Wait.into()))
}

fn send(cx: &Cx<'_>, requests: Vec<Request>) -> wasmtime::Result<Vec<Sent>> {
    if requests.len() > MOST {
        return Err(Stop::TooMany("requests").into());
    }
    let State { backing, errands, trace, .. } = cx.data();
    let granted = &backing.rights.http;
    let one = |request: Request| {
        if !granted.contains(&*request.upstream) {
            return Err(Error::Denied);
        }
        let Some(errands) = errands else { return Err(Error::Failed("nothing can be sent from here".to_owned())) };
        let (answer, receiver) = oneshot::channel();
        let mut errand = request.errand()?;
        // Unless the guest has said itself where it stands.
        if let (Some(trace), false) = (trace, errand.head.headers.contains_key(TRACEPARENT)) {
            trace.context().write(&mut errand.head.headers);
        }
        errands.send((errand, answer)).map_err(|_| Error::Failed("the proxy is stopping".to_owned()))?;
        Ok(receiver)
    };
    Ok(requests.into_iter().map(one).collect())
}

async fn answers(sent: Vec<Sent>) -> Answers {
    let mut answers = Vec::with_capacity(sent.len());
    // They run at once; it does not matter in which order they are looked at.
    for one in sent {
        answers.push(match one {
            Ok(receiver) => match receiver.await {
                Ok(Ok(reply)) => Ok(Response::from(reply)),
                Ok(Err(error)) => Err(error.into()),
                Err(_) => Err(Error::Failed("the proxy is stopping".to_owned())),
            },
            Err(error) => Err(error),
        });
    }
    (answers,)
}

impl Request {
    fn errand(self) -> Result<Errand, Error> {
        let Self { upstream, method, authority, path, headers, body, timeout } = self;
        let invalid = |wrong: BadOutput| Error::Invalid(wrong.to_string());
        if body.len() > MOST_BODY {
            return Err(Error::Invalid(format!("a body of {} bytes, more than 1 MiB", body.len())));
        }
        let (path, query) = path.split_once('?').map_or((&*path, None), |(path, query)| (path, Some(query)));
        let query = query.map(fields::query).transpose().map_err(invalid)?;
        let authority: ByteString =
            if authority.is_empty() { (&*upstream).into() } else { fields::authority(&authority).map_err(invalid)? };
        let head = RequestHead {
            method: fields::method(&method).map_err(invalid)?,
            // What the server is spoken to with is the upstream's own affair.
            scheme: Scheme::Http,
            authority,
            path: fields::path(path).map_err(invalid)?,
            query,
            headers: lift(&headers).map_err(invalid)?,
        };
        let timeout = timeout.map(|millis| Duration::from_millis(millis.into()));
        Ok(Errand { upstream: upstream.into(), head, body: body.into(), timeout, most_body: MOST_BODY })
    }
}

fn lift(headers: &[HeaderIn]) -> Result<HeaderMap, BadOutput> {
    let mut map = HeaderMap::new();
    for header in headers {
        map.append(fields::name(header.name.as_bytes())?, fields::value(&header.value)?);
    }
    Ok(map)
}

impl From<Reply> for Response {
    fn from(reply: Reply) -> Self {
        let shown = reply.headers.iter().filter(|(name, _)| !fields::is_hidden(name));
        let headers = shown.map(|(name, value)| HeaderOut { name: name.as_str().to_owned(), value: value.as_bytes().to_vec() }).collect();
        Self { status: reply.status.as_u16(), headers, body: reply.body.to_vec() }
    }
}

impl From<ErrandError> for Error {
    fn from(error: ErrandError) -> Self {
        match error {
            ErrandError::Timeout => Self::Timeout,
            ErrandError::Failed(why) => Self::Failed(why),
            ErrandError::TooLarge => Self::TooLarge,
        }
    }
}
