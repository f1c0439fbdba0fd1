//! A broker's witness to a receipt, judged by the documents that are in evidence.
//!
//! A receipt, evidence and terms enter; whether a trusted broker was witness leaves. Deliberately absent: a replay of the
//! witness's nonce, which only other receipts can show.

use super::body::{Body, excerpt};
use super::brokerage::{Countersignature, verify_countersignature};
use super::canonical::Canonical;
use super::check::{Check, Examination};
use super::evidence::{Document, Evidence};
use super::{Code, Terms};
use crate::syntax::Did;

/// What became of a countersignature, and the document it was judged by.
pub(super) struct Countersigned<'e> {
    outcome: Countersignature<'e>,
    document: Option<(&'e str, &'e Document)>,
}

impl<'e> Countersigned<'e> {
    pub(super) fn of(receipt: &Body<'e>, evidence: &'e Evidence, terms: &Terms) -> Self {
        if !receipt.has("brokerageCountersignature") {
            return Self { outcome: Countersignature::Absent, document: None };
        }
        let key_of = |authority: &str| evidence.document(authority)?.broker_key().copied();
        let brokers: Vec<&str> = terms.brokerages.iter().map(Did::as_str).collect();
        let outcome = verify_countersignature(&receipt.map, &brokers, key_of, &mut Canonical::new());
        let authority = match outcome {
            Countersignature::Absent => None,
            Countersignature::Valid { authority, .. } => Some(authority),
            Countersignature::Refused { authority, .. } => {
                authority.filter(|authority| terms.trusts(authority))
            }
        };
        let document = authority.and_then(|authority| Some((authority, evidence.document(authority)?)));
        Self { outcome, document }
    }

    pub(super) const fn is_trusted(&self) -> bool {
        matches!(self.outcome, Countersignature::Valid { .. })
    }

    /// The broker that was witness.
    pub(super) fn authority(&self) -> Option<Did> {
        match self.outcome {
            Countersignature::Valid { authority, .. } => authority.parse().ok(),
            Countersignature::Absent | Countersignature::Refused { .. } => None,
        }
    }

    pub(super) fn tell(&self, examination: &mut Examination) {
        let code = Code::BrokerageCountersignatureInvalid;
        match &self.outcome {
            Countersignature::Absent => examination.not_applicable(Check::Countersignature),
            Countersignature::Valid { .. } => examination.passed(Check::Countersignature),
            Countersignature::Refused { authority, fault } => {
                let whom = excerpt(authority.unwrap_or("nobody"));
                examination.failed_saying(Check::Countersignature, code, format!("{fault}: {whom}"));
            }
        }
    }

    /// What the existing verifier does not look at.
    pub(super) fn tell_more(&self, examination: &mut Examination) {
        let is_own = self.document.map(|(authority, document)| document.is_about(authority));
        examination.ask(Check::AuthorityDocument, is_own, Code::XDidDocumentMismatch);
    }

    /// Whose witness a receipt carries, and the text that is to be used once.
    pub(super) fn nonce(receipt: &Body<'e>) -> Option<(&'e str, &'e str)> {
        let countersignature = receipt.map.map("brokerageCountersignature")?;
        Some((countersignature.text("authority")?, countersignature.text("nonce")?))
    }
}
