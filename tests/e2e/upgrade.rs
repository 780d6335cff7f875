//! Upgrades pass through (RFC 9110, section 7.8).

use crate::plain_site;
use crate::tls::certificates;
use portcullis_tests::{Origin, Proxy, Raw, tools};
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

/// Extended CONNECT (RFC 8441): a stream of HTTP/2 becomes an upgraded connection of HTTP/1.1.
#[test]
fn websockets_over_http2() {
    let origin = upgrading();
    let proxy = Proxy::start_in(
        certificates(&["localhost"]),
        &format!(
            "[server]\nworkers = 1\n[site.localhost]\ntls = {{ cert = \"localhost.pem\", key = \"localhost.key\" }}\nroutes = {{ \"/ws\" = \"app\" }}\n\
             [upstream.app]\nservers = [\"{}\"]\n",
            origin.name()
        ),
    );
    let script = r#"
import socket, ssl, sys
import h2.config, h2.connection, h2.events
context = ssl.create_default_context(cafile=sys.argv[2])
context.set_alpn_protocols(["h2"])
sock = context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1]))), server_hostname="localhost")
conn = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
conn.initiate_connection()
sock.sendall(conn.data_to_send())
heads, data, ended, settings = {}, {}, set(), {}
def more():
    received = sock.recv(65536)
    assert received, "closed"
    for event in conn.receive_data(received):
        if isinstance(event, h2.events.ResponseReceived):
            heads[event.stream_id] = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            data[event.stream_id] = data.get(event.stream_id, b"") + event.data
            conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
            ended.add(event.stream_id)
        elif isinstance(event, h2.events.RemoteSettingsChanged):
            settings.update({int(code): change.new_value for code, change in event.changed_settings.items()})
    sock.sendall(conn.data_to_send())
def ask(protocol, path):
    stream = conn.get_next_available_stream_id()
    conn.send_headers(stream, [(":method", "CONNECT"), (":protocol", protocol), (":scheme", "https"), (":path", path),
        (":authority", "localhost"), ("sec-websocket-version", "13"), ("origin", "https://localhost")])
    sock.sendall(conn.data_to_send())
    while stream not in heads and stream not in ended:
        more()
    return stream
while 8 not in settings:
    more()
print("offered", settings[8])
stream = ask("websocket", "/ws")
print(heads[stream][":status"], sorted(name for name in heads[stream] if name in ("upgrade", "connection", "sec-websocket-accept")))
def said(count):
    while len(data.get(stream, b"")) < count:
        more()
    return data[stream].decode()
print(said(6))
conn.send_data(stream, b"ping")
sock.sendall(conn.data_to_send())
print(said(10))
big = b"x" * 200000
sent = 0
while sent < len(big):
    room = min(conn.local_flow_control_window(stream), conn.max_outbound_frame_size, len(big) - sent)
    if room > 0:
        conn.send_data(stream, big[sent:sent + room])
        sent += room
        sock.sendall(conn.data_to_send())
    else:
        more()
print(len(said(10 + len(big))))
conn.end_stream(stream)
sock.sendall(conn.data_to_send())
while stream not in ended:
    more()
print("ended")
print(heads[ask("websocket", "/none")][":status"], heads[ask("chat", "/ws")][":status"])
"#;
    let ca = proxy.dir.path().join("localhost.pem");
    let mut command = Command::new(tools::python_with("h2", "h2"));
    let output = command.args(["-c", script, &proxy.https().port().to_string()]).arg(ca).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(said, "offered 1\n200 []\nhello \nhello ping\n200010\nended\n404 501\n", "{}", String::from_utf8_lossy(&output.stderr));
    let head = origin.requests()[0].to_ascii_lowercase();
    for line in ["get /ws http/1.1", "upgrade: websocket", "connection: upgrade", "sec-websocket-version: 13", "sec-websocket-key: "] {
        assert!(head.contains(line), "{line}: {head}");
    }
    proxy.access_line(|line| line.contains(" 101 ") && line.contains("HTTP/2"));
}

/// Each event goes on when it comes.
#[test]
fn events_are_not_held_back() {
    let (next, turn) = std::sync::mpsc::channel::<()>();
    let turn = std::sync::Mutex::new(turn);
    let origin = Origin::serve(move |stream, _| {
        while portcullis_tests::origin::read_head(stream).is_some() {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
            for event in ["one", "two", "end"] {
                let _ = stream.write_all(format!("d\r\ndata: {event}x\n\n\n\r\n").as_bytes());
                if turn.lock().unwrap().recv().is_err() {
                    return;
                }
            }
            let _ = stream.write_all(b"0\r\n\r\n");
        }
    });
    let proxy = plain_site(&origin);
    let mut client = Raw::connect(proxy.http());
    client.send("GET /events HTTP/1.1\r\nHost: a.test\r\n\r\n");
    client.until(b"\r\n\r\n").unwrap();
    for event in ["one", "two", "end"] {
        // The next is sent only when this one was heard.
        assert_eq!(String::from_utf8(client.exactly(18).unwrap()).unwrap(), format!("d\r\ndata: {event}x\n\n\n\r\n"));
        next.send(()).unwrap();
    }
    assert_eq!(client.exactly(5).unwrap(), b"0\r\n\r\n");
}
