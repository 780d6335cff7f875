//! The contract's types of the way to upstreams (`wit/types.wit`) as wasmtime's derive carries them across.

use super::super::types::{Attribute, Header, OwnedAttribute};
use wasmtime::component::{ComponentType, Lift, Lower};

wasmtime::component::flags! {
    BalanceFields {
        #[component(name = "upstream")]
        const UPSTREAM;
        #[component(name = "method")]
        const METHOD;
        #[component(name = "path")]
        const PATH;
        #[component(name = "address")]
        const ADDRESS;
        #[component(name = "weight")]
        const WEIGHT;
        #[component(name = "tags")]
        const TAGS;
        #[component(name = "load")]
        const LOAD;
        #[component(name = "exchange")]
        const EXCHANGE;
    }
}

wasmtime::component::flags! {
    AttemptFields {
        #[component(name = "server")]
        const SERVER;
        #[component(name = "reason")]
        const REASON;
        #[component(name = "candidates")]
        const CANDIDATES;
        #[component(name = "exchange")]
        const EXCHANGE;
    }
}

wasmtime::component::flags! {
    DoneFields {
        #[component(name = "upstream")]
        const UPSTREAM;
        #[component(name = "server")]
        const SERVER;
        #[component(name = "reason")]
        const REASON;
        #[component(name = "times")]
        const TIMES;
        #[component(name = "bytes")]
        const BYTES;
        #[component(name = "exchange")]
        const EXCHANGE;
    }
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in super::super) struct BalanceInterest {
    pub(super) fields: BalanceFields,
    pub(super) headers: Vec<String>,
    pub(super) attributes: Vec<String>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in super::super) struct AttemptInterest {
    pub(super) fields: AttemptFields,
    pub(super) statuses: Vec<u16>,
    pub(super) attributes: Vec<String>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in super::super) struct DoneInterest {
    pub(super) fields: DoneFields,
    pub(super) attributes: Vec<String>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in super::super) struct UpstreamPlan {
    pub(super) balance: Option<BalanceInterest>,
    pub(super) attempt: Option<AttemptInterest>,
    pub(super) done: Option<DoneInterest>,
    pub(super) tick: Option<u32>,
}

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(in super::super) struct Candidate<'a> {
    pub(super) number: u32,
    pub(super) address: &'a str,
    pub(super) weight: u32,
    pub(super) tags: &'a [String],
    pub(super) running: u32,
    pub(super) latency: u32,
}

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(in super::super) struct Choice<'a> {
    pub(in super::super) upstream: &'a str,
    pub(in super::super) failed: u32,
    pub(in super::super) method: &'a str,
    pub(in super::super) path: &'a str,
    pub(in super::super) headers: &'a [Header<'a>],
    pub(in super::super) attributes: &'a [Attribute<'a>],
    pub(in super::super) candidates: &'a [Candidate<'a>],
}

#[derive(ComponentType, Lift)]
#[component(variant)]
pub(in super::super) enum BalanceVerdict {
    #[component(name = "next")]
    Next,
    #[component(name = "choose")]
    Choose(u32),
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in super::super) struct BalanceDecision {
    pub(super) verdict: BalanceVerdict,
    pub(super) attributes: Vec<OwnedAttribute>,
}

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(in super::super) struct FailedAttempt<'a> {
    pub(in super::super) server: &'a str,
    pub(in super::super) attempt: u32,
    pub(in super::super) reason: &'a str,
    pub(in super::super) status: Option<u16>,
    pub(in super::super) sent: bool,
    pub(in super::super) left: u32,
    pub(in super::super) attributes: &'a [Attribute<'a>],
    pub(in super::super) candidates: &'a [Candidate<'a>],
}

#[derive(ComponentType, Lift)]
#[component(variant)]
pub(in super::super) enum AttemptVerdict {
    #[component(name = "next")]
    Next,
    #[component(name = "stop")]
    Stop,
    #[component(name = "again")]
    Again,
    #[component(name = "again-on")]
    AgainOn(u32),
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in super::super) struct AttemptDecision {
    pub(super) verdict: AttemptVerdict,
    pub(super) attributes: Vec<OwnedAttribute>,
}

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(in super::super) struct Done<'a> {
    pub(in super::super) upstream: &'a str,
    pub(in super::super) server: &'a str,
    pub(in super::super) attempts: u32,
    pub(in super::super) status: Option<u16>,
    pub(in super::super) reason: &'a str,
    pub(in super::super) duration: u64,
    #[component(name = "first-byte")]
    pub(in super::super) first_byte: u64,
    pub(in super::super) received: u64,
    pub(in super::super) sent: u64,
    pub(in super::super) attributes: &'a [Attribute<'a>],
}

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(in super::super) struct Tick {
    pub(in super::super) number: u64,
    pub(in super::super) worker: u32,
    pub(in super::super) workers: u32,
}
