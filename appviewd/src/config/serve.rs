//! What `serve` follows, where it answers, and for how long it keeps what.

use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use appview_core::index::FEED_RETENTION;
use appview_core::source::relay::RelayUrl;
use appview_core::syntax::Did;
use clap::{Args, ValueEnum};

use super::{Access, Accounts, DataDir, Upstream};
use crate::http::Terms;

/// Seconds.
const DAY: u64 = 24 * 60 * 60;

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
    #[arg(long, value_name = "DID")]
    pub track: Vec<Did>,
    /// Address to answer on.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", env = "APPVIEWD_LISTEN")]
    pub listen: SocketAddr,
    /// Address to tell numbers for Prometheus on, at /metrics; off for none.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9464", env = "APPVIEWD_METRICS_LISTEN")]
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

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => Err("expected a whole number of seconds".to_owned()),
    }
}

fn minutes(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(minutes @ 1..=10_080) => Ok(Duration::from_secs(60 * minutes)),
        _ => Err("expected a whole number of minutes from 1 to 10080, which is a week".to_owned()),
    }
}

fn days(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(days @ 0..=36_500) => Ok(Duration::from_secs(DAY * days)),
        _ => Err("expected a whole number of days from 0 to 36500".to_owned()),
    }
}

/// What kind of stream is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Streams {
    /// Relays, or PDSes: signed commits.
    Relay,
    /// A Jetstream: hints.
    Jetstream,
}

/// Where numbers are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsListen {
    /// Nowhere.
    Off,
    /// On this address.
    At(SocketAddr),
}

impl FromStr for MetricsListen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self::Off),
            address => match address.parse() {
                Ok(address) => Ok(Self::At(address)),
                Err(_) => Err("expected an address like 127.0.0.1:9464, or off".to_owned()),
            },
        }
    }
}

/// How `serve` tells others what changes, at `/subscribe`.
#[derive(Debug, Clone, Copy, Args)]
pub struct Feed {
    /// Most subscribers to the feed at a time; 0 for none.
    #[arg(long, value_name = "N", default_value_t = Self::MOST_SUBSCRIBERS, env = "APPVIEWD_MAX_SUBSCRIBERS")]
    pub max_subscribers: u32,
    /// For how many days the feed tells of deletions. Who stays away for longer may miss some.
    #[arg(long, value_name = "DAYS", default_value_t = Self::DAYS, env = "APPVIEWD_FEED_DAYS")]
    pub feed_days: u32,
}

impl Feed {
    const MOST_SUBSCRIBERS: u32 = 100;
    const DAYS: u32 = (FEED_RETENTION.as_secs() / DAY) as u32;

    /// For how long deletions are told.
    #[must_use]
    pub fn retention(self) -> Duration {
        Duration::from_secs(u64::from(self.feed_days) * DAY)
    }

    /// How subscribers are served.
    #[must_use]
    pub fn terms(self) -> Terms {
        Terms { most: self.max_subscribers, ..Terms::default() }
    }
}

impl Default for Feed {
    fn default() -> Self {
        Self { max_subscribers: Self::MOST_SUBSCRIBERS, feed_days: Self::DAYS }
    }
}
