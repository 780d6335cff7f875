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

/// A text that grows family by family. Each family must be written once, all its samples together.
pub struct Exposition {
    out: String,
    format: Format,
    /// Names of samples that were written, so that none is written twice.
    taken: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FamilyKind {
    Counter,
    Gauge,
    Histogram,
}

/// One metric with all its samples.
pub struct Family<'e> {
    out: &'e mut String,
    name: &'e str,
    kind: FamilyKind,
}

pub type Labels<'l> = &'l [(&'l str, &'l str)];

impl Exposition {
    pub fn new(format: Format) -> Self {
        Self { out: String::with_capacity(64 << 10), format, taken: BTreeSet::new() }
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
        // OpenMetrics names the family, its predecessor the sample.
        let said = if kind == FamilyKind::Counter && self.format == Format::Prometheus { "_total" } else { "" };
        let word = match kind {
            FamilyKind::Counter => "counter",
            FamilyKind::Gauge => "gauge",
            FamilyKind::Histogram => "histogram",
        };
        if !help.is_empty() {
            let _ = writeln!(self.out, "# HELP {name}{said} {help}");
        }
        let _ = writeln!(self.out, "# TYPE {name}{said} {word}");
        Family { out: &mut self.out, name, kind }
    }

    pub fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.out.push_str("# EOF\n");
        }
        self.out
    }
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
        self.begin(if self.kind == FamilyKind::Counter { "_total" } else { "" }, labels, None);
        let _ = writeln!(self.out, " {value}");
    }

    pub fn float(&mut self, labels: Labels<'_>, value: f64) {
        self.begin(if self.kind == FamilyKind::Counter { "_total" } else { "" }, labels, None);
        self.out.push(' ');
        number(self.out, value);
        self.out.push('\n');
    }

    /// A histogram's, in seconds.
    pub fn times(&mut self, labels: Labels<'_>, times: &Times) {
        let ends = times.bounds.iter().map(|(_, end)| *end).chain(["+Inf"]);
        self.buckets(labels, ends.zip(times.buckets.iter().copied()), times.nanos as f64 / 1e9);
    }

    /// A histogram's; what is in each bucket by its end, which must go up to `+Inf`.
    pub fn buckets<'b>(&mut self, labels: Labels<'_>, buckets: impl Iterator<Item = (&'b str, u64)>, sum: f64) {
        let mut so_far = 0;
        for (end, count) in buckets {
            so_far += count;
            self.begin("_bucket", labels, Some(end));
            let _ = writeln!(self.out, " {so_far}");
        }
        self.begin("_count", labels, None);
        let _ = writeln!(self.out, " {so_far}");
        self.begin("_sum", labels, None);
        self.out.push(' ');
        number(self.out, sum);
        self.out.push('\n');
    }

    fn begin(&mut self, suffix: &str, labels: Labels<'_>, end: Option<&str>) {
        self.out.push_str(self.name);
        self.out.push_str(suffix);
        let mut mark = '{';
        for (name, value) in labels.iter().copied().chain(end.map(|end| ("le", end))) {
            self.out.push(mark);
            self.out.push_str(name);
            self.out.push_str("=\"");
            escaped(self.out, value);
            self.out.push('"');
            mark = ',';
        }
        if mark == ',' {
            self.out.push('}');
        }
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
