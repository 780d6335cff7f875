//! One live instance in a store of its own. After a failed call it must be thrown away.

mod bodies;

pub(super) use bodies::Whose;

use super::abi::{
    self, Decided, OnAccept, OnAttempt, OnBalance, OnClientHello, OnClose, OnDone, OnRequest, OnResponse, OnTick, Request, Response,
};
use super::bodies::{BodyFuncs, BodyPlan, types as body};
use super::configured::Tally;
use super::connection::{self, AcceptInterest, CloseInterest, HelloInterest};
use super::direct::{Direct, Inside, Start};
use super::fault::Broken;
use super::imports::Errands;
use super::inputs::{RequestInputs, ResponseInputs};
use super::passing::Passing;
use super::plan::{Plan, Plans};
use super::plugin::Exports;
use super::recent::Giver;
use super::state::{Backing, State, on_tick};
use super::types;
use super::upstreams::{self, UpstreamPlan};
use crate::chain::{ConnectionDecision, Decision, Hello};
use crate::message::{Arrival, Ending, Exchange};
use std::sync::Arc;
use wasmtime::component::{ComponentExportIndex, ComponentType, Func, Instance, InstancePre, Lift};
use wasmtime::{Engine, Store};

/// What data derived types may copy out of a guest in one call, bytes. Bounds `describe` and `configure`; decisions have bounds of their own.
const HOSTCALL_BYTES: usize = 4 << 20;

/// A configured guest. Boxed, so that a walk, which is moved about, has little to carry for each link it passed.
pub struct Guest(pub(super) Box<Live>);

pub(super) struct Live {
    pub(super) store: Store<State>,
    request: Option<OnRequest>,
    response: Option<OnResponse>,
    accept: Option<OnAccept>,
    client_hello: Option<OnClientHello>,
    close: Option<OnClose>,
    /// Its phases of exchanges are called without the component around them.
    inside: Option<Inside>,
    /// `None`: it looks at no bodies.
    bodies: Option<Box<BodyFuncs>>,
    pub(super) going_out: GoingOut,
    pub(super) giver: Giver,
}

/// The phases on the way to upstreams, and after it.
#[derive(Default)]
pub(super) struct GoingOut {
    pub(super) balance: Option<OnBalance>,
    pub(super) attempt: Option<OnAttempt>,
    pub(super) done: Option<OnDone>,
    pub(super) tick: Option<OnTick>,
}

/// What a guest said to its settings.
pub(super) struct Said {
    pub(super) plan: types::Configured,
    pub(super) connections: Option<connection::types::ConnectionPlan>,
    pub(super) bodies: Option<body::BodyPlan>,
    pub(super) upstreams: Option<upstreams::types::UpstreamPlan>,
}

/// A guest that is not configured.
pub(super) struct Bare {
    store: Store<State>,
    instance: Instance,
}

impl Bare {
    pub(super) fn start(pre: &InstancePre<State>, backing: &Arc<Backing>) -> Result<Self, Broken> {
        let mut store = store(pre.engine(), backing, None);
        match pre.instantiate(&mut store) {
            Ok(instance) => Ok(Self { store, instance }),
            Err(error) => Err(broken(&mut store, &error).during("start")),
        }
    }

    /// On a stack of its own, so that it may wait.
    pub(super) async fn start_waiting(pre: &InstancePre<State>, backing: &Arc<Backing>, errands: Option<Errands>) -> Result<Self, Broken> {
        let mut store = store(pre.engine(), backing, errands);
        match pre.instantiate_async(&mut store).await {
            Ok(instance) => Ok(Self { store, instance }),
            Err(error) => Err(broken(&mut store, &error).during("start")),
        }
    }

    pub(super) fn describe(mut self, exports: &Exports) -> Result<String, Broken> {
        begin(&mut self.store);
        let called = self
            .instance
            .get_typed_func::<(), (String,)>(&mut self.store, exports.describe)
            .and_then(|describe| describe.call(&mut self.store, ()));
        called.map(|(text,)| text).map_err(|error| broken(&mut self.store, &error).during("describe"))
    }

    /// Asks for the plans; the guest is not used further.
    pub(super) fn plan(mut self, exports: &Exports, settings: &str) -> Result<Said, Broken> {
        begin(&mut self.store);
        let called = self
            .instance
            .get_typed_func::<(&str,), (types::Configured,)>(&mut self.store, exports.configure)
            .and_then(|configure| configure.call(&mut self.store, (settings,)));
        let (said,) = called.map_err(|error| broken(&mut self.store, &error).during("configure"))?;
        let accepted = said.is_ok();
        let connections = self.plan_more(exports.connections.filter(|_| accepted), "plan-connections")?;
        let bodies = self.plan_more(exports.bodies.filter(|_| accepted).map(|exported| exported.plan), "plan-bodies")?;
        let upstreams = self.plan_more(exports.upstreams.filter(|_| accepted), "plan-upstreams")?;
        Ok(Said { plan: said, connections, bodies, upstreams })
    }

    /// One of the functions that plan more than heads, if it is there.
    fn plan_more<T>(&mut self, index: Option<ComponentExportIndex>, func: &'static str) -> Result<Option<T>, Broken>
    where
        T: ComponentType + Lift + 'static,
    {
        let Some(index) = index else { return Ok(None) };
        begin(&mut self.store);
        let called = self.instance.get_typed_func::<(), (T,)>(&mut self.store, index).and_then(|plan| plan.call(&mut self.store, ()));
        called.map(|(plan,)| Some(plan)).map_err(|error| broken(&mut self.store, &error).during(func))
    }

    /// Replays settings that were accepted before.
    pub(super) fn configure(mut self, exports: &Exports, settings: &str, plans: &Plans, giver: Giver) -> Result<Guest, Broken> {
        let configure = abi::reconfigure(self.func(&exports.configure)?);
        begin(&mut self.store);
        let said = configure.call(&mut self.store, (settings,));
        self.accepted(said)?;
        let (request, response) = self.exchange_phases(exports, &plans.heads)?;
        let phases = plans.connections.phases();
        let accept = self.phase(exports.accept, phases.accept)?.map(abi::on_accept);
        let client_hello = self.phase(exports.client_hello, phases.client_hello)?.map(abi::on_client_hello);
        let close = self.phase(exports.close, phases.close)?.map(abi::on_close);
        let (bodies, going_out) = (self.body_phases(exports, &plans.bodies)?, self.going_out(exports, &plans.upstreams)?);
        let (store, inside) = (self.store, None);
        Ok(Guest(Box::new(Live { store, request, response, accept, client_hello, close, inside, bodies, going_out, giver })))
    }

    /// As [`Self::configure`], for a guest that may wait. It has phases of exchanges, and ticks.
    pub(super) async fn configure_waiting(mut self, exports: &Exports, settings: &str, plans: &Plans) -> Result<Guest, Broken> {
        let configure = abi::reconfigure(self.func(&exports.configure)?);
        begin(&mut self.store);
        let said = configure.call_async(&mut self.store, (settings,)).await;
        self.accepted(said)?;
        let (request, response) = self.exchange_phases(exports, &plans.heads)?;
        let (accept, client_hello, close) = (None, None, None);
        let (bodies, going_out) = (self.body_phases(exports, &plans.bodies)?, self.going_out(exports, &plans.upstreams)?);
        let (store, inside, giver) = (self.store, None, Giver::NOBODY);
        Ok(Guest(Box::new(Live { store, request, response, accept, client_hello, close, inside, bodies, going_out, giver })))
    }

    fn accepted(&mut self, said: wasmtime::Result<(abi::Accepted,)>) -> Result<(), Broken> {
        match said {
            Ok((abi::Accepted(true),)) => Ok(()),
            Ok(_) => Err(Broken::bad_output("`configure` refused settings that it had accepted before")),
            Err(error) => Err(broken(&mut self.store, &error).during("configure")),
        }
    }

    fn exchange_phases(&mut self, exports: &Exports, plan: &Plan) -> Result<(Option<OnRequest>, Option<OnResponse>), Broken> {
        let request = self.phase(exports.request, plan.request.is_some())?;
        let response = self.phase(exports.response, plan.response.is_some())?;
        Ok((request.map(abi::on_request), response.map(abi::on_response)))
    }

    fn body_phases(&mut self, exports: &Exports, plan: &BodyPlan) -> Result<Option<Box<BodyFuncs>>, Broken> {
        let exported = exports.bodies.filter(|_| plan.any());
        exported.map(|exported| exported.funcs(plan, |index| self.func(index)).map(Box::new)).transpose()
    }

    fn going_out(&mut self, exports: &Exports, plan: &UpstreamPlan) -> Result<GoingOut, Broken> {
        Ok(GoingOut {
            balance: self.phase(exports.balance, plan.balance.is_some())?.map(abi::on_balance),
            attempt: self.phase(exports.attempt, plan.attempt.is_some())?.map(abi::on_attempt),
            done: self.phase(exports.done, plan.done.is_some())?.map(abi::on_done),
            tick: self.phase(exports.tick, plan.tick.is_some())?.map(abi::on_tick),
        })
    }

    /// The function of a phase, if it is `wanted`.
    fn phase(&mut self, export: Option<ComponentExportIndex>, wanted: bool) -> Result<Option<Func>, Broken> {
        export.filter(|_| wanted).map(|index| self.func(&index)).transpose()
    }

    fn func(&mut self, index: &ComponentExportIndex) -> Result<Func, Broken> {
        let func = self.instance.get_func(&mut self.store, index);
        func.ok_or_else(|| Broken::bad_output("an export is gone, though the component has it"))
    }
}

impl Guest {
    /// The same, counted as long as it lives.
    pub(super) fn counted(mut self, tally: &Arc<Tally>) -> Self {
        self.0.store.data_mut().ceiling.count_in(tally);
        self
    }
}

/// Phases of exchanges.
impl Guest {
    /// Of a plugin that needs no component around it, with settings that were accepted before.
    pub(super) fn inside(
        direct: &Direct,
        (engine, backing): (&Engine, &Arc<Backing>),
        settings: &str,
        (giver, image): (Giver, Option<&Start>),
    ) -> Result<Self, Broken> {
        let mut store = store(engine, backing, None);
        match direct.start(&mut store, settings, image) {
            Ok(inside) => {
                let (request, response, accept, client_hello, close) = (None, None, None, None, None);
                Ok(Self(Box::new(Live {
                    store,
                    request,
                    response,
                    accept,
                    client_hello,
                    close,
                    inside: Some(inside),
                    bodies: None,
                    going_out: GoingOut::default(),
                    giver,
                })))
            }
            Err(error) => Err(broken(&mut store, &error).during("start").moved_back(direct.grown)),
        }
    }

    /// What it was when it had taken its settings; `None`: that cannot be, and it is gone.
    pub(super) fn set_back(mut self, direct: &Direct, image: &Start) -> Option<Self> {
        let live = &mut *self.0;
        direct.set_back(live.inside.as_mut()?, &mut live.store, image)?;
        Some(self)
    }

    #[inline]
    pub(super) fn on_request(&mut self, exchange: &Exchange, inputs: &RequestInputs<'_>, passing: &Passing) -> Result<Decision, Broken> {
        let live = &mut *self.0;
        live.enter(exchange);
        if let Some(inside) = &live.inside {
            return inside
                .on_request(&mut live.store, inputs, passing)
                .map_err(|error| broken(&mut live.store, &error).during("on-request").moved_back(inside.grown));
        }
        let func = planned(live.request, "on-request")?;
        let called = func.call(&mut live.store, (inputs.exchange, Request { inputs, passing }));
        live.decision(called)
    }

    #[inline]
    pub(super) fn on_response(&mut self, exchange: &Exchange, inputs: &ResponseInputs<'_>, passing: &Passing) -> Result<Decision, Broken> {
        let live = &mut *self.0;
        live.enter(exchange);
        if let Some(inside) = &live.inside {
            return inside
                .on_response(&mut live.store, inputs, passing)
                .map_err(|error| broken(&mut live.store, &error).during("on-response").moved_back(inside.grown));
        }
        let func = planned(live.response, "on-response")?;
        let called = func.call(&mut live.store, (inputs.exchange, Response { inputs, passing }));
        live.decision(called)
    }
}

/// The same for guests that may wait. Dropping the future before it is done leaves a guest that must be thrown away.
impl Guest {
    pub(super) async fn on_request_waiting(
        &mut self,
        exchange: &Exchange,
        inputs: &RequestInputs<'_>,
        passing: &Passing,
    ) -> Result<Decision, Broken> {
        let live = &mut *self.0;
        let func = planned(live.request, "on-request")?;
        live.enter(exchange);
        let called = live.giver.throughout(func.call_async(&mut live.store, (inputs.exchange, Request { inputs, passing }))).await;
        live.decision(called)
    }

    pub(super) async fn on_response_waiting(
        &mut self,
        exchange: &Exchange,
        inputs: &ResponseInputs<'_>,
        passing: &Passing,
    ) -> Result<Decision, Broken> {
        let live = &mut *self.0;
        let func = planned(live.response, "on-response")?;
        live.enter(exchange);
        let called = live.giver.throughout(func.call_async(&mut live.store, (inputs.exchange, Response { inputs, passing }))).await;
        live.decision(called)
    }
}

impl Guest {
    pub(super) fn memory(&self) -> usize {
        self.0.store.data().ceiling.used()
    }
}

impl Live {
    /// A phase of this exchange begins.
    #[inline]
    pub(super) fn enter(&mut self, exchange: &Exchange) {
        self.giver.gives();
        begin_for(&mut self.store, Some(exchange));
    }

    #[inline]
    fn decision<const REQUEST: bool>(&mut self, called: wasmtime::Result<(Decided<REQUEST>,)>) -> Result<Decision, Broken> {
        let phase = if REQUEST { "on-request" } else { "on-response" };
        called.map(|(decided,)| decided.0).map_err(|error| broken(&mut self.store, &error).during(phase))
    }
}

/// A phase that the guest's plan has.
#[inline]
pub(super) fn planned<F>(func: Option<F>, phase: &str) -> Result<F, Broken> {
    func.ok_or_else(|| Broken::bad_output(format!("`{phase}` is not planned")))
}

/// Phases of connections.
impl Guest {
    pub(super) fn on_accept(&mut self, arrival: &Arrival, interest: &AcceptInterest) -> Result<ConnectionDecision, Broken> {
        let live = &mut *self.0;
        let func = planned(live.accept, "on-accept")?;
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
            Err(error) => Err(broken(&mut live.store, &error).during("on-accept")),
        }
    }

    pub(super) fn on_client_hello(
        &mut self,
        arrival: &Arrival,
        hello: Hello<'_>,
        interest: &HelloInterest,
    ) -> Result<ConnectionDecision, Broken> {
        let live = &mut *self.0;
        let func = planned(live.client_hello, "on-client-hello")?;
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
            Err(error) => Err(broken(&mut live.store, &error).during("on-client-hello")),
        }
    }

    pub(super) fn on_close(&mut self, arrival: &Arrival, ending: &Ending, interest: &CloseInterest) -> Result<(), Broken> {
        let live = &mut *self.0;
        let func = planned(live.close, "on-close")?;
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
        func.call(&mut live.store, (id, closed)).map_err(|error| broken(&mut live.store, &error).during("on-close"))
    }
}

/// What a guest lives in. Its first call, that of making it, has begun.
fn store(engine: &Engine, backing: &Arc<Backing>, errands: Option<Errands>) -> Store<State> {
    let mut store = Store::new(engine, State::new(Arc::clone(backing), errands));
    store.limiter(|state| &mut state.ceiling);
    store.epoch_deadline_callback(on_tick);
    store.set_hostcall_fuel(HOSTCALL_BYTES);
    begin(&mut store);
    store
}

/// A call begins: its CPU time counts from here.
#[inline]
pub(super) fn begin(store: &mut Store<State>) {
    begin_for(store, None);
}

#[inline(always)]
fn begin_for(store: &mut Store<State>, exchange: Option<&Exchange>) {
    let state = store.data_mut();
    state.clock.restart();
    state.ceiling.refused = None;
    state.exchange = exchange.map(|exchange| exchange.id.0);
    let trace = exchange.and_then(|exchange| exchange.trace.as_ref());
    // Most are not traced, and were not before.
    if trace.is_some() || state.trace.is_some() {
        state.trace = trace.cloned();
    }
    state.ticker.rouse();
    // The next tick: `clock` then looks at how much CPU time it really was.
    store.set_epoch_deadline(1);
}

#[cold]
pub(super) fn broken(store: &mut Store<State>, error: &wasmtime::Error) -> Broken {
    let State { ceiling, console, backing, .. } = store.data_mut();
    // What a panic says may lack a newline.
    console.flush(&backing.log);
    Broken::from_error(error, ceiling.refused, console.last())
}
