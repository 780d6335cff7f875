//! A server has no more connections than it may, of all workers together, and nobody waits for ever for one.

use crate::config_reload::until;
use portcullis_tests::{Origin, Proxy, Raw, Server, get, origin, proxy, tools};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Everything to this server, over these `limits`, by two workers.
fn proxy(server: &str, limits: &str) -> Proxy {
    Proxy::start(&format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\n[server]\nworkers = 2\n[site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/*\" = \"app\" }}\n\
         [tcp.\"127.0.0.1:0\"]\nto = \"app\"\n[upstream.app]\nservers = [\"{server}\"]\nlimits = {{ {limits} }}\n"
    ))
}

/// A server on one thread, so that it knows at any time how many connections are open to it: whoever closes one before making another has
/// closed it here as well before the other is seen.
struct Counting {
    address: SocketAddr,
    most: Arc<AtomicUsize>,
    made: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
}

impl Counting {
    /// Answers after so long.
    fn start(slow: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (most, made, over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let counting = Self { address, most: Arc::clone(&most), made: Arc::clone(&made), over: Arc::clone(&over) };
        std::thread::spawn(move || {
            let mut open: Vec<(TcpStream, Option<Instant>)> = Vec::new();
            while !over.load(Ordering::SeqCst) {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true).unwrap();
                    stream.set_nodelay(true).unwrap();
                    made.fetch_add(1, Ordering::SeqCst);
                    open.push((stream, None));
                }
                open.retain_mut(|(stream, due)| serve(stream, due, slow));
                most.fetch_max(open.len(), Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        counting
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

/// `false`: the other side has closed it. Requests come in one piece here.
fn serve(stream: &mut TcpStream, due: &mut Option<Instant>, slow: Duration) -> bool {
    match stream.read(&mut [0; 4096]) {
        Ok(0) => return false,
        Ok(_) => *due = Some(Instant::now() + slow),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        Err(_) => return false,
    }
    if due.take_if(|due| Instant::now() >= *due).is_some() {
        return stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_ok();
    }
    true
}

#[test]
fn a_server_never_has_more_connections_than_it_may_and_all_are_served() {
    let server = Counting::start(Duration::from_millis(5));
    let proxy = proxy(&server.address.to_string(), "connections = 3, wait = \"60s\"");
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let mut client = Raw::connect(proxy.http());
                for _ in 0..20 {
                    let answer = client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").response();
                    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"), "{:?}", answer.reason());
                }
            });
        }
    });
    assert_eq!(server.most.load(Ordering::SeqCst), 3);
    until("idle ones are counted", || {
        let metrics = get(proxy.admin(), "localhost", "/metrics").text();
        let of =
            |name: &str| metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix("{upstream=\"app\"} ")?.parse::<u32>().ok());
        let (open, idle) = (of("portcullis_upstream_connections")?, of("portcullis_upstream_pool_idle")?);
        assert!(open <= 3, "{metrics}");
        (open == idle && open > 0 && of("portcullis_upstream_waiting") == Some(0)).then_some(())
    });
}

#[test]
fn what_lies_idle_with_one_worker_is_given_up_for_another() {
    let server = Counting::start(Duration::ZERO);
    let proxy = proxy(&server.address.to_string(), "connections = 1, wait = \"60s\"");
    // Each on a connection of its own, which the kernel hands to either worker.
    for _ in 0..60 {
        assert_eq!(get(proxy.http(), "a.test", "/").status, 200);
    }
    assert_eq!(server.most.load(Ordering::SeqCst), 1);
    assert!(server.made.load(Ordering::SeqCst) > 1, "both workers have had it");
}

#[test]
fn an_idle_connection_over_http2_is_given_up_too() {
    let nginx = Server::nginx(|address, _| format!("server {{ listen {address} http2; location / {{ return 200 \"$connection\"; }} }}"));
    let proxy = proxy(&format!("h2c://{}", nginx.address), "connections = 1, wait = \"60s\"");
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..60 {
        let answer = get(proxy.http(), "a.test", "/");
        assert_eq!(answer.status, 200, "{:?}", answer.reason());
        seen.insert(answer.text());
    }
    assert!(seen.len() > 1, "both workers have had it: {seen:?}");
    proxy.access_line(|line| line.contains(" upstream_protocol=h2c "));
}

#[test]
fn requests_share_the_one_connection_over_http2_and_those_beyond_its_streams_wait() {
    let python = tools::python_with("h2", "h2");
    let folder = tools::repository().join("tests/e2e/http2_upstream");
    let server = Server::program(python.to_str().unwrap(), &folder, |address| {
        ["origin.py".to_owned(), address.ip().to_string(), address.port().to_string(), "2".to_owned()].into()
    });
    let upstream = format!("[upstream.app]\nservers = [\"h2c://{}\"]\nlimits = {{ connections = 1, wait = \"60s\" }}", server.address);
    let proxy = Proxy::start(&proxy::site("\"/*\" = \"app\"", &upstream));
    // From then on it is known how many streams the server allows.
    assert_eq!(get(proxy.http(), "a.test", "/").status, 200);
    std::thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| assert_eq!(get(proxy.http(), "a.test", "/").status, 200));
        }
    });
    // What the kit has looked whether it listens counts as one.
    let said = get(proxy.http(), "a.test", "/counts").text();
    assert!(said.split(' ').any(|one| one == "connections=2"), "{said}");
}

#[test]
fn who_waits_in_vain_is_told_so_and_upgraded_connections_and_tunnels_count() {
    let server = Origin::serve(|stream, _| {
        while let Some((head, _)) = origin::read_head(stream) {
            if head.to_ascii_lowercase().contains("upgrade: echo") {
                let _ = stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n");
                let _ = std::io::copy(&mut stream.try_clone().unwrap(), stream);
                return;
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let proxy = proxy(&server.name(), "connections = 1, wait = \"100ms\"");
    let mut switched = Raw::connect(proxy.http());
    switched.send("GET / HTTP/1.1\r\nHost: a.test\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n").until(b"\r\n\r\n").unwrap();
    assert_eq!(switched.send("hello").exactly(5).unwrap(), b"hello");
    let refused = get(proxy.http(), "a.test", "/");
    assert_eq!((refused.status, refused.reason(), refused.header("retry-after")), (503, Some("upstream_busy"), Some("1")));
    let line = proxy.access_line(|line| line.contains(" 503 upstream_busy "));
    assert!(!line.contains("server=") && !line.contains("upstream_protocol="), "nobody was asked: {line}");
    drop(switched);
    until("its seat is free", || (get(proxy.http(), "a.test", "/").status == 200).then_some(()));

    // The other corridor takes it from the pool of this one.
    let mut tunnel = Raw::connect(proxy.tcp());
    assert_eq!(tunnel.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").response().status, 200);
    assert_eq!(get(proxy.http(), "a.test", "/").reason(), Some("upstream_busy"));
    assert_eq!(Raw::connect(proxy.tcp()).rest(), b"");
    proxy.access_line(|line| line.contains(" TCP ") && line.contains("upstream_busy"));
    drop(tunnel);
    until("its seat is free", || (get(proxy.http(), "a.test", "/").status == 200).then_some(()));
}

#[test]
fn without_a_queue_nobody_waits() {
    let server = Origin::says_and_stays("");
    let proxy = proxy(&server.name(), "connections = 1, queue = 0");
    let mut first = Raw::connect(proxy.http());
    first.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    until("it is at the server", || (server.requests().len() == 1).then_some(()));
    let begun = Instant::now();
    assert_eq!(get(proxy.http(), "a.test", "/").reason(), Some("upstream_busy"));
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn who_finds_one_server_full_goes_to_another() {
    let (silent, good) = (Origin::says_and_stays(""), Origin::named("good"));
    let servers = format!("servers = [\"{}\", \"{}\"]", silent.name(), good.name());
    let upstream = format!("[upstream.app]\n{servers}\nbalance = \"round-robin\"\nlimits = {{ connections = 1 }}");
    let proxy = Proxy::start(&proxy::site("\"/*\" = \"app\"", &upstream));
    let mut first = Raw::connect(proxy.http());
    first.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    until("it is at the server", || (silent.requests().len() == 1).then_some(()));
    for _ in 0..6 {
        assert_eq!(get(proxy.http(), "a.test", "/").header("x-origin"), Some("good"));
    }
    assert_eq!(silent.requests().len(), 1);
}

#[test]
fn a_cap_that_a_reload_brings_counts_what_is_open_already() {
    let server = Counting::start(Duration::from_millis(300));
    let config = |limits: &str| {
        format!(
            "[admin]\nlisten = \"127.0.0.1:0\"\n[listen]\nhttp = [\"127.0.0.1:0\"]\n[server]\nworkers = 2\n[site.\"a.test\"]\ntls = \"off\"\n\
             routes = {{ \"/*\" = \"app\" }}\n[upstream.app]\nservers = [\"{}\"]\n{limits}",
            server.address
        )
    };
    let proxy = Proxy::start(&config(""));
    let ask = |count: usize| {
        std::thread::scope(|scope| (0..count).for_each(|_| drop(scope.spawn(|| assert_eq!(get(proxy.http(), "a.test", "/").status, 200)))))
    };
    ask(6);
    let before = server.most.load(Ordering::SeqCst);
    assert!(before > 2, "{before}");
    std::fs::write(proxy.dir.path().join("portcullis.toml"), proxy::complete(&config("limits = { connections = 2, wait = \"60s\" }\n")))
        .unwrap();
    proxy.logged("reload: generation 2 is served");
    ask(6);
    until("there are as few as there may be", || {
        let metrics = get(proxy.admin(), "localhost", "/metrics").text();
        let line = metrics.lines().find(|line| line.starts_with("portcullis_upstream_connections{upstream=\"app\"}"));
        line?.rsplit(' ').next()?.parse::<u32>().ok().filter(|open| *open <= 2)
    });
    ask(6);
}
