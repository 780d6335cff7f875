//! Where the links' decision leads: out to an upstream, or straight to an answer made here.

use super::body::RequestBody;
use super::carried::Carried;
use super::current::{Current, Destination, Place};
use super::exchange::{Guard, Ledger};
use super::failure::Failure;
use super::grpc;
use super::guide::Guide;
use super::inbound::Inbound;
use super::inject::inject;
use super::mirror::{Copying, Original};
use super::outbound::Outbound;
use super::times;
use crate::chain::{Course, Filter, Walk, Way};
use crate::message::{BodyError, Exchange, Interim, Reply};
use crate::upstream::{self, Failed, Outgoing};
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http_body::Body;
use std::rc::Rc;

/// What an exchange takes along when it leaves the request phase.
pub(super) struct Departure<'a, 'c, F: Filter> {
    pub ledger: &'a Rc<Ledger>,
    pub current: &'a Current<F>,
    pub walk: &'a mut Walk<'c, F>,
    pub place: &'a Place<'a>,
    pub exchange: &'a mut Exchange,
    pub inbound: &'a mut Inbound,
}

impl<F: Filter> Departure<'_, '_, F> {
    /// The response of whoever answers. `None`: nobody does, or nobody listens any more.
    pub async fn follow<B>(self, course: Course, body: Carried<B>, guard: &mut Guard) -> Option<Outbound<B>>
    where
        B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static,
    {
        let failure = match self.destination(course) {
            Ok(Towards::Origin(destination)) => match self.send(destination, body, guard).await {
                Ok(outbound) => return Some(outbound),
                Err(failure) => failure,
            },
            Ok(Towards::Client(reply)) => return Some(Outbound::from_reply(*reply)),
            Ok(Towards::Nobody) => {
                guard.because("plugin_abort");
                return None;
            }
            Err(failure) => failure,
        };
        guard.failed(&failure);
        failure.reply(guard.id).map(Outbound::from_reply)
    }

    fn destination(&self, course: Course) -> Result<Towards, Failure> {
        match course {
            Course::Onward => self.place.destination.cloned().map(Towards::Origin).ok_or(Failure::NoDestination),
            Course::Forward(name) => self.current.destination(name).map(Towards::Origin).ok_or(Failure::NoDestination),
            Course::Reply(reply) => Ok(Towards::Client(reply)),
            Course::Abort => Ok(Towards::Nobody),
            Course::Failed(fault) => Err(Failure::Plugin(fault.cause)),
            Course::Ungathered(why) => Err(Failure::ungathered(why, Way::Request)),
        }
    }

    /// Step 9: to a server of the upstream and back.
    async fn send<B>(self, destination: Destination, body: Carried<B>, guard: &mut Guard) -> Result<Outbound<B>, Failure>
    where
        B: Body<Data = Bytes, Error = BodyError> + Unpin + 'static,
    {
        let Self { ledger, current, walk, place, exchange, inbound } = self;
        let unreadable = |name: &str, value: &str| ledger.unreadable(guard.id, name, value);
        let mut times = times::of(exchange, place.terms.timeouts, &current.snapshot.limits, unreadable);
        if guard.grpc {
            times = times.within(grpc::timeout(&inbound.head.headers));
        }
        if let Some(faults) = &place.terms.injected {
            // Boxed: it is rare, and would make the future of every request larger.
            Box::pin(inject(faults, ledger, times.total, guard)).await?;
        }
        inbound.restore();
        guard.forwarded(&destination.name);
        guard.sends(&destination.name, exchange.trace.as_ref(), &mut inbound.head.headers);
        exchange.upstream = Some(destination.name);
        let (upgrade, client, wants) = (inbound.upgrade.take(), Rc::clone(&exchange.connection), place.going_out);
        let from = exchange.client;
        let copy = match &place.terms.mirror {
            Some(spec) if upgrade.is_none() => {
                let original = Original { head: &inbound.head, client: &client, from, times, there: !body.is_end_stream() };
                Copying::begin((ledger, current), spec, original, guard)
            }
            _ => None,
        };
        // Only for chains whose links want to be asked.
        let guide = (wants.balance || wants.attempt).then(|| Guide::new((guard.id, ledger), walk, exchange, &inbound.head, wants.balance));
        let outgoing = Outgoing {
            head: &inbound.head,
            body: RequestBody::new(body, guard.received(), copy),
            upgrade,
            interim: std::mem::replace(&mut inbound.interim, Interim::NOBODY),
            times,
            client: &client,
            from,
            guide: guide.as_ref().map(|guide| guide as &dyn upstream::Guide),
            trail: guard.trail(),
            retry: Some(&place.terms.retry),
        };
        match current.upstreams.send(destination.index, outgoing).await {
            Ok(answered) => {
                guard.answered_by(&answered.attempt, Ok(answered.head.status));
                Ok(Outbound::from_origin(answered))
            }
            Err(Failed { error, attempt }) => {
                guard.answered_by(&attempt, Err(&error));
                Err(guide.and_then(|guide| guide.halted()).map_or(error.into(), Failure::Plugin))
            }
        }
    }
}

/// Who is next.
enum Towards {
    Origin(Destination),
    Client(Box<Reply>),
    Nobody,
}

impl Inbound {
    /// Puts back what links must not see and origins may.
    fn restore(&mut self) {
        if self.past.te_trailers {
            self.head.headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
        if let Some(trailer) = self.past.trailer.take() {
            self.head.headers.insert(header::TRAILER, trailer);
        }
    }
}
