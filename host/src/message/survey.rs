//! One look over a head's field names: which kinds of special fields are in it, so that cleaning a head that has none costs
//! nothing more than the look. Decides nothing.

use super::hop_by_hop;
use http::HeaderMap;

/// Which cleaning a head needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Survey {
    /// Fields that concern this connection only, or framing.
    pub hop_by_hop: hop_by_hop::Found,
    /// There is a field that says who the client is (see [`super::forwarded`]).
    pub forwarded: bool,
    /// There is a field that says who the client is by its certificate (see [`super::client_identity`]).
    pub client_cert: bool,
    /// There is a name with `_` or `.` in it.
    pub odd: bool,
}

impl Survey {
    pub fn of(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        for name in headers.keys() {
            found.note(name.as_str());
        }
        found
    }

    /// Names are lower case already: [`http::HeaderName`] holds no others.
    fn note(&mut self, name: &str) {
        match name {
            // The usual ones first, and not looked at for odd characters.
            "host" | "accept" | "cookie" | "user-agent" | "accept-encoding" | "accept-language" | "content-type" | "referer" => {}
            _ if self.hop_by_hop.note(name) => {}
            "forwarded" | "x-real-ip" => self.forwarded = true,
            "client-cert" | "client-cert-chain" => self.client_cert = true,
            _ if name.starts_with("x-forwarded-") => {
                self.client_cert |= name == "x-forwarded-client-cert";
                self.forwarded = true;
                self.odd |= is_odd(name);
            }
            _ => self.odd |= is_odd(name),
        }
    }
}

/// Whether a field name has characters that some origins take for `-` (CGI's `HTTP_X_USER` is `X-User` as well as `X_User`).
fn is_odd(name: &str) -> bool {
    memchr::memchr2(b'_', b'.', name.as_bytes()).is_some()
}

/// Removes every field whose name has `_` or `.` in it, unless `allowed` lists it (lower case).
pub fn remove_odd_names(headers: &mut HeaderMap, allowed: &[String]) {
    let odd: Vec<_> =
        headers.keys().filter(|name| is_odd(name.as_str()) && !allowed.iter().any(|allowed| allowed == name.as_str())).cloned().collect();
    for name in odd {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::fields;

    #[test]
    fn usual_request_needs_no_cleaning() {
        let headers = fields(&[("host", "a"), ("accept", "*/*"), ("user-agent", "x"), ("x-mine", "1")]);
        assert_eq!(Survey::of(&headers), Survey::default());
    }

    #[test]
    fn each_kind_is_found() {
        for name in ["connection", "content-length", "transfer-encoding", "keep-alive", "te", "trailer", "upgrade", "proxy-connection"] {
            let survey = Survey::of(&fields(&[(name, "x")]));
            assert_eq!((survey.hop_by_hop.any(), survey.forwarded, survey.odd), (true, false, false), "{name}");
        }
        for name in ["forwarded", "x-real-ip", "x-forwarded-for", "x-forwarded-anything"] {
            assert_eq!(Survey::of(&fields(&[(name, "x")])), Survey { forwarded: true, ..Survey::default() }, "{name}");
        }
        for name in ["client-cert", "client-cert-chain", "x-forwarded-client-cert"] {
            assert!(Survey::of(&fields(&[(name, "x")])).client_cert, "{name}");
        }
        for name in ["x_user", "a.b", "content_length"] {
            assert_eq!(Survey::of(&fields(&[(name, "x")])), Survey { odd: true, ..Survey::default() }, "{name}");
        }
    }

    #[test]
    fn odd_names_go_unless_listed() {
        let mut headers = fields(&[("x_user", "1"), ("x_user", "2"), ("x.keep", "3"), ("plain", "4")]);
        remove_odd_names(&mut headers, &["x.keep".to_owned()]);
        assert_eq!(headers, fields(&[("x.keep", "3"), ("plain", "4")]));
    }
}
