//! Making the connection that a request goes out on, or waiting for one that another request makes.

use super::{Lead, Line};
use crate::certs::{Offer, ServerTls};
use crate::config::{ProxyVersion, ServerAddress};
use crate::message::Connection;
use crate::upstream::announce;
use crate::upstream::channel::Channel;
use crate::upstream::connect::connect;
use crate::upstream::h2::{H2Connection, Joined};
use crate::upstream::io::OriginIo;
use crate::upstream::seats::Seat;
use crate::upstream::server::Server;
use crate::upstream::tls::handshake;
use crate::upstream::{Attempt, Inside, SendError};
use std::net::IpAddr;
use std::rc::Rc;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

impl Line<'_> {
    /// `seat`: `None` where another request makes a connection.
    pub(super) async fn connect(&self, server: &Server, seat: Option<Seat>, attempt: &mut Attempt) -> Result<(Lead, Instant), SendError> {
        let from = Instant::now();
        let limit = if server.tls.is_some() { self.settings.connect_tls } else { self.settings.connect };
        let limit = from + self.terms.per_try.map_or(limit, |one| one.min(limit));
        let until = self.until.map_or(limit, |total| total.min(limit));
        let inside = server.inside.get().map(|inside| &**inside);
        let Server { address, also, tls, proxy_protocol, .. } = server;
        let target = Target { address, also: *also, inside, tls: tls.as_ref(), proxy_protocol: *proxy_protocol };
        let offer = self.offer(server);
        let connected = match offer {
            Offer::Http2 | Offer::Either => self.shared((server, seat), target, offer, until).await,
            Offer::Nothing | Offer::Http1 => {
                prepare(target, self.client, offer, until).await.map(|io| Lead::Http1(self.channel(server, (io, seat))))
            }
        };
        let now = Instant::now();
        attempt.connect = now.saturating_duration_since(from);
        match connected {
            Ok(lead) => Ok((lead, now)),
            Err(SendError::ConnectTimeout) if until < limit => Err(SendError::Expired),
            Err(error) => Err(error),
        }
    }

    fn channel(&self, server: &Server, (io, seat): (OriginIo, Option<Seat>)) -> Box<Channel> {
        let mut channel = Box::new(Channel::new(io, self.settings.heads, Instant::now()));
        channel.seat = seat;
        channel.owner = self.owner(server).map(Rc::downgrade);
        channel
    }

    /// A place on a connection that may serve others too: on one that another request makes, or on a new one.
    async fn shared(
        &self,
        (server, seat): (&Server, Option<Seat>),
        target: Target<'_>,
        offer: Offer,
        until: Instant,
    ) -> Result<Lead, SendError> {
        let (connections, owner) = (&server.connections, self.owner(server));
        let alone = loop {
            if offer == Offer::Either && connections.refuses() {
                break true;
            }
            match connections.join(owner, until).await? {
                Joined::Nobody => break false,
                Joined::Over => {}
            }
            // It may have been given up, be full already, or speak HTTP/1.1.
            if let Some(slot) = connections.take(owner, self.avoid.as_ref(), false, Instant::now()) {
                return Ok(Lead::Http2(slot));
            }
        };
        let seat = Some(seat.or_else(|| self.upstream.seat(server)).ok_or(SendError::Busy)?);
        let dial = (!alone).then(|| connections.dial(owner));
        let made = match prepare(target, self.client, offer, until).await {
            Ok(io) if offer == Offer::Either && io.alpn() != Some(b"h2") => {
                connections.chose(false);
                return Ok(Lead::Http1(self.channel(server, (io, seat))));
            }
            Ok(io) => H2Connection::begin((io, seat), owner, connections.settings(), until).await,
            Err(error) => Err(error),
        };
        match made {
            Ok(connection) => {
                connections.chose(true);
                let slot = connection.slot();
                match dial {
                    Some(dial) => dial.made(connection),
                    None => connections.add(connection),
                }
                Ok(Lead::Http2(slot))
            }
            Err(error) => {
                dial.into_iter().for_each(|dial| dial.failed(&error));
                Err(error)
            }
        }
    }
}

/// Whom to connect to, and how.
#[derive(Clone, Copy)]
pub(in crate::upstream) struct Target<'a> {
    pub address: &'a ServerAddress,
    /// Of the other family.
    pub also: Option<IpAddr>,
    /// For one that is a component.
    pub inside: Option<&'a dyn Inside>,
    /// `None`: in the clear.
    pub tls: Option<&'a ServerTls>,
    pub proxy_protocol: Option<ProxyVersion>,
}

/// A connection to the server: said for whom if it wants to know, and with TLS on it if it wants that.
pub(in crate::upstream) async fn prepare(
    server: Target<'_>,
    client: &Connection,
    offer: Offer,
    until: Instant,
) -> Result<OriginIo, SendError> {
    let mut socket = connect((server.address, server.also), server.inside, until).await?;
    if let Some(version) = server.proxy_protocol {
        let header = announce::header(version, client);
        // So little always fits a new socket's buffer; it leaves by itself.
        socket.write_all(&header).await.map_err(SendError::Connect)?;
    }
    match server.tls {
        None => Ok(OriginIo::Plain(socket)),
        // Boxed: a handshake is large, and plain connections, of which thousands may be made at once, should not have room for one.
        Some(tls) => Box::pin(handshake(socket, tls, offer, until)).await.map(OriginIo::Tls),
    }
}
