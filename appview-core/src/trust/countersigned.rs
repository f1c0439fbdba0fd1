//! A broker's witness to a receipt, judged by the documents that are in evidence.
//!
//! A receipt, evidence and terms enter; whether a trusted broker was witness leaves. Deliberately absent: a replay of the
//! witness's nonce, which only other receipts can show.

use super::body::{Body, excerpt};
use super::brokerage::{BrokerageFault, Countersignature, authority_of, verify_countersignature};
use super::canonical::Canonical;
use super::check::{Check, Examination};
use super::evidence::{Document, Evidence, Origin};
use super::{Code, Terms};
use crate::syntax::Did;

/// What became of a countersignature, and the document it was judged by.
pub(super) struct Countersigned<'e> {
    outcome: Countersignature<'e>,
    document: Option<(Origin, &'e Document)>,
    /// Why there is none, for people.
    lack: &'static str,
}

impl<'e> Countersigned<'e> {
    pub(super) fn of(receipt: &Body<'e>, evidence: &'e Evidence, terms: &'e Terms) -> Self {
        if !receipt.has("brokerageCountersignature") {
            return Self { outcome: Countersignature::Absent, document: None, lack: "" };
        }
        let brokers: Vec<&str> = terms.brokerages.iter().map(Did::as_str).collect();
        let by = |document: Option<(Origin, &'e Document)>| {
            let key_of = |_: &str| document?.1.broker_key().copied();
            verify_countersignature(&receipt.map, &brokers, key_of, &mut Canonical::new())
        };
        let authority = authority_of(&receipt.map).filter(|authority| terms.trusts(authority));
        let Some(authority) = authority else {
            return Self { outcome: by(None), document: None, lack: "" };
        };
        let lack = evidence.lack_of(authority);
        // The best document decides how it fails. One of another time may still have the key.
        let mut first = None;
        for document in evidence.documents_of(authority, receipt.instant("completedAt"), terms) {
            let judged = Self { outcome: by(Some(document)), document: Some(document), lack };
            if judged.is_trusted() {
                return judged;
            }
            first = first.or(Some(judged));
        }
        first.unwrap_or_else(|| Self { outcome: by(None), document: None, lack })
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
            Countersignature::Refused { authority, fault: BrokerageFault::UnresolvableKey }
                if self.document.is_none() =>
            {
                let whom = excerpt(authority.unwrap_or("nobody"));
                let message = format!("the broker's key is not known: {whom}, {}", self.lack);
                examination.undecided(Check::Countersignature, code, message);
            }
            Countersignature::Refused { authority, fault } => {
                let whom = excerpt(authority.unwrap_or("nobody"));
                examination.failed_saying(Check::Countersignature, code, format!("{fault}: {whom}"));
            }
        }
    }

    /// What the existing verifier does not look at.
    pub(super) fn tell_more(&self, examination: &mut Examination) {
        let authority = match self.outcome {
            Countersignature::Absent => None,
            Countersignature::Valid { authority, .. } => Some(authority),
            Countersignature::Refused { authority, .. } => authority,
        };
        let judged_by = authority.zip(self.document);
        let is_own = judged_by.map(|(authority, (_, document))| document.is_about(authority));
        examination.ask(Check::AuthorityDocument, is_own, Code::XDidDocumentMismatch);
        let judged_by = judged_by.filter(|_| self.is_trusted());
        let signed_by = judged_by.map(|(authority, (origin, _))| (authority, origin));
        current(examination, Check::AuthorityCurrent, signed_by);
    }

    /// Whose witness a receipt carries, and the text that is to be used once.
    pub(super) fn nonce(receipt: &Body<'e>) -> Option<(&'e str, &'e str)> {
        let countersignature = receipt.map.map("brokerageCountersignature")?;
        Some((countersignature.text("authority")?, countersignature.text("nonce")?))
    }
}

/// Asks whether the key by which somebody's signature was found good is of their present document; of nobody's, nothing.
pub(super) fn current(examination: &mut Examination, check: Check, signed_by: Option<(&str, Origin)>) {
    let Some((did, origin)) = signed_by else { return examination.not_applicable(check) };
    let what = match origin {
        Origin::Pinned | Origin::Resolved => return examination.passed(check),
        Origin::Remembered { until: None } | Origin::Claimed => {
            "that was seen last, for want of the present one"
        }
        Origin::Remembered { until: Some(_) } => "that it has replaced since",
    };
    let message = format!("the key is of a document of {} {what}", excerpt(did));
    examination.failed_saying(check, Code::XAuthorityKeyFormer, message);
}
