//! Every name under which anything is counted, with what it means: the one list, which the documents and the sources are
//! held to.

use std::fmt;

/// What kind of number a family has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Only grows, from 0 at the start of the process.
    Counter,
    /// As of the moment it is read.
    Gauge,
    /// Values counted by these upper bounds.
    Histogram(&'static [f64]),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        })
    }
}

/// Numbers of one name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Family {
    /// Its name, which ends in the unit, if it has one, and in `_total` if it is a counter.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// What tells its series apart.
    pub labels: &'static [&'static str],
    /// What it means, in one line.
    pub help: &'static str,
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, kind: Kind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Family {
    Family { name, kind: Kind::Gauge, labels, help }
}

/// From a millisecond to ten seconds.
const ANSWER: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// From ten microseconds to ten seconds.
const WORK: &[f64] =
    &[0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0];
/// From a tenth of a second to ten minutes.
const TRANSFER: &[f64] = &[0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0];

/// All of them.
#[rustfmt::skip]
pub const FAMILIES: &[Family] = &[
    gauge("appview_build_info", &["version"], "Always 1; the label tells which version runs."),
    gauge("appview_paused", &[], "1 while an operator has paused following, else 0."),
    gauge("appview_stream_connected", &["endpoint"], "1 while there is a connection to the stream, else 0."),
    gauge("appview_stream_lag_seconds", &["endpoint"], "How far behind the stream we are: how old its newest event was when it was handled; 0 while it brings none."),
    gauge("appview_stream_newest_seq", &["endpoint"], "The newest event that has been handled: a sequence number, or microseconds of a Jetstream."),
    gauge("appview_stream_cursor_seq", &["endpoint"], "The cursor that is stored with the rows."),
    counter("appview_stream_reconnects_total", &["endpoint"], "Connections that ended and were made again."),
    counter("appview_stream_stalls_total", &["endpoint"], "Connections left because they stood still while others went on."),
    counter("appview_stream_notices_total", &["name"], "Messages in which a stream spoke about itself, by its name for them."),
    gauge("appview_queue_messages", &[], "Messages that wait for the pump; sockets wait while there are 4096, or 64 MB of them."),
    gauge("appview_queue_bytes", &[], "Bytes that those take, with the one that is being handled."),
    counter("appview_frames_total", &[], "Frames handled, of any kind."),
    counter("appview_frames_foreign_total", &[], "Frames refused by the paths of their operations alone: not ours."),
    counter("appview_frames_deviating_total", &[], "Frames whose envelope was not canonical; they are handled all the same."),
    counter("appview_hints_total", &[], "Events of a Jetstream heard."),
    counter("appview_commits_total", &[], "Commits proven."),
    counter("appview_commits_stale_total", &[], "Commits that were not newer than what was held: replays, or copies from another stream."),
    counter("appview_repos_total", &[], "Whole repositories proven."),
    counter("appview_records_total", &[], "Records proven one by one."),
    counter("appview_malformed_paths_total", &[], "Operations in proven commits whose path breaks the syntax."),
    Family { name: "appview_verify_seconds", kind: Kind::Histogram(WORK), labels: &[], help: "How long it took to handle a frame that was not foreign, with those before it that were." },
    counter("appview_rejected_total", &["reason"], "Whatever was refused, by reason."),
    counter("appview_refused_changes_total", &[], "Changes that the index refused because they did not follow what it holds: a fault of ours."),
    counter("appview_changes_written_total", &[], "Changes written to the index: commits, repositories, states."),
    Family { name: "appview_write_seconds", kind: Kind::Histogram(WORK), labels: &[], help: "How long one transaction took, with all waiting for the disk." },
    gauge("appview_repos_followed", &[], "Repositories that are followed."),
    gauge("appview_repos_hosted", &[], "Those whose account is hosted."),
    gauge("appview_repos_proven", &[], "Those that are hosted and were shown to be current within the time that an audit of all takes."),
    gauge("appview_repos_waiting", &[], "Those that wait for their export."),
    gauge("appview_repos_unproven", &[], "Those that are hosted and of which nothing has been proven yet."),
    gauge("appview_proven_share", &[], "The share of hosted repositories that is proven current, from 0 to 1."),
    gauge("appview_oldest_proof_age_seconds", &[], "How long ago the repository with the oldest proof was shown to be current."),
    counter("appview_audits_total", &["outcome"], "Questions to PDSes whether what is held is what they have."),
    counter("appview_audit_differences_total", &[], "Audits that found something else twice: the repository was then fetched."),
    gauge("appview_fetches_waiting", &[], "Repositories that are to be fetched."),
    gauge("appview_fetches_put_off", &[], "Those among them whose last try failed."),
    counter("appview_fetches_total", &["outcome"], "Tries to fetch a repository."),
    counter("appview_records_fetched_total", &["outcome"], "Tries to fetch one record with its proof."),
    counter("appview_export_bytes_total", &[], "Bytes of exports received."),
    Family { name: "appview_export_seconds", kind: Kind::Histogram(TRANSFER), labels: &[], help: "How long an export took to arrive." },
    counter("appview_discovery_pages_total", &["outcome"], "Pages of lists of repositories asked for."),
    counter("appview_identities_total", &["how"], "Identities asked for: how they were answered."),
    counter("appview_requests_total", &["outcome"], "Requests to directories, relays and PDSes."),
    gauge("appview_hosts_resting", &[], "Hosts that are left alone for a while."),
    counter("appview_host_rests_total", &["reason"], "Times a host was left alone, by reason."),
    gauge("appview_index_bytes", &[], "Size of the index: its file and its log."),
    gauge("appview_feed_subscribers", &[], "Clients that the feed is told to."),
    counter("appview_http_connections_refused_total", &[], "Connections closed at once because their address held as many as it may."),
    counter("appview_http_kept_total", &["how"], "Queries by where their answer came from: `given` again, `unchanged` for a client that has it, `made` and kept, or `passed` on without being kept."),
    counter("appview_http_proofs_total", &["outcome"], "Proofs of records asked for by clients: how that ended."),
    counter("appview_http_faces_total", &["outcome"], "Questions to the Bluesky API about accounts, and how they were answered."),
    counter("appview_http_requests_total", &["route", "status"], "Requests answered, by route and status."),
    Family { name: "appview_http_seconds", kind: Kind::Histogram(ANSWER), labels: &["route"], help: "How long a request took until its answer began." },
];
