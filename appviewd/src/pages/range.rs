//! How far back a chart looks, and its bars.

use std::str::FromStr;

use appview_core::index::IndexReader;
use appview_core::query::{Limit, QueryError, ReceiptFilter, RecordView, Steps, Totals, TotalsOf};
use maud::{Markup, html};

use super::part::{Bin, Filter, Href, Moment, Tick, clock, day};

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// From a Monday to 1970, which began on a Thursday: weeks begin on Mondays.
const MONDAY: i64 = 3 * DAY;

/// A span of time, up to the present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Range {
    /// By two minutes.
    Hour,
    /// By half hours.
    Day,
    /// By quarters of a day.
    Week,
    /// By days.
    Month,
    /// By weeks.
    Year,
}

impl Range {
    const ALL: [Self; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    /// The word for it in a path.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// Its name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Hour => "an hour",
            Self::Day => "24 hours",
            Self::Week => "7 days",
            Self::Month => "30 days",
            Self::Year => "52 weeks",
        }
    }

    /// How long a bar is, how many there are, and at every how many the axis bears a name.
    const fn bars(self) -> (i64, u16, usize) {
        match self {
            Self::Hour => (2 * MINUTE, 30, 6),
            Self::Day => (30 * MINUTE, 48, 12),
            Self::Week => (6 * HOUR, 28, 4),
            Self::Month => (DAY, 30, 6),
            Self::Year => (7 * DAY, 52, 13),
        }
    }

    const fn step(self) -> &'static str {
        match self {
            Self::Hour => "per two minutes",
            Self::Day => "per half hour",
            Self::Week => "per six hours",
            Self::Month => "per day",
            Self::Year => "per week",
        }
    }
}

impl FromStr for Range {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|range| range.word() == text);
        found.ok_or("expected hour, day, week, month or year")
    }
}

/// The bars of a chart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) range: Range,
    steps: Steps,
    /// Where it ends, if that is not the present.
    ended: Option<i64>,
}

impl Window {
    /// The bars of a chart of the work of some. If nobody says how far back it looks: an hour if all of the last day's work was
    /// done within it, else a day. Where nothing was done in that time, it ends with the last piece of work: a chart of
    /// nothing says nothing.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub(crate) fn choose(
        index: &IndexReader,
        of: &TotalsOf,
        wanted: Option<Range>,
        now: i64,
    ) -> Result<Self, QueryError> {
        let (provider, model) = match of {
            TotalsOf::Provider(provider) => (Some(provider.clone()), None),
            TotalsOf::Model(model) => (None, Some(model.clone())),
            _ => (None, None),
        };
        let filter = ReceiptFilter { provider, model, ..ReceiptFilter::default() };
        let newest = index.list_receipts(&filter, Limit::clamp(1), None)?;
        let newest = newest.items.first().map(RecordView::indexed_at_micros);
        if let Some(range) = wanted {
            return Ok(Self::at(range, newest, now));
        }
        let sum = |window: Self| {
            let series = index.series(of, window.steps)?;
            Ok::<_, QueryError>(series.iter().map(|totals| totals.requests).sum::<i64>())
        };
        let (hour, day) = (Self::at(Range::Hour, newest, now), Self::at(Range::Day, newest, now));
        Ok(if sum(hour)? == sum(day)? { hour } else { day })
    }

    /// A range that ends with the present, or with the newest piece of work if that is out of its sight.
    fn at(range: Range, newest: Option<i64>, now: i64) -> Self {
        let (length, count, _) = range.bars();
        let bars_to = |end: i64| {
            let last = (end + MONDAY).div_euclid(length) * length - MONDAY;
            Steps { since: last - length * (i64::from(count) - 1), length, count }
        };
        let steps = bars_to(now);
        let ended = newest.filter(|newest| *newest < steps.since);
        Self { range, steps: ended.map_or(steps, bars_to), ended }
    }

    /// What the work of each bar adds up to.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub(crate) fn series(self, index: &IndexReader, of: &TotalsOf) -> Result<Vec<Totals>, QueryError> {
        index.series(of, self.steps)
    }

    /// The first moment of a bar.
    fn start(self, bar: usize) -> i64 {
        self.steps.since + self.steps.length * bar as i64
    }

    /// How many bars there are.
    pub(crate) fn count(self) -> usize {
        usize::from(self.steps.count)
    }

    /// The bar that a moment belongs to.
    pub(crate) fn bar(self, micros: i64) -> Option<usize> {
        let bar = usize::try_from((micros - self.steps.since).div_euclid(self.steps.length)).ok()?;
        Some(bar).filter(|bar| *bar < usize::from(self.steps.count))
    }

    /// Bars with these values.
    pub(crate) fn bins(self, values: impl IntoIterator<Item = Vec<i64>>) -> Vec<Bin> {
        let name = |bar: usize| {
            let (from, until) = (self.start(bar), self.start(bar + 1));
            let minutes = |micros: i64| clock(micros).chars().take(5).collect::<String>();
            match self.range {
                Range::Year => format!("week of {}", day(from)),
                Range::Month => day(from),
                _ => format!("{} {}–{}", day(from), minutes(from), minutes(until)),
            }
        };
        values.into_iter().enumerate().map(|(bar, values)| Bin { name: name(bar), values }).collect()
    }

    /// Names along the axis. The day stands where it changes.
    pub(crate) fn ticks(self) -> Vec<Tick> {
        let (_, count, every) = self.range.bars();
        let mut before = String::new();
        let tick = |bar: usize| {
            let at = self.start(bar);
            let full = day(at);
            let short = full.rsplit_once(' ').map_or(full.clone(), |(short, _)| short.to_owned());
            let is_new = std::mem::replace(&mut before, short.clone()) != short;
            let time: String = clock(at).chars().take(5).collect();
            match self.range {
                Range::Hour | Range::Day => Tick { day: is_new.then_some(short), name: time },
                _ => Tick::new(short),
            }
        };
        (0..usize::from(count)).step_by(every).map(tick).collect()
    }

    /// What a bar is.
    pub(crate) fn note(self) -> String {
        let open = if self.is_open() { ", the last still open" } else { "" };
        format!("{}{open}", self.range.step())
    }

    /// Whether it ends with the present, so that more may come into its last bar.
    pub(crate) const fn is_open(self) -> bool {
        self.ended.is_none()
    }

    /// That it does not end with the present.
    pub(crate) fn remark(self) -> Markup {
        html! {
            @if let Some(ended) = self.ended {
                p.note.small.soft { "Nothing was done since " (Moment::InText(ended).markup()) ". The charts end there." }
            }
        }
    }

    /// The choice between ranges.
    pub(crate) fn filter(self, href: &Href) -> Filter {
        let options = Range::ALL.into_iter().map(|range| {
            (range.name().to_owned(), href.with("range", Some(range.word())), range == self.range)
        });
        Filter { name: "Last", options: options.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 22 Nov 2026, 13:06:40 UTC, a Sunday.
    const NOW: i64 = 1_795_352_800_000_000;

    #[test]
    fn bars_end_with_the_one_that_is_still_open() {
        for (range, first, last) in [
            (Range::Hour, "22 Nov 2026 12:08–12:10", "22 Nov 2026 13:06–13:08"),
            (Range::Day, "21 Nov 2026 13:30–14:00", "22 Nov 2026 13:00–13:30"),
            (Range::Week, "15 Nov 2026 18:00–00:00", "22 Nov 2026 12:00–18:00"),
            (Range::Month, "24 Oct 2026", "22 Nov 2026"),
            (Range::Year, "week of 24 Nov 2025", "week of 16 Nov 2026"),
        ] {
            let window = Window::at(range, Some(NOW), NOW);
            let bins = window.bins(vec![Vec::new(); usize::from(window.steps.count)]);
            assert_eq!(bins.first().map(|bin| bin.name.as_str()), Some(first));
            assert_eq!(bins.last().map(|bin| bin.name.as_str()), Some(last));
            assert_eq!(window.bar(NOW), Some(bins.len() - 1));
            assert_eq!(window.bar(window.steps.since - 1), None);
            assert_eq!(bins.len() % window.ticks().len(), 0);
        }
    }

    #[test]
    fn what_is_out_of_sight_is_where_a_chart_ends() {
        let hours = |hours: i64| Window::at(Range::Day, Some(NOW - hours * HOUR), NOW);
        assert_eq!((hours(23).ended, hours(23).steps), (None, hours(0).steps));
        let long_ago = hours(100);
        assert_eq!(long_ago.ended, Some(NOW - 100 * HOUR));
        assert_eq!(long_ago.bar(NOW - 100 * HOUR), Some(47));
        assert_eq!(hours(-1_000).ended, None, "whoever claims a time to come moves nothing");
    }

    #[test]
    fn an_axis_names_the_day_where_it_changes() {
        let ticks = |range| {
            let told = |tick: Tick| tick.day.map_or(tick.name.clone(), |day| format!("{day} {}", tick.name));
            Window::at(range, None, NOW).ticks().into_iter().map(told).collect::<Vec<_>>()
        };
        assert_eq!(ticks(Range::Day), ["21 Nov 13:30", "19:30", "22 Nov 01:30", "07:30"]);
        assert_eq!(ticks(Range::Year), ["24 Nov", "23 Feb", "25 May", "24 Aug"]);
    }
}
