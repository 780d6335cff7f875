//! `upstream NAME { server …; }`

use super::super::draft::{Draft, Server, Upstream};
use super::scope::Scope;
use super::{Line, is_meaningless};

pub fn upstream(line: &Line, scope: &mut Scope, draft: &mut Draft) {
    let mut upstream = Upstream::default();
    for line in line.lines() {
        match &*line.name {
            "server" => server(line, &mut upstream, draft),
            "sticky" if line.arg(0) == "cookie" && line.args.len() == 2 => upstream.sticky = Some(line.arg(1).to_owned()),
            "sticky" => draft.lost.push(line.lost("`sticky = { cookie = \"…\" }` in [upstream.…], with `max-age`")),
            "keepalive" => upstream.idle = line.arg(0).parse().ok(),
            "random" | "zone" | "keepalive_timeout" | "keepalive_requests" | "keepalive_time" => {}
            "least_conn" => upstream.balance = Some("least".into()),
            "ip_hash" => upstream.balance = Some("hash(client.ip)".into()),
            "hash" => match hashed(line.arg(0)) {
                Some(what) => upstream.balance = Some(format!("hash({what})")),
                None => {
                    draft.lost.push(line.lost("`balance = \"hash(…)\"` in [upstream.…]: by client.ip, path, header:NAME or cookie:NAME"))
                }
            },
            name if is_meaningless(name) => {}
            _ => draft.lost.push(line.lost("not known here")),
        }
    }
    match &mosts(line)[..] {
        [] => {}
        [most] => upstream.per_server = most.filter(|most| *most > 0),
        _ => draft.lost.push(line.lost("`max_conns` differs: `limits = { per-server = … }` in [upstream.…] is one for all servers")),
    }
    if upstream.servers.is_empty() {
        draft.lost.push(line.lost("no server of it can be carried over"));
        return;
    }
    let name = draft.upstream(line.arg(0), upstream);
    scope.upstreams.insert(line.arg(0).to_owned(), name);
}

/// What servers have as `max_conns`, each once.
fn mosts(upstream: &Line) -> Vec<Option<u32>> {
    let servers = upstream.lines().iter().filter(|line| line.name == "server");
    let mut mosts: Vec<Option<u32>> =
        servers.map(|line| line.args.iter().find_map(|arg| arg.strip_prefix("max_conns=")?.parse().ok())).collect();
    mosts.sort_unstable();
    mosts.dedup();
    mosts
}

/// What a request belongs to.
fn hashed(variable: &str) -> Option<String> {
    match variable.trim_start_matches('$') {
        "binary_remote_addr" | "remote_addr" => Some("client.ip".to_owned()),
        "uri" | "document_uri" => Some("path".to_owned()),
        name => {
            let header = name.strip_prefix("http_").map(|name| format!("header:{}", name.replace('_', "-")));
            header.or_else(|| Some(format!("cookie:{}", name.strip_prefix("cookie_")?)))
        }
    }
}

fn server(line: &Line, upstream: &mut Upstream, draft: &mut Draft) {
    let mut server = Server::from(address(line.arg(0)));
    for parameter in line.args.iter().skip(1) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match name {
            "down" => return,
            "backup" => {
                server.priority = Some(1);
                draft.lost.push(line.lost("`priority = 1`: it gets requests as soon as fewer than five in seven of the others are well"));
            }
            "weight" => server.weight = value.parse().ok(),
            "max_conns" => {}
            "max_fails" | "fail_timeout" => draft.lost.push(line.lost("is for all: `[limits] eject-after`, `eject-time`")),
            "resolve" => {}
            other => draft.lost.push(line.lost(format!("`{other}` was left out"))),
        }
    }
    upstream.servers.push(server);
}

/// With the port that nginx implies.
pub fn address(text: &str) -> String {
    let bare = !text.starts_with("unix:") && !text.rsplit(']').next().unwrap_or(text).contains(':');
    if bare { format!("{text}:80") } else { text.to_owned() }
}
