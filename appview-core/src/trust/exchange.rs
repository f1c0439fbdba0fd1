//! The other records of an exchange: disputes, acceptances of its terms, and credits.
//!
//! Evidence and a record's URI enter, a verdict leaves. None of these moves money by itself: they are an exchange's public
//! account of decisions that it made elsewhere, and what can be checked is whether they agree with each other and with its
//! policy. All checks are this verifier's own. Deliberately absent: whether the decisions are right.

use super::body::{Body, excerpt};
use super::check::{Check, Examination, Profile, Role};
use super::countersigned::current;
use super::document::DocumentKey;
use super::evidence::{Document, Evidence};
use super::exhibit::Exhibit;
use super::ledger::Patronage;
use super::reference::Reference;
use super::signed::{RecordSignature, verify_record_signature};
use super::verdict::{Judged, Missing, SettlementVerdict};
use super::{Canonical, Code, Instant, Terms};
use crate::record::Collection;

/// Judges a dispute, an acceptance of terms, a grant or a patronage credit by what is in evidence.
///
/// # Errors
///
/// [`Missing`]: there is no such record in evidence.
pub fn verify_exchange_record(
    evidence: &Evidence,
    uri: &str,
    terms: &Terms,
    profile: Profile,
) -> Result<SettlementVerdict, Missing> {
    let missing = |role| Missing { role, uri: uri.to_owned() };
    let exhibit = evidence.find(uri).ok_or_else(|| missing(Role::Dispute))?;
    let body = Body::of(exhibit);
    let mut examination = Examination::new(profile);
    let record = Record { exhibit, body, evidence, terms };
    let (role, named) = match Collection::from_nsid(exhibit.collection()) {
        Some(Collection::Dispute) => (Role::Dispute, record.dispute(&mut examination)),
        Some(Collection::TermsAcceptance) => (Role::Acceptance, record.acceptance(&mut examination)),
        Some(Collection::TokenGrant) => (Role::Credit, record.grant(&mut examination)),
        Some(Collection::TokenPatronage) => (Role::Credit, record.patronage(&mut examination)),
        _ => return Err(missing(Role::Dispute)),
    };
    let mut judged = vec![Judged::new(role, exhibit)];
    judged.extend(named.into_iter().flatten().map(|(role, exhibit)| Judged::new(role, exhibit)));
    Ok(SettlementVerdict::reach(examination, judged))
}

/// An exchange's signature on a record: by a key that its attestation names, if it names one.
pub(super) struct ExchangeSignature<'a> {
    /// Whether it holds, and whether the key is a present one.
    pub(super) checks: [Check; 2],
    /// When it was made, as the record says.
    pub(super) at: Option<Instant>,
    pub(super) body: &'a Body<'a>,
    pub(super) exchange: &'a str,
    /// The exchange's attestation of its key.
    pub(super) named: Option<&'a Body<'a>>,
}

impl ExchangeSignature<'_> {
    /// Tells whether it holds, and returns the document by which that was judged.
    pub(super) fn tell<'e>(
        &self,
        examination: &mut Examination,
        evidence: &'e Evidence,
        terms: &'e Terms,
    ) -> Option<&'e Document> {
        let [check, of_today] = self.checks;
        // The best document decides how it fails. One of another time may still have the key.
        let mut judged = None;
        for (origin, document) in evidence.documents_of(self.exchange, self.at, terms) {
            let signature = self.by(document.keys());
            let is_valid = matches!(signature, RecordSignature::Valid(_));
            if is_valid || judged.is_none() {
                judged = Some((signature, origin, document));
            }
            if is_valid {
                break;
            }
        }
        let signature = judged.map_or_else(|| self.by(&[]), |(signature, ..)| signature);
        let mut signed_by = None;
        match (signature, judged) {
            (RecordSignature::Valid(_), _) => {
                signed_by = judged.map(|(_, origin, _)| (self.exchange, origin));
                examination.passed(check);
            }
            (RecordSignature::KeyUnresolved, None) => {
                let code = Code::XSigKeyUnresolved;
                let message = format!("{}: {}", code.meaning(), evidence.lack_of(self.exchange));
                examination.undecided(check, code, message);
            }
            (RecordSignature::Absent, _) => examination.failed(check, Code::XSigMissing),
            (RecordSignature::KeyUnresolved, Some(_)) => examination.failed(check, Code::XSigKeyUnresolved),
            (RecordSignature::FingerprintMismatch, _) => {
                examination.failed(check, Code::XSigKeyFingerprintMismatch);
            }
            (RecordSignature::Invalid, _) => examination.failed(check, Code::XSigInvalid),
        }
        current(examination, of_today, signed_by);
        judged.map(|(_, _, document)| document)
    }

    fn by(&self, keys: &[DocumentKey]) -> RecordSignature {
        // The attestation may name no key at all, which no key is known by.
        let named =
            self.named.map(|attestation| attestation.text("signingKeyFingerprint").unwrap_or_default());
        if self.body.is_whole {
            verify_record_signature(&self.body.map, keys, named, &mut Canonical::new())
        } else {
            RecordSignature::Invalid
        }
    }
}

/// What a record names, and was judged beside it.
type Named<'e> = Vec<Option<(Role, &'e Exhibit)>>;

struct Record<'e> {
    exhibit: &'e Exhibit,
    body: Body<'e>,
    evidence: &'e Evidence,
    terms: &'e Terms,
}

impl<'e> Record<'e> {
    /// A record of the exchange that this one names in the version that it pins.
    fn named(&self, member: &str, collection: Collection, exchange: &str) -> Option<(&'e Exhibit, Body<'e>)> {
        let reference = Reference::read(&self.body.map, member)?;
        let exhibit = reference.follow(self.evidence)?;
        let is_own = exhibit.is_in(collection) && exhibit.repo() == exchange;
        (is_own && reference.cid == Some(exhibit.cid())).then(|| (exhibit, Body::of(exhibit)))
    }

    fn is_of_its_repo(&self) -> bool {
        self.body.text("exchange") == Some(self.exhibit.repo())
    }

    fn dispute(&self, examination: &mut Examination) -> Named<'e> {
        let exchange = self.exhibit.repo();
        examination.ask(Check::DisputeExchange, Some(self.is_of_its_repo()), Code::XDisputeExchangeMismatch);
        let disputed = self.named("settlement", Collection::Settlement, exchange);
        examination.ask(Check::DisputedSettlement, Some(disputed.is_some()), Code::XDisputeSettlementInvalid);
        let outcome = self.body.map.map("outcome");
        let is_resolved = self.body.text("status") == Some("resolved");
        let tells = is_resolved.then_some(outcome.is_some());
        examination.ask(Check::DisputeOutcome, tells, Code::XDisputeOutcomeMissing);

        let calls_for = outcome.and_then(|outcome| match outcome.text("verdict") {
            Some("refund-full") => Some(Refund::Full),
            Some("refund-partial") => Some(Refund::Partial),
            _ => None,
        });
        let reference = outcome.and_then(|outcome| Reference::read(outcome, "refundSettlement"));
        let refund = reference.and_then(|reference| {
            let exhibit = reference.follow(self.evidence)?;
            (reference.cid == Some(exhibit.cid())).then(|| (exhibit, Body::of(exhibit)))
        });
        match (calls_for, reference) {
            (None, _) => examination.not_applicable(Check::DisputeRefund),
            (Some(_), None) => examination.failed(Check::DisputeRefund, Code::XDisputeRefundMissing),
            (Some(calls_for), Some(_)) => {
                let refund = refund.as_ref().zip(disputed.as_ref());
                let holds = refund.is_some_and(|((refund, body), (_, disputed))| {
                    refund.repo() == exchange && calls_for.is(&self.body, body, disputed)
                });
                examination.ask(Check::DisputeRefund, Some(holds), Code::XDisputeRefundInvalid);
            }
        }
        let checks = [Check::DisputeSignature, Check::DisputeCurrent];
        let decided = outcome.and_then(|outcome| Instant::at(outcome, "decidedAt"));
        let at = decided.or_else(|| self.body.instant("raisedAt"));
        let signature = ExchangeSignature { checks, at, body: &self.body, exchange, named: None };
        signature.tell(examination, self.evidence, self.terms);
        vec![
            disputed.map(|(exhibit, _)| (Role::Settlement, exhibit)),
            refund.map(|(exhibit, _)| (Role::Refunded, exhibit)),
        ]
    }

    fn acceptance(&self, examination: &mut Examination) -> Named<'e> {
        let exchange = self.body.text("exchange").unwrap_or_default();
        let policy = self.named("policy", Collection::ExchangePolicy, exchange);
        let same = policy.as_ref().is_some_and(|(_, policy)| {
            ["termsVersion", "termsUri"].iter().all(|copied| {
                self.body.text(copied).is_some() && self.body.text(copied) == policy.text(copied)
            })
        });
        examination.ask_saying(Check::AcceptedPolicy, Some(same), Code::XPolicyRefInvalid, || {
            format!("the policy is none of {} with these terms", excerpt(exchange))
        });
        let attestation = self.named("attestation", Collection::ExchangeAttestation, exchange);
        let named = attestation.as_ref().map(|(_, body)| body);
        let checks = [Check::AcceptanceSignature, Check::AcceptanceCurrent];
        let at = self.body.instant("acceptedAt");
        let signature = ExchangeSignature { checks, at, body: &self.body, exchange, named };
        signature.tell(examination, self.evidence, self.terms);
        vec![
            policy.map(|(exhibit, _)| (Role::Policy, exhibit)),
            attestation.map(|(exhibit, _)| (Role::ExchangeAttestation, exhibit)),
        ]
    }

    fn grant(&self, examination: &mut Examination) -> Named<'e> {
        let exchange = self.exhibit.repo();
        examination.ask(Check::GrantExchange, Some(self.is_of_its_repo()), Code::XGrantExchangeMismatch);
        let policy = self.named("policy", Collection::ExchangePolicy, exchange);
        let amount = self.body.map.integer("amount");
        let is_due = policy
            .as_ref()
            .is_some_and(|(_, policy)| amount.is_some() && policy.map.integer("tokenGrant") == amount);
        examination.ask(Check::GrantAmount, Some(is_due), Code::XGrantAmount);
        let place =
            |exhibit: &Exhibit, created: Option<Instant>| (created.is_none(), created, exhibit.uri().clone());
        let own = place(self.exhibit, self.body.instant("createdAt"));
        let recipient = self.body.text("recipient");
        let earlier = self.evidence.of_collection(Collection::TokenGrant).find(|other| {
            let body = Body::of(other);
            other.repo() == exchange
                && recipient.is_some()
                && body.text("recipient") == recipient
                && place(other, body.instant("createdAt")) < own
        });
        examination.ask_saying(Check::OnlyGrant, Some(earlier.is_none()), Code::XGrantDuplicate, || {
            earlier.map_or_else(String::new, |earlier| format!("{} is an earlier grant", earlier.uri()))
        });
        vec![policy.map(|(exhibit, _)| (Role::Policy, exhibit))]
    }

    fn patronage(&self, examination: &mut Examination) -> Named<'e> {
        let exchange = self.exhibit.repo();
        let policy = self.named("policy", Collection::ExchangePolicy, exchange);
        let fraction = policy
            .as_ref()
            .and_then(|(_, policy)| policy.map.map("patronageDistribution")?.integer("fractionBps"));
        let share = |body: &Body<'_>| {
            let amount = |member: &str| u64::try_from(body.map.integer(member)?).ok();
            let share = Patronage {
                treasury: amount("treasuryBefore")?,
                fraction_bps: u64::try_from(fraction?).ok()?,
                score: amount("patronageScore")?,
                total: amount("totalPatronage")?,
            };
            Some((share, amount("tokensCredited")?))
        };
        let own = share(&self.body);
        let is_share = own.is_some_and(|(share, credited)| share.accepts(credited) && self.is_of_its_repo());
        examination.ask(Check::PatronageAmount, Some(is_share), Code::XPatronageAmount);
        let period = |body: &Body<'e>| {
            let period = body.map.map("period")?;
            Some((Instant::at(period, "start")?, Instant::at(period, "end")?))
        };
        let of_period = period(&self.body);
        let credits =
            self.evidence.of_collection(Collection::TokenPatronage).filter(|other| other.repo() == exchange);
        let credits = credits.map(Body::of).filter(|body| of_period.is_some() && period(body) == of_period);
        let sum: u128 =
            credits.filter_map(|body| share(&body)).map(|(_, credited)| u128::from(credited)).sum();
        let within = own.map(|(share, _)| sum <= u128::from(share.pool()));
        examination.ask(Check::PatronagePool, within, Code::XPatronageOverPool);
        vec![policy.map(|(exhibit, _)| (Role::Policy, exhibit))]
    }
}

/// How much of a charge a dispute gives back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refund {
    Full,
    Partial,
}

impl Refund {
    /// Whether a settlement is the refund that a dispute calls for: of what is disputed, and as much.
    fn is(self, dispute: &Body<'_>, refund: &Body<'_>, disputed: &Body<'_>) -> bool {
        let named = |body: &Body<'_>, member: &str| {
            Reference::read(&body.map, member).map(|link| link.uri.to_owned())
        };
        let is_of_it = refund.text("status") == Some("refunded")
            && named(refund, "refundOf").is_some()
            && named(refund, "refundOf") == named(dispute, "settlement");
        let amounts = refund.money("amountCharged").zip(disputed.money("amountCharged"));
        is_of_it
            && amounts.is_some_and(|(back, charged)| {
                let amounts = back.amount.zip(charged.amount);
                back.is_in_currency_of(&charged)
                    && amounts.is_some_and(|(back, charged)| match self {
                        Self::Full => back == charged,
                        Self::Partial => back < charged,
                    })
            })
    }
}
