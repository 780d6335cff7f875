//! Under a service manager: what it is told (sd_notify), and the sockets that it hands over (sd_listen_fds).

use portcullis_tests::{Proxy, get, proxy, tools};
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

const SITE: &str = "[site.\"a.test\"]\ntls = \"off\"\nroutes = { \"/*\" = { respond = { status = 200, body = \"one\" } } }\n";

/// The next thing it is told that is no sign of life, or that is one.
fn told(manager: &UnixDatagram, alive: bool) -> String {
    let mut message = [0; 1024];
    loop {
        let length = manager.recv(&mut message).expect("told in time");
        let text = String::from_utf8_lossy(&message[..length]).into_owned();
        if alive == text.starts_with("WATCHDOG=1\n") {
            return text;
        }
    }
}

#[test]
fn a_service_manager_hears_how_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify.sock");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "100000")];
    let mut proxy = Proxy::start_with(dir, SITE, &[], &environment);
    assert_eq!(told(&manager, false), "READY=1\nSTATUS=serving generation 1: 1 sites, 1 routes, 0 TCP listeners");
    for _ in 0..3 {
        assert_eq!(told(&manager, true), "WATCHDOG=1\nSTATUS=serving generation 1: 1 sites, 1 routes, 0 TCP listeners");
    }
    let file = proxy.dir.path().join("portcullis.toml");
    fs::write(&file, fs::read_to_string(&file).unwrap().replace("\"one\"", "\"two\"")).unwrap();
    proxy::signal(proxy.pid(), libc::SIGHUP);
    let reloading = told(&manager, false);
    let (first, rest) = reloading.split_once('\n').unwrap();
    let since = rest.strip_prefix("MONOTONIC_USEC=").and_then(|rest| rest.lines().next()?.parse::<u64>().ok());
    assert!(first == "RELOADING=1" && since.is_some_and(|since| since > 0), "{reloading}");
    assert_eq!(told(&manager, false), "READY=1\nSTATUS=serving generation 2: 1 sites, 1 routes, 0 TCP listeners");
    proxy.terminate();
    assert!(told(&manager, false).starts_with("STOPPING=1\n"));
    assert_eq!(proxy.wait(Duration::from_secs(10)), Some(0));
}

/// Binds, hands the socket over as systemd does, and becomes the proxy.
const ACTIVATE: &str = r#"
import os, socket, sys
s = socket.socket()
s.bind(("127.0.0.1", 0))
s.listen(16)
port = s.getsockname()[1]
text = open("portcullis.toml").read().replace("127.0.0.1:0", "127.0.0.1:%d" % port)
open("portcullis.toml", "w").write(text)
# Connects before there is anybody to accept.
c = socket.create_connection(("127.0.0.1", port))
c.sendall(b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")
if os.fork() == 0:
    answer = b""
    while True:
        piece = c.recv(4096)
        if not piece:
            break
        answer += piece
    open("answer", "wb").write(answer)
    os._exit(0)
# It may be 3 already, and would be closed then.
os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.argv[1], [sys.argv[1], "run", "portcullis.toml"])
"#;

#[test]
fn sockets_that_are_handed_over_are_served() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("portcullis.toml"), proxy::complete(SITE)).unwrap();
    let python = tools::need("python3", "python3");
    let log = fs::File::create(dir.path().join("log")).unwrap();
    let mut command = Command::new(python);
    command.args(["-c", ACTIVATE, tools::portcullis().to_str().unwrap()]).current_dir(dir.path()).env("NO_COLOR", "1");
    let mut child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
    let answer = dir.path().join("answer");
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while fs::read(&answer).map_or(true, |answer| answer.is_empty()) {
        assert!(std::time::Instant::now() < deadline, "{}", fs::read_to_string(dir.path().join("log")).unwrap());
        std::thread::sleep(Duration::from_millis(20));
    }
    let answer = fs::read_to_string(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("one"), "{answer}");
    let text = fs::read_to_string(dir.path().join("portcullis.toml")).unwrap();
    let address = text.split("http = [\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
    assert_eq!(get(address, "a.test", "/").text(), "one");
    proxy::signal(child.id(), libc::SIGTERM);
    assert!(child.wait().unwrap().success());
}
