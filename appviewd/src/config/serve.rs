//! What `serve` follows, where it answers, and for how long it keeps what.

use std::net::SocketAddr;
use std::time::Duration;

use appview_core::source::relay::RelayUrl;
use appview_core::syntax::Did;
use clap::{Args, ValueEnum};

use super::{
    Access, Accounts, DataDir, Feed, LISTEN, METRICS_LISTEN, MetricsListen, Upstream, address, days, minutes,
    seconds,
};

/// What `serve` takes.
#[derive(Debug, Clone, Args)]
pub struct Serve {
    /// Where the index is.
    #[command(flatten)]
    pub data: DataDir,
    /// Relay (or PDS) to follow, and to ask who has records; may be given more than once, or with commas.
    #[arg(
        long,
        value_name = "URL",
        value_delimiter = ',',
        default_value = "wss://bsky.network",
        env = "APPVIEWD_RELAY"
    )]
    pub relay: Vec<RelayUrl>,
    /// What to follow: relay, or jetstream for a thousandth of the bandwidth. A Jetstream only hints: what it names is
    /// fetched from its PDS and proven, and --relay then says only whom to ask who has records.
    #[arg(
        long,
        value_enum,
        value_name = "WHAT",
        hide_possible_values = true,
        default_value = "relay",
        env = "APPVIEWD_SOURCE"
    )]
    pub source: Streams,
    /// Jetstream to follow with --source jetstream.
    #[arg(
        long,
        value_name = "URL",
        default_value = "wss://jetstream2.us-east.bsky.network",
        env = "APPVIEWD_JETSTREAM"
    )]
    pub jetstream: RelayUrl,
    /// Repository to follow, whether or not anyone names it; may be given more than once. For good: `repo track`.
    #[arg(long, value_name = "DID", value_delimiter = ',', env = "APPVIEWD_TRACK")]
    pub track: Vec<Did>,
    /// Address to answer on.
    #[arg(long, value_name = "ADDR", value_parser = address, default_value = LISTEN, env = "APPVIEWD_LISTEN")]
    pub listen: SocketAddr,
    /// Address to tell numbers for Prometheus on, at /metrics; off for none.
    #[arg(long, value_name = "ADDR", default_value = METRICS_LISTEN, env = "APPVIEWD_METRICS_LISTEN")]
    pub metrics_listen: MetricsListen,
    /// Within how many minutes each repository is shown to be what its PDS has.
    #[arg(long, value_name = "MINUTES", value_parser = minutes, default_value = "15", env = "APPVIEWD_AUDIT_WITHIN")]
    pub audit_within: Duration,
    /// For how many days the records of a hidden account are kept before they are erased.
    #[arg(long, value_name = "DAYS", value_parser = days, default_value = "30", env = "APPVIEWD_KEEP_HIDDEN")]
    pub keep_hidden: Duration,
    /// How many seconds behind every stream is too far behind for /readyz.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "60", env = "APPVIEWD_READY_LAG")]
    pub ready_lag: Duration,
    /// How many seconds stopping may take; what is not written by then is received again at the next start.
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "30", env = "APPVIEWD_STOP_WITHIN")]
    pub stop_within: Duration,
    /// What is kept of people.
    #[command(flatten)]
    pub accounts: Accounts,
    /// What others are told.
    #[command(flatten)]
    pub feed: Feed,
    /// Whom to answer.
    #[command(flatten)]
    pub access: Access,
    /// Whom to ask.
    #[command(flatten)]
    pub upstream: Upstream,
}

/// What kind of stream is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Streams {
    /// Relays, or PDSes: signed commits.
    Relay,
    /// A Jetstream: hints.
    Jetstream,
}
