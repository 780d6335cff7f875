//! Chains of bundled plugins, by shorthand and as links, on real requests and responses.

use portcullis_tests::{Origin, Proxy, get, get_with};

fn site(routes: &str, origin: &Origin) -> Proxy {
    let config = format!("[site.\"a.test\"]\ntls = \"off\"\n{routes}\n[upstream.app]\nservers = [\"{}\"]\n", origin.name());
    Proxy::start(&config)
}

#[test]
fn strip_removes_the_prefix() {
    let origin = Origin::echo();
    let proxy = site("[site.\"a.test\".routes]\n\"/api/*\" = { to = \"app\", strip = \"/api\" }", &origin);
    for (sent, seen) in [("/api/users?x=1", "/users?x=1"), ("/api", "/"), ("/api/", "/")] {
        let body = get(proxy.http(), "a.test", sent).text();
        assert!(body.starts_with(&format!("GET {seen} HTTP/1.1")), "{sent}: {body}");
    }
}

#[test]
fn headers_are_set_added_and_removed_with_placeholders() {
    let origin = Origin::echo();
    let proxy = site(
        r#"
headers = { request = { set = { X-Client = "{client.ip} at {request.host}" }, remove = ["X-Gone"] }, response = { set = { X-Served-By = "edge" }, remove = ["X-Origin"] } }
routes = { "/*" = "app" }"#,
        &origin,
    );
    let response = get_with(proxy.http(), "a.test", "/", "X-Gone: 1\r\nX-Client: forged\r\n");
    let head = response.text().to_lowercase();
    assert!(head.contains("x-client: 127.0.0.1 at a.test\r\n") && !head.contains("forged") && !head.contains("x-gone"), "{head}");
    assert_eq!((response.header("x-served-by"), response.header("x-origin")), (Some("edge"), None));
}

#[test]
fn redirect_and_respond_answer_without_an_upstream() {
    let origin = Origin::echo();
    let proxy = site(
        r#"
headers = { response = { set = { X-Served-By = "edge" } } }
[site."a.test".routes]
"/*" = "app"
"/old/*" = { redirect = "/new/{rest}", status = 308 }
"=/robots.txt" = { respond = { status = 200, body = "User-agent: *\n" } }"#,
        &origin,
    );
    let response = get(proxy.http(), "a.test", "/old/a/b?c=d");
    assert_eq!((response.status, response.header("location")), (308, Some("/new/a/b?c=d")));
    assert_eq!(response.header("x-served-by"), Some("edge"), "outer links see answers of inner ones");
    let response = get(proxy.http(), "a.test", "/robots.txt");
    assert_eq!((response.status, response.text().as_str()), (200, "User-agent: *\n"));
    assert!(response.header("content-type").unwrap().starts_with("text/plain"));
    assert!(origin.requests().is_empty());
}

#[test]
fn rewrite_changes_path_query_and_host() {
    let origin = Origin::echo();
    let proxy = site(
        r#"
[site."a.test".routes."/*"]
to = "app"
chain = [{ use = "rewrite", add-prefix = "/v1", regex = { match = "/user/([0-9]+)$", replace = "/users/$1/show" }, query = { set = { lang = "de" }, remove = ["debug"] }, host = "inner.test" }]"#,
        &origin,
    );
    let body = get(proxy.http(), "a.test", "/user/42?debug=1&x=y").text();
    assert!(body.starts_with("GET /v1/users/42/show?x=y&lang=de HTTP/1.1\r\n"), "{body}");
    assert!(body.to_lowercase().contains("host: inner.test\r\n"), "{body}");
}

#[test]
fn the_canary_gets_its_share_and_the_testers() {
    let (stable, canary) = (Origin::named("stable"), Origin::named("canary"));
    let proxy = Proxy::start(&format!(
        r#"
[site."a.test"]
tls = "off"
[site."a.test".routes."/*"]
split = {{ stable = 75, canary = 25 }}
chain = [{{ use = "route", rules = [{{ to = "canary", cookie = {{ version = "next" }} }}, {{ to = "canary", header = {{ x-beta = "1" }} }}, {{ to = "stable", query = {{ pin = "stable" }} }}] }}]
[upstream.stable]
servers = ["{}"]
[upstream.canary]
servers = ["{}"]
"#,
        stable.name(),
        canary.name()
    ));
    let went = |path: &str, fields: &str| get_with(proxy.http(), "a.test", path, fields).header("x-origin").unwrap().to_owned();
    let share = (0..400).filter(|_| went("/", "") == "canary").count();
    assert!((50..=150).contains(&share), "{share} of 400 for a weight of 25 %");
    for _ in 0..10 {
        assert_eq!(went("/", "Cookie: a=b; version=next\r\n"), "canary");
        assert_eq!(went("/", "X-Beta: 1\r\n"), "canary");
        assert_eq!(went("/?pin=stable", ""), "stable");
    }
}

#[test]
fn a_request_id_goes_everywhere() {
    let origin = Origin::echo();
    let proxy = site("chain = [\"request-id\"]\nroutes = { \"/*\" = \"app\" }", &origin);
    let response = get_with(proxy.http(), "a.test", "/", "X-Request-Id: forged\r\n");
    let id = response.header("x-request-id").expect("an id").to_owned();
    assert_ne!(id, "forged");
    assert!(response.text().to_lowercase().contains(&format!("x-request-id: {id}")), "{}", response.text());
    proxy.access_line(|line| line.contains(&id));
    assert_ne!(get(proxy.http(), "a.test", "/").header("x-request-id"), Some(id.as_str()));
}

#[test]
fn chains_add_outer_to_inner_and_without_leaves_one_out() {
    let origin = Origin::echo();
    let link = |name: &str, letter: &str| {
        format!(
            "{{ use = \"headers\", as = \"{name}\", request = {{ add = {{ X-Order = \"{letter}\" }} }}, response = {{ add = {{ X-Order = \"{letter}\" }} }} }}"
        )
    };
    let proxy = Proxy::start(&format!(
        r#"
[server]
workers = 1
state = "state"
chain = [{}]
[chain]
named = [{}]
[site."a.test"]
tls = "off"
chain = ["@named"]
[site."a.test".routes."/*"]
to = "app"
chain = [{}]
[site."a.test".routes."/less/*"]
to = "app"
without = ["second"]
[upstream.app]
servers = ["{}"]
"#,
        link("first", "1"),
        link("second", "2"),
        link("third", "3"),
        origin.name()
    ));
    let order = |response: &portcullis_tests::Response| -> String {
        response.headers.iter().filter(|(name, _)| name == "x-order").map(|(_, value)| value.as_str()).collect()
    };
    let asked = |response: &portcullis_tests::Response| -> String {
        let text = response.text().to_lowercase();
        text.lines().filter_map(|line| line.strip_prefix("x-order: ")).map(str::trim).collect()
    };
    let response = get(proxy.http(), "a.test", "/");
    assert_eq!((asked(&response).as_str(), order(&response).as_str()), ("123", "321"));
    let response = get(proxy.http(), "a.test", "/less/");
    assert_eq!((asked(&response).as_str(), order(&response).as_str()), ("1", "1"));
}

#[test]
fn when_keeps_a_link_out() {
    let origin = Origin::echo();
    let proxy = site(
        r#"
chain = [{ use = "headers", when = { path = "/admin/*", method = ["GET"] }, response = { set = { X-Admin = "1" } } }]
routes = { "/*" = "app" }"#,
        &origin,
    );
    assert_eq!(get(proxy.http(), "a.test", "/admin/x").header("x-admin"), Some("1"));
    assert_eq!(get(proxy.http(), "a.test", "/user/x").header("x-admin"), None);
}

#[test]
fn the_answers_that_the_proxy_makes_pass_the_chain() {
    let proxy = Proxy::start(&format!(
        "[site.\"a.test\"]\ntls = \"off\"\nheaders = {{ response = {{ set = {{ X-Served-By = \"edge\" }} }} }}\nroutes = {{ \"/*\" = \"app\" }}\n[upstream.app]\nservers = [\"{}\"]\n",
        portcullis_tests::origin::nobody()
    ));
    let response = get(proxy.http(), "a.test", "/");
    assert_eq!((response.status, response.header("x-served-by")), (502, Some("edge")));
}

#[test]
fn both_isolations_decide_alike() {
    let origin = Origin::echo();
    for isolate in ["worker", "request"] {
        let proxy = Proxy::start(&format!(
            r#"
[plugin.headers]
isolate = "{isolate}"
[site."a.test"]
tls = "off"
chain = [{{ use = "headers", config = {{ request = {{ set = {{ X-Tag = "{{client.ip}}" }} }}, response = {{ set = {{ X-Tag = "yes" }} }} }} }}]
routes = {{ "/*" = "app" }}
[upstream.app]
servers = ["{}"]
"#,
            origin.name()
        ));
        for _ in 0..20 {
            let response = get(proxy.http(), "a.test", "/");
            assert_eq!(response.header("x-tag"), Some("yes"), "{isolate}");
            assert!(response.text().to_lowercase().contains("x-tag: 127.0.0.1"), "{isolate}");
        }
    }
}
