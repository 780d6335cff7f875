//! The PROXY protocol: from proxies in front of us, and to servers behind us; with HAProxy at either end.

use portcullis_tests::servers::Server;
use portcullis_tests::{Origin, Proxy, Raw, curl, get};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

const SITE: &str = "[site.\"a.test\"]\ntls = \"off\"\nroutes = { \"/*\" = \"app\" }\n";
const GET: &str = "GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";

/// A proxy that believes `who`.
fn believing(who: &str, origin: &Origin, more: &str) -> Proxy {
    Proxy::start(&format!(
        "{more}[server]\nworkers = 1\nstate = \"state\"\n[listen]\nhttp = [\"127.0.0.1:0\"]\nhttps = [\"127.0.0.1:0\"]\n\
         accept = {{ proxy-protocol = [{who}] }}\n{SITE}[site.localhost]\ntls = \"local\"\nroutes = {{ \"/*\" = \"app\" }}\n[upstream]\napp = \"{}\"\n",
        origin.name()
    ))
}

fn v2(source: [u8; 4], port: u16) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend(source);
    header.extend([192, 0, 2, 1]);
    header.extend(port.to_be_bytes());
    header.extend(443u16.to_be_bytes());
    header
}

#[test]
fn the_header_says_who_the_client_is() {
    let origin = Origin::echo();
    let proxy = believing("\"127.0.0.1\"", &origin, "");
    let line = b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 80\r\n".to_vec();
    for header in [line, v2([203, 0, 113, 9], 4711)] {
        let said = Raw::connect(proxy.http()).send([&header[..], GET.as_bytes()].concat()).response().text().to_lowercase();
        assert!(said.contains("x-forwarded-for: 203.0.113.9\r\n"), "{said}");
        // Also in the smallest pieces.
        let mut client = Raw::connect(proxy.http());
        for byte in header.iter().chain(GET.as_bytes()) {
            client.send([*byte]);
        }
        assert!(client.response().text().to_lowercase().contains("x-forwarded-for: 203.0.113.9\r\n"));
    }
    proxy.access_line(|line| line.contains("203.0.113.9"));
    // Who has nothing to say but that it is there is taken for itself.
    let said = Raw::connect(proxy.http()).send(format!("PROXY UNKNOWN\r\n{GET}")).response().text().to_lowercase();
    assert!(said.contains("x-forwarded-for: 127.0.0.1\r\n"), "{said}");
}

#[test]
fn who_must_send_one_and_does_not_is_closed() {
    let origin = Origin::echo();
    let proxy = believing("\"127.0.0.1\"", &origin, "");
    for bytes in
        [GET.as_bytes(), b"PROXY TCP4 1.2.3.4\r\n", &[b"PROXY UNKNOWN ", &[b'x'; 200][..]].concat(), b"\r\n\r\n\0\r\nQUIT\n\x11\x11\0\0"]
    {
        let mut client = Raw::connect(proxy.http());
        client.try_send(bytes);
        assert!(client.closed(), "{bytes:?}");
    }
    assert!(proxy.logged("there is no PROXY header").contains("peer=127.0.0.1"));
    assert!(origin.requests().is_empty());
}

#[test]
fn it_must_come_in_time() {
    let origin = Origin::echo();
    let proxy = believing("\"127.0.0.1\"", &origin, "limits = { proxy-header = \"200ms\" }\n");
    let begun = Instant::now();
    let mut client = Raw::connect(proxy.http());
    client.send("PROXY TCP4 ");
    assert!(client.closed() && begun.elapsed() < Duration::from_secs(10));
    proxy.logged("did not come in time");
}

#[test]
fn nobody_else_is_believed() {
    let origin = Origin::echo();
    let proxy = believing("\"10.0.0.0/8\"", &origin, "");
    for header in [b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 80\r\n".to_vec(), v2([203, 0, 113, 9], 4711)] {
        let mut client = Raw::connect(proxy.http());
        client.try_send([&header[..], GET.as_bytes()].concat());
        let said = String::from_utf8(client.rest()).unwrap();
        assert!(said.is_empty() || said.starts_with("HTTP/1.1 400 "), "{said}");
    }
    assert_eq!(get(proxy.http(), "a.test", "/").status, 200, "without one it goes on as ever");
    assert!(origin.requests().iter().all(|request| !request.contains("203.0.113.9")));
    assert!(!proxy.access_log().concat().contains("203.0.113.9"));
}

/// The limit per address is for clients, not for the balancer that they all come through.
#[test]
fn limits_count_the_client() {
    let origin = Origin::echo();
    let proxy = believing("\"127.0.0.1\"", &origin, "limits = { connections-per-ip = 2 }\n");
    let open = |last: u8| {
        let mut client = Raw::connect(proxy.http());
        client.try_send([&v2([203, 0, 113, last], 1)[..], b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"].concat());
        let answered = client.try_response_to("GET").is_some();
        (client, answered)
    };
    let held: Vec<_> = [1, 1, 2, 2, 3].map(open).into();
    assert!(held.iter().all(|(_, answered)| *answered));
    assert!(!open(1).1);
    proxy.logged("PerClient");
    drop(held);
}

#[test]
fn haproxy_sends() {
    let origin = Origin::echo();
    let proxy = believing("\"127.0.0.1\"", &origin, "");
    for (option, listener) in [("send-proxy", proxy.http()), ("send-proxy-v2", proxy.http())] {
        let haproxy = Server::haproxy(|address, _| {
            format!("frontend f\n  bind {address}\n  default_backend b\nbackend b\n  server s {listener} {option}")
        });
        // A source of its own, so that it can be told from HAProxy.
        let url = format!("http://a.test:{}/{option}", haproxy.address.port());
        let resolve = format!("a.test:{}:127.0.0.1", haproxy.address.port());
        let said = curl(&["--interface", "127.0.0.77", "--resolve", &resolve, &url]).to_lowercase();
        assert!(said.contains("x-forwarded-for: 127.0.0.77\r\n"), "{said}");
    }
    // TLS through a TCP balancer: the header comes before the handshake.
    let https = proxy.https();
    let haproxy = Server::haproxy(|address, _| format!("listen l\n  mode tcp\n  bind {address}\n  server s {https} send-proxy-v2"));
    let url = format!("https://localhost:{}/tls", haproxy.address.port());
    let said = curl(&["-k", "--http2", "--interface", "127.0.0.78", &url]).to_lowercase();
    assert!(said.contains("x-forwarded-for: 127.0.0.78\r\n") && said.contains("x-forwarded-proto: https"), "{said}");
}

/// What HAProxy makes of our header, as its own answer.
fn receiving(more: &str) -> Server {
    Server::haproxy(|address, _| {
        format!(
            "frontend f\n  bind {address} accept-proxy\n  \
             http-request return status 200 content-type text/plain lf-string \"%[src]:%[src_port] %[dst] %[fc_pp_authority] {more}\""
        )
    })
}

#[test]
fn haproxy_receives() {
    let haproxy = receiving("%[path]");
    for version in ["v1", "v2"] {
        let text = format!(
            "{SITE}[site.localhost]\ntls = \"local\"\nroutes = {{ \"/*\" = \"app\" }}\n[upstream.app]\nservers = \"{}\"\nproxy-protocol = \"{version}\"\n",
            haproxy.address
        );
        let proxy = Proxy::start(&text);
        let mut client = TcpStream::connect(proxy.http()).unwrap();
        let from = client.local_addr().unwrap();
        client.write_all(GET.as_bytes()).unwrap();
        let mut said = String::new();
        client.read_to_string(&mut said).unwrap();
        assert!(said.ends_with(&format!("127.0.0.1:{} 127.0.0.1  /x", from.port())), "{version}: {said}");
        let url = format!("https://localhost:{}/x", proxy.https().port());
        let said = curl(&["-k", &url]);
        assert!(said.contains(if version == "v2" { " localhost /x" } else { "  /x" }), "{version}: {said}");
    }
}

/// An origin that answers each request with the header line its connection began with.
fn announced() -> Origin {
    Origin::serve(|stream, seen| {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\r\n") {
            if !matches!(stream.read(&mut byte), Ok(1)) {
                return;
            }
            line.push(byte[0]);
        }
        let line = String::from_utf8(line).unwrap();
        while let Some((head, _)) = portcullis_tests::origin::read_head(stream) {
            seen.lock().unwrap().push(head);
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{line}", line.len());
        }
    })
}

#[test]
fn connections_are_not_shared_between_clients() {
    let origin = announced();
    let text = format!(
        "[server]\nworkers = 1\nstate = \"state\"\n[listen]\nhttp = [\"127.0.0.1:0\"]\n{SITE}[upstream.app]\nservers = \"{}\"\nproxy-protocol = \"v1\"\n",
        origin.name()
    );
    let proxy = Proxy::start(&text);
    let mut clients: Vec<Raw> = (0..3).map(|_| Raw::connect(proxy.http())).collect();
    for _ in 0..3 {
        for client in &mut clients {
            let from = client.stream.local_addr().unwrap();
            let said = client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").response().text();
            assert_eq!(said, format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", from.port(), proxy.http().port()));
        }
    }
    assert_eq!(origin.connections(), 3, "each keeps its own");
}

/// In and out again: what a balancer before us said reaches the server behind us.
#[test]
fn tunnels_take_and_give_headers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let text = format!(
        "[server]\nworkers = 1\nstate = \"state\"\n[tcp.\"127.0.0.1:0\"]\nto = \"db\"\naccept = {{ proxy-protocol = \"127.0.0.1\" }}\n\
         [upstream.db]\nservers = \"{}\"\nproxy-protocol = \"v1\"\n",
        listener.local_addr().unwrap()
    );
    let proxy = Proxy::start(&text);
    let log = proxy.logged("listening tcp ");
    let address: std::net::SocketAddr = log.split("listening tcp ").nth(1).unwrap().trim().parse().unwrap();
    let mut client = Raw::connect(address);
    client.send([&v2([203, 0, 113, 9], 4711)[..], b"hello"].concat()).finish();
    let (mut server, _) = listener.accept().unwrap();
    let mut heard = String::new();
    server.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\nhello");
    drop(server);
    assert!(client.closed());
    proxy.access_line(|line| line.contains("203.0.113.9"));
}

/// A plain tunnel that believes `who`, and the server behind it.
fn believing_tunnel(who: &str, more: &str) -> (Proxy, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(&format!(
        "[server]\nworkers = 1\nstate = \"state\"\n[tcp.\"127.0.0.1:0\"]\nto = \"db\"\naccept = {{ proxy-protocol = {who} }}\n{more}\n\
         [upstream.db]\nservers = \"{}\"\n",
        listener.local_addr().unwrap()
    ));
    (proxy, listener)
}

#[test]
fn a_tunnel_carries_no_header_of_others() {
    let (proxy, listener) = believing_tunnel("\"10.0.0.0/8\"", "");
    for header in [b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 80\r\n".to_vec(), v2([203, 0, 113, 9], 4711)] {
        let mut client = Raw::connect(proxy.tcp());
        client.try_send([&header[..], b"hello"].concat());
        let (mut server, _) = listener.accept().unwrap();
        let mut heard = Vec::new();
        let _ = server.read_to_end(&mut heard);
        assert!(heard.is_empty() && client.closed(), "{heard:?}");
        // In the smallest pieces: what the server gets is never a header's beginning.
        let mut client = Raw::connect(proxy.tcp());
        let (mut server, _) = listener.accept().unwrap();
        for byte in &header {
            client.try_send([*byte]);
        }
        heard.clear();
        let _ = server.read_to_end(&mut heard);
        assert!(heard.len() < header.len() && !heard.starts_with(b"PROXY ") && !heard.ends_with(b"QUIT\n"), "{heard:?}");
        assert!(client.closed());
    }
    let line = proxy.access_line(|line| line.contains(" unlisted_proxy_header "));
    assert!(line.contains(" 127.0.0.1 TCP ") && line.ends_with(" in=0 out=0"), "{line}");
    proxy.logged("unlisted_proxy_header: 127.0.0.1 is not listed");
}

#[test]
fn a_tunnel_makes_nobody_else_wait() {
    let (proxy, listener) = believing_tunnel("\"10.0.0.0/8\"", "");
    let mut client = Raw::connect(proxy.tcp());
    let (mut server, _) = listener.accept().unwrap();
    server.write_all(b"220 greetings\r\n").unwrap();
    assert_eq!(client.exactly(15).unwrap(), b"220 greetings\r\n", "before the client has said a word");
    // What might become a header is not held back either.
    let mut heard = [0; 4];
    for (sent, count) in [(&b"PROX"[..], 4), (b"IMA PROXY TCP4", 4)] {
        client.send(sent);
        server.read_exact(&mut heard[..count]).unwrap();
        assert_eq!(heard[..count], sent[..count]);
    }
    client.finish();
    let mut rest = String::new();
    server.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "PROXY TCP4", "a header in the middle is none");
    drop(server);
    proxy.access_line(|line| line.ends_with(" in=18 out=15"));
}

#[test]
fn a_listener_without_the_key_carries_what_comes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(&format!("[tcp.\"127.0.0.1:0\"]\nto = \"db\"\n[upstream]\ndb = \"{}\"\n", listener.local_addr().unwrap()));
    let mut client = Raw::connect(proxy.tcp());
    client.send("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nhello").finish();
    let mut heard = String::new();
    listener.accept().unwrap().0.read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nhello");
}

#[test]
fn where_tls_is_spoken_a_header_of_others_is_told_from_other_noise() {
    let origin = Origin::echo();
    let (proxy, _listener) = believing_tunnel("\"10.0.0.0/8\"", "tls = \"passthrough\"");
    let mut client = Raw::connect(proxy.tcp());
    client.try_send(v2([203, 0, 113, 9], 4711));
    assert!(client.closed());
    proxy.access_line(|line| line.contains(" unlisted_proxy_header "));
    proxy.logged("closed: a PROXY header from a peer that `proxy-protocol` does not list");

    let proxy = believing("\"10.0.0.0/8\"", &origin, "");
    let mut client = Raw::connect(proxy.https());
    client.try_send("PROXY TCP4 203.0.113.9 192.0.2.1 4711 80\r\n");
    assert!(client.closed());
    proxy.logged("closed: a PROXY header from a peer that `proxy-protocol` does not list");
    let url = format!("https://localhost:{}/", proxy.https().port());
    assert!(curl(&["-k", &url]).contains("GET / HTTP/1.1"), "without one it goes on as ever");
}

/// Type and value of each TLV in a header of version 2 for IPv4.
fn tlvs(header: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let (mut left, mut found) = (&header[28..], Vec::new());
    while let [kind, high, low, rest @ ..] = left {
        let (value, after) = rest.split_at(u16::from_be_bytes([*high, *low]).into());
        found.push((*kind, value.to_vec()));
        left = after;
    }
    found
}

#[test]
fn a_tunnel_of_tls_says_which_name_was_asked_for() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = Proxy::start(&format!(
        "[tcp.\"127.0.0.1:0\"]\ntls = \"passthrough\"\nto = \"app\"\n[upstream.app]\nservers = \"{}\"\nproxy-protocol = \"v2\"\n",
        server.local_addr().unwrap()
    ));
    let openssl = portcullis_tests::tools::need("openssl", "openssl");
    for (arguments, authority) in [(&["-servername", "A.Test", "-alpn", "h2"][..], Some("a.test")), (&["-noservername"], None)] {
        let mut client = std::process::Command::new(&openssl)
            .args(["s_client", "-connect", &proxy.tcp().to_string()])
            .args(arguments)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let (mut stream, _) = server.accept().unwrap();
        let mut header = vec![0; 16];
        stream.read_exact(&mut header).unwrap();
        let mut rest = vec![0; usize::from(u16::from_be_bytes([header[14], header[15]]))];
        stream.read_exact(&mut rest).unwrap();
        header.extend(rest);
        let wanted: Vec<_> = authority.map(|name| (2, name.as_bytes().to_vec())).into_iter().collect();
        assert_eq!(tlvs(&header), wanted, "the name, and no guess at the protocol");
        let mut first = [0];
        stream.read_exact(&mut first).unwrap();
        assert_eq!(first, [22], "the hello follows");
        drop(stream);
        client.wait().unwrap();
    }
}

/// HAProxy understands it as the name.
#[test]
fn haproxy_learns_the_name_of_a_passed_through_connection() {
    let dir = crate::tls::certificates(&["a.test"]);
    let both = ["a.test.pem", "a.test.key"].map(|file| std::fs::read_to_string(dir.path().join(file)).unwrap()).concat();
    let pem = dir.path().join("both.pem");
    std::fs::write(&pem, both).unwrap();
    let haproxy = Server::haproxy(|address, _| {
        format!(
            "frontend f\n  bind {address} accept-proxy ssl crt {}\n  \
             http-request return status 200 content-type text/plain lf-string \"%[src] %[fc_pp_authority]\"",
            pem.display()
        )
    });
    let proxy = Proxy::start(&format!(
        "[tcp.\"127.0.0.1:0\"]\ntls = \"passthrough\"\nsni = {{ \"a.test\" = \"app\" }}\n[upstream.app]\nservers = \"{}\"\nproxy-protocol = \"v2\"\n",
        haproxy.address
    ));
    let (port, resolve) = (proxy.tcp().port(), format!("a.test:{}:127.0.0.1", proxy.tcp().port()));
    assert_eq!(curl(&["-k", "--interface", "127.0.0.79", "--resolve", &resolve, &format!("https://a.test:{port}/")]), "127.0.0.79 a.test");
}
