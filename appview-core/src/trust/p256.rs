//! P-256 keys and ECDSA signatures over SHA-256, as receipts and attestations carry them.
//!
//! Base64 or bytes enter, a [`Key`] or a [`Signature`] leaves; a key then says whether a signature is its own.
//! Unlike a repository's commits, receipts are signed by hardware that makes no low S, and half of all genuine signatures
//! have a high one. So either of two values of S verifies, and a signature is no name for anything.

use std::fmt;

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey};

use super::encoding::{Encoding, read_base64};
use crate::block::cid::sha256;

/// Half the order of the curve, rounded down: the largest S that is low.
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0x80, 0x00, 0x00, 0x00, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xde,
    0x73, 0x7d, 0x56, 0xd3, 0x8b, 0xcf, 0x42, 0x79, 0xdc, 0xe5, 0x61, 0x7e, 0x31, 0x92, 0xa8,
];

/// Why something is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFault {
    /// Not there, or no text.
    #[error("expected a key as base64 text")]
    Missing,
    /// Text that is not base64.
    #[error("the key is not base64")]
    Undecodable,
    /// Not 64 bytes.
    #[error("expected a key of 64 bytes, found {found}")]
    Length {
        /// How many bytes there are.
        found: usize,
    },
    /// No point of the curve.
    #[error("the key is no point of P-256")]
    NotAPoint,
}

/// Why a signature does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureFault {
    /// There is none.
    #[error("there is no signature")]
    Absent,
    /// Text that is not base64.
    #[error("the signature is not base64")]
    Undecodable,
    /// Neither text nor bytes.
    #[error("the signature is neither text nor bytes")]
    OfAnotherType,
    /// Bytes that are no signature.
    #[error("the signature is malformed")]
    Malformed,
    /// The S is high where a low one is called for.
    #[error("the signature's s is high")]
    HighS,
    /// The key to check it with is none.
    #[error(transparent)]
    Key(#[from] KeyFault),
    /// What is signed has no canonical form.
    #[error("what is signed has no canonical form: {0}")]
    Message(#[from] super::canonical::CanonicalError),
    /// Another message, another key, or numbers out of range.
    #[error("the signature does not match the key")]
    Mismatch,
}

/// Which signatures count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SRange {
    /// Those with any S, as producers write them.
    Any,
    /// Those with a low S only.
    Low,
}

/// A public key.
#[derive(Clone)]
pub struct Key {
    point: [u8; 64],
    parsed: ParsedPublicKey,
}

impl Key {
    /// A key from its two coordinates, X before Y.
    ///
    /// # Errors
    ///
    /// [`KeyFault::Length`], [`KeyFault::NotAPoint`].
    pub fn from_point(point: &[u8]) -> Result<Self, KeyFault> {
        let point: [u8; 64] = point.try_into().map_err(|_| KeyFault::Length { found: point.len() })?;
        let parsed = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, uncompressed(&point))
            .map_err(|_| KeyFault::NotAPoint)?;
        Ok(Self { point, parsed })
    }

    /// A key from a point with its prefix, compressed or not.
    ///
    /// # Errors
    ///
    /// [`KeyFault::NotAPoint`].
    pub fn from_sec1(point: &[u8]) -> Result<Self, KeyFault> {
        let parsed =
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).map_err(|_| KeyFault::NotAPoint)?;
        // The library's own encoding ends in the uncompressed point.
        let der: PublicKeyX509Der<'_> = parsed.as_der().map_err(|_| KeyFault::NotAPoint)?;
        let point = *der.as_ref().last_chunk().ok_or(KeyFault::NotAPoint)?;
        Ok(Self { point, parsed })
    }

    /// A key from base64 of its two coordinates.
    ///
    /// # Errors
    ///
    /// [`KeyFault`].
    pub fn from_base64(text: &str) -> Result<(Self, Encoding), KeyFault> {
        let (point, encoding) = read_base64(text).ok_or(KeyFault::Undecodable)?;
        Ok((Self::from_point(&point)?, encoding))
    }

    /// The two coordinates, X before Y.
    #[must_use]
    pub const fn point(&self) -> &[u8; 64] {
        &self.point
    }

    /// SHA-256 of the two coordinates: by which Apple's evidence names a key.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        sha256(&self.point)
    }

    /// SHA-256 of the uncompressed point with its prefix: by which App Attest names its own key.
    #[must_use]
    pub fn id(&self) -> [u8; 32] {
        sha256(&uncompressed(&self.point))
    }

    /// Checks a signature over `message`.
    ///
    /// # Errors
    ///
    /// [`SignatureFault::Mismatch`].
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), SignatureFault> {
        self.parsed.verify_sig(message, &signature.0).map_err(|_| SignatureFault::Mismatch)
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.point == other.point
    }
}

impl Eq for Key {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(")?;
        for byte in self.point.iter().take(8) {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("…)")
    }
}

/// The uncompressed point of two coordinates.
#[must_use]
pub fn uncompressed(point: &[u8; 64]) -> [u8; 65] {
    let mut out = [4; 65];
    for (to, from) in out.iter_mut().skip(1).zip(point) {
        *to = *from;
    }
    out
}

/// The two numbers of a signature, `r` before `s`, 32 bytes each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature([u8; 64]);

impl Signature {
    /// A signature from its two numbers.
    #[must_use]
    pub const fn from_raw(raw: [u8; 64]) -> Self {
        Self(raw)
    }

    /// The two numbers.
    #[must_use]
    pub const fn raw(&self) -> &[u8; 64] {
        &self.0
    }

    /// Reads DER, `SEQUENCE { INTEGER r, INTEGER s }`, as the compatible verifier does.
    ///
    /// The sequence's own length is not looked at, nor what follows the second integer; integers may lack the zero that
    /// keeps them positive, or have one that they do not need. All of that is another spelling of the same signature,
    /// hence no forgery, and is told by the [`Encoding`].
    ///
    /// # Errors
    ///
    /// [`SignatureFault::Malformed`].
    pub fn from_der(der: &[u8]) -> Result<(Self, Encoding), SignatureFault> {
        let raw = lenient(der).ok_or(SignatureFault::Malformed)?;
        let signature = Self(raw);
        let encoding = if signature.to_der() == der { Encoding::Strict } else { Encoding::Lenient };
        Ok((signature, encoding))
    }

    /// Reads base64 of DER.
    ///
    /// # Errors
    ///
    /// [`SignatureFault::Undecodable`], [`SignatureFault::Malformed`].
    pub fn from_base64(text: &str) -> Result<(Self, Encoding), SignatureFault> {
        let (der, outer) = read_base64(text).ok_or(SignatureFault::Undecodable)?;
        let (signature, inner) = Self::from_der(&der)?;
        Ok((signature, outer.max(inner)))
    }

    /// The same signature, if its S is in the range.
    ///
    /// # Errors
    ///
    /// [`SignatureFault::HighS`].
    pub fn within(self, range: SRange) -> Result<Self, SignatureFault> {
        match range {
            SRange::Low if self.0.last_chunk::<32>().is_none_or(|s| *s > HALF_ORDER) => {
                Err(SignatureFault::HighS)
            }
            SRange::Any | SRange::Low => Ok(self),
        }
    }

    /// The one DER encoding.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        let mut der = Vec::with_capacity(72);
        der.extend([0x30, 0]);
        for number in self.0.chunks(32) {
            let zeros = number.iter().take(31).take_while(|byte| **byte == 0).count();
            let digits = number.get(zeros..).unwrap_or_default();
            let is_negative = digits.first().is_some_and(|byte| byte & 0x80 != 0);
            // At most 33.
            let length = u8::try_from(digits.len()).unwrap_or_default() + u8::from(is_negative);
            der.extend([0x02, length]);
            if is_negative {
                der.push(0);
            }
            der.extend_from_slice(digits);
        }
        let length = u8::try_from(der.len() - 2).unwrap_or_default();
        if let Some(place) = der.get_mut(1) {
            *place = length;
        }
        der
    }
}

/// The two numbers of DER, read as leniently as the compatible verifier reads it.
fn lenient(der: &[u8]) -> Option<[u8; 64]> {
    if der.len() < 8 {
        return None;
    }
    let rest = der.strip_prefix(&[0x30])?;
    let (length, rest) = rest.split_first()?;
    // A long form is passed over; what it claims is not looked at.
    let long = if length & 0x80 != 0 { usize::from(length & 0x7f) } else { 0 };
    let rest = rest.get(long..)?;
    let (r, rest) = integer(rest)?;
    let (s, _) = integer(rest)?;
    let mut raw = [0; 64];
    let (first, second) = raw.split_at_mut(32);
    first.copy_from_slice(&r);
    second.copy_from_slice(&s);
    Some(raw)
}

/// One INTEGER, without its sign, and what follows it. One that ends early is as long as there are bytes.
fn integer(der: &[u8]) -> Option<([u8; 32], &[u8])> {
    let rest = der.strip_prefix(&[0x02])?;
    let (length, rest) = rest.split_first()?;
    let (digits, rest) = rest.split_at_checked(usize::from(*length)).unwrap_or((rest, &[]));
    let digits = match digits {
        [0, after @ ..] if digits.len() > 32 => after,
        _ => digits,
    };
    let mut number = [0; 32];
    let place = number.get_mut(32_usize.checked_sub(digits.len())?..)?;
    place.copy_from_slice(digits);
    Some((number, rest))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_signature_comes_back_from_its_der(numbers in proptest::array::uniform32(any::<u8>()), zeros in 0..32_usize) {
            let mut raw = [0; 64];
            raw[zeros..32].copy_from_slice(&numbers[zeros..]);
            raw[32..].copy_from_slice(&numbers);
            let signature = Signature::from_raw(raw);
            prop_assert_eq!(Signature::from_der(&signature.to_der()).unwrap(), (signature, Encoding::Strict));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80), is_sequence: bool) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut().filter(|_| is_sequence) {
                *first = 0x30;
            }
            if let Ok((signature, Encoding::Strict)) = Signature::from_der(&bytes) {
                prop_assert_eq!(signature.to_der(), bytes);
            }
        }
    }

    #[test]
    fn a_compressed_key_is_the_same_key() {
        let point =
            crate::repo::PublicKey::from_did_key("did:key:zDnaembgSGUhZULN2Caob4HLJPaxBh92N7rtH21TErzqf8HQo");
        let text = point.unwrap().to_string();
        let bytes = bs58::decode(text.trim_start_matches("did:key:z")).into_vec().unwrap();
        let key = Key::from_sec1(&bytes[2..]).unwrap();
        assert_eq!(Key::from_sec1(&uncompressed(key.point())).unwrap(), key);
        assert_eq!(Key::from_point(key.point()).unwrap(), key);
        assert_eq!(Key::from_point(&[0; 64]), Err(KeyFault::NotAPoint));
        assert_eq!(Key::from_point(&[0; 65]), Err(KeyFault::Length { found: 65 }));
    }
}
