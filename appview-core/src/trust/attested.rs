//! What an attestation proves by itself, whoever refers to it.
//!
//! One attestation and the terms of a verifier enter; whose key it holds, whether that key signed it, and what the
//! manufacturer vouches for leave. All of it is a function of the attestation's bytes and the terms, so that it can be kept
//! under its CID. Evidence is judged at the attestation's own `attestedAt`, never by a clock: a verdict on a receipt that
//! does not change would otherwise decay with the certificates. Deliberately absent: receipts.

use super::app_attest::verify_app_attestation;
use super::body::{Body, Form};
use super::canonical::Canonical;
use super::chain::{ChainError, Deviation};
use super::check::{Check, Examination};
use super::encoding::{Encoding, Octets};
use super::exhibit::Exhibit;
use super::mda::verify_device_attestation;
use super::signature::{AttestationForm, SelfSignature, SigScheme, Signer, verify_self_signature};
use super::{Code, Instant, Terms, TrustLevel};
use crate::record::Collection;

/// What the manufacturer's evidence comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Voucher {
    /// There is none, or another one made it needless.
    None,
    /// It vouches for the key.
    Bound { until: Instant, deviation: Option<Deviation> },
    /// It does not.
    Fails { code: Code, message: String },
}

/// What an attestation proves.
#[derive(Debug, Clone)]
pub(super) struct Attested {
    pub(super) signer: Signer,
    pub(super) form: Form,
    pub(super) own: SelfSignature,
    app_attest: Voucher,
    chain: Voucher,
}

impl Attested {
    pub(super) fn examine(exhibit: &Exhibit, body: &mut Body<'_>, terms: &Terms) -> Self {
        let form = Form::of(&terms.catalog, Collection::Attestation, exhibit, body);
        let signer = Signer::of(&body.map);
        let own = verify_self_signature(&body.map, &signer, &terms.apple.app, &mut Canonical::new());
        let app_attest = app_attest(body, &signer, terms);
        let chain = match app_attest {
            Voucher::Bound { .. } => Voucher::None,
            Voucher::None | Voucher::Fails { .. } => chain(body, &signer, terms),
        };
        Self { signer, form, own, app_attest, chain }
    }

    pub(super) fn trust_level(&self) -> TrustLevel {
        match self.relied_on() {
            Some(_) => TrustLevel::HardwareAttested,
            None => TrustLevel::SelfAttested,
        }
    }

    /// Until when the evidence holds that makes it attested by hardware.
    pub(super) fn until(&self) -> Option<Instant> {
        self.relied_on().map(|(until, _)| until)
    }

    fn relied_on(&self) -> Option<(Instant, Option<Deviation>)> {
        [&self.app_attest, &self.chain].into_iter().find_map(|voucher| match voucher {
            Voucher::Bound { until, deviation } => Some((*until, *deviation)),
            Voucher::None | Voucher::Fails { .. } => None,
        })
    }

    pub(super) fn tell_signature(&self, examination: &mut Examination) {
        match &self.own {
            SelfSignature::Valid { .. } => examination.passed(Check::SelfSignature),
            SelfSignature::Absent => examination.failed(Check::SelfSignature, Code::AttestationUnsigned),
            SelfSignature::Invalid(fault) => {
                examination.failed_saying(
                    Check::SelfSignature,
                    Code::AttestationSelfsigInvalid,
                    format!("{}: {fault}", Code::AttestationSelfsigInvalid.meaning()),
                );
            }
        }
    }

    pub(super) fn tell_hardware(&self, examination: &mut Examination) {
        for (check, voucher) in
            [(Check::AppAttest, &self.app_attest), (Check::DeviceAttestation, &self.chain)]
        {
            match voucher {
                Voucher::None => examination.not_applicable(check),
                Voucher::Bound { .. } => examination.passed(check),
                Voucher::Fails { code, message } => examination.failed_saying(check, *code, message.clone()),
            }
        }
    }

    /// What the existing verifier does not look at. `encoding` is that of the receipt's signature, if it holds.
    pub(super) fn tell_more(&self, examination: &mut Examination, encoding: Option<Encoding>, now: Instant) {
        let (own, form) = match self.own {
            SelfSignature::Valid { form, encoding } => (Some(encoding), Some(form)),
            SelfSignature::Absent | SelfSignature::Invalid(_) => (None, None),
        };
        let worst = own.max(encoding);
        examination.ask(
            Check::SignatureEncodings,
            worst.map(|worst| worst == Encoding::Strict),
            Code::XSignatureEncoding,
        );
        let is_as_written = form.map(|form| form == AttestationForm::AsWritten);
        examination.ask(Check::SignedForm, is_as_written, Code::XAttestationLegacyForm);
        let is_known = self.signer.scheme() != SigScheme::Unknown;
        examination.ask(Check::SignatureScheme, Some(is_known), Code::XSigSchemeUnknown);

        let relied_on = self.relied_on();
        let lasts = relied_on.map(|(until, _)| now <= until);
        examination.ask(Check::EvidenceCurrent, lasts, Code::XHardwareEvidenceExpired);
        let deviation = relied_on.map(|(_, deviation)| deviation);
        examination.ask_saying(
            Check::EvidenceStrict,
            deviation.map(|deviation| deviation.is_none()),
            Code::XChainNotStrict,
            || deviation.flatten().map_or_else(String::new, |deviation| deviation.to_string()),
        );
    }
}

fn fails(code: Code, why: impl std::fmt::Display) -> Voucher {
    Voucher::Fails { code, message: format!("{}: {why}", code.meaning()) }
}

fn app_attest(body: &Body<'_>, signer: &Signer, terms: &Terms) -> Voucher {
    let code = Code::AppattestNotBound;
    let has_object = body.map.map("appAttest").is_some_and(|evidence| {
        ["object", "keyId"].iter().all(|member| Octets::at(evidence, member) != Octets::Absent)
    });
    if !has_object {
        return Voucher::None;
    }
    let Some(at) = body.instant("attestedAt") else { return fails(code, "attestedAt cannot be read") };
    let key = match signer.key() {
        Ok(key) => key,
        Err(fault) => return fails(code, fault),
    };
    match verify_app_attestation(&body.map, key, &terms.apple, at) {
        None => Voucher::None,
        Some(Ok(proven)) => {
            Voucher::Bound { until: proven.validity.until, deviation: proven.deviations.first().copied() }
        }
        Some(Err(error)) => fails(code, error),
    }
}

fn chain(body: &Body<'_>, signer: &Signer, terms: &Terms) -> Voucher {
    let at = body.instant("attestedAt");
    // Without an instant the chain is read all the same, at one at which none is valid.
    let judged_at = at.unwrap_or(Instant::from_unix_millis(i64::MIN));
    match verify_device_attestation(&body.map, &terms.apple, judged_at) {
        None => Voucher::None,
        Some(Err(error)) => fails(code_of(error), error),
        Some(Ok(proven)) => match signer.key() {
            Ok(key) if proven.is_bound_to(key) => {
                Voucher::Bound { until: proven.validity.until, deviation: proven.deviations.first().copied() }
            }
            Ok(_) => fails(Code::MdaNotBound, "the certificates are about another key"),
            Err(fault) => fails(Code::MdaNotBound, fault),
        },
    }
}

const fn code_of(error: ChainError) -> Code {
    match error {
        ChainError::Empty => Code::MdaEmptyChain,
        ChainError::Parse { .. } => Code::MdaParse,
        ChainError::BadTrustAnchor => Code::MdaBadTrustAnchor,
        ChainError::NotValid { .. } => Code::MdaNotValid,
        ChainError::BadSignature { .. } => Code::MdaBadSignature,
        ChainError::BadDer { .. } => Code::MdaBadDer,
        ChainError::LeafIsCa => Code::MdaLeafIsCa,
        ChainError::NonCaIssuer { .. } => Code::MdaNonCaIssuer,
    }
}
