//! SIGTERM: what runs is finished, what idles is closed, then the process leaves with 0.

use crate::plain_site;
use portcullis_tests::{Origin, Raw};
use std::net::TcpStream;
use std::time::Duration;

#[test]
fn a_running_request_is_finished() {
    let origin = Origin::echo();
    let mut proxy = plain_site(&origin);
    let mut busy = Raw::connect(proxy.http());
    let mut idle = Raw::connect(proxy.http());
    idle.send("GET /name HTTP/1.1\r\nHost: a.test\r\n\r\n").response();
    busy.send("GET /slow/800 HTTP/1.1\r\nHost: a.test\r\n\r\n");
    while origin.requests().len() < 2 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let address = proxy.http();
    proxy.terminate();
    assert!(idle.closed(), "an idle connection is closed at once");
    let response = busy.response();
    assert_eq!((response.status, response.header("connection")), (200, Some("close")));
    assert_eq!(proxy.wait(Duration::from_secs(5)), Some(0));
    assert!(TcpStream::connect(address).is_err(), "nothing listens any more");
}

#[test]
fn without_connections_it_leaves_at_once() {
    let origin = Origin::echo();
    let mut proxy = plain_site(&origin);
    proxy.terminate();
    assert_eq!(proxy.wait(Duration::from_secs(2)), Some(0));
}
