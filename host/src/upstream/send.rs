//! One request: which server, which connection, and whether to try again.

use super::announce;
use super::body::{Body, Opened};
use super::channel::Channel;
use super::connect::connect;
use super::io::OriginIo;
use super::pump::{Pump, coding};
use super::server::{Retry, Server, Ticket, Tried, Upstream};
use super::switched::SwitchedIo;
use super::tls::handshake;
use super::transfer::Transfer;
use super::{Answered, Attempt, Content, FAILED, InsideFault, Outgoing, SendError, Settings};
use crate::message::{BodyError, Connection, ResponseHead, Switched};
use crate::wire::{Coding, Decoder, MalformedResponse, ReceivedResponse, put_request};
use bytes::Bytes;
use http::StatusCode;
use std::future::poll_fn;
use std::rc::Rc;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

/// Sends `outgoing`, trying again where that is safe; `attempt` says what was tried, also after an error.
pub(super) async fn send<B>(
    upstream: &Rc<Upstream>,
    settings: &Settings,
    outgoing: Outgoing<'_, B>,
    attempt: &mut Attempt,
) -> Result<Answered<B>, SendError>
where
    B: http_body::Body<Data = Bytes, Error = BodyError> + Unpin,
{
    let Outgoing { head, body, upgrade, times, client } = outgoing;
    let coding = coding(&head.method, &body);
    let sure = !head.method.is_idempotent() || !matches!(coding, Coding::None | Coding::Length(0));
    let (started, until) = (Instant::now(), times.total);
    let mut line = Line { upstream, settings, client, started, until, tried: Tried::new(), retry: None, fresh: false, sure, raw: false };
    let mut pump = Pump::new(body, coding);
    let mut unsent = None;
    loop {
        let (mut channel, ticket, now) = line.channel(attempt).await?;
        match unsent.take() {
            Some(out) => channel.out = out,
            None => put_request(channel.out.text(), head, coding, upgrade.as_ref()),
        }
        let before = channel.out.taken();
        let mut transfer = Transfer::new(channel, pump, &head.method, times, now);
        let error = match poll_fn(|cx| transfer.poll_head(cx)).await {
            Ok(received) => {
                let now = Instant::now();
                attempt.first_byte = now.saturating_duration_since(line.started);
                return answer(received, transfer, upgrade.is_some(), ticket, now).map(|(head, content)| Answered {
                    head,
                    content,
                    attempt: attempt.clone(),
                });
            }
            Err(error) => error,
        };
        // A connection from the pool may have been closed by the server while the request was on its way (RFC 9112, section 9.3.1).
        let stale = attempt.reused && matches!(error, SendError::Reset(_)) && transfer.is_unanswered();
        let nothing_sent = transfer.channel.out.taken() == before;
        if !stale || !(nothing_sent || (head.method.is_idempotent() && !transfer.pump.is_touched())) {
            return Err(error);
        }
        if nothing_sent {
            unsent = Some(std::mem::take(&mut transfer.channel.out));
        }
        pump = transfer.pump;
        line.fresh = true;
    }
}

/// The connections that a request may get, one after the other.
struct Line<'a> {
    upstream: &'a Rc<Upstream>,
    settings: &'a Settings,
    client: &'a Rc<Connection>,
    started: Instant,
    until: Option<Instant>,
    tried: Tried,
    /// Held while this request is on its second server.
    retry: Option<Retry>,
    /// Take none from the pool.
    fresh: bool,
    /// The request cannot be sent a second time, so one from the pool must be looked at closely.
    sure: bool,
    /// What will be said is not HTTP.
    raw: bool,
}

impl Line<'_> {
    /// A connection, its place in the count of what runs, and the time.
    async fn channel(&mut self, attempt: &mut Attempt) -> Result<(Box<Channel>, Ticket, Instant), SendError> {
        loop {
            let none = || SendError::Connect(std::io::Error::new(std::io::ErrorKind::NotFound, "the upstream has no servers"));
            let index = self.upstream.pick(&self.tried).ok_or_else(none)?;
            let server = self.upstream.servers.get(index).ok_or_else(none)?;
            let ticket = Ticket::new(self.upstream, server);
            attempt.attempts += 1;
            attempt.server = Some(server.label.clone());
            attempt.reused = false;
            if !self.fresh
                && let Some(channel) = self.pooled(server)
            {
                attempt.reused = true;
                return Ok((channel, ticket, self.started));
            }
            // Boxed: it is rare, and would make the future of every request twice as large.
            match Box::pin(self.connect(server, attempt)).await {
                Ok((channel, now)) => return Ok((channel, ticket, now)),
                Err(error) => self.after(error, index)?,
            }
        }
    }

    /// One of the server's idle connections; only the client's own if they belong to clients.
    fn pooled(&self, server: &Server) -> Option<Box<Channel>> {
        match server.proxy_protocol {
            None => server.pool.take(self.started, self.sure),
            Some(_) => server.pool.take_of(self.client, self.started, self.sure),
        }
    }

    async fn connect(&self, server: &Server, attempt: &mut Attempt) -> Result<(Box<Channel>, Instant), SendError> {
        let from = Instant::now();
        let limit = from + if server.tls.is_some() { self.settings.connect_tls } else { self.settings.connect };
        let until = self.until.map_or(limit, |total| total.min(limit));
        let connected = prepare(server, self.client, self.raw, until).await;
        let now = Instant::now();
        attempt.connect = now.saturating_duration_since(from);
        match connected {
            Ok(io) => {
                let mut channel = Box::new(Channel::new(io, self.settings.heads, now));
                channel.owner = server.proxy_protocol.map(|_| Rc::downgrade(self.client));
                Ok((channel, now))
            }
            Err(SendError::ConnectTimeout) if until < limit => Err(SendError::Expired),
            Err(error) => Err(error),
        }
    }

    /// Allows another server to be tried, or gives the error back.
    fn after(&mut self, error: SendError, index: usize) -> Result<(), SendError> {
        self.tried.push(index);
        if !error.is_connect() || self.tried.len() > self.settings.retries as usize || !self.upstream.has_other(&self.tried) {
            return Err(error);
        }
        if self.retry.is_none() {
            self.retry = Retry::new(self.upstream, self.settings.retry_budget);
        }
        if self.retry.is_some() { Ok(()) } else { Err(error) }
    }
}

/// A connection to the server: said for whom if it wants to know, and with TLS on it if it wants that.
async fn prepare(server: &Server, client: &Connection, raw: bool, until: Instant) -> Result<OriginIo, SendError> {
    let mut socket = connect(&server.address, server.inside.get().map(|inside| &**inside), until).await?;
    if let Some(version) = server.proxy_protocol {
        let header = announce::header(version, client);
        // So little always fits a new socket's buffer; it leaves by itself.
        socket.write_all(&header).await.map_err(SendError::Connect)?;
    }
    match &server.tls {
        None => Ok(OriginIo::Plain(socket)),
        // Boxed: a handshake is large, and plain connections, of which thousands may be made at once, should not have room for one.
        Some(tls) => Box::pin(handshake(socket, tls, raw, until)).await.map(OriginIo::Tls),
    }
}

/// A connection of its own to a server, trying another where one cannot be reached; `attempt` says what was tried, also after an error.
pub(super) async fn open(
    upstream: &Rc<Upstream>,
    settings: &Settings,
    client: &Rc<Connection>,
    attempt: &mut Attempt,
) -> Result<(OriginIo, Ticket), SendError> {
    let started = Instant::now();
    let mut line =
        Line { upstream, settings, client, started, until: None, tried: Tried::new(), retry: None, fresh: true, sure: true, raw: true };
    let (channel, ticket, _) = line.channel(attempt).await?;
    Ok((channel.io, ticket))
}

/// Makes of a connection whose response head is read what the caller gets.
fn answer<B>(
    received: ReceivedResponse,
    transfer: Transfer<'_, B>,
    asked_to_switch: bool,
    ticket: Ticket,
    now: Instant,
) -> Result<(ResponseHead, Content<B>), SendError>
where
    B: http_body::Body<Data = Bytes, Error = BodyError> + Unpin,
{
    if ticket.server.inside.get().is_some()
        && let Some(fault) = received.headers.get(FAILED)
    {
        return Err(SendError::Inside(InsideFault::read(fault.as_bytes())));
    }
    let whole = transfer.sent && transfer.broken.is_none();
    let (times, pump, channel) = (transfer.times(), transfer.pump, transfer.channel);
    let head = ResponseHead { status: received.status, headers: received.headers };
    if received.status == StatusCode::SWITCHING_PROTOCOLS {
        if !asked_to_switch || !whole {
            return Err(MalformedResponse::UnexpectedSwitch.into());
        }
        let Channel { io, read, .. } = *channel;
        let io = Box::new(SwitchedIo::new(io, ticket));
        return Ok((head, Content::Switched(Switched { io, early: read.freeze() })));
    }
    let opened = Opened {
        decoder: Decoder::new(received.framing, &channel.limits),
        channel,
        pump: (!transfer.sent).then_some(pump),
        keep_alive: received.keep_alive && (whole || !transfer.sent),
        times,
        ticket,
    };
    let body = Body::open(opened, now).map_err(|bad| MalformedResponse::Body(bad.reason()))?;
    Ok((head, Content::Body(body)))
}
