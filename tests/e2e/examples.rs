//! The examples, run as their READMEs say; only addresses differ.

use crate::tcp::redis_cli;
use crate::tls::{certificates, curl_to, find_root};
use portcullis_tests::{Dns, Origin, Proxy, Raw, Server, curl, get, get_with, nobody, proxy, tools};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The configuration of an example with its addresses replaced: listeners by the kernel's choice, `9000` … by these origins.
fn example(name: &str, origins: &[(&str, &Origin)]) -> String {
    let file = tools::repository().join("examples").join(name).join("portcullis.toml");
    let mut text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    for port in ["8443", "8080"] {
        text = text.replace(&format!("127.0.0.1:{port}"), "127.0.0.1:0");
    }
    for (address, origin) in origins {
        assert!(text.contains(address), "{name} has no {address}");
        text = text.replace(address, &origin.name());
    }
    format!("[server]\nstate = \"state\"\nworkers = 1\n{text}")
}

#[test]
fn every_example_is_right_as_it_stands() {
    let dir = certificates(&["app.example.com"]);
    for (from, to) in [("app.example.com.pem", "app.pem"), ("app.example.com.key", "app.key")] {
        fs::rename(dir.path().join(from), dir.path().join(to)).unwrap();
    }
    let beside = dir.path().join("target/wasm32-wasip2/release");
    fs::create_dir_all(&beside).unwrap();
    for name in ["first-plugin", "auth-cache", "component-service", "zone-balance"] {
        let plugin = built(&tools::repository().join("examples").join(name));
        fs::copy(&plugin, beside.join(plugin.file_name().unwrap())).unwrap();
    }
    for name in [
        "hello",
        "grpc",
        "websocket",
        "tls-site",
        "blue-green",
        "canary",
        "dns-srv",
        "first-plugin",
        "auth-cache",
        "component-service",
        "zone-balance",
        "tcp-postgres",
        "sni-passthrough",
    ] {
        fs::copy(tools::repository().join("examples").join(name).join("portcullis.toml"), dir.path().join("portcullis.toml")).unwrap();
        let output = proxy::run(dir.path(), &["check"]);
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn hello() {
    let origin = Origin::echo();
    let proxy = Proxy::start(&example("hello", &[("127.0.0.1:9000", &origin)]));
    let ca = find_root(proxy.dir.path());
    assert!(curl_to(&proxy, "localhost", &ca, &["-w", "%{http_version}"], "/x").starts_with("GET /x HTTP/1.1"));
    let response = get(proxy.http(), "localhost", "/x");
    assert_eq!((response.status, response.header("location").unwrap().contains("https://localhost:")), (308, true));
}

/// A Python server of an example on a port of its own.
fn python_server(name: &str, python: &Path, script: &str) -> Server {
    let folder = tools::repository().join("examples").join(name);
    Server::program(python.to_str().unwrap(), &folder, |address| vec![script.to_owned(), address.port().to_string()])
}

#[test]
fn grpc() {
    let python = tools::python_with("grpc_health.v1.health", "grpcio-health-checking");
    let (first, second) = (python_server("grpc", &python, "server.py"), python_server("grpc", &python, "server.py"));
    let config = example("grpc", &[]).replace("127.0.0.1:9001", &first.name()).replace("127.0.0.1:9002", &second.name());
    let proxy = Proxy::start(&config);
    let ca = find_root(proxy.dir.path());
    let ask = || {
        let mut client = Command::new(&python);
        client.arg(tools::repository().join("examples/grpc/client.py")).arg(proxy.https().to_string()).arg(&ca);
        let output = client.output().unwrap();
        (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (said, wrong) = ask();
    assert!(said.starts_with("hello world from ") && said.ends_with("\na b c\nDO RE\n"), "{said}{wrong}");
    drop((first, second));
    assert_eq!(ask().1, "UNAVAILABLE: connect_refused\n");
}

#[test]
fn websocket() {
    let python = tools::python_with("websockets", "websockets");
    let chat = python_server("websocket", &python, "chat.py");
    let proxy = Proxy::start(&example("websocket", &[]).replace("127.0.0.1:9000", &chat.name()));
    let script = "import sys\nfrom websockets.sync.client import connect\nwith connect(sys.argv[1]) as chat:\n    chat.send('hello')\n    print(chat.recv())";
    let output = Command::new(python).args(["-c", script, &format!("ws://{}/chat", proxy.http())]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello\n", "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn tls_site() {
    let (app, api) = (Origin::named("app"), Origin::named("api"));
    let dir = certificates(&["app.example.com"]);
    for (from, to) in [("app.example.com.pem", "app.pem"), ("app.example.com.key", "app.key")] {
        fs::rename(dir.path().join(from), dir.path().join(to)).unwrap();
    }
    let proxy = Proxy::start_in(dir, &example("tls-site", &[("127.0.0.1:9001", &app), ("127.0.0.1:9002", &api)]));
    let ca = proxy.dir.path().join("app.pem");
    let ask = |path: &str| curl_to(&proxy, "app.example.com", &ca, &["-i"], path).to_lowercase();
    let answer = ask("/api/users");
    assert!(answer.contains("x-origin: api") && answer.contains("get /users http/1.1") && answer.contains("x-served-by: edge"), "{answer}");
    assert!(ask("/x").contains("x-origin: app"));
    let answer = ask("/old/page");
    assert!(answer.starts_with("http/2 308") && answer.contains("location: /new/page") && answer.contains("x-served-by: edge"), "{answer}");
    assert!(ask("/robots.txt").contains("user-agent: *"));
    assert_eq!(get(proxy.http(), "app.example.com", "/x").status, 308);
}

#[test]
fn canary() {
    let (stable, canary) = (Origin::named("stable"), Origin::named("canary"));
    let proxy = Proxy::start(&example("canary", &[("127.0.0.1:9001", &stable), ("127.0.0.1:9002", &canary)]));
    let went = |fields: &str| get_with(proxy.http(), "localhost", "/", fields).header("x-origin").unwrap().to_owned();
    let share = (0..400).filter(|_| went("") == "canary").count();
    assert!((4..=50).contains(&share), "{share} of 400 for a weight of 5 %");
    assert_eq!(went("Cookie: version=next\r\n"), "canary");
    assert!(get(proxy.http(), "localhost", "/").header("x-request-id").is_some());
}

#[test]
fn blue_green() {
    let (blue, green) = (Origin::named("blue"), Origin::named("green"));
    let text = example("blue-green", &[("127.0.0.1:9001", &blue), ("127.0.0.1:9002", &green)]);
    // Reloads are asked for, not found.
    assert!(text.contains("{ blue = 1, green = 0 }") && text.contains("workers = 1"));
    let with = |weights: &str| text.replace("workers = 1", "workers = 1\nwatch = false").replace("{ blue = 1, green = 0 }", weights);
    let proxy = Proxy::start(&with("{ blue = 1, green = 0 }"));
    let look = |version: &str| get_with(proxy.http(), "localhost", "/", &format!("X-Version: {version}\r\n"));
    assert_eq!(look("green").header("x-origin"), Some("green"));
    let (over, requests) = (AtomicBool::new(false), AtomicUsize::new(0));
    let ask_on = || {
        let mut client = Raw::connect(proxy.http());
        while !over.load(Ordering::Relaxed) {
            let answer = client.send("GET /slow/2 HTTP/1.1\r\nHost: localhost\r\n\r\n").response();
            assert_eq!(answer.status, 200, "{}", answer.text());
            requests.fetch_add(1, Ordering::Relaxed);
        }
    };
    let more = |count: usize| {
        let until = requests.load(Ordering::Relaxed) + count;
        let deadline = Instant::now() + Duration::from_secs(30);
        while requests.load(Ordering::Relaxed) < until {
            assert!(Instant::now() < deadline, "requests come to a stop");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let heard = |origin: &Origin| origin.requests().len();
    let switch = |weights: &str| {
        fs::write(proxy.dir.path().join("portcullis.toml"), with(weights)).unwrap();
        let output = proxy::run(proxy.dir.path(), &["reload", "portcullis.toml"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..6).map(|_| scope.spawn(ask_on)).collect();
        // Ends the others also if something is not as it should be.
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            more(100);
            assert_eq!(heard(&green), 1, "only who asked for it");
            switch("{ blue = 9, green = 1 }");
            more(300);
            assert!(heard(&green) > 1);
            switch("{ blue = 0, green = 1 }");
            // What was under way when the weights changed is over after this.
            more(20);
            let before = heard(&blue);
            more(100);
            assert_eq!(heard(&blue), before, "nobody but who asks for it");
        }));
        over.store(true, Ordering::Relaxed);
        clients.into_iter().for_each(|client| client.join().expect("no request fails"));
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    assert_eq!(look("blue").header("x-origin"), Some("blue"));
    assert_eq!(get(proxy.http(), "localhost", "/").header("x-origin"), Some("green"));
}

#[test]
fn dns_srv() {
    let (a, b, c) = (Origin::named("a"), Origin::named("b"), Origin::named("c"));
    let zone = fs::read_to_string(tools::repository().join("examples/dns-srv/test.zone")).unwrap();
    let mut records: String =
        zone.lines().filter(|line| line.starts_with("_api") || line.starts_with("one ")).collect::<Vec<_>>().join("\n");
    for (port, origin) in [("9001", &a), ("9002", &b), ("9003", &c)] {
        assert!(records.contains(port));
        records = records.replace(port, &origin.address.port().to_string());
    }
    let dns = Dns::start(&format!("$TTL 1\n{records}"));
    let config = example("dns-srv", &[]).replace("127.0.0.1:5353", &dns.address.to_string()).replacen(
        "[server]\nstate = \"state\"\nworkers = 1\n",
        "",
        1,
    );
    let proxy = Proxy::start(&config.replace("[server]\n", "[server]\nstate = \"state\"\nworkers = 1\n"));
    let went = || get(proxy.http(), "localhost", "/").header("x-origin").unwrap_or("nobody").to_owned();
    let all: Vec<String> = (0..80).map(|_| went()).collect();
    let count = |name: &str| all.iter().filter(|one| *one == name).count();
    assert!(count("a") > count("b") && count("b") > 0 && count("c") == 0, "{all:?}");
    a.kill();
    b.kill();
    crate::config_reload::until("the next priority takes over", || (0..10).all(|_| went() == "c").then_some(()));
}

#[test]
fn tcp_postgres() {
    let postgres = Server::postgres();
    // The second server is down, as its README says it may be.
    let config = fs::read_to_string(tools::repository().join("examples/tcp-postgres/portcullis.toml")).unwrap();
    let config = config
        .replace("127.0.0.1:15432", "127.0.0.1:0")
        .replace("127.0.0.1:5432", &postgres.name())
        .replace("127.0.0.1:5433", &nobody().to_string());
    let proxy = Proxy::start(&config);
    for _ in 0..4 {
        let mut psql = Command::new(tools::need("psql", "postgresql-client"));
        psql.args(["-h", "127.0.0.1", "-p", &proxy.tcp().port().to_string(), "-U", "postgres", "-Atc", "select 40 + 2"]);
        let output = psql.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "42\n", "{}", String::from_utf8_lossy(&output.stderr));
    }
    let line = proxy.access_line(|line| line.contains(" TCP "));
    assert!(line.contains(&format!(" - upstream=db server={} ", postgres.name())), "{line}");
}

#[test]
fn sni_passthrough() {
    let dir = certificates(&["redis.test"]);
    let (cert, key) = (dir.path().join("redis.test.pem"), dir.path().join("redis.test.key"));
    let (redis, page) = (Server::redis(Some((&cert, &key))), Server::s_server(&cert, &key));
    let address = nobody();
    let config = fs::read_to_string(tools::repository().join("examples/sni-passthrough/portcullis.toml")).unwrap();
    let config = config
        .replace("127.0.0.1:8443", &address.to_string())
        .replace("127.0.0.1:6380", &redis.name())
        .replace("127.0.0.1:9443", &page.name());
    let proxy = Proxy::start(&format!("[server]\nstate = \"state\"\nworkers = 1\n{config}"));
    let port = address.port();
    assert_eq!(curl(&["-k", &format!("https://localhost:{port}/")]), "the site\n");
    let ca = cert.to_str().unwrap();
    assert_eq!(redis_cli(address, &["--tls", "--cacert", ca, "--sni", "redis.test", "ping"]), "PONG\n");
    let page = curl(&["-k", "--resolve", &format!("a.db.test:{port}:127.0.0.1"), &format!("https://a.db.test:{port}/")]);
    assert!(page.contains("s_server"), "{page}");
    let asked = proxy::run(proxy.dir.path(), &["explain", "tcp", &address.to_string(), "--sni", "a.db.test"]);
    assert!(asked.status.success() && String::from_utf8_lossy(&asked.stdout).contains("sni *.db.test"));
}

/// Builds a plugin's folder as its author would; the component.
fn built(folder: &Path) -> PathBuf {
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    let name = manifest.split('"').nth(1).expect("name comes first").replace('-', "_");
    tools::build_wasm(folder, &tools::repository().join("target/examples")).join(format!("{name}.wasm"))
}

#[test]
fn a_third_party_plugin_from_outside_the_repository() {
    // The folder as it would be copied: elsewhere, naming the SDK by its path.
    let dir = tempfile::tempdir().unwrap();
    let (from, folder) = (tools::repository().join("examples/first-plugin"), dir.path().join("my-plugin"));
    fs::create_dir_all(folder.join("src")).unwrap();
    fs::copy(from.join("src/lib.rs"), folder.join("src/lib.rs")).unwrap();
    fs::copy(from.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let sdk = tools::repository().join("sdk");
    let manifest = fs::read_to_string(from.join("Cargo.toml")).unwrap().replace("../../sdk", sdk.to_str().unwrap());
    fs::write(folder.join("Cargo.toml"), manifest).unwrap();
    let plugin = built(&folder);
    let inspected = proxy::run(dir.path(), &["plugin", "inspect", plugin.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&inspected.stdout).into_owned();
    for wanted in ["on-request, on-response", "depends on its settings", "imports", "\"agent\""] {
        assert!(inspected.status.success() && said.contains(wanted), "{wanted} not in:\n{said}");
    }
    let origin = Origin::echo();
    let config = example("first-plugin", &[("127.0.0.1:9000", &origin)])
        .replace("target/wasm32-wasip2/release/first_plugin.wasm", plugin.to_str().unwrap());
    let proxy = Proxy::start(&config);
    let response = get_with(proxy.http(), "localhost", "/", "User-Agent: curl/8.5\r\n");
    assert_eq!(response.header("x-first-plugin"), Some("was here"));
    assert!(response.text().to_lowercase().contains("x-agent: yes"), "{}", response.text());
    assert!(!get(proxy.http(), "localhost", "/").text().to_lowercase().contains("x-agent"));
}

#[test]
fn the_plugins_own_tests_pass_without_wasm() {
    for name in ["first-plugin", "auth-cache", "zone-balance"] {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["test", "--quiet", "--target-dir"]).arg(tools::repository().join("target/examples"));
        let output = cargo.current_dir(tools::repository().join("examples").join(name)).output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn zone_balance() {
    let plugin = built(&tools::repository().join("examples/zone-balance"));
    let (near, far) = (Origin::named("near"), Origin::named("far"));
    let busy = Origin::says("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let with = |near: &Origin| {
        example("zone-balance", &[("127.0.0.1:9001", near), ("127.0.0.1:9002", &far)])
            .replace("target/wasm32-wasip2/release/zone_balance.wasm", plugin.to_str().unwrap())
    };
    let proxy = Proxy::start(&with(&near));
    for _ in 0..10 {
        assert_eq!(get(proxy.http(), "localhost", "/").header("x-origin"), Some("near"));
    }
    proxy.access_line(|line| line.contains("links=zone:chose"));
    // The near server is overloaded: the far one is asked, and the client never knows.
    let proxy = Proxy::start(&with(&busy));
    let answer = get(proxy.http(), "localhost", "/");
    assert_eq!((answer.status, answer.header("x-origin")), (200, Some("far")));
    proxy.access_line(|line| line.contains("attempts=2") && line.contains("zone:chose,zone:judged"));
}

#[test]
fn component_service() {
    let folder = tools::repository().join("examples/component-service");
    let (service, app) = (built(&folder), Origin::named("app"));
    let config = example("component-service", &[("127.0.0.1:9000", &app)])
        .replace("target/wasm32-wasip2/release/component_service.wasm", service.to_str().unwrap());
    let proxy = Proxy::start(&config);
    assert!(get(proxy.http(), "localhost", "/").text().starts_with("a service inside the proxy"));
    let words = "word and word\n".repeat(100_000);
    let mut raw = Raw::connect(proxy.http());
    raw.send(format!("POST /words HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", words.len())).send(words);
    assert_eq!(raw.response().text(), "300000 words\n");
    assert!(get(proxy.http(), "localhost", "/other/x").text().starts_with("GET /other/x "));
}

#[test]
fn auth_cache() {
    let folder = tools::repository().join("examples/auth-cache");
    let (app, plugin) = (Origin::echo(), built(&folder));
    let auth = Server::program("python3", &folder, |address| vec!["auth.py".to_owned(), address.port().to_string()]);
    let dir = tempfile::tempdir().unwrap();
    let inspected = proxy::run(dir.path(), &["plugin", "inspect", plugin.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&inspected.stdout).into_owned();
    for wanted in ["http-client", "kv", "log", "metrics"] {
        assert!(said.contains(&format!("portcullis:plugin/{wanted}")), "{wanted} not in:\n{said}");
    }
    let config = example("auth-cache", &[("127.0.0.1:9000", &app)])
        .replace("127.0.0.1:9001", &auth.name())
        .replace("target/wasm32-wasip2/release/auth_cache.wasm", plugin.to_str().unwrap());
    let asked = || auth.log().matches("GET /check").count();
    let proxy = Proxy::start(&config);
    let ask = |fields: &str| get_with(proxy.http(), "localhost", "/", fields);
    let nobody = ask("");
    assert_eq!((nobody.status, nobody.header("www-authenticate"), asked()), (401, Some("Bearer"), 0));
    for _ in 0..3 {
        let answer = ask("Authorization: Bearer sesame\r\nX-User: root\r\n");
        let seen = answer.text().to_lowercase();
        assert!(answer.status == 200 && seen.contains("x-user: alice") && !seen.contains("root"), "{seen}");
    }
    assert_eq!(asked(), 1, "{}", auth.log());
    assert_eq!((ask("Authorization: Bearer guess\r\n").status, asked()), (403, 2));
    assert!(!proxy.logged("is not let in").contains("guess"));
    drop(auth);
    assert_eq!(ask("Authorization: Bearer sesame\r\n").status, 200, "who is remembered is let in");
    assert_eq!(ask("Authorization: Bearer other\r\n").status, 503);
    proxy.logged("the auth service does not answer");
    // Without its grants it does not start.
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("portcullis.toml"), config.replace("http = [\"auth\"], ", "")).unwrap();
    let refused = proxy::run(dir.path(), &["check"]);
    let said = String::from_utf8_lossy(&refused.stdout).into_owned();
    assert!(said.contains("E031") && said.contains("http-client") && said.contains("allow = { http = ["), "{said}");
}

/// The example's own script makes what it needs.
fn mtls_certificates() -> tempfile::TempDir {
    tools::need("openssl", "openssl");
    let dir = tempfile::tempdir().unwrap();
    let script = tools::repository().join("examples/mtls/make-certificates.sh");
    let output = Command::new("sh").arg(script).current_dir(dir.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    dir
}

#[test]
fn mtls() {
    let origin = Origin::echo();
    let dir = mtls_certificates();
    fs::copy(tools::repository().join("examples/mtls/portcullis.toml"), dir.path().join("portcullis.toml")).unwrap();
    let output = proxy::run(dir.path(), &["check"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let proxy = Proxy::start_in(dir, &example("mtls", &[("127.0.0.1:9000", &origin)]));
    let at = |name: &str| proxy.dir.path().join(name).to_str().unwrap().to_owned();
    let (ca, port) = (at("server.pem"), proxy.https().port());
    let ask = |site: &str, arguments: &[&str]| {
        let mut curl = Command::new(tools::need("curl", "curl"));
        curl.args(["-sS", "--cacert", &ca, "--resolve", &format!("*:{port}:127.0.0.1")]).args(arguments);
        let output = curl.arg(format!("https://{site}.example.com:{port}/")).output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let answer = ask("api", &["--cert", &at("alice.pem"), "--key", &at("alice.key")]).to_lowercase();
    assert!(answer.contains("client-cert: :miib") && answer.contains("x-partner: cn=alice,o=partners"), "{answer}");
    assert!(ask("api", &[]).contains("alert"), "no certificate");
    assert!(ask("api", &["--cert", &at("bob.pem"), "--key", &at("bob.key")]).contains("revoked"), "revoked");
    assert_eq!(ask("status", &["-H", "Client-Cert: :forged:"]), "up\n");
    assert!(ask("status", &["-H", "Host: api.example.com"]).starts_with("421"));
}
