//! One live instance in a store of its own. After a failed call it must be thrown away.

use super::abi::{self, OnRequest, OnResponse, Request, Response};
use super::fault::Broken;
use super::plan::{Plan, RequestInterest, ResponseInterest};
use super::plugin::Exports;
use super::state::{Backing, State, on_tick};
use super::{lower, types};
use crate::chain::Decision;
use crate::message::{Exchange, RequestHead, ResponseHead};
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
    one_block: bool,
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

    /// Asks for the plan; the guest is not used further.
    pub(super) fn plan(mut self, exports: &Exports, settings: &str) -> Result<types::Configured, Broken> {
        begin(&mut self.store);
        let called = self
            .instance
            .get_typed_func::<(&str,), (types::Configured,)>(&mut self.store, exports.configure)
            .and_then(|configure| configure.call(&mut self.store, (settings,)));
        called.map(|(plan,)| plan).map_err(|error| broken(&self.store, &error))
    }

    /// Replays settings that were accepted before.
    pub(super) fn configure(mut self, exports: &Exports, settings: &str, plan: &Plan) -> Result<Guest, Broken> {
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
        Ok(Guest(Box::new(Live { store: self.store, request, response, one_block: exports.one_block })))
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
