//! CA bundles and revocation lists that change while they are in use.

use super::*;
use std::time::{Duration, Instant};

/// A site `a.test` with `partners.pem` and `partners.crl`, and alice and bob with certificates of that CA.
fn guarded(origin: &Origin, require: bool) -> (Proxy, Ca) {
    let dir = tempfile::tempdir().unwrap();
    server(dir.path());
    let partners = ca(dir.path(), "partners");
    client(dir.path(), &partners, "alice", 7, "");
    client(dir.path(), &partners, "bob", 8, "");
    revoke(dir.path(), &partners, "partners.crl", &[]);
    let client = format!(", client = {{ ca = \"partners.pem\", crl = \"partners.crl\", require = {require}, forward = \"rfc9440\" }}");
    (start(dir, &[site("a.test", &client)], origin), partners)
}

/// As tools do it: the new file takes the old one's place in one step.
fn replace(dir: &Path, file: &str, write: impl FnOnce(&str)) {
    let next = format!("{file}.next");
    let _ = fs::remove_file(dir.join(&next));
    write(&next);
    fs::rename(dir.join(next), dir.join(file)).unwrap();
}

fn wait_for(what: &str, mut good: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(15);
    while !good() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_client_that_is_revoked_is_out_with_its_session() {
    let origin = Origin::echo();
    for require in [true, false] {
        let (proxy, partners) = guarded(&origin, require);
        let at = proxy.dir.path();
        let shown = |version, name: &str| {
            let (cert, key, session) = (format!("{name}.pem"), format!("{name}.key"), format!("{name}{version}"));
            s_client(&proxy, "a.test", &[version, "-cert", &cert, "-key", &key, "-sess_out", &session])
        };
        let versions = ["-tls1_3", "-tls1_2"];
        for version in versions {
            for name in ["alice", "bob"] {
                assert!(shown(version, name).to_lowercase().contains("client-cert: :"));
                let again = s_client(&proxy, "a.test", &[version, "-sess_in", &format!("{name}{version}")]);
                assert!(again.contains("Reused, TLSv") && again.to_lowercase().contains("client-cert: :"), "before: {again}");
            }
        }
        replace(at, "partners.crl", |next| revoke(at, &partners, next, &[8]));
        proxy.logged("check of clients of `a.test`: read again, new connections are held against the new CAs and revocation lists");
        for version in versions {
            // With the certificate, by the ticket alone, and with both.
            let by_ticket = s_client(&proxy, "a.test", &[version, "-sess_in", &format!("bob{version}")]);
            assert!(!by_ticket.contains("Reused") && !by_ticket.to_lowercase().contains("client-cert"), "{by_ticket}");
            assert_eq!(by_ticket.contains("GET / HTTP/1.1"), !require, "{by_ticket}");
            let both = ["-cert", "bob.pem", "-key", "bob.key", "-sess_in", &format!("bob{version}")];
            let both = s_client(&proxy, "a.test", &[&[version], &both[..]].concat());
            assert!(!both.contains("GET / HTTP/1.1") && both.contains("certificate revoked"), "{both}");
            let certificate = shown(version, "bob");
            assert!(!certificate.contains("GET / HTTP/1.1") && certificate.contains("certificate revoked"), "{certificate}");
            // Whose session is as old, but who is not revoked, is asked once more and then known again.
            let (cert, key) = ("alice.pem", "alice.key");
            let old = s_client(&proxy, "a.test", &[version, "-cert", cert, "-key", key, "-sess_in", &format!("alice{version}")]);
            assert!(old.contains("New, TLSv") && old.to_lowercase().contains("client-cert: :"), "{old}");
            assert!(shown(version, "alice").contains("New, TLSv"));
            let again = s_client(&proxy, "a.test", &[version, "-sess_in", &format!("alice{version}")]);
            assert!(again.contains("Reused, TLSv") && again.to_lowercase().contains("client-cert: :"), "{again}");
        }
    }
}

#[test]
fn another_ca_takes_over_and_a_broken_file_changes_nothing() {
    let origin = Origin::echo();
    let (proxy, _) = guarded(&origin, true);
    let at = proxy.dir.path();
    let taken = |name: &str| ask_as(&proxy, "a.test", name, &[]).0 == 0;
    assert!(taken("alice"));
    // The list is no list: nothing is taken over, not even the good half.
    fs::write(at.join("partners.crl"), "half of a").unwrap();
    let line = proxy.logged("check of clients of `a.test`: the files have changed, but the old one is kept");
    assert!(line.contains("no revocation list in") && line.contains("partners.crl (E023)"), "{line}");
    assert!(taken("alice"));
    let others = ca(at, "others");
    client(at, &others, "carol", 9, "");
    fs::copy(at.join("others.pem"), at.join("partners.pem")).unwrap();
    wait_for("the second refusal", || proxy.log().matches("the old one is kept").count() == 2);
    assert!(taken("alice") && !taken("carol"), "the list is still none");
    // Both are good again.
    replace(at, "partners.crl", |next| revoke(at, &others, next, &[]));
    wait_for("the other CA", || taken("carol"));
    assert!(!taken("alice"));
    let log = proxy.log();
    assert_eq!(log.matches("the old one is kept").count(), 2, "once for each change: {log}");
    assert_eq!(log.matches("read again").count(), 1, "{log}");
    // An empty bundle would let nobody in; the last good one stays.
    fs::write(at.join("partners.pem"), "# nobody\n").unwrap();
    wait_for("the third refusal", || proxy.log().matches("the old one is kept").count() == 3);
    assert!(taken("carol"));
}
