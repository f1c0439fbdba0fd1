//! The parts that pages are made of, each written once.
//!
//! Numbers, moments, names and rows enter; markup leaves, escaped. Deliberately absent: questions to the index, and what a
//! page is about. No style and no script stands in any markup, which the content policy would refuse.

mod chart;
mod figure;
mod identifier;
mod link;
mod mark;
mod moment;
mod number;
mod table;

pub(crate) use chart::{Bars, Bin, Series, Tick, bars, spark};
pub(crate) use figure::{Figure, facts, figures, strip};
pub(crate) use identifier::{identifier, long_identifier};
pub(crate) use link::{Filter, Href, filters};
pub(crate) use mark::{Mark, State};
pub(crate) use moment::{Moment, clock, day};
pub(crate) use number::{bytes, compact, counted, millis, number, percent, seconds};
pub(crate) use table::{Cell, Column, Table};
