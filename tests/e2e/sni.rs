//! TLS connections by server name: passed through, on a port shared with HTTPS sites, or ended here.

use crate::tcp::{connect, redis_cli};
use crate::tls::{certificates, find_root};
use portcullis_tests::{Origin, Proxy, Server, curl, nobody, tools};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// What `openssl s_client` prints.
fn s_client(address: SocketAddr, arguments: &[&str]) -> String {
    let openssl = tools::need("openssl", "openssl");
    let output =
        Command::new(openssl).args(["s_client", "-connect", &address.to_string()]).args(arguments).stdin(Stdio::null()).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A Redis that speaks TLS as `name`, and the directory of its certificate.
fn redis_as(name: &str) -> (Server, tempfile::TempDir) {
    let dir = certificates(&[name]);
    let (cert, key) = (dir.path().join(format!("{name}.pem")), dir.path().join(format!("{name}.key")));
    // The server may run as somebody else.
    (Server::redis(Some((&cert, &key))), dir)
}

fn passthrough(more: &str, upstreams: &[(&str, &str)]) -> Proxy {
    let upstreams: String = upstreams.iter().map(|(name, server)| format!("{name} = \"{server}\"\n")).collect();
    Proxy::start(&format!("[tcp.\"127.0.0.1:0\"]\ntls = \"passthrough\"\n{more}\n[upstream]\n{upstreams}"))
}

fn ask_redis(address: SocketAddr, name: &str, dir: &Path, arguments: &[&str]) -> String {
    let ca = dir.join(format!("{name}.pem"));
    let mut all = vec!["--tls", "--cacert", ca.to_str().unwrap(), "--sni", name];
    all.extend(arguments);
    redis_cli(address, &all)
}

#[test]
fn the_server_name_chooses_between_two_redis() {
    let ((one, one_dir), (two, two_dir)) = (redis_as("a.db.test"), redis_as("x.db.test"));
    let proxy = passthrough("sni = { \"a.db.test\" = \"one\", \"*.db.test\" = \"two\" }", &[("one", &one.name()), ("two", &two.name())]);
    assert_eq!(ask_redis(proxy.tcp(), "a.db.test", one_dir.path(), &["set", "who", "one"]), "OK\n");
    assert_eq!(ask_redis(proxy.tcp(), "x.db.test", two_dir.path(), &["set", "who", "two"]), "OK\n");
    assert_eq!(ask_redis(proxy.tcp(), "a.db.test", one_dir.path(), &["get", "who"]), "one\n");
    assert_eq!(ask_redis(one.address, "a.db.test", one_dir.path(), &["get", "who"]), "one\n", "asked without us");
    let line = proxy.access_line(|line| line.contains("sni=x.db.test"));
    assert!(line.contains(&format!(" - sni=x.db.test upstream=two server={}", two.name())), "{line}");
}

#[test]
fn an_unknown_name_gets_the_alert() {
    let origin = Origin::echo();
    let proxy = passthrough("sni = { \"a.test\" = \"app\" }", &[("app", &origin.name())]);
    for arguments in [&["-servername", "other.test"][..], &["-noservername"], &["-servername", "other.test", "-tls1_2"]] {
        let said = s_client(proxy.tcp(), arguments);
        assert!(said.contains("unrecognized name"), "{arguments:?}: {said}");
    }
    let line = proxy.access_line(|line| line.contains("sni=other.test"));
    assert!(line.contains(" no_sni_match sni=other.test total=") && line.ends_with("in=0 out=0"), "{line}");
    assert_eq!(origin.connections(), 0);
}

#[test]
fn protocols_choose_among_servers_of_one_name() {
    let ((one, dir), two) = (redis_as("a.test"), Origin::says("HTTP/1.1 400 no TLS here\r\n\r\n"));
    let proxy = passthrough(
        "sni = { \"a.test\" = [{ to = \"two\", alpn = [\"h2\", \"http/1.1\"] }, { to = \"one\" }] }",
        &[("one", &one.name()), ("two", &two.name())],
    );
    assert_eq!(ask_redis(proxy.tcp(), "a.test", dir.path(), &["ping"]), "PONG\n");
    assert_eq!(two.connections(), 0);
    s_client(proxy.tcp(), &["-servername", "a.test", "-alpn", "x,http/1.1"]);
    assert_eq!(two.connections(), 1);
}

#[test]
fn a_known_name_for_other_protocols_gets_another_alert() {
    let origin = Origin::echo();
    let proxy = passthrough(
        "sni = { \"a.test\" = { to = \"app\", alpn = \"h2\" }, \"*.test\" = { to = \"app\", alpn = \"redis\" } }",
        &[("app", &origin.name())],
    );
    for arguments in
        [&["-servername", "a.test", "-alpn", "http/1.1"][..], &["-servername", "a.test"], &["-servername", "b.test", "-alpn", "h2"]]
    {
        let said = s_client(proxy.tcp(), arguments);
        assert!(said.contains("no application protocol") && !said.contains("unrecognized name"), "{arguments:?}: {said}");
    }
    let said = s_client(proxy.tcp(), &["-servername", "other", "-alpn", "h2"]);
    assert!(said.contains("unrecognized name"), "{said}");
    proxy.access_line(|line| line.contains(" no_alpn_match sni=b.test "));
    assert_eq!(origin.connections(), 0);
}

/// Accepts one connection and passes it on to `to` with its first record cut: into records of `size` bytes, one byte a segment.
fn chopped(to: SocketAddr, size: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut server = TcpStream::connect(to).unwrap();
        server.set_nodelay(true).unwrap();
        let mut head = [0; 5];
        client.read_exact(&mut head).unwrap();
        let mut record = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
        client.read_exact(&mut record).unwrap();
        for part in record.chunks(size) {
            let cut = [&head[..3], &(part.len() as u16).to_be_bytes(), part].concat();
            for byte in cut {
                server.write_all(&[byte]).unwrap();
            }
        }
        let (mut from, mut to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
        let back = std::thread::spawn(move || drop((std::io::copy(&mut from, &mut to), to.shutdown(Shutdown::Write))));
        drop((std::io::copy(&mut client, &mut server), server.shutdown(Shutdown::Write)));
        back.join().unwrap();
    });
    address
}

#[test]
fn a_hello_in_any_pieces_is_understood_and_passed_on_whole() {
    let (redis, dir) = redis_as("a.test");
    let proxy = passthrough("sni = { \"a.test\" = \"redis\" }", &[("redis", &redis.name())]);
    for size in [1 << 14, 100, 7] {
        let address = chopped(proxy.tcp(), size);
        assert_eq!(ask_redis(address, "a.test", dir.path(), &["ping"]), "PONG\n", "records of {size} bytes");
    }
}

#[test]
fn what_is_not_tls_is_closed_and_what_does_not_come_is_not_waited_for() {
    let origin = Origin::echo();
    let proxy = Proxy::start(&format!(
        "[limits]\nhello-read = \"300ms\"\n[tcp.\"127.0.0.1:0\"]\ntls = \"passthrough\"\nto = \"app\"\n[upstream]\napp = \"{}\"\n",
        origin.name()
    ));
    let mut plain = connect(proxy.tcp());
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    // A reset, as there are bytes that nobody read, or an end: either way nothing is said.
    assert!(!matches!(plain.read(&mut [0; 10]), Ok(1..)));
    proxy.access_line(|line| line.contains(" not_tls "));
    let begun = Instant::now();
    let mut slow = connect(proxy.tcp());
    slow.write_all(&[22, 3, 1, 2]).unwrap();
    assert!(!matches!(slow.read(&mut [0; 10]), Ok(1..)));
    assert!(begun.elapsed().as_millis() >= 250 && begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
    proxy.access_line(|line| line.contains(" hello_timeout "));
    let mut endless = connect(proxy.tcp());
    let _ = endless.write_all(&[22, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xff].into_iter().chain([0; 20_000]).collect::<Vec<u8>>());
    proxy.access_line(|line| line.contains(" hello_too_large "));
    assert_eq!(origin.connections(), 0);
}

#[test]
fn https_sites_and_a_passthrough_share_a_port() {
    let (redis, dir) = redis_as("redis.test");
    let address = nobody();
    let proxy = Proxy::start(&format!(
        r#"
[server]
workers = 2
state = "state"
[listen]
https = ["{address}"]
http = []
[site.localhost]
tls = "local"
routes = {{ "/*" = {{ respond = "the site" }} }}
[tcp."{address}"]
tls = "passthrough"
sni = {{ "redis.test" = "redis", "localhost" = {{ to = "redis", alpn = "redis" }}, "only.test" = {{ to = "redis", alpn = "redis" }} }}
[upstream]
redis = "{}"
"#,
        redis.name()
    ));
    assert_eq!((proxy.https(), proxy.tcp()), (address, address));
    drop(connect(address));
    let root = find_root(proxy.dir.path());
    for version in ["--http1.1", "--http2"] {
        let url = format!("https://localhost:{}/", address.port());
        assert_eq!(curl(&["--cacert", root.to_str().unwrap(), version, &url]), "the site");
    }
    assert_eq!(ask_redis(address, "redis.test", dir.path(), &["ping"]), "PONG\n");
    assert_eq!(ask_redis(chopped(address, 50), "redis.test", dir.path(), &["ping"]), "PONG\n");
    let said = s_client(chopped(address, 50), &["-servername", "localhost"]);
    assert!(said.contains("CONNECTED") && said.contains("TLSv1.3"), "a hello in pieces reaches the site: {said}");
    assert!(s_client(address, &["-servername", "other.test"]).contains("unrecognized name"));
    let said = s_client(address, &["-servername", "only.test", "-alpn", "http/1.1"]);
    assert!(said.contains("no application protocol"), "no site has this name, and no entry these protocols: {said}");
    proxy.access_line(|line| line.contains(" no_alpn_match sni=only.test "));
    let said = s_client(address, &["-servername", "localhost", "-alpn", "redis"]);
    assert!(said.contains("CN=rcgen self signed cert") || said.contains("CN = rcgen self signed cert"), "Redis's certificate: {said}");
    assert!(!proxy.access_log().iter().any(|line| line.contains(" client_gone ")), "who says nothing is not known to want a tunnel");
    let mut plain = connect(address);
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut told = Vec::new();
    let _ = plain.read_to_end(&mut told);
    assert!(told.is_empty() || told.first() == Some(&21), "at most an alert: {told:?}");
}

#[test]
fn tls_ends_here_and_the_name_still_chooses() {
    let one = Server::redis(None);
    let proxy = Proxy::start_in(
        certificates(&["a.test"]),
        &format!(
            r#"
[tcp."127.0.0.1:0"]
tls = {{ cert = "a.test.pem", key = "a.test.key", alpn = ["redis"] }}
sni = {{ "a.test" = "one" }}
[tcp."127.0.0.1:0".timeout]
idle = "10s"
[upstream]
one = "{}"
"#,
            one.name()
        ),
    );
    assert_eq!(ask_redis(proxy.tcp(), "a.test", proxy.dir.path(), &["set", "who", "one"]), "OK\n");
    assert_eq!(redis_cli(one.address, &["get", "who"]), "one\n");
    assert!(s_client(proxy.tcp(), &["-servername", "a.test", "-alpn", "redis"]).contains("ALPN protocol: redis"));
    assert!(s_client(proxy.tcp(), &["-servername", "a.test", "-alpn", "other"]).contains("no application protocol"));
    assert!(s_client(proxy.tcp(), &["-servername", "b.test"]).contains("unrecognized name"));
    proxy.access_line(|line| line.contains(" handshake_failed sni=a.test "));
}

#[test]
fn the_local_ca_serves_tcp_too() {
    let redis = Server::redis(None);
    let proxy = Proxy::start(&format!(
        "[tcp.\"127.0.0.1:0\"]\ntls = \"local\"\nto = \"redis\"\nsni = {{ \"*.db.test\" = \"redis\" }}\n[upstream]\nredis = \"{}\"\n",
        redis.name()
    ));
    let root = find_root(proxy.dir.path());
    let root = root.to_str().unwrap();
    for name in ["a.db.test", "localhost"] {
        assert_eq!(redis_cli(proxy.tcp(), &["--tls", "--cacert", root, "--sni", name, "ping"]), "PONG\n");
        let said = s_client(proxy.tcp(), &["-servername", name, "-verify_hostname", name, "-CAfile", root, "-verify_return_error"]);
        assert!(said.contains("Verify return code: 0"), "{name}: {said}");
    }
    let said = s_client(proxy.tcp(), &["-noservername", "-verify_ip", "127.0.0.1", "-CAfile", root, "-verify_return_error"]);
    assert!(said.contains("Verify return code: 0"), "by address: {said}");
}
