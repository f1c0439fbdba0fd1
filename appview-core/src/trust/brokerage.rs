//! A broker's witness to a receipt: that the machine was one of its own when the job was sent there.
//!
//! A receipt enters, with the brokers that are trusted and the key of the one that it names; whether the receipt is
//! confidential leaves. Deliberately absent: resolving the broker. What the broker signs says nothing about the work: not
//! the reply, not the price, not even that there was one. A provider's own signature must be checked beside it.

use super::canonical::{Canonical, CanonicalError};
use super::encoding::{Encoding, Octets};
use super::p256::{Key, Signature};
use crate::block::{Map, Value};

/// The broker that is trusted unless an operator says otherwise.
pub const DEFAULT_BROKER: &str = "did:web:advisor.cocore.dev";

/// Why a countersignature proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerageFault {
    /// The broker is none of those that are trusted.
    #[error("the broker is not trusted")]
    UntrustedAuthority,
    /// Something that must be signed is missing, or the signature is.
    #[error("a member that the broker signs is missing")]
    MissingBoundField,
    /// Nobody knows the broker's key.
    #[error("the broker's key is not known")]
    UnresolvableKey,
    /// Bytes that are no signature.
    #[error("the broker's signature is malformed")]
    SignatureMalformed,
    /// Another message, or another key.
    #[error("the broker's signature does not match its key")]
    SignatureInvalid,
}

impl BrokerageFault {
    /// The word that other verifiers use for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UntrustedAuthority => "untrusted-authority",
            Self::MissingBoundField => "missing-bound-field",
            Self::UnresolvableKey => "unresolvable-key",
            Self::SignatureMalformed => "signature-malformed",
            Self::SignatureInvalid => "signature-invalid",
        }
    }
}

/// What became of a receipt's countersignature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Countersignature<'a> {
    /// There is none: the receipt claims no confidentiality.
    Absent,
    /// A trusted broker was witness.
    Valid {
        /// The broker's DID.
        authority: &'a str,
        /// How faithfully the signature is encoded.
        encoding: Encoding,
    },
    /// It proves nothing.
    Refused {
        /// The DID that it names, if it names one.
        authority: Option<&'a str>,
        /// Why.
        fault: BrokerageFault,
    },
}

/// What a broker signs: seven texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Witness<'a> {
    /// The broker's DID.
    pub authority: &'a str,
    /// The URI of the machine's attestation; its CID is not signed.
    pub attestation: &'a str,
    /// The CID of the job.
    pub job_cid: &'a str,
    /// The URI of the job.
    pub job_uri: &'a str,
    /// The broker's name for the machine.
    pub machine_id: &'a str,
    /// Hex text, used once.
    pub nonce: &'a str,
    /// The DID that the work is for.
    pub requester: &'a str,
}

impl<'a> Witness<'a> {
    /// What the countersignature of a receipt must be over, if all of it is there.
    #[must_use]
    pub fn of(receipt: &Map<'a>) -> Option<Self> {
        let text = |body: &Map<'a>, member| body.text(member).filter(|text| !text.is_empty());
        let countersignature = receipt.map("brokerageCountersignature")?;
        let (job, attestation) = (receipt.map("job")?, receipt.map("attestation")?);
        Some(Self {
            authority: text(countersignature, "authority")?,
            attestation: text(attestation, "uri")?,
            job_cid: text(job, "cid")?,
            job_uri: text(job, "uri")?,
            machine_id: text(countersignature, "machineId")?,
            nonce: text(countersignature, "nonce")?,
            requester: text(receipt, "requester")?,
        })
    }

    /// The bytes that are signed.
    ///
    /// # Errors
    ///
    /// None that text can cause.
    pub fn message<'c>(&self, canonical: &'c mut Canonical) -> Result<&'c [u8], CanonicalError> {
        let members = Map::from_entries(vec![
            ("authority", Value::Text(self.authority)),
            ("attestation", Value::Text(self.attestation)),
            ("jobCid", Value::Text(self.job_cid)),
            ("jobUri", Value::Text(self.job_uri)),
            ("machineId", Value::Text(self.machine_id)),
            ("nonce", Value::Text(self.nonce)),
            ("requester", Value::Text(self.requester)),
        ]);
        canonical.record(&members, &[])
    }
}

/// The DID of the broker that a receipt names as its witness.
#[must_use]
pub fn authority_of<'a>(receipt: &Map<'a>) -> Option<&'a str> {
    receipt.map("brokerageCountersignature")?.text("authority")
}

/// Checks the countersignature of a receipt.
///
/// `key_of` is asked for the key of a broker that is among `trusted`, and for no other.
#[must_use]
pub fn verify_countersignature<'a>(
    receipt: &Map<'a>,
    trusted: &[impl AsRef<str>],
    key_of: impl FnOnce(&str) -> Option<[u8; 64]>,
    canonical: &mut Canonical,
) -> Countersignature<'a> {
    if matches!(receipt.get("brokerageCountersignature"), None | Some(Value::Null)) {
        return Countersignature::Absent;
    }
    let authority = authority_of(receipt);
    match verify(receipt, authority, trusted, key_of, canonical) {
        Ok((authority, encoding)) => Countersignature::Valid { authority, encoding },
        Err(fault) => Countersignature::Refused { authority, fault },
    }
}

fn verify<'a>(
    receipt: &Map<'a>,
    authority: Option<&'a str>,
    trusted: &[impl AsRef<str>],
    key_of: impl FnOnce(&str) -> Option<[u8; 64]>,
    canonical: &mut Canonical,
) -> Result<(&'a str, Encoding), BrokerageFault> {
    let authority = authority
        .filter(|authority| trusted.iter().any(|trusted| trusted.as_ref() == *authority))
        .ok_or(BrokerageFault::UntrustedAuthority)?;
    let witness = Witness::of(receipt).ok_or(BrokerageFault::MissingBoundField)?;
    let signature = receipt.map("brokerageCountersignature").map(|member| Octets::at(member, "sig"));
    if matches!(signature, None | Some(Octets::Absent)) {
        return Err(BrokerageFault::MissingBoundField);
    }
    let key = key_of(authority).ok_or(BrokerageFault::UnresolvableKey)?;
    let Some(Octets::Bytes(der, outer)) = signature else {
        return Err(BrokerageFault::SignatureMalformed);
    };
    let (signature, inner) = Signature::from_der(&der).map_err(|_| BrokerageFault::SignatureMalformed)?;
    let invalid = BrokerageFault::SignatureInvalid;
    let key = Key::from_point(&key).map_err(|_| invalid)?;
    let message = witness.message(canonical).map_err(|_| invalid)?;
    key.verify(message, &signature).map_err(|_| invalid)?;
    Ok((authority, outer.max(inner)))
}
