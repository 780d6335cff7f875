//! The life of one accepted connection, step by step: what is settled before anyone speaks HTTP, and which corridor it goes down.
//!
//! Most connections are idle most of the time, so what is held then is kept small: all steps up to the corridor have a memory of their own
//! that is given back at its door, and functions that take what they keep are no `async fn`s, whose arguments would have room twice.

use super::accept::{Kind, Service};
use super::door::{self, Stay};
use super::gate::Permit;
use super::handler::Handler;
use super::io::{ClientIo, Socket, UnlistedHeader};
use super::peek::{Unseen, client_hello};
use super::shutdown::Entry;
use super::tunnels::{Arrived, Ends, Route, Tcp};
use super::{h1, h2, tls};
use crate::certs::TlsSettings;
use crate::message::{Admission, Alpn, ClientHello, Connection, EndReason, HeaderWatch, Refusal, Unrouted};
use crate::wire::Stream;
use bytes::Bytes;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use tokio_rustls::server::TlsStream;

/// Serves a connection to its end.
#[expect(clippy::manual_async_fn, reason = "the arguments of an async fn have room twice, and every connection holds them")]
pub(super) fn run<H: Handler>(
    stream: Stream,
    peer: Option<SocketAddr>,
    permit: Permit,
    entry: Entry,
    service: Rc<Service<H>>,
) -> impl Future<Output = ()> {
    async move {
        entry.register().await;
        // An error means that the client is gone already.
        if let Ok(connection) = opened(&stream, peer) {
            // It may come without a PROXY header; with one, as others are believed here, it must not.
            let watch = (!service.proxy_protocol.is_empty()).then(HeaderWatch::default);
            serve(stream, (Bytes::new(), watch), connection, entry, service).await;
        }
        drop(permit);
    }
}

/// What the socket says of a connection.
pub(super) fn opened(stream: &Stream, peer: Option<SocketAddr>) -> io::Result<Connection> {
    match (stream, peer) {
        (Stream::Tcp(socket), Some(peer)) => {
            socket.set_nodelay(true)?;
            Ok(Connection::new(peer, socket.local_addr()?))
        }
        _ => Ok(Connection::unix()),
    }
}

/// As [`run`], with what was read before, and what must not be read now: `connection` says what is known.
pub(super) fn serve<H: Handler>(
    stream: Stream,
    (early, watch): (Bytes, Option<HeaderWatch>),
    connection: Connection,
    entry: Entry,
    service: Rc<Service<H>>,
) -> Pin<Box<dyn Future<Output = ()>>> {
    let addresses = (!connection.unix).then_some((connection.peer, connection.local));
    let (stay, admission) = Stay::begin(service.door.as_deref(), addresses.map(|(peer, _)| peer), addresses.map(|(_, local)| local));
    // HTTP has an answer of its own to everything that is no request.
    let watch = watch.filter(|_| !matches!(service.kind, Kind::Plain));
    let socket = Socket { early, watch, ..Socket::new(stream, stay.traffic()) };
    if let Some(traffic) = &socket.traffic {
        // Read along with a PROXY header.
        traffic.receive(socket.early.len());
    }
    let connection = Connection { attributes: stay.attributes(), ..connection };
    let way = Box::pin(find_way(socket, connection, admission, stay, service.clone()));
    Box::pin(async move {
        let (way, stay) = way.await;
        stay.end(follow(way, &service, &entry).await);
    })
}

/// What is left to do for a connection.
enum Way {
    /// Nothing.
    Over(EndReason),
    Http1(Box<dyn ClientIo>, Rc<Connection>),
    Http2(Box<TlsStream<Socket>>, Rc<Connection>),
    /// The TCP corridor.
    Tunnel(Pin<Box<dyn Future<Output = ()>>>),
}

/// Boxed where it is long: an idle connection holds the memory of its own corridor, not that of the largest.
async fn follow<H: Handler>(way: Way, service: &Rc<Service<H>>, entry: &Entry) -> EndReason {
    match way {
        Way::Over(why) => return why,
        Way::Http1(io, connection) => {
            entry.serves(&connection);
            Box::pin(h1::serve(io, connection, service, entry)).await;
        }
        Way::Http2(io, connection) => {
            entry.serves(&connection);
            Box::pin(h2::serve(io, connection, service, entry)).await;
        }
        Way::Tunnel(carried) => {
            // Stopping gives tunnels the time of upgraded connections.
            entry.upgraded();
            carried.await;
        }
    }
    EndReason::Done
}

/// All that is settled before the client's own bytes go anywhere.
async fn find_way<H: Handler>(
    socket: Socket,
    connection: Connection,
    admission: Admission,
    mut stay: Stay,
    service: Rc<Service<H>>,
) -> (Way, Stay) {
    let way = match (&service.kind, admission) {
        (kind, Admission::Refuse(refusal)) => Way::Over(refuse(socket, &connection, None, kind, refusal).await),
        (Kind::Plain, _) => Way::Http1(Box::new(socket), Rc::new(connection)),
        (Kind::Tls(settings), _) => https(socket, connection, settings, &service).await,
        // Only where TLS is nobody's concern: `Reach` says so.
        (Kind::Tcp(tcp), Admission::Forward(upstream)) if let Some(route) = tcp.tunnels.named(&upstream) => {
            tunnel(socket, connection, None, tcp, (route, &Ends::Nowhere), &service).await
        }
        (Kind::Tcp(tcp), _) => self::tcp(socket, connection, &mut stay, tcp, &service).await,
    };
    (way, stay)
}

/// Turns away a connection that a link does not want.
async fn refuse(socket: Socket, connection: &Connection, hello: Option<&ClientHello>, kind: &Kind, refusal: Refusal) -> EndReason {
    match kind {
        Kind::Tcp(tcp) if !tcp.is_for_sites() => tcp.tunnels.refuse(connection, hello, "link_refused"),
        _ => tracing::debug!(peer = %connection.peer, "refused by a link of the listener"),
    }
    door::refuse(socket.stream, refusal).await;
    EndReason::Refused
}

/// The handshake, then the protocol that ALPN chose.
async fn https<H: Handler>(socket: Socket, connection: Connection, settings: &TlsSettings, service: &Service<H>) -> Way {
    match tls::handshake(socket, settings, connection.local, service).await {
        Err(error) if UnlistedHeader::is(&error) => Way::Over(unlisted(&connection, service)),
        Err(error) => {
            tracing::debug!(peer = %connection.peer, %error, "TLS handshake failed");
            Way::Over(EndReason::Tls)
        }
        Ok((stream, facts)) => {
            let h2 = facts.alpn == Alpn::Http2;
            let connection = Rc::new(Connection { tls: Some(facts), ..connection });
            if h2 { Way::Http2(Box::new(stream), connection) } else { Way::Http1(Box::new(stream), connection) }
        }
    }
}

/// Says that a peer has sent a PROXY header which is not believed.
fn unlisted<H>(connection: &Connection, service: &Service<H>) -> EndReason {
    if let Some(unsaid) = service.log.allow() {
        tracing::warn!(peer = %connection.peer.ip(), unsaid, "closed: {UnlistedHeader}");
    }
    EndReason::Refused
}

/// A look at the client hello if TLS is spoken, then to whoever takes it.
async fn tcp<H: Handler>(mut socket: Socket, mut connection: Connection, stay: &mut Stay, tcp: &Tcp, service: &Service<H>) -> Way {
    let seen = match tcp.tls {
        Ends::Nowhere => Ok(None),
        _ => client_hello(&mut socket, service.limits.hello_read).await.map(Some),
    };
    let seen = match (seen, &tcp.tls) {
        (Ok(seen), _) => seen,
        (Err(_), _) if socket.watch.is_some_and(|mut watch| watch.sees_header(&socket.early)) => {
            if !tcp.is_for_sites() {
                tcp.tunnels.refuse(&connection, None, UnlistedHeader::REASON);
            }
            return Way::Over(unlisted(&connection, service));
        }
        // Not for us to judge: rustls finds the right words for what is wrong with it.
        (Err(Unseen::Bad(_)), Ends::Beyond { sites: Some(sites) }) => return https(socket, connection, sites, service).await,
        (Err(unseen), _) => {
            match tcp.is_for_sites() {
                true => tracing::debug!(peer = %connection.peer, reason = unseen.reason(), "no client hello"),
                false => tcp.tunnels.refuse(&connection, None, unseen.reason()),
            }
            return Way::Over(EndReason::Tls);
        }
    };
    if seen.is_some() {
        // Whatever comes now, the beginning is over.
        socket.watch = None;
    }
    let admission = seen.as_ref().map_or(Admission::Onward, |seen| stay.on_client_hello(seen));
    let hello = seen.map(|seen| seen.hello);
    connection.attributes = stay.attributes();
    if let (Admission::Onward, Ends::Here(settings), Some(hello)) = (&admission, &tcp.tls, &hello)
        && TlsSettings::is_proof_wanted(hello.alpn.iter().map(Vec::as_slice))
    {
        return prove(socket, &connection, hello, settings, tcp, service).await;
    }
    let (route, ends) = match admission {
        Admission::Refuse(refusal) => return Way::Over(refuse(socket, &connection, hello.as_ref(), &service.kind, refusal).await),
        Admission::Onward => (tcp.tunnels.route(hello.as_ref()), &tcp.tls),
        Admission::Forward(upstream) => (tcp.tunnels.named(&upstream).ok_or(Unrouted::Name), &tcp.tls),
        Admission::PassThrough(upstream) => (tcp.tunnels.named(&upstream).ok_or(Unrouted::Name), &Ends::Nowhere),
    };
    match (route, ends) {
        (Err(unrouted), Ends::Beyond { sites: Some(sites) }) if unrouted == Unrouted::Name || is_of(sites, hello.as_ref(), &connection) => {
            https(socket, connection, sites, service).await
        }
        (Err(unrouted), _) => {
            tcp.tunnels.refuse(&connection, hello.as_ref(), unrouted.reason());
            door::refuse(socket.stream, Refusal::Alert(unrouted.alert())).await;
            Way::Over(EndReason::Tls)
        }
        (Ok(route), ends) => tunnel(socket, connection, hello, tcp, (route, ends), service).await,
    }
}

/// Whether one of the sites answers to the name that is asked for.
fn is_of(sites: &TlsSettings, hello: Option<&ClientHello>, connection: &Connection) -> bool {
    sites.answers_to(hello.and_then(|hello| hello.sni.as_deref()), connection.local.ip())
}

/// Shows a CA that a name is ours; no upstream hears of it.
async fn prove<H: Handler>(
    socket: Socket,
    connection: &Connection,
    hello: &ClientHello,
    settings: &TlsSettings,
    tcp: &Tcp,
    service: &Service<H>,
) -> Way {
    if let Err(outcome) = tls::handshake(socket, settings, connection.local, service).await {
        tracing::debug!(peer = %connection.peer, "{outcome}");
    }
    tcp.tunnels.refuse(connection, Some(hello), "acme_challenge");
    Way::Over(EndReason::Done)
}

/// To the TCP corridor, with TLS taken off if it ends here.
async fn tunnel<H: Handler>(
    socket: Socket,
    connection: Connection,
    hello: Option<ClientHello>,
    tcp: &Tcp,
    (route, ends): (Route, &Ends),
    service: &Service<H>,
) -> Way {
    let Ends::Here(settings) = ends else {
        let asked = hello.as_ref().and_then(|hello| hello.sni.clone());
        return Way::Tunnel(tcp.tunnels.carry(Arrived::plain(socket, Connection { asked, ..connection }, hello), route));
    };
    match tls::handshake(socket, settings, connection.local, service).await {
        Ok((stream, facts)) => {
            let connection = Connection { tls: Some(facts), ..connection };
            Way::Tunnel(tcp.tunnels.carry(Arrived::decrypted(stream, connection, hello), route))
        }
        Err(error) => {
            tracing::debug!(peer = %connection.peer, %error, "TLS handshake failed");
            tcp.tunnels.refuse(&connection, hello.as_ref(), "handshake_failed");
            Way::Over(EndReason::Tls)
        }
    }
}
