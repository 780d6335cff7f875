//! Leaving a connection so that the client can still read what it was sent.
//!
//! A socket that is closed while bytes from the client are unread is reset by the kernel, and a reset may overtake the answer.

use super::line::Line;
use std::cell::RefCell;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Instant;

/// How much of an unread request body is read to keep the connection. Above it, a new connection is cheaper.
pub(super) const DRAIN: u64 = 64 << 10;
/// How long that may take.
const DRAIN_TIME: Duration = Duration::from_secs(1);
/// How long a client may take to read the answer and close, after we said that no more will come. As long as hyper and nginx allow,
/// about; chosen arbitrarily.
const LINGER_TIME: Duration = Duration::from_secs(2);
/// What is thrown away meanwhile, in bytes.
const LINGER: usize = 1 << 20;

/// Throws the rest of the request's body away. `false`: it is not worth it.
pub(super) async fn drain(line: &RefCell<Line>) -> bool {
    let mut most = DRAIN;
    line.borrow_mut().patience.set(Instant::now() + DRAIN_TIME);
    poll_fn(|cx| {
        let mut line = line.borrow_mut();
        match line.poll_drain(&mut most, cx) {
            Poll::Pending => line.patience.poll_expired(cx).map(|()| false),
            drained => drained,
        }
    })
    .await
}

/// Says that no more will come (TLS: `close_notify`), then lets go.
pub(super) async fn close(line: &RefCell<Line>) {
    line.borrow_mut().patience.set(Instant::now() + LINGER_TIME);
    poll_fn(|cx| {
        let mut line = line.borrow_mut();
        match line.poll_shutdown(cx) {
            Poll::Pending => line.patience.poll_expired(cx),
            Poll::Ready(_) => Poll::Ready(()),
        }
    })
    .await;
}

/// As [`close`], then reads for a while what the client is still sending.
pub(super) async fn linger(line: &RefCell<Line>) {
    close(line).await;
    let mut left = LINGER;
    poll_fn(|cx| {
        let mut line = line.borrow_mut();
        match poll_discard(&mut line, &mut left, cx) {
            Poll::Pending => line.patience.poll_expired(cx),
            Poll::Ready(()) => Poll::Ready(()),
        }
    })
    .await;
}

/// Ready when the client has closed, or has sent more than anyone should.
fn poll_discard(line: &mut Line, left: &mut usize, cx: &mut Context<'_>) -> Poll<()> {
    while *left > 0 {
        line.input.clear();
        match ready!(line.poll_fill(cx)) {
            Ok(0) | Err(_) => break,
            Ok(count) => *left = left.saturating_sub(count),
        }
    }
    Poll::Ready(())
}
