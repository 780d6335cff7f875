//! One access line: an exchange as text or as a JSON object. Knows no clock and no file.

use super::access::Line;
use super::escape::{quoted, word};
use super::mask;
use super::parts::{Cost, logged, print, words};
use super::vocabulary::{Field, Vocabulary};
use crate::config::AccessRules;
use crate::message::ExchangeId;
use bytestring::ByteString;
use std::net::IpAddr;
use std::time::Duration;

/// What is known of an exchange when its response body has ended. Empty: the head was refused, so nobody knows.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    pub id: ExchangeId,
    pub client: IpAddr,
    /// The subject of the certificate that the client has shown. Only in JSON.
    pub client_cert: Option<&'a str>,
    /// `HTTP/1.1`, `HTTP/2.0` …
    pub protocol: &'a str,
    pub scheme: &'a str,
    pub method: &'a str,
    pub host: &'a str,
    pub path: &'a str,
    /// Values of parameters that are usually secrets are left out.
    pub query: Option<&'a str>,
    /// `None`: no answer was given.
    pub status: Option<u16>,
    /// Why the proxy answered itself, or why the response broke off.
    pub reason: Option<&'a str>,
    pub site: &'a str,
    pub route: &'a str,
    pub upstream: Option<&'a str>,
    /// Address of the server that answered.
    pub server: Option<&'a str>,
    /// What made it that one, where there are others.
    pub chosen: Option<&'a str>,
    /// Servers that did not come into question, each with the reason.
    pub passed_over: Option<&'a str>,
    /// What was spoken with it: `http/1.1`, `h2` or `h2c`.
    pub spoken: Option<&'a str>,
    /// How many times a server was tried. Written if it was more than once.
    pub attempts: u32,
    /// What went wrong on purpose: `delay`, `abort` or both.
    pub injected: Option<&'a str>,
    /// The upstream that was sent a copy of the request.
    pub mirror: Option<&'a str>,
    /// To the end of the response body.
    pub total: Duration,
    /// From sending the request to the upstream until its response head.
    pub first: Option<Duration>,
    /// Body bytes from the client.
    pub received: u64,
    /// Body bytes to the client.
    pub sent: u64,
    /// Links that did more than look, and what.
    pub links: &'a [(&'a str, &'a str)],
    /// Set by links; those whose name begins with `log.` are written.
    pub attributes: &'a [(ByteString, ByteString)],
}

impl Line for Entry<'_> {
    const EVENT: &'static str = "portcullis.exchange";

    fn id(&self) -> ExchangeId {
        self.id
    }

    fn matters(&self) -> bool {
        self.reason.is_some() || self.status.is_none_or(|status| status >= 400)
    }

    fn text(&self, out: &mut Vec<u8>, time: &str, rules: &AccessRules) {
        print(out, format_args!("{time} {:016x} {} ", self.id.0, self.client));
        word(out, self.method);
        out.push(b' ');
        if self.host.is_empty() {
            out.push(b'-');
        } else {
            print(out, format_args!("{}://", self.scheme));
            word(out, self.host);
            word(out, &self.target(rules));
        }
        out.push(b' ');
        word(out, self.protocol);
        out.push(b' ');
        match self.status {
            Some(status) => print(out, format_args!("{status}")),
            None => out.push(b'-'),
        }
        out.push(b' ');
        word(out, self.reason.unwrap_or_default());
        words(out, self.names().map(|(field, value)| (Vocabulary::Ours.name(field), value)));
        if self.attempts > 1 {
            print(out, format_args!(" attempts={}", self.attempts));
        }
        self.cost().text(out);
        if !self.links.is_empty() {
            let links: Vec<_> = self.links.iter().map(|(name, how)| format!("{name}:{how}")).collect();
            out.extend_from_slice(b" links=");
            word(out, &links.join(","));
        }
        words(out, logged(self.attributes, rules));
        out.push(b'\n');
    }

    fn json(&self, out: &mut Vec<u8>, time: &str, terms: Vocabulary, rules: &AccessRules) {
        terms.text(out, Field::Time, time);
        terms.event(out, self.matters(), false);
        print(
            out,
            format_args!(",\"{}\":\"{:016x}\",\"{}\":\"{}\"", terms.name(Field::Id), self.id.0, terms.name(Field::Client), self.client),
        );
        terms.texts(out, self.client_cert.map(|subject| (Field::ClientCert, subject)).into_iter());
        let head = [
            (Field::Protocol, self.protocol),
            (Field::Scheme, self.scheme),
            (Field::Method, self.method),
            (Field::Host, self.host),
            (Field::Path, self.path),
        ];
        let query = self.query.map(|query| mask::query(query, rules));
        let named = head.into_iter().filter(|(_, value)| !value.is_empty()).chain(query.as_deref().map(|query| (Field::Query, query)));
        terms.texts(out, named.chain(self.reason.map(|reason| (Field::Reason, reason))).chain(self.names()));
        if let Some(status) = self.status {
            terms.number(out, Field::Status, status.into());
        }
        if self.attempts > 1 {
            terms.number(out, Field::Attempts, self.attempts.into());
        }
        self.cost().json(out, terms);
        if !self.links.is_empty() {
            print(out, format_args!(",\"{}\":[", terms.name(Field::Links)));
            for (index, (name, how)) in self.links.iter().enumerate() {
                out.extend_from_slice(if index > 0 { b",{\"name\":" } else { b"{\"name\":" });
                quoted(out, name);
                print(out, format_args!(",\"how\":\"{how}\"}}"));
            }
            out.push(b']');
        }
        logged(self.attributes, rules).for_each(|(name, value)| terms.attribute(out, name, value));
        out.extend_from_slice(b"}\n");
    }
}

impl Entry<'_> {
    fn names(&self) -> impl Iterator<Item = (Field, &str)> {
        let matched = [(Field::Site, self.site), (Field::Route, self.route)].into_iter().filter(|(_, value)| !value.is_empty());
        let sent = [
            (Field::Upstream, self.upstream),
            (Field::Server, self.server),
            (Field::Chosen, self.chosen),
            (Field::PassedOver, self.passed_over),
            (Field::Spoken, self.spoken),
            (Field::Injected, self.injected),
            (Field::Mirror, self.mirror),
        ];
        matched.chain(sent.into_iter().filter_map(|(field, value)| Some((field, value?))))
    }

    fn cost(&self) -> Cost {
        Cost { total: self.total, part: (Field::First, self.first), received: self.received, sent: self.sent }
    }

    fn target(&self, rules: &AccessRules) -> String {
        self.query.map_or_else(|| self.path.to_owned(), |query| format!("{}?{}", self.path, mask::query(query, rules)))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const TIME: &str = "2026-11-23T16:24:00.123Z";

    pub fn entry() -> Entry<'static> {
        Entry {
            id: ExchangeId(0x1a2b),
            client: [192, 0, 2, 7].into(),
            client_cert: None,
            protocol: "HTTP/1.1",
            scheme: "https",
            method: "GET",
            host: "app.test",
            path: "/api/x",
            query: None,
            status: Some(200),
            reason: None,
            site: "app.test",
            route: "/api/*",
            upstream: None,
            server: None,
            chosen: None,
            passed_over: None,
            spoken: None,
            attempts: 1,
            injected: None,
            mirror: None,
            total: Duration::from_micros(1500),
            first: None,
            received: 0,
            sent: 12,
            links: &[],
            attributes: &[],
        }
    }

    fn text(entry: &Entry<'_>) -> String {
        let mut out = Vec::new();
        entry.text(&mut out, TIME, &AccessRules::default());
        String::from_utf8(out).expect("UTF-8")
    }

    fn json(entry: &Entry<'_>) -> serde_json::Value {
        json_in(entry, Vocabulary::Ours)
    }

    fn json_in(entry: &Entry<'_>, terms: Vocabulary) -> serde_json::Value {
        let mut out = Vec::new();
        entry.json(&mut out, TIME, terms, &AccessRules::default());
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
        serde_json::from_slice(&out).expect("JSON")
    }

    #[test]
    fn plain_exchange_is_one_short_line() {
        let expected = "2026-11-23T16:24:00.123Z 0000000000001a2b 192.0.2.7 GET https://app.test/api/x HTTP/1.1 200 - \
                        site=app.test route=/api/* total=1.500ms in=0 out=12\n";
        assert_eq!(text(&entry()), expected);
        let expected = serde_json::json!({
            "time": TIME, "id": "0000000000001a2b", "client": "192.0.2.7", "protocol": "HTTP/1.1", "scheme": "https", "method": "GET",
            "host": "app.test", "path": "/api/x", "site": "app.test", "route": "/api/*", "status": 200, "total_ms": 1.5, "in": 0, "out": 12,
        });
        assert_eq!(json(&entry()), expected);
    }

    #[test]
    fn a_refused_head_says_nothing_about_itself() {
        let none = Entry { protocol: "", scheme: "", method: "", host: "", path: "", site: "", route: "", ..entry() };
        let refused = Entry { status: Some(400), reason: Some("bad_field"), ..none };
        let expected = "2026-11-23T16:24:00.123Z 0000000000001a2b 192.0.2.7 - - - 400 bad_field total=1.500ms in=0 out=12\n";
        assert_eq!(text(&refused), expected);
        let object = json(&refused);
        assert_eq!((object.get("method"), &object["reason"]), (None, &"bad_field".into()));
    }

    #[test]
    fn everything_known_is_written() {
        let attributes = [("log.tenant".into(), "acme".into()), ("unlogged".into(), "x".into())];
        let entry = Entry {
            query: Some("a=1"),
            status: None,
            reason: Some("plugin_trap"),
            upstream: Some("api"),
            server: Some("10.0.0.1:80"),
            spoken: Some("h2c"),
            first: Some(Duration::from_millis(1)),
            links: &[("jwt", "edited"), ("waf", "faulted")],
            attributes: &attributes,
            ..entry()
        };
        let line = text(&entry);
        let tail = "/api/x?a=1 HTTP/1.1 - plugin_trap site=app.test route=/api/* upstream=api server=10.0.0.1:80 upstream_protocol=h2c total=1.500ms \
                    first=1.000ms in=0 out=12 links=jwt:edited,waf:faulted log.tenant=acme\n";
        assert!(line.ends_with(tail), "{line}");
        let object = json(&entry);
        assert_eq!(object["links"], serde_json::json!([{"name": "jwt", "how": "edited"}, {"name": "waf", "how": "faulted"}]));
        assert_eq!((&object["log.tenant"], &object["query"], object.get("status")), (&"acme".into(), &"a=1".into(), None));
    }

    #[test]
    fn nobody_can_forge_a_line() {
        let evil = "x\n2026-01-01T00:00:00Z forged \u{202e}\"\\\r\u{1b}[2J";
        let attributes = [("log.a".into(), evil.into()), (format!("log.{evil}").into(), "v".into())];
        let entry = Entry {
            host: evil,
            path: evil,
            query: Some(evil),
            method: evil,
            route: evil,
            attributes: &attributes,
            links: &[(evil, "edited")],
            ..entry()
        };
        let line = text(&entry);
        assert_eq!(line.chars().filter(|c| c.is_control()).collect::<String>(), "\n");
        assert_eq!(json(&entry)["log.a"], evil);
    }

    /// Names as the Elastic Common Schema and OpenTelemetry's semantic conventions have them.
    #[test]
    fn others_find_the_fields_under_their_names() {
        let attributes = [("log.tenant".into(), "acme".into()), ("log.authorization".into(), "Bearer x".into())];
        let entry = Entry { host: "app.test:8443", query: Some("token=t"), upstream: Some("api"), attributes: &attributes, ..entry() };
        let expected = serde_json::json!({
            "@timestamp": TIME, "ecs.version": "8.11.0", "event.kind": "event", "event.category": ["web"], "event.type": ["access"],
            "event.outcome": "success", "http.request.id": "0000000000001a2b", "client.ip": "192.0.2.7", "http.version": "1.1", "url.scheme": "https",
            "http.request.method": "GET", "url.domain": "app.test", "url.path": "/api/x", "url.query": "token=***", "portcullis.site": "app.test",
            "portcullis.route": "/api/*", "portcullis.upstream": "api", "http.response.status_code": 200, "event.duration": 1_500_000,
            "http.request.body.bytes": 0, "http.response.body.bytes": 12, "labels.tenant": "acme", "labels.authorization": "***",
        });
        assert_eq!(json_in(&entry, Vocabulary::Ecs), expected);
        let expected = serde_json::json!({
            "timestamp": TIME, "portcullis.exchange.id": "0000000000001a2b", "client.address": "192.0.2.7", "network.protocol.version": "1.1",
            "url.scheme": "https", "http.request.method": "GET", "server.address": "app.test", "url.path": "/api/x", "url.query": "token=***",
            "portcullis.site": "app.test", "http.route": "/api/*", "portcullis.upstream": "api", "http.response.status_code": 200,
            "http.server.request.duration": 0.0015, "http.request.body.size": 0, "http.response.body.size": 12, "log.tenant": "acme",
            "log.authorization": "***",
        });
        assert_eq!(json_in(&entry, Vocabulary::Otel), expected);
        let failed = Entry { status: Some(502), reason: Some("connect_refused"), ..entry };
        assert_eq!(json_in(&failed, Vocabulary::Ecs)["event.outcome"], "failure");
        assert_eq!(json_in(&failed, Vocabulary::Otel)["error.type"], "connect_refused");
    }
}
