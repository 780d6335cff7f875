//! Sites and routes in words: how a site is served, what a route takes, and why others did not take the request.

use crate::config::{ClientCertForward, PathMatch, Site, TlsSpec};
use crate::proxy::Finding;
use serde_json::{Value, json};

pub(in crate::app) fn tls(spec: &TlsSpec) -> String {
    match spec {
        TlsSpec::Off => "off".to_owned(),
        TlsSpec::Local => "local".to_owned(),
        TlsSpec::Acme(spec) => format!("acme {} {}", spec.challenge.as_str(), spec.issuer.directory),
        TlsSpec::Files(files) => files.cert.display().to_string(),
    }
}

pub(super) fn clients(site: &Site) -> String {
    let Some(client) = &site.client else { return String::new() };
    let which = if client.require { "required" } else { "optional" };
    let crl = client.crl.as_ref().map(|(crl, _)| format!(", revoked by {}", crl.display())).unwrap_or_default();
    let forward = match client.forward {
        None => "",
        Some(ClientCertForward::Rfc9440) => ", forwarded as Client-Cert",
        Some(ClientCertForward::Xfcc) => ", forwarded as X-Forwarded-Client-Cert",
    };
    format!("; client certificates of {} {which}{crl}{forward}", client.ca.display())
}

pub(in crate::app) fn path(path: &PathMatch) -> Value {
    match path {
        PathMatch::Exact(path) => json!({ "exact": path }),
        PathMatch::Prefix(prefix) => json!({ "prefix": if prefix.is_empty() { "/" } else { prefix } }),
        PathMatch::Regex { regex, priority } => json!({ "regex": regex.as_str(), "priority": priority }),
    }
}

pub(super) fn reason(finding: &Finding) -> String {
    match finding {
        Finding::Chosen => "chosen".to_owned(),
        Finding::LessSpecific => "matches too, but is less specific".to_owned(),
        Finding::OtherPath => "another path".to_owned(),
        Finding::OtherMethod => "another method".to_owned(),
        Finding::OtherHeader(name) => format!("header `{name}` is missing or differs"),
        Finding::OtherQuery(name) => format!("query parameter `{name}` is missing or differs"),
    }
}
