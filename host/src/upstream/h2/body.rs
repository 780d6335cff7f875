//! The response body as it comes on a stream, while the rest of the request body goes out.

use super::stream::{Expired, Stream};
use crate::message::BodyError;
use crate::wire::retain_trailers;
use bytes::Bytes;
use http_body::{Body, Frame};
use std::task::{Context, Poll};

/// A response body that begins.
pub(in crate::upstream) struct Begun<B> {
    /// Came together with the head.
    pub first: Bytes,
    /// `None`: that was all.
    pub rest: Option<Box<Stream<B>>>,
}

/// Takes what came with the head; if that is all, the stream is let go at once.
pub(super) fn begin<B>(mut stream: Box<Stream<B>>, length: Option<u64>, cx: &mut Context<'_>) -> Begun<B>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin,
{
    if length == Some(0) && stream.is_over() {
        stream.rest();
        return Begun { first: Bytes::new(), rest: None };
    }
    let first = match stream.poll_data(cx) {
        Poll::Ready(Some(Ok(data))) => data,
        // Whatever it is, it is found again.
        Poll::Ready(_) | Poll::Pending => Bytes::new(),
    };
    if !first.is_empty() && stream.is_over() {
        stream.rest();
        return Begun { first, rest: None };
    }
    Begun { first, rest: Some(stream) }
}

impl<B> Stream<B>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin,
{
    /// Whether nothing comes any more.
    pub fn is_over(&self) -> bool {
        self.incoming.as_ref().is_none_or(h2::RecvStream::is_end_stream)
    }

    /// Bytes to come, if that is known.
    pub fn remaining(&self) -> Option<u64> {
        self.left
    }

    /// What comes next; `None`: that was all.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Poll::Ready(Err(error)) = self.upload.poll(&mut self.out, cx) {
            return Poll::Ready(Some(Err(error)));
        }
        match self.poll_data(cx) {
            Poll::Ready(Some(Ok(data))) => return Poll::Ready(Some(Ok(Frame::data(data)))),
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
            Poll::Ready(None) => match self.incoming.as_mut().map(|incoming| incoming.poll_trailers(cx)) {
                Some(Poll::Ready(Ok(Some(mut trailers)))) => {
                    retain_trailers(&mut trailers);
                    return Poll::Ready((!trailers.is_empty()).then(|| Ok(Frame::trailers(trailers))));
                }
                Some(Poll::Ready(Err(error))) => return Poll::Ready(Some(Err(gone(error)))),
                Some(Poll::Ready(Ok(None))) | None => return Poll::Ready(None),
                Some(Poll::Pending) => {}
            },
            Poll::Pending => {}
        }
        let late = |expired| if expired == Expired::Exchange { BodyError::Expired } else { BodyError::OriginStalled };
        self.poll_deadline(cx).map(|expired| Some(Err(late(expired))))
    }

    /// The next piece that is not empty. Asking for it says that the one before has been taken.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let taken = std::mem::take(&mut self.taken);
        if taken > 0 {
            // An error means that the stream is over, and its room was given back with it.
            let _ = incoming.flow_control().release_capacity(taken);
        }
        loop {
            match incoming.poll_data(cx) {
                Poll::Ready(Some(Ok(data))) if data.is_empty() => {}
                Poll::Ready(Some(Ok(data))) => {
                    (self.taken, self.pieces) = (data.len(), self.pieces.wrapping_add(1));
                    self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
                    return Poll::Ready(Some(Ok(data)));
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(gone(error)))),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

fn gone(error: h2::Error) -> BodyError {
    if error.is_library() { BodyError::OriginMalformed("it breaks HTTP/2") } else { BodyError::OriginGone(Some(error.into())) }
}
