//! What the existing verifier does not look at, of a settlement and the records that it names.
//!
//! A [`Case`] enters, and an examination goes on. Each check here has a code that begins with `x-`. Deliberately absent: other
//! settlements, which are in `company`, and the terms of the exchange, which are in `policy`.

use super::{Case, Status};
use crate::record::Collection;
use crate::trust::body::{excerpt, shown};
use crate::trust::check::{Check, Examination};
use crate::trust::receipt::{cids, version};
use crate::trust::reference::Reference;
use crate::trust::{Code, Instant};

pub(super) fn examine(examination: &mut Examination, case: &Case<'_>) {
    versions(examination, case);
    authorization(examination, case);
    amounts(examination, case);
    forms(examination, case);
    times(examination, case);
    refund(examination, case);
}

fn versions(examination: &mut Examination, case: &Case<'_>) {
    let records = [&case.settlement, &case.receipt, &case.authorization].map(|part| part.exhibit);
    cids(examination, Check::SettlementCids, &records);
    let parts = [
        (
            &case.receipt,
            case.receipt_reference,
            Collection::Receipt,
            (Check::ReceiptVersion, Code::XReceiptCidMismatch),
            (Check::ReceiptReference, Code::XReceiptRefInvalid),
        ),
        (
            &case.authorization,
            case.authorization_reference,
            Collection::PaymentAuthorization,
            (Check::AuthorizationVersion, Code::XAuthorizationCidMismatch),
            (Check::AuthorizationReference, Code::XAuthorizationRefInvalid),
        ),
    ];
    for (part, reference, collection, (pinned, mismatch), (named, invalid)) in parts {
        version(examination, pinned, reference, part.exhibit, mismatch);
        examination.ask_saying(named, Some(part.exhibit.is_in(collection)), invalid, || {
            format!("expected the URI of a {collection}, found {}", excerpt(reference.uri))
        });
    }
}

fn authorization(examination: &mut Examination, case: &Case<'_>) {
    let (owner, requester) = (case.authorization.exhibit.repo(), case.receipt.body.text("requester"));
    let is_theirs = requester == Some(owner);
    examination.ask_saying(
        Check::AuthorizationOwner,
        Some(is_theirs),
        Code::XAuthorizationNotRequesters,
        || format!("the authorization is {owner}'s, the receipt's requester {}", shown(requester)),
    );

    let named = case.job.as_ref().map(|job| Reference::read(&job.body.map, "paymentAuthorization"));
    let is_named =
        named.map(|named| named.is_some_and(|named| named.uri == case.authorization_reference.uri));
    examination.ask_saying(Check::JobAuthorization, is_named, Code::XJobAuthorizationMismatch, || {
        let named = named.flatten().map_or("no authorization", |named| named.uri);
        format!("the job names {}", excerpt(named))
    });
    let accepted =
        case.job.as_ref().map(|job| job.body.texts("acceptedExchanges")).filter(|list| !list.is_empty());
    let accepts = accepted.map(|accepted| accepted.contains(&case.settlement.exhibit.repo()));
    examination.ask(Check::ExchangeAccepted, accepts, Code::XExchangeNotAccepted);

    let scope = case.authorization.body.text("scope");
    let is_known = matches!(scope, Some("singleJob" | "session"));
    examination.ask_saying(Check::Scope, Some(is_known), Code::XScopeUnknown, || {
        format!("expected singleJob or session, found {}", shown(scope))
    });
}

fn amounts(examination: &mut Examination, case: &Case<'_>) {
    let settlement = &case.settlement.body;
    let amounts = [
        settlement.money("amountCharged"),
        settlement.money("providerPayout"),
        settlement.money("exchangeFee"),
        case.receipt.body.money("price"),
    ];
    let mut present = amounts.iter().flatten();
    let first = present.next();
    let is_one = first.map(|first| present.all(|other| other.is_in_currency_of(first)));
    examination.ask(Check::OneCurrency, is_one, Code::XCurrencyInconsistent);

    let [charged, payout, fee, _] = amounts;
    let moved = [charged, payout, fee];
    let is_free = case.receipt.body.is_true("proBono");
    let moves_nothing = is_free.then(|| moved.iter().flatten().all(|money| money.is_zero()));
    examination.ask(Check::ProBonoSettlement, moves_nothing, Code::XProBonoNonzeroSettlement);
}

fn forms(examination: &mut Examination, case: &Case<'_>) {
    for (check, part, code) in [
        (Check::SettlementForm, &case.settlement, Code::XSettlementLexiconInvalid),
        (Check::AuthorizationForm, &case.authorization, Code::XAuthorizationLexiconInvalid),
    ] {
        let breach = part.form.breach.as_ref();
        examination.ask_saying(check, Some(breach.is_none()), code, || breach.cloned().unwrap_or_default());
    }
    let short = [&case.settlement, &case.authorization].map(|part| part.form.short_currency.as_ref());
    let short = short.into_iter().flatten().next();
    examination.ask_saying(
        Check::SettlementCurrency,
        Some(short.is_none()),
        Code::XCurrencyNonconforming,
        || format!("{} has two letters", short.cloned().unwrap_or_default()),
    );
    let is_known = case.status != Status::Unknown;
    examination.ask_saying(Check::Status, Some(is_known), Code::XStatusUnknown, || {
        let found = shown(case.settlement.body.text("status"));
        format!("expected settled, refunded or disputed, found {found}")
    });
}

fn times(examination: &mut Examination, case: &Case<'_>) {
    let settled = case.settlement.body.instant("settledAt");
    let compare = |other: Option<Instant>, holds: fn(Instant, Instant) -> bool| {
        settled.zip(other).is_some_and(|(settled, other)| holds(settled, other))
    };
    let follows =
        compare(case.receipt.body.instant("completedAt"), |settled, completed| settled >= completed);
    examination.ask(Check::SettledAfterWork, Some(follows), Code::XSettledBeforeCompletion);
    let in_time =
        compare(case.authorization.body.instant("expiresAt"), |settled, expires| settled <= expires);
    let in_time = (case.status == Status::Settled).then_some(in_time);
    examination.ask(Check::AuthorizationInTime, in_time, Code::XAuthorizationExpired);
}

fn refund(examination: &mut Examination, case: &Case<'_>) {
    let names = case.settlement.body.has("refundOf");
    let original = match (case.status, names) {
        (Status::Refunded, false) => {
            examination.failed(Check::RefundReference, Code::XRefundRefMissing);
            None
        }
        (Status::Refunded, true) => {
            let original = case.refunded.as_ref();
            examination.ask(Check::RefundReference, Some(original.is_some()), Code::XRefundRefInvalid);
            original
        }
        (_, true) => {
            examination.failed(Check::RefundReference, Code::XRefundRefUnexpected);
            None
        }
        (_, false) => {
            examination.not_applicable(Check::RefundReference);
            None
        }
    };
    let within = original.map(|original| {
        let (back, charged) =
            (case.settlement.body.money("amountCharged"), original.body.money("amountCharged"));
        back.zip(charged).is_some_and(|(back, charged)| {
            let are_integers = back.amount.zip(charged.amount);
            back.is_in_currency_of(&charged) && are_integers.is_some_and(|(back, charged)| back <= charged)
        })
    });
    examination.ask(Check::RefundAmount, within, Code::XRefundExceedsOriginal);
}
