//! The listening wall from outside: real sockets, raw bytes, a handler that does what the path says.

mod http1;
mod http1_life;
mod http2;
mod kit;
mod stop;
mod tls;
