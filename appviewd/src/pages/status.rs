//! How this index stands: what it follows, how much is proven, what was refused, and what two indexes compare.

use appview_core::index::IndexReader;
use appview_core::query::{Counts, FingerprintOf, Limit, QueryError, Scope};
use appview_core::syntax::Nsid;
use maud::{Markup, html};

use super::part::{
    Cell, Column, Mark, State, Table, bytes, counted, facts, identifier, long_identifier, number, percent,
    seconds,
};
use super::{List, Page, Section, Sheet};
use crate::admin::{Repos, Status, StreamStatus};

/// Seconds that a stream may be behind and still be in step, in the eyes of a reader.
const IN_STEP: f64 = 60.0;

/// What is found of it.
#[derive(Debug)]
pub(crate) struct StatusPage {
    status: Status,
    counts: Counts,
    fingerprint: String,
    collections: Vec<FingerprintOf<Nsid>>,
}

impl StatusPage {
    /// Asks the index; `status` is how it stands at this moment.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub(crate) fn read(index: &IndexReader, status: Status) -> Result<Self, QueryError> {
        Ok(Self {
            status,
            counts: index.counts()?,
            fingerprint: index.fingerprint(&Scope::Whole)?.to_string(),
            collections: index.fingerprints_by_collection(Limit::MAX, None)?.items,
        })
    }

    fn verdict(&self) -> Markup {
        let Status { paused, streams, repos, .. } = &self.status;
        let connected: Vec<&StreamStatus> = streams.iter().filter(|stream| stream.connected).collect();
        let behind = connected.iter().filter_map(|stream| stream.lag_seconds).reduce(f64::min);
        let (state, title) = match behind {
            _ if *paused => (State::Warn, "Paused by its operator"),
            _ if connected.is_empty() => (State::Fail, "No stream is connected"),
            Some(behind) if behind > IN_STEP => (State::Warn, "Behind the network"),
            _ if repos.waiting > 0 => (State::Warn, "Catching up"),
            _ => (State::Pass, "In step with the network"),
        };
        let behind = behind.map(|behind| format!("{behind:.1} s behind, ")).unwrap_or_default();
        html! {
            div class={ "verdict " (state.class()) } {
                strong { (Mark::new(state, title).markup()) }
                p {
                    (behind) (number(repos.proven.cast_signed())) " of "
                    (counted(repos.hosted.cast_signed(), "repository", "repositories"))
                    " proven to be what their hosts have, " (waiting(*repos)) ". "
                    (number(connected.len() as i64)) " of "
                    (counted(streams.len() as i64, "stream", "streams")) " connected."
                }
            }
        }
    }

    fn streams(&self) -> Table {
        let rows = self.status.streams.iter().map(|stream| {
            let StreamStatus { endpoint, connected, newest, stored, lag_seconds } = stream;
            let state = match connected {
                true => Mark::new(State::Pass, "connected"),
                false => Mark::new(State::Warn, "connecting again"),
            };
            let place = |place: &Option<i64>| place.map_or_else(Cell::absent, Cell::number);
            vec![
                Cell::new(html! { span.mono.break { (endpoint) } }, endpoint.clone()),
                Cell::mark(&state),
                lag_seconds.map_or_else(Cell::absent, |lag| Cell::text(format!("{lag:.1} s"))),
                place(newest),
                place(stored),
            ]
        });
        Table {
            caption: "Streams",
            columns: vec![
                Column::lead("Stream"),
                Column::side("State"),
                Column::number("Behind"),
                Column::number("Newest event"),
                Column::number("Stored with the rows"),
            ],
            rows: rows.collect(),
            nothing: "No stream is followed.",
        }
    }

    fn refused(&self) -> Table {
        let all: u64 = self.status.rejections.values().sum();
        let rows = self.status.rejections.iter().map(|(reason, count)| {
            vec![
                Cell::new(html! { code { (reason) } }, reason.clone()),
                Cell::text(meaning(reason)),
                Cell::number(count.cast_signed()),
                Cell::text(percent(*count, all)),
            ]
        });
        Table {
            caption: "Refused",
            columns: vec![
                Column::lead("Kind"),
                Column::wide("What it was"),
                Column::number("Messages"),
                Column::number("Share"),
            ],
            rows: rows.collect(),
            nothing: "Nothing was refused.",
        }
    }

    fn collections(&self) -> Table {
        let rows = self.collections.iter().map(|part| {
            let name = part.of.as_str();
            let short = name.strip_prefix("dev.cocore.").unwrap_or(name);
            let fingerprint = part.fingerprint.to_string();
            vec![
                Cell::new(html! { code title=(name) { (short) } }, name),
                Cell::number(part.records.total().cast_signed()),
                Cell::number(part.records.marked.cast_signed()),
                Cell::number(part.records.quarantined.cast_signed()),
                Cell::new(identifier(&fingerprint), fingerprint.clone()),
            ]
        });
        Table {
            caption: "Collections",
            columns: vec![
                Column::lead("Collection"),
                Column::number("Records"),
                Column::number("Marked"),
                Column::number("Kept aside"),
                Column::text("Fingerprint"),
            ],
            rows: rows.collect(),
            nothing: "There is no record yet.",
        }
    }

    fn proof(&self) -> Markup {
        let Status { repos, oldest_proof_age_seconds, counts, .. } = &self.status;
        let count = |count: u64| html! { (number(count.cast_signed())) };
        facts(&[
            ("Followed", count(repos.followed)),
            (
                "Proven current",
                html! { (number(repos.proven.cast_signed())) ", " (percent(repos.proven, repos.hosted)) },
            ),
            (
                "Oldest proof",
                html! { @match oldest_proof_age_seconds { Some(age) => { (seconds(*age)) " ago" } None => "–" } },
            ),
            ("Never proven yet", count(repos.unproven)),
            ("Proven by a former key", count(self.counts.repos.provisional)),
            ("Audits that found nothing", count(counts.audits)),
            ("Audits that found a difference", count(counts.audit_differences)),
        ])
    }

    fn backfill(&self) -> Markup {
        let Status { fetching, counts, queued, index_bytes, .. } = &self.status;
        let count = |count: u64| html! { (number(count.cast_signed())) };
        facts(&[
            ("Fetched or settled", count(fetching.settled)),
            ("Still to be fetched", count(fetching.waiting)),
            ("Of those, tried in vain", count(fetching.put_off)),
            (
                "Left, at this pace",
                html! { @match fetching.seconds_left { Some(left) => (seconds(left)), None => "–" } },
            ),
            ("Frames handled", count(counts.frames)),
            ("Commits proven", count(counts.commits)),
            ("Repositories proven whole", count(counts.repos)),
            ("Messages in line", count(*queued)),
            ("Index on disk", html! { (bytes(*index_bytes)) }),
        ])
    }
}

/// What the commonest kinds of refusal are, for people; the others are told by their name.
fn meaning(kind: &str) -> &'static str {
    match kind {
        "stale-rev" => "a revision no newer than the one held: a replay, or a copy from another stream",
        "future-rev" => "a revision dated more than five minutes ahead",
        "chain-break" => "a commit that does not follow the one held",
        "bad-signature" => "not signed by the account’s key",
        "bad-block" | "bad-root" | "missing-commit" | "bad-commit" => {
            "blocks that are damaged, or not a commit"
        }
        "envelope-mismatch" => "a message that says something else than what was signed",
        "indefinite-ops" | "bad-tree" | "bad-inversion" | "missing-record" => {
            "operations that the tree does not hold"
        }
        "over-limit" => "more operations or bytes than are allowed",
        _ => "–",
    }
}

fn waiting(repos: Repos) -> String {
    match repos.waiting {
        0 => "nothing waits".to_owned(),
        1 => "1 waits to be proven".to_owned(),
        waiting => format!("{} wait to be proven", number(waiting.cast_signed())),
    }
}

impl Page for StatusPage {
    fn list(&self) -> Option<List> {
        Some(List { name: "collections".to_owned(), table: self.collections(), next: None })
    }

    fn sheet(&self) -> Sheet {
        let repos = self.status.repos;
        let main = html! {
            h1 { "Status" }
            (self.verdict())
            section aria-labelledby="h-streams" {
                h2 #h-streams { "Streams" }
                (self.streams().markup())
            }
            div.cols {
                section aria-labelledby="h-proof" { h2 #h-proof { "Proof and audit" } (self.proof()) }
                section aria-labelledby="h-backfill" { h2 #h-backfill { "Backfill and load" } (self.backfill()) }
            }
            section aria-labelledby="h-refused" {
                h2 #h-refused { "Refused, by kind" }
                p.small.soft.prose.gap-below {
                    "Since this process began to follow. What is refused is dropped and counted; where it may have been "
                    "meant, the repository is proven anew from its host."
                }
                (self.refused().markup())
            }
            section aria-labelledby="h-fingerprint" {
                div.head { h2 #h-fingerprint { "Fingerprint" } a.small href="/status?format=csv" { "CSV" } }
                p.small.soft.prose {
                    "Two indexes that hold the same records show the same value. If yours differs, compare by "
                    "collection, then by repository: " code { "appviewd fingerprint --by collection" } "."
                }
                p.gap { (long_identifier(&self.fingerprint, "fingerprint")) }
                div.gap { (self.collections().markup()) }
            }
            @if repos.hidden > 0 {
                p.note.small.soft.gap {
                    (counted(repos.hidden.cast_signed(), "account is", "accounts are"))
                    " hidden, because their host says so: taken down, deactivated or deleted. None of their records is in "
                    "any list, sum or fingerprint here."
                }
            }
        };
        Sheet { title: "Status".to_owned(), section: Section::Status, every: Some(5), main }
    }
}
