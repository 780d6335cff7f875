//! Copies of requests go to another upstream, and nobody notices.

use portcullis_tests::{Origin, Proxy, Raw, get, get_with, nobody, origin, proxy};
use std::io::Write;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// Two routes to `app`, each request copied to `shadow`; behind `/some/`, as `more` says.
fn proxy(app: &str, shadow: &str, more: &str, limits: &str) -> Proxy {
    let routes = format!(
        r#"
"/*" = {{ to = "app", mirror = "shadow", headers = {{ request = {{ set = {{ x-link = "was here" }} }} }} }}
"/some/*" = {{ to = "app", mirror = {{ to = "shadow"{more} }} }}
"#
    );
    Proxy::start(&proxy::site(&routes, &format!("[limits]\n{limits}\n[upstream]\napp = \"{app}\"\nshadow = \"{shadow}\"")))
}

/// Whole requests, and who waits for them.
type Heard = (Mutex<Vec<String>>, Condvar);

/// An origin that keeps whole requests, bodies included, and answers them.
fn recorder() -> (Origin, Arc<Heard>) {
    let heard = Arc::<Heard>::default();
    let hears = Arc::clone(&heard);
    let origin = Origin::serve(move |stream, _| {
        while let Some((head, rest)) = origin::read_head(stream) {
            let Some(body) = origin::read_body(stream, &head, rest) else { return };
            hears.0.lock().unwrap().push(format!("{head}{}", String::from_utf8_lossy(&body)));
            hears.1.notify_all();
            if stream.write_all(b"HTTP/1.1 500 No\r\nContent-Length: 3\r\n\r\nno\n").is_err() {
                return;
            }
        }
    });
    (origin, heard)
}

/// Waits until so many were heard.
fn wait_for(heard: &Heard, count: usize) -> Vec<String> {
    let guard = heard.0.lock().unwrap();
    let few = |heard: &mut Vec<String>| heard.len() < count;
    let (guard, timeout) = heard.1.wait_timeout_while(guard, Duration::from_secs(10), few).unwrap();
    assert!(!timeout.timed_out(), "only {}", guard.len());
    guard.clone()
}

/// Waits until the metrics have this line.
fn counted(proxy: &Proxy, line: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let text = get(proxy.admin(), "localhost", "/metrics").text();
        if text.lines().any(|found| found == line) {
            return;
        }
        assert!(Instant::now() < deadline, "no {line} in {text}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn without_host(head: &str) -> Vec<&str> {
    head.lines().filter(|line| !line.is_empty()).collect()
}

#[test]
fn the_shadow_gets_what_the_original_gets_and_says_nothing() {
    let (app, (shadow, heard)) = (Origin::named("app"), recorder());
    let proxy = proxy(&app.name(), &shadow.name(), "", "");
    let answer = get_with(proxy.http(), "a.test", "/x?y=1", "X-Own: 1\r\n");
    assert_eq!((answer.status, answer.header("x-origin")), (200, Some("app")));
    let copy = wait_for(&heard, 1).remove(0);
    assert!(copy.starts_with("GET /x?y=1 HTTP/1.1\r\n") && copy.contains("x-link: was here"), "{copy}");
    assert!(copy.to_lowercase().contains("host: a.test\r\n"), "{copy}");
    assert_eq!(without_host(&copy), without_host(&app.requests()[0]));
    proxy.access_line(|line| line.contains("upstream=app") && line.contains("mirror=shadow"));
    counted(&proxy, "portcullis_mirrored_total{upstream=\"shadow\",result=\"answered\"} 1");
}

#[test]
fn bodies_are_copied_whole_or_not_at_all() {
    let (app, (shadow, heard)) = (Origin::named("app"), recorder());
    let proxy = proxy(&app.name(), &shadow.name(), "", "body-buffer = \"64KiB\"");
    let post = |body: &str| {
        let length = body.len();
        let request = format!("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: {length}\r\n\r\n{body}");
        Raw::connect(proxy.http()).send(request).response()
    };
    assert_eq!(post("hello shadow").status, 200);
    let chunked = "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n";
    assert_eq!(Raw::connect(proxy.http()).send(chunked).response().status, 200);
    // Each on its own, so in any order.
    let copies = wait_for(&heard, 2);
    for body in ["hello shadow", "abcdef"] {
        assert!(copies.iter().any(|copy| copy.ends_with(&format!("\r\n\r\n{body}"))), "{copies:?}");
    }
    // Too large to be kept, and no less whole for the original.
    let large = "x".repeat(300 << 10);
    assert!(post(&large).text().ends_with(&large));
    counted(&proxy, "portcullis_mirrored_total{upstream=\"shadow\",result=\"too_large\"} 1");
    let line = proxy.access_line(|line| line.contains(" in=307200 "));
    assert!(!line.contains("mirror="), "{line}");
    assert_eq!(post("still").status, 200);
    assert_eq!(wait_for(&heard, 3).len(), 3);
}

#[test]
fn a_shadow_that_hangs_or_is_gone_costs_nobody_anything() {
    let (app, shadow) = (Origin::named("app"), Origin::says_and_stays(""));
    let proxy = proxy(&app.name(), &shadow.name(), "", "mirrors = 2");
    for number in 0..6 {
        assert_eq!(get(proxy.http(), "a.test", &format!("/{number}")).header("x-origin"), Some("app"));
    }
    counted(&proxy, "portcullis_mirrored_total{upstream=\"shadow\",result=\"busy\"} 4");
    assert_eq!(app.requests().len(), 6);

    let gone = self::proxy(&app.name(), &nobody().to_string(), "", "");
    assert_eq!(get(gone.http(), "a.test", "/").header("x-origin"), Some("app"));
    counted(&gone, "portcullis_mirrored_total{upstream=\"shadow\",result=\"connect_refused\"} 1");
}

#[test]
fn a_request_that_ends_early_is_not_copied() {
    let (app, (shadow, heard)) = (Origin::named("app"), recorder());
    let proxy = proxy(&app.name(), &shadow.name(), "", "");
    let mut client = Raw::connect(proxy.http());
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100\r\n\r\npart");
    drop(client);
    counted(&proxy, "portcullis_mirrored_total{upstream=\"shadow\",result=\"incomplete\"} 1");
    assert!(heard.0.lock().unwrap().is_empty());
}

#[test]
fn a_site_s_mirror_is_that_of_its_routes_unless_they_say_otherwise() {
    let (app, (shadow, heard)) = (Origin::named("app"), recorder());
    let proxy = Proxy::start(&format!(
        "[site.\"a.test\"]\ntls = \"off\"\nmirror = \"shadow\"\n[site.\"a.test\".routes]\n\"/*\" = \"app\"\n\"/a/*\" = {{ to = \"app\" }}\n\
         \"/b/*\" = {{ to = \"app\", mirror = false }}\n\"/c/*\" = {{ respond = 200 }}\n[upstream]\napp = \"{}\"\nshadow = \"{}\"\n",
        app.name(),
        shadow.name()
    ));
    for path in ["/b/1", "/c/2", "/3", "/a/4"] {
        assert_eq!(get(proxy.http(), "a.test", path).status, 200);
    }
    let copies = wait_for(&heard, 2);
    for path in ["/3", "/a/4"] {
        assert!(copies.iter().any(|copy| copy.starts_with(&format!("GET {path} "))), "{copies:?}");
    }
    assert_eq!(app.requests().len(), 3);
    let line = proxy.access_line(|line| line.contains("/b/1"));
    assert!(!line.contains("mirror="), "{line}");
}

#[test]
fn a_share_is_a_share() {
    let (app, (shadow, heard)) = (Origin::named("app"), recorder());
    let proxy = proxy(&app.name(), &shadow.name(), ", share = \"50%\"", "");
    let mut client = Raw::connect(proxy.http());
    for _ in 0..200 {
        assert_eq!(client.send("GET /some/x HTTP/1.1\r\nHost: a.test\r\n\r\n").response().status, 200);
    }
    get(proxy.http(), "a.test", "/last");
    proxy.access_line(|line| line.contains("/last"));
    let copied = proxy.access_log().iter().filter(|line| line.contains("/some/x") && line.contains("mirror=shadow")).count();
    // By chance outside of it once in 10^15 runs.
    assert!((40..=160).contains(&copied), "{copied}");
    wait_for(&heard, copied + 1);
}
