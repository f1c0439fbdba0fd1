//! How something came out: a drawn mark and a word, never a colour alone.

use maud::{Markup, html};

/// How something came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    /// It can't be judged, or there is nothing to judge.
    None,
    /// It holds.
    Pass,
    /// A fact worth knowing.
    Info,
    /// Odd, and no reason to distrust.
    Warn,
    /// It does not hold.
    Fail,
}

impl State {
    /// The class that stands for it.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::None => "none",
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Pass => "M1.5 6.5 4.6 9.5 10.5 2.5",
            Self::Info => "M6 1.5v.9M6 4.8v5.7",
            Self::Warn => "M6 1.2 11.2 10.6H.8zM6 4.8v2.6M6 8.6v.9",
            Self::Fail => "M2 2l8 8M10 2l-8 8",
            Self::None => "M1.5 6h9",
        }
    }
}

/// A state with its word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) state: State,
    pub(crate) word: String,
}

impl Mark {
    pub(crate) fn new(state: State, word: impl Into<String>) -> Self {
        Self { state, word: word.into() }
    }

    pub(crate) fn markup(&self) -> Markup {
        html! {
            span class={ "st " (self.state.class()) } {
                svg viewBox="0 0 12 12" aria-hidden="true" { path d=(self.state.path()) {} }
                (self.word)
            }
        }
    }
}
