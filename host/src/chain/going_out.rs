//! The walk of an exchange beyond heads: links choose its server, judge its attempts, and are told of its end, whatever way it ends.

use super::walk::Walk;
use super::{Acted, Chain, Fault, Filter, How, Link, traced};
use crate::message::{Again, Attributes, Choice, Done, Exchange, FailedAttempt, RequestHead};
use http::StatusCode;
use smallvec::SmallVec;
use std::cell::RefCell;
use std::rc::Rc;

/// In which phases between request and response, and after both, a filter takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GoingOut {
    pub balance: bool,
    pub attempt: bool,
    pub done: bool,
}

impl GoingOut {
    pub const fn any(self) -> bool {
        self.balance || self.attempt || self.done
    }

    /// What either wants.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self { balance: self.balance || other.balance, attempt: self.attempt || other.attempt, done: self.done || other.done }
    }
}

/// What a link said, with the attributes that it sets.
#[derive(Debug, Clone)]
pub struct Said<T> {
    pub verdict: T,
    pub attributes: Attributes,
}

impl<T> Said<T> {
    pub fn only(verdict: T) -> Self {
        Self { verdict, attributes: Attributes::new() }
    }
}

/// The links of a chain that want to be told of ends, with what runs in them: whoever waits for an end holds no more than this.
pub struct Audience<F> {
    /// By place in the chain.
    links: Box<[Option<Told<F>>]>,
}

/// A link with what runs in it.
type Told<F> = (Link, Rc<F>);

impl<F: Filter> Audience<F> {
    pub fn of(chain: &Chain, filters: &[Rc<F>]) -> Self {
        let one =
            |link: &Link| filters.get(link.filter).filter(|filter| filter.going_out().done).map(|filter| (link.clone(), Rc::clone(filter)));
        Self { links: chain.links.iter().map(one).collect() }
    }
}

/// Links that are to be told of the exchange's end, with what their filters hold. Outlives the walk.
pub struct Attendance<H> {
    links: RefCell<Links<H>>,
}

type Links<H> = SmallVec<[(usize, Option<H>); 4]>;

impl<H> Default for Attendance<H> {
    fn default() -> Self {
        Self { links: RefCell::default() }
    }
}

impl<H> Attendance<H> {
    pub(super) fn enter(&self, link: usize) {
        self.links.borrow_mut().push((link, None));
    }

    /// It faulted, so it is not told.
    pub(super) fn leave(&self, link: usize) {
        self.links.borrow_mut().retain(|(known, _)| *known != link);
    }

    /// The walk is done with the link; what it holds is kept if it is to be told.
    pub(super) fn keep(&self, link: usize, held: Option<H>) {
        if let Some((_, place)) = self.links.borrow_mut().iter_mut().find(|(known, _)| *known == link) {
            *place = held;
        }
    }

    /// The exchange is over. Inner links first; each is told once, however often this is called.
    pub fn tell<F: Filter<Held = H>>(
        &self,
        audience: &Audience<F>,
        exchange: &Exchange,
        request: &RequestHead,
        done: &Done<'_>,
        mut fault: impl FnMut(&Link, &Fault),
    ) {
        loop {
            // Not held over the call.
            let Some((index, mut held)) = self.links.borrow_mut().pop() else { return };
            let Some(Some((link, filter))) = audience.links.get(index) else { continue };
            if let Err(found) = filter.on_done(exchange, request, done, &mut held) {
                fault(link, &found);
            }
        }
    }
}

/// On the way to an upstream.
impl<F: Filter> Walk<'_, F> {
    /// From here on links are noted that want to be told of the exchange's end.
    pub fn attend(&mut self) -> Rc<Attendance<F::Held>> {
        Rc::clone(self.attendance.get_or_insert_default())
    }

    /// Whether anybody on the way wants to hear of an attempt with this outcome; `None`: no response.
    pub fn judges(&self, status: Option<StatusCode>) -> bool {
        self.passed.iter().any(|passed| {
            let filter = &self.filters[self.chain.links[passed.link].filter];
            filter.going_out().attempt && status.is_none_or(|status| filter.judges(status))
        })
    }

    /// The place of the candidate that the first link which chooses has chosen. `Err`: a link faulted and its policy is `closed`.
    pub fn on_balance(
        &mut self,
        exchange: &mut Exchange,
        request: &RequestHead,
        choice: &Choice<'_>,
        fault: impl FnMut(&Link, &Fault),
    ) -> Result<Option<usize>, Fault> {
        let wants = |filter: &F| filter.going_out().balance;
        self.ask(exchange, (How::Chose, "on-balance"), wants, fault, |filter, exchange, held| {
            let said = filter.on_balance(exchange, request, choice, held)?;
            match said.verdict {
                Some(place) if place >= choice.candidates.len() => Err(filter.impossible(&no_candidate(place, choice.candidates.len()))),
                _ => Ok(said),
            }
        })
    }

    /// What the first link that has an opinion wants to follow. `Err` as above.
    pub fn on_attempt(
        &mut self,
        exchange: &mut Exchange,
        request: &RequestHead,
        failed: &FailedAttempt<'_>,
        fault: impl FnMut(&Link, &Fault),
    ) -> Result<Again, Fault> {
        let wants = |filter: &F| filter.going_out().attempt && failed.status.is_none_or(|status| filter.judges(status));
        let said = self.ask(exchange, (How::Judged, "on-attempt"), wants, fault, |filter, exchange, held| {
            let Said { verdict, attributes } = filter.on_attempt(exchange, request, failed, held)?;
            match verdict {
                Again::On(place) if place >= failed.candidates.len() => {
                    Err(filter.impossible(&no_candidate(place, failed.candidates.len())))
                }
                Again::AsConfigured => Ok(Said { verdict: None, attributes }),
                more => Ok(Said { verdict: Some(more), attributes }),
            }
        });
        said.map(Option::unwrap_or_default)
    }

    /// Link by link in the chain's order, until one has an answer.
    fn ask<T>(
        &mut self,
        exchange: &mut Exchange,
        (how, phase): (How, &'static str),
        wants: impl Fn(&F) -> bool,
        mut fault: impl FnMut(&Link, &Fault),
        mut call: impl FnMut(&F, &Exchange, &mut Option<F::Held>) -> Result<Said<Option<T>>, Fault>,
    ) -> Result<Option<T>, Fault> {
        let mut at = 0;
        while let Some(passed) = self.passed.get_mut(at) {
            let index = passed.link;
            let link = &self.chain.links[index];
            let filter = &self.filters[link.filter];
            at += 1;
            if !wants(filter) {
                continue;
            }
            traced::begin(exchange, link, phase);
            let said = call(filter, exchange, &mut passed.held);
            traced::end(exchange, &said);
            match said {
                Ok(said) => {
                    for (name, value) in said.attributes {
                        exchange.set_attribute(name, value);
                    }
                    if let Some(answer) = said.verdict {
                        self.act(Acted { link: index, how });
                        return Ok(Some(answer));
                    }
                }
                Err(found) => {
                    at -= 1;
                    self.faulted(index);
                    self.passed.remove(at);
                    fault(link, &found);
                    if !found.open {
                        return Err(found);
                    }
                }
            }
        }
        Ok(None)
    }
}

fn no_candidate(place: usize, count: usize) -> String {
    format!("names candidate {place} of {count}")
}

/// What its links hold stays with those that are to be told of the end.
impl<F: Filter> Drop for Walk<'_, F> {
    fn drop(&mut self) {
        if let Some(attendance) = &self.attendance {
            for passed in self.passed.drain(..) {
                attendance.keep(passed.link, passed.held);
            }
        }
    }
}
