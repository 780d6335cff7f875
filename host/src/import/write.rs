//! A draft as TOML.

use super::draft::{Action, Draft, Edits, Headers, Link, Route, Server, Site, Tls, Upstream};
use crate::config;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// In the canonical layout.
pub fn text(draft: &Draft) -> String {
    let mut out = String::new();
    table(&mut out, "[server]", &[("trusted-proxies", listed(&draft.trusted_proxies))]);
    table(&mut out, "[listen]", &[("https", listed(&draft.https)), ("http", listed(&draft.http))]);
    let owned = |map: &BTreeMap<&'static str, String>| map.iter().map(|(key, value)| (*key, Some(value.clone()))).collect::<Vec<_>>();
    table(&mut out, "[limits]", &owned(&draft.limits));
    table(&mut out, "[acme]", &owned(&draft.acme));
    draft.sites.iter().for_each(|site| self::site(&mut out, site));
    for tcp in &draft.tcp {
        let idle = tcp.idle.as_ref().map(|idle| format!("{{ idle = {} }}", quoted(idle)));
        table(&mut out, &format!("[tcp.{}]", quoted(&tcp.address)), &[("to", Some(quoted(&tcp.to))), ("timeout", idle)]);
    }
    draft.upstreams.iter().for_each(|upstream| self::upstream(&mut out, upstream));
    // What is written here is TOML; if it were not, it would be seen better as it is.
    config::format(Path::new("imported.toml"), &out).unwrap_or(out)
}

/// Nothing, if no key has a value.
fn table(out: &mut String, header: &str, keys: &[(&str, Option<String>)]) {
    if keys.iter().any(|(_, value)| value.is_some()) {
        let _ = writeln!(out, "{header}");
        for (key, value) in keys {
            value.iter().for_each(|value| out.push_str(&format!("{key} = {value}\n")));
        }
        out.push('\n');
    }
}

/// `None`: nothing to write.
fn listed(texts: &[String]) -> Option<String> {
    (!texts.is_empty()).then(|| format!("[{}]", texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", ")))
}

/// As a basic string.
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out + "\""
}

fn site(out: &mut String, site: &Site) {
    let header = format!("site.{}", quoted(&site.name));
    let tls = match &site.tls {
        Tls::Implied => None,
        Tls::Off => Some("\"off\"".to_owned()),
        Tls::Local => Some("\"local\"".to_owned()),
        Tls::Files { cert, key, client } => {
            let client = client.as_ref().map(|(ca, required)| {
                let required = if *required { "" } else { ", require = false" };
                format!(", client = {{ ca = {}{required} }}", quoted(ca))
            });
            Some(format!("{{ cert = {}, key = {}{} }}", quoted(cert), quoted(key), client.unwrap_or_default()))
        }
    };
    let aliases = listed(&site.aliases);
    let own = [("aliases", aliases), ("tls", tls), ("chain", chain(&site.chain)), ("headers", headers(&site.headers))];
    table(out, &format!("[{header}]"), &own);
    let _ = writeln!(out, "[{header}.routes]");
    for route in &site.routes {
        let _ = writeln!(out, "{} = {}", quoted(&route.pattern), self::route(route));
    }
    out.push('\n');
}

fn route(route: &Route) -> String {
    let mut keys: Vec<(&str, String)> = Vec::new();
    match &route.action {
        Action::To(upstream) => keys.push(("to", quoted(upstream))),
        Action::Respond { status: 200, body } => keys.push(("respond", quoted(body))),
        Action::Respond { status, body } if body.is_empty() => keys.push(("respond", status.to_string())),
        Action::Respond { status, body } => keys.push(("respond", format!("{{ status = {status}, body = {} }}", quoted(body)))),
        Action::Redirect { to, status } => keys.extend([("redirect", quoted(to)), ("status", status.to_string())]),
    }
    keys.extend(route.priority.map(|priority| ("priority", priority.to_string())));
    if !route.conditions.is_empty() {
        keys.push(("match", inline(&route.conditions)));
    }
    keys.extend(route.strip.as_ref().map(|strip| ("strip", quoted(strip))));
    keys.extend(headers(&route.headers).map(|headers| ("headers", headers)));
    keys.extend(chain(&route.chain).map(|chain| ("chain", chain)));
    if !route.timeout.is_empty() {
        let times: Vec<String> = route.timeout.iter().map(|(key, value)| format!("{key} = {}", quoted(value))).collect();
        keys.push(("timeout", format!("{{ {} }}", times.join(", "))));
    }
    if !route.retry.is_empty() {
        keys.push(("retry", map(&route.retry)));
    }
    match &keys[..] {
        [("to", upstream)] => upstream.clone(),
        keys => inline(keys),
    }
}

fn map(keys: &BTreeMap<&'static str, String>) -> String {
    inline(&keys.iter().map(|(key, value)| (*key, value.clone())).collect::<Vec<_>>())
}

fn inline(keys: &[(&str, String)]) -> String {
    format!("{{ {} }}", keys.iter().map(|(key, value)| format!("{key} = {value}")).collect::<Vec<_>>().join(", "))
}

fn chain(links: &[Link]) -> Option<String> {
    let link = |link: &Link| match &link.settings[..] {
        [] => quoted(link.plugin),
        settings => {
            let keys: Vec<(&str, String)> = std::iter::once(("use", quoted(link.plugin))).chain(settings.iter().cloned()).collect();
            inline(&keys)
        }
    };
    (!links.is_empty()).then(|| format!("[{}]", links.iter().map(link).collect::<Vec<_>>().join(", ")))
}

fn headers(headers: &Headers) -> Option<String> {
    let ways = [("request", &headers.request), ("response", &headers.response)];
    let keys: Vec<(&str, String)> = ways.into_iter().filter(|(_, edits)| !edits.is_empty()).map(|(way, made)| (way, edits(made))).collect();
    (!headers.is_empty()).then(|| inline(&keys))
}

fn edits(edits: &Edits) -> String {
    let mut keys = Vec::new();
    let pairs = |pairs: &[(String, String)]| {
        let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{} = {}", quoted(name), quoted(value))).collect();
        format!("{{ {} }}", pairs.join(", "))
    };
    if !edits.set.is_empty() {
        // Of one name the last counts.
        let last = |(index, (name, _)): &(usize, &(String, String))| {
            !edits.set.iter().skip(index + 1).any(|(later, _)| later.eq_ignore_ascii_case(name))
        };
        let set: Vec<(String, String)> = edits.set.iter().enumerate().filter(last).map(|(_, pair)| pair.clone()).collect();
        keys.push(("set", pairs(&set)));
    }
    if !edits.add.is_empty() {
        let mut lines: Vec<(String, Vec<String>)> = Vec::new();
        for (name, value) in &edits.add {
            match lines.iter_mut().find(|(there, _)| there.eq_ignore_ascii_case(name)) {
                Some((_, values)) => values.push(value.clone()),
                None => lines.push((name.clone(), vec![value.clone()])),
            }
        }
        let lines: Vec<String> =
            lines.iter().map(|(name, values)| format!("{} = {}", quoted(name), listed(values).unwrap_or_default())).collect();
        keys.push(("add", format!("{{ {} }}", lines.join(", "))));
    }
    keys.extend(listed(&edits.remove).map(|names| ("remove", names)));
    inline(&keys)
}

fn server(server: &Server) -> String {
    let mut keys = vec![("address", quoted(&server.address))];
    keys.extend(server.weight.map(|weight| ("weight", weight.to_string())));
    keys.extend(server.priority.map(|priority| ("priority", priority.to_string())));
    if keys.len() == 1 { quoted(&server.address) } else { inline(&keys) }
}

fn upstream(out: &mut String, upstream: &Upstream) {
    let mut tls = Vec::new();
    tls.extend(upstream.ca.as_ref().map(|ca| ("ca", quoted(ca))));
    tls.extend(upstream.server_name.as_ref().map(|name| ("name", quoted(name))));
    if upstream.unverified {
        tls.push(("verify", "false".to_owned()));
    }
    let keys = [
        ("servers", Some(format!("[{}]", upstream.servers.iter().map(server).collect::<Vec<_>>().join(", ")))),
        ("balance", upstream.balance.as_deref().map(quoted)),
        ("sticky", upstream.sticky.as_ref().map(|cookie| format!("{{ cookie = {} }}", quoted(cookie)))),
        ("health", (!upstream.health.is_empty()).then(|| map(&upstream.health))),
        ("limits", upstream.per_server.map(|most| format!("{{ per-server = {most} }}"))),
        ("pool", upstream.idle.map(|idle| idle.to_string())),
        ("tls", (!tls.is_empty()).then(|| inline(&tls))),
        ("proxy-protocol", upstream.proxy_protocol.then(|| "\"v1\"".to_owned())),
    ];
    table(out, &format!("[upstream.{}]", quoted(&upstream.name)), &keys);
}
