//! What others are told of changes, and for how long.

use std::time::Duration;

use appview_core::index::FEED_RETENTION;
use clap::Args;

use super::whole;
use crate::http::Terms;

/// Seconds.
const DAY: u64 = 24 * 60 * 60;

/// How `serve` tells others what changes, at `/subscribe`.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Telling what changes")]
pub struct Feed {
    /// Most subscribers to the feed at a time; 0 for none.
    #[arg(long, value_name = "N", value_parser = whole, default_value_t = Self::MOST_SUBSCRIBERS, env = "APPVIEWD_MAX_SUBSCRIBERS")]
    pub max_subscribers: u32,
    /// For how many days the feed tells of deletions. Who stays away for longer may miss some.
    #[arg(long, value_name = "DAYS", value_parser = whole, default_value_t = Self::DAYS, env = "APPVIEWD_FEED_DAYS")]
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
