//! `server` blocks as sites. Of one name there may be two, in the clear and over TLS, which here is one site.

use super::super::draft::{Draft, Tls};
use super::location;
use super::scope::Scope;
use super::{Line, is_meaningless, merged, ours};
use std::collections::BTreeSet;

struct Server<'l> {
    line: &'l Line,
    names: Vec<String>,
    /// Addresses of ours, and whether TLS is spoken there.
    listens: Vec<(String, bool)>,
}

pub fn servers(lines: &[&Line], scope: &Scope, draft: &mut Draft) {
    let servers: Vec<Server<'_>> = lines.iter().map(|line| read(line, draft)).collect();
    listeners(&servers, draft);
    let over_tls: BTreeSet<String> = servers.iter().filter(|server| server.is_tls()).flat_map(|server| server.names.clone()).collect();
    // Those over TLS first: what stands there in the clear is only a redirect, or it is lost.
    let (first, then): (Vec<_>, Vec<_>) = servers.iter().partition(|server| server.is_tls());
    let mut done = BTreeSet::new();
    for server in first.into_iter().chain(then) {
        let own: Vec<String> = server.names.iter().filter(|name| server.is_tls() || !over_tls.contains(*name)).cloned().collect();
        if own.len() < server.names.len() && !server.only_redirects() {
            draft.lost.push(server.line.lost("the same name over TLS is one site here, and plain requests are redirected to https"));
        }
        for name in own {
            if done.insert(name.clone()) {
                site(&name, server, scope, draft);
            } else {
                draft.lost.push(server.line.lost(format!("`{name}` stands in an earlier block")));
            }
        }
    }
}

impl Server<'_> {
    fn is_tls(&self) -> bool {
        self.listens.iter().any(|(_, tls)| *tls)
    }

    /// Nothing but a way to https.
    fn only_redirects(&self) -> bool {
        let leads = |line: &Line| line.args.iter().any(|arg| arg.contains("https://"));
        let says = |line: &Line| match &*line.name {
            "return" | "rewrite" | "if" => leads(line) || line.lines().iter().any(leads),
            "location" => line.lines().iter().all(|line| line.name == "return" && leads(line)) || line.arg(0).contains("acme-challenge"),
            "listen" | "server_name" | "root" => true,
            name => is_meaningless(name),
        };
        self.line.lines().iter().all(says)
    }
}

fn read<'l>(line: &'l Line, draft: &mut Draft) -> Server<'l> {
    let mut server = Server { line, names: Vec::new(), listens: Vec::new() };
    let ssl_on = line.lines().iter().any(|line| line.name == "ssl" && line.arg(0) == "on");
    for line in line.lines() {
        match &*line.name {
            "listen" => listen(line, ssl_on, &mut server, draft),
            "server_name" => line.args.iter().for_each(|name| self::name(line, name, &mut server, draft)),
            _ => {}
        }
    }
    if server.listens.is_empty() {
        server.listens.push((ours("80"), ssl_on));
    }
    if server.names.is_empty() {
        server.names.push("*".to_owned());
    }
    server.names.dedup();
    server
}

fn listen(line: &Line, ssl_on: bool, server: &mut Server<'_>, draft: &mut Draft) {
    let mut tls = ssl_on;
    for parameter in line.args.iter().skip(1) {
        match parameter.split('=').next().unwrap_or_default() {
            "ssl" => tls = true,
            "default_server" | "default" => server.names.push("*".to_owned()),
            "proxy_protocol" => {
                draft.lost.push(line.lost("who may send a PROXY header is listed: `accept = { proxy-protocol = […] }` in [listen]"))
            }
            "quic" => draft.lost.push(line.lost("there is no HTTP/3")),
            // How the socket is made.
            _ => {}
        }
    }
    if line.args.iter().any(|arg| arg == "quic") {
        return;
    }
    let text = line.arg(0);
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let address = match text {
        text if digits(text) || text.starts_with("unix:") || text.rsplit(']').next().is_some_and(|rest| rest.contains(':')) => ours(text),
        host => ours(&format!("{host}:80")),
    };
    server.listens.push((address, tls));
}

fn name(line: &Line, name: &str, server: &mut Server<'_>, draft: &mut Draft) {
    match name {
        "_" | "" => server.names.push("*".to_owned()),
        name if name.starts_with('~') => draft.lost.push(line.lost(format!("`{name}`: names are exact, or begin with `*.`"))),
        name if name.ends_with(".*") => draft.lost.push(line.lost(format!("`{name}`: names are exact, or begin with `*.`"))),
        name if name.starts_with('.') => server.names.extend([name[1..].to_owned(), format!("*{name}")]),
        name => server.names.push(name.to_ascii_lowercase()),
    }
}

/// Every site is served at every address.
fn listeners(servers: &[Server<'_>], draft: &mut Draft) {
    let of = |wanted: bool| {
        let all = servers.iter().flat_map(|server| &server.listens).filter(|(_, tls)| *tls == wanted);
        let each: BTreeSet<String> = all.map(|(address, _)| address.clone()).collect();
        merged(each.into_iter().collect())
    };
    let (http, https) = (of(false), of(true));
    let usual = (http.is_empty() || http == [":80"]) && (https.is_empty() || https == [":443"]);
    if !usual {
        draft.http = http;
        draft.https = https;
    }
    let addresses = |server: &Server<'_>| server.listens.iter().map(|(address, _)| address.clone()).collect::<BTreeSet<_>>();
    let mut ports: Vec<BTreeSet<String>> = servers.iter().map(addresses).collect();
    ports.sort();
    ports.dedup();
    let odd = |server: &&Server<'_>| addresses(server).iter().any(|address| ![":80", ":443", "[::]:80", "[::]:443"].contains(&&**address));
    if ports.len() > 1 {
        for server in servers.iter().filter(odd) {
            let line = server.line.lines().iter().find(|line| line.name == "listen").unwrap_or(server.line);
            draft.lost.push(line.lost("every site is served at every address of [listen]"));
        }
    }
}

fn site(name: &str, server: &Server<'_>, scope: &Scope, draft: &mut Draft) {
    let mut scope = scope.inner(server.line.lines());
    for line in server.line.lines() {
        match &*line.name {
            "listen" | "server_name" | "location" | "return" | "rewrite" | "ssl" => {}
            _ => scope.take(line, draft),
        }
    }
    let tls = match (server.is_tls(), scope.tls()) {
        (false, _) => Tls::Off,
        (true, tls) => tls,
    };
    if scope.verifies_by_nothing() {
        scope.closed = true;
        draft
            .lost
            .push(server.line.lost("clients are verified by `ssl_client_certificate`, which is not there; until then, it answers 403"));
    }
    if server.is_tls() && server.listens.iter().any(|(_, tls)| !tls) && !server.only_redirects() {
        draft.lost.push(server.line.lost("plain requests are redirected to https here"));
    }
    if server.is_tls() && tls == Tls::Implied {
        draft.lost.push(server.line.lost("no `ssl_certificate`: the certificate is the name's usual one"));
    }
    let routes = location::routes(server.line, &scope, draft);
    let site = draft.site(name);
    site.tls = tls;
    site.routes = routes;
    hoist(site);
}

/// What all routes have is the site's.
fn hoist(site: &mut super::super::draft::Site) {
    let Some(first) = site.routes.first() else { return };
    let same = |a: &super::super::draft::Edits, b: &super::super::draft::Edits| a.set == b.set && a.add == b.add && a.remove == b.remove;
    let headers = first.headers.clone();
    if site.routes.iter().all(|route| same(&route.headers.request, &headers.request)) {
        site.headers.request = headers.request;
        site.routes.iter_mut().for_each(|route| route.headers.request = Default::default());
    }
    if site.routes.iter().all(|route| same(&route.headers.response, &headers.response)) {
        site.headers.response = headers.response;
        site.routes.iter_mut().for_each(|route| route.headers.response = Default::default());
    }
}
