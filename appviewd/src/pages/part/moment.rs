//! Moments: the exact one in UTC, for whoever has no script; the reader's own zone is the script's to show.

use appview_core::syntax::Datetime;
use maud::{Markup, html};

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A moment on a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// In a text: `22 Nov 2026, 13:06:40 UTC`.
    InText(i64),
    /// In a table, where many stand below each other: `22 Nov 13:06:40`.
    InTable(i64),
    /// How long ago it was, with a script; else as in a table.
    Ago(i64),
}

impl Moment {
    /// How it stands on the page. `title` has it as it is, to the millisecond.
    pub(crate) fn markup(self) -> Markup {
        let (Self::InText(micros) | Self::InTable(micros) | Self::Ago(micros)) = self;
        let exact = Datetime::saturating(micros);
        let exact = exact.as_str();
        let text = match self {
            Self::InText(_) => format!("{}, {} UTC", day(micros), clock(micros)),
            Self::InTable(_) | Self::Ago(_) => format!("{} {}Z", short_day(micros), clock(micros)),
        };
        html! {
            time datetime=(exact) title=(exact) data-local[matches!(self, Self::InText(_))]
                data-short[matches!(self, Self::InTable(_))] data-rel[matches!(self, Self::Ago(_))] { (text) }
        }
    }
}

/// The day of a moment: `22 Nov 2026`.
pub(crate) fn day(micros: i64) -> String {
    format!("{} {}", short_day(micros), part(micros, 0, 4))
}

/// The same without its year.
fn short_day(micros: i64) -> String {
    let month: usize = part(micros, 5, 7).parse().unwrap_or(1);
    let day: u32 = part(micros, 8, 10).parse().unwrap_or(1);
    format!("{day} {}", MONTHS.get(month.saturating_sub(1)).unwrap_or(&"–"))
}

/// The time of day of a moment: `13:06:40`.
pub(crate) fn clock(micros: i64) -> String {
    part(micros, 11, 19)
}

fn part(micros: i64, from: usize, to: usize) -> String {
    Datetime::saturating(micros).as_str().get(from..to).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_told_in_utc_and_exactly_in_its_title() {
        let exact = "datetime=\"2026-11-22T13:06:40.406Z\" title=\"2026-11-22T13:06:40.406Z\"";
        let micros = 1_795_352_800_406_000;
        assert_eq!(
            Moment::InText(micros).markup().into_string(),
            format!("<time {exact} data-local>22 Nov 2026, 13:06:40 UTC</time>")
        );
        assert_eq!(
            Moment::Ago(micros).markup().into_string(),
            format!("<time {exact} data-rel>22 Nov 13:06:40Z</time>")
        );
    }
}
