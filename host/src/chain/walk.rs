//! The walk of one exchange along its chain: requests outer to inner, responses back over the same links.

use super::{Chain, Edit, Fault, Filter, Link, Verdict};
use crate::config::When;
use crate::message::{Exchange, Reply, RequestHead, ResponseHead};
use bytes::Bytes;
use bytestring::ByteString;
use http::HeaderMap;
use smallvec::SmallVec;

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
    Replied,
    Aborted,
    Faulted,
}

/// A link that the request passed and that will see the response.
pub struct Passed<H> {
    link: usize,
    held: Option<H>,
}

/// One exchange's walk. Dropping it releases what filters held for the exchange.
pub struct Walk<'c, F: Filter> {
    chain: &'c Chain,
    filters: &'c [F],
    passed: SmallVec<[Passed<F::Held>; 4]>,
    acted: SmallVec<[Acted; 4]>,
}

impl<'c, F: Filter> Walk<'c, F> {
    /// `filters` is the worker's list that the chain's links index; every index is within it.
    pub fn new(chain: &'c Chain, filters: &'c [F]) -> Self {
        Self { chain, filters, passed: SmallVec::new(), acted: SmallVec::new() }
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
        knows: impl Fn(&str) -> bool,
        mut fault: impl FnMut(&Link, &Fault),
    ) -> Course {
        let (chain, filters) = (self.chain, self.filters);
        for (index, link) in chain.links.iter().enumerate() {
            if !link.when.as_deref().is_none_or(|when| holds(when, head)) {
                continue;
            }
            let filter = &filters[link.filter];
            let (looks, sees_response) = filter.phases();
            let mut held = None;
            let mut verdict = Verdict::Next;
            if looks {
                let noted = exchange.trace.as_ref().and_then(|trace| trace.begin(&link.spec.name, "on-request")).cloned();
                let decided = match filter.waits() {
                    false => filter.on_request(exchange, head, &mut held),
                    true => filter.on_request_waiting(exchange, head, &mut held).await,
                };
                let decision = match decided {
                    Ok(decision) => match &decision.verdict {
                        Verdict::Forward(name) if !knows(name) => Err(filter.unknown_upstream(name)),
                        _ => Ok(decision),
                    },
                    Err(fault) => Err(fault),
                };
                noted.iter().for_each(|calls| calls.end(decision.as_ref().err().map(|fault| fault.cause.reason())));
                match decision {
                    Ok(decision) => {
                        self.note(index, &decision.verdict, !decision.edits.is_empty());
                        for edit in decision.edits {
                            edit_request(edit, exchange, head);
                        }
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
            match verdict {
                Verdict::Next if sees_response => self.passed.push(Passed { link: index, held }),
                Verdict::Next => {}
                Verdict::Forward(name) => {
                    if sees_response {
                        self.passed.push(Passed { link: index, held });
                    }
                    return Course::Forward(name);
                }
                Verdict::Reply(reply) => return Course::Reply(reply),
                Verdict::Abort => return Course::Abort,
            }
        }
        Course::Onward
    }

    /// Takes the response back over the links that the request passed. A link that replies, or faults with policy `closed`
    /// (`fail` then makes the answer), replaces the response; the links before it see the replacement. `Ok(Some(body))`: the
    /// replacement's body. `Err(Aborted)`: a link aborted.
    pub async fn on_response(
        &mut self,
        exchange: &mut Exchange,
        request: &RequestHead,
        head: &mut ResponseHead,
        mut fault: impl FnMut(&Link, &Fault),
        mut fail: impl FnMut(&Fault) -> Reply,
    ) -> Result<Option<Bytes>, Aborted> {
        let mut body = None;
        while let Some(Passed { link: index, mut held }) = self.passed.pop() {
            let link = &self.chain.links[index];
            let filter = &self.filters[link.filter];
            let noted = exchange.trace.as_ref().and_then(|trace| trace.begin(&link.spec.name, "on-response")).cloned();
            let decided = match filter.waits() {
                false => filter.on_response(exchange, request, head, &mut held),
                true => filter.on_response_waiting(exchange, request, head, &mut held).await,
            };
            noted.iter().for_each(|calls| calls.end(decided.as_ref().err().map(|fault| fault.cause.reason())));
            match decided {
                Ok(decision) => {
                    self.note(index, &decision.verdict, !decision.edits.is_empty());
                    for edit in decision.edits {
                        edit_response(edit, exchange, &mut head.headers);
                    }
                    match decision.verdict {
                        // Filters never forward in this phase: `Decision` says so, and `translate` makes it a fault.
                        Verdict::Next | Verdict::Forward(_) => {}
                        Verdict::Reply(reply) => body = Some(replace(head, *reply)),
                        Verdict::Abort => return Err(Aborted),
                    }
                }
                Err(found) => {
                    self.acted.push(Acted { link: index, how: How::Faulted });
                    fault(link, &found);
                    if !found.open {
                        body = Some(replace(head, fail(&found)));
                    }
                }
            }
        }
        Ok(body)
    }

    fn note(&mut self, link: usize, verdict: &Verdict, edited: bool) {
        let how = match verdict {
            Verdict::Next if edited => How::Edited,
            Verdict::Next => return,
            Verdict::Forward(_) => How::Forwarded,
            Verdict::Reply(_) => How::Replied,
            Verdict::Abort => How::Aborted,
        };
        self.acted.push(Acted { link, how });
    }
}

/// A link ended the exchange without an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Aborted;

fn replace(head: &mut ResponseHead, reply: Reply) -> Bytes {
    *head = ResponseHead { status: reply.status, headers: reply.headers };
    reply.body
}

fn edit_request(edit: Edit, exchange: &mut Exchange, head: &mut RequestHead) {
    match edit {
        Edit::SetMethod(method) => head.method = method,
        Edit::SetAuthority(authority) => head.authority = authority,
        Edit::SetPath(path) => head.path = path,
        Edit::SetQuery(query) => head.query = query,
        other => edit_response(other, exchange, &mut head.headers),
    }
}

fn edit_response(edit: Edit, exchange: &mut Exchange, headers: &mut HeaderMap) {
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
