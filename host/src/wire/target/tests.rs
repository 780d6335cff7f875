//! The four forms of a target, and hosts.

use super::*;

fn parsed(method: Method, text: &'static str) -> Option<(Option<String>, String)> {
    let target = parse(&method, Bytes::from_static(text.as_bytes())).ok()?;
    Some((target.authority.map(|authority| authority.to_string()), target.path_and_query.to_string()))
}

#[test]
fn each_form_is_told_from_the_others() {
    let some = |authority: Option<&str>, path: &str| Some((authority.map(str::to_owned), path.to_owned()));
    let table = [
        (Method::GET, "/", some(None, "/")),
        (Method::GET, "/a%2Fb;c=d/[e]|?q=[1]&100%&{x}", some(None, "/a%2Fb;c=d/[e]|?q=[1]&100%&{x}")),
        (Method::GET, "//a/b", some(None, "//a/b")),
        (Method::OPTIONS, "*", some(None, "*")),
        (Method::GET, "http://a.example:81/x?y", some(Some("a.example:81"), "/x?y")),
        (Method::GET, "HTTPS://A/x", some(Some("A"), "/x")),
        (Method::GET, "http://a", some(Some("a"), "/")),
        (Method::GET, "http://a?q", some(Some("a"), "/?q")),
        (Method::OPTIONS, "http://a", some(Some("a"), "*")),
        (Method::GET, "http://[::1]:81/", some(Some("[::1]:81"), "/")),
        (Method::CONNECT, "a.example:443", some(Some("a.example:443"), "")),
        (Method::CONNECT, "a.example", None),
        (Method::CONNECT, "/", None),
        (Method::GET, "*", None),
        (Method::OPTIONS, "*x", None),
        (Method::GET, "a.example:443", None),
        (Method::GET, "", None),
        (Method::GET, "http:///x", None),
        (Method::GET, "http://a@b/", None),
        (Method::GET, "/a\\b", None),
        (Method::GET, "/a{b}", None),
        (Method::GET, "/a%", None),
        (Method::GET, "/a%4", None),
        (Method::GET, "/?<script>", None),
        (Method::GET, "/?a#b", None),
    ];
    for (method, text, expected) in table {
        assert_eq!(parsed(method.clone(), text), expected, "{method} {text}");
    }
}

#[test]
fn hosts_are_names_or_addresses_with_a_port_or_without() {
    for host in ["a", "a.example", "A_b-c.example.", "127.0.0.1:8080", "[::1]", "[2001:db8::1]:443", "a:0", "a:65535"] {
        assert!(is_authority(host.as_bytes()), "{host}");
    }
    for host in [
        "", ":80", "a:", "a:65536", "a:8o", "a:+80", "a:80:80", "::1", "[::1", "[]", "[::g]", "[::1]80", "[::1]:", "a b", "a/b", "a?b",
        "a@b", "a%20", "a\\b", "é",
    ] {
        assert!(!is_authority(host.as_bytes()), "{host}");
    }
}
