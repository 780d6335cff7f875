//! Origins that answer badly: 502 or 504 to the client, and no connection is ever reused after it.

use crate::plain_site;
use portcullis_tests::{Origin, Proxy, Raw, get, origin};

fn answered(origin: &Origin, status: u16) -> String {
    let proxy = plain_site(origin);
    let response = get(proxy.http(), "a.test", "/");
    assert_eq!(response.status, status, "{response:?}");
    response.reason().expect("a reason").to_owned()
}

#[test]
fn a_malformed_response_head_is_502() {
    for bytes in [
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX A: b\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "garbage\r\n\r\n",
    ] {
        assert_eq!(answered(&Origin::says(bytes), 502), "bad_response", "{bytes:?}");
    }
}

#[test]
fn an_endless_response_head_is_502() {
    let bytes = format!("HTTP/1.1 200 OK\r\nX-A: {}\r\n\r\n", "x".repeat(200 << 10));
    answered(&Origin::says(bytes), 502);
}

#[test]
fn an_origin_that_closes_without_an_answer_is_502() {
    answered(&Origin::says(""), 502);
    answered(&Origin::says("HTTP/1.1 200 OK\r\nContent-Le"), 502);
}

#[test]
fn nobody_there_is_502_or_503() {
    let proxy = Proxy::start(&format!(
        "[site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/*\" = \"app\" }}\n[upstream.app]\nservers = [\"{}\"]\n",
        origin::nobody()
    ));
    let response = get(proxy.http(), "a.test", "/");
    assert!([502, 503].contains(&response.status), "{response:?}");
    assert_eq!(response.reason(), Some("connect_refused"));
}

#[test]
fn a_connect_failure_goes_to_another_server() {
    let origin = Origin::echo();
    let proxy = Proxy::start(&format!(
        "[site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/*\" = \"app\" }}\n[upstream.app]\nservers = [\"{}\", \"{}\"]\nbalance = \"round-robin\"\n",
        origin::nobody(),
        origin.name()
    ));
    for _ in 0..8 {
        assert_eq!(get(proxy.http(), "a.test", "/").status, 200);
    }
}

#[test]
fn a_silent_origin_is_504() {
    let origin = Origin::says_and_stays("");
    let proxy = Proxy::start(&format!(
        "[limits]\nresponse = \"300ms\"\n[site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/*\" = \"app\" }}\n[upstream.app]\nservers = [\"{}\"]\n",
        origin.name()
    ));
    let response = get(proxy.http(), "a.test", "/");
    assert_eq!((response.status, response.reason()), (504, Some("response_timeout")));
}

#[test]
fn a_body_cut_short_is_not_passed_as_whole() {
    let origin = Origin::says("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc");
    let proxy = plain_site(&origin);
    let mut client = Raw::connect(proxy.http());
    assert!(client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").try_response_to("GET").is_none(), "truncation must be visible");
    let origin = Origin::says("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n");
    let proxy = plain_site(&origin);
    let mut client = Raw::connect(proxy.http());
    let bytes = client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").rest();
    assert!(!bytes.ends_with(b"0\r\n\r\n"), "no last chunk that the origin did not send");
}

#[test]
fn more_than_was_announced_never_poisons_the_next_exchange() {
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let origin = Origin::says_and_stays(evil);
    let proxy = plain_site(&origin);
    let mut client = Raw::connect(proxy.http());
    for _ in 0..3 {
        let response = client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").response();
        assert_eq!(response.text(), "ok");
    }
}

#[test]
fn a_keep_alive_connection_that_died_costs_no_request() {
    // Answers one request per connection, promises keep-alive, then closes.
    let origin = Origin::says("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let proxy = plain_site(&origin);
    let mut client = Raw::connect(proxy.http());
    for _ in 0..20 {
        assert_eq!(client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").response().status, 200);
    }
    assert_eq!(origin.connections(), 20);
}
