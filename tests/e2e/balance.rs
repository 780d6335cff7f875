//! Which server gets a request, where that is more than the less busy of two.

use portcullis_tests::{Origin, Proxy, get, get_with};
use std::collections::BTreeSet;

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
