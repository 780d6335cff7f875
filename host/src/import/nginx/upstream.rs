//! `upstream NAME { server …; }`

use super::super::draft::{Draft, Upstream};
use super::scope::Scope;
use super::{Line, is_meaningless};

pub fn upstream(line: &Line, scope: &mut Scope, draft: &mut Draft) {
    let mut upstream = Upstream::default();
    for line in line.lines() {
        match &*line.name {
            "server" => server(line, &mut upstream, draft),
            "keepalive" => upstream.idle = line.arg(0).parse().ok(),
            "random" | "zone" | "keepalive_timeout" | "keepalive_requests" | "keepalive_time" => {}
            "least_conn" => upstream.balance = Some("least"),
            "ip_hash" => upstream.balance = Some("hash(client.ip)"),
            "hash" => draft.lost.push(line.lost("`balance = \"hash(…)\"` in [upstream.…]: by client.ip, path, header:NAME or cookie:NAME")),
            name if is_meaningless(name) => {}
            _ => draft.lost.push(line.lost("not known here")),
        }
    }
    if upstream.servers.is_empty() {
        draft.lost.push(line.lost("no server of it can be carried over"));
        return;
    }
    let name = draft.upstream(line.arg(0), upstream);
    scope.upstreams.insert(line.arg(0).to_owned(), name);
}

fn server(line: &Line, upstream: &mut Upstream, draft: &mut Draft) {
    for parameter in line.args.iter().skip(1) {
        match parameter.split('=').next().unwrap_or_default() {
            "down" => return,
            "backup" => {
                draft.lost.push(line.lost("there are no servers in reserve; it was left out"));
                return;
            }
            "weight" => draft.lost.push(line.lost("`servers = [{ address = \"…\", weight = … }]`; it was written as one like the others")),
            "max_conns" => draft.lost.push(line.lost("`limits = { per-server = … }` in [upstream.…]")),
            "max_fails" | "fail_timeout" | "resolve" => {}
            other => draft.lost.push(line.lost(format!("`{other}` was left out"))),
        }
    }
    upstream.servers.push(address(line.arg(0)));
}

/// With the port that nginx implies.
pub fn address(text: &str) -> String {
    let bare = !text.starts_with("unix:") && !text.rsplit(']').next().unwrap_or(text).contains(':');
    if bare { format!("{text}:80") } else { text.to_owned() }
}
