//! What has changed from look to look: rates, and how much worse errors have become.
//!
//! Looks enter in the order in which they were taken; the last that had something in it is kept, with what led to it.

use std::collections::{BTreeMap, VecDeque};

use super::look::{Look, Numbers};

/// How many rates are kept of each kind.
pub(super) const KEPT: usize = 60;
/// Over how long errors are said to have come lately, in microseconds.
const LATELY: u64 = 60_000_000;

/// What is counted and shown as a rate: how it is called, and the name it is counted by.
pub(super) const RATES: &[(&str, &str)] = &[
    ("frames received", "appview_frames_total"),
    ("hints heard", "appview_hints_total"),
    ("commits proven", "appview_commits_total"),
    ("repositories proven", "appview_repos_total"),
    ("audits", "appview_audits_total"),
    ("changes written", "appview_changes_written_total"),
    ("requests answered", "appview_http_requests_total"),
];

/// What is counted and is an error, by the label that tells its kinds apart, without the kinds that are none: a frame that is not
/// newer than what is held is another stream's copy.
const ERRORS: &[(&str, &str, &str, &[&str])] = &[
    ("frame refused", "appview_rejected_total", "reason", &["stale-rev"]),
    ("change refused by the index", "appview_refused_changes_total", "", &[]),
    ("stream lost", "appview_stream_reconnects_total", "endpoint", &[]),
    ("stream stood still", "appview_stream_stalls_total", "endpoint", &[]),
    ("request failed", "appview_requests_total", "outcome", &["answered"]),
    ("repository not had", "appview_fetches_total", "outcome", &["proven", "current", "not-hosted"]),
    ("record not had", "appview_records_fetched_total", "outcome", &["proven"]),
    ("audit failed", "appview_audits_total", "outcome", &["current", "behind", "not-hosted"]),
    ("audit found a difference", "appview_audit_differences_total", "", &[]),
    ("listing failed", "appview_discovery_pages_total", "outcome", &["read"]),
    ("host left alone", "appview_host_rests_total", "reason", &[]),
    ("connection refused", "appview_http_connections_refused_total", "", &[]),
];

/// Errors of one kind.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Errors {
    /// What went wrong.
    pub(super) what: String,
    /// How often since the daemon started.
    pub(super) total: f64,
    /// How many of those in the last minute, or since the first look.
    pub(super) lately: f64,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub(super) struct History {
    last: Option<Look>,
    /// Since when the daemon has told nothing, and why.
    gone: Option<(u64, String)>,
    rates: BTreeMap<&'static str, VecDeque<f64>>,
    /// Counts of errors, the oldest first.
    errors: VecDeque<(u64, BTreeMap<String, f64>)>,
}

impl History {
    /// Adds a look.
    pub(super) fn see(&mut self, look: Look) {
        if look.is_empty() {
            let why = look.missing.first().cloned().unwrap_or_default();
            let since = self.gone.take().map_or(look.at, |(since, _)| since);
            self.gone = Some((since, why));
            return;
        }
        // What was counted while nobody looked has no moment.
        let was_gone = self.gone.take().is_some();
        if let (false, Some(last)) = (was_gone, &self.last)
            && let (Some(before), Some(after)) = (&last.numbers, &look.numbers)
        {
            let seconds = seconds(look.at.saturating_sub(last.at));
            for (_, name) in RATES {
                let rates = self.rates.entry(name).or_default();
                if let Some(rate) = rate(before, after, name, seconds) {
                    rates.push_back(rate);
                }
                while rates.len() > KEPT {
                    rates.pop_front();
                }
            }
        }
        if let Some(numbers) = &look.numbers {
            let counted = errors(numbers);
            let is_anew = self.errors.back().is_some_and(|(_, before)| {
                before.iter().any(|(what, count)| counted.get(what).is_none_or(|now| now < count))
            });
            if is_anew {
                self.errors.clear();
            }
            self.errors.push_back((look.at, counted));
            while self.errors.get(1).is_some_and(|(at, _)| at + LATELY <= look.at) {
                self.errors.pop_front();
            }
        }
        self.last = Some(look);
    }

    /// The last look that had something in it.
    pub(super) fn last(&self) -> Option<&Look> {
        self.last.as_ref()
    }

    /// Since when the daemon has told nothing, in microseconds since the Unix epoch, and why.
    pub(super) fn gone(&self) -> Option<(u64, &str)> {
        self.gone.as_ref().map(|(since, why)| (*since, why.as_str()))
    }

    /// The rates of a name in a second, the newest last.
    pub(super) fn rates(&self, name: &str) -> Vec<f64> {
        self.rates.get(name).map(|rates| rates.iter().copied().collect()).unwrap_or_default()
    }

    /// Errors by kind, those that came lately first, then those that came most.
    pub(super) fn errors(&self) -> Vec<Errors> {
        let Some((_, now)) = self.errors.back() else {
            return Vec::new();
        };
        let before = self.errors.front().filter(|_| self.errors.len() > 1).map(|(_, before)| before);
        let lately = |what: &str, total: f64| {
            before.map_or(0.0, |before| total - before.get(what).copied().unwrap_or_default())
        };
        let mut errors: Vec<Errors> = now
            .iter()
            .filter(|(_, total)| **total > 0.0)
            .map(|(what, total)| Errors { what: what.clone(), total: *total, lately: lately(what, *total) })
            .collect();
        errors.sort_by(|a, b| {
            (b.lately, b.total).partial_cmp(&(a.lately, a.total)).unwrap_or(std::cmp::Ordering::Equal)
        });
        errors
    }
}

/// How much a count grows in a second; none where it began anew, as with another start of the daemon.
fn rate(before: &Numbers, after: &Numbers, name: &str, seconds: f64) -> Option<f64> {
    let (before, after) = (before.sum(name).unwrap_or_default(), after.sum(name)?);
    (after >= before && seconds > 0.0).then(|| (after - before) / seconds)
}

fn errors(numbers: &Numbers) -> BTreeMap<String, f64> {
    let mut found = BTreeMap::new();
    for (what, name, label, but) in ERRORS {
        for sample in numbers.all(name) {
            match sample.labels.get(*label) {
                Some(kind) if but.contains(&kind.as_str()) => {}
                Some(kind) => *found.entry(format!("{what}: {kind}")).or_default() += sample.value,
                None => *found.entry((*what).to_owned()).or_default() += sample.value,
            }
        }
    }
    for sample in numbers.all("appview_http_requests_total") {
        if let Some(status) = sample.labels.get("status").filter(|status| status.starts_with(['4', '5'])) {
            *found.entry(format!("answered {status}")).or_default() += sample.value;
        }
    }
    found
}

#[expect(clippy::cast_precision_loss, reason = "a span of time between two looks")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const FRAMES: &str = "appview_frames_total";

    fn look(second: u64, numbers: &str) -> Look {
        let numbers = Some(Numbers::parse(numbers));
        Look { at: second * 1_000_000, numbers, ..Look::default() }
    }

    fn gone(second: u64) -> Look {
        Look { at: second * 1_000_000, missing: vec!["refused".to_owned()], ..Look::default() }
    }

    fn rates(history: &History) -> Vec<f64> {
        history.rates(FRAMES)
    }

    #[test]
    fn a_rate_is_what_came_between_two_looks() {
        let mut history = History::default();
        history.see(look(10, "appview_frames_total 100"));
        assert_eq!(rates(&history), [0.0; 0]);
        history.see(look(12, "appview_frames_total 150"));
        assert_eq!(rates(&history), [25.0]);
        for second in 0..100 {
            history.see(look(13 + second, "appview_frames_total 150"));
        }
        assert_eq!(rates(&history), [0.0; KEPT]);
    }

    #[test]
    fn a_daemon_that_begins_anew_has_no_rate_across_its_start() {
        let mut history = History::default();
        for (second, numbers) in
            [(1, "appview_frames_total 100"), (2, "appview_frames_total 5"), (3, "appview_frames_total 7")]
        {
            history.see(look(second, numbers));
        }
        assert_eq!(rates(&history), [2.0]);
        history.see(gone(4));
        history.see(look(5, "appview_frames_total 1000"));
        assert_eq!(rates(&history), [2.0], "nor across its absence");
    }

    #[test]
    fn a_daemon_that_is_gone_is_gone_since_it_was_first_missed() {
        let mut history = History::default();
        history.see(look(1, "appview_frames_total 1"));
        history.see(gone(2));
        history.see(gone(9));
        assert_eq!(history.gone(), Some((2_000_000, "refused")));
        assert_eq!(history.last().unwrap().at, 1_000_000, "what it told last is kept");
        history.see(look(10, "appview_frames_total 1"));
        assert_eq!(history.gone(), None);
    }

    #[test]
    fn errors_are_told_by_kind_and_those_of_the_last_minute_first() {
        let told = |bad: u32, slow: u32| {
            format!(
                "appview_rejected_total{{reason=\"bad-signature\"}} {bad}\nappview_fetches_total{{outcome=\"slow\"}} {slow}\n\
                 appview_fetches_total{{outcome=\"proven\"}} 9\nappview_refused_changes_total 0\n\
                 appview_http_requests_total{{route=\"/a\",status=\"503\"}} 1\nappview_http_requests_total{{route=\"/b\",status=\"200\"}} 7\n"
            )
        };
        let mut history = History::default();
        history.see(look(0, &told(50, 1)));
        history.see(look(30, &told(50, 3)));
        let errors = |history: &History| {
            let errors = history.errors().into_iter();
            errors.map(|error| (error.what, error.total, error.lately)).collect::<Vec<_>>()
        };
        let expected = [
            ("repository not had: slow".to_owned(), 3.0, 2.0),
            ("frame refused: bad-signature".to_owned(), 50.0, 0.0),
            ("answered 503".to_owned(), 1.0, 0.0),
        ];
        assert_eq!(errors(&history), expected);
        history.see(look(95, &told(50, 3)));
        assert!(errors(&history).iter().all(|(_, _, lately)| *lately == 0.0), "a minute later that is past");
    }
}
