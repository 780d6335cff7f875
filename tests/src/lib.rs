//! The kit of the end-to-end tests: a proxy, origins and clients, all real, all on 127.0.0.1 with ports of the kernel's choice.
//! What a test starts ends with the test.

pub mod asking;
pub mod client;
pub mod compiled;
pub mod dns;
pub mod origin;
pub mod pebble;
pub mod pki;
pub mod proxy;
pub mod servers;
pub mod tools;

pub use asking::while_asked;
pub use client::{Raw, Response, curl, get, get_with};
pub use dns::Dns;
pub use origin::{Origin, nobody};
pub use pebble::Pebble;
pub use proxy::Proxy;
pub use servers::Server;
