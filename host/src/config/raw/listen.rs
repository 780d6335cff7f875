//! `[listen]`: what is written, the defaults where nothing is, and addresses that get in each other's way.

use super::Context;
use super::chains::Chains;
use super::inbound;
use super::reader::Reader;
use super::tcp::Written;
use crate::config::source::Span;
use crate::config::{AcmeChallenge, AcmeSpec, Code, Diagnostic, ListenAddress, ListenSpec, Site, TlsSpec, keys};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Addresses with where they are written; defaults are not.
type Addresses = Vec<(ListenAddress, Option<Span>)>;

pub fn read(context: &Context<'_>, root: &Reader<'_, '_>, chains: &Chains, sites: &[Site], tcp: &[Written]) -> ListenSpec {
    let reader = root.open_key("listen", &keys::LISTEN_TABLE);
    let written = |key: &str| -> Option<Addresses> {
        let lists = reader.as_ref()?.list(key, |text| Ok(text.to_owned()))?;
        let addresses = |(text, span): (String, Span)| {
            let addresses = inbound::addresses(context, &text, span).unwrap_or_default();
            addresses.into_iter().map(move |address| (address, Some(span)))
        };
        Some(lists.into_iter().flat_map(addresses).collect())
    };
    let tls = sites.iter().find(|site| site.tls != TlsSpec::Off);
    let plain = sites.iter().find(|site| site.tls == TlsSpec::Off);
    let empty = |key: &str| reader.as_ref().and_then(|reader| reader.entry(key)).map(|entry| entry.key_span);
    let (https, http) = (written("https"), written("http"));
    let clean = !context.any_error();
    for (list, site, key) in [(&https, tls, "https"), (&http, plain, "http")] {
        if let (Some(true), Some(site), Some(span)) = (list.as_ref().map(Vec::is_empty), site, empty(key))
            && clean
        {
            let found =
                Diagnostic::error(Code::Conflict, context.place(span), format!("no {key} listener is left for site `{}`", site.name));
            let place = crate::config::diagnostic::Place::from(site.at.clone());
            context.report(found.note(place, "which needs one"));
        }
    }
    if http.as_ref().is_some_and(Vec::is_empty) && clean {
        for (site, spec) in sites.iter().filter_map(|site| Some((site, proved_in_the_clear(site)?))) {
            let message = format!("the challenge http-01 of site `{}` needs an http listener", site.name);
            let found = Diagnostic::error(Code::Conflict, spec.at.clone().into(), message);
            context.report(found.help("write tls = { acme = { challenge = \"tls-alpn-01\" } }, or name an address in [listen] http"));
        }
    }
    let https = https.unwrap_or_else(|| if tls.is_some() { everywhere(443) } else { Vec::new() });
    // Who only passes TCP on has nothing to say in HTTP.
    let http = http.unwrap_or_else(|| if sites.is_empty() { Vec::new() } else { everywhere(80) });
    overlaps(context, https.iter().chain(&http));
    tcp_overlaps(context, tcp, &https, &http);
    let chain = reader.as_ref().map(|reader| chains.of_connections(context, reader)).unwrap_or_default();
    let located = |list: Addresses| list.into_iter().map(|(address, span)| (address, span.map(|span| context.location(span)))).collect();
    let proxy_protocol = reader.as_ref().map(|reader| inbound::accept(context, reader)).unwrap_or_default();
    ListenSpec { https: located(https), http: located(http), chain, proxy_protocol }
}

fn proved_in_the_clear(site: &Site) -> Option<&AcmeSpec> {
    match &site.tls {
        TlsSpec::Acme(spec) if spec.challenge == AcmeChallenge::Http01 => Some(spec),
        _ => None,
    }
}

/// Both stacks; `app` binds the second with IPV6_V6ONLY, so they do not meet.
fn everywhere(port: u16) -> Addresses {
    let any = |ip: IpAddr| (SocketAddr::new(ip, port).into(), None);
    vec![any(Ipv4Addr::UNSPECIFIED.into()), any(Ipv6Addr::UNSPECIFIED.into())]
}

fn overlaps<'l>(context: &Context<'_>, all: impl Iterator<Item = &'l (ListenAddress, Option<Span>)>) {
    let mut earlier: Vec<&(ListenAddress, Option<Span>)> = Vec::new();
    for this in all {
        if let Some(other) = earlier.iter().find(|other| meet(&other.0, &this.0)) {
            overlap(context, this, other);
        }
        earlier.push(this);
    }
}

/// A TCP listener beside the others, and those among themselves. Only a passthrough by name can stand where an https listener does, and
/// only at just the same address, so that what a connection meets does not depend on the kernel's choice.
fn tcp_overlaps(context: &Context<'_>, tcp: &[Written], https: &Addresses, http: &Addresses) {
    let mut earlier: Addresses = http.clone();
    for written in tcp {
        for address in &written.spec.addresses {
            let this = (address.clone(), Some(written.key_span));
            let beside = https.iter().find(|(other, _)| meet(other, address) && !(written.can_share() && other == address));
            if let Some(other) = earlier.iter().find(|other| meet(&other.0, address)) {
                overlap(context, &this, other);
            } else if let Some(other) = beside {
                let mut found = overlapping(context, &this, other);
                found.help.push("an https listener can share its very address with tls = \"passthrough\" and `sni`".into());
                context.report(found);
            }
            earlier.push(this);
        }
    }
}

fn overlap(context: &Context<'_>, this: &(ListenAddress, Option<Span>), other: &(ListenAddress, Option<Span>)) {
    context.report(overlapping(context, this, other));
}

fn overlapping(context: &Context<'_>, this: &(ListenAddress, Option<Span>), other: &(ListenAddress, Option<Span>)) -> Diagnostic {
    // A default has no place, so the written one of the two is shown.
    let (shown, hidden) = if this.1.is_some() { (this, other) } else { (other, this) };
    let message = match this.0 == other.0 {
        true => format!("{} is listened on twice", this.0),
        false => format!("{} and {} overlap", other.0, this.0),
    };
    let mut found = Diagnostic::error(Code::ListenersOverlap, context.place(shown.1.unwrap_or_default()), message);
    match hidden.1 {
        Some(span) => found.notes.push((context.place(span), "the other one".into())),
        None => found.help.push(format!("{} is a default; write `http = []` or `https = […]` to change it", hidden.0)),
    }
    found
}

/// Port 0 asks for a free port, so it never meets another.
pub(super) fn meet(a: &ListenAddress, b: &ListenAddress) -> bool {
    match (a, b) {
        (ListenAddress::Ip(a), ListenAddress::Ip(b)) => {
            a.port() == b.port()
                && a.port() != 0
                && a.is_ipv4() == b.is_ipv4()
                && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
        }
        (ListenAddress::Unix { path: a, .. }, ListenAddress::Unix { path: b, .. }) => a == b,
        _ => false,
    }
}
