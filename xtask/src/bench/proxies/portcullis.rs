//! Our own configuration: limits on, but wide enough that they end no connection of a load generator.

use super::{Setup, Variant};

pub fn configuration(setup: &Setup) -> String {
    let Setup { http, https, origin, cert, key, scenario, .. } = setup;
    let mut text = format!(
        "[server]
workers = 1
state = {state}
access-log = \"off\"

[listen]
http = [{plain}]
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
        plain = if scenario.tunnel() { String::new() } else { format!("\"127.0.0.1:{http}\"") },
        https = if scenario.tls { format!("\"127.0.0.1:{https}\"") } else { String::new() },
    );
    if scenario.tunnel() {
        return text + &format!("\n[tcp.\"127.0.0.1:{http}\"]\nto = \"origin\"\ntimeout = {{ idle = \"600s\" }}\n");
    }
    if scenario.filters > 0 {
        let guests = match setup.variant {
            Variant::FreshGuests => "isolate = \"request\"\nremember = false",
            Variant::Remembered => "isolate = \"request\"",
            _ => "isolate = \"worker\"",
        };
        text += &format!("\n[plugin.tag]\nsource = {}\n{guests}\n", quoted(&setup.guests.join("tag.wasm")));
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
