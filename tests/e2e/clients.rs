//! Real clients, one request and many: curl, nghttp, h2load, wrk.

use crate::tls::{certificates, curl_to};
use portcullis_tests::{Origin, Proxy, tools};
use std::process::Command;

fn site(origin: &Origin) -> Proxy {
    Proxy::start_in(
        certificates(&["localhost"]),
        &format!(
            r#"
[site.localhost]
tls = {{ cert = "localhost.pem", key = "localhost.key" }}
routes = {{ "/*" = "app" }}
[site."127.0.0.1"]
tls = "off"
routes = {{ "/*" = "app" }}
[upstream.app]
servers = ["{}"]
"#,
            origin.name()
        ),
    )
}

fn output(program: &str, package: &str, arguments: &[&str]) -> String {
    let program = tools::need(program, package);
    let output = Command::new(&program).args(arguments).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn curl_over_both_protocols() {
    let origin = Origin::echo();
    let proxy = site(&origin);
    let ca = proxy.dir.path().join("localhost.pem");
    for (option, version) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let said = curl_to(&proxy, "localhost", &ca, &[option, "-d", "a body", "-w", "|%{http_version}|%{http_code}"], "/echo?x=y");
        assert!(said.starts_with("POST /echo?x=y HTTP/1.1\r\n") && said.ends_with(&format!("a body|{version}|200")), "{said}");
    }
    // An upload and a download too large for any buffer, over both.
    let big = proxy.dir.path().join("big");
    std::fs::write(&big, vec![b'u'; 5_000_000]).unwrap();
    for option in ["--http1.1", "--http2"] {
        let upload = format!("@{}", big.display());
        let said =
            curl_to(&proxy, "localhost", &ca, &[option, "--data-binary", &upload, "-w", "%{size_upload}", "-o", "/dev/null"], "/echo");
        assert_eq!(said, "5000000");
        let said = curl_to(&proxy, "localhost", &ca, &[option, "-w", "%{size_download}", "-o", "/dev/null"], "/bytes/7000000");
        assert_eq!(said, "7000000");
        let said = curl_to(&proxy, "localhost", &ca, &[option, "-I", "-w", "%{http_code}", "-o", "/dev/null"], "/bytes/100");
        assert_eq!(said, "200");
    }
}

#[test]
fn nghttp_gets_the_trailers() {
    let origin = Origin::echo();
    let proxy = site(&origin);
    let said = output(
        "nghttp",
        "nghttp2-client",
        &["-nv", "--no-verify-peer", &format!("https://localhost:{}/chunked/50000", proxy.https().port())],
    );
    assert!(said.contains(":status: 200") && said.contains("x-checksum: done"), "{said}");
}

#[test]
fn h2load_and_wrk_see_no_error() {
    let origin = Origin::echo();
    let proxy = site(&origin);
    let tls = format!("https://localhost:{}/bytes/1024", proxy.https().port());
    let plain = format!("http://127.0.0.1:{}/bytes/1024", proxy.http().port());
    for (what, arguments) in [
        ("h2", vec!["-n", "5000", "-c", "8", "-m", "16", tls.as_str()]),
        ("h1 over TLS", vec!["--h1", "-n", "3000", "-c", "16", tls.as_str()]),
        ("h1", vec!["--h1", "-n", "3000", "-c", "16", plain.as_str()]),
    ] {
        let said = output("h2load", "nghttp2-client", &arguments);
        assert!(said.contains(" 0 failed, 0 errored, 0 timeout") && said.contains("2xx, 0 3xx, 0 4xx, 0 5xx"), "{what}: {said}");
    }
    let said = output("wrk", "wrk", &["-t1", "-c32", "-d2s", &plain]);
    assert!(said.contains("Requests/sec") && !said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}");
}
