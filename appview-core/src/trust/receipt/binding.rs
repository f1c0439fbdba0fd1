//! Receipt, job and attestation side by side: the network's common checks of what they say.
//!
//! Three bodies enter, and an examination goes on. A comparison with a member that is missing fails, but where the receipt
//! itself lacks the object: that it breaks its lexicon is said elsewhere. Deliberately absent: signatures.

use crate::trust::body::{Body, is_sha256_hex, shown};
use crate::trust::check::{Check, Examination};
use crate::trust::{Code, Instant};

pub(super) fn examine(
    examination: &mut Examination,
    receipt: &Body<'_>,
    job: &Body<'_>,
    attestation: &Body<'_>,
) {
    commitments(examination, receipt, job);
    price(examination, receipt, job);
    pro_bono(examination, receipt);
    times(examination, receipt, job, attestation);
}

fn commitments(examination: &mut Examination, receipt: &Body<'_>, job: &Body<'_>) {
    for (check, member, code) in [
        (Check::InputCommitmentShape, "inputCommitment", Code::InputCommitmentShape),
        (Check::OutputCommitmentShape, "outputCommitment", Code::OutputCommitmentShape),
    ] {
        let found = receipt.text(member);
        examination.ask_saying(check, Some(found.is_some_and(is_sha256_hex)), code, || {
            format!("expected 64 lower-case hex digits in {member}, found {}", shown(found))
        });
    }
    for (check, member, code) in [
        (Check::SameInput, "inputCommitment", Code::CommitmentMismatch),
        (Check::SameModel, "model", Code::ModelMismatch),
    ] {
        let (found, ordered) = (receipt.text(member), job.text(member));
        let holds = found.is_some() && found == ordered;
        examination.ask_saying(check, Some(holds), code, || {
            format!("expected the job's {member}, {}, found {}", shown(ordered), shown(found))
        });
    }
}

fn price(examination: &mut Examination, receipt: &Body<'_>, job: &Body<'_>) {
    let (Some(price), ceiling) = (receipt.money("price"), job.money("priceCeiling")) else {
        examination.not_applicable(Check::SameCurrency);
        return examination.not_applicable(Check::PriceWithinCeiling);
    };
    let Some(ceiling) = ceiling.filter(|ceiling| price.is_in_currency_of(ceiling)) else {
        let ordered = ceiling.map_or_else(|| "none".to_owned(), |ceiling| ceiling.shown());
        let message = format!("the price is {}, the job's ceiling {ordered}", price.shown());
        examination.failed_saying(Check::SameCurrency, Code::CurrencyMismatch, message);
        return examination.not_applicable(Check::PriceWithinCeiling);
    };
    examination.passed(Check::SameCurrency);
    let holds = price.amount.map(|amount| ceiling.amount.is_some_and(|ceiling| amount <= ceiling));
    examination.ask_saying(Check::PriceWithinCeiling, holds, Code::PriceOverCeiling, || {
        format!("the price is {}, the job's ceiling {}", price.shown(), ceiling.shown())
    });
}

fn pro_bono(examination: &mut Examination, receipt: &Body<'_>) {
    let claims = receipt.is_true("proBono");
    let price = receipt.money("price").filter(|_| claims);
    examination.ask(Check::ProBonoPrice, price.map(|price| price.is_zero()), Code::ProBonoNonzeroPrice);
    let tokens = receipt.map.map("tokens").filter(|_| claims);
    let are_zero = tokens.map(|tokens| ["in", "out"].iter().all(|count| tokens.integer(count) == Some(0)));
    examination.ask(Check::ProBonoTokens, are_zero, Code::ProBonoNonzeroTokens);
}

fn times(examination: &mut Examination, receipt: &Body<'_>, job: &Body<'_>, attestation: &Body<'_>) {
    let completed = receipt.instant("completedAt");
    let until = |expiry: Option<Instant>| {
        completed.zip(expiry).is_some_and(|(completed, expiry)| completed <= expiry)
    };
    let in_time = until(job.instant("expiresAt"));
    examination.ask_saying(Check::JobInTime, Some(in_time), Code::JobExpired, || {
        format!(
            "completed at {}, the job expired at {}",
            shown(receipt.text("completedAt")),
            shown(job.text("expiresAt"))
        )
    });
    let begun =
        attestation.instant("attestedAt").zip(completed).is_some_and(|(from, completed)| from <= completed);
    let in_window = begun && until(attestation.instant("expiresAt"));
    examination.ask_saying(Check::AttestationInTime, Some(in_window), Code::AttestationStale, || {
        format!(
            "completed at {}, the attestation holds from {} to {}",
            shown(receipt.text("completedAt")),
            shown(attestation.text("attestedAt")),
            shown(attestation.text("expiresAt"))
        )
    });
}
