//! Public keys of repositories and their signatures.
//!
//! `did:key` text, multibase text or a legacy point enters with a message and a signature; yes or no leaves.
//! Deliberately absent: private keys. Both libraries accept what the protocol forbids in one form or another
//! (aws-lc-rs a high S, and neither minds which curve we meant), so the rules of the protocol are spelled out here.
//!
//! Follows [Cryptography](https://atproto.com/specs/cryptography): 64 bytes, `r` and `s` big-endian, low S only.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};

use crate::block::cid::sha256;

/// Half the order of secp256k1, rounded down: the largest S that is low.
const K256_HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x5d,
    0x57, 0x6e, 0x73, 0x57, 0xa4, 0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0,
];

/// The same of P-256.
const P256_HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0x80, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xde,
    0x73, 0x7d, 0x56, 0xd3, 0x8b, 0xcf, 0x42, 0x79, 0xdc, 0xe5, 0x61, 0x7e, 0x31, 0x92, 0xa8,
];

/// Multicodec prefixes of compressed points, as unsigned varints.
const MULTICODEC_K256: [u8; 2] = [0xe7, 0x01];
const MULTICODEC_P256: [u8; 2] = [0x80, 0x24];

/// Text that names no usable key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not `did:key:z…` or a multibase string in base58btc.
    #[error("expected a key in base58btc multibase, found {found:?}")]
    NotMultibase {
        /// The first characters of what stands there.
        found: String,
    },
    /// A key of a kind that the protocol does not use.
    #[error("expected a secp256k1 or P-256 key, found another kind")]
    UnknownKind,
    /// Bytes that are no point of the curve.
    #[error("expected a point of {curve}")]
    NotAPoint {
        /// The curve that the key claims.
        curve: &'static str,
    },
}

/// Why a signature does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// Not 64 bytes: DER, or cut short.
    #[error("expected a signature of 64 bytes, found {found}")]
    Length {
        /// How many bytes there were.
        found: usize,
    },
    /// The mirrored twin of a valid signature, or another with a high S: malleable, hence forbidden.
    #[error("expected a low S in the signature")]
    HighS,
    /// Some other message, or some other key.
    #[error("the signature does not match the key")]
    Mismatch,
}

/// A key that a repository's commits are signed with; parsed once, cheap to clone.
#[derive(Clone)]
pub enum PublicKey {
    /// secp256k1, called K-256 in the protocol.
    K256(secp256k1::PublicKey),
    /// NIST P-256.
    P256(Arc<ParsedPublicKey>),
}

impl PublicKey {
    /// Reads `did:key:z…`.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn from_did_key(text: &str) -> Result<Self, KeyError> {
        match text.strip_prefix("did:key:") {
            Some(multibase) => Self::from_multikey(multibase),
            None => Err(not_multibase(text)),
        }
    }

    /// Reads a multikey: multibase of a multicodec prefix and a compressed point.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn from_multikey(text: &str) -> Result<Self, KeyError> {
        let bytes = multibase(text)?;
        match bytes.split_first_chunk::<2>() {
            Some((&MULTICODEC_K256, point)) if point.len() == 33 => Self::k256(point),
            Some((&MULTICODEC_P256, point)) if point.len() == 33 => Self::p256(point),
            _ => Err(KeyError::UnknownKind),
        }
    }

    /// Reads the `publicKeyMultibase` of a DID document's verification method of the given type.
    ///
    /// The two legacy types hold a bare point, compressed or not, without a multicodec prefix.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn from_verification_method(kind: &str, text: &str) -> Result<Self, KeyError> {
        match kind {
            "Multikey" => Self::from_multikey(text),
            "EcdsaSecp256k1VerificationKey2019" => Self::k256(&multibase(text)?),
            "EcdsaSecp256r1VerificationKey2019" => Self::p256(&multibase(text)?),
            _ => Err(KeyError::UnknownKind),
        }
    }

    fn k256(point: &[u8]) -> Result<Self, KeyError> {
        secp256k1::PublicKey::from_slice(point)
            .map(Self::K256)
            .map_err(|_| KeyError::NotAPoint { curve: "secp256k1" })
    }

    fn p256(point: &[u8]) -> Result<Self, KeyError> {
        ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .map(|key| Self::P256(Arc::new(key)))
            .map_err(|_| KeyError::NotAPoint { curve: "P-256" })
    }

    /// Checks a signature over `message`, as a repository's must be.
    ///
    /// # Errors
    ///
    /// [`SignatureError`].
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let signature = sized(signature)?;
        let highest = match self {
            Self::K256(_) => K256_HALF_ORDER,
            Self::P256(_) => P256_HALF_ORDER,
        };
        if signature.last_chunk::<32>().is_none_or(|s| *s > highest) {
            return Err(SignatureError::HighS);
        }
        self.verify_either_s(message, signature)
    }

    /// Checks a signature over `message`, whose S may be high: as a token's may be, which is good once however it is written.
    ///
    /// # Errors
    ///
    /// [`SignatureError`].
    pub fn verify_either_s(&self, message: &[u8], signature: &[u8]) -> Result<(), SignatureError> {
        let signature = sized(signature)?;
        match self {
            Self::K256(key) => {
                // The library takes a low S alone.
                let mut low = secp256k1::ecdsa::Signature::from_compact(signature)
                    .map_err(|_| SignatureError::Mismatch)?;
                low.normalize_s();
                let message = secp256k1::Message::from_digest(sha256(message));
                secp256k1::ecdsa::verify(&low, message, key).map_err(|_| SignatureError::Mismatch)
            }
            Self::P256(key) => key.verify_sig(message, signature).map_err(|_| SignatureError::Mismatch),
        }
    }

    /// The compressed point.
    fn point(&self) -> Vec<u8> {
        match self {
            Self::K256(key) => key.serialize().to_vec(),
            Self::P256(key) => compress(key.as_ref().as_ref()),
        }
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::K256(a), Self::K256(b)) => a == b,
            (Self::P256(_), Self::P256(_)) => self.point() == other.point(),
            _ => false,
        }
    }
}

impl Eq for PublicKey {}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let codec = match self {
            Self::K256(_) => MULTICODEC_K256,
            Self::P256(_) => MULTICODEC_P256,
        };
        let bytes = [codec.as_slice(), &self.point()].concat();
        write!(f, "did:key:z{}", bs58::encode(bytes).into_string())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn sized(signature: &[u8]) -> Result<&[u8; 64], SignatureError> {
    signature.try_into().map_err(|_| SignatureError::Length { found: signature.len() })
}

/// Compresses an uncompressed point; a compressed one stays.
fn compress(point: &[u8]) -> Vec<u8> {
    match point.split_first() {
        Some((4, coordinates)) if coordinates.len() == 64 => {
            let odd = coordinates.last().is_some_and(|last| last & 1 == 1);
            let x = coordinates.first_chunk::<32>().copied().unwrap_or_default();
            [&[if odd { 3 } else { 2 }], x.as_slice()].concat()
        }
        _ => point.to_vec(),
    }
}

fn multibase(text: &str) -> Result<Vec<u8>, KeyError> {
    text.strip_prefix('z')
        // An uncompressed point takes 89 characters; more is not worth the quadratic work of base58.
        .filter(|digits| digits.len() <= 128)
        .and_then(|digits| bs58::decode(digits).into_vec().ok())
        .ok_or_else(|| not_multibase(text))
}

fn not_multibase(text: &str) -> KeyError {
    KeyError::NotMultibase { found: text.chars().take(16).collect() }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_key_prints_as_the_did_key_it_came_from() {
        for text in [
            "did:key:zDnaembgSGUhZULN2Caob4HLJPaxBh92N7rtH21TErzqf8HQo",
            "did:key:zQ3shqwJEJyMBsBXCWyCBpUBMqxcon9oHB7mCvx4sSpMdLJwc",
        ] {
            let key = PublicKey::from_did_key(text).unwrap();
            assert_eq!(key.to_string(), text);
            assert_eq!(key, PublicKey::from_did_key(text).unwrap());
        }
    }

    #[test]
    fn other_kinds_and_broken_points_are_refused_by_name() {
        let ed25519 = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK";
        assert_eq!(PublicKey::from_did_key(ed25519), Err(KeyError::UnknownKind));
        assert!(matches!(PublicKey::from_did_key("did:key:f00"), Err(KeyError::NotMultibase { .. })));
        let off_curve = bs58::encode([&MULTICODEC_K256[..], &[2], &[0xff; 32]].concat()).into_string();
        let error = PublicKey::from_multikey(&format!("z{off_curve}")).unwrap_err();
        assert!(matches!(error, KeyError::NotAPoint { .. }));
        assert!(matches!(
            PublicKey::from_multikey(&format!("z{}", "1".repeat(10_000))),
            Err(KeyError::NotMultibase { .. })
        ));
    }
}
