//! Numbers of plugins: named series with bounded labels. What the proxy itself counts is in `tally`.

use super::exposition::{Exposition, Family, FamilyKind, number};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Series of one plugin. Each costs memory and a line in every scrape; chosen arbitrarily.
const MOST_SERIES: usize = 1_000;
const MOST_LABELS: usize = 8;
/// Bytes of a name or of a label's value.
const LONGEST: usize = 128;

/// Buckets end at powers of two, from this one.
const FIRST_BUCKET: i32 = -20;
const BUCKETS: usize = 51;

/// What a number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    Histogram,
}

pub type LabelPair<'a> = (&'a str, &'a str);

/// Why a number is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SeriesError {
    #[error("`{0}` is no name of a metric or label")]
    Name(String),
    #[error("{0} labels, more than {MOST_LABELS}")]
    Labels(usize),
    #[error("a label with {0} bytes, more than {LONGEST}")]
    Long(usize),
    #[error("`{0}` is a {1:?} already")]
    Kind(String, Kind),
}

/// All plugins of the process.
#[derive(Default)]
pub struct PluginMetrics {
    plugins: Mutex<BTreeMap<String, Weak<PluginSeries>>>,
}

/// One plugin's numbers. A lock, because a call holds it for a look-up and an addition.
#[derive(Default)]
pub struct PluginSeries(Mutex<Series>);

#[derive(Default, Clone)]
struct Series {
    metrics: BTreeMap<String, (Kind, BTreeMap<Labels, Number>)>,
    count: usize,
    dropped: u64,
}

type Labels = Vec<(String, String)>;

#[derive(Clone)]
enum Number {
    Plain(f64),
    Histogram(Box<Histogram>),
}

#[derive(Clone)]
struct Histogram {
    buckets: [u64; BUCKETS + 1],
    sum: f64,
}

impl PluginMetrics {
    /// The numbers of the plugin of this name, which go on over reloads for as long as any generation uses them.
    pub fn plugin(&self, name: &str) -> Arc<PluginSeries> {
        let mut plugins = self.plugins.lock().unwrap_or_else(PoisonError::into_inner);
        plugins.retain(|_, series| series.strong_count() > 0);
        if let Some(series) = plugins.get(name).and_then(Weak::upgrade) {
            return series;
        }
        let series = Arc::<PluginSeries>::default();
        plugins.insert(name.to_owned(), Arc::downgrade(&series));
        series
    }

    /// All of them, each with its plugin's name.
    pub fn write(&self, out: &mut Exposition) {
        let plugins = self.plugins.lock().unwrap_or_else(PoisonError::into_inner);
        let plugins: Vec<_> = plugins.iter().filter_map(|(name, series)| Some((name.clone(), series.upgrade()?))).collect();
        let mut dropped: BTreeMap<&str, u64> = BTreeMap::new();
        // A metric's lines must stand together, whichever plugins have it.
        let mut names: BTreeMap<String, Kind> = BTreeMap::new();
        // Copied, so that guests who count wait for the copy of their own numbers and not for all to be written.
        let copied: Vec<(&str, Series)> =
            plugins.iter().map(|(name, series)| (&**name, series.0.lock().unwrap_or_else(PoisonError::into_inner).clone())).collect();
        for (plugin, series) in &copied {
            if series.dropped > 0 {
                *dropped.entry(plugin).or_default() += series.dropped;
            }
            for (metric, (kind, _)) in &series.metrics {
                // The first plugin settles the kind.
                names.entry(metric.clone()).or_insert(*kind);
            }
        }
        for (metric, kind) in names {
            let name = format!("portcullis_plugin_{metric}");
            // Names are the guests' to choose: what would take another's samples for its own is left out.
            let mut family = out.try_family(kind.family(), &name, "");
            for (plugin, series) in &copied {
                let Some((own, numbers)) = series.metrics.get(&metric) else { continue };
                match &mut family {
                    Some(family) if *own == kind => numbers.iter().for_each(|(labels, number)| number.write(family, plugin, labels)),
                    _ => *dropped.entry(plugin).or_default() += numbers.len() as u64,
                }
            }
        }
        let mut family = out.counter(
            "portcullis_plugin_series_dropped",
            "Numbers of plugins that were not taken: too many series, or a name that another has.",
        );
        dropped.iter().for_each(|(plugin, count)| family.sample(&[("plugin", plugin)], *count));
    }
}

impl Kind {
    const fn family(self) -> FamilyKind {
        match self {
            Self::Counter => FamilyKind::Counter,
            Self::Gauge => FamilyKind::Gauge,
            Self::Histogram => FamilyKind::Histogram,
        }
    }
}

impl PluginSeries {
    /// Counters add, gauges are set, histograms observe.
    pub fn record(&self, kind: Kind, name: &str, labels: &[LabelPair<'_>], value: f64) -> Result<(), SeriesError> {
        check(name, labels)?;
        // Written behind every counter's name, so that it need not be said.
        let name = if kind == Kind::Counter { name.strip_suffix("_total").unwrap_or(name) } else { name };
        let mut series = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Series { metrics, count, dropped } = &mut *series;
        let known = metrics.get_mut(name);
        let full = *count >= MOST_SERIES;
        let (settled, numbers) = match known {
            Some(known) => known,
            None if full => {
                *dropped += 1;
                return Ok(());
            }
            None => metrics.entry(name.to_owned()).or_insert_with(|| (kind, BTreeMap::new())),
        };
        if *settled != kind {
            return Err(SeriesError::Kind(name.to_owned(), *settled));
        }
        let mut key: Labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        key.sort();
        if !numbers.contains_key(&key) {
            if full {
                *dropped += 1;
                return Ok(());
            }
            *count += 1;
        }
        numbers.entry(key).or_insert_with(|| Number::new(kind)).take(kind, value);
        Ok(())
    }
}

fn check(name: &str, labels: &[LabelPair<'_>]) -> Result<(), SeriesError> {
    if labels.len() > MOST_LABELS {
        return Err(SeriesError::Labels(labels.len()));
    }
    for (index, (label, value)) in labels.iter().enumerate() {
        let twice = labels.iter().take(index).any(|(other, _)| other == label);
        // `plugin` is ours, `le` a histogram's.
        if !is_name(label) || twice || matches!(*label, "plugin" | "le") {
            return Err(SeriesError::Name((*label).to_owned()));
        }
        if value.len() > LONGEST {
            return Err(SeriesError::Long(value.len()));
        }
    }
    if is_name(name) && name != "series_dropped" { Ok(()) } else { Err(SeriesError::Name(name.chars().take(LONGEST).collect())) }
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_lowercase() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && name.len() <= LONGEST
}

impl Number {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Counter | Kind::Gauge => Self::Plain(0.0),
            Kind::Histogram => Self::Histogram(Box::new(Histogram { buckets: [0; BUCKETS + 1], sum: 0.0 })),
        }
    }

    fn take(&mut self, kind: Kind, value: f64) {
        match self {
            Self::Plain(number) if kind == Kind::Gauge => *number = value,
            Self::Plain(number) => *number += value,
            Self::Histogram(histogram) => {
                let ends = (0..BUCKETS).position(|bucket| value <= end(bucket)).unwrap_or(BUCKETS);
                histogram.buckets[ends] += 1;
                histogram.sum += value;
            }
        }
    }

    fn write(&self, family: &mut Family<'_>, plugin: &str, labels: &Labels) {
        let all: Vec<_> = [("plugin", plugin)].into_iter().chain(labels.iter().map(|(name, value)| (&**name, &**value))).collect();
        match self {
            Self::Plain(number) => family.float(&all, *number),
            Self::Histogram(histogram) => {
                // Those that change nothing may be left out, but for the last.
                let ends = histogram.buckets.iter().enumerate().filter(|(bucket, count)| *bucket == BUCKETS || **count > 0);
                let ends: Vec<_> = ends.map(|(bucket, count)| (bucket_end(bucket), *count)).collect();
                family.buckets(&all, ends.iter().map(|(end, count)| (&**end, *count)), histogram.sum);
            }
        }
    }
}

fn bucket_end(bucket: usize) -> String {
    let mut text = String::new();
    number(&mut text, if bucket == BUCKETS { f64::INFINITY } else { end(bucket) });
    text
}

fn end(bucket: usize) -> f64 {
    f64::from(FIRST_BUCKET + bucket as i32).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::exposition::Format;

    fn text(metrics: &PluginMetrics) -> String {
        let mut out = Exposition::new(Format::Prometheus);
        metrics.write(&mut out);
        out.finish()
    }

    #[test]
    fn numbers_are_added_set_and_observed() {
        let metrics = PluginMetrics::default();
        let series = metrics.plugin("jwt");
        for _ in 0..2 {
            series.record(Kind::Counter, "asked", &[("result", "a\"b")], 2.0).expect("sound");
            series.record(Kind::Gauge, "cached", &[], 7.0).expect("sound");
            series.record(Kind::Histogram, "took", &[], 0.3).expect("sound");
        }
        series.record(Kind::Histogram, "took", &[], 1e12).expect("sound");
        let expected = "\
# TYPE portcullis_plugin_asked_total counter
portcullis_plugin_asked_total{plugin=\"jwt\",result=\"a\\\"b\"} 4.0
# TYPE portcullis_plugin_cached gauge
portcullis_plugin_cached{plugin=\"jwt\"} 7.0
# TYPE portcullis_plugin_took histogram
portcullis_plugin_took_bucket{plugin=\"jwt\",le=\"0.5\"} 2
portcullis_plugin_took_bucket{plugin=\"jwt\",le=\"+Inf\"} 3
portcullis_plugin_took_count{plugin=\"jwt\"} 3
portcullis_plugin_took_sum{plugin=\"jwt\"} 1.0000000000006e+12
";
        let text = self::text(&metrics);
        assert!(text.starts_with(expected), "{text}");
        drop(series);
        assert!(!self::text(&metrics).contains("jwt"), "nobody uses it any more");
    }

    #[test]
    fn what_is_no_metric_is_refused() {
        let series = PluginSeries::default();
        series.record(Kind::Counter, "a", &[], 1.0).expect("sound");
        for (name, labels) in
            [("A", &[][..]), ("", &[]), ("1a", &[]), ("a b", &[]), ("b", &[("plugin", "x")]), ("b", &[("l", ""), ("l", "")])]
        {
            assert!(series.record(Kind::Counter, name, labels, 1.0).is_err(), "{name} {labels:?}");
        }
        assert_eq!(series.record(Kind::Gauge, "a", &[], 1.0), Err(SeriesError::Kind("a".into(), Kind::Counter)));
    }

    #[test]
    fn series_are_bounded_and_what_is_dropped_is_counted() {
        let metrics = PluginMetrics::default();
        let series = metrics.plugin("p");
        for n in 0..MOST_SERIES + 5 {
            series.record(Kind::Counter, "a", &[("n", &n.to_string())], 1.0).expect("sound");
        }
        series.record(Kind::Counter, "a", &[("n", "0")], 1.0).expect("known ones go on");
        let text = self::text(&metrics);
        assert_eq!(text.lines().filter(|line| line.starts_with("portcullis_plugin_a_total{")).count(), MOST_SERIES);
        assert!(text.ends_with("portcullis_plugin_series_dropped_total{plugin=\"p\"} 5\n") && text.contains("n=\"0\"} 2.0\n"), "{text}");
    }

    #[test]
    fn what_would_be_mistaken_for_another_is_left_out_and_counted() {
        let metrics = PluginMetrics::default();
        let (first, second) = (metrics.plugin("a"), metrics.plugin("b"));
        first.record(Kind::Counter, "x_total", &[], 1.0).expect("sound");
        first.record(Kind::Counter, "x", &[], 1.0).expect("the same");
        first.record(Kind::Histogram, "h", &[], 1.0).expect("sound");
        second.record(Kind::Gauge, "x", &[], 1.0).expect("its own affair");
        second.record(Kind::Gauge, "h_count", &[], 1.0).expect("its own affair");
        let text = self::text(&metrics);
        assert!(text.contains("portcullis_plugin_x_total{plugin=\"a\"} 2.0\n") && !text.contains("x{plugin=\"b\"}"), "{text}");
        assert!(!text.contains("h_count{plugin=\"b\"}") && text.contains("dropped_total{plugin=\"b\"} 2\n"), "{text}");
    }
}
