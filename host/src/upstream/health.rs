//! Active checks: every server of an upstream that asks for it is looked at now and then, once for all workers. What is found stands on a
//! board that workers read; nobody waits for anybody.

mod doctor;
mod grpc;

pub(super) use doctor::Doctors;

use super::SendError;
use super::channel::Channel;
use super::h2;
use super::io::OriginIo;
use super::line::{Target, prepare};
use super::pump::Pump;
use super::transfer::Transfer;
use super::{HeadLimits, Times, clock};
use crate::certs::{Offer, Outbound, ServerTls};
use crate::config::{HealthSpec, Look, Protocol, ProxyVersion, ServerAddress, UpstreamName, UpstreamSpec};
use crate::message::{BodyError, Connection, Interim, RequestHead, Scheme};
use crate::wire::{Coding, put_request};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What checks have found, for all upstreams that are checked.
#[derive(Default)]
pub struct HealthBoard(BTreeMap<UpstreamName, Arc<Checked>>);

/// The servers of one upstream, in their order.
pub(super) struct Checked {
    patients: Box<[Arc<Patient>]>,
    /// How many are down.
    count: AtomicUsize,
    /// Whether requests should not come while all are.
    required: bool,
}

/// A server that is looked at, and what is thought of it. It goes over to the next generation as long as it would be looked at in the same way.
struct Patient {
    address: ServerAddress,
    also: Option<IpAddr>,
    /// The name that led there, if one did.
    written: ServerAddress,
    tls: Option<ServerTls>,
    protocol: Protocol,
    proxy_protocol: Option<ProxyVersion>,
    look: Look,
    down: AtomicBool,
    /// When it was last found to be up again, in milliseconds since the clock's beginning; 0: never.
    back: AtomicU64,
    /// A lock, because looks are few; no request takes it.
    course: Mutex<Course>,
}

/// Where its looks have come to.
#[derive(Debug, Clone, Copy, Default)]
struct Course {
    row: Row,
    next: Option<Instant>,
}

impl HealthBoard {
    /// All servers are thought well of until they were looked at, but for those of which this one knows better.
    pub fn succeed(&self, specs: &BTreeMap<UpstreamName, UpstreamSpec>, tls: &Outbound) -> Arc<Self> {
        let checked = specs.iter().filter_map(|(name, spec)| {
            let (health, tls) = (spec.health.as_ref()?, tls.servers(name, &spec.servers));
            let tls = |index| tls.as_ref().and_then(|tls| tls.get(index)).cloned();
            let patients = spec.servers.iter().enumerate().map(|(index, server)| Patient {
                address: server.address.clone(),
                also: server.also,
                written: server.written().clone(),
                tls: tls(index),
                protocol: spec.protocol,
                proxy_protocol: spec.proxy_protocol,
                look: health.look.clone(),
                down: AtomicBool::new(false),
                back: AtomicU64::new(0),
                course: Mutex::default(),
            });
            Some((name.clone(), Checked::after(self.0.get(name), patients, health.ready)))
        });
        Arc::new(Self(checked.collect()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every server that is looked at, with its upstream, and whether it is up.
    pub fn servers(&self) -> impl Iterator<Item = (&str, &ServerAddress, bool)> {
        let servers = |(name, checked)| servers_of(name, checked);
        self.0.iter().flat_map(servers)
    }

    /// Upstreams whose servers are all down, and without which requests should not come.
    pub fn missing(&self) -> impl Iterator<Item = &str> {
        let missing = self.0.iter().filter(|(_, checked)| checked.required && checked.patients.iter().all(|patient| patient.is_down()));
        missing.map(|(name, _)| &*name.0)
    }

    pub(super) fn of(&self, name: &UpstreamName) -> Option<Arc<Checked>> {
        self.0.get(name).cloned()
    }
}

fn servers_of<'b>(name: &'b UpstreamName, checked: &'b Arc<Checked>) -> impl Iterator<Item = (&'b str, &'b ServerAddress, bool)> {
    // Components are not looked at.
    let looked_at = checked.patients.iter().filter(|patient| !matches!(patient.address, ServerAddress::Component(_)));
    looked_at.map(|patient| (&*name.0, &patient.address, !patient.is_down()))
}

impl Checked {
    /// These, or those of `earlier` that are as they.
    fn after(earlier: Option<&Arc<Self>>, patients: impl Iterator<Item = Patient>, required: bool) -> Arc<Self> {
        let known = |patient: &Patient| earlier.and_then(|earlier| earlier.patients.iter().find(|known| known.is_as(patient)).cloned());
        let patients: Box<[_]> = patients.map(|patient| known(&patient).unwrap_or_else(|| Arc::new(patient))).collect();
        let same = |earlier: &Self| {
            let mut pairs = earlier.patients.iter().zip(&patients);
            earlier.required == required && earlier.patients.len() == patients.len() && pairs.all(|(own, other)| Arc::ptr_eq(own, other))
        };
        match earlier {
            Some(earlier) if same(earlier) => Arc::clone(earlier),
            _ => {
                let checked = Self { patients, count: AtomicUsize::new(0), required };
                checked.count();
                Arc::new(checked)
            }
        }
    }

    /// Whether the server is not to be used: it is down, and no more than half of them are. If most seem to be down, the check is more likely
    /// wrong than all of them, and what is left could not bear it.
    pub fn is_down(&self, index: usize) -> bool {
        self.counts() && self.patients.get(index).is_some_and(|patient| patient.is_down())
    }

    /// Whether the server is down, however many others are.
    pub fn is_found_down(&self, index: usize) -> bool {
        self.patients.get(index).is_some_and(|patient| patient.is_down())
    }

    /// When the server was last found to be up again.
    pub fn back(&self, index: usize) -> Option<Instant> {
        let millis = self.patients.get(index)?.back.load(Ordering::Relaxed);
        (millis > 0).then(|| clock::at(millis))
    }

    /// Whether any server is not to be used.
    pub fn counts(&self) -> bool {
        let count = self.count.load(Ordering::Relaxed);
        count > 0 && count * 2 <= self.patients.len()
    }

    /// After looks. Counted anew, since servers are shared with the board of another generation, which may have looked too.
    fn count(&self) {
        self.count.store(self.patients.iter().filter(|patient| patient.is_down()).count(), Ordering::Relaxed);
    }
}

/// Results in a row.
#[derive(Debug, Clone, Copy, Default)]
struct Row {
    down: bool,
    other: u32,
}

impl Row {
    /// Whether this result changes what is thought of the server.
    fn take(&mut self, sound: bool, spec: &HealthSpec) -> bool {
        if sound != self.down {
            self.other = 0;
            return false;
        }
        self.other += 1;
        if self.other < if self.down { spec.up } else { spec.down } {
            return false;
        }
        (self.down, self.other) = (!self.down, 0);
        true
    }
}

impl Patient {
    /// Whether looks at either find the same.
    fn is_as(&self, other: &Self) -> bool {
        let tls = match (&self.tls, &other.tls) {
            (None, None) => true,
            (Some(own), Some(other)) => own.is(other),
            _ => false,
        };
        let spoken = |one: &Self| (one.also, one.protocol, one.proxy_protocol);
        tls && (&self.address, &self.written, spoken(self), &self.look) == (&other.address, &other.written, spoken(other), &other.look)
    }

    fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed)
    }

    fn course(&self) -> Course {
        *self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a look has found. Whether that changes what is thought of the server.
    fn take(&self, sound: bool, health: &HealthSpec, next: Instant) -> bool {
        let mut course = self.course.lock().unwrap_or_else(PoisonError::into_inner);
        course.next = Some(next);
        let changed = course.row.take(sound, health);
        if changed && !course.row.down {
            self.back.store(clock::millis(Instant::now()), Ordering::Relaxed);
        }
        self.down.store(course.row.down, Ordering::Relaxed);
        changed
    }

    /// One look.
    async fn look(&self, time: Duration, (heads, http2): (HeadLimits, h2::Settings)) -> Result<(), String> {
        let target =
            Target { address: &self.address, also: self.also, inside: None, tls: self.tls.as_ref(), proxy_protocol: self.proxy_protocol };
        // For nobody: it is our own connection.
        let until = Instant::now() + time;
        let offer = if matches!(self.look, Look::Grpc { .. }) { Offer::Http2 } else { Offer::of(self.protocol) };
        let io = prepare(target, &Connection::unix(), offer, until).await.map_err(|error| shown(&error))?;
        let over_http2 = offer == Offer::Http2 || io.alpn() == Some(b"h2");
        match &self.look {
            Look::Connect => Ok(()),
            Look::Grpc { service, host } => grpc::serves(io, http2, self.head(Method::POST, grpc::CHECK, host), service).await,
            Look::Get { target, host, expect } => {
                let head = self.head(Method::GET, target, host);
                let status = if over_http2 {
                    let request = h2::head(&head, head.scheme, Coding::None).ok_or("the path cannot be asked for over HTTP/2")?;
                    h2::ask(io, http2, request, Bytes::new()).await.map(|reply| reply.status)
                } else {
                    get(io, &head, heads, Times { response: time, idle: time, total: Some(until) }).await
                };
                let status = status.map_err(|error| shown(&error))?.as_u16();
                let right = if expect.is_empty() { (200..400).contains(&status) } else { expect.contains(&status) };
                if right { Ok(()) } else { Err(format!("it answered {status}")) }
            }
        }
    }

    fn head(&self, method: Method, target: &str, host: &Option<String>) -> RequestHead {
        let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query.into())));
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static("portcullis-health"));
        let scheme = if self.tls.is_some() { Scheme::Https } else { Scheme::Http };
        let authority = host.clone().unwrap_or_else(|| match (&self.written, &self.address) {
            // A path is no host (RFC 9110, section 7.2).
            (ServerAddress::Unix(_), _) => "localhost".to_owned(),
            // Nor is the name of a record.
            (ServerAddress::Service { .. }, address) => address.to_string(),
            (written, _) => written.to_string(),
        });
        RequestHead { method, scheme, authority: authority.into(), path: path.into(), query, headers }
    }
}

/// The status that a server answers with over HTTP/1.1.
async fn get(io: OriginIo, head: &RequestHead, heads: HeadLimits, times: Times) -> Result<StatusCode, SendError> {
    let mut channel = Box::new(Channel::new(io, heads, Instant::now()));
    put_request(channel.out.text(), head, Coding::None, None);
    let mut transfer = Transfer::new(channel, Pump::new(Nothing, Coding::None), (&head.method, &Interim::NOBODY), times, Instant::now());
    poll_fn(|cx| transfer.poll_head(cx)).await.map(|received| received.status)
}

/// A body that is not there.
struct Nothing;

impl http_body::Body for Nothing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        std::task::Poll::Ready(None)
    }
}

fn shown(error: &SendError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Up to 15 % more or less, so that checks of many servers and proxies do not come all at once.
pub(super) fn jittered(every: Duration, random: u64) -> Duration {
    every * (85 + u32::try_from(random % 31).unwrap_or(15)) / 100
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Location;

    fn spec(down: u32, up: u32) -> HealthSpec {
        let at = Location { file: "test".into(), line: 1, column: 1 };
        HealthSpec { down, up, ..HealthSpec::new(Look::Connect, at) }
    }

    #[test]
    fn it_takes_some_in_a_row_to_change_a_mind() {
        let (spec, mut row) = (spec(3, 2), Row::default());
        let changes: Vec<bool> =
            [false, false, true, false, false, false, true, false, true, true, true].map(|sound| row.take(sound, &spec)).into();
        assert_eq!(changes, [false, false, false, false, false, true, false, false, false, true, false]);
    }

    #[test]
    fn when_most_are_down_nobody_is_left_out() {
        let board = HealthBoard::default().succeed(&specs(&[1, 2, 3], Look::Connect), &Outbound::default());
        let checked = board.of(&app()).expect("checked");
        let set = |index: usize, down: bool| {
            let patient = &checked.patients[index];
            while patient.is_down() != down {
                patient.take(!down, &spec(1, 1), Instant::now());
            }
            checked.count();
        };
        set(0, true);
        assert!(checked.is_down(0) && !checked.is_down(1) && checked.counts());
        set(1, true);
        assert!(!checked.is_down(0) && !checked.is_down(1) && !checked.counts());
        set(0, false);
        assert!(checked.is_down(1) && !checked.is_down(0));
    }

    #[test]
    fn what_is_thought_of_a_server_goes_over_while_it_is_looked_at_in_the_same_way() {
        let get = |target: &str| Look::Get { target: target.into(), host: None, expect: Vec::new() };
        let (one, none) = (HealthBoard::default().succeed(&specs(&[1, 2], get("/a")), &Outbound::default()), Outbound::default());
        let of = |board: &HealthBoard| board.of(&app()).expect("checked");
        let looked = |board: &HealthBoard, index: usize| of(board).patients[index].take(false, &spec(2, 1), Instant::now());
        assert!(!looked(&one, 0), "two in a row are asked for");
        let same = one.succeed(&specs(&[1, 2], get("/a")), &none);
        assert!(Arc::ptr_eq(&of(&one), &of(&same)));
        assert!(looked(&same, 0), "its row goes on");
        let moved = same.succeed(&specs(&[2, 1, 3, 4], get("/a")), &none);
        assert!(of(&moved).counts() && of(&moved).is_down(1) && !of(&moved).is_down(0));
        assert_eq!(moved.servers().filter(|(.., up)| !up).count(), 1);
        assert_eq!(moved.missing().count(), 0);
        let otherwise = moved.succeed(&specs(&[2, 1, 3, 4], get("/b")), &none);
        assert!(!of(&otherwise).counts(), "nobody has looked there yet");
    }

    fn app() -> UpstreamName {
        UpstreamName("app".into())
    }

    fn specs(ports: &[u16], look: Look) -> BTreeMap<UpstreamName, UpstreamSpec> {
        let at = Location { file: "test".into(), line: 1, column: 1 };
        let servers = ports.iter().map(|port| ServerAddress::Tcp { host: "127.0.0.1".into(), port: *port }).collect();
        let health = Some(HealthSpec::new(look, at.clone()));
        BTreeMap::from([(app(), UpstreamSpec { health, ..UpstreamSpec::plain(servers, at) })])
    }

    #[test]
    fn jitter_stays_within_its_bounds() {
        for random in [0, 15, 30, 31, u64::MAX] {
            let time = jittered(Duration::from_secs(100), random).as_secs();
            assert!((85..=115).contains(&time), "{random}: {time}");
        }
    }
}
