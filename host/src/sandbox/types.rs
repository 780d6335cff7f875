//! The contract's types (`wit/types.wit`) as wasmtime's derive sees them: the layout and the exact type check that `abi` delegates to,
//! and the slow, safe way across that its tests compare it with.

#![cfg_attr(not(test), allow(dead_code, reason = "heads and decisions stand here for their layout; only tests carry them across this way"))]

use super::Problem;
use wasmtime::component::{ComponentType, Lift, Lower};

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(super) struct Header<'a> {
    pub(super) name: &'a str,
    pub(super) value: &'a [u8],
}

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(super) struct Attribute<'a> {
    pub(super) name: &'a str,
    pub(super) value: &'a str,
}

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(super) struct RequestHead<'a> {
    pub(super) method: &'a str,
    pub(super) scheme: &'a str,
    pub(super) authority: &'a str,
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
    pub(super) headers: &'a [Header<'a>],
    pub(super) attributes: &'a [Attribute<'a>],
}

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(super) struct ResponseHead<'a> {
    pub(super) status: u16,
    pub(super) headers: &'a [Header<'a>],
    pub(super) attributes: &'a [Attribute<'a>],
}

#[derive(ComponentType, Lift, Debug, Clone)]
#[component(record)]
pub(super) struct OwnedHeader {
    pub(super) name: String,
    pub(super) value: Vec<u8>,
}

#[derive(ComponentType, Lift, Debug, Clone)]
#[component(record)]
pub(super) struct OwnedAttribute {
    pub(super) name: String,
    pub(super) value: String,
}

#[derive(ComponentType, Lift, Debug, Clone)]
#[component(variant)]
pub(super) enum Edit {
    #[component(name = "set-header")]
    SetHeader(OwnedHeader),
    #[component(name = "append-header")]
    AppendHeader(OwnedHeader),
    #[component(name = "remove-header")]
    RemoveHeader(String),
    #[component(name = "set-method")]
    SetMethod(String),
    #[component(name = "set-authority")]
    SetAuthority(String),
    #[component(name = "set-path")]
    SetPath(String),
    #[component(name = "set-query")]
    SetQuery(Option<String>),
    #[component(name = "set-attribute")]
    SetAttribute(OwnedAttribute),
}

#[derive(ComponentType, Lift, Debug, Clone)]
#[component(record)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<OwnedHeader>,
    pub(super) body: Vec<u8>,
}

#[derive(ComponentType, Lift, Debug, Clone)]
#[component(variant)]
pub(super) enum Verdict {
    #[component(name = "next")]
    Next,
    #[component(name = "forward")]
    Forward(String),
    #[component(name = "reply")]
    Reply(Reply),
    #[component(name = "abort")]
    Abort,
}

#[derive(ComponentType, Lift, Debug, Clone)]
#[component(record)]
pub(super) struct Decision {
    pub(super) verdict: Verdict,
    pub(super) edits: Vec<Edit>,
}

wasmtime::component::flags! {
    RequestFields {
        #[component(name = "method")]
        const METHOD;
        #[component(name = "scheme")]
        const SCHEME;
        #[component(name = "authority")]
        const AUTHORITY;
        #[component(name = "path")]
        const PATH;
        #[component(name = "query")]
        const QUERY;
        #[component(name = "exchange")]
        const EXCHANGE;
    }
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct RequestInterest {
    pub(super) fields: RequestFields,
    pub(super) headers: Vec<String>,
    #[component(name = "all-headers")]
    pub(super) all_headers: bool,
    pub(super) attributes: Vec<String>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct ResponseInterest {
    pub(super) exchange: bool,
    pub(super) headers: Vec<String>,
    #[component(name = "all-headers")]
    pub(super) all_headers: bool,
    pub(super) attributes: Vec<String>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct Plan {
    pub(super) request: Option<RequestInterest>,
    pub(super) response: Option<ResponseInterest>,
    pub(super) warnings: Vec<Problem>,
}

/// What `configure` returns.
pub(super) type Configured = Result<Plan, Vec<Problem>>;
