//! `stream { server { listen …; proxy_pass …; } }` as TCP listeners.

use super::super::draft::{Draft, Tcp, Upstream};
use super::scope::Scope;
use super::{Line, elsewhere, is_meaningless, merged, ours, upstream, value};
use std::path::PathBuf;

/// Of what chooses a server by the name in the client hello.
const BY_NAME: &str = "`[tcp.\"…\"] sni = { … }` leads by name";

pub fn stream(block: &Line, draft: &mut Draft) {
    let mut scope = Scope::new(PathBuf::new());
    let mut common = Common::default();
    for line in block.lines() {
        match &*line.name {
            "upstream" => upstream::upstream(line, &mut scope, draft),
            "server" => {}
            _ => common.take(line, BY_NAME, draft),
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
    /// `otherwise`: what is said of a line that is known nowhere.
    fn take(&mut self, line: &Line, otherwise: &str, draft: &mut Draft) {
        let why = match &*line.name {
            "proxy_timeout" => match value::time(line.arg(0)) {
                Ok(time) => return self.idle = Some(time),
                Err(why) => why,
            },
            "proxy_protocol" => return self.announced = line.arg(0) == "on",
            "proxy_connect_timeout" => "is for all: `[limits] connect`",
            name if is_meaningless(name) => return,
            name => elsewhere(name).unwrap_or(otherwise),
        };
        draft.lost.push(line.lost(why));
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
            "listen" => addresses.push(ours(line.arg(0))),
            "proxy_pass" if line.arg(0).contains('$') => {
                draft.lost.push(line.lost(BY_NAME));
                return;
            }
            "proxy_pass" => to = Some(line.arg(0)),
            _ => common.take(line, "not known here", draft),
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
    for address in merged(addresses) {
        draft.tcp.push(Tcp { address, to: name.clone(), idle: common.idle.clone() });
    }
}
