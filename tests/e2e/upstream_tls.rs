//! TLS to upstreams: against nginx with client verification, openssl's server, and an origin that upgrades.

use portcullis_tests::pki::Authority;
use portcullis_tests::servers::Server;
use portcullis_tests::{Proxy, Raw, get};
use std::path::Path;
use tempfile::TempDir;

/// `ca.pem`, a server's certificate for `app.test` and 127.0.0.1, a client's for `proxy.test`, and another CA.
fn papers() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new("test CA");
    ca.write(dir.path(), "ca");
    ca.issue(dir.path(), "server", &["app.test", "127.0.0.1"]);
    ca.issue(dir.path(), "named", &["app.test"]);
    ca.issue(dir.path(), "me", &["proxy.test"]);
    Authority::new("other CA").write(dir.path(), "other");
    dir
}

/// nginx that tells what it knows of TLS; more directives in its server block.
fn nginx(dir: &Path, certificate: &str, more: &str) -> Server {
    let papers = dir.display();
    std::fs::write(dir.join("big"), vec![b'x'; 3_000_000]).unwrap();
    Server::nginx(|address, _| {
        format!(
            "server {{ listen {address} ssl; ssl_certificate {papers}/{certificate}.pem; ssl_certificate_key {papers}/{certificate}.key;\n\
             ssl_session_cache shared:s:1m; ssl_protocols TLSv1.2 TLSv1.3; client_max_body_size 20m; {more}\n\
             location /tls {{ return 200 \"$ssl_protocol $ssl_server_name $ssl_session_reused $ssl_client_verify $ssl_client_s_dn $connection_requests\"; }}\n\
             location /big {{ root {papers}; }}\n\
             location /upload {{ return 200 \"$content_length\"; }} }}"
        )
    })
}

fn proxy(dir: TempDir, upstream: &str) -> Proxy {
    Proxy::start_in(dir, &format!("[site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/*\" = \"app\" }}\n[upstream.app]\n{upstream}\n"))
}

fn refused(dir: TempDir, upstream: &str, reason: &str, said: &str) {
    let proxy = proxy(dir, upstream);
    let response = get(proxy.http(), "a.test", "/tls");
    assert_eq!((response.status, response.reason()), (502, Some(reason)), "{}", proxy.log());
    proxy.access_line(|line| line.contains(reason));
    assert!(proxy.logged(reason).contains(said), "{}", proxy.log());
}

#[test]
fn requests_go_over_tls_and_share_connections_and_sessions() {
    let dir = papers();
    let nginx = nginx(dir.path(), "named", "keepalive_requests 3;");
    let config = format!("servers = [\"{}\"]\ntls = {{ ca = \"ca.pem\", name = \"app.test\" }}", nginx.address);
    // One worker, so that all share one pool.
    let text = format!(
        "[server]\nworkers = 1\nstate = \"state\"\n[site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/*\" = \"app\" }}\n[upstream.app]\n{config}\n"
    );
    let proxy = Proxy::start_in(dir, &text);
    let said: Vec<String> = (0..4).map(|_| get(proxy.http(), "a.test", "/tls").text()).collect();
    assert_eq!(said[0], "TLSv1.3 app.test . NONE  1");
    assert_eq!(said[2], "TLSv1.3 app.test . NONE  3", "one connection for all requests: {said:?}");
    assert_eq!(said[3], "TLSv1.3 app.test r NONE  1", "and one session for all connections: {said:?}");
    assert_eq!(get(proxy.http(), "a.test", "/big").body.len(), 3_000_000);
    let upload =
        format!("POST /upload HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5000000\r\nConnection: close\r\n\r\n{}", "u".repeat(5_000_000));
    // nginx answers by the head alone, so the answer may come before all is sent.
    assert_eq!(Raw::connect(proxy.http()).try_send(upload).response().text(), "5000000");
}

#[test]
fn a_server_that_wants_a_certificate_gets_ours() {
    let dir = papers();
    let verify = format!("ssl_client_certificate {}/ca.pem; ssl_verify_client on;", dir.path().display());
    let nginx = nginx(dir.path(), "server", &verify);
    let tls = "{ ca = \"ca.pem\", cert = \"me.pem\", key = \"me.key\" }";
    let proxy = proxy(dir, &format!("servers = [\"https://{}\"]\ntls = {tls}", nginx.address));
    assert_eq!(get(proxy.http(), "a.test", "/tls").text(), "TLSv1.3  . SUCCESS CN=proxy.test 1", "no SNI for an address");
}

#[test]
fn certificates_that_are_not_to_be_trusted() {
    let start = |certificate| {
        let dir = papers();
        let nginx = nginx(dir.path(), certificate, "");
        (dir, nginx)
    };
    let (dir, nginx) = start("server");
    refused(dir, &format!("servers = [\"{}\"]\ntls = {{ ca = \"other.pem\" }}", nginx.address), "origin_certificate", "UnknownIssuer");
    let (dir, nginx) = start("named");
    refused(dir, &format!("servers = [\"{}\"]\ntls = {{ ca = \"ca.pem\" }}", nginx.address), "origin_certificate", "not valid for name");
    let (dir, nginx) = start("named");
    let tls = "{ ca = \"ca.pem\", name = \"b.test\", sni = \"app.test\" }";
    refused(dir, &format!("servers = [\"{}\"]\ntls = {tls}", nginx.address), "origin_certificate", "not valid for name");
}

#[test]
fn the_name_asked_for_and_the_name_found_may_differ() {
    let dir = papers();
    let nginx = nginx(dir.path(), "named", "");
    let tls = "{ ca = \"ca.pem\", name = \"app.test\", sni = \"other.test\" }";
    let proxy = proxy(dir, &format!("servers = [\"{}\"]\ntls = {tls}", nginx.address));
    assert_eq!(get(proxy.http(), "a.test", "/tls").text(), "TLSv1.3 other.test . NONE  1");
}

#[test]
fn unverified_is_possible_and_said() {
    let dir = papers();
    let nginx = nginx(dir.path(), "named", "");
    let proxy = proxy(dir, &format!("servers = [\"https://{}\"]\ntls = {{ verify = false }}", nginx.address));
    assert!(get(proxy.http(), "a.test", "/tls").text().starts_with("TLSv1.3 "));
    proxy.logged("warning[E054]");
}

/// A server that speaks no newer version.
#[test]
fn tls_1_2_will_do() {
    let dir = papers();
    let server = s_server(dir.path(), &["-www", "-tls1_2"]);
    let proxy = proxy(dir, &format!("servers = [\"{}\"]\ntls = {{ ca = \"ca.pem\" }}", server.address));
    let page = get(proxy.http(), "a.test", "/").text();
    assert!(page.contains("TLSv1.2"), "{page}");
}

#[test]
fn a_server_in_the_clear_is_not_spoken_to() {
    let dir = papers();
    let origin = portcullis_tests::Origin::serve(|stream, _| {
        let _ = std::io::Write::write_all(stream, b"HTTP/1.1 400 Bad\r\n\r\n");
    });
    refused(dir, &format!("servers = [\"{}\"]\ntls = {{ ca = \"ca.pem\" }}", origin.name()), "origin_tls", "no TLS session");
}

fn s_server(dir: &Path, more: &[&str]) -> Server {
    Server::program("openssl", dir, |address| {
        let own = ["s_server", "-accept", &address.to_string(), "-cert", "server.pem", "-key", "server.key"].map(str::to_owned);
        own.into_iter().chain(more.iter().map(|argument| (*argument).to_owned())).collect()
    })
}

#[test]
fn openssl_serves_and_refuses() {
    let dir = papers();
    let server = s_server(dir.path(), &["-www", "-alpn", "http/1.1"]);
    let running = proxy(dir, &format!("servers = [\"{}\"]\ntls = {{ ca = \"ca.pem\" }}", server.address));
    let page = get(running.http(), "a.test", "/").text();
    assert!(page.contains("TLSv1.3") && page.contains("s_server"), "{page}");

    // It says only after the handshake that a certificate is missing.
    let dir = papers();
    let server = s_server(dir.path(), &["-www", "-Verify", "1", "-verify_return_error", "-CAfile", "ca.pem"]);
    refused(dir, &format!("servers = [\"{}\"]\ntls = {{ ca = \"ca.pem\" }}", server.address), "origin_tls_alert", "CertificateRequired");
}

/// A WebSocket, as far as the proxy knows: bytes after `101`.
#[test]
fn upgrades_go_over_tls() {
    let script = r#"
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("server.pem", "server.key")
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    try:
        with context.wrap_socket(listener.accept()[0], server_side=True) as peer:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += peer.recv(1)
            peer.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhello ")
            while data := peer.recv(4096):
                peer.sendall(data)
    except OSError:
        pass
"#;
    let dir = papers();
    let server = Server::program("python3", dir.path(), |address| vec!["-c".to_owned(), script.to_owned(), address.port().to_string()]);
    let proxy = proxy(dir, &format!("servers = [\"{}\"]\ntls = {{ ca = \"ca.pem\" }}", server.address));
    let mut client = Raw::connect(proxy.http());
    client.send("GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly ");
    let head = String::from_utf8(client.until(b"\r\n\r\n").unwrap()).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(client.exactly(12).unwrap(), b"hello early ");
    assert_eq!(client.send("ping").exactly(4).unwrap(), b"ping");
    let large = vec![b'z'; 300_000];
    let mut writer = client.stream.try_clone().unwrap();
    let sent = large.clone();
    let writing = std::thread::spawn(move || std::io::Write::write_all(&mut writer, &sent).unwrap());
    assert_eq!(client.exactly(large.len()).unwrap(), large);
    writing.join().unwrap();
}

/// Another server may have a better certificate, and nothing of the request was sent.
#[test]
fn a_bad_certificate_costs_another_try_and_not_the_request() {
    let (bad, dir) = (papers(), papers());
    let (wrong, right) = (nginx(bad.path(), "server", ""), nginx(dir.path(), "server", ""));
    let servers =
        format!("servers = [\"{}\", \"{}\"]\nbalance = \"round-robin\"\ntls = {{ ca = \"ca.pem\" }}", wrong.address, right.address);
    let proxy = proxy(dir, &servers);
    for _ in 0..4 {
        assert_eq!(get(proxy.http(), "a.test", "/tls").status, 200);
    }
}

#[test]
fn check_tells_what_is_wrong_with_the_papers() {
    let dir = papers();
    std::fs::write(dir.path().join("empty.pem"), "nothing\n").unwrap();
    let upstream = |name: &str, tls: &str| format!("[upstream.{name}]\nservers = [\"https://127.0.0.1:1\"]\ntls = {tls}\n");
    let config = [
        "[site.\"a.test\"]\ntls = \"off\"\nroutes = { \"/*\" = \"a\", \"/b/*\" = \"b\", \"/c/*\" = \"c\", \"/d/*\" = \"d\" }\n".to_owned(),
        upstream("a", "{ ca = \"empty.pem\" }"),
        upstream("b", "{ ca = \"missing.pem\" }"),
        upstream("c", "{ ca = \"ca.pem\", cert = \"me.pem\", key = \"server.key\" }"),
        upstream("d", "{ ca = \"ca.pem\", cert = \"me.pem\", key = \"missing.key\" }"),
    ];
    std::fs::write(dir.path().join("a.toml"), config.concat()).unwrap();
    let output = portcullis_tests::proxy::run(dir.path(), &["check", "a.toml"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for wanted in ["error[E023]: no certificate in", "error[E025]: cannot read", "error[E020]:", "missing.key"] {
        assert!(said.contains(wanted), "no {wanted} in:\n{said}");
    }
}
