//! `auth_request URI`: what the location of that URI asks, as a `forward-auth` link.

use super::super::draft::{Action, Draft, Link};
use super::super::write::quoted;
use super::scope::{Scope, is_implied};
use super::{Line, action, elsewhere, is_meaningless};
use std::collections::BTreeMap;

/// By URI. One that is not in here leads to no location that can be carried over.
pub type Doors = BTreeMap<String, Link>;

/// Fields that say what the server is told anyway, beside those of whoever is passed on to.
const IMPLIED: &[(&str, &[&str])] = &[
    ("content-length", &[""]),
    ("host", &["$host", "$http_host", "$proxy_host"]),
    ("x-original-method", &["$request_method"]),
    ("x-original-uri", &["$request_uri"]),
    ("x-original-url", &["$scheme://$http_host$request_uri", "$scheme://$host$request_uri"]),
    ("x-forwarded-method", &["$request_method"]),
    ("x-forwarded-uri", &["$request_uri"]),
];

/// Those of a server: of each location that an `auth_request` in it names, or one around it.
pub fn doors(server: &Line, scope: &Scope, draft: &mut Draft) -> Doors {
    let mut wanted: Vec<&str> = scope.asked().into_iter().collect();
    gather(server, &mut wanted);
    let locations = || server.lines().iter().filter(|line| line.name == "location");
    let mut doors = Doors::new();
    for uri in wanted {
        if let Some(location) = locations().find(|line| leads(line, uri)) {
            match link(location, uri, scope, draft) {
                Ok(link) => drop(doors.insert(uri.to_owned(), link)),
                Err(why) => draft.lost.push(location.lost(why)),
            }
        }
    }
    doors
}

fn gather<'l>(block: &'l Line, wanted: &mut Vec<&'l str>) {
    for line in block.lines() {
        match &*line.name {
            "auth_request" if line.arg(0) != "off" && !wanted.contains(&line.arg(0)) => wanted.push(line.arg(0)),
            "location" => gather(line, wanted),
            _ => {}
        }
    }
}

/// Only by its own name: what a longer path would be asked for is not told by a link.
fn leads(location: &Line, uri: &str) -> bool {
    match &location.args[..] {
        [path] => path == uri,
        [modifier, path] => ["=", "^~"].contains(&&**modifier) && path == uri,
        _ => false,
    }
}

fn link(location: &Line, uri: &str, scope: &Scope, draft: &mut Draft) -> Result<Link, String> {
    let pass = location.lines().iter().find(|line| line.name == "proxy_pass").ok_or("no `proxy_pass`: nobody is asked")?;
    let mut inner = scope.inner(location.lines());
    let mut host = None;
    for line in location.lines() {
        let (name, value) = (line.arg(0).to_ascii_lowercase(), line.arg(1));
        let implied = is_implied(&name, value) || IMPLIED.iter().any(|(implied, values)| *implied == name && values.contains(&value));
        match &*line.name {
            "proxy_pass" | "internal" | "proxy_pass_request_body" | "auth_request" => {}
            "proxy_set_header" if implied => {}
            "proxy_set_header" if name == "host" && !value.contains('$') => host = Some(quoted(value)),
            "proxy_set_header" => {
                draft.lost.push(line.lost("`forward-auth` tells X-Forwarded-* and X-Original-*, and the client's own fields"))
            }
            // Of its TLS.
            name if name.starts_with("proxy_ssl_") => inner.take(line, draft),
            name if is_meaningless(name) => {}
            name => draft.lost.push(line.lost(elsewhere(name).unwrap_or("`forward-auth` has settings of its own"))),
        }
    }
    if !inner.request.is_empty() {
        draft.lost.push(location.lost("fields that are set around it: `forward-auth` tells X-Forwarded-* and X-Original-*"));
    }
    let (upstream, path) = action::asked(pass, &inner, draft)?;
    draft.asked.push(upstream.clone());
    let path = if path.is_empty() { uri.to_owned() } else { path };
    let mut settings = vec![("upstream", quoted(&upstream)), ("path", quoted(&path)), ("send", quoted("*"))];
    settings.extend(host.map(|host| ("host", host)));
    Ok(Link { plugin: "forward-auth", settings })
}

/// What an `internal` location of a door answers to clients: nothing that is behind it.
pub fn shut() -> Action {
    Action::Respond { status: 404, body: String::new() }
}
