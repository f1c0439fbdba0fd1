//! What the verifier counted, as counters of the facade `metrics` (feature `net`).
//!
//! Two readings of one [`Tally`] enter; counters grow by the difference. They go on where one following ends and another
//! begins, which a tally does not, and cost nothing for each frame. Deliberately absent: where the numbers go.

use crate::sync::verifier::Tally;

/// Counts what came between two readings of one verifier.
pub(super) fn count(before: Tally, now: Tally) {
    let grown = [
        ("appview_frames_total", before.frames, now.frames),
        ("appview_frames_foreign_total", before.foreign, now.foreign),
        ("appview_frames_deviating_total", before.deviating, now.deviating),
        ("appview_hints_total", before.hints, now.hints),
        ("appview_commits_total", before.commits, now.commits),
        ("appview_commits_stale_total", before.stale, now.stale),
        ("appview_repos_total", before.repos, now.repos),
        ("appview_records_total", before.records, now.records),
        ("appview_malformed_paths_total", before.malformed_paths, now.malformed_paths),
        ("appview_audit_differences_total", before.audit_differences, now.audit_differences),
    ];
    for (name, before, now) in grown.into_iter().filter(|(_, before, now)| now > before) {
        metrics::counter!(name).increment(now - before);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};

    use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

    use super::*;

    /// Counters by name.
    #[derive(Default)]
    struct Counted(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

    impl Recorder for Counted {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
        fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
            Counter::from_arc(Arc::clone(self.0.lock().unwrap().entry(key.name().to_owned()).or_default()))
        }
        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            Gauge::noop()
        }
        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }

    #[test]
    fn counters_go_on_where_another_verifier_counts_from_nothing() {
        let counted = Counted::default();
        metrics::with_local_recorder(&counted, || {
            let first = Tally { frames: 5, commits: 2, ..Tally::default() };
            count(Tally::default(), first);
            count(first, Tally { frames: 7, ..first });
            count(Tally::default(), Tally { frames: 1, ..Tally::default() });
        });
        let counters = counted.0.into_inner().unwrap();
        let counted: Vec<_> =
            counters.iter().map(|(name, count)| (name.as_str(), count.load(Ordering::Relaxed))).collect();
        assert_eq!(counted, [("appview_commits_total", 2), ("appview_frames_total", 8)]);
    }
}
