//! Certificate files that change under load: new connections get the new certificate, no request is dropped, and a broken file keeps the
//! old one.

use crate::tls::handshake;
use portcullis_tests::{Origin, Proxy, tools};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SITE: &str = r#"
[site.localhost]
tls = { cert = "live/cert.pem", key = "live/key.pem" }
routes = { "/" = { respond = { status = 200, body = "hi" } } }
"#;

/// Writes a pair for `localhost` into `<dir>/<name>/`.
fn pair(dir: &Path, name: &str) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = dir.join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
}

/// The certificate that a new connection gets, as PEM.
pub fn presented(proxy: &Proxy, name: &str) -> String {
    presented_at(proxy.https(), name)
}

fn presented_at(address: SocketAddr, name: &str) -> String {
    certificate_in(&handshake(address, &["-servername", name]))
}

/// The first certificate in what `openssl s_client` says, as PEM without line breaks.
pub fn certificate_in(said: &str) -> String {
    let (_, from) = said.split_once("-----BEGIN CERTIFICATE-----\n").unwrap_or_else(|| panic!("no certificate in {said}"));
    let (body, _) = from.split_once("-----END CERTIFICATE-----").unwrap();
    body.replace(['\r', '\n'], "")
}

fn on_disk(path: &Path) -> String {
    fs::read_to_string(path).unwrap().lines().filter(|line| !line.starts_with("-----")).collect()
}

fn wait_for(what: &str, mut good: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !good() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn load(proxy: &Proxy, more: &[&str]) -> Child {
    let wrk = tools::need("wrk", "wrk");
    let url = format!("https://localhost:{}/", proxy.https().port());
    Command::new(wrk).args(["-t1", "-c4", "-d10s"]).args(more).arg(url).stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_swap_under_load_drops_nothing_and_a_broken_file_keeps_the_old() {
    let dir = tempfile::tempdir().unwrap();
    pair(dir.path(), "one");
    pair(dir.path(), "two");
    symlink("one", dir.path().join("live")).unwrap();
    let proxy = Proxy::start_in(dir, SITE);
    let at = proxy.dir.path();
    assert_eq!(presented(&proxy, "localhost"), on_disk(&at.join("one/cert.pem")));
    // One client keeps its connections, the other makes a handshake for each request.
    let loads = [load(&proxy, &[]), load(&proxy, &["-H", "Connection: close"])];

    // As Kubernetes and certbot do it: a symbolic link is replaced.
    symlink("two", at.join("next")).unwrap();
    fs::rename(at.join("next"), at.join("live")).unwrap();
    let two = on_disk(&at.join("two/cert.pem"));
    wait_for("the swap", || presented(&proxy, "localhost") == two);
    proxy.logged("certificate of `localhost`: read again, new connections get the one that ends on");

    // In place, and useless.
    fs::write(at.join("two/cert.pem"), "no certificate").unwrap();
    let line = proxy.logged("the files have changed, but the old one is kept");
    assert!(line.contains("no certificate in") && line.contains("cert.pem (E025)"), "{line}");
    assert_eq!(presented(&proxy, "localhost"), two);

    for load in loads {
        let output = load.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success() && said.contains("requests in"), "{said}");
        assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}");
    }
    assert_eq!(proxy.log().matches("the old one is kept").count(), 1, "{}", proxy.log());

    // Key and certificate of different pairs, then a good pair again.
    pair(at, "two");
    fs::copy(at.join("one/key.pem"), at.join("two/key.pem")).unwrap();
    proxy.logged("(E020)");
    assert_eq!(presented(&proxy, "localhost"), two);
    pair(at, "two");
    let new = on_disk(&at.join("two/cert.pem"));
    wait_for("the second swap", || presented(&proxy, "localhost") == new);
}

#[test]
fn a_tcp_listener_s_certificate_is_swapped_too_and_a_broken_file_is_told_once_for_all_its_names() {
    let dir = tempfile::tempdir().unwrap();
    let origin = Origin::echo();
    let write = |dir: &Path| {
        let made = rcgen::generate_simple_self_signed(["a.test".to_owned(), "b.test".to_owned()]).unwrap();
        fs::write(dir.join("cert.pem"), made.cert.pem()).unwrap();
        fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    };
    write(dir.path());
    let config = format!(
        "[listen]\nhttp = []\n[tcp.\"127.0.0.1:0\"]\ntls = {{ cert = \"cert.pem\", key = \"key.pem\" }}\nsni = {{ \"a.test\" = \"app\", \"b.test\" = \"app\" }}\n\
         [upstream.app]\nservers = [\"{}\"]\n",
        origin.name()
    );
    let proxy = Proxy::start_in(dir, &config);
    let at = proxy.dir.path();
    write(at);
    let new = on_disk(&at.join("cert.pem"));
    wait_for("the swap", || presented_at(proxy.tcp(), "a.test") == new && presented_at(proxy.tcp(), "b.test") == new);
    fs::write(at.join("key.pem"), "no key").unwrap();
    let line = proxy.logged("the old one is kept");
    assert!(line.contains("certificate of `a.test`, `b.test`:"), "{line}");
    assert_eq!(presented_at(proxy.tcp(), "b.test"), new);
    assert_eq!(proxy.log().matches("the old one is kept").count(), 1, "{}", proxy.log());
}
