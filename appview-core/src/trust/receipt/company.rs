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

/// Returns which other records decided something.
pub(super) fn examine<'e>(
    examination: &mut Examination,
    case: &Case<'e>,
    evidence: &'e Evidence,
    setting: &Setting<'_>,
) -> Vec<(Role, &'e Exhibit)> {
    let offer = provider_key(examination, case, evidence);
    let others = [
        only_receipt(examination, case, evidence, setting),
        job_nonce(examination, case, evidence),
        witness_nonce(examination, case, evidence, setting.terms),
    ];
    accounts(examination, case, evidence);
    let offer = offer.map(|offer| (Role::Provider, offer));
    offer.into_iter().chain(others.into_iter().flatten().map(|other| (Role::Company, other))).collect()
}

fn provider_key<'e>(
    examination: &mut Examination,
    case: &Case<'e>,
    evidence: &'e Evidence,
) -> Option<&'e Exhibit> {
    let key = case.attestation.body.text("publicKey");
    let repo = case.receipt.exhibit.repo();
    let offers = || evidence.of_collection(Collection::Provider).filter(|offer| offer.repo() == repo);
    let has_key = |offer: &&Exhibit| is_key(Body::of(offer).text("attestationPubKey"), key);
    let found = offers().find(has_key);
    let any = found.or_else(|| offers().next());
    match (found, any) {
        (Some(_), _) => examination.passed(Check::ProviderKey),
        (None, None) => examination.not_applicable(Check::ProviderKey),
        (None, Some(_)) => {
            let code = Code::XProviderKeyMismatch;
            let looked = evidence.looked(Check::ProviderKey);
            match looked {
                None => examination.failed(Check::ProviderKey, code),
                Some(_) => examination.ask_company(Check::ProviderKey, None, looked, code),
            }
        }
    }
    any
}

/// Whether two texts are one key.
fn is_key(one: Option<&str>, other: Option<&str>) -> bool {
    let bytes = |text: Option<&str>| text.and_then(read_base64).map(|(bytes, _)| bytes);
    one.is_some() && (one == other || bytes(one).is_some_and(|one| Some(one) == bytes(other)))
}

fn only_receipt<'e>(
    examination: &mut Examination,
    case: &Case<'e>,
    evidence: &'e Evidence,
    setting: &Setting<'_>,
) -> Option<&'e Exhibit> {
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
    let earlier = earlier.map(|(other, _)| other);
    let told = earlier.map(|other| format!("{} is an earlier receipt for the same job", other.uri()));
    let looked = evidence.looked(Check::OnlyReceipt);
    examination.ask_company(Check::OnlyReceipt, told, looked, Code::XDuplicateJobReceipt);
    earlier
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

fn job_nonce<'e>(
    examination: &mut Examination,
    case: &Case<'e>,
    evidence: &'e Evidence,
) -> Option<&'e Exhibit> {
    let Some(nonce) = case.job.body.text("nonce") else {
        examination.not_applicable(Check::JobNonce);
        return None;
    };
    let (repo, own) = (case.job.exhibit.repo(), case.job.exhibit.uri());
    let other = evidence.of_collection(Collection::Job).find(|other| {
        other.repo() == repo && other.uri() != own && Body::of(other).text("nonce") == Some(nonce)
    });
    let told = other.map(|other| format!("{} has the nonce {}", other.uri(), excerpt(nonce)));
    let looked = evidence.looked(Check::JobNonce);
    examination.ask_company(Check::JobNonce, told, looked, Code::XJobNonceReused);
    other
}

fn witness_nonce<'e>(
    examination: &mut Examination,
    case: &Case<'e>,
    evidence: &'e Evidence,
    terms: &Terms,
) -> Option<&'e Exhibit> {
    let Some(own) = Countersigned::nonce(&case.receipt.body).filter(|_| case.confidential) else {
        examination.not_applicable(Check::WitnessNonce);
        return None;
    };
    // What was only copied does not verify where it was copied to, and says nothing.
    let other = others(evidence, case.receipt.exhibit).find(|(_, body)| {
        Countersigned::nonce(body) == Some(own) && Countersigned::of(body, evidence, terms).is_trusted()
    });
    let other = other.map(|(other, _)| other);
    let told = other.map(|other| format!("the nonce witnesses {} as well", other.uri()));
    let looked = evidence.looked(Check::WitnessNonce);
    examination.ask_company(Check::WitnessNonce, told, looked, Code::XWitnessNonceReused);
    other
}

fn accounts(examination: &mut Examination, case: &Case<'_>, evidence: &Evidence) {
    let parties = [Some(case.receipt.exhibit.repo()), case.receipt.body.text("requester")];
    let gone = parties.into_iter().flatten().find(|did| evidence.is_inactive(did));
    examination.ask_saying(Check::AccountsActive, Some(gone.is_none()), Code::XOwnerTombstoned, || {
        format!("the account of {} is not active", gone.map(excerpt).unwrap_or_default())
    });
}
