//! Our own configuration: limits on, but wide enough that they end no connection of a load generator.

use super::Setup;

/// `isolate` of the filters' plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolate {
    Worker,
    Request,
}

pub fn configuration(setup: &Setup) -> String {
    let Setup { http, https, origin, cert, key, scenario, .. } = setup;
    let mut text = format!(
        "[server]
workers = 1
state = {state}
access-log = \"off\"

[listen]
http = [\"127.0.0.1:{http}\"]
https = [{https}]

[limits]
connections-per-ip = 20000
keep-alive = \"600s\"
keep-alive-requests = 1000000000
connection-age = \"1d\"
pool-idle-time = \"600s\"
pool-age = \"1d\"

[upstream.origin]
servers = [\"127.0.0.1:{origin}\"]
pool = 1024
",
        state = quoted(setup.state),
        https = if scenario.tls { format!("\"127.0.0.1:{https}\"") } else { String::new() },
    );
    if scenario.filters > 0 {
        let isolate = if setup.isolate == Isolate::Request { "request" } else { "worker" };
        text += &format!("\n[plugin.tag]\nsource = {}\nisolate = \"{isolate}\"\n", quoted(&setup.guests.join("tag.wasm")));
    }
    let links = (1..=scenario.filters).map(|i| format!("{{ use = \"tag\", as = \"tag-{i}\", config = {{ header = \"x-filter-{i}\" }} }}"));
    let chain = links.collect::<Vec<_>>().join(", ");
    for i in 0..scenario.routes {
        text += &format!("\n[site.\"h{i}.bench.test\"]\ntls = \"off\"\nroutes = {{ \"/r{i}/*\" = \"origin\" }}\n");
    }
    let mut site = |name: &str, tls: &str| {
        text += &format!("\n[site.\"{name}\"]\ntls = {tls}\nchain = [{chain}]\nroutes = {{ \"/*\" = \"origin\" }}\n");
    };
    if scenario.tls {
        // Whether it is up is asked in the clear, under a name of its own: a site is served either with TLS or without.
        site("bench.test", "\"off\"");
        site("*", &format!("{{ cert = {}, key = {} }}", quoted(cert), quoted(key)));
    } else if scenario.routes == 0 {
        site("*", "\"off\"");
    }
    text
}

/// A TOML literal string; paths have no quotes of this kind.
fn quoted(path: &std::path::Path) -> String {
    format!("'{}'", path.display())
}
