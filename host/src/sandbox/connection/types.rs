//! The contract's types of connections (`wit/types.wit`) as wasmtime's derive carries them across.

use super::super::types::{Attribute, OwnedAttribute};
use wasmtime::component::{ComponentType, Lift, Lower};

wasmtime::component::flags! {
    AcceptFields {
        #[component(name = "peer")]
        const PEER;
        #[component(name = "local")]
        const LOCAL;
        #[component(name = "connection")]
        const CONNECTION;
    }
}

wasmtime::component::flags! {
    HelloFields {
        #[component(name = "sni")]
        const SNI;
        #[component(name = "alpn")]
        const ALPN;
        #[component(name = "versions")]
        const VERSIONS;
        #[component(name = "ciphers")]
        const CIPHERS;
        #[component(name = "ja4")]
        const JA4;
        #[component(name = "raw")]
        const RAW;
        #[component(name = "connection")]
        const CONNECTION;
    }
}

wasmtime::component::flags! {
    CloseFields {
        #[component(name = "peer")]
        const PEER;
        #[component(name = "bytes")]
        const BYTES;
        #[component(name = "duration")]
        const DURATION;
        #[component(name = "reason")]
        const REASON;
        #[component(name = "connection")]
        const CONNECTION;
    }
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in super::super) struct AcceptInterest {
    pub(super) fields: AcceptFields,
    pub(super) attributes: Vec<String>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in super::super) struct HelloInterest {
    pub(super) fields: HelloFields,
    pub(super) attributes: Vec<String>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in super::super) struct CloseInterest {
    pub(super) fields: CloseFields,
    pub(super) attributes: Vec<String>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in super::super) struct ConnectionPlan {
    pub(super) accept: Option<AcceptInterest>,
    #[component(name = "client-hello")]
    pub(super) client_hello: Option<HelloInterest>,
    pub(super) close: Option<CloseInterest>,
}

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(in super::super) struct Ipv4Socket {
    pub(super) address: u32,
    pub(super) port: u16,
}

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(in super::super) struct Ipv6Socket {
    pub(super) high: u64,
    pub(super) low: u64,
    pub(super) port: u16,
}

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(variant)]
pub(in super::super) enum SocketAddress {
    #[component(name = "unknown")]
    Unknown,
    #[component(name = "ipv4")]
    Ipv4(Ipv4Socket),
    #[component(name = "ipv6")]
    Ipv6(Ipv6Socket),
}

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(in super::super) struct Accepted<'a> {
    pub(in super::super) peer: SocketAddress,
    pub(in super::super) local: SocketAddress,
    pub(in super::super) attributes: &'a [Attribute<'a>],
}

#[derive(ComponentType, Lift)]
#[component(variant)]
pub(in super::super) enum AcceptVerdict {
    #[component(name = "next")]
    Next,
    #[component(name = "reset")]
    Reset,
    #[component(name = "close")]
    Close,
    #[component(name = "forward")]
    Forward(String),
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in super::super) struct AcceptDecision {
    pub(super) verdict: AcceptVerdict,
    pub(super) attributes: Vec<OwnedAttribute>,
}

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(in super::super) struct ClientHello<'a> {
    pub(in super::super) sni: Option<&'a str>,
    pub(in super::super) alpn: &'a [Vec<u8>],
    pub(in super::super) versions: &'a [u16],
    pub(in super::super) ciphers: &'a [u16],
    pub(in super::super) ja4: &'a str,
    pub(in super::super) raw: &'a [u8],
    pub(in super::super) attributes: &'a [Attribute<'a>],
}

#[derive(ComponentType, Lift)]
#[component(variant)]
pub(in super::super) enum HelloVerdict {
    #[component(name = "next")]
    Next,
    #[component(name = "reset")]
    Reset,
    #[component(name = "close")]
    Close,
    #[component(name = "alert")]
    Alert(u8),
    #[component(name = "forward")]
    Forward(String),
    #[component(name = "pass-through")]
    PassThrough(String),
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in super::super) struct HelloDecision {
    pub(super) verdict: HelloVerdict,
    pub(super) attributes: Vec<OwnedAttribute>,
}

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(in super::super) struct Closed<'a> {
    pub(in super::super) peer: SocketAddress,
    pub(in super::super) received: u64,
    pub(in super::super) sent: u64,
    pub(in super::super) duration: u64,
    pub(in super::super) reason: &'a str,
    pub(in super::super) attributes: &'a [Attribute<'a>],
}
