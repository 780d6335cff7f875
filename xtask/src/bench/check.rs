//! Nothing is measured that is not right: status, length, the filters' headers, what is refused.

use super::contender::Contender;
use super::head::Head;
use super::scenario::{BODY, BULK, Direction, Load};
use super::trouble::Trouble;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Command;
use std::time::Duration;

/// Without it the filters answer 403.
pub const KEY: &str = "x-bench-key: good";

/// An answer to one request of our own.
#[derive(Debug, PartialEq)]
pub struct Answer {
    pub status: u16,
    /// In lower case.
    pub head: String,
    pub body: usize,
}

/// One GET over plain HTTP/1.1, on a connection of its own, with `most` for each step.
pub fn get(port: u16, host: &str, path: &str, field: &str, most: Duration) -> io::Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), most)?;
    stream.set_read_timeout(Some(most))?;
    stream.set_write_timeout(Some(most))?;
    stream.write_all(request(host, path, field).as_bytes())?;
    answer(&mut stream)
}

/// One POST of a big body through a tunnel.
fn post(port: u16) -> io::Result<Answer> {
    let most = Duration::from_secs(10);
    let mut stream = TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), most)?;
    stream.set_read_timeout(Some(most))?;
    stream.set_write_timeout(Some(most))?;
    stream.write_all(format!("POST /bench HTTP/1.1\r\nHost: bench.test\r\nContent-Length: {BULK}\r\n\r\n").as_bytes())?;
    stream.write_all(&vec![b'x'; BULK])?;
    answer(&mut stream)
}

fn request(host: &str, path: &str, field: &str) -> String {
    let field = if field.is_empty() { String::new() } else { format!("{field}\r\n") };
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{field}Connection: close\r\n\r\n")
}

/// Reads to the end of the body, and to that of the stream if the answer announces it: nothing may follow then.
fn answer(stream: &mut impl Read) -> io::Result<Answer> {
    let mut buffer = vec![0; 64 << 10];
    let head = Head::read(stream, &mut buffer)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut body = head.skip_body(stream, &mut buffer)?;
    if head.text.contains("\r\nconnection: close\r\n") {
        // A MiB is far more than could follow.
        body += io::copy(&mut stream.take(1 << 20), &mut io::sink())? as usize;
    }
    Ok(Answer { status: head.status(), head: head.text, body })
}

/// Whether a proxy does what the scenario says.
pub fn check(proxy: &Contender) -> Result<(), Trouble> {
    let scenario = proxy.scenario;
    let (host, path) = scenario.target();
    let right = plain(proxy, host, path, KEY)?;
    expect(proxy, right.status == 200 && right.body == scenario.body(), || format!("answers {right:?}"))?;
    if scenario.load == Load::Bulk(Direction::Up) {
        let taken = post(proxy.http).map_err(|error| wrong(proxy, &error.to_string()))?;
        expect(proxy, taken.status == 200 && taken.body == BODY, || format!("an upload: {taken:?}"))?;
    }
    for i in 1..=scenario.filters {
        expect(proxy, right.head.contains(&format!("\r\nx-filter-{i}: 1\r\n")), || format!("x-filter-{i} is missing: {right:?}"))?;
    }
    if scenario.filters > 0 {
        for key in ["", "x-bench-key: bad"] {
            let refused = plain(proxy, host, path, key)?;
            expect(proxy, refused.status == 403, || format!("`{key}` is not refused: {refused:?}"))?;
        }
    }
    for i in [0, scenario.routes.saturating_sub(1)].into_iter().filter(|_| scenario.routes > 0) {
        let found = plain(proxy, &format!("h{i}.bench.test"), &format!("/r{i}/x"), "")?;
        expect(proxy, found.status == 200 && found.body == BODY, || format!("route {i}: {found:?}"))?;
        let other = plain(proxy, &format!("h{i}.bench.test"), "/elsewhere", "")?;
        expect(proxy, other.status == 404, || format!("a path that has no route: {other:?}"))?;
    }
    if scenario.tls {
        let found = tls(proxy)?;
        expect(proxy, found.status == 200 && found.body == BODY, || format!("TLS: {found:?}"))?;
    }
    if scenario.load == Load::Http2 { http2(proxy) } else { Ok(()) }
}

fn expect(proxy: &Contender, right: bool, what: impl Fn() -> String) -> Result<(), Trouble> {
    if right { Ok(()) } else { Err(wrong(proxy, &what())) }
}

fn wrong(proxy: &Contender, what: &str) -> Trouble {
    Trouble::Proxy(format!("{} {}: {what}", proxy.name, proxy.scenario.name))
}

fn plain(proxy: &Contender, host: &str, path: &str, field: &str) -> Result<Answer, Trouble> {
    let got = get(proxy.http, host, path, field, Duration::from_secs(5));
    got.map_err(|error| wrong(proxy, &error.to_string()))
}

/// The same request by `openssl s_client`, which `timeout` ends if it hangs.
fn tls(proxy: &Contender) -> Result<Answer, Trouble> {
    let script = format!(
        "printf '%s' \"$REQUEST\" | timeout 10 openssl s_client -quiet -ign_eof -tls1_3 -alpn http/1.1 -connect 127.0.0.1:{} 2>/dev/null",
        proxy.https
    );
    let (_, path) = proxy.scenario.target();
    let output = Command::new("sh").args(["-c", &script]).env("REQUEST", request("127.0.0.1", path, KEY)).output()?;
    answer(&mut &output.stdout[..]).map_err(|error| wrong(proxy, &format!("no answer over TLS: {error}")))
}

fn http2(proxy: &Contender) -> Result<(), Trouble> {
    let url = format!("https://127.0.0.1:{}{}", proxy.https, proxy.scenario.target().1);
    let output = Command::new("timeout").args(["10", "h2load", "-n1", "-c1", "-H", KEY, &url]).output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let right = text.contains("Application protocol: h2") && text.contains(" 1 2xx,") && text.contains(&format!("({BODY}) data"));
    expect(proxy, right, || format!("HTTP/2: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let read = answer(&mut &b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"[..]).expect("an answer");
        assert_eq!(read, Answer { status: 403, head: "http/1.1 403 forbidden\r\ncontent-length: 2\r\n\r\n".into(), body: 2 });
        assert_eq!(answer(&mut &b"SSH-2.0-OpenSSH\r\n\r\n"[..]).expect("some text").status, 0);
        assert!(answer(&mut &b"HTTP/1.1 200 OK\r\n"[..]).is_err());
    }
}
