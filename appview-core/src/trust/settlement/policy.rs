//! A settlement and the terms of its exchange: the policy, the account of its key, and the signature by that key.
//!
//! A [`Case`] enters, and an examination goes on. Deliberately absent: keeping former keys. A signature is judged by the
//! document that is in evidence.

use super::{Case, Part, Status};
use crate::block::{Map, Value};
use crate::record::Collection;
use crate::syntax::AtUri;
use crate::trust::body::{Body, Money, excerpt};
use crate::trust::check::{Check, Examination};
use crate::trust::evidence::Evidence;
use crate::trust::exchange::ExchangeSignature;
use crate::trust::ledger::{self, Dealing, Fee, SelfLoop, TokenRate};
use crate::trust::reference::Reference;
use crate::trust::{Code, Terms};

/// A record of the exchange that a settlement names.
pub(super) enum Named<'a> {
    /// None is named.
    Not,
    /// The one that is named is not there, not the exchange's, or another version.
    Invalid(String),
    /// It is what it should be.
    Found(Part<'a>),
}

impl<'a> Named<'a> {
    pub(super) fn part(&self) -> Option<&Part<'a>> {
        match self {
            Self::Found(part) => Some(part),
            Self::Not | Self::Invalid(_) => None,
        }
    }
}

/// What keeps a named record from being one of the exchange's, if anything does.
pub(super) fn fault(
    reference: Reference<'_>,
    part: Option<&Part<'_>>,
    collection: Collection,
    exchange: &str,
) -> Option<String> {
    let Some(Part { exhibit, body, .. }) = part else {
        return Some(format!("{} is not there", excerpt(reference.uri)));
    };
    if !exhibit.is_in(collection) {
        return Some(format!("{} is no {collection}", exhibit.uri()));
    }
    if reference.cid != Some(exhibit.cid()) {
        return Some(format!("{} is another version than the one that is pinned", exhibit.uri()));
    }
    if exhibit.repo() != exchange || body.text("exchange") != Some(exchange) {
        return Some(format!("{} is not the exchange's own", exhibit.uri()));
    }
    None
}

pub(super) fn examine(examination: &mut Examination, case: &Case<'_>) {
    for (check, named, code) in [
        (Check::PolicyReference, &case.policy, Code::XPolicyRefInvalid),
        (
            Check::ExchangeAttestationReference,
            &case.exchange_attestation,
            Code::XExchangeAttestationRefInvalid,
        ),
    ] {
        match named {
            Named::Not => examination.not_applicable(check),
            Named::Invalid(fault) => examination.failed_saying(check, code, fault.clone()),
            Named::Found(_) => examination.passed(check),
        }
    }
    let policy = case.policy.part();
    let attested = case.exchange_attestation.part().map(|part| Reference::read(&part.body.map, "policy"));
    let agree = policy.zip(attested).map(|(policy, attested)| {
        attested.is_some_and(|attested| attested.uri == policy.exhibit.uri().as_str())
    });
    examination.ask(Check::PoliciesAgree, agree, Code::XPolicyAttestationDisagree);
    terms(examination, case, policy.map(|part| &part.body));
}

fn terms(examination: &mut Examination, case: &Case<'_>, policy: Option<&Body<'_>>) {
    let charged = case.settlement.body.money("amountCharged");
    let supports = policy.zip(charged).map(|(policy, charged)| {
        let supported = policy.texts("supportedCurrencies");
        charged.currency.is_some_and(|currency| supported.contains(&currency))
    });
    examination.ask(Check::CurrencySupported, supports, Code::XCurrencyUnsupported);

    let settles = policy.filter(|_| case.status == Status::Settled);
    let due = settles.map(|policy| charged.and_then(|charged| due(case, policy, charged.amount?)));
    let kept = case.settlement.body.money("exchangeFee").and_then(|fee| fee.amount);
    let is_due = due.map(|due| due.is_some() && due == kept);
    examination.ask_saying(Check::Fee, is_due, Code::XFeePolicyMismatch, || match due.flatten() {
        Some(due) => format!("expected a fee of {due}"),
        None => "the policy tells no fee".to_owned(),
    });
    let is_at_rate = policy.and_then(|policy| is_at_rate(&case.receipt.body, policy));
    examination.ask(Check::Price, is_at_rate, Code::XPriceOffRate);
}

/// The fee on a charge under a policy; none where either tells no amounts from zero on.
fn due(case: &Case<'_>, policy: &Body<'_>, charged: i64) -> Option<i64> {
    let job = Reference::read(&case.receipt.body.map, "job")?.uri.parse::<AtUri>().ok()?;
    let dealing = if case.receipt.body.is_true("proBono") {
        Dealing::ProBono
    } else if job.authority() == case.receipt.exhibit.repo() {
        Dealing::SelfLoop
    } else {
        Dealing::Usual
    };
    i64::try_from(fee_terms(policy)?.fee(amount(charged)?, dealing)).ok()
}

fn fee_terms(policy: &Body<'_>) -> Option<ledger::Terms> {
    let fee = policy.map.map("fee")?;
    let fee = Fee { bps: amount(fee.integer("bps")?)?, min_minor: amount(fee.integer("minMinor")?)? };
    let self_loop = policy.map.map("selfLoop").map(|rule| match rule.get("feeWaived") {
        Some(Value::Bool(true)) => SelfLoop::Waived,
        _ => SelfLoop::Flat(rule.integer("minMinor").and_then(amount).unwrap_or(0)),
    });
    Some(ledger::Terms { fee, self_loop })
}

fn amount(integer: i64) -> Option<u64> {
    u64::try_from(integer).ok()
}

/// Whether a price is what the policy's rate makes of the tokens, within a unit for the rounding of either part.
fn is_at_rate(receipt: &Body<'_>, policy: &Body<'_>) -> Option<bool> {
    let rate = policy.map.map("tokenRate")?;
    let (price, tokens) = (receipt.money("price")?, receipt.map.map("tokens")?);
    if receipt.is_true("proBono") || !Money::read(rate).is_in_currency_of(&price) {
        return None;
    }
    let of = |map: &Map<'_>, member: &str| map.integer(member).and_then(amount);
    let rate = TokenRate { input: of(rate, "inputPricePerMTok")?, output: of(rate, "outputPricePerMTok")? };
    let expected = rate.price(of(tokens, "in")?, of(tokens, "out")?);
    Some(amount(price.amount?)?.abs_diff(expected) <= 1)
}

/// Asks whether the exchange signed the settlement, by the document that is in evidence.
pub(super) fn signature(examination: &mut Examination, case: &Case<'_>, evidence: &Evidence, terms: &Terms) {
    let exchange = case.settlement.exhibit.repo();
    let named = case.exchange_attestation.part().map(|part| &part.body);
    let body = &case.settlement.body;
    let (checks, at) = ([Check::ExchangeSignature, Check::ExchangeCurrent], body.instant("settledAt"));
    let signature = ExchangeSignature { checks, at, body, exchange, named };
    let document = signature.tell(examination, evidence, terms);
    let is_own = document.map(|document| document.is_about(exchange));
    examination.ask(Check::ExchangeDocument, is_own, Code::XDidDocumentMismatch);
}

/// Looks up what a settlement names at a member.
pub(super) fn named<'e>(
    evidence: &'e Evidence,
    reference: Option<Reference<'_>>,
    read: impl FnOnce(&'e crate::trust::Exhibit) -> Part<'e>,
    collection: Collection,
    exchange: &str,
) -> Named<'e> {
    let Some(reference) = reference else { return Named::Not };
    let part = reference.follow(evidence).map(read);
    match (fault(reference, part.as_ref(), collection, exchange), part) {
        (None, Some(part)) => Named::Found(part),
        (fault, _) => Named::Invalid(fault.unwrap_or_default()),
    }
}
