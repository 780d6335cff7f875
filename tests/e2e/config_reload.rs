//! A running proxy takes over what has changed in its configuration, whole or not at all, and drops nothing that it need not.

use crate::capabilities::Able;
use portcullis_tests::{Origin, Proxy, Raw, get, get_with, origin, proxy, tools};
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

/// Watching is off unless a test says otherwise, so that reloads are those that are asked for.
pub const HEAD: &str = "[server]\nworkers = 2\nstate = \"state\"\nwatch = false\n";
pub const HTTP: &str = "[listen]\nhttp = [\"127.0.0.1:0\"]\n";

fn write(proxy: &Proxy, config: &str) {
    fs::write(proxy.dir.path().join("portcullis.toml"), config).unwrap();
}

/// What `portcullis reload` answers, and whether all is well.
fn reload(proxy: &Proxy) -> (bool, Value) {
    let output = proxy::run(proxy.dir.path(), &["reload", "--json"]);
    let said = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output.status.success(), said)
}

/// Takes over this configuration, and says what has changed.
pub fn turn_to(proxy: &Proxy, config: &str) -> Vec<String> {
    write(proxy, config);
    let (well, said) = reload(proxy);
    assert!(well, "{said}");
    said["changes"].as_array().unwrap().iter().map(|change| change.as_str().unwrap().to_owned()).collect()
}

/// Waits until only the newest generation is there; what is said then.
fn settled(proxy: &Proxy) -> Value {
    until("the old generation is gone", || {
        let (well, said) = reload(proxy);
        assert!(well && said["changes"].as_array().unwrap().is_empty(), "{said}");
        (said["generations"] == 1).then_some(said)
    })
}

pub fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A site that answers this to everything.
fn answering(body: &str) -> String {
    format!("{HEAD}{HTTP}[site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/*\" = {{ respond = {{ status = 200, body = \"{body}\" }} }} }}\n")
}

/// One that goes to this origin, with more TOML for the site and behind everything.
fn forwarding(origin: &Origin, site: &str, more: &str) -> String {
    format!(
        "{HEAD}{HTTP}[site.\"a.test\"]\ntls = \"off\"\n{site}\nroutes = {{ \"/*\" = \"app\" }}\n[upstream.app]\nservers = [\"{}\"]\n{more}",
        origin.name()
    )
}

const ASK: &str = "GET /name HTTP/1.1\r\nHost: a.test\r\n\r\n";

#[test]
fn an_open_connection_gets_the_new_for_its_next_request() {
    let proxy = Proxy::start(&answering("one"));
    let mut client = Raw::connect(proxy.http());
    assert_eq!(client.send(ASK).response().text(), "one");
    assert_eq!(turn_to(&proxy, &answering("two")), ["site a.test: changed"]);
    assert_eq!(client.send(ASK).response().text(), "two");
    assert!(turn_to(&proxy, &format!("# a line more\n{}", answering("two"))).is_empty());
    let (well, said) = reload(&proxy);
    assert!(well && said["generation"] == 2, "{said}");
    proxy.logged("reload: generation 2 is served");
}

#[test]
fn people_are_told_in_words() {
    let proxy = Proxy::start(&answering("one"));
    write(&proxy, &answering("two"));
    let say = |arguments: &[&str]| {
        let output = proxy::run(proxy.dir.path(), arguments);
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(say(&["reload"]), (Some(0), "generation 2 is served\n  site a.test: changed\n".into(), String::new()));
    assert_eq!(say(&["reload"]), (Some(0), "nothing has changed: generation 2 is still served\n".into(), String::new()));
    let (code, _, error) = say(&["reload", "--state", "elsewhere"]);
    assert!(code == Some(1) && error.contains("no proxy runs with portcullis.toml and the state directory elsewhere"), "{error}");
}

#[test]
fn what_is_wrong_is_told_and_nothing_of_it_is_applied() {
    let origin = Origin::echo();
    let proxy = Proxy::start(&forwarding(&origin, "", ""));
    let guest = proxy.dir.path().join("guest.wasm");
    fs::write(&guest, "no component").unwrap();
    // In the text: the running process is not even asked.
    write(&proxy, &forwarding(&origin, "chian = []", ""));
    let (well, said) = reload(&proxy);
    let text = said["text"].as_str().unwrap();
    assert!(!well && text.contains("error[E003]: unknown key `chian`") && text.contains("portcullis.toml:9:1"), "{text}");
    assert!(text.ends_with("Nothing was applied.\n"), "{text}");
    // In what the text names, and two mistakes at once.
    let broken = "tls = { cert = \"none.pem\", key = \"none.key\" }\n";
    let config = forwarding(&origin, "chain = [\"x\"]", "[plugin.x]\nsource = \"guest.wasm\"\n").replace("tls = \"off\"\n", broken);
    write(&proxy, &config);
    let (well, said) = reload(&proxy);
    let text = said["text"].as_str().unwrap();
    assert!(!well && said["generation"] == 1 && text.contains("error[E030]") && text.contains("none.pem"), "{text}");
    assert!(text.contains("portcullis.toml:8:") && text.contains("Nothing was applied."), "{text}");
    // An address that is taken: what was bound for it is let go.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let more = format!("[tcp.\"{}\"]\nto = \"app\"\n[tcp.\"127.0.0.1:0\"]\nto = \"app\"\n", taken.local_addr().unwrap());
    write(&proxy, &forwarding(&origin, "", &more));
    let (well, said) = reload(&proxy);
    assert!(!well && said["text"].as_str().unwrap().contains("error[E040]"), "{said}");
    assert_eq!(get(proxy.http(), "a.test", "/name").text(), "origin");
    drop(taken);
    assert_eq!(turn_to(&proxy, &forwarding(&origin, "", &more)).len(), 4, "two tables, and two listeners");
    settled(&proxy);
}

#[test]
fn sighup_reloads_too_and_a_broken_file_keeps_the_old() {
    let proxy = Proxy::start(&answering("one"));
    write(&proxy, "[site");
    proxy::signal(proxy.pid(), libc::SIGHUP);
    proxy.logged("reload: generation 1 is still served");
    proxy.logged("error[E001]");
    write(&proxy, &answering("two"));
    proxy::signal(proxy.pid(), libc::SIGHUP);
    proxy.logged("reload: generation 2 is served");
    assert_eq!(get(proxy.http(), "a.test", "/").text(), "two");
}

#[test]
fn files_that_change_are_taken_over_by_themselves() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("sites")).unwrap();
    fs::copy(tools::guest("light"), dir.path().join("guest.wasm")).unwrap();
    let head = HEAD.replace("watch = false\n", "");
    let config = format!("include = [\"sites/*.toml\"]\n{head}{HTTP}[plugin.x]\nsource = \"guest.wasm\"\n");
    let site = |name: &str| {
        format!("[site.\"{name}.test\"]\ntls = \"off\"\nroutes = {{ \"/*\" = {{ respond = {{ status = 200, body = \"{name}\" }} }} }}\n")
    };
    fs::write(dir.path().join("sites/a.toml"), site("a")).unwrap();
    let proxy = Proxy::start_in(dir, &config);
    let path = |name: &str| proxy.dir.path().join(name);
    // A new file where a pattern looks.
    fs::write(path("sites/b.toml"), site("b")).unwrap();
    proxy.logged("reload: site b.test: added");
    assert_eq!(get(proxy.http(), "b.test", "/").text(), "b");
    // A broken one, told once, and then a good one.
    fs::write(path("sites/b.toml"), "[site").unwrap();
    proxy.logged("reload: generation 2 is still served");
    assert_eq!(get(proxy.http(), "b.test", "/").text(), "b");
    fs::remove_file(path("sites/b.toml")).unwrap();
    proxy.logged("reload: site b.test: removed");
    assert_eq!(get(proxy.http(), "b.test", "/").status, 404);
    assert_eq!(proxy.log().matches("is still served").count(), 1, "{}", proxy.log());
}

#[test]
fn listeners_come_and_go_and_the_others_notice_nothing() {
    let origin = Origin::echo();
    let config = |listen: &str, more: &str| forwarding(&origin, "", more).replace("http = [\"127.0.0.1:0\"]", listen);
    let both = config("http = [\"127.0.0.1:0\", \"unix:http.sock\"]", "");
    let proxy = Proxy::start(&both);
    let (kept, socket) = (proxy.http(), proxy.dir.path().join("http.sock"));
    let mut stays = Raw::connect(kept);
    stays.send(ASK).response();
    // Another address of the same port: we have it ourselves, so we may.
    let changes =
        turn_to(&proxy, &config(&format!("http = [\"127.0.0.1:0\", \"127.0.0.2:{}\", \"unix:http.sock?mode=0600\"]", kept.port()), ""));
    assert_eq!(changes, ["[listen]: changed", &format!("listening http 127.0.0.2:{}", kept.port())]);
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let other = format!("127.0.0.2:{}", kept.port()).parse().unwrap();
    let (mut idle, mut busy) = (Raw::connect(other), Raw::connect(other));
    assert_eq!(idle.send(ASK).response().text(), "origin");
    busy.send("GET /slow/5000 HTTP/1.1\r\nHost: a.test\r\n\r\n");
    until("it is on its way", || (origin.requests().len() >= 3).then_some(()));
    let changes = turn_to(&proxy, &config("http = [\"127.0.0.1:0\"]", "[tcp.\"127.0.0.1:0\"]\nto = \"app\"\n"));
    assert!(changes.iter().any(|change| change == &format!("no longer listening http {other}")), "{changes:?}");
    assert!(TcpStream::connect(other).is_err(), "nobody listens once the answer is there");
    assert!(!socket.exists());
    assert!(idle.closed(), "in order, and at once");
    let last = busy.response();
    assert_eq!((last.status, last.header("connection")), (200, Some("close")));
    assert_eq!(stays.send(ASK).response().text(), "origin", "its own connection goes on");
    let tunnel = changes.iter().find_map(|change| change.strip_prefix("listening tcp ")).unwrap().parse().unwrap();
    assert_eq!(get(tunnel, "a.test", "/name").text(), "origin");
    settled(&proxy);
}

/// Sends what it is told at the pace that it is told: `/down` begins an answer and goes on with what comes on `more`; everything else is switched.
fn patient() -> Origin {
    Origin::serve(|stream, seen| {
        let Some((head, _)) = origin::read_head(stream) else { return };
        let down = head.starts_with("GET /down");
        seen.lock().unwrap().push(head);
        let answer = if down { "200 OK\r\nContent-Length: 20" } else { "101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo" };
        let _ = stream.write_all(format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes());
        if down {
            let _ = stream.write_all(b"0123456789");
            while !seen.lock().unwrap().iter().any(|head| head.starts_with("GET /go-on")) {
                std::thread::sleep(Duration::from_millis(5));
            }
            let _ = stream.write_all(b"9876543210");
        }
        let mut chunk = [0; 1024];
        while let Ok(count @ 1..) = stream.read(&mut chunk) {
            let _ = stream.write_all(&chunk[..count]);
        }
    })
}

#[test]
fn websockets_tunnels_and_downloads_outlive_their_generation() {
    let origin = patient();
    // So short that whatever held on to its generation would be cut.
    let config = |number: u32| {
        let mark = format!("headers = {{ response = {{ set = {{ X-Number = \"{number}\" }} }} }}");
        forwarding(&origin, &mark, "[tcp.\"127.0.0.1:0\"]\nto = \"app\"\n[limits]\nstop = \"50ms\"\nstop-upgraded = \"100ms\"\n")
    };
    let proxy = Proxy::start(&config(0));
    let [mut socket, mut down] = [(); 2].map(|()| Raw::connect(proxy.http()));
    let mut tunnel = Raw::connect(proxy.tcp());
    socket.send("GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n").until(b"\r\n\r\n").unwrap();
    tunnel.send("GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n").until(b"\r\n\r\n").unwrap();
    let head = down.send("GET /down HTTP/1.1\r\nHost: a.test\r\n\r\n").until(b"0123456789").unwrap();
    assert!(String::from_utf8_lossy(&head).to_lowercase().contains("x-number: 0"));
    for number in 1..6 {
        assert_eq!(turn_to(&proxy, &config(number)), ["site a.test: changed"]);
        assert_eq!(socket.send("ping").exactly(4).unwrap(), b"ping");
        assert_eq!(tunnel.send("pong").exactly(4).unwrap(), b"pong");
    }
    // None of them holds a generation, or anything in it.
    let said = settled(&proxy);
    assert_eq!((said["generation"].as_u64(), said["plugins"].as_u64()), (Some(6), Some(1)), "{said}");
    let mut other = Raw::connect(proxy.http());
    other.send("GET /go-on HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n").until(b"\r\n\r\n").unwrap();
    assert_eq!(down.exactly(10).unwrap(), b"9876543210");
    assert_eq!(socket.send("ping").exactly(4).unwrap(), b"ping");
    assert_eq!(tunnel.send("pong").exactly(4).unwrap(), b"pong");
}

#[test]
fn what_waits_for_a_response_for_too_long_is_ended_with_its_generation() {
    let origin = Origin::echo();
    let stop = "[limits]\nstop = \"200ms\"\n";
    let with_tls =
        |text: String| text.replace("tls = \"off\"", "tls = \"local\"").replace("a.test", "localhost").replace("http = [", "https = [");
    let proxy = Proxy::start(&forwarding(&origin, "", stop));
    let mut slow = Raw::connect(proxy.http());
    slow.send("GET /slow/60000 HTTP/1.1\r\nHost: a.test\r\n\r\n");
    until("it is on its way", || (!origin.requests().is_empty()).then_some(()));
    let mark = "headers = { response = { set = { X-New = \"1\" } } }";
    turn_to(&proxy, &forwarding(&origin, mark, stop));
    let response = slow.response();
    assert_eq!((response.status, response.reason()), (503, Some("outlived")), "{response:?}");
    assert_eq!(slow.send(ASK).response().header("x-new"), Some("1"), "the connection goes on");
    settled(&proxy);
    proxy.access_line(|line| line.contains("/slow/60000") && line.contains("outlived"));
    // Streams of HTTP/2 have tasks of their own, and are roused too.
    let proxy = Proxy::start(&with_tls(forwarding(&origin, "", stop)));
    let url = format!("https://localhost:{}/slow/60000", proxy.https().port());
    let curl = tools::need("curl", "curl");
    let arguments = [
        "--silent",
        "--insecure",
        "--http2",
        "--max-time",
        "30",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_version} %{http_code}",
        &url,
    ];
    let waiting = Command::new(curl).args(arguments).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let before = origin.requests().len();
    until("it is on its way", || (origin.requests().len() > before || origin.requests().last()?.contains("60000")).then_some(()));
    turn_to(&proxy, &with_tls(forwarding(&origin, mark, stop)));
    assert_eq!(String::from_utf8(waiting.wait_with_output().unwrap().stdout).unwrap(), "2 503");
    settled(&proxy);
}

#[test]
fn counters_in_memory_go_on() {
    let app = Origin::echo();
    let able = Able::of(&app);
    let config = able.config().replace("state = \"state\"\n", "state = \"state\"\nwatch = false\n");
    let proxy = Proxy::start_in(Able::dir(), &config);
    let add = || get_with(proxy.http(), "a.test", "/x", "X-Do: add near n 1\r\n").text();
    assert_eq!((add().trim(), add().trim()), ("1", "2"));
    let whole = fs::read_to_string(proxy.dir.path().join("portcullis.toml")).unwrap();
    // The plugin gets new guests under other limits, and its store is the one that it had.
    let changed = whole.replace("[plugin.able]\n", "[plugin.able]\nlimits = { cpu = \"7ms\" }\n");
    assert_eq!(turn_to(&proxy, &changed), ["plugin able: changed"]);
    assert_eq!(add().trim(), "3");
    assert_eq!(turn_to(&proxy, &changed.replace("near = \"memory\"", "near = { memory = \"2MiB\" }")), ["kv near: changed"]);
    assert_eq!(add().trim(), "1", "a store of another size is another store");
}

#[test]
fn connections_of_a_listener_whose_chain_changed_are_asked_to_leave() {
    let origin = Origin::echo();
    let config = |chain: &str| forwarding(&origin, "", "").replace("[listen]\n", &format!("[listen]\n{chain}\n"));
    let deny = |network: &str| config(&format!("chain = [{{ use = \"ip-filter\", deny = [\"{network}\"] }}]"));
    let proxy = Proxy::start(&deny("10.0.0.0/8"));
    let mut client = Raw::connect(proxy.http());
    client.send(ASK).response();
    assert_eq!(turn_to(&proxy, &format!("# moved\n{}", deny("10.0.0.0/8"))), Vec::<String>::new());
    assert_eq!(turn_to(&proxy, &format!("{}\n[upstream.more]\nservers = [\"h:1\"]\n", deny("10.0.0.0/8"))), ["upstream more: added"]);
    assert_eq!(client.send(ASK).response().status, 200, "its chain is the same");
    assert_eq!(turn_to(&proxy, &deny("11.0.0.0/8")).first().map(String::as_str), Some("[listen]: changed"));
    assert!(client.closed());
    settled(&proxy);
    turn_to(&proxy, &deny("127.0.0.0/8"));
    assert!(Raw::connect(proxy.http()).try_send(ASK).try_response_to("GET").is_none(), "new ones meet the new chain");
    assert_eq!(turn_to(&proxy, &config("")), ["[listen]: changed"]);
    assert_eq!(get(proxy.http(), "a.test", "/name").status, 200);
    settled(&proxy);
}

/// KiB that the process holds in memory.
fn resident(proxy: &Proxy) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", proxy.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_hundred_reloads_leave_nothing_behind() {
    let origin = Origin::echo();
    let dir = tempfile::tempdir().unwrap();
    // Two components of different digests in turn, so that code is compiled and freed, under settings that are never the same.
    let guest = |number: u32| tools::guest(if number.is_multiple_of(2) { "light" } else { "behave" });
    fs::copy(guest(0), dir.path().join("guest.wasm")).unwrap();
    let config = |number: u32| {
        let link = if number.is_multiple_of(2) { "{}".to_owned() } else { format!("{{ do = \"light\", header = \"x-{number}\" }}") };
        let site =
            format!("headers = {{ response = {{ set = {{ X-Number = \"{number}\" }} }} }}\nchain = [{{ use = \"x\", config = {link} }}]");
        forwarding(&origin, &site, "[plugin.x]\nsource = \"guest.wasm\"\n")
    };
    let proxy = Proxy::start_in(dir, &config(0));
    let mut client = Raw::connect(proxy.http());
    let mut turn = |number: u32| {
        // As a careful operator replaces files.
        fs::copy(guest(number), proxy.dir.path().join("aside.wasm")).unwrap();
        fs::rename(proxy.dir.path().join("aside.wasm"), proxy.dir.path().join("guest.wasm")).unwrap();
        let changes = turn_to(&proxy, &config(number));
        assert_eq!(changes, ["site a.test: changed", "plugin x: its file has changed"]);
        let response = client.send(ASK).response();
        assert_eq!(response.header("x-number"), Some(&*number.to_string()));
        // On both workers.
        for _ in 0..4 {
            assert_eq!(get(proxy.http(), "a.test", "/name").header("x-number"), Some(&*number.to_string()));
        }
    };
    (1..20).for_each(&mut turn);
    let (before, first) = (resident(&proxy), settled(&proxy));
    (20..100).for_each(&mut turn);
    let (after, last) = (resident(&proxy), settled(&proxy));
    assert_eq!(last["generation"], 100);
    for said in [&first, &last] {
        assert_eq!((said["generations"].as_u64(), said["plugins"].as_u64()), (Some(1), Some(2)), "{said}");
        // Of two plugins on two workers.
        assert!(said["guests"].as_u64().is_some_and(|guests| guests <= 4), "{said}");
    }
    assert!(after < before + 16 * 1024, "{before} KiB after 20 reloads, {after} after 100");
    println!("{before} KiB after 20 reloads, {after} after 100");
}

#[test]
fn a_plugin_is_swapped_under_load_without_a_failed_request() {
    let origin = Origin::echo();
    let dir = tempfile::tempdir().unwrap();
    fs::copy(tools::guest("light"), dir.path().join("guest.wasm")).unwrap();
    let config = |number: u32| {
        let site = format!("headers = {{ response = {{ set = {{ X-Number = \"{number}\" }} }} }}\nchain = [\"x\"]");
        forwarding(&origin, &site, "[plugin.x]\nsource = \"guest.wasm\"\n")
    };
    let proxy = Proxy::start_in(dir, &config(0));
    let wrk = tools::need("wrk", "wrk");
    let script = proxy.dir.path().join("host.lua");
    fs::write(&script, "wrk.headers['Host'] = 'a.test'\n").unwrap();
    let arguments = ["-t1", "-c16", "-d6s", "--timeout", "30s", "-s", script.to_str().unwrap(), &format!("http://{}/name", proxy.http())];
    let mut load = Command::new(wrk).args(arguments).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut number = 0u32;
    while load.try_wait().unwrap().is_none() {
        number += 1;
        let guest = tools::guest(if number.is_multiple_of(2) { "light" } else { "behave" });
        fs::copy(guest, proxy.dir.path().join("aside.wasm")).unwrap();
        fs::rename(proxy.dir.path().join("aside.wasm"), proxy.dir.path().join("guest.wasm")).unwrap();
        turn_to(&proxy, &config(number));
        std::thread::sleep(Duration::from_millis(100));
    }
    let said = String::from_utf8(load.wait_with_output().unwrap().stdout).unwrap();
    assert!(!said.contains("Non-2xx") && !said.contains("Socket errors") && number > 3, "{number} reloads:\n{said}");
    settled(&proxy);
}
