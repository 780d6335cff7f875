//! One request and its attempts: what is sent, and what is made of the answer.

use super::body::{Body, Opened};
use super::channel::Channel;
use super::h2;
use super::hedge::hedged;
use super::io::OriginIo;
use super::line::{Lead, Line, Outcome, USUAL};
use super::pump::{MOST_KEPT, Pump, coding};
use super::seats::Seat;
use super::server::{Ticket, Upstream};
use super::switched::SwitchedIo;
use super::transfer::Transfer;
use super::{Answered, Attempt, Content, FAILED, InsideFault, Outgoing, SendError, Settings, Times};
use crate::message::{BodyError, Connection, Interim, RequestHead, ResponseHead, Scheme, Switched};
use crate::wire::{Coding, Decoder, MalformedResponse, ReceivedResponse, put_request};
use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::Poll;
use tokio::time::Instant;

/// How often a request is sent again over HTTP/2 because it was not looked at, before that counts as a failure. A server that goes
/// sends back what it had not begun, once; chosen with some room for two at once.
const REFUSALS: u32 = 3;

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
    let Outgoing { head, body, upgrade, interim, times, client, from, guide, trail, retry } = outgoing;
    let coding = coding(&head.method, &body);
    let idempotent = head.method.is_idempotent();
    let sure = !idempotent || !matches!(coding, Coding::None | Coding::Length(0));
    let mut line = Line::new(upstream, settings, client, guide).request(times.total, sure, trail);
    line.terms = retry.unwrap_or(&USUAL);
    line.wish = upstream.wish(Some(head), from);
    line.switches = upgrade.is_some();
    // What can be tried again is sent at once, so that the time counts from the attempt's beginning, but for connecting.
    let times = Times { response: line.terms.per_try.map_or(times.response, |one| one.min(times.response)), ..times };
    let request = Request { head, coding, upgrade, interim, times };
    let pump = Pump::new(body, coding);
    match line.terms.hedge {
        // Boxed: it is rare, and would make the future of every request larger.
        Some(after) if idempotent && request.upgrade.is_none() && can_be_kept(coding) => {
            Box::pin(hedged(line, &request, pump, after, attempt)).await
        }
        _ => attempts(&mut line, &request, pump, attempt).await,
    }
}

/// Whether there is room to keep the body, as far as its length is known.
const fn can_be_kept(coding: Coding) -> bool {
    match coding {
        Coding::None | Coding::Chunked => true,
        Coding::Length(length) => length <= MOST_KEPT as u64,
        // Of responses.
        Coding::UntilClose => false,
    }
}

/// What is sent, each time.
pub(super) struct Request<'a> {
    pub head: &'a RequestHead,
    pub coding: Coding,
    pub upgrade: Option<HeaderValue>,
    pub interim: Interim,
    pub times: Times,
}

/// One attempt after the other, until one brings an answer or the line ends.
pub(super) async fn attempts<B>(
    line: &mut Line<'_>,
    request: &Request<'_>,
    mut pump: Pump<B>,
    attempt: &mut Attempt,
) -> Result<Answered<B>, SendError>
where
    B: http_body::Body<Data = Bytes, Error = BodyError> + Unpin,
{
    let Request { head, coding, ref upgrade, ref interim, times } = *request;
    let idempotent = head.method.is_idempotent();
    let mut unsent = None;
    // Over HTTP/2: how often the request was sent back without having been looked at.
    let mut refusals = 0;
    loop {
        let (lead, ticket, now) = line.lead(attempt).await?;
        let mut channel = match lead {
            Lead::Http1(channel) => channel,
            Lead::Http2(slot) => {
                let sent = over_http2(line, (slot, ticket, now), request, pump, &mut refusals, attempt);
                match sent.await? {
                    Step::Answered(answered) => return Ok(answered),
                    Step::Again(again) => {
                        pump = again;
                        continue;
                    }
                }
            }
        };
        match unsent.take() {
            Some(out) => channel.out = out,
            None => put_request(channel.out.text(), head, coding, upgrade.as_ref()),
        }
        let before = channel.out.taken();
        let mut transfer = Transfer::new(channel, pump, (&head.method, interim), times, now);
        let error = match poll_fn(|cx| transfer.poll_head(cx)).await {
            Ok(received) => {
                let heard = Instant::now();
                attempt.first_byte = heard.saturating_duration_since(line.started);
                ticket.heard(heard.saturating_duration_since(now), heard);
                let (doubted, safe) = (line.doubts(received.status), idempotent && !transfer.pump.is_touched());
                let outcome = Outcome { brought: Ok(received.status), sent: true, safe };
                // A connection whose response is not read cannot be used again.
                if doubted && line.after(&outcome, ticket.index, attempt)? {
                    pump = transfer.pump;
                    pump.rewind(coding);
                    continue;
                }
                let asked_to_switch = upgrade.is_some();
                let cookie = line.keeps(ticket.index, head.scheme, heard);
                let (mut head, content) = answer(received, transfer, asked_to_switch, ticket, heard)?;
                cookie.map(|cookie| head.headers.append(header::SET_COOKIE, cookie));
                return Ok(Answered { head, content, attempt: attempt.clone() });
            }
            Err(error) => error,
        };
        let nothing_sent = transfer.channel.out.taken() == before;
        let safe = nothing_sent || (idempotent && !transfer.pump.is_touched());
        // A connection from the pool may have been closed by the server while the request was on its way (RFC 9112, section 9.3.1).
        let stale = attempt.reused && matches!(error, SendError::Reset(_)) && transfer.is_unanswered();
        if !(stale && safe) {
            let outcome = Outcome { brought: Err(&error), sent: !nothing_sent, safe: safe && transfer.is_unanswered() };
            if !line.after(&outcome, ticket.index, attempt)? {
                return Err(error);
            }
        }
        pump = transfer.pump;
        if !pump.rewind(coding) && nothing_sent {
            unsent = Some(std::mem::take(&mut transfer.channel.out));
        }
        line.fresh = true;
    }
}

/// What follows an attempt over HTTP/2.
#[allow(clippy::large_enum_variant, reason = "almost always the large one, which a box would cost an allocation")]
enum Step<B> {
    Answered(Answered<B>),
    /// Another attempt, with what there is of the request's body.
    Again(Pump<B>),
}

/// One attempt over HTTP/2. `refusals`: how often the request was sent back without having been looked at.
async fn over_http2<B>(
    line: &mut Line<'_>,
    (slot, ticket, now): (h2::Slot, Ticket, Instant),
    &Request { head, coding, ref interim, times, .. }: &Request<'_>,
    mut pump: Pump<B>,
    refusals: &mut u32,
    attempt: &mut Attempt,
) -> Result<Step<B>, SendError>
where
    B: http_body::Body<Data = Bytes, Error = BodyError> + Unpin,
{
    let (connection, idempotent) = (Rc::clone(&slot.connection), head.method.is_idempotent());
    let scheme = if ticket.server.tls.is_some() { Scheme::Https } else { Scheme::Http };
    let request = h2::head(head, scheme, coding).ok_or(SendError::Client(BodyError::ClientMalformed("a target that HTTP/2 lacks")))?;
    pump.keep();
    let mut stream = match h2::Stream::open(slot, request, (pump, coding), times, now) {
        Ok(stream) => stream,
        Err((pump, error)) => {
            *refusals += 1;
            let outcome = Outcome { brought: Err(&error), sent: false, safe: true };
            return if *refusals <= REFUSALS || line.after(&outcome, ticket.index, attempt)? { Ok(Step::Again(pump)) } else { Err(error) };
        }
    };
    let error = match poll_fn(|cx| stream.poll_head(&line.settings.heads, (&head.method, interim), cx)).await {
        Ok(received) => {
            let heard = Instant::now();
            attempt.first_byte = heard.saturating_duration_since(line.started);
            ticket.heard(heard.saturating_duration_since(now), heard);
            let status = received.head.status;
            let outcome = Outcome { brought: Ok(status), sent: true, safe: idempotent && !stream.is_touched() };
            if line.doubts(status) && line.after(&outcome, ticket.index, attempt)? {
                return Ok(Step::Again(stream.into_pump(coding)));
            }
            let cookie = line.keeps(ticket.index, head.scheme, heard);
            let h2::Received { mut head, length } = received;
            cookie.map(|cookie| head.headers.append(header::SET_COOKIE, cookie));
            let mut begun = Some((stream, ticket));
            let begun = poll_fn(|cx| match begun.take() {
                Some((stream, ticket)) => Poll::Ready(stream.into_body(length, ticket, cx)),
                None => Poll::Pending,
            });
            let content = Content::Body(Body::begin(begun.await));
            return Ok(Step::Answered(Answered { head, content, attempt: attempt.clone() }));
        }
        Err(error) => error,
    };
    let (untouched, refused) = (!stream.is_touched(), h2::is_unprocessed(&error));
    let pump = stream.into_pump(coding);
    if refused && untouched && *refusals < REFUSALS {
        // No failure: the server goes, or has enough on this connection.
        (*refusals, line.avoid) = (*refusals + 1, Some(connection));
        return Ok(Step::Again(pump));
    }
    let safe = untouched && (idempotent || refused);
    // A connection that was there already may have been closed while the request was on its way.
    let stale = attempt.reused && !line.fresh && matches!(error, SendError::Reset(_)) && connection.is_leaving();
    let again = (stale && safe) || line.after(&Outcome { brought: Err(&error), sent: true, safe }, ticket.index, attempt)?;
    line.fresh = true;
    if again { Ok(Step::Again(pump)) } else { Err(error) }
}

/// A connection of its own to a server, trying another where one cannot be reached; `attempt` says what was tried, also after an error.
pub(super) async fn open(
    upstream: &Rc<Upstream>,
    settings: &Settings,
    client: &Rc<Connection>,
    attempt: &mut Attempt,
) -> Result<(OriginIo, (Ticket, Option<Seat>)), SendError> {
    let mut line = Line::new(upstream, settings, client, None).raw();
    line.wish = upstream.wish(None, client.peer.ip());
    let (lead, ticket, now) = line.lead(attempt).await?;
    ticket.did_well(now);
    match lead {
        Lead::Http1(channel) => {
            let Channel { io, seat, .. } = *channel;
            Ok((io, (ticket, seat)))
        }
        Lead::Http2(_) => Err(SendError::Connect(io::Error::other("what is passed through is not HTTP/2 of ours"))),
    }
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
    let (times, mut pump, channel) = (transfer.times(), transfer.pump, transfer.channel);
    pump.forget();
    let head = ResponseHead { status: received.status, headers: received.headers };
    if received.status == StatusCode::SWITCHING_PROTOCOLS {
        if !asked_to_switch || !whole {
            return Err(MalformedResponse::UnexpectedSwitch.into());
        }
        let Channel { io, read, seat, .. } = *channel;
        let io = Box::new(SwitchedIo::new(io, ticket, seat));
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
