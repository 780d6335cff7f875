//! Bodies out: the coding of a body, and what waits to be written to a connection. Small pieces are gathered, large ones are written
//! from where they are.

use super::encode::{put_field, put_hex};
use super::fields::may_be_trailer;
use bytes::{Buf, Bytes};
use http::HeaderMap;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// How the end of a body that we send is told (RFC 9112, section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// There is no body, and no field speaks of one.
    None,
    /// `Content-Length`.
    Length(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
    /// Responses only: by closing the connection.
    UntilClose,
}

/// The body is longer or shorter than the head said. The connection is of no further use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body's length differs from its Content-Length")]
pub struct WrongLength;

/// Encodes one body into an [`Outbox`].
#[derive(Debug)]
pub struct Encoder {
    coding: Coding,
}

impl Encoder {
    pub fn new(coding: Coding) -> Self {
        Self { coding }
    }

    /// # Errors
    /// If this is more than was announced; nothing of it is queued then.
    pub fn data(&mut self, data: Bytes, out: &mut Outbox) -> Result<(), WrongLength> {
        match &mut self.coding {
            // An empty chunk would end the body.
            _ if data.is_empty() => {}
            Coding::None => return Err(WrongLength),
            Coding::Length(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(WrongLength)?;
                out.push(data);
            }
            Coding::UntilClose => out.push(data),
            Coding::Chunked => {
                let text = out.text();
                put_hex(text, data.len() as u64);
                text.extend_from_slice(b"\r\n");
                out.push(data);
                out.text().extend_from_slice(b"\r\n");
            }
        }
        Ok(())
    }

    /// The body is over. Trailers go out if the coding is chunked; otherwise there is no place for them.
    ///
    /// # Errors
    /// If this is less than was announced.
    pub fn end(&mut self, trailers: Option<&HeaderMap>, out: &mut Outbox) -> Result<(), WrongLength> {
        match self.coding {
            Coding::Length(left) if left > 0 => return Err(WrongLength),
            Coding::None | Coding::UntilClose | Coding::Length(_) => {}
            Coding::Chunked => {
                let text = out.text();
                text.extend_from_slice(b"0\r\n");
                for (name, value) in trailers.into_iter().flatten().filter(|(name, _)| may_be_trailer(name)) {
                    put_field(text, name, value);
                }
                text.extend_from_slice(b"\r\n");
                self.coding = Coding::None;
            }
        }
        Ok(())
    }
}

/// What waits to be written: text, then one large piece, then text. Reused from message to message.
#[derive(Debug, Default)]
pub struct Outbox {
    before: Vec<u8>,
    /// How much of `before` is written.
    written: usize,
    data: Bytes,
    /// Empty while `data` is.
    after: Vec<u8>,
    /// Bytes that the connection has taken, in all.
    taken: u64,
}

/// Up to here copying costs less than a second part in `writev`. Not measured finely.
const COPY: usize = 4 << 10;
/// An idle connection holds no more than this.
const KEEP: usize = 16 << 10;

impl Outbox {
    /// Where heads and chunk headers are appended; they go out after all that is queued.
    pub fn text(&mut self) -> &mut Vec<u8> {
        if self.data.is_empty() { &mut self.before } else { &mut self.after }
    }

    /// Queues a piece of body. Without copying if it is large and no other large piece waits; so flush between large ones.
    pub fn push(&mut self, data: Bytes) {
        if data.len() > COPY && self.data.is_empty() {
            self.data = data;
        } else {
            self.text().extend_from_slice(&data);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.before.len() - self.written + self.data.len() + self.after.len()
    }

    /// Bytes written since this was made: whether anything went out in between, and whether there is progress.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Throws away what waits.
    pub fn clear(&mut self) {
        self.before.clear();
        self.before.shrink_to(KEEP);
        self.written = 0;
        self.data = Bytes::new();
        self.after.clear();
        self.after.shrink_to(KEEP);
    }

    /// Writes until nothing waits. Each write that succeeds counts, so a cancelled call loses nothing.
    ///
    /// # Errors
    /// The connection's; `WriteZero` if it takes nothing.
    pub fn poll_flush<W: AsyncWrite>(&mut self, mut io: Pin<&mut W>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let before = self.before.get(self.written..).unwrap_or_default();
            let count = if self.data.is_empty() {
                ready!(io.as_mut().poll_write(cx, before))?
            } else {
                let slices = [IoSlice::new(before), IoSlice::new(&self.data), IoSlice::new(&self.after)];
                let used = if before.is_empty() { 1 } else { 0 };
                ready!(io.as_mut().poll_write_vectored(cx, slices.get(used..).unwrap_or_default()))?
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(count);
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, count: usize) {
        self.taken += count as u64;
        let from_before = count.min(self.before.len() - self.written);
        self.written += from_before;
        let from_data = (count - from_before).min(self.data.len());
        self.data.advance(from_data);
        let from_after = count - from_before - from_data;
        if self.data.is_empty() && self.written == self.before.len() {
            // `after` is now what comes first.
            self.before.clear();
            std::mem::swap(&mut self.before, &mut self.after);
            self.written = from_after;
            if self.written == self.before.len() {
                self.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests;
