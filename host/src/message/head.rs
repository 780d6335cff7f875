//! Heads as the chain sees them: normalised, without hop-by-hop fields.

use super::authority;
use bytestring::ByteString;
use http::{HeaderMap, Method, StatusCode};

/// How the client reached the proxy (RFC 9110, section 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// A request's control data and fields after `proxy/inbound.rs` has cleaned them (RFC 9110, section 6.2).
#[derive(Debug, Clone)]
pub struct RequestHead {
    pub method: Method,
    pub scheme: Scheme,
    /// Host and port, lower case, without a default port. Not repeated in `headers`; `upstream` writes it as `Host`.
    pub authority: ByteString,
    /// Absolute and in normal form (RFC 3986, section 6.2.2), or `*` for `OPTIONS *`.
    pub path: ByteString,
    /// Without the `?`.
    pub query: Option<ByteString>,
    /// Without hop-by-hop and framing fields and without `Host`.
    pub headers: HeaderMap,
}

impl RequestHead {
    /// The URL of the same resource over TLS; `OPTIONS *` has none, so the root of its site.
    pub fn secure_location(&self, https_port: u16) -> String {
        let mut location = format!("https://{}", authority::host(&self.authority));
        if https_port != authority::default_port(Scheme::Https) {
            location += &format!(":{https_port}");
        }
        location += if self.path == "*" { "/" } else { &self.path };
        if let Some(query) = &self.query {
            location += "?";
            location += query;
        }
        location
    }
}

/// A response's status and fields, without hop-by-hop and framing fields.
#[derive(Debug, Clone)]
pub struct ResponseHead {
    pub status: StatusCode,
    pub headers: HeaderMap,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_tls_with_the_listener_s_port_and_the_query() {
        for (authority, path, query, port, location) in [
            ("a.test", "/x", None, 443, "https://a.test/x"),
            ("a.test:8080", "/x", Some("y=1"), 8443, "https://a.test:8443/x?y=1"),
            ("[::1]:8080", "*", None, 443, "https://[::1]/"),
        ] {
            let query = query.map(ByteString::from);
            let (method, scheme, headers) = (Method::GET, Scheme::Http, HeaderMap::new());
            let head = RequestHead { method, scheme, authority: authority.into(), path: path.into(), query, headers };
            assert_eq!(head.secure_location(port), location);
        }
    }
}
