//! `forward-auth`: a server that is asked, and what becomes of its answers.

use super::{refused, start};
use portcullis_tests::origin::read_head;
use portcullis_tests::{Origin, Proxy, Response, get_with, nobody};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Knows `token=good`; asks others to log in.
fn idp(answers: Arc<AtomicBool>) -> Origin {
    Origin::serve(move |stream, seen| {
        while let Some((head, _)) = read_head(stream) {
            let good = head.to_lowercase().contains("cookie: token=good\r\n");
            seen.lock().unwrap().push(head);
            if !answers.load(Ordering::Relaxed) {
                let _ = std::io::Read::read(stream, &mut [0]);
                return;
            }
            let answer = match good {
                true => "HTTP/1.1 204 No Content\r\nremote-user: ann\r\nremote-groups: a\r\nremote-groups: b\r\nx-secret: 1\r\n\r\n",
                false => "HTTP/1.1 302 Found\r\nlocation: https://login.test/\r\nset-cookie: state=1\r\ncontent-length: 7\r\n\r\nlog in\n",
            };
            let _ = stream.write_all(answer.as_bytes());
        }
    })
}

fn visit(proxy: &Proxy, path: &str, fields: &str) -> Response {
    get_with(proxy.http(), "a.test", path, fields)
}

const CHAIN: &str =
    "use = \"forward-auth\", upstream = \"idp\", path = \"/verify\", host = \"idp.test\", copy = [\"remote-user\", \"Remote-Groups\"]";

fn tables(address: &str) -> String {
    format!("[upstream.idp]\nservers = [\"{address}\"]\n")
}

#[test]
fn a_yes_goes_on_and_a_no_is_the_client_s() {
    let (app, idp) = (Origin::echo(), idp(Arc::new(AtomicBool::new(true))));
    let proxy = start(&app, &format!("{{ {CHAIN} }}"), &tables(&idp.name()));
    let response = visit(&proxy, "/a?b=c", "Cookie: token=good\r\nRemote-User: root\r\nX-Forwarded-Uri: /forged\r\n");
    let upstream = response.text().to_lowercase();
    assert_eq!(response.status, 200, "{response:?}");
    assert!(upstream.contains("remote-user: ann\r\n") && !upstream.contains("root") && !upstream.contains("x-secret"), "{upstream}");
    assert!(upstream.contains("remote-groups: a\r\nremote-groups: b\r\n"), "{upstream}");
    let asked = idp.requests()[0].to_lowercase();
    assert!(asked.starts_with("get /verify http/1.1\r\n"), "{asked}");
    for field in [
        "host: idp.test",
        "x-forwarded-method: get",
        "x-forwarded-proto: http",
        "x-forwarded-host: a.test",
        "x-forwarded-uri: /a?b=c",
        "x-forwarded-for: 127.0.0.1",
    ] {
        assert_eq!(asked.matches(&format!("{field}\r\n")).count(), 1, "{field}: {asked}");
    }
    assert!(!asked.contains("forged"));
    let response = visit(&proxy, "/", "Cookie: token=bad\r\n");
    assert_eq!((response.status, response.text().as_str()), (302, "log in\n"));
    assert_eq!((response.header("location"), response.header("set-cookie")), (Some("https://login.test/"), Some("state=1")));
    assert_eq!(app.requests().len(), 1);
}

#[test]
fn a_yes_is_kept_and_without_an_answer_nobody_goes_on() {
    let answers = Arc::new(AtomicBool::new(true));
    let (app, idp) = (Origin::echo(), idp(Arc::clone(&answers)));
    let proxy = start(&app, &format!("{{ {CHAIN}, cache = \"1h\", timeout = \"3s\" }}"), &tables(&idp.name()));
    for _ in 0..6 {
        let response = visit(&proxy, "/", "Cookie: token=good\r\n");
        assert!(response.status == 200 && response.text().to_lowercase().contains("remote-user: ann\r\n"), "{response:?}");
    }
    assert_eq!(idp.requests().len(), 1, "all workers share it");
    answers.store(false, Ordering::Relaxed);
    assert_eq!(visit(&proxy, "/", "Cookie: token=good\r\n").status, 200);
    let response = visit(&proxy, "/other", "Cookie: token=good\r\n");
    assert_eq!((response.status, response.header("retry-after")), (503, Some("5")));
    assert!(proxy.logged("upstream `idp` does not say who may").contains("forward-auth"));
    let gone = start(&app, &format!("{{ {CHAIN}, unanswered = 502 }}"), &tables(&nobody().to_string()));
    assert_eq!(visit(&gone, "/", "Cookie: token=good\r\n").status, 502);
}

#[test]
fn mistakes_point_into_the_link() {
    let text = refused(&Origin::echo(), "{ use = \"forward-auth\", upstream = \"nobody\", copy = [\"host\"] }", "");
    assert!(text.contains("E012") && text.contains("upstream `nobody` is not declared"), "{text}");
    let text = refused(&Origin::echo(), "{ use = \"forward-auth\", upstream = \"app\", copy = [\"host\"] }", "");
    assert!(text.contains("this header belongs to the connection") && text.contains("portcullis.toml:"), "{text}");
}
