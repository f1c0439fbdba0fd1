//! Who offers machines.

use appview_core::index::IndexReader;
use appview_core::query::{
    AccountFilter, AccountKind, AccountOrder, AccountPlace, Limit, PageCursor, ProviderFilter, QueryError,
    Span, Totals, TotalsOf,
};
use appview_core::record::TypedRecord as _;
use appview_core::record::compute::Provider;
use appview_core::syntax::Did;
use maud::{Markup, html};

use super::name::{Name, Names, Side};
use super::part::{Cell, Column, Filter, Href, Table, counted, filters, identifier, number, spark};
use super::range::Window;
use super::{List, Page, ROWS, Range, Section, Sheet, machine, pager};

/// Machines that are looked at of each provider.
const MACHINES: i64 = 10;

/// Which providers are asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProvidersAsked {
    /// In which order; those of one trust level or tier have one only.
    pub(crate) order: AccountOrder,
    /// A part of their name.
    pub(crate) q: Option<String>,
    /// The trust level that a machine of theirs claims.
    pub(crate) trust_level: Option<String>,
    /// The tier that a machine of theirs claims.
    pub(crate) tier: Option<String>,
    /// Where the page starts.
    pub(crate) cursor: Option<PageCursor>,
}

impl ProvidersAsked {
    fn href(&self) -> Href {
        let order = (self.order == AccountOrder::Newest).then_some("newest");
        Href::new("/providers")
            .with("order", order)
            .with("q", self.q.as_deref())
            .with("trust", self.trust_level.as_deref())
            .with("tier", self.tier.as_deref())
    }

    fn is_by_claim(&self) -> bool {
        self.trust_level.is_some() || self.tier.is_some()
    }
}

/// The page.
#[derive(Debug)]
pub(crate) struct ProvidersPage {
    asked: ProvidersAsked,
    lines: Vec<Line>,
    total: u64,
    cursor: Option<PageCursor>,
}

/// One provider.
#[derive(Debug)]
pub(super) struct Line {
    name: Name,
    machines: Vec<Provider>,
    week: Vec<i64>,
    totals: Totals,
    p50: Option<i64>,
    p95: Option<i64>,
}

impl ProvidersPage {
    /// Asks the index.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cursor`], failing input or damage.
    pub(crate) fn read(index: &IndexReader, asked: ProvidersAsked, now: i64) -> Result<Self, QueryError> {
        let (dids, total, cursor) =
            if asked.is_by_claim() { by_claim(index, &asked)? } else { by_name(index, &asked)? };
        let names = Names::of(index);
        let lines =
            dids.into_iter().map(|did| Line::read(index, &names, did, now)).collect::<Result<_, _>>()?;
        Ok(Self { asked, lines, total, cursor })
    }
}

impl Page for ProvidersPage {
    fn list(&self) -> Option<List> {
        let next =
            self.cursor.as_ref().map(|cursor| self.asked.href().with("cursor", Some(cursor.to_string())));
        Some(List { name: "providers".to_owned(), table: table(&self.lines), next })
    }

    fn sheet(&self) -> Sheet {
        let Self { asked, total, cursor, .. } = self;
        let href = asked.href();
        let option = |word: &str| (Some(word.to_owned()), word.to_owned());
        let any = || (None, "any".to_owned());
        let mut choices = vec![
            Filter::of(
                "Trust claimed",
                &href,
                "trust",
                asked.trust_level.as_deref(),
                [any(), option("hardware-attested"), option("self-attested")],
            ),
            Filter::of(
                "Tier claimed",
                &href,
                "tier",
                asked.tier.as_deref(),
                [any(), option("best-effort"), option("attested-confidential")],
            ),
        ];
        if !asked.is_by_claim() {
            let order = (asked.order == AccountOrder::Newest).then_some("newest");
            let options =
                [(None, "last active".to_owned()), (Some("newest".to_owned()), "last joined".to_owned())];
            choices.insert(0, Filter::of("Sort", &href, "order", order, options));
        }
        let main = html! {
            h1 { "Providers" }
            p.lede {
                (counted(total.cast_signed(), "account offers", "accounts offer")) " machines. Trust and tier are what "
                "they claim of themselves; what their machines' keys have signed, and whether their receipts hold, is on "
                "each one's page."
            }
            section aria-label="List of providers" {
                div.head {
                    (filters(&choices))
                    a.small href=(href.with("format", Some("csv"))) { "CSV" }
                }
                @if !asked.is_by_claim() {
                    form.search method="get" action="/providers" {
                        label.vh for="q" { "Part of a handle or DID" }
                        input #q name="q" value=[asked.q.as_deref()] placeholder="Part of a handle or DID"
                            autocapitalize="none" spellcheck="false";
                        button.btn.quiet type="submit" { "Find" }
                    }
                }
                (table(&self.lines).markup())
                (pager(&href, asked.cursor.is_none(), cursor.as_ref()))
            }
        };
        Sheet { title: "Providers".to_owned(), section: Section::Providers, every: None, main }
    }
}

/// Some providers by their directory, how many there are, and where the list goes on.
type Found = (Vec<Did>, u64, Option<PageCursor>);

fn by_name(index: &IndexReader, asked: &ProvidersAsked) -> Result<Found, QueryError> {
    let q = asked.q.as_deref().map_or("", |q| q.strip_prefix('@').unwrap_or(q)).to_owned();
    let filter =
        AccountFilter { order: asked.order, kind: AccountKind::Providers, q, ..AccountFilter::default() };
    let place = asked.cursor.as_ref().map_or(AccountPlace::default(), AccountPlace::After);
    let found = index.list_accounts(&filter, Limit::clamp(ROWS), place)?;
    Ok((found.accounts.into_iter().map(|account| account.did).collect(), found.total, found.cursor))
}

/// The owners of machines by what they claim. Whoever has several that follow each other is met once.
fn by_claim(index: &IndexReader, asked: &ProvidersAsked) -> Result<Found, QueryError> {
    let ProvidersAsked { trust_level, tier, cursor, .. } = asked.clone();
    let filter = ProviderFilter { trust_level, tier, ..ProviderFilter::default() };
    let page = index.list_providers(&filter, Limit::clamp(ROWS), cursor.as_ref())?;
    let mut dids: Vec<Did> = Vec::new();
    for record in page.items {
        if !dids.contains(&record.repo) {
            dids.push(record.repo);
        }
    }
    Ok((dids, index.counts()?.providers, page.cursor))
}

/// The providers that were active last.
///
/// # Errors
///
/// Failing input or damage.
pub(super) fn active(
    index: &IndexReader,
    names: &Names<'_>,
    most: i64,
    now: i64,
) -> Result<Vec<Line>, QueryError> {
    let filter = AccountFilter { kind: AccountKind::Providers, ..AccountFilter::default() };
    let found = index.list_accounts(&filter, Limit::clamp(most), AccountPlace::default())?;
    found.accounts.into_iter().map(|account| Line::read(index, names, account.did, now)).collect()
}

impl Line {
    fn read(index: &IndexReader, names: &Names<'_>, did: Did, now: i64) -> Result<Self, QueryError> {
        let filter = ProviderFilter { owner: Some(did.clone()), ..ProviderFilter::default() };
        let machines = index.list_providers(&filter, Limit::clamp(MACHINES), None)?.items;
        let of = TotalsOf::Provider(did.clone());
        let week = Window::choose(index, &of, Some(Range::Week), now)?.series(index, &of)?;
        let latency = index.latency_of_provider(&did)?;
        Ok(Self {
            name: names.name(&did)?,
            machines: machines.iter().filter_map(|record| Provider::from_block(&record.block).ok()).collect(),
            week: week.iter().map(|totals| totals.requests).collect(),
            totals: index.totals(&of, Span::ALWAYS)?,
            p50: latency.p50_ms,
            p95: latency.p95_ms,
        })
    }

    fn cells(&self) -> Vec<Cell> {
        let first = self.machines.first();
        let or_absent = |cell: Option<Cell>| cell.unwrap_or_else(Cell::absent);
        vec![
            self.head(),
            or_absent(first.map(|machine| Cell::mark(&machine::serving(machine)))),
            or_absent(first.map(|machine| Cell::text(machine::hardware(machine)).below(self.models()))),
            or_absent(first.map(|machine| {
                let tier = machine::tier(machine);
                Cell::text(&machine.trust_level).below(html! { (tier) })
            })),
            Cell::new(spark(&self.week, &self.said()), ""),
            Cell::number(self.totals.requests),
            Cell::number(self.totals.tokens_in.saturating_add(self.totals.tokens_out)),
            Cell::millis(self.p50),
            Cell::millis(self.p95),
        ]
    }

    fn head(&self) -> Cell {
        let cell = self.name.cell(Side::Provider);
        match &self.name {
            Name::Of(did, Some(_)) => cell.below(identifier(did.as_str())),
            _ => cell,
        }
    }

    /// How many models and machines, and whether anything is free of charge.
    fn models(&self) -> Markup {
        let mut models: Vec<&String> =
            self.machines.iter().flat_map(|machine| &machine.supported_models).collect();
        models.sort_unstable();
        models.dedup();
        let is_free = self.machines.iter().any(|machine| machine.pro_bono.is_some());
        html! {
            (counted(models.len() as i64, "model", "models"))
            @if self.machines.len() > 1 { ", " (number(self.machines.len() as i64)) " machines" }
            @if is_free { ", some pro bono" }
        }
    }

    fn said(&self) -> String {
        let total: i64 = self.week.iter().sum();
        format!("{} within 7 days, by quarters of a day", counted(total, "receipt", "receipts"))
    }
}

/// The table of some providers.
pub(super) fn table(lines: &[Line]) -> Table {
    Table {
        caption: "Providers",
        columns: vec![
            Column::lead("Provider"),
            Column::side("State"),
            Column::wide("Machine"),
            Column::text("Trust claimed"),
            Column::wide("7 days"),
            Column::number("Receipts"),
            Column::number("Tokens"),
            Column::number("Median"),
            Column::number("p95"),
        ],
        rows: lines.iter().map(Line::cells).collect(),
        nothing: "Nobody here offers a machine like that.",
    }
}
