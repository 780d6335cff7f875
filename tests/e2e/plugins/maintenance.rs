//! `maintenance`: others are told to come back, who works on the site sees it.

use super::{chained, refused};
use portcullis_tests::{Origin, Proxy, get, get_with};

#[test]
fn others_are_told_to_come_back_and_who_works_on_it_sees_the_site() {
    let app = Origin::echo();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("soon.html"), "<h1>soon</h1>").unwrap();
    let chain = "{ use = \"maintenance\", header = { x-preview = { env = \"PREVIEW\" } }, except = \"/name\", retry-after = \"1h\", body = { file = \"soon.html\" }, content-type = \"text/html\" }";
    let proxy = Proxy::start_with(dir, &chained(&app, chain, ""), &[], &[("PREVIEW", "sesame")]);
    let response = get(proxy.http(), "a.test", "/");
    assert_eq!((response.status, response.text().as_str(), response.header("retry-after")), (503, "<h1>soon</h1>", Some("3600")));
    assert_eq!(response.header("content-type"), Some("text/html"));
    assert_eq!(get(proxy.http(), "a.test", "/name").status, 200);
    assert_eq!(get_with(proxy.http(), "a.test", "/", "X-Preview: sesame\r\n").status, 200);
    assert_eq!(get_with(proxy.http(), "a.test", "/", "X-Preview: other\r\n").status, 503);
}

#[test]
fn networks_that_see_it_and_a_switch() {
    let app = Origin::echo();
    for (settings, status) in [("allow = \"127.0.0.0/8\"", 200), ("allow = \"10.0.0.0/8\"", 503), ("enabled = false", 200)] {
        let proxy = super::start(&app, &format!("{{ use = \"maintenance\", {settings} }}"), "");
        assert_eq!(get(proxy.http(), "a.test", "/").status, status, "{settings}");
    }
}

#[test]
fn mistakes_point_into_the_link() {
    let text = refused(&Origin::echo(), "{ use = \"maintenance\", allow = [\"10.0.0.0/8\", \"office\"] }", "");
    assert!(text.contains("`office` is no network") && text.contains("portcullis.toml:"), "{text}");
}
