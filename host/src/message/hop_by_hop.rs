//! Fields that concern one connection only (RFC 9110, section 7.6.1), and framing (RFC 9112, section 6), taken out of a head in
//! either direction. The walls write their own; what has to go on to the next hop is handed back.
//!
//! `Proxy-Authenticate` and `Proxy-Authorization` stay: a gateway is not the proxy they speak to. `Host` is never taken out here,
//! whatever `Connection` lists.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

/// What was taken out and still matters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removed {
    /// The protocol of `Upgrade`, if `Connection` lists it too (RFC 9110, section 7.8).
    pub upgrade: Option<HeaderValue>,
    /// `TE` says that trailer fields are welcome (section 10.1.4).
    pub te_trailers: bool,
    /// Which fields the trailer section will have (section 6.6.2); trailers are passed on, so this is too, past the links.
    pub trailer: Option<HeaderValue>,
    /// Of a response without a body: to a HEAD request, or 304 (section 8.6). Its body cannot tell.
    pub content_length: Option<HeaderValue>,
}

/// Fields that are for one connection only, or framing, whatever `Connection` lists. `Expect` is: the listening wall has answered it with
/// 100 when the body is asked for (RFC 9110, section 10.1.1).
const NAMES: [HeaderName; 9] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    HeaderName::from_static("keep-alive"),
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    HeaderName::from_static("proxy-connection"),
    header::EXPECT,
];

/// Which of `NAMES` are in a head, so that removing costs as much as there is to remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Found(u16);

impl Found {
    /// Looks at every name.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        for name in headers.keys() {
            found.note(name.as_str());
        }
        found
    }

    /// Whether the name (lower case) is one of them.
    pub(super) fn note(&mut self, name: &str) -> bool {
        let place = match name {
            "connection" => 0,
            "content-length" => 1,
            "transfer-encoding" => 2,
            "keep-alive" => 3,
            "te" => 4,
            "trailer" => 5,
            "upgrade" => 6,
            "proxy-connection" => 7,
            "expect" => 8,
            _ => return false,
        };
        self.0 |= 1 << place;
        true
    }

    pub fn any(self) -> bool {
        self.0 != 0
    }

    fn has(self, place: usize) -> bool {
        self.0 >> place & 1 == 1
    }
}

/// Takes every field out that is only for this connection, and framing. `found` is of these headers.
pub fn remove(headers: &mut HeaderMap, found: Found) -> Removed {
    let mut removed = Removed::default();
    let listed = if found.has(0) { listed_by_connection(headers) } else { SmallVec::new() };
    for (place, name) in NAMES.iter().enumerate().filter(|(place, _)| found.has(*place)) {
        // Before the value goes, since `TE` may come in several lines.
        removed.te_trailers |= place == 4 && headers.get_all(name).iter().any(welcomes_trailers);
        let value = headers.remove(name);
        match place {
            1 => removed.content_length = value,
            5 => removed.trailer = value,
            6 => removed.upgrade = value.filter(|_| listed.contains(name)),
            _ => {}
        }
    }
    for name in listed.iter().filter(|name| **name != header::HOST) {
        headers.remove(name);
    }
    removed
}

/// The connection options that can be field names, without the two frequent ones: `Keep-Alive` goes anyway, and no field is called
/// `Close`.
fn listed_by_connection(headers: &HeaderMap) -> SmallVec<[HeaderName; 4]> {
    let options = headers.get_all(header::CONNECTION).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let options = options.map(<[u8]>::trim_ascii);
    let frequent = |option: &&[u8]| option.eq_ignore_ascii_case(b"keep-alive") || option.eq_ignore_ascii_case(b"close");
    options.filter(|option| !option.is_empty() && !frequent(option)).filter_map(|option| HeaderName::from_bytes(option).ok()).collect()
}

/// Whether a line of `TE` has the member `trailers` (without a weight; it takes none).
fn welcomes_trailers(line: &HeaderValue) -> bool {
    line.as_bytes().split(|byte| *byte == b',').any(|member| member.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::fields;

    /// A head, what stays of it, and what is handed back.
    type Case = (&'static [(&'static str, &'static str)], &'static [(&'static str, &'static str)], Removed);

    fn value(text: &'static str) -> Option<HeaderValue> {
        Some(HeaderValue::from_static(text))
    }

    #[test]
    fn names_stand_where_they_are_looked_for() {
        for (place, name) in NAMES.iter().enumerate() {
            assert_eq!(Found::of(&fields(&[(name.as_str(), "x")])), Found(1 << place), "{name}");
        }
    }

    #[test]
    fn connection_fields_go_and_others_stay() {
        let none = Removed::default;
        let cases: Vec<Case> = vec![
            (&[("accept", "*/*")], &[("accept", "*/*")], none()),
            (&[("connection", "close"), ("a", "1")], &[("a", "1")], none()),
            (&[("connection", "X-One , x-two"), ("x-one", "1"), ("x-two", "2"), ("x-three", "3")], &[("x-three", "3")], none()),
            (&[("connection", "x-one"), ("connection", "x-two"), ("x-one", "1"), ("x-two", "2")], &[], none()),
            (&[("connection", ",, not a token,"), ("a", "1")], &[("a", "1")], none()),
            (&[("keep-alive", "timeout=5"), ("proxy-connection", "keep-alive")], &[], none()),
            (&[("transfer-encoding", "chunked")], &[], none()),
            (&[("content-length", "5")], &[], Removed { content_length: value("5"), ..none() }),
            (&[("trailer", "digest")], &[], Removed { trailer: value("digest"), ..none() }),
            (&[("te", "gzip;q=0.5, Trailers")], &[], Removed { te_trailers: true, ..none() }),
            (&[("te", "gzip")], &[], none()),
            (&[("connection", "Upgrade"), ("upgrade", "websocket")], &[], Removed { upgrade: value("websocket"), ..none() }),
            (&[("upgrade", "h2c")], &[], none()),
            (&[("expect", "100-continue")], &[], none()),
            (&[("connection", "host"), ("host", "a")], &[("host", "a")], none()),
            (
                &[("proxy-authenticate", "Basic"), ("proxy-authorization", "x")],
                &[("proxy-authenticate", "Basic"), ("proxy-authorization", "x")],
                none(),
            ),
        ];
        for (given, stays, handed_back) in cases {
            let mut headers = fields(given);
            let found = Found::of(&headers);
            assert_eq!(found.any(), handed_back != none() || given != stays, "{given:?}");
            assert_eq!((remove(&mut headers, found), headers), (handed_back, fields(stays)), "{given:?}");
        }
    }
}
