//! Unix sockets, as listeners and as servers.

use portcullis_tests::servers::Server;
use portcullis_tests::{Origin, Proxy, Raw, curl, get};
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

const SITE: &str = "[site.\"a.test\"]\ntls = \"off\"\nroutes = { \"/*\" = \"app\" }\n";

fn curl_over(socket: &Path, arguments: &[&str], url: &str) -> String {
    let mut all = vec!["--unix-socket", socket.to_str().unwrap()];
    all.extend(arguments);
    all.push(url);
    curl(&all)
}

/// Both walls: curl to us, and we to nginx, over sockets in the file system.
#[test]
fn in_and_out() {
    let nginx = Server::nginx(|address, folder| {
        format!(
            "server {{ listen {address}; }}\nserver {{ listen unix:{folder}/app.sock;\n\
             location / {{ return 200 \"$http_x_forwarded_for $http_x_forwarded_proto $request_uri $connection_requests\"; }} }}"
        )
    });
    let text = format!(
        "[server]\nworkers = 2\nstate = \"state\"\n[listen]\nhttp = [\"unix:h.sock?mode=0600\", \"127.0.0.1:0\"]\nhttps = \"unix:s.sock\"\n{SITE}\
         [site.localhost]\ntls = \"local\"\nroutes = {{ \"/*\" = \"app\" }}\n\
         [upstream.app]\nservers = \"unix:{}/app.sock\"\n",
        nginx.dir.path().display()
    );
    let mut proxy = Proxy::start(&text);
    let (plain, tls) = (proxy.dir.path().join("h.sock"), proxy.dir.path().join("s.sock"));
    assert_eq!(plain.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(tls.metadata().unwrap().permissions().mode() & 0o777, 0o660);
    proxy.logged("listening http unix:");
    for _ in 0..20 {
        assert!(curl_over(&plain, &[], "http://a.test/x").starts_with("127.0.0.1 http /x "));
    }
    assert!(curl_over(&tls, &["-k", "--http2"], "https://localhost/y").starts_with("127.0.0.1 https /y "));
    proxy.access_line(|line| line.contains("127.0.0.1") && line.contains("unix:") && line.contains("/x"));

    proxy.terminate();
    assert_eq!(proxy.wait(Duration::from_secs(10)), Some(0));
    assert!(!plain.exists() && !tls.exists(), "the files go with their listener");
}

#[test]
fn what_was_left_behind_is_replaced_and_what_is_in_use_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("h.sock");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.metadata().unwrap().file_type().is_socket());
    let config =
        format!("[server]\nworkers = 1\nstate = \"state\"\n[listen]\nhttp = \"unix:h.sock\"\n{SITE}[upstream]\napp = \"127.0.0.1:1\"\n");
    let proxy = Proxy::start_in(dir, &config);
    assert_eq!(curl_over(&path, &["-o", "/dev/null", "-w", "%{http_code}"], "http://a.test/"), "502");

    std::fs::write(proxy.dir.path().join("again.toml"), &config).unwrap();
    let again = portcullis_tests::proxy::run(proxy.dir.path(), &["run", "again.toml"]);
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(!again.status.success() && said.contains("E040") && said.contains("another process listens there"), "{said}");
    assert_eq!(curl_over(&path, &["-o", "/dev/null", "-w", "%{http_code}"], "http://a.test/"), "502", "the first still serves");
}

/// An address of 127.0.0.1 stands for who has none; it grants nothing.
#[test]
fn only_who_is_listed_is_a_trusted_proxy() {
    for (trusted, client) in [("\"127.0.0.0/8\"", "127.0.0.1"), ("\"127.0.0.0/8\", \"unix\"", "203.0.113.9")] {
        let origin = Origin::echo();
        let text = format!(
            "[server]\nworkers = 1\nstate = \"state\"\ntrusted-proxies = [{trusted}]\n[listen]\nhttp = [\"unix:h.sock\", \"127.0.0.1:0\"]\n{SITE}[upstream]\napp = \"{}\"\n",
            origin.name()
        );
        let proxy = Proxy::start(&text);
        let said = curl_over(&proxy.dir.path().join("h.sock"), &["-H", "X-Forwarded-For: 203.0.113.9"], "http://a.test/").to_lowercase();
        assert!(said.contains(&format!("x-forwarded-for: {client}")), "{trusted}: {said}");
        proxy.access_line(|line| line.contains(client));
    }
}

/// A server that goes away is an error like any other, and one that comes back is found.
#[test]
fn servers_come_and_go() {
    let proxy = Proxy::start(&format!("{SITE}[upstream.app]\nservers = \"unix:app.sock\"\n"));
    let path = proxy.dir.path().join("app.sock");
    assert_eq!(get(proxy.http(), "a.test", "/").reason(), Some("connect_failed"));
    let listener = UnixListener::bind(&path).unwrap();
    let serving = std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && peer.read(&mut byte).unwrap() == 1 {
            head.push(byte[0]);
        }
        peer.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n").unwrap();
        let mut ping = [0; 4];
        peer.read_exact(&mut ping).unwrap();
        peer.write_all(&ping).unwrap();
    });
    let mut client = Raw::connect(proxy.http());
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
    assert!(client.until(b"\r\n\r\n").unwrap().starts_with(b"HTTP/1.1 101"));
    assert_eq!(client.send("ping").exactly(4).unwrap(), b"ping");
    assert!(client.closed());
    serving.join().unwrap();
    assert_eq!(get(proxy.http(), "a.test", "/").reason(), Some("connect_refused"));
}

/// A tunnel from one socket in the file system to another.
#[test]
fn tunnels_over_sockets() {
    let text =
        "[server]\nworkers = 1\nstate = \"state\"\n[tcp.\"unix:in.sock\"]\nto = \"app\"\n[upstream.app]\nservers = \"unix:out.sock\"\n";
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("out.sock")).unwrap();
    let proxy = Proxy::start_in(dir, text);
    let mut client = UnixStream::connect(proxy.dir.path().join("in.sock")).unwrap();
    let (mut server, _) = listener.accept().unwrap();
    for end in [&client, &server] {
        end.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    }
    client.write_all(b"question").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut heard = String::new();
    server.read_to_string(&mut heard).unwrap();
    server.write_all(b"answer").unwrap();
    drop(server);
    let mut said = String::new();
    client.read_to_string(&mut said).unwrap();
    assert_eq!((&*heard, &*said), ("question", "answer"));
}
