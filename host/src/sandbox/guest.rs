//! One live instance in a store of its own. After a failed call it must be thrown away.

use super::abi::{self, OnAccept, OnClientHello, OnClose, OnRequest, OnResponse, Request, Response};
use super::connection::{self, AcceptInterest, CloseInterest, ConnectionPlan, HelloInterest};
use super::fault::Broken;
use super::plan::{Plan, RequestInterest, ResponseInterest};
use super::plugin::Exports;
use super::recent::Giver;
use super::state::{Backing, State, on_tick};
use super::{lower, types};
use crate::chain::{ConnectionDecision, Decision, Hello};
use crate::message::{Arrival, Ending, Exchange, RequestHead, ResponseHead};
use smallvec::SmallVec;
use std::sync::Arc;
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, Func, Instance, InstancePre};

/// What data derived types may copy out of a guest in one call, bytes. Bounds `describe` and `configure`; decisions have bounds of their own.
const HOSTCALL_BYTES: usize = 4 << 20;

/// A configured guest. Boxed, so that a walk, which is moved about, has little to carry for each link it passed.
pub struct Guest(Box<Live>);

struct Live {
    store: Store<State>,
    request: Option<OnRequest>,
    response: Option<OnResponse>,
    accept: Option<OnAccept>,
    client_hello: Option<OnClientHello>,
    close: Option<OnClose>,
    one_block: bool,
    giver: Giver,
}

/// A guest that is not configured.
pub(super) struct Bare {
    store: Store<State>,
    instance: Instance,
}

impl Bare {
    pub(super) fn start(pre: &InstancePre<State>, backing: &Arc<Backing>) -> Result<Self, Broken> {
        let mut store = Store::new(pre.engine(), State::new(Arc::clone(backing)));
        store.limiter(|state| &mut state.ceiling);
        store.epoch_deadline_callback(on_tick);
        store.set_hostcall_fuel(HOSTCALL_BYTES);
        begin(&mut store);
        match pre.instantiate(&mut store) {
            Ok(instance) => Ok(Self { store, instance }),
            Err(error) => Err(broken(&store, &error)),
        }
    }

    pub(super) fn describe(mut self, exports: &Exports) -> Result<String, Broken> {
        begin(&mut self.store);
        let called = self
            .instance
            .get_typed_func::<(), (String,)>(&mut self.store, exports.describe)
            .and_then(|describe| describe.call(&mut self.store, ()));
        called.map(|(text,)| text).map_err(|error| broken(&self.store, &error))
    }

    /// Asks for the plans; the guest is not used further.
    pub(super) fn plan(
        mut self,
        exports: &Exports,
        settings: &str,
    ) -> Result<(types::Configured, Option<connection::types::ConnectionPlan>), Broken> {
        begin(&mut self.store);
        let called = self
            .instance
            .get_typed_func::<(&str,), (types::Configured,)>(&mut self.store, exports.configure)
            .and_then(|configure| configure.call(&mut self.store, (settings,)));
        let (said,) = called.map_err(|error| broken(&self.store, &error))?;
        let connections = match exports.connections.filter(|_| said.is_ok()) {
            Some(index) => Some(self.plan_connections(index)?),
            None => None,
        };
        Ok((said, connections))
    }

    fn plan_connections(&mut self, index: ComponentExportIndex) -> Result<connection::types::ConnectionPlan, Broken> {
        begin(&mut self.store);
        let called = self
            .instance
            .get_typed_func::<(), (connection::types::ConnectionPlan,)>(&mut self.store, index)
            .and_then(|plan| plan.call(&mut self.store, ()));
        called.map(|(plan,)| plan).map_err(|error| broken(&self.store, &error))
    }

    /// Replays settings that were accepted before.
    pub(super) fn configure(
        mut self,
        exports: &Exports,
        settings: &str,
        plan: &Plan,
        connections: &ConnectionPlan,
        giver: Giver,
    ) -> Result<Guest, Broken> {
        let configure = abi::reconfigure(self.func(&exports.configure)?);
        begin(&mut self.store);
        match configure.call(&mut self.store, (settings,)) {
            Ok((abi::Accepted(true),)) => {}
            Ok(_) => return Err(Broken::bad_output("`configure` refused settings that it had accepted before")),
            Err(error) => return Err(broken(&self.store, &error)),
        }
        let request = exports.request.filter(|_| plan.request.is_some()).map(|index| self.func(&index)).transpose()?;
        let response = exports.response.filter(|_| plan.response.is_some()).map(|index| self.func(&index)).transpose()?;
        let (request, response) = (request.map(abi::on_request), response.map(abi::on_response));
        let phases = connections.phases();
        let accept = exports.accept.filter(|_| phases.accept).map(|index| self.func(&index)).transpose()?.map(abi::on_accept);
        let hello = exports.client_hello.filter(|_| phases.client_hello).map(|index| self.func(&index)).transpose()?;
        let close = exports.close.filter(|_| phases.close).map(|index| self.func(&index)).transpose()?.map(abi::on_close);
        let client_hello = hello.map(abi::on_client_hello);
        Ok(Guest(Box::new(Live { store: self.store, request, response, accept, client_hello, close, one_block: exports.one_block, giver })))
    }

    fn func(&mut self, index: &ComponentExportIndex) -> Result<Func, Broken> {
        let func = self.instance.get_func(&mut self.store, index);
        func.ok_or_else(|| Broken::bad_output("an export is gone, though the component has it"))
    }
}

impl Guest {
    pub(super) fn on_request(&mut self, exchange: &Exchange, head: &RequestHead, interest: &RequestInterest) -> Result<Decision, Broken> {
        let live = &mut *self.0;
        let Some(func) = live.request else { return Err(Broken::bad_output("`on-request` is not planned")) };
        live.giver.gives();
        begin(&mut live.store);
        let id = if interest.exchange { exchange.id.0 } else { 0 };
        let mut attributes = SmallVec::new();
        lower::look_up(exchange, head, &interest.shown, &mut attributes);
        match func.call(&mut live.store, (id, Request { head, attributes: &attributes, interest, one_block: live.one_block })) {
            Ok((decided,)) => Ok(decided.0),
            Err(error) => Err(broken(&live.store, &error)),
        }
    }

    pub(super) fn on_response(
        &mut self,
        exchange: &Exchange,
        request: &RequestHead,
        head: &ResponseHead,
        interest: &ResponseInterest,
    ) -> Result<Decision, Broken> {
        let live = &mut *self.0;
        let Some(func) = live.response else { return Err(Broken::bad_output("`on-response` is not planned")) };
        live.giver.gives();
        begin(&mut live.store);
        let id = if interest.exchange { exchange.id.0 } else { 0 };
        let mut attributes = SmallVec::new();
        lower::look_up(exchange, request, &interest.shown, &mut attributes);
        match func.call(&mut live.store, (id, Response { head, attributes: &attributes, interest, one_block: live.one_block })) {
            Ok((decided,)) => Ok(decided.0),
            Err(error) => Err(broken(&live.store, &error)),
        }
    }
}

/// Phases of connections.
impl Guest {
    pub(super) fn on_accept(&mut self, arrival: &Arrival, interest: &AcceptInterest) -> Result<ConnectionDecision, Broken> {
        let live = &mut *self.0;
        let Some(func) = live.accept else { return Err(Broken::bad_output("`on-accept` is not planned")) };
        begin(&mut live.store);
        let id = if interest.connection { arrival.id.0 } else { 0 };
        let found = connection::look_up(arrival, &interest.attributes);
        let accepted = connection::types::Accepted {
            peer: connection::address(interest.peer, arrival.peer),
            local: connection::address(interest.local, arrival.local),
            attributes: &connection::shown(&found),
        };
        match func.call(&mut live.store, (id, accepted)) {
            Ok((decision,)) => connection::accept_decision(decision).map_err(|wrong| Broken::bad_output(wrong.to_string())),
            Err(error) => Err(broken(&live.store, &error)),
        }
    }

    pub(super) fn on_client_hello(
        &mut self,
        arrival: &Arrival,
        hello: Hello<'_>,
        interest: &HelloInterest,
    ) -> Result<ConnectionDecision, Broken> {
        let live = &mut *self.0;
        let Some(func) = live.client_hello else { return Err(Broken::bad_output("`on-client-hello` is not planned")) };
        begin(&mut live.store);
        let id = if interest.connection { arrival.id.0 } else { 0 };
        let found = connection::look_up(arrival, &interest.attributes);
        let ja4 = if interest.ja4 { connection::ja4::ja4(hello.read) } else { String::new() };
        let shown = connection::types::ClientHello {
            sni: hello.read.sni.as_deref().filter(|_| interest.sni),
            alpn: if interest.alpn { &hello.read.alpn } else { &[] },
            versions: if interest.versions { connection::versions(hello.read) } else { &[] },
            ciphers: if interest.ciphers { &hello.read.ciphers } else { &[] },
            ja4: &ja4,
            raw: if interest.raw { hello.raw } else { &[] },
            attributes: &connection::shown(&found),
        };
        match func.call(&mut live.store, (id, shown)) {
            Ok((decision,)) => connection::hello_decision(decision).map_err(|wrong| Broken::bad_output(wrong.to_string())),
            Err(error) => Err(broken(&live.store, &error)),
        }
    }

    pub(super) fn on_close(&mut self, arrival: &Arrival, ending: &Ending, interest: &CloseInterest) -> Result<(), Broken> {
        let live = &mut *self.0;
        let Some(func) = live.close else { return Err(Broken::bad_output("`on-close` is not planned")) };
        begin(&mut live.store);
        let id = if interest.connection { arrival.id.0 } else { 0 };
        let found = connection::look_up(arrival, &interest.attributes);
        let (received, sent) = if interest.bytes { (ending.received, ending.sent) } else { (0, 0) };
        let closed = connection::types::Closed {
            peer: connection::address(interest.peer, arrival.peer),
            received,
            sent,
            duration: if interest.duration { u64::try_from(ending.duration.as_micros()).unwrap_or(u64::MAX) } else { 0 },
            reason: if interest.reason { ending.why.as_str() } else { "" },
            attributes: &connection::shown(&found),
        };
        func.call(&mut live.store, (id, closed)).map_err(|error| broken(&live.store, &error))
    }
}

/// A call begins: its CPU time counts from here.
#[inline]
fn begin(store: &mut Store<State>) {
    let state = store.data_mut();
    state.clock.restart();
    state.ceiling.refused = None;
    state.backing.ticker.rouse();
    // The next tick: `clock` then looks at how much CPU time it really was.
    store.set_epoch_deadline(1);
}

#[cold]
fn broken(store: &Store<State>, error: &wasmtime::Error) -> Broken {
    Broken::from_error(error, store.data().ceiling.refused)
}
