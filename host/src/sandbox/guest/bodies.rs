//! The calls of a guest for bodies. One form for both kinds of guests: `waits` says whether this one is on a stack of its own; if not, the future is ready
//! at its first poll.

use super::super::bodies::{BodyPlan, abi};
use super::super::fault::Broken;
use super::super::inputs::{Lines, Shown};
use super::super::types;
use super::{Guest, Live, begin, broken, planned};
use crate::chain::{End, Judged, Output, Start, Way};
use crate::message::trace::Standing;
use crate::message::{Exchange, RequestHead, ResponseHead};
use bytes::Bytes;
use http::HeaderMap;
use wasmtime::component::{ComponentNamedList, Lift, Lower, TypedFunc};

/// Which exchange a piece of a body is of, and the call in its trace that the piece belongs to.
#[derive(Clone)]
pub(in super::super) struct Whose {
    pub exchange: u64,
    pub trace: Option<Standing>,
}

impl Guest {
    pub(in super::super) async fn begin_request(
        &mut self,
        exchange: &Exchange,
        head: &RequestHead,
        length: Option<u64>,
        plan: &BodyPlan,
        waits: bool,
    ) -> Result<Start, Broken> {
        let live = &mut *self.0;
        let func = live.bodies.as_ref().and_then(|bodies| bodies.request.as_ref()).map(|funcs| funcs.begin);
        let (func, interest) = (planned(func, "on-request-body")?, planned(plan.request.as_ref(), "on-request-body")?);
        let mut lines = Lines::default();
        lines.look_up(exchange, head, &head.headers, &interest.shown);
        let found = lines.shown();
        let asked = |asked: bool, text| if asked { text } else { "" };
        let request = types::RequestHead {
            method: asked(interest.method, head.method.as_str()),
            scheme: asked(interest.scheme, head.scheme.as_str()),
            authority: asked(interest.authority, &head.authority),
            path: asked(interest.path, &head.path),
            query: head.query.as_deref().filter(|_| interest.query),
            headers: &headers(found),
            attributes: &attributes(found),
        };
        live.enter_body(exchange.id.0, exchange.trace.as_ref());
        live.call(func, waits, (exchange.id.0, request, length)).await.map(|(started,)| started.0)
    }

    pub(in super::super) async fn begin_response(
        &mut self,
        exchange: &Exchange,
        request: &RequestHead,
        head: &ResponseHead,
        length: Option<u64>,
        plan: &BodyPlan,
        waits: bool,
    ) -> Result<Start, Broken> {
        let live = &mut *self.0;
        let func = live.bodies.as_ref().and_then(|bodies| bodies.response.as_ref()).map(|funcs| funcs.begin);
        let (func, interest) = (planned(func, "on-response-body")?, planned(plan.response.as_ref(), "on-response-body")?);
        let mut lines = Lines::default();
        lines.look_up(exchange, request, &head.headers, &interest.shown);
        let found = lines.shown();
        let response = types::ResponseHead { status: head.status.as_u16(), headers: &headers(found), attributes: &attributes(found) };
        live.enter_body(exchange.id.0, exchange.trace.as_ref());
        live.call(func, waits, (exchange.id.0, response, length)).await.map(|(started,)| started.0)
    }

    pub(in super::super) async fn watch(&mut self, whose: &Whose, way: Way, piece: &Bytes, waits: bool) -> Result<(), Broken> {
        let live = &mut *self.0;
        let func = live.pieces(way)?.watch;
        live.enter_body(whose.exchange, whose.trace.as_ref());
        live.call(func, waits, (whose.exchange, &piece[..])).await
    }

    pub(in super::super) async fn transform(&mut self, whose: &Whose, way: Way, piece: &Bytes, waits: bool) -> Result<Output, Broken> {
        let live = &mut *self.0;
        let func = live.pieces(way)?.transform;
        live.enter_body(whose.exchange, whose.trace.as_ref());
        let (given,) = live.call(func, waits, (whose.exchange, &piece[..])).await?;
        abi::check(&given.0, piece.len()).map_err(|bad| Broken::bad_output(bad.to_string()))?;
        Ok(given.0)
    }

    pub(in super::super) async fn end(&mut self, whose: &Whose, way: Way, trailers: &HeaderMap, waits: bool) -> Result<End, Broken> {
        let live = &mut *self.0;
        let func = live.pieces(way)?.end;
        live.enter_body(whose.exchange, whose.trace.as_ref());
        live.call(func, waits, (whose.exchange, &abi::lines(trailers)[..])).await.map(|(ended,)| ended.0)
    }

    pub(in super::super) async fn whole(
        &mut self,
        whose: &Whose,
        way: Way,
        bytes: &Bytes,
        trailers: &HeaderMap,
        waits: bool,
    ) -> Result<Judged, Broken> {
        let live = &mut *self.0;
        let lines = abi::lines(trailers);
        live.enter_body(whose.exchange, whose.trace.as_ref());
        match way {
            Way::Request => {
                let func = live.bodies.as_ref().and_then(|bodies| bodies.request.as_ref()).map(|funcs| funcs.whole);
                let func = planned(func, "on-request-body")?;
                live.call(func, waits, (whose.exchange, &bytes[..], &lines[..])).await.map(|(found,)| found.0)
            }
            Way::Response => {
                let func = live.bodies.as_ref().and_then(|bodies| bodies.response.as_ref()).map(|funcs| funcs.whole);
                let func = planned(func, "on-response-body")?;
                live.call(func, waits, (whose.exchange, &bytes[..], &lines[..])).await.map(|(found,)| found.0)
            }
        }
    }

    /// Nothing more comes of this exchange. Not for guests that may wait: those end with their exchange.
    pub(in super::super) fn release(&mut self, exchange: u64) -> Result<(), Broken> {
        let live = &mut *self.0;
        let Some(func) = live.bodies.as_ref().map(|bodies| bodies.release) else { return Ok(()) };
        live.enter_body(exchange, None);
        func.call(&mut live.store, (exchange,)).map_err(|error| broken(&mut live.store, &error))
    }
}

impl Live {
    fn pieces(&self, way: Way) -> Result<super::super::bodies::PieceFuncs, Broken> {
        planned(self.bodies.as_ref().and_then(|bodies| bodies.pieces(way)), "on-request-body` or `on-response-body")
    }

    #[inline]
    fn enter_body(&mut self, exchange: u64, trace: Option<&Standing>) {
        self.giver.gives();
        begin(&mut self.store);
        let state = self.store.data_mut();
        state.exchange = Some(exchange);
        state.trace = trace.cloned();
    }

    #[inline]
    async fn call<P, R>(&mut self, func: TypedFunc<P, R>, waits: bool, params: P) -> Result<R, Broken>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift + 'static,
    {
        let called = match waits {
            true => self.giver.throughout(func.call_async(&mut self.store, params)).await,
            false => func.call(&mut self.store, params),
        };
        called.map_err(|error| broken(&mut self.store, &error))
    }
}

fn attributes<'a>(found: Shown<'a>) -> Vec<types::Attribute<'a>> {
    found.attributes.iter().map(|(name, value)| types::Attribute { name, value }).collect()
}

fn headers<'a>(found: Shown<'a>) -> Vec<types::Header<'a>> {
    // Names of fields are ASCII.
    let text = |name: &'a [u8]| std::str::from_utf8(name).unwrap_or_default();
    found.headers.iter().map(|(name, value)| types::Header { name: text(name), value }).collect()
}
