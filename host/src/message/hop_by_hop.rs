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

/// Fixed by their names; `Connection` itself last, since it lists others.
const BY_NAME: [HeaderName; 6] = [
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::UPGRADE,
    header::EXPECT,
];

/// Whether a field of this name (lower case) is for this connection only, or framing, whatever `Connection` lists. `Expect` is: the
/// listening wall has answered it with 100 when the body is asked for (RFC 9110, section 10.1.1).
pub(super) fn is_named(name: &str) -> bool {
    matches!(
        name,
        "connection" | "content-length" | "transfer-encoding" | "keep-alive" | "te" | "trailer" | "upgrade" | "proxy-connection" | "expect"
    )
}

/// Whether [`remove`] would find anything.
pub fn is_in(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| is_named(name.as_str()))
}

/// Takes every field out that is only for this connection, and framing.
pub fn remove(headers: &mut HeaderMap) -> Removed {
    let listed = listed_by_connection(headers);
    let upgrade = headers.get(header::UPGRADE).filter(|_| listed.contains(&header::UPGRADE)).cloned();
    let te_trailers = headers.get_all(header::TE).iter().any(welcomes_trailers);
    let trailer = headers.remove(header::TRAILER);
    let content_length = headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::TE);
    for name in &BY_NAME {
        headers.remove(name);
    }
    for name in listed.iter().filter(|name| **name != header::HOST) {
        headers.remove(name);
    }
    Removed { upgrade, te_trailers, trailer, content_length }
}

/// The connection options that can be field names. `close` is left out: no field is called so, and it is frequent.
fn listed_by_connection(headers: &HeaderMap) -> SmallVec<[HeaderName; 4]> {
    let options = headers.get_all(header::CONNECTION).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    options.map(<[u8]>::trim_ascii).filter(|option| !option.is_empty()).filter_map(|option| HeaderName::from_bytes(option).ok()).collect()
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
            assert_eq!(is_in(&headers), handed_back != none() || given != stays, "{given:?}");
            assert_eq!((remove(&mut headers), headers), (handed_back, fields(stays)), "{given:?}");
        }
    }
}
