//! `portcullis check --online`: every server is looked up, connected to and, where TLS is on, asked for its certificate.

use super::prepare::outbound;
use crate::certs::{Outbound, Presented, ServerTls};
use crate::config::{
    Config, Diagnostic, Limits, Location, Protocol, ProxyVersion, ServerAddress, UpstreamName, UpstreamServer, UpstreamSpec,
};
use crate::upstream::{Probed, Query, SendError, found_once, probe};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use time::OffsetDateTime;
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::spawn_local;

/// As for our own certificates: renewal usually happens 30 days before the end.
const SOON: i64 = 14;

/// One server, as it was found.
pub struct Seen {
    upstream: UpstreamName,
    server: ServerAddress,
    at: Location,
    found: Result<Probed, SendError>,
    /// What it presents, also if that is refused.
    certificate: Option<Presented>,
}

/// Looks at all servers at once. `Err`: this machine does not let us.
pub fn look(config: &Config) -> io::Result<Vec<Seen>> {
    // What is wrong with our own papers has been said; those servers are left out.
    let outbound = outbound(config, None, &mut Vec::new()).unwrap_or_default();
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let mut looking = Vec::new();
        let limits = Arc::new(config.limits.clone());
        let (upstreams, failed) = found_once(&config.upstreams, &config.server.resolver).await;
        for (upstream, server, tls, proxy) in servers(&upstreams, &outbound) {
            let limits = limits.clone();
            looking.push(spawn_local(async move {
                let (found, certificate) = one(&server.address, tls.as_ref(), proxy, &limits).await;
                Seen { upstream, server: server.written().clone(), at: server.at, found, certificate }
            }));
        }
        let mut seen = lost(config, &failed);
        for one in looking {
            seen.push(one.await.map_err(io::Error::other)?);
        }
        Ok(seen)
    })
}

/// What is written and cannot be looked up.
fn lost(config: &Config, failed: &BTreeMap<Query, String>) -> Vec<Seen> {
    let mut lost = Vec::new();
    for (name, spec) in &config.upstreams {
        for server in &spec.servers {
            let Some(why) = Query::of(&server.address).and_then(|query| failed.get(&query)) else { continue };
            let found = Err(SendError::Connect(io::Error::new(io::ErrorKind::NotFound, why.clone())));
            lost.push(Seen { upstream: name.clone(), server: server.address.clone(), at: server.at.clone(), found, certificate: None });
        }
    }
    lost
}

type Wanted = (UpstreamName, UpstreamServer, Option<ServerTls>, (Protocol, Option<ProxyVersion>));

fn servers(upstreams: &BTreeMap<UpstreamName, UpstreamSpec>, outbound: &Outbound) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for (name, spec) in upstreams {
        let tls = outbound.servers(name, &spec.servers);
        if spec.tls.is_some() && tls.is_none() {
            continue;
        }
        for (index, server) in spec.servers.iter().enumerate() {
            // Runs in this process, once it serves.
            if matches!(server.address, ServerAddress::Component(_)) {
                continue;
            }
            let tls = tls.as_ref().and_then(|tls| tls.get(index)).cloned();
            wanted.push((name.clone(), server.clone(), tls, (spec.protocol, spec.proxy_protocol)));
        }
    }
    wanted
}

async fn one(
    server: &ServerAddress,
    tls: Option<&ServerTls>,
    proxy: (Protocol, Option<ProxyVersion>),
    limits: &Limits,
) -> (Result<Probed, SendError>, Option<Presented>) {
    let leaf = |probed: &Probed| Presented::read(probed.tls.as_ref()?.certificates.first()?);
    let found = probe(server, tls, proxy, limits).await;
    let certificate = match (&found, tls) {
        (Ok(probed), _) => leaf(probed),
        // Asked once more, so that the operator sees what is refused.
        (Err(SendError::Certificate(_)), Some(tls)) => {
            probe(server, Some(&tls.unverified()), proxy, limits).await.ok().as_ref().and_then(leaf)
        }
        _ => None,
    };
    (found, certificate)
}

impl Seen {
    /// One line for the terminal.
    pub fn text(&self) -> String {
        let state = match &self.found {
            Ok(Probed { address, tls }) => {
                let at = address.as_ref().filter(|address| **address != self.server.to_string());
                let at = at.map(|address| format!(" at {address}")).unwrap_or_default();
                let tls = tls.as_ref().map(|tls| format!(", {}", tls.version.replace("v1_", "v1."))).unwrap_or_default();
                format!("reached{at}{tls}")
            }
            Err(error) => format!("{error}"),
        };
        let certificate = self.certificate.as_ref().map(|certificate| {
            let Presented { subject, issuer, not_after } = certificate;
            format!("\n    certificate {subject}, issued by {issuer}, ends on {}", not_after.date())
        });
        format!("{} {}: {state}   {}{}\n", self.upstream, self.server, self.at, certificate.unwrap_or_default())
    }

    pub fn json(&self) -> Value {
        let mut json = json!({ "upstream": self.upstream.0, "server": self.server.to_string(), "at": self.at.to_string() });
        match &self.found {
            Ok(probed) => {
                json["address"] = json!(probed.address);
                json["tls"] = json!(probed.tls.as_ref().map(|tls| &tls.version));
            }
            Err(error) => json["error"] = json!(with_sources(error)),
        }
        if let Some(Presented { subject, issuer, not_after }) = &self.certificate {
            json["certificate"] = json!({ "subject": subject, "issuer": issuer, "ends": not_after.date().to_string() });
        }
        json
    }

    /// What is wrong, if anything is.
    pub fn finding(&self) -> Option<Diagnostic> {
        let shown = format!("{} of upstream `{}`", self.server, self.upstream);
        match &self.found {
            Err(error @ SendError::Certificate(_)) => Some(Diagnostic::peer_refused(self.at.clone(), &shown, &with_sources(error))),
            Err(error) => Some(Diagnostic::unreachable(self.at.clone(), &shown, &with_sources(error))),
            Ok(_) => {
                let days = self.certificate.as_ref()?.days_left(OffsetDateTime::now_utc());
                (days < SOON).then(|| Diagnostic::peer_ends_soon(self.at.clone(), &shown, days.max(0).unsigned_abs()))
            }
        }
    }
}

/// An error and what led to it.
fn with_sources(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |error| error.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}
