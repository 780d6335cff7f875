//! Who the client is and how it came, told from hop to hop: `X-Forwarded-For`, `-Proto`, `-Host` and `Forwarded` (RFC 7239).
//!
//! What a client says of itself is removed, unless it is a trusted proxy; then its list of addresses is believed from the right up to the
//! first address that is not a trusted proxy, which is the client's. One list is believed, never two: if there is an
//! `X-Forwarded-For`, `Forwarded` is made anew from it, because a trusted proxy that writes only one of them passes the other through as the
//! client forged it.

use super::Scheme;
use super::survey::Survey;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// A list while it is made.
type Text = Vec<u8>;

/// What the fields of a request say about its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// Of the client: the peer, or whom a trusted peer names. IPv4-mapped addresses are IPv4.
    pub client: IpAddr,
    /// 0 if the client is not the peer.
    pub port: u16,
    /// Of the peer, for the next hop.
    peer: IpAddr,
    /// What a trusted peer said before us.
    before: Option<Box<Before>>,
}

/// Both lists without the peer itself, in the order of the hops.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Before {
    x_forwarded_for: Text,
    forwarded: Text,
}

/// Reads who the client is, and removes what an untrusted peer must not say. Fields that a trusted peer may say stay, for
/// [`write()`] to extend.
///
/// `peer_trusted`: the peer has no address of its own (a Unix socket), and this is said of it; otherwise its address decides.
pub fn take(headers: &mut HeaderMap, survey: Survey, peer: SocketAddr, peer_trusted: Option<bool>, trusted: &[IpNet]) -> Provenance {
    let address = peer.ip().to_canonical();
    let direct = Provenance { client: address, port: peer.port(), peer: address, before: None };
    if !survey.forwarded {
        return direct;
    }
    if !peer_trusted.unwrap_or_else(|| is_trusted(address, trusted)) {
        remove_all(headers);
        return direct;
    }
    let lines = |name: HeaderName| joined(headers, &name);
    let (hops, before) = match (lines(FOR), lines(header::FORWARDED)) {
        (Some(text), _) => {
            let hops: Vec<_> = text.split(|byte| *byte == b',').map(node).collect();
            let forwarded = hops.iter().copied().fold(Text::new(), element);
            (hops, Before { x_forwarded_for: text, forwarded })
        }
        // Behind a quote that never ends, our own element would be part of another.
        (None, Some(text)) if is_balanced(&text) => {
            let hops = forwarded_hops(&text);
            let x_forwarded_for = hops.iter().copied().fold(Text::new(), append_address);
            (hops, Before { x_forwarded_for, forwarded: text })
        }
        (None, _) => return direct,
    };
    match rightmost_untrusted(&hops, trusted) {
        Some(client) => Provenance { client, port: 0, before: Some(Box::new(before)), ..direct },
        None => Provenance { before: Some(Box::new(before)), ..direct },
    }
}

/// Adds the peer to both lists, and says how it reached us unless a trusted peer said so for the client. `host` is the authority as a
/// field value.
pub fn write(headers: &mut HeaderMap, from: &Provenance, scheme: Scheme, host: HeaderValue) {
    let peer = AddressText::new(from.peer);
    let (x_forwarded_for, before) = match &from.before {
        None => (HeaderValue::from_bytes(peer.as_bytes()), Text::new()),
        Some(before) => (HeaderValue::try_from(append_address(before.x_forwarded_for.clone(), Some(from.peer))), before.forwarded.clone()),
    };
    let forwarded = HeaderValue::from_bytes(&last_element(before, from.peer, &peer, host.as_bytes(), scheme));
    // Both are made of what was a field value before and of addresses, so they are valid.
    if let (Ok(list), Ok(elements)) = (x_forwarded_for, forwarded) {
        headers.insert(FOR, list);
        headers.insert(header::FORWARDED, elements);
    }
    // After `take`, these are here only if a trusted peer sent them.
    headers.entry(PROTO).or_insert_with(|| HeaderValue::from_static(scheme.as_str()));
    headers.entry(HOST).or_insert(host);
}

fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|net| net.contains(&address))
}

/// Everything under `X-Forwarded-`, since names beyond the usual ones (`-Port`, `-Prefix`, `-User`, `-Client-Cert` …) are claims of
/// the same kind.
fn remove_all(headers: &mut HeaderMap) {
    let claims = |name: &&HeaderName| matches!(name.as_str(), "forwarded" | "x-real-ip") || name.as_str().starts_with("x-forwarded-");
    let named: Vec<_> = headers.keys().filter(claims).cloned().collect();
    for name in named {
        headers.remove(name);
    }
}

/// All lines of a field as one list (RFC 9110, section 5.3). `None`: no line.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<Text> {
    let mut lines = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let first = lines.next()?.into();
    Some(lines.fold(first, |mut list, line| {
        list.extend_from_slice(b", ");
        list.extend_from_slice(line);
        list
    }))
}

/// An address as lists name it, with or without a port, brackets and quotes. `None`: `unknown`, a pseudonym, or nothing known.
fn node(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim().trim_matches('"');
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    if let Ok(socket) = text.parse::<SocketAddr>() {
        return Some(socket.ip().to_canonical());
    }
    let inside = text.strip_prefix('[')?.strip_suffix(']')?;
    inside.parse::<Ipv6Addr>().ok().map(|address| IpAddr::V6(address).to_canonical())
}

/// The client, given the hops before the peer. An unknown hop ends the search: what stands before it cannot be believed.
fn rightmost_untrusted(hops: &[Option<IpAddr>], trusted: &[IpNet]) -> Option<IpAddr> {
    let mut client = None;
    for hop in hops.iter().rev() {
        client = Some((*hop)?).or(client);
        if hop.is_some_and(|hop| !is_trusted(hop, trusted)) {
            break;
        }
    }
    client
}

/// The `for` parameter of each element of `Forwarded`. Separators inside quotes do not count.
fn forwarded_hops(text: &[u8]) -> Vec<Option<IpAddr>> {
    split_unquoted(text, b',')
        .map(|element| {
            split_unquoted(element, b';').find_map(|pair| {
                let at = memchr::memchr(b'=', pair)?;
                let (name, value) = pair.split_at_checked(at)?;
                name.trim_ascii().eq_ignore_ascii_case(b"for").then(|| node(value.get(1..)?)).flatten()
            })
        })
        .collect()
}

fn split_unquoted(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut quotes = Quotes::default();
    text.split(move |byte| !quotes.pass(*byte) && *byte == separator)
}

/// Whether every quoted string ends.
fn is_balanced(text: &[u8]) -> bool {
    let mut quotes = Quotes::default();
    for byte in text {
        quotes.pass(*byte);
    }
    !quotes.open
}

/// Keeps track of quoted strings (RFC 9110, section 5.6.4).
#[derive(Default)]
struct Quotes {
    open: bool,
    escaped: bool,
}

impl Quotes {
    /// Whether the next byte is within quotes.
    fn pass(&mut self, byte: u8) -> bool {
        let escaped = self.escaped;
        self.escaped = self.open && !escaped && byte == b'\\';
        self.open ^= byte == b'"' && !escaped;
        self.open
    }
}

fn append_address(mut list: Text, address: Option<IpAddr>) -> Text {
    if !list.is_empty() {
        list.extend_from_slice(b", ");
    }
    match address {
        None => list.extend_from_slice(b"unknown"),
        Some(address) => list.extend_from_slice(AddressText::new(address).as_bytes()),
    }
    list
}

/// One element of `Forwarded` for a hop before the last, of which only the address is known.
fn element(mut list: Text, hop: Option<IpAddr>) -> Text {
    match hop {
        None if list.is_empty() => list.extend_from_slice(b"for=unknown"),
        None => list.extend_from_slice(b", for=unknown"),
        Some(hop) => push_node(&mut list, hop, &AddressText::new(hop)),
    }
    list
}

/// The element of the peer.
fn last_element(mut list: Text, peer: IpAddr, address: &AddressText, host: &[u8], scheme: Scheme) -> Text {
    list.reserve(48 + host.len());
    push_node(&mut list, peer, address);
    // A token needs no quotes; in an authority, only colons and brackets are not token characters.
    let quote: &[u8] = if memchr::memchr2(b':', b'[', host).is_some() { b"\"" } else { b"" };
    for part in [b";host=", quote, host, quote, b";proto=", scheme.as_str().as_bytes()] {
        list.extend_from_slice(part);
    }
    list
}

fn push_node(list: &mut Text, hop: IpAddr, address: &AddressText) {
    let separator: &[u8] = if list.is_empty() { b"" } else { b", " };
    let (open, close): (&[u8], &[u8]) = if hop.is_ipv6() { (b"for=\"[", b"]\"") } else { (b"for=", b"") };
    for part in [separator, open, address.as_bytes(), close] {
        list.extend_from_slice(part);
    }
}

/// An address as text, on the stack.
struct AddressText {
    bytes: [u8; Self::LONGEST],
    used: usize,
}

impl AddressText {
    const LONGEST: usize = "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255".len();

    fn new(address: IpAddr) -> Self {
        let mut text = Self { bytes: [0; Self::LONGEST], used: 0 };
        match address {
            IpAddr::V4(address) => text.push_v4(address),
            IpAddr::V6(address) => address.to_string().bytes().for_each(|byte| text.push(byte)),
        }
        text
    }

    /// By hand, because the formatter costs as much as the rest of this file on the usual path.
    fn push_v4(&mut self, address: Ipv4Addr) {
        for (index, octet) in address.octets().into_iter().enumerate() {
            if index > 0 {
                self.push(b'.');
            }
            if octet >= 100 {
                self.push(b'0' + octet / 100);
            }
            if octet >= 10 {
                self.push(b'0' + octet / 10 % 10);
            }
            self.push(b'0' + octet % 10);
        }
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.used) {
            *place = byte;
            self.used += 1;
        }
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::fields;

    /// Runs both halves for a peer at 10.0.0.1 with 10.0.0.0/8 and fd00::/8 trusted, or nobody.
    fn pass(lines: &[(&str, &str)], trusted: bool) -> (String, HeaderMap) {
        let nets: Vec<IpNet> =
            if trusted { vec!["10.0.0.0/8".parse().expect("a net"), "fd00::/8".parse().expect("a net")] } else { vec![] };
        let mut headers = fields(lines);
        let survey = Survey::of(&headers);
        let from = take(&mut headers, survey, "10.0.0.1:4000".parse().expect("an address"), None, &nets);
        write(&mut headers, &from, Scheme::Https, HeaderValue::from_static("app.test"));
        (format!("{}:{}", from.client, from.port), headers)
    }

    fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
        headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    #[test]
    fn all_is_said_of_a_direct_client() {
        let (client, headers) = pass(&[("accept", "*/*")], false);
        assert_eq!(client, "10.0.0.1:4000");
        let expected = [
            ("accept", "*/*"),
            ("x-forwarded-for", "10.0.0.1"),
            ("forwarded", "for=10.0.0.1;host=app.test;proto=https"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "app.test"),
        ];
        assert_eq!(headers, fields(&expected));
    }

    #[test]
    fn forged_fields_of_an_untrusted_peer_are_replaced() {
        let forged = [
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "2.2.2.2"),
            ("forwarded", "for=1.1.1.1"),
            ("x-real-ip", "1.1.1.1"),
            ("x-forwarded-proto", "ftp"),
            ("x-forwarded-host", "evil"),
            ("x-forwarded-port", "1"),
            ("x-forwarded-user", "root"),
        ];
        assert_eq!(pass(&forged, false), pass(&[], false));
    }

    #[test]
    fn client_is_the_rightmost_untrusted_address() {
        let cases = [
            ("1.2.3.4", "1.2.3.4:0"),
            ("6.6.6.6, 1.2.3.4", "1.2.3.4:0"),
            ("6.6.6.6, 1.2.3.4, 10.2.2.2", "1.2.3.4:0"),
            ("6.6.6.6, 1.2.3.4:5678,fd00::7", "1.2.3.4:0"),
            ("[2001:db8::1]:99, [fd00::1]", "2001:db8::1:0"),
            ("::ffff:1.2.3.4", "1.2.3.4:0"),
            ("10.9.9.9, 10.8.8.8", "10.9.9.9:0"),
            ("6.6.6.6, unknown", "10.0.0.1:4000"),
            ("6.6.6.6, nonsense, 10.2.2.2", "10.0.0.1:4000"),
            ("", "10.0.0.1:4000"),
        ];
        for (list, expected) in cases {
            assert_eq!(pass(&[("x-forwarded-for", list)], true).0, expected, "{list}");
        }
        for (list, expected) in [
            ("for=1.2.3.4", "1.2.3.4:0"),
            ("For=\"[2001:db8::1]:80\";proto=http, for=10.1.1.1;by=_x", "2001:db8::1:0"),
            ("for=6.6.6.6, for=\"a,b;for=10.0.0.9\"", "10.0.0.1:4000"),
            ("for=6.6.6.6, proto=http", "10.0.0.1:4000"),
        ] {
            assert_eq!(pass(&[("forwarded", list)], true).0, expected, "{list}");
        }
    }

    #[test]
    fn trusted_peer_s_list_is_extended_and_its_other_words_are_kept() {
        let (_, headers) = pass(
            &[
                ("x-forwarded-for", "1.2.3.4"),
                ("x-forwarded-for", "fd00::7"),
                ("x-forwarded-proto", "http"),
                ("x-forwarded-host", "outer.test"),
            ],
            true,
        );
        assert_eq!(text(&headers, "x-forwarded-for"), "1.2.3.4, fd00::7, 10.0.0.1");
        assert_eq!(text(&headers, "forwarded"), "for=1.2.3.4, for=\"[fd00::7]\", for=10.0.0.1;host=app.test;proto=https");
        assert_eq!((text(&headers, "x-forwarded-proto"), text(&headers, "x-forwarded-host")), ("http", "outer.test"));
    }

    #[test]
    fn forwarded_beside_x_forwarded_for_is_not_believed() {
        let (client, headers) = pass(&[("x-forwarded-for", "1.2.3.4"), ("forwarded", "for=6.6.6.6")], true);
        assert_eq!(client, "1.2.3.4:0");
        assert_eq!(text(&headers, "forwarded"), "for=1.2.3.4, for=10.0.0.1;host=app.test;proto=https");
        let (_, headers) = pass(&[("forwarded", "for=\"[2001:db8::1]\";proto=https")], true);
        assert_eq!(text(&headers, "x-forwarded-for"), "2001:db8::1, 10.0.0.1");
    }

    #[test]
    fn forwarded_with_an_open_quote_is_dropped() {
        for broken in ["for=\"1.2.3.4", "for=1.2.3.4, for=\"a\\\""] {
            assert_eq!(pass(&[("forwarded", broken)], true), pass(&[], true), "{broken}");
        }
    }

    #[test]
    fn addresses_and_hosts_with_colons_are_quoted() {
        let from = Provenance { client: Ipv6Addr::LOCALHOST.into(), port: 1, peer: Ipv6Addr::LOCALHOST.into(), before: None };
        let mut headers = HeaderMap::new();
        write(&mut headers, &from, Scheme::Http, HeaderValue::from_static("[::1]:8080"));
        assert_eq!(text(&headers, "forwarded"), "for=\"[::1]\";host=\"[::1]:8080\";proto=http");
        assert_eq!(text(&headers, "x-forwarded-for"), "::1");
    }

    #[test]
    fn addresses_are_written_as_the_formatter_would() {
        for octet in 0..=255 {
            let address = Ipv4Addr::new(octet, 255 - octet, 7, octet / 2);
            assert_eq!(AddressText::new(address.into()).as_bytes(), address.to_string().as_bytes());
        }
    }
}
