//! What a host says about when it wants to be asked again.
//!
//! Headers of an answer enter, whichever way they were carried; pauses leave. Deliberately absent: whether anybody keeps
//! them.
//!
//! `Retry-After` is [RFC 9110](https://www.rfc-editor.org/rfc/rfc9110#field.retry-after)'s, in both of its forms. The
//! `RateLimit` headers are those of a PDS, which gives the end of its window as a moment; others give it as a pause.

use std::time::{Duration, UNIX_EPOCH};

/// A `RateLimit-Reset` beyond this is a moment in Unix seconds, one below it a pause in seconds.
const MOMENTS: u64 = 1_000_000_000;

/// What one answer says about the next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wishes {
    /// How long to wait before asking again.
    pub retry_after: Option<Duration>,
    /// How many more requests are welcome, and for how long.
    pub allowance: Option<Allowance>,
}

/// How many requests a host still takes within its present window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// This many.
    pub remaining: u64,
    /// Until the window ends.
    pub resets_in: Duration,
}

impl Wishes {
    /// Reads headers by their names in lower case. Moments are told apart from pauses by the host's own clock where it
    /// shows it, else by `now`, in microseconds since the Unix epoch. What cannot be read is no wish.
    pub fn read<'h>(header: impl Fn(&str) -> Option<&'h str>, now: u64) -> Self {
        let seconds = header("date").and_then(unix_seconds).unwrap_or(now / 1_000_000);
        let until = |moment: u64| Duration::from_secs(moment.saturating_sub(seconds));
        let number = |name: &str| header(name)?.trim().parse::<u64>().ok();
        let allowance = || {
            let (remaining, reset) = (number("ratelimit-remaining")?, number("ratelimit-reset")?);
            let resets_in = if reset > MOMENTS { until(reset) } else { Duration::from_secs(reset) };
            Some(Allowance { remaining, resets_in })
        };
        let retry_after = || {
            let pause = number("retry-after").map(Duration::from_secs);
            pause.or_else(|| Some(until(unix_seconds(header("retry-after")?)?)))
        };
        Self { retry_after: retry_after(), allowance: allowance() }
    }
}

/// The moment of a date in any of the three forms in which HTTP writes it.
fn unix_seconds(text: &str) -> Option<u64> {
    let since = httpdate::parse_http_date(text.trim()).ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some(since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_791_105_300_000_000;

    fn read(headers: &[(&str, &'static str)]) -> Wishes {
        Wishes::read(|name| headers.iter().find(|(own, _)| *own == name).map(|(_, value)| *value), NOW)
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let after = |headers: &[(&str, &'static str)]| read(headers).retry_after.map(|pause| pause.as_secs());
        assert_eq!(after(&[("retry-after", " 120 ")]), Some(120));
        assert_eq!(after(&[("retry-after", "Sun, 04 Oct 2026 09:16:40 GMT")]), Some(100));
        assert_eq!(after(&[("retry-after", "Sunday, 04-Oct-26 09:16:40 GMT")]), Some(100), "as before 1994");
        assert_eq!(after(&[("retry-after", "Sun Oct  4 09:16:40 2026")]), Some(100), "as C prints it");
        assert_eq!(after(&[("retry-after", "Sun, 04 Oct 2026 09:00:00 GMT")]), Some(0), "it is over");
        for junk in ["", "-1", "soon", "Sun, 04 Oct 2026", "Sun, 99 Oct 2026 09:16:40 GMT", "1e9"] {
            assert_eq!(after(&[("retry-after", junk)]), None, "{junk:?}");
        }
    }

    #[test]
    fn moments_are_counted_by_the_clock_of_the_host_that_names_them() {
        let date = ("date", "Sun, 04 Oct 2026 08:00:00 GMT");
        let told = read(&[date, ("retry-after", "Sun, 04 Oct 2026 08:00:30 GMT")]);
        assert_eq!(told.retry_after, Some(Duration::from_secs(30)));
        let told = read(&[date, ("ratelimit-remaining", "7"), ("ratelimit-reset", "1791100860")]);
        assert_eq!(told.allowance, Some(Allowance { remaining: 7, resets_in: Duration::from_secs(60) }));
    }

    #[test]
    fn a_window_ends_at_a_moment_or_after_a_pause() {
        let told = |reset| read(&[("ratelimit-remaining", "0"), ("ratelimit-reset", reset)]).allowance;
        let ends = |seconds| Some(Allowance { remaining: 0, resets_in: Duration::from_secs(seconds) });
        assert_eq!(told("1791105360"), ends(60));
        assert_eq!(told("60"), ends(60));
        assert_eq!(told("later"), None);
        assert_eq!(read(&[("ratelimit-reset", "60")]).allowance, None);
    }
}
