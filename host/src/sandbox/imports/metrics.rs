//! `metrics`: the plugin's own numbers.

use super::{Capability, Rights};
use crate::observe::metrics::{Kind, LabelPair, SeriesError};
use crate::sandbox::fault::Stop;
use crate::sandbox::offer::Offer;
use crate::sandbox::state::Cx;
use wasmtime::component::{ComponentType, Lift};

#[derive(ComponentType, Lift)]
#[component(record)]
struct Label {
    name: Box<str>,
    value: Box<str>,
}

pub(super) fn link(offer: &mut Offer<'_>) -> wasmtime::Result<()> {
    let mut metrics = offer.capability(Capability::Metrics)?;
    metrics.func("count", |cx, (name, labels, add): (Box<str>, Vec<Label>, u64)| tell(&cx, Kind::Counter, &name, &labels, add as f64))?;
    metrics.func("gauge", |cx, (name, labels, value): (Box<str>, Vec<Label>, f64)| tell(&cx, Kind::Gauge, &name, &labels, value))?;
    metrics.func("observe", |cx, (name, labels, value): (Box<str>, Vec<Label>, f64)| tell(&cx, Kind::Histogram, &name, &labels, value))
}

fn tell(cx: &Cx<'_>, kind: Kind, name: &str, labels: &[Label], value: f64) -> wasmtime::Result<()> {
    let Rights { metrics: Some(series), .. } = &*cx.data().backing.rights else { return Ok(()) };
    let labels: Vec<LabelPair<'_>> = labels.iter().map(|label| (&*label.name, &*label.value)).collect();
    series.record(kind, name, &labels, value).map_err(|error: SeriesError| Stop::Metric(error.to_string()).into())
}
