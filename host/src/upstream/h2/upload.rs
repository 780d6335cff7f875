//! The request body's way out: one piece at a time, as the server's flow-control windows allow.

use crate::message::BodyError;
use crate::upstream::pump::{Pump, WRONG_LENGTH};
use crate::wire::{Coding, retain_trailers};
use bytes::Bytes;
use h2::SendStream;
use http_body::{Body, Frame};
use std::io;
use std::task::{Context, Poll};

pub(super) struct Upload<B> {
    pub pump: Pump<B>,
    /// Bytes still to come of a body whose length was stated.
    left: Option<u64>,
    done: bool,
    /// Waits for the server to take more, not for the client to give more.
    pub blocked: bool,
    /// Pieces that went out, so that a wait can see whether something moves.
    pub pieces: u32,
}

impl<B> Upload<B>
where
    B: Body<Data = Bytes, Error = BodyError> + Unpin,
{
    pub fn new(pump: Pump<B>, coding: Coding) -> Self {
        let left = if let Coding::Length(length) = coding { Some(length) } else { None };
        let done = pump.is_over();
        Self { pump, left, done, blocked: false, pieces: 0 }
    }

    /// Whether all of it is handed to the connection, or no more can be.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Ready when it is done. The server wanting no more of it is no error: it may still answer.
    pub fn poll(&mut self, stream: &mut SendStream<Bytes>, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        while !self.done {
            // Room first: a piece that has been taken from the client should not lie about here.
            match poll_room(stream, cx) {
                Poll::Pending => {
                    self.blocked = true;
                    return Poll::Pending;
                }
                Poll::Ready(Err(_)) => {
                    self.done = true;
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Ok(())) => self.blocked = false,
            }
            let sent = match self.pump.poll_next(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => self.end(stream, None)?,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(Some(Ok(frame))) => self.send(stream, frame)?,
            };
            self.pieces = self.pieces.wrapping_add(1);
            // The stream is closed already; why, the response says.
            self.done |= sent.is_err();
        }
        Poll::Ready(Ok(()))
    }

    fn send(&mut self, stream: &mut SendStream<Bytes>, frame: Frame<Bytes>) -> Result<Result<(), h2::Error>, BodyError> {
        match frame.into_data() {
            Ok(data) => {
                if let Some(left) = &mut self.left {
                    *left = left.checked_sub(data.len() as u64).ok_or_else(wrong_length)?;
                }
                if self.pump.is_over() {
                    self.check_end()?;
                    self.done = true;
                    return Ok(stream.send_data(data, true));
                }
                Ok(if data.is_empty() { Ok(()) } else { stream.send_data(data, false) })
            }
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => self.end(stream, Some(trailers)),
                Err(_) => Ok(Ok(())),
            },
        }
    }

    fn end(&mut self, stream: &mut SendStream<Bytes>, trailers: Option<http::HeaderMap>) -> Result<Result<(), h2::Error>, BodyError> {
        self.check_end()?;
        self.done = true;
        let Some(mut trailers) = trailers else { return Ok(stream.send_data(Bytes::new(), true)) };
        retain_trailers(&mut trailers);
        if trailers.is_empty() { Ok(stream.send_data(Bytes::new(), true)) } else { Ok(stream.send_trailers(trailers)) }
    }

    fn check_end(&self) -> Result<(), BodyError> {
        if self.left.is_some_and(|left| left > 0) { Err(wrong_length()) } else { Ok(()) }
    }
}

/// Room for some of a body: a piece may be larger than the windows, and waits within the connection then.
fn poll_room(stream: &mut SendStream<Bytes>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
    stream.reserve_capacity(1);
    if stream.capacity() > 0 {
        return match stream.poll_reset(cx) {
            Poll::Pending => Poll::Ready(Ok(())),
            Poll::Ready(_) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        };
    }
    loop {
        match stream.poll_capacity(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(Ok(0))) => {}
            Poll::Ready(Some(Ok(_))) => return Poll::Ready(Ok(())),
            Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }
}

fn wrong_length() -> BodyError {
    BodyError::ClientMalformed(WRONG_LENGTH)
}
