//! The contract as `wit-component` wants to find it in a module: one custom section per interface that is exported or imported.
//!
//! Files made from `wit/` by `cargo xtask wit`; `tests/contract.rs` fails when they no longer match it.

pub static LIFECYCLE: &[u8; include_bytes!("../../abi/lifecycle.meta").len()] = include_bytes!("../../abi/lifecycle.meta");
pub static ON_REQUEST: &[u8; include_bytes!("../../abi/on-request.meta").len()] = include_bytes!("../../abi/on-request.meta");
pub static ON_RESPONSE: &[u8; include_bytes!("../../abi/on-response.meta").len()] = include_bytes!("../../abi/on-response.meta");
pub static CONNECTIONS: &[u8; include_bytes!("../../abi/connections.meta").len()] = include_bytes!("../../abi/connections.meta");
pub static ON_ACCEPT: &[u8; include_bytes!("../../abi/on-accept.meta").len()] = include_bytes!("../../abi/on-accept.meta");
pub static ON_CLIENT_HELLO: &[u8; include_bytes!("../../abi/on-client-hello.meta").len()] =
    include_bytes!("../../abi/on-client-hello.meta");
pub static ON_CLOSE: &[u8; include_bytes!("../../abi/on-close.meta").len()] = include_bytes!("../../abi/on-close.meta");
pub static BODIES: &[u8; include_bytes!("../../abi/bodies.meta").len()] = include_bytes!("../../abi/bodies.meta");
pub static ON_REQUEST_BODY: &[u8; include_bytes!("../../abi/on-request-body.meta").len()] =
    include_bytes!("../../abi/on-request-body.meta");
pub static ON_RESPONSE_BODY: &[u8; include_bytes!("../../abi/on-response-body.meta").len()] =
    include_bytes!("../../abi/on-response-body.meta");
pub static UPSTREAMS: &[u8; include_bytes!("../../abi/upstreams.meta").len()] = include_bytes!("../../abi/upstreams.meta");
pub static ON_BALANCE: &[u8; include_bytes!("../../abi/on-balance.meta").len()] = include_bytes!("../../abi/on-balance.meta");
pub static ON_ATTEMPT: &[u8; include_bytes!("../../abi/on-attempt.meta").len()] = include_bytes!("../../abi/on-attempt.meta");
pub static ON_DONE: &[u8; include_bytes!("../../abi/on-done.meta").len()] = include_bytes!("../../abi/on-done.meta");
pub static ON_TICK: &[u8; include_bytes!("../../abi/on-tick.meta").len()] = include_bytes!("../../abi/on-tick.meta");
pub static WASI_RANDOM: &[u8; include_bytes!("../../abi/wasi-random.meta").len()] = include_bytes!("../../abi/wasi-random.meta");
pub static LOG: &[u8; include_bytes!("../../abi/log.meta").len()] = include_bytes!("../../abi/log.meta");
pub static CLOCK: &[u8; include_bytes!("../../abi/clock.meta").len()] = include_bytes!("../../abi/clock.meta");
pub static RANDOM: &[u8; include_bytes!("../../abi/random.meta").len()] = include_bytes!("../../abi/random.meta");
pub static SECRET: &[u8; include_bytes!("../../abi/secret.meta").len()] = include_bytes!("../../abi/secret.meta");
pub static METRICS: &[u8; include_bytes!("../../abi/metrics.meta").len()] = include_bytes!("../../abi/metrics.meta");
pub static TRACING: &[u8; include_bytes!("../../abi/tracing.meta").len()] = include_bytes!("../../abi/tracing.meta");
pub static KV: &[u8; include_bytes!("../../abi/kv.meta").len()] = include_bytes!("../../abi/kv.meta");
pub static HTTP_CLIENT: &[u8; include_bytes!("../../abi/http-client.meta").len()] = include_bytes!("../../abi/http-client.meta");
