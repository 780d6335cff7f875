//! From our request heads to those of HTTP/2 (RFC 9113, section 8.3.1).

use crate::message::{RequestHead, Scheme};
use crate::wire::Coding;
use bytestring::ByteString;
use http::header::{self, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme as UriScheme, Uri};
use http::{Request, Version};
use std::borrow::Cow;

/// `scheme` is that of the connection: some servers refuse one that is not theirs. Fields of the connection are gone already
/// (section 8.2.2); `te: trailers` may be there. `None`: the target cannot be said in HTTP/2.
pub(in crate::upstream) fn head(head: &RequestHead, scheme: Scheme, coding: Coding) -> Option<Request<()>> {
    let path = match &head.query {
        None => PathAndQuery::from_maybe_shared(head.path.clone().into_bytes()),
        Some(query) => PathAndQuery::try_from(format!("{}?{}", head.path, encoded(query))),
    };
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(if scheme == Scheme::Https { UriScheme::HTTPS } else { UriScheme::HTTP });
    parts.authority = Some(Authority::from_maybe_shared(head.authority.clone().into_bytes()).ok()?);
    parts.path_and_query = Some(path.ok()?);
    let mut request = Request::new(());
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = Uri::from_parts(parts).ok()?;
    *request.version_mut() = Version::HTTP_2;
    request.headers_mut().clone_from(&head.headers);
    if let Coding::Length(length) = coding {
        request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    Some(request)
}

/// What browsers send raw in a query though RFC 3986 does not allow it, encoded: `http` does not take it, and servers read both alike.
fn encoded(query: &ByteString) -> Cow<'_, str> {
    if !query.bytes().any(|byte| matches!(byte, b'"' | b'<' | b'>')) {
        return Cow::Borrowed(query);
    }
    Cow::Owned(query.replace('"', "%22").replace('<', "%3C").replace('>', "%3E"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::fields;
    use http::Method;

    fn asked(path: &'static str, query: Option<&'static str>) -> RequestHead {
        let headers = fields(&[("te", "trailers"), ("x-one", "1")]);
        let (method, scheme) = (Method::POST, Scheme::Https);
        RequestHead { method, scheme, authority: "a.test:8080".into(), path: path.into(), query: query.map(Into::into), headers }
    }

    #[test]
    fn the_scheme_is_the_connection_s_and_the_length_is_said() {
        let request = head(&asked("/a%20b", Some("x=\"<1>\"&y={|}")), Scheme::Http, Coding::Length(5)).expect("it can be said");
        assert_eq!(request.uri(), "http://a.test:8080/a%20b?x=%22%3C1%3E%22&y={|}");
        let length = request.headers().get("content-length").and_then(|length| length.to_str().ok());
        assert_eq!((length, request.headers().len()), (Some("5"), 3));
    }

    #[test]
    fn a_server_may_be_asked_as_a_whole() {
        let request =
            head(&RequestHead { method: Method::OPTIONS, ..asked("*", None) }, Scheme::Http, Coding::None).expect("it can be said");
        assert_eq!((request.uri().path(), request.headers().contains_key("content-length")), ("*", false));
    }
}
