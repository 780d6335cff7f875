//! Links of listeners: they decide about connections before HTTP, tell HTTP links what they know, and hear how it ended.

use crate::tls::{certificates, curl_to};
use portcullis_tests::{Origin, Proxy, Raw, get, tools};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// One site in the clear with everything sent to the origin; `head` stands in front.
fn http(listen: &str, head: &str, origin: &Origin) -> Proxy {
    Proxy::start(&format!(
        r#"
[server]
workers = 2
state = "state"
[listen]
http = ["127.0.0.1:0"]
{listen}
{head}
[site."a.test"]
tls = "off"
chain = [{{ use = "headers", request = {{ set = {{ X-Tenant = "{{log.tenant}}" }} }} }}]
routes = {{ "/*" = "app" }}
[upstream.app]
servers = ["{}"]
"#,
        origin.name()
    ))
}

/// The guest that does what it is told, as plugin `knock`.
fn knock(more: &str) -> String {
    format!("[plugin.knock]\nsource = {:?}\n{more}\n", tools::guest("knock"))
}

fn told(what: &str) -> String {
    format!("chain = [{{ use = \"knock\", config = {{ do = \"{what}\" }} }}]")
}

/// Whether the proxy resets a connection instead of answering on it.
fn is_reset(address: SocketAddr) -> bool {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // Whichever call finds the reset; later ones see an end.
    let written = stream.write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    match written.and_then(|()| stream.read(&mut [0; 16])) {
        Ok(0) => panic!("closed in order"),
        Ok(_) => false,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
            true
        }
    }
}

/// What comes back on a connection until it ends; a server that speaks first has spoken.
fn echoed(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut raw = Raw::connect(address);
    raw.try_send(bytes).finish();
    raw.rest()
}

/// A server that sends back what it gets.
fn echo_server(greeting: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut from, mut to) = (stream.try_clone().unwrap(), stream);
                let _ = to.write_all(greeting);
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(std::net::Shutdown::Write);
            });
        }
    });
    address
}

#[test]
fn ip_filter_refuses_curl_on_an_http_site() {
    let origin = Origin::echo();
    let proxy = http("chain = [{ use = \"ip-filter\", deny = [\"127.0.0.0/8\"] }]", "", &origin);
    let curl = tools::need("curl", "curl");
    let output = Command::new(curl).args(["-sS", "--max-time", "20", &format!("http://{}/", proxy.http())]).output().unwrap();
    // 7, if the reset came before curl had looked; 56 after.
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(7 | 56)), "{said}");
    assert!(is_reset(proxy.http()) && origin.requests().is_empty() && proxy.access_log().is_empty());
    let proxy = http("chain = [{ use = \"ip-filter\", deny = [\"127.0.0.0/8\"], allow = \"127.0.0.1\" }]", "", &origin);
    assert_eq!(get(proxy.http(), "a.test", "/").status, 200);
}

#[test]
fn ip_filter_reads_its_list_from_a_file_and_filters_requests_too() {
    let origin = Origin::echo();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("drop.txt"), "# nobody from here\n10.0.0.0/8 ; SBL1\n127.0.0.1\n").unwrap();
    let config = format!(
        r#"
[site."a.test"]
tls = "off"
[site."a.test".routes]
"/*" = "app"
"/admin/*" = {{ to = "app", chain = [{{ use = "ip-filter", deny = {{ file = "drop.txt" }}, status = 404 }}] }}
[upstream.app]
servers = ["{}"]
"#,
        origin.name()
    );
    let proxy = Proxy::start_in(dir, &config);
    assert_eq!((get(proxy.http(), "a.test", "/").status, get(proxy.http(), "a.test", "/admin/").status), (200, 404));
}

#[test]
fn ip_filter_refuses_a_tcp_client() {
    let server = echo_server(b"");
    let config = |list: &str| {
        format!(
            "[tcp.\"127.0.0.1:0\"]\nto = \"echo\"\nchain = [{{ use = \"ip-filter\", {list} }}]\n[upstream.echo]\nservers = [\"{server}\"]\n"
        )
    };
    let proxy = Proxy::start(&config("allow = [\"10.0.0.0/8\"], refuse = \"close\""));
    assert_eq!(echoed(proxy.tcp(), b"hello"), b"");
    proxy.access_line(|line| line.contains(" TCP ") && line.contains(" link_refused "));
    let proxy = Proxy::start(&config("allow = [\"127.0.0.0/8\"]"));
    assert_eq!(echoed(proxy.tcp(), b"hello"), b"hello");
}

#[test]
fn attributes_reach_http_links_and_the_access_log() {
    let origin = Origin::echo();
    let proxy = http(&told("tenant"), &knock(""), &origin);
    let mut client = Raw::connect(proxy.http());
    for _ in 0..2 {
        let seen = client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").response().text().to_lowercase();
        assert!(seen.contains("x-tenant: acme\r\n"), "{seen}");
    }
    client.send("GET /nowhere HTTP/1.1\r\nHost: other.test\r\n\r\n").response();
    let lines = || proxy.access_log().iter().filter(|line| line.contains(" log.tenant=acme")).count();
    proxy.access_line(|line| line.contains("no_site"));
    assert_eq!(lines(), 3, "{:#?}", proxy.access_log());
    let server = echo_server(b"");
    let tcp = format!("{}[tcp.\"127.0.0.1:0\"]\nto = \"echo\"\n{}\n[upstream.echo]\nservers = [\"{server}\"]\n", knock(""), told("tenant"));
    let proxy = Proxy::start(&tcp);
    assert_eq!(echoed(proxy.tcp(), b"hello"), b"hello");
    proxy.access_line(|line| line.contains(" TCP ") && line.contains(" log.tenant=acme"));
}

#[test]
fn conn_limit_lets_so_many_in_until_one_leaves() {
    let origin = Origin::echo();
    let proxy = http("chain = [{ use = \"conn-limit\", most = 3 }]", "", &origin);
    let address = proxy.http();
    let open = || {
        let mut client = Raw::connect(address);
        client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
        assert_eq!(client.response().status, 200);
        client
    };
    let mut held: Vec<Raw> = (0..3).map(|_| open()).collect();
    assert!(is_reset(address) && is_reset(address), "the fourth, on whichever worker");
    held.pop();
    let deadline = Instant::now() + Duration::from_secs(10);
    while is_reset(address) {
        assert!(Instant::now() < deadline, "the place of one who left is not free");
    }
    assert_eq!(held.len(), 2);
    drop(held);
}

#[test]
fn on_close_hears_how_much_went_each_way() {
    let origin = Origin::echo();
    let proxy = http(&told("look"), &knock(""), &origin);
    let request = "GET /bytes/5000 HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    let mut client = Raw::connect(proxy.http());
    let sent = client.send(request).rest().len();
    let line = proxy.logged("closed true 127.0.0.1");
    assert!(line.contains(&format!("received={} sent={sent} some-time=true done ", request.len())), "{line}");
    assert!(line.contains(&format!("listener={},listener.kind=http,peer.ip=127.0.0.1", proxy.http())), "{line}");
    let server = echo_server(b"welcome");
    let tcp = format!("{}[tcp.\"127.0.0.1:0\"]\nto = \"echo\"\n{}\n[upstream.echo]\nservers = [\"{server}\"]\n", knock(""), told("look"));
    let proxy = Proxy::start(&tcp);
    assert_eq!(echoed(proxy.tcp(), b"hello"), b"welcomehello");
    let line = proxy.logged("closed true");
    assert!(line.contains("received=5 sent=12 some-time=true done ") && line.contains("listener.kind=tcp"), "{line}");
}

#[test]
fn a_guest_that_breaks_its_contract_refuses_or_lets_pass_as_the_operator_said() {
    let origin = Origin::echo();
    for what in ["trap-accept", "loop-accept", "reserved", "forward"] {
        let proxy = http(&told(what), &knock(""), &origin);
        assert!(is_reset(proxy.http()), "{what}");
        let line = proxy.logged("broke its contract");
        assert!(line.contains("link knock") && line.contains("the connection ends"), "{line}");
        let proxy = http(&told(what), &knock("fail = \"open\""), &origin);
        assert_eq!(get(proxy.http(), "a.test", "/").status, 200, "{what}");
        assert!(proxy.logged("broke its contract").contains("the connection goes on"));
    }
}

/// A site over TLS behind a chain.
fn https(chain: &str, more: &str, origin: &Origin) -> Proxy {
    Proxy::start_in(
        certificates(&["a.test"]),
        &format!(
            r#"
[server]
workers = 2
state = "state"
[listen]
http = []
https = ["127.0.0.1:0"]
{chain}
{}
{more}
[site."a.test"]
tls = {{ cert = "a.test.pem", key = "a.test.key" }}
routes = {{ "/*" = "app" }}
[upstream.app]
servers = ["{}"]
"#,
            knock(""),
            origin.name()
        ),
    )
}

/// What `openssl s_client` prints, and whether it was satisfied.
fn handshake(address: SocketAddr, name: &str) -> String {
    let openssl = tools::need("openssl", "openssl");
    let address = address.to_string();
    let arguments = ["s_client", "-connect", &address, "-servername", name];
    let output = Command::new(openssl).args(arguments).stdin(Stdio::null()).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_guest_sees_the_client_hello_and_http_goes_on() {
    let origin = Origin::echo();
    let proxy = https(&told("look"), "", &origin);
    let ca = proxy.dir.path().join("a.test.pem");
    let body = curl_to(&proxy, "a.test", &ca, &[], "/");
    assert!(body.starts_with("GET / HTTP/1.1"), "{body}");
    let line = proxy.logged("hello true");
    assert!(line.contains("sni=a.test alpn=h2-http/1.1 versions=0304-0303"), "{line}");
    let ja4 = line.split("ja4=").nth(1).unwrap().split(' ').next().unwrap();
    assert!(ja4.starts_with("t13d") && ja4.contains("h2_") && ja4.len() == 36, "{ja4}");
    proxy.access_line(|line| line.contains(" log.hello=") && line.contains(" 200 "));
    let line = proxy.logged("closed true");
    assert!(line.contains(" done "), "{line}");
}

/// A client hello in one record, with these extensions.
fn client_hello(ciphers: &[u16], extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let long = |bytes: Vec<u8>| [&(bytes.len() as u16).to_be_bytes()[..], &bytes].concat();
    let numbers = |numbers: &[u16]| numbers.iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<u8>>();
    let extensions = extensions.iter().flat_map(|(kind, content)| [&kind.to_be_bytes()[..], &long(content.clone())].concat()).collect();
    let body = [&[3, 3][..], &[7; 32], &[0], &long(numbers(ciphers)), &[1, 0], &long(extensions)].concat();
    let message = [&[1, 0][..], &long(body)].concat();
    [&[22, 3, 1][..], &long(message)].concat()
}

#[test]
fn a_known_client_has_its_known_fingerprint() {
    let origin = Origin::echo();
    let proxy = https(&told("look"), "", &origin);
    // Chromium, as JA4's specification takes it for its example.
    let ciphers =
        [0x1a1a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035];
    let kinds = [
        0x2a2a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b, 0xff01, 0x000b, 0x000a,
        0x0015, 0x3a3a,
    ];
    let extensions = kinds.map(|kind| {
        let content: &[u8] = match kind {
            0x0000 => b"\0\x09\0\0\x06a.test",
            0x000a => b"\0\x02\0\x1d",
            0x000d => b"\0\x10\x04\x03\x08\x04\x04\x01\x05\x03\x08\x05\x05\x01\x08\x06\x06\x01",
            0x0010 => b"\0\x0c\x02h2\x08http/1.1",
            0x002b => b"\x06\x5a\x5a\x03\x04\x03\x03",
            _ => b"",
        };
        (kind, content.to_vec())
    });
    let hello = client_hello(&ciphers, &extensions);
    // In two pieces, so that it is put together.
    let (first, second) = hello.split_at(100);
    let mut client = Raw::connect(proxy.https());
    client.send(first);
    std::thread::sleep(Duration::from_millis(50));
    client.send(second).finish();
    let line = proxy.logged("hello true");
    assert!(line.contains("sni=a.test alpn=h2-http/1.1 versions=5a5a-0304-0303 "), "{line}");
    assert!(line.contains(&format!("ja4=t13d1516h2_8daaf6152771_e5627efa2ab1 raw={}", hello.len() - 5)), "{line}");
    // It offers no key, so the handshake comes to nothing.
    client.rest();
    let line = proxy.logged("closed true");
    assert!(line.contains(&format!("received={} ", hello.len())) && line.contains(" tls "), "{line}");
}

#[test]
fn a_client_hello_can_be_answered_with_an_alert() {
    let origin = Origin::echo();
    let proxy = https(&told("alert"), "", &origin);
    let said = handshake(proxy.https(), "a.test");
    assert!(said.contains("alert access denied") || said.contains("SSL alert number 49"), "{said}");
    assert!(!proxy.log().contains("closed true"), "who refused it is not told of the end");
}

#[test]
fn a_client_hello_can_be_passed_through_from_an_https_listener() {
    let origin = Origin::echo();
    let inner = https("chain = []", "", &origin);
    let upstream = format!("[upstream.canary]\nservers = [\"{}\"]", inner.https());
    let outer = https(&told("pass-through"), &upstream, &origin);
    // The certificate is that of the one behind.
    let ca = inner.dir.path().join("a.test.pem");
    assert!(curl_to(&outer, "a.test", &ca, &[], "/").starts_with("GET / HTTP/1.1"));
    outer.access_line(|line| line.contains(" TCP ") && line.contains("upstream=canary") && line.contains("sni=a.test"));
    inner.access_line(|line| line.contains(" https://a.test") && line.contains(" 200 "));
}

#[test]
fn a_tcp_connection_can_be_forwarded_elsewhere() {
    let (usual, canary) = (echo_server(b"usual "), echo_server(b"canary "));
    let proxy = Proxy::start(&format!(
        "{}[tcp.\"127.0.0.1:0\"]\nto = \"usual\"\n{}\n[upstream]\nusual = \"{usual}\"\ncanary = \"{canary}\"\n",
        knock(""),
        told("forward")
    ));
    assert_eq!(echoed(proxy.tcp(), b"hello"), b"canary hello");
}

#[test]
fn a_terminated_connection_can_be_forwarded_elsewhere() {
    let (usual, canary) = (echo_server(b"usual "), echo_server(b"canary "));
    let proxy = Proxy::start_in(
        certificates(&["a.test"]),
        &format!(
            "{}[tcp.\"127.0.0.1:0\"]\nto = \"usual\"\ntls = {{ cert = \"a.test.pem\", key = \"a.test.key\" }}\n{}\n[upstream]\nusual = \"{usual}\"\ncanary = \"{canary}\"\n",
            knock(""),
            told("forward-hello")
        ),
    );
    handshake(proxy.tcp(), "a.test");
    let line = proxy.access_line(|line| line.contains(" TCP "));
    assert!(line.contains(" upstream=canary ") && line.contains(" sni=a.test "), "{line}");
}

#[test]
fn a_plugin_in_the_wrong_chain_is_an_error() {
    let check = |config: &str| {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("portcullis.toml"), config).unwrap();
        let output = portcullis_tests::proxy::run(dir.path(), &["check", "portcullis.toml"]);
        assert!(!output.status.success());
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    };
    let site = "[site.\"a.test\"]\ntls = \"off\"\n";
    let rest = "[upstream.app]\nservers = [\"127.0.0.1:1\"]\n";
    let said = check(&format!("[listen]\nchain = [\"request-id\"]\n{site}routes = {{ \"/*\" = \"app\" }}\n{rest}"));
    assert!(
        said.contains("error[E033]: plugin `request-id` exports no phase of connections") && said.contains("portcullis.toml:2:10"),
        "{said}"
    );
    let said = check(&format!("{site}chain = [{{ use = \"conn-limit\", most = 1 }}]\nroutes = {{ \"/*\" = \"app\" }}\n{rest}"));
    assert!(said.contains("error[E033]: plugin `conn-limit` exports no phase of requests"), "{said}");
    let chain = "[listen]\nchain = [{ use = \"conn-limit\", most = 1, when = { path = \"/a\" } }]\n";
    let said = check(&format!("{chain}{site}routes = {{ \"/*\" = \"app\" }}\n{rest}"));
    assert!(said.contains("error[E009]: link `conn-limit` has `when`"), "{said}");
}
