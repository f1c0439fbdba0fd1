//! Whether a settlement is what it says.
//!
//! Evidence and a settlement's URI enter, a [`SettlementVerdict`] leaves, or what is missing. The network's common checks
//! come first, then those that the existing verifier lacks: the exchange's signature and terms, and whether the receipt
//! verifies at all. Deliberately absent: looking for evidence, and any word about money that moved elsewhere.

mod beyond;
mod chain;
mod company;
mod policy;

use super::Terms;
use super::check::{Check, Examination, Profile, Role};
use super::evidence::Evidence;
use super::exhibit::Exhibit;
use super::receipt::{self, Part, Setting, find, follow};
use super::reference::Reference;
use super::verdict::{Judged, Missing, SettlementVerdict};
use super::{Code, Instant, Severity};
use crate::record::Collection;
use policy::Named;

/// Judges the settlement at `uri` by what is in evidence.
///
/// `now` is the verifier's clock, which the receipt's verdict is told; nothing else here depends on it.
///
/// # Errors
///
/// [`Missing`]: the settlement, its receipt or its authorization is not in evidence.
pub fn verify_settlement(
    evidence: &Evidence,
    uri: &str,
    terms: &Terms,
    profile: Profile,
    now: Instant,
) -> Result<SettlementVerdict, Missing> {
    judge(evidence, uri, &Setting { terms, profile, now, memory: None }).map(|(verdict, _)| verdict)
}

/// What a settlement says became of the money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Settled,
    Refunded,
    Disputed,
    Unknown,
}

impl Status {
    fn of(status: Option<&str>) -> Self {
        match status {
            Some("settled") => Self::Settled,
            Some("refunded") => Self::Refunded,
            Some("disputed") => Self::Disputed,
            _ => Self::Unknown,
        }
    }
}

/// A settlement, and the records that it names.
struct Case<'e> {
    settlement: Part<'e>,
    receipt: Part<'e>,
    authorization: Part<'e>,
    receipt_reference: Reference<'e>,
    authorization_reference: Reference<'e>,
    status: Status,
    job: Option<Part<'e>>,
    policy: Named<'e>,
    exchange_attestation: Named<'e>,
    /// The settlement that is given back, if it is one of the same exchange and receipt.
    refunded: Option<Part<'e>>,
}

pub(super) fn judge(
    evidence: &Evidence,
    uri: &str,
    setting: &Setting<'_>,
) -> Result<(SettlementVerdict, Option<Instant>), Missing> {
    let case = Case::find(evidence, uri, setting.terms)?;
    let mut examination = Examination::new(setting.profile);
    chain::examine(&mut examination, &case);
    beyond::examine(&mut examination, &case);
    policy::examine(&mut examination, &case);
    policy::signature(&mut examination, &case, evidence, setting.terms);

    // Where the receipt's own records are not at hand, nothing is said of it.
    let receipt = receipt::judge(evidence, case.receipt.exhibit.uri().as_str(), setting).ok();
    let errors = || {
        let findings = receipt.iter().flat_map(|(verdict, _)| &verdict.findings);
        let errors = findings.filter(|finding| finding.severity == Severity::Error);
        let codes: Vec<&str> = errors.map(|finding| finding.code.as_str()).collect();
        format!("{}: {}", Code::XReceiptInvalid.meaning(), codes.join(", "))
    };
    match receipt.as_ref().map(|(verdict, _)| verdict) {
        None => examination.not_applicable(Check::ReceiptVerdict),
        Some(verdict) if verdict.ok => examination.passed(Check::ReceiptVerdict),
        Some(verdict) if verdict.rules.is_open(&verdict.findings) => {
            examination.undecided(Check::ReceiptVerdict, Code::XReceiptInvalid, errors());
        }
        Some(_) => examination.failed_saying(Check::ReceiptVerdict, Code::XReceiptInvalid, errors()),
    }
    let company = company::examine(&mut examination, &case, evidence);

    let mut judged = case.records(evidence);
    judged.extend(company.into_iter().map(|other| (Role::Company, other)));
    examination.footing(Check::SettlementProven, judged.iter().map(|(_, exhibit)| *exhibit));
    let judged = judged.into_iter().map(|(role, exhibit)| Judged::new(role, exhibit)).collect();
    let until = receipt.and_then(|(_, until)| until);
    Ok((SettlementVerdict::reach(examination, judged), until))
}

impl<'e> Case<'e> {
    fn find(evidence: &'e Evidence, uri: &str, terms: &Terms) -> Result<Self, Missing> {
        let found = find(evidence, uri, Collection::Settlement, Role::Settlement)?;
        let settlement = Part::read(terms, Collection::Settlement, found);
        let (receipt_reference, receipt) = follow(evidence, &settlement.body, "receipt", Role::Receipt)?;
        let (authorization_reference, authorization) =
            follow(evidence, &settlement.body, "requesterAuthorization", Role::Authorization)?;
        let receipt = Part::read(terms, Collection::Receipt, receipt);
        let job = follow(evidence, &receipt.body, "job", Role::Job).ok();
        let exchange = settlement.exhibit.repo();
        let named = |member, collection| {
            let reference = Reference::read(&settlement.body.map, member);
            let read = |exhibit| Part::read(terms, collection, exhibit);
            policy::named(evidence, reference, read, collection, exchange)
        };
        Ok(Self {
            status: Status::of(settlement.body.text("status")),
            job: job.map(|(_, job)| Part::read(terms, Collection::Job, job)),
            policy: named("policy", Collection::ExchangePolicy),
            exchange_attestation: named("exchangeAttestation", Collection::ExchangeAttestation),
            refunded: refunded(evidence, &settlement, receipt_reference, terms),
            receipt_reference,
            authorization_reference,
            receipt,
            authorization: Part::read(terms, Collection::PaymentAuthorization, authorization),
            settlement,
        })
    }

    /// Which versions of which records are judged, those of the receipt's own verdict included.
    fn records(&self, evidence: &'e Evidence) -> Vec<(Role, &'e Exhibit)> {
        let attestation = follow(evidence, &self.receipt.body, "attestation", Role::Attestation).ok();
        let parts = [
            (Role::Settlement, Some(self.settlement.exhibit)),
            (Role::Receipt, Some(self.receipt.exhibit)),
            (Role::Authorization, Some(self.authorization.exhibit)),
            (Role::Job, self.job.as_ref().map(|job| job.exhibit)),
            (Role::Attestation, attestation.map(|(_, exhibit)| exhibit)),
            (Role::Policy, self.policy.part().map(|policy| policy.exhibit)),
            (
                Role::ExchangeAttestation,
                self.exchange_attestation.part().map(|attestation| attestation.exhibit),
            ),
            (Role::Refunded, self.refunded.as_ref().map(|refunded| refunded.exhibit)),
        ];
        parts.into_iter().filter_map(|(role, exhibit)| Some((role, exhibit?))).collect()
    }
}

/// What a refund gives back: a settled settlement of the same exchange for the same receipt, in the version that is pinned.
fn refunded<'e>(
    evidence: &'e Evidence,
    settlement: &Part<'e>,
    receipt: Reference<'_>,
    terms: &Terms,
) -> Option<Part<'e>> {
    let (reference, exhibit) = follow(evidence, &settlement.body, "refundOf", Role::Refunded).ok()?;
    let part = Part::read(terms, Collection::Settlement, exhibit);
    let same_receipt =
        Reference::read(&part.body.map, "receipt").is_some_and(|other| other.uri == receipt.uri);
    let is_original = exhibit.is_in(Collection::Settlement)
        && exhibit.repo() == settlement.exhibit.repo()
        && reference.cid == Some(exhibit.cid())
        && Status::of(part.body.text("status")) == Status::Settled;
    (is_original && same_receipt).then_some(part)
}
