//! Lists of receipts: what was done, for whom, for how much, and whether it holds.
//!
//! A page of receipts enters with what each is judged by; a table leaves once somebody has judged them. Deliberately
//! absent: judging, for which documents may have to be fetched.

use appview_core::index::IndexReader;
use appview_core::query::{PageCursor, QueryError, RecordView};
use appview_core::record::TypedRecord as _;
use appview_core::record::compute::{Money, Receipt};
use appview_core::syntax::{AtUri, datetime_unix_micros};
use appview_core::trust::{Evidence, Missing, ReceiptVerdict, Severity};
use maud::html;

use super::earned::payments;
use super::name::{Name, Names, Side};
use super::part::{Cell, Column, Href, Mark, State, Table, model_name, number};

/// Receipts with what they are judged by.
#[derive(Debug)]
pub(crate) struct Receipts {
    lines: Vec<Line>,
    /// Where the list goes on.
    pub(crate) cursor: Option<PageCursor>,
}

/// One of them.
#[derive(Debug)]
struct Line {
    uri: AtUri,
    at: i64,
    provider: Name,
    requester: Name,
    receipt: Receipt,
    settled: Option<String>,
    evidence: Evidence,
    judgement: Option<Judgement>,
}

/// What is thought of a receipt.
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
    /// What a verdict comes down to.
    pub(crate) fn of(verdict: Result<&ReceiptVerdict, &Missing>) -> Self {
        match verdict {
            Ok(verdict) if verdict.ok => Self::Holds,
            Ok(verdict) => {
                let is_error = |severity| severity == Severity::Error;
                Self::Fails(verdict.findings.iter().filter(|finding| is_error(finding.severity)).count())
            }
            Err(missing) => Self::Unjudged(missing.role.to_string()),
        }
    }

    fn mark(&self) -> Mark {
        match self {
            Self::Holds => Mark::new(State::Pass, "holds"),
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
            let paid = payments(index, &record, &receipt)?;
            lines.push(Line {
                at: record.indexed_at_micros(),
                provider: names.name(&record.repo)?,
                requester: names.meant(&receipt.requester)?,
                settled: paid.first().map(|paid| paid.settlement.status.clone()),
                evidence: index.receipt_evidence(&uri)?,
                judgement: None,
                receipt,
                uri,
            });
        }
        Ok(Self { lines, cursor })
    }

    /// Each receipt's address, what it is judged by, and where the judgement goes.
    pub(crate) fn to_judge(
        &mut self,
    ) -> impl Iterator<Item = (&AtUri, &mut Evidence, &mut Option<Judgement>)> {
        self.lines.iter_mut().map(|line| (&line.uri, &mut line.evidence, &mut line.judgement))
    }

    /// How many hold, of how many that can be judged, and of how many at all.
    pub(crate) fn verified(&self) -> (usize, usize, usize) {
        let judged = |line: &&Line| matches!(line.judgement, Some(Judgement::Holds | Judgement::Fails(_)));
        let holds = self.lines.iter().filter(|line| line.judgement == Some(Judgement::Holds)).count();
        (holds, self.lines.iter().filter(judged).count(), self.lines.len())
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
            (None, Column::text("Exchange says")),
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
        let Self { uri, at, provider, requester, receipt, settled, judgement, evidence: _ } = self;
        let rkey = uri.rkey().unwrap_or_default();
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
            judgement.as_ref().map_or_else(Cell::absent, |judgement| Cell::mark(&judgement.mark())),
            settled.as_ref().map_or_else(Cell::absent, Cell::text),
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

/// A model at the head of a row, with a link to its page.
pub(super) fn model_cell(model: &str) -> Cell {
    Cell::link(&Href::to("/model/", model), model_name(model), model)
}
