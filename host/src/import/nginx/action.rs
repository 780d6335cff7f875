//! Where a location leads: `proxy_pass`, `grpc_pass`, `return`, and rewrites that send elsewhere.

use super::super::draft::{Action, Draft, Link, Route, Upstream};
use super::super::write::quoted;
use super::Line;
use super::scope::{Host, Scope};
use super::upstream::address;
use super::value;
use std::net::IpAddr;

/// Of rewrites that are not carried over.
pub const BY_LINKS: &str = "`rewrite` and `redirect` links do this, in a route's chain";

/// `return CODE [TEXT]`, `return CODE URL`, `return URL`
pub fn answer(line: &Line) -> Result<Action, String> {
    let (status, text) = match line.arg(0).parse::<u16>() {
        Ok(status) => (status, line.arg(1)),
        Err(_) => (302, line.arg(0)),
    };
    match status {
        301 | 302 | 303 | 307 | 308 => {
            let to = value::redirect(text).map_err(|variable| format!("{variable} has no counterpart in a redirect"))?;
            Ok(Action::Redirect { to, status })
        }
        444 => Err("a connection is not closed without an answer".into()),
        200..=599 => {
            let body = value::plain(text).map_err(|variable| format!("a fixed answer has no {variable}"))?;
            Ok(Action::Respond { status, body })
        }
        _ => Err("no status of an answer".into()),
    }
}

/// `rewrite REGEX REPLACEMENT permanent | redirect` that sends all that is below `stem` elsewhere. `None`: it is another one.
pub fn moved(line: &Line, stem: &str) -> Option<Action> {
    let (regex, replacement) = (line.arg(0), line.arg(1));
    let absolute = ["http://", "https://"].iter().any(|scheme| replacement.starts_with(scheme));
    let status = match line.arg(2) {
        "permanent" => 301,
        "redirect" => 302,
        "" if absolute => 302,
        _ => return None,
    };
    let below = regex.strip_prefix('^').and_then(|regex| regex.strip_prefix(stem)).map(|rest| rest.trim_end_matches('$'));
    let captured = match below {
        Some("/(.*)") => "{rest}",
        Some("(.*)") if stem.is_empty() => "{path}",
        Some("" | ".*") if stem.is_empty() && !replacement.contains("$1") => "",
        _ => return None,
    };
    // With a `?` nginx goes by rules of its own for the query.
    if replacement.contains('?') {
        return None;
    }
    let parts: Option<Vec<String>> = replacement.split("$1").map(|part| value::redirect(part).ok()).collect();
    Some(Action::Redirect { to: parts?.join(captured), status })
}

/// `proxy_pass URL` of what is only asked: upstream and path, empty if the URL has none.
pub fn asked(line: &Line, scope: &Scope, draft: &mut Draft) -> Result<(String, String), String> {
    let (scheme, authority, path) = url(line)?;
    Ok((upstream(line, scheme, authority, scope, draft), path.to_owned()))
}

/// Scheme, authority and path of `proxy_pass URL` and `grpc_pass URL`, if it is a server that we speak to.
fn url(line: &Line) -> Result<(&str, &str, &str), String> {
    let grpc = line.name == "grpc_pass";
    let (scheme, rest) = match line.arg(0).split_once("://") {
        Some(split) => split,
        None if grpc => ("grpc", line.arg(0)),
        None => return Err("no URL".into()),
    };
    let (authority, uri) = split(rest);
    if line.arg(0).contains('$') {
        return Err("where it leads depends on a variable: a `route` link, or a plugin".into());
    }
    if grpc && rest.starts_with("unix:") {
        return Err("`protocol = \"http2\"` in [upstream.…] whose server is a socket".into());
    }
    if !(if grpc { ["grpc", "grpcs"] } else { ["http", "https"] }).contains(&scheme) {
        return Err(format!("servers are not spoken to in {scheme}"));
    }
    Ok((scheme, authority, uri))
}

/// `proxy_pass URL`; `prefix`: what the location's path begins with, if it is no regular expression.
pub fn pass(line: &Line, block: &Line, prefix: Option<&str>, scope: &Scope, draft: &mut Draft) -> Result<Route, String> {
    let (scheme, authority, uri) = url(line)?;
    let upstream = upstream(line, scheme, authority, scope, draft);
    let mut route = Route::new("", Action::To(upstream));
    (route.timeout, route.retry) = (scope.timeout.clone(), scope.retry());
    if let Some(host) = host(authority, scope) {
        route.chain.push(Link { plugin: "rewrite", settings: vec![("host", quoted(&host))] });
    }
    rewrites(block, &mut route, draft);
    replaced(uri, prefix, &mut route)?;
    Ok(route)
}

/// Authority and path; of `unix:/run/x.sock:/path` too.
fn split(rest: &str) -> (&str, &str) {
    let at = match rest.strip_prefix("unix:") {
        Some(path) => path.find(':').map(|at| (at + "unix:".len(), at + "unix:".len() + 1)),
        None => rest.find('/').map(|at| (at, at)),
    };
    at.map_or((rest, ""), |(end, begin)| (&rest[..end], &rest[begin..]))
}

fn upstream(line: &Line, scheme: &str, authority: &str, scope: &Scope, draft: &mut Draft) -> String {
    let tls = ["https", "grpcs"].contains(&scheme);
    let declared = scope.upstreams.get(authority).cloned();
    if let (Some(name), "http") = (&declared, scheme) {
        return name.clone();
    }
    let there = declared.as_ref().and_then(|name| draft.upstreams.iter().find(|upstream| upstream.name == *name)).cloned();
    let mut upstream = there.unwrap_or_else(|| {
        let bare = tls && !authority.contains(':');
        let server = if bare { format!("{authority}:443") } else { address(authority) };
        Upstream { servers: vec![server.into()], ..Upstream::default() }
    });
    if scheme != "http" {
        let servers = upstream.servers.iter_mut().map(|server| &mut server.address);
        servers.filter(|address| !address.starts_with("unix:")).for_each(|address| *address = format!("{scheme}://{address}"));
    }
    if tls {
        (upstream.ca, upstream.server_name) = (scope.server_tls.ca.clone(), scope.server_tls.name.clone());
        if !scope.server_tls.verify {
            draft.lost.push(
                line.lost("nginx asks its servers for no proof unless told; here they are verified (`tls = { ca, name }` in [upstream.…])"),
            );
        }
    }
    let suffix = match scheme {
        "https" => "tls",
        scheme => scheme,
    };
    let wanted = declared.map_or_else(|| authority.split(':').next().unwrap_or_default().to_owned(), |name| format!("{name}-{suffix}"));
    let wanted = if wanted.parse::<IpAddr>().is_ok() || wanted == "unix" || wanted == "localhost" { "app" } else { &wanted };
    draft.upstream(wanted, upstream)
}

/// What the server gets as `Host`, if not what the client asked for. nginx sends what stands in `proxy_pass`, which matters where that is a name of its own.
fn host(authority: &str, scope: &Scope) -> Option<String> {
    let name = authority.split(':').next().unwrap_or_default();
    let own = name.contains('.') && name.parse::<IpAddr>().is_err() && !scope.upstreams.contains_key(authority);
    match &scope.host {
        Some(Host::Literal(host)) => Some(host.clone()),
        Some(Host::Clients) => None,
        None => own.then(|| authority.to_owned()),
    }
}

/// `rewrite REGEX REPLACEMENT break` changes the path and goes on; the others look for another location.
fn rewrites(block: &Line, route: &mut Route, draft: &mut Draft) {
    for line in block.lines().iter().filter(|line| line.name == "rewrite") {
        let (regex, replacement, flag) = (line.arg(0), line.arg(1), line.arg(2));
        let carried = ["", "break", "last"].contains(&flag)
            && regex::Regex::new(regex).is_ok()
            && replacement.starts_with('/')
            && !replacement.contains('?')
            && replacement.match_indices('$').all(|(at, _)| replacement[at + 1..].starts_with(|c: char| c.is_ascii_digit()));
        if !carried {
            draft.lost.push(line.lost(BY_LINKS));
            continue;
        }
        // `$1x` would be a group of that name.
        let mut ours = String::new();
        let mut rest = replacement.chars().peekable();
        while let Some(c) = rest.next() {
            match c {
                '$' => {
                    ours.push_str("${");
                    while let Some(digit) = rest.next_if(char::is_ascii_digit) {
                        ours.push(digit);
                    }
                    ours.push('}');
                }
                c => ours.push(c),
            }
        }
        let settings = vec![("regex", format!("{{ match = {}, replace = {} }}", quoted(regex), quoted(&ours)))];
        route.chain.push(Link { plugin: "rewrite", settings });
    }
}

/// A path in `proxy_pass` takes the place of the location's prefix.
fn replaced(uri: &str, prefix: Option<&str>, route: &mut Route) -> Result<(), String> {
    let Some(prefix) = prefix else {
        return if uri.is_empty() { Ok(()) } else { Err("a path in `proxy_pass` of a regular expression".into()) };
    };
    let (stem, path) = (prefix.trim_end_matches('/'), uri.trim_end_matches('/'));
    if uri.is_empty() || stem == path {
        return Ok(());
    }
    if prefix.ends_with('/') != uri.ends_with('/') {
        return Err(format!("`{prefix}` and `{uri}` do not both end with a slash, so that paths would be glued together"));
    }
    match (stem, path) {
        ("", path) => route.chain.push(Link { plugin: "rewrite", settings: vec![("add-prefix", quoted(path))] }),
        (stem, "") => route.strip = Some(stem.to_owned()),
        (stem, path) => {
            let settings = vec![("strip-prefix", quoted(stem)), ("add-prefix", quoted(path))];
            route.chain.push(Link { plugin: "rewrite", settings });
        }
    }
    Ok(())
}
