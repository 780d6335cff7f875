//! Bodies through links that watch, transform and buffer them, and through links that misbehave meanwhile.

use portcullis_tests::{Origin, Proxy, Raw, Server, curl, get, get_with, tools};
use std::io::{Read, Write};
use std::sync::mpsc;
use std::time::Duration;

/// Every path through a guest for each of these, outer first.
fn site(origin: &Origin, deeds: &[&str], plugin: &str) -> Proxy {
    let links: Vec<_> = deeds.iter().map(|what| format!("{{ use = \"bodies\", config = {{ do = \"{what}\" }} }}")).collect();
    let site = |tls| format!("tls = \"{tls}\"\nchain = [{}]\nroutes = {{ \"/*\" = \"app\" }}\n", links.join(", "));
    Proxy::start(&format!(
        "[plugin.bodies]\nsource = \"{}\"\n{plugin}\n[site.\"a.test\"]\n{}[site.localhost]\n{}[upstream.app]\nservers = [\"{}\"]\n",
        tools::guest("bodies").display(),
        site("off"),
        site("local"),
        origin.name()
    ))
}

fn post(proxy: &Proxy, path: &str, body: &str) -> portcullis_tests::Response {
    let length = body.len();
    Raw::connect(proxy.http())
        .send(format!("POST {path} HTTP/1.1\r\nHost: a.test\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{body}"))
        .response()
}

#[test]
fn a_watched_body_keeps_its_length_and_its_trailers() {
    let origin = Origin::echo();
    let proxy = site(&origin, &["watch"], "");
    let response = get(proxy.http(), "a.test", "/bytes/100000");
    assert_eq!((response.header("content-length"), response.body.len()), (Some("100000"), 100_000));
    assert_eq!(response.header("x-known"), Some("Some(100000)"));
    let response = get(proxy.http(), "a.test", "/chunked/100000");
    assert_eq!((response.header("content-length"), response.body.len()), (None, 100_000));
    assert!(response.trailers.contains(&("x-checksum".to_owned(), "done".to_owned())), "{:?}", response.trailers);
}

#[test]
fn a_transformed_body_loses_its_length_and_is_whole() {
    let origin = Origin::echo();
    for (what, body, length) in [("upper", b'X', 100_000), ("keep", b'x', 100_000), ("double", b'x', 200_000), ("withhold", b'x', 100_000)]
    {
        let proxy = site(&origin, &[what], "");
        for path in ["/bytes/100000", "/chunked/100000"] {
            let response = get(proxy.http(), "a.test", path);
            assert_eq!((response.status, response.header("content-length")), (200, None), "{what}");
            assert_eq!((response.body.len(), response.body.iter().all(|byte| *byte == body)), (length, true), "{what} {path}");
        }
    }
}

#[test]
fn trailers_are_seen_and_added() {
    let origin = Origin::echo();
    let proxy = site(&origin, &["trailers"], "");
    let response = get(proxy.http(), "a.test", "/chunked/100000");
    let trailer = |name: &str| response.trailers.iter().find(|(line, _)| line == name).map(|(_, value)| value.clone());
    assert_eq!((trailer("x-bytes"), trailer("x-seen")), (Some("100000".into()), Some("x-checksum".into())));
    assert_eq!(trailer("x-checksum").as_deref(), Some("done"));
}

#[test]
fn a_request_s_body_is_transformed_on_its_way_to_the_origin() {
    let origin = Origin::echo();
    let proxy = site(&origin, &["request:upper"], "");
    let response = post(&proxy, "/", "hear, hear");
    assert!(response.text().ends_with("HEAR, HEAR"), "{}", response.text());
    let head = &origin.requests()[0].to_ascii_lowercase();
    assert!(head.contains("transfer-encoding: chunked") && !head.contains("content-length"), "{head}");
    assert!(head.contains("x-known: some(10)"), "{head}");
}

#[test]
fn links_compose_in_the_order_of_the_chain() {
    let origin = Origin::echo();
    // Requests: upper, then double. Responses: the inner link first.
    let proxy = site(&origin, &["request:double", "request:upper"], "");
    assert!(post(&proxy, "/", "ab").text().ends_with("ABAB"));
    let proxy = site(&origin, &["upper", "buffer-replace", "withhold", "watch"], "");
    let response = get(proxy.http(), "a.test", "/name");
    assert_eq!(response.text(), "NIGIRO");
    assert_eq!(response.header("x-whole"), Some("6"));
}

#[test]
fn a_buffered_body_can_change_the_head_and_be_answered() {
    let origin = Origin::echo();
    let proxy = site(&origin, &["request:buffer"], "");
    let response = post(&proxy, "/", "twelve bytes");
    assert!(response.text().to_ascii_lowercase().contains("x-whole: 12"), "{}", response.text());
    assert!(response.text().to_ascii_lowercase().contains("content-length: 12"), "a length that is known is said: {}", response.text());
    let proxy = site(&origin, &["request:buffer-reply"], "");
    let before = origin.requests().len();
    let response = post(&proxy, "/", "twelve bytes");
    assert_eq!((response.status, &*response.text()), (418, "12 bytes are not welcome\n"));
    assert_eq!(origin.requests().len(), before, "the origin was not asked");
    let proxy = site(&origin, &["buffer-reply"], "");
    assert_eq!(get(proxy.http(), "a.test", "/bytes/7").text(), "7 bytes are not welcome\n");
}

#[test]
fn what_is_too_large_to_be_buffered_is_refused() {
    let origin = Origin::echo();
    let proxy = site(&origin, &["request:buffer"], "");
    let response = post(&proxy, "/", &"x".repeat(1001));
    assert_eq!((response.status, response.reason()), (413, Some("body_too_large")));
    let chunked = "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n";
    let response = Raw::connect(proxy.http()).send(format!("{chunked}3e9\r\n{}\r\n0\r\n\r\n", "x".repeat(1001))).response();
    assert_eq!((response.status, response.reason()), (413, Some("body_too_large")));
    let proxy = site(&origin, &["buffer"], "");
    for path in ["/bytes/1001", "/chunked/1001"] {
        let response = get(proxy.http(), "a.test", path);
        assert_eq!((response.status, response.reason()), (502, Some("response_too_large")), "{path}");
    }
    assert_eq!(get(proxy.http(), "a.test", "/bytes/1000").status, 200);
    proxy.access_line(|line| line.contains("response_too_large"));
    // The operator's bounds hold whatever the plugin wants.
    let proxy = site(&origin, &["buffer-much"], "[limits]\nbody-buffer = \"2KiB\"\n");
    assert_eq!(get(proxy.http(), "a.test", "/bytes/2048").status, 200);
    assert_eq!(get(proxy.http(), "a.test", "/bytes/2049").reason(), Some("response_too_large"));
    let proxy = site(&origin, &["buffer-much"], "[limits]\nbody-buffers = \"1KiB\"\n");
    assert_eq!(get(proxy.http(), "a.test", "/bytes/1024").status, 200);
    let response = get(proxy.http(), "a.test", "/bytes/1025");
    assert_eq!((response.status, response.reason()), (503, Some("buffers_full")));
    assert_eq!(get(proxy.http(), "a.test", "/bytes/1024").status, 200, "what was refused counts no more");
}

#[test]
fn answers_without_a_body_are_described_and_left_alone() {
    let origin = Origin::echo();
    let proxy = site(&origin, &["upper"], "");
    let mut client = Raw::connect(proxy.http());
    let response = client.send("HEAD /bytes/50 HTTP/1.1\r\nHost: a.test\r\n\r\n").response_to("HEAD");
    assert_eq!((response.status, response.header("content-length"), response.header("x-open")), (200, None, Some("1")));
    for (status, seen) in [(204, None), (304, Some("1"))] {
        let response = client.send(format!("GET /status/{status} HTTP/1.1\r\nHost: a.test\r\n\r\n")).response();
        assert_eq!((response.status, response.header("x-open")), (status, seen));
    }
    let response = client.send("GET /bytes/0 HTTP/1.1\r\nHost: a.test\r\n\r\n").response();
    assert_eq!((response.status, response.body.len()), (200, 0));
    // The same connection goes on: everything was framed as it should be.
    let response = client.send("GET /name HTTP/1.1\r\nHost: a.test\r\n\r\n").response();
    assert_eq!((response.text(), response.header("x-open")), ("ORIGIN".to_owned(), Some("1")), "nothing is kept of the others");
    let watch = site(&origin, &["watch"], "");
    let response = Raw::connect(watch.http()).send("HEAD /bytes/50 HTTP/1.1\r\nHost: a.test\r\n\r\n").response_to("HEAD");
    assert_eq!(response.header("content-length"), Some("50"));
    let request = site(&origin, &["request:upper"], "");
    let response = get(request.http(), "a.test", "/");
    assert!(response.status == 200 && !response.text().contains("x-open"), "a request without a body begins none");
}

#[test]
fn only_the_bodies_that_are_wanted_are_shown() {
    let origin = Origin::echo();
    let proxy = site(&origin, &["request:trap-first;text"], "");
    let json = "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    assert_eq!(Raw::connect(proxy.http()).send(json).response().status, 200);
    assert_eq!(post(&proxy, "/", "{}").reason(), Some("plugin_trap"));
}

#[test]
fn a_fault_within_a_response_breaks_it_off() {
    let origin = Origin::echo();
    for what in [
        "trap-first",
        "loop",
        "bomb",
        "too-much",
        "more-nothing",
        "lie",
        "twice",
        "trap-end",
        "range-end",
        "trap-later",
        "watch-trap",
        "watch-trap-end",
    ] {
        let proxy = site(&origin, &[what], "");
        for path in ["/bytes/300000", "/chunked/300000"] {
            let mut client = Raw::connect(proxy.http());
            client.send(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
            let response = client.try_response_to("GET");
            assert!(response.as_ref().is_none_or(|response| response.status == 500), "{what} {path}: {response:?}");
        }
        proxy.access_line(|line| line.contains("plugin_"));
        let said = curl_fails(&proxy, "/bytes/300000");
        assert!(said.contains("(18)") || said.contains("(56)") || said.contains("(92)"), "{what}: {said}");
    }
}

/// What curl says of a transfer over HTTP/2 that does not end as it should.
fn curl_fails(proxy: &Proxy, path: &str) -> String {
    let url = format!("https://localhost:{}{path}", proxy.https().port());
    let arguments = ["-sSk", "--max-time", "30", "--http2", "-o", "/dev/null", &*url];
    let output = std::process::Command::new(tools::need("curl", "curl")).args(arguments).output().unwrap();
    assert!(!output.status.success(), "a body that was broken off looks whole");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_fault_within_a_request_is_answered() {
    let origin = Origin::echo();
    for (what, reason) in [
        ("trap-first", "plugin_trap"),
        ("trap-begin", "plugin_trap"),
        ("trap-end", "plugin_trap"),
        ("buffer-trap", "plugin_trap"),
        ("loop", "plugin_timeout"),
        ("bomb", "plugin_memory"),
        ("lie", "plugin_bad_output"),
    ] {
        // Enough time to fill the memory, also on a busy machine.
        let limits = if what == "bomb" { "limits = { memory = \"8MiB\", cpu = \"2s\" }" } else { "" };
        let proxy = site(&origin, &[&format!("request:{what}")], limits);
        let response = post(&proxy, "/", "hear, hear");
        assert_eq!((response.status, response.reason()), (500, Some(reason)), "{what}");
        assert!(!format!("{response:?}").contains("hunter2"), "{what}");
    }
}

#[test]
fn fail_open_passes_what_is_still_as_it_was() {
    let origin = Origin::echo();
    for what in ["watch-trap", "watch-trap-end", "trap-later-quiet", "trap-begin", "buffer-trap"] {
        let proxy = site(&origin, &[what], "fail = \"open\"");
        let path = if what == "buffer-trap" { "/bytes/900" } else { "/bytes/300000" };
        let response = get(proxy.http(), "a.test", path);
        assert_eq!((response.status, format!("/bytes/{}", response.body.len())), (200, path.to_owned()), "{what}");
    }
    for what in ["changed-trap-quiet", "trap-later"] {
        let proxy = site(&origin, &[what], "fail = \"open\"");
        curl_fails(&proxy, "/bytes/300000");
    }
}

#[test]
fn a_flood_is_taken_as_fast_as_the_client_reads_and_no_faster() {
    let origin = Origin::echo();
    let proxy = site(&origin, &["flood"], "");
    let mut client = Raw::connect(proxy.http());
    client.send("GET /bytes/1 HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let mut taken = vec![0; 8 << 20];
    client.stream.read_exact(&mut taken).unwrap();
    let before = proxy.memory();
    client.stream.read_exact(&mut taken).unwrap();
    assert!(proxy.memory() < before + (64 << 20), "the proxy gathers what nobody takes");
    drop(client);
    // Others are served while it goes on, and after.
    assert_eq!(get(proxy.http(), "a.test", "/status/204").status, 204);
}

#[test]
fn what_is_kept_for_an_exchange_goes_with_it() {
    let origin = Origin::echo();
    let proxy = site(&origin, &["watch"], "");
    // On one connection, so that one worker's guest serves them all.
    let mut client = Raw::connect(proxy.http());
    for _ in 0..20 {
        let response = client.send("GET /bytes/10 HTTP/1.1\r\nHost: a.test\r\n\r\n").response();
        assert_eq!(response.header("x-open"), Some("1"), "nothing is open but this one");
    }
}

#[test]
fn a_stream_that_is_watched_or_transformed_is_not_held_back() {
    let (says, words) = mpsc::channel::<&'static str>();
    let words = std::sync::Mutex::new(words);
    let origin = Origin::serve(move |stream, _| {
        let _ = portcullis_tests::origin::read_head(stream);
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        let _ = stream.write_all(head.as_bytes());
        while let Ok(word) = words.lock().unwrap().recv_timeout(Duration::from_secs(20)) {
            let _ = stream.write_all(format!("{:x}\r\n{word}\r\n", word.len()).as_bytes());
            if word.is_empty() {
                let _ = stream.write_all(b"\r\n");
                return;
            }
        }
    });
    let proxy = site(&origin, &["watch", "upper", "keep"], "");
    let mut client = Raw::connect(proxy.http());
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n");
    // Each word is said when the one before has been heard.
    for word in ["data: one\n\n", "data: two\n\n", "data: three\n\n"] {
        says.send(word).unwrap();
        assert!(client.until(word.to_ascii_uppercase().as_bytes()).is_some(), "{word}");
    }
    says.send("").unwrap();
    assert!(client.until(b"0\r\n\r\n").is_some());
}

#[test]
fn clients_of_every_protocol_get_the_same() {
    let origin = Origin::echo();
    let proxy = site(&origin, &["upper", "watch"], "");
    let clear = format!("http://{}/bytes/100000", proxy.http());
    let secret = format!("https://localhost:{}/bytes/100000", proxy.https().port());
    for (version, url) in [("--http1.0", &clear), ("--http1.1", &clear), ("--http1.1", &secret), ("--http2", &secret)] {
        let site = if url == &clear { "Host: a.test" } else { "Host: localhost" };
        let body = curl(&["-k", version, "-H", site, url]);
        assert_eq!((body.len(), body.bytes().all(|byte| byte == b'X')), (100_000, true), "{version}");
    }
}

#[test]
fn a_client_that_goes_away_takes_its_body_along() {
    let origin = Origin::echo();
    for isolate in ["worker", "request"] {
        let proxy = site(&origin, &["watch"], &format!("isolate = \"{isolate}\""));
        let mut client = Raw::connect(proxy.http());
        client.send("GET /bytes/50000000 HTTP/1.1\r\nHost: a.test\r\n\r\n");
        client.until(b"\r\n\r\n").unwrap();
        drop(client);
        proxy.access_line(|line| line.contains("client_gone"));
        assert_eq!(get_with(proxy.http(), "a.test", "/bytes/10", "").header("x-open"), Some("1"), "{isolate}");
    }
}

/// Encoders work harder on what is not all the same.
#[test]
fn text_as_it_is_written_survives_compression() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = std::fs::read(tools::repository().join("Cargo.lock")).unwrap();
    while text.len() < 1 << 20 {
        let more: Vec<u8> = text.iter().rev().map(|byte| byte ^ (text.len() as u8 & 7)).collect();
        text.extend(more);
    }
    std::fs::write(folder.path().join("text"), &text).unwrap();
    let origin = Server::nginx(|address, _| {
        format!("server {{ listen {address}; root {}; location / {{ default_type text/plain; }} }}", folder.path().display())
    });
    let proxy = Proxy::start(&format!(
        "[site.\"a.test\"]\ntls = \"off\"\nchain = [\"compress\"]\nroutes = {{ \"/*\" = \"app\" }}\n[upstream.app]\nservers = [\"{}\"]\n",
        origin.name()
    ));
    let (url, got) = (format!("http://{}/text", proxy.http()), folder.path().join("got"));
    for coding in ["gzip", "br", "zstd"] {
        curl(&["--compressed", "-H", "Host: a.test", "-H", &format!("Accept-Encoding: {coding}"), "-o", got.to_str().unwrap(), &url]);
        assert!(std::fs::read(&got).unwrap() == text, "{coding}");
        assert_eq!(
            get_with(proxy.http(), "a.test", "/text", &format!("Accept-Encoding: {coding}\r\n")).header("content-encoding"),
            Some(coding)
        );
    }
}

#[test]
fn what_was_rewritten_is_compressed_for_those_who_take_it() {
    let origin = Origin::echo();
    let proxy = Proxy::start(&format!(
        "[site.\"a.test\"]\ntls = \"off\"\nchain = [\"compress\", {{ use = \"body-rewrite\", replace = {{ text = \"xx\", with = \"yyy\" }} }}]\nroutes = {{ \"/*\" = \"app\" }}\n[upstream.app]\nservers = [\"{}\"]\n",
        origin.name()
    ));
    for path in ["/bytes/100000", "/chunked/100000"] {
        let url = format!("http://{}{path}", proxy.http());
        for coding in ["gzip", "br", "zstd"] {
            let accepts = format!("Accept-Encoding: {coding}");
            let body = curl(&["--compressed", "-H", "Host: a.test", "-H", &accepts, &url]);
            assert_eq!((body.len(), body.bytes().all(|byte| byte == b'y')), (150_000, true), "{coding} {path}");
            let response = get_with(proxy.http(), "a.test", path, &format!("{accepts}\r\n"));
            assert_eq!((response.header("content-encoding"), response.header("vary")), (Some(coding), Some("accept-encoding")));
            assert!(response.body.len() < 20_000 && response.header("content-length").is_none(), "{coding} {path}");
        }
        let response = get(proxy.http(), "a.test", path);
        assert_eq!((response.header("content-encoding"), response.body.len()), (None, 150_000), "{path}");
    }
    let mut client = Raw::connect(proxy.http());
    let head = client.send("HEAD /bytes/100000 HTTP/1.1\r\nHost: a.test\r\nAccept-Encoding: gzip\r\n\r\n").response_to("HEAD");
    assert_eq!((head.header("content-encoding"), head.header("content-length")), (Some("gzip"), None));
    let none = client.send("GET /status/204 HTTP/1.1\r\nHost: a.test\r\nAccept-Encoding: gzip\r\n\r\n").response();
    assert_eq!((none.status, none.header("content-encoding")), (204, None));
}
