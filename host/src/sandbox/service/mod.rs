//! Components that answer requests themselves: `wasi:http/proxy` 0.2, run by wasmtime's own bindings. Each request gets a fresh instance with limits of
//! its own, which is gone when its answer has been sent.
//!
//! Nothing here blocks and nothing is spawned: whoever wants the answer drives the guest, and whoever drops it ends the guest. A guest that computes
//! lets others go on once a millisecond; one that waits costs no CPU time.
//!
//! wasi:http 0.3 is not here: its bindings want `component-model-async` in the one engine that all guests share, where it makes every call of a plugin
//! cost four times as much, and wasmtime 48 calls them experimental, without a promise of security.

mod answer;
mod meter;
mod outgoing;
mod print;
mod state;

pub use answer::{Answer, AnswerError};

use super::fault::Broken;
use super::grants::Refusal;
use super::imports::Errands;
use super::load::{LoadError, Sandbox, digest};
use super::ticker::Ticker;
use super::wasi::{Level, Log};
use crate::chain::Cause;
use crate::config::GuestLimits;
use answer::Running;
use bytes::Bytes;
use http_body_util::BodyExt;
use meter::Meter;
use state::ServiceState;
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::oneshot;
use wasmtime::Store;
use wasmtime::component::{Component, Linker};
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::{Error, WasiHttpView};

const EXPORT: &str = "wasi:http/incoming-handler";
const OFFERED: &str = "0.2";
const OUTGOING: &str = "wasi:http/outgoing-handler";

/// What of WASI a service may import; what it may reach is empty but for clocks, random numbers and the log.
const INTERFACES: &[&str] = &["wasi:http/types", OUTGOING, "wasi:io/", "wasi:clocks/", "wasi:random/", "wasi:cli/", "wasi:filesystem/"];

/// A compiled service. Shared by all workers.
pub struct Service {
    pre: ProxyPre<ServiceState>,
    shared: Arc<Shared>,
}

/// What a service gets from the operator.
#[derive(Debug, Clone)]
pub struct ServiceGrant {
    pub limits: GuestLimits,
    /// Upstreams that it may send requests to, as `http://<upstream>/…`.
    pub http: BTreeSet<String>,
}

/// What all guests of one service share.
struct Shared {
    limits: GuestLimits,
    http: BTreeSet<String>,
    log: Log,
    ticker: Arc<Ticker>,
}

impl Sandbox {
    /// A service from the bytes of its file; `name` is what the log calls it. Blocks for as long as compiling takes.
    pub fn load_service(&self, bytes: &[u8], pin: Option<&[u8; 32]>, grant: ServiceGrant, name: &str) -> Result<Service, LoadError> {
        let found = digest(bytes);
        if let Some(pinned) = pin.filter(|pinned| **pinned != found) {
            return Err(LoadError::Digest { found, pinned: *pinned });
        }
        let component = self.compile(bytes, &found)?;
        self.check_exports(&component)?;
        self.check_imports(&component, &grant)?;
        let wrong_type = |error: wasmtime::Error| LoadError::ImportType(format!("{error:#}"));
        let mut linker = Linker::new(&self.engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(wrong_type)?;
        wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker).map_err(wrong_type)?;
        let linked = linker.instantiate_pre(&component).map_err(wrong_type)?;
        let pre =
            ProxyPre::new(linked).map_err(|error| LoadError::WrongType { export: EXPORT.to_owned(), reason: format!("{error:#}") })?;
        let ServiceGrant { limits, http } = grant;
        let ticker = self.ticker();
        ticker.cover(limits.cpu);
        Ok(Service { pre, shared: Arc::new(Shared { limits, http, log: Log::new(name), ticker }) })
    }

    fn check_exports(&self, component: &Component) -> Result<(), LoadError> {
        let kind = component.component_type();
        let mut newer = None;
        for (name, _) in kind.exports(&self.engine) {
            match name.split_once('@') {
                Some((EXPORT, version)) if version.starts_with("0.2.") => return Ok(()),
                Some((EXPORT | "wasi:http/handler", _)) => newer = Some(name.to_owned()),
                _ => {}
            }
        }
        match newer {
            Some(export) => Err(LoadError::Version { export, offered: format!("{EXPORT}@{OFFERED}") }),
            None => Err(LoadError::NoExport(format!("{EXPORT}@{OFFERED}"))),
        }
    }

    fn check_imports(&self, component: &Component, grant: &ServiceGrant) -> Result<(), LoadError> {
        for (import, _) in component.component_type().imports(&self.engine) {
            let (base, version) = import.split_once('@').unwrap_or((import, ""));
            let import = import.to_owned();
            if !INTERFACES.iter().any(|known| base == *known || known.ends_with('/') && base.starts_with(known)) {
                return Err(Refusal::NotGranted { import }.into());
            }
            if !version.starts_with("0.2.") {
                return Err(Refusal::Version { import, offered: OFFERED.to_owned() }.into());
            }
            if base == OUTGOING && grant.http.is_empty() {
                return Err(Refusal::Ungranted { import, grant: "http = [\"…\"]" }.into());
            }
        }
        Ok(())
    }
}

impl Service {
    /// Runs a fresh guest until it has begun to answer; the rest of it runs as the answer is read. `secure`: the client came over TLS.
    ///
    /// # Errors
    /// By what it failed, if it did before it answered. Why stands in the log.
    pub async fn handle<B>(
        &self,
        request: http::Request<B>,
        secure: bool,
        errands: Option<Errands>,
    ) -> Result<http::Response<Answer>, Cause>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: std::fmt::Display,
    {
        let answered = self.start(request, secure, errands).await;
        answered.map_err(|broken| {
            self.shared.say(&broken);
            broken.cause
        })
    }

    async fn start<B>(&self, request: http::Request<B>, secure: bool, errands: Option<Errands>) -> Result<http::Response<Answer>, Broken>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: std::fmt::Display,
    {
        let meter = Arc::new(Meter::new(self.shared.limits.cpu));
        let (sender, mut receiver) = oneshot::channel();
        let mut store = state::store(self.pre.engine(), &self.shared, &meter, errands);
        let request = request.map(|body| body.map_err(|error| Error::InternalError(Some(error.to_string()))));
        let scheme = if secure { Scheme::Https } else { Scheme::Http };
        let ours = |error: wasmtime::Error| Broken::bad_output(format!("{error:#}"));
        let request = store.data_mut().http().new_incoming_request(scheme, request).map_err(ours)?;
        let out = store.data_mut().http().new_response_outparam(sender).map_err(ours)?;
        let pre = self.pre.clone();
        let guest = Box::pin(async move {
            let called = match pre.instantiate_async(&mut store).await {
                Ok(proxy) => proxy.wasi_http_incoming_handler().call_handle(&mut store, request, out).await,
                Err(error) => Err(error),
            };
            called.map_err(|error| broken(&store, &error))
        });
        let mut running = Running::new(guest, meter, &self.shared);
        let (answer, ended) = poll_fn(|cx| match (running.poll(cx), receiver.try_recv()) {
            // Also if it has answered: that has not been sent yet.
            (Poll::Ready(Err(broken)), _) => Poll::Ready(Err(broken)),
            (ended, Ok(answer)) => Poll::Ready(Ok((answer, ended.is_ready()))),
            (Poll::Ready(Ok(())), Err(_)) => Poll::Ready(Err(Broken::bad_output("it ended without an answer"))),
            (Poll::Pending, Err(_)) => Poll::Pending,
        })
        .await?;
        let response = answer.map_err(|code| Broken::bad_output(format!("it answers with the error {code:?}")))?;
        if response.status().is_informational() {
            return Err(Broken::bad_output(format!("it answers with status {}", response.status().as_u16())));
        }
        let running = (!ended).then_some(running);
        Ok(response.map(|body| Answer::new(body, running, Arc::clone(&self.shared))))
    }
}

impl Shared {
    /// At the rate of what the service itself may print: a fault is as cheap to cause.
    fn say(&self, broken: &Broken) {
        self.log.say(Level::Error, None, format!("the service failed ({:?}): {}", broken.cause, broken.detail).as_bytes());
    }
}

#[cold]
fn broken(store: &Store<ServiceState>, error: &wasmtime::Error) -> Broken {
    match error.downcast_ref::<wasmtime_wasi::I32Exit>() {
        Some(exit) => Broken { cause: Cause::Trap, detail: format!("the guest exited with {}", exit.0) },
        None => Broken::from_error(error, store.data().ceiling.refused),
    }
}
