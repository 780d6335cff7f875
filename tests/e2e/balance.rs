//! Which server gets a request, where that is more than the less busy of two.

use portcullis_tests::{Origin, Proxy, Raw, get, get_with, origin};
use std::collections::BTreeSet;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// One site before an upstream of these servers, with two workers, which must agree.
fn proxy(balance: &str, servers: &[&Origin]) -> Proxy {
    let servers: Vec<String> = servers.iter().map(|server| format!("\"{}\"", server.name())).collect();
    Proxy::start(&format!(
        "[server]\nworkers = 2\n[site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/*\" = \"app\" }}\n[upstream.app]\nservers = [{}]\n{balance}\n",
        servers.join(", ")
    ))
}

fn origins() -> [Origin; 3] {
    ["a", "b", "c"].map(Origin::named)
}

/// Who answers when this is asked for again and again, with these fields.
fn who(proxy: &Proxy, path: &str, fields: &str) -> BTreeSet<String> {
    (0..4).map(|_| get_with(proxy.http(), "a.test", path, fields).header("x-origin").unwrap().to_owned()).collect()
}

#[test]
fn what_is_hashed_goes_to_one_server_and_all_of_it_to_all() {
    let [a, b, c] = origins();
    for (key, path, field) in [("path", "/N", ""), ("header:x-user", "/", "X-User: uN\r\n"), ("cookie:sid", "/", "Cookie: z=1; sid=sN\r\n")]
    {
        let proxy = proxy(&format!("balance = \"hash({key})\""), &[&a, &b, &c]);
        let mut all = BTreeSet::new();
        for number in 0..40 {
            let with = |text: &str| text.replace('N', &number.to_string());
            let one = who(&proxy, &with(path), &with(field));
            assert_eq!(one.len(), 1, "{key} {number}: {one:?}");
            all.extend(one);
        }
        assert_eq!(all.len(), 3, "{key}: {all:?}");
    }
}

#[test]
fn a_client_s_address_is_a_key_and_who_has_none_goes_anywhere() {
    let [a, b, c] = origins();
    let proxy = self::proxy("balance = \"hash(client.ip)\"", &[&a, &b, &c]);
    assert_eq!(who(&proxy, "/", "").len(), 1);
    let proxy = self::proxy("balance = \"hash(header:x-user)\"", &[&a, &b, &c]);
    let mut all = BTreeSet::new();
    for _ in 0..10 {
        all.extend(who(&proxy, "/", ""));
    }
    assert_eq!(all.len(), 3, "{all:?}");
}

#[test]
fn with_a_server_that_is_gone_the_others_keep_their_keys() {
    let [a, b, c] = origins();
    let all = self::proxy("balance = \"hash(path)\"", &[&a, &b, &c]);
    let fewer = self::proxy("balance = \"hash(path)\"", &[&c, &a]);
    let of = |proxy: &Proxy, path: &str| get(proxy.http(), "a.test", path).header("x-origin").unwrap().to_owned();
    let mut kept = 0;
    for number in 0..30 {
        let path = format!("/{number}");
        let before = of(&all, &path);
        if before != "b" {
            assert_eq!(of(&fewer, &path), before, "{path}");
            kept += 1;
        }
    }
    assert!(kept > 5, "{kept}");
}

/// The cookie that an answer sets, with its attributes.
fn set(response: &portcullis_tests::Response) -> Option<String> {
    response.header("set-cookie").map(str::to_owned)
}

#[test]
fn a_client_stays_with_its_server_as_long_as_that_is_there() {
    let [a, b, c] = origins();
    let sticky = "balance = \"round-robin\"\nsticky = { cookie = \"sid\", max-age = \"1h\" }";
    let proxy = self::proxy(sticky, &[&a, &b, &c]);
    let first = get(proxy.http(), "a.test", "/");
    let (name, cookie) = (first.header("x-origin").unwrap().to_owned(), set(&first).unwrap());
    assert!(cookie.ends_with("; Path=/; HttpOnly; SameSite=Lax; Max-Age=3600"), "{cookie}");
    let pair = cookie.split(';').next().unwrap();
    let fields = format!("Cookie: {pair}\r\n");
    assert_eq!(who(&proxy, "/", &fields), BTreeSet::from([name.clone()]));
    assert_eq!(set(&get_with(proxy.http(), "a.test", "/", &fields)), None, "it has it already");
    assert_eq!(who(&proxy, "/", "").len(), 3, "who has none goes anywhere");
    // A code that nobody has given out is none.
    assert!(set(&get_with(proxy.http(), "a.test", "/", "Cookie: sid=AAAAAAAAAAAAAAAAAAAAAA\r\n")).is_some());
}

#[test]
fn a_server_that_is_gone_is_replaced_for_good_and_a_reload_forgets_nobody() {
    let [a, b, _] = origins();
    let gone = portcullis_tests::nobody();
    let head = crate::config_reload::HEAD;
    let config = |servers: &str| {
        format!(
            "{head}{}[site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/*\" = \"app\" }}\n[upstream.app]\nservers = [{servers}]\n\
             balance = \"round-robin\"\nsticky = {{ cookie = \"sid\" }}\n",
            crate::config_reload::HTTP
        )
    };
    let proxy = Proxy::start(&config(&format!("\"{}\", \"{}\"", a.name(), b.name())));
    let pair = |response: &portcullis_tests::Response| set(response).map(|cookie| cookie.split(';').next().unwrap().to_owned());
    let first = get(proxy.http(), "a.test", "/");
    let (name, cookie) = (first.header("x-origin").unwrap().to_owned(), pair(&first).unwrap());
    let fields = format!("Cookie: {cookie}\r\n");
    // The others change.
    crate::config_reload::turn_to(&proxy, &config(&format!("\"{gone}\", \"{}\", \"{}\"", b.name(), a.name())));
    assert_eq!(who(&proxy, "/", &fields), BTreeSet::from([name.clone()]));
    // It goes.
    let other = if name == "a" { &b } else { &a };
    crate::config_reload::turn_to(&proxy, &config(&format!("\"{}\"", other.name())));
    let moved = get_with(proxy.http(), "a.test", "/", &fields);
    assert_ne!(moved.header("x-origin"), Some(&*name));
    assert!(pair(&moved).is_some_and(|moved| moved != cookie));
}

/// Answers when it is let.
fn held() -> (Origin, Arc<(Mutex<usize>, Condvar)>) {
    let gate = Arc::new((Mutex::new(0), Condvar::new()));
    let own = Arc::clone(&gate);
    let origin = Origin::serve(move |stream, seen| {
        while let Some((head, _)) = origin::read_head(stream) {
            seen.lock().unwrap().push(head);
            let (let_through, changed) = &*own;
            let mut left = changed.wait_while(let_through.lock().unwrap(), |left| *left == 0).unwrap();
            *left -= 1;
            drop(left);
            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
                return;
            }
        }
    });
    (origin, gate)
}

fn let_through(gate: &(Mutex<usize>, Condvar), more: usize) {
    *gate.0.lock().unwrap() += more;
    gate.1.notify_all();
}

fn ask(proxy: &Proxy) -> Raw {
    let mut client = Raw::connect(proxy.http());
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    client
}

#[test]
fn what_is_beyond_the_limits_waits_and_what_is_beyond_the_queue_is_told_to_come_again() {
    let (origin, gate) = held();
    let config = |limits: &str| {
        format!(
            "[admin]\nlisten = \"127.0.0.1:0\"\n[server]\nworkers = 1\n[site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/*\" = \"app\" }}\n\
             [upstream.app]\nservers = [\"{}\"]\nlimits = {{ {limits} }}\n",
            origin.name()
        )
    };
    let proxy = Proxy::start(&config("per-server = 1, queue = 1, wait = \"1m\""));
    let mut first = ask(&proxy);
    crate::config_reload::until("it is at the server", || (origin.requests().len() == 1).then_some(()));
    let mut second = ask(&proxy);
    crate::admin::until(proxy.admin(), "it waits", |scrape| {
        scrape.value("portcullis_upstream_waiting", &[("upstream", "app")]) == Some(1.0)
    });
    let refused = ask(&proxy).response();
    assert_eq!((refused.status, refused.reason(), refused.header("retry-after")), (503, Some("upstream_busy"), Some("1")));
    assert_eq!(origin.requests().len(), 1);
    let_through(&gate, 2);
    assert_eq!((first.response().status, second.response().status), (200, 200));

    let proxy = Proxy::start(&config("running = 1, wait = \"50ms\""));
    let mut first = ask(&proxy);
    crate::config_reload::until("it is at the server", || (origin.requests().len() == 3).then_some(()));
    assert_eq!(ask(&proxy).response().reason(), Some("upstream_busy"), "it has waited for long enough");
    let_through(&gate, 1);
    assert_eq!(first.response().status, 200);
}

#[test]
fn an_adaptive_limit_shrinks_when_answers_become_slow() {
    let (slow, over) = (Arc::new(AtomicBool::new(false)), AtomicBool::new(false));
    let slows = Arc::clone(&slow);
    let origin = Origin::serve(move |stream, _| {
        while origin::read_head(stream).is_some() {
            std::thread::sleep(Duration::from_millis(if slows.load(Ordering::Relaxed) { 300 } else { 3 }));
            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").is_err() {
                return;
            }
        }
    });
    let proxy = Proxy::start(&format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\n[server]\nworkers = 1\n[site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/*\" = \"app\" }}\n\
         [upstream.app]\nservers = [\"{}\"]\nlimits = {{ running = \"adaptive\", queue = 0 }}\n",
        origin.name()
    ));
    let ask_on = || {
        let mut client = Raw::connect(proxy.http());
        while !over.load(Ordering::Relaxed) {
            let answer = client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").response();
            if answer.status != 200 {
                assert_eq!((answer.reason(), answer.header("retry-after")), (Some("upstream_busy"), Some("1")));
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    };
    let limit = |what: &str, wanted: fn(f64) -> bool| {
        crate::admin::until(proxy.admin(), what, |scrape| {
            scrape.value("portcullis_upstream_limit", &[("upstream", "app")]).is_some_and(wanted)
        });
    };
    std::thread::scope(|scope| {
        // Ends the others also if something is not as it should be.
        let _over = Over(&over);
        (0..40).for_each(|_| drop(scope.spawn(ask_on)));
        limit("it has grown from 20", |limit| limit >= 24.0);
        slow.store(true, Ordering::Relaxed);
        limit("it has shrunk", |limit| limit <= 14.0);
    });
    let busy = get(proxy.admin(), "localhost", "/metrics").text();
    assert!(busy.contains("portcullis_upstream_failures_total{upstream=\"app\",reason=\"upstream_busy\"}"), "{busy}");
}

/// Says so when it is dropped.
struct Over<'o>(&'o AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn servers_of_our_zone_come_first_and_others_when_these_are_gone() {
    let [near, far, last] = origins();
    let proxy = Proxy::start(&format!(
        "[server]\nworkers = 2\nzone = \"eu-1a\"\n[site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/*\" = \"app\" }}\n[upstream.app]\nservers = [\n\
         {{ address = \"{}\", priority = 1 }},\n{{ address = \"{}\", zone = \"eu-1b\" }},\n{{ address = \"{}\", zone = \"eu-1a\" }}]\n",
        last.name(),
        far.name(),
        near.name()
    ));
    let went = || -> BTreeSet<String> {
        (0..20).map(|_| get(proxy.http(), "a.test", "/").header("x-origin").unwrap_or("nobody").to_owned()).collect()
    };
    let only = |name: &str| BTreeSet::from([name.to_owned()]);
    assert_eq!(went(), only("a"));
    near.kill();
    // Requests that find it gone are tried at the next; then it is set aside.
    crate::config_reload::until("the other zone takes over", || (went() == only("b")).then_some(()));
    far.kill();
    crate::config_reload::until("the next priority takes over", || (went() == only("c")).then_some(()));
}

#[test]
fn a_new_server_gets_little_at_first() {
    let [a, b, _] = origins();
    let head = crate::config_reload::HEAD.replace("workers = 2", "workers = 1");
    let config = |servers: &str| {
        format!(
            "{head}{}[site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/*\" = \"app\" }}\n[upstream.app]\nservers = [{servers}]\n\
             balance = \"round-robin\"\nslow-start = \"1h\"\n",
            crate::config_reload::HTTP
        )
    };
    let proxy = Proxy::start(&config(&format!("\"{}\"", a.name())));
    assert_eq!(who(&proxy, "/", ""), BTreeSet::from(["a".to_owned()]));
    crate::config_reload::turn_to(&proxy, &config(&format!("\"{}\", \"{}\"", a.name(), b.name())));
    let new = (0..110).filter(|_| get(proxy.http(), "a.test", "/").header("x-origin") == Some("b")).count();
    assert_eq!(new, 10, "a tenth of its share: one in eleven");
}
