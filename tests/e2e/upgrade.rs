//! Upgrades pass through (RFC 9110, section 7.8).

use crate::plain_site;
use portcullis_tests::{Origin, Raw, tools};
use std::io::{Read, Write};
use std::process::Command;

fn upgrading() -> Origin {
    Origin::serve(|stream, seen| {
        let Some((head, early)) = portcullis_tests::origin::read_head(stream) else { return };
        seen.lock().unwrap().push(head);
        let _ = stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhello ");
        let _ = stream.write_all(&early);
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut chunk) {
            if stream.write_all(&chunk[..count]).is_err() {
                return;
            }
        }
    })
}

#[test]
fn an_upgraded_connection_is_a_pipe() {
    let origin = upgrading();
    let proxy = plain_site(&origin);
    let mut client = Raw::connect(proxy.http());
    client.send("GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly ");
    let head = String::from_utf8(client.until(b"\r\n\r\n").unwrap()).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101 ") && head.contains("upgrade: echo") && head.contains("connection: upgrade"), "{head}");
    assert_eq!(client.exactly(12).unwrap(), b"hello early ");
    assert_eq!(client.send("ping").exactly(4).unwrap(), b"ping");
    client.finish();
    assert!(client.closed(), "the end passes through too");
    proxy.access_line(|line| line.contains(" 101 "));
}

/// An origin that spoke HTTP/2 here would answer requests that no route and no link has seen.
#[test]
fn h2c_does_not_become_a_tunnel() {
    let origin = upgrading();
    let proxy = plain_site(&origin);
    let mut client = Raw::connect(proxy.http());
    client.send("GET /ws HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n");
    let response = client.response();
    assert_eq!((response.status, response.reason().is_some()), (502, true), "the origin switches unasked: {response:?}");
    let heard = origin.requests().concat().to_ascii_lowercase();
    assert!(!heard.contains("upgrade") && !heard.contains("http2-settings"), "{heard}");
}

#[test]
fn an_upgrade_that_is_declined_is_an_ordinary_answer() {
    let origin = Origin::echo();
    let proxy = plain_site(&origin);
    let mut client = Raw::connect(proxy.http());
    let response = client.send("GET /name HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n").response();
    assert_eq!(response.status, 200);
    assert_eq!(client.send("GET /name HTTP/1.1\r\nHost: a.test\r\n\r\n").response().text(), "origin");
}

#[test]
fn websockets_by_python() {
    let python = tools::python_with("websockets", "websockets");
    let script = r#"
import asyncio, sys, websockets
async def main():
    async def echo(ws):
        async for message in ws:
            await ws.send(message)
    async with websockets.serve(echo, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        print(port, flush=True)
        proxy = sys.stdin.readline().strip()
        async with websockets.connect(f"ws://{proxy}/chat") as ws:
            await ws.send("hello")
            assert await ws.recv() == "hello"
            await ws.send(b"x" * 300000)
            assert len(await ws.recv()) == 300000
        print("done", flush=True)
asyncio.run(main())
"#;
    let mut child = Command::new(python)
        .args(["-c", script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("python runs");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap()));
    let port = lines.next().unwrap().unwrap();
    let proxy = portcullis_tests::Proxy::start(&format!(
        "[site.\"127.0.0.1\"]\ntls = \"off\"\nroutes = {{ \"/*\" = \"app\" }}\n[upstream.app]\nservers = [\"127.0.0.1:{port}\"]\n"
    ));
    writeln!(child.stdin.take().unwrap(), "{}", proxy.http()).unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "done");
    assert!(child.wait().unwrap().success());
}
