//! What providers were paid, as far as requesters agreed to it.
//!
//! Anyone can write a settlement for anybody's receipt. One counts here if it names the receipt in the version that stands,
//! and an authorization in the requester's own repository that is for the exchange which wrote the settlement. Whether it
//! keeps all rules is for a verdict to say.

use appview_core::index::IndexReader;
use appview_core::query::{Limit, PageCursor, QueryError, ReceiptFilter, RecordView, SettlementFilter, Span};
use appview_core::record::TypedRecord as _;
use appview_core::record::compute::{PaymentAuthorization, Receipt, Settlement};
use appview_core::syntax::{AtUri, Did, datetime_unix_micros};
use maud::Markup;

use super::part::{Bars, Bin, Series, bars, number};
use super::range::Window;

/// Settlements for one receipt that are looked at: there is one, and refunds perhaps.
const SETTLEMENTS: i64 = 10;
/// Receipts of a provider that are looked at, in pages of 200.
const PAGES: usize = 5;

/// A settlement that counts, with where it stands.
#[derive(Debug, Clone)]
pub(super) struct Payment {
    pub(super) uri: AtUri,
    pub(super) at: i64,
    pub(super) settlement: Settlement,
}

impl Payment {
    /// Whether it gives back what was paid.
    pub(super) fn is_refund(&self) -> bool {
        self.settlement.status == "refunded"
    }
}

/// The settlements for a receipt that count, newest first.
///
/// # Errors
///
/// Failing input or damage.
pub(super) fn payments(
    index: &IndexReader,
    record: &RecordView,
    receipt: &Receipt,
) -> Result<Vec<Payment>, QueryError> {
    let uri = record.uri();
    let filter = SettlementFilter { receipt: Some(uri.as_str().to_owned()), ..SettlementFilter::default() };
    let found = index.list_settlements(&filter, Limit::clamp(SETTLEMENTS), None)?;
    let mut payments = Vec::new();
    for written in found.items {
        let Ok(settlement) = Settlement::from_block(&written.block) else { continue };
        let is_this_version = settlement.receipt.cid == record.cid.to_string();
        if is_this_version && is_authorized(index, &written, &settlement, receipt)? {
            // When the books were changed, as far as it can be read.
            let at = datetime_unix_micros(&settlement.settled_at).unwrap_or(written.indexed_at_micros());
            payments.push(Payment { uri: written.uri(), at, settlement });
        }
    }
    Ok(payments)
}

/// Whether the requester let this exchange charge.
fn is_authorized(
    index: &IndexReader,
    written: &RecordView,
    settlement: &Settlement,
    receipt: &Receipt,
) -> Result<bool, QueryError> {
    let Ok(uri) = settlement.requester_authorization.uri.parse::<AtUri>() else { return Ok(false) };
    if uri.authority() != receipt.requester {
        return Ok(false);
    }
    let authorization = index.record(&uri)?.map(|record| PaymentAuthorization::from_block(&record.block));
    Ok(matches!(authorization, Some(Ok(authorization)) if authorization.exchange == written.repo.as_str()))
}

/// What a provider was paid for the newest thousand of its receipts.
#[derive(Debug, Clone)]
pub(super) struct Earnings {
    /// In which currency: the one in which it was paid last. Others are left out.
    pub(super) currency: String,
    /// All of it, less refunds, in the currency's smallest unit.
    pub(super) total: i64,
    /// How many settlements those are, and how many refunds.
    pub(super) settlements: i64,
    pub(super) refunds: i64,
    /// The same in each bar of a chart.
    bins: Vec<Bin>,
    window: Window,
}

impl Earnings {
    /// # Errors
    ///
    /// Failing input or damage.
    pub(super) fn of(index: &IndexReader, provider: &Did, window: Window) -> Result<Self, QueryError> {
        let filter = ReceiptFilter {
            provider: Some(provider.clone()),
            during: Span::ALWAYS,
            ..ReceiptFilter::default()
        };
        let (mut paid, mut cursor) = (Vec::new(), None::<PageCursor>);
        for _ in 0..PAGES {
            let page = index.list_receipts(&filter, Limit::MAX, cursor.as_ref())?;
            for record in &page.items {
                if let Ok(receipt) = Receipt::from_block(&record.block) {
                    paid.extend(payments(index, record, &receipt)?);
                }
            }
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        let newest = paid.iter().max_by_key(|payment| payment.at);
        let currency =
            newest.map_or("CC", |newest| newest.settlement.provider_payout.currency.as_str()).to_owned();
        paid.retain(|payment| payment.settlement.provider_payout.currency == currency);
        let mut bars = vec![0_i64; window.count()];
        let (mut total, mut refunds) = (0_i64, 0);
        for payment in &paid {
            let amount = payment.settlement.provider_payout.amount;
            let amount = if payment.is_refund() { amount.saturating_neg() } else { amount };
            total = total.saturating_add(amount);
            refunds += i64::from(payment.is_refund());
            if let Some(bar) = window.bar(payment.at).and_then(|bar| bars.get_mut(bar)) {
                *bar = bar.saturating_add(amount);
            }
        }
        // A bar of more refunds than payments has no height.
        let bins = window.bins(bars.into_iter().map(|amount| vec![amount.max(0)]));
        Ok(Self { currency, total, settlements: paid.len() as i64 - refunds, refunds, bins, window })
    }

    /// The chart of it.
    pub(super) fn chart(&self) -> Markup {
        bars(&Bars {
            id: "earned",
            title: "Earned",
            note: format!("{}, {}", self.currency, self.window.note()),
            unit: &self.currency,
            series: &[Series { name: "" }],
            bins: &self.bins,
            ticks: &self.window.ticks(),
            is_open: self.window.is_open(),
            is_low: false,
        })
    }

    /// What stands behind the sum.
    pub(super) fn note(&self) -> String {
        match self.refunds {
            0 => format!("{} settlements, no refund", number(self.settlements)),
            refunds => format!("{} settlements less {} refunded", number(self.settlements), number(refunds)),
        }
    }
}
