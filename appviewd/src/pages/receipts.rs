//! Lists of receipts: what was done, for whom, for how much, and whether it holds.
//!
//! A page of receipts enters with what each is judged by; a table leaves once somebody has judged them. Deliberately
//! absent: judging, for which documents may have to be fetched.

use appview_core::index::IndexReader;
use appview_core::query::{PageCursor, QueryError, RecordView};
use appview_core::record::TypedRecord as _;
use appview_core::record::compute::{Money, Receipt};
use appview_core::syntax::{AtUri, datetime_unix_micros};
use appview_core::trust::{Evidence, Finding, Missing, Severity};
use maud::html;

use super::earned::{Payment, payments};
use super::name::{Name, Names, Side};
use super::part::{Cell, Column, Figure, Href, Mark, State, Table, number};

/// Receipts with what they are judged by.
#[derive(Debug)]
pub(crate) struct Receipts {
    lines: Vec<Line>,
    /// Where the list goes on.
    pub(crate) cursor: Option<PageCursor>,
}

/// One of them, and the settlement of it that counts, with its status.
#[derive(Debug)]
struct Line {
    at: i64,
    provider: Name,
    requester: Name,
    receipt: Receipt,
    work: Judged,
    settlement: Option<(Judged, String)>,
}

/// A record that is to be judged.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) uri: AtUri,
    /// What it is judged by.
    pub(crate) evidence: Evidence,
    /// What is thought of it, once somebody has judged it.
    pub(crate) judgement: Option<Judgement>,
}

impl Judged {
    const fn not_yet(uri: AtUri, evidence: Evidence) -> Self {
        Self { uri, evidence, judgement: None }
    }
}

/// What is thought of a receipt or a settlement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// Every check that counts holds.
    Holds,
    /// So many do not.
    Fails(usize),
    /// A record is missing, by this name.
    Unjudged(String),
}

impl Judgement {
    /// What the findings of a verdict come down to.
    pub(crate) fn of(findings: Result<&[Finding], &Missing>) -> Self {
        let is_error = |finding: &&Finding| finding.severity == Severity::Error;
        match findings.map(|findings| findings.iter().filter(is_error).count()) {
            Ok(0) => Self::Holds,
            Ok(failed) => Self::Fails(failed),
            Err(missing) => Self::Unjudged(missing.role.to_string()),
        }
    }

    /// The mark for it; `holds` is the word where it does.
    fn mark(&self, holds: &str) -> Mark {
        match self {
            Self::Holds => Mark::new(State::Pass, holds),
            Self::Fails(1) => Mark::new(State::Fail, "1 check fails"),
            Self::Fails(failed) => Mark::new(State::Fail, format!("{failed} checks fail")),
            Self::Unjudged(role) => Mark::new(State::None, format!("no {role}")),
        }
    }
}

/// Which names a list has columns for: those that its page is about go without saying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// Everybody's.
    Anyone,
    /// One provider's.
    Provider,
    /// Those for one requester.
    Requester,
    /// Those of one model.
    Model,
}

impl Receipts {
    /// The receipts of a page, with what the index has to judge each by.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub(crate) fn read(
        index: &IndexReader,
        names: &Names<'_>,
        records: Vec<RecordView>,
        cursor: Option<PageCursor>,
    ) -> Result<Self, QueryError> {
        let mut lines = Vec::with_capacity(records.len());
        for record in records {
            let Ok(receipt) = Receipt::from_block(&record.block) else { continue };
            let uri = record.uri();
            let settlement = match payments(index, &record, &receipt)?.into_iter().next() {
                Some(Payment { uri, settlement, .. }) => {
                    let evidence = index.settlement_evidence(&uri)?;
                    Some((Judged::not_yet(uri, evidence), settlement.status))
                }
                None => None,
            };
            lines.push(Line {
                at: record.indexed_at_micros(),
                provider: names.name(&record.repo)?,
                requester: names.meant(&receipt.requester)?,
                work: Judged::not_yet(uri.clone(), index.receipt_evidence(&uri)?),
                settlement,
                receipt,
            });
        }
        Ok(Self { lines, cursor })
    }

    /// All that is to be judged: receipts, and settlements.
    pub(crate) fn each_to_judge(&mut self) -> impl Iterator<Item = &mut Judged> {
        self.lines.iter_mut().flat_map(|line| {
            [Some(&mut line.work), line.settlement.as_mut().map(|(settlement, _)| settlement)]
                .into_iter()
                .flatten()
        })
    }

    /// How many hold, of how many that can be judged, and of how many at all.
    fn verified(&self) -> (i64, i64, i64) {
        let judged =
            |line: &&Line| matches!(line.work.judgement, Some(Judgement::Holds | Judgement::Fails(_)));
        let holds = |line: &&Line| line.work.judgement == Some(Judgement::Holds);
        let count = |is: &dyn Fn(&&Line) -> bool| self.lines.iter().filter(is).count() as i64;
        (count(&holds), count(&judged), self.lines.len() as i64)
    }

    /// The headline of that.
    pub(crate) fn figure(&self) -> Figure {
        let (holds, judged, all) = self.verified();
        let note = match all - judged {
            0 => format!("of the {} below", number(all)),
            unjudged => format!("{} of the {} below can’t be judged", number(unjudged), number(all)),
        };
        Figure::new("Receipts that hold", number(holds)).of(format!("of {}", number(judged))).saying(note)
    }

    /// The table of them.
    pub(crate) fn table(&self, about: About) -> Table {
        let all = [
            (None, Column::lead("Receipt")),
            (None, Column::side("Completed")),
            (Some(About::Provider), Column::text("Provider")),
            (Some(About::Requester), Column::text("Requester")),
            (Some(About::Model), Column::wide("Model")),
            (None, Column::number("In")),
            (None, Column::number("Out")),
            (None, Column::number("Time")),
            (None, Column::number("Price")),
            (None, Column::text("Check")),
            (None, Column::text("Settlement")),
        ];
        let is_wanted = |subject: Option<About>| subject.is_none_or(|subject| subject != about);
        let columns = all.iter().filter(|(subject, _)| is_wanted(*subject)).map(|(_, column)| *column);
        let rows = self.lines.iter().map(|line| {
            let cells = all.iter().zip(line.cells());
            cells.filter(|((subject, _), _)| is_wanted(*subject)).map(|(_, cell)| cell).collect()
        });
        Table {
            caption: "Receipts",
            columns: columns.collect(),
            rows: rows.collect(),
            nothing: "No receipt fits.",
        }
    }
}

impl Line {
    fn cells(&self) -> [Cell; 11] {
        let Self { at, provider, requester, receipt, work, settlement } = self;
        let (uri, rkey) = (&work.uri, work.uri.rkey().unwrap_or_default());
        let mark = |judged: &Judged, holds: &str| {
            let judgement = judged.judgement.as_ref();
            judgement.map_or_else(Cell::absent, |judgement| Cell::mark(&judgement.mark(holds)))
        };
        let millis = took(receipt);
        [
            Cell::link(&Href::to("/receipt/", uri.as_str()), html! { span.mono { (rkey) } }, uri.as_str()),
            Cell::moment(*at),
            provider.cell(Side::Provider),
            requester.cell(Side::Person),
            Cell::new(short_model(&receipt.model), receipt.model.clone()),
            Cell::number(receipt.tokens.input),
            Cell::number(receipt.tokens.output),
            Cell::millis(millis),
            money_cell(&receipt.price),
            mark(work, "holds"),
            settlement.as_ref().map_or_else(Cell::absent, |(judged, status)| mark(judged, status)),
        ]
    }
}

/// How long the work took as the receipt says, in milliseconds; none if its times can't be read, or are the wrong way round.
pub(super) fn took(receipt: &Receipt) -> Option<i64> {
    let from = datetime_unix_micros(&receipt.started_at).ok()?;
    let until = datetime_unix_micros(&receipt.completed_at).ok()?;
    Some(until - from).filter(|micros| *micros >= 0).map(|micros| micros / 1_000)
}

/// A model in a line, without who published it.
fn short_model(model: &str) -> maud::Markup {
    let short = model.rsplit_once('/').map_or(model, |(_, short)| short);
    html! { a.cut href=(Href::to("/model/", model)) title=(model) { (short) } }
}

/// An amount, for a text.
pub(super) fn money(money: &Money) -> String {
    format!("{} {}", number(money.amount), money.currency)
}

fn money_cell(money: &Money) -> Cell {
    let shown = html! { (number(money.amount)) " " span.soft { (money.currency) } };
    Cell::new(shown, format!("{} {}", money.amount, money.currency))
}

/// A model at the head of a row, with a link to its page; who published it stands below.
pub(super) fn model_cell(model: &str) -> Cell {
    let link = Cell::new(short_model(model), model);
    match model.rsplit_once('/') {
        Some((publisher, _)) => link.below(html! { (publisher) }),
        None => link,
    }
}
