//! `portcullis explain tcp ADDRESS`: what would happen to a connection, and where each part of it is written.

use super::explain::{ExplainError, row, server_json, servers};
use crate::config::{self, Config, ListenAddress, TcpRoute, TcpSpec, TcpTls, TlsSpec, UpstreamName, show_duration};
use crate::message::{ClientHello, Unrouted};
use crate::tunnel::Routes;
use serde_json::{Value, json};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The connection in question.
pub struct TcpQuestion {
    /// Where the client connects to.
    pub address: Reached,
    /// The server name in its client hello.
    pub sni: Option<String>,
    /// Protocols that it offers.
    pub alpn: Vec<String>,
}

/// Where a client connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reached {
    Ip(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl Reached {
    /// As written: `10.0.0.1:5432`, `unix:/run/db.sock`; `:5432` is any IPv4 address of this machine.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix("unix:") {
            Some("") => None,
            Some(path) => Some(Self::Unix(path.into())),
            None if text.starts_with(':') => format!("0.0.0.0{text}").parse().ok().map(Self::Ip),
            None => text.parse().ok().map(Self::Ip),
        }
    }

    /// Whether it comes in at `bound`.
    fn comes_in_at(&self, bound: &ListenAddress) -> bool {
        match (self, bound) {
            (Self::Ip(asked), ListenAddress::Ip(bound)) => {
                let same = asked.ip() == bound.ip() || (bound.ip().is_unspecified() && asked.is_ipv4() == bound.is_ipv4());
                same && asked.port() == bound.port()
            }
            (Self::Unix(asked), ListenAddress::Unix { path, .. }) => {
                let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
                absolute(asked) == absolute(path)
            }
            _ => false,
        }
    }
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What would happen.
pub struct TcpExplained {
    config: Config,
    question: TcpQuestion,
    /// Index of the TCP listener.
    listener: Option<usize>,
    place: Place,
}

/// Who takes the connection.
enum Place {
    /// An entry of `sni`, by its index.
    Entry(usize),
    /// `to`.
    Otherwise,
    /// The HTTPS sites of the same address; the index of the one that answers to the name.
    Sites(Option<usize>),
    /// No entry, no default.
    Refused(Unrouted),
    /// No TCP listener is there; whether one for HTTP is.
    NoListener { http: bool },
}

/// Answers from the text of the configuration alone; no socket is opened.
pub fn explain_tcp(path: &Path, mut question: TcpQuestion) -> Result<TcpExplained, ExplainError> {
    let (config, _warnings) = config::load(path).map_err(ExplainError::Config)?;
    question.sni = question.sni.map(|name| name.trim_end_matches('.').to_ascii_lowercase());
    let listener = config.tcp.iter().position(|spec| spec.addresses.iter().any(|bound| question.address.comes_in_at(bound)));
    let place = match listener.and_then(|index| config.tcp.get(index)) {
        Some(spec) => place(&config, spec, &question),
        None => Place::NoListener { http: http(&config).any(|bound| question.address.comes_in_at(bound)) },
    };
    Ok(TcpExplained { config, question, listener, place })
}

fn http(config: &Config) -> impl Iterator<Item = &ListenAddress> {
    config.listen.https.iter().chain(&config.listen.http).map(|(address, _)| address)
}

fn place(config: &Config, spec: &TcpSpec, question: &TcpQuestion) -> Place {
    let hello = ClientHello {
        sni: question.sni.as_deref().map(Into::into),
        alpn: question.alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect(),
        ..ClientHello::default()
    };
    let routes = Routes::new(spec);
    let hello = (spec.tls != TcpTls::Plain).then_some(&hello);
    match (routes.entry(hello), &spec.to) {
        (Some(index), _) => Place::Entry(index),
        (None, Some(_)) => Place::Otherwise,
        (None, None) => match (routes.lacks(hello), question.sni.as_deref().and_then(|name| site(config, name))) {
            (Unrouted::Protocol, None) => Place::Refused(Unrouted::Protocol),
            (_, site) if spec.is_shared(&config.listen) => Place::Sites(site),
            (unrouted, _) => Place::Refused(unrouted),
        },
    }
}

/// The site with TLS that answers to a name.
fn site(config: &Config, name: &str) -> Option<usize> {
    let served = config.sites.iter().enumerate().filter(|(_, site)| site.tls != TlsSpec::Off);
    served.filter_map(|(index, site)| Some((site.fit(name)?, index))).max().map(|(_, index)| index)
}

impl TcpExplained {
    /// Whether somebody takes the connection.
    pub fn found(&self) -> bool {
        matches!(self.place, Place::Entry(_) | Place::Otherwise | Place::Sites(Some(_)))
    }

    fn spec(&self) -> Option<&TcpSpec> {
        self.config.tcp.get(self.listener?)
    }

    fn entry(&self) -> Option<&TcpRoute> {
        match self.place {
            Place::Entry(index) => self.spec()?.sni.get(index),
            _ => None,
        }
    }

    fn upstream(&self) -> Option<&UpstreamName> {
        match self.place {
            Place::Entry(_) => self.entry().map(|entry| &entry.to),
            Place::Otherwise => self.spec()?.to.as_ref(),
            _ => None,
        }
    }

    pub fn text(&self) -> String {
        let mut out = String::new();
        let name = self.question.sni.as_deref().map(|name| format!("  sni {name}")).unwrap_or_default();
        let alpn = if self.question.alpn.is_empty() { String::new() } else { format!("  alpn {}", self.question.alpn.join(",")) };
        row(&mut out, "connection", &format!("{}{name}{alpn}", self.question.address), "");
        if let Some(spec) = self.spec() {
            row(&mut out, "listener", &format!("{}  (tls: {})", spec.name, tls(&spec.tls)), &spec.at.to_string());
        }
        match &self.place {
            Place::NoListener { http: true } => row(&mut out, "answer", "an HTTP listener takes it; ask with a method and a URL", ""),
            Place::NoListener { http: false } => row(&mut out, "answer", "refused: nothing listens there", ""),
            Place::Refused(unrouted) => {
                let why = match unrouted {
                    Unrouted::Name => "no entry of `sni` takes it",
                    Unrouted::Protocol => "entries of `sni` have the name, but none the protocols (`alpn`)",
                };
                row(&mut out, "answer", &format!("alert {} ({}): {why}", unrouted.alert_name(), unrouted.reason()), "");
            }
            Place::Sites(None) => row(&mut out, "answer", "alert unrecognized_name: neither `sni` nor a site has this name", ""),
            Place::Sites(Some(index)) => {
                if let Some(site) = self.config.sites.get(*index) {
                    row(&mut out, "site", &format!("{}  over HTTPS; no entry of `sni` takes it", site.name), &site.at.to_string());
                }
            }
            Place::Otherwise => row(&mut out, "rule", "`to`: what no entry of `sni` takes", ""),
            Place::Entry(_) => {
                if let Some(entry) = self.entry() {
                    row(&mut out, "rule", &format!("sni {}{}", entry.name, protocols(entry)), &entry.at.to_string());
                }
            }
        }
        if let Some((name, upstream)) = self.upstream().and_then(|name| self.config.upstreams.get_key_value(name)) {
            row(&mut out, "upstream", &format!("{name}  {}  {}", upstream.balance, servers(upstream)), &upstream.at.to_string());
            let times = self.times().map(|(name, time)| format!("{name} {}", show_duration(time)));
            row(&mut out, "timeouts", &times.join(", "), "");
        }
        out
    }

    /// Effective timeouts.
    fn times(&self) -> [(&'static str, Duration); 3] {
        let limits = &self.config.limits;
        let idle = self.spec().and_then(|spec| spec.idle).unwrap_or(limits.tcp_idle);
        [("hello", limits.hello_read), ("connect", limits.connect), ("idle", idle)]
    }

    pub fn json(&self) -> Value {
        let mut answer = json!({ "address": self.question.address.to_string(), "sni": self.question.sni, "alpn": self.question.alpn });
        if let Some(spec) = self.spec() {
            answer["listener"] = json!({ "name": spec.name, "tls": tls(&spec.tls), "at": spec.at.to_string() });
        }
        match &self.place {
            Place::NoListener { http } => answer["answer"] = json!({ "reason": if *http { "http" } else { "no_listener" } }),
            Place::Refused(unrouted) => answer["answer"] = json!({ "alert": unrouted.alert_name(), "reason": unrouted.reason() }),
            Place::Sites(None) => answer["answer"] = json!({ "alert": "unrecognized_name", "reason": "no_sni_match" }),
            Place::Sites(Some(index)) => {
                answer["site"] = self
                    .config
                    .sites
                    .get(*index)
                    .map_or(Value::Null, |site| json!({ "name": site.name.to_string(), "at": site.at.to_string() }));
            }
            Place::Otherwise => answer["rule"] = json!({ "to": true }),
            Place::Entry(_) => {
                answer["rule"] = self
                    .entry()
                    .map_or(Value::Null, |entry| json!({ "sni": entry.name.to_string(), "alpn": entry.alpn, "at": entry.at.to_string() }));
            }
        }
        if let Some((name, spec)) = self.upstream().and_then(|name| self.config.upstreams.get_key_value(name)) {
            let servers: Vec<_> = spec.servers.iter().map(server_json).collect();
            answer["upstream"] =
                json!({ "name": name.to_string(), "balance": spec.balance.to_string(), "servers": servers, "at": spec.at.to_string() });
            answer["timeouts"] = self.times().into_iter().map(|(name, time)| (name.to_owned(), json!(show_duration(time)))).collect();
        }
        answer
    }
}

fn protocols(entry: &TcpRoute) -> String {
    if entry.alpn.is_empty() { String::new() } else { format!("  with alpn {}", entry.alpn.join(" or ")) }
}

fn tls(spec: &TcpTls) -> String {
    match spec {
        TcpTls::Plain => "none, or nobody looks".to_owned(),
        TcpTls::Passthrough => "passthrough".to_owned(),
        TcpTls::Terminate { certificate, .. } => match &**certificate {
            TlsSpec::Files(files) => format!("ends here with {}", files.cert.display()),
            TlsSpec::Acme(spec) => format!("ends here with ACME, {}", spec.challenge.as_str()),
            TlsSpec::Local | TlsSpec::Off => "ends here with the local CA".to_owned(),
        },
    }
}
