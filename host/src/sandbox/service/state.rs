//! What the store of a service's guest holds.

use super::Shared;
use super::meter::Meter;
use super::outgoing::Outgoing;
use super::print::Paper;
use crate::sandbox::fault::Stop;
use crate::sandbox::imports::Errands;
use crate::sandbox::state::Ceiling;
use std::sync::Arc;
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store, StoreContextMut, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// Handles at once: streams, fields, bodies, pollables. A request takes some ten.
const MOST_HANDLES: usize = 4096;

/// What the bindings may copy out of a guest in one call, bytes: a header with all its fields, or a piece of a body.
const HOSTCALL_BYTES: usize = 4 << 20;

pub(super) struct ServiceState {
    pub(super) ceiling: Ceiling,
    meter: Arc<Meter>,
    shared: Arc<Shared>,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    outgoing: Outgoing,
}

/// For one request. No environment, no arguments, no files, no sockets: what is not set here is empty or refused.
pub(super) fn store(engine: &Engine, shared: &Arc<Shared>, meter: &Arc<Meter>, errands: Option<Errands>) -> Store<ServiceState> {
    let paper = Paper::new(Arc::clone(shared));
    let wasi = WasiCtxBuilder::new().stdout(paper.out()).stderr(paper.err()).build();
    let mut table = ResourceTable::new();
    table.set_max_capacity(MOST_HANDLES);
    let state = ServiceState {
        ceiling: Ceiling::new(shared.limits.memory),
        meter: Arc::clone(meter),
        shared: Arc::clone(shared),
        wasi,
        http: WasiHttpCtx::new(),
        table,
        outgoing: Outgoing::new(Arc::clone(shared), errands),
    };
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.ceiling);
    store.epoch_deadline_callback(on_tick);
    store.set_epoch_deadline(1);
    store.set_hostcall_fuel(HOSTCALL_BYTES);
    store
}

/// A guest that still computes lets its worker look after others before it goes on.
fn on_tick(store: StoreContextMut<'_, ServiceState>) -> wasmtime::Result<UpdateDeadline> {
    let state = store.data();
    state.shared.ticker.rouse();
    if state.meter.is_over() { Err(Stop::OutOfTime(state.meter.limit()).into()) } else { Ok(UpdateDeadline::Yield(1)) }
}

impl WasiView for ServiceState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for ServiceState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outgoing, table: &mut self.table, ctx: &mut self.http }
    }
}
