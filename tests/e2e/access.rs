//! The access log: one line for each exchange, however it ends, and nothing in it that a client could forge.

use crate::plain_site;
use portcullis_tests::{Origin, Proxy, Raw, get, get_with};
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

/// One word for why, wherever it is said; the book's table is made from the same (`tests/book`).
#[test]
fn a_reason_is_the_same_in_answer_log_metric_and_table() {
    let nobody = portcullis_tests::nobody();
    let proxy = Proxy::start(&format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\n[server]\nworkers = 1\nstate = \"state\"\n[site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/x/*\" = \"app\" }}\n\
         [upstream.app]\nservers = [\"{nobody}\"]\n"
    ));
    let bad = "GET / HTTP/1.1\r\nHost: a.test\r\nbad field\r\n\r\n";
    let answers = [
        get(proxy.http(), "a.test", "/y"),
        get(proxy.http(), "b.test", "/"),
        get(proxy.http(), "a.test", "/x/"),
        Raw::connect(proxy.http()).send(bad).response(),
    ];
    for (answer, token) in answers.iter().zip(["no_route", "no_site", "connect_refused", "bad_field"]) {
        assert_eq!(answer.reason(), Some(token));
        assert!(answer.text().contains(&format!(": {token}\n")), "{}", answer.text());
        proxy.access_line(|line| line.contains(&format!(" {} {token} ", answer.status)));
        let said = portcullis_tests::proxy::run(proxy.dir.path(), &["why", token, "--json"]);
        let table: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
        assert_eq!(table[0]["status"], answer.status);
        let metrics = get(proxy.admin(), "localhost", "/metrics").text();
        assert!(metrics.contains(&format!("portcullis_reasons_total{{of=\"exchange\",reason=\"{token}\"}} 1")), "{metrics}");
    }
}

#[test]
fn secrets_are_not_written_and_a_sample_has_all_that_matters() {
    let origin = Origin::echo();
    let config = |log: &str| {
        format!(
            "[server]\nworkers = 1\nstate = \"state\"\naccess-log = {log}\n[site.\"a.test\"]\ntls = \"off\"\nroutes = {{ \"/*\" = \"app\" }}\n[upstream.app]\nservers = [\"{}\"]\n",
            origin.name()
        )
    };
    let proxy = Proxy::start(&config("{ format = \"ecs\", mask = [\"sid\"] }"));
    get_with(proxy.http(), "a.test", "/x?sid=s3cret&token=s3cret&a=1", "Authorization: Bearer s3cret\r\nCookie: id=s3cret\r\n");
    let line = proxy.access_line(|line| line.contains("/x"));
    let object: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&object["url.query"], &object["ecs.version"]), (&"sid=***&token=***&a=1".into(), &"8.11.0".into()));
    assert!(!line.contains("s3cret"), "{line}");
    let proxy = Proxy::start(&config("{ sample = \"0%\" }"));
    for path in ["/a", "/b", "/status/503"] {
        get(proxy.http(), "a.test", path);
    }
    proxy.access_line(|line| line.contains("/status/503"));
    assert_eq!(proxy.access_log().len(), 1, "{}", proxy.access_log().join("\n"));
}
