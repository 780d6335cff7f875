//! Portcullis: a reverse proxy that terminates TLS, routes HTTP, and lets ordered chains of sandboxed Wasm components decide.
//!
//! ```text
//!                        main → cli → app     (app wires everything; the only room that sees all others)
//!                                │
//!    client ⇄ listen ─ handler ─▶ proxy │ tunnel ─▶ upstream ⇄ origin
//!             (accept, tls,      │  one exchange     (pick, pool, connect)
//!              http)             ▼
//!                              chain      ordered links, verdicts       — knows no Wasm, no sockets
//!                                ▲
//!                             sandbox     plugins, guests, limits       — the only room that names wasmtime
//!    leaves: message (HTTP vocabulary)  config (text → checked values)  observe (log, metrics, traces)  certs (and ⇄ ACME CAs)
//!            wire (HTTP/1.1 in bytes, for both walls)  trust (plugins' origin and signatures, and ⇄ registries)
//!            import (other servers' configurations → ours)
//!    beside: admin (metrics, health, API, dashboard; reads observe, and what app shows it; passes on what is asked for)
//! ```
//!
//! # The path of one request
//! 1. `listen/accept.rs` takes a permit from the gate, accepts, spawns on this worker
//!    (`listen/door.rs` asks the listener's own chain, if it has one: `chain/connection.rs`)
//! 2. `listen/tls.rs` makes the handshake in that task, against a deadline
//! 3. `listen/h1` parses with `wire` (HTTP/2: `listen/h2`, by the crate of that name) and calls the handler
//! 4. `proxy/mod.rs` `Proxy::handle` takes the current snapshot and opens an exchange
//! 5. `proxy/inbound.rs` normalises the target, removes hop-by-hop and identity fields, sets our own
//! 6. `proxy/router.rs` finds the route: site, then path by Gateway API precedence
//! 7. `chain/walk.rs` `on_request`, link by link → `sandbox` → guest → verdict or fault
//!    (a link that looks at bodies: `chain/handling.rs` asks it what it wants, `chain/strand.rs` passes it the pieces)
//! 8. next → the route's upstream · forward → the one chosen · reply → straight to 10
//! 9. `upstream` picks a server (`proxy/guide.rs`: links may choose), takes a pooled connection or connects, sends, retries within budget
//! 10. `chain/walk.rs` `on_response`: the same links in reverse order
//! 11. `proxy/outbound.rs` → `listen`; the body streams under the exchange's guard
//! 12. any error on the way → `proxy/failure.rs`; one access line when the body ends, and links that want it are told (`proxy/farewell.rs`)
//!
//! A connection for `[tcp."addr"]` takes the other corridor: `listen/connection.rs` looks at the client hello if there is one
//! (`listen/peek.rs`), `tunnel/routes.rs` finds the upstream, `upstream` connects, `tunnel/relay.rs` carries bytes both ways.
//!
//! # Invariants
//! `config` imports no room. `wasmtime` is named in `sandbox` only. `listen` never imports `proxy` or `tunnel`. Only `proxy/failure.rs` turns an
//! error into a status. `sdk` and `host` share only `wit/`. `tests/house.rs` reads the source and holds us to it.

// In reading order: the leaves, policy, mechanism, the walls, the corridor, wiring.
pub mod config;
pub mod message;
pub mod observe;
pub mod wire;
pub mod certs;
pub mod trust;
pub mod chain;
pub mod sandbox;
pub mod upstream;
pub mod listen;
pub mod proxy;
pub mod tunnel;
pub mod admin;
pub mod import;
pub mod app;
pub mod cli;
