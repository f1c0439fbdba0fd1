//! A receipt beside other records that say the same thing, as far as they are in evidence.
//!
//! A [`Case`] and the evidence enter, and an examination goes on. What else there is was found by whoever gathered the
//! evidence; none of it decides whether the receipt is genuine, only whether it is alone. Deliberately absent: the order in
//! which records came.

use super::{Case, Setting, attest, follow};
use crate::record::Collection;
use crate::trust::body::{Body, excerpt};
use crate::trust::check::{Check, Examination, Role};
use crate::trust::countersigned::Countersigned;
use crate::trust::encoding::read_base64;
use crate::trust::evidence::Evidence;
use crate::trust::exhibit::Exhibit;
use crate::trust::reference::Reference;
use crate::trust::signature::{ReceiptSignature, verify_receipt_signature};
use crate::trust::{Canonical, Code, Instant, Terms};

pub(super) fn examine(
    examination: &mut Examination,
    case: &Case<'_>,
    evidence: &Evidence,
    setting: &Setting<'_>,
) {
    provider_key(examination, case, evidence);
    only_receipt(examination, case, evidence, setting);
    job_nonce(examination, case, evidence);
    witness_nonce(examination, case, evidence, setting.terms);
    accounts(examination, case, evidence);
}

fn provider_key(examination: &mut Examination, case: &Case<'_>, evidence: &Evidence) {
    let key = case.attestation.body.text("publicKey");
    let repo = case.receipt.exhibit.repo();
    let mut offers =
        evidence.of_collection(Collection::Provider).filter(|offer| offer.repo() == repo).peekable();
    if offers.peek().is_none() {
        return examination.not_applicable(Check::ProviderKey);
    }
    let has_key = offers.any(|offer| is_key(Body::of(offer).text("attestationPubKey"), key));
    examination.ask(Check::ProviderKey, Some(has_key), Code::XProviderKeyMismatch);
}

/// Whether two texts are one key.
fn is_key(one: Option<&str>, other: Option<&str>) -> bool {
    let bytes = |text: Option<&str>| text.and_then(read_base64).map(|(bytes, _)| bytes);
    one.is_some() && (one == other || bytes(one).is_some_and(|one| Some(one) == bytes(other)))
}

fn only_receipt(examination: &mut Examination, case: &Case<'_>, evidence: &Evidence, setting: &Setting<'_>) {
    // A receipt without a readable instant is later than any other.
    let place = |exhibit: &Exhibit, completed: Option<Instant>| {
        (completed.is_none(), completed, exhibit.uri().clone())
    };
    let own = place(case.receipt.exhibit, case.receipt.body.instant("completedAt"));
    let earlier = others(evidence, case.receipt.exhibit).find(|(other, body)| {
        Reference::read(&body.map, "job").is_some_and(|job| job.uri == case.job_reference.uri)
            && place(other, body.instant("completedAt")) < own
            && is_signed(evidence, body, other, setting)
    });
    examination.ask_saying(Check::OnlyReceipt, Some(earlier.is_none()), Code::XDuplicateJobReceipt, || {
        earlier.map_or_else(String::new, |(other, _)| {
            format!("{} is an earlier receipt for the same job", other.uri())
        })
    });
}

/// The other receipts in evidence.
fn others<'e>(evidence: &'e Evidence, own: &'e Exhibit) -> impl Iterator<Item = (&'e Exhibit, Body<'e>)> {
    let receipts = evidence.of_collection(Collection::Receipt);
    receipts.filter(|other| other.uri() != own.uri()).map(|other| (other, Body::of(other)))
}

/// Whether the key of its own attestation, in its own repository, signed a receipt.
fn is_signed(evidence: &Evidence, body: &Body<'_>, receipt: &Exhibit, setting: &Setting<'_>) -> bool {
    let Ok((_, attestation)) = follow(evidence, body, "attestation", Role::Attestation) else { return false };
    if !body.is_whole || attestation.repo() != receipt.repo() {
        return false;
    }
    let signer = &attest(attestation, setting).0.signer;
    let signature =
        verify_receipt_signature(&body.map, signer, &setting.terms.apple.app, &mut Canonical::new());
    matches!(signature, ReceiptSignature::Valid(_))
}

fn job_nonce(examination: &mut Examination, case: &Case<'_>, evidence: &Evidence) {
    let Some(nonce) = case.job.body.text("nonce") else {
        return examination.not_applicable(Check::JobNonce);
    };
    let (repo, own) = (case.job.exhibit.repo(), case.job.exhibit.uri());
    let other = evidence.of_collection(Collection::Job).find(|other| {
        other.repo() == repo && other.uri() != own && Body::of(other).text("nonce") == Some(nonce)
    });
    examination.ask_saying(Check::JobNonce, Some(other.is_none()), Code::XJobNonceReused, || {
        other.map_or_else(String::new, |other| format!("{} has the nonce {}", other.uri(), excerpt(nonce)))
    });
}

fn witness_nonce(examination: &mut Examination, case: &Case<'_>, evidence: &Evidence, terms: &Terms) {
    let own = Countersigned::nonce(&case.receipt.body).filter(|_| case.confidential);
    let Some(own) = own else { return examination.not_applicable(Check::WitnessNonce) };
    // What was only copied does not verify where it was copied to, and says nothing.
    let other = others(evidence, case.receipt.exhibit).find(|(_, body)| {
        Countersigned::nonce(body) == Some(own) && Countersigned::of(body, evidence, terms).is_trusted()
    });
    examination.ask_saying(Check::WitnessNonce, Some(other.is_none()), Code::XWitnessNonceReused, || {
        other.map_or_else(String::new, |(other, _)| format!("the nonce witnesses {} as well", other.uri()))
    });
}

fn accounts(examination: &mut Examination, case: &Case<'_>, evidence: &Evidence) {
    let parties = [Some(case.receipt.exhibit.repo()), case.receipt.body.text("requester")];
    let gone = parties.into_iter().flatten().find(|did| evidence.is_inactive(did));
    examination.ask_saying(Check::AccountsActive, Some(gone.is_none()), Code::XOwnerTombstoned, || {
        format!("the account of {} is not active", gone.map(excerpt).unwrap_or_default())
    });
}
