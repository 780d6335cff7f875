//! Bodies across the wall: what a plugin wants to see of them, what it is shown, and what it makes of them, checked.
//!
//! In reading order: `plan` (once per link), `holds` (which guest an exchange is in), `../guest/bodies` (the calls), `abi` and `types` (across).

pub(super) mod abi;
mod holds;
mod plan;
pub(super) mod types;

pub use holds::BodyHold;
pub(super) use holds::Holds;
pub use plan::BodyPlan;

use crate::chain::{HoldPhases, Way};
use abi::{AtEnd, BeginRequest, BeginResponse, Release, Transform, Watch, Whole};
use wasmtime::component::{ComponentExportIndex, Func};

/// Where a component's functions for one body are. Their types have been checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct WayExports {
    pub(super) begin: ComponentExportIndex,
    pub(super) watch: ComponentExportIndex,
    pub(super) transform: ComponentExportIndex,
    pub(super) end: ComponentExportIndex,
    pub(super) whole: ComponentExportIndex,
}

/// Where a component's functions for bodies are.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyExports {
    pub(super) plan: ComponentExportIndex,
    pub(super) release: ComponentExportIndex,
    pub(super) request: Option<WayExports>,
    pub(super) response: Option<WayExports>,
}

/// A guest's functions for bodies. Both ways begin differently and are decided about differently.
pub(super) struct BodyFuncs {
    pub(super) release: Release,
    pub(super) request: Option<WayFuncs<BeginRequest, Whole<true>>>,
    pub(super) response: Option<WayFuncs<BeginResponse, Whole<false>>>,
}

pub(super) struct WayFuncs<B, W> {
    pub(super) begin: B,
    pub(super) pieces: PieceFuncs,
    pub(super) whole: W,
}

#[derive(Clone, Copy)]
pub(super) struct PieceFuncs {
    pub(super) watch: Watch,
    pub(super) transform: Transform,
    pub(super) end: AtEnd,
}

impl BodyExports {
    /// Which bodies it has functions for.
    pub(super) const fn ways(&self) -> (bool, bool) {
        (self.request.is_some(), self.response.is_some())
    }

    /// The functions that `plan` wants, by `func`.
    pub(super) fn funcs<E>(&self, plan: &BodyPlan, mut func: impl FnMut(&ComponentExportIndex) -> Result<Func, E>) -> Result<BodyFuncs, E> {
        let mut request = None;
        if let Some(of) = self.request.as_ref().filter(|_| plan.request.is_some()) {
            let (begin, whole) = (abi::typed(func(&of.begin)?), abi::typed(func(&of.whole)?));
            request = Some(WayFuncs { begin, pieces: of.pieces(&mut func)?, whole });
        }
        let mut response = None;
        if let Some(of) = self.response.as_ref().filter(|_| plan.response.is_some()) {
            let (begin, whole) = (abi::typed(func(&of.begin)?), abi::typed(func(&of.whole)?));
            response = Some(WayFuncs { begin, pieces: of.pieces(&mut func)?, whole });
        }
        Ok(BodyFuncs { release: abi::typed(func(&self.release)?), request, response })
    }
}

impl WayExports {
    fn pieces<E>(&self, func: &mut impl FnMut(&ComponentExportIndex) -> Result<Func, E>) -> Result<PieceFuncs, E> {
        Ok(PieceFuncs {
            watch: abi::typed(func(&self.watch)?),
            transform: abi::typed(func(&self.transform)?),
            end: abi::typed(func(&self.end)?),
        })
    }
}

impl BodyFuncs {
    pub(super) fn pieces(&self, way: Way) -> Option<PieceFuncs> {
        match way {
            Way::Request => self.request.as_ref().map(|funcs| funcs.pieces),
            Way::Response => self.response.as_ref().map(|funcs| funcs.pieces),
        }
    }
}

/// What a link does with exchanges, bodies and all.
pub(super) const fn phases(plan: &super::Plan, bodies: &BodyPlan) -> HoldPhases {
    HoldPhases {
        request: plan.request.is_some(),
        request_body: bodies.request.is_some(),
        response: plan.response.is_some(),
        response_body: bodies.response.is_some(),
    }
}
