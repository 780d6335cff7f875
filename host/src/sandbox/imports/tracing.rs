//! `tracing`: what a guest says of its call in the trace of the exchange. Nothing happens where nothing is traced.

use super::Capability;
use crate::message::trace::Standing;
use crate::sandbox::fault::Stop;
use crate::sandbox::offer::Offer;
use crate::sandbox::state::Cx;
use wasmtime::component::{ComponentType, Lift};

/// Bytes of a name, and of a value; what is longer is cut.
const NAME: usize = 128;
const VALUE: usize = 1024;
/// Attributes of an event.
const MOST: usize = 8;

#[derive(ComponentType, Lift)]
#[component(record)]
struct Pair {
    name: Box<str>,
    value: Box<str>,
}

pub(super) fn link(offer: &mut Offer<'_>) -> wasmtime::Result<()> {
    let mut tracing = offer.capability(Capability::Tracing)?;
    tracing.func("set-attribute", |cx, (name, value): (Box<str>, Box<str>)| {
        if let Some(call) = noted(&cx) {
            call.attribute(cut(&name, NAME), cut(&value, VALUE));
        }
        Ok(())
    })?;
    tracing.func("add-event", |cx, (name, attributes): (Box<str>, Vec<Pair>)| {
        if attributes.len() > MOST {
            return Err(Stop::TooMany("attributes of an event").into());
        }
        if let Some(call) = noted(&cx) {
            let attributes = attributes.iter().map(|pair| (cut(&pair.name, NAME), cut(&pair.value, VALUE)));
            call.event(cut(&name, NAME), attributes.collect());
        }
        Ok(())
    })?;
    tracing.func("traceparent", |cx, (): ()| Ok((cx.data().trace.as_ref().map(|trace| trace.context().text()),)))
}

fn noted<'c>(cx: &'c Cx<'_>) -> Option<&'c Standing> {
    cx.data().trace.as_ref().filter(|trace| trace.is_noted())
}

fn cut(text: &str, most: usize) -> String {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text).to_owned()
}
