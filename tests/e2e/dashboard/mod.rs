//! The dashboard in a browser: what it shows after traffic, that it needs nobody else, and that it can be used without a mouse. `look.js` is the
//! user; it drives Debian's Chromium through playwright-core.

use crate::admin::until;
use portcullis_tests::{Origin, Proxy, get, tools};
use std::process::Command;

fn config(origin: &Origin, token: &str) -> String {
    format!(
        r#"
[server]
workers = 2
state = "state"
[listen]
http = ["127.0.0.1:0"]
https = ["127.0.0.1:0"]
[admin]
listen = "127.0.0.1:0"
{token}
[site.localhost]
tls = "local"
chain = ["security-headers", {{ use = "rate-limit", rate = "1000/s", key = "client.ip" }}]
[site.localhost.routes]
"/*" = "app"
"/api/*" = {{ to = "app", chain = [{{ use = "headers", when = {{ path = "/api/v1/*" }}, response = {{ set = {{ x-a = "b" }} }} }}] }}
[site."plain.test"]
tls = "off"
chain = ["security-headers"]
routes = {{ "/*" = "app", "=/gone" = {{ respond = {{ status = 410 }} }} }}
[upstream.app]
servers = ["{}"]
"#,
        origin.name()
    )
}

/// Lets the user look; pictures go to `target/dashboard`.
fn look(proxy: &Proxy, token: &str) {
    let modules = tools::node_modules("playwright-core");
    let chromium = tools::need("chromium", "chromium");
    let pictures = tools::repository().join("target/dashboard");
    std::fs::create_dir_all(&pictures).unwrap();
    let output = Command::new(tools::need("node", "nodejs"))
        .arg(tools::repository().join("tests/e2e/dashboard/look.js"))
        .args([format!("http://{}/", proxy.admin()), token.to_owned()])
        .env("NODE_PATH", modules)
        .env("CHROMIUM", chromium)
        .env("PICTURES", pictures)
        .output()
        .unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}\n{}", proxy.log());
}

#[test]
fn it_shows_what_came_and_explains_what_did_not() {
    let origin = Origin::echo();
    let proxy = Proxy::start(&config(&origin, ""));
    for _ in 0..20 {
        assert_eq!(get(proxy.http(), "plain.test", "/x").status, 200);
    }
    assert_eq!(get(proxy.http(), "none.test", "/lost").status, 404);
    until(proxy.admin(), "all is counted", |found| found.value("portcullis_requests_total", &[("site", "plain.test")]) == Some(20.0));
    look(&proxy, "");
}

#[test]
fn it_asks_for_the_token() {
    let origin = Origin::echo();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("token"), "sesame-sesame-sesame\n").unwrap();
    let proxy = Proxy::start_in(dir, &config(&origin, "token = { file = \"token\" }"));
    assert_eq!(get(proxy.http(), "none.test", "/lost").status, 404);
    look(&proxy, "sesame-sesame-sesame");
}
