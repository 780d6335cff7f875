//! One access line of the TCP corridor: a connection as text or as a JSON object. Knows no clock and no file.

use super::access::Line;
use super::escape::word;
use super::parts::{Cost, logged, print, words};
use super::vocabulary::{Field, Vocabulary};
use crate::config::AccessRules;
use crate::message::ExchangeId;
use bytestring::ByteString;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What is known of a connection when it has ended.
#[derive(Debug, Clone)]
pub struct TunnelEntry<'a> {
    pub id: ExchangeId,
    pub client: IpAddr,
    /// The address that the client reached.
    pub listener: SocketAddr,
    /// The name that the client asked for, if TLS was spoken and we looked.
    pub sni: Option<&'a str>,
    /// Why it was not carried, or ended before both sides were done.
    pub reason: Option<&'a str>,
    /// The subject of the client's certificate; in JSON only, as it may be long.
    pub client_cert: Option<&'a str>,
    pub upstream: Option<&'a str>,
    /// Address of the server that took it, or of the last that was tried.
    pub server: Option<&'a str>,
    pub total: Duration,
    /// For making the connection to the server.
    pub connect: Option<Duration>,
    /// Bytes from the client.
    pub received: u64,
    /// Bytes to the client.
    pub sent: u64,
    /// Names that begin with `log.` are written.
    pub attributes: &'a [(ByteString, ByteString)],
}

impl TunnelEntry<'_> {
    fn names(&self) -> impl Iterator<Item = (Field, &str)> {
        let all = [(Field::Sni, self.sni), (Field::Upstream, self.upstream), (Field::Server, self.server)];
        all.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }

    fn cost(&self) -> Cost {
        Cost { total: self.total, part: (Field::Connect, self.connect), received: self.received, sent: self.sent }
    }
}

impl Line for TunnelEntry<'_> {
    const EVENT: &'static str = "portcullis.tunnel";

    fn id(&self) -> ExchangeId {
        self.id
    }

    fn matters(&self) -> bool {
        self.reason.is_some()
    }

    fn text(&self, out: &mut Vec<u8>, time: &str, rules: &AccessRules) {
        print(out, format_args!("{time} {:016x} {} TCP {} ", self.id.0, self.client, self.listener));
        word(out, self.reason.unwrap_or_default());
        words(out, self.names().map(|(field, value)| (Vocabulary::Ours.name(field), value)));
        self.cost().text(out);
        words(out, logged(self.attributes, rules));
        out.push(b'\n');
    }

    fn json(&self, out: &mut Vec<u8>, time: &str, terms: Vocabulary, rules: &AccessRules) {
        terms.text(out, Field::Time, time);
        terms.event(out, self.matters(), true);
        print(
            out,
            format_args!(",\"{}\":\"{:016x}\",\"{}\":\"{}\"", terms.name(Field::Id), self.id.0, terms.name(Field::Client), self.client),
        );
        let protocol = match terms {
            Vocabulary::Ours => "\"protocol\":\"TCP\"",
            Vocabulary::Ecs | Vocabulary::Otel => "\"network.transport\":\"tcp\"",
        };
        print(out, format_args!(",{protocol},\"{}\":\"{}\"", terms.name(Field::Listener), self.listener));
        let more = self.client_cert.map(|subject| (Field::ClientCert, subject));
        terms.texts(out, self.reason.map(|reason| (Field::Reason, reason)).into_iter().chain(self.names()).chain(more));
        self.cost().json(out, terms);
        logged(self.attributes, rules).for_each(|(name, value)| terms.attribute(out, name, value));
        out.extend_from_slice(b"}\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> TunnelEntry<'static> {
        TunnelEntry {
            id: ExchangeId(0x1a2b),
            client: [192, 0, 2, 7].into(),
            listener: ([10, 0, 0, 1], 5432).into(),
            sni: None,
            reason: None,
            client_cert: None,
            upstream: Some("pg"),
            server: Some("10.0.0.2:5432"),
            total: Duration::from_micros(1500),
            connect: Some(Duration::from_micros(250)),
            received: 7,
            sent: 12,
            attributes: &[],
        }
    }

    fn both(entry: &TunnelEntry<'_>) -> (String, serde_json::Value) {
        let (mut text, mut json) = (Vec::new(), Vec::new());
        let rules = AccessRules::default();
        entry.text(&mut text, "T", &rules);
        entry.json(&mut json, "T", Vocabulary::Ours, &rules);
        (String::from_utf8(text).expect("UTF-8"), serde_json::from_slice(&json).expect("JSON"))
    }

    #[test]
    fn a_tunnel_is_one_line() {
        let (text, json) = both(&entry());
        let expected = "T 0000000000001a2b 192.0.2.7 TCP 10.0.0.1:5432 - upstream=pg server=10.0.0.2:5432 total=1.500ms \
                        connect=0.250ms in=7 out=12\n";
        assert_eq!(text, expected);
        let expected = serde_json::json!({
            "time": "T", "id": "0000000000001a2b", "client": "192.0.2.7", "protocol": "TCP", "listener": "10.0.0.1:5432", "upstream": "pg",
            "server": "10.0.0.2:5432", "total_ms": 1.5, "connect_ms": 0.25, "in": 7, "out": 12,
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn a_refused_connection_says_why_and_for_whom() {
        let refused =
            TunnelEntry { sni: Some("a.b\nforged"), reason: Some("no_sni_match"), upstream: None, server: None, connect: None, ..entry() };
        let (text, json) = both(&refused);
        assert!(text.contains(" TCP 10.0.0.1:5432 no_sni_match sni=") && text.matches('\n').count() == 1, "{text}");
        assert_eq!((&json["reason"], &json["sni"], json.get("upstream")), (&"no_sni_match".into(), &"a.b\nforged".into(), None));
    }
}
