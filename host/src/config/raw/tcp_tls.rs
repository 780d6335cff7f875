//! `tls` of `[tcp."address"]`: who makes the handshake, with which certificate, and how a CA is shown that its names are ours.

use super::node::{Node, Value};
use super::reader::{Reader, nearest};
use super::tcp::{Written, alpn};
use super::{Context, acme, certificate, client_certs};
use crate::config::{AcmeChallenge, AcmeIssuer, AcmeSpec, Code, Diagnostic, ListenSpec, TcpTls, TlsSpec, keys};
use std::collections::BTreeSet;

const CHOICES: &str = "choices: \"passthrough\", \"local\", \"acme\", { cert = \"….pem\", key = \"….key\" }; leave it out for plain TCP";

/// And whether it is said how names are proved to a CA.
pub fn read(context: &Context<'_>, reader: &Reader<'_, '_>, issuer: &AcmeIssuer) -> Option<(TcpTls, bool)> {
    let short = |certificate| Some((TcpTls::Terminate { certificate: Box::new(certificate), client: None, alpn: Vec::new() }, false));
    match reader.get("tls") {
        None => Some((TcpTls::Plain, false)),
        Some(Node { value: Value::Table(_), .. }) => terminate(context, reader, issuer),
        Some(Node { value: Value::String(text), span }) => match &**text {
            "passthrough" => Some((TcpTls::Passthrough, false)),
            "local" => short(TlsSpec::Local),
            "acme" => {
                let at = context.location(*span);
                short(TlsSpec::Acme(AcmeSpec { challenge: AcmeChallenge::default(), issuer: issuer.clone(), at }))
            }
            other => {
                let mut found = Diagnostic::error(Code::BadValue, context.place(*span), format!("`{other}` is no choice here"));
                found.label = nearest(other, ["passthrough", "local", "acme"].into_iter()).map(|near| format!("did you mean \"{near}\"?"));
                context.report(found.help(CHOICES));
                None
            }
        },
        Some(other) => reader.wrong("tls", other),
    }
}

fn terminate(context: &Context<'_>, reader: &Reader<'_, '_>, issuer: &AcmeIssuer) -> Option<(TcpTls, bool)> {
    let table = reader.open_key("tls", &keys::TCP_TLS)?;
    let mut proof_written = false;
    let certificate = certificate::long(context, &table, || {
        let (spec, written) = acme::unchecked(context, &table, &keys::TCP_ACME, issuer)?;
        proof_written = written;
        Some(TlsSpec::Acme(spec))
    });
    let client = client_certs::read(context, reader, &keys::TCP_CLIENT_CERTS);
    let alpn = alpn(&table);
    Some((TcpTls::Terminate { certificate: Box::new(certificate?), client, alpn }, proof_written))
}

/// Finds what is in the way of listeners that order certificates, and settles how they prove their names where nothing is written: by
/// http-01 if something listens for http, else by tls-alpn-01.
pub fn prove(context: &Context<'_>, all: &mut [Written], listen: &ListenSpec) {
    for written in all {
        names(context, written);
        let TcpTls::Terminate { certificate, .. } = &mut written.spec.tls else { continue };
        let TlsSpec::Acme(spec) = &mut **certificate else { continue };
        match (listen.http.is_empty(), written.proof_written) {
            (true, false) => spec.challenge = AcmeChallenge::TlsAlpn01,
            (true, true) if spec.challenge == AcmeChallenge::Http01 && !context.any_error() => {
                let message = format!("the challenge http-01 of [tcp.\"{}\"] needs an http listener", written.spec.name);
                let found = Diagnostic::error(Code::Conflict, spec.at.clone().into(), message);
                context.report(found.help("write challenge = \"tls-alpn-01\", or name an address in [listen] http"));
            }
            _ => {}
        }
    }
}

/// What is ordered must have a name, and one that CAs certify.
fn names(context: &Context<'_>, written: &Written) {
    let TcpTls::Terminate { certificate, .. } = &written.spec.tls else { return };
    let TlsSpec::Acme(acme) = &**certificate else { return };
    if let Some(span) = written.to_span {
        let message = "ACME certifies names, and `to` takes clients that ask for any or none";
        let found = Diagnostic::error(Code::Conflict, context.place(span), message);
        context.report(found.help("name them instead: sni = { \"db.example.com\" = \"db\" }"));
    }
    let mut seen = BTreeSet::new();
    for route in written.spec.sni.iter().filter(|route| seen.insert(&route.name)) {
        acme::is_orderable(context, &route.name, &route.at.clone().into(), acme);
    }
}
