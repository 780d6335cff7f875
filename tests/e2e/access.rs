//! The access log: one line for each exchange, however it ends, and nothing in it that a client could forge.

use crate::plain_site;
use portcullis_tests::{Origin, Raw};
use std::time::Duration;

#[test]
fn each_exchange_has_one_line_however_it_ends() {
    let origin = Origin::echo();
    let proxy = plain_site(&origin);
    let cases = [
        ("GET /whole HTTP/1.1\r\nHost: a.test\r\n\r\n", " GET http://a.test/whole HTTP/1.1 200 - "),
        ("HEAD /bytes/9 HTTP/1.1\r\nHost: a.test\r\n\r\n", " HEAD http://a.test/bytes/9 HTTP/1.1 200 - "),
        ("GET /status/304 HTTP/1.1\r\nHost: a.test\r\n\r\n", " GET http://a.test/status/304 HTTP/1.1 304 - "),
        ("GET /slow/5000 HTTP/1.1\r\nHost: a.test\r\n\r\n", " GET http://a.test/slow/5000 HTTP/1.1 - client_gone "),
        ("GET /bytes/90000000 HTTP/1.1\r\nHost: a.test\r\n\r\n", " GET http://a.test/bytes/90000000 HTTP/1.1 200 client_gone "),
        ("POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: 9\r\n\r\nabc", " POST http://a.test/up HTTP/1.1 - client_gone "),
        ("GET / HTTP/1.1\r\nHost: a.test\r\nbad field\r\n\r\n", " - - - 400 bad_field "),
        ("\u{1b}[2J\r\nHost: a.test\r\n\r\n", " - - - 400 bad_request_line "),
        ("GET /%0a%1b[31m?\\ HTTP/1.1\r\nHost: a.test\r\n\r\n", " GET http://a.test\"/%0A%1B%5B31m?\\\\\" HTTP/1.1 200 - "),
    ];
    for (count, (request, line)) in cases.iter().enumerate().map(|(index, case)| (index + 1, case)) {
        let (mut client, asked) = (Raw::connect(proxy.http()), origin.requests().len());
        client.send(request);
        // The client leaves when it has what the line speaks of: an answer, its head where it is to leave early, or where none comes, when
        // the origin has its request.
        match line {
            line if line.contains(" HTTP/1.1 - ") => {}
            line if line.contains(" GET ") && line.contains(" 200 - ") => drop(client.response()),
            _ => drop(client.until(b"\r\n\r\n").unwrap()),
        }
        while line.contains(" HTTP/1.1 - ") && origin.requests().len() == asked {
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(client);
        proxy.access_line(|found| found.contains(line));
        assert_eq!(proxy.access_log().len(), count, "{}", proxy.access_log().join("\n"));
    }
    assert!(!proxy.access_log().concat().contains(char::is_control));
}
