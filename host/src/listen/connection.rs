//! The life of one accepted connection, step by step: what is settled before anyone speaks HTTP, and which corridor it goes down.

use super::accept::{Kind, Service};
use super::handler::Handler;
use super::io::{ClientIo, Socket};
use super::peek::{Unseen, client_hello};
use super::shutdown::Entry;
use super::tunnels::{Arrived, Ends, Tcp};
use super::{h1, h2, tls};
use crate::certs::TlsSettings;
use crate::message::{ClientHello, Connection};
use std::net::SocketAddr;
use std::rc::Rc;
use tokio::net::TcpStream;

/// Serves a connection to its end.
pub(super) async fn run<H: Handler>(stream: TcpStream, peer: SocketAddr, entry: Entry, service: Rc<Service<H>>) {
    entry.register().await;
    // An error means that the client is gone already.
    let Ok(local) = stream.local_addr().and_then(|local| stream.set_nodelay(true).map(|()| local)) else { return };
    let (socket, connection) = (Socket::new(stream), Connection { peer, local, tls: None });
    // Boxed, each of them: an idle connection holds the memory of its own corridor, not that of the largest.
    match &service.kind {
        Kind::Plain => Box::pin(http(socket, connection, &service, &entry)).await,
        Kind::Tls(settings) => Box::pin(https(socket, connection, settings, &service, &entry)).await,
        Kind::Tcp(tcp) => Box::pin(self::tcp(socket, connection, tcp, &service, &entry)).await,
    }
}

async fn http<H: Handler>(socket: Socket, connection: Connection, service: &Service<H>, entry: &Entry) {
    h1::serve(Box::new(socket), Rc::new(connection), service, entry).await;
}

/// The handshake, then the protocol that ALPN chose.
async fn https<H: Handler>(socket: Socket, connection: Connection, settings: &TlsSettings, service: &Rc<Service<H>>, entry: &Entry) {
    match tls::handshake(socket, settings, connection.local, service.limits.tls_handshake).await {
        Err(error) => tracing::debug!(peer = %connection.peer, %error, "TLS handshake failed"),
        Ok((stream, facts)) => {
            let h2 = facts.h2;
            let connection = Rc::new(Connection { tls: Some(facts), ..connection });
            match h2 {
                true => h2::serve(stream, connection, service, entry).await,
                false => h1::serve(Box::new(stream) as Box<dyn ClientIo>, connection, service, entry).await,
            }
        }
    }
}

/// A look at the client hello if TLS is spoken, then to whoever takes it.
async fn tcp<H: Handler>(mut socket: Socket, connection: Connection, tcp: &Tcp, service: &Rc<Service<H>>, entry: &Entry) {
    let seen = match tcp.tls {
        Ends::Nowhere => Ok(None),
        _ => client_hello(&mut socket, service.limits.hello_read).await.map(Some),
    };
    match (seen, &tcp.tls) {
        // Not for us to judge: rustls finds the right words for what is wrong with it.
        (Err(Unseen::Bad(_)), Ends::Beyond { sites: Some(sites) }) => Box::pin(https(socket, connection, sites, service, entry)).await,
        (Err(unseen), _) => tcp.tunnels.refuse(&connection, None, unseen.reason()),
        (Ok(hello), _) => match (tcp.tunnels.route(hello.as_ref()), &tcp.tls) {
            (Some(route), ends) => {
                // Stopping gives tunnels the time of upgraded connections.
                entry.upgraded();
                if let Some(arrived) = arrive(socket, connection, hello, ends, tcp, service).await {
                    tcp.tunnels.carry(arrived, route).await;
                }
            }
            (None, Ends::Beyond { sites: Some(sites) }) => Box::pin(https(socket, connection, sites, service, entry)).await,
            (None, _) => {
                tcp.tunnels.refuse(&connection, hello.as_ref(), "no_sni_match");
                tls::unrecognized_name(socket).await;
            }
        },
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
    let Ends::Here(settings) = ends else { return Some(Arrived::plain(socket, connection, hello)) };
    match tls::handshake(socket, settings, connection.local, service.limits.tls_handshake).await {
        Ok((stream, facts)) => Some(Arrived::decrypted(stream, Connection { tls: Some(facts), ..connection }, hello)),
        Err(error) => {
            tracing::debug!(peer = %connection.peer, %error, "TLS handshake failed");
            tcp.tunnels.refuse(&connection, hello.as_ref(), "handshake_failed");
            None
        }
    }
}
