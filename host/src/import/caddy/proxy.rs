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
        upstream.servers.push(server(text)?.into());
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
            name if name.starts_with("health_") => health(line, &mut upstream),
            "lb_retries" => match line.arg(0).parse::<u32>() {
                Ok(retries @ 0..=10) => {
                    route.retry.insert("tries", (retries + 1).to_string());
                    Ok(())
                }
                _ => Err("from 0 to 10: `retry` of a route".into()),
            },
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
    let wanted = called(&upstream.servers[0].address);
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
        "round_robin" => upstream.balance = Some("round-robin".into()),
        "least_conn" => upstream.balance = Some("least".into()),
        "client_ip_hash" | "ip_hash" => upstream.balance = Some("hash(client.ip)".into()),
        "uri_hash" => upstream.balance = Some("hash(path)".into()),
        // The default here is to pick two at random and take the less busy one.
        "random" | "random_choose" => {}
        "header" if !line.arg(1).is_empty() => upstream.balance = Some(format!("hash(header:{})", line.arg(1).to_ascii_lowercase())),
        "cookie" => upstream.sticky = Some(if line.arg(1).is_empty() { "lb" } else { line.arg(1) }.to_owned()),
        "weighted_round_robin" => {
            upstream.balance = Some("round-robin".into());
            for (server, weight) in upstream.servers.iter_mut().zip(&line.args[1..]) {
                server.weight =
                    Some(weight.parse().ok().filter(|weight| *weight > 0).ok_or("a weight is from 1 up: leave the server out")?);
            }
        }
        // Each is asked only while those before it are down.
        "first" => (0..).zip(&mut upstream.servers).skip(1).for_each(|(place, server)| server.priority = Some(place)),
        other => return Err(format!("`{other}`: p2c, round-robin, least or hash(…)")),
    }
    Ok(())
}

fn health(line: &Line, upstream: &mut Upstream) -> Result<(), String> {
    let number = || line.arg(0).parse::<u16>().map(|number| number.to_string()).map_err(|_| "no number".to_owned());
    let (key, value) = match &*line.name {
        "health_uri" | "health_path" => ("get", quoted(line.arg(0))),
        "health_interval" => ("every", quoted(&value::duration(line.arg(0))?)),
        "health_timeout" => ("timeout", quoted(&value::duration(line.arg(0))?)),
        "health_status" if line.arg(0).ends_with("xx") => return Err("`expect` lists statuses; 200 to 399 unless written".into()),
        "health_status" => ("expect", format!("[{}]", number()?)),
        "health_passes" => ("up", number()?),
        "health_fails" => ("down", number()?),
        "health_headers" => match line.lines() {
            [only] if only.name.eq_ignore_ascii_case("host") => ("host", quoted(only.arg(0))),
            _ => return Err("of a look's fields only `host` can be chosen".into()),
        },
        _ => return Err("a server is well if it answers GET with an expected status".into()),
    };
    upstream.health.insert(key, value);
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
            upstream.servers.first()?.address.trim_start_matches("https://").trim_end_matches(":443").to_owned()
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
        if let Err(why) = option(line, upstream, route) {
            draft.lost.push(line.lost(why));
        }
    }
    Ok(())
}

/// A line of `transport http`.
fn option(line: &Line, upstream: &mut Upstream, route: &mut Route) -> Result<(), String> {
    match &*line.name {
        "tls" => {
            let plain = |address: &&mut String| !address.contains("://") && !address.starts_with("unix:");
            let addresses = upstream.servers.iter_mut().map(|server| &mut server.address);
            addresses.filter(plain).for_each(|address| *address = format!("https://{address}"));
        }
        "tls_insecure_skip_verify" => upstream.unverified = true,
        "tls_server_name" => upstream.server_name = Some(line.arg(0).to_owned()),
        "tls_trusted_ca_certs" => upstream.ca = Some(line.arg(0).to_owned()),
        "tls_trust_pool" if line.arg(0) == "file" => upstream.ca = Some(line.arg(1).to_owned()),
        "read_timeout" => drop(route.timeout.insert("idle", value::duration(line.arg(0))?)),
        "response_header_timeout" => drop(route.timeout.insert("response", value::duration(line.arg(0))?)),
        "proxy_protocol" if line.arg(0) == "v1" => upstream.proxy_protocol = true,
        "keepalive_idle_conns_per_host" => upstream.idle = line.arg(0).parse().ok(),
        "compression" | "read_buffer" | "write_buffer" | "write_timeout" => {}
        "dial_timeout" | "keepalive" | "keepalive_idle_conns" => return Err("see `portcullis defaults`".into()),
        "versions" => return Err("`protocol` of an upstream: \"http1\", \"http2\" or \"auto\"".into()),
        _ => return Err("not known here".into()),
    }
    Ok(())
}

/// `forward_auth SERVER { uri /check; copy_headers A B }`
pub fn asked(line: &Line, args: &[String], draft: &mut Draft) -> Result<Link, String> {
    let mut upstream = Upstream::default();
    for text in args {
        upstream.servers.push(server(text)?.into());
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
