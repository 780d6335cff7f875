//! Servers whose certificate was revoked, and upstreams' files that change.

use portcullis_tests::pki::Authority;
use portcullis_tests::servers::Server;
use portcullis_tests::{Proxy, get, proxy};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// `ca.pem`, two servers' certificates with the serial numbers 7 and 8, and an empty list of what is revoked.
fn papers() -> (TempDir, Authority) {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new("test CA");
    ca.write(dir.path(), "ca");
    ca.issue_numbered(dir.path(), "seven", &["app.test", "127.0.0.1"], Some(7));
    ca.issue_numbered(dir.path(), "eight", &["app.test", "127.0.0.1"], Some(8));
    ca.revoke(dir.path(), "ca.crl", &[]);
    (dir, ca)
}

/// nginx that says whether a session was resumed, and keeps no connection.
fn nginx(dir: &Path, certificate: &str, versions: &str) -> Server {
    let papers = dir.display();
    Server::nginx(|address, _| {
        format!(
            "server {{ listen {address} ssl; ssl_certificate {papers}/{certificate}.pem; ssl_certificate_key {papers}/{certificate}.key;\n\
             ssl_session_cache shared:s:1m; ssl_protocols {versions}; keepalive_timeout 0; location / {{ return 200 \"$ssl_session_reused\"; }} }}"
        )
    })
}

fn start(dir: TempDir, server: &Server, tls: &str) -> Proxy {
    Proxy::start_in(
        dir,
        &format!(
            "[server]\nworkers = 1\nstate = \"state\"\n[site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/*\" = \"app\" }}\n\
             [upstream.app]\nservers = [\"{}\"]\ntls = {{ ca = \"ca.pem\", crl = \"ca.crl\"{tls} }}\n",
            server.address
        ),
    )
}

/// `(status, body or reason)`.
fn ask(proxy: &Proxy) -> (u16, String) {
    let response = get(proxy.http(), "a.test", "/");
    (response.status, response.reason().map_or_else(|| response.text(), str::to_owned))
}

fn wait_for(what: &str, mut good: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !good() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_revoked_server_is_not_spoken_to() {
    for tls in ["", ", name = \"app.test\", sni = \"other.test\""] {
        for (certificate, answer) in [("seven", (502, "origin_certificate")), ("eight", (200, "."))] {
            let (dir, ca) = papers();
            fs::remove_file(dir.path().join("ca.crl")).unwrap();
            ca.revoke(dir.path(), "ca.crl", &[7]);
            let server = nginx(dir.path(), certificate, "TLSv1.2 TLSv1.3");
            let proxy = start(dir, &server, tls);
            assert_eq!(ask(&proxy), (answer.0, answer.1.to_owned()), "{certificate}{tls}: {}", proxy.log());
            match answer.0 {
                // The line may come a moment after the answer.
                502 => wait_for("a line in the log", || proxy.log().contains("Revoked")),
                _ => assert!(!proxy.log().contains("Revoked"), "{}", proxy.log()),
            }
        }
    }
}

#[test]
fn what_no_list_speaks_of_counts_as_revoked() {
    let (dir, _) = papers();
    let server = nginx(dir.path(), "seven", "TLSv1.3");
    fs::remove_file(dir.path().join("ca.crl")).unwrap();
    Authority::new("other CA").revoke(dir.path(), "ca.crl", &[]);
    let proxy = start(dir, &server, "");
    proxy.logged("has no revocation list of `CN=test CA");
    assert_eq!(ask(&proxy), (502, "origin_certificate".into()));
}

#[test]
fn a_list_that_changes_ends_the_sessions_too() {
    for versions in ["TLSv1.3", "TLSv1.2"] {
        let (dir, ca) = papers();
        let server = nginx(dir.path(), "seven", versions);
        let proxy = start(dir, &server, "");
        let at = proxy.dir.path();
        assert_eq!(ask(&proxy), (200, ".".into()));
        assert_eq!(ask(&proxy), (200, "r".into()), "{versions}: resumed");
        // Useless: what was known stays.
        fs::write(at.join("ca.crl"), "nothing").unwrap();
        let line = proxy.logged("TLS of upstream `app`: the files have changed, but the old one is kept");
        assert!(line.contains("no revocation list in") && line.contains("ca.crl (E023)"), "{line}");
        assert_eq!(ask(&proxy), (200, "r".into()));
        fs::remove_file(at.join("ca.crl")).unwrap();
        ca.revoke(at, "ca.crl", &[7]);
        proxy.logged("TLS of upstream `app`: read again, new connections are made with it");
        assert_eq!(ask(&proxy), (502, "origin_certificate".into()), "{versions}: also by a session of before");
        // And back: a mistake was mended.
        fs::remove_file(at.join("ca.crl")).unwrap();
        ca.revoke(at, "ca.crl", &[8]);
        wait_for("the mended list", || ask(&proxy) == (200, ".".into()));
    }
}

#[test]
fn another_ca_is_read_again_too() {
    let (dir, _) = papers();
    let server = nginx(dir.path(), "seven", "TLSv1.3");
    let proxy = start(dir, &server, "");
    assert_eq!(ask(&proxy).0, 200);
    let other = Authority::new("other CA");
    let at = proxy.dir.path();
    other.write(at, "ca");
    other.revoke(at, "ca.crl", &[]);
    wait_for("the other CA", || ask(&proxy) == (502, "origin_certificate".into()));
}

#[test]
fn a_broken_list_is_told_with_its_place() {
    let (dir, _) = papers();
    for (text, wanted) in
        [("nothing", "no revocation list in"), ("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", "cannot be parsed")]
    {
        fs::write(dir.path().join("ca.crl"), text).unwrap();
        let config = "[site.\"a.test\"]\ntls = \"off\"\nroutes = { \"/*\" = \"app\" }\n[upstream.app]\nservers = [\"https://127.0.0.1:1\"]\n\
                      tls = { ca = \"ca.pem\", crl = \"ca.crl\" }\n";
        fs::write(dir.path().join("portcullis.toml"), config).unwrap();
        for command in ["check", "run"] {
            let output = proxy::run(dir.path(), &[command, "portcullis.toml"]);
            let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(!output.status.success(), "{said}");
            for wanted in ["error[E023]: ", wanted, "portcullis.toml:6:30"] {
                assert!(said.contains(wanted), "{command}: {wanted} not in:\n{said}");
            }
        }
    }
}
