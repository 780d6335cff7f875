//! Active checks: every server of an upstream that asks for it is looked at now and then, once for all workers. What is found stands on a
//! board that workers read; nobody waits for anybody.

use super::SendError;
use super::channel::Channel;
use super::line::{Target, prepare};
use super::pump::Pump;
use super::transfer::Transfer;
use super::{HeadLimits, Times};
use crate::certs::{Outbound, ServerTls};
use crate::config::{HealthSpec, Limits, Look, ProxyVersion, ServerAddress, UpstreamName, UpstreamSpec};
use crate::message::{BodyError, Connection, RequestHead, Scheme};
use crate::wire::{Coding, put_request};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// What checks have found, for all upstreams that are checked.
#[derive(Debug, Default)]
pub struct HealthBoard(BTreeMap<UpstreamName, Arc<Checked>>);

/// The servers of one upstream, in their order.
#[derive(Debug)]
pub(super) struct Checked {
    down: Box<[AtomicBool]>,
    count: AtomicUsize,
}

impl HealthBoard {
    /// All servers are thought well of until they were looked at.
    pub fn new(specs: &BTreeMap<UpstreamName, UpstreamSpec>) -> Arc<Self> {
        let checked = specs.iter().filter(|(_, spec)| spec.health.is_some()).map(|(name, spec)| {
            let down = spec.servers.iter().map(|_| AtomicBool::new(false)).collect();
            (name.clone(), Arc::new(Checked { down, count: AtomicUsize::new(0) }))
        });
        Arc::new(Self(checked.collect()))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn of(&self, name: &UpstreamName) -> Option<Arc<Checked>> {
        self.0.get(name).cloned()
    }

    /// Looks at them all for as long as it is polled, within a runtime that takes local tasks.
    pub async fn run(self: Arc<Self>, specs: &BTreeMap<UpstreamName, UpstreamSpec>, tls: &Outbound, limits: &Limits) {
        let heads = HeadLimits { start_line: limits.request_line, fields: limits.header_bytes, count: limits.header_count };
        let mut looking = JoinSet::new();
        for (name, spec) in specs {
            let (Some(health), Some(checked)) = (&spec.health, self.of(name)) else { continue };
            let tls = tls.servers(name);
            for (index, server) in spec.servers.iter().enumerate() {
                // Within the workers, and well as long as they are.
                if matches!(server.address, ServerAddress::Component(_)) {
                    continue;
                }
                let patient = Patient {
                    name: name.clone(),
                    address: server.address.clone(),
                    tls: tls.and_then(|tls| tls.get(index)).cloned(),
                    proxy_protocol: spec.proxy_protocol,
                    health: health.clone(),
                    heads,
                };
                looking.spawn_local(patient.look_after(Arc::clone(&checked), index));
            }
        }
        while looking.join_next().await.is_some() {}
    }
}

impl Checked {
    /// Whether the server is not to be used: it is down, and no more than half of them are. If most seem to be down, the check is more likely
    /// wrong than all of them, and what is left could not bear it.
    pub fn is_down(&self, index: usize) -> bool {
        self.counts() && self.down.get(index).is_some_and(|down| down.load(Ordering::Relaxed))
    }

    /// Whether any server is not to be used.
    pub fn counts(&self) -> bool {
        let count = self.count.load(Ordering::Relaxed);
        count > 0 && count * 2 <= self.down.len()
    }

    fn set(&self, index: usize, down: bool) {
        let Some(place) = self.down.get(index) else { return };
        match (place.swap(down, Ordering::Relaxed), down) {
            (false, true) => drop(self.count.fetch_add(1, Ordering::Relaxed)),
            (true, false) => drop(self.count.fetch_sub(1, Ordering::Relaxed)),
            _ => {}
        }
    }
}

/// A server that is looked after.
struct Patient {
    name: UpstreamName,
    address: ServerAddress,
    tls: Option<ServerTls>,
    proxy_protocol: Option<ProxyVersion>,
    health: HealthSpec,
    heads: HeadLimits,
}

/// Results in a row.
#[derive(Default)]
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
    async fn look_after(self, checked: Arc<Checked>, index: usize) {
        let mut row = Row::default();
        let random = RandomState::new();
        for turn in 0u64.. {
            let found = timeout(self.health.timeout, self.look()).await.unwrap_or_else(|_| Err("no answer in time".to_owned()));
            if row.take(found.is_ok(), &self.health) {
                checked.set(index, row.down);
                match found {
                    Ok(()) => tracing::info!("upstream {}: server {} is up again", self.name, self.address),
                    Err(why) => tracing::warn!("upstream {}: server {} is down: {why}", self.name, self.address),
                }
            }
            sleep(jittered(self.health.every, random.hash_one(turn))).await;
        }
    }

    /// One look.
    async fn look(&self) -> Result<(), String> {
        let target = Target { address: &self.address, inside: None, tls: self.tls.as_ref(), proxy_protocol: self.proxy_protocol };
        // For nobody: it is our own connection.
        let until = Instant::now() + self.health.timeout;
        let io = prepare(target, &Connection::unix(), false, until).await.map_err(|error| shown(&error))?;
        let Look::Get { target, host, expect } = &self.health.look else { return Ok(()) };
        let (path, query) = target.split_once('?').map_or((&**target, None), |(path, query)| (path, Some(query.into())));
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static("portcullis-health"));
        let scheme = if self.tls.is_some() { Scheme::Https } else { Scheme::Http };
        let authority = host.clone().unwrap_or_else(|| self.address.to_string());
        let head = RequestHead { method: Method::GET, scheme, authority: authority.into(), path: path.into(), query, headers };
        let mut channel = Box::new(Channel::new(io, self.heads, Instant::now()));
        put_request(channel.out.text(), &head, Coding::None, None);
        let times = Times { response: self.health.timeout, idle: self.health.timeout, total: Some(until) };
        let mut transfer = Transfer::new(channel, Pump::new(Nothing, Coding::None), &head.method, times, Instant::now());
        let received = poll_fn(|cx| transfer.poll_head(cx)).await.map_err(|error| shown(&error))?;
        let status = received.status.as_u16();
        let right = if expect.is_empty() { (200..400).contains(&status) } else { expect.contains(&status) };
        if right { Ok(()) } else { Err(format!("it answered {status}")) }
    }
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
fn jittered(every: Duration, random: u64) -> Duration {
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
        let checked = Checked { down: (0..3).map(|_| AtomicBool::new(false)).collect(), count: AtomicUsize::new(0) };
        checked.set(0, true);
        checked.set(0, true);
        assert!(checked.is_down(0) && !checked.is_down(1) && checked.counts());
        checked.set(1, true);
        assert!(!checked.is_down(0) && !checked.is_down(1) && !checked.counts());
        checked.set(0, false);
        assert!(checked.is_down(1) && !checked.is_down(0));
    }

    #[test]
    fn jitter_stays_within_its_bounds() {
        for random in [0, 15, 30, 31, u64::MAX] {
            let time = jittered(Duration::from_secs(100), random).as_secs();
            assert!((85..=115).contains(&time), "{random}: {time}");
        }
    }
}
