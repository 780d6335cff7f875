//! A stretch: links one after the other whose filters know together what they decided before, so that walking them costs about one look-up
//! instead of one for each.
//!
//! What is known of a stretch is what its links would decide one by one, each with the edits of those before it. If it is not known, they are
//! walked one by one; so they are where somebody looks at each link: in traces.

use super::walk::{Passed, Walk, edit_request, edit_response};
use super::{Chain, Edit, Filter, Verdict};
use crate::message::{Exchange, RequestHead, ResponseHead};
use http::HeaderMap;
use std::convert::Infallible;
use std::marker::PhantomData;
use std::rc::Rc;

/// What links one after the other decided: `next`, each of them.
#[derive(Debug)]
pub struct Joint {
    /// How many: from the first link of the stretch on, or, about a response, from the last that has seen the request.
    pub links: usize,
    /// Of all of them, in the order of the walk.
    pub edits: Box<[Edit]>,
    /// How many header lines they add, at most.
    pub lines: usize,
    /// The links that edit, by their place in the stretch, in the order of the walk.
    pub edited: Box<[usize]>,
}

/// The filters of a stretch.
pub trait Stretch: Sized {
    type Filter: Filter;
    /// What they decided about one message.
    type Known: AsRef<Joint>;

    /// Of these filters, whose links stand one after the other and are entered by every request.
    fn of(filters: Vec<Rc<Self::Filter>>) -> Option<Self>;

    /// About such a request; `None`: it is not known.
    fn on_request(&self, exchange: &Exchange, head: &RequestHead) -> Option<Rc<Self::Known>>;

    /// About such a response to a request about which `asked` was decided.
    fn on_response(&self, asked: &Self::Known, exchange: &Exchange, request: &RequestHead, head: &ResponseHead) -> Option<Rc<Self::Known>>;

    /// Whether any of them looks at responses.
    fn looks_back(&self) -> bool;

    /// What the filter of this place holds after `asked` was decided; `None`: it does not look at responses.
    fn held(&self, asked: &Self::Known, place: usize) -> Option<Option<<Self::Filter as Filter>::Held>>;
}

/// For filters that know nothing together.
pub struct NoStretch<F>(Infallible, PhantomData<F>);

impl<F: Filter> Stretch for NoStretch<F> {
    type Filter = F;
    type Known = Joint;

    fn of(_: Vec<Rc<F>>) -> Option<Self> {
        None
    }

    fn on_request(&self, _: &Exchange, _: &RequestHead) -> Option<Rc<Joint>> {
        match self.0 {}
    }

    fn on_response(&self, _: &Joint, _: &Exchange, _: &RequestHead, _: &ResponseHead) -> Option<Rc<Joint>> {
        match self.0 {}
    }

    fn looks_back(&self) -> bool {
        match self.0 {}
    }

    fn held(&self, _: &Joint, _: usize) -> Option<Option<F::Held>> {
        match self.0 {}
    }
}

impl AsRef<Self> for Joint {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// The stretches of one chain with one worker's filters.
pub struct Stretches<S> {
    /// By the place of their first link.
    beginning: Box<[Option<Box<S>>]>,
}

impl<S: Stretch> Stretches<S> {
    /// As long as they can be, of two links at least. A link with a `when` is in none: whether it is entered may depend on anything.
    pub fn of(chain: &Chain, filters: &[Rc<S::Filter>]) -> Self {
        let links = chain.unconditional();
        let mut beginning: Box<[Option<Box<S>>]> = links.iter().map(|_| None).collect();
        let fits = |place: usize| filters.get((*links.get(place)?)?).filter(|filter| filter.stretches()).map(Rc::clone);
        let mut first = 0;
        while first < links.len() {
            let together: Vec<_> = (first..).map_while(fits).collect();
            let length = together.len();
            if length > 1
                && let Some(place) = beginning.get_mut(first)
            {
                *place = S::of(together).map(Box::new);
            }
            first += length.max(1);
        }
        Self { beginning }
    }

    #[inline]
    fn at(&self, first: usize) -> Option<&S> {
        self.beginning.get(first)?.as_deref()
    }
}

impl<'c, F: Filter> Walk<'c, F> {
    /// The same with what links know together. `stretches` are of the same chain and filters.
    #[must_use]
    pub const fn along(mut self, stretches: &'c Stretches<F::Stretch>) -> Self {
        self.stretches = Some(stretches);
        self
    }

    /// The request passes the stretch that begins with the link `first`; how many links that are. `None`: they must be asked.
    #[inline]
    pub(super) fn together(&mut self, first: usize, exchange: &mut Exchange, head: &mut RequestHead) -> Option<usize> {
        let stretch = self.stretches?.at(first).filter(|_| exchange.trace.is_none())?;
        let asked = stretch.on_request(exchange, head)?;
        let joint = (*asked).as_ref();
        make_room(&mut head.headers, joint);
        joint.edits.iter().for_each(|edit| edit_request(edit.clone(), exchange, head));
        self.note_all(first, joint);
        let links = joint.links;
        if stretch.looks_back() {
            self.passed.push(Passed { link: first, held: None, hold: None, asked: Some(asked) });
        }
        Some(links)
    }

    /// The response goes back over the links of a stretch that the request has passed; those that must be asked are left to be.
    pub(super) fn back_together(
        &mut self,
        (first, asked): (usize, &<F::Stretch as Stretch>::Known),
        exchange: &mut Exchange,
        request: &RequestHead,
        head: &mut ResponseHead,
    ) {
        let Some(stretch) = self.stretches.and_then(|stretches| stretches.at(first)) else { return };
        let mut left = asked.as_ref().links;
        if let Some(known) = stretch.on_response(asked, exchange, request, head) {
            let joint = (*known).as_ref();
            make_room(&mut head.headers, joint);
            joint.edits.iter().for_each(|edit| edit_response(edit.clone(), exchange, &mut head.headers));
            self.note_all(first, joint);
            left = left.saturating_sub(joint.links);
        }
        for place in 0..left {
            if let Some(held) = stretch.held(asked, place) {
                self.passed.push(Passed { link: first + place, held, hold: None, asked: None });
            }
        }
    }

    fn note_all(&mut self, first: usize, joint: &Joint) {
        self.acted.reserve(joint.edited.len());
        joint.edited.iter().for_each(|place| self.note(first + place, &Verdict::Next, true));
    }
}

/// Once for all that is appended.
fn make_room(headers: &mut HeaderMap, joint: &Joint) {
    // More than a map can hold is the business of whoever puts it in.
    drop(headers.try_reserve(joint.lines));
}
