//! One way of a tunnel: what comes in on one side goes out on the other, and so does the end.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// One direction. Holds memory only while the taking side is slower than the giving one.
#[derive(Default)]
pub(super) struct Flow {
    /// Read and not yet written, from `at` on.
    held: Vec<u8>,
    at: usize,
    stage: Stage,
    /// Written since the last flush.
    unflushed: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    Open,
    /// The giving side has ended; the taking side must still be told.
    Ending,
    Ended,
}

/// Whose connection broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    Giving,
    Taking,
}

impl Flow {
    /// With something that was read before.
    pub fn with(early: &[u8]) -> Self {
        Self { held: early.to_vec(), ..Self::default() }
    }

    pub fn has_ended(&self) -> bool {
        self.stage == Stage::Ended
    }

    /// Carries what can be carried now. Ready once the giving side has ended and the taking side knows. `carried` counts what was
    /// written.
    pub fn poll<G, T>(&mut self, giving: &mut G, taking: &mut T, scratch: &mut [u8], carried: &Cell<u64>, cx: &mut Context<'_>) -> Poll<Result<(), Broken>>
    where
        G: AsyncRead + Unpin,
        T: AsyncWrite + Unpin,
    {
        loop {
            ready!(self.poll_held(taking, carried, cx)).map_err(|_| Broken::Taking)?;
            match self.stage {
                Stage::Open => {}
                Stage::Ending => {
                    // Shutting down flushes. A peer that has closed already needs not to be told.
                    if let Err(error) = ready!(Pin::new(&mut *taking).poll_shutdown(cx))
                        && error.kind() != io::ErrorKind::NotConnected
                    {
                        return Poll::Ready(Err(Broken::Taking));
                    }
                    self.stage = Stage::Ended;
                }
                Stage::Ended => return Poll::Ready(Ok(())),
            }
            if self.stage != Stage::Open {
                continue;
            }
            let mut read = ReadBuf::new(scratch);
            match Pin::new(&mut *giving).poll_read(cx, &mut read) {
                Poll::Pending => {
                    // A TLS stream may still hold what was written.
                    if self.unflushed {
                        ready!(Pin::new(&mut *taking).poll_flush(cx)).map_err(|_| Broken::Taking)?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Giving)),
                Poll::Ready(Ok(())) if read.filled().is_empty() => self.stage = Stage::Ending,
                Poll::Ready(Ok(())) => self.pass_on(read.filled(), taking, carried, cx).map_err(|_| Broken::Taking)?,
            }
        }
    }

    /// Writes, and keeps what the taking side does not take now.
    fn pass_on<T: AsyncWrite + Unpin>(&mut self, bytes: &[u8], taking: &mut T, carried: &Cell<u64>, cx: &mut Context<'_>) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match Pin::new(&mut *taking).poll_write(cx, rest)? {
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(count) => {
                    rest = rest.get(count..).unwrap_or_default();
                    carried.set(carried.get() + count as u64);
                    self.unflushed = true;
                }
                Poll::Pending => {
                    self.held = rest.to_vec();
                    self.at = 0;
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn poll_held<T: AsyncWrite + Unpin>(&mut self, taking: &mut T, carried: &Cell<u64>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.held.get(self.at..).filter(|rest| !rest.is_empty()) {
            let count = ready!(Pin::new(&mut *taking).poll_write(cx, rest))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.at += count;
            carried.set(carried.get() + count as u64);
            self.unflushed = true;
        }
        if self.at > 0 {
            (self.held, self.at) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}
