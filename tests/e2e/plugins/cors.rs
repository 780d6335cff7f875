//! `cors`: what a browser asks before, and what it is told after.

use super::{refused, start};
use portcullis_tests::{Origin, Raw, Response, get_with};

fn preflight(proxy: &portcullis_tests::Proxy, origin: &str) -> Response {
    let mut client = Raw::connect(proxy.http());
    client.send(format!(
        "OPTIONS /x HTTP/1.1\r\nHost: a.test\r\nOrigin: {origin}\r\nAccess-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: x-token\r\n\r\n"
    ));
    client.response_to("OPTIONS")
}

#[test]
fn pages_of_those_origins_may_use_the_site_and_others_may_not() {
    let app = Origin::echo();
    let chain = "{ use = \"cors\", origins = [\"https://*.example.com\"], methods = \"PUT\", headers = \"x-token\", expose = \"x-origin\", credentials = true }";
    let proxy = start(&app, chain, "");
    let page = "https://app.example.com";
    let answer = preflight(&proxy, page);
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (204, Some(page)));
    assert_eq!(answer.header("access-control-allow-methods"), Some("GET, HEAD, POST, PUT"));
    assert_eq!((answer.header("access-control-allow-headers"), answer.header("access-control-max-age")), (Some("x-token"), Some("600")));
    let other = preflight(&proxy, "https://evil.test");
    assert_eq!((other.status, other.header("access-control-allow-origin")), (403, None));
    assert!(app.requests().is_empty(), "preflights are answered here");
    let read = get_with(proxy.http(), "a.test", "/x", &format!("Origin: {page}\r\n"));
    assert_eq!((read.status, read.header("access-control-allow-origin")), (200, Some(page)));
    assert_eq!(
        (read.header("access-control-allow-credentials"), read.header("access-control-expose-headers")),
        (Some("true"), Some("x-origin"))
    );
    assert_eq!(read.header("vary"), Some("Origin"));
    let unread = get_with(proxy.http(), "a.test", "/x", "Origin: https://evil.test\r\n");
    assert_eq!((unread.status, unread.header("access-control-allow-origin"), unread.header("vary")), (200, None, Some("Origin")));
}

#[test]
fn mistakes_point_into_the_link() {
    let text = refused(&Origin::echo(), "{ use = \"cors\", origins = \"*\", credentials = true }", "");
    assert!(text.contains("E032") && text.contains("origins must be named") && text.contains("portcullis.toml:"), "{text}");
}
