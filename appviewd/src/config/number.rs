//! Numbers as they are typed, and spans of time: a whole number of the unit that the option tells.

use std::time::Duration;

pub(super) fn whole(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("expected a whole number from 0 to {}", u32::MAX))
}

pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => Err("expected a whole number of seconds".to_owned()),
    }
}

pub(super) fn minutes(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(minutes @ 1..=10_080) => Ok(Duration::from_secs(60 * minutes)),
        _ => Err("expected a whole number of minutes from 1 to 10080, which is a week".to_owned()),
    }
}

pub(super) fn days(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(days @ 0..=36_500) => Ok(Duration::from_secs(24 * 60 * 60 * days)),
        _ => Err("expected a whole number of days from 0 to 36500".to_owned()),
    }
}
