//! How numbers are written for who collects them: Prometheus' text format 0.0.4, and OpenMetrics 1.0. Knows none of the numbers.

use super::numbers::Times;
use std::collections::BTreeSet;
use std::fmt::Write as _;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Prometheus,
    OpenMetrics,
}

impl Format {
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A text, or what others make something of, that grows family by family. Each family must be written once, all its samples together.
pub struct Exposition {
    out: Out,
    /// Names of samples that were written, so that none is written twice.
    taken: BTreeSet<String>,
}

enum Out {
    Text(String, Format),
    Told(Vec<Told>),
}

/// A family as it is told.
#[derive(Debug)]
pub struct Told {
    /// Of counters without `_total`.
    pub name: String,
    pub help: String,
    pub kind: FamilyKind,
    pub samples: Vec<(Vec<(String, String)>, Value)>,
}

#[derive(Debug)]
pub enum Value {
    Whole(u64),
    Float(f64),
    /// Where buckets end, but for the last, which has no end; what is in each; and the sum.
    Buckets {
        ends: Vec<f64>,
        counts: Vec<u64>,
        sum: f64,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FamilyKind {
    Counter,
    Gauge,
    Histogram,
}

impl FamilyKind {
    /// Of a sample's name.
    const fn suffix(self) -> &'static str {
        if matches!(self, Self::Counter) { "_total" } else { "" }
    }
}

/// One metric with all its samples.
pub struct Family<'e> {
    out: FamilyOut<'e>,
    name: &'e str,
    kind: FamilyKind,
}

enum FamilyOut<'e> {
    Text(&'e mut String),
    Told(&'e mut Told),
}

pub type Labels<'l> = &'l [(&'l str, &'l str)];

impl Exposition {
    pub fn new(format: Format) -> Self {
        Self { out: Out::Text(String::with_capacity(64 << 10), format), taken: BTreeSet::new() }
    }

    /// For who does not want text.
    pub fn telling() -> Self {
        Self { out: Out::Told(Vec::new()), taken: BTreeSet::new() }
    }

    /// `name` without `_total`.
    pub fn counter<'e>(&'e mut self, name: &'e str, help: &str) -> Family<'e> {
        self.family(FamilyKind::Counter, name, help)
    }

    pub fn gauge<'e>(&'e mut self, name: &'e str, help: &str) -> Family<'e> {
        self.family(FamilyKind::Gauge, name, help)
    }

    pub fn histogram<'e>(&'e mut self, name: &'e str, help: &str) -> Family<'e> {
        self.family(FamilyKind::Histogram, name, help)
    }

    /// `None`: one of its samples would have the name of another family's. For names that are not ours to choose.
    pub fn try_family<'e>(&'e mut self, kind: FamilyKind, name: &'e str, help: &str) -> Option<Family<'e>> {
        if samples(kind, name).any(|sample| self.taken.contains(&sample)) { None } else { Some(self.family(kind, name, help)) }
    }

    fn family<'e>(&'e mut self, kind: FamilyKind, name: &'e str, help: &str) -> Family<'e> {
        self.taken.extend(samples(kind, name));
        let out = match &mut self.out {
            Out::Text(text, format) => {
                announce(text, *format, (kind, name, help));
                FamilyOut::Text(text)
            }
            Out::Told(all) => {
                let told = Told { name: name.to_owned(), help: help.to_owned(), kind, samples: Vec::new() };
                all.push(told);
                // Just put there.
                FamilyOut::Told(all.last_mut().expect("it is not empty"))
            }
        };
        Family { out, name, kind }
    }

    /// The text; empty if none was wanted.
    pub fn finish(self) -> String {
        match self.out {
            Out::Text(text, Format::Prometheus) => text,
            Out::Text(text, Format::OpenMetrics) => text + "# EOF\n",
            Out::Told(_) => String::new(),
        }
    }

    /// What was told; nothing if text was wanted.
    pub fn told(self) -> Vec<Told> {
        match self.out {
            Out::Text(..) => Vec::new(),
            Out::Told(told) => told,
        }
    }
}

fn announce(out: &mut String, format: Format, (kind, name, help): (FamilyKind, &str, &str)) {
    // OpenMetrics names the family, its predecessor the sample.
    let said = if kind == FamilyKind::Counter && format == Format::Prometheus { "_total" } else { "" };
    let word = match kind {
        FamilyKind::Counter => "counter",
        FamilyKind::Gauge => "gauge",
        FamilyKind::Histogram => "histogram",
    };
    if !help.is_empty() {
        let _ = writeln!(out, "# HELP {name}{said} {help}");
    }
    let _ = writeln!(out, "# TYPE {name}{said} {word}");
}

/// What its samples are called, and the family itself, which OpenMetrics keeps from being a sample of others.
fn samples(kind: FamilyKind, name: &str) -> impl Iterator<Item = String> {
    let suffixes: &[&str] = match kind {
        FamilyKind::Counter => &["", "_total"],
        FamilyKind::Gauge => &[""],
        FamilyKind::Histogram => &["", "_bucket", "_sum", "_count"],
    };
    suffixes.iter().map(move |suffix| format!("{name}{suffix}"))
}

impl Family<'_> {
    pub fn sample(&mut self, labels: Labels<'_>, value: u64) {
        match &mut self.out {
            FamilyOut::Told(told) => told.samples.push((owned(labels), Value::Whole(value))),
            FamilyOut::Text(text) => {
                begin(text, (self.name, self.kind.suffix()), labels, None);
                let _ = writeln!(text, " {value}");
            }
        }
    }

    pub fn float(&mut self, labels: Labels<'_>, value: f64) {
        match &mut self.out {
            FamilyOut::Told(told) => told.samples.push((owned(labels), Value::Float(value))),
            FamilyOut::Text(text) => {
                begin(text, (self.name, self.kind.suffix()), labels, None);
                text.push(' ');
                number(text, value);
                text.push('\n');
            }
        }
    }

    /// A histogram's, in seconds.
    pub fn times(&mut self, labels: Labels<'_>, times: &Times) {
        let ends = times.bounds.iter().map(|(_, end)| *end).chain(["+Inf"]);
        self.buckets(labels, ends.zip(times.buckets.iter().copied()), times.nanos as f64 / 1e9);
    }

    /// A histogram's; what is in each bucket by its end, which must go up to `+Inf`.
    pub fn buckets<'b>(&mut self, labels: Labels<'_>, buckets: impl Iterator<Item = (&'b str, u64)>, sum: f64) {
        let text = match &mut self.out {
            FamilyOut::Text(text) => text,
            FamilyOut::Told(told) => {
                let (mut ends, counts): (Vec<f64>, Vec<u64>) =
                    buckets.map(|(end, count)| (end.parse().unwrap_or(f64::INFINITY), count)).unzip();
                // The last has no end.
                ends.pop();
                told.samples.push((owned(labels), Value::Buckets { ends, counts, sum }));
                return;
            }
        };
        let mut so_far = 0;
        for (end, count) in buckets {
            so_far += count;
            begin(text, (self.name, "_bucket"), labels, Some(end));
            let _ = writeln!(text, " {so_far}");
        }
        begin(text, (self.name, "_count"), labels, None);
        let _ = writeln!(text, " {so_far}");
        begin(text, (self.name, "_sum"), labels, None);
        text.push(' ');
        number(text, sum);
        text.push('\n');
    }
}

fn owned(labels: Labels<'_>) -> Vec<(String, String)> {
    labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn begin(out: &mut String, (name, suffix): (&str, &str), labels: Labels<'_>, end: Option<&str>) {
    out.push_str(name);
    out.push_str(suffix);
    let mut mark = '{';
    for (name, value) in labels.iter().copied().chain(end.map(|end| ("le", end))) {
        out.push(mark);
        out.push_str(name);
        out.push_str("=\"");
        escaped(out, value);
        out.push('"');
        mark = ',';
    }
    if mark == ',' {
        out.push('}');
    }
}

fn escaped(out: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
}

/// As OpenMetrics wants floats of `le`, and everybody can read them: with a point, and an exponent where Go writes one.
pub(super) fn number(out: &mut String, value: f64) {
    let magnitude = value.abs();
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "+Inf" } else { "-Inf" });
    } else if magnitude == 0.0 || (1e-4..1e6).contains(&magnitude) {
        let _ = write!(out, "{value:?}");
    } else {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |rest| ('-', rest));
        let _ = write!(out, "{digits}{}e{sign}{exponent:0>2}", if digits.contains('.') { "" } else { ".0" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::numbers::{Histogram, OF_CONNECTS};
    use std::time::Duration;

    #[test]
    fn what_is_told_is_what_is_written() {
        let mut exposition = Exposition::telling();
        exposition.counter("a", "Some.").sample(&[("x", "y")], 1);
        exposition.histogram("h", "").buckets(&[], [("0.5", 2), ("+Inf", 1)].into_iter(), 3.0);
        let told = exposition.told();
        let [a, h] = &told[..] else { panic!("{told:?}") };
        assert_eq!((&*a.name, &*a.help, a.kind), ("a", "Some.", FamilyKind::Counter));
        assert!(matches!(&a.samples[..], [(labels, Value::Whole(1))] if labels[..] == [("x".to_owned(), "y".to_owned())]), "{told:?}");
        let buckets = &h.samples[0].1;
        assert!(
            matches!(buckets, Value::Buckets { ends, counts, sum } if ends[..] == [0.5] && counts[..] == [2, 1] && *sum == 3.0),
            "{told:?}"
        );
    }

    fn text(format: Format) -> String {
        let mut exposition = Exposition::new(format);
        exposition.counter("a", "Some.").sample(&[("x", "q\"\\\n")], 1);
        exposition.gauge("b", "").float(&[], 0.5);
        assert!(exposition.try_family(FamilyKind::Gauge, "a_total", "").is_none(), "the counter's sample");
        exposition.finish()
    }

    #[test]
    fn both_formats() {
        let prometheus = "# HELP a_total Some.\n# TYPE a_total counter\na_total{x=\"q\\\"\\\\\\n\"} 1\n# TYPE b gauge\nb 0.5\n";
        assert_eq!(text(Format::Prometheus), prometheus);
        assert_eq!(
            text(Format::OpenMetrics),
            prometheus.replace("# HELP a_total", "# HELP a").replace("# TYPE a_total", "# TYPE a") + "# EOF\n"
        );
    }

    #[test]
    fn buckets_add_up() {
        let histogram = Histogram::new(OF_CONNECTS);
        [50, 400, 9_000_000].into_iter().for_each(|micros| histogram.observe(Duration::from_micros(micros)));
        let mut times = Times::none(OF_CONNECTS);
        times.take(&histogram);
        let mut exposition = Exposition::new(Format::Prometheus);
        exposition.histogram("t", "").times(&[("u", "v")], &times);
        let text = exposition.finish();
        for line in [
            "t_bucket{u=\"v\",le=\"0.0001\"} 1",
            "t_bucket{u=\"v\",le=\"5.0\"} 2",
            "t_bucket{u=\"v\",le=\"+Inf\"} 3",
            "t_sum{u=\"v\"} 9.00045",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in {text}");
        }
    }

    #[test]
    fn numbers_read_back() {
        for (value, expected) in [
            (0.0, "0.0"),
            (0.25, "0.25"),
            (1.0, "1.0"),
            (0.000_03, "3.0e-05"),
            (2e9, "2.0e+09"),
            (-1.5e-7, "-1.5e-07"),
            (f64::INFINITY, "+Inf"),
        ] {
            let mut out = String::new();
            number(&mut out, value);
            assert_eq!(out, expected);
        }
    }
}
