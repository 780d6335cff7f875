//! `stream { server { listen …; proxy_pass …; } }` as TCP listeners.

use super::super::draft::{Draft, Tcp, Upstream};
use super::scope::Scope;
use super::{Line, elsewhere, is_meaningless, upstream, value};
use std::path::PathBuf;

pub fn stream(block: &Line, draft: &mut Draft) {
    let mut scope = Scope::new(PathBuf::new());
    for line in block.lines() {
        match &*line.name {
            "upstream" => upstream::upstream(line, &mut scope, draft),
            "server" => {}
            name if is_meaningless(name) => {}
            name => draft.lost.push(line.lost(elsewhere(name).unwrap_or("`[tcp.\"…\"] sni = { … }` leads by name"))),
        }
    }
    for line in block.lines().iter().filter(|line| line.name == "server") {
        server(line, &scope, draft);
    }
}

fn server(block: &Line, scope: &Scope, draft: &mut Draft) {
    let (mut address, mut to, mut idle, mut announced) = (None, None, None, false);
    for line in block.lines() {
        match &*line.name {
            "listen" if line.args.iter().any(|arg| arg == "udp") => {
                draft.lost.push(line.lost("there is no UDP"));
                return;
            }
            "listen" if line.args.iter().any(|arg| arg == "ssl") => {
                draft.lost.push(line.lost("`[tcp.\"…\"] tls = { cert, key }` ends TLS"));
                return;
            }
            "listen" => address = Some(line.arg(0)),
            "proxy_pass" if line.arg(0).contains('$') => {
                draft.lost.push(line.lost("`[tcp.\"…\"] sni = { … }` leads by name"));
                return;
            }
            "proxy_pass" => to = Some(line.arg(0)),
            "proxy_timeout" => idle = value::duration(line.arg(0)),
            "proxy_protocol" => announced = line.arg(0) == "on",
            name if is_meaningless(name) => {}
            "proxy_connect_timeout" => draft.lost.push(line.lost("is for all: `[limits] connect`")),
            name => draft.lost.push(line.lost(elsewhere(name).unwrap_or("not known here"))),
        }
    }
    let (Some(address), Some(to)) = (address, to) else {
        draft.lost.push(block.lost("no `listen` or no `proxy_pass`"));
        return;
    };
    let address = match address {
        port if port.bytes().all(|byte| byte.is_ascii_digit()) => format!(":{port}"),
        address => address.trim_start_matches('*').to_owned(),
    };
    let own = || Upstream { servers: vec![to.to_owned().into()], ..Upstream::default() };
    let name = scope.upstreams.get(to).cloned().unwrap_or_else(|| draft.upstream("tcp", own()));
    if announced {
        draft.upstreams.iter_mut().filter(|upstream| upstream.name == name).for_each(|upstream| upstream.proxy_protocol = true);
    }
    draft.tcp.push(Tcp { address, to: name, idle });
}
