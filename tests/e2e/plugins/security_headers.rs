//! `security-headers`: what browsers are told, over https and in the clear.

use super::{refused, start};
use portcullis_tests::{Origin, Proxy, get};
use std::process::Command;

#[test]
fn responses_get_the_fields_of_the_preset_and_keep_their_own() {
    let theirs = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nserver: secret/1.0\r\nx-powered-by: PHP/8\r\nreferrer-policy: origin\r\nconnection: close\r\n\r\n";
    let app = Origin::says(theirs);
    let proxy = start(&app, "{ use = \"security-headers\", preset = \"strict\", permissions = \"off\" }", "");
    let response = get(proxy.http(), "a.test", "/");
    for (name, value) in [
        ("x-frame-options", Some("DENY")),
        ("x-content-type-options", Some("nosniff")),
        ("referrer-policy", Some("origin")),
        ("cross-origin-opener-policy", Some("same-origin")),
        ("permissions-policy", None),
        ("x-powered-by", None),
        ("strict-transport-security", None),
    ] {
        assert_eq!(response.header(name), value, "{name}");
    }
    assert!(response.header("content-security-policy").unwrap().starts_with("default-src 'self'"));
    assert_ne!(response.header("server"), Some("secret/1.0"));
}

#[test]
fn over_https_browsers_are_told_to_stay_there() {
    let app = Origin::echo();
    let proxy = Proxy::start(&format!(
        "[site.localhost]\ntls = \"local\"\nchain = [\"security-headers\"]\nroutes = {{ \"/*\" = \"app\" }}\n[upstream.app]\nservers = [\"{}\"]\n",
        app.name()
    ));
    let url = format!("https://localhost:{}/", proxy.https().port());
    let output = Command::new(portcullis_tests::tools::need("curl", "curl"))
        .args(["--silent", "--insecure", "--max-time", "20", "--output", "/dev/null", "--dump-header", "-", &url])
        .output()
        .unwrap();
    let head = String::from_utf8_lossy(&output.stdout).to_lowercase();
    assert!(head.contains("strict-transport-security: max-age=31536000\r\n"), "{head}");
}

#[test]
fn mistakes_point_into_the_link() {
    let text = refused(&Origin::echo(), "{ use = \"security-headers\", frame = \"ALLOWALL\", hsts = \"forever\" }", "");
    assert!(
        text.contains("there are DENY and SAMEORIGIN") && text.contains("needs max-age in seconds") && text.contains("portcullis.toml:"),
        "{text}"
    );
}
