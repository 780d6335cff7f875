//! What the origin, the links and the log hear of a client, and that nobody can pretend.

use super::*;
use portcullis_tests::Raw;

#[test]
fn the_origin_hears_who_it_is_and_nobody_can_pretend() {
    let claims = ["-H", "Client-Cert: :forged:", "-H", "Client-Cert-Chain: :forged:", "-H", "X-Forwarded-Client-Cert: Hash=forged"];
    let origin = Origin::echo();
    for trusted in [false, true] {
        let server = if trusted { "[server]\nworkers = 1\nstate = \"state\"\ntrusted-proxies = [\"127.0.0.0/8\"]\n" } else { "" };
        for (forward, present, absent) in [
            (", forward = \"rfc9440\"", "\r\nclient-cert: :miib", "x-forwarded-client-cert"),
            (", forward = \"xfcc\"", "\r\nx-forwarded-client-cert: hash=", "\r\nclient-cert"),
            ("", "get / http/1.1", "client-cert"),
        ] {
            let proxy = three_sites(forward, &origin, server);
            let (_, body) = ask_as(&proxy, "a.test", "alice", &claims);
            let body = body.to_lowercase();
            assert!(body.contains(present) && !body.contains(absent) && !body.contains("forged"), "{forward}: {body}");
            let (_, body) = ask(&proxy, "open.test", &claims);
            assert!(body.starts_with("GET") && !body.to_lowercase().contains("client-cert"), "{body}");
            let (_, body) = ask(&proxy, "b.test", &claims);
            assert!(body.starts_with("GET") && !body.to_lowercase().contains("client-cert"), "optional, and none shown: {body}");
        }
    }
}

#[test]
fn claims_are_removed_in_the_clear_and_from_trailers() {
    let origin = Origin::echo();
    let proxy = Proxy::start(&format!(
        "[site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/*\" = \"app\" }}\n[upstream.app]\nservers = [\"{}\"]\n",
        origin.name()
    ));
    let mut raw = Raw::connect(proxy.http());
    raw.send(
        "POST / HTTP/1.1\r\nHost: a.test\r\nClient-Cert: :forged:\r\nX-Forwarded-Client-Cert: forged\r\nTransfer-Encoding: chunked\r\n\
         Trailer: client-cert, x-sum\r\n\r\n1\r\na\r\n0\r\nclient-cert: :forged:\r\nx-sum: 1\r\n\r\n",
    );
    let said = raw.response().text();
    assert!(said.contains("x-sum: 1") && !said.contains("forged"), "{said}");
}

#[test]
fn xfcc_says_the_certificate_as_others_read_it() {
    let origin = Origin::echo();
    let proxy = three_sites(", forward = \"xfcc\"", &origin, "");
    let (_, body) = ask_as(&proxy, "a.test", "alice", &[]);
    let value = body.lines().find(|line| line.to_lowercase().starts_with("x-forwarded-client-cert:")).unwrap();
    for part in [";Cert=\"-----BEGIN%20CERTIFICATE-----%0A", ";Subject=\"CN=alice\";URI=spiffe://td/alice;DNS=alice.partner.test"] {
        assert!(value.contains(part), "{value}");
    }
    let fingerprint = Command::new(tools::need("openssl", "openssl"))
        .current_dir(proxy.dir.path())
        .args(["x509", "-in", "alice.pem", "-noout", "-fingerprint", "-sha256"])
        .output()
        .unwrap();
    let fingerprint = String::from_utf8_lossy(&fingerprint.stdout).trim().split('=').nth(1).unwrap().replace(':', "").to_lowercase();
    assert!(value.contains(&format!("Hash={fingerprint};")), "{value}");
}

#[test]
fn links_and_the_access_log_know_the_client() {
    let dir = tempfile::tempdir().unwrap();
    server(dir.path());
    let partners = ca(dir.path(), "partners");
    client(dir.path(), &partners, "alice", 0x1fa0, "");
    let origin = Origin::echo();
    let names = ["verified", "subject", "issuer", "serial", "fingerprint", "not-after", "san.dns", "san.uri"];
    let fields: Vec<String> = names.iter().map(|name| format!("x-{} = \"[{{tls.client.{name}}}]\"", name.replace('.', "-"))).collect();
    let proxy = Proxy::start_in(
        dir,
        &format!(
            "[server]\nworkers = 1\nstate = \"state\"\naccess-log = \"json\"\n[site.\"a.test\"]\ntls = {{ {FILES}, client = {{ ca = \"partners.pem\", require = false }} }}\n\
             headers = {{ request = {{ set = {{ {} }} }} }}\nroutes = {{ \"/*\" = \"app\" }}\n[upstream.app]\nservers = [\"{}\"]\n",
            fields.join(", "),
            origin.name()
        ),
    );
    let (_, body) = ask_as(&proxy, "a.test", "alice", &[]);
    for wanted in [
        "x-verified: [true]",
        "x-subject: [CN=alice",
        "x-issuer: [CN=partners",
        "x-serial: [1fa0]",
        "x-san-dns: [alice.partner.test]",
        "x-san-uri: [spiffe://td/alice]",
    ] {
        assert!(body.contains(wanted), "{wanted} not in {body}");
    }
    let line = proxy.access_line(|line| line.contains("client_cert"));
    assert!(line.contains("\"client_cert\":\"CN=alice"), "{line}");
    let (code, body) = ask(&proxy, "a.test", &[]);
    assert!(code == 0 && body.contains("x-verified: [false]") && body.contains("x-subject: []"), "{body}");
}
