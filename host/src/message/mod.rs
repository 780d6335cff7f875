//! The vocabulary: HTTP messages as the rooms hand them to each other. Types and pure functions, no sockets, no runtime.

mod answer;
mod arrival;
pub mod authority;
mod body;
mod client_hello;
pub mod client_identity;
mod connection;
mod exchange;
pub mod forwarded;
mod going_out;
mod head;
pub mod hop_by_hop;
mod interim;
mod malformed;
mod proxied;
mod received;
pub mod survey;
pub mod target;
pub mod trace;

pub use answer::{Answer, Duplex, Reply, Switched, Takeover};
pub use arrival::{Admission, Arrival, Attributes, ConnectionId, EndReason, Ending, ListenerKind, Refusal, Traffic, Unrouted};
pub use body::{BodyError, BoxError};
pub use client_hello::ClientHello;
pub use client_identity::{AlternativeNames, ClientIdentity, Stated};
pub use connection::{Alpn, ClientAuth, Connection, TlsFacts, TlsVersion};
pub use exchange::{Exchange, ExchangeId};
pub use going_out::{Again, Candidate, Choice, Done, FailedAttempt, Tick};
pub use head::{RequestHead, ResponseHead, Scheme};
pub use interim::{Herald, Interim};
pub use malformed::Malformed;
pub use proxied::{HeaderWatch, PROXY_V1, PROXY_V2, Proxied, ProxiedTls};
pub use received::{Received, Target};

/// A header map for tests.
#[cfg(test)]
pub(crate) fn fields(lines: &[(&str, &str)]) -> http::HeaderMap {
    let mut map = http::HeaderMap::new();
    for (name, value) in lines {
        map.append(http::HeaderName::from_bytes(name.as_bytes()).expect("a name"), http::HeaderValue::from_str(value).expect("a value"));
    }
    map
}
