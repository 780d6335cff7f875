//! A server in a local runtime, a handler that does what the path says, and a client that speaks bytes.

use crate::config::Limits;
use crate::listen::{Accepting, Body, Entrance, Gate, Kind, Listening, Reception, Stopper, accept, bind, stopping};
use crate::message::{Alpn, Answer, BodyError, Connection, Malformed, Received, Switched};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full};
use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Future, pending};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;

/// Long enough for the slowest machine; only failing tests wait for it.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a test on a worker's runtime.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default()).expect("a runtime");
    runtime.block_on(async { timeout(PATIENCE, test).await.expect("the test ends in time") });
}

pub struct Server {
    pub addr: SocketAddr,
    pub gate: Arc<Gate>,
    pub stopper: Stopper,
    pub serving: JoinHandle<std::io::Result<()>>,
    pub log: Log,
}

/// What the handler noticed.
#[derive(Clone, Default)]
pub struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    pub fn note(&self, line: impl Into<String>) {
        self.0.borrow_mut().push(line.into());
    }

    pub fn lines(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    /// Until the handler has noticed this.
    pub async fn wait_for(&self, line: &str) {
        self.wait_for_times(line, 1).await;
    }

    /// Until it has noticed this so often.
    pub async fn wait_for_times(&self, line: &str, times: usize) {
        while self.0.borrow().iter().filter(|noted| *noted == line).count() < times {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Server {
    pub fn plain(limits: Limits) -> Self {
        Self::start(Kind::Plain, limits)
    }

    pub fn start(kind: Kind, limits: Limits) -> Self {
        let listener = bind(([127, 0, 0, 1], 0).into(), true).expect("bound");
        let addr = listener.local_addr().expect("bound");
        let (stopper, shutdown) = stopping();
        let (gate, log) = (Gate::new(&limits), Log::default());
        let noted = log.clone();
        let handler = move |connection, request| handle(connection, request, noted.clone());
        let entrance = Entrance { kind, door: None, proxy_protocol: Arc::default(), limits: Arc::new(limits), tally: None };
        let (reception, at) = (Reception::new(entrance, handler), gate.clone());
        let serving = spawn_local(async move {
            accept(Accepting::new(Listening::Tcp(listener))?, &reception, &at, shutdown).await;
            reception.leave(false).await;
            Ok(())
        });
        Self { addr, gate, stopper, serving, log }
    }

    pub async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.addr).await.expect("connected"))
    }

    /// Sends `request`, and returns what comes until the server closes.
    pub async fn whole(&self, request: &str) -> String {
        let mut client = self.connect().await;
        client.send(request).await;
        client.rest().await
    }
}

pub struct Client(pub TcpStream);

impl Client {
    pub async fn send(&mut self, text: impl AsRef<[u8]>) {
        self.0.write_all(text.as_ref()).await.expect("written");
    }

    /// Reads until what came ends with `end`.
    pub async fn until(&mut self, end: &str) -> String {
        let mut text = Vec::new();
        while !text.ends_with(end.as_bytes()) {
            let byte = self.0.read_u8().await.unwrap_or_else(|error| panic!("{error} after {:?}", String::from_utf8_lossy(&text)));
            text.push(byte);
        }
        undated(&text)
    }

    /// Reads until the server closes.
    pub async fn rest(&mut self) -> String {
        let mut text = Vec::new();
        self.0.read_to_end(&mut text).await.expect("closed, not reset");
        undated(&text)
    }
}

/// Without the `date` fields, which change.
fn undated(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let lines = text.split_inclusive("\r\n").filter(|line| !line.starts_with("date: "));
    lines.collect()
}

pub type TestBody = Pin<Box<dyn http_body::Body<Data = Bytes, Error = BodyError>>>;

fn full(text: impl Into<Bytes>) -> TestBody {
    Box::pin(Full::new(text.into()).map_err(|error: Infallible| match error {}))
}

/// A body of these frames, of unknown length.
fn stream(frames: Vec<Result<Frame<Bytes>, BodyError>>) -> TestBody {
    Box::pin(Frames(frames.into_iter()))
}

fn data(text: &'static str) -> Result<Frame<Bytes>, BodyError> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

struct Frames(std::vec::IntoIter<Result<Frame<Bytes>, BodyError>>);

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(self.0.next())
    }
}

/// Endless, in pieces of 64 KiB; counts them.
struct Flood(Log);

impl http_body::Body for Flood {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.note("piece");
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b'x'; 64 << 10])))))
    }
}

/// Notes that it was dropped.
struct Dropped(Log, &'static str);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.note(self.1);
    }
}

async fn handle(connection: Rc<Connection>, request: Result<Received<Body>, Malformed>, log: Log) -> Answer<TestBody> {
    let request = match request {
        Ok(request) => request,
        Err(malformed) => return answer(StatusCode::BAD_REQUEST, full(malformed.reason())),
    };
    let (path, query) = request.target.path_and_query.split_once('?').unwrap_or((&request.target.path_and_query, ""));
    match path {
        "/hello" => ok(full("hello")),
        "/about" => ok(full(about(&connection, &request))),
        "/empty" => ok(Box::pin(Empty::new().map_err(|error: Infallible| match error {}))),
        "/status" => {
            let mut response = Response::new(full("not for all"));
            *response.status_mut() = query.parse().expect("a status");
            response.headers_mut().insert("content-length", HeaderValue::from_static("7"));
            Answer::Respond(response)
        }
        // What HTTP/2 has no place for, and who passes requests on takes out.
        "/forbidden" => {
            let mut response = Response::new(full("never"));
            response.headers_mut().insert("transfer-encoding", HeaderValue::from_static("chunked"));
            Answer::Respond(response)
        }
        "/stream" => ok(stream(vec![data("one"), data("two")])),
        "/trailers" => {
            let trailers = HeaderMap::from_iter([("x-sum".parse().expect("a name"), HeaderValue::from_static("6"))]);
            ok(stream(vec![data("onetwo"), Ok(Frame::trailers(trailers))]))
        }
        "/broken" => ok(stream(vec![data("one"), Err(BodyError::OriginGone(None))])),
        "/flood" => ok(Box::pin(Flood(log))),
        "/big" => ok(full(vec![b'x'; query.parse().expect("a length")])),
        // The answer goes out while the request still comes in.
        "/echo" => ok(Box::pin(request.body)),
        "/upload" => {
            log.note("reading");
            let read = request.body.collect().await;
            log.note(read.map_or_else(|error| error.to_string(), |_| "whole".to_owned()));
            ok(full(""))
        }
        "/length" => match request.body.collect().await {
            Ok(body) => {
                let trailers = body.trailers().map(|trailers| format!(" {trailers:?}")).unwrap_or_default();
                ok(full(format!("{}{trailers}", body.to_bytes().len())))
            }
            Err(error) => {
                log.note(error.to_string());
                answer(StatusCode::BAD_REQUEST, full(error.to_string()))
            }
        },
        "/hang" => {
            let _dropped = Dropped(log.clone(), "dropped");
            log.note("hanging");
            pending().await
        }
        "/hints" => {
            let link = HeaderMap::from_iter([("link".parse().expect("a name"), HeaderValue::from_static("</a>"))]);
            request.interim.pass(StatusCode::EARLY_HINTS, &link);
            log.note("hinted");
            log.wait_for("go on").await;
            request.interim.pass(StatusCode::PROCESSING, &HeaderMap::new());
            ok(full("ready"))
        }
        "/wait" => {
            log.note("waiting");
            log.wait_for("go on").await;
            ok(full("waited"))
        }
        "/drip" => {
            log.note("dripping");
            ok(Box::pin(Drip(Dropped(log, "dropped"), Some("one"))))
        }
        "/abort" => Answer::Abort,
        "/switch" => {
            let mut response = Response::new(());
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            response.headers_mut().insert("upgrade", HeaderValue::from_static("echo"));
            Answer::Switch(response, Box::new(|switched| Box::pin(echo(switched))))
        }
        other => panic!("no such path: {other}"),
    }
}

/// One piece, then nothing for ever.
struct Drip(#[allow(dead_code, reason = "held for its drop")] Dropped, Option<&'static str>);

impl http_body::Body for Drip {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.1.take() {
            Some(piece) => Poll::Ready(Some(data(piece))),
            None => Poll::Pending,
        }
    }
}

async fn echo(mut switched: Switched) {
    switched.io.write_all(&switched.early).await.expect("written");
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = switched.io.read(&mut buffer).await {
        switched.io.write_all(&buffer[..count]).await.expect("written");
    }
}

fn ok(body: TestBody) -> Answer<TestBody> {
    answer(StatusCode::OK, body)
}

fn answer(status: StatusCode, body: TestBody) -> Answer<TestBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    Answer::Respond(response)
}

/// Everything that a handler is told.
fn about(connection: &Connection, request: &Received<Body>) -> String {
    let tls = connection.tls.as_ref().map(|tls| (tls.version.as_str(), tls.sni.as_deref(), tls.alpn == Alpn::Http2));
    let Received { method, target, version, headers, .. } = request;
    let authority = target.authority.as_deref();
    let cookies: Vec<_> = headers.get_all("cookie").iter().collect();
    format!("{method} {authority:?} {} {version:?} host={:?} cookies={cookies:?} tls={tls:?}", target.path_and_query, headers.get("host"))
}
