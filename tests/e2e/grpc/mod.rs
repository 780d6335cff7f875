//! gRPC through the proxy, between PyPI's grpcio on either side.

use crate::tls::curl_to;
use portcullis_tests::pki::Authority;
use portcullis_tests::{Origin, Proxy, Server, nobody, tools};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use tempfile::TempDir;

fn python() -> PathBuf {
    tools::python_with("grpc_health.v1.health", "grpcio-health-checking")
}

fn folder() -> PathBuf {
    tools::repository().join("tests/e2e/grpc")
}

/// `ca.pem`, and a certificate for localhost and 127.0.0.1.
fn papers() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let ca = Authority::new("test CA");
    ca.write(dir.path(), "ca");
    ca.issue(dir.path(), "server", &["localhost", "127.0.0.1"]);
    dir
}

/// npm's, see `server.js`. Not PyPI's, which answers calls that come while it is told to end with CANCELLED, so that nobody knows whether they
/// were looked at.
fn lasting_server_at(address: SocketAddr) -> Server {
    let modules = tools::node_modules("@grpc/grpc-js").display().to_string();
    Server::program_at(address, "node", &folder(), vec!["server.js".to_owned(), address.to_string(), modules])
}

/// See `server.py`. `tls`: where its certificate is.
fn server(tls: Option<&Path>) -> Server {
    Server::program(python().to_str().unwrap(), &folder(), |address| {
        let papers = tls.into_iter().flat_map(|dir| [dir.join("server.pem"), dir.join("server.key")]);
        let papers = papers.map(|path| path.display().to_string());
        ["server.py".to_owned(), address.to_string()].into_iter().chain(papers).collect()
    })
}

fn proxy(dir: TempDir, route: &str, upstream: &str) -> Proxy {
    let text = format!(
        "[server]\nworkers = 1\n[site.localhost]\ntls = {{ cert = \"server.pem\", key = \"server.key\" }}\n\
         routes = {{ \"/test.Echo/*\" = {{ to = \"app\"{route} }} }}\n[upstream.app]\n{upstream}\n"
    );
    Proxy::start_in(dir, &text)
}

/// See `client.py`.
struct Client {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Client {
    fn start(address: SocketAddr, ca: &Path, what: &str) -> Self {
        let mut command = Command::new(python());
        command.arg(folder().join("client.py")).arg(address.to_string()).arg(ca).arg(what);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Self { child, said }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

impl Client {
    /// Under load: waits until some hundred more calls are over.
    fn some_more(&mut self) {
        writeln!(self.child.stdin.as_mut().unwrap()).unwrap();
        assert!(self.line().parse::<u32>().is_ok(), "it has ended");
    }

    /// How many have failed, and how.
    fn end(&mut self) -> String {
        drop(self.child.stdin.take());
        self.line()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// All that a client says about calls through the proxy.
fn said(proxy: &Proxy, what: &str) -> Vec<String> {
    let client = Client::start(proxy.https(), &proxy.dir.path().join("ca.pem"), what);
    let mut client = client;
    std::iter::from_fn(|| Some(client.line()).filter(|line| !line.is_empty())).collect()
}

const ALL: [&str; 7] =
    ["got one yes", "1000004", "01234", "a+b+c", "DO RE MI", "FAILED_PRECONDITION: not today", "UNIMPLEMENTED: Method not found!"];

#[test]
fn all_four_kinds_in_the_clear_and_over_tls() {
    let clear = server(None);
    let proxy = self::proxy(papers(), "", &format!("servers = [\"grpc://{}\"]", clear.address));
    assert_eq!(said(&proxy, "all"), ALL, "{}", proxy.log());
    proxy.access_line(|line| line.contains("POST") && line.contains("/test.Echo/Bidi"));

    let dir = papers();
    let sealed = server(Some(dir.path()));
    let ca = dir.path().join("ca.pem").display().to_string();
    let proxy =
        self::proxy(dir, "", &format!("servers = [\"https://{}\"]\nprotocol = \"auto\"\ntls = {{ ca = \"{ca}\" }}", sealed.address));
    assert_eq!(said(&proxy, "all"), ALL, "{}", proxy.log());
}

/// A call of curl's, which shows fields; the message is empty.
fn call(proxy: &Proxy, path: &str, more: &[&str]) -> String {
    let message = proxy.dir.path().join("message");
    std::fs::write(&message, [0; 5]).unwrap();
    let body = format!("@{}", message.display());
    let mut arguments = vec!["--http2", "-i", "-H", "content-type: application/grpc", "-H", "te: trailers", "--data-binary", &body];
    arguments.extend(more);
    curl_to(proxy, "localhost", &proxy.dir.path().join("ca.pem"), &arguments, path).to_lowercase()
}

#[test]
fn deadlines_hold_for_all_on_the_way() {
    let server = server(None);
    let proxy = proxy(papers(), "", &format!("servers = [\"grpc://{}\"]", server.address));
    let lines = said(&proxy, "deadline");
    let left: f64 = lines[0].parse().unwrap();
    assert!((10.0..=20.0).contains(&left), "the server knows of it: {left}");
    assert!(lines[1].starts_with("DEADLINE_EXCEEDED"), "{lines:?}");
    // A server that never hears of it cannot be the one that says so.
    let unaware = self::proxy(
        papers(),
        ", headers = { request = { remove = [\"grpc-timeout\"] } }",
        &format!("servers = [\"grpc://{}\"]", server.address),
    );
    let to_it = format!(
        "servers = [\"grpcs://{}\"]\ntls = {{ ca = \"{}\", name = \"localhost\" }}",
        unaware.https(),
        unaware.dir.path().join("ca.pem").display()
    );
    let proxy = self::proxy(papers(), "", &to_it);
    // Who has no clock of its own is told.
    let answer = call(&proxy, "/test.Echo/Slow", &["-H", "grpc-timeout: 200m"]);
    for part in
        ["http/2 200", "content-type: application/grpc", "grpc-status: 4", "grpc-message: exchange_timeout", "details=\"exchange_timeout\""]
    {
        assert!(answer.contains(part), "{part}: {answer}");
    }
    let answer = call(&proxy, "/test.Echo/Drip", &["-H", "grpc-timeout: 300m"]);
    assert!(answer.contains("grpc-status: 4") && answer.contains("one"), "also after the response began: {answer}");
    proxy.access_line(|line| line.contains("Drip") && line.contains("exchange_timeout"));
}

#[test]
fn who_cancels_is_heard_by_the_server() {
    let server = server(None);
    let proxy = proxy(papers(), "", &format!("servers = [\"grpc://{}\"]", server.address));
    assert_eq!(said(&proxy, "cancel"), ["cancelled"]);
}

#[test]
fn what_the_proxy_answers_is_grpc_s_too() {
    let proxy = proxy(papers(), "", &format!("servers = [\"grpc://{}\"]", nobody()));
    assert_eq!(said(&proxy, "unary"), ["UNAVAILABLE: connect_refused"]);
    // Without a message: curl takes an answer before the end of its own body for an error.
    let arguments = ["--http2", "-i", "-H", "content-type: application/grpc", "-d", ""];
    let answer = curl_to(&proxy, "localhost", &proxy.dir.path().join("ca.pem"), &arguments, "/test.Echo/Unary").to_lowercase();
    for part in ["http/2 200", "grpc-status: 14", "grpc-message: connect_refused", "proxy-status: portcullis; error=connection_refused"] {
        assert!(answer.contains(part), "{part}: {answer}");
    }
    assert_eq!(said(&proxy, "other"), ["UNIMPLEMENTED: no_route"]);
    let plain = curl_to(&proxy, "localhost", &proxy.dir.path().join("ca.pem"), &["--http2", "-i"], "/other").to_lowercase();
    assert!(plain.starts_with("http/2 404") && !plain.contains("grpc-status"), "{plain}");
}

#[test]
fn a_server_that_goes_ends_its_streams_and_others_take_over() {
    let (mut first, mut second) = (server(None), server(None));
    let proxy = self::proxy(papers(), "", &format!("servers = [\"grpc://{}\", \"grpc://{}\"]", first.address, second.address));
    let ca = proxy.dir.path().join("ca.pem");
    let mut stream = Client::start(proxy.https(), &ca, "stream");
    assert_eq!(stream.line(), "heard");
    // Whichever it is on.
    first.kill();
    second.kill();
    let end = stream.line();
    assert!(end.starts_with("['one'] UNAVAILABLE: ") || end.starts_with("['one'] CANCELLED"), "{end}");
    assert_eq!(said(&proxy, "unary"), ["UNAVAILABLE: connect_refused"]);
}

#[test]
fn three_servers_are_restarted_in_turn_and_not_one_call_fails() {
    let mut servers = [(); 3].map(|()| lasting_server_at(nobody()));
    let names = servers.iter().map(|server| format!("\"grpc://{}\"", server.address)).collect::<Vec<_>>().join(", ");
    let proxy = self::proxy(papers(), "", &format!("servers = [{names}]"));
    let mut client = Client::start(proxy.https(), &proxy.dir.path().join("ca.pem"), "load");
    client.some_more();
    for server in &mut servers {
        server.terminate();
        client.some_more();
        *server = lasting_server_at(server.address);
        client.some_more();
    }
    assert_eq!(client.end(), "0 []", "{}", proxy.log());
}

#[test]
fn health_is_what_the_service_says() {
    let server = server(None);
    let upstream = |service: &str| {
        format!(
            "servers = [\"grpc://{}\"]\nhealth = {{ grpc = \"{service}\", every = \"100ms\", timeout = \"5s\", down = 1, up = 1 }}",
            server.address
        )
    };
    for (service, why) in [("down.Service", "it says NOT_SERVING"), ("none.Service", "it has no service `none.Service` (grpc-status 5)")] {
        let proxy = proxy(papers(), "", &upstream(service));
        proxy.logged(&format!("server {} is down: {why}", server.address));
    }
    // A server that is no gRPC server is not well, and is told apart.
    let other = Origin::echo();
    let proxy = proxy(
        papers(),
        "",
        &format!("servers = [\"{}\"]\nhealth = {{ grpc = \"\", every = \"100ms\", timeout = \"5s\", down = 1 }}", other.name()),
    );
    let line = proxy.logged("is down: ");
    assert!(!line.contains("connect") && !line.contains("in time"), "{line}");
    for service in ["", "up.Service"] {
        let proxy = self::proxy(papers(), "", &upstream(service));
        assert_eq!(said(&proxy, "unary"), ["got one"]);
        assert!(!proxy.log().contains("is down"), "{}", proxy.log());
    }
}
