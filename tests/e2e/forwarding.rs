//! What the origin and the client get to see: hop-by-hop fields gone, identity fields ours.

use crate::plain_site;
use portcullis_tests::{Origin, Proxy, get_with};

fn seen(fields: &str) -> String {
    let origin = Origin::echo();
    let proxy = plain_site(&origin);
    get_with(proxy.http(), "a.test", "/", fields).text().to_ascii_lowercase()
}

#[test]
fn hop_by_hop_and_listed_fields_do_not_pass_to_the_origin() {
    let head = seen(
        "Connection: X-Secret, keep-alive\r\nX-Secret: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: close\r\nTE: gzip\r\nX-Kept: yes\r\n",
    );
    for gone in ["x-secret", "keep-alive:", "proxy-connection", "te: gzip"] {
        assert!(!head.contains(gone), "{gone} in {head}");
    }
    assert!(head.contains("x-kept: yes"), "{head}");
}

#[test]
fn hop_by_hop_and_listed_fields_do_not_pass_to_the_client() {
    let origin = Origin::says(
        "HTTP/1.1 200 OK\r\nConnection: X-Secret\r\nX-Secret: 1\r\nKeep-Alive: timeout=5\r\nX-Kept: yes\r\nContent-Length: 0\r\n\r\n",
    );
    let proxy = plain_site(&origin);
    let response = get_with(proxy.http(), "a.test", "/", "");
    assert_eq!(response.header("x-secret"), None);
    assert_eq!(response.header("keep-alive"), None);
    assert_eq!(response.header("x-kept"), Some("yes"));
}

#[test]
fn identity_fields_are_set_and_the_client_s_own_are_dropped() {
    let head = seen(
        "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\n",
    );
    assert!(!head.contains("6.6.6.6") && !head.contains("evil"), "{head}");
    for wanted in
        ["x-forwarded-for: 127.0.0.1\r\n", "x-forwarded-proto: http\r\n", "x-forwarded-host: a.test\r\n", "forwarded: for=127.0.0.1"]
    {
        assert!(head.contains(wanted), "{wanted} not in {head}");
    }
}

#[test]
fn a_trusted_proxy_is_believed() {
    let origin = Origin::echo();
    let proxy = Proxy::start(&format!(
        "[server]\nworkers = 1\nstate = \"state\"\ntrusted-proxies = [\"127.0.0.0/8\"]\n[site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/*\" = \"app\" }}\n[upstream.app]\nservers = [\"{}\"]\n",
        origin.name()
    ));
    let head =
        get_with(proxy.http(), "a.test", "/", "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\n").text().to_ascii_lowercase();
    assert!(head.contains("x-forwarded-for: 192.0.2.7, 127.0.0.1"), "{head}");
    assert!(head.contains("x-forwarded-proto: https"), "{head}");
    proxy.access_line(|line| line.contains("192.0.2.7"));
}

#[test]
fn odd_header_names_are_dropped() {
    let head = seen("X_Auth_User: root\r\nX.Auth: root\r\nX-Fine: 1\r\n");
    assert!(!head.contains("root") && head.contains("x-fine: 1"), "{head}");
}

#[test]
fn host_is_what_the_client_asked_for() {
    let head = seen("");
    assert!(head.contains("host: a.test\r\n"), "{head}");
}
