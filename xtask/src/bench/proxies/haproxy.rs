//! HAProxy: one thread, connections to the origin shared and kept, routes from a map.

use super::{Setup, Variant};

pub fn configuration(setup: &Setup) -> String {
    if setup.scenario.tunnel() { tunnel(setup) } else { proxy(setup) }
}

fn tunnel(setup: &Setup) -> String {
    let Setup { http, origin, .. } = setup;
    // As wide as ours. `splice-auto` would hardly ever do it here.
    let (pipes, splice) = if setup.variant == Variant::Splice {
        ("  tune.pipesize 262144\n", "  option splice-request\n  option splice-response\n")
    } else {
        ("", "")
    };
    format!(
        "global
  nbthread 1
  maxconn 1000
{pipes}defaults
  mode tcp
  timeout connect 5s
  timeout client 600s
  timeout server 600s
{splice}frontend f
  bind 127.0.0.1:{http}
  default_backend b
backend b
  server o 127.0.0.1:{origin}
"
    )
}

fn proxy(setup: &Setup) -> String {
    let Setup { dir, http, https, origin, scenario, .. } = setup;
    let dir = dir.display();
    let tls = if scenario.tls { format!("  bind 127.0.0.1:{https} ssl crt {dir}/both.pem alpn h2,http/1.1\n") } else { String::new() };
    let mut rules = String::new();
    for i in 1..=scenario.filters {
        rules += &format!(
            "  http-request deny deny_status 403 unless {{ req.hdr(x-bench-key) good }}\n  http-response add-header x-filter-{i} 1\n"
        );
    }
    rules += &match scenario.routes {
        0 => "  default_backend b\n".to_owned(),
        _ => format!(
            "  http-request set-var(txn.be) base,map_beg({dir}/routes.map)\n  http-request return status 404 unless {{ var(txn.be) -m found }}\n  use_backend %[var(txn.be)]\n"
        ),
    };
    format!(
        "global
  nbthread 1
  maxconn 9000
  ssl-default-bind-options ssl-min-ver TLSv1.3
  ssl-default-bind-curves X25519
  tune.ssl.cachesize 50000
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  timeout http-keep-alive 600s
  http-reuse always
frontend f
  bind 127.0.0.1:{http}
{tls}{rules}backend b
  server o 127.0.0.1:{origin} pool-max-conn -1 pool-purge-delay 600s
"
    )
}

/// Host and path prefix → backend.
pub fn map(setup: &Setup) -> String {
    (0..setup.scenario.routes).map(|i| format!("h{i}.bench.test/r{i}/ b\n")).collect()
}
