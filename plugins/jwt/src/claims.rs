//! What a token says, and what it must say (RFC 7519, section 4.1).

use crate::Refusal;
use portcullis_sdk::prelude::*;
use serde_json::{Map as Object, Value};

pub struct Claims(Object<String, Value>);

pub struct Demands {
    issuers: Vec<String>,
    audiences: Vec<String>,
    leeway: u64,
    required: Vec<(String, Vec<String>)>,
}

impl Claims {
    pub fn parse(payload: &[u8]) -> Result<Self, &'static str> {
        serde_json::from_slice(payload).map(Self).map_err(|_| "it says nothing that could be read")
    }

    /// A claim by its name; names with dots lead into tables, unless the whole is a name itself.
    fn find(&self, way: &str) -> Option<&Value> {
        let whole = self.0.get(way);
        whole.or_else(|| {
            let mut parts = way.split('.');
            let first = self.0.get(parts.next()?)?;
            parts.try_fold(first, |value, part| value.get(part))
        })
    }

    /// As a header value: lists with commas. `None`: not there, or nothing that a header could hold.
    pub fn shown(&self, way: &str) -> Option<String> {
        let one = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
            _ => None,
        };
        let text = match self.find(way)? {
            Value::Array(items) => items.iter().filter_map(one).collect::<Vec<_>>().join(","),
            value => one(value)?,
        };
        portcullis_sdk::field::header_value(text.as_bytes()).is_ok().then_some(text)
    }

    /// Seconds since 1970, down; `Err`: there, and no time.
    fn time(&self, name: &str) -> Result<Option<u64>, Refusal> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => {
                let seconds = value.as_u64().or_else(|| value.as_f64().filter(|time| *time >= 0.0).map(|time| time as u64));
                seconds.map(Some).ok_or(Refusal::Invalid("its times are none"))
            }
        }
    }
}

/// Whether a claim is this text, or has it as a member.
fn says(value: &Value, wanted: &str) -> bool {
    match value {
        Value::String(text) => text == wanted,
        Value::Array(items) => items.iter().any(|item| item.as_str() == Some(wanted)),
        Value::Bool(_) | Value::Number(_) => serde_json::to_string(value).is_ok_and(|text| text == wanted),
        _ => false,
    }
}

impl Demands {
    pub fn of(issuers: OneOrMany<String>, audiences: OneOrMany<String>, leeway: u64, required: Map<OneOrMany<String>>) -> Self {
        let required = required.into_iter().map(|(claim, values)| (claim, values.into_iter().collect()));
        Self { issuers: issuers.into_iter().collect(), audiences: audiences.into_iter().collect(), leeway, required: required.collect() }
    }

    pub fn check(&self, claims: &Claims, now: u64) -> Result<(), Refusal> {
        let expires = claims.time("exp")?.ok_or(Refusal::Invalid("it never expires"))?;
        if now >= expires.saturating_add(self.leeway) {
            return Err(Refusal::Invalid("it has expired"));
        }
        if claims.time("nbf")?.is_some_and(|begins| now.saturating_add(self.leeway) < begins) {
            return Err(Refusal::Invalid("its time has not come"));
        }
        let is_one_of = |claim: &str, wanted: &[String]| {
            wanted.is_empty() || claims.0.get(claim).is_some_and(|value| wanted.iter().any(|wanted| says(value, wanted)))
        };
        if !is_one_of("iss", &self.issuers) {
            return Err(Refusal::Invalid("it comes from somebody else"));
        }
        if !is_one_of("aud", &self.audiences) {
            return Err(Refusal::Invalid("it is for somebody else"));
        }
        let has = |(claim, wanted): &(String, Vec<String>)| {
            let Some(value) = claims.find(claim) else { return false };
            let scopes = value.as_str().filter(|_| claim == "scope").into_iter().flat_map(|scopes| scopes.split(' '));
            wanted.iter().any(|wanted| says(value, wanted)) || scopes.into_iter().any(|scope| wanted.iter().any(|wanted| wanted == scope))
        };
        if self.required.iter().all(has) { Ok(()) } else { Err(Refusal::Insufficient) }
    }
}
