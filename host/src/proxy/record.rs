//! What is known of an exchange while it lasts, and what is said of it when it is over: a line, numbers, a span. When that is, its guard knows.

use super::farewell::Tell;
use super::mirror::Mirrored;
use crate::chain::How;
use crate::config::{AccessLog, LinkSpec};
use crate::message::{Connection, Done, ExchangeId, RequestHead};
use crate::observe::access::AccessWriter;
use crate::observe::otlp::Attribute;
use crate::observe::{Entry, Over, Refusal, RouteTally, WorkerTally};
use crate::upstream::Attempt;
use bytestring::ByteString;
use http::{StatusCode, Version};
use smallvec::SmallVec;
use std::cell::{Cell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// What will be said.
pub(super) struct Record {
    pub mode: AccessLog,
    pub started: Instant,
    pub connection: Rc<Connection>,
    pub client: IpAddr,
    pub asked: Option<Asked>,
    pub site: ByteString,
    pub route: ByteString,
    /// `None`: nobody collects numbers, or no route has taken it.
    pub tally: Option<Arc<RouteTally>>,
    pub upstream: Option<ByteString>,
    pub attempt: Option<Attempt>,
    /// What went wrong on purpose.
    pub injected: Option<&'static str>,
    /// Of a copy that is made.
    pub mirror: Option<Rc<Mirrored>>,
    pub status: Option<StatusCode>,
    pub reason: Option<&'static str>,
    /// Nothing more will be sent, as it should be.
    pub ended: bool,
    pub received: Rc<Cell<u64>>,
    pub sent: u64,
    /// The response body's length, if it was stated.
    pub length: Option<u64>,
    pub links: SmallVec<[(Arc<LinkSpec>, How); 4]>,
    pub attributes: SmallVec<[(ByteString, ByteString); 2]>,
    /// Who is told of the end.
    pub farewell: Option<Box<dyn Tell>>,
    /// For them: what was tried so far, should the client leave meanwhile.
    pub trail: Option<Rc<RefCell<Attempt>>>,
}

/// The request as the client made it, before links changed it.
pub(super) struct Asked {
    pub head: RequestHead,
    pub version: Version,
}

impl Record {
    pub fn new(mode: AccessLog, connection: &Rc<Connection>) -> Self {
        Self {
            mode,
            started: Instant::now(),
            connection: Rc::clone(connection),
            client: connection.peer.ip().to_canonical(),
            asked: None,
            site: ByteString::new(),
            route: ByteString::new(),
            tally: None,
            upstream: None,
            attempt: None,
            injected: None,
            mirror: None,
            status: None,
            reason: None,
            ended: false,
            received: Rc::default(),
            sent: 0,
            length: None,
            links: SmallVec::new(),
            attributes: connection.attributes.clone(),
            farewell: None,
            trail: None,
        }
    }

    pub fn done(&self) -> Done<'_> {
        let attempt = self.attempt.as_ref();
        Done {
            upstream: self.upstream.as_deref(),
            server: attempt.and_then(|attempt| attempt.server.as_deref()),
            attempts: attempt.map_or(0, |attempt| attempt.attempts),
            status: self.status,
            reason: self.reason(),
            duration: self.started.elapsed(),
            first_byte: attempt.map(|attempt| attempt.first_byte).filter(|first| !first.is_zero()),
            received: self.received.get(),
            sent: self.sent,
        }
    }

    /// Why the exchange did not end as it should.
    fn reason(&self) -> Option<&'static str> {
        // Dropped before its time: whoever held the other end let go.
        match self.reason.or((!self.ended).then_some("client_gone")) {
            // Or so it seems to the exchange, also when we let go ourselves.
            Some("client_gone") if self.connection.cut.get() => Some("stopped"),
            reason => reason,
        }
    }

    pub fn count(&self, worker: &WorkerTally) {
        let status = self.status.map(|status| status.as_u16());
        let over = Over { status, total: self.started.elapsed(), received: self.received.get(), sent: self.sent };
        match &self.tally {
            Some(tally) => tally.take(over),
            None => worker.route("", "").take(over),
        }
        for kind in self.injected.into_iter().flat_map(|kinds| kinds.split(',')) {
            worker.injected(&self.site, &self.route, kind);
        }
        if let Some(reason) = self.reason() {
            worker.because("exchange", reason);
            worker.recent.take(|| self.refusal(reason));
        }
    }

    fn refusal(&self, reason: &'static str) -> Refusal {
        let head = self.asked.as_ref().map(|asked| &asked.head);
        Refusal {
            at: SystemTime::now(),
            reason,
            status: self.status.map(|status| status.as_u16()),
            method: head.map_or_else(String::new, |head| head.method.to_string()),
            scheme: head.map_or("", |head| head.scheme.as_str()),
            host: head.map_or_else(String::new, |head| head.authority.to_string()),
            path: head.map_or_else(String::new, |head| head.path.to_string()),
        }
    }

    /// The span of the exchange: its name, of which there are only so many, and what it was. Names of attributes are OpenTelemetry's. The
    /// query is left out, as secrets stand there.
    pub fn told(&self) -> (String, Vec<Attribute>) {
        let head = self.asked.as_ref().map(|asked| &asked.head);
        let name = head.map_or_else(|| "HTTP".to_owned(), |head| format!("{} {}", head.method, self.route));
        let mut told = vec![Attribute::text("client.address", self.client.to_string())];
        if let Some(Asked { head, version }) = &self.asked {
            told.push(Attribute::text("http.request.method", head.method.as_str()));
            told.push(Attribute::text("url.scheme", head.scheme.as_str()));
            told.push(Attribute::text("url.path", &*head.path));
            told.push(Attribute::text("server.address", &*head.authority));
            told.push(Attribute::text("network.protocol.version", protocol(*version).trim_start_matches("HTTP/")));
        }
        let named =
            [("http.route", Some(&*self.route)), ("portcullis.site", Some(&*self.site)), ("portcullis.upstream", self.upstream.as_deref())];
        told.extend(named.into_iter().filter_map(|(name, value)| Some(Attribute::text(name, value?))));
        told.extend(self.status.map(|status| Attribute::number("http.response.status_code", status.as_u16().into())));
        told.extend(self.reason().map(|reason| Attribute::text("error.type", reason)));
        told.push(Attribute::number("http.request.body.size", i64::try_from(self.received.get()).unwrap_or(i64::MAX)));
        told.push(Attribute::number("http.response.body.size", i64::try_from(self.sent).unwrap_or(i64::MAX)));
        (name, told)
    }

    /// Of the certificate that the client has shown.
    fn subject(&self) -> Option<&str> {
        let auth = self.connection.tls.as_ref()?.client.as_ref()?;
        auth.identity.as_ref().map(|identity| &*identity.subject)
    }

    pub fn write(&self, id: ExchangeId, access: &AccessWriter) {
        if self.mode == AccessLog::Off {
            return;
        }
        let links: SmallVec<[_; 4]> = self.links.iter().map(|(spec, how)| (spec.name.as_str(), how_name(*how))).collect();
        let head = self.asked.as_ref().map(|asked| &asked.head);
        access.write(
            self.mode,
            &Entry {
                id,
                client: self.client,
                client_cert: self.subject(),
                protocol: self.asked.as_ref().map_or("", |asked| protocol(asked.version)),
                scheme: head.map_or("", |head| head.scheme.as_str()),
                method: head.map_or("", |head| head.method.as_str()),
                host: head.map_or("", |head| &head.authority),
                path: head.map_or("", |head| &head.path),
                query: head.and_then(|head| head.query.as_deref()),
                status: self.status.map(|status| status.as_u16()),
                reason: self.reason(),
                site: &self.site,
                route: &self.route,
                upstream: self.upstream.as_deref(),
                server: self.attempt.as_ref().and_then(|attempt| attempt.server.as_deref()),
                chosen: self.attempt.as_ref().and_then(|attempt| attempt.chosen),
                passed_over: self.attempt.as_ref().and_then(|attempt| attempt.passed_over.as_deref()),
                spoken: self.attempt.as_ref().and_then(|attempt| attempt.spoken),
                attempts: self.attempt.as_ref().map_or(0, |attempt| attempt.attempts),
                injected: self.injected,
                mirror: self.mirror.as_deref().and_then(Mirrored::sent_to),
                total: self.started.elapsed(),
                first: self.attempt.as_ref().map(|attempt| attempt.first_byte).filter(|first| !first.is_zero()),
                received: self.received.get(),
                sent: self.sent,
                links: &links,
                attributes: &self.attributes,
            },
        );
    }
}

const fn how_name(how: How) -> &'static str {
    match how {
        How::Edited => "edited",
        How::Forwarded => "forwarded",
        How::Chose => "chose",
        How::Judged => "judged",
        How::Replied => "replied",
        How::Aborted => "aborted",
        How::Faulted => "faulted",
    }
}

const fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}
