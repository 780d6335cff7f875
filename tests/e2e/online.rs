//! `portcullis check --online`: servers are looked up, connected to, and asked for their certificates.

use portcullis_tests::pki::Authority;
use portcullis_tests::servers::Server;
use portcullis_tests::{Origin, nobody, proxy};
use std::path::Path;

fn check(dir: &Path, config: &str, arguments: &[&str]) -> (Option<i32>, String) {
    std::fs::write(dir.join("a.toml"), config).unwrap();
    let output = proxy::run(dir, &[&["check", "a.toml"], arguments].concat());
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn servers_are_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new("test CA");
    ca.write(dir.path(), "ca");
    ca.issue(dir.path(), "server", &["app.test"]);
    Authority::new("other CA").write(dir.path(), "other");
    let papers = dir.path().display();
    let nginx = Server::nginx(|address, _| {
        format!(
            "server {{ listen {address} ssl; ssl_protocols TLSv1.3; ssl_certificate {papers}/server.pem; ssl_certificate_key {papers}/server.key; }}"
        )
    });
    let strict = Server::program("openssl", dir.path(), |address| {
        let accept = address.to_string();
        let words =
            ["s_server", "-accept", &accept, "-cert", "server.pem", "-key", "server.key", "-www", "-Verify", "1", "-verify_return_error"];
        words.map(str::to_owned).into()
    });
    let origin = Origin::echo();
    let site = "[site.\"a.test\"]\ntls = \"off\"\nroutes = { \"/*\" = \"good\", \"/b/*\" = \"bad\", \"/p/*\" = \"plain\", \"/s/*\" = \"strict\" }\n";
    let good = format!(
        "{site}[upstream]\nplain = \"localhost:{}\"\n[upstream.good]\nservers = \"{}\"\ntls = {{ ca = \"ca.pem\", name = \"app.test\" }}\n",
        origin.address.port(),
        nginx.address
    );
    let same = |name: &str| {
        format!("[upstream.{name}]\nservers = \"https://{}\"\ntls = {{ ca = \"ca.pem\", name = \"app.test\" }}\n", nginx.address)
    };
    let (code, said) = check(dir.path(), &format!("{good}{}{}", same("bad"), same("strict")), &["--online"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("reached, TLSv1.3") && said.contains("certificate CN=app.test, issued by CN=test CA, ends on "), "{said}");
    assert!(said.contains(&format!("plain localhost:{}: reached at ", origin.address.port())), "{said}");

    let bad = format!(
        "{good}[upstream.bad]\nservers = [\"{}\", \"{}\"]\ntls = {{ ca = \"other.pem\", name = \"app.test\" }}\n\
         [upstream.strict]\nservers = [\"{}\", \"no.such.name.invalid:1\"]\ntls = {{ ca = \"ca.pem\", name = \"app.test\" }}\n",
        nginx.address,
        nobody(),
        strict.address
    );
    let (code, said) = check(dir.path(), &bad, &[]);
    assert_eq!(code, Some(0), "without --online nobody is asked: {said}");
    let (code, said) = check(dir.path(), &bad, &["--online"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("error[E043]") && said.contains("UnknownIssuer") && said.contains("issued by CN=test CA"), "{said}");
    assert!(said.contains("error[E042]") && said.contains("Connection refused") && said.contains("no.such.name.invalid"), "{said}");
    assert!(said.contains("refuses the TLS session") && said.contains("CertificateRequired"), "{said}");
    assert!(said.contains("--> a.toml:"), "{said}");
    let (_, json) = check(dir.path(), &bad, &["--online", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json["servers"].as_array().unwrap().len(), json["findings"].as_array().unwrap().len()), (6, 4), "{json:#}");
}
