//! What filters do with bodies, and how a link comes to have its hands on one. The pieces themselves are passed on in `strand`.

use super::{Decision, Edit, Fault, Link, Verdict};
use crate::message::{BodyError, Exchange, RequestHead, ResponseHead};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use smallvec::SmallVec;
use std::future::poll_fn;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

/// A body on its way, whoever had it before.
pub type Flow = Pin<Box<dyn Body<Data = Bytes, Error = BodyError>>>;

/// Hears of faults that happen when the walk is over.
pub type Report = Rc<dyn Fn(&Link, &Fault)>;

/// Which body of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Request,
    Response,
}

/// What a link wants with one body (`wit/types.wit`, `body-want`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    Pass,
    Watch,
    Transform,
    /// At most this many bytes.
    Buffer(usize),
}

/// What a link says when a body begins.
#[derive(Debug)]
pub struct Start {
    pub want: Want,
    pub edits: Vec<Edit>,
}

/// A part of what goes on instead of a piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Of the piece in hand; within it, behind those before.
    Keep(Range<usize>),
    Bytes(Bytes),
}

/// What a link made of a piece.
#[derive(Debug, Default)]
pub struct Output {
    pub parts: SmallVec<[Part; 2]>,
    /// There is more of it now.
    pub more: bool,
}

/// What a link adds at a body's end.
#[derive(Debug, Default)]
pub struct End {
    pub parts: Vec<Bytes>,
    /// Of the trailers.
    pub edits: Vec<Edit>,
}

/// What a link decides about a body that it has seen whole.
#[derive(Debug)]
pub struct Judged {
    pub decision: Decision,
    /// `None`: as it came.
    pub body: Option<Bytes>,
}

/// What a filter answers: mostly at once; later, if it may wait.
pub enum Called<T> {
    /// `None`: told.
    Now(Option<Result<T, Fault>>),
    Later(Pin<Box<dyn Future<Output = Result<T, Fault>>>>),
}

impl<T> Called<T> {
    pub const fn now(result: Result<T, Fault>) -> Self {
        Self::Now(Some(result))
    }
}

// Nothing in it is pinned but what is in a box.
impl<T> Unpin for Called<T> {}

impl<T> Future for Called<T> {
    type Output = Result<T, Fault>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, Fault>> {
        match &mut *self {
            Self::Now(told) => told.take().map_or(Poll::Pending, Poll::Ready),
            Self::Later(later) => later.as_mut().poll(cx),
        }
    }
}

/// One exchange's place in a filter that looks at bodies: whatever is called through it, and through its clones, is called in the same guest. What
/// that keeps for the exchange is released with the last clone.
pub trait Hold: Clone + Unpin + 'static {
    /// Whether the filter takes part in requests' heads, request bodies, responses' heads and response bodies.
    fn phases(&self) -> HoldPhases;

    fn on_request(&self, exchange: &Exchange, head: &RequestHead) -> Called<Decision>;
    fn on_response(&self, exchange: &Exchange, request: &RequestHead, head: &ResponseHead) -> Called<Decision>;
    /// The body is about to begin; `length`, if it is known.
    fn begin_request(&self, exchange: &Exchange, head: &RequestHead, length: Option<u64>) -> Called<Start>;
    fn begin_response(&self, exchange: &Exchange, request: &RequestHead, head: &ResponseHead, length: Option<u64>) -> Called<Start>;
    /// At most [`PIECE`] bytes, as all pieces.
    fn watch(&self, way: Way, piece: &Bytes) -> Called<()>;
    fn transform(&self, way: Way, piece: &Bytes) -> Called<Output>;
    fn end(&self, way: Way, trailers: &HeaderMap) -> Called<End>;
    fn whole(&self, way: Way, bytes: &Bytes, trailers: &HeaderMap) -> Called<Judged>;

    /// The fault for a decision that names an upstream which does not exist.
    fn unknown_upstream(&self, name: &str) -> Fault;
}

/// What a filter takes part in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HoldPhases {
    pub request: bool,
    pub request_body: bool,
    pub response: bool,
    pub response_body: bool,
}

/// Bytes that a filter is given at once: as much as a guest that compresses can take within its CPU limit.
pub const PIECE: usize = 32 << 10;

/// Whoever has the body of a message while links look at its head.
pub trait Carry {
    /// What is known of the body before it is read; `None`: there is none to look at.
    fn facts(&self) -> Option<Facts>;
    /// Takes it away; what is left is empty.
    fn take(&mut self) -> Flow;
    fn put(&mut self, flow: Flow);
    /// Of a body that is not sent but described: it would be another one than the head says.
    fn undescribe(&mut self);
    fn report(&self) -> Report;
    /// What the operator lets a link buffer, bytes.
    fn room(&self) -> Room;
}

/// What is known of a body before it is read.
#[derive(Debug, Clone, Copy)]
pub struct Facts {
    pub length: Option<u64>,
    /// It will not be sent: of an answer to HEAD.
    pub described: bool,
}

/// How much may be buffered.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Of one body.
    pub each: usize,
    /// Of all that the process buffers.
    pub all: usize,
}

/// Why a body is not there as a whole.
#[derive(Debug)]
pub enum Ungathered {
    /// It is larger than the link wants, or may have.
    TooLarge,
    /// Together with all others that are being buffered.
    NoRoom,
    Broken(BodyError),
}

/// A body that is there as a whole.
pub(super) struct Gathered {
    pub bytes: Bytes,
    pub trailers: HeaderMap,
}

/// Reads all of it, if it is no more than `most`.
pub(super) async fn gather(mut flow: Flow, most: usize, room: Room) -> Result<Gathered, Ungathered> {
    let most = most.min(room.each);
    let hint = flow.size_hint();
    if hint.lower() > most as u64 {
        return Err(Ungathered::TooLarge);
    }
    let mut store = Stored { bytes: BytesMut::new(), share: Share::default() };
    let mut trailers = HeaderMap::new();
    if let Some(length) = hint.exact().and_then(|length| usize::try_from(length).ok()) {
        store.charge(length, room.all)?;
        store.bytes.reserve(length);
    }
    while let Some(frame) = poll_fn(|cx| flow.as_mut().poll_frame(cx)).await {
        match frame.map_err(Ungathered::Broken)?.into_data() {
            Ok(data) if data.len() > most - store.bytes.len() => return Err(Ungathered::TooLarge),
            Ok(data) => {
                store.charge(store.bytes.len() + data.len(), room.all)?;
                store.bytes.extend_from_slice(&data);
            }
            Err(other) => trailers = other.into_trailers().unwrap_or_default(),
        }
    }
    // The origin's connection, or the client's buffers, are not held while the link thinks.
    drop(flow);
    Ok(Gathered { bytes: Bytes::from_owner(store), trailers })
}

/// What all buffered bodies of the process hold together, bytes.
static HELD: AtomicUsize = AtomicUsize::new(0);

/// Of what all buffered bodies hold together; given back when dropped.
#[derive(Debug, Default)]
pub struct Share(usize);

impl Share {
    /// To so many bytes, unless it is larger already. `false`: all together would be more than `all`.
    #[must_use]
    pub fn grow(&mut self, length: usize, all: usize) -> bool {
        let Some(more) = length.checked_sub(self.0).filter(|more| *more > 0) else { return true };
        // Relaxed: a sum, nothing is published by it.
        let before = HELD.fetch_add(more, Ordering::Relaxed);
        self.0 += more;
        before.saturating_add(more) <= all
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        HELD.fetch_sub(self.0, Ordering::Relaxed);
    }
}

/// A buffered body; gives back its share when nobody looks at it any more.
struct Stored {
    bytes: BytesMut,
    share: Share,
}

impl Stored {
    fn charge(&mut self, length: usize, all: usize) -> Result<(), Ungathered> {
        if self.share.grow(length, all) { Ok(()) } else { Err(Ungathered::NoRoom) }
    }
}

impl AsRef<[u8]> for Stored {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A body that is there as a whole, on its way again.
pub fn entire(bytes: Bytes, trailers: HeaderMap) -> Flow {
    Box::pin(Entire { bytes, trailers: Some(trailers).filter(|trailers| !trailers.is_empty()) })
}

struct Entire {
    bytes: Bytes,
    trailers: Option<HeaderMap>,
}

impl Body for Entire {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if !self.bytes.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.bytes)))));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let length = self.bytes.len() as u64;
        match &self.trailers {
            None => SizeHint::with_exact(length),
            // Trailers have no room beside a stated length.
            Some(_) => {
                let mut hint = SizeHint::new();
                hint.set_lower(length);
                hint
            }
        }
    }
}

/// For filters that have nothing to do with bodies.
#[derive(Debug, Clone, Copy)]
pub enum NoHold {}

impl Hold for NoHold {
    fn phases(&self) -> HoldPhases {
        match *self {}
    }

    fn on_request(&self, _: &Exchange, _: &RequestHead) -> Called<Decision> {
        match *self {}
    }

    fn on_response(&self, _: &Exchange, _: &RequestHead, _: &ResponseHead) -> Called<Decision> {
        match *self {}
    }

    fn begin_request(&self, _: &Exchange, _: &RequestHead, _: Option<u64>) -> Called<Start> {
        match *self {}
    }

    fn begin_response(&self, _: &Exchange, _: &RequestHead, _: &ResponseHead, _: Option<u64>) -> Called<Start> {
        match *self {}
    }

    fn watch(&self, _: Way, _: &Bytes) -> Called<()> {
        match *self {}
    }

    fn transform(&self, _: Way, _: &Bytes) -> Called<Output> {
        match *self {}
    }

    fn end(&self, _: Way, _: &HeaderMap) -> Called<End> {
        match *self {}
    }

    fn whole(&self, _: Way, _: &Bytes, _: &HeaderMap) -> Called<Judged> {
        match *self {}
    }

    fn unknown_upstream(&self, _: &str) -> Fault {
        match *self {}
    }
}

/// For walks of which no link looks at a body, as in benchmarks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bodiless;

impl Carry for Bodiless {
    fn facts(&self) -> Option<Facts> {
        None
    }

    fn take(&mut self) -> Flow {
        entire(Bytes::new(), HeaderMap::new())
    }

    fn put(&mut self, _: Flow) {}

    fn undescribe(&mut self) {}

    fn report(&self) -> Report {
        Rc::new(|_, _| {})
    }

    fn room(&self) -> Room {
        Room { each: 0, all: 0 }
    }
}

/// What of a verdict leads elsewhere than to the next link.
pub(super) const fn goes_on(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Next)
}
