//! Client certificates on TCP listeners, and what servers hear of them in a PROXY header.

use super::*;
use std::io::Read;
use std::net::TcpStream;

/// An origin that answers each connection, and each request on it, with what its PROXY header says of TLS: `TLSv1.3 verified alice`.
fn told(http: bool) -> Origin {
    Origin::serve(move |stream, _| {
        let Some(said) = read_header(stream) else { return };
        if !http {
            let _ = stream.write_all(format!("told {said}\n").as_bytes());
            return;
        }
        while portcullis_tests::origin::read_head(stream).is_some() {
            let text = format!("told {said}\n");
            let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len());
        }
    })
}

/// By the book (proxy-protocol.txt, sections 2.2 and 2.2.6), not by our own reader.
fn read_header(stream: &mut TcpStream) -> Option<String> {
    let mut fixed = [0; 16];
    stream.read_exact(&mut fixed).ok()?;
    assert_eq!(&fixed[..14], b"\r\n\r\n\0\r\nQUIT\n\x21\x11");
    let mut rest = vec![0; usize::from(u16::from_be_bytes([fixed[14], fixed[15]]))];
    stream.read_exact(&mut rest).ok()?;
    let parts = |bytes: &[u8]| {
        let (mut parts, mut left) = (Vec::new(), bytes.to_vec());
        while !left.is_empty() {
            let length = usize::from(u16::from_be_bytes([left[1], left[2]]));
            parts.push((left[0], left[3..3 + length].to_vec()));
            left.drain(..3 + length);
        }
        parts
    };
    let find = |parts: &[(u8, Vec<u8>)], kind| parts.iter().find(|(found, _)| *found == kind).map(|(_, value)| value.clone());
    let text = |value: Option<Vec<u8>>| value.map_or("-".to_owned(), |value| String::from_utf8(value).unwrap());
    let all = parts(&rest[12..]);
    let tls = find(&all, 0x20)?;
    let inner = parts(&tls[5..]);
    let verified = match (tls[0], &tls[1..5]) {
        (0x01, [0, 0, 0, 1]) => "unknown",
        (0x07, [0, 0, 0, 0]) => "verified",
        other => panic!("{other:?}"),
    };
    Some(format!("{} {} {verified} {}", text(find(&all, 0x01)), text(find(&inner, 0x21)), text(find(&inner, 0x22))))
}

/// A listener that ends TLS, for a server that is told in a PROXY header.
fn listener(dir: TempDir, tls: &str, leads: &str, origin: &Origin) -> Proxy {
    Proxy::start_in(
        dir,
        &format!(
            "[server]\nworkers = 2\nstate = \"state\"\naccess-log = \"json\"\n[tcp.\"127.0.0.1:0\"]\ntls = {{ {FILES}{tls} }}\n{leads}\n\
             [upstream.app]\nservers = [\"{}\"]\nproxy-protocol = \"v2\"\n",
            origin.name()
        ),
    )
}

fn papers() -> (TempDir, Ca) {
    let dir = tempfile::tempdir().unwrap();
    server(dir.path());
    let partners = ca(dir.path(), "partners");
    client(dir.path(), &partners, "alice", 7, "");
    client(dir.path(), &partners, "bob", 8, "");
    client(dir.path(), &ca(dir.path(), "others"), "mallory", 9, "");
    revoke(dir.path(), &partners, "partners.crl", &[8]);
    (dir, partners)
}

fn connect(proxy: &Proxy, arguments: &[&str]) -> String {
    s_client_at(proxy, proxy.tcp(), "a.test", arguments)
}

fn connect_as(proxy: &Proxy, name: &str, arguments: &[&str]) -> String {
    let shown = [format!("{name}.pem"), format!("{name}.key")];
    connect(proxy, &[&["-cert", &shown[0], "-key", &shown[1]], arguments].concat())
}

#[test]
fn a_tcp_listener_takes_clients_as_a_site_does() {
    let client = ", client = { ca = \"partners.pem\", crl = \"partners.crl\" }";
    // By `to` and by name.
    for leads in ["to = \"app\"", "sni = { \"a.test\" = \"app\" }"] {
        let origin = told(false);
        let proxy = listener(papers().0, client, leads, &origin);
        for version in ["-tls1_3", "-tls1_2"] {
            let said = connect_as(&proxy, "alice", &[version, "-sess_out", "session"]);
            assert!(said.contains(" verified alice\n"), "{leads} {version}: {said}");
            let again = connect(&proxy, &[version, "-sess_in", "session"]);
            assert!(again.contains("Reused, TLSv") && again.contains(" verified alice\n"), "{leads} {version}: {again}");
            let revoked = connect_as(&proxy, "bob", &[version]);
            assert!(!revoked.contains("told") && revoked.contains("certificate revoked"), "{revoked}");
            let stranger = connect_as(&proxy, "mallory", &[version]);
            assert!(!stranger.contains("told") && stranger.contains("unknown ca"), "{stranger}");
            let nobody = connect(&proxy, &[version]);
            assert!(!nobody.contains("told") && nobody.contains("alert"), "{nobody}");
        }
        let line = proxy.access_line(|line| line.contains("client_cert"));
        assert!(line.contains("\"client_cert\":\"CN=alice") && line.contains("\"sni\":\"a.test\""), "{line}");
        proxy.access_line(|line| line.contains("handshake_failed"));
        assert_eq!(origin.connections(), 4, "who is refused reaches no server");
    }
}

#[test]
fn who_need_not_show_one_is_nobody_and_protocols_are_told_as_agreed() {
    let origin = told(false);
    let tls = ", alpn = [\"db\"], client = { ca = \"partners.pem\", require = false }";
    let proxy = listener(papers().0, tls, "to = \"app\"", &origin);
    assert!(connect(&proxy, &[]).contains("told - TLSv1.3 unknown -\n"));
    assert!(connect(&proxy, &["-alpn", "db", "-tls1_2"]).contains("told db TLSv1.2 unknown -\n"));
    assert!(connect_as(&proxy, "bob", &["-alpn", "db"]).contains("told db TLSv1.3 verified bob\n"), "no list, so not revoked");
    assert!(!connect_as(&proxy, "mallory", &[]).contains("told"), "what is shown must be right all the same");
}

#[test]
fn a_revoked_client_and_its_session_are_out_of_a_tcp_listener_too() {
    let origin = told(false);
    let (dir, partners) = papers();
    let tls = ", client = { ca = \"partners.pem\", crl = \"partners.crl\" }";
    let proxy = listener(dir, tls, "sni = { \"a.test\" = \"app\", \"b.test\" = \"app\" }", &origin);
    for version in ["-tls1_3", "-tls1_2"] {
        let session = format!("session{version}");
        assert!(connect_as(&proxy, "alice", &[version, "-sess_out", &session]).contains("verified alice"));
        assert!(connect(&proxy, &[version, "-sess_in", &session]).contains("verified alice"));
        // One name's check is none for the other.
        let elsewhere = s_client_at(&proxy, proxy.tcp(), "b.test", &[version, "-sess_in", &session]);
        assert!(!elsewhere.contains("told"), "{elsewhere}");
    }
    let at = proxy.dir.path();
    fs::remove_file(at.join("partners.crl")).unwrap();
    revoke(at, &partners, "partners.crl", &[7]);
    let line = proxy.logged("check of clients of");
    assert!(line.contains("`a.test`, `b.test`: read again, new connections are held against the new CAs"), "{line}");
    for version in ["-tls1_3", "-tls1_2"] {
        let session = format!("session{version}");
        assert!(!connect(&proxy, &[version, "-sess_in", &session]).contains("told"));
        let both = connect_as(&proxy, "alice", &[version, "-sess_in", &session]);
        assert!(!both.contains("told") && both.contains("certificate revoked"), "{both}");
        assert!(connect_as(&proxy, "bob", &[version]).contains("verified bob"), "it is another list now");
    }
}

#[test]
fn http_upstreams_hear_the_common_name_too() {
    let origin = told(true);
    let (dir, partners) = papers();
    // One whose organisation pretends to be a name, and one without a name.
    for (file, name, organisation) in [("eve", Some("eve"), "x,CN=alice"), ("none", None, "partner")] {
        let mut params = CertificateParams::new(vec!["x.partner.test".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(name) = name {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.distinguished_name.push(DnType::OrganizationName, organisation);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        fs::write(dir.path().join(format!("{file}.pem")), params.signed_by(&key, &partners).unwrap().pem()).unwrap();
        fs::write(dir.path().join(format!("{file}.key")), key.serialize_pem()).unwrap();
    }
    let site = site("a.test", ", client = { ca = \"partners.pem\", require = false }");
    let proxy = Proxy::start_in(dir, &format!("{site}[upstream.app]\nservers = [\"{}\"]\nproxy-protocol = \"v2\"\n", origin.name()));
    for (protocol, alpn) in [("--http1.1", "http/1.1"), ("--http2", "h2"), ("--no-alpn", "-")] {
        for (name, said) in [("alice", "verified alice"), ("bob", "verified bob"), ("eve", "verified eve"), ("none", "verified -")] {
            let (code, body) = ask_as(&proxy, "a.test", name, &[protocol]);
            assert_eq!((code, &*body), (0, &*format!("told {alpn} TLSv1.3 {said}\n")), "{protocol} {name}");
        }
        let (_, body) = ask(&proxy, "a.test", &[protocol]);
        assert_eq!(body, format!("told {alpn} TLSv1.3 unknown -\n"));
    }
}

#[test]
fn mistakes_on_a_tcp_listener_are_told_once_with_their_place() {
    let (dir, _) = papers();
    fs::write(dir.path().join("broken.crl"), "nonsense\n").unwrap();
    let text = format!(
        "[tcp.\"127.0.0.1:0\"]\ntls = {{ {FILES}, client = {{ ca = \"missing.pem\", crl = \"broken.crl\" }} }}\n\
         sni = {{ \"a.test\" = \"app\", \"b.test\" = \"app\" }}\n[upstream]\napp = \"127.0.0.1:9\"\n"
    );
    fs::write(dir.path().join("portcullis.toml"), text).unwrap();
    for command in ["check", "run"] {
        let output = proxy::run(dir.path(), &[command, "portcullis.toml"]);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!output.status.success(), "{said}");
        for wanted in ["cannot read", "portcullis.toml:2:66", "no revocation list in", "portcullis.toml:2:87"] {
            assert_eq!(said.matches(wanted).count(), 1, "{command}: {wanted}\n{said}");
        }
    }
}
