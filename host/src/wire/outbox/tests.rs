//! What is queued comes out whole and in order, however little a connection takes at a time.

use super::*;
use std::task::Waker;

/// Takes at most `most` bytes a write, from any number of parts.
struct Trickle {
    most: usize,
    got: Vec<u8>,
    writes: usize,
}

impl AsyncWrite for Trickle {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let count = buf.len().min(self.most);
        self.got.extend_from_slice(&buf[..count]);
        self.writes += 1;
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.poll_write(cx, &bufs.iter().flat_map(|buf| buf.iter().copied()).collect::<Vec<_>>())
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn flush(out: &mut Outbox, most: usize) -> Trickle {
    let mut io = Trickle { most, got: Vec::new(), writes: 0 };
    let polled = out.poll_flush(Pin::new(&mut io), &mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Ok(()))) && out.is_empty());
    io
}

#[test]
fn a_head_and_a_body_leave_in_one_write() {
    for size in [3, COPY, COPY + 1, 100_000] {
        let (mut out, mut encoder) = (Outbox::default(), Encoder::new(Coding::Chunked));
        out.text().extend_from_slice(b"head\r\n\r\n");
        encoder.data(vec![b'x'; size].into(), &mut out).expect("fits");
        encoder.end(None, &mut out).expect("fits");

        let io = flush(&mut out, usize::MAX);

        let expected = [b"head\r\n\r\n", format!("{size:x}\r\n").as_bytes(), &vec![b'x'; size], b"\r\n0\r\n\r\n"].concat();
        assert!(io.got == expected && io.writes == 1, "{size}: {} writes", io.writes);
        assert_eq!(out.taken(), expected.len() as u64);
    }
}

#[test]
fn order_is_kept_when_the_connection_takes_little() {
    for most in [1, 7, 4096, 5000] {
        let mut out = Outbox::default();
        let mut expected = Vec::new();
        for (text, size) in [("a", COPY + 5), ("b", 3), ("c", 2 * COPY), ("d", 0), ("e", COPY + 1)] {
            out.text().extend_from_slice(text.as_bytes());
            out.push(vec![b'.'; size].into());
            expected.extend_from_slice(text.as_bytes());
            expected.extend(std::iter::repeat_n(b'.', size));
        }
        assert!(flush(&mut out, most).got == expected, "{most} at a time");
        out.text().extend_from_slice(b"again");
        assert_eq!(flush(&mut out, most).got, b"again");
    }
}

#[test]
fn a_wrong_length_is_noticed() {
    let (mut out, mut encoder) = (Outbox::default(), Encoder::new(Coding::Length(3)));
    assert_eq!(encoder.data("abcd".into(), &mut out), Err(WrongLength));
    assert!(out.is_empty());
    assert_eq!(encoder.data("ab".into(), &mut out), Ok(()));
    assert_eq!(encoder.end(None, &mut out), Err(WrongLength));
    assert_eq!(encoder.data("c".into(), &mut out), Ok(()));
    assert_eq!(encoder.end(None, &mut out), Ok(()));
    assert_eq!(Encoder::new(Coding::None).data("a".into(), &mut out), Err(WrongLength));
}

#[test]
fn trailers_go_out_chunked_only_and_not_all() {
    let trailers: HeaderMap = [("x-sum", "9"), ("content-length", "5"), ("host", "evil")]
        .into_iter()
        .map(|(name, value)| (http::HeaderName::from_static(name), http::HeaderValue::from_static(value)))
        .collect();
    let mut out = Outbox::default();
    Encoder::new(Coding::Chunked).end(Some(&trailers), &mut out).expect("fits");
    assert_eq!(flush(&mut out, 9).got, b"0\r\nx-sum: 9\r\n\r\n");

    Encoder::new(Coding::UntilClose).end(Some(&trailers), &mut out).expect("fits");
    assert!(out.is_empty());
}
