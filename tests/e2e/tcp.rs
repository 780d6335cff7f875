//! TCP routing, as its users see it: real servers and clients through plain tunnels.

use portcullis_tests::{Proxy, Server, tools};
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

/// A plain tunnel to these servers, with more TOML for the listener.
pub fn tunnel(servers: &[String], more: &str) -> Proxy {
    let servers = servers.iter().map(|server| format!("\"{server}\"")).collect::<Vec<_>>().join(", ");
    Proxy::start(&format!("[tcp.\"127.0.0.1:0\"]\nto = \"db\"\n{more}\n[upstream.db]\nservers = [{servers}]\nbalance = \"round-robin\"\n"))
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

pub fn all(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// What `redis-cli` prints.
fn redis_cli(address: SocketAddr, arguments: &[&str]) -> String {
    let output = Command::new(tools::need("redis-cli", "redis-tools"))
        .args(["-h", "127.0.0.1", "-p", &address.port().to_string()])
        .args(arguments)
        .output()
        .unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn redis_through_a_plain_tunnel() {
    let redis = Server::redis(None);
    let proxy = tunnel(&[redis.name()], "");
    assert_eq!(redis_cli(proxy.tcp(), &["set", "answer", "42"]), "OK\n");
    assert_eq!(redis_cli(proxy.tcp(), &["get", "answer"]), "42\n");
    let line = proxy.access_line(|line| line.contains(" TCP "));
    let wanted = format!(" 127.0.0.1 TCP {} - upstream=db server={} total=", proxy.tcp(), redis.name());
    assert!(line.contains(&wanted) && line.contains(" connect=") && !line.ends_with("in=0 out=0"), "{line}");
}
