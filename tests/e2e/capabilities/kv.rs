//! `kv`: stores in memory and in Redis do the same.

use super::{Able, run, told, until};
use crate::tcp::redis_cli;
use portcullis_tests::{Origin, Proxy, Server, get};

/// What every backend must do, on a fresh store.
fn does_what_it_should(proxy: &Proxy) {
    let one = |steps: &str| run(proxy, steps).pop().unwrap();
    assert_eq!(
        run(proxy, "get near a; set near a 1; get near a; delete near a; delete near a; get near a"),
        ["none", "set", "1", "true", "false", "none"]
    );
    let compared = run(proxy, "replace near c x 1; replace near c none 1; replace near c none 2; replace near c 1 2; get near c");
    assert_eq!(compared, ["false", "true", "false", "true", "2"]);
    assert_eq!(run(proxy, "add near n 5; add near n -7; get near n; set near n 40; add near n 2"), ["5", "-2", "-2", "set", "42"]);
    let wrong = run(proxy, "set near w x; add near w 1; get near w; set near m 9223372036854775807; add near m 1; get near m");
    assert_eq!(wrong, ["set", "WrongType", "x", "set", "WrongType", "9223372036854775807"]);
    assert_eq!(run(proxy, "get other a; set other a 1; add other a 1; delete other a"), ["Denied"; 4]);
    // What has a time is there until it has passed.
    assert_eq!(run(proxy, "set near t 1 600000; replace near t2 none 1 600000; add near t3 1 600000"), ["set", "true", "1"]);
    assert_eq!(run(proxy, "get near t; get near t2; get near t3"), ["1", "1", "1"]);
    run(proxy, "set near s 1 30; replace near s2 none 1 30");
    until("s expires", || (one("get near s") == "none").then_some(()));
    until("s2 expires", || (one("get near s2") == "none").then_some(()));
    // Adding does not prolong: it would never start over.
    assert_eq!(one("add near p 1 100"), "1");
    until("p starts over", || (one("add near p 1 100") == "1").then_some(()));
    // A value set anew without a time stays.
    run(proxy, "set near k 1 30; set near k 2; set near later 1 30");
    until("later expires", || (one("get near later") == "none").then_some(()));
    assert_eq!(one("get near k"), "2");
    buckets_fill_again(proxy);
    for wrong in [
        "get-long near 0",
        "get-long near 1025",
        "take near b 1 0 1",
        "take near b 1 1 0",
        "take near b 2 1 1",
        "take near b 1 9 9999999999",
    ] {
        assert_eq!(told(proxy, wrong).reason(), Some("plugin_trap"), "{wrong}");
    }
    assert_eq!(run(proxy, "get-long near 1024"), ["none"]);
}

fn buckets_fill_again(proxy: &Proxy) {
    let one = |steps: &str| run(proxy, steps).pop().unwrap();
    // An hour for each: nothing comes back while the test runs.
    let said = run(
        proxy,
        "take near b 2 3 3600000; take near b 2 3 3600000; take near b 1 3 3600000; take near b 1 3 3600000; take near b2 3 3 3600000",
    );
    let words: Vec<Vec<&str>> = said.iter().map(|line| line.split(' ').collect()).collect();
    let begins: Vec<_> = words.iter().map(|words| (words[0], words[1])).collect();
    assert_eq!(begins, [("true", "1"), ("false", "1"), ("true", "0"), ("false", "0"), ("true", "0")], "{said:?}");
    let millis = |line: usize, word: usize| words[line][word].parse::<u64>().unwrap();
    assert!((3_590_000..=3_600_000).contains(&millis(3, 2)) && (10_790_000..=10_800_000).contains(&millis(3, 3)), "{said:?}");
    assert_eq!(
        run(proxy, "take other b 1 1 1; add near b 1; set near text x; take near text 1 1 1000"),
        ["Denied", "WrongType", "set", "WrongType"]
    );
    assert!(one("take near q 1 1 50").starts_with("true 0 0 "));
    until("q is full again", || one("take near q 1 1 50").starts_with("true").then_some(()));
}

#[test]
fn a_store_in_memory_does_what_it_should() {
    let app = Origin::echo();
    does_what_it_should(&Able::of(&app).start());
}

#[test]
fn a_store_in_redis_does_what_it_should() {
    let (app, redis) = (Origin::echo(), Server::redis(None));
    let tables = format!("[kv]\nnear = \"redis://{}/0\"\n", redis.name());
    does_what_it_should(&Able { tables: &tables, ..Able::of(&app) }.start());
    assert!(redis_cli(redis.address, &["keys", "*"]).contains("portcullis:near:n"));
}

/// `count` times 1, on connections of their own and several at once.
fn add_often(proxies: &[&Proxy], count: usize) {
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for n in 0..count / 4 {
                    run(proxies[(thread + n) % proxies.len()], "add near shared 1");
                }
            });
        }
    });
}

#[test]
fn a_store_is_shared_by_all_workers() {
    let app = Origin::echo();
    let proxy = Able { workers: 2, ..Able::of(&app) }.start();
    add_often(&[&proxy], 400);
    assert_eq!(run(&proxy, "get near shared"), ["400"]);
}

#[test]
fn two_proxies_share_one_counter_in_redis() {
    let (app, redis) = (Origin::echo(), Server::redis(None));
    let tables = format!("[kv.near]\nstore = \"redis://{}/1\"\nprefix = \"both:\"\n", redis.name());
    let able = Able { workers: 2, tables: &tables, ..Able::of(&app) };
    let (one, other) = (able.start(), able.start());
    add_often(&[&one, &other], 400);
    assert_eq!((run(&one, "get near shared"), run(&other, "add near shared 0")), (vec!["400".to_owned()], vec!["400".to_owned()]));
    assert_eq!(redis_cli(redis.address, &["-n", "1", "get", "both:shared"]), "400\n");
}

#[test]
fn a_full_store_says_so_and_takes_again_when_there_is_room() {
    let app = Origin::echo();
    let tables = "[kv]\nnear = { memory = \"1MiB\" }\n";
    let proxy = Able { tables, plugin: "limits = { cpu = \"1s\" }", ..Able::of(&app) }.start();
    let said = run(&proxy, "fill near 1000").pop().unwrap();
    let (fitted, error) = said.split_once(" then ").unwrap();
    let fitted: usize = fitted.parse().unwrap();
    assert!((300..1_048).contains(&fitted) && error == "Full", "{said}");
    let full = format!("set near fill-{fitted} {}", "v".repeat(1000));
    assert_eq!(run(&proxy, &full), ["Full"]);
    // In pieces that fit into a header.
    for from in (0..fitted).step_by(100) {
        let steps: Vec<String> = (from..(from + 100).min(fitted)).map(|n| format!("delete near fill-{n}")).collect();
        assert!(run(&proxy, &steps.join(";")).iter().all(|there| there == "true"));
    }
    assert_eq!(run(&proxy, &full), ["set"]);
}

#[test]
fn when_redis_is_gone_the_plugin_decides_and_when_it_is_back_all_is_well() {
    let (app, redis) = (Origin::echo(), Server::redis(None));
    let tables = format!("[kv.near]\nstore = \"redis://{}/0\"\ntimeout = \"2s\"\n", redis.name());
    let plugin = "limits = { time = \"10s\" }";
    let proxy = Able { tables: &tables, plugin, told: "on-request = \"add near n 1; pass\"", ..Able::of(&app) }.start();
    let passed = || {
        let response = get(proxy.http(), "a.test", "/x");
        assert_eq!(response.status, 200, "{response:?}");
        let text = response.text();
        text.lines().find_map(|line| line.strip_prefix("x-able: ")).unwrap_or_else(|| panic!("{text}")).to_owned()
    };
    assert_eq!(passed(), "1 | passed");
    let address = redis.address;
    drop(redis);
    let said = passed();
    assert!(said.starts_with("Unavailable(\"") && said.ends_with(" | passed"), "{said}");
    assert_eq!(get(proxy.http(), "a.test", "/plain/x").status, 200);
    let _redis = Server::redis_at(address, None);
    until("redis is used again", || (!passed().starts_with("Unavailable")).then_some(()));
}
