//! What links one after the other decided, remembered together: one look-up and one list of edits for all of them.
//!
//! **Why it is the same as asking them one by one.** Each decision is a function of what its link sees ([`super::eligible`]). What all links of a stretch
//! see of a message, taken before the first of them, is the key. The first link's inputs are part of it, so its decision is the same as it was; so are
//! its edits. What the next link sees is what was there before, changed by those edits: again the same. And so on, in
//! the other direction for a response, of which the decisions about the request are part of the key.
//!
//! Nothing is decided here. What is not known yet is put together from what the links remember each by itself, about copies of the heads that are edited on the
//! way, as long as each says `next`. So a decision that may not be kept is not kept here either.

use super::super::guests::{Guests, Held};
use super::super::inputs::{Lines, RequestInputs, ResponseInputs};
use super::super::plan::{Interest, RequestInterest, ResponseInterest};
use super::shelf::Shelf;
use super::{EACH, Known, cost, length};
use crate::chain::{Edit, Filter, Joint, Stretch, Verdict, edit_request, edit_response};
use crate::message::{Exchange, RequestHead, ResponseHead};
use crate::observe::Counter;
use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

/// Links of one chain on one worker.
pub struct GuestStretch {
    links: Box<[Rc<Guests>]>,
    /// What all of them see.
    request: RequestInterest,
    response: ResponseInterest,
    looks_back: bool,
    memory: RefCell<Memory>,
    pace: [Pace; 2],
}

/// What several links decided.
pub struct Together {
    joint: Joint,
    /// What each of them remembers of the request, by its place; `None`: it does not look at requests. Empty for a response.
    each: Box<[Option<Rc<Known>>]>,
    /// How often that was called for.
    recalled: Arc<Counter>,
}

#[derive(Default)]
struct Memory {
    requests: Shelf<Together>,
    responses: Shelf<Together>,
    /// Of the last question.
    inputs: Vec<u8>,
    last: u64,
    /// That have been told of.
    bytes: usize,
    counters: Vec<(Phase, Range<usize>, Arc<Counter>)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Request,
    Response,
}

impl AsRef<Joint> for Known<Together> {
    #[inline]
    fn as_ref(&self) -> &Joint {
        &self.decision.joint
    }
}

impl Stretch for GuestStretch {
    type Filter = Guests;
    type Known = Known<Together>;

    fn of(links: Vec<Rc<Guests>>) -> Option<Self> {
        let plans = || links.iter().map(|link| link.configured.plan());
        let request = plans().filter_map(|plan| plan.request.as_ref()).fold(RequestInterest::default(), either_request);
        let shown = plans().filter_map(|plan| plan.response.as_ref()).fold(Interest::default(), |sum, more| either(sum, &more.shown));
        let looks_back = plans().any(|plan| plan.response.is_some());
        let response = ResponseInterest { exchange: false, shown };
        let links = links.into_boxed_slice();
        Some(Self { links, request, response, looks_back, memory: RefCell::default(), pace: Default::default() })
    }

    #[inline]
    fn on_request(&self, exchange: &Exchange, head: &RequestHead) -> Option<Rc<Known<Together>>> {
        let [pace, _] = &self.pace;
        if !pace.tries() {
            return None;
        }
        let mut lines = Lines::default();
        lines.look_up(exchange, head, &head.headers, &self.request.shown);
        let inputs = RequestInputs::new(exchange, head, &self.request, lines.shown());
        let memory = &mut *self.memory.borrow_mut();
        memory.inputs.clear();
        inputs.write(&mut memory.inputs);
        let known = match memory.requests.find(&memory.inputs) {
            Some(known) => known,
            None => pace.missed(|| self.ask_for_request(memory, exchange, head))?,
        };
        known.decision.recalled.one();
        Some(known)
    }

    #[inline]
    fn on_response(
        &self,
        asked: &Known<Together>,
        exchange: &Exchange,
        request: &RequestHead,
        head: &ResponseHead,
    ) -> Option<Rc<Known<Together>>> {
        let [_, pace] = &self.pace;
        if !pace.tries() {
            return None;
        }
        let mut lines = Lines::default();
        lines.look_up(exchange, request, &head.headers, &self.response.shown);
        let inputs = ResponseInputs::new(exchange, head, &self.response, lines.shown());
        let memory = &mut *self.memory.borrow_mut();
        memory.inputs.clear();
        memory.inputs.extend_from_slice(&asked.serial.to_le_bytes());
        inputs.write(&mut memory.inputs);
        let known = match memory.responses.find(&memory.inputs) {
            Some(known) => known,
            None => pace.missed(|| self.ask_for_response(memory, asked, exchange, request, head))?,
        };
        known.decision.recalled.one();
        Some(known)
    }

    fn looks_back(&self) -> bool {
        self.looks_back
    }

    fn held(&self, asked: &Known<Together>, place: usize) -> Option<Option<Held>> {
        self.links.get(place)?.phases().1.then(|| asked.decision.each.get(place)?.clone().map(Held::asked))
    }
}

/// What no message like this has been asked about before.
impl GuestStretch {
    #[cold]
    fn ask_for_request(&self, memory: &mut Memory, exchange: &Exchange, head: &RequestHead) -> Option<Rc<Known<Together>>> {
        let mut edited: Option<(Exchange, RequestHead)> = None;
        let mut draft = Draft::default();
        for (place, link) in self.links.iter().enumerate() {
            let (now, so_far) = edited.as_ref().map_or((exchange, head), |(exchange, head)| (exchange, head));
            let known = match link.recalls_request(now, so_far) {
                Recalled::Next(known) => Some(known),
                Recalled::NotAsked => None,
                Recalled::Otherwise => break,
                Recalled::Unknown => return None,
            };
            for edit in draft.add(place, known) {
                let (exchange, head) = edited.get_or_insert_with(|| (exchange.clone(), head.clone()));
                edit_request(edit, exchange, head);
            }
        }
        let count = draft.each.len();
        let known = self.known(memory, draft, (Phase::Request, 0..count))?;
        memory.requests.keep(Rc::clone(&known), cost_of(&known));
        self.tell(memory);
        Some(known)
    }

    #[cold]
    fn ask_for_response(
        &self,
        memory: &mut Memory,
        asked: &Known<Together>,
        exchange: &Exchange,
        request: &RequestHead,
        head: &ResponseHead,
    ) -> Option<Rc<Known<Together>>> {
        let mut edited: Option<(Exchange, ResponseHead)> = None;
        let mut draft = Draft::default();
        for (place, link) in self.links.iter().enumerate().take(asked.decision.joint.links).rev() {
            let (now, so_far) = edited.as_ref().map_or((exchange, head), |(exchange, head)| (exchange, head));
            let each = asked.decision.each.get(place)?.as_deref();
            let known = match link.recalls_response(each, now, request, so_far) {
                Recalled::Next(known) => Some(known),
                Recalled::NotAsked => None,
                Recalled::Otherwise => break,
                Recalled::Unknown => return None,
            };
            for edit in draft.add(place, known) {
                let (exchange, head) = edited.get_or_insert_with(|| (exchange.clone(), head.clone()));
                edit_response(edit, exchange, &mut head.headers);
            }
        }
        let end = asked.decision.joint.links;
        // Nobody asks for what each of them said.
        let begin = end.checked_sub(std::mem::take(&mut draft.each).len())?;
        let known = self.known(memory, draft, (Phase::Response, begin..end))?;
        memory.responses.keep(Rc::clone(&known), cost_of(&known));
        self.tell(memory);
        Some(known)
    }

    fn known(&self, memory: &mut Memory, draft: Draft, (phase, places): (Phase, Range<usize>)) -> Option<Rc<Known<Together>>> {
        if places.len() < 2 {
            return None;
        }
        let Draft { edits, edited, each } = draft;
        let lines = edits.iter().filter(|edit| matches!(edit, Edit::SetHeader(..) | Edit::AppendHeader(..))).count();
        let joint = Joint { links: places.len(), edits: edits.into(), lines, edited: edited.into() };
        let recalled = self.counter(memory, phase, places);
        memory.last += 1;
        let inputs = memory.inputs.as_slice().into();
        Some(Rc::new(Known { serial: memory.last, inputs, decision: Together { joint, each: each.into(), recalled } }))
    }

    /// Says how much there is.
    fn tell(&self, memory: &mut Memory) {
        let now = memory.requests.bytes() + memory.responses.bytes();
        let before = std::mem::replace(&mut memory.bytes, now);
        self.links.iter().take(1).for_each(|first| first.tally.remembers_jointly(before, now));
    }

    /// The counter of calls of a phase of the links at these places, of which there are few.
    fn counter(&self, memory: &mut Memory, phase: Phase, places: Range<usize>) -> Arc<Counter> {
        let found = memory.counters.iter().find(|(of, range, _)| (*of, range) == (phase, &places));
        if let Some((_, _, counter)) = found {
            return Arc::clone(counter);
        }
        let counter = Arc::default();
        self.called(phase, &places).for_each(|link| link.tally.joins(&counter));
        memory.counters.push((phase, places, Arc::clone(&counter)));
        counter
    }

    /// Those of the links at these places that look at such messages.
    fn called(&self, phase: Phase, places: &Range<usize>) -> impl Iterator<Item = &Rc<Guests>> {
        let looks = move |link: &&Rc<Guests>| if phase == Phase::Request { link.phases().0 } else { link.phases().1 };
        self.links.get(places.clone()).unwrap_or_default().iter().filter(looks)
    }
}

impl Drop for GuestStretch {
    fn drop(&mut self) {
        let memory = self.memory.take();
        self.links.iter().take(1).for_each(|first| first.tally.remembers_jointly(memory.bytes, 0));
        for (phase, places, counter) in memory.counters {
            self.called(phase, &places).for_each(|link| link.tally.parts(&counter));
        }
    }
}

#[derive(Default)]
struct Draft {
    edits: Vec<Edit>,
    edited: Vec<usize>,
    each: Vec<Option<Rc<Known>>>,
}

impl Draft {
    /// What the next link decided; its edits.
    fn add(&mut self, place: usize, known: Option<Rc<Known>>) -> Vec<Edit> {
        let edits = known.as_ref().map(|known| known.decision.edits.to_vec()).unwrap_or_default();
        if !edits.is_empty() {
            self.edited.push(place);
            self.edits.extend(edits.iter().cloned());
        }
        self.each.push(known);
        edits
    }
}

/// What a link remembers of a message.
enum Recalled {
    /// It said `next`, maybe with edits.
    Next(Rc<Known>),
    /// It does not look at such messages.
    NotAsked,
    Otherwise,
    Unknown,
}

impl From<Option<Rc<Known>>> for Recalled {
    fn from(known: Option<Rc<Known>>) -> Self {
        match known {
            Some(known) if matches!(known.decision.verdict, Verdict::Next) => Self::Next(known),
            Some(_) => Self::Otherwise,
            None => Self::Unknown,
        }
    }
}

impl Guests {
    fn recalls_request(&self, exchange: &Exchange, head: &RequestHead) -> Recalled {
        let Some(interest) = &self.configured.plan().request else { return Recalled::NotAsked };
        let mut lines = Lines::default();
        lines.look_up(exchange, head, &head.headers, &interest.shown);
        let inputs = RequestInputs::new(exchange, head, interest, lines.shown());
        self.memory.as_ref().and_then(|memory| memory.borrow_mut().request(&inputs)).into()
    }

    fn recalls_response(&self, asked: Option<&Known>, exchange: &Exchange, request: &RequestHead, head: &ResponseHead) -> Recalled {
        let Some(interest) = &self.configured.plan().response else { return Recalled::NotAsked };
        let mut lines = Lines::default();
        lines.look_up(exchange, request, &head.headers, &interest.shown);
        let inputs = ResponseInputs::new(exchange, head, interest, lines.shown());
        self.memory.as_ref().and_then(|memory| memory.borrow_mut().response(asked, &inputs)).into()
    }
}

/// What either wants to see.
fn either_request(sum: RequestInterest, more: &RequestInterest) -> RequestInterest {
    RequestInterest {
        method: sum.method || more.method,
        scheme: sum.scheme || more.scheme,
        authority: sum.authority || more.authority,
        path: sum.path || more.path,
        query: sum.query || more.query,
        exchange: sum.exchange || more.exchange,
        shown: either(sum.shown, &more.shown),
    }
}

fn either(mut sum: Interest, more: &Interest) -> Interest {
    let Interest { headers, all_headers, attributes } = more;
    sum.all_headers |= all_headers;
    sum.headers.extend(headers.iter().filter(|name| !sum.headers.contains(name)).cloned().collect::<Vec<_>>());
    sum.attributes.extend(attributes.iter().filter(|name| !sum.attributes.contains(name)).cloned().collect::<Vec<_>>());
    sum
}

/// Bytes of memory, about; with what each link remembers, which it may have dropped itself.
fn cost_of(known: &Known<Together>) -> usize {
    let Together { joint, each, .. } = &known.decision;
    let edits = joint.edits.iter().map(|edit| EACH + length(edit)).sum::<usize>();
    each.iter().flatten().map(|known| cost(known)).sum::<usize>() + EACH + known.inputs.len() + edits
}

/// Whether looking is worth it: where what the links see together seldom comes again, they are walked one by one for a while.
#[derive(Default)]
struct Pace {
    tried: Cell<u32>,
    missed: Cell<u32>,
    rests: Cell<u32>,
}

/// What is judged at a time, and how long it rests. Chosen arbitrarily: a search in vain costs about what one call does.
const WINDOW: u32 = 256;
const REST: u32 = 16 * WINDOW;

impl Pace {
    #[inline]
    fn tries(&self) -> bool {
        if self.rests.get() > 0 {
            self.rests.set(self.rests.get() - 1);
            return false;
        }
        self.tried.set(self.tried.get() + 1);
        if self.tried.get() == WINDOW {
            self.judge();
        }
        true
    }

    #[cold]
    fn judge(&self) {
        self.tried.set(0);
        if self.missed.replace(0) > WINDOW / 2 {
            self.rests.set(REST);
        }
    }

    fn missed<T>(&self, ask: impl FnOnce() -> T) -> T {
        self.missed.set(self.missed.get() + 1);
        ask()
    }
}
