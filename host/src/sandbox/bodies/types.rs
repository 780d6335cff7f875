//! The contract's types of bodies (`wit/types.wit`) as wasmtime's derive sees them: what `plan-bodies` returns is carried across so; the
//! others stand here for their layout and type check, which `abi` delegates to.

#![allow(dead_code, reason = "they stand here for their layout")]

use super::super::types::{Edit, RequestInterest, ResponseInterest, Verdict};
use wasmtime::component::{ComponentType, Lift};

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in super::super) struct BodyPlan {
    pub(super) request: Option<RequestInterest>,
    pub(super) response: Option<ResponseInterest>,
}

#[derive(ComponentType, Lift)]
#[component(variant)]
pub(in super::super) enum BodyWant {
    #[component(name = "pass")]
    Pass,
    #[component(name = "watch")]
    Watch,
    #[component(name = "transform")]
    Transform,
    #[component(name = "buffer")]
    Buffer(u32),
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in super::super) struct BodyStart {
    pub(super) want: BodyWant,
    pub(super) edits: Vec<Edit>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in super::super) struct BodyRange {
    pub(super) start: u32,
    pub(super) length: u32,
}

#[derive(ComponentType, Lift)]
#[component(variant)]
pub(in super::super) enum BodyPiece {
    #[component(name = "keep")]
    Keep(BodyRange),
    #[component(name = "bytes")]
    Bytes(Vec<u8>),
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in super::super) struct BodyOutput {
    pub(super) pieces: Vec<BodyPiece>,
    pub(super) more: bool,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in super::super) struct BodyEnd {
    pub(super) pieces: Vec<BodyPiece>,
    pub(super) edits: Vec<Edit>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in super::super) struct BodyDecision {
    pub(super) verdict: Verdict,
    pub(super) edits: Vec<Edit>,
    pub(super) body: Option<Vec<u8>>,
}
