//! Coming in: accepts connections, makes TLS handshakes, speaks HTTP/1.1 and HTTP/2 with clients, and hands each request to a
//! handler. What a request means, and which status an error gets, is the handler's business.
//!
//! In reading order: `bind`, `gate` (how many may come in), `shutdown` (how they are asked to leave), `accept` (the loop of one
//! worker), `connection` (the steps of one connection's life), `door` (who looks at it), `crowd` (how many each client has), `proxied` (those that
//! begin with a PROXY header), `peek` (at a client hello), `tls`, then `h1` (our own server, on `wire`)
//! and `h2`. `handler` and `body` are what both share; `tunnels` is what takes connections that are not for HTTP; `io` is
//! a client's socket, encrypted or not. Everything but `Gate` and `Shutdown` stays on one worker.

mod accept;
mod bind;
mod body;
mod connection;
mod crowd;
mod door;
mod gate;
mod h1;
mod h2;
mod handler;
mod identity;
mod io;
mod peek;
mod proxied;
mod shutdown;
mod tls;
mod tunnels;

pub use accept::{Accepting, Entrance, Kind, Reception, accept};
pub use bind::{Listening, bind, bind_unix};
pub use body::Body;
pub use crowd::{Counted, Crowd};
pub use door::{Door, Visit};
pub use gate::{Gate, Permit, Refused};
pub use handler::Handler;
pub use shutdown::{Shutdown, Stopper, stopping};
pub use tunnels::{Arrived, ArrivedIo, Ends, Route, Tcp, Tunnels};

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// ± 10 %, so that connections made in one wave do not end in one.
fn jittered(age: Duration) -> Duration {
    let random = RandomState::new().hash_one(0u8) % 2001;
    age.mul_f64(0.9 + random as f64 / 10_000.0)
}

#[cfg(test)]
mod tests;
