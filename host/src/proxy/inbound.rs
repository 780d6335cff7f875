//! From what came off the wire to what links and origins may believe: target and host in normal form, fields of the connection
//! removed, the client told apart from the peer. Refuses what is ambiguous.

use super::Snapshot;
use super::failure::Failure;
use super::snapshot::ClientCertEntry;
use crate::config::{ClientCertForward, Peers};
use crate::message::authority::{self, BadHost};
use crate::message::client_identity;
use crate::message::forwarded::{self, Provenance};
use crate::message::hop_by_hop;
use crate::message::survey::{Survey, remove_odd_names};
use crate::message::{Connection, Interim, Malformed, Received, RequestHead, Scheme, target};
use bytestring::ByteString;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Version};
use std::net::IpAddr;

/// A request that can be trusted as far as that goes.
#[derive(Debug)]
pub(super) struct Inbound {
    pub head: RequestHead,
    pub client: IpAddr,
    /// 0 where only a trusted peer knows it.
    pub client_port: u16,
    pub version: Version,
    /// The protocol that the client wants to switch to (RFC 9110, section 7.8).
    pub upgrade: Option<HeaderValue>,
    /// What goes on to the origin past the links, which must not see it.
    pub past: Past,
    /// What may be said to the client before the response.
    pub interim: Interim,
}

impl Inbound {
    /// Says who the client is, if the site wants its origins to know.
    pub fn introduce(&mut self, connection: &Connection, client: Option<ClientCertEntry>) {
        let Some(forward) = client.and_then(|client| client.forward) else { return };
        let auth = connection.tls.as_ref().and_then(|tls| tls.client.as_ref());
        if let Some(identity) = auth.and_then(|auth| auth.identity.as_ref()) {
            match forward {
                ClientCertForward::Rfc9440 => identity.write_rfc9440(&mut self.head.headers),
                ClientCertForward::Xfcc => identity.write_xfcc(&mut self.head.headers),
            }
        }
    }
}

/// Fields that the contract hides from links.
#[derive(Debug, Default)]
pub(super) struct Past {
    pub te_trailers: bool,
    pub trailer: Option<HeaderValue>,
}

/// Cleans a request; the body is untouched.
pub(super) fn clean<B>(received: Received<B>, connection: &Connection, snapshot: &Snapshot) -> Result<(Inbound, B), Failure> {
    let Received { method, target, version, mut headers, body, interim } = received;
    let scheme = if connection.tls.is_some() { Scheme::Https } else { Scheme::Http };
    refuse_method(&method, &mut headers)?;
    let survey = Survey::of(&headers);
    let (authority, host) = authority(target.authority, &mut headers, version, connection, scheme)?;
    let (path, query) = path(&method, target.path_and_query)?;
    if survey.odd {
        remove_odd_names(&mut headers, &snapshot.limits.odd_header_names);
    }
    if survey.client_cert {
        client_identity::remove_claims(&mut headers);
    }
    // Before the fields that `Connection` lists are removed: it must not be able to list a trusted proxy's word away.
    let Peers { networks, unix } = &snapshot.trusted_proxies;
    let from = forwarded::take(&mut headers, survey, connection.peer, connection.unix.then_some(*unix), networks);
    let removed = hop_by_hop::remove(&mut headers, survey.hop_by_hop);
    if removed.upgrade.is_some() {
        // Goes with `Upgrade: h2c`, and is listed by `Connection` if the client is honest.
        headers.remove("http2-settings");
    }
    forwarded::write(&mut headers, &from, scheme, host);
    let Provenance { client, port: client_port, .. } = from;
    let head = RequestHead { method, scheme, authority, path, query, headers };
    // Over HTTP/2, `listen` makes one of an extended CONNECT; no client can.
    let upgrade = removed.upgrade.filter(|upgrade| version != Version::HTTP_10 && !carries_requests(upgrade));
    let past = Past { te_trailers: removed.te_trailers, trailer: removed.trailer };
    Ok((Inbound { head, client, client_port, version, upgrade, past, interim }, body))
}

/// CONNECT is for proxies that clients choose; TRACE would show the client what we and others before us added. Counts
/// `Max-Forwards` of OPTIONS down (RFC 9110, section 7.6.2).
fn refuse_method(method: &Method, headers: &mut HeaderMap) -> Result<(), Failure> {
    match *method {
        Method::CONNECT | Method::TRACE => Err(Failure::Method(method.clone())),
        Method::OPTIONS => match max_forwards(headers) {
            Some(0) => Err(Failure::LastHop),
            Some(left) => {
                headers.insert(header::MAX_FORWARDS, HeaderValue::from(left - 1));
                Ok(())
            }
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Whether a protocol of an `Upgrade` field would carry requests that no route and no link sees: HTTP itself, in the clear (`h2c`) or
/// inside TLS (RFC 2817). The client must do without, which RFC 9110, section 7.8, lets any server ask of it.
fn carries_requests(upgrade: &HeaderValue) -> bool {
    let protocols = upgrade.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let names = protocols.map(|protocol| protocol.split(|byte| *byte == b'/').next().unwrap_or_default().trim_ascii());
    let mut names = names.map(<[u8]>::to_ascii_lowercase);
    names.any(|name| matches!(&*name, b"h2c" | b"h2" | b"http" | b"tls"))
}

fn max_forwards(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::MAX_FORWARDS)?.to_str().ok()?.parse().ok()
}

/// The authority in normal form and as a field value. An absolute-form target wins over `Host` (RFC 9112, section 3.2.2); HTTP/1.0
/// without either gets the address it came to (section 3.3).
fn authority(
    named: Option<ByteString>,
    headers: &mut HeaderMap,
    version: Version,
    connection: &Connection,
    scheme: Scheme,
) -> Result<(ByteString, HeaderValue), Failure> {
    let host = headers.remove(header::HOST);
    let given = match (named, &host) {
        (Some(authority), _) => authority,
        (None, Some(host)) => host.to_str().map_err(|_| BadHost)?.into(),
        (None, None) if version == Version::HTTP_10 => connection.local.to_string().into(),
        (None, None) => return Err(Malformed::Host.into()),
    };
    let normal = authority::normalise(given, scheme)?;
    let value = match host {
        Some(host) if host == *normal => host,
        // Cannot fail: an authority has no byte that a field value must not have.
        _ => HeaderValue::from_maybe_shared(normal.as_bytes().clone()).map_err(|_| BadHost)?,
    };
    Ok((normal, value))
}

fn path(method: &Method, sent: ByteString) -> Result<(ByteString, Option<ByteString>), Failure> {
    if sent == "*" && *method == Method::OPTIONS {
        return Ok((sent, None));
    }
    Ok(target::normalise(sent)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::message::{Target, TlsFacts, TlsVersion, fields};

    fn connection(tls: bool) -> Connection {
        let tls = tls.then_some(TlsFacts { version: TlsVersion::V1_3, sni: None, alpn: crate::message::Alpn::None, client: None });
        let address = |text: &str| text.parse().expect("an address");
        Connection { tls, ..Connection::new(address("192.0.2.7:5000"), address("192.0.2.1:8080")) }
    }

    fn received(method: &str, authority: Option<&str>, target: &str, headers: &[(&str, &str)]) -> Received<()> {
        Received {
            method: method.parse().expect("a method"),
            target: Target { authority: authority.map(Into::into), path_and_query: target.into() },
            version: Version::HTTP_11,
            headers: fields(headers),
            body: (),
            interim: Interim::NOBODY,
        }
    }

    fn pass(received: Received<()>) -> Result<Inbound, &'static str> {
        let snapshot = Snapshot::new(1, &Config::default(), |_| 0);
        clean(received, &connection(false), &snapshot).map(|(inbound, ())| inbound).map_err(|failure| failure.token())
    }

    #[test]
    fn request_is_normalised_and_cleaned() {
        let sent = [
            ("host", "App.test:80"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("x_odd", "1"),
            ("accept", "*/*"),
            ("x-forwarded-for", "6.6.6.6"),
        ];
        let inbound = pass(received("GET", None, "/a/../%62?q", &sent)).expect("sound");
        let RequestHead { authority, path, query, headers, .. } = inbound.head;
        assert_eq!((&*authority, &*path, query.as_deref()), ("app.test", "/b", Some("q")));
        let expected = [
            ("accept", "*/*"),
            ("x-forwarded-for", "192.0.2.7"),
            ("forwarded", "for=192.0.2.7;host=app.test;proto=http"),
            ("x-forwarded-proto", "http"),
            ("x-forwarded-host", "app.test"),
        ];
        assert_eq!(headers, fields(&expected));
    }

    #[test]
    fn connection_cannot_list_away_what_the_proxy_adds() {
        let sent = [("host", "a.test"), ("connection", "x-forwarded-for, forwarded, x-forwarded-host, host")];
        let headers = pass(received("GET", None, "/", &sent)).expect("sound").head.headers;
        assert_eq!(headers["x-forwarded-for"], "192.0.2.7");
        assert_eq!(headers["x-forwarded-host"], "a.test");
    }

    #[test]
    fn absolute_form_wins_over_host() {
        let inbound = pass(received("GET", Some("B.test"), "/", &[("host", "a.test")])).expect("sound");
        assert_eq!((&*inbound.head.authority, &inbound.head.headers["x-forwarded-host"]), ("b.test", &HeaderValue::from_static("b.test")));
    }

    #[test]
    fn missing_host_is_refused_but_not_of_http_1_0() {
        assert_eq!(pass(received("GET", None, "/", &[])).err(), Some("bad_host"));
        let old = Received { version: Version::HTTP_10, ..received("GET", None, "/", &[]) };
        assert_eq!(pass(old).map(|inbound| inbound.head.authority), Ok("192.0.2.1:8080".into()));
    }

    #[test]
    fn methods_that_are_not_for_a_gateway_are_refused() {
        assert_eq!(pass(received("CONNECT", Some("a:1"), "", &[])).err(), Some("method_refused"));
        assert_eq!(pass(received("TRACE", None, "/", &[("host", "a")])).err(), Some("method_refused"));
    }

    #[test]
    fn options_counts_forwards_down() {
        let options = |hops| pass(received("OPTIONS", None, "*", &[("host", "a"), ("max-forwards", hops)]));
        assert_eq!(options("0").err(), Some("last_hop"));
        let head = options("3").expect("sound").head;
        assert_eq!((&*head.path, &head.headers["max-forwards"]), ("*", &HeaderValue::from_static("2")));
        assert_eq!(pass(received("GET", None, "*", &[("host", "a")])).err(), Some("bad_target"));
    }

    #[test]
    fn an_upgrade_to_what_carries_requests_is_not_passed_on() {
        for protocol in ["h2c", "H2C", "websocket, h2c", "h2c,websocket", "HTTP/2.0", "TLS/1.2", "h2"] {
            let sent = [("host", "a"), ("connection", "upgrade"), ("upgrade", protocol), ("http2-settings", "AAMAAABk")];
            assert_eq!(pass(received("GET", None, "/", &sent)).expect("sound").upgrade, None, "{protocol}");
        }
    }

    #[test]
    fn upgrade_is_kept_aside_on_http_1_1_only() {
        let sent = [("host", "a"), ("connection", "upgrade"), ("upgrade", "websocket")];
        let inbound = pass(received("GET", None, "/", &sent)).expect("sound");
        assert_eq!(inbound.upgrade, Some(HeaderValue::from_static("websocket")));
        assert!(!inbound.head.headers.contains_key("upgrade"));
        let old = Received { version: Version::HTTP_10, ..received("GET", None, "/", &sent) };
        assert_eq!(pass(old).expect("sound").upgrade, None);
    }
}
