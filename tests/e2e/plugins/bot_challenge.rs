//! `bot-challenge`: the page's own script, run by a JavaScript engine as a browser would, is let in by another proxy with the same secret.

use super::{chained, refused};
use portcullis_tests::{Origin, Proxy, Response, get, get_with, tools};
use std::process::Command;

const SECRET: &str = "a secret of thirty-two bytes or so";

fn start(app: &Origin, more: &str) -> Proxy {
    let chain = format!("{{ use = \"bot-challenge\", secret = {{ env = \"POW\" }}, except = \"/robots.txt\"{more} }}");
    Proxy::start_with(tempfile::tempdir().unwrap(), &chained(app, &chain, ""), &[], &[("POW", SECRET)])
}

/// What the script on the page puts into `document.cookie`, by Node.js with as much of a browser as it wants.
fn run_page(response: &Response) -> String {
    let page = response.text();
    let script = page.split("<script>").nth(1).unwrap().split("</script>").next().unwrap();
    let browser = r#"
        const document = { cookie: "", getElementById: () => ({}) };
        const location = { protocol: "http:", reload: () => console.log(document.cookie) };
        const later = [];
        const setTimeout = work => later.push(work);
    "#;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("page.js");
    std::fs::write(&file, format!("{browser}\n{{{script}\n}}\nwhile (later.length) later.pop()();\n")).unwrap();
    let output = Command::new(tools::need("node", "nodejs")).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn a_browser_that_works_is_let_in() {
    let app = Origin::echo();
    let (one, other) = (start(&app, ", difficulty = 10"), start(&app, ", difficulty = 10"));
    let page = get(one.http(), "a.test", "/x");
    assert_eq!(
        (page.status, page.header("content-type"), page.header("cache-control")),
        (429, Some("text/html; charset=utf-8"), Some("no-store"))
    );
    let cookie = run_page(&page);
    assert!(cookie.starts_with("__pow=") && cookie.contains("; path=/; max-age=43200; samesite=lax"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    for proxy in [&one, &other] {
        assert_eq!(get_with(proxy.http(), "a.test", "/x", &format!("Cookie: {cookie}\r\n")).status, 200);
        assert_eq!(get_with(proxy.http(), "a.test", "/x", &format!("Cookie: {cookie}1\r\n")).status, 429);
        assert_eq!(get(proxy.http(), "a.test", "/robots.txt").status, 200);
    }
    let harder = start(&app, ", difficulty = 11");
    assert_eq!(get_with(harder.http(), "a.test", "/x", &format!("Cookie: {cookie}\r\n")).status, 429);
    assert_eq!(app.requests().len(), 4);
}

#[test]
fn mistakes_point_into_the_link() {
    let text = refused(&Origin::echo(), "{ use = \"bot-challenge\", secret = { env = \"HOME\" }, difficulty = 30 }", "");
    assert!(text.contains("E032") && text.contains("30") && text.contains("portcullis.toml:"), "{text}");
}
