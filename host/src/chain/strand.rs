//! A body that one link watches or transforms, piece by piece as it comes.
//!
//! Nothing is held back: what has come is shown at once, and what the link gives is passed on before more is asked for. A link
//! that faults breaks the body off, so that what got out cannot pass for the whole; under `open` the rest passes if it is still what it would have been
//! without the link.

use super::bodies::{Called, End, Flow, Hold, Output, PIECE, Part, Report, Way};
use super::{Edit, Fault, Link};
use crate::message::BodyError;
use crate::message::trace::Standing;
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Pieces smaller than this are shown together with what follows, if that is there.
const SMALL: usize = 4 << 10;

/// Parts smaller than this are joined: each would be a chunk or a frame of its own.
const JOINED: usize = 1 << 10;

/// Pieces that a link may swallow before others get their turn.
const SWALLOWED: u32 = 32;

/// Two kinds of taking part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Watch,
    Transform,
}

pub(super) struct Strand<H: Hold> {
    source: Flow,
    hold: H,
    way: Way,
    role: Role,
    link: Link,
    /// The call in the exchange's trace that all this belongs to.
    noted: Option<Standing>,
    report: Report,
    stage: Stage,
    /// What the link gave and nobody has taken yet.
    out: VecDeque<Bytes>,
    trailers: HeaderMap,
    /// The source has nothing more, and need not be asked.
    finished: bool,
    /// Read from the source and not shown yet.
    ahead: Option<Result<Frame<Bytes>, BodyError>>,
    /// So far all is as it would be without the link.
    unchanged: bool,
}

enum Stage {
    Reading,
    Watched(Called<()>, Bytes),
    Transformed(Called<Output>, Bytes),
    /// The link has more to give.
    More,
    Ending(Called<End>, Bytes),
    /// The link is out of it.
    Passing,
    Over,
}

impl<H: Hold> Strand<H> {
    /// `unchanged`: the link has edited nothing either.
    pub fn flow(
        source: Flow,
        (hold, link, noted): (H, Link, Option<Standing>),
        way: Way,
        role: Role,
        report: Report,
        unchanged: bool,
    ) -> Flow {
        let (stage, out, trailers) = (Stage::Reading, VecDeque::new(), HeaderMap::new());
        Box::pin(Self { source, hold, way, role, link, noted, report, stage, out, trailers, finished: false, ahead: None, unchanged })
    }

    /// The next piece, small ones together; `None`: the body is over, `trailers` are there.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let mut joined = BytesMut::new();
        loop {
            let frame = match self.ahead.take() {
                Some(frame) => Some(frame),
                None if self.finished => None,
                None => match self.source.as_mut().poll_frame(cx) {
                    Poll::Ready(frame) => frame,
                    Poll::Pending if joined.is_empty() => return Poll::Pending,
                    Poll::Pending => break,
                },
            };
            let data = match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => data,
                Some(Ok(Err(other))) => {
                    self.trailers = other.into_trailers().unwrap_or_default();
                    continue;
                }
                Some(Err(error)) if joined.is_empty() => return Poll::Ready(Some(Err(error))),
                Some(Err(error)) => {
                    self.ahead = Some(Err(error));
                    break;
                }
                None => {
                    self.finished = true;
                    if joined.is_empty() {
                        return Poll::Ready(None);
                    }
                    break;
                }
            };
            if data.len() > PIECE || (!joined.is_empty() && joined.len() + data.len() > PIECE) {
                return Poll::Ready(Some(Ok(self.split(joined, data))));
            }
            if joined.is_empty() && (data.len() >= SMALL || self.source.is_end_stream()) && !data.is_empty() {
                return Poll::Ready(Some(Ok(data)));
            }
            joined.extend_from_slice(&data);
            if joined.len() >= SMALL {
                break;
            }
        }
        Poll::Ready(Some(Ok(joined.freeze())))
    }

    /// The first piece of too much; the rest waits.
    fn split(&mut self, joined: BytesMut, mut data: Bytes) -> Bytes {
        let piece = if joined.is_empty() { data.split_to(PIECE) } else { joined.freeze() };
        self.ahead = Some(Ok(Frame::data(data)));
        piece
    }

    /// Whether all of the source has been read.
    fn is_read(&self) -> bool {
        self.ahead.is_none() && (self.finished || self.source.is_end_stream())
    }

    /// The link faulted with this in hand: what happens to the rest.
    fn faulted(&mut self, fault: &Fault, piece: Bytes) -> Result<(), BodyError> {
        (self.report)(&self.link, fault);
        self.over(Some(fault));
        if fault.open && self.unchanged {
            self.stage = Stage::Passing;
            self.out.extend(Some(piece).filter(|piece| !piece.is_empty()));
            return Ok(());
        }
        self.stage = Stage::Over;
        self.out.clear();
        Err(BodyError::Plugin(fault.cause.reason()))
    }

    /// The link has done its part.
    fn over(&mut self, fault: Option<&Fault>) {
        self.noted.take().iter().for_each(|noted| noted.end(fault.map(|fault| fault.cause.reason())));
    }

    fn ending(&mut self, piece: Bytes) {
        self.stage = Stage::Ending(self.hold.end(self.way, &self.trailers), piece);
    }

    /// What the link made of `piece`, in order, small parts together.
    fn give(&mut self, output: &Output, piece: &Bytes) {
        let all = match &output.parts[..] {
            [Part::Keep(range)] => range.len() == piece.len(),
            _ => output.parts.is_empty() && piece.is_empty(),
        };
        self.unchanged &= all && !output.more;
        let mut joined = BytesMut::new();
        let single = output.parts.len() == 1;
        for part in &output.parts {
            let bytes = match part {
                Part::Keep(range) => piece.slice(range.clone()),
                Part::Bytes(bytes) => bytes.clone(),
            };
            if bytes.len() < JOINED && !single {
                joined.extend_from_slice(&bytes);
                continue;
            }
            self.out.extend([joined.split().freeze(), bytes].into_iter().filter(|bytes| !bytes.is_empty()));
        }
        self.out.extend(Some(joined.freeze()).filter(|bytes| !bytes.is_empty()));
    }

    /// One step; `Ready` when there may be something in `out`, or all is over.
    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        match &mut self.stage {
            Stage::Reading => match ready!(self.poll_piece(cx)) {
                Some(Ok(piece)) if self.role == Role::Watch => self.stage = Stage::Watched(self.hold.watch(self.way, &piece), piece),
                Some(Ok(piece)) => self.stage = Stage::Transformed(self.hold.transform(self.way, &piece), piece),
                Some(Err(error)) => {
                    self.stage = Stage::Over;
                    return Poll::Ready(Err(error));
                }
                None => self.ending(Bytes::new()),
            },
            Stage::Watched(called, piece) => {
                let result = ready!(Pin::new(called).poll(cx));
                let piece = std::mem::take(piece);
                match result {
                    // The end is told before the last piece is out: after a stated length nobody would notice that the link broke the body off.
                    Ok(()) if self.is_read() => self.ending(piece),
                    Ok(()) => {
                        self.out.push_back(piece);
                        self.stage = Stage::Reading;
                    }
                    Err(fault) => self.faulted(&fault, piece)?,
                }
            }
            Stage::Transformed(called, piece) => {
                let result = ready!(Pin::new(called).poll(cx));
                let piece = std::mem::take(piece);
                match result {
                    Ok(output) => {
                        self.give(&output, &piece);
                        self.stage = if output.more { Stage::More } else { Stage::Reading };
                    }
                    Err(fault) => self.faulted(&fault, piece)?,
                }
            }
            Stage::More => self.stage = Stage::Transformed(self.hold.transform(self.way, &Bytes::new()), Bytes::new()),
            Stage::Ending(called, piece) => {
                let result = ready!(Pin::new(called).poll(cx));
                let piece = std::mem::take(piece);
                match result {
                    Ok(End { parts, edits }) => {
                        self.out.extend([piece].into_iter().chain(parts).filter(|bytes| !bytes.is_empty()));
                        self.edit_trailers(edits);
                        self.over(None);
                        self.stage = Stage::Over;
                    }
                    Err(fault) => self.faulted(&fault, piece)?,
                }
            }
            Stage::Passing => match ready!(self.poll_piece(cx)) {
                Some(Ok(piece)) => self.out.push_back(piece),
                Some(Err(error)) => {
                    self.stage = Stage::Over;
                    return Poll::Ready(Err(error));
                }
                None => self.stage = Stage::Over,
            },
            Stage::Over => {}
        }
        Poll::Ready(Ok(()))
    }

    fn edit_trailers(&mut self, edits: Vec<Edit>) {
        for edit in edits {
            match edit {
                Edit::SetHeader(name, value) => drop(self.trailers.insert(name, value)),
                Edit::AppendHeader(name, value) => drop(self.trailers.append(name, value)),
                Edit::RemoveHeader(name) => drop(self.trailers.remove(name)),
                // Come too late for anybody; whoever made the edits has made a fault of them.
                _ => {}
            }
        }
    }
}

impl<H: Hold> Drop for Strand<H> {
    fn drop(&mut self) {
        self.over(None);
    }
}

impl<H: Hold> Body for Strand<H> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let mut swallowed = 0;
        loop {
            if let Some(bytes) = this.out.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if matches!(this.stage, Stage::Over) {
                let trailers = std::mem::take(&mut this.trailers);
                return Poll::Ready((!trailers.is_empty()).then(|| Ok(Frame::trailers(trailers))));
            }
            if let Err(error) = ready!(this.poll_step(cx)) {
                return Poll::Ready(Some(Err(error)));
            }
            swallowed += u32::from(matches!(this.stage, Stage::Reading) && this.out.is_empty());
            if swallowed > SWALLOWED {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.stage, Stage::Over) && self.out.is_empty() && self.trailers.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let (out, ahead) = (self.out.iter().map(Bytes::len).sum::<usize>(), self.ahead.as_ref());
        let ahead = ahead.and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
        let known = (out + ahead) as u64;
        match (&self.stage, self.role) {
            (Stage::Over, _) if self.trailers.is_empty() => SizeHint::with_exact(out as u64),
            (Stage::Reading | Stage::Passing, Role::Watch) => match self.source.size_hint().exact() {
                Some(rest) => SizeHint::with_exact(rest + known),
                None => SizeHint::new(),
            },
            _ => SizeHint::new(),
        }
    }
}

#[cfg(test)]
mod tests;
