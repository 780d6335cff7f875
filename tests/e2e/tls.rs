//! TLS in: certificates by SNI, the local CA, ALPN, the redirect from plain HTTP.

use portcullis_tests::{Origin, Proxy, Response, curl, get, tools};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// A directory with `<name>.pem` and `<name>.key` for each name.
pub fn certificates(names: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in names {
        let made = rcgen::generate_simple_self_signed([(*name).to_owned()]).unwrap();
        std::fs::write(dir.path().join(format!("{name}.pem")), made.cert.pem()).unwrap();
        std::fs::write(dir.path().join(format!("{name}.key")), made.signing_key.serialize_pem()).unwrap();
    }
    dir
}

fn two_sites(origin: &Origin) -> Proxy {
    Proxy::start_in(
        certificates(&["a.test", "b.test"]),
        &format!(
            r#"
[site."a.test"]
tls = {{ cert = "a.test.pem", key = "a.test.key" }}
routes = {{ "/*" = "app" }}
[site."b.test"]
tls = {{ cert = "b.test.pem", key = "b.test.key" }}
routes = {{ "/*" = "app" }}
[upstream.app]
servers = ["{}"]
"#,
            origin.name()
        ),
    )
}

/// curl against a name that resolves to the proxy, trusting `ca`.
pub fn curl_to(proxy: &Proxy, name: &str, ca: &Path, arguments: &[&str], path: &str) -> String {
    let address = proxy.https();
    let resolve = format!("{name}:{}:127.0.0.1", address.port());
    let url = format!("https://{name}:{}{path}", address.port());
    let mut all = vec!["--resolve", &resolve, "--cacert", ca.to_str().unwrap()];
    all.extend(arguments);
    all.push(&url);
    curl(&all)
}

/// What `openssl s_client` prints about a handshake.
pub fn handshake(address: SocketAddr, arguments: &[&str]) -> String {
    let openssl = tools::need("openssl", "openssl");
    let output =
        Command::new(openssl).args(["s_client", "-connect", &address.to_string()]).args(arguments).stdin(Stdio::null()).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn sni_chooses_the_certificate() {
    let origin = Origin::echo();
    let proxy = two_sites(&origin);
    for name in ["a.test", "b.test"] {
        let body = curl_to(&proxy, name, &proxy.dir.path().join(format!("{name}.pem")), &[], "/x");
        assert!(
            body.contains(&format!("X-Forwarded-Host: {name}")) || body.to_lowercase().contains(&format!("x-forwarded-host: {name}")),
            "{body}"
        );
        assert!(body.to_lowercase().contains("x-forwarded-proto: https"), "{body}");
    }
}

#[test]
fn an_unknown_name_is_refused_in_the_handshake() {
    let origin = Origin::echo();
    let proxy = two_sites(&origin);
    let said = handshake(proxy.https(), &["-servername", "other.test"]);
    assert!(said.contains("unrecognized name"), "{said}");
}

#[test]
fn tls_1_2_and_1_3_with_alpn() {
    let origin = Origin::echo();
    let proxy = two_sites(&origin);
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let said = handshake(proxy.https(), &["-servername", "a.test", version, "-alpn", "h2,http/1.1"]);
        assert!(said.contains(name) && said.contains("ALPN protocol: h2"), "{said}");
    }
    let said = handshake(proxy.https(), &["-servername", "a.test", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]);
    assert!(said.contains("alert") || said.contains("no protocols available"), "TLS 1.1 is refused: {said}");
    let said = handshake(proxy.https(), &["-servername", "a.test", "-alpn", "http/1.1"]);
    assert!(said.contains("ALPN protocol: http/1.1"), "{said}");
}

#[test]
fn http_is_redirected_to_https() {
    let origin = Origin::echo();
    let proxy = two_sites(&origin);
    let response: Response = get(proxy.http(), "a.test", "/x?y=z");
    assert_eq!(response.status, 308);
    assert_eq!(response.header("location"), Some(format!("https://a.test:{}/x?y=z", proxy.https().port()).as_str()));
}

#[test]
fn the_local_ca_makes_what_is_needed_and_keeps_it_private() {
    let origin = Origin::echo();
    let proxy = Proxy::start(&format!(
        "[site.localhost]\ntls = \"local\"\nroutes = {{ \"/*\" = \"app\" }}\n[site.\"*.dev.test\"]\ntls = \"local\"\nroutes = {{ \"/*\" = \"app\" }}\n[upstream.app]\nservers = [\"{}\"]\n",
        origin.name()
    ));
    let root = find_root(proxy.dir.path());
    for name in ["localhost", "a.dev.test"] {
        assert!(curl_to(&proxy, name, &root, &["--http2", "-w", "%{http_version}"], "/").ends_with('2'), "{name}");
    }
    let mut open = vec![proxy.dir.path().join("state")];
    while let Some(path) = open.pop() {
        let mode = path.metadata().unwrap().permissions().mode() & 0o077;
        assert_eq!(mode, 0, "{} is open to others", path.display());
        if path.is_dir() {
            open.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
        }
    }
}

#[test]
fn the_local_ca_is_kept_over_a_restart() {
    let config = "[site.localhost]\ntls = \"local\"\nroutes = { \"/\" = { respond = { status = 200, body = \"hi\" } } }\n";
    let first = Proxy::start(config);
    let root = std::fs::read(find_root(first.dir.path())).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let copied = Command::new("cp").arg("-a").arg(first.dir.path().join("state")).arg(dir.path()).status().unwrap();
    assert!(copied.success());
    let second = Proxy::start_in(dir, config);
    assert_eq!(std::fs::read(find_root(second.dir.path())).unwrap(), root);
    assert_eq!(curl_to(&second, "localhost", &find_root(second.dir.path()), &[], "/"), "hi");
}

/// The local CA's root certificate in the state directory.
pub fn find_root(dir: &Path) -> std::path::PathBuf {
    let ca = dir.join("state/ca");
    let files = ca.read_dir().unwrap_or_else(|error| panic!("{}: {error}", ca.display())).map(|entry| entry.unwrap().path());
    files.into_iter().find(|file| std::fs::read_to_string(file).is_ok_and(|text| text.contains("BEGIN CERTIFICATE"))).expect("a root")
}

#[test]
fn ciphers_go_by_our_order_unless_the_client_has_no_use_for_aes() {
    let origin = Origin::echo();
    let proxy = two_sites(&origin);
    let (aes, chacha) = ("TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256");
    for (offered, chosen) in [
        (format!("TLS_AES_256_GCM_SHA384:{chacha}:{aes}"), aes),
        (format!("{aes}:TLS_AES_256_GCM_SHA384"), aes),
        (format!("{chacha}:{aes}"), chacha),
    ] {
        let said = handshake(proxy.https(), &["-servername", "a.test", "-tls1_3", "-ciphersuites", &offered]);
        assert!(said.contains(&format!("Cipher is {chosen}")), "{offered}: {said}");
    }
    let offered = "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256";
    let said = handshake(proxy.https(), &["-servername", "a.test", "-tls1_2", "-cipher", offered]);
    assert!(said.contains("Cipher is ECDHE-ECDSA-AES128-GCM-SHA256"), "{said}");
}
