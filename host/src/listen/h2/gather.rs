//! Frames gathered into few writes. Crate `h2` writes and flushes each DATA frame by itself; below it, several small responses that are ready
//! together become one TLS record and one system call.
//!
//! A flush from above does nothing: who polls the connection calls [`Gathered::poll_send`] once `h2` has no more to say.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is gathered at most: what one TLS record holds.
const ROOM: usize = 16 << 10;
/// From here on copying costs more than a write of its own. Not measured finely.
const LARGE: usize = 8 << 10;

thread_local! {
    /// One buffer for all connections of the worker that are not just waiting for a slow client: an idle connection holds none.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A client's stream whose small writes wait for each other. Clones are the same stream.
pub struct Gathered<I>(Rc<RefCell<Stream<I>>>);

struct Stream<I> {
    io: I,
    waiting: Vec<u8>,
    /// How much of `waiting` is written.
    written: usize,
}

impl<I> Clone for Gathered<I> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<I: AsyncWrite + Unpin> Gathered<I> {
    pub fn new(io: I) -> Self {
        Self(Rc::new(RefCell::new(Stream { io, waiting: Vec::new(), written: 0 })))
    }

    /// Writes what waits, and flushes what is below. A call that is cancelled loses nothing.
    ///
    /// # Errors
    /// The stream's; `WriteZero` if it takes nothing.
    pub fn poll_send(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut stream = self.0.borrow_mut();
        ready!(stream.poll_drain(cx))?;
        Pin::new(&mut stream.io).poll_flush(cx)
    }
}

impl<I: AsyncWrite + Unpin> Stream<I> {
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.waiting.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while let Some(rest) = self.waiting.get(self.written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.io).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.written += count,
            }
        }
        let mut empty = std::mem::take(&mut self.waiting);
        empty.clear();
        SPARE.set(empty);
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    /// Room for `count` bytes more in `waiting`, or nothing waits and they are too many to be gathered.
    fn poll_room(&mut self, count: usize, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if self.waiting.len() + count > ROOM || count >= LARGE {
            ready!(self.poll_drain(cx))?;
        }
        if count < LARGE && self.waiting.capacity() == 0 {
            self.waiting = SPARE.take();
            self.waiting.reserve(ROOM);
        }
        Poll::Ready(Ok(count < LARGE))
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Gathered<I> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.borrow_mut().io).poll_read(cx, buf)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Gathered<I> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let mut stream = self.0.borrow_mut();
        let count = bufs.iter().map(|buf| buf.len()).sum();
        if !ready!(stream.poll_room(count, cx))? {
            return Pin::new(&mut stream.io).poll_write_vectored(cx, bufs);
        }
        bufs.iter().for_each(|buf| stream.waiting.extend_from_slice(buf));
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.0.borrow_mut().io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    #[tokio::test]
    async fn small_writes_leave_together_and_only_when_told() {
        let (ours, mut theirs) = duplex(64 << 10);
        let mut io = Gathered::new(ours);
        io.write_all(b"one ").await.expect("room");
        io.write_all(b"two").await.expect("room");
        io.flush().await.expect("nothing to do");
        let mut got = [0; 99];
        let early = poll_fn(|cx| Poll::Ready(Pin::new(&mut theirs).poll_read(cx, &mut ReadBuf::new(&mut got)).is_ready())).await;
        assert!(!early);

        poll_fn(|cx| io.poll_send(cx)).await.expect("room");

        let count = theirs.read(&mut got).await.expect("open");
        assert_eq!(&got[..count], b"one two");
    }

    #[tokio::test]
    async fn order_is_kept_beside_large_writes_and_when_the_client_is_slow() {
        let (ours, mut theirs) = duplex(1000);
        let mut io = Gathered::new(ours);
        let pieces: Vec<Vec<u8>> = (0..60u8).map(|number| vec![number; usize::from(number) * 400]).collect();
        let want = pieces.concat();
        let write = async move {
            for piece in pieces {
                io.write_all(&piece).await.expect("open");
            }
            io.shutdown().await.expect("open");
        };
        let mut got = Vec::new();
        let (read, ()) = tokio::join!(theirs.read_to_end(&mut got), write);
        assert_eq!((read.expect("open"), got == want), (want.len(), true));
    }
}
