//! `geo-header`: what a list says of a client's address, also a long one.

use super::{chained, refused};
use portcullis_tests::{Origin, Proxy, get_with};
use std::fmt::Write;

#[test]
fn a_long_list_tells_the_upstream_where_clients_are() {
    let app = Origin::echo();
    let dir = tempfile::tempdir().unwrap();
    // 262,144 networks of 64 addresses, and one within.
    let mut list = String::from("network,country\n");
    for index in 0..1_u32 << 18 {
        let ip = std::net::Ipv4Addr::from_bits(0x0a00_0000 | index << 6);
        writeln!(list, "{ip}/26,{}{}", char::from(b'A' + (index % 26) as u8), char::from(b'A' + (index / 26 % 26) as u8)).unwrap();
    }
    list.push_str("127.0.0.0/8,ZZ\n10.200.1.7,YY\n");
    std::fs::write(dir.path().join("geo.csv"), list).unwrap();
    let chain = "{ use = \"geo-header\", list = { file = \"geo.csv\" } }";
    let config = format!("[server]\nworkers = 1\nstate = \"state\"\ntrusted-proxies = [\"127.0.0.1\"]\n{}", chained(&app, chain, ""));
    let proxy = Proxy::start_in(dir, &config);
    let ask = |from: &str| {
        let fields =
            if from.is_empty() { "X-Country: forged\r\n".to_owned() } else { format!("X-Forwarded-For: {from}\r\nX-Country: forged\r\n") };
        let response = get_with(proxy.http(), "a.test", "/", &fields);
        assert_eq!(response.status, 200, "{response:?}");
        let text = response.text().to_lowercase();
        text.lines().find_map(|line| line.strip_prefix("x-country: ")).map(|value| value.trim().to_owned())
    };
    for (from, expected) in [
        ("", Some("zz")),
        ("10.0.0.63", Some("aa")),
        ("10.0.0.64", Some("ba")),
        ("10.200.1.7", Some("yy")),
        ("11.0.0.1", None),
        ("2001:db8::1", None),
    ] {
        assert_eq!(ask(from).as_deref(), expected, "{from}");
    }
    proxy.access_line(|line| line.contains("geo=YY"));
}

#[test]
fn mistakes_are_told_with_their_line() {
    let text = refused(&Origin::echo(), "{ use = \"geo-header\", list = \"10.0.0.0/8,DE\\nexample.com,FR\" }", "");
    assert!(text.contains("line 2: `example.com` is no network") && text.contains("portcullis.toml:"), "{text}");
}
