//! What the fields of access lines are called in JSON: by us, by the Elastic Common Schema (8.11), and by OpenTelemetry's semantic conventions (1.27). One
//! table, so that a field has a name in each.

use super::escape::quoted;
use super::parts::print;
use std::time::Duration;

/// Whose names are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vocabulary {
    Ours,
    Ecs,
    Otel,
}

/// A field of an access line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Time,
    Id,
    Client,
    ClientCert,
    Protocol,
    Scheme,
    Method,
    Host,
    Path,
    Query,
    Reason,
    Site,
    Route,
    Upstream,
    Server,
    /// What made it that one.
    Chosen,
    /// Servers that did not come into question.
    PassedOver,
    /// What was spoken with it.
    Spoken,
    /// Servers that were tried.
    Attempts,
    /// What went wrong on purpose.
    Injected,
    /// The upstream that got a copy.
    Mirror,
    Status,
    Total,
    /// Of an exchange: to the server's response head.
    First,
    /// Of a tunnel: until the server had accepted.
    Connect,
    Received,
    Sent,
    Listener,
    Sni,
    Links,
}

impl Field {
    /// Ours, ECS, OpenTelemetry. What these have no name for is under `portcullis.`, as both want it.
    const fn names(self) -> [&'static str; 3] {
        match self {
            Self::Time => ["time", "@timestamp", "timestamp"],
            Self::Id => ["id", "http.request.id", "portcullis.exchange.id"],
            Self::Client => ["client", "client.ip", "client.address"],
            Self::ClientCert => ["client_cert", "tls.client.subject", "tls.client.subject"],
            Self::Protocol => ["protocol", "http.version", "network.protocol.version"],
            Self::Scheme => ["scheme", "url.scheme", "url.scheme"],
            Self::Method => ["method", "http.request.method", "http.request.method"],
            Self::Host => ["host", "url.domain", "server.address"],
            Self::Path => ["path", "url.path", "url.path"],
            Self::Query => ["query", "url.query", "url.query"],
            Self::Reason => ["reason", "event.reason", "error.type"],
            Self::Site => ["site", "portcullis.site", "portcullis.site"],
            Self::Route => ["route", "portcullis.route", "http.route"],
            Self::Upstream => ["upstream", "portcullis.upstream", "portcullis.upstream"],
            Self::Server => ["server", "portcullis.server", "portcullis.server"],
            Self::Chosen => ["chosen", "portcullis.chosen", "portcullis.chosen"],
            Self::PassedOver => ["passed_over", "portcullis.passed_over", "portcullis.passed_over"],
            // Not below `upstream`, which is a name already: in Elasticsearch a field is either a text or an object.
            Self::Spoken => ["upstream_protocol", "portcullis.upstream_protocol", "portcullis.upstream_protocol"],
            Self::Attempts => ["attempts", "portcullis.attempts", "portcullis.attempts"],
            Self::Injected => ["injected", "portcullis.injected", "portcullis.injected"],
            Self::Mirror => ["mirror", "portcullis.mirror", "portcullis.mirror"],
            Self::Status => ["status", "http.response.status_code", "http.response.status_code"],
            Self::Total => ["total_ms", "event.duration", "http.server.request.duration"],
            Self::First => ["first_ms", "portcullis.first.duration", "http.client.request.duration"],
            Self::Connect => ["connect_ms", "portcullis.connect.duration", "portcullis.connect.duration"],
            Self::Received => ["in", "http.request.body.bytes", "http.request.body.size"],
            Self::Sent => ["out", "http.response.body.bytes", "http.response.body.size"],
            Self::Listener => ["listener", "portcullis.listener", "portcullis.listener"],
            Self::Sni => ["sni", "tls.client.server_name", "tls.client.server_name"],
            Self::Links => ["links", "portcullis.links", "portcullis.links"],
        }
    }
}

impl Vocabulary {
    pub(super) const fn name(self, field: Field) -> &'static str {
        let [ours, ecs, otel] = field.names();
        match self {
            Self::Ours => ours,
            Self::Ecs => ecs,
            Self::Otel => otel,
        }
    }

    /// `,"name":"value"`, but for the first of an object. Protocols and hosts are told in the way that is usual there.
    pub(super) fn text(self, out: &mut Vec<u8>, field: Field, value: &str) {
        out.push(if field == Field::Time { b'{' } else { b',' });
        let value = match (self, field) {
            (Self::Ours, _) => value,
            (_, Field::Protocol) => value.strip_prefix("HTTP/").unwrap_or(value),
            (_, Field::Host) => without_port(value),
            _ => value,
        };
        print(out, format_args!("\"{}\":", self.name(field)));
        quoted(out, value);
    }

    pub(super) fn texts<'a>(self, out: &mut Vec<u8>, pairs: impl Iterator<Item = (Field, &'a str)>) {
        pairs.for_each(|(field, value)| self.text(out, field, value));
    }

    pub(super) fn number(self, out: &mut Vec<u8>, field: Field, value: u64) {
        print(out, format_args!(",\"{}\":{value}", self.name(field)));
    }

    /// In milliseconds, in nanoseconds, in seconds.
    pub(super) fn time(self, out: &mut Vec<u8>, field: Field, value: Duration) {
        let name = self.name(field);
        match self {
            Self::Ours => print(out, format_args!(",\"{name}\":{:.3}", value.as_secs_f64() * 1000.0)),
            Self::Ecs => print(out, format_args!(",\"{name}\":{}", value.as_nanos())),
            Self::Otel => print(out, format_args!(",\"{name}\":{:.6}", value.as_secs_f64())),
        }
    }

    /// What ECS wants to know of every event. `network`: it was no HTTP.
    pub(super) fn event(self, out: &mut Vec<u8>, failed: bool, network: bool) {
        if self == Self::Ecs {
            let category = if network { "network" } else { "web" };
            let kind = if network { "connection" } else { "access" };
            let outcome = if failed { "failure" } else { "success" };
            print(out, format_args!(",\"ecs.version\":\"8.11.0\",\"event.kind\":\"event\",\"event.category\":[\"{category}\"]"));
            print(out, format_args!(",\"event.type\":[\"{kind}\"],\"event.outcome\":\"{outcome}\""));
        }
    }

    /// What links have set for the log: `log.tenant`, in ECS a label.
    pub(super) fn attribute(self, out: &mut Vec<u8>, name: &str, value: &str) {
        out.push(b',');
        match (self, name.strip_prefix("log.")) {
            (Self::Ecs, Some(rest)) => quoted(out, &format!("labels.{rest}")),
            _ => quoted(out, name),
        }
        out.push(b':');
        quoted(out, value);
    }
}

fn without_port(authority: &str) -> &str {
    let digits = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    authority
        .rsplit_once(':')
        .filter(|(host, port)| digits(port) && (host.ends_with(']') || !host.contains(':')))
        .map_or(authority, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_no_port() {
        for (authority, host) in [("a.test", "a.test"), ("a.test:8443", "a.test"), ("[::1]:8443", "[::1]"), ("[::1]", "[::1]")] {
            assert_eq!(without_port(authority), host);
        }
    }
}
