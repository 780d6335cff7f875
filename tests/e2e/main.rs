//! End to end: the binary as a user runs it, real sockets, real clients. One file per behaviour.

#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

mod access;
mod acme;
mod admin;
mod aliases;
mod authors;
mod balance;
mod bodies;
mod capabilities;
mod caps;
mod certificates;
mod chain;
mod clients;
mod commands;
mod config_reload;
mod connections;
mod dashboard;
mod discovery;
mod examples;
mod exchange;
mod failure;
mod faults;
mod forwarding;
mod framing;
mod import;
mod going_out;
mod grpc;
mod handover;
mod health;
mod http2_upstream;
mod inject;
mod interim;
mod manager;
mod mirror;
mod mtls;
mod origin_faults;
mod plugins;
mod packaging;
mod polyglot;
mod pressure;
mod reload;
mod restarts;
mod retries;
mod routing;
mod service;
mod sni;
mod stop;
mod tcp;
mod tls;
mod trust;
mod tls_papers;
mod top;
mod traces;
mod upgrade;
mod online;
mod proxy_protocol;
mod unix;
mod upstream_revoked;
mod upstream_tls;

use portcullis_tests::{Origin, Proxy};

/// A plain site `a.test` whose every path goes to `origin`, with more TOML for the route.
fn plain_site(origin: &Origin) -> Proxy {
    Proxy::start(&format!(
        "[site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/*\" = \"app\" }}\n[upstream.app]\nservers = [\"{}\"]\n",
        origin.name()
    ))
}
