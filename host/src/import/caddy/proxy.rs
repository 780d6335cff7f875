//! `reverse_proxy` and `forward_auth`.

use super::super::draft::{Action, Draft, Link, Route, Upstream};
use super::super::line::Line;
use super::super::write::quoted;
use super::block::{add, fields};
use super::value;
use crate::import::draft::Edits;
use std::net::IpAddr;

pub fn route(line: &Line, args: &[String], draft: &mut Draft) -> Result<Route, String> {
    let mut upstream = Upstream::default();
    let mut route = Route::new("", Action::To(String::new()));
    let mut host = None;
    for text in args.iter().chain(line.lines().iter().filter(|line| line.name == "to").flat_map(|line| &line.args)) {
        upstream.servers.push(server(text)?);
    }
    for line in line.lines() {
        let done = match &*line.name {
            "to" | "flush_interval" | "trusted_proxies" | "request_buffers" | "response_buffers" | "stream_timeout"
            | "stream_close_delay" => Ok(()),
            "lb_policy" => balance(line, &mut upstream),
            "header_up" if line.arg(0).eq_ignore_ascii_case("host") => {
                host = Some(line.arg(1).to_owned());
                Ok(())
            }
            "header_up" => header_up(line, &mut route.headers.request),
            "header_down" => fields(line, &line.args, &mut route.headers.response),
            "transport" => transport(line, &mut upstream, &mut route, draft),
            name if name.starts_with("health_") => Err("`health` in [upstream.…]".into()),
            name if name.starts_with("lb_") => Err("`retry` of a route".into()),
            "unhealthy_request_count" => Err("`limits = { per-server = … }` in [upstream.…]".into()),
            name if name.starts_with("fail_") || name.starts_with("max_") || name.starts_with("unhealthy_") => {
                Err("`[limits] eject-after`, `eject-time`".into())
            }
            "dynamic" => Err("servers are written, or found by name: app.internal:8080, or srv+http://_app._tcp.internal".into()),
            "handle_response" | "replace_status" | "copy_response" | "rewrite" | "method" => Err("a plugin's job".into()),
            _ => Err("not known here".into()),
        };
        if let Err(why) = done {
            draft.lost.push(line.lost(why));
        }
    }
    if upstream.servers.is_empty() {
        return Err("no server".into());
    }
    if let Some(host) = host {
        route.chain.extend(self::host(&host, &upstream, line, draft));
    }
    let wanted = called(&upstream.servers[0]);
    route.action = Action::To(draft.upstream(&wanted, upstream));
    Ok(route)
}

/// The name of an upstream, by its first server.
fn called(server: &str) -> String {
    let bare = server.split_once("://").map_or(server, |(_, bare)| bare);
    let host = bare.rsplit_once(':').map_or(bare, |(host, _)| host);
    let plain = host.parse::<IpAddr>().is_ok() || host.starts_with('[') || host == "localhost" || server.starts_with("unix:");
    if plain { "app".to_owned() } else { host.to_owned() }
}

/// `localhost:9000`, `:9000`, `http://h`, `https://h`, `h2c://h`, `unix//run/x.sock`
fn server(text: &str) -> Result<String, String> {
    let rest = match text.split_once("://") {
        Some(("http", rest)) => rest,
        Some(("https", rest)) => {
            let port = if rest.contains(':') { "" } else { ":443" };
            return Ok(format!("https://{}{port}", rest.trim_end_matches('/')));
        }
        Some(("h2c", rest)) => {
            let port = if rest.contains(':') { "" } else { ":80" };
            return Ok(format!("h2c://{}{port}", rest.trim_end_matches('/')));
        }
        Some((scheme, _)) => return Err(format!("servers are not spoken to in {scheme}")),
        None => text,
    };
    if let Some(path) = rest.strip_prefix("unix/") {
        return Ok(format!("unix:{path}"));
    }
    if rest.contains('{') {
        return Err("where it leads depends on a placeholder: a `route` link, or a plugin".into());
    }
    let rest = rest.trim_end_matches('/');
    let bare = !rest.rsplit(']').next().unwrap_or(rest).contains(':');
    let host = if rest.starts_with(':') { format!("localhost{rest}") } else { rest.to_owned() };
    Ok(if bare { format!("{host}:80") } else { host })
}

fn balance(line: &Line, upstream: &mut Upstream) -> Result<(), String> {
    match line.arg(0) {
        "round_robin" => upstream.balance = Some("round-robin"),
        "least_conn" => upstream.balance = Some("least"),
        "client_ip_hash" | "ip_hash" => upstream.balance = Some("hash(client.ip)"),
        "uri_hash" => upstream.balance = Some("hash(path)"),
        // The default here is to pick two at random and take the less busy one.
        "random" | "random_choose" => {}
        "cookie" => return Err("`sticky = { cookie = \"…\" }` in [upstream.…]".into()),
        other => return Err(format!("`{other}`: p2c, round-robin, least or hash(…)")),
    }
    Ok(())
}

/// Fields that say what is said here anyway.
fn header_up(line: &Line, edits: &mut Edits) -> Result<(), String> {
    let (name, text) = (line.arg(0).to_ascii_lowercase(), line.arg(1));
    let implied = matches!(
        (&*name, text),
        ("x-forwarded-for", "{remote_host}" | "{remote}" | "{http.request.remote.host}")
            | ("x-forwarded-proto", "{scheme}" | "{http.request.scheme}")
            | ("x-forwarded-host", "{host}" | "{http.request.host}" | "{hostport}")
            | ("upgrade" | "connection", _)
    );
    if implied {
        return Ok(());
    }
    let mut own = Edits::default();
    fields(line, &line.args, &mut own)?;
    add(edits, own);
    Ok(())
}

/// What the server gets as `Host`.
fn host(text: &str, upstream: &Upstream, line: &Line, draft: &mut Draft) -> Option<Link> {
    let host = match text {
        "{host}" | "{hostport}" | "{http.request.host}" | "{http.request.hostport}" => return None,
        "{upstream_hostport}" | "{http.reverse_proxy.upstream.hostport}" => {
            upstream.servers.first()?.trim_start_matches("https://").trim_end_matches(":443").to_owned()
        }
        text => match value::plain(text) {
            Ok(host) => host,
            Err(name) => {
                draft.lost.push(line.lost(format!("`Host`: {name} has no counterpart")));
                return None;
            }
        },
    };
    Some(Link { plugin: "rewrite", settings: vec![("host", quoted(&host))] })
}

fn transport(line: &Line, upstream: &mut Upstream, route: &mut Route, draft: &mut Draft) -> Result<(), String> {
    if line.arg(0) != "http" {
        return Err("servers are spoken to in HTTP".into());
    }
    for line in line.lines() {
        match &*line.name {
            "tls" => {
                let plain = |server: &&mut String| !server.contains("://") && !server.starts_with("unix:");
                upstream.servers.iter_mut().filter(plain).for_each(|server| *server = format!("https://{server}"));
            }
            "tls_insecure_skip_verify" => upstream.unverified = true,
            "tls_server_name" => upstream.server_name = Some(line.arg(0).to_owned()),
            "tls_trusted_ca_certs" => upstream.ca = Some(line.arg(0).to_owned()),
            "tls_trust_pool" if line.arg(0) == "file" => upstream.ca = Some(line.arg(1).to_owned()),
            "read_timeout" => drop(route.timeout.insert("idle", line.arg(0).to_owned())),
            "response_header_timeout" => drop(route.timeout.insert("response", line.arg(0).to_owned())),
            "proxy_protocol" if line.arg(0) == "v1" => upstream.proxy_protocol = true,
            "keepalive_idle_conns_per_host" => upstream.idle = line.arg(0).parse().ok(),
            "compression" | "read_buffer" | "write_buffer" | "write_timeout" => {}
            "dial_timeout" | "keepalive" | "keepalive_idle_conns" => draft.lost.push(line.lost("see `portcullis defaults`")),
            "versions" => draft.lost.push(line.lost("`protocol` of an upstream: \"http1\", \"http2\" or \"auto\"")),
            _ => draft.lost.push(line.lost("not known here")),
        }
    }
    Ok(())
}

/// `forward_auth SERVER { uri /check; copy_headers A B }`
pub fn asked(line: &Line, args: &[String], draft: &mut Draft) -> Result<Link, String> {
    let mut upstream = Upstream::default();
    for text in args {
        upstream.servers.push(server(text)?);
    }
    let mut settings = Vec::new();
    for line in line.lines() {
        match &*line.name {
            "uri" => settings.push(("path", quoted(line.arg(0)))),
            "copy_headers" => {
                let names: Vec<&String> = line.args.iter().chain(line.lines().iter().map(|line| &line.name)).collect();
                if names.iter().any(|name| name.contains('>')) {
                    return Err("fields that are copied under another name".into());
                }
                settings.push(("copy", format!("[{}]", names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", "))));
            }
            "header_up" => draft.lost.push(line.lost("what the server is told is fixed; `send` chooses fields")),
            _ => return Err(format!("`{}` is not known here", line.name)),
        }
    }
    if upstream.servers.is_empty() {
        return Err("no server".into());
    }
    let name = draft.upstream("auth", upstream);
    draft.asked.push(name.clone());
    settings.insert(0, ("upstream", quoted(&name)));
    Ok(Link { plugin: "forward-auth", settings })
}
