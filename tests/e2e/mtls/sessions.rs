//! Resumed sessions: whose they are, and where they are good for something.

use super::*;

#[test]
fn a_resumed_session_keeps_the_identity_at_its_own_site_only() {
    let origin = Origin::echo();
    let proxy = three_sites(", forward = \"rfc9440\"", &origin, "");
    for version in ["-tls1_3", "-tls1_2"] {
        let first = s_client(&proxy, "a.test", &[version, "-cert", "alice.pem", "-key", "alice.key", "-sess_out", "session"]);
        assert!(first.contains("New, TLSv") && first.to_lowercase().contains("client-cert: :"), "{first}");
        // No certificate is shown now, and none has to be.
        let again = s_client(&proxy, "a.test", &[version, "-sess_in", "session"]);
        assert!(again.contains("Reused, TLSv") && again.to_lowercase().contains("client-cert: :"), "{again}");
        for other in ["b.test", "open.test"] {
            let elsewhere = s_client(&proxy, other, &[version, "-sess_in", "session"]);
            assert!(elsewhere.contains("New, TLSv") && elsewhere.contains("GET / HTTP/1.1"), "{other}: {elsewhere}");
            assert!(!elsewhere.to_lowercase().contains("client-cert"), "{other}: {elsewhere}");
        }
    }
}

#[test]
fn processes_that_share_ticket_keys_resume_each_other_s_sessions() {
    let origin = Origin::echo();
    let keys = tempfile::tempdir().unwrap();
    let server = |keys: &str| format!("[server]\nworkers = 1\nstate = \"state\"\n{keys}");
    let shared = server(&format!("ticket-keys = \"{}\"\n", keys.path().join("tickets").display()));
    let (one, alone) = (three_sites("", &origin, &shared), three_sites("", &origin, &server("")));
    // The same files, so that the second is the same site to the keys.
    let dir = tempfile::tempdir().unwrap();
    for file in ["server.pem", "server.key", "partners.pem", "others.pem"] {
        fs::copy(one.dir.path().join(file), dir.path().join(file)).unwrap();
    }
    let text = fs::read_to_string(one.dir.path().join("portcullis.toml")).unwrap();
    let two = Proxy::start_in(dir, &text);
    let session = keys.path().join("session");
    let session = session.to_str().unwrap();
    for (sni, shown) in [("open.test", &[][..]), ("a.test", &["-cert", "alice.pem", "-key", "alice.key"][..])] {
        let first = s_client(&one, sni, &[shown, &["-sess_out", session]].concat());
        assert!(first.contains("New, TLSv"), "{first}");
        let there = s_client(&two, sni, &["-sess_in", session]);
        assert!(there.contains("Reused, TLSv") && there.contains("GET / HTTP/1.1"), "{there}");
        assert!(s_client(&alone, sni, &["-sess_in", session]).contains("New, TLSv"), "other keys");
    }
}
