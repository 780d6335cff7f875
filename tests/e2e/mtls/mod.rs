//! Client certificates: who gets in, and that nobody borrows another site's word.

use portcullis_tests::pki::revoke;
use portcullis_tests::{Origin, Proxy, proxy, tools};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

mod identity;
mod reload;
mod sessions;
mod tcp;

type Ca = Issuer<'static, KeyPair>;

/// A CA, written as `<name>.pem`.
pub fn ca(dir: &Path, name: &str) -> Ca {
    let (params, key) = ca_params(name);
    let certificate = params.self_signed(&key).unwrap();
    fs::write(dir.join(format!("{name}.pem")), certificate.pem()).unwrap();
    Issuer::new(params, key)
}

fn ca_params(name: &str) -> (CertificateParams, KeyPair) {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params, KeyPair::generate().unwrap())
}

/// A client's `<name>.pem` (with `chain` behind its own certificate) and `<name>.key`.
fn client(dir: &Path, by: &Ca, name: &str, serial: u64, chain: &str) {
    let mut params = CertificateParams::new(vec![format!("{name}.partner.test")]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.subject_alt_names.push(SanType::URI(format!("spiffe://td/{name}").try_into().unwrap()));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.serial_number = Some(SerialNumber::from(serial));
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, by).unwrap();
    fs::write(dir.join(format!("{name}.pem")), certificate.pem() + chain).unwrap();
    fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

/// One certificate for all sites of these tests, so that HTTP/2 connections are reused between them.
pub fn server(dir: &Path) {
    let made = rcgen::generate_simple_self_signed(["a.test", "b.test", "open.test"].map(str::to_owned)).unwrap();
    fs::write(dir.join("server.pem"), made.cert.pem()).unwrap();
    fs::write(dir.join("server.key"), made.signing_key.serialize_pem()).unwrap();
}

const FILES: &str = "cert = \"server.pem\", key = \"server.key\"";

/// `(exit code, body)` of curl to a site of the proxy.
pub fn ask(proxy: &Proxy, site: &str, arguments: &[&str]) -> (i32, String) {
    let port = proxy.https().port();
    let output = Command::new(tools::need("curl", "curl"))
        .current_dir(proxy.dir.path())
        .args(["-sS", "--cacert", "server.pem", "--resolve", &format!("*:{port}:127.0.0.1"), "-m", "10"])
        .args(arguments)
        .arg(format!("https://{site}:{port}/"))
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8_lossy(&text).into_owned())
}

fn showing(name: &str) -> [String; 4] {
    ["--cert".into(), format!("{name}.pem"), "--key".into(), format!("{name}.key")]
}

fn ask_as(proxy: &Proxy, site: &str, name: &str, arguments: &[&str]) -> (i32, String) {
    let shown = showing(name);
    let all: Vec<&str> = shown.iter().map(String::as_str).chain(arguments.iter().copied()).collect();
    ask(proxy, site, &all)
}

pub fn site(name: &str, tls: &str) -> String {
    format!("[site.\"{name}\"]\ntls = {{ {FILES}{tls} }}\nroutes = {{ \"/*\" = \"app\" }}\n")
}

fn start(dir: TempDir, sites: &[String], origin: &Origin) -> Proxy {
    Proxy::start_in(dir, &format!("{}[upstream.app]\nservers = [\"{}\"]\n", sites.concat(), origin.name()))
}

#[test]
fn only_clients_of_the_ca_get_in() {
    let dir = tempfile::tempdir().unwrap();
    server(dir.path());
    let (partners, others) = (ca(dir.path(), "partners"), ca(dir.path(), "others"));
    client(dir.path(), &partners, "alice", 7, "");
    client(dir.path(), &others, "mallory", 8, "");
    let origin = Origin::echo();
    let proxy = start(dir, &[site("a.test", ", client = { ca = \"partners.pem\" }")], &origin);
    for version in ["--tlsv1.3", "--tls-max=1.2"] {
        let version: Vec<&str> = version.split('=').collect();
        let (code, body) = ask_as(&proxy, "a.test", "alice", &version);
        assert!(code == 0 && body.starts_with("GET / HTTP/1.1"), "{body}");
        let (code, said) = ask(&proxy, "a.test", &version);
        let none = said.contains("certificate required") || said.contains("bad certificate") || said.contains("handshake failure");
        assert!(code != 0 && none, "{code} {said}");
        let (code, said) = ask_as(&proxy, "a.test", "mallory", &version);
        assert!(code != 0 && said.contains("alert"), "{code} {said}");
    }
}

#[test]
fn who_got_in_by_one_name_of_a_site_is_in_by_its_others() {
    let dir = tempfile::tempdir().unwrap();
    server(dir.path());
    let partners = ca(dir.path(), "partners");
    client(dir.path(), &partners, "alice", 7, "");
    let origin = Origin::echo();
    let text = site("a.test", ", client = { ca = \"partners.pem\" }").replace("routes =", "aliases = \"b.test\"\nroutes =");
    let proxy = start(dir, &[text], &origin);
    for name in ["a.test", "b.test"] {
        let (code, said) = ask(&proxy, name, &[]);
        assert!(code != 0 && said.contains("alert"), "{name}: {code} {said}");
    }
    // Whichever name the handshake was for, as when browsers ask for both on one connection.
    for (sni, host) in [("a.test", "a.test"), ("a.test", "b.test"), ("b.test", "a.test"), ("b.test", "b.test")] {
        let field = format!("Host: {host}:{}", proxy.https().port());
        for protocol in ["--http1.1", "--http2"] {
            let (code, said) = ask_as(&proxy, sni, "alice", &[protocol, "-H", &field]);
            assert!(code == 0 && said.to_lowercase().contains(&format!("host: {host}")), "{protocol} {sni} {host}: {said}");
        }
    }
}

#[test]
fn a_chain_with_an_intermediate_and_a_revoked_certificate() {
    let dir = tempfile::tempdir().unwrap();
    server(dir.path());
    let root = ca(dir.path(), "partners");
    let (params, key) = ca_params("branch");
    let branch_pem = params.signed_by(&key, &root).unwrap().pem();
    let branch = Issuer::new(params, key);
    client(dir.path(), &branch, "alice", 7, &branch_pem);
    client(dir.path(), &branch, "bob", 8, &branch_pem);
    client(dir.path(), &branch, "carol", 9, "");
    revoke(dir.path(), &root, "revoked.crl", &[]);
    revoke(dir.path(), &branch, "revoked.crl", &[8]);
    let origin = Origin::echo();
    let client = ", client = { ca = \"partners.pem\", crl = \"revoked.crl\", forward = \"rfc9440\" }";
    let proxy = start(dir, &[site("a.test", client)], &origin);
    let (code, body) = ask_as(&proxy, "a.test", "alice", &[]);
    assert!(code == 0 && body.to_lowercase().contains("client-cert-chain: :"), "{body}");
    let (code, said) = ask_as(&proxy, "a.test", "bob", &[]);
    assert!(code != 0 && said.contains("certificate revoked"), "{code} {said}");
    let (code, said) = ask_as(&proxy, "a.test", "carol", &[]);
    assert!(code != 0 && said.contains("unknown ca"), "the intermediate is missing: {code} {said}");
}

/// Two sites with CAs of their own and one that does not ask, all with one certificate; alice is a client of the first.
fn three_sites(client_a: &str, origin: &Origin, more: &str) -> Proxy {
    let dir = tempfile::tempdir().unwrap();
    server(dir.path());
    let partners = ca(dir.path(), "partners");
    ca(dir.path(), "others");
    client(dir.path(), &partners, "alice", 7, "");
    let sites = [
        site("a.test", &format!(", client = {{ ca = \"partners.pem\"{client_a} }}")),
        site("b.test", ", client = { ca = \"others.pem\", require = false, forward = \"rfc9440\" }"),
        site("open.test", ""),
    ];
    Proxy::start_in(dir, &format!("{}[upstream.app]\nservers = [\"{}\"]\n{more}", sites.concat(), origin.name()))
}

#[test]
fn a_connection_for_one_site_carries_no_request_for_another() {
    let origin = Origin::echo();
    let proxy = three_sites("", &origin, "");
    let port = proxy.https().port();
    for protocol in ["--http1.1", "--http2"] {
        for (sni, host, status) in [
            ("a.test", "a.test", "200"),
            ("a.test", "b.test", "421"),
            ("a.test", "open.test", "421"),
            ("open.test", "a.test", "421"),
            ("open.test", "b.test", "421"),
            ("open.test", "open.test", "200"),
        ] {
            let field = format!("Host: {host}:{port}");
            let (code, said) = ask_as(&proxy, sni, "alice", &[protocol, "-i", "-H", &field]);
            let line = said.lines().next().unwrap_or_default();
            assert!(code == 0 && line.contains(status), "{protocol} {sni} {host}: {said}");
            assert!(status == "200" || said.contains("other_client_auth"), "{said}");
        }
    }
    let (_, said) = ask(&proxy, "open.test", &["-H", "Host: a.test"]);
    assert!(said.starts_with("421"), "without a certificate: {said}");
    assert!(origin.requests().iter().all(|head| !head.to_lowercase().contains("host: b.test")), "421 never reaches an origin");
}

/// What `openssl s_client` says of a handshake with one request over it.
pub fn s_client(proxy: &Proxy, sni: &str, arguments: &[&str]) -> String {
    s_client_at(proxy, proxy.https(), sni, arguments)
}

fn s_client_at(proxy: &Proxy, address: SocketAddr, sni: &str, arguments: &[&str]) -> String {
    let address = address.to_string();
    let mut child = Command::new(tools::need("openssl", "openssl"))
        .current_dir(proxy.dir.path())
        .args(["s_client", "-connect", &address, "-servername", sni, "-ign_eof"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let request = format!("GET / HTTP/1.1\r\nHost: {sni}\r\nConnection: close\r\n\r\n");
    // It may have ended: a refused handshake is a result too.
    let _ = child.stdin.take().unwrap().write_all(request.as_bytes());
    let output = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn an_optional_certificate_must_be_right_all_the_same() {
    let origin = Origin::echo();
    let proxy = three_sites("", &origin, "");
    let (code, body) = ask(&proxy, "b.test", &[]);
    assert!(code == 0 && body.starts_with("GET"), "{body}");
    let (code, said) = ask_as(&proxy, "b.test", "alice", &[]);
    assert!(code != 0 && said.contains("alert"), "alice is nobody to that CA: {said}");
}

#[test]
fn mistakes_are_told_with_their_place() {
    let dir = tempfile::tempdir().unwrap();
    server(dir.path());
    let partners = ca(dir.path(), "partners");
    fs::write(dir.path().join("empty.pem"), "# no CA yet\n").unwrap();
    fs::write(dir.path().join("broken.crl"), "nonsense\n").unwrap();
    revoke(dir.path(), &partners, "partners.crl", &[]);
    ca(dir.path(), "others");
    let sites = [
        site("a.test", ", client = { ca = \"empty.pem\" }"),
        site("b.test", ", client = { ca = \"partners.pem\", crl = \"broken.crl\" }"),
        site("open.test", ", client = { ca = \"others.pem\", crl = \"partners.crl\" }"),
    ];
    fs::write(
        dir.path().join("portcullis.toml"),
        proxy::complete(&format!("{}[upstream.app]\nservers = [\"127.0.0.1:9\"]\n", sites.concat())),
    )
    .unwrap();
    let output = proxy::run(dir.path(), &["check"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    for wanted in [
        "error[E023]: no certificate in",
        "portcullis.toml:8:66",
        "error[E023]: no revocation list in",
        "portcullis.toml:11:88",
        "warning[E023]: ",
        "has no revocation list of `CN=others`",
        "portcullis.toml:14:86",
    ] {
        assert!(said.contains(wanted), "{wanted} not in:\n{said}");
    }
}
