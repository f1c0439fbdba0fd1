//! App Attest: that a key lives in the Secure Enclave of a machine that runs the agent.
//!
//! An attestation object enters, with the identifier and the signing key that it must speak of; what it attests leaves.
//! Deliberately absent: the receipt inside the object and the count of signatures, which prove nothing offline.

use x509_cert::der::asn1::ObjectIdentifier;

use super::apple::{Apple, Environment};
use super::chain::{self, ChainError, Deviation, Validity};
use super::encoding::Octets;
use super::instant::Instant;
use super::p256::Key;
use super::subset::{self, Item};
use crate::block::Map;
use crate::block::cid::sha256;

const NONCE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113635.100.8.2");

/// `SEQUENCE { [1] EXPLICIT OCTET STRING }` before its 32 bytes.
const NONCE_HEAD: [u8; 6] = [0x30, 0x24, 0xa1, 0x22, 0x04, 0x20];

const PRODUCTION: [u8; 16] = *b"appattest\0\0\0\0\0\0\0";
const DEVELOPMENT: [u8; 16] = *b"appattestdevelop";

/// The flag of authenticator data that a credential follows.
const HAS_CREDENTIAL: u8 = 0x40;

/// Why an attestation object proves nothing. In the order in which it is examined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppAttestError {
    /// Bytes that are not the CBOR of an attestation object.
    #[error("the attestation object cannot be read")]
    Cbor,
    /// An attestation of another format.
    #[error("the attestation object is not of the format apple-appattest")]
    BadFormat,
    /// No certificates, a key of another curve, or the hash of another app.
    #[error("the attestation object has another shape or is another app's")]
    Shape,
    /// Its certificates prove nothing.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// The leaf has no nonce.
    #[error("the leaf has no nonce")]
    NoNonceExtension,
    /// The leaf's nonce has another form.
    #[error("the leaf's nonce is malformed")]
    BadNonceExtension,
    /// The nonce is not over this object and this signing key.
    #[error("the nonce is that of another object or another signing key")]
    NonceMismatch,
    /// Authenticator data that ends early.
    #[error("the authenticator data is too short")]
    ShortAuthData,
    /// Authenticator data without a credential.
    #[error("the authenticator data has no attested credential")]
    NoAttestedCredentialData,
    /// A key of an environment that is not believed.
    #[error("the key is not one of a shipped app")]
    BadAaguid,
    /// The credential is not the attested key.
    #[error("the credential is not the attested key")]
    CredIdMismatch,
    /// The identifier is not that of the attested key.
    #[error("the key identifier is not the attested key's")]
    KeyIdMismatch,
}

impl AppAttestError {
    /// The word that other verifiers use for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cbor => "cbor",
            Self::BadFormat => "bad-fmt",
            Self::Shape => "shape",
            Self::Chain(error) => error.as_str(),
            Self::NoNonceExtension => "no-nonce-extension",
            Self::BadNonceExtension => "bad-nonce-extension",
            Self::NonceMismatch => "nonce-mismatch",
            Self::ShortAuthData => "short-auth-data",
            Self::NoAttestedCredentialData => "no-attested-credential-data",
            Self::BadAaguid => "bad-aaguid",
            Self::CredIdMismatch => "cred-id-mismatch",
            Self::KeyIdMismatch => "key-id-mismatch",
        }
    }
}

/// Where the signing key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Residency {
    /// In the enclave: it is the attested key itself.
    Enclave,
    /// Anywhere: the attested key vouches for it.
    VouchedFor,
}

/// What a proven attestation object says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppAttestation {
    /// The key in the enclave.
    pub key: Key,
    /// SHA-256 of the App ID.
    pub app: [u8; 32],
    /// The environment's identifier.
    pub aaguid: [u8; 16],
    /// Where the signing key is.
    pub residency: Residency,
    /// When all certificates hold.
    pub validity: Validity,
    /// Rules that the object breaks although it verifies.
    pub deviations: Vec<Deviation>,
}

/// Proves an attestation object, and that it speaks of the signing key.
///
/// # Errors
///
/// [`AppAttestError`].
pub fn verify_app_attest(
    object: &[u8],
    key_id: &[u8],
    signing_key: &Key,
    apple: &Apple,
    at: Instant,
) -> Result<AppAttestation, AppAttestError> {
    let (item, mut deviations) = subset::read(object).ok_or(AppAttestError::Cbor)?;
    let object = Object::of(&item).ok_or(AppAttestError::Cbor)?;
    if object.format != "apple-appattest" {
        return Err(AppAttestError::BadFormat);
    }
    if object.chain.is_empty() {
        return Err(AppAttestError::Shape);
    }
    let chain = chain::verify(&object.chain, &apple.app_attest_root, at)?;
    let nonce = chain.leaf.extension(&NONCE).ok_or(AppAttestError::NoNonceExtension)?;
    let nonce = nonce.strip_prefix(&NONCE_HEAD).filter(|nonce| nonce.len() == 32);
    let nonce = nonce.ok_or(AppAttestError::BadNonceExtension)?;
    if nonce != sha256(&[object.auth_data, &signing_key.digest()].concat()) {
        return Err(AppAttestError::NonceMismatch);
    }
    let key = chain.leaf.key().map_err(|_| AppAttestError::Shape)?;
    let auth_data = AuthData::read(object.auth_data)?;
    if auth_data.app != apple.app.hash() {
        return Err(AppAttestError::Shape);
    }
    let is_believed = match apple.environment {
        Environment::Production => *auth_data.aaguid == PRODUCTION,
        Environment::Development => [PRODUCTION, DEVELOPMENT].contains(auth_data.aaguid),
    };
    if !is_believed {
        return Err(AppAttestError::BadAaguid);
    }
    if auth_data.credential != key.id() {
        return Err(AppAttestError::CredIdMismatch);
    }
    if key_id != key.id() {
        return Err(AppAttestError::KeyIdMismatch);
    }
    deviations.extend(chain.deviations);
    Ok(AppAttestation {
        residency: if key == *signing_key { Residency::Enclave } else { Residency::VouchedFor },
        key,
        app: *auth_data.app,
        aaguid: *auth_data.aaguid,
        validity: chain.validity,
        deviations,
    })
}

/// Proves the App Attest object of an attestation; nothing if it has none, or an empty one.
///
/// What is no bytes at all is an object that cannot be read.
///
/// # Errors
///
/// [`AppAttestError`].
pub fn verify_app_attestation(
    attestation: &Map<'_>,
    signing_key: &Key,
    apple: &Apple,
    at: Instant,
) -> Option<Result<AppAttestation, AppAttestError>> {
    let evidence = attestation.map("appAttest")?;
    let (object, key_id) = (Octets::at(evidence, "object"), Octets::at(evidence, "keyId"));
    if object == Octets::Absent || key_id == Octets::Absent {
        return None;
    }
    let (object, key_id) = (object.bytes().unwrap_or_default(), key_id.bytes().unwrap_or_default());
    Some(verify_app_attest(object, key_id, signing_key, apple, at))
}

/// The members of an attestation object that matter.
struct Object<'a> {
    format: &'a str,
    chain: Vec<&'a [u8]>,
    auth_data: &'a [u8],
}

impl<'a> Object<'a> {
    fn of(item: &Item<'a>) -> Option<Self> {
        let Item::Text(format) = item.get("fmt")? else { return None };
        let Item::List(chain) = item.get("attStmt")?.get("x5c")? else { return None };
        let chain = chain.iter().map(Item::as_bytes).collect::<Option<Vec<_>>>()?;
        Some(Self { format, chain, auth_data: item.get("authData")?.as_bytes()? })
    }
}

/// Authenticator data up to its credential; what follows is not looked at.
struct AuthData<'a> {
    app: &'a [u8; 32],
    aaguid: &'a [u8; 16],
    credential: &'a [u8],
}

impl<'a> AuthData<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, AppAttestError> {
        let short = AppAttestError::ShortAuthData;
        let (app, rest) = bytes.split_first_chunk::<32>().ok_or(short)?;
        let (&[flags, ..], rest) = rest.split_first_chunk::<5>().ok_or(short)?;
        if flags & HAS_CREDENTIAL == 0 {
            return Err(AppAttestError::NoAttestedCredentialData);
        }
        let (aaguid, rest) = rest.split_first_chunk::<16>().ok_or(short)?;
        let (length, rest) = rest.split_first_chunk::<2>().ok_or(short)?;
        let credential = rest.get(..usize::from(u16::from_be_bytes(*length))).ok_or(short)?;
        Ok(Self { app, aaguid, credential })
    }
}
