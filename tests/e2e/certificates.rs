//! What `check` says of certificates, each at its place, and the commands of the local CA.

use portcullis_tests::proxy::run;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Writes `<name>.pem` and `<name>.key`: a certificate for `host` that ends in `days`.
fn pair(dir: &Path, name: &str, host: &str, days: i64) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap();
    let now = std::time::SystemTime::now();
    let day = std::time::Duration::from_secs(86_400);
    params.not_before = (now - day * 100).into();
    params.not_after = if days < 0 { now - day * days.unsigned_abs() as u32 } else { now + day * days as u32 }.into();
    fs::write(dir.join(format!("{name}.pem")), params.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
}

#[test]
fn check_tells_what_is_wrong_with_certificates_and_where() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    pair(at, "good", "good.example.com", 60);
    pair(at, "other", "other.example.com", 60);
    pair(at, "over", "over.example.com", -3);
    pair(at, "soon", "soon.example.com", 5);
    fs::write(at.join("no.pem"), "nothing").unwrap();
    let site =
        |name: &str, tls: &str| format!("[site.\"{name}\"]\ntls = {tls}\nroutes = {{ \"/*\" = {{ respond = {{ status = 204 }} }} }}\n");
    let files = |cert: &str, key: &str| format!("{{ cert = \"{cert}.pem\", key = \"{key}.key\" }}");
    let text = [
        site("good.example.com", &files("good", "other")),
        site("name.example.com", &files("other", "other")),
        site("over.example.com", &files("over", "over")),
        site("soon.example.com", &files("soon", "soon")),
        site("acme.example.com", "{ acme = { directory = \"https://ca.example.com/dir\", ca = \"no.pem\" } }"),
    ]
    .concat();
    fs::write(at.join("portcullis.toml"), text).unwrap();
    let output = run(at, &["check"]);
    let said = said(&output);
    assert!(!output.status.success());
    let wanted = [
        ("error[E020]", "does not belong to the certificate", "portcullis.toml:2:"),
        ("error[E021]", "does not cover `name.example.com`", "portcullis.toml:5:"),
        ("error[E022]", "ended on", "portcullis.toml:8:"),
        ("warning[E022]", "ends in 4 days", "portcullis.toml:11:"),
        ("error[E028]", "no certificate in", "portcullis.toml:14:"),
    ];
    let findings: Vec<&str> = said.split("\n\n").collect();
    for (code, what, place) in wanted {
        assert!(
            findings.iter().any(|one| one.contains(code) && one.contains(what) && one.contains(place)),
            "{code} {what} {place}\n{said}"
        );
    }
}

/// Whether OpenSSL accepts `file` for `purpose` under `root`.
fn verifies(root: &Path, file: &Path, purpose: &str) -> bool {
    let openssl = portcullis_tests::tools::need("openssl", "openssl");
    Command::new(openssl).args(["verify", "-purpose", purpose, "-CAfile"]).args([root, file]).output().unwrap().status.success()
}

#[test]
fn the_root_is_printed_and_certificates_are_made_by_hand() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let root = run(at, &["ca", "root", "--state", "state"]);
    assert!(root.status.success() && root.stdout.starts_with(b"-----BEGIN CERTIFICATE-----"), "{}", said(&root));
    // The configuration's state directory is the same one.
    fs::write(at.join("portcullis.toml"), "[server]\nstate = \"state\"\n[site.localhost]\nroutes = { \"/\" = { redirect = \"/x\" } }\n")
        .unwrap();
    assert_eq!(run(at, &["ca", "root"]).stdout, root.stdout);
    fs::write(at.join("root.pem"), &root.stdout).unwrap();

    fs::create_dir(at.join("out")).unwrap();
    for (arguments, file, right, wrong) in [
        (["ca", "issue", "app.dev.test", "--out", "out"].as_slice(), "app.dev.test", "sslserver", "sslclient"),
        (["ca", "issue", "alice@example.com", "--client", "--out", "out"].as_slice(), "alice@example.com", "sslclient", "sslserver"),
    ] {
        let output = run(at, arguments);
        assert!(output.status.success() && said(&output).contains("good until"), "{}", said(&output));
        let (certificate, key) = (at.join(format!("out/{file}.pem")), at.join(format!("out/{file}.key")));
        assert!(verifies(&at.join("root.pem"), &certificate, right) && !verifies(&at.join("root.pem"), &certificate, wrong), "{file}");
        assert_eq!(key.metadata().unwrap().permissions().mode() & 0o077, 0);
        let again = run(at, arguments);
        assert!(!again.status.success() && said(&again).contains("is there already"), "{}", said(&again));
    }
    let wrong = run(at, &["ca", "issue", "not a host"]);
    assert!(!wrong.status.success() && said(&wrong).contains("no name that a certificate can be made for"), "{}", said(&wrong));
}

#[test]
fn the_system_trusts_the_root_until_that_is_taken_back() {
    portcullis_tests::tools::need("update-ca-certificates", "ca-certificates");
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    let config = "[server]\nstate = \"state\"\n[site.localhost]\ntls = \"local\"\nroutes = { \"/\" = { respond = { status = 200, body = \"hi\" } } }\n";
    fs::write(at.join("portcullis.toml"), config).unwrap();
    let trusted = run(at, &["ca", "trust"]);
    if !is_root() {
        assert!(!trusted.status.success() && said(&trusted).contains("run: sudo"), "{}", said(&trusted));
        return;
    }
    assert!(trusted.status.success() && said(&trusted).contains("trusted by this system: "), "{}", said(&trusted));
    let proxy = portcullis_tests::Proxy::start_in(dir, config);
    let curl = || {
        let url = format!("https://localhost:{}/", proxy.https().port());
        Command::new("curl").args(["-sS", "--max-time", "10", "--capath", "/etc/ssl/certs", &url]).output().unwrap()
    };
    let answer = curl();
    let taken = run(proxy.dir.path(), &["ca", "trust", "--remove"]);
    assert_eq!(String::from_utf8_lossy(&answer.stdout), "hi", "{}", said(&answer));
    assert!(taken.status.success() && said(&taken).contains("no longer trusted"), "{}", said(&taken));
    assert!(!curl().status.success());
    assert!(said(&run(proxy.dir.path(), &["ca", "trust", "--remove"])).contains("is not there"));
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.trim_ascii() == b"0"
}
