//! The walk of one exchange along its chain: requests outer to inner, responses back over the same links.

use super::bodies::{Carry, Hold, Ungathered};
use super::handling::{Incoming, Outgoing, Stopped, handle};
use super::stretch::{Stretch, Stretches};
use super::{Attendance, Chain, Edit, Fault, Filter, Link, Verdict, traced};
use crate::config::When;
use crate::message::{Exchange, Reply, RequestHead, ResponseHead};
use bytes::Bytes;
use bytestring::ByteString;
use http::HeaderMap;
use smallvec::SmallVec;
use std::rc::Rc;

/// Where the request phase leads.
#[derive(Debug)]
pub enum Course {
    /// Every link said `next`: to the route's upstream.
    Onward,
    /// A link chose this upstream, which exists.
    Forward(ByteString),
    Reply(Box<Reply>),
    Abort,
    /// A link faulted and its policy is `closed`.
    Failed(Fault),
    /// A link wanted to see the body whole, and could not.
    Ungathered(Ungathered),
}

/// Why something else takes the place of a response.
#[derive(Debug)]
pub enum Failing {
    /// A link faulted and its policy is `closed`.
    Fault(Fault),
    /// A link wanted to see the body whole, and could not.
    Ungathered(Ungathered),
}

/// A link that did more than look; for the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acted {
    /// Index into the chain.
    pub link: usize,
    pub how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Edited,
    Forwarded,
    /// The server.
    Chose,
    /// An attempt that failed.
    Judged,
    Replied,
    Aborted,
    Faulted,
}

/// A link that the request passed and that will see more of the exchange.
pub struct Passed<F: Filter> {
    pub(super) link: usize,
    pub(super) held: Option<F::Held>,
    /// Of a link that looks at bodies.
    pub(super) hold: Option<F::Hold>,
    /// The request has passed the whole stretch that begins with this link.
    pub(super) asked: Option<Rc<<F::Stretch as Stretch>::Known>>,
}

/// One exchange's walk. Dropping it releases what filters held for the exchange.
pub struct Walk<'c, F: Filter> {
    pub(super) chain: &'c Chain,
    pub(super) filters: &'c [Rc<F>],
    /// `None`: links are walked one by one.
    pub(super) stretches: Option<&'c Stretches<F::Stretch>>,
    pub(super) passed: SmallVec<[Passed<F>; 4]>,
    pub(super) acted: SmallVec<[Acted; 4]>,
    /// `None`: no filter wants to be told of the end.
    pub(super) attendance: Option<Rc<Attendance<F::Held>>>,
}

impl<'c, F: Filter> Walk<'c, F> {
    /// `filters` is the worker's list that the chain's links index; every index is within it.
    pub fn new(chain: &'c Chain, filters: &'c [Rc<F>]) -> Self {
        Self { chain, filters, stretches: None, passed: SmallVec::new(), acted: SmallVec::new(), attendance: None }
    }

    pub fn acted(&self) -> &[Acted] {
        &self.acted
    }

    pub fn link(&self, index: usize) -> &Link {
        &self.chain.links[index]
    }

    /// Takes the request along the chain until a link decides otherwise than `next`. `fault` hears of every fault, also of
    /// those that an `open` policy lets pass.
    pub async fn on_request(
        &mut self,
        exchange: &mut Exchange,
        head: &mut RequestHead,
        body: &mut impl Carry,
        knows: impl Fn(&str) -> bool,
        mut fault: impl FnMut(&Link, &Fault),
    ) -> Course {
        let (chain, filters) = (self.chain, self.filters);
        let mut next = 0;
        while let Some(link) = chain.links.get(next) {
            if let Some(links) = self.together(next, exchange, head) {
                next += links;
                continue;
            }
            let index = next;
            next += 1;
            if !link.when.as_deref().is_none_or(|when| holds(when, head)) {
                continue;
            }
            let filter = &filters[link.filter];
            if let Some(hold) = filter.hold(exchange) {
                // Boxed: it is rare, and would make the future of every exchange larger.
                match Box::pin(self.with_body(
                    index,
                    hold,
                    Incoming { exchange: &mut *exchange, head: &mut *head, knows: &knows },
                    body,
                    &mut fault,
                ))
                .await
                {
                    Course::Onward => continue,
                    elsewhere => return elsewhere,
                }
            }
            let (looks, sees_response) = filter.phases();
            let stays = sees_response || filter.going_out().any();
            let mut held = None;
            let mut verdict = Verdict::Next;
            if looks {
                traced::begin(exchange, link, "on-request");
                let decided = match filter.waits() {
                    false => filter.on_request(exchange, head, &mut held),
                    true => filter.on_request_waiting(exchange, head, &mut held).await,
                };
                let decision = match decided {
                    Ok(decision) => match &decision.verdict {
                        Verdict::Forward(name) if !knows(name) => Err(filter.impossible(&unknown_upstream(name))),
                        _ => Ok(decision),
                    },
                    Err(fault) => Err(fault),
                };
                traced::end(exchange, &decision);
                match decision {
                    Ok(decision) => {
                        self.note(index, &decision.verdict, !decision.edits.is_empty());
                        decision.edits.each(|edit| edit_request(edit, exchange, head));
                        verdict = decision.verdict;
                    }
                    Err(found) => {
                        self.acted.push(Acted { link: index, how: How::Faulted });
                        fault(link, &found);
                        if !found.open {
                            return Course::Failed(found);
                        }
                        continue;
                    }
                }
            }
            if let Some(attendance) = self.attendance.as_ref().filter(|_| filter.going_out().done) {
                attendance.enter(index);
            }
            match verdict {
                Verdict::Next if stays => self.passed.push(Passed { link: index, held, hold: None, asked: None }),
                Verdict::Next => {}
                Verdict::Forward(name) => {
                    if stays {
                        self.passed.push(Passed { link: index, held, hold: None, asked: None });
                    }
                    return Course::Forward(name);
                }
                Verdict::Reply(reply) => {
                    self.part(index, held);
                    return Course::Reply(reply);
                }
                Verdict::Abort => {
                    self.part(index, held);
                    return Course::Abort;
                }
            }
        }
        Course::Onward
    }

    /// The request phases of a link that looks at bodies.
    async fn with_body<K: Fn(&str) -> bool>(
        &mut self,
        index: usize,
        hold: F::Hold,
        mut request: Incoming<'_, K>,
        body: &mut dyn Carry,
        fault: &mut dyn FnMut(&Link, &Fault),
    ) -> Course {
        let link = &self.chain.links[index];
        let acts = |verdict: &Verdict, edited| note(&mut self.acted, index, verdict, edited);
        let verdict = match handle(&mut request, body, link, &hold, acts).await {
            Ok(verdict) => verdict,
            Err(Stopped::Ungathered(why)) => return Course::Ungathered(why),
            Err(Stopped::Fault(found)) => {
                self.acted.push(Acted { link: index, how: How::Faulted });
                fault(link, &found);
                return if found.open { Course::Onward } else { Course::Failed(found) };
            }
        };
        let phases = hold.phases();
        if (phases.response || phases.response_body) && matches!(verdict, Verdict::Next | Verdict::Forward(_)) {
            self.passed.push(Passed { link: index, held: None, hold: Some(hold), asked: None });
        }
        match verdict {
            Verdict::Next => Course::Onward,
            Verdict::Forward(name) => Course::Forward(name),
            Verdict::Reply(reply) => Course::Reply(reply),
            Verdict::Abort => Course::Abort,
        }
    }

    /// Takes the response back over the links that the request passed. A link that replies, or faults with policy `closed`
    /// (`fail` then makes the answer), replaces the response; the links before it see the replacement. `body` is then that one's.
    /// `Err(Aborted)`: a link aborted.
    pub async fn on_response(
        &mut self,
        exchange: &mut Exchange,
        request: &RequestHead,
        head: &mut ResponseHead,
        body: &mut (impl Carry + Replace),
        mut fault: impl FnMut(&Link, &Fault),
        mut fail: impl FnMut(Failing) -> Reply,
    ) -> Result<(), Aborted> {
        while let Some(Passed { link: index, mut held, hold, asked }) = self.passed.pop() {
            if let Some(asked) = asked {
                self.back_together((index, &*asked), exchange, request, head);
                continue;
            }
            let link = &self.chain.links[index];
            if let Some(hold) = hold {
                let response = Outgoing { exchange: &mut *exchange, request, head: &mut *head };
                match Box::pin(self.back_with_body(index, hold, response, body, &mut fault)).await {
                    Ok(Verdict::Reply(reply)) => body.replace(replace(head, *reply)),
                    Ok(Verdict::Abort) => return Err(Aborted),
                    Ok(Verdict::Next | Verdict::Forward(_)) => {}
                    Err(failing) => body.replace(replace(head, fail(failing))),
                }
                continue;
            }
            let filter = &self.filters[link.filter];
            if !filter.phases().1 {
                self.part(index, held);
                continue;
            }
            traced::begin(exchange, link, "on-response");
            let decided = match filter.waits() {
                false => filter.on_response(exchange, request, head, &mut held),
                true => filter.on_response_waiting(exchange, request, head, &mut held).await,
            };
            traced::end(exchange, &decided);
            match decided {
                Ok(decision) => {
                    self.part(index, held);
                    self.note(index, &decision.verdict, !decision.edits.is_empty());
                    decision.edits.each(|edit| edit_response(edit, exchange, &mut head.headers));
                    match decision.verdict {
                        // Filters never forward in this phase: `Decision` says so, and `translate` makes it a fault.
                        Verdict::Next | Verdict::Forward(_) => {}
                        Verdict::Reply(reply) => body.replace(replace(head, *reply)),
                        Verdict::Abort => return Err(Aborted),
                    }
                }
                Err(found) => {
                    self.faulted(index);
                    fault(link, &found);
                    if !found.open {
                        body.replace(replace(head, fail(Failing::Fault(found))));
                    }
                }
            }
        }
        Ok(())
    }

    /// The response phases of a link that looks at bodies.
    async fn back_with_body(
        &mut self,
        index: usize,
        hold: F::Hold,
        mut response: Outgoing<'_>,
        body: &mut dyn Carry,
        fault: &mut dyn FnMut(&Link, &Fault),
    ) -> Result<Verdict, Failing> {
        let link = &self.chain.links[index];
        let acts = |verdict: &Verdict, edited| note(&mut self.acted, index, verdict, edited);
        match handle(&mut response, body, link, &hold, acts).await {
            Ok(verdict) => Ok(verdict),
            Err(Stopped::Ungathered(why)) => Err(Failing::Ungathered(why)),
            Err(Stopped::Fault(found)) => {
                self.acted.push(Acted { link: index, how: How::Faulted });
                fault(link, &found);
                if found.open { Ok(Verdict::Next) } else { Err(Failing::Fault(found)) }
            }
        }
    }

    /// The walk is done with a link. What is held for it stays with those that are to be told of the end.
    fn part(&self, link: usize, held: Option<F::Held>) {
        if let Some(attendance) = &self.attendance {
            attendance.keep(link, held);
        }
    }

    pub(super) fn faulted(&mut self, link: usize) {
        self.acted.push(Acted { link, how: How::Faulted });
        if let Some(attendance) = &self.attendance {
            attendance.leave(link);
        }
    }

    /// What a link did beyond heads; what it does again and again is noted once.
    pub(super) fn act(&mut self, acted: Acted) {
        if !self.acted.contains(&acted) {
            self.acted.push(acted);
        }
    }

    pub(super) fn note(&mut self, link: usize, verdict: &Verdict, edited: bool) {
        note(&mut self.acted, link, verdict, edited);
    }
}

fn note(acted: &mut SmallVec<[Acted; 4]>, link: usize, verdict: &Verdict, edited: bool) {
    let how = match verdict {
        Verdict::Next if edited => How::Edited,
        Verdict::Next => return,
        Verdict::Forward(_) => How::Forwarded,
        Verdict::Reply(_) => How::Replied,
        Verdict::Abort => How::Aborted,
    };
    // A link with several phases of one message did one thing.
    if how != How::Edited || acted.last() != Some(&Acted { link, how }) {
        acted.push(Acted { link, how });
    }
}

/// Whoever has a response's body, when a link answers with another one.
pub trait Replace {
    /// The head is already that one's.
    fn replace(&mut self, body: Bytes);
}

impl Replace for super::Bodiless {
    fn replace(&mut self, _: Bytes) {}
}

fn unknown_upstream(name: &str) -> String {
    format!("forwards to upstream \"{}\", which does not exist", name.escape_debug())
}

/// A link ended the exchange without an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Aborted;

fn replace(head: &mut ResponseHead, reply: Reply) -> Bytes {
    *head = ResponseHead { status: reply.status, headers: reply.headers };
    reply.body
}

/// Applies one.
pub fn edit_request(edit: Edit, exchange: &mut Exchange, head: &mut RequestHead) {
    match edit {
        Edit::SetMethod(method) => head.method = method,
        Edit::SetAuthority(authority) => head.authority = authority,
        Edit::SetPath(path) => head.path = path,
        Edit::SetQuery(query) => head.query = query,
        other => edit_response(other, exchange, &mut head.headers),
    }
}

/// The same, of those that a response can have.
pub fn edit_response(edit: Edit, exchange: &mut Exchange, headers: &mut HeaderMap) {
    match edit {
        Edit::SetHeader(name, value) => drop(headers.insert(name, value)),
        Edit::AppendHeader(name, value) => drop(headers.append(name, value)),
        Edit::RemoveHeader(name) => drop(headers.remove(name)),
        Edit::SetAttribute(name, value) => exchange.set_attribute(name, value),
        Edit::SetMethod(_) | Edit::SetAuthority(_) | Edit::SetPath(_) | Edit::SetQuery(_) => {}
    }
}

/// Whether a link's `when` holds for this head, as the links before have left it.
fn holds(when: &When, head: &RequestHead) -> bool {
    when.holds(&head.method, &head.path, head.query.as_deref(), &head.headers)
}
