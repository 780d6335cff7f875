//! A socket of either family, for both walls. An enum and not a trait object: which one it is never changes, and TCP must cost no more
//! than its socket.

use tokio::net::{TcpStream, UnixStream};

/// Bytes both ways.
#[derive(Debug)]
pub enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Bytes both ways over whichever of two it is.
macro_rules! either {
    ($type:ty, $first:ident | $second:ident) => {
        impl ::tokio::io::AsyncRead for $type {
            fn poll_read(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
                buf: &mut ::tokio::io::ReadBuf<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                match self.get_mut() {
                    Self::$first(io) => ::std::pin::Pin::new(io).poll_read(cx, buf),
                    Self::$second(io) => ::std::pin::Pin::new(io).poll_read(cx, buf),
                }
            }
        }

        impl ::tokio::io::AsyncWrite for $type {
            fn poll_write(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
                buf: &[u8],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                match self.get_mut() {
                    Self::$first(io) => ::std::pin::Pin::new(io).poll_write(cx, buf),
                    Self::$second(io) => ::std::pin::Pin::new(io).poll_write(cx, buf),
                }
            }

            fn poll_write_vectored(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
                bufs: &[::std::io::IoSlice<'_>],
            ) -> ::std::task::Poll<::std::io::Result<usize>> {
                match self.get_mut() {
                    Self::$first(io) => ::std::pin::Pin::new(io).poll_write_vectored(cx, bufs),
                    Self::$second(io) => ::std::pin::Pin::new(io).poll_write_vectored(cx, bufs),
                }
            }

            fn is_write_vectored(&self) -> bool {
                match self {
                    Self::$first(io) => ::tokio::io::AsyncWrite::is_write_vectored(io),
                    Self::$second(io) => ::tokio::io::AsyncWrite::is_write_vectored(io),
                }
            }

            fn poll_flush(self: ::std::pin::Pin<&mut Self>, cx: &mut ::std::task::Context<'_>) -> ::std::task::Poll<::std::io::Result<()>> {
                match self.get_mut() {
                    Self::$first(io) => ::std::pin::Pin::new(io).poll_flush(cx),
                    Self::$second(io) => ::std::pin::Pin::new(io).poll_flush(cx),
                }
            }

            fn poll_shutdown(
                self: ::std::pin::Pin<&mut Self>,
                cx: &mut ::std::task::Context<'_>,
            ) -> ::std::task::Poll<::std::io::Result<()>> {
                match self.get_mut() {
                    Self::$first(io) => ::std::pin::Pin::new(io).poll_shutdown(cx),
                    Self::$second(io) => ::std::pin::Pin::new(io).poll_shutdown(cx),
                }
            }
        }
    };
}
pub(crate) use either;

either!(Stream, Tcp | Unix);

impl Stream {
    /// From now on, dropping the connection resets it, where there is such a thing: over a Unix socket it just ends.
    pub fn reset_on_drop(&self) {
        if let Self::Tcp(socket) = self {
            // An error means that it is already closed.
            let _ = socket.set_zero_linger();
        }
    }
}
