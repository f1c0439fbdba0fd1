//! What is drawn of a history: lines of text with inks, cut to the size of the screen.
//!
//! A history and a size enter; lines leave. Deliberately absent: terminals, and how an ink is written.

use std::time::Duration;

use appview_core::syntax::Datetime;

use super::history::{Errors, History, RATES};
use super::look::{Look, Status};

/// The bars of a chart, from nothing to the most.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// How wide the names of rates are.
const NAMES: usize = 22;
/// How wide the bar of the proven share is.
const SHARE: usize = 30;
/// Share below which not everything can be called current.
const GOOD_SHARE: f64 = 0.99;
/// Seconds behind that are worth a look.
const FAR_BEHIND: f64 = 60.0;
/// Messages in the queue that tell of a disk or a processor that is too slow.
const LONG_QUEUE: f64 = 1_000.0;

/// How a piece of text looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    /// As everything else.
    Plain,
    /// A heading.
    Strong,
    /// Not important.
    Faint,
    /// As it should be.
    Good,
    /// Worth a look.
    Doubtful,
    /// Wrong.
    Bad,
}

/// A line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Line(pub(super) Vec<(Ink, String)>);

impl Line {
    fn add(mut self, ink: Ink, text: impl Into<String>) -> Self {
        self.0.push((ink, text.into()));
        self
    }

    fn plain(self, text: impl Into<String>) -> Self {
        self.add(Ink::Plain, text)
    }

    fn faint(self, text: impl Into<String>) -> Self {
        self.add(Ink::Faint, text)
    }

    fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| text.chars().count()).sum()
    }

    /// The same, followed by a piece that ends where the screen does.
    fn ended_by(self, columns: usize, ink: Ink, text: String) -> Self {
        let gap = columns.saturating_sub(self.width() + text.chars().count()).max(2);
        self.plain(" ".repeat(gap)).add(ink, text)
    }

    /// As much of it as fits.
    fn cut(self, columns: usize) -> Self {
        let mut left = columns;
        let pieces = self.0.into_iter().map(|(ink, text)| {
            let text: String = text.chars().take(left).collect();
            left -= text.chars().count();
            (ink, text)
        });
        Self(pieces.filter(|(_, text)| !text.is_empty()).collect())
    }
}

/// How much can be drawn on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    /// Characters in a line.
    pub(super) columns: usize,
    /// Lines.
    pub(super) rows: usize,
}

impl Size {
    /// As much as a text needs.
    pub(super) const TEXT: Self = Self { columns: 100, rows: usize::MAX };
}

/// All lines, at a moment in microseconds since the Unix epoch. `url` is where the daemon was asked.
pub(super) fn drawn(history: &History, url: &str, size: Size, at: u64) -> Vec<Line> {
    let mut lines = vec![head(history, url, size, at)];
    if let Some((since, why)) = history.gone() {
        let ago = span(at.saturating_sub(since) / 1_000_000);
        lines.push(Line::default().add(Ink::Bad, format!("no answer for {ago}, since {}", clock(since))));
        lines.push(Line::default().faint(why));
    }
    let Some(look) = history.last() else {
        if history.gone().is_some() {
            lines.push(Line::default());
            lines.push(
                Line::default().plain("start one with `appviewd serve`, or say where it is with --url"),
            );
        }
        return fitted(lines, Vec::new(), size);
    };
    if let Some(readiness) = &look.readiness
        && !readiness.ready
    {
        let why = readiness.reasons.join(", ");
        lines.push(Line::default().add(Ink::Doubtful, format!("not ready: {why}")));
    }
    lines.extend(records(look));
    lines.extend(streams(look));
    lines.extend(rates(history, look, size));
    lines.extend(queues(look));
    if look.numbers.is_none() {
        let told = look.missing.iter().find(|why| why.contains("/metrics"));
        let told = told.map_or("rates, queues and errors need --metrics-url".to_owned(), |why| {
            format!("no numbers: {why}")
        });
        lines.push(Line::default());
        lines.push(Line::default().faint(told));
    }
    fitted(lines, errors(&history.errors()), size)
}

/// What fits: errors, which may be many, give way first.
fn fitted(mut lines: Vec<Line>, errors: Vec<Line>, size: Size) -> Vec<Line> {
    lines.extend(errors);
    lines.into_iter().take(size.rows).map(|line| line.cut(size.columns)).collect()
}

fn head(history: &History, url: &str, size: Size, at: u64) -> Line {
    let version = history.last().and_then(|look| look.status.as_ref()).map(|status| status.version.as_str());
    let (ink, state) = match (history.gone(), history.last().and_then(|look| look.readiness.as_ref())) {
        (Some(_), _) => (Ink::Bad, "no answer"),
        (None, None) => (Ink::Faint, "asking"),
        (None, Some(readiness)) if readiness.ready => (Ink::Good, "ready"),
        (None, Some(_)) => (Ink::Doubtful, "not ready"),
    };
    let name = version.map_or("appviewd".to_owned(), |version| format!("appviewd {version}"));
    let line = Line::default().add(Ink::Strong, name).plain(format!("  {url}  ")).add(ink, state);
    line.ended_by(size.columns, Ink::Faint, clock(at))
}

fn heading(text: &str) -> [Line; 2] {
    [Line::default(), Line::default().add(Ink::Strong, text)]
}

fn records(look: &Look) -> Vec<Line> {
    let Some(Status { records, fingerprint, .. }) = &look.status else {
        return Vec::new();
    };
    let all = records.valid + records.marked + records.quarantined;
    let bad = format!("{} marked, {} quarantined", grouped(records.marked), grouped(records.quarantined));
    let bytes = look.numbers.as_ref().and_then(|numbers| numbers.sum("appview_index_bytes"));
    let bytes = bytes.map(|bytes| format!(", {}", sized(bytes))).unwrap_or_default();
    let line = Line::default().plain(format!("{} records", grouped(all))).faint(format!(" ({bad}){bytes}"));
    vec![line, Line::default().faint(format!("fingerprint {fingerprint}"))]
}

fn streams(look: &Look) -> Vec<Line> {
    let Some(status) = &look.status else {
        return Vec::new();
    };
    let mut lines = Vec::from(heading("streams"));
    if status.streams.is_empty() {
        lines.push(Line::default().faint("none yet"));
    }
    let widest =
        status.streams.iter().map(|stream| stream.endpoint.chars().count()).max().unwrap_or_default();
    for stream in &status.streams {
        let number = |name| look.numbers.as_ref()?.with(name, "endpoint", &stream.endpoint);
        let (ink, state) =
            if stream.connected { (Ink::Good, "connected    ") } else { (Ink::Bad, "not connected") };
        let lag = number("appview_stream_lag_seconds").or(stream.lag_seconds);
        let (lag_ink, lag) = match lag {
            None => (Ink::Faint, "nothing yet".to_owned()),
            Some(lag) if lag > FAR_BEHIND => (Ink::Bad, format!("{} behind", span(whole(lag)))),
            Some(lag) => (Ink::Plain, format!("{lag:.1} s behind")),
        };
        let newest = stream.newest.map(|newest| format!("  at {newest}")).unwrap_or_default();
        let again = number("appview_stream_reconnects_total").filter(|again| *again > 0.0);
        let again = again.map(|again| format!("  lost {again} times")).unwrap_or_default();
        let line = Line::default().plain(format!("{:<widest$}  ", stream.endpoint));
        lines.push(line.add(ink, state).add(lag_ink, format!("  {lag}")).faint(format!("{newest}{again}")));
    }
    lines
}

fn rates(history: &History, look: &Look, size: Size) -> Vec<Line> {
    let Some(numbers) = &look.numbers else {
        return Vec::new();
    };
    let mut lines = vec![Line::default()];
    let title = format!("{:<NAMES$}{:>12}{:>16}", "counted", "a second", "in all");
    lines.push(Line::default().add(Ink::Strong, title));
    let room = size.columns.saturating_sub(NAMES + 12 + 16 + 2);
    for (what, name) in RATES {
        // What never happens, such as hints where relays are followed, is not worth a line.
        let Some(total) = numbers.sum(name).filter(|total| *total > 0.0) else {
            continue;
        };
        let rates = history.rates(name);
        let rate = rates.last().map_or(String::new(), |rate| match *rate {
            100.0.. => grouped(whole(*rate)),
            rate => format!("{rate:.1}"),
        });
        let line = Line::default().plain(format!("{what:<NAMES$}{rate:>12}{:>16}", grouped(whole(total))));
        lines.push(line.faint(format!("  {}", chart(&rates, room))));
    }
    lines
}

fn queues(look: &Look) -> Vec<Line> {
    let mut lines = Vec::from(heading("proven and waiting"));
    if let Some(Status { repos, proven_share, oldest_proof_age_seconds, .. }) = &look.status {
        let share = f64::from(*proven_share) / 1e6;
        let ink = if share >= GOOD_SHARE { Ink::Good } else { Ink::Doubtful };
        let full = whole(share * usize_as_f64(SHARE)) as usize;
        let bar = format!("{}{}", "█".repeat(full.min(SHARE)), "░".repeat(SHARE.saturating_sub(full)));
        let of = format!("  {} of {} repositories", grouped(repos.proven), grouped(repos.hosted));
        let oldest = oldest_proof_age_seconds.map(|age| format!(", the oldest proof {} ago", span(age)));
        let line = Line::default().add(ink, format!("{:>5.1} %  {bar}", share * 100.0)).plain(of);
        lines.push(line.faint(oldest.unwrap_or_default()));
    }
    let Some(numbers) = &look.numbers else {
        return lines;
    };
    let number = |name| numbers.sum(name).unwrap_or_default();
    let queued = number("appview_queue_messages");
    let ink = if queued >= LONG_QUEUE { Ink::Bad } else { Ink::Plain };
    let bytes = sized(number("appview_queue_bytes"));
    lines.push(
        Line::default()
            .add(ink, format!("{:<34}{:>16}", "messages in the queue", grouped(whole(queued))))
            .faint(format!("  {bytes}")),
    );
    for (name, what, part, of) in [
        ("appview_fetches_waiting", "repositories to be fetched", "appview_fetches_put_off", "put off"),
        ("appview_hosts_resting", "hosts left alone", "", ""),
        ("appview_feed_subscribers", "subscribers to the feed", "", ""),
    ] {
        let line = Line::default().plain(format!("{what:<34}{:>16}", grouped(whole(number(name)))));
        let part = if part.is_empty() { 0.0 } else { number(part) };
        lines.push(if part > 0.0 { line.add(Ink::Doubtful, format!("  {part} of them {of}")) } else { line });
    }
    lines
}

fn errors(errors: &[Errors]) -> Vec<Line> {
    if errors.is_empty() {
        return Vec::new();
    }
    let title = format!("{:<46}{:>10}{:>16}", "errors", "in all", "last minute");
    let mut lines = vec![Line::default(), Line::default().add(Ink::Strong, title)];
    for Errors { what, total, lately } in errors {
        let line = Line::default().plain(format!("{what:<46}{:>10}", grouped(whole(*total))));
        let (ink, lately) = match whole(*lately) {
            0 => (Ink::Faint, "0".to_owned()),
            lately => (Ink::Bad, format!("+{}", grouped(lately))),
        };
        lines.push(line.add(ink, format!("{lately:>16}")));
    }
    lines
}

/// The newest rates as bars, as many as there is room for.
fn chart(rates: &[f64], room: usize) -> String {
    let rates = rates.iter().skip(rates.len().saturating_sub(room));
    let most = rates.clone().copied().fold(0.0, f64::max);
    let bar = |rate: &f64| {
        let height = if most > 0.0 { whole(rate / most * 7.0) as usize } else { 0 };
        // Little is more than nothing.
        BARS.get(if *rate > 0.0 { height.max(1) } else { 0 }).copied().unwrap_or(' ')
    };
    rates.map(bar).collect()
}

/// A whole number with its thousands apart.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut told = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            told.push(',');
        }
        told.push(digit);
    }
    told
}

fn sized(bytes: f64) -> String {
    match bytes {
        ..1e4 => format!("{bytes:.0} bytes"),
        ..1e6 => format!("{:.1} kB", bytes / 1e3),
        ..1e9 => format!("{:.1} MB", bytes / 1e6),
        _ => format!("{:.1} GB", bytes / 1e9),
    }
}

/// A span of time by its largest unit that says something.
fn span(seconds: u64) -> String {
    match Duration::from_secs(seconds).as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{} h", seconds / 3_600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// The time of day, in UTC.
fn clock(micros: u64) -> String {
    let moment = Datetime::saturating(micros.cast_signed());
    moment.as_str().get(11..19).map_or(String::new(), |time| format!("{time} UTC"))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "what is counted, for people")]
fn whole(number: f64) -> u64 {
    number.max(0.0) as u64
}

#[expect(clippy::cast_precision_loss, reason = "a width")]
fn usize_as_f64(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests;
