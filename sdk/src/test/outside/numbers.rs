//! The plugin's metrics.

use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

type Labels = Vec<(String, String)>;

/// By name: of which kind, and the values of each series.
#[derive(Default)]
pub struct Numbers(BTreeMap<String, (Kind, BTreeMap<Labels, Vec<f64>>)>);

impl Numbers {
    pub fn take(&mut self, kind: Kind, name: &str, labels: &[(&str, &str)], value: f64) {
        check(name, labels);
        let (settled, series) = self.0.entry(name.to_owned()).or_insert_with(|| (kind, BTreeMap::new()));
        assert!(*settled == kind, "fault: the metric `{name}` is a {settled:?} already");
        let values = series.entry(sorted(labels)).or_default();
        match kind {
            Kind::Counter => *values = vec![values.first().unwrap_or(&0.0) + value],
            Kind::Gauge => *values = vec![value],
            Kind::Histogram => values.push(value),
        }
    }

    pub fn counter(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        self.values(Kind::Counter, name, labels).first().map_or(0, |sum| *sum as u64)
    }

    pub fn gauge(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.values(Kind::Gauge, name, labels).first().copied()
    }

    pub fn observed(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        self.values(Kind::Histogram, name, labels).to_vec()
    }

    fn values(&self, kind: Kind, name: &str, labels: &[(&str, &str)]) -> &[f64] {
        let Some((settled, series)) = self.0.get(name) else { return &[] };
        assert!(*settled == kind, "the metric `{name}` is a {settled:?}");
        series.get(&sorted(labels)).map_or(&[], |values| values)
    }
}

fn sorted(labels: &[(&str, &str)]) -> Labels {
    let mut labels: Labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    labels.sort();
    labels
}

/// As the proxy checks them.
fn check(name: &str, labels: &[(&str, &str)]) {
    assert!(is_name(name) && name != "series_dropped", "fault: `{name}` is no name of a metric: [a-z_][a-z0-9_]*");
    assert!(labels.len() <= 8, "fault: a metric has at most 8 labels, not {}", labels.len());
    for (index, (label, value)) in labels.iter().enumerate() {
        let free = is_name(label) && !matches!(*label, "plugin" | "le");
        assert!(free, "fault: `{label}` is no name of a label: [a-z_][a-z0-9_]*, and neither plugin nor le");
        assert!(labels[..index].iter().all(|(other, _)| other != label), "fault: the label `{label}` stands there twice");
        assert!(value.len() <= 128, "fault: the value of the label `{label}` has {} bytes, more than 128", value.len());
    }
}

fn is_name(name: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    name.len() <= 128 && name.bytes().next().is_some_and(word) && name.bytes().all(|byte| word(byte) || byte.is_ascii_digit())
}
