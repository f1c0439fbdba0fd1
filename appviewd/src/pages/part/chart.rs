//! Charts: bars of counts over time.
//!
//! The geometry is an SVG that stretches, and words are HTML beside it, so that nothing shrinks on a phone. Whoever does not
//! see the bars has what they say in a sentence, and all values in a table. Every coordinate is a whole number.

use maud::{Markup, html};

use super::{compact, number};

/// Height of a chart, in its own units.
const HEIGHT: i64 = 1_000;
/// Width of a bar with the space after it, and of the bar alone.
const STEP: i64 = 10;
const BAR: i64 = 8;
/// The same of a small chart in a line.
const SPARK: (i64, i64, i64) = (20, 4, 3);

/// One span of time.
#[derive(Debug, Clone)]
pub(crate) struct Bin {
    /// Which, in words.
    pub(crate) name: String,
    /// The value of each series.
    pub(crate) values: Vec<i64>,
}

/// A name on the axis of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tick {
    /// The day before it, where it changes; there is no room for it on a phone.
    pub(crate) day: Option<String>,
    pub(crate) name: String,
}

impl Tick {
    pub(crate) const fn new(name: String) -> Self {
        Self { day: None, name }
    }
}

/// What is counted, two at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Series {
    /// Its name; empty where there is one only.
    pub(crate) name: &'static str,
}

/// A chart.
#[derive(Debug)]
pub(crate) struct Bars<'a> {
    /// Tells it from the others of its page.
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    /// What a bar is: `per half hour, the last still open`.
    pub(crate) note: String,
    /// What a value counts, after the number.
    pub(crate) unit: &'a str,
    pub(crate) series: &'a [Series],
    pub(crate) bins: &'a [Bin],
    /// Names of the axis, evenly spaced.
    pub(crate) ticks: &'a [Tick],
    /// Whether the last bin is not over yet.
    pub(crate) is_open: bool,
    /// Whether it is one of several small ones.
    pub(crate) is_low: bool,
}

pub(crate) fn bars(chart: &Bars<'_>) -> Markup {
    let Bars { id, title, note, unit, series, bins, ticks, is_open, is_low } = chart;
    let sums = bins.iter().map(|bin| bin.values.iter().sum::<i64>());
    let (total, top) = (sums.clone().sum::<i64>(), top(sums.clone().max().unwrap_or(0)));
    let width = STEP * bins.len() as i64;
    let most = bins.iter().zip(sums).max_by_key(|(_, sum)| *sum);
    let reading = match most {
        Some((bin, sum)) if sum > 0 => {
            format!("{} {unit} in all, at most {} {unit}: {}.", number(total), number(sum), bin.name)
        }
        _ => format!("No {unit} in this time."),
    };
    let closed = bins.len() - usize::from(*is_open && !bins.is_empty());
    html! {
        figure.chart {
            figcaption {
                h3 { (title) }
                @if series.len() > 1 {
                    ul.key { @for (at, series) in series.iter().enumerate() { li class=[(at == 1).then_some("k2")] { (series.name) } } }
                } @else { span.small.soft { (note) } }
            }
            div.plot .low[*is_low] {
                ol.ys aria-hidden="true" {
                    li { (compact(top)) } li { (compact(top / 2)) } li { "0" }
                }
                svg viewBox={ "0 0 " (width) " " (HEIGHT) } preserveAspectRatio="none" role="img"
                    aria-labelledby={ (id) "-t " (id) "-d" } {
                    title id={ (id) "-t" } { (title) }
                    desc id={ (id) "-d" } { (reading) }
                    path.grid d={ "M0 0H" (width) } {}
                    path.grid d={ "M0 " (HEIGHT / 2) "H" (width) } {}
                    path.grid.base d={ "M0 " (HEIGHT) "H" (width) } {}
                    @for at in 0..series.len() {
                        path class={ "f" (at + 1) } d=(outline(bins.get(..closed).unwrap_or_default(), 0, at, top)) {}
                        @if *is_open {
                            path class={ "part f" (at + 1) }
                                d=(outline(bins.get(closed..).unwrap_or_default(), closed as i64, at, top)) {}
                        }
                    }
                    @for (at, bin) in bins.iter().enumerate() {
                        rect.hit x=(at as i64 * STEP) y="0" width=(STEP) height=(HEIGHT) {
                            title { (said(bin, series, unit)) }
                        }
                    }
                }
                ol.xs aria-hidden="true" { @for tick in *ticks { li { @if let Some(day) = &tick.day { span.lo { (day) " " } } (tick.name) } } }
            }
            details {
                summary { "Values as a table" }
                table {
                    thead {
                        tr {
                            th scope="col" { "Time (UTC)" }
                            @for series in *series {
                                th.num scope="col" { @if series.name.is_empty() { (title) } @else { (series.name) } }
                            }
                        }
                    }
                    tbody {
                        @for bin in bins.iter().filter(|bin| bin.values.iter().any(|value| *value != 0)) {
                            tr {
                                th scope="row" { (bin.name) }
                                @for value in &bin.values { td.num { (number(*value)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A chart in a line of a table.
pub(crate) fn spark(values: &[i64], said: &str) -> Markup {
    let (height, step, bar) = SPARK;
    let most = values.iter().copied().max().unwrap_or(0).max(1);
    let mut path = String::new();
    for (at, value) in values.iter().enumerate().filter(|(_, value)| **value > 0) {
        // Whatever is not nothing can be seen.
        let high = (value.saturating_mul(height - 2) / most).max(1);
        path.push_str(&format!(
            "M{} {}V{}h{bar}V{}z",
            at as i64 * step,
            height - 1,
            height - 1 - high,
            height - 1
        ));
    }
    html! {
        svg.spark viewBox={ "0 0 " (step * values.len() as i64) " " (height) } preserveAspectRatio="none" role="img"
            aria-label=(said) {
            path.grid.base d={ "M0 " (height) "H" (step * values.len() as i64) } {}
            path.f1 d=(path) {}
        }
    }
}

/// The bars of one series, on top of those before it.
fn outline(bins: &[Bin], first: i64, series: usize, top: i64) -> String {
    let at = |value: i64| HEIGHT - value.saturating_mul(HEIGHT) / top;
    let mut path = String::new();
    for (place, bin) in bins.iter().enumerate() {
        let below: i64 = bin.values.iter().take(series).sum();
        let value = bin.values.get(series).copied().unwrap_or(0);
        if value > 0 {
            let (x, from, to) =
                ((first + place as i64) * STEP + 1, at(below), at(below.saturating_add(value)));
            path.push_str(&format!("M{x} {from}V{to}h{BAR}V{from}z"));
        }
    }
    path
}

fn said(bin: &Bin, series: &[Series], unit: &str) -> String {
    let values = bin.values.iter().zip(series).map(|(value, series)| match series.name {
        "" => format!("{} {unit}", number(*value)),
        name => format!("{} {unit} {name}", number(*value)),
    });
    format!("{}: {}", bin.name, values.collect::<Vec<_>>().join(", "))
}

/// The end of an axis for values up to `most`: a number whose half is round.
fn top(most: i64) -> i64 {
    let mut unit = 1_i64;
    loop {
        let tops = [2, 4, 6, 8, 10, 12, 16].map(|tens| unit.saturating_mul(tens));
        match tops.into_iter().find(|top| *top >= most) {
            Some(top) => return top,
            None => unit = unit.saturating_mul(10),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_where_its_half_is_round() {
        for (most, end) in [(0, 2), (1, 2), (3, 4), (9, 10), (17, 20), (121, 160), (1_700, 2_000)] {
            assert_eq!(top(most), end, "{most}");
        }
        assert_eq!(top(i64::MAX), i64::MAX);
    }

    #[test]
    fn bars_stand_on_each_other_and_the_open_one_is_told_apart() {
        let bin = |values: [i64; 2]| Bin { name: "a".to_owned(), values: values.to_vec() };
        let bins = [bin([1, 3]), bin([0, 0]), bin([2, 0])];
        assert_eq!(outline(&bins, 0, 0, 4), "M1 1000V750h8V1000zM21 1000V500h8V1000z");
        assert_eq!(outline(&bins, 0, 1, 4), "M1 750V0h8V750z");
        let series = [Series { name: "in" }, Series { name: "out" }];
        let chart = Bars {
            id: "c",
            title: "Tokens",
            note: String::new(),
            unit: "tokens",
            series: &series,
            bins: &bins,
            ticks: &[],
            is_open: true,
            is_low: false,
        };
        let drawn = bars(&chart).into_string();
        assert!(drawn.contains("class=\"part f1\" d=\"M21 1000V500h8V1000z\""), "{drawn}");
        assert!(drawn.contains("6 tokens in all, at most 4 tokens: a."), "{drawn}");
    }
}
