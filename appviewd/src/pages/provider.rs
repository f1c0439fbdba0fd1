//! One provider: what is claimed, what is attested, what was earned, and which receipts there are.

use appview_core::index::IndexReader;
use appview_core::query::{
    AccountProfile, LatencyStats, Limit, PageCursor, ProviderFilter, QueryError, ReceiptFilter, Span, Totals,
    TotalsOf,
};
use appview_core::record::compute::ModelPrice;
use appview_core::syntax::Did;
use maud::{Markup, html};

use super::earned::Earnings;
use super::machine::{Machine, machines};
use super::name::{Name, Names};
use super::part::{
    Bars, Cell, Column, Figure, Filter, Href, Series, Table, bars, counted, facts, figures, filters,
    long_identifier, millis, number,
};
use super::range::Window;
use super::receipts::{About, model_cell};
use super::{List, Page, ROWS, Range, Receipts, Section, Sheet, machine, pager};

/// Machines that are shown with all that is told of them.
const MACHINES: i64 = 8;
/// Models that there are links for.
const MODELS: usize = 8;

/// What is asked about a provider.
#[derive(Debug, Clone)]
pub(crate) struct ProviderAsked {
    pub(crate) did: Did,
    pub(crate) range: Option<Range>,
    /// Receipts of this model alone.
    pub(crate) model: Option<String>,
    pub(crate) cursor: Option<PageCursor>,
}

impl ProviderAsked {
    fn href(&self) -> Href {
        let href = Href::to("/provider/", self.did.as_str());
        href.with("range", self.range.map(Range::word)).with("model", self.model.as_deref())
    }
}

/// What is found of them.
#[derive(Debug)]
pub(crate) struct ProviderPage {
    asked: ProviderAsked,
    name: Name,
    profile: AccountProfile,
    machines: Vec<Machine>,
    prices: Vec<(ModelPrice, Totals)>,
    window: Window,
    work: Vec<Totals>,
    ever: Totals,
    earnings: Earnings,
    receipts: Receipts,
}

impl ProviderPage {
    /// Asks the index; nothing if it shows no record of the account.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cursor`], failing input or damage.
    pub(crate) fn read(
        index: &IndexReader,
        asked: ProviderAsked,
        now: i64,
    ) -> Result<Option<Self>, QueryError> {
        let did = &asked.did;
        let Some(profile) = index.profile(did, now.cast_unsigned())? else { return Ok(None) };
        let names = Names::of(index);
        let owned = ProviderFilter { owner: Some(did.clone()), ..ProviderFilter::default() };
        let offered = index.list_providers(&owned, Limit::clamp(MACHINES), None)?;
        let machines = machines(index, did, &offered.items)?;
        let mut prices: Vec<(ModelPrice, Totals)> = Vec::new();
        for price in machines.iter().flat_map(|machine| &machine.provider.price_list) {
            if prices.iter().all(|(known, _)| known != price) {
                let of = TotalsOf::ModelOf { model: price.model_id.clone(), provider: did.clone() };
                prices.push((price.clone(), index.totals(&of, Span::ALWAYS)?));
            }
        }
        let filter = ReceiptFilter {
            provider: Some(did.clone()),
            model: asked.model.clone(),
            ..ReceiptFilter::default()
        };
        let page = index.list_receipts(&filter, Limit::clamp(ROWS), asked.cursor.as_ref())?;
        let of = TotalsOf::Provider(did.clone());
        let window = Window::choose(index, &of, asked.range, now)?;
        Ok(Some(Self {
            name: names.name(did)?,
            machines,
            prices,
            work: window.series(index, &of)?,
            window,
            ever: index.totals(&of, Span::ALWAYS)?,
            earnings: Earnings::of(index, did, window)?,
            receipts: Receipts::read(index, &names, page.items, page.cursor)?,
            profile,
            asked,
        }))
    }

    fn figures(&self) -> Markup {
        let LatencyStats { p50_ms, p95_ms, .. } = self.profile.latency;
        let took = |time: Option<i64>| time.map_or_else(|| "–".to_owned(), millis);
        figures(&[
            Figure::new("Earned", number(self.earnings.total))
                .of(&self.earnings.currency)
                .saying(self.earnings.note()),
            Figure::new("Receipts", number(self.ever.requests)).saying(format!(
                "{} tokens in, {} out",
                number(self.ever.tokens_in),
                number(self.ever.tokens_out)
            )),
            Figure::new("Median time", took(p50_ms)).saying(format!("95th percentile {}", took(p95_ms))),
            self.receipts.figure(),
        ])
    }

    fn prices(&self) -> Table {
        let amount = |amount: i64, price: &ModelPrice| {
            let shown = html! { (number(amount)) " " span.soft { (price.currency) } };
            Cell::new(shown, format!("{amount} {}", price.currency))
        };
        let rows = self.prices.iter().map(|(price, done)| {
            vec![
                model_cell(&price.model_id),
                amount(price.input_price_per_m_tok, price),
                amount(price.output_price_per_m_tok, price),
                Cell::number(done.requests),
            ]
        });
        Table {
            caption: "Asked for a million tokens.",
            columns: vec![
                Column::lead("Model"),
                Column::number("In"),
                Column::number("Out"),
                Column::number("Receipts"),
            ],
            rows: rows.collect(),
            nothing: "No price is asked.",
        }
    }

    fn terms(&self) -> Markup {
        let Some(Machine { provider, .. }) = self.machines.first() else { return html! {} };
        let exchanges = match provider.accepted_exchanges.as_deref() {
            None | Some([]) => "any".to_owned(),
            Some(exchanges) => counted(exchanges.len() as i64, "exchange", "exchanges"),
        };
        let pro_bono = provider.pro_bono.as_ref().map_or("no", |policy| match policy.mode.as_str() {
            "any" => "for anybody",
            _ => "for some",
        });
        let none = || "–".to_owned();
        let LatencyStats { p50_ms, p95_ms, avg_ms, last_ms, sample_count } = self.profile.latency;
        let took = |time: Option<i64>| time.map_or_else(none, millis);
        facts(&[
            ("Paid through", html! { (exchanges) }),
            ("Free of charge", html! { (pro_bono) }),
            ("Country", html! { (provider.region.clone().unwrap_or_else(none)) }),
            ("Software", html! { (provider.binary_version.clone().unwrap_or_else(none)) }),
            ("Time, last", html! { (took(last_ms)) }),
            ("Time, p50", html! { (took(p50_ms)) }),
            ("Time, mean", html! { (took(avg_ms)) }),
            ("Time, p95", html! { (took(p95_ms)) " " span.soft { "of the newest " (sample_count) } }),
        ])
    }

    fn choice(&self) -> Filter {
        let models = self.prices.iter().map(|(price, _)| price.model_id.clone()).take(MODELS);
        let short = |model: &str| model.rsplit_once('/').map_or(model, |(_, short)| short).to_owned();
        let options = models.map(|model| (Some(model.clone()), short(&model)));
        let any = (None, "any".to_owned());
        Filter::of(
            "Model",
            &self.asked.href(),
            "model",
            self.asked.model.as_deref(),
            [any].into_iter().chain(options),
        )
    }
}

impl Page for ProviderPage {
    fn receipts(&mut self) -> Option<&mut Receipts> {
        Some(&mut self.receipts)
    }

    fn list(&self) -> Option<List> {
        let next = self.receipts.cursor.as_ref();
        let next = next.map(|cursor| self.asked.href().with("cursor", Some(cursor.to_string())));
        Some(List { name: "receipts".to_owned(), table: self.receipts.table(About::Provider), next })
    }

    fn sheet(&self) -> Sheet {
        let title = self.name.text();
        let href = self.asked.href();
        let did = self.asked.did.as_str();
        let state = self.machines.first().map(|machine| machine::serving(&machine.provider));
        let work = self.window.bins(self.work.iter().map(|work| vec![work.requests]));
        let chart = Bars {
            id: "receipts",
            title: "Receipts",
            note: self.window.note(),
            unit: "receipts",
            series: &[Series { name: "" }],
            bins: &work,
            ticks: &self.window.ticks(),
            is_open: self.window.is_open(),
            is_low: false,
        };
        let main = html! {
            nav.crumb aria-label="You are here" { a href="/providers" { "Providers" } }
            div.head {
                h1.break { (title) }
                @if let Some(state) = state { (state.markup()) }
            }
            p.small.soft {
                (long_identifier(did, "DID")) " · " a href=(Href::to("/u/", did)) { "profile" }
            }
            (self.figures())
            div.cols {
                section aria-labelledby="h-machines" {
                    h2 #h-machines { "Machines and trust" }
                    @if self.machines.is_empty() { p.note.small.soft { "No machine is on offer at present." } }
                    @for machine in &self.machines { (machine.readings()) }
                }
                section aria-labelledby="h-prices" {
                    h2 #h-prices { "Prices and times" }
                    (self.prices().markup())
                    div.gap { (self.terms()) }
                }
            }
            section aria-labelledby="h-work" {
                div.head { h2 #h-work { "Over time" } (filters(&[self.window.filter(&href)])) }
                (self.window.remark())
                div.cols { (bars(&chart)) (self.earnings.chart()) }
            }
            section aria-labelledby="h-receipts" {
                div.head {
                    h2 #h-receipts { "Receipts" }
                    a.small href=(href.with("format", Some("csv"))) { "CSV" }
                }
                (filters(&[self.choice()]))
                div.gap { (self.receipts.table(About::Provider).markup()) }
                (pager(&href, self.asked.cursor.is_none(), self.receipts.cursor.as_ref()))
            }
        };
        Sheet { title, section: Section::Providers, every: None, main }
    }
}
