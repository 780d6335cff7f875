//! An origin that is told byte by byte what to say, bodies from scripts, and upstreams with a default for everything.

use crate::certs::Outbound;
use crate::config::{Balance, Limits, Location, ServerAddress, UpstreamName, UpstreamServer, UpstreamSpec};
use crate::message::{BodyError, Connection, RequestHead, Scheme};
use crate::upstream::{Answered, Attempt, Body, Content, Failed, Outgoing, SendError, Times, Upstreams};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Long enough for a slow machine; tests that wait for it fail.
pub const NEVER: Duration = Duration::from_secs(20);
pub const SOON: Duration = Duration::from_millis(40);
pub const PLAIN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

pub struct Origin(TcpListener);

/// One connection as the origin has it.
pub struct Peer {
    pub io: TcpStream,
    pub got: BytesMut,
}

impl Origin {
    pub async fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.expect("a port"))
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("bound")
    }

    pub async fn accept(&self) -> Peer {
        Peer { io: self.0.accept().await.expect("a connection").0, got: BytesMut::new() }
    }

    /// Accepts a connection, answers one request on it, and closes it.
    pub async fn answer(&self, text: &str) {
        self.accept().await.answer(text).await;
    }

    /// As `answer`, but leaves closing to the proxy.
    pub async fn answer_and_wait(&self, text: &str) {
        let mut peer = self.accept().await;
        peer.answer(text).await;
        peer.closed().await;
    }
}

impl Peer {
    /// Reads up to and with `end`.
    pub async fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = memchr::memmem::find(&self.got, end.as_bytes()) {
                return String::from_utf8(self.got.split_to(at + end.len()).to_vec()).expect("text");
            }
            assert_ne!(self.io.read_buf(&mut self.got).await.expect("readable"), 0, "closed after {:?}", self.got);
        }
    }

    /// Reads a request's head and says this to it; what was asked.
    pub async fn answer(&mut self, text: &str) -> String {
        let asked = self.head().await;
        self.say(text).await;
        asked
    }

    pub async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    pub async fn say(&mut self, text: &str) {
        self.io.write_all(text.as_bytes()).await.expect("writable");
    }

    /// Waits for another request, or until the proxy has closed the connection.
    pub async fn has_another(&mut self) -> bool {
        while memchr::memmem::find(&self.got, b"\r\n\r\n").is_none() {
            if !self.io.read_buf(&mut self.got).await.is_ok_and(|count| count > 0) {
                return false;
            }
        }
        true
    }

    /// Waits until the proxy has closed the connection.
    pub async fn closed(&mut self) {
        while self.io.read_buf(&mut self.got).await.is_ok_and(|count| count > 0) {}
    }
}

/// A body from a script: pieces, `None` for "not yet" (wakes itself), and its error at the end.
pub struct Script {
    pub frames: VecDeque<Option<Result<Frame<Bytes>, BodyError>>>,
    pub length: Option<u64>,
}

impl http_body::Body for Script {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.frames.pop_front() {
            Some(Some(frame)) => Poll::Ready(Some(frame)),
            Some(None) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            None => Poll::Ready(None),
        }
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.length.map_or_else(http_body::SizeHint::new, http_body::SizeHint::with_exact)
    }
}

pub fn script(pieces: &[&'static str], length: Option<u64>) -> Script {
    let frames = pieces.iter().flat_map(|piece| [None, Some(Ok(Frame::data(Bytes::from_static(piece.as_bytes()))))]).collect();
    Script { frames, length }
}

/// The body of a request.
pub trait Payload: http_body::Body<Data = Bytes, Error = BodyError> + Unpin {}

impl<B: http_body::Body<Data = Bytes, Error = BodyError> + Unpin> Payload for B {}

pub fn none() -> impl Payload {
    Empty::new().map_err(|never| match never {})
}

pub fn full(text: &'static str) -> impl Payload {
    Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {})
}

/// A server as the configuration has it.
pub fn named(host: &str, port: u16) -> UpstreamServer {
    let at = Location { file: "test".into(), line: 1, column: 1 };
    UpstreamServer::plain(ServerAddress::Tcp { host: host.into(), port }, at)
}

pub fn upstreams_with(addresses: &[SocketAddr], change: impl FnOnce(&mut Limits, &mut UpstreamSpec)) -> Rc<Upstreams> {
    let server = |address: &SocketAddr| ServerAddress::Tcp { host: address.ip().to_string(), port: address.port() };
    let at = Location { file: "test".into(), line: 1, column: 1 };
    let mut spec = UpstreamSpec { balance: Balance::RoundRobin, ..UpstreamSpec::plain(addresses.iter().map(server).collect(), at) };
    let mut limits = Limits::default();
    change(&mut limits, &mut spec);
    Upstreams::new(&BTreeMap::from([(UpstreamName("app".into()), spec)]), &Outbound::default(), &limits)
}

/// An origin, and upstreams that know no other.
pub async fn pair() -> (Origin, Rc<Upstreams>) {
    let origin = Origin::new().await;
    let upstreams = upstreams_with(&[origin.address()], |_, _| {});
    (origin, upstreams)
}

pub fn head(method: Method) -> RequestHead {
    RequestHead { method, scheme: Scheme::Http, authority: "a.example".into(), path: "/x".into(), query: None, headers: HeaderMap::new() }
}

/// Whose requests these are, where it does not matter.
pub fn client() -> Rc<Connection> {
    Rc::new(Connection::unix())
}

pub const TIMES: Times = Times { response: NEVER, idle: NEVER, total: None };

pub async fn send_with<B: Payload>(upstreams: &Rc<Upstreams>, method: Method, body: B, times: Times) -> Result<Answered<B>, Failed> {
    upstreams
        .send(
            0,
            Outgoing {
                head: &head(method),
                body,
                upgrade: None,
                interim: crate::message::Interim::NOBODY,
                times,
                client: &client(),
                from: std::net::IpAddr::from([127, 0, 0, 1]),
                guide: None,
                trail: None,
                retry: None,
            },
        )
        .await
}

pub async fn get(upstreams: &Rc<Upstreams>) -> Result<(StatusCode, String, Attempt), SendError> {
    let answered = send_with(upstreams, Method::GET, none(), TIMES).await.map_err(|failed| failed.error)?;
    let text = text(body(answered.content)).await.expect("a whole body");
    Ok((answered.head.status, text, answered.attempt))
}

pub fn body<B>(content: Content<B>) -> Body<B> {
    match content {
        Content::Body(body) => body,
        Content::Switched(_) => panic!("switched"),
    }
}

pub async fn text<B: Payload>(body: Body<B>) -> Result<String, BodyError> {
    Ok(String::from_utf8(body.collect().await?.to_bytes().to_vec()).expect("text"))
}

/// A body of unknown length from a channel.
pub fn from_channel(mut receiver: tokio::sync::mpsc::Receiver<&'static str>) -> impl Payload {
    from_fn(move |cx| receiver.poll_recv(cx).map(|piece| piece.map(|piece| Bytes::from_static(piece.as_bytes()))))
}

/// A body of unknown length.
pub fn from_fn<F>(next: F) -> impl http_body::Body<Data = Bytes, Error = BodyError> + Unpin
where
    F: FnMut(&mut Context<'_>) -> Poll<Option<Bytes>> + Unpin,
{
    struct Next<F>(F);
    impl<F: FnMut(&mut Context<'_>) -> Poll<Option<Bytes>> + Unpin> http_body::Body for Next<F> {
        type Data = Bytes;
        type Error = BodyError;
        fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
            (self.0)(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
        }
    }
    Next(next)
}

/// An address that refuses connections.
pub async fn refusing() -> SocketAddr {
    Origin::new().await.address()
}
