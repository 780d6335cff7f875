//! Write plugins for the Portcullis reverse proxy.
//!
//! A plugin decides about requests and responses: it sees the parts of a head that it asked for, and answers with edits and a verdict.
//! This is a whole one:
//!
//! ```
//! use portcullis_sdk::prelude::*;
//!
//! /// Marks requests of one user agent.
//! #[settings]
//! struct Mark {
//!     /// What the user agent contains.
//!     agent: String,
//!     /// Header that the upstream gets.
//!     #[setting(default = "x-agent")]
//!     header: String,
//! }
//!
//! #[plugin]
//! impl Mark {
//!     #[interest(headers = ["user-agent"])]
//!     fn on_request(&self, request: &Request, edit: &mut RequestEdits) {
//!         if request.header_str("user-agent").is_some_and(|agent| agent.contains(&self.agent)) {
//!             edit.set_header(&self.header, "yes");
//!         }
//!     }
//! }
//!
//! // And its test, with plain `cargo test`, on any machine:
//! use portcullis_sdk::test::{Harness, get};
//! let mark = Harness::<Mark>::new(r#"{ "agent": "curl" }"#);
//! let after = mark.on_request(get("https://example.com/").header("user-agent", "curl/8.5"));
//! assert_eq!(after.header("x-agent"), Some("yes"));
//! ```
//!
//! `Cargo.toml`:
//! ```toml
//! [lib]
//! crate-type = ["cdylib"]
//!
//! [dependencies]
//! portcullis-sdk = "0.1"
//! ```
//! `cargo build --release --target wasm32-wasip2` makes the component; in the proxy's configuration,
//! `[plugin.mark] source = "mark.wasm"` names it and `chain = [{ use = "mark", config = { agent = "curl" } }]` puts it to work.
//!
//! # What a plugin can be made of
//! - **Settings**: a struct under [`#[settings]`](macro@settings). The operator's file is checked against the schema made from it.
//! - **Phases**: `on_request` and `on_response`, each if it is written. `fn on_request(&self, request: &Request, edit: &mut
//!   RequestEdits)` returns nothing to go on, a [`Reply`] (or an `Option` of one) to answer, or a [`Verdict`].
//!   `fn on_response(&self, response: &Response, edit: &mut Edits)` likewise, with [`ResponseVerdict`].
//! - **Bodies**: `on_request_body` and `on_response_body` say of each body whether it is to be watched, transformed piece by piece or buffered; see
//!   [`body`].
//! - **Connections**: `on_accept`, `on_client_hello` and `on_close` are phases below HTTP, for listeners; see [`connection`].
//! - **Upstreams**: `on_balance` chooses servers, `on_attempt` has a say in retries, `on_done` learns how an exchange ended, `on_tick` is
//!   called from time to time; see [`upstream`].
//! - **Interest**: `#[interest(method, path, headers = ["cookie"], attributes = ["client.ip"])]` on a phase says what it wants to see;
//!   `fn plan(&self, plan: &mut Plan)` changes that by the settings. What is not asked for is not sent.
//! - **Checks**: `fn check(&self) -> Result<(), Vec<Problem>>` refuses settings that the schema cannot; or
//!   `fn configure(settings: S) -> Result<Self, Vec<Problem>>`, when the plugin is not its settings but made of them.
//!
//! # What it can be granted
//! [`log`], [`metrics`], [`tracing`], [`clock`], [`random`], [`secret`], [`kv`] (small values that all workers share) and [`http`] (requests to upstreams), each
//! if the operator says so: `[plugin.mark] allow = { kv = ["sessions"], http = ["idp"] }`. Calling a function is what asks for it; the proxy reads
//! from the file what a plugin imports, and refuses to load one that was not granted it. Tests have [`test::Outside`] instead.
//!
//! # For settings that many have
//! [`networks`] (lists of them, however long), [`paths`] (patterns), [`duration`], [`field`] (header names and values), [`Template`].
//!
//! # What it cannot do
//! Open files or sockets, sleep, see other plugins' memory, or keep anything of a request but by copying it. One call has 5 ms of CPU (2 seconds
//! with waiting for stores and upstreams) and the guest 16 MiB of memory unless the operator says otherwise. A panic is a fault: the exchange ends with a 5xx
//! (or goes on, if the operator said `fail = "open"`), the guest is replaced, the proxy lives on.
//!
//! # Small and fast
//! With feature `bare` and `#![cfg_attr(target_family = "wasm", no_std)]` a plugin is a third of the size and imports nothing; the
//! [`prelude`] then brings `String`, `Vec` and `format!`. README.md has figures and the profile.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

// The examples and tests here use the crate as authors do.
extern crate self as portcullis_sdk;

#[doc(hidden)]
pub mod abi;
pub mod body;
pub mod clock;
pub mod connection;
pub mod duration;
mod edits;
pub mod exchange;
pub mod field;
mod head;
pub mod http;
pub mod kv;
pub mod log;
pub mod metrics;
pub mod networks;
pub mod paths;
mod plan;
pub mod plugin;
mod problem;
pub mod query;
pub mod random;
pub mod secret;
pub mod settings;
mod template;
pub mod tracing;
#[cfg(not(target_family = "wasm"))]
pub mod test;
pub mod upstream;
mod verdict;

/// Where the functions of capabilities lead: to the proxy, or on the native target to what a test made of it.
#[cfg(target_family = "wasm")]
use abi::imports as outside;
#[cfg(not(target_family = "wasm"))]
use test::outside;

pub use body::{RequestBegin, RequestBody, ResponseBegin, ResponseBody};
pub use connection::{AcceptVerdict, Accepted, ClientHello, Closed, ConnectionEdits, HelloVerdict};
pub use edits::{Edits, RequestEdits};
pub use head::{Fields, Request, Response, host};
pub use plan::{
    AcceptInterest, AttemptInterest, BalanceInterest, CloseInterest, DoneInterest, HelloInterest, Plan, RequestInterest, ResponseInterest,
};
pub use problem::{Pointer, Problem};
pub use template::{Piece, Template};
pub use upstream::{AttemptVerdict, BalanceVerdict, Candidate, Choice, Done, FailedAttempt, Tick, UpstreamEdits};
pub use verdict::{Bytes, Reply, ResponseVerdict, Verdict};

/// Makes a plugin of an `impl` block: its methods `on_request`, `on_response`, `on_request_body`, `on_response_body`, `on_accept`, `on_client_hello`,
/// `on_close`, `on_balance`, `on_attempt`, `on_done` and `on_tick` become the exports of the component, each if it is there.
///
/// The methods `configure`, `check` and `plan` have the meanings that the [front page](crate) gives; others are the author's own.
/// `#[plugin(name = "…", description = "…")]` replace the package's name and the doc comment.
///
/// What would go wrong later is an error now: a phase that does not exist, a header that is never shown.
/// ```compile_fail
/// # use portcullis_sdk::prelude::*;
/// # #[settings] struct Nothing;
/// #[plugin]
/// impl Nothing {
///     fn on_requset(&self, _: &Request, _: &mut RequestEdits) {}
/// }
/// ```
/// ```compile_fail
/// # use portcullis_sdk::prelude::*;
/// # #[settings] struct Nothing;
/// #[plugin]
/// impl Nothing {
///     #[interest(headers = ["Host"])]
///     fn on_request(&self, _: &Request, _: &mut RequestEdits) {}
/// }
/// ```
/// A response cannot be forwarded, nor can its path be set:
/// ```compile_fail
/// # use portcullis_sdk::prelude::*;
/// # #[settings] struct Nothing;
/// #[plugin]
/// impl Nothing {
///     fn on_response(&self, _: &Response, _: &mut Edits) -> Verdict {
///         Verdict::forward("elsewhere")
///     }
/// }
/// ```
pub use portcullis_sdk_macros::plugin;

/// Makes a struct (or an enum of words) readable from an operator's file, with a JSON Schema made from its fields.
///
/// Doc comments become descriptions, `snake_case` becomes `kebab-case`, unknown keys are refused, `Option` may be left out.
/// `#[setting(…)]` on a field takes `default = literal` (or `default` alone, for the type's), `min`, `max`, `values = [literals]`,
/// `rename = "…"` and `format = "…"`. A struct in a struct is a table in a table.
///
/// ```
/// # use portcullis_sdk::prelude::*;
/// /// What to do with robots.
/// #[settings]
/// enum Robots { Allow, TurnAway }
///
/// #[settings]
/// struct Door {
///     robots: Robots,
///     /// Percent of visitors let in.
///     #[setting(default = 100, max = 100)]
///     share: u8,
///     /// Where those go that are let in.
///     to: Option<Upstream>,
/// }
/// ```
pub use portcullis_sdk_macros::settings;

/// Everything a plugin names, also what std's prelude has and core's has not.
pub mod prelude {
    pub use crate::settings::{Map, OneOrMany, StoreName, Upstream};
    pub use crate::{
        AcceptVerdict, Accepted, AttemptVerdict, BalanceVerdict, Candidate, Choice, ClientHello, Closed, ConnectionEdits, Done, Edits,
        FailedAttempt, Fields, HelloVerdict, Plan, Pointer, Problem, Reply, Request, RequestBegin, RequestBody, RequestEdits, Response,
        ResponseBegin, ResponseBody, ResponseVerdict, Tick, UpstreamEdits, Verdict, plugin, settings,
    };
    pub use alloc::borrow::ToOwned;
    pub use alloc::boxed::Box;
    pub use alloc::rc::Rc;
    pub use alloc::string::{String, ToString};
    pub use alloc::vec::Vec;
    pub use alloc::{format, vec};
}

/// What the macros' output names. Not public API.
#[doc(hidden)]
pub mod __private {
    pub use alloc::vec::Vec;
    pub use serde;

    /// Reads `{}`, the settings of a plugin that has none.
    pub fn nothing<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<(), D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Nothing {}
        serde::Deserialize::deserialize(deserializer).map(|Nothing {}| ())
    }
}
