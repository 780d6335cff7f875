//! `plugin explain`: one made-up request through the chain of its route, in the real sandbox. No upstream and no far store is asked, nothing is
//! kept.

use super::log::keep;
use super::outside::Upstreams;
use super::watch::{Notes, Phase, Seen, Watched};
use super::{DeskError, made, on_a_worker, shown};
use crate::app::explain::{ExplainError, Explained, Question, explain, origin, row};
use crate::app::filters::Filters;
use crate::app::origin::Origins;
use crate::app::prepare::sandbox;
use crate::app::state;
use crate::app::watch::Watch;
use crate::chain::{Chain, Course, Fault, Link, Walk};
use crate::config::cases::MadeResponse;
use crate::config::{Config, LinkSpec, Report, StoreBackend};
use crate::message::{Exchange, ExchangeId, Reply, RequestHead, ResponseHead};
use crate::proxy::Failure;
use crate::sandbox::{ErrandError, SandboxError};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// What a store in memory has that stands for a far one. Bytes.
const STAND_IN: usize = 16 << 20;

/// Why nothing can be rehearsed.
#[derive(Debug, thiserror::Error)]
pub enum RehearseError {
    #[error(transparent)]
    Explain(#[from] ExplainError),
    #[error("{}", .0.text())]
    Config(Report),
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error(transparent)]
    Desk(#[from] DeskError),
}

/// What happened.
pub struct Rehearsed {
    explained: Explained,
    /// `None`: no route takes the request.
    course: Option<End>,
    seen: Vec<Seen>,
    /// Head and exchange as the last link left them.
    left: Option<Left>,
    log: Vec<String>,
    /// Stores that stood in for far ones.
    stand_ins: Vec<String>,
}

struct Left {
    head: RequestHead,
    response: Option<ResponseHead>,
    exchange: Exchange,
}

/// Where the request phase led.
enum End {
    Upstream(Option<String>),
    Reply(u16),
    Abort,
    Failed,
}

/// Sends a request along its chain, and a response back.
pub fn rehearse(path: &Path, question: Question, client: IpAddr, answer: &MadeResponse) -> Result<Rehearsed, RehearseError> {
    let explained = explain(path, question)?;
    let (mut config, mut report) = crate::config::load(path).map_err(RehearseError::Config)?;
    let stand_ins = stand_in(&mut config);
    let (sandbox, origins) = (sandbox(None)?, Origins::nobody(&state::place(config.server.state.as_deref())));
    let mut found = Vec::new();
    let filters = Filters::build(&config, &sandbox, &origins, &Watch::default(), &mut found);
    report.add(found);
    if report.errors() > 0 {
        return Err(RehearseError::Config(report));
    }
    let mut rehearsed = Rehearsed { explained, course: None, seen: Vec::new(), left: None, log: Vec::new(), stand_ins };
    if rehearsed.explained.route().is_some() {
        let kept = keep();
        on_a_worker(rehearsed.walk(&filters, client, answer))?;
        rehearsed.log = kept.lines();
    }
    Ok(rehearsed)
}

/// What is in Redis is others' too: a rehearsal has empty stores of its own.
fn stand_in(config: &mut Config) -> Vec<String> {
    let mut names = Vec::new();
    for (name, spec) in &mut config.stores {
        if matches!(spec.backend, StoreBackend::Redis { .. }) {
            names.push(name.0.clone());
            spec.backend = StoreBackend::Memory { bytes: STAND_IN };
        }
    }
    names
}

impl Rehearsed {
    async fn walk(&mut self, filters: &Filters, client: IpAddr, answer: &MadeResponse) {
        let Some((site, route)) = self.explained.route() else { return };
        let upstreams = Upstreams::default();
        let refused = ErrandError::Failed("`plugin explain` contacts no upstream".to_owned());
        let errands = upstreams.open(Default::default(), Err(refused));
        let notes = Notes::default();
        let watched = |(number, link): (usize, &LinkSpec)| {
            // Filters were built without an error, so each link has one.
            let filter = filters.index(link)?;
            Some(Watched::new(number, Rc::new(filters.configured(filter).on_worker(Some(errands.clone()))), &notes))
        };
        let guests: Vec<Watched> = route.chain.iter().enumerate().filter_map(watched).collect();
        let link = |(number, spec): (usize, &LinkSpec)| Link {
            filter: number,
            when: spec.when.clone().map(Arc::new),
            spec: Arc::new(spec.clone()),
        };
        let chain = Chain { links: route.chain.iter().enumerate().map(link).collect() };
        let mut head = self.explained.head.clone();
        let mut exchange = made::exchange(&head, client, 1, &site.name.to_string(), &route.pattern);
        let mut walk = Walk::new(&chain, &guests);
        let known = |name: &str| self.explained.config.upstreams.keys().any(|known| known.0 == name);
        let course = walk.on_request(&mut exchange, &mut head, known, |_, _| {}).await;
        let (end, reply) = match course {
            Course::Onward => (End::Upstream(route.to.as_ref().map(ToString::to_string)), None),
            Course::Forward(name) => (End::Upstream(Some(name.to_string())), None),
            Course::Reply(reply) => (End::Reply(reply.status.as_u16()), Some(*reply)),
            Course::Abort => (End::Abort, None),
            Course::Failed(fault) => (End::Failed, failed(&fault)),
        };
        let mut response = match (&end, reply) {
            (End::Abort, _) => None,
            (_, Some(reply)) => Some(ResponseHead { status: reply.status, headers: reply.headers }),
            (End::Upstream(name), None) => {
                exchange.upstream = name.as_deref().map(Into::into);
                Some(made::response(answer))
            }
            _ => None,
        };
        if let Some(response) = &mut response {
            // An abort is seen in the decision.
            let _ = walk.on_response(&mut exchange, &head, response, |_, _| {}, |fault| failed(fault).unwrap_or_else(nothing)).await;
        }
        drop(walk);
        self.course = Some(end);
        self.seen = notes.take();
        self.left = Some(Left { head, response, exchange });
    }

    /// Whether a route takes the request and no link faulted.
    pub fn well(&self) -> bool {
        self.explained.found() && self.seen.iter().all(|seen| seen.decided.is_ok())
    }

    pub fn text(&self) -> String {
        let (Some((site, route)), Some(end)) = (self.explained.route(), &self.course) else { return self.explained.text() };
        let mut out = String::new();
        row(&mut out, "request", &request_line(&self.explained.head), "");
        row(&mut out, "site", &site.name.to_string(), &site.at.to_string());
        row(&mut out, "route", &route.pattern, &route.at.to_string());
        for (number, link) in route.chain.iter().enumerate() {
            let seen = self.seen(number, Phase::Request);
            self.link_rows(&mut out, if number == 0 { "request" } else { "" }, number, link, seen);
        }
        row(&mut out, "then", &ending(end), "");
        let passed =
            route.chain.iter().enumerate().rev().filter_map(|(number, link)| Some((number, link, self.seen(number, Phase::Response)?)));
        for (place, (number, link, seen)) in passed.enumerate() {
            self.link_rows(&mut out, if place == 0 { "response" } else { "" }, number, link, Some(seen));
        }
        if let Some(left) = &self.left {
            if matches!(end, End::Upstream(_)) {
                row(&mut out, "sent", &request_line(&left.head), "");
                field_rows(&mut out, &left.head.headers);
            }
            if let Some(response) = &left.response {
                row(&mut out, "answered", &response.status.to_string(), "");
                field_rows(&mut out, &response.headers);
            }
            for (name, value) in &left.exchange.attributes {
                row(&mut out, "attribute", &format!("{name}: {value}"), "");
            }
        }
        for line in &self.log {
            row(&mut out, "log", line, "");
        }
        for name in &self.stand_ins {
            row(&mut out, "note", &format!("the store {name} was an empty one in memory; nothing was asked of Redis"), "");
        }
        out
    }

    fn link_rows(&self, out: &mut String, title: &str, number: usize, link: &LinkSpec, seen: Option<&Seen>) {
        let decided =
            seen.map_or_else(|| "not asked".to_owned(), |seen| format!("{}  ({})", shown::verdict(&seen.decided), micros(seen.took)));
        let place = format!("{} ({})", link.at, origin(&link.origin));
        row(out, title, &format!("{}. {}  {decided}", number + 1, link.name), &place);
        for edit in seen.map(|seen| shown::edits(&seen.decided)).unwrap_or_default() {
            row(out, "", &format!("   {edit}"), "");
        }
    }

    fn seen(&self, link: usize, phase: Phase) -> Option<&Seen> {
        self.seen.iter().find(|seen| seen.filter == link && seen.phase == phase)
    }

    pub fn json(&self) -> Value {
        let (Some((_, route)), Some(end), Some(left)) = (self.explained.route(), &self.course, &self.left) else {
            return self.explained.json();
        };
        let mut answer = self.explained.json();
        let one = |seen: &Seen| {
            let mut shown = shown::json(&seen.decided);
            shown["link"] = json!(route.chain.get(seen.filter).map(|link| &*link.name));
            shown["number"] = json!(seen.filter + 1);
            shown["phase"] = json!(seen.phase.export());
            shown["took_ns"] = json!(u64::try_from(seen.took.as_nanos()).unwrap_or(u64::MAX));
            shown
        };
        answer["decisions"] = self.seen.iter().map(one).collect();
        answer["then"] = json!(ending(end));
        answer["sent"] = json!({ "line": request_line(&left.head), "headers": fields(&left.head.headers) });
        if let Some(response) = &left.response {
            answer["answered"] = json!({ "status": response.status.as_u16(), "headers": fields(&response.headers) });
        }
        answer["attributes"] = left.exchange.attributes.iter().map(|(name, value)| (name.to_string(), json!(&**value))).collect();
        answer["log"] = json!(self.log);
        answer["stand_ins"] = json!(self.stand_ins);
        answer
    }
}

/// As the proxy answers for a fault.
fn failed(fault: &Fault) -> Option<Reply> {
    Failure::Plugin(fault.cause).reply(ExchangeId(1))
}

/// Faults are always answered; this stands for an answer that there is not.
fn nothing() -> Reply {
    Reply { status: StatusCode::OK, headers: HeaderMap::new(), body: Bytes::new() }
}

fn ending(end: &End) -> String {
    match end {
        End::Upstream(Some(name)) => format!("to upstream {name}, which is not contacted; a made-up response comes back"),
        End::Upstream(None) => "nobody answered, and the route has no upstream".to_owned(),
        End::Reply(status) => format!("answered {status} without an upstream"),
        End::Abort => "the connection is closed without an answer".to_owned(),
        End::Failed => "answered with an error, since a link faulted".to_owned(),
    }
}

fn request_line(head: &RequestHead) -> String {
    let query = head.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
    format!("{} {}://{}{}{query}", head.method, head.scheme.as_str(), head.authority, head.path)
}

fn field_rows(out: &mut String, headers: &HeaderMap) {
    for (name, value) in headers {
        row(out, "", &format!("   {name}: {}", shown::text(value)), "");
    }
}

fn fields(headers: &HeaderMap) -> Value {
    headers.iter().map(|(name, value)| json!([name.as_str(), shown::text(value)])).collect()
}

fn micros(time: Duration) -> String {
    format!("{:.1} µs", time.as_nanos() as f64 / 1000.0)
}
