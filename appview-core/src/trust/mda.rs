//! Managed Device Attestation: what Apple says about a machine.
//!
//! A chain of certificates enters; what its leaf tells of the machine leaves, and whether it speaks of the signing key.
//! Deliberately absent: what follows from it. That System Integrity Protection is off makes a machine no less attested.

use x509_cert::der::asn1::ObjectIdentifier;

use super::apple::Apple;
use super::chain::{self, Certificate, ChainError, Deviation, Validity};
use super::encoding::Octets;
use super::finding::Code;
use super::instant::Instant;
use super::p256::Key;
use crate::block::{Map, Value};

const SUBJECT_SERIAL: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.5");
const SERIAL: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.8.9.1");
const UDID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.8.9.2");
const OS_VERSION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.8.10.1");
const SEP_OS_VERSION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.8.10.2");
const LLB_VERSION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.8.10.3");
const FRESHNESS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.8.11.1");
const SIP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.8.13.1");
const SECURE_BOOT: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.8.13.2");
const THIRD_PARTY_KEXTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.8.13.3");

/// What a proven chain tells of a machine. What it does not tell, or tells in a way that could be read in two, is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceAttestation {
    /// The attested key, if it is one of P-256.
    pub key: Option<Key>,
    /// The serial number.
    pub serial: Option<String>,
    /// The device's identifier.
    pub udid: Option<String>,
    /// The operating system's version.
    pub os_version: Option<String>,
    /// The Secure Enclave's operating system's version.
    pub sep_os_version: Option<String>,
    /// The boot loader's version.
    pub llb_version: Option<String>,
    /// What the agent asked to be included, as the certificate has it.
    pub freshness: Option<Vec<u8>>,
    /// Whether System Integrity Protection is on.
    pub sip: Option<bool>,
    /// Whether Secure Boot is on.
    pub secure_boot: Option<bool>,
    /// Whether kernel extensions of third parties are allowed.
    pub third_party_kexts: Option<bool>,
    /// When all certificates of the chain hold.
    pub validity: Validity,
    /// Rules that the chain breaks although it verifies.
    pub deviations: Vec<Deviation>,
}

impl DeviceAttestation {
    /// Whether the attested key is `key`.
    #[must_use]
    pub fn binds_by_key(&self, key: &Key) -> bool {
        self.key.as_ref() == Some(key)
    }

    /// Whether the agent asked for the hash of `key` to be included.
    #[must_use]
    pub fn binds_by_freshness(&self, key: &Key) -> bool {
        let Some(freshness) = self.freshness.as_deref() else {
            return false;
        };
        // An octet string of 32 bytes, or the bytes themselves.
        let hash = freshness.strip_prefix(&[0x04, 0x20]).filter(|hash| hash.len() == 32);
        hash.unwrap_or(freshness) == key.digest()
    }

    /// Whether it speaks of `key`, in either way.
    #[must_use]
    pub fn is_bound_to(&self, key: &Key) -> bool {
        self.binds_by_key(key) || self.binds_by_freshness(key)
    }

    /// Whether it holds anything that could speak of a key.
    #[must_use]
    pub const fn can_bind(&self) -> bool {
        self.key.is_some() || self.freshness.is_some()
    }

    fn of(leaf: &Certificate<'_>, validity: Validity, deviations: Vec<Deviation>) -> Self {
        let text = |id| leaf.extension(id).and_then(text);
        let flag = |id| leaf.extension(id).and_then(flag);
        Self {
            key: leaf.key().ok(),
            serial: text(&SERIAL).or_else(|| leaf.subject(&SUBJECT_SERIAL).map(str::to_owned)),
            udid: text(&UDID),
            os_version: text(&OS_VERSION),
            sep_os_version: text(&SEP_OS_VERSION),
            llb_version: text(&LLB_VERSION),
            freshness: leaf.extension(&FRESHNESS).map(<[u8]>::to_vec),
            sip: flag(&SIP),
            secure_boot: flag(&SECURE_BOOT),
            third_party_kexts: flag(&THIRD_PARTY_KEXTS),
            validity,
            deviations,
        }
    }
}

/// What is said of a device attestation chain that proves nothing.
impl From<ChainError> for Code {
    fn from(error: ChainError) -> Self {
        match error {
            ChainError::Empty => Self::MdaEmptyChain,
            ChainError::Parse { .. } => Self::MdaParse,
            ChainError::BadTrustAnchor => Self::MdaBadTrustAnchor,
            ChainError::NotValid { .. } => Self::MdaNotValid,
            ChainError::BadSignature { .. } => Self::MdaBadSignature,
            ChainError::BadDer { .. } => Self::MdaBadDer,
            ChainError::LeafIsCa => Self::MdaLeafIsCa,
            ChainError::NonCaIssuer { .. } => Self::MdaNonCaIssuer,
        }
    }
}

/// Proves a chain of certificates, the leaf first, and reads its leaf.
///
/// # Errors
///
/// [`ChainError`].
pub fn verify_device_chain(
    chain: &[&[u8]],
    apple: &Apple,
    at: Instant,
) -> Result<DeviceAttestation, ChainError> {
    let chain = chain::verify(chain, &apple.mda_root, at)?;
    Ok(DeviceAttestation::of(&chain.leaf, chain.validity, chain.deviations))
}

/// Proves the chain of an attestation; nothing if it has none, or an empty one.
///
/// What is no bytes at all is a certificate that cannot be read.
///
/// # Errors
///
/// [`ChainError`].
pub fn verify_device_attestation(
    attestation: &Map<'_>,
    apple: &Apple,
    at: Instant,
) -> Option<Result<DeviceAttestation, ChainError>> {
    let Value::List(items) = attestation.get("mdaCertChain")? else {
        return None;
    };
    let certificates: Vec<Octets<'_>> = items.iter().map(|item| Octets::of(Some(item))).collect();
    let chain: Vec<&[u8]> =
        certificates.iter().map(|certificate| certificate.bytes().unwrap_or_default()).collect();
    (!chain.is_empty()).then(|| verify_device_chain(&chain, apple, at))
}

/// An extension's text: a UTF8String of less than 128 bytes, or the bare bytes.
fn text(value: &[u8]) -> Option<String> {
    let inner = match value {
        [0x0c, length, inner @ ..] if usize::from(*length) == inner.len() && inner.len() < 0x80 => inner,
        _ => value,
    };
    std::str::from_utf8(inner).ok().map(str::to_owned)
}

/// An extension's boolean, if it is exactly one as DER has it.
const fn flag(value: &[u8]) -> Option<bool> {
    match value {
        [0x01, 0x01, 0xff] => Some(true),
        [0x01, 0x01, 0x00] => Some(false),
        _ => None,
    }
}
