//! The request's way out: takes its body piece by piece and writes it to a connection as fast as that takes it.

use super::channel::Channel;
use crate::message::BodyError;
use crate::wire::{Coding, Encoder, WrongLength};
use bytes::Bytes;
use http::Method;
use http_body::{Body, Frame};
use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

pub(super) struct Pump<B> {
    /// `None` once all of it has been taken.
    body: Option<B>,
    encoder: Encoder,
    /// All of it is encoded.
    queued: bool,
    /// A piece of the body has been taken: it cannot be sent a second time.
    touched: bool,
    /// What was taken, where it may have to be sent a second time. `None`: nothing is kept.
    kept: Option<Rc<RefCell<Kept>>>,
    /// Pieces of it that went out since the last beginning.
    at: usize,
}

/// The body as far as it was taken, for a server that may say that it has not looked at the request, and for a second one that is asked as well.
#[derive(Default)]
pub(super) struct Kept {
    pieces: Vec<Piece>,
    bytes: usize,
    /// There is nothing more to come.
    whole: bool,
}

#[derive(Clone)]
enum Piece {
    Data(Bytes),
    Trailers(http::HeaderMap),
}

/// What is kept of a body at most: a message of most gRPC calls. Beyond, the request has one try.
pub(super) const MOST_KEPT: usize = 64 << 10;

/// Why the rest of a request cannot be sent.
pub(super) enum Stuck {
    Client(BodyError),
    /// The connection broke. The server may have answered before that.
    Origin(io::Error),
}

pub(super) const WRONG_LENGTH: &str = "the body's length differs from its Content-Length";
/// Pieces are gathered up to here before they are written.
const BATCH: usize = 16 << 10;

impl<B> Pump<B>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin,
{
    pub fn new(body: B, coding: Coding) -> Self {
        let body = (!matches!(coding, Coding::None | Coding::Length(0))).then_some(body);
        Self { queued: body.is_none(), body, encoder: Encoder::new(coding), touched: false, kept: None, at: 0 }
    }

    /// Whether nothing is to come any more.
    pub fn is_over(&self) -> bool {
        self.is_caught_up() && self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    /// Whether all that is kept went out.
    fn is_caught_up(&self) -> bool {
        self.kept.as_ref().is_none_or(|kept| self.at == kept.borrow().pieces.len())
    }

    /// From now on what is taken is kept, as far as there is room.
    pub fn keep(&mut self) -> Option<Rc<RefCell<Kept>>> {
        if self.body.is_some() && !self.touched {
            self.kept.get_or_insert_default();
        }
        self.kept.clone()
    }

    /// Nothing more is kept; what has to be sent again is still sent.
    pub fn forget(&mut self) {
        if self.kept.is_some() && self.is_caught_up() {
            (self.kept, self.touched) = (None, true);
        }
    }

    /// What was kept is sent again. `false`: nothing was.
    pub fn rewind(&mut self, coding: Coding) -> bool {
        if self.kept.is_some() {
            (self.at, self.queued) = (0, false);
            self.encoder = Encoder::new(coding);
        }
        self.kept.is_some()
    }

    /// The next piece, unencoded.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(frame) = self.kept.as_ref().and_then(|kept| kept.borrow().piece(self.at)) {
            self.at += 1;
            return Poll::Ready(Some(Ok(frame)));
        }
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if frame.is_none() {
            self.body = None;
        }
        let over = self.body.as_ref().is_none_or(Body::is_end_stream);
        let room = match (&self.kept, &frame) {
            (Some(kept), None) => kept.borrow_mut().end(),
            (None, None) => true,
            (Some(kept), Some(Ok(frame))) => kept.borrow_mut().take(frame, over),
            (None, _) | (_, Some(Err(_))) => false,
        };
        match &self.kept {
            Some(kept) if room => self.at = kept.borrow().pieces.len(),
            _ if room => {}
            _ => (self.kept, self.touched) = (None, true),
        }
        Poll::Ready(frame)
    }

    /// For a request that is sent beside another: without a body, or with what is `kept` of the other's.
    pub fn beside(kept: Option<Rc<RefCell<Kept>>>, coding: Coding) -> Self {
        Self { queued: kept.is_none(), body: None, encoder: Encoder::new(coding), touched: false, kept, at: 0 }
    }

    pub fn is_touched(&self) -> bool {
        self.touched
    }

    /// Ready once everything is written. The head waits in `channel.out` at the first call and leaves with the body's first pieces, if
    /// those are there.
    pub fn poll(&mut self, channel: &mut Channel, cx: &mut Context<'_>) -> Poll<Result<(), Stuck>> {
        loop {
            let starved = self.fill(channel, cx)?;
            ready!(channel.poll_flush(cx)).map_err(Stuck::Origin)?;
            match self.queued {
                true => return Poll::Ready(Ok(())),
                false if starved => return Poll::Pending,
                false => {}
            }
        }
    }

    /// Queues pieces until there are enough for one write; `true`: there are no more for now.
    fn fill(&mut self, channel: &mut Channel, cx: &mut Context<'_>) -> Result<bool, Stuck> {
        while channel.out.len() < BATCH && !self.queued {
            match self.poll_next(cx) {
                Poll::Pending => return Ok(true),
                Poll::Ready(None) => self.end(channel, None)?,
                Poll::Ready(Some(frame)) => self.queue(channel, frame.map_err(Stuck::Client)?)?,
            }
        }
        Ok(false)
    }

    fn queue(&mut self, channel: &mut Channel, frame: Frame<Bytes>) -> Result<(), Stuck> {
        match frame.into_data() {
            Ok(data) => {
                self.encoder.data(data, &mut channel.out)?;
                // Asking now lets the end leave with the last piece.
                if self.is_over() { self.end(channel, None) } else { Ok(()) }
            }
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => self.end(channel, Some(&trailers)),
                Err(_) => Ok(()),
            },
        }
    }

    fn end(&mut self, channel: &mut Channel, trailers: Option<&http::HeaderMap>) -> Result<(), Stuck> {
        (self.body, self.queued) = (None, true);
        self.encoder.end(trailers, &mut channel.out)?;
        Ok(())
    }
}

impl From<WrongLength> for Stuck {
    fn from(_: WrongLength) -> Self {
        Self::Client(BodyError::ClientMalformed(WRONG_LENGTH))
    }
}

impl Kept {
    fn piece(&self, at: usize) -> Option<Frame<Bytes>> {
        Some(match self.pieces.get(at)? {
            Piece::Data(data) => Frame::data(data.clone()),
            Piece::Trailers(trailers) => Frame::trailers(trailers.clone()),
        })
    }

    /// The body is all here, for another to send.
    pub fn whole(&self) -> Option<Rc<RefCell<Self>>> {
        let copy = || Self { pieces: self.pieces.clone(), bytes: self.bytes, whole: true };
        self.whole.then(|| Rc::new(RefCell::new(copy())))
    }

    fn end(&mut self) -> bool {
        self.whole = true;
        true
    }

    /// Whether there is room for it too. `over`: nothing follows.
    fn take(&mut self, frame: &Frame<Bytes>, over: bool) -> bool {
        if let Some(data) = frame.data_ref() {
            self.bytes += data.len();
            self.pieces.push(Piece::Data(data.clone()));
        } else if let Some(trailers) = frame.trailers_ref() {
            self.pieces.push(Piece::Trailers(trailers.clone()));
        }
        let room = self.bytes <= MOST_KEPT;
        self.whole = (over || frame.is_trailers()) && room;
        if !room {
            self.pieces.clear();
        }
        room
    }
}

/// How the request's body is framed on its way out (RFC 9112, section 6.1; RFC 9110, section 8.6 on requests without one).
pub(super) fn coding<B: Body>(method: &Method, body: &B) -> Coding {
    let length = if body.is_end_stream() { Some(0) } else { body.size_hint().exact() };
    match length {
        Some(0) if matches!(*method, Method::POST | Method::PUT | Method::PATCH) => Coding::Length(0),
        Some(0) => Coding::None,
        Some(length) => Coding::Length(length),
        None => Coding::Chunked,
    }
}
