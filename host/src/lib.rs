//! Portcullis: a reverse proxy that terminates TLS, routes HTTP, and lets ordered chains of sandboxed Wasm components decide.

// In reading order: the leaves, policy, mechanism, the walls, the corridor, wiring.
pub mod app;
pub mod certs;
pub mod chain;
pub mod cli;
pub mod config;
pub mod listen;
pub mod message;
pub mod observe;
pub mod proxy;
pub mod sandbox;
pub mod upstream;
pub mod wire;
