//! Certificates that are ordered from a CA, end to end against pebble.

use crate::reload::{certificate_in, presented};
use crate::tls::{curl_to, handshake};
use portcullis_tests::{Origin, Pebble, Proxy, get, origin};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Ports for a proxy that a CA must know before it starts.
fn ports() -> (u16, u16) {
    (origin::nobody().port(), origin::nobody().port())
}

/// A configuration with these sites, each answering with its name; `acme` is what stands in `[acme]` beyond pebble's address.
fn config(pebble: &Pebble, (http, https): (u16, u16), sites: &[(&str, &str)], acme: &str) -> String {
    let mut text = format!(
        "[listen]\nhttp = [\"127.0.0.1:{http}\"]\nhttps = [\"127.0.0.1:{https}\"]\n[acme]\ndirectory = \"{}\"\nca = \"{}\"\n{acme}\n",
        pebble.directory(),
        pebble.ca().display()
    );
    for (name, tls) in sites {
        text += &format!("[site.\"{name}\"]\n{tls}\nroutes = {{ \"/*\" = {{ respond = {{ status = 200, body = \"{name}\" }} }} }}\n");
    }
    text
}

fn ordered(proxy: &Proxy, name: &str) {
    proxy.logged(&format!("certificate of `{name}`: from https://"));
}

/// The same state in a new directory, as after a restart.
fn restarted(proxy: Proxy, config: &str) -> Proxy {
    let dir = tempfile::tempdir().unwrap();
    assert!(Command::new("cp").arg("-a").arg(proxy.dir.path().join("state")).arg(dir.path()).status().unwrap().success());
    drop(proxy);
    Proxy::start_in(dir, config)
}

fn assert_owner_only(state: &Path) {
    let mut open = vec![state.to_path_buf()];
    while let Some(path) = open.pop() {
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o077, 0, "{} is open to others", path.display());
        if path.is_dir() {
            open.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
        }
    }
}

#[test]
fn two_names_by_http_01_and_a_restart_without_the_ca() {
    let ports = ports();
    let mut pebble = Pebble::start(ports.0, ports.1, "");
    // Public names need no `tls`.
    let text = config(&pebble, ports, &[("a.example.org", ""), ("b.example.org", "tls = \"acme\"")], "contact = \"ops@example.org\"");
    let proxy = Proxy::start(&text);
    let root = pebble.root();
    for name in ["a.example.org", "b.example.org"] {
        ordered(&proxy, name);
        assert_eq!(curl_to(&proxy, name, &root, &[], "/"), name);
    }
    proxy.access_line(|line| line.contains("/.well-known/acme-challenge/") && line.contains("acme_challenge"));
    assert_eq!(get(proxy.http(), "a.example.org", "/.well-known/acme-challenge/none").status, 308, "no order shows this token");
    assert_owner_only(&proxy.dir.path().join("state"));
    assert_eq!(proxy.log().matches(": from https://").count(), 2);
    assert_eq!(proxy.log().matches("account https://").count(), 1, "{}", proxy.log());

    let certificate = presented(&proxy, "a.example.org");
    pebble.stop();
    let proxy = restarted(proxy, &text);
    assert_eq!(presented(&proxy, "a.example.org"), certificate);
    assert_eq!(curl_to(&proxy, "b.example.org", &root, &[], "/"), "b.example.org");
    assert!(!proxy.log().contains("certificate of"), "{}", proxy.log());
}

#[test]
fn each_name_of_a_site_gets_one() {
    let ports = ports();
    let pebble = Pebble::start(ports.0, ports.1, "");
    let proxy = Proxy::start(&config(&pebble, ports, &[("a.example.org", "aliases = [\"www.example.org\"]")], ""));
    for name in ["a.example.org", "www.example.org"] {
        ordered(&proxy, name);
        assert_eq!(curl_to(&proxy, name, &pebble.root(), &[], "/"), "a.example.org");
    }
}

#[test]
fn tls_alpn_01_needs_no_http_listener() {
    let ports = ports();
    let pebble = Pebble::start(ports.0, ports.1, "");
    let site = ("a.example.org", "tls = { acme = { challenge = \"tls-alpn-01\" } }");
    let text = config(&pebble, ports, &[site], "").replace(&format!("http = [\"127.0.0.1:{}\"]", ports.0), "http = []");
    let proxy = Proxy::start(&text);
    ordered(&proxy, "a.example.org");
    assert_eq!(curl_to(&proxy, "a.example.org", &pebble.root(), &["--http2"], "/"), "a.example.org");
    // A CA that looks when nothing is ordered sees nothing, and nobody speaks HTTP that way.
    let said = handshake(proxy.https(), &["-servername", "a.example.org", "-alpn", "acme-tls/1"]);
    assert!(said.contains("no peer certificate available"), "{said}");
}

#[test]
fn an_account_that_is_bound_to_an_external_one() {
    let ports = ports();
    let (kid, key) = ("kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W");
    let more = format!("\"externalAccountBindingRequired\": true, \"externalAccountMACKeys\": {{ \"{kid}\": \"{key}\" }}, ");
    let pebble = Pebble::start(ports.0, ports.1, &more);
    let refused = Proxy::start(&config(&pebble, ports, &[("a.example.org", "")], ""));
    let line = refused.logged("certificate of `a.example.org`: the CA refuses");
    assert!(line.contains("externalAccountRequired") && line.contains("handshakes for it fail, next attempt in"), "{line}");
    drop(refused);

    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("eab.key"), format!("{key}\n")).unwrap();
    let bound = format!("eab = {{ kid = \"{kid}\", key = {{ file = \"eab.key\" }} }}");
    let proxy = Proxy::start_in(dir, &config(&pebble, ports, &[("a.example.org", "")], &bound));
    ordered(&proxy, "a.example.org");
    assert_eq!(curl_to(&proxy, "a.example.org", &pebble.root(), &[], "/"), "a.example.org");
}

#[test]
fn a_certificate_is_renewed_after_two_thirds_of_its_life() {
    let ports = ports();
    let pebble = Pebble::start(ports.0, ports.1, "\"certificateValidityPeriod\": 18, ");
    let proxy = Proxy::start(&config(&pebble, ports, &[("a.example.org", "")], ""));
    ordered(&proxy, "a.example.org");
    let (first, begun) = (presented(&proxy, "a.example.org"), Instant::now());
    while presented(&proxy, "a.example.org") == first {
        assert!(begun.elapsed() < Duration::from_secs(20), "not renewed:\n{}", proxy.log());
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(begun.elapsed() > Duration::from_secs(7), "renewed after {:?}", begun.elapsed());
    assert_eq!(curl_to(&proxy, "a.example.org", &pebble.root(), &[], "/"), "a.example.org");
}

#[test]
fn a_ca_that_is_not_there_or_finds_nothing_stops_nobody_else() {
    let ports = ports();
    // Looks where nobody listens.
    let pebble = Pebble::start(origin::nobody().port(), origin::nobody().port(), "");
    let gone = "tls = { acme = { directory = \"https://127.0.0.1:9/dir\" } }";
    let sites = [("a.example.org", ""), ("b.example.org", gone), ("localhost", "tls = \"local\"")];
    let mut proxy = Proxy::start(&config(&pebble, ports, &sites, ""));
    let root = crate::tls::find_root(proxy.dir.path());
    assert_eq!(curl_to(&proxy, "localhost", &root, &[], "/"), "localhost");
    let line = proxy.logged("certificate of `a.example.org`: the CA could not prove the name by http-01");
    assert!(line.contains("connection refused") || line.contains("(connection)"), "{line}");
    proxy.logged("certificate of `b.example.org`: cannot connect to 127.0.0.1:9");
    let said = handshake(proxy.https(), &["-servername", "a.example.org"]);
    assert!(said.contains("internal error"), "{said}");
    proxy.terminate();
    assert_eq!(proxy.wait(Duration::from_secs(10)), Some(0));
}

#[test]
fn a_ca_that_has_forgotten_the_account_gets_a_new_one() {
    let ports = ports();
    let pebble = Pebble::start(ports.0, ports.1, "");
    let text = config(&pebble, ports, &[("a.example.org", "")], "");
    let proxy = Proxy::start(&text);
    ordered(&proxy, "a.example.org");
    let mut names = std::fs::read_dir(proxy.dir.path().join("state/acme")).unwrap();
    let folder = names.next().unwrap().unwrap().path();
    // Another CA's account under this one's name, and no certificate.
    let account = std::fs::read_to_string(folder.join("account.json")).unwrap();
    let id = account.split("\"id\": \"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    std::fs::write(folder.join("account.json"), account.replace(&id, &format!("{id}-gone"))).unwrap();
    std::fs::remove_file(folder.join("a.example.org.pem")).unwrap();
    let proxy = restarted(proxy, &text);
    proxy.logged("does not know our account any more");
    ordered(&proxy, "a.example.org");
}

/// A TCP listener on `port` that orders certificates for `db.example.org`, with an upstream that says hello.
fn tcp(pebble: &Pebble, listen: &str, port: u16, tls: &str, origin: &Origin) -> String {
    format!(
        "[listen]\n{listen}\n[acme]\ndirectory = \"{}\"\nca = \"{}\"\n[tcp.\"127.0.0.1:{port}\"]\ntls = {tls}\n\
         sni = {{ \"db.example.org\" = {{ to = \"app\", alpn = \"db\" }} }}\n[upstream]\napp = \"{}\"\n",
        pebble.directory(),
        pebble.ca().display(),
        origin.name()
    )
}

/// What a client hears that trusts pebble's root and wants a certificate for `db.example.org`.
fn hear(port: u16, root: &Path) -> String {
    let root = root.to_str().unwrap();
    let verified = ["-servername", "db.example.org", "-verify_hostname", "db.example.org", "-CAfile", root, "-verify_return_error"];
    handshake(([127, 0, 0, 1], port).into(), &[&verified[..], &["-alpn", "db", "-ign_eof"]].concat())
}

fn hello() -> Origin {
    Origin::serve(|stream, _| {
        let _ = std::io::Write::write_all(stream, b"hello from the server\n");
    })
}

#[test]
fn a_tcp_listener_s_name_is_proved_by_the_http_listener_that_is_there() {
    let (ports, origin) = (ports(), hello());
    let pebble = Pebble::start(ports.0, origin::nobody().port(), "");
    let listen = format!("http = [\"127.0.0.1:{}\"]", ports.0);
    let text = tcp(&pebble, &listen, ports.1, "\"acme\"", &origin);
    let mut proxy = Proxy::start(&text);
    ordered(&proxy, "db.example.org");
    let said = hear(ports.1, &pebble.root());
    assert!(said.contains("Verify return code: 0") && said.contains("hello from the server"), "{said}");
    proxy.access_line(|line| line.contains("/.well-known/acme-challenge/") && line.contains("acme_challenge"));
    assert_owner_only(&proxy.dir.path().join("state"));
    // What was ordered is kept.
    proxy = restarted(proxy, &text);
    assert!(hear(ports.1, &pebble.root()).contains("hello from the server"));
    assert!(!proxy.log().contains("certificate of"), "{}", proxy.log());
}

#[test]
fn a_tcp_listener_alone_proves_its_name_itself() {
    let (port, origin) = (origin::nobody().port(), hello());
    let pebble = Pebble::start(origin::nobody().port(), port, "\"certificateValidityPeriod\": 18, ");
    let proxy = Proxy::start(&tcp(&pebble, "", port, "\"acme\"", &origin));
    ordered(&proxy, "db.example.org");
    let said = hear(port, &pebble.root());
    assert!(said.contains("Verify return code: 0") && said.contains("hello from the server"), "{said}");
    proxy.access_line(|line| line.contains(" acme_challenge sni=db.example.org ") && line.ends_with("in=0 out=0"));
    // Nothing of it reaches the server, and who comes when nothing is ordered sees nothing.
    let nothing = handshake(([127, 0, 0, 1], port).into(), &["-servername", "other.example.org", "-alpn", "acme-tls/1"]);
    assert!(nothing.contains("no peer certificate available"), "{nothing}");
    assert_eq!(origin.connections(), 1);
    // And renews it.
    let (first, begun, root) = (certificate_in(&said), Instant::now(), pebble.root());
    while certificate_in(&hear(port, &root)) == first {
        assert!(begun.elapsed() < Duration::from_secs(20), "not renewed:\n{}", proxy.log());
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn a_ca_that_looks_at_the_https_port_finds_what_a_tcp_listener_ordered() {
    let (https, port, origin) = (origin::nobody().port(), origin::nobody().port(), hello());
    let pebble = Pebble::start(origin::nobody().port(), https, "");
    // The same name is a site's too, and ordered once.
    let site =
        "[site.\"db.example.org\"]\ntls = { acme = { challenge = \"tls-alpn-01\" } }\nroutes = { \"/*\" = { respond = \"the site\" } }\n";
    let listen = format!("http = []\nhttps = [\"127.0.0.1:{https}\"]");
    let proxy = Proxy::start(&(tcp(&pebble, &listen, port, "{ acme = { challenge = \"tls-alpn-01\" }, alpn = \"db\" }", &origin) + site));
    ordered(&proxy, "db.example.org");
    let (root, begun) = (pebble.root(), Instant::now());
    // Whoever comes second finds it on the shelf, some seconds later.
    while proxy.log().matches("`db.example.org`: from https://").count() < 2 {
        assert!(begun.elapsed() < Duration::from_secs(30), "{}", proxy.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    let said = hear(port, &root);
    assert!(said.contains("Verify return code: 0") && said.contains("hello from the server"), "{said}");
    assert_eq!(certificate_in(&said), presented(&proxy, "db.example.org"), "one certificate for both");
    assert_eq!(curl_to(&proxy, "db.example.org", &root, &[], "/"), "the site");
    assert_eq!(proxy.log().matches(": ordered from").count(), 1, "{}", proxy.log());
    assert_eq!(proxy.log().matches("account https://").count(), 1, "{}", proxy.log());
}

#[test]
fn the_example_acme_local() {
    let folder = portcullis_tests::tools::repository().join("examples/acme-local");
    let ports = ports();
    let pebble = Pebble::start(ports.0, ports.1, "");
    // The CA is configured for the example's listeners and certificate.
    let settings: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(folder.join("pebble.json")).unwrap()).unwrap();
    let settings = &settings["pebble"];
    assert_eq!((&settings["httpPort"], &settings["tlsPort"]), (&serde_json::json!(8080), &serde_json::json!(8443)));
    let mut text = std::fs::read_to_string(folder.join("portcullis.toml")).unwrap();
    let directory = pebble.directory();
    for (from, to) in [
        ("127.0.0.1:8080", format!("127.0.0.1:{}", ports.0)),
        ("127.0.0.1:8443", format!("127.0.0.1:{}", ports.1)),
        ("https://localhost:14000/dir", directory),
    ] {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, &to);
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(pebble.ca(), dir.path().join("pebble.pem")).unwrap();
    std::fs::copy(folder.join("portcullis.toml"), dir.path().join("portcullis.toml")).unwrap();
    let checked = portcullis_tests::proxy::run(dir.path(), &["check"]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    let proxy = Proxy::start_in(dir, &text);
    let root = pebble.root();
    for (name, challenge) in [("app.example.com", "http-01"), ("api.example.com", "tls-alpn-01")] {
        ordered(&proxy, name);
        assert_eq!(curl_to(&proxy, name, &root, &[], "/"), format!("proved by {challenge}\n"));
    }
}
