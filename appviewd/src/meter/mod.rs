//! Numbers for Prometheus: whatever the library and the daemon count, as text.
//!
//! Calls of the `metrics` facade enter from anywhere; text leaves, in the
//! [exposition format](https://prometheus.io/docs/instrumenting/exposition_formats/). What there is to count stands in
//! [`FAMILIES`]; a name that is not there is not counted. Deliberately absent: DIDs and hosts that strangers chose, in any
//! label, and a bound that they could break: of one family at most [`SERIES`] are told apart.

mod family;
mod readings;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use metrics::{
    Counter, Gauge, GaugeFn as _, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder, SharedString,
    Unit,
};

pub use family::{FAMILIES, Family, Kind};
pub use readings::read;

/// Most series of one family; whatever comes after them is counted as `other`.
pub const SERIES: usize = 250;

/// All numbers of this process; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<RwLock<BTreeMap<&'static str, Families>>>);

/// The series of one family, by their labels as they are written.
type Families = BTreeMap<String, Series>;

#[derive(Debug, Clone)]
enum Series {
    Counter(Arc<AtomicU64>),
    /// The bits of an `f64`.
    Gauge(Arc<AtomicU64>),
    Histogram(Arc<Buckets>),
}

/// How many values were at most as large as each bound, and what all of them add up to.
#[derive(Debug)]
struct Buckets {
    bounds: &'static [f64],
    /// One for each bound, and one for what is larger: not yet added up.
    counts: Vec<AtomicU64>,
    /// The bits of an `f64`.
    sum: AtomicU64,
}

impl Meter {
    /// The one meter of this process; counts from the first call on.
    pub fn global() -> &'static Self {
        static METER: OnceLock<Meter> = OnceLock::new();
        METER.get_or_init(|| {
            let meter = Self::default();
            // Whoever embeds the daemon may have chosen another place for numbers.
            let _ = metrics::set_global_recorder(meter.clone());
            meter
        })
    }

    /// Everything, in the text format, version 0.0.4.
    #[must_use]
    pub fn render(&self) -> String {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::new();
        for Family { name, kind, help, .. } in FAMILIES {
            // Writing to a string does not fail.
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, series) in all.get(name).into_iter().flatten() {
                series.render(&mut out, name, labels);
            }
        }
        out
    }

    /// The series of a key; none where there is no such family.
    fn series(&self, key: &Key, wanted: impl Fn(Kind) -> Option<Series>) -> Option<Series> {
        let family = FAMILIES.iter().find(|family| family.name == key.name())?;
        let labels = labels(key, |value| value);
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(series) = known.get(family.name).and_then(|series| series.get(&labels)) {
            return Some(series.clone());
        }
        drop(known);
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(family.name).or_default();
        // Another thread may have been first.
        let is_told_apart = known.len() < SERIES || known.contains_key(&labels);
        let labels = if is_told_apart { labels } else { self::labels(key, |_| "other") };
        if let Some(series) = known.get(&labels) {
            return Some(series.clone());
        }
        let series = wanted(family.kind)?;
        known.insert(labels, series.clone());
        Some(series)
    }
}

impl Recorder for Meter {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let wanted = |kind| (kind == Kind::Counter).then(|| Series::Counter(Arc::default()));
        match self.series(key, wanted) {
            Some(Series::Counter(counter)) => Counter::from_arc(counter),
            _ => Counter::noop(),
        }
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        match self.series(key, |kind| (kind == Kind::Gauge).then(|| Series::Gauge(Arc::default()))) {
            Some(Series::Gauge(gauge)) => Gauge::from_arc(gauge),
            _ => Gauge::noop(),
        }
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        let wanted = |kind| match kind {
            Kind::Histogram(bounds) => Some(Series::Histogram(Arc::new(Buckets::new(bounds)))),
            Kind::Counter | Kind::Gauge => None,
        };
        match self.series(key, wanted) {
            Some(Series::Histogram(buckets)) => Histogram::from_arc(buckets),
            _ => Histogram::noop(),
        }
    }
}

impl Series {
    fn render(&self, out: &mut String, name: &str, labels: &str) {
        let braces = |labels: &str| if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
        let own = braces(labels);
        // Writing to a string does not fail.
        let _ = match self {
            Self::Counter(count) => writeln!(out, "{name}{own} {}", count.load(Ordering::Relaxed)),
            Self::Gauge(bits) => {
                writeln!(out, "{name}{own} {}", f64::from_bits(bits.load(Ordering::Relaxed)))
            }
            Self::Histogram(buckets) => {
                let mut total = 0_u64;
                let bounds = buckets.bounds.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
                for (bound, count) in bounds.zip(&buckets.counts) {
                    total = total.saturating_add(count.load(Ordering::Relaxed));
                    let comma = if labels.is_empty() { "" } else { "," };
                    let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {total}");
                }
                let sum = f64::from_bits(buckets.sum.load(Ordering::Relaxed));
                writeln!(out, "{name}_sum{own} {sum}\n{name}_count{own} {total}")
            }
        };
    }
}

impl Buckets {
    fn new(bounds: &'static [f64]) -> Self {
        let counts =
            std::iter::repeat_with(AtomicU64::default).take(bounds.len().saturating_add(1)).collect();
        Self { bounds, counts, sum: AtomicU64::default() }
    }
}

impl HistogramFn for Buckets {
    fn record(&self, value: f64) {
        let place = self.bounds.iter().take_while(|bound| value > **bound).count();
        if let Some(count) = self.counts.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
            self.sum.increment(value);
        }
    }
}

/// Labels as they are written: `name="value",…`.
fn labels<'k>(key: &'k Key, value: impl Fn(&'k str) -> &'k str) -> String {
    let mut out = String::new();
    for label in key.labels() {
        let comma = if out.is_empty() { "" } else { "," };
        let value = value(label.value()).replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
        // Writing to a string does not fail.
        let _ = write!(out, "{comma}{}=\"{value}\"", label.key());
    }
    out
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn lines(meter: &Meter, name: &str) -> Vec<String> {
        let is_sample = |line: &&str| line.starts_with(name);
        meter.render().lines().filter(is_sample).map(str::to_owned).collect()
    }

    #[test]
    fn a_count_is_written_with_its_labels_escaped() {
        let meter = Meter::default();
        metrics::with_local_recorder(&meter, || {
            metrics::counter!("appview_rejected_total", "reason" => "a \"quoted\"\\\nword").increment(2);
            metrics::counter!("appview_rejected_total", "reason" => "a \"quoted\"\\\nword").increment(1);
            metrics::gauge!("appview_proven_share").set(0.25);
            metrics::counter!("appview_nobody_knows_total").increment(1);
        });
        let expected = r#"appview_rejected_total{reason="a \"quoted\"\\\nword"} 3"#;
        assert_eq!(lines(&meter, "appview_rejected_total"), [expected]);
        assert_eq!(lines(&meter, "appview_proven_share"), ["appview_proven_share 0.25"]);
        assert_eq!(lines(&meter, "appview_nobody_knows_total"), [""; 0]);
    }

    #[test]
    fn a_histogram_counts_what_is_at_most_as_large_as_each_bound() {
        let meter = Meter::default();
        metrics::with_local_recorder(&meter, || {
            for value in [0.05, 1.0, 2.0, 1e9] {
                metrics::histogram!("appview_export_seconds").record(value);
            }
        });
        let lines = lines(&meter, "appview_export_seconds");
        let value = |bound: &str| lines.iter().find(|line| line.contains(bound)).unwrap().rsplit(' ').next();
        assert_eq!(value("le=\"0.1\""), Some("1"));
        assert_eq!(value("le=\"1\""), Some("2"));
        assert_eq!(value("le=\"+Inf\""), Some("4"));
        assert_eq!((value("_count"), value("_sum")), (Some("4"), Some("1000000003.05")));
    }

    #[test]
    fn what_strangers_call_things_does_not_grow_without_bound() {
        let meter = Meter::default();
        metrics::with_local_recorder(&meter, || {
            for at in 0..SERIES + 50 {
                metrics::counter!("appview_stream_notices_total", "name" => format!("name {at}"))
                    .increment(1);
            }
        });
        let lines = lines(&meter, "appview_stream_notices_total");
        assert_eq!(lines.len(), SERIES + 1);
        assert!(lines.contains(&"appview_stream_notices_total{name=\"other\"} 50".to_owned()));
    }
}
