//! Sites with several names: one site behind all of them, and a certificate for each.

use crate::tls::{curl_to, find_root, handshake};
use portcullis_tests::{Origin, Proxy, get, pki, proxy};

const ROUTES: &str = r#"
headers = { response = { set = { x-site = "{site}" } } }
[site."app.test".routes]
"/*"     = "app"
"/few/*" = { to = "app", limit = "2/h" }
"#;

fn upstream(origin: &Origin) -> String {
    format!("[upstream.app]\nservers = [\"{}\"]\n", origin.name())
}

#[test]
fn all_names_lead_to_one_site() {
    let origin = Origin::echo();
    let site = "[site.\"app.test\"]\naliases = [\"www.app.test\", \"*.eu.app.test\", \"127.0.0.7\"]\ntls = \"off\"\n";
    let other = "[site.\"own.eu.app.test\"]\ntls = \"off\"\nroutes = { \"/*\" = { respond = \"own\" } }\n";
    let admin = "[admin]\nlisten = \"127.0.0.1:0\"\n";
    let proxy = Proxy::start(&format!("{admin}{site}{ROUTES}{other}{}", upstream(&origin)));
    let names = ["app.test", "www.app.test", "WWW.App.Test.", "a.eu.app.test", "a.b.eu.app.test", "127.0.0.7"];
    for name in names {
        let response = get(proxy.http(), name, "/x");
        // The server is told what the client asked for.
        let (site, echo) = (response.header("x-site").map(str::to_owned), response.text().to_lowercase());
        assert_eq!((response.status, site.as_deref()), (200, Some("app.test")), "{name}");
        assert!(echo.contains(&format!("host: {}", name.to_lowercase().trim_end_matches('.'))), "{name}: {echo}");
    }
    assert_eq!(get(proxy.http(), "own.eu.app.test", "/x").text(), "own", "an exact name wins");
    for name in ["eu.app.test", "ftp.app.test"] {
        assert_eq!(get(proxy.http(), name, "/x").status, 404, "{name}");
    }
    // What is counted is counted for the site.
    let few = ["app.test", "www.app.test", "a.eu.app.test"].map(|name| get(proxy.http(), name, "/few/x").status);
    assert_eq!(few, [200, 200, 429]);
    let counted = "portcullis_requests_total{";
    let page = get(proxy.admin(), "localhost", "/metrics").text();
    let sites: Vec<&str> = page.lines().filter(|line| line.starts_with(counted) && line.contains("site=\"")).collect();
    assert!(sites.iter().any(|line| line.contains("site=\"app.test\"")), "{sites:#?}");
    assert!(!sites.iter().any(|line| line.contains("www.app.test")), "{sites:#?}");
    let listed: serde_json::Value = serde_json::from_str(&get(proxy.admin(), "localhost", "/api/sites").text()).unwrap();
    assert_eq!(listed[0]["aliases"], serde_json::json!(["www.app.test", "*.eu.app.test", "127.0.0.7"]));
    let said = proxy::run(proxy.dir.path(), &["explain", "GET", "http://www.app.test/x"]);
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.contains("app.test  (tls: off)") && said.contains("portcullis.toml:"), "{said}");
}

#[test]
fn the_local_ca_certifies_each() {
    let origin = Origin::echo();
    let listen = "[listen]\nhttp = [\"127.0.0.1:0\"]\nhttps = [\"127.0.0.1:0\"]\n";
    let site = "[site.\"app.test\"]\naliases = [\"www.app.test\", \"other.internal\"]\n";
    let proxy = Proxy::start(&format!("{listen}{site}{ROUTES}{}", upstream(&origin)));
    let root = find_root(proxy.dir.path());
    for name in ["app.test", "www.app.test", "other.internal"] {
        assert!(curl_to(&proxy, name, &root, &[], "/x").starts_with("GET /x"), "{name}");
    }
    // Under the name that was asked for.
    let redirect = get(proxy.http(), "www.app.test", "/x");
    let location = redirect.header("location").unwrap_or_default();
    assert!(redirect.status == 308 && location.starts_with("https://www.app.test"), "{} {location}", redirect.status);
}

#[test]
fn files_must_cover_all_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let authority = pki::Authority::new("aliases");
    let root = authority.write(dir.path(), "root");
    authority.issue(dir.path(), "app", &["app.test", "www.app.test"]);
    let origin = Origin::echo();
    let text = |aliases: &str| {
        let tls = "tls = { cert = \"app.pem\", key = \"app.key\" }";
        format!("[site.\"app.test\"]\naliases = [{aliases}]\n{tls}\n{ROUTES}{}", upstream(&origin))
    };
    std::fs::write(dir.path().join("portcullis.toml"), text("\"www.app.test\", \"shop.test\"")).unwrap();
    let said = proxy::run(dir.path(), &["check"]);
    let text_said = String::from_utf8(said.stdout).unwrap();
    assert!(!said.status.success() && text_said.contains("the certificate does not cover `shop.test`"), "{text_said}");
    assert!(!text_said.contains("does not cover `www.app.test`"), "{text_said}");
    let root = std::fs::read(root).unwrap();
    let proxy = Proxy::start_in(dir, &text("\"www.app.test\""));
    let kept = tempfile::tempdir().unwrap();
    let file = kept.path().join("root.pem");
    std::fs::write(&file, root).unwrap();
    for name in ["app.test", "www.app.test"] {
        assert!(curl_to(&proxy, name, &file, &[], "/x").starts_with("GET /x"), "{name}");
    }
    let unknown = handshake(proxy.https(), &["-servername", "shop.test"]);
    assert!(unknown.contains("unrecognized name") || unknown.contains("no peer certificate"), "{unknown}");
}
