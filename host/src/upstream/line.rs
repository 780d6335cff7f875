//! The connections that a request may get, one after the other: which server is next, and whether there is a next one. How one is made stands in
//! `making`.

mod making;

pub(super) use making::{Target, prepare};

use super::channel::Channel;
use super::guide::{Guide, Judged};
use super::h2::{H2Connection, Slot};
use super::server::{Patience, Place, Retry, Server, Ticket, Tried, Upstream, Wish};
use super::{Attempt, SendError, Settings};
use crate::certs::Offer;
use crate::config::{Protocol, RetrySpec};
use crate::message::{Again, Choice, Connection, Scheme};
use http::{HeaderValue, StatusCode};
use std::cell::RefCell;
use std::rc::Rc;
use tokio::time::Instant;

pub(super) struct Line<'a> {
    pub upstream: &'a Rc<Upstream>,
    pub settings: &'a Settings,
    pub client: &'a Rc<Connection>,
    pub guide: Option<&'a dyn Guide>,
    pub terms: &'a RetrySpec,
    pub trail: Option<Rc<RefCell<Attempt>>>,
    pub started: Instant,
    pub until: Option<Instant>,
    patience: Patience,
    pub wish: Wish,
    tried: Tried,
    /// Who gets the next attempt, if that is settled.
    next: Option<usize>,
    /// What made the server that is next the one.
    why: Option<&'static str>,
    /// Held while this request is on its second server, unless the first took no connection.
    retry: Option<Retry>,
    /// It need not wait until it may run.
    admitted: bool,
    /// Take none from the pool.
    pub fresh: bool,
    /// The request cannot be sent a second time, so one from the pool must be looked at closely.
    sure: bool,
    /// What will be said is not HTTP.
    raw: bool,
    /// The request switches protocols, which only HTTP/1.1 can (RFC 9113, section 8.6).
    pub switches: bool,
    /// Over HTTP/2: the connection that has just refused the request, without having looked at it.
    pub avoid: Option<Rc<H2Connection>>,
}

/// What a request goes out on.
pub(super) enum Lead {
    Http1(Box<Channel>),
    Http2(Slot),
}

/// What holds where nobody says when to try again.
pub(super) static USUAL: RetrySpec = RetrySpec::DEFAULT;

/// An attempt that is over.
pub(super) struct Outcome<'a> {
    pub brought: Result<StatusCode, &'a SendError>,
    /// The server may have seen some of the request.
    pub sent: bool,
    /// The request can be sent to another server.
    pub safe: bool,
}

impl Outcome<'_> {
    /// Whether another attempt adds nothing to what servers have to do: this one has not taken so much as a connection. When a server goes,
    /// all that would have gone to it comes at once, which no budget should keep from the others.
    fn is_free(&self) -> bool {
        matches!(self.brought, Err(SendError::Connect(_)))
    }
}

impl<'a> Line<'a> {
    pub fn new(upstream: &'a Rc<Upstream>, settings: &'a Settings, client: &'a Rc<Connection>, guide: Option<&'a dyn Guide>) -> Self {
        let started = Instant::now();
        Self {
            upstream,
            settings,
            client,
            guide,
            terms: &USUAL,
            trail: None,
            started,
            until: None,
            patience: Patience::default(),
            wish: Wish::default(),
            tried: Tried::new(),
            next: None,
            why: None,
            retry: None,
            admitted: false,
            fresh: false,
            sure: false,
            raw: false,
            switches: false,
            avoid: None,
        }
    }

    /// For a request with a deadline. `sure`: it cannot be sent a second time.
    pub fn request(self, until: Option<Instant>, sure: bool, trail: Option<Rc<RefCell<Attempt>>>) -> Self {
        Self { until, patience: Patience::within(until), sure, trail, ..self }
    }

    /// The same for a second attempt at the same request, beside this one.
    pub fn twin(&self) -> Self {
        let Self { upstream, settings, client, guide, terms, until, wish, sure, .. } = *self;
        Self { terms, wish, ..Self::new(upstream, settings, client, guide).request(until, sure, None) }
    }

    /// While the first is on this server. `None`: there is no other, or no room or budget for it.
    pub fn beside(self, server: usize) -> Option<Self> {
        let tried = Tried::from_slice(&[server]);
        if !self.upstream.has_spare(&tried) {
            return None;
        }
        let retry = Some(Retry::new(self.upstream, self.budget())?);
        Some(Self { tried, retry, admitted: true, started: Instant::now(), ..self })
    }

    /// For bytes that nobody looks at.
    pub fn raw(self) -> Self {
        Self { fresh: true, sure: true, raw: true, ..self }
    }

    /// A connection or a place on one, its place in the count of what runs, and the time.
    pub async fn lead(&mut self, attempt: &mut Attempt) -> Result<(Lead, Ticket, Instant), SendError> {
        let upstream = self.upstream;
        let mut place = None;
        // Who is tried again has its place.
        if !self.admitted && attempt.attempts == 0 {
            // Nobody waits for that.
            if self.upstream.is_all_drained() {
                return Err(self.nobody());
            }
            place = upstream.admit(&mut self.patience).await?;
        }
        loop {
            let index = self.pick()?;
            let server = upstream.servers.get(index).ok_or_else(no_servers)?;
            let lead = self.waiting(server);
            // Who has a connection, or waits for one that another request makes, takes no seat.
            let seated = if lead.is_some() || self.joins(server) { Some(None) } else { upstream.seat(server).map(Some) };
            let Some(seat) = seated else {
                drop(place.take());
                place = self.queue_for(index).await?;
                continue;
            };
            let ticket = Ticket::new(upstream, server, index);
            drop(place.take());
            let before = lead.is_none().then(|| attempt.clone());
            attempt.attempts += 1;
            attempt.server = Some(server.label.clone());
            attempt.chosen = self.why;
            attempt.passed_over = upstream.passed_over(index, &self.tried, self.started);
            (attempt.reused, attempt.spoken) = (false, None);
            if let Some(trail) = &self.trail {
                trail.borrow_mut().clone_from(attempt);
            }
            if let Some(lead) = lead {
                attempt.spoken = self.spoken(server, &lead);
                attempt.reused = match &lead {
                    Lead::Http1(_) => true,
                    Lead::Http2(slot) => slot.reused,
                };
                return Ok((lead, ticket, self.started));
            }
            // Boxed: it is rare, and would make the future of every request twice as large.
            match Box::pin(self.connect(server, seat, attempt)).await {
                Ok((lead, now)) => {
                    // Made by another request that wanted it too.
                    attempt.reused = matches!(&lead, Lead::Http2(slot) if slot.reused);
                    attempt.spoken = self.spoken(server, &lead);
                    return Ok((lead, ticket, now));
                }
                // The connection that it waited for has come to nothing, and others have all there may be.
                Err(SendError::Busy) => {
                    drop(ticket);
                    *attempt = before.unwrap_or_default();
                    place = self.queue_for(index).await?;
                }
                Err(error) => {
                    drop(ticket);
                    let outcome = Outcome { brought: Err(&error), sent: false, safe: error.is_connect() };
                    if !self.after(&outcome, index, attempt)? {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Until this server, which has as many connections as it may, may have one to give.
    async fn queue_for(&mut self, index: usize) -> Result<Option<Place<'a>>, SendError> {
        let upstream = self.upstream;
        let server = upstream.servers.get(index).ok_or_else(no_servers)?;
        let alone = self.raw || (self.switches && server.protocol == Protocol::Auto);
        // What refused a stream may take it now.
        (self.avoid, self.next) = (None, Some(index));
        Box::pin(upstream.wait_for_seat(server, alone, &mut self.patience)).await
    }

    /// Whether a connection is in the making that the request can go out on.
    fn joins(&self, server: &Server) -> bool {
        matches!(self.offer(server), Offer::Http2 | Offer::Either) && server.connections.is_dialing(self.owner(server))
    }

    /// By its name in ALPN (RFC 7301, and RFC 7540 for `h2c`).
    fn spoken(&self, server: &Server, lead: &Lead) -> Option<&'static str> {
        match lead {
            _ if self.raw => None,
            Lead::Http1(_) => Some("http/1.1"),
            Lead::Http2(_) => Some(if server.tls.is_some() { "h2" } else { "h2c" }),
        }
    }

    /// Who is next: whoever was settled on, else whom the guide chooses, else as the upstream is balanced.
    fn pick(&mut self) -> Result<usize, SendError> {
        if let Some(index) = self.next.take() {
            return Ok(index);
        }
        if let Some(guide) = self.guide.filter(|guide| guide.chooses()) {
            let eligible = self.upstream.eligible(&self.tried, self.started);
            if eligible.len() > 1 {
                let failed = u32::try_from(self.tried.len()).unwrap_or(u32::MAX);
                let choice = Choice { upstream: &self.upstream.name, failed, candidates: &self.upstream.candidates(&eligible) };
                if let Some(chosen) = guide.choose(&choice)?.and_then(|place| eligible.get(place)) {
                    self.why = Some("plugin");
                    return Ok(*chosen);
                }
            }
        }
        let index = self.upstream.pick(&self.tried, self.wish, self.started).ok_or_else(|| self.nobody())?;
        self.why = self.upstream.why(index, self.wish);
        Ok(index)
    }

    /// Why there is no server.
    fn nobody(&self) -> SendError {
        if self.upstream.servers.is_empty() { no_servers() } else { SendError::Drained }
    }

    /// One of the server's idle connections; only the client's own if they belong to clients.
    fn pooled(&self, server: &Server) -> Option<Box<Channel>> {
        match server.proxy_protocol {
            None => server.pool.take(self.started, self.sure),
            Some(_) => server.pool.take_of(self.client, self.started, self.sure),
        }
    }

    /// What the request can go out on at once.
    fn waiting(&self, server: &Server) -> Option<Lead> {
        if server.protocol != Protocol::Http1
            && !self.raw
            && !(self.switches && server.protocol == Protocol::Auto)
            && let Some(slot) = server.connections.take(self.owner(server), self.avoid.as_ref(), self.sure, self.started)
        {
            return Some(Lead::Http2(slot));
        }
        if self.fresh { None } else { self.pooled(server).map(Lead::Http1) }
    }

    /// The client, if connections belong to clients.
    fn owner(&self, server: &Server) -> Option<&Rc<Connection>> {
        server.proxy_protocol.map(|_| self.client)
    }

    /// What is offered to a server that is spoken to over TLS, or what it is known to speak.
    fn offer(&self, server: &Server) -> Offer {
        match server.protocol {
            _ if self.raw => Offer::Nothing,
            Protocol::Http1 => Offer::Http1,
            Protocol::Http2 => Offer::Http2,
            Protocol::Auto if self.switches => Offer::Http1,
            Protocol::Auto => Offer::Either,
        }
    }

    /// What the client is to be told so that it stays with the server that answered.
    pub fn keeps(&self, server: usize, scheme: Scheme, now: Instant) -> Option<HeaderValue> {
        self.upstream.keeps(self.wish, server, &self.tried, (scheme, now))
    }

    /// Whether anybody is to be asked about a response of this status.
    pub fn doubts(&self, status: StatusCode) -> bool {
        self.is_failure(status) || self.guide.is_some_and(|guide| guide.judges(Some(status)))
    }

    fn is_failure(&self, status: StatusCode) -> bool {
        self.terms.statuses.contains(&status.as_u16())
    }

    /// Whether another attempt is to follow one on server `index`: if somebody wants it, if it is safe, and within the number of attempts
    /// and the budget.
    pub fn after(&mut self, outcome: &Outcome<'_>, index: usize, attempt: &Attempt) -> Result<bool, SendError> {
        if outcome.brought.is_err_and(|error| !error.is_origins()) {
            return Ok(false);
        }
        self.tried.push(index);
        if outcome.brought.is_err() {
            self.upstream.failed(index, Instant::now());
        }
        let free = outcome.is_free();
        let left = if outcome.safe { self.left(free) } else { 0 };
        let usual = self.is_usual(outcome);
        let wanted = match self.guide.filter(|guide| guide.judges(outcome.brought.ok())) {
            Some(guide) => self.judged(guide, outcome, left, attempt)?,
            None => Again::AsConfigured,
        };
        let again = match wanted {
            Again::AsConfigured => usual,
            Again::Stop => false,
            Again::Anywhere => true,
            Again::On(index) => {
                (self.next, self.why) = (Some(index), Some("plugin"));
                true
            }
        };
        if !again || left == 0 {
            return Ok(false);
        }
        if self.retry.is_none() && !free {
            self.retry = Retry::new(self.upstream, self.budget());
        }
        Ok(free || self.retry.is_some())
    }

    /// What is tried again unless somebody says otherwise.
    fn is_usual(&self, outcome: &Outcome<'_>) -> bool {
        match outcome.brought {
            Ok(status) => self.is_failure(status),
            Err(error) if error.is_connect() => self.terms.connect,
            Err(SendError::Refused) => self.terms.connect,
            Err(SendError::Reset(_)) => self.terms.reset,
            Err(SendError::ResponseTimeout) => self.terms.timeout,
            Err(_) => false,
        }
    }

    /// What the guide wants, with the server's index in the place of the candidate's.
    fn judged(&self, guide: &dyn Guide, outcome: &Outcome<'_>, left: u32, attempt: &Attempt) -> Result<Again, SendError> {
        let eligible = if left > 0 { self.upstream.eligible(&self.tried, self.started) } else { Default::default() };
        let wanted = guide.judge(&Judged {
            server: attempt.server.as_deref().unwrap_or_default(),
            attempt: attempt.attempts,
            brought: outcome.brought,
            sent: outcome.sent,
            left,
            candidates: &self.upstream.candidates(&eligible),
        })?;
        Ok(match wanted {
            Again::On(place) => eligible.get(place).map_or(Again::Stop, |index| Again::On(*index)),
            other => other,
        })
    }

    fn budget(&self) -> u32 {
        self.terms.budget.unwrap_or(self.settings.retry_budget)
    }

    /// How many attempts may follow.
    fn left(&self, free: bool) -> u32 {
        let retried = u32::try_from(self.tried.len()).unwrap_or(u32::MAX).saturating_sub(1);
        let left = self.terms.tries.map_or(self.settings.retries, |tries| tries.saturating_sub(1)).saturating_sub(retried);
        let affordable = free || self.retry.is_some() || Retry::is_affordable(self.upstream, self.budget());
        if affordable && self.upstream.has_other(&self.tried) { left } else { 0 }
    }
}

/// All are found by name, and none was found yet.
const fn no_servers() -> SendError {
    SendError::NoServers
}
