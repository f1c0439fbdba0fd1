//! Which models are used.

use appview_core::index::IndexReader;
use appview_core::query::{
    ActivityWindows, Limit, ModelUse, PageCursor, ProviderFilter, QueryError, Totals, TotalsOf,
};
use appview_core::record::TypedRecord as _;
use appview_core::record::compute::Provider;
use maud::html;

use super::part::{Cell, Column, Href, Table, counted, number, spark};
use super::range::Window;
use super::receipts::model_cell;
use super::{List, Page, ROWS, Range, Section, Sheet, machine, pager};

/// Machines that are looked at for the price of a model.
const OFFERS: i64 = 20;

/// The page.
#[derive(Debug)]
pub(crate) struct ModelsPage {
    lines: Vec<Line>,
    is_first: bool,
    cursor: Option<PageCursor>,
}

/// One model.
#[derive(Debug)]
pub(super) struct Line {
    model: String,
    used: ActivityWindows,
    week: Vec<i64>,
    p50: Option<i64>,
    offers: Offers,
}

/// On how many machines a model is on offer, and for how much.
#[derive(Debug)]
pub(super) struct Offers {
    count: i64,
    are_more: bool,
    pub(super) price_in: Price,
    pub(super) price_out: Price,
}

/// From how much to how much a million tokens cost, in one currency.
#[derive(Debug, Default)]
pub(super) struct Price(Option<(i64, i64, String)>);

impl Price {
    fn meet(&mut self, amount: i64, currency: &str) {
        match &mut self.0 {
            None => self.0 = Some((amount, amount, currency.to_owned())),
            Some((least, most, met)) if met == currency => {
                (*least, *most) = ((*least).min(amount), (*most).max(amount));
            }
            // Another currency can't be compared.
            Some(_) => {}
        }
    }

    /// In a table.
    pub(super) fn cell(&self) -> Cell {
        let Some((least, most, currency)) = &self.0 else { return Cell::absent() };
        let range =
            if least == most { number(*least) } else { format!("{}–{}", number(*least), number(*most)) };
        let value = if least == most { least.to_string() } else { format!("{least}-{most}") };
        Cell::new(html! { (range) " " span.soft { (currency) } }, format!("{value} {currency}"))
    }
}

impl Offers {
    /// # Errors
    ///
    /// Failing input or damage.
    pub(super) fn of(index: &IndexReader, model: &str) -> Result<Self, QueryError> {
        let filter = ProviderFilter { model: Some(model.to_owned()), ..ProviderFilter::default() };
        let page = index.list_providers(&filter, Limit::clamp(OFFERS), None)?;
        let (mut price_in, mut price_out) = (Price::default(), Price::default());
        for provider in page.items.iter().filter_map(|record| Provider::from_block(&record.block).ok()) {
            if let Some(price) = machine::price(&provider, model) {
                price_in.meet(price.input_price_per_m_tok, &price.currency);
                price_out.meet(price.output_price_per_m_tok, &price.currency);
            }
        }
        Ok(Self { count: page.items.len() as i64, are_more: page.cursor.is_some(), price_in, price_out })
    }

    pub(super) fn count(&self) -> String {
        format!("{}{}", number(self.count), if self.are_more { " or more" } else { "" })
    }
}

impl ModelsPage {
    /// Asks the index.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cursor`], failing input or damage.
    pub(crate) fn read(
        index: &IndexReader,
        cursor: Option<PageCursor>,
        now: i64,
    ) -> Result<Self, QueryError> {
        let (lines, next) = used(index, cursor.as_ref(), ROWS, now)?;
        Ok(Self { lines, is_first: cursor.is_none(), cursor: next })
    }
}

impl Page for ModelsPage {
    fn list(&self) -> Option<List> {
        let next =
            self.cursor.as_ref().map(|cursor| Href::new("/models").with("cursor", Some(cursor.to_string())));
        Some(List { name: "models".to_owned(), table: table(&self.lines), next })
    }

    fn sheet(&self) -> Sheet {
        let href = Href::new("/models");
        let main = html! {
            div.head { h1 { "Models" } a.small href=(href.with("format", Some("csv"))) { "CSV" } }
            p.lede {
                "Whatever receipts say was run, the one used last first. Prices are those that machines ask, for a "
                "million tokens."
            }
            section aria-label="List of models" {
                (table(&self.lines).markup())
                (pager(&href, self.is_first, self.cursor.as_ref()))
            }
        };
        Sheet { title: "Models".to_owned(), section: Section::Models, every: None, main }
    }
}

/// Models by when they were used last.
///
/// # Errors
///
/// [`QueryError::Cursor`], failing input or damage.
pub(super) fn used(
    index: &IndexReader,
    cursor: Option<&PageCursor>,
    most: i64,
    now: i64,
) -> Result<(Vec<Line>, Option<PageCursor>), QueryError> {
    let found =
        index.model_activity(now.cast_unsigned(), Some(Limit::clamp(1)), Limit::clamp(most), cursor)?;
    let lines =
        found.models.into_iter().map(|used| Line::read(index, used, now)).collect::<Result<_, _>>()?;
    Ok((lines, found.cursor))
}

impl Line {
    fn read(index: &IndexReader, used: ModelUse, now: i64) -> Result<Self, QueryError> {
        let model = used.model_id;
        let of = TotalsOf::Model(model.clone());
        let week = Window::choose(index, &of, Some(Range::Week), now)?.series(index, &of)?;
        Ok(Self {
            used: used.totals,
            week: week.iter().map(|Totals { requests, .. }| *requests).collect(),
            p50: index.latency_of_model(&model)?.p50_ms,
            offers: Offers::of(index, &model)?,
            model,
        })
    }

    fn cells(&self) -> Vec<Cell> {
        let total: i64 = self.week.iter().sum();
        let said = format!("{} within 7 days, by quarters of a day", counted(total, "receipt", "receipts"));
        vec![
            model_cell(&self.model),
            Cell::new(spark(&self.week, &said), ""),
            Cell::number(self.used.day.requests),
            Cell::number(self.used.month.requests),
            Cell::number(self.used.month.tokens),
            Cell::millis(self.p50),
            Cell::text(self.offers.count()),
            self.offers.price_in.cell(),
            self.offers.price_out.cell(),
        ]
    }
}

/// The table of some models.
pub(super) fn table(lines: &[Line]) -> Table {
    Table {
        caption: "Models",
        columns: vec![
            Column::lead("Model"),
            Column::side("7 days"),
            Column::number("24 hours"),
            Column::number("30 days"),
            Column::number("Tokens, 30 days"),
            Column::number("Median"),
            Column::number("Machines"),
            Column::number("Price in"),
            Column::number("Price out"),
        ],
        rows: lines.iter().map(Line::cells).collect(),
        nothing: "No receipt names a model yet.",
    }
}
