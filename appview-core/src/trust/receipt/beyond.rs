//! What the existing verifier does not look at, of a receipt and the two records that it names.
//!
//! A [`Case`] enters whose signatures have been examined, and an examination goes on. Each check here has a code that
//! begins with `x-`. Deliberately absent: other records than those of the case, which are in `company`.

use super::Case;
use crate::block::{Map, Value};
use crate::record::Collection;
use crate::trust::body::{canonical_hash, excerpt, is_sha256_hex, shown};
use crate::trust::check::{Check, Examination};
use crate::trust::exhibit::{Exhibit, Standing};
use crate::trust::reference::Reference;
use crate::trust::{Code, Instant, TrustLevel};

/// How much later a job may be written than the work on it was completed, by two clocks, in milliseconds.
const CLOCKS_APART: i64 = 300_000;

/// The longest window of an attestation that raises no question, in milliseconds. Agents ask for a day.
const LONGEST_WINDOW: i64 = 7 * 24 * 60 * 60 * 1_000;

pub(super) fn examine(examination: &mut Examination, case: &Case<'_>) {
    versions(examination, case);
    terms(examination, case);
    times(examination, case);
    forms(examination, case);
    hashes(examination, case);
    claims(examination, case);
}

fn versions(examination: &mut Examination, case: &Case<'_>) {
    let records = [&case.receipt, &case.job, &case.attestation].map(|part| part.exhibit);
    cids(examination, Check::RecordCids, &records);
    let parts = [
        (&case.job, case.job_reference, Check::JobVersion, Code::XJobCidMismatch),
        (
            &case.attestation,
            case.attestation_reference,
            Check::AttestationVersion,
            Code::XAttestationCidMismatch,
        ),
    ];
    for (part, reference, check, code) in parts {
        version(examination, check, reference, part.exhibit, code);
    }
    let parts = [
        (&case.job, case.job_reference, Collection::Job, Check::JobReference, Code::XJobRefInvalid),
        (
            &case.attestation,
            case.attestation_reference,
            Collection::Attestation,
            Check::AttestationReference,
            Code::XAttestationRefInvalid,
        ),
    ];
    for (part, reference, collection, check, code) in parts {
        // It was found at the URI that names it, so that only its collection can be another.
        examination.ask_saying(check, Some(part.exhibit.is_in(collection)), code, || {
            format!("expected the URI of a {collection}, found {}", excerpt(reference.uri))
        });
    }
    let stands = case.attestation.exhibit.standing() == Standing::Current;
    examination.ask(Check::AttestationStanding, Some(stands), Code::XAttestationNotCurrent);
}

/// Whether each record hashes to the CID that it was found under.
pub(in crate::trust) fn cids(examination: &mut Examination, check: Check, records: &[&Exhibit]) {
    let lie = records.iter().find(|exhibit| !exhibit.is_its_own());
    examination.ask_saying(check, Some(lie.is_none()), Code::XRecordCidMismatch, || {
        lie.map_or_else(String::new, |exhibit| {
            format!("{} does not hash to {}", exhibit.uri(), exhibit.cid())
        })
    });
}

/// Whether a record is the version that another one pins.
pub(in crate::trust) fn version(
    examination: &mut Examination,
    check: Check,
    reference: Reference<'_>,
    found: &Exhibit,
    code: Code,
) {
    let holds = reference.cid == Some(found.cid());
    examination.ask_saying(check, Some(holds), code, || match reference.cid {
        Some(pinned) => format!("{pinned} is pinned, {} is there", found.cid()),
        None => format!("no CID is pinned, {} is there", found.cid()),
    });
}

fn terms(examination: &mut Examination, case: &Case<'_>) {
    let Case { receipt, job, .. } = case;
    let (claimed, owner) = (receipt.body.text("requester"), job.exhibit.repo());
    examination.ask_saying(
        Check::Requester,
        Some(claimed == Some(owner)),
        Code::XRequesterNotJobOwner,
        || format!("the receipt's requester is {}, the job's owner {owner}", shown(claimed)),
    );
    let accepted = job.body.texts("acceptedProviders");
    let accepts = (!accepted.is_empty()).then(|| accepted.contains(&receipt.exhibit.repo()));
    examination.ask(Check::ProviderAccepted, accepts, Code::XProviderNotAccepted);

    let suffices = match job.body.text("acceptedTrustLevel") {
        Some("hardware-attested") => Some(case.trust_level == TrustLevel::HardwareAttested),
        _ => None,
    };
    examination.ask(Check::TrustLevelSuffices, suffices, Code::XTrustLevelTooLow);

    let produced = receipt.body.map.map("tokens").and_then(|tokens| tokens.integer("out"));
    let ceiling = job.body.map.integer("maxTokensOut");
    let within = produced.zip(ceiling).map(|(produced, ceiling)| produced <= ceiling);
    examination.ask_saying(Check::TokensWithinCeiling, within, Code::XTokensOverCeiling, || {
        format!("{} tokens, the job allows {}", produced.unwrap_or_default(), ceiling.unwrap_or_default())
    });

    let hashes = receipt.body.map.map("params");
    for (check, member, hash, code) in [
        (Check::OutputSchemaHash, "outputSchema", "outputSchemaHash", Code::XOutputSchemaHashMismatch),
        (Check::ToolSchemaHash, "tools", "toolSchemaHash", Code::XToolSchemaHashMismatch),
    ] {
        let told = hashes.and_then(|hashes| hashes.get(hash));
        examination.ask(check, same_hash(job.body.map.get(member), told), code);
    }
}

/// Whether a hash is that of a member's canonical form. There is nothing to compare where neither is there, or where the
/// member has no canonical form, as an agent then leaves the hash out.
fn same_hash(member: Option<&Value<'_>>, told: Option<&Value<'_>>) -> Option<bool> {
    match (member, told) {
        (None, None) => None,
        (None, Some(_)) => Some(false),
        (Some(member), told) => {
            let hash = canonical_hash(member)?;
            Some(told.and_then(Value::as_text) == Some(hash.as_str()))
        }
    }
}

fn times(examination: &mut Examination, case: &Case<'_>) {
    let Case { receipt, job, attestation, .. } = case;
    let read = |part: &super::Part<'_>, member: &'static str| part.body.instant(member).ok_or(member);
    let times = [
        read(receipt, "startedAt"),
        read(receipt, "completedAt"),
        read(job, "createdAt"),
        read(job, "expiresAt"),
        read(attestation, "attestedAt"),
        read(attestation, "expiresAt"),
    ];
    let unreadable: Vec<&str> = times.iter().filter_map(|time| time.err()).collect();
    examination.ask_saying(Check::TimesReadable, Some(unreadable.is_empty()), Code::XTimeUnparseable, || {
        format!("no instant can be read in {}", unreadable.join(", "))
    });

    let [started, completed, ordered, _, attested, until] = times.map(Result::ok);
    let are_ordered =
        |earlier: Option<Instant>, later: Option<Instant>| earlier.zip(later).is_none_or(|(a, b)| a <= b);
    let deadline =
        completed.map(|at| Instant::from_unix_millis(at.unix_millis().saturating_add(CLOCKS_APART)));
    let disorder = if !are_ordered(started, completed) {
        Some("the work was completed before it was started")
    } else if attested.zip(until).is_some_and(|(from, until)| from >= until) {
        Some("the attestation's window is empty")
    } else if !are_ordered(ordered, deadline) {
        Some("the job was written after the work was completed")
    } else {
        None
    };
    examination.ask_saying(Check::TimesInOrder, Some(disorder.is_none()), Code::XTimeOrder, || {
        disorder.unwrap_or_default().to_owned()
    });

    let window =
        attested.zip(until).map(|(from, until)| until.unix_millis().saturating_sub(from.unix_millis()));
    let is_short = window.map(|window| window <= LONGEST_WINDOW);
    examination.ask(Check::AttestationWindow, is_short, Code::XAttestationWindowTooLong);
}

fn forms(examination: &mut Examination, case: &Case<'_>) {
    // That the network's own unit has two letters is excused in a receipt. A job that counts in it breaks its lexicon.
    let job = case.job.form.breach.clone().or_else(|| {
        let place = case.job.form.short_currency.as_deref()?;
        Some(format!("{place}: expected at least 3 bytes, found 2"))
    });
    for (check, breach, code) in [
        (Check::JobForm, job.as_ref(), Code::XJobLexiconInvalid),
        (Check::AttestationForm, case.attestation.form.breach.as_ref(), Code::XAttestationLexiconInvalid),
    ] {
        examination.ask_saying(check, Some(breach.is_none()), code, || breach.cloned().unwrap_or_default());
    }
}

fn hashes(examination: &mut Examination, case: &Case<'_>) {
    let receipt = &case.receipt.body;
    let params = receipt.map.map("params");
    let own = Some(&receipt.map);
    let present = [
        member(own, "outputCipherCommitment"),
        member(own, "reasoningCommitment"),
        member(own, "sessionKeyCommitment"),
        member(params, "outputSchemaHash"),
        member(params, "toolSchemaHash"),
    ];
    let mut present = present.into_iter().flatten().peekable();
    if present.peek().is_none() {
        examination.not_applicable(Check::CommitmentShapes);
    } else {
        let misshapen = present.find(|(_, text)| !text.is_some_and(is_sha256_hex));
        examination.ask_saying(
            Check::CommitmentShapes,
            Some(misshapen.is_none()),
            Code::XCommitmentShape,
            || {
                misshapen.map_or_else(String::new, |(name, found)| {
                    format!("expected 64 lower-case hex digits in {name}, found {}", shown(found))
                })
            },
        );
    }
    let holds = match (receipt.has("sessionKeyCommitment"), receipt.has("sessionNonce")) {
        (false, false) => None,
        (commitment, nonce) => Some(commitment == nonce),
    };
    examination.ask(Check::SessionMembers, holds, Code::XSessionFieldsIncomplete);
}

/// A member that is there, with its text if it is text.
fn member<'a>(map: Option<&Map<'a>>, name: &'static str) -> Option<(&'static str, Option<&'a str>)> {
    map?.get(name).map(|value| (name, value.as_text()))
}

fn claims(examination: &mut Examination, case: &Case<'_>) {
    let claims = case.receipt.body.text("tier") == Some("attested-confidential");
    examination.ask(Check::TierClaim, claims.then_some(case.confidential), Code::XTierOverclaimed);
}
