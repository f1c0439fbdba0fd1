//! Whether a receipt is what it says.
//!
//! Evidence and a receipt's URI enter, a [`ReceiptVerdict`] leaves, or what is missing. The network's common checks come
//! first and in the order of their contract, then those that the existing verifier lacks. Deliberately absent: looking for
//! evidence, and the wall clock. The instant that is handed in decides one thing, whether the manufacturer's certificates
//! have expired since.

mod beyond;
mod binding;
mod company;

use std::sync::Arc;

use super::attested::Attested;
use super::body::{Body, Form};
use super::canonical::Canonical;
use super::check::{Check, Examination, Role};
use super::countersigned::Countersigned;
use super::encoding::{Encoding, Octets};
use super::evidence::Evidence;
use super::examiner::Memory;
use super::exhibit::Exhibit;
use super::p256::SignatureFault;
use super::reference::Reference;
use super::signature::{ReceiptSignature, verify_receipt_signature};
use super::verdict::{Judged, Missing, ReceiptVerdict, TrustLevel, conclude};
use super::{Code, Instant, Profile, Terms};
use crate::block::Value;
use crate::record::Collection;

pub(super) use beyond::{cids, version};

/// Judges the receipt at `uri` by what is in evidence.
///
/// `now` is the verifier's clock: it decides whether evidence has expired since it was used, which is told and changes
/// nothing else.
///
/// # Errors
///
/// [`Missing`]: the receipt, its job or its attestation is not in evidence.
pub fn verify_receipt(
    evidence: &Evidence,
    uri: &str,
    terms: &Terms,
    profile: Profile,
    now: Instant,
) -> Result<ReceiptVerdict, Missing> {
    judge(evidence, uri, &Setting { terms, profile, now, memory: None }).map(|(verdict, _)| verdict)
}

/// How a verdict is asked for.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) terms: &'a Terms,
    pub(super) profile: Profile,
    pub(super) now: Instant,
    pub(super) memory: Option<&'a Memory>,
}

/// A record with what can be read of it.
pub(super) struct Part<'e> {
    pub(super) exhibit: &'e Exhibit,
    pub(super) body: Body<'e>,
    pub(super) form: Form,
}

impl<'e> Part<'e> {
    pub(super) fn read(terms: &Terms, collection: Collection, exhibit: &'e Exhibit) -> Self {
        let mut body = Body::of(exhibit);
        let form = Form::of(&terms.catalog, collection, exhibit, &mut body);
        Self { exhibit, body, form }
    }
}

/// A receipt, the two records that it names, and what is known of all three.
struct Case<'e> {
    receipt: Part<'e>,
    job: Part<'e>,
    attestation: Part<'e>,
    job_reference: Reference<'e>,
    attestation_reference: Reference<'e>,
    trust_level: TrustLevel,
    confidential: bool,
}

/// A verdict, and until when the evidence holds by which the receipt is attested by hardware.
pub(super) fn judge(
    evidence: &Evidence,
    uri: &str,
    setting: &Setting<'_>,
) -> Result<(ReceiptVerdict, Option<Instant>), Missing> {
    let Setting { terms, profile, now, .. } = *setting;
    let receipt =
        Part::read(terms, Collection::Receipt, find(evidence, uri, Collection::Receipt, Role::Receipt)?);
    let (job_reference, job) = follow(evidence, &receipt.body, "job", Role::Job)?;
    let (attestation_reference, attestation) =
        follow(evidence, &receipt.body, "attestation", Role::Attestation)?;
    let job = Part::read(terms, Collection::Job, job);
    let (attested, attestation) = attest(attestation, setting);
    let mut examination = Examination::new(profile);

    binding::examine(&mut examination, &receipt.body, &job.body, &attestation.body);
    let mut canonical = Canonical::new();
    let signature =
        verify_receipt_signature(&receipt.body.map, &attested.signer, &terms.apple.app, &mut canonical);
    canonical_form(&mut examination, &receipt.body, &signature, &mut canonical);
    let owner = attestation.exhibit.repo();
    let is_own = owner == receipt.exhibit.repo();
    examination.ask_saying(Check::AttestationOwner, Some(is_own), Code::AttestationOwnerMismatch, || {
        format!("the attestation is {owner}'s, the receipt {}'s", receipt.exhibit.repo())
    });
    attested.tell_signature(&mut examination);
    form(&mut examination, &receipt.form);
    let encoding = tell_signature(&mut examination, &receipt.body, signature);
    attested.tell_hardware(&mut examination);
    let witness = Countersigned::of(&receipt.body, evidence, terms);
    witness.tell(&mut examination);

    let case = Case {
        job_reference,
        attestation_reference,
        trust_level: attested.trust_level(),
        confidential: witness.is_trusted(),
        receipt,
        job,
        attestation,
    };
    beyond::examine(&mut examination, &case);
    attested.tell_more(&mut examination, encoding, now);
    witness.tell_more(&mut examination);
    let company = company::examine(&mut examination, &case, evidence, setting);
    currency(&mut examination, &case.receipt.form);

    let mut judged = vec![
        (Role::Receipt, case.receipt.exhibit),
        (Role::Job, case.job.exhibit),
        (Role::Attestation, case.attestation.exhibit),
    ];
    judged.extend(company);
    examination.footing(Check::RecordsProven, judged.iter().map(|(_, exhibit)| *exhibit));
    let judged = judged.into_iter().map(|(role, exhibit)| Judged::new(role, exhibit)).collect();
    let ok = examination.is_ok();
    let (findings, rules) = conclude(examination);
    let (trust_level, confidential) = (case.trust_level, case.confidential);
    let brokerage_authority = witness.authority();
    let verdict =
        ReceiptVerdict { ok, trust_level, confidential, brokerage_authority, findings, rules, judged };
    Ok((verdict, attested.until()))
}

/// The record that is to be judged, in the collection that it must be of.
pub(super) fn find<'e>(
    evidence: &'e Evidence,
    uri: &str,
    collection: Collection,
    role: Role,
) -> Result<&'e Exhibit, Missing> {
    let found = evidence.find(uri).filter(|exhibit| exhibit.is_in(collection));
    found.ok_or_else(|| Missing { role, uri: uri.to_owned() })
}

/// The record that a strong reference of the receipt leads to, whatever it is.
pub(super) fn follow<'a>(
    evidence: &'a Evidence,
    body: &Body<'a>,
    member: &str,
    role: Role,
) -> Result<(Reference<'a>, &'a Exhibit), Missing> {
    let missing = |uri: &str| Missing { role, uri: uri.to_owned() };
    let reference = Reference::read(&body.map, member).ok_or_else(|| missing(""))?;
    let exhibit = reference.follow(evidence).ok_or_else(|| missing(reference.uri))?;
    Ok((reference, exhibit))
}

/// What an attestation proves, remembered if there is a memory.
pub(super) fn attest<'e>(exhibit: &'e Exhibit, setting: &Setting<'_>) -> (Arc<Attested>, Part<'e>) {
    let mut body = Body::of(exhibit);
    let mut examine = || Attested::examine(exhibit, &mut body, setting.terms);
    let attested = match setting.memory {
        Some(memory) => memory.attested(exhibit, examine),
        None => Arc::new(examine()),
    };
    let form = attested.form.clone();
    (attested, Part { exhibit, body, form })
}

fn canonical_form(
    examination: &mut Examination,
    receipt: &Body<'_>,
    signature: &ReceiptSignature,
    canonical: &mut Canonical,
) {
    // What is signed is all of it, but for a witness and for framing: mostly the one form tells of the other.
    let is_signed_whole = !receipt.has("brokerageCountersignature")
        && matches!(receipt.map.get("$type"), None | Some(Value::Text(_)))
        && *signature != ReceiptSignature::Absent;
    let has_form = match signature {
        _ if !receipt.is_whole => Err("the block is not of the data model".to_owned()),
        ReceiptSignature::Invalid(SignatureFault::Message(error)) if is_signed_whole => {
            Err(error.to_string())
        }
        _ if is_signed_whole => Ok(()),
        _ => {
            canonical.record(&receipt.map, &["enclaveSignature"]).map(drop).map_err(|error| error.to_string())
        }
    };
    match has_form {
        Ok(()) => examination.passed(Check::CanonicalForm),
        Err(why) => {
            let message = format!("{}: {why}", Code::CanonicalFail.meaning());
            examination.failed_saying(Check::CanonicalForm, Code::CanonicalFail, message);
        }
    }
    let is_there = Octets::at(&receipt.map, "enclaveSignature") != Octets::Absent;
    examination.ask(Check::SignaturePresent, Some(is_there), Code::NoSignature);
}

fn form(examination: &mut Examination, form: &Form) {
    examination.ask_saying(Check::ReceiptForm, Some(form.breach.is_none()), Code::LexiconInvalid, || {
        form.breach.clone().unwrap_or_default()
    });
}

fn currency(examination: &mut Examination, form: &Form) {
    let short = form.short_currency.as_ref();
    examination.ask_saying(Check::Currency, Some(short.is_none()), Code::XCurrencyNonconforming, || {
        format!("{} has two letters", short.cloned().unwrap_or_default())
    });
}

/// Tells whether the attestation's key signed, and returns how the signature is encoded if it did.
fn tell_signature(
    examination: &mut Examination,
    receipt: &Body<'_>,
    signature: ReceiptSignature,
) -> Option<Encoding> {
    let check = Check::ReceiptSignature;
    match signature {
        _ if !receipt.is_whole => examination.failed(check, Code::SignatureInvalid),
        ReceiptSignature::Valid(encoding) => {
            examination.passed(check);
            return Some(encoding);
        }
        ReceiptSignature::Absent => {
            examination.failed_saying(check, Code::SignatureInvalid, "there is no signature to verify");
        }
        ReceiptSignature::Undecodable => examination.failed(check, Code::SignatureVerifyError),
        ReceiptSignature::Invalid(fault) => {
            let message = format!("{}: {fault}", Code::SignatureInvalid.meaning());
            examination.failed_saying(check, Code::SignatureInvalid, message);
        }
    }
    None
}
