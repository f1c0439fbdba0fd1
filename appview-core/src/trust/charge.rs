//! What an exchange must know before it charges for a receipt.
//!
//! Evidence, a receipt and an authorization enter, with the books of the exchange and its terms; a verdict leaves, and how the
//! charge is split if it may be made. An AppView charges nobody. This is here because it is the same evidence and the same
//! signatures, and an exchange that uses this library should not write it again. Deliberately absent: the money, and keeping
//! the [`Books`].

use std::collections::{BTreeMap, BTreeSet};

use super::body::{Body, is_sha256_hex};
use super::check::Role;
use super::encoding::Octets;
use super::evidence::Evidence;
use super::exhibit::Exhibit;
use super::ledger::{Dealing, Terms as FeeTerms};
use super::receipt::{Setting, attest, follow};
use super::reference::Reference;
use super::signature::{ReceiptSignature, SelfSignature, verify_receipt_signature};
use super::verdict::Missing;
use super::{Canonical, Code, Finding, Instant, Profile, Terms};
use crate::record::Collection;
use crate::syntax::Did;

/// What an exchange has charged so far.
#[derive(Debug, Clone, Default)]
pub struct Books {
    receipts: BTreeSet<String>,
    authorizations: BTreeMap<String, Drawn>,
}

/// What was drawn on one authorization.
#[derive(Debug, Clone, Default)]
struct Drawn {
    receipts: BTreeSet<String>,
    amount: i128,
}

impl Books {
    /// Notes that the receipt at `uri` was charged for.
    pub fn enter(&mut self, uri: &str, charge: &ChargeVerdict) {
        self.receipts.insert(uri.to_owned());
        // What is given free of charge uses nothing up.
        if let (Some(authorization), Some(split)) = (&charge.authorization, &charge.split) {
            let drawn = self.authorizations.entry(authorization.clone()).or_default();
            drawn.receipts.insert(uri.to_owned());
            drawn.amount += i128::from(split.charged);
        }
    }
}

/// How a charge is split, in smallest units of one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// What the requester pays.
    pub charged: u64,
    /// What the provider gets.
    pub payout: u64,
    /// What the exchange keeps.
    pub fee: u64,
    /// The currency.
    pub currency: String,
}

/// Whether an exchange may charge for a receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChargeVerdict {
    /// What speaks against it; nothing if it may.
    pub findings: Vec<Finding>,
    /// How the charge is split; nothing if it may not be made.
    pub split: Option<Split>,
    /// What is drawn on: the authorization's nonce, or its URI for want of one. Nothing where the work is free of charge.
    authorization: Option<String>,
}

impl ChargeVerdict {
    /// Whether the charge may be made.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Judges whether `exchange` may charge for the receipt at `receipt` by the authorization at `authorization`, at the instant
/// `now`.
///
/// # Errors
///
/// [`Missing`]: the receipt, its job, its attestation or the authorization is not in evidence.
pub fn verify_charge(
    evidence: &Evidence,
    receipt: &str,
    authorization: &str,
    exchange: &Exchange<'_>,
    now: Instant,
) -> Result<ChargeVerdict, Missing> {
    let missing = |role, uri: &str| Missing { role, uri: uri.to_owned() };
    let found = evidence.find(receipt).filter(|exhibit| exhibit.is_in(Collection::Receipt));
    let found = found.ok_or_else(|| missing(Role::Receipt, receipt))?;
    let body = Body::of(found);
    let (_, job) = follow(evidence, &body, "job", Role::Job)?;
    let (_, attestation) = follow(evidence, &body, "attestation", Role::Attestation)?;
    let granted = evidence.find(authorization).ok_or_else(|| missing(Role::Authorization, authorization))?;
    let mut charge = Charge {
        receipt: found,
        body,
        job,
        order: Body::of(job),
        authorization: granted,
        permission: Body::of(granted),
        exchange,
        findings: Vec::new(),
    };
    charge.ownership(now);
    charge.amounts();
    charge.bounds();
    charge.signatures(attestation, now);
    charge.books();
    Ok(charge.conclude())
}

/// The exchange that is about to charge.
#[derive(Debug, Clone, Copy)]
pub struct Exchange<'a> {
    /// Its DID.
    pub did: &'a Did,
    /// What it charges for itself.
    pub fees: FeeTerms,
    /// What it has charged so far.
    pub books: &'a Books,
    /// By what evidence is judged.
    pub terms: &'a Terms,
}

struct Charge<'e> {
    receipt: &'e Exhibit,
    body: Body<'e>,
    job: &'e Exhibit,
    order: Body<'e>,
    authorization: &'e Exhibit,
    permission: Body<'e>,
    exchange: &'e Exchange<'e>,
    findings: Vec<Finding>,
}

impl Charge<'_> {
    fn unless(&mut self, holds: bool, code: Code) {
        if !holds {
            self.findings.push(Finding::new(code));
        }
    }

    fn ownership(&mut self, now: Instant) {
        let is_settled = self.exchange.books.receipts.contains(self.receipt.uri().as_str());
        self.unless(!is_settled, Code::AlreadySettled);
        self.unless(self.body.text("requester") == Some(self.job.repo()), Code::JobOwnerMismatch);
        let exchange = self.exchange.did.as_str();
        self.unless(self.permission.text("exchange") == Some(exchange), Code::WrongExchange);
        let linked = Reference::read(&self.order.map, "paymentAuthorization");
        let is_linked = linked.is_some_and(|linked| linked.uri == self.authorization.uri().as_str());
        self.unless(is_linked, Code::AuthJobLink);
        // The last moment at which it can be used is the one before.
        let is_open = self.permission.instant("expiresAt").is_some_and(|expires| expires > now);
        self.unless(is_open, Code::AuthExpired);
    }

    fn amounts(&mut self) {
        let tokens = |member: &str| self.body.map.map("tokens")?.integer(member);
        let price = self.body.money("price");
        let counts = [price.and_then(|price| price.amount), tokens("in"), tokens("out")];
        for count in counts {
            self.unless(count.is_some_and(|count| count >= 0), Code::NonNegativeInteger);
        }
        let is_known = matches!(self.permission.text("scope"), Some("singleJob" | "session"));
        self.unless(is_known, Code::UnknownScope);
        for (member, code) in [
            ("inputCommitment", Code::InputCommitmentShape),
            ("outputCommitment", Code::OutputCommitmentShape),
        ] {
            self.unless(self.body.text(member).is_some_and(is_sha256_hex), code);
        }
        let input = self.body.text("inputCommitment");
        self.unless(input.is_some() && input == self.order.text("inputCommitment"), Code::CommitmentMismatch);
        for (ceiling, other_currency, over) in [
            (self.order.money("priceCeiling"), Code::CurrencyMismatch, Code::PriceOverJobCeiling),
            (self.permission.money("ceiling"), Code::CurrencyMismatchAuth, Code::PriceOverAuthCeiling),
        ] {
            match price.zip(ceiling).filter(|(price, ceiling)| price.is_in_currency_of(ceiling)) {
                None => self.unless(false, other_currency),
                // No amount is less than any, and was found above; no ceiling is exceeded by any.
                Some((price, ceiling)) => self.unless(price.amount <= ceiling.amount, over),
            }
        }
    }

    fn bounds(&mut self) {
        let tokens = |member: &str| self.body.map.map("tokens")?.integer(member);
        let (read, produced) = (tokens("in"), tokens("out"));
        self.unless(produced <= self.order.map.integer("maxTokensOut"), Code::TokensOverJobCeiling);
        if self.body.is_true("proBono") {
            let is_free = self.body.money("price").is_some_and(|price| price.is_zero());
            self.unless(is_free, Code::ProBonoNonzeroPrice);
            self.unless([read, produced] == [Some(0); 2], Code::ProBonoNonzeroTokens);
        }
        let accepted = self.order.texts("acceptedExchanges");
        let accepts = accepted.is_empty() || accepted.contains(&self.exchange.did.as_str());
        self.unless(accepts, Code::ExchangeNotAllowed);
        let (completed, expires) = (self.body.instant("completedAt"), self.order.instant("expiresAt"));
        let in_time = completed.zip(expires).is_some_and(|(completed, expires)| completed <= expires);
        self.unless(in_time, Code::JobCompletedAfterExpiry);
    }

    fn signatures(&mut self, attestation: &Exhibit, now: Instant) {
        let is_there = Octets::at(&self.body.map, "enclaveSignature") != Octets::Absent;
        self.unless(is_there, Code::NoSignature);
        let terms = self.exchange.terms;
        let setting = Setting { terms, profile: Profile::Strict, now, memory: None };
        let (attested, _) = attest(attestation, &setting);
        let signed = verify_receipt_signature(
            &self.body.map,
            &attested.signer,
            &terms.apple.app,
            &mut Canonical::new(),
        );
        match signed {
            // That there is none has been said.
            ReceiptSignature::Valid(_) | ReceiptSignature::Absent => {}
            ReceiptSignature::Undecodable => self.unless(false, Code::SignatureVerifyError),
            ReceiptSignature::Invalid(_) => self.unless(false, Code::SignatureInvalid),
        }
        match attested.own {
            SelfSignature::Valid { .. } => {}
            SelfSignature::Absent => self.unless(false, Code::AttestationUnsigned),
            SelfSignature::Invalid(_) => self.unless(false, Code::AttestationSelfsigInvalid),
        }
        self.unless(attestation.repo() == self.receipt.repo(), Code::AttestationOwnerMismatch);
        let owner = Some(self.authorization.repo());
        self.unless(self.body.text("requester") == owner, Code::AuthorizationOwnerMismatch);
    }

    fn books(&mut self) {
        if self.body.is_true("proBono") {
            return;
        }
        let drawn = self.exchange.books.authorizations.get(&self.identity());
        let uri = self.receipt.uri().as_str();
        let is_used = drawn.is_some_and(|drawn| drawn.receipts.iter().any(|other| other != uri));
        match self.permission.text("scope") {
            Some("singleJob") => self.unless(!is_used, Code::AuthorizationAlreadyConsumed),
            Some("session") => {
                let price = self.body.money("price").and_then(|price| price.amount).map_or(0, i128::from);
                let sum = price + drawn.map_or(0, |drawn| drawn.amount);
                let budget = self.permission.money("sessionBudget").and_then(|budget| budget.amount);
                let within = budget.is_none_or(|budget| sum <= i128::from(budget));
                self.unless(within, Code::SessionBudgetExceeded);
            }
            _ => {}
        }
    }

    /// What an authorization is known by in the books.
    fn identity(&self) -> String {
        let nonce = self.permission.text("nonce").filter(|nonce| !nonce.is_empty());
        nonce.unwrap_or(self.authorization.uri().as_str()).to_owned()
    }

    fn conclude(self) -> ChargeVerdict {
        let is_free = self.body.is_true("proBono");
        let authorization = (!is_free).then(|| self.identity());
        let price = self.body.money("price").filter(|_| self.findings.is_empty());
        let split = price.and_then(|price| {
            let charged = u64::try_from(price.amount?).ok()?;
            let dealing = if is_free {
                Dealing::ProBono
            } else if self.job.repo() == self.receipt.repo() {
                Dealing::SelfLoop
            } else {
                Dealing::Usual
            };
            let fee = self.exchange.fees.fee(charged, dealing);
            Some(Split { charged, payout: charged - fee, fee, currency: price.currency?.to_owned() })
        });
        ChargeVerdict { findings: self.findings, split, authorization }
    }
}
