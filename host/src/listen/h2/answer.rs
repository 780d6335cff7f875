//! An answer on its way out: the head, and the body with back-pressure.
//!
//! A client may hold any number of responses with one small window, and `h2` waits for as long as the connection lives. So whoever
//! takes nothing for as long as bodies may pause loses the stream.

use super::reply::Reply;
use crate::message::BodyError;
use crate::wire::{Deadline, date};
use bytes::Bytes;
use h2::{Reason, SendStream};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::Body;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// Sends a response to its end, if the client lets us. `head`: it is to a HEAD request.
pub async fn send<B>(response: Response<B>, head: bool, reply: &Reply, idle: Duration)
where
    B: Body<Data = Bytes, Error = BodyError>,
{
    let (mut parts, body) = response.into_parts();
    let ends = body.is_end_stream();
    let described = head || parts.status == StatusCode::NOT_MODIFIED;
    let bodiless = described || parts.status == StatusCode::NO_CONTENT;
    let length = body.size_hint().exact().filter(|&length| if head { length > 0 } else { !bodiless && !ends });
    state_length(&mut parts.headers, described, length);
    parts.headers.entry(header::DATE).or_insert_with(|| date(Instant::now()));
    let ends = bodiless || ends;
    let Ok(out) = reply.send(Response::from_parts(parts, ()), ends) else { return };
    if !ends {
        let mut sending = Sending { out, body: pin!(body), piece: None, patience: Deadline::default(), idle };
        poll_fn(|cx| sending.poll(cx)).await;
    }
}

/// `described`: what the head says of a body is of one that is not sent, so it stays.
fn state_length(headers: &mut HeaderMap, described: bool, length: Option<u64>) {
    if !described {
        headers.remove(header::CONTENT_LENGTH);
    }
    if let Some(length) = length {
        headers.entry(header::CONTENT_LENGTH).or_insert_with(|| HeaderValue::from(length));
    }
}

struct Sending<'a, B> {
    out: SendStream<Bytes>,
    body: Pin<&'a mut B>,
    /// What waits for room, and whether it is the last.
    piece: Option<(Bytes, bool)>,
    /// Runs while something waits.
    patience: Deadline,
    idle: Duration,
}

impl<B: Body<Data = Bytes, Error = BodyError>> Sending<'_, B> {
    /// Ready when all is handed to `h2`, or no more can be. A stream that is dropped before its end is reset.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // Registers for a reset, while we wait for whatever it is.
            if self.out.poll_reset(cx).is_ready() {
                return Poll::Ready(());
            }
            if let Some((_, last)) = self.piece {
                if !ready!(self.poll_room(cx)) {
                    return Poll::Ready(());
                }
                let piece = self.piece.take().map(|(piece, _)| piece).unwrap_or_default();
                if self.out.send_data(piece, last).is_err() || last {
                    return Poll::Ready(());
                }
            }
            // Room is asked for only once there is something to send: it would be missing elsewhere on the connection.
            match ready!(self.body.as_mut().poll_frame(cx)).map(|frame| frame.map(http_body::Frame::into_data)) {
                Some(Ok(Ok(piece))) if !piece.is_empty() => {
                    self.piece = Some((piece, self.body.is_end_stream()));
                    // `h2` asks for the rest of it by itself.
                    self.out.reserve_capacity(1);
                }
                // An empty piece says nothing, unless it is the last.
                Some(Ok(Ok(_))) if !self.body.is_end_stream() => {}
                Some(Ok(Err(other))) => {
                    if let Ok(trailers) = other.into_trailers() {
                        self.out.reserve_capacity(0);
                        let _ = self.out.send_trailers(trailers);
                        return Poll::Ready(());
                    }
                }
                Some(Err(_told_elsewhere)) => {
                    self.out.send_reset(Reason::INTERNAL_ERROR);
                    return Poll::Ready(());
                }
                Some(Ok(Ok(_))) | None => {
                    let _ = self.out.send_data(Bytes::new(), true);
                    return Poll::Ready(());
                }
            }
        }
    }

    /// Whether there is room for some of a piece. No: the stream is over, or the client takes nothing for too long.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        while self.out.capacity() == 0 {
            match self.out.poll_capacity(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(_) => return Poll::Ready(false),
                Poll::Pending => {
                    if self.patience.at().is_none() {
                        self.patience.set(Instant::now() + self.idle);
                    }
                    return self.patience.poll_expired(cx).map(|()| false);
                }
            }
        }
        self.patience.clear();
        Poll::Ready(true)
    }
}
