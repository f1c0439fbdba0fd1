//! The network at a glance: what is done, by whom and with what, and how far these numbers can be trusted.

use appview_core::index::IndexReader;
use appview_core::query::{Latency, Limit, QueryError, ReceiptFilter, Scope, Span, Totals, TotalsOf};
use maud::{Markup, html};

use super::name::Names;
use super::part::{
    Bars, Bin, Figure, Filter, Href, Mark, Moment, Series, State, bars, counted, figures, filters,
    identifier, millis, number, percent, seconds, strip,
};
use super::range::Window;
use super::receipts::About;
use super::{List, Page, Range, Receipts, Section, Sheet, models, providers};
use crate::admin::Status;

/// Rows of each list on the page.
const SHOWN: i64 = 8;

/// What is found of the network.
#[derive(Debug)]
pub(crate) struct NetworkPage {
    window: Window,
    work: Vec<Totals>,
    ever: Totals,
    latency: Latency,
    fingerprint: String,
    status: Status,
    models: Vec<models::Line>,
    providers: Vec<providers::Line>,
    newest: Option<i64>,
    receipts: Receipts,
}

impl NetworkPage {
    /// Asks the index; `status` is how it stands at `now`.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub(crate) fn read(
        index: &IndexReader,
        range: Option<Range>,
        status: Status,
        now: i64,
    ) -> Result<Self, QueryError> {
        let window = Window::choose(index, &TotalsOf::All, range, now)?;
        let names = Names::of(index);
        let newest = index.list_receipts(&ReceiptFilter::default(), Limit::clamp(SHOWN), None)?;
        Ok(Self {
            work: window.series(index, &TotalsOf::All)?,
            window,
            ever: index.totals(&TotalsOf::All, Span::ALWAYS)?,
            latency: index.latency(now.cast_unsigned(), Limit::clamp(1), None)?,
            fingerprint: index.fingerprint(&Scope::Whole)?.to_string(),
            status,
            models: models::used(index, None, SHOWN, now)?.0,
            providers: providers::active(index, &names, SHOWN, now)?,
            newest: newest.items.first().map(|newest| newest.indexed_at_micros()),
            receipts: Receipts::read(index, &names, newest.items, newest.cursor)?,
        })
    }

    fn figures(&self) -> Markup {
        let sum = |of: fn(&Totals) -> i64| self.work.iter().map(of).sum::<i64>();
        let (requests, read, written) =
            (sum(|work| work.requests), sum(|work| work.tokens_in), sum(|work| work.tokens_out));
        let overall = self.latency.overall;
        let took = |time: Option<i64>| time.map_or_else(|| "–".to_owned(), millis);
        let repos = self.status.repos;
        figures(&[
            Figure::new("Receipts", number(requests))
                .of(format!("in {}", self.window.range.name()))
                .saying(format!("{} in all", number(self.ever.requests))),
            Figure::new("Tokens", number(read.saturating_add(written))).saying(format!(
                "{} in, {} out",
                number(read),
                number(written)
            )),
            Figure::new("Median time", took(overall.p50_ms))
                .saying(format!("95th percentile {}", took(overall.p95_ms))),
            Figure::new("Proven at the source", percent(repos.proven, repos.hosted)).saying(format!(
                "{} of {}",
                number(repos.proven.cast_signed()),
                counted(repos.hosted.cast_signed(), "repository", "repositories")
            )),
        ])
    }

    fn activity(&self) -> Markup {
        let bins = |values: fn(&Totals) -> Vec<i64>| self.window.bins(self.work.iter().map(values));
        let chart = |id, title, unit, series, bins: &[Bin]| {
            bars(&Bars {
                id,
                title,
                note: self.window.note(),
                unit,
                series,
                bins,
                ticks: &self.window.ticks(),
                is_open: self.window.is_open(),
                is_low: false,
            })
        };
        let receipts = bins(|work| vec![work.requests]);
        let tokens = bins(|work| vec![work.tokens_in, work.tokens_out]);
        let one: &[Series] = &[Series { name: "" }];
        let both: &[Series] = &[Series { name: "in" }, Series { name: "out" }];
        let choice: Filter = self.window.filter(&Href::new("/"));
        html! {
            section aria-labelledby="h-work" {
                div.head { h2 #h-work { "Activity" } (filters(&[choice])) }
                (self.window.remark())
                div.cols {
                    (chart("receipts", "Receipts", "receipts", one, &receipts))
                    (chart("tokens", "Tokens", "tokens", both, &tokens))
                }
            }
        }
    }

    fn index(&self) -> Markup {
        let Status { streams, repos, oldest_proof_age_seconds, .. } = &self.status;
        let connected = streams.iter().filter(|stream| stream.connected).count();
        let stream = match (connected, streams.len()) {
            (0, _) => Mark::new(State::Fail, "none connected"),
            (connected, all) if connected < all => {
                Mark::new(State::Warn, format!("{connected} of {all} connected"))
            }
            (1, _) => Mark::new(State::Pass, "connected"),
            (connected, _) => Mark::new(State::Pass, format!("{connected} connected")),
        };
        let behind = streams.iter().filter(|stream| stream.connected).filter_map(|stream| stream.lag_seconds);
        let behind = behind.reduce(f64::min).map(|behind| format!("{behind:.1} s"));
        let oldest = oldest_proof_age_seconds.map(|age| format!("{} ago", seconds(age)));
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
        let newest = self.newest.map(|newest| Moment::Ago(newest).markup());
        html! {
            section aria-labelledby="h-index" {
                div.head { h2 #h-index { "This index" } a.small href="/status" { "All readings" } }
                (strip(&[
                    ("Stream", stream.markup()),
                    ("Behind", html! { (or_none(behind)) }),
                    ("Waiting for proof", html! { (number(repos.waiting.cast_signed())) }),
                    ("Oldest proof", html! { (or_none(oldest)) }),
                    ("Fingerprint", identifier(&self.fingerprint)),
                    ("Newest receipt", newest.unwrap_or_else(|| html! { "–" })),
                ]))
            }
        }
    }
}

impl Page for NetworkPage {
    fn receipts(&mut self) -> Option<&mut Receipts> {
        Some(&mut self.receipts)
    }

    fn list(&self) -> Option<List> {
        let table = self.receipts.table(About::Anyone);
        Some(List { name: "receipts".to_owned(), table, next: None })
    }

    fn sheet(&self) -> Sheet {
        let main = html! {
            h1 { "Network" }
            p.lede {
                "What providers, requesters and exchanges have published under " code { "dev.cocore" }
                ", each record proven against its signed repository before it is counted."
            }
            (self.figures())
            (self.activity())
            (self.index())
            section aria-labelledby="h-models" {
                div.head { h2 #h-models { "Models" } a.small href="/models" { "All models" } }
                (models::table(&self.models).markup())
            }
            section aria-labelledby="h-providers" {
                div.head { h2 #h-providers { "Providers" } a.small href="/providers" { "All providers" } }
                (providers::table(&self.providers).markup())
            }
            section aria-labelledby="h-receipts" {
                div.head { h2 #h-receipts { "Latest receipts" } a.small href="/?format=csv" { "CSV" } }
                (self.receipts.table(About::Anyone).markup())
            }
        };
        Sheet { title: "Network".to_owned(), section: Section::Network, every: Some(10), main }
    }
}
