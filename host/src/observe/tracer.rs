//! Which exchanges are traced, and what is told of them. What becomes of it is in `otlp`.

use super::otlp::{Attribute, Outlet, Span, SpanEvent, SpanKind};
use crate::message::trace::{Call, Standing, TRACEPARENT, TRACESTATE, Trace, TraceContext, child};
use http::HeaderMap;
use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

/// One worker's, of one generation.
#[derive(Debug)]
pub struct Tracer {
    outlet: Outlet<Span>,
    /// Of 2^32 exchanges, so many are traced.
    sampled: u64,
    /// State of the generator of ids, and what makes it another than those of others. They are no secrets, and must only differ.
    random: Cell<u64>,
    own: u64,
}

/// An exchange that is traced, while it lasts.
#[derive(Debug)]
pub struct Traced {
    tracer: Rc<Tracer>,
    trace: Arc<Trace>,
    parent: Option<[u8; 8]>,
    begun: SystemTime,
    sent: Option<Sent>,
}

/// What went out to the upstream.
#[derive(Debug)]
struct Sent {
    span: [u8; 8],
    begun: SystemTime,
    ended: Option<SystemTime>,
    attributes: Vec<Attribute>,
    failed: bool,
}

impl Tracer {
    /// `share`: of exchanges, from 0 to 1.
    pub fn new(outlet: Outlet<Span>, share: f64) -> Self {
        // The standard library's source of random keys.
        let random = || RandomState::new().build_hasher().finish();
        Self { outlet, sampled: (share.clamp(0.0, 1.0) * 4_294_967_296.0) as u64, random: Cell::new(random()), own: random() }
    }

    /// Where a request stands, and what is noted if it is chosen. `trusted`: whether who sent it may choose.
    pub fn begin(self: &Rc<Self>, headers: &HeaderMap, trusted: bool) -> (Standing, Option<Box<Traced>>) {
        let asked = TraceContext::read(headers);
        let sampled = asked.is_some_and(|asked| asked.sampled && trusted) || (self.next() >> 32) < self.sampled;
        if !sampled {
            // Whoever noted it before goes on being the parent.
            let context = asked.unwrap_or_else(|| self.context(None, false));
            return (Standing::new(Trace::new(context, false)), None);
        }
        let trace = Trace::new(self.context(asked, true), true);
        let parent = asked.map(|asked| asked.span);
        let traced = Traced { tracer: Rc::clone(self), trace: Arc::clone(&trace), parent, begun: SystemTime::now(), sent: None };
        (Standing::new(trace), Some(Box::new(traced)))
    }

    /// A new place, in the trace that is asked for or in a new one.
    fn context(&self, asked: Option<TraceContext>, sampled: bool) -> TraceContext {
        let span = || self.next().max(1).to_be_bytes();
        let mut trace = [0; 16];
        match asked {
            Some(asked) => trace = asked.trace,
            None => {
                trace[..8].copy_from_slice(&span());
                trace[8..].copy_from_slice(&child(span(), self.own));
            }
        }
        TraceContext { trace, span: span(), sampled }
    }

    fn next(&self) -> u64 {
        let number = self.random.get();
        self.random.set(number.wrapping_add(0x9e37_79b9_7f4a_7c15));
        u64::from_be_bytes(child(number.to_be_bytes(), self.own))
    }
}

impl Traced {
    /// The exchange is over.
    pub fn end(self, name: String, attributes: Vec<Attribute>, failed: bool) {
        let Self { tracer, trace, parent, begun, sent } = self;
        let context = trace.context();
        let span = |span, parent, kind, name: String, (begun, ended), attributes, failed| Span {
            trace: context.trace,
            span,
            parent,
            kind,
            name,
            begun,
            ended,
            attributes,
            events: Vec::new(),
            failed,
        };
        let now = SystemTime::now();
        let mut spans = vec![span(context.span, parent, SpanKind::Server, name, (begun, now), attributes, failed)];
        if let Some(Sent { span: id, begun, ended, attributes, failed }) = sent {
            let times = (begun, ended.unwrap_or(now));
            spans.push(span(id, Some(context.span), SpanKind::Client, "upstream".into(), times, attributes, failed));
        }
        for Call { span: id, link, phase, begun, ended, fault, attributes, events } in trace.take() {
            let own = [("portcullis.link", link.clone()), ("portcullis.phase", phase.to_owned())];
            let fault = fault.map(|fault| ("portcullis.fault".to_owned(), fault.to_owned()));
            let failed = fault.is_some();
            let all = own.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(fault).chain(attributes);
            let all = all.map(|(name, value)| Attribute::text(name, value)).collect();
            let mut call = span(id, Some(context.span), SpanKind::Internal, format!("{link} {phase}"), (begun, ended), all, failed);
            let told = |(name, value): (String, String)| Attribute::text(name, value);
            call.events = events
                .into_iter()
                .map(|event| SpanEvent { at: event.at, name: event.name, attributes: event.attributes.into_iter().map(told).collect() })
                .collect();
            spans.push(call);
        }
        tracer.outlet.put(spans);
    }

    /// The request goes out to this upstream, which learns where it stands.
    pub fn sends(&mut self, upstream: &str, headers: &mut HeaderMap) {
        let context = self.trace.context();
        let span = child(context.span, u64::MAX >> 1);
        if self.parent.is_none() {
            drop_state(headers);
        }
        context.at(span).write(headers);
        let attributes = vec![Attribute::text("portcullis.upstream", upstream)];
        self.sent = Some(Sent { span, begun: SystemTime::now(), ended: None, attributes, failed: false });
    }

    /// The response's head is there, or will not come.
    pub fn answered(
        &mut self,
        (server, spoken): (Option<&str>, Option<&str>),
        attempts: u32,
        status: Option<u16>,
        reason: Option<&'static str>,
    ) {
        let Some(sent) = &mut self.sent else { return };
        sent.ended = Some(SystemTime::now());
        sent.failed = reason.is_some();
        sent.attributes.extend(server.map(|server| Attribute::text("server.address", server)));
        let version = spoken.map(|spoken| if spoken == "http/1.1" { "1.1" } else { "2" });
        sent.attributes.extend(version.map(|version| Attribute::text("network.protocol.version", version)));
        sent.attributes.extend(status.map(|status| Attribute::number("http.response.status_code", status.into())));
        sent.attributes.extend(reason.map(|reason| Attribute::text("error.type", reason)));
        if attempts > 1 {
            sent.attributes.push(Attribute::number("http.request.resend_count", i64::from(attempts) - 1));
        }
    }
}

/// Passes on the trace of a request that is not noted: as it came, or, if it came without, made.
pub fn pass_on(standing: &Standing, headers: &mut HeaderMap) {
    if TraceContext::read(headers).is_none() {
        headers.remove(TRACEPARENT);
        drop_state(headers);
        standing.context().write(headers);
    }
}

/// What came along with something unreadable means nothing (W3C Trace Context, section 3.3).
fn drop_state(headers: &mut HeaderMap) {
    headers.remove(TRACESTATE);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::fields;
    use http::HeaderValue;

    const ASKED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn tracer(share: f64) -> Rc<Tracer> {
        Rc::new(Tracer::new(Outlet::nowhere(), share))
    }

    #[test]
    fn only_who_is_trusted_chooses_what_is_traced() {
        let asked = fields(&[("traceparent", ASKED)]);
        assert!(tracer(0.0).begin(&asked, false).1.is_none());
        assert!(tracer(0.0).begin(&asked, true).1.is_some());
        assert!(tracer(1.0).begin(&asked, false).1.is_some());
        let tracer = tracer(0.25);
        let chosen = (0..10_000).filter(|_| tracer.begin(&fields(&[]), false).1.is_some()).count();
        assert!((2_000..3_000).contains(&chosen), "{chosen}");
    }

    #[test]
    fn a_trace_goes_on_and_a_broken_one_begins_anew() {
        let mut headers = fields(&[("traceparent", ASKED), ("tracestate", "a=b")]);
        let (trace, traced) = tracer(1.0).begin(&headers, false);
        traced.expect("traced").sends("app", &mut headers);
        let sent = TraceContext::read(&headers).expect("sent");
        assert!(sent.trace == trace.context().trace && sent.span != trace.context().span);
        assert_eq!(headers[TRACEPARENT].as_bytes()[..35], ASKED.as_bytes()[..35], "the trace that was asked for");
        assert_eq!(headers[TRACESTATE], "a=b");
        let mut broken = fields(&[("traceparent", "00-what"), ("tracestate", "a=b")]);
        let (trace, _) = tracer(0.0).begin(&broken, false);
        pass_on(&trace, &mut broken);
        assert_eq!(TraceContext::read(&broken), Some(trace.context()));
        assert!(!broken.contains_key(TRACESTATE) && !trace.context().sampled);
        let mut broken = fields(&[("traceparent", "00-what"), ("tracestate", "a=b")]);
        let (_, traced) = tracer(1.0).begin(&broken, false);
        traced.expect("traced").sends("app", &mut broken);
        assert!(TraceContext::read(&broken).is_some() && !broken.contains_key(TRACESTATE));
    }

    #[test]
    fn what_is_not_traced_is_passed_on_as_it_came() {
        let mut headers = fields(&[("traceparent", ASKED), ("tracestate", "a=b")]);
        let (trace, _) = tracer(0.0).begin(&headers, false);
        pass_on(&trace, &mut headers);
        assert_eq!((&headers[TRACEPARENT], &headers[TRACESTATE]), (&HeaderValue::from_static(ASKED), &HeaderValue::from_static("a=b")));
    }
}
