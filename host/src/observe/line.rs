//! One access line: an exchange as text or as a JSON object. Knows no clock and no file.

use super::access::Line;
use super::escape::{quoted, word};
use super::parts::{Cost, logged, members, print, words};
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
    /// How many times a server was tried. Written if it was more than once.
    pub attempts: u32,
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

/// Parameters whose values are not written, lower case: credentials and one-time codes of OAuth 2, signed links, and what people
/// call a password.
const SECRET_PARAMETERS: &[&str] = &[
    "access_token",
    "api_key",
    "apikey",
    "auth",
    "client_secret",
    "code",
    "id_token",
    "jwt",
    "key",
    "pass",
    "passwd",
    "password",
    "refresh_token",
    "secret",
    "session",
    "sig",
    "signature",
    "state",
    "token",
    "x-amz-credential",
    "x-amz-security-token",
    "x-amz-signature",
];

impl Line for Entry<'_> {
    fn text(&self, out: &mut Vec<u8>, time: &str) {
        print(out, format_args!("{time} {:016x} {} ", self.id.0, self.client));
        word(out, self.method);
        out.push(b' ');
        if self.host.is_empty() {
            out.push(b'-');
        } else {
            print(out, format_args!("{}://", self.scheme));
            word(out, self.host);
            word(out, &self.target());
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
        words(out, self.names());
        if self.attempts > 1 {
            print(out, format_args!(" attempts={}", self.attempts));
        }
        self.cost().text(out);
        if !self.links.is_empty() {
            let links: Vec<_> = self.links.iter().map(|(name, how)| format!("{name}:{how}")).collect();
            out.extend_from_slice(b" links=");
            word(out, &links.join(","));
        }
        words(out, logged(self.attributes));
        out.push(b'\n');
    }

    fn json(&self, out: &mut Vec<u8>, time: &str) {
        print(out, format_args!("{{\"time\":\"{time}\",\"id\":\"{:016x}\",\"client\":\"{}\"", self.id.0, self.client));
        members(out, self.client_cert.map(|subject| ("client_cert", subject)).into_iter());
        let head =
            [("protocol", self.protocol), ("scheme", self.scheme), ("method", self.method), ("host", self.host), ("path", self.path)];
        let query = self.query.map(masked);
        let named = head.into_iter().filter(|(_, value)| !value.is_empty()).chain(query.as_deref().map(|query| ("query", query)));
        members(out, named.chain(self.reason.map(|reason| ("reason", reason))).chain(self.names()));
        if let Some(status) = self.status {
            print(out, format_args!(",\"status\":{status}"));
        }
        if self.attempts > 1 {
            print(out, format_args!(",\"attempts\":{}", self.attempts));
        }
        self.cost().json(out);
        if !self.links.is_empty() {
            out.extend_from_slice(b",\"links\":[");
            for (index, (name, how)) in self.links.iter().enumerate() {
                out.extend_from_slice(if index > 0 { b",{\"name\":" } else { b"{\"name\":" });
                quoted(out, name);
                print(out, format_args!(",\"how\":\"{how}\"}}"));
            }
            out.push(b']');
        }
        members(out, logged(self.attributes));
        out.extend_from_slice(b"}\n");
    }
}

impl Entry<'_> {
    fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        let matched = [("site", self.site), ("route", self.route)].into_iter().filter(|(_, value)| !value.is_empty());
        matched.chain(self.upstream.map(|upstream| ("upstream", upstream))).chain(self.server.map(|server| ("server", server)))
    }

    fn cost(&self) -> Cost {
        Cost { total: self.total, part: ("first", self.first), received: self.received, sent: self.sent }
    }

    fn target(&self) -> String {
        self.query.map_or_else(|| self.path.to_owned(), |query| format!("{}?{}", self.path, masked(query)))
    }
}

/// The query with the values of secret parameters replaced by `***`.
fn masked(query: &str) -> String {
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if is_secret(name) => format!("{name}=***"),
        _ => pair.to_owned(),
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// Names are decoded first: `%74oken` is `token` to the origin.
fn is_secret(name: &str) -> bool {
    let decoded = form_urlencoded::parse(name.as_bytes()).next().map(|(name, _)| name.to_ascii_lowercase());
    decoded.is_some_and(|name| SECRET_PARAMETERS.contains(&name.as_str()))
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
            attempts: 1,
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
        entry.text(&mut out, TIME);
        String::from_utf8(out).expect("UTF-8")
    }

    fn json(entry: &Entry<'_>) -> serde_json::Value {
        let mut out = Vec::new();
        entry.json(&mut out, TIME);
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
            first: Some(Duration::from_millis(1)),
            links: &[("jwt", "edited"), ("waf", "faulted")],
            attributes: &attributes,
            ..entry()
        };
        let line = text(&entry);
        let tail = "/api/x?a=1 HTTP/1.1 - plugin_trap site=app.test route=/api/* upstream=api server=10.0.0.1:80 total=1.500ms \
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

    #[test]
    fn secrets_in_the_query_are_masked() {
        let cases = [
            ("a=1&token=t&b", "a=1&token=***&b"),
            ("Access_Token=t", "Access_Token=***"),
            ("%74oken=t", "%74oken=***"),
            ("tokens=1", "tokens=1"),
        ];
        for (given, expected) in cases {
            assert_eq!(masked(given), expected, "{given}");
        }
    }
}
