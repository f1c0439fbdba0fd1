//! One model: how much it is used, who offers it, and what was done with it.

use appview_core::index::IndexReader;
use appview_core::query::{
    LatencyStats, Limit, PageCursor, ProviderFilter, QueryError, ReceiptFilter, Span, Totals, TotalsOf,
};
use appview_core::record::TypedRecord as _;
use appview_core::record::compute::Provider;
use maud::{Markup, html};

use super::name::{Name, Names, Side};
use super::part::{
    Bars, Cell, Column, Figure, Href, Series, Table, bars, figures, filters, long_identifier, millis, number,
};
use super::range::Window;
use super::receipts::About;
use super::{List, Page, ROWS, Range, Receipts, Section, Sheet, machine, pager};

/// Machines that are shown.
const MACHINES: i64 = 50;

/// What is asked about a model.
#[derive(Debug, Clone)]
pub(crate) struct ModelAsked {
    pub(crate) model: String,
    pub(crate) range: Option<Range>,
    pub(crate) cursor: Option<PageCursor>,
}

impl ModelAsked {
    fn href(&self) -> Href {
        Href::to("/model/", &self.model).with("range", self.range.map(Range::word))
    }
}

/// What is found of it.
#[derive(Debug)]
pub(crate) struct ModelPage {
    asked: ModelAsked,
    window: Window,
    work: Vec<Totals>,
    ever: Totals,
    latency: LatencyStats,
    offers: Vec<(Name, Provider, Totals)>,
    receipts: Receipts,
}

impl ModelPage {
    /// Asks the index; nothing if no receipt and no machine names the model.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cursor`], failing input or damage.
    pub(crate) fn read(index: &IndexReader, asked: ModelAsked, now: i64) -> Result<Option<Self>, QueryError> {
        let of = TotalsOf::Model(asked.model.clone());
        let filter = ProviderFilter { model: Some(asked.model.clone()), ..ProviderFilter::default() };
        let names = Names::of(index);
        let mut offers = Vec::new();
        for record in index.list_providers(&filter, Limit::clamp(MACHINES), None)?.items {
            let Ok(machine) = Provider::from_block(&record.block) else { continue };
            let of = TotalsOf::ModelOf { model: asked.model.clone(), provider: record.repo.clone() };
            offers.push((names.name(&record.repo)?, machine, index.totals(&of, Span::ALWAYS)?));
        }
        let ever = index.totals(&of, Span::ALWAYS)?;
        if ever == Totals::default() && offers.is_empty() {
            return Ok(None);
        }
        let filter = ReceiptFilter { model: Some(asked.model.clone()), ..ReceiptFilter::default() };
        let page = index.list_receipts(&filter, Limit::clamp(ROWS), asked.cursor.as_ref())?;
        let window = Window::choose(index, &of, asked.range, now)?;
        Ok(Some(Self {
            work: window.series(index, &of)?,
            window,
            ever,
            latency: index.latency_of_model(&asked.model)?,
            offers,
            receipts: Receipts::read(index, &names, page.items, page.cursor)?,
            asked,
        }))
    }

    fn figures(&self) -> Markup {
        let LatencyStats { p50_ms, p95_ms, avg_ms, .. } = self.latency;
        let took = |time: Option<i64>| time.map_or_else(|| "–".to_owned(), millis);
        figures(&[
            Figure::new("Receipts", number(self.ever.requests)).saying("in all"),
            Figure::new("Tokens", number(self.ever.tokens_in.saturating_add(self.ever.tokens_out)))
                .saying(format!("{} in, {} out", number(self.ever.tokens_in), number(self.ever.tokens_out))),
            Figure::new("Median time", took(p50_ms)).saying(format!(
                "95th percentile {}, mean {}",
                took(p95_ms),
                took(avg_ms)
            )),
            self.receipts.figure(),
        ])
    }

    fn offers(&self) -> Table {
        let rows = self.offers.iter().map(|(name, machine, done)| {
            let price = machine::price(machine, &self.asked.model);
            let price = |of: fn(&appview_core::record::compute::ModelPrice) -> i64| {
                price.map_or_else(Cell::absent, |price| {
                    let shown = html! { (number(of(price))) " " span.soft { (price.currency) } };
                    Cell::new(shown, format!("{} {}", of(price), price.currency))
                })
            };
            vec![
                name.cell(Side::Provider),
                Cell::mark(&machine::serving(machine)),
                Cell::text(machine::hardware(machine)),
                Cell::text(&machine.trust_level),
                Cell::number(done.requests),
                price(|price| price.input_price_per_m_tok),
                price(|price| price.output_price_per_m_tok),
            ]
        });
        Table {
            caption: "Machines",
            columns: vec![
                Column::lead("Provider"),
                Column::side("State"),
                Column::wide("Machine"),
                Column::text("Trust claimed"),
                Column::number("Receipts"),
                Column::number("Price in"),
                Column::number("Price out"),
            ],
            rows: rows.collect(),
            nothing: "No machine offers it at present.",
        }
    }
}

impl Page for ModelPage {
    fn receipts(&mut self) -> Option<&mut Receipts> {
        Some(&mut self.receipts)
    }

    fn list(&self) -> Option<List> {
        let next = self.receipts.cursor.as_ref();
        let next = next.map(|cursor| self.asked.href().with("cursor", Some(cursor.to_string())));
        Some(List { name: "receipts".to_owned(), table: self.receipts.table(About::Model), next })
    }

    fn sheet(&self) -> Sheet {
        let model = &self.asked.model;
        let short = model.rsplit_once('/').map_or(model.as_str(), |(_, short)| short);
        let href = self.asked.href();
        let ticks = self.window.ticks();
        let chart = |id, title, unit, series: &[Series], values: fn(&Totals) -> Vec<i64>| {
            let bins = self.window.bins(self.work.iter().map(values));
            let note = self.window.note();
            bars(&Bars {
                id,
                title,
                note,
                unit,
                series,
                bins: &bins,
                ticks: &ticks,
                is_open: self.window.is_open(),
                is_low: false,
            })
        };
        let main = html! {
            nav.crumb aria-label="You are here" { a href="/models" { "Models" } }
            h1.break { (short) }
            p.small.soft { (long_identifier(model, "model")) }
            (self.figures())
            section aria-labelledby="h-work" {
                div.head { h2 #h-work { "Activity" } (filters(&[self.window.filter(&href)])) }
                (self.window.remark())
                div.cols {
                    (chart("receipts", "Receipts", "receipts", &[Series { name: "" }], |work| vec![work.requests]))
                    (chart("tokens", "Tokens", "tokens", &[Series { name: "in" }, Series { name: "out" }], |work| {
                        vec![work.tokens_in, work.tokens_out]
                    }))
                }
            }
            section aria-labelledby="h-offers" {
                div.head {
                    h2 #h-offers { "On offer" }
                    span.small.soft { "prices for a million tokens" }
                }
                (self.offers().markup())
            }
            section aria-labelledby="h-receipts" {
                div.head {
                    h2 #h-receipts { "Receipts" }
                    a.small href=(href.with("format", Some("csv"))) { "CSV" }
                }
                (self.receipts.table(About::Model).markup())
                (pager(&href, self.asked.cursor.is_none(), self.receipts.cursor.as_ref()))
            }
        };
        Sheet { title: short.to_owned(), section: Section::Models, every: None, main }
    }
}
