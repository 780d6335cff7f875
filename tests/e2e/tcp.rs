//! TCP routing, as its users see it: real servers and clients through plain tunnels, and what becomes of a tunnel when a side fails.

use portcullis_tests::{Origin, Proxy, Server, nobody, proxy, tools};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;

/// A plain tunnel to these servers, with more TOML for the listener.
fn tunnel(servers: &[String], more: &str) -> Proxy {
    let servers = servers.iter().map(|server| format!("\"{server}\"")).collect::<Vec<_>>().join(", ");
    Proxy::start(&format!(
        "[limits]\nconnections-per-ip = 10000\n[tcp.\"127.0.0.1:0\"]\nto = \"db\"\n{more}\n[upstream.db]\nservers = [{servers}]\nbalance = \"round-robin\"\n"
    ))
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

fn all(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// What `redis-cli` prints.
pub fn redis_cli(address: SocketAddr, arguments: &[&str]) -> String {
    let output = Command::new(tools::need("redis-cli", "redis-tools"))
        .args(["-h", "127.0.0.1", "-p", &address.port().to_string()])
        .args(arguments)
        .output()
        .unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Bytes that the process holds in memory.
fn resident(proxy: &Proxy) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", proxy.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

#[test]
fn redis_through_a_plain_tunnel() {
    let redis = Server::redis(None);
    let proxy = tunnel(&[redis.name()], "");
    assert_eq!(redis_cli(proxy.tcp(), &["set", "answer", "42"]), "OK\n");
    assert_eq!(redis_cli(proxy.tcp(), &["get", "answer"]), "42\n");
    let line = proxy.access_line(|line| line.contains(" TCP "));
    let wanted = format!(" 127.0.0.1 TCP {} - upstream=db server={} total=", proxy.tcp(), redis.name());
    assert!(line.contains(&wanted) && line.contains(" connect=") && !line.ends_with("in=0 out=0"), "{line}");
}

#[test]
fn each_side_may_end_first_and_still_listen() {
    let origin = Origin::serve(|stream, seen| match all(stream).as_str() {
        "client first" => stream.write_all(b"heard you to the end").unwrap(),
        other => seen.lock().unwrap().push(other.to_owned()),
    });
    let proxy = tunnel(&[origin.name()], "");
    let mut client = connect(proxy.tcp());
    client.write_all(b"client first").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(all(&mut client), "heard you to the end");
    let line = proxy.access_line(|line| line.ends_with("in=12 out=20"));
    assert!(line.contains(" - upstream=db"), "{line}");

    let origin = Origin::serve(|stream, seen| {
        stream.write_all(b"I am done").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        seen.lock().unwrap().push(all(stream));
    });
    let proxy = tunnel(&[origin.name()], "");
    let mut client = connect(proxy.tcp());
    assert_eq!(all(&mut client), "I am done");
    client.write_all(b"but I am not").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    proxy.access_line(|line| line.contains(" - upstream=db") && line.ends_with("in=12 out=9"));
    assert_eq!(origin.requests(), ["but I am not"]);
}

#[test]
fn a_server_that_is_down_is_passed_over() {
    let origin = Origin::says("here");
    let proxy = tunnel(&[nobody().to_string(), origin.name()], "");
    for _ in 0..6 {
        let mut client = connect(proxy.tcp());
        client.write_all(b"\r\n\r\n").unwrap();
        assert_eq!(all(&mut client), "here");
    }
}

#[test]
fn nobody_there_is_no_clean_end() {
    let server = nobody();
    let proxy = tunnel(&[server.to_string()], "");
    let mut client = connect(proxy.tcp());
    let error = client.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    let line = proxy.access_line(|line| line.contains(" TCP "));
    assert!(line.contains(&format!(" connect_refused upstream=db server={server} total=")), "{line}");
    proxy.logged("connect_refused");
}

#[test]
fn silence_ends_a_tunnel_and_talk_keeps_it() {
    let origin = Origin::serve(|stream, _| drop(std::io::copy(&mut stream.try_clone().unwrap(), stream)));
    let proxy = tunnel(&[origin.name()], "timeout = { idle = \"600ms\" }");
    let mut client = connect(proxy.tcp());
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1500) {
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
        std::thread::sleep(Duration::from_millis(50));
    }
    let quiet = Instant::now();
    assert_eq!(all(&mut client), "");
    assert!(quiet.elapsed() >= Duration::from_millis(500), "{:?}", quiet.elapsed());
    proxy.access_line(|line| line.contains(" idle upstream=db"));
}

#[test]
fn an_origin_that_breaks_off_is_not_taken_for_one_that_ended() {
    let origin = Origin::serve(|stream, _| {
        stream.write_all(b"half of").unwrap();
        stream.read_exact(&mut [0]).unwrap();
        // Closing over unread bytes resets.
        while stream.peek(&mut [0; 2]).unwrap() == 0 {}
    });
    let proxy = tunnel(&[origin.name()], "");
    let mut client = connect(proxy.tcp());
    client.read_exact(&mut [0; 7]).unwrap();
    client.write_all(b"1 and more that is never read").unwrap();
    assert_eq!(client.read(&mut [0; 1]).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    proxy.access_line(|line| line.contains(" origin_gone upstream=db") && line.ends_with("out=7"));
}

#[test]
fn a_client_that_breaks_off_ends_the_origin_s_connection() {
    let origin = Origin::serve(|stream, seen| {
        let ended = std::io::copy(&mut std::io::repeat(b'x').take(1 << 30), stream);
        seen.lock().unwrap().push(format!("{:?}", ended.is_err()));
    });
    let proxy = tunnel(&[origin.name()], "");
    let mut client = connect(proxy.tcp());
    client.read_exact(&mut [0; 100]).unwrap();
    drop(client);
    proxy.access_line(|line| line.contains(" client_gone upstream=db"));
    let deadline = Instant::now() + Duration::from_secs(10);
    while origin.requests().is_empty() {
        assert!(Instant::now() < deadline, "the origin still sends");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(origin.requests(), ["true"]);
}

/// Says how much to send as 8 bytes, or 0 to count what comes.
fn weights() -> Origin {
    Origin::serve(|stream, _| {
        let mut wanted = [0; 8];
        let Ok(()) = stream.read_exact(&mut wanted) else { return };
        match u64::from_be_bytes(wanted) {
            0 => {
                let count = std::io::copy(stream, &mut std::io::sink()).unwrap();
                let _ = stream.write_all(&count.to_be_bytes());
            }
            count => drop(std::io::copy(&mut std::io::repeat(b'x').take(count), stream)),
        }
    })
}

#[test]
fn a_gibibyte_each_way_leaves_memory_as_it_is() {
    const LENGTH: u64 = 1024 * MIB;
    let origin = weights();
    let proxy = tunnel(&[origin.name()], "");
    let mut client = connect(proxy.tcp());
    client.write_all(&1000u64.to_be_bytes()).unwrap();
    assert_eq!(all(&mut client).len(), 1000);
    let before = resident(&proxy);
    let mut most = before;

    let mut client = connect(proxy.tcp());
    client.write_all(&LENGTH.to_be_bytes()).unwrap();
    let (mut left, mut piece) = (LENGTH, vec![0; 1 << 20]);
    while left > 0 {
        let count = client.read(&mut piece).unwrap();
        assert!(count > 0 && piece[..count].iter().all(|byte| *byte == b'x'), "{left} bytes are missing");
        left -= count as u64;
        most = most.max(resident(&proxy));
    }

    drop(client);
    let mut client = connect(proxy.tcp());
    client.write_all(&0u64.to_be_bytes()).unwrap();
    for _ in 0..LENGTH / MIB {
        client.write_all(&piece).unwrap();
        most = most.max(resident(&proxy));
    }
    client.shutdown(Shutdown::Write).unwrap();
    let mut counted = [0; 8];
    client.read_exact(&mut counted).unwrap();
    assert_eq!(u64::from_be_bytes(counted), LENGTH);
    assert!(most < before + 16 * MIB, "{} KiB more", (most - before) >> 10);
    proxy.access_line(|line| line.ends_with(&format!("in=8 out={LENGTH}")));
    proxy.access_line(|line| line.ends_with(&format!("in={} out=8", LENGTH + 8)));
}

#[test]
fn a_client_that_does_not_read_holds_up_only_itself() {
    let origin = weights();
    let proxy = tunnel(&[origin.name()], "");
    let mut stuck: Vec<TcpStream> = (0..20).map(|_| connect(proxy.tcp())).collect();
    for client in &mut stuck {
        client.write_all(&(100 * MIB).to_be_bytes()).unwrap();
    }
    std::thread::sleep(Duration::from_millis(300));
    let held = resident(&proxy);
    let mut other = connect(proxy.tcp());
    other.write_all(&1000u64.to_be_bytes()).unwrap();
    assert_eq!(all(&mut other).len(), 1000);
    assert!(held < 200 * MIB, "{} KiB for 20 clients that do not read", held >> 10);
    let mut patient = stuck.pop().unwrap();
    assert_eq!(std::io::copy(&mut patient, &mut std::io::sink()).unwrap(), 100 * MIB, "nothing is lost");
}

#[test]
fn two_thousand_idle_tunnels_cost_little() {
    const COUNT: u64 = 2000;
    raise_file_limit();
    let origin = Origin::serve(|stream, _| {
        stream.set_read_timeout(None).unwrap();
        drop(std::io::copy(&mut stream.try_clone().unwrap(), stream));
    });
    let proxy = tunnel(&[origin.name()], "");
    let talk = |client: &mut TcpStream| {
        client.write_all(b"hello").unwrap();
        client.read_exact(&mut [0; 5]).unwrap();
    };
    let mut first = connect(proxy.tcp());
    talk(&mut first);
    let before = resident(&proxy);
    // One after the other: the origin's queue has room for few that are not accepted yet.
    let open = |_| {
        let mut client = connect(proxy.tcp());
        talk(&mut client);
        client
    };
    let mut idle: Vec<TcpStream> = (0..COUNT).map(open).collect();
    let each = resident(&proxy).saturating_sub(before) / COUNT;
    println!("{each} bytes for each idle tunnel");
    // Of the test build; 4.2 KiB when this was written.
    assert!(each < 8 << 10, "{each} bytes for each idle tunnel");
    idle.iter_mut().for_each(talk);
    talk(&mut first);
}

/// Ends of pipes that the process has open.
fn pipe_ends(proxy: &Proxy) -> usize {
    let open = std::fs::read_dir(format!("/proc/{}/fd", proxy.pid())).unwrap();
    open.filter_map(|fd| std::fs::read_link(fd.unwrap().path()).ok()).filter(|to| to.to_string_lossy().starts_with("pipe:")).count()
}

/// There are 64 for each worker, and TLS has no use for them.
#[test]
fn a_tunnel_that_ends_tls_holds_no_pipe() {
    let origin = Origin::serve(|stream, _| {
        let _ = std::io::copy(&mut std::io::repeat(b'x').take(30 * MIB), stream);
        let _ = stream.read(&mut [0]);
    });
    let text = format!(
        "[server]\nworkers = 1\nstate = \"state\"\n[tcp.\"127.0.0.1:0\"]\ntls = {{ cert = \"a.test.pem\", key = \"a.test.key\" }}\nto = \"db\"\n\
         [upstream]\ndb = \"{}\"\n",
        origin.name()
    );
    let proxy = Proxy::start_in(crate::tls::certificates(&["a.test"]), &text);
    let before = pipe_ends(&proxy);
    let mut client = Command::new(tools::need("openssl", "openssl"))
        .args(["s_client", "-quiet", "-servername", "a.test", "-connect", &proxy.tcp().to_string()])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let taken = std::io::copy(&mut client.stdout.as_mut().unwrap().take(30 * MIB), &mut std::io::sink()).unwrap();
    assert_eq!((taken, pipe_ends(&proxy)), (30 * MIB, before));
    client.kill().unwrap();
    client.wait().unwrap();
}

#[allow(unsafe_code, reason = "getrlimit(2) and setrlimit(2) have no wrapper in std; the struct is ours and valid for both calls")]
fn raise_file_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
    }
}

#[test]
fn tunnels_go_on_after_sigterm_until_they_end() {
    let origin = Origin::serve(|stream, _| drop(std::io::copy(&mut stream.try_clone().unwrap(), stream)));
    let mut proxy = tunnel(&[origin.name()], "");
    let mut client = connect(proxy.tcp());
    client.write_all(b"a").unwrap();
    client.read_exact(&mut [0]).unwrap();
    let address = proxy.tcp();
    proxy.terminate();
    proxy.logged("stopping");
    while TcpStream::connect(address).is_ok() {
        std::thread::sleep(Duration::from_millis(5));
    }
    client.write_all(b"b").unwrap();
    client.read_exact(&mut [0]).unwrap();
    assert!(proxy.alive());
    drop(client);
    assert_eq!(proxy.wait(Duration::from_secs(5)), Some(0));
}

#[test]
fn the_access_log_can_be_json_or_off() {
    let origin = Origin::says("here");
    let start = |mode: &str| {
        Proxy::start(&format!(
            "[server]\nworkers = 1\nstate = \"state\"\naccess-log = \"{mode}\"\n[tcp.\"127.0.0.1:0\"]\nto = \"db\"\n[upstream]\ndb = \"{}\"\n",
            origin.name()
        ))
    };
    for mode in ["json", "off"] {
        let mut proxy = start(mode);
        let mut client = connect(proxy.tcp());
        client.write_all(b"\r\n\r\n").unwrap();
        assert_eq!(all(&mut client), "here");
        drop(client);
        if mode == "json" {
            let line: serde_json::Value = serde_json::from_str(&proxy.access_line(|line| line.contains("TCP"))).unwrap();
            assert_eq!(
                (&line["protocol"], &line["upstream"], &line["in"], &line["out"]),
                (&"TCP".into(), &"db".into(), &4.into(), &4.into())
            );
        }
        proxy.terminate();
        assert_eq!(proxy.wait(Duration::from_secs(5)), Some(0));
        assert_eq!(proxy.access_log().len(), usize::from(mode == "json"));
    }
}

#[test]
fn explain_says_who_takes_a_connection() {
    let dir = tempfile::tempdir().unwrap();
    let config = "[listen]\nhttps = [\"0.0.0.0:443\"]\nhttp = [\"0.0.0.0:80\"]\n\
                  [tcp.\"0.0.0.0:443\"]\ntls = \"passthrough\"\nsni = { \"*.db.test\" = \"db\", \"localhost\" = { to = \"db\", alpn = \"x\" } }\n\
                  [tcp.\"unix:run/in.sock\"]\ntls = \"passthrough\"\nsni = { \"a.test\" = { to = \"db\", alpn = \"x\" } }\n\
                  [tcp.\"0.0.0.0:5432\"]\nto = \"db\"\ntimeout = { idle = \"1h\" }\n\
                  [site.localhost]\nroutes = { \"/*\" = \"db\" }\n[upstream.db]\nservers = [\"10.0.0.1:1\", \"10.0.0.2:1\"]\n";
    std::fs::write(dir.path().join("portcullis.toml"), config).unwrap();
    let explain = |arguments: &[&str]| {
        let output = proxy::run(dir.path(), &[&["explain"], arguments].concat());
        (output.status.code(), format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
    };
    for (arguments, code, wanted) in [
        (
            &["tcp", "127.0.0.1:5432"][..],
            0,
            &["0.0.0.0:5432  (tls: none, or nobody looks)   portcullis.toml:10:6", "`to`", "idle 1h", "db  p2c  10.0.0.1:1 10.0.0.2:1"][..],
        ),
        (
            &["tcp", ":443", "--sni", "A.db.test"],
            0,
            &["rule       sni *.db.test   portcullis.toml:6:9", "upstream   db", "hello 5s, connect 3s, idle 10m"],
        ),
        (&["tcp", ":443", "--sni", "localhost", "--alpn", "x"], 0, &["sni localhost  with alpn x"]),
        (&["tcp", ":443", "--sni", "localhost"], 0, &["site       localhost  over HTTPS", "portcullis.toml:13:7"]),
        (&["tcp", ":443", "--sni", "other.test"], 1, &["unrecognized_name"]),
        (&["tcp", ":80"], 1, &["an HTTP listener"]),
        (&["tcp", "[::1]:5432"], 1, &["nothing listens"]),
        (
            &["tcp", "unix:run/in.sock", "--sni", "a.test", "--alpn", "x"],
            0,
            &["unix:run/in.sock  sni a.test  alpn x", "with alpn x", "upstream   db"],
        ),
        (&["tcp", "unix:./run/in.sock", "--sni", "a.test", "--alpn", "y"], 1, &["no_application_protocol (no_alpn_match)"]),
        (&["tcp", "unix:/run/in.sock"], 1, &["nothing listens"]),
        (&["tcp", "unix:"], 2, &["is no address"]),
        (&["tcp", "nowhere"], 2, &["is no address"]),
        (&["GET", "https://localhost/", "--sni", "x"], 2, &["explain tcp"]),
    ] {
        let (found, text) = explain(arguments);
        assert_eq!(found, Some(code), "{arguments:?}: {text}");
        for wanted in wanted {
            assert!(text.contains(wanted), "{arguments:?}: {wanted} not in:\n{text}");
        }
    }
    let absolute = format!("unix:{}", dir.path().join("run/in.sock").display());
    let (_, text) = explain(&["tcp", &absolute, "--sni", "a.test", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((&json["address"], &json["answer"]["alert"]), (&absolute.into(), &"no_application_protocol".into()));
    let (_, text) = explain(&["tcp", ":443", "--sni", "a.db.test", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&json["rule"]["sni"], &json["upstream"]["name"], &json["timeouts"]["idle"]),
        (&"*.db.test".into(), &"db".into(), &"10m".into())
    );
}
