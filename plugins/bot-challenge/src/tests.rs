use super::*;
use portcullis_sdk::test::{Harness, Installed, Outcome, Outside, SentRequest, get};
use sha2::{Digest, Sha256};

const NOW: u64 = 1_700_000_000;

fn clock() -> Installed {
    Outside::new().clock(Duration::from_secs(NOW)).install()
}

fn site(more: &str) -> Harness<BotChallenge> {
    Harness::new(&format!(r#"{{"secret": "a secret of thirty-two bytes or so", "difficulty": 8{more}}}"#))
}

fn from(ip: &str) -> SentRequest {
    get("https://a.test/").attribute("client.ip", ip).attribute("site", "a.test")
}

/// The task on the page.
fn task(outcome: &Outcome<SentRequest>) -> String {
    let page = String::from_utf8(outcome.reply().expect("a page").body_bytes().to_vec()).expect("text");
    page.split("task = \"").nth(1).and_then(|rest| rest.split('"').next()).expect("a task").to_owned()
}

/// What a browser would come back with.
fn work(task: &str, difficulty: u32) -> String {
    let tried = (0_u64..).map(|number| format!("{task}.{number}"));
    tried.into_iter().find(|tried| task::zeros(&Sha256::digest(tried)) >= difficulty).expect("found at last")
}

fn passes(site: &Harness<BotChallenge>, sent: SentRequest, cookie: &str) -> bool {
    site.on_request(sent.header("cookie", format!("a=b; __pow={cookie}"))).reply().is_none()
}

#[test]
fn who_has_worked_is_let_in_and_others_get_the_page() {
    let outside = clock();
    let site = site("");
    let outcome = site.on_request(from("192.0.2.1"));
    let reply = outcome.reply().expect("a page");
    assert_eq!((reply.status(), reply.header_str("cache-control")), (429, Some("no-store")));
    let page = String::from_utf8_lossy(reply.body_bytes());
    assert!(!page.contains("{{") && page.contains("difficulty = 8;") && page.contains("max-age=43200"), "{page}");
    let cookie = work(&task(&outcome), 8);
    assert!(passes(&site, from("192.0.2.1"), &cookie));
    assert!(!passes(&site, from("192.0.2.2"), &cookie), "somebody else's");
    assert!(!passes(&site, get("/").attribute("client.ip", "192.0.2.1").attribute("site", "b.test"), &cookie), "another site's");
    outside.advance(Duration::from_secs(12 * 3_600 - 1));
    assert!(passes(&site, from("192.0.2.1"), &cookie));
    outside.advance(Duration::from_secs(1));
    assert!(!passes(&site, from("192.0.2.1"), &cookie), "long ago");
}

#[test]
fn what_is_no_work_is_none() {
    let _clock = clock();
    let site = site("");
    let task = task(&site.on_request(from("192.0.2.1")));
    let lazy = (0_u64..).map(|number| format!("{task}.{number}")).find(|tried| task::zeros(&Sha256::digest(tried)) < 8).expect("most are");
    let forever = task.replacen(&(NOW + 43_200).to_string(), &(NOW + 43_100).to_string(), 1);
    for wrong in [
        "",
        ".",
        "..",
        "x",
        "é",
        &task,
        &lazy,
        &work(&forever, 8),
        &work("1.2", 8),
        &work(&format!("{}.00", NOW + 10), 8),
        &format!("{task}.-1"),
    ] {
        assert!(!passes(&site, from("192.0.2.1"), wrong), "{wrong}");
    }
}

#[test]
fn others_take_the_cookie_if_they_have_the_secret_and_want_as_much() {
    let _clock = clock();
    let one = site("");
    let cookie = work(&task(&one.on_request(from("2001:db8::1"))), 12);
    assert!(passes(&site(r#", "title": "x""#), from("2001:db8::2"), &cookie), "the network is the client");
    assert!(!passes(&site(""), from("2001:db9::1"), &cookie));
    let harder = Harness::<BotChallenge>::new(r#"{"secret": "a secret of thirty-two bytes or so", "difficulty": 12}"#);
    assert!(!passes(&harder, from("2001:db8::1"), &cookie), "it was set for less");
    let other = Harness::<BotChallenge>::new(r#"{"secret": "another one of thirty-two bytes or so", "difficulty": 8}"#);
    assert!(!passes(&other, from("2001:db8::1"), &cookie));
}

#[test]
fn some_need_not_work() {
    let _clock = clock();
    let site = site(r#", "allow": ["10.0.0.0/8"], "except": ["/robots.txt", "/feed/*"], "status": 503, "title": "<&>""#);
    assert!(site.on_request(from("10.1.2.3")).reply().is_none());
    for path in ["/robots.txt", "/feed/x"] {
        assert!(site.on_request(get(&format!("https://a.test{path}")).attribute("client.ip", "192.0.2.1")).reply().is_none());
    }
    let outcome = site.on_request(from("192.0.2.1"));
    let reply = outcome.reply().expect("a page");
    assert!(reply.status() == 503 && String::from_utf8_lossy(reply.body_bytes()).contains("<title>&lt;&amp;></title>"));
}

#[test]
fn mistakes_are_told_at_their_places() {
    let places = |settings: &str| Harness::<BotChallenge>::refused(settings).into_iter().map(|problem| problem.path).collect::<Vec<_>>();
    assert_eq!(
        places(r#"{"secret": "short", "valid": "x", "cookie": "a=b", "allow": "x", "except": "y"}"#),
        ["/secret", "/valid", "/cookie", "/allow", "/except"]
    );
    assert_eq!(places(r#"{"secret": "a secret of thirty-two bytes or so", "valid": "1s"}"#), ["/valid"]);
}
