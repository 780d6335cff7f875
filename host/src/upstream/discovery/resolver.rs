//! Whom we ask: `/etc/hosts`, then DNS.

use super::query::{Found, Query, Record};
use crate::config::FileStamp;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

/// How long a DNS server that is written in the configuration may take; `/etc/resolv.conf` says so for its own. It is near, or it is of no use.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Of how many tries. A datagram may be lost.
const ATTEMPTS: usize = 2;

/// When some hosts of a service could not be looked up, they are looked up again this soon.
const INCOMPLETE: Duration = Duration::from_secs(5);

/// What the system's own resolver goes by.
const FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// Something was found.
pub struct Answer {
    /// Not empty; in order, none twice.
    pub found: Vec<Found>,
    /// For how long that is to be believed.
    pub ttl: Duration,
}

pub struct Resolver {
    /// None: those of `/etc/resolv.conf`.
    nameservers: Vec<SocketAddr>,
    made: RefCell<Option<Made>>,
}

/// A resolver, and what it was made of.
struct Made {
    resolver: TokioResolver,
    stamps: [Option<FileStamp>; 2],
}

/// Addresses of a host.
struct Addresses {
    all: Vec<IpAddr>,
    /// That of the other family, if there is one of each.
    also: Option<IpAddr>,
    ttl: Duration,
}

impl Resolver {
    pub const fn new(nameservers: Vec<SocketAddr>) -> Self {
        Self { nameservers, made: RefCell::new(None) }
    }

    /// `before`: what was found last, for hosts of a service that cannot be looked up now. Errors: why nothing was found.
    pub async fn ask(&self, query: &Query, before: &[Found]) -> Result<Answer, String> {
        let resolver = self.resolver()?;
        let Answer { mut found, ttl } = match query {
            Query::Host(name) => {
                let Addresses { all, also, ttl } = addresses(&resolver, name, before).await?;
                Answer { found: all.into_iter().map(|ip| Found { ip, also, record: None }).collect(), ttl }
            }
            Query::Service(name) => service(&resolver, name, before).await?,
        };
        found.sort_unstable();
        found.dedup();
        if found.is_empty() { Err("there is no address".to_owned()) } else { Ok(Answer { found, ttl }) }
    }

    /// The resolver, made anew if a file has changed.
    fn resolver(&self) -> Result<TokioResolver, String> {
        let stamps = FILES.map(|file| FileStamp::of(Path::new(file)));
        let mut made = self.made.borrow_mut();
        if let Some(made) = made.as_ref().filter(|made| made.stamps == stamps) {
            return Ok(made.resolver.clone());
        }
        let resolver = make(&self.nameservers)?;
        *made = Some(Made { resolver: resolver.clone(), stamps });
        Ok(resolver)
    }
}

fn make(nameservers: &[SocketAddr]) -> Result<TokioResolver, String> {
    let mut builder = if nameservers.is_empty() {
        TokioResolver::builder_tokio().map_err(|error| format!("/etc/resolv.conf: {error}"))?
    } else {
        let config = ResolverConfig::from_parts(None, Vec::new(), nameservers.iter().map(nameserver).collect());
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        builder.options_mut().timeout = TIMEOUT;
        builder.options_mut().attempts = ATTEMPTS;
        builder
    };
    // We ask when we want to know.
    builder.options_mut().cache_size = 0;
    builder.build().map_err(|error| error.to_string())
}

fn nameserver(address: &SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

/// The hosts that the records name, with all their addresses.
async fn service(resolver: &TokioResolver, name: &str, before: &[Found]) -> Result<Answer, String> {
    let looked_up = resolver.srv_lookup(name).await.map_err(|error| why(&error, "SRV records"))?;
    let mut ttl = ttl(&looked_up);
    let (mut found, mut failed) = (Vec::new(), None);
    for record in looked_up.answers() {
        let RData::SRV(srv) = &record.data else { continue };
        // The service is not to be had there, the records say (RFC 2782).
        if srv.target.is_root() {
            continue;
        }
        let mut host = srv.target.to_ascii();
        let of =
            |host: &str| Record { port: srv.port, priority: srv.priority, weight: srv.weight, host: host.trim_end_matches('.').to_owned() };
        // As it stands: search lists are for what people write.
        if !host.ends_with('.') {
            host.push('.');
        }
        match addresses(resolver, &host, before).await {
            Ok(addresses) => {
                ttl = ttl.min(addresses.ttl);
                let Addresses { all, also, .. } = addresses;
                found.extend(all.into_iter().map(|ip| Found { ip, also, record: Some(of(&host)) }));
            }
            Err(error) => {
                ttl = ttl.min(INCOMPLETE);
                let record = of(&host);
                let known = before.iter().filter(|known| known.record.as_ref().is_some_and(|known| known.host == record.host));
                found.extend(known.map(|known| Found { record: Some(record.clone()), ..known.clone() }));
                tracing::debug!("{host}, which {name} names, cannot be looked up: {error}");
                failed = Some(format!("{host} {error}"));
            }
        }
    }
    match failed {
        Some(error) if found.is_empty() => Err(error),
        _ => Ok(Answer { found, ttl }),
    }
}

/// IPv4 addresses if there are any that this machine has a way to, else IPv6 addresses: both would be two servers where there is one. A host
/// with one address of each is one server with two addresses, which connections are raced to (RFC 8305); of more, nobody knows which belong
/// to the same machine. `before`: what was found last.
async fn addresses(resolver: &TokioResolver, name: &str, before: &[Found]) -> Result<Addresses, String> {
    let four = match resolver.ipv4_lookup(name).await {
        Ok(looked_up) => Some(of(&looked_up)),
        // The others are asked for only where it is sure that there are none of these: a set must not change for a packet that was lost.
        Err(error) if error.is_no_records_found() => None,
        Err(error) => return Err(why(&error, "addresses")),
    };
    let four = match four {
        Some(four) if four.all.iter().any(|ip| is_reachable(*ip)) => return Ok(with_other_family(resolver, name, four, before).await),
        four => four,
    };
    match (resolver.ipv6_lookup(name).await, four) {
        (Ok(six), None) => Ok(of(&six)),
        (Ok(six), Some(four)) => {
            let six = of(&six);
            Ok(if six.all.iter().any(|ip| is_reachable(*ip)) { six } else { four })
        }
        (Err(_), Some(four)) => Ok(four),
        (Err(error), None) => Err(why(&error, "addresses")),
    }
}

/// The same with the host's IPv6 address, if it has one address of each family and this machine a way to both.
async fn with_other_family(resolver: &TokioResolver, name: &str, four: Addresses, before: &[Found]) -> Addresses {
    let [ip] = *four.all else { return four };
    match resolver.ipv6_lookup(name).await {
        Ok(looked_up) => {
            let six = of(&looked_up);
            let also = match *six.all {
                [also] if is_reachable(also) => Some(also),
                _ => None,
            };
            Addresses { also, ttl: four.ttl.min(six.ttl), ..four }
        }
        Err(error) if error.is_no_records_found() => four,
        // Nobody knows, so it stays as it was.
        Err(_) => Addresses { also: before.iter().find(|known| known.ip == ip).and_then(|known| known.also), ..four },
    }
}

fn of(looked_up: &Lookup) -> Addresses {
    let ip = |record: &hickory_resolver::proto::rr::Record| match &record.data {
        RData::A(four) => Some(IpAddr::V4(four.0)),
        RData::AAAA(six) => Some(IpAddr::V6(six.0)),
        // What led there.
        _ => None,
    };
    Addresses { all: looked_up.answers().iter().filter_map(ip).collect(), also: None, ttl: ttl(looked_up) }
}

/// The least of all records.
fn ttl(looked_up: &Lookup) -> Duration {
    Duration::from_secs(looked_up.answers().iter().map(|record| record.ttl).min().unwrap_or_default().into())
}

/// Whether there is a route. Nothing is sent.
fn is_reachable(ip: IpAddr) -> bool {
    let own: IpAddr = if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // Any port will do.
    UdpSocket::bind((own, 0)).and_then(|socket| socket.connect((ip, 9))).is_ok()
}

/// As an operator would say it.
fn why(error: &NetError, what: &str) -> String {
    if error.is_nx_domain() {
        "there is no such name".to_owned()
    } else if error.is_no_records_found() {
        format!("the name has no {what}")
    } else {
        error.to_string()
    }
}
