//! The life of one accepted connection, step by step: what is settled before anyone speaks HTTP, and which corridor it goes down.

use super::accept::{Kind, Service};
use super::door::{self, Stay};
use super::handler::Handler;
use super::io::{ClientIo, Socket, UnlistedHeader};
use super::peek::{Unseen, client_hello};
use super::shutdown::Entry;
use super::tunnels::{Arrived, Ends, Route, Tcp};
use super::{h1, h2, tls};
use crate::certs::TlsSettings;
use crate::message::{Admission, ClientHello, Connection, EndReason, HeaderWatch, Refusal, Unrouted};
use crate::wire::Stream;
use bytes::Bytes;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

/// Serves a connection to its end.
pub(super) async fn run<H: Handler>(stream: Stream, peer: Option<SocketAddr>, entry: Entry, service: Rc<Service<H>>) {
    entry.register().await;
    // An error means that the client is gone already.
    let Ok(connection) = opened(&stream, peer) else { return };
    // It may come without a PROXY header; with one, as others are believed here, it must not.
    let watch = (!service.proxy_protocol.is_empty()).then(HeaderWatch::default);
    serve(stream, (Bytes::new(), watch), connection, entry, service).await;
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
pub(super) async fn serve<H: Handler>(
    stream: Stream,
    (early, watch): (Bytes, Option<HeaderWatch>),
    connection: Connection,
    entry: Entry,
    service: Rc<Service<H>>,
) {
    let addresses = (!connection.unix).then_some((connection.peer, connection.local));
    let (mut stay, admission) = Stay::begin(service.door.as_deref(), addresses.map(|(peer, _)| peer), addresses.map(|(_, local)| local));
    // HTTP has an answer of its own to everything that is no request.
    let watch = watch.filter(|_| !matches!(service.kind, Kind::Plain));
    let socket = Socket { early, watch, ..Socket::new(stream, stay.traffic()) };
    if let Some(traffic) = &socket.traffic {
        // Read along with a PROXY header.
        traffic.receive(socket.early.len());
    }
    let connection = Connection { attributes: stay.attributes(), ..connection };
    // Boxed, each of them: an idle connection holds the memory of its own corridor, not that of the largest.
    let why = match (&service.kind, admission) {
        (kind, Admission::Refuse(refusal)) => refuse(socket, &connection, None, kind, refusal).await,
        (Kind::Plain, _) => Box::pin(http(socket, connection, &service, &entry)).await,
        (Kind::Tls(settings), _) => Box::pin(https(socket, connection, settings, &service, &entry)).await,
        // Only where TLS is nobody's concern: `Reach` says so.
        (Kind::Tcp(tcp), Admission::Forward(upstream)) if let Some(route) = tcp.tunnels.named(&upstream) => {
            Box::pin(tunnel(socket, connection, None, tcp, (route, &Ends::Nowhere), &service, &entry)).await
        }
        (Kind::Tcp(tcp), _) => Box::pin(self::tcp(socket, connection, &mut stay, tcp, &service, &entry)).await,
    };
    stay.end(why);
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

async fn http<H: Handler>(socket: Socket, connection: Connection, service: &Service<H>, entry: &Entry) -> EndReason {
    h1::serve(Box::new(socket), entry.serves(connection), service, entry).await;
    EndReason::Done
}

/// The handshake, then the protocol that ALPN chose.
async fn https<H: Handler>(
    socket: Socket,
    connection: Connection,
    settings: &TlsSettings,
    service: &Rc<Service<H>>,
    entry: &Entry,
) -> EndReason {
    match tls::handshake(socket, settings, connection.local, service.limits.tls_handshake).await {
        Err(error) if UnlistedHeader::is(&error) => unlisted(&connection, service),
        Err(error) => {
            tracing::debug!(peer = %connection.peer, %error, "TLS handshake failed");
            EndReason::Tls
        }
        Ok((stream, facts)) => {
            let h2 = facts.h2;
            let connection = entry.serves(Connection { tls: Some(facts), ..connection });
            match h2 {
                true => h2::serve(stream, connection, service, entry).await,
                false => h1::serve(Box::new(stream) as Box<dyn ClientIo>, connection, service, entry).await,
            }
            EndReason::Done
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
async fn tcp<H: Handler>(
    mut socket: Socket,
    mut connection: Connection,
    stay: &mut Stay,
    tcp: &Tcp,
    service: &Rc<Service<H>>,
    entry: &Entry,
) -> EndReason {
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
            return unlisted(&connection, service);
        }
        // Not for us to judge: rustls finds the right words for what is wrong with it.
        (Err(Unseen::Bad(_)), Ends::Beyond { sites: Some(sites) }) => {
            return Box::pin(https(socket, connection, sites, service, entry)).await;
        }
        (Err(unseen), _) => {
            tcp.tunnels.refuse(&connection, None, unseen.reason());
            return EndReason::Tls;
        }
    };
    let admission = seen.as_ref().map_or(Admission::Onward, |seen| stay.on_client_hello(seen));
    let hello = seen.map(|seen| seen.hello);
    connection.attributes = stay.attributes();
    let (route, ends) = match admission {
        Admission::Refuse(refusal) => return refuse(socket, &connection, hello.as_ref(), &service.kind, refusal).await,
        Admission::Onward => (tcp.tunnels.route(hello.as_ref()), &tcp.tls),
        Admission::Forward(upstream) => (tcp.tunnels.named(&upstream).ok_or(Unrouted::Name), &tcp.tls),
        Admission::PassThrough(upstream) => (tcp.tunnels.named(&upstream).ok_or(Unrouted::Name), &Ends::Nowhere),
    };
    match (route, ends) {
        (Err(unrouted), Ends::Beyond { sites: Some(sites) }) if unrouted == Unrouted::Name || is_of(sites, hello.as_ref(), &connection) => {
            Box::pin(https(socket, connection, sites, service, entry)).await
        }
        (Err(unrouted), _) => {
            tcp.tunnels.refuse(&connection, hello.as_ref(), unrouted.reason());
            door::refuse(socket.stream, Refusal::Alert(unrouted.alert())).await;
            EndReason::Tls
        }
        (Ok(route), ends) => tunnel(socket, connection, hello, tcp, (route, ends), service, entry).await,
    }
}

/// Whether one of the sites answers to the name that is asked for.
fn is_of(sites: &TlsSettings, hello: Option<&ClientHello>, connection: &Connection) -> bool {
    sites.answers_to(hello.and_then(|hello| hello.sni.as_deref()), connection.local.ip())
}

/// Down the TCP corridor.
async fn tunnel<H: Handler>(
    socket: Socket,
    connection: Connection,
    hello: Option<ClientHello>,
    tcp: &Tcp,
    (route, ends): (Route, &Ends),
    service: &Service<H>,
    entry: &Entry,
) -> EndReason {
    // Stopping gives tunnels the time of upgraded connections.
    entry.upgraded();
    match arrive(socket, connection, hello, ends, tcp, service).await {
        Some(arrived) => {
            tcp.tunnels.carry(arrived, route).await;
            EndReason::Done
        }
        None => EndReason::Tls,
    }
}

/// Takes TLS off, if it ends here.
async fn arrive<H: Handler>(
    socket: Socket,
    connection: Connection,
    hello: Option<ClientHello>,
    ends: &Ends,
    tcp: &Tcp,
    service: &Service<H>,
) -> Option<Arrived> {
    let Ends::Here(settings) = ends else {
        let asked = hello.as_ref().and_then(|hello| hello.sni.clone());
        return Some(Arrived::plain(socket, Connection { asked, ..connection }, hello));
    };
    // Boxed: the handshake's memory is given back before the tunnel begins.
    match Box::pin(tls::handshake(socket, settings, connection.local, service.limits.tls_handshake)).await {
        Ok((stream, facts)) => Some(Arrived::decrypted(stream, Connection { tls: Some(facts), ..connection }, hello)),
        Err(error) => {
            tracing::debug!(peer = %connection.peer, %error, "TLS handshake failed");
            tcp.tunnels.refuse(&connection, hello.as_ref(), "handshake_failed");
            None
        }
    }
}
