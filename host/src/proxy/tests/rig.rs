//! What the corridor's tests stand on: filters as closures, an origin with one answer, a client that needs no socket.

use super::super::router::tests::{nowhere, route, site};
use super::*;
use crate::chain::{Cause, Decision, Fault, Filter, Verdict};
use crate::config::{AccessLog, Config, LinkOrigin, LinkSpec, PluginRef, ServerAddress, UpstreamName, UpstreamSpec};
use crate::message::{BoxError, Exchange, RequestHead, ResponseHead, Target, TlsFacts, TlsVersion, fields};
use crate::observe::access::AccessOutput;
use http_body_util::{BodyExt, Full, combinators::MapErr};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::sync::Mutex;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

pub type TestBody = MapErr<Full<Bytes>, fn(Infallible) -> BodyError>;

/// Runs a test on a worker's kind of runtime.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(20), test).await.expect("in time") });
}

type OnRequest = Box<dyn Fn(&Exchange, &RequestHead) -> Result<Decision, Fault>>;
type OnResponse = Box<dyn Fn(&Exchange, &RequestHead, &ResponseHead) -> Result<Decision, Fault>>;

/// A filter made of closures.
#[derive(Default)]
pub struct Native {
    request: Option<OnRequest>,
    response: Option<OnResponse>,
}

impl Native {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn request(mut self, decide: impl Fn(&Exchange, &RequestHead) -> Result<Decision, Fault> + 'static) -> Self {
        self.request = Some(Box::new(decide));
        self
    }

    pub fn response(mut self, decide: impl Fn(&Exchange, &RequestHead, &ResponseHead) -> Result<Decision, Fault> + 'static) -> Self {
        self.response = Some(Box::new(decide));
        self
    }
}

fn next() -> Result<Decision, Fault> {
    Ok(Decision { verdict: Verdict::Next, edits: Default::default() })
}

impl Filter for Native {
    type Held = ();
    type Hold = crate::chain::NoHold;
    type Stretch = crate::chain::NoStretch<Self>;

    fn phases(&self) -> (bool, bool) {
        (self.request.is_some(), self.response.is_some())
    }

    fn on_request(&self, exchange: &Exchange, head: &RequestHead, _: &mut Option<()>) -> Result<Decision, Fault> {
        self.request.as_ref().map_or_else(next, |decide| decide(exchange, head))
    }

    fn on_response(&self, exchange: &Exchange, request: &RequestHead, head: &ResponseHead, _: &mut Option<()>) -> Result<Decision, Fault> {
        self.response.as_ref().map_or_else(next, |decide| decide(exchange, request, head))
    }

    fn impossible(&self, why: &str) -> Fault {
        Fault { cause: Cause::BadOutput, detail: why.to_owned(), report: String::new(), open: false }
    }
}

/// Reads one request per connection and says its one answer, then closes.
pub struct Origin {
    address: std::net::SocketAddr,
    heard: std::cell::RefCell<mpsc::UnboundedReceiver<String>>,
    echo: Rc<std::cell::Cell<bool>>,
}

impl Origin {
    pub async fn start(answer: &'static str) -> Self {
        Self::with(Some(answer)).await
    }

    /// Takes requests and says nothing.
    pub async fn silent() -> Self {
        Self::with(None).await
    }

    /// Nobody listens there any more.
    pub async fn gone() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        Self { address: listener.local_addr().expect("bound"), heard: mpsc::unbounded_channel().1.into(), echo: Rc::default() }
    }

    async fn with(answer: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let (hears, heard) = mpsc::unbounded_channel();
        let echo = Rc::new(std::cell::Cell::new(false));
        let echoes = Rc::clone(&echo);
        tokio::task::spawn_local(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (hears, echoes) = (hears.clone(), Rc::clone(&echoes));
                tokio::task::spawn_local(async move {
                    drop(hears.send(read_request(&mut socket).await));
                    match answer {
                        Some(answer) => drop(socket.write_all(answer.as_bytes()).await),
                        None => std::future::pending().await,
                    }
                    if echoes.get() {
                        let (mut read, mut write) = socket.split();
                        drop(tokio::io::copy(&mut read, &mut write).await);
                    }
                });
            }
        });
        Self { address, heard: heard.into(), echo }
    }

    /// Sends back whatever comes after its answer.
    pub fn echoing(self) -> Self {
        self.echo.set(true);
        self
    }

    /// The next request, to the end of its body.
    pub async fn heard(&self) -> String {
        std::future::poll_fn(|cx| self.heard.borrow_mut().poll_recv(cx)).await.expect("a request")
    }

    pub fn was_left_alone(&self) -> bool {
        self.heard.borrow_mut().try_recv().is_err()
    }
}

/// Until the head's end, and as much body as `content-length` says.
async fn read_request(socket: &mut tokio::net::TcpStream) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().expect("a number"));
            if body.len() >= length {
                return text;
            }
        }
        match socket.read(&mut buffer).await {
            Ok(read) if read > 0 => text.push_str(std::str::from_utf8(&buffer[..read]).expect("text")),
            _ => return text,
        }
    }
}

/// A request that is yet to be sent.
pub struct Request {
    method: &'static str,
    target: &'static str,
    headers: HeaderMap,
    body: &'static str,
    tls: bool,
}

pub fn request(method: &'static str, target: &'static str) -> Request {
    Request { method, target, headers: fields(&[("host", "a.test")]), body: "", tls: false }
}

pub fn get(target: &'static str) -> Request {
    request("GET", target)
}

impl Request {
    pub fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    pub fn body(mut self, body: &'static str) -> Self {
        self.body = body;
        self
    }

    pub fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    pub fn received(self) -> Received<TestBody> {
        let never: fn(Infallible) -> BodyError = |never| match never {};
        Received {
            method: self.method.parse().expect("a method"),
            target: Target { authority: None, path_and_query: self.target.into() },
            version: http::Version::HTTP_11,
            headers: self.headers,
            body: Full::new(Bytes::from_static(self.body.as_bytes())).map_err(never),
            interim: crate::message::Interim::NOBODY,
        }
    }
}

pub fn connection(tls: bool) -> Rc<Connection> {
    let address = |text: &str| text.parse().expect("an address");
    let tls = tls.then_some(TlsFacts { version: TlsVersion::V1_3, sni: None, alpn: crate::message::Alpn::None, client: None });
    Rc::new(Connection { tls, ..Connection::new(address("192.0.2.7:5000"), address("192.0.2.1:80")) })
}

/// What a client got.
#[derive(Debug, PartialEq)]
pub struct Said {
    pub status: u16,
    pub headers: Headers,
    /// Trailers and errors stand in brackets.
    pub body: String,
}

#[derive(Debug, PartialEq)]
pub struct Headers(Vec<(String, String)>);

impl From<Vec<(&str, &str)>> for Headers {
    fn from(lines: Vec<(&str, &str)>) -> Self {
        Self(lines.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

impl Said {
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.0.iter().filter(|(found, _)| found == name).map(|(_, value)| &**value).collect()
    }

    pub async fn of(answer: Answer<ResponseBody<TestBody>>) -> Self {
        let Answer::Respond(response) = answer else { panic!("not an ordinary answer") };
        let (head, mut rest) = response.into_parts();
        let mut body = String::new();
        while let Some(frame) = rest.frame().await {
            match frame.map(http_body::Frame::into_data) {
                Ok(Ok(data)) => body.push_str(std::str::from_utf8(&data).expect("text")),
                Ok(Err(frame)) => {
                    let trailers = frame.into_trailers().expect("trailers");
                    trailers.iter().for_each(|(name, value)| body += &format!("[{name}: {}]", value.to_str().expect("text")));
                }
                Err(error) => {
                    body += &format!("[{error}]");
                    break;
                }
            }
        }
        let text = |value: &HeaderValue| value.to_str().expect("text").to_owned();
        let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        Self { status: head.status.as_u16(), headers: Headers(headers), body }
    }
}

/// A worker with one site `a.test` and one route `/*` to the upstream `app`.
pub struct Rig {
    pub proxy: Rc<Proxy<Native>>,
    config: Config,
    output: std::cell::RefCell<Option<AccessOutput>>,
    lines: Arc<Mutex<Vec<u8>>>,
}

impl Rig {
    pub fn new(origin: &Origin, links: Vec<Native>) -> Self {
        Self::build(&[("app", origin)], links, |_| {})
    }

    pub fn build(origins: &[(&str, &Origin)], links: Vec<Native>, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config(origins, links.len());
        change(&mut config);
        let lines = Arc::default();
        let output = AccessOutput::start(Lines(Arc::clone(&lines))).expect("a thread");
        let proxy = Proxy::new(
            1,
            (output.writer(), None),
            snapshot(1, &config),
            links.into_iter().map(Rc::new).collect::<Vec<_>>(),
            Upstreams::new(&config.upstreams, &crate::certs::Outbound::default(), &config.limits),
            None,
        );
        Self { proxy, config, output: Some(output).into(), lines }
    }

    /// Installs generation 2, without links.
    pub fn reload(&self, change: impl FnOnce(&mut Config)) {
        let mut config = self.config.clone();
        config.sites[0].routes[0].chain.clear();
        change(&mut config);
        self.proxy.install(
            snapshot(2, &config),
            vec![],
            Upstreams::new(&config.upstreams, &crate::certs::Outbound::default(), &config.limits),
            None,
        );
    }

    pub async fn ask(&self, request: Request) -> Said {
        Said::of(self.answer(request).await).await
    }

    pub async fn answer(&self, request: Request) -> Answer<ResponseBody<TestBody>> {
        let connection = connection(request.tls);
        Rc::clone(&self.proxy).handle(connection, Ok(request.received())).await
    }

    pub async fn answer_to(&self, received: Result<Received<TestBody>, Malformed>) -> Answer<ResponseBody<TestBody>> {
        Rc::clone(&self.proxy).handle(connection(false), received).await
    }

    /// The access lines so far; there will be no more.
    pub fn lines(&self) -> String {
        drop(self.output.take());
        String::from_utf8(self.lines.lock().expect("not poisoned").clone()).expect("UTF-8")
    }
}

struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().map_err(|_| io::Error::other(BoxError::from("poisoned")))?.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn config(origins: &[(&str, &Origin)], links: usize) -> Config {
    let mut route = route("/*");
    route.to = Some(UpstreamName("app".into()));
    route.chain = (0..links).map(link).collect();
    let upstreams: BTreeMap<_, _> = origins.iter().map(|(name, origin)| (UpstreamName((*name).into()), upstream(origin))).collect();
    let mut config = Config { sites: vec![site("a.test", vec![route])], upstreams, ..Config::default() };
    config.server.access_log = AccessLog::Text;
    config
}

fn upstream(origin: &Origin) -> UpstreamSpec {
    let server = ServerAddress::Tcp { host: origin.address.ip().to_string(), port: origin.address.port() };
    UpstreamSpec::plain(vec![server], nowhere())
}

fn link(index: usize) -> LinkSpec {
    LinkSpec {
        name: format!("link-{index}"),
        plugin: PluginRef::Bundled("headers"),
        settings: serde_json::json!({ "index": index }),
        settings_at: BTreeMap::new(),
        when: None,
        origin: LinkOrigin::Route,
        at: nowhere(),
    }
}

fn snapshot(generation: u64, config: &Config) -> Arc<Snapshot> {
    let filter = |spec: &LinkSpec| spec.settings["index"].as_u64().expect("set above") as usize;
    Arc::new(Snapshot::new(generation, config, filter))
}
