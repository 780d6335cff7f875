//! `portcullis top`: printed once, and in a terminal.

use portcullis_tests::{Origin, Proxy, Raw, get, proxy, tools};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

fn started(origin: &Origin) -> Proxy {
    Proxy::start(&format!(
        "[admin]\nlisten = [\"unix:admin.sock\"]\n[site.\"a.test\"]\ntls = \"off\"\nchain = [\"request-id\"]\nroutes = {{ \"/*\" = \"app\", \"/made/*\" = {{ respond = {{ status = 500 }} }} }}\n\
         [upstream.app]\nservers = [\"{}\"]\n",
        origin.name()
    ))
}

/// Asks until it is told to stop.
fn while_asked<T>(proxy: &Proxy, look: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = Raw::connect(proxy.http());
            while !over.load(Ordering::Relaxed) {
                assert_eq!(client.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n").response().status, 200);
                assert_eq!(client.send("GET /made/x HTTP/1.1\r\nHost: a.test\r\n\r\n").response().status, 500);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(look));
        over.store(true, Ordering::Relaxed);
        seen.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// The figures of the row that begins so.
fn figures(screen: &str, row: &str) -> Vec<f64> {
    let line = screen.lines().find(|line| line.contains(row)).unwrap_or_else(|| panic!("no {row} in\n{screen}"));
    line.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

#[test]
fn one_screen_says_what_happens() {
    let origin = Origin::echo();
    let proxy = started(&origin);
    assert_eq!(get(proxy.http(), "nowhere.test", "/lost").status, 404);
    let output = while_asked(&proxy, || proxy::run(proxy.dir.path(), &["top", "portcullis.toml", "--once", "--every", "1"]));
    let screen = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(screen.starts_with("portcullis ") && screen.contains(" serving, generation 1, up 0d 00:00:"), "{screen}");
    // Per second, 4xx, 5xx, ms.
    let all = figures(&screen, "a.test /* ");
    assert!(all[0] > 5.0 && all[1..3] == [0.0, 0.0] && all[3] > 0.0, "{screen}");
    let made = figures(&screen, "a.test /made/*");
    assert!(made[0] > 5.0 && made[2] > 5.0, "{screen}");
    // Servers, per second.
    let app = figures(&screen, "│app ");
    assert!(app[0] == 1.0 && app[1] > 5.0, "{screen}");
    // Calls, CPU, faults, guests.
    let plugin = figures(&screen, "│request-id ");
    assert!(plugin[0] > 5.0 && plugin[2] == 0.0, "{screen}");
    assert!(screen.contains("404 no_site GET nowhere.test/lost") || screen.contains("404 no_route GET nowhere.test/lost"), "{screen}");
}

/// Runs it in a terminal of its own, waits for a curve, and presses a key.
const TERMINAL: &str = r#"
import os, pty, select, sys, time
pid, fd = pty.fork()
if pid == 0:
    os.environ["TERM"] = "xterm"
    os.execv(sys.argv[1], [sys.argv[1], "top", "portcullis.toml", "--every", "1"])
import fcntl, struct, termios
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
seen, deadline = b"", time.time() + 30
while b"site and route" not in seen and time.time() < deadline:
    if select.select([fd], [], [], 1)[0]:
        seen += os.read(fd, 65536)
os.write(fd, sys.argv[2].encode())
status, rest = None, b""
while status is None and time.time() < deadline:
    try:
        if select.select([fd], [], [], 0.1)[0]:
            rest += os.read(fd, 65536)
    except OSError:
        pass
    ended, code = os.waitpid(pid, os.WNOHANG)
    status = os.waitstatus_to_exitcode(code) if ended else None
if status is None:
    os.kill(pid, 9)
# It leaves the screen as it was: the alternate one is left.
print(b"site and route" in seen, status, b"\x1b[?1049l" in rest)
"#;

#[test]
fn in_a_terminal_it_goes_on_until_a_key_is_pressed() {
    let origin = Origin::echo();
    let proxy = started(&origin);
    for key in ["q", "\u{3}"] {
        let mut python = Command::new(tools::need("python3", "python3"));
        python.args(["-c", TERMINAL, tools::portcullis().to_str().unwrap(), key]).current_dir(proxy.dir.path());
        let output = while_asked(&proxy, || python.output().unwrap());
        assert_eq!(String::from_utf8_lossy(&output.stdout), "True 0 True\n", "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn without_a_proxy_or_an_admin_listener_it_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let run = |config: &str| {
        std::fs::write(dir.path().join("p.toml"), proxy::complete(config)).unwrap();
        let output = proxy::run(dir.path(), &["top", "p.toml", "--once"]);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let site = "[site.\"a.test\"]\ntls = \"off\"\nroutes = { \"/*\" = { respond = { status = 200 } } }\n";
    assert!(run(site).contains("p.toml has no [admin]"));
    assert!(run(&format!("[admin]\nlisten = [\"unix:admin.sock\"]\n{site}")).contains("the proxy is not there: No such file"));
    assert!(run("[site.\"a.test\"]\ntls = \"of\"\n").contains("error[E"));
}
