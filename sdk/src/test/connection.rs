//! Connections as a test writes them, and what a plugin decided about them.

use super::Harness;
use super::apply::is_reserved;
use crate::abi::{Arena, Field, RawAcceptDecision, RawHelloDecision, Str, Strings, lower};
use crate::connection::{AcceptVerdict, Accepted, Attributes, ClientHello, Closed, ConnectionEdits, HelloVerdict};
use crate::plan::{AcceptInterest, CloseInterest, HelloInterest};
use crate::plugin::{OnAccept, OnClientHello, OnClose};
use std::borrow::Cow;
use std::net::SocketAddr;
use std::time::Duration;

/// A connection, its client hello and its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SentConnection {
    id: u64,
    peer: Option<SocketAddr>,
    local: Option<SocketAddr>,
    attributes: Vec<(String, String)>,
    sni: Option<String>,
    alpn: Vec<Vec<u8>>,
    versions: Vec<u16>,
    ciphers: Vec<u16>,
    ja4: String,
    raw: Vec<u8>,
    received: u64,
    sent: u64,
    duration: Duration,
    reason: String,
}

/// A connection from this address (`192.0.2.1:4000`), to `192.0.2.200:443`.
///
/// # Panics
/// If it is no address with a port.
#[track_caller]
pub fn connection(peer: &str) -> SentConnection {
    let peer = Some(peer.parse().unwrap_or_else(|_| panic!("{peer}: not an address with a port")));
    SentConnection { peer, local: Some(SocketAddr::from(([192, 0, 2, 200], 443))), ..unix_connection() }
}

/// A connection over a Unix socket, which has no addresses.
pub fn unix_connection() -> SentConnection {
    SentConnection {
        id: 1,
        peer: None,
        local: None,
        attributes: Vec::new(),
        sni: None,
        alpn: Vec::new(),
        versions: vec![0x0304, 0x0303],
        ciphers: vec![0x1301, 0x1302, 0x1303],
        ja4: String::new(),
        raw: Vec::new(),
        received: 0,
        sent: 0,
        duration: Duration::ZERO,
        reason: "done".to_owned(),
    }
}

impl SentConnection {
    /// Sets the number that ties its phases together.
    #[must_use]
    pub fn id(self, id: u64) -> Self {
        Self { id, ..self }
    }

    /// Sets the address that it came to.
    #[must_use]
    pub fn to(self, local: SocketAddr) -> Self {
        Self { local: Some(local), ..self }
    }

    /// Sets an attribute, such as `listener`, or one of a link before.
    #[must_use]
    pub fn attribute(mut self, name: &str, value: &str) -> Self {
        self.attributes.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the server's name in the client hello.
    #[must_use]
    pub fn sni(self, name: &str) -> Self {
        Self { sni: Some(name.to_owned()), ..self }
    }

    /// Sets the protocols in the client hello.
    #[must_use]
    pub fn alpn(self, protocols: &[&str]) -> Self {
        Self { alpn: protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect(), ..self }
    }

    /// Sets versions and cipher suites of the client hello.
    #[must_use]
    pub fn offers(self, versions: &[u16], ciphers: &[u16]) -> Self {
        Self { versions: versions.to_vec(), ciphers: ciphers.to_vec(), ..self }
    }

    /// Sets the fingerprint.
    #[must_use]
    pub fn ja4(self, ja4: &str) -> Self {
        Self { ja4: ja4.to_owned(), ..self }
    }

    /// Sets the client hello's bytes.
    #[must_use]
    pub fn raw(self, raw: &[u8]) -> Self {
        Self { raw: raw.to_vec(), ..self }
    }

    /// Sets how it ends.
    #[must_use]
    pub fn ends(self, received: u64, sent: u64, duration: Duration, reason: &str) -> Self {
        Self { received, sent, duration, reason: reason.to_owned(), ..self }
    }

    fn shown<T>(&self, asked: &[Cow<'static, str>], call: impl FnOnce(Attributes<'_>) -> T) -> T {
        let fields = self.attributes.iter().filter(|(name, _)| asked.iter().any(|asked| asked == name));
        let fields = fields.map(|(name, value)| Field { name: Str::of(name.as_bytes()), value: Str::of(value.as_bytes()) });
        call(Attributes { list: &fields.collect::<Vec<_>>(), asked })
    }

    /// With the attributes that were set, checked as the proxy does.
    fn with(mut self, set: &[Field<'_>]) -> Self {
        assert!(set.len() <= 64, "a fault: {} attributes, 64 are the most", set.len());
        for field in set {
            let (name, value) = (field.name(), field.text());
            let sound = !name.is_empty() && name.len() <= 256 && name.bytes().all(|byte| byte.is_ascii_graphic());
            assert!(sound, "a fault: {name:?} is not an attribute's name");
            assert!(!is_reserved(name), "a fault: the proxy sets the attribute {name:?} itself");
            self.attributes.retain(|(known, _)| known != name);
            self.attributes.push((name.to_owned(), value.to_owned()));
        }
        self
    }
}

/// What became of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionOutcome<V> {
    verdict: V,
    connection: SentConnection,
}

impl<V> ConnectionOutcome<V> {
    pub fn verdict(&self) -> &V {
        &self.verdict
    }

    /// An attribute after the call.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.connection.attributes.iter().find(|(set, _)| set == name).map(|(_, value)| &**value)
    }

    /// The connection with its attributes, for the next phase.
    pub fn connection(self) -> SentConnection {
        self.connection
    }
}

impl<P: OnAccept> Harness<P> {
    /// Shows an accepted connection to the plugin. Not called, like in the proxy, if its plan says so.
    ///
    /// # Panics
    /// If the decision would be a fault, or the plugin reads what it did not ask for.
    pub fn on_accept(&self, sent: SentConnection) -> ConnectionOutcome<AcceptVerdict> {
        let Some(interest) = &self.plan.accept else {
            return ConnectionOutcome { verdict: AcceptVerdict::Next, connection: sent };
        };
        let has = |bit| interest.fields & bit != 0;
        let arena = Arena::new();
        let mut edits = ConnectionEdits::new(&arena);
        let verdict = sent.shown(&interest.attributes, |attributes| {
            let accepted = Accepted {
                connection: if has(AcceptInterest::CONNECTION) { sent.id } else { 0 },
                peer: sent.peer.filter(|_| has(AcceptInterest::PEER)),
                local: sent.local.filter(|_| has(AcceptInterest::LOCAL)),
                attributes,
                asked: interest.fields,
            };
            self.plugin.on_accept(&accepted, &mut edits)
        });
        let RawAcceptDecision { attributes, .. } = lower::accept_decision(&arena, &verdict, edits.list.finish());
        ConnectionOutcome { verdict, connection: sent.with(attributes.items()) }
    }
}

impl<P: OnClientHello> Harness<P> {
    /// Shows a client hello to the plugin. Not called, like in the proxy, if its plan says so.
    ///
    /// # Panics
    /// If the decision would be a fault, or the plugin reads what it did not ask for.
    pub fn on_client_hello(&self, sent: SentConnection) -> ConnectionOutcome<HelloVerdict> {
        let Some(interest) = &self.plan.client_hello else {
            return ConnectionOutcome { verdict: HelloVerdict::Next, connection: sent };
        };
        let has = |bit| interest.fields & bit != 0;
        let arena = Arena::new();
        let mut edits = ConnectionEdits::new(&arena);
        let alpn: Vec<Str<'_>> = sent.alpn.iter().filter(|_| has(HelloInterest::ALPN)).map(|name| Str::of(name)).collect();
        let verdict = sent.shown(&interest.attributes, |attributes| {
            let hello = ClientHello {
                connection: if has(HelloInterest::CONNECTION) { sent.id } else { 0 },
                sni: sent.sni.as_deref().filter(|_| has(HelloInterest::SNI)),
                alpn: Strings::of(&alpn),
                versions: crate::abi::Numbers::of(if has(HelloInterest::VERSIONS) { &sent.versions } else { &[] }),
                ciphers: crate::abi::Numbers::of(if has(HelloInterest::CIPHERS) { &sent.ciphers } else { &[] }),
                ja4: if has(HelloInterest::JA4) { &sent.ja4 } else { "" },
                raw: if has(HelloInterest::RAW) { &sent.raw } else { &[] },
                attributes,
                asked: interest.fields,
            };
            self.plugin.on_client_hello(&hello, &mut edits)
        });
        let RawHelloDecision { attributes, .. } = lower::hello_decision(&arena, &verdict, edits.list.finish());
        ConnectionOutcome { verdict, connection: sent.with(attributes.items()) }
    }
}

impl<P: OnClose> Harness<P> {
    /// Tells the plugin of a connection's end. Not called, like in the proxy, if its plan says so.
    ///
    /// # Panics
    /// If the plugin reads what it did not ask for.
    pub fn on_close(&self, sent: &SentConnection) {
        let Some(interest) = &self.plan.close else { return };
        let has = |bit| interest.fields & bit != 0;
        let counted = |bytes| if has(CloseInterest::BYTES) { bytes } else { 0 };
        sent.shown(&interest.attributes, |attributes| {
            let closed = Closed {
                connection: if has(CloseInterest::CONNECTION) { sent.id } else { 0 },
                peer: sent.peer.filter(|_| has(CloseInterest::PEER)),
                received: counted(sent.received),
                sent: counted(sent.sent),
                duration: if has(CloseInterest::DURATION) { sent.duration.as_micros() as u64 } else { 0 },
                reason: if has(CloseInterest::REASON) { &sent.reason } else { "" },
                attributes,
                asked: interest.fields,
            };
            self.plugin.on_close(&closed);
        });
    }
}
