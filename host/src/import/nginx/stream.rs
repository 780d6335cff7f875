//! `stream { server { listen …; proxy_pass …; } }` as TCP listeners.

use super::super::draft::{Draft, Tcp, Upstream};
use super::scope::Scope;
use super::{Line, elsewhere, is_meaningless, upstream, value};
use std::path::PathBuf;

pub fn stream(block: &Line, draft: &mut Draft) {
    let mut scope = Scope::new(PathBuf::new());
    let mut common = Common::default();
    for line in block.lines() {
        match &*line.name {
            "upstream" => upstream::upstream(line, &mut scope, draft),
            "server" => {}
            name if is_meaningless(name) => {}
            _ if common.take(line, draft) => {}
            name => draft.lost.push(line.lost(elsewhere(name).unwrap_or("`[tcp.\"…\"] sni = { … }` leads by name"))),
        }
    }
    for line in block.lines().iter().filter(|line| line.name == "server") {
        server(line, common.clone(), &scope, draft);
    }
}

/// What stands in `stream` for all its servers, or in one of them.
#[derive(Clone, Default)]
struct Common {
    idle: Option<String>,
    announced: bool,
}

impl Common {
    /// `false`: the line is about something else.
    fn take(&mut self, line: &Line, draft: &mut Draft) -> bool {
        match &*line.name {
            "proxy_timeout" => match value::duration(line.arg(0)) {
                Some(time) => self.idle = Some(time),
                None => draft.lost.push(line.lost("not a time that can be carried over")),
            },
            "proxy_protocol" => self.announced = line.arg(0) == "on",
            "proxy_connect_timeout" => draft.lost.push(line.lost("is for all: `[limits] connect`")),
            _ => return false,
        }
        true
    }
}

fn server(block: &Line, mut common: Common, scope: &Scope, draft: &mut Draft) {
    let (mut addresses, mut to) = (Vec::new(), None);
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
            "listen" => addresses.push(address(line.arg(0))),
            "proxy_pass" if line.arg(0).contains('$') => {
                draft.lost.push(line.lost("`[tcp.\"…\"] sni = { … }` leads by name"));
                return;
            }
            "proxy_pass" => to = Some(line.arg(0)),
            name if is_meaningless(name) => {}
            _ if common.take(line, draft) => {}
            name => draft.lost.push(line.lost(elsewhere(name).unwrap_or("not known here"))),
        }
    }
    let (false, Some(to)) = (addresses.is_empty(), to) else {
        draft.lost.push(block.lost("no `listen` or no `proxy_pass`"));
        return;
    };
    let own = || Upstream { servers: vec![to.to_owned().into()], ..Upstream::default() };
    let name = scope.upstreams.get(to).cloned().unwrap_or_else(|| draft.upstream("tcp", own()));
    if common.announced {
        draft.upstreams.iter_mut().filter(|upstream| upstream.name == name).for_each(|upstream| upstream.proxy_protocol = true);
    }
    // `:5432` is both families here; nginx says them one by one.
    let both: Vec<String> = addresses.iter().filter_map(|address| Some(format!("[::]:{}", address.strip_prefix(':')?))).collect();
    for address in addresses.into_iter().filter(|address| !both.contains(address)) {
        draft.tcp.push(Tcp { address, to: name.clone(), idle: common.idle.clone() });
    }
}

fn address(listen: &str) -> String {
    match listen {
        port if port.bytes().all(|byte| byte.is_ascii_digit()) => format!(":{port}"),
        address => address.trim_start_matches('*').to_owned(),
    }
}
