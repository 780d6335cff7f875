//! What a plugin does with connections under its settings, checked once.

use super::super::lift::BadOutput;
use super::super::plan::each_once;
use super::types;
use crate::chain::ConnectionPhases;

/// What `plan-connections` returned (`wit/types.wit`, `connection-plan`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConnectionPlan {
    /// `None`: not called under these settings.
    pub accept: Option<AcceptInterest>,
    pub client_hello: Option<HelloInterest>,
    pub close: Option<CloseInterest>,
}

/// What `on-accept` wants to see.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AcceptInterest {
    pub peer: bool,
    pub local: bool,
    pub connection: bool,
    /// Each once.
    pub attributes: Vec<String>,
}

/// What `on-client-hello` wants to see.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HelloInterest {
    pub sni: bool,
    pub alpn: bool,
    pub versions: bool,
    pub ciphers: bool,
    pub ja4: bool,
    pub raw: bool,
    pub connection: bool,
    pub attributes: Vec<String>,
}

/// What `on-close` wants to see.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CloseInterest {
    pub peer: bool,
    pub bytes: bool,
    pub duration: bool,
    pub reason: bool,
    pub connection: bool,
    pub attributes: Vec<String>,
}

impl ConnectionPlan {
    /// `exported`: which phases the component has.
    pub(in super::super) fn check(raw: types::ConnectionPlan, exported: ConnectionPhases) -> Result<Self, BadOutput> {
        let missing = [
            (raw.accept.is_some() && !exported.accept, "on-accept"),
            (raw.client_hello.is_some() && !exported.client_hello, "on-client-hello"),
            (raw.close.is_some() && !exported.close, "on-close"),
        ];
        if let Some((_, phase)) = missing.iter().find(|(missing, _)| *missing) {
            return Err(BadOutput::new(format!("the plan asks for `{phase}`, which the plugin does not export")));
        }
        Ok(Self {
            accept: raw.accept.map(accept).transpose()?,
            client_hello: raw.client_hello.map(client_hello).transpose()?,
            close: raw.close.map(close).transpose()?,
        })
    }

    /// Whether any phase wants to see this attribute.
    pub fn asks_for(&self, attribute: &str) -> bool {
        let accept = self.accept.iter().flat_map(|accept| &accept.attributes);
        let hello = self.client_hello.iter().flat_map(|hello| &hello.attributes);
        let close = self.close.iter().flat_map(|close| &close.attributes);
        accept.chain(hello).chain(close).any(|asked| asked == attribute)
    }

    pub fn phases(&self) -> ConnectionPhases {
        ConnectionPhases {
            accept: self.accept.is_some(),
            client_hello: self.client_hello.is_some(),
            close: self.close.is_some(),
            bytes: self.close.as_ref().is_some_and(|close| close.bytes),
        }
    }
}

fn accept(raw: types::AcceptInterest) -> Result<AcceptInterest, BadOutput> {
    let has = |field| (raw.fields & field) == field;
    Ok(AcceptInterest {
        peer: has(types::AcceptFields::PEER),
        local: has(types::AcceptFields::LOCAL),
        connection: has(types::AcceptFields::CONNECTION),
        attributes: each_once(raw.attributes)?,
    })
}

fn client_hello(raw: types::HelloInterest) -> Result<HelloInterest, BadOutput> {
    let has = |field| (raw.fields & field) == field;
    Ok(HelloInterest {
        sni: has(types::HelloFields::SNI),
        alpn: has(types::HelloFields::ALPN),
        versions: has(types::HelloFields::VERSIONS),
        ciphers: has(types::HelloFields::CIPHERS),
        ja4: has(types::HelloFields::JA4),
        raw: has(types::HelloFields::RAW),
        connection: has(types::HelloFields::CONNECTION),
        attributes: each_once(raw.attributes)?,
    })
}

fn close(raw: types::CloseInterest) -> Result<CloseInterest, BadOutput> {
    let has = |field| (raw.fields & field) == field;
    Ok(CloseInterest {
        peer: has(types::CloseFields::PEER),
        bytes: has(types::CloseFields::BYTES),
        duration: has(types::CloseFields::DURATION),
        reason: has(types::CloseFields::REASON),
        connection: has(types::CloseFields::CONNECTION),
        attributes: each_once(raw.attributes)?,
    })
}
