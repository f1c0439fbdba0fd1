//! Readings: a few headline numbers, a row of them, or a list downwards.

use maud::{Markup, PreEscaped, html};

/// One headline number.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    /// What it counts.
    pub(crate) name: &'static str,
    /// The number.
    pub(crate) number: String,
    /// Its unit, or what it is a part of.
    pub(crate) unit: String,
    /// What stands behind it.
    pub(crate) note: Markup,
}

impl Figure {
    pub(crate) fn new(name: &'static str, number: impl Into<String>) -> Self {
        Self { name, number: number.into(), unit: String::new(), note: PreEscaped(String::new()) }
    }

    #[must_use]
    pub(crate) fn of(self, unit: impl Into<String>) -> Self {
        Self { unit: unit.into(), ..self }
    }

    #[must_use]
    pub(crate) fn saying(self, note: impl Into<String>) -> Self {
        let note: String = note.into();
        Self { note: html! { (note) }, ..self }
    }
}

/// Headline numbers, four at most.
pub(crate) fn figures(figures: &[Figure]) -> Markup {
    html! {
        dl.figures {
            @for Figure { name, number, unit, note } in figures {
                div {
                    dt { (name) }
                    dd.big { (number) @if !unit.is_empty() { " " small { (unit) } } }
                    dd { (note) }
                }
            }
        }
    }
}

/// Readings in a row.
pub(crate) fn strip(readings: &[(&str, Markup)]) -> Markup {
    html! {
        dl.strip { @for (name, reading) in readings { div { dt { (name) } dd { (reading) } } } }
    }
}

/// Readings downwards.
pub(crate) fn facts(readings: &[(&str, Markup)]) -> Markup {
    html! {
        dl.facts.small { @for (name, reading) in readings { dt { (name) } dd { (reading) } } }
    }
}
