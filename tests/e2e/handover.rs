//! `portcullis upgrade`: another process takes over under load. Nobody is refused, nobody is cut off, and what cannot serve takes over nothing.

use portcullis_tests::{Origin, Proxy, Raw, get, proxy, tools};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A successor; ends with the test.
struct Successor(u32);

impl Drop for Successor {
    fn drop(&mut self) {
        proxy::signal(self.0, libc::SIGKILL);
    }
}

/// Addresses that stay the same from process to process: of this test alone (127.83.0.0/16), with a port that was free a moment ago.
fn address(last: u8) -> SocketAddr {
    let process = std::process::id() as u16;
    let [high, low] = process.to_be_bytes();
    TcpListener::bind((std::net::Ipv4Addr::new(127, 83 + (high & 0x3f), low, last), 0)).unwrap().local_addr().unwrap()
}

/// Starts a copy of the binary, which can be replaced.
fn start(config: &str) -> Proxy {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(tools::portcullis(), dir.path().join("portcullis")).unwrap();
    fs::write(dir.path().join("portcullis.toml"), config).unwrap();
    let mut command = Command::new(dir.path().join("portcullis"));
    command.args(["run", "portcullis.toml"]);
    Proxy::start_as(dir, command)
}

/// What a service manager is told next.
fn told(manager: &UnixDatagram) -> String {
    let mut message = [0; 1024];
    let length = manager.recv(&mut message).expect("told in time");
    String::from_utf8_lossy(&message[..length]).into_owned()
}

fn upgrade(proxy: &Proxy) -> (bool, String) {
    let output = proxy::run(proxy.dir.path(), &["upgrade", "portcullis.toml"]);
    (output.status.success(), String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr))
}

fn successor(said: &str) -> Successor {
    let number = said.split("process ").skip(2).find_map(|rest| rest.split(' ').next()?.parse().ok());
    Successor(number.unwrap_or_else(|| panic!("no process in {said}")))
}

/// Asks again and again on one connection, and on a new one only when it was told that this one ends, or for each request.
fn client(http: SocketAddr, each_anew: bool, stop: &AtomicBool, served: &AtomicUsize) {
    let mut connection = Raw::connect(http);
    while !stop.load(Ordering::Relaxed) {
        let close = if each_anew { "Connection: close\r\n" } else { "" };
        connection.send(format!("GET /name HTTP/1.1\r\nHost: a.test\r\n{close}\r\n"));
        let answer = connection.try_response_to("GET").expect("an answer to every request");
        assert_eq!((answer.status, answer.text().as_str()), (200, "from the origin"));
        served.fetch_add(1, Ordering::Relaxed);
        if each_anew || answer.header("connection").is_some_and(|field| field.eq_ignore_ascii_case("close")) {
            connection = Raw::connect(http);
        }
    }
}

fn config(http: SocketAddr, tcp: SocketAddr, admin: SocketAddr, origin: &Origin, echo: &Origin) -> String {
    format!(
        "[server]\nworkers = 2\nstate = \"state\"\n[admin]\nlisten = [\"{admin}\"]\n[listen]\nhttp = [\"{http}\", \"unix:p.sock\"]\n\
         [tcp.\"{tcp}\"]\nto = \"echo\"\n[site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/*\" = \"app\" }}\n\
         [upstream.app]\nservers = [\"{}\"]\n[upstream.echo]\nservers = [\"{}\"]\n",
        origin.name(),
        echo.name()
    )
}

fn asked_by_file(path: &Path) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.write_all(b"GET /name HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_new_binary_takes_over_under_load_without_a_failed_request_or_a_dropped_tunnel() {
    let origin = Origin::named("from the origin");
    let echo = Origin::serve(|stream, _| {
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut piece) {
            stream.write_all(&piece[..length]).unwrap();
        }
    });
    let (http, tcp, admin) = (address(1), address(2), address(3));
    let mut proxy = start(&config(http, tcp, admin, &origin, &echo));
    let first = proxy.pid();
    let mut tunnel = TcpStream::connect(tcp).unwrap();
    tunnel.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut says = |word: &[u8; 5]| {
        let mut back = [0; 5];
        tunnel.write_all(word).and_then(|()| tunnel.read_exact(&mut back)).expect("the tunnel is there");
        assert_eq!(&back, word);
    };
    says(b"begin");

    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = [false, false, true, true]
        .into_iter()
        .map(|each_anew| {
            let (stop, served) = (stop.clone(), served.clone());
            thread::spawn(move || client(http, each_anew, &stop, &served))
        })
        .collect();
    let sleep_until = |wanted: usize| {
        let deadline = Instant::now() + Duration::from_secs(30);
        while served.load(Ordering::Relaxed) < wanted {
            assert!(Instant::now() < deadline && clients.iter().all(|client| !client.is_finished()), "{}", proxy.log());
            thread::sleep(Duration::from_millis(10));
        }
    };
    sleep_until(100);
    // As a package manager does it.
    let at = proxy.dir.path().to_path_buf();
    fs::copy(at.join("portcullis"), at.join("new")).unwrap();
    let inode = fs::metadata(at.join("new")).unwrap().ino();
    fs::rename(at.join("new"), at.join("portcullis")).unwrap();
    let (well, said) = upgrade(&proxy);
    assert!(well && said.starts_with("another process has taken over:\n"), "{said}");
    let successor = successor(&said);
    assert!(successor.0 != first && fs::metadata(format!("/proc/{}/exe", successor.0)).unwrap().ino() == inode);
    sleep_until(served.load(Ordering::Relaxed) + 200);
    says(b"after");
    // The admin listener and the socket for questions are the successor's, and so is the file of the Unix socket.
    assert_eq!(get(admin, "localhost", "/readyz").status, 200);
    let (again, said) = (proxy::run(&at, &["reload", "portcullis.toml"]), format!("upgrade: process {} serves", successor.0));
    assert!(again.status.success());
    proxy.logged(&said);
    stop.store(true, Ordering::Relaxed);
    clients.into_iter().for_each(|client| client.join().unwrap());
    drop(tunnel);
    assert_eq!(proxy.wait(Duration::from_secs(20)), Some(0), "the first process leaves when nothing runs");
    assert!(asked_by_file(&at.join("p.sock")).ends_with("from the origin"));
    assert_eq!(get(http, "a.test", "/name").text(), "from the origin");
    proxy::signal(successor.0, libc::SIGTERM);
    let deadline = Instant::now() + Duration::from_secs(20);
    while at.join("p.sock").exists() {
        assert!(Instant::now() < deadline, "the successor removes the file when it stops");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Nobody is connected, so that each process leaves as soon as it may.
#[test]
fn each_successor_can_be_asked_to_hand_over_in_its_turn() {
    let origin = Origin::named("from the origin");
    let (http, tcp, admin) = (address(8), address(9), address(10));
    let proxy = start(&config(http, tcp, admin, &origin, &origin));
    let mut successors = Vec::new();
    for turn in 0..20 {
        let (well, said) = upgrade(&proxy);
        assert!(well, "turn {turn}: {said}");
        successors.push(successor(&said));
    }
    assert!(proxy::run(proxy.dir.path(), &["reload", "portcullis.toml"]).status.success());
    assert_eq!(get(http, "a.test", "/name").text(), "from the origin");
}

#[test]
fn what_does_not_come_to_serve_takes_over_nothing() {
    let origin = Origin::named("from the origin");
    let (http, tcp, admin) = (address(4), address(5), address(6));
    let mut proxy = start(&config(http, tcp, admin, &origin, &origin));
    let file = proxy.dir.path().join("portcullis");
    fs::remove_file(&file).unwrap();
    let (well, said) = upgrade(&proxy);
    assert!(!well && said.contains("portcullis cannot be started: No such file"), "{said}");
    fs::copy("/bin/false", &file).unwrap();
    let (well, said) = upgrade(&proxy);
    assert!(!well && said.contains("ended without serving (exit status: 1)"), "{said}");
    fs::copy(tools::portcullis(), proxy.dir.path().join("new")).unwrap();
    fs::rename(proxy.dir.path().join("new"), &file).unwrap();
    // A configuration that is right as a text, but not to be served.
    let config = proxy.dir.path().join("portcullis.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}[plugin.gone]\nsource = \"gone.wasm\"\n[site.\"b.test\"]\ntls = \"off\"\nchain = [\"gone\"]\nroutes = {{ \"/*\" = \"app\" }}\n")).unwrap();
    let (well, said) = upgrade(&proxy);
    assert!(!well && said.contains("ended without serving"), "{said}");
    assert!(proxy.log().contains("gone.wasm"), "what it said is in the log: {}", proxy.log());
    assert!(proxy.alive());
    assert_eq!(get(http, "a.test", "/name").text(), "from the origin");
    assert_eq!(get(admin, "localhost", "/readyz").status, 200);

    // By signal, after the mistake is mended.
    fs::write(&config, text).unwrap();
    proxy::signal(proxy.pid(), libc::SIGUSR2);
    let line = proxy.logged(" serves");
    let _successor = Successor(line.split("process ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap());
    assert_eq!(proxy.wait(Duration::from_secs(30)), Some(0));
    assert_eq!(get(http, "a.test", "/name").text(), "from the origin");
}

#[test]
fn a_service_manager_hears_which_process_it_is_now() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify.sock");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let http = address(7);
    let config = format!(
        "[server]\nworkers = 2\nstate = \"state\"\n[listen]\nhttp = [\"{http}\"]\n[site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/*\" = {{ respond = {{ status = 200 }} }} }}\n"
    );
    let mut proxy = Proxy::start_with(dir, &config, &[], &[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    assert!(told(&manager).starts_with("READY=1\n"));
    let (well, said) = upgrade(&proxy);
    assert!(well, "{said}");
    let successor = successor(&said);
    assert!(told(&manager).starts_with("RELOADING=1\n"));
    // The manager listens to the main process only, so the word of who that is comes from the one that it was.
    let mut words = [told(&manager), told(&manager)];
    words.sort();
    assert!(words[0].starts_with(&format!("MAINPID={}\nREADY=1\n", successor.0)) && words[1].starts_with("READY=1\n"), "{words:?}");
    assert_eq!(proxy.wait(Duration::from_secs(30)), Some(0), "it says nothing of stopping");
    manager.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(manager.recv(&mut [0; 64]).is_err());
}
