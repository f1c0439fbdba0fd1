//! One look at a daemon: what it tells of itself at a moment.
//!
//! Addresses enter; readiness, status and numbers leave, as far as they could be had. Deliberately absent: what they lead to.

use std::collections::BTreeMap;
use std::time::Duration;

use appview_core::source::now;
use appview_core::source::wire::{ChosenBy, Outside, Said, Url};
use futures_util::{StreamExt as _, TryStreamExt as _};
use serde::Deserialize;
use tokio::time::timeout;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest answer, in bytes.
const LONGEST: usize = 4 << 20;

/// Where a daemon is.
#[derive(Debug, Clone)]
pub(super) struct Daemon {
    /// Where it answers queries.
    pub(super) url: String,
    /// Where it tells numbers, if that is known.
    pub(super) metrics_url: Option<String>,
    /// What carries the questions.
    pub(super) outside: Outside,
}

/// What a daemon tells at a moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Look {
    /// When it was asked, in microseconds since the Unix epoch.
    pub(super) at: u64,
    /// Whether it is ready.
    pub(super) readiness: Option<Readiness>,
    /// How it stands.
    pub(super) status: Option<Status>,
    /// What it counts.
    pub(super) numbers: Option<Numbers>,
    /// What could not be had, and why.
    pub(super) missing: Vec<String>,
}

/// `/readyz`
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Readiness {
    pub(super) ready: bool,
    pub(super) reasons: Vec<String>,
}

/// `dev.cocore.appview.getStatus`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Status {
    pub(super) version: String,
    pub(super) streams: Vec<Stream>,
    pub(super) repos: Repos,
    /// In millionths.
    pub(super) proven_share: u32,
    pub(super) oldest_proof_age_seconds: Option<u64>,
    pub(super) records: Records,
    pub(super) fingerprint: String,
}

/// One stream.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stream {
    pub(super) endpoint: String,
    pub(super) connected: bool,
    pub(super) newest: Option<i64>,
    pub(super) lag_seconds: Option<f64>,
}

/// How many repositories stand how.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Repos {
    pub(super) followed: u64,
    pub(super) hosted: u64,
    pub(super) proven: u64,
    pub(super) waiting: u64,
}

/// How many records there are, by how well they keep their lexicon.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct Records {
    pub(super) valid: u64,
    pub(super) marked: u64,
    pub(super) quarantined: u64,
}

/// Samples of the [exposition format](https://prometheus.io/docs/instrumenting/exposition_formats/) by their names.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Numbers(BTreeMap<String, Vec<Sample>>);

/// One number.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    /// The labels that tell it from others of its name.
    pub(super) labels: BTreeMap<String, String>,
    /// How much.
    pub(super) value: f64,
}

impl Daemon {
    /// Asks it for everything at once.
    pub(super) async fn look(&self) -> Look {
        let Self { url, metrics_url, .. } = self;
        let readiness = self.get(format!("{url}/readyz"));
        let status = self.get(format!("{url}/xrpc/dev.cocore.appview.getStatus"));
        let numbers = async {
            match metrics_url {
                Some(url) => self.get(format!("{url}/metrics")).await.map(Some),
                None => Ok(None),
            }
        };
        let (readiness, status, numbers) = tokio::join!(readiness, status, numbers);
        let mut look = Look { at: now(), ..Look::default() };
        look.readiness = look.keep(readiness.and_then(|(url, text)| json(&url, &text)));
        look.status = look.keep(status.and_then(|(url, text)| json(&url, &text)));
        look.numbers = look.keep(numbers).flatten().map(|(_, text)| Numbers::parse(&text));
        look
    }

    async fn get(&self, url: String) -> Result<(String, String), String> {
        let failed = |why: &dyn std::fmt::Display| format!("{url}: {why}");
        let parsed = Url::parse(&url).map_err(|error| failed(&error))?;
        let asked = async {
            let reply = self
                .outside
                .wire
                .send(parsed, Said::default(), ChosenBy::Operator)
                .await
                .map_err(|error| failed(&error))?;
            // An answer that says why it is not ready is one.
            if !matches!(reply.status, 200 | 503) {
                return Err(failed(&format!("answers {}; is this an appviewd?", reply.status)));
            }
            let mut left = LONGEST;
            let body = reply.body.map_err(|error| failed(&error)).try_take_while(|part| {
                left = left.saturating_sub(part.len());
                std::future::ready(Ok(left > 0))
            });
            let parts: Vec<_> = body.collect::<Vec<_>>().await.into_iter().collect::<Result<_, _>>()?;
            Ok(String::from_utf8_lossy(&parts.concat()).into_owned())
        };
        let text = timeout(PATIENCE, asked).await.map_err(|_| failed(&"no answer within five seconds"))??;
        Ok((url, text))
    }
}

fn json<T: serde::de::DeserializeOwned>(url: &str, text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|_| format!("{url}: not what an appviewd answers"))
}

impl Look {
    fn keep<T>(&mut self, had: Result<T, String>) -> Option<T> {
        had.map_err(|why| self.missing.push(why)).ok()
    }

    /// Whether nothing could be had at all.
    pub(super) fn is_empty(&self) -> bool {
        self.readiness.is_none() && self.status.is_none() && self.numbers.is_none()
    }
}

impl Numbers {
    /// Reads what is told at `/metrics`; a line that makes no sense is passed over.
    pub(super) fn parse(text: &str) -> Self {
        let mut numbers: BTreeMap<String, Vec<Sample>> = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, sample)) = sample(line) {
                numbers.entry(name.to_owned()).or_default().push(sample);
            }
        }
        Self(numbers)
    }

    /// All samples of a name.
    pub(super) fn all(&self, name: &str) -> &[Sample] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// What the samples of a name add up to; none if there is none.
    pub(super) fn sum(&self, name: &str) -> Option<f64> {
        let samples = self.all(name);
        (!samples.is_empty()).then(|| samples.iter().map(|sample| sample.value).sum())
    }

    /// The sample of a name with this label.
    pub(super) fn with(&self, name: &str, label: &str, value: &str) -> Option<f64> {
        let is_it = |sample: &&Sample| sample.labels.get(label).is_some_and(|found| found == value);
        self.all(name).iter().find(is_it).map(|sample| sample.value)
    }
}

/// `name{label="value",…} number`
fn sample(line: &str) -> Option<(&str, Sample)> {
    let (series, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let Some((name, labels)) = series.split_once('{') else {
        return Some((series, Sample { labels: BTreeMap::new(), value }));
    };
    let (mut rest, mut found) = (labels.strip_suffix('}')?, BTreeMap::new());
    while let Some((label, quoted)) = rest.split_once("=\"") {
        let (text, after) = unquoted(quoted)?;
        found.insert(label.to_owned(), text);
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    Some((name, Sample { labels: found, value }))
}

/// The text up to a closing quotation mark, and what follows it.
fn unquoted(quoted: &str) -> Option<(String, &str)> {
    let (mut text, mut chars) = (String::new(), quoted.chars());
    loop {
        match chars.next()? {
            '"' => return Some((text, chars.as_str())),
            '\\' => text.push(match chars.next()? {
                'n' => '\n',
                other => other,
            }),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_with_their_labels() {
        let numbers = Numbers::parse(
            "# HELP appview_frames_total Frames.\n# TYPE appview_frames_total counter\nappview_frames_total 12\n\
             appview_rejected_total{reason=\"a \\\"quoted\\\"\\\\ \\nword, {x}\"} 2\n\
             appview_http_requests_total{route=\"/readyz\",status=\"200\"} 3\n\
             appview_http_requests_total{route=\"/readyz\",status=\"503\"} 4.5\nnonsense\nappview_x{ 1\n",
        );
        assert_eq!(numbers.sum("appview_frames_total"), Some(12.0));
        assert_eq!(numbers.sum("appview_http_requests_total"), Some(7.5));
        assert_eq!(numbers.with("appview_http_requests_total", "status", "503"), Some(4.5));
        assert_eq!(numbers.with("appview_rejected_total", "reason", "a \"quoted\"\\ \nword, {x}"), Some(2.0));
        assert_eq!(numbers.sum("appview_commits_total"), None);
    }
}
