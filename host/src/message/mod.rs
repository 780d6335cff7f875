//! The vocabulary: HTTP messages as the rooms hand them to each other. Types and pure functions, no sockets, no runtime.

mod answer;
mod body;
mod connection;
mod exchange;
mod head;
mod malformed;
mod received;

pub use answer::{Answer, Duplex, Reply, Switched, Takeover};
pub use body::{BodyError, BoxError};
pub use connection::{Connection, TlsFacts, TlsVersion};
pub use exchange::{Exchange, ExchangeId};
pub use head::{RequestHead, ResponseHead, Scheme};
pub use malformed::Malformed;
pub use received::{Received, Target};
