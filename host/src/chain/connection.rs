//! The walk of one connection along its listener's chain: in when it is accepted and when its client hello is there, back over the
//! same links when it has ended. Knows nothing of requests.

use super::{Chain, Fault, Link};
use crate::message::{Admission, Arrival, Attributes, ClientHello, EndReason, Ending, Refusal};
use bytestring::ByteString;
use smallvec::SmallVec;
use std::rc::Rc;
use std::sync::Arc;

/// Something that decides about connections. Calls are synchronous and must be short, as those of [`super::Filter`].
pub trait ConnectionFilter {
    /// What a filter keeps for one connection between its phases.
    type Held;

    /// In which phases it takes part under its settings.
    fn connection_phases(&self) -> ConnectionPhases;

    fn on_accept(&self, arrival: &Arrival, held: &mut Option<Self::Held>) -> Result<ConnectionDecision, Fault>;

    fn on_client_hello(&self, arrival: &Arrival, hello: Hello<'_>, held: &mut Option<Self::Held>) -> Result<ConnectionDecision, Fault>;

    fn on_close(&self, arrival: &Arrival, ending: &Ending, held: &mut Option<Self::Held>) -> Result<(), Fault>;

    /// The fault for a decision that this listener cannot carry out; ends the guest like any other.
    fn misled(&self, why: &str) -> Fault;
}

/// A client hello, read, and as the handshake message that it was.
#[derive(Debug, Clone, Copy)]
pub struct Hello<'h> {
    pub read: &'h ClientHello,
    pub raw: &'h [u8],
}

/// Phases of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ConnectionPhases {
    pub accept: bool,
    pub client_hello: bool,
    pub close: bool,
    /// Whether `on_close` wants to know how many bytes went each way.
    pub bytes: bool,
}

impl ConnectionPhases {
    pub const fn any(self) -> bool {
        self.accept || self.client_hello || self.close
    }

    /// What either wants.
    pub const fn or(self, other: Self) -> Self {
        Self {
            accept: self.accept || other.accept,
            client_hello: self.client_hello || other.client_hello,
            close: self.close || other.close,
            bytes: self.bytes || other.bytes,
        }
    }
}

/// What a link decides about a connection; nothing in it can be an invalid name.
#[derive(Debug, Clone)]
pub struct ConnectionDecision {
    pub admission: Admission,
    /// To set, in this order.
    pub attributes: Attributes,
}

/// What a listener can do with connections, and thus which decisions are sound on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reach {
    /// Forward bytes in the clear from `on-accept`.
    pub forward: bool,
    /// Forward decrypted bytes from `on-client-hello`.
    pub forward_terminated: bool,
    /// Pass TLS through from `on-client-hello`.
    pub pass_through: bool,
}

/// One connection's walk. Dropping it releases what filters held for the connection.
pub struct ConnectionWalk<F: ConnectionFilter> {
    chain: Arc<Chain>,
    filters: Rc<[Rc<F>]>,
    reach: Reach,
    /// Links that still take part, beside what their filters hold.
    taking_part: SmallVec<[(usize, Option<F::Held>); 2]>,
    refused: Option<EndReason>,
    pub arrival: Arrival,
}

/// What a walk asks of its surroundings.
pub struct Around<'a> {
    /// Whether there is an upstream of this name.
    pub knows: &'a dyn Fn(&str) -> bool,
    /// Hears of every fault, also of those that an `open` policy lets pass.
    pub fault: &'a mut dyn FnMut(&Link, &Fault),
}

impl<F: ConnectionFilter> ConnectionWalk<F> {
    /// `filters` is the worker's list that the chain's links index.
    pub fn new(chain: Arc<Chain>, filters: Rc<[Rc<F>]>, reach: Reach, arrival: Arrival) -> Self {
        let taking_part = (0..chain.links.len()).map(|link| (link, None)).collect();
        Self { chain, filters, reach, taking_part, refused: None, arrival }
    }

    /// The connection was accepted.
    pub fn on_accept(&mut self, around: &mut Around<'_>) -> Admission {
        let reach = self.reach;
        let unsound = |admission: &Admission| match admission {
            Admission::Forward(_) if !reach.forward => Some("forwards a connection that this listener cannot forward"),
            _ => None,
        };
        let wants = |phases: ConnectionPhases| phases.accept;
        self.forwards(wants, |filter, arrival, held| filter.on_accept(arrival, held), unsound, around)
    }

    /// The client hello is there.
    pub fn on_client_hello(&mut self, hello: Hello<'_>, around: &mut Around<'_>) -> Admission {
        let reach = self.reach;
        let unsound = |admission: &Admission| match admission {
            Admission::Forward(_) if !reach.forward_terminated => Some("forwards a connection that this listener cannot forward"),
            Admission::PassThrough(_) if !reach.pass_through => Some("passes TLS through on a listener that cannot"),
            _ => None,
        };
        let wants = |phases: ConnectionPhases| phases.client_hello;
        self.forwards(wants, |filter, arrival, held| filter.on_client_hello(arrival, hello, held), unsound, around)
    }

    /// Whether anybody still takes part who wants this.
    pub fn wants(&self, phase: impl Fn(ConnectionPhases) -> bool) -> bool {
        self.taking_part.iter().any(|(link, _)| phase(self.phases(*link)))
    }

    /// Why the walk refused the connection, if it did.
    pub const fn refused(&self) -> Option<EndReason> {
        self.refused
    }

    /// The connection has ended. Links that do not take part any more are not told.
    pub fn on_close(mut self, ending: &Ending, fault: &mut dyn FnMut(&Link, &Fault)) {
        while let Some((index, mut held)) = self.taking_part.pop() {
            let link = &self.chain.links[index];
            let filter = &self.filters[link.filter];
            if filter.connection_phases().close
                && let Err(found) = filter.on_close(&self.arrival, ending, &mut held)
            {
                fault(link, &found);
            }
        }
    }

    fn phases(&self, link: usize) -> ConnectionPhases {
        self.filters[self.chain.links[link].filter].connection_phases()
    }

    /// One phase, link by link until one decides otherwise than to go on.
    fn forwards(
        &mut self,
        wants: impl Fn(ConnectionPhases) -> bool,
        call: impl Fn(&F, &Arrival, &mut Option<F::Held>) -> Result<ConnectionDecision, Fault>,
        unsound: impl Fn(&Admission) -> Option<&'static str>,
        around: &mut Around<'_>,
    ) -> Admission {
        let mut at = 0;
        while let Some((index, held)) = self.taking_part.get_mut(at) {
            let link = &self.chain.links[*index];
            let filter = &self.filters[link.filter];
            at += 1;
            if !wants(filter.connection_phases()) {
                continue;
            }
            let decided = call(filter, &self.arrival, held).and_then(|decision| {
                let unknown = |name: &ByteString| format!("names upstream \"{}\", which does not exist", name.escape_debug());
                let why = match &decision.admission {
                    Admission::Forward(name) | Admission::PassThrough(name) if !(around.knows)(name) => Some(unknown(name)),
                    admission => unsound(admission).map(str::to_owned),
                };
                why.map_or(Ok(decision), |why| Err(filter.misled(&why)))
            });
            match decided {
                Ok(decision) => {
                    for (name, value) in decision.attributes {
                        self.arrival.set_attribute(name, value);
                    }
                    match decision.admission {
                        Admission::Onward => {}
                        Admission::Refuse(refusal) => {
                            // Those before it have seen the connection and are told of its end; it and those behind it are not.
                            self.taking_part.truncate(at - 1);
                            self.refused = Some(EndReason::Refused);
                            return Admission::Refuse(refusal);
                        }
                        elsewhere => {
                            self.taking_part.truncate(at);
                            return elsewhere;
                        }
                    }
                }
                Err(found) => {
                    (around.fault)(link, &found);
                    at -= 1;
                    if !found.open {
                        self.taking_part.truncate(at);
                        self.refused = Some(EndReason::Fault);
                        return Admission::Refuse(Refusal::Reset);
                    }
                    self.taking_part.remove(at);
                }
            }
        }
        Admission::Onward
    }
}
