//! `plugin explain`: one made-up request through the chain of its route, in the real sandbox. No upstream and no far store is asked, nothing is
//! kept.

use super::body::Passed;
use super::log::keep;
use super::outside::Upstreams;
use super::watch::{Notes, Seen, Watched};
use super::{DeskError, body, made, on_a_worker, shown};
use crate::app::explain::{ExplainError, Explained, Question, explain, origin, row};
use crate::app::filters::Filters;
use crate::app::granted::Granted;
use crate::app::origin::Origins;
use crate::app::prepare::sandbox;
use crate::app::state;
use crate::chain::{Chain, Course, Failing, Fault, Link, Walk, Way};
use crate::config::cases::{MadeBody, MadeResponse};
use crate::config::{Config, LinkSpec, Report, StoreBackend};
use crate::message::{Exchange, ExchangeId, Reply, RequestHead, ResponseHead};
use crate::proxy::Failure;
use crate::sandbox::{ErrandError, SandboxError};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
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
    /// Of what is sent, and of what is answered.
    bodies: (body::Left, body::Left),
}

/// Where the request phase led.
enum End {
    Upstream(Option<String>),
    Reply(u16),
    Abort,
    Failed,
    /// A link would have buffered less of the request's body.
    Ungathered,
}

/// Sends a request along its chain, and a response back. `messages`: the request's body, and the response.
pub fn rehearse(
    path: &Path,
    question: Question,
    client: IpAddr,
    messages: (Option<MadeBody>, MadeResponse),
) -> Result<Rehearsed, RehearseError> {
    let explained = explain(path, question)?;
    let (mut config, mut report) = crate::config::load(path).map_err(RehearseError::Config)?;
    let stand_ins = stand_in(&mut config);
    let (sandbox, origins) = (sandbox(None)?, Origins::nobody(&state::place(config.server.state.as_deref())));
    let mut found = Vec::new();
    let granted = Granted::open(&config, &Arc::default(), sandbox.local_store(), None, &mut found);
    let filters = Filters::build(&config, (&sandbox, &origins), &granted, None, &mut found);
    report.add(found);
    if report.errors() > 0 {
        return Err(RehearseError::Config(report));
    }
    let mut rehearsed = Rehearsed { explained, course: None, seen: Vec::new(), left: None, log: Vec::new(), stand_ins };
    if rehearsed.explained.route().is_some() {
        let kept = keep();
        on_a_worker(rehearsed.walk(&filters, client, &messages))?;
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
    async fn walk(&mut self, filters: &Filters, client: IpAddr, (sent, answer): &(Option<MadeBody>, MadeResponse)) {
        let Some((site, route)) = self.explained.route() else { return };
        let upstreams = Upstreams::default();
        let refused = ErrandError::Failed("`plugin explain` contacts no upstream".to_owned());
        let errands = upstreams.open(Default::default(), Err(refused));
        let notes = Notes::default();
        let watched = |(number, link): (usize, &LinkSpec)| {
            // Filters were built without an error, so each link has one.
            let guests = filters.of(link)?.on_worker(Some(errands.clone()));
            Some(Rc::new(Watched::new(number, Rc::new(guests), &notes)))
        };
        let guests: Vec<Rc<Watched>> = route.chain.iter().enumerate().filter_map(watched).collect();
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
        let mut body = made::request_body(sent.as_ref(), &self.explained.config.limits);
        let course = walk.on_request(&mut exchange, &mut head, &mut body, known, |_, _| {}).await;
        let (end, reply) = match course {
            Course::Onward => (End::Upstream(route.to.as_ref().map(ToString::to_string)), None),
            Course::Forward(name) => (End::Upstream(Some(name.to_string())), None),
            Course::Reply(reply) => (End::Reply(reply.status.as_u16()), Some(*reply)),
            Course::Abort => (End::Abort, None),
            Course::Failed(fault) => (End::Failed, failed(&fault)),
            Course::Ungathered(why) => (End::Ungathered, Failure::ungathered(why, Way::Request).reply(ExchangeId(1))),
        };
        let onward = matches!(end, End::Upstream(_));
        let sent = if onward { body.read().await } else { body::Left::default() };
        let described = head.method == Method::HEAD;
        let mut back = match &reply {
            Some(reply) => Passed::whole(reply.body.clone()).described(described),
            None => made::response_body(answer.body.as_ref(), described, &self.explained.config.limits),
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
            let _ = walk.on_response(&mut exchange, &head, response, &mut back, |_, _| {}, instead).await;
        }
        let answered = back.read().await;
        drop(walk);
        self.course = Some(end);
        self.seen = notes.take();
        self.left = Some(Left { head, response, exchange, bodies: (sent, answered) });
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
            self.link_rows(&mut out, if number == 0 { "request" } else { "" }, number, link, Way::Request);
        }
        row(&mut out, "then", &ending(end), "");
        let passed = route.chain.iter().enumerate().rev().filter(|(number, _)| self.seen(*number, Way::Response).next().is_some());
        for (place, (number, link)) in passed.enumerate() {
            self.link_rows(&mut out, if place == 0 { "response" } else { "" }, number, link, Way::Response);
        }
        if let Some(left) = &self.left {
            if matches!(end, End::Upstream(_)) {
                row(&mut out, "sent", &request_line(&left.head), "");
                field_rows(&mut out, &left.head.headers);
                body_rows(&mut out, &left.bodies.0);
            }
            if let Some(response) = &left.response {
                row(&mut out, "answered", &response.status.to_string(), "");
                field_rows(&mut out, &response.headers);
                body_rows(&mut out, &left.bodies.1);
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

    /// A link's part in a message: what it decided by the head, and by the body.
    fn link_rows(&self, out: &mut String, title: &str, number: usize, link: &LinkSpec, way: Way) {
        let name = format!("{}. {}", number + 1, link.name);
        let place = format!("{} ({})", link.at, origin(&link.origin));
        if self.seen(number, way).next().is_none() {
            row(out, title, &format!("{name}  not asked"), &place);
        }
        for (nth, seen) in self.seen(number, way).enumerate() {
            let body = if seen.body.is_some() { "body: " } else { "" };
            let decided = format!("{name}  {body}{}  ({})", shown::seen(seen), micros(seen.took));
            row(out, if nth == 0 { title } else { "" }, &decided, &place);
            for edit in shown::all_edits(seen) {
                row(out, "", &format!("   {edit}"), "");
            }
        }
    }

    fn seen(&self, link: usize, way: Way) -> impl Iterator<Item = &Seen> {
        self.seen.iter().filter(move |seen| seen.filter == link && seen.phase.way() == way)
    }

    pub fn json(&self) -> Value {
        let (Some((_, route)), Some(end), Some(left)) = (self.explained.route(), &self.course, &self.left) else {
            return self.explained.json();
        };
        let mut answer = self.explained.json();
        let one = |seen: &Seen| {
            let mut shown = shown::seen_json(seen);
            shown["link"] = json!(route.chain.get(seen.filter).map(|link| &*link.name));
            shown["number"] = json!(seen.filter + 1);
            shown["took_ns"] = json!(u64::try_from(seen.took.as_nanos()).unwrap_or(u64::MAX));
            shown
        };
        answer["decisions"] = self.seen.iter().map(one).collect();
        answer["then"] = json!(ending(end));
        let (sent, answered) = &left.bodies;
        answer["sent"] = json!({ "line": request_line(&left.head), "headers": fields(&left.head.headers) });
        with_body(&mut answer["sent"], sent);
        if let Some(response) = &left.response {
            answer["answered"] = json!({ "status": response.status.as_u16(), "headers": fields(&response.headers) });
            with_body(&mut answer["answered"], answered);
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

fn instead(failing: Failing) -> Reply {
    let reply = match failing {
        Failing::Fault(fault) => failed(&fault),
        Failing::Ungathered(why) => Failure::ungathered(why, Way::Response).reply(ExchangeId(1)),
    };
    reply.unwrap_or_else(nothing)
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
        End::Ungathered => "answered 413: the body is larger than a link wants to buffer".to_owned(),
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

/// The beginning of a body, and how long it is.
fn body_rows(out: &mut String, left: &body::Left) {
    /// Enough to see what became of it.
    const SHOWN: usize = 200;
    if !left.bytes.is_empty() {
        let begin = String::from_utf8_lossy(&left.bytes[..left.bytes.len().min(SHOWN)]).escape_debug().to_string();
        row(out, "", &format!("   body: {} bytes: {begin}{}", left.bytes.len(), if left.bytes.len() > SHOWN { "…" } else { "" }), "");
    }
    for (name, value) in &left.trailers {
        row(out, "", &format!("   trailer {name}: {}", shown::text(value)), "");
    }
    if let Some(error) = &left.broken {
        row(out, "", &format!("   body: broken off: {error}"), "");
    }
}

fn with_body(shown: &mut Value, left: &body::Left) {
    if !left.bytes.is_empty() {
        shown["body"] = json!(String::from_utf8_lossy(&left.bytes));
    }
    if !left.trailers.is_empty() {
        shown["trailers"] = fields(&left.trailers);
    }
    if let Some(error) = &left.broken {
        shown["broken"] = json!(error.to_string());
    }
}

fn fields(headers: &HeaderMap) -> Value {
    headers.iter().map(|(name, value)| json!([name.as_str(), shown::text(value)])).collect()
}

fn micros(time: Duration) -> String {
    format!("{:.1} µs", time.as_nanos() as f64 / 1000.0)
}
