//! The way to upstreams and what comes after it: which server gets a request, whether a failed attempt is followed by another, how an exchange
//! ended, and what is done from time to time.
//!
//! ```
//! use portcullis_sdk::prelude::*;
//!
//! /// Keeps requests in their zone.
//! #[settings]
//! struct Zone {
//!     /// The tag that servers of the zone have.
//!     tag: String,
//! }
//!
//! #[plugin]
//! impl Zone {
//!     #[interest(tags, load)]
//!     fn on_balance(&self, choice: &Choice, edit: &mut UpstreamEdits) -> BalanceVerdict {
//!         let near = choice.candidates().filter(|server| server.has_tag(&self.tag)).min_by_key(|server| server.running());
//!         edit.set_attribute("log.zone", if near.is_some() { "near" } else { "far" });
//!         near.into()
//!     }
//! }
//!
//! use portcullis_sdk::test::{Harness, choice, server};
//! let zone = Harness::<Zone>::new(r#"{ "tag": "a" }"#);
//! let outcome = zone.on_balance(choice("app").server(server("10.0.0.1:80")).server(server("10.0.0.2:80").tag("a")));
//! assert_eq!((outcome.chosen(), outcome.attribute("log.zone")), (Some("10.0.0.2:80"), Some("near")));
//! ```
//!
//! On the native target, where tests run, reading a part that was not asked for panics, as for heads.

use crate::abi::{Arena, Field, List, RawCandidate};
use crate::connection::Attributes;
use crate::head::Fields;
use core::marker::PhantomData;
use core::ops::Deref;
use core::time::Duration;

/// Panics on the native target if a part was not asked for.
macro_rules! asked {
    ($seen:expr, $interest:ident, $bit:ident, $word:literal) => {
        #[cfg(not(target_family = "wasm"))]
        assert!(
            $seen.asked & crate::plan::$interest::$bit != 0,
            concat!("`", $word, "` was not asked for: add it to the interest, #[interest(", $word, ")]")
        );
    };
}

/// A server that may be chosen.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'c> {
    place: u32,
    raw: &'c RawCandidate<'c>,
    #[cfg(not(target_family = "wasm"))]
    asked: u8,
}

impl<'c> Candidate<'c> {
    /// Its place among the upstream's `servers`, from 0. The same for as long as the configuration is, so a plugin can keep
    /// what it knows of a server under it.
    #[inline]
    pub fn number(&self) -> u32 {
        self.raw.number
    }

    /// `host:port`, or `unix:/path`. Interest: `address`.
    #[inline]
    pub fn address(&self) -> &'c str {
        asked!(self, BalanceInterest, ADDRESS, "address");
        self.raw.address_text()
    }

    /// What the configuration says, 1 unless it says otherwise. Interest: `weight`.
    #[inline]
    pub fn weight(&self) -> u32 {
        asked!(self, BalanceInterest, WEIGHT, "weight");
        self.raw.weight
    }

    /// In the order written. Interest: `tags`.
    #[inline]
    pub fn tags(&self) -> impl Iterator<Item = &'c str> + use<'c> {
        asked!(self, BalanceInterest, TAGS, "tags");
        self.raw.tags.iter().map(|tag| core::str::from_utf8(tag).unwrap_or_default())
    }

    /// Whether it has this tag. Interest: `tags`.
    #[inline]
    pub fn has_tag(&self, tag: &str) -> bool {
        asked!(self, BalanceInterest, TAGS, "tags");
        self.raw.tags.iter().any(|own| own == tag.as_bytes())
    }

    /// Requests that this worker has running on it. Interest: `load`.
    #[inline]
    pub fn running(&self) -> u32 {
        asked!(self, BalanceInterest, LOAD, "load");
        self.raw.running
    }

    /// What it took lately to a response head; zero: nothing is known. Interest: `load`.
    #[inline]
    pub fn latency(&self) -> Duration {
        asked!(self, BalanceInterest, LOAD, "load");
        Duration::from_micros(self.raw.latency.into())
    }
}

/// Servers that may be chosen, in the order of the configuration.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidates<'c> {
    pub(crate) list: &'c [RawCandidate<'c>],
    #[cfg(not(target_family = "wasm"))]
    pub(crate) asked: u8,
}

impl<'c> Candidates<'c> {
    #[inline]
    fn iter(self) -> impl ExactSizeIterator<Item = Candidate<'c>> + use<'c> {
        self.list.iter().enumerate().map(move |(place, raw)| Candidate {
            place: place as u32,
            raw,
            #[cfg(not(target_family = "wasm"))]
            asked: self.asked,
        })
    }
}

/// A request in need of a server.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'c> {
    pub(crate) exchange: u64,
    pub(crate) upstream: &'c str,
    pub(crate) failed: u32,
    pub(crate) method: &'c str,
    pub(crate) path: &'c str,
    pub(crate) candidates: Candidates<'c>,
    pub(crate) fields: Fields<'c>,
    #[cfg(not(target_family = "wasm"))]
    pub(crate) asked: u8,
}

impl<'c> Choice<'c> {
    /// The servers to choose from, at least one: those that count as healthy and have not failed this request.
    #[inline]
    pub fn candidates(&self) -> impl ExactSizeIterator<Item = Candidate<'c>> + use<'c> {
        self.candidates.iter()
    }

    /// How many servers have failed this request; 0 for the first choice.
    #[inline]
    pub fn failed(&self) -> u32 {
        self.failed
    }

    /// The upstream's name. Interest: `upstream`.
    #[inline]
    pub fn upstream(&self) -> &'c str {
        asked!(self, BalanceInterest, UPSTREAM, "upstream");
        self.upstream
    }

    /// The request's method. Interest: `method`.
    #[inline]
    pub fn method(&self) -> &'c str {
        asked!(self, BalanceInterest, METHOD, "method");
        self.method
    }

    /// The request's path. Interest: `path`.
    #[inline]
    pub fn path(&self) -> &'c str {
        asked!(self, BalanceInterest, PATH, "path");
        self.path
    }

    /// The number that ties the phases of one exchange together. Interest: `exchange`.
    #[inline]
    pub fn exchange(&self) -> u64 {
        #[cfg(not(target_family = "wasm"))]
        assert!(self.fields.asked.exchange, "`exchange` was not asked for: add it to the interest, #[interest(exchange)]");
        self.exchange
    }
}

/// The request's header fields, and attributes.
impl<'c> Deref for Choice<'c> {
    type Target = Fields<'c>;

    #[inline]
    fn deref(&self) -> &Fields<'c> {
        &self.fields
    }
}

/// Who gets a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BalanceVerdict {
    /// Let the next link choose; after the last one, what the upstream's `balance` says.
    Next,
    /// The candidate at this place of the list. A candidate turns `into` it.
    Choose(u32),
}

impl From<()> for BalanceVerdict {
    fn from((): ()) -> Self {
        Self::Next
    }
}

impl From<Candidate<'_>> for BalanceVerdict {
    fn from(chosen: Candidate<'_>) -> Self {
        Self::Choose(chosen.place)
    }
}

impl From<Option<Candidate<'_>>> for BalanceVerdict {
    fn from(chosen: Option<Candidate<'_>>) -> Self {
        chosen.map_or(Self::Next, Self::from)
    }
}

/// An attempt that brought no response, or one with a status that was asked for.
#[derive(Debug, Clone, Copy)]
pub struct FailedAttempt<'c> {
    pub(crate) exchange: u64,
    pub(crate) server: &'c str,
    pub(crate) attempt: u32,
    pub(crate) reason: &'c str,
    pub(crate) status: Option<u16>,
    pub(crate) sent: bool,
    pub(crate) left: u32,
    pub(crate) attributes: Attributes<'c>,
    pub(crate) candidates: Candidates<'c>,
    #[cfg(not(target_family = "wasm"))]
    pub(crate) asked: u8,
}

impl<'c> FailedAttempt<'c> {
    /// How many attempts were made, this one included.
    #[inline]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Of the response, if there is one.
    #[inline]
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// Whether the server may have seen some of the request.
    #[inline]
    pub fn was_sent(&self) -> bool {
        self.sent
    }

    /// How many attempts may follow. With 0 there will be none, whatever the plugin says.
    #[inline]
    pub fn left(&self) -> u32 {
        self.left
    }

    /// The address of the server. Interest: `server`.
    #[inline]
    pub fn server(&self) -> &'c str {
        asked!(self, AttemptInterest, SERVER, "server");
        self.server
    }

    /// A reason token as in the access log, such as `connect_refused`, or `status`. Interest: `reason`.
    #[inline]
    pub fn reason(&self) -> &'c str {
        asked!(self, AttemptInterest, REASON, "reason");
        self.reason
    }

    /// Where the next attempt could go. Interest: `candidates`.
    #[inline]
    pub fn candidates(&self) -> impl ExactSizeIterator<Item = Candidate<'c>> + use<'c> {
        asked!(self, AttemptInterest, CANDIDATES, "candidates");
        self.candidates.iter()
    }

    /// The number that ties the phases of one exchange together. Interest: `exchange`.
    #[inline]
    pub fn exchange(&self) -> u64 {
        asked!(self, AttemptInterest, EXCHANGE, "exchange");
        self.exchange
    }
}

/// Its attributes.
impl<'c> Deref for FailedAttempt<'c> {
    type Target = Attributes<'c>;

    #[inline]
    fn deref(&self) -> &Attributes<'c> {
        &self.attributes
    }
}

/// What happens next to a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptVerdict {
    /// Let the next link say; after the last one, the proxy retries what the configuration says.
    Next,
    /// Do not try again: the failure, or the response, is the answer.
    Stop,
    /// Try again, on a server chosen as at first. Without effect if none is left.
    Again,
    /// Try again on the candidate at this place; see [`AttemptVerdict::again_on`].
    AgainOn(u32),
}

impl AttemptVerdict {
    /// Try again on this server.
    pub fn again_on(chosen: Candidate<'_>) -> Self {
        Self::AgainOn(chosen.place)
    }
}

impl From<()> for AttemptVerdict {
    fn from((): ()) -> Self {
        Self::Next
    }
}

impl From<Option<Self>> for AttemptVerdict {
    fn from(verdict: Option<Self>) -> Self {
        verdict.unwrap_or(Self::Next)
    }
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy)]
pub struct Done<'c> {
    pub(crate) exchange: u64,
    pub(crate) upstream: &'c str,
    pub(crate) server: &'c str,
    pub(crate) attempts: u32,
    pub(crate) status: Option<u16>,
    pub(crate) reason: &'c str,
    /// Microseconds.
    pub(crate) duration: u64,
    pub(crate) first_byte: u64,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) attributes: Attributes<'c>,
    #[cfg(not(target_family = "wasm"))]
    pub(crate) asked: u8,
}

impl<'c> Done<'c> {
    /// What the client was answered; `None`: nothing.
    #[inline]
    pub fn status(&self) -> Option<u16> {
        self.status
    }

    /// How many times a server was tried.
    #[inline]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The upstream that it was forwarded to. Interest: `upstream`.
    #[inline]
    pub fn upstream(&self) -> Option<&'c str> {
        asked!(self, DoneInterest, UPSTREAM, "upstream");
        Some(self.upstream).filter(|name| !name.is_empty())
    }

    /// The address of the last server tried. Interest: `server`.
    #[inline]
    pub fn server(&self) -> Option<&'c str> {
        asked!(self, DoneInterest, SERVER, "server");
        Some(self.server).filter(|address| !address.is_empty())
    }

    /// Why it did not end as it should: a reason token as in the access log, such as `client_gone`. Interest: `reason`.
    #[inline]
    pub fn reason(&self) -> Option<&'c str> {
        asked!(self, DoneInterest, REASON, "reason");
        Some(self.reason).filter(|token| !token.is_empty())
    }

    /// From the request's head to the end. Interest: `times`.
    #[inline]
    pub fn duration(&self) -> Duration {
        asked!(self, DoneInterest, TIMES, "times");
        Duration::from_micros(self.duration)
    }

    /// Until the origin's response head, if there was one. Interest: `times`.
    #[inline]
    pub fn first_byte(&self) -> Option<Duration> {
        asked!(self, DoneInterest, TIMES, "times");
        Some(self.first_byte).filter(|micros| *micros > 0).map(Duration::from_micros)
    }

    /// Bytes of the request's body that were taken. Interest: `bytes`.
    #[inline]
    pub fn received(&self) -> u64 {
        asked!(self, DoneInterest, BYTES, "bytes");
        self.received
    }

    /// Bytes of the response's body that were sent. Interest: `bytes`.
    #[inline]
    pub fn sent(&self) -> u64 {
        asked!(self, DoneInterest, BYTES, "bytes");
        self.sent
    }

    /// The number that ties the phases of one exchange together. Interest: `exchange`.
    #[inline]
    pub fn exchange(&self) -> u64 {
        asked!(self, DoneInterest, EXCHANGE, "exchange");
        self.exchange
    }
}

/// Its attributes.
impl<'c> Deref for Done<'c> {
    type Target = Attributes<'c>;

    #[inline]
    fn deref(&self) -> &Attributes<'c> {
        &self.attributes
    }
}

/// A moment.
#[derive(Debug, Clone, Copy)]
pub struct Tick<'c> {
    pub(crate) number: u64,
    pub(crate) worker: u32,
    pub(crate) workers: u32,
    /// So that all that phases see has a lifetime.
    pub(crate) call: PhantomData<&'c ()>,
}

impl Tick<'_> {
    /// Counts the ticks of this link on this worker, from 0, faults included.
    #[inline]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The number of the worker that the guest belongs to, from 0.
    #[inline]
    pub fn worker(&self) -> u32 {
        self.worker
    }

    /// How many workers there are.
    #[inline]
    pub fn workers(&self) -> u32 {
        self.workers
    }

    /// Whether this guest is to do what is to be done once for all workers.
    #[inline]
    pub fn is_first_worker(&self) -> bool {
        self.worker == 0
    }
}

/// What `on_balance` and `on_attempt` can set on an exchange.
#[derive(Debug)]
pub struct UpstreamEdits<'c> {
    arena: &'c Arena,
    pub(crate) list: List<'c, Field<'c>>,
}

impl<'c> UpstreamEdits<'c> {
    pub(crate) fn new(arena: &'c Arena) -> Self {
        Self { arena, list: List::new() }
    }

    /// Sets a named fact: the phases that follow can ask for it, and names that begin with `log.` go to the access log. Names that
    /// the proxy sets itself, such as `upstream`, cannot be set. At most 64, 64 KiB in all.
    #[inline]
    pub fn set_attribute(&mut self, name: impl AsRef<str>, value: impl AsRef<str>) {
        let field = self.arena.field(name.as_ref(), value.as_ref().as_bytes());
        self.list.push(self.arena, field);
    }
}
