//! What is sealed at rest: encrypted, and bound to whom and what it is for.
//!
//! Plain bytes enter, and leave sealed; or the other way round. Every seal has a key of its own, drawn from the master key and
//! 32 random bytes, so that no nonce ever meets the same key twice. Whose it is, what for and which writing of it are
//! authenticated with it: what is moved to another row, purpose or time does not open. Which key opens it stands in front, so that
//! no key is tried in vain. Deliberately absent: where keys come from (`keyring.rs`).
//!
//! The bytes: `01`, 8 bytes of [`KeyId`], 32 of salt, then AES-256-GCM's text and tag. Key and nonce are the first 32 and
//! the last 12 of 44 bytes of HKDF-SHA-256 of the master key with that salt.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::digest;
use aws_lc_rs::hkdf::{self, HKDF_SHA256};
use zeroize::Zeroizing;

use super::keyring::Keyring;
use crate::secret::{NoRandomness, Secret};

/// How the bytes are laid out; the first of them.
const VERSION: u8 = 1;
/// Bytes before the text.
const HEAD: usize = 1 + 8 + SALT;
const SALT: usize = 32;
const KEY: usize = 32;
const NONCE: usize = 12;

/// Which master key sealed something: the first 8 bytes of a hash of that key, so that another key never has the same name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 8]);

impl KeyId {
    /// The name of a key.
    pub(super) fn of(key: &Secret<[u8; 32]>) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"appviewd/key-id/v1");
        context.update(key.expose());
        Self(context.finish().as_ref().first_chunk().copied().unwrap_or_default())
    }

    /// As it stands in what is sealed.
    pub(super) const fn bytes(&self) -> &[u8; 8] {
        &self.0
    }

    /// The key that sealed this, if it is sealed at all.
    #[must_use]
    pub fn of_sealed(sealed: &[u8]) -> Option<Self> {
        let (version, rest) = sealed.split_first()?;
        Some(Self(*rest.first_chunk().filter(|_| *version == VERSION)?))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is sealed. No two purposes share a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The tokens of a session, with the key that they are bound to.
    Session,
    /// A sign-in that has begun.
    SignIn,
    /// A token that is to be revoked.
    Revocation,
    /// What a device is handed that is paired.
    Pairing,
}

impl Purpose {
    const fn label(self) -> &'static [u8] {
        match self {
            Self::Session => b"appviewd/session/v1",
            Self::SignIn => b"appviewd/sign-in/v1",
            Self::Revocation => b"appviewd/revocation/v1",
            Self::Pairing => b"appviewd/pairing/v1",
        }
    }
}

/// Which row something is sealed for.
#[derive(Debug, Clone, Copy)]
pub struct Label<'a> {
    /// What it is.
    pub purpose: Purpose,
    /// Whose it is: a DID, or what else names the row.
    pub subject: &'a str,
    /// Which writing of the row, where it is written more than once.
    pub generation: i64,
}

/// Why something does not open, or cannot be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// Not the bytes of a seal.
    #[error("expected sealed bytes, found others")]
    Malformed,
    /// It was sealed with a key that is not in the ring.
    #[error("it is sealed with key {0}, which is not among those given")]
    UnknownKey(KeyId),
    /// The bytes were changed, or are another row's.
    #[error("the seal is broken: the bytes were changed, or belong to another row")]
    Broken,
    /// No salt could be drawn.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// Seals bytes with the ring's first key.
///
/// # Errors
///
/// [`SealError::NoRandomness`].
pub(super) fn seal(ring: &Keyring, label: Label<'_>, plain: &[u8]) -> Result<Vec<u8>, SealError> {
    let (id, master) = ring.primary();
    let salt = *Secret::<[u8; SALT]>::random()?.expose();
    let (key, nonce) = derive(master, &salt, label.purpose)?;
    let mut text = Zeroizing::new(plain.to_vec());
    let tag = key.seal_in_place_separate_tag(nonce, Aad::from(aad(id, label)), &mut text);
    let tag = tag.map_err(|_| SealError::Broken)?;
    Ok([&[VERSION], id.0.as_slice(), &salt, &text, tag.as_ref()].concat())
}

/// Opens sealed bytes with the key that they name.
///
/// # Errors
///
/// [`SealError`].
pub(super) fn open(ring: &Keyring, label: Label<'_>, sealed: &[u8]) -> Result<Secret<Vec<u8>>, SealError> {
    let id = KeyId::of_sealed(sealed).ok_or(SealError::Malformed)?;
    let (head, text) = sealed.split_at_checked(HEAD).ok_or(SealError::Malformed)?;
    let salt = head.last_chunk::<SALT>().ok_or(SealError::Malformed)?;
    let master = ring.key(id).ok_or(SealError::UnknownKey(id))?;
    let (key, nonce) = derive(master, salt, label.purpose)?;
    let mut text = Zeroizing::new(text.to_vec());
    let opened = key.open_in_place(nonce, Aad::from(aad(id, label)), &mut text);
    let length = opened.map_err(|_| SealError::Broken)?.len();
    text.truncate(length);
    Ok(Secret::new(std::mem::take(&mut *text)))
}

struct Length;

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        KEY + NONCE
    }
}

fn derive(
    master: &Secret<[u8; 32]>,
    salt: &[u8; SALT],
    purpose: Purpose,
) -> Result<(LessSafeKey, Nonce), SealError> {
    let mut material = Zeroizing::new([0; KEY + NONCE]);
    let extracted = hkdf::Salt::new(HKDF_SHA256, salt).extract(master.expose());
    // Neither length can be wrong.
    extracted
        .expand(&[purpose.label()], Length)
        .and_then(|okm| okm.fill(material.as_mut_slice()))
        .map_err(|_| SealError::Broken)?;
    let (key, nonce) = material.split_at(KEY);
    let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| SealError::Broken)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Broken)?;
    Ok((LessSafeKey::new(key), nonce))
}

/// What is authenticated with the text. The subject comes last, so that no two labels are the same bytes.
fn aad(id: KeyId, label: Label<'_>) -> Vec<u8> {
    let Label { purpose, subject, generation } = label;
    let generation = generation.to_be_bytes();
    [&[VERSION], id.0.as_slice(), purpose.label(), &[0], &generation, subject.as_bytes()].concat()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use crate::account::KeyPlace;

    const LABEL: Label<'_> =
        Label { purpose: Purpose::Session, subject: "did:web:ada.example", generation: 7 };

    fn ring(keys: &str) -> Keyring {
        Keyring::parse(keys, KeyPlace::Variable).unwrap()
    }

    fn one() -> String {
        "01".repeat(31) + "ff"
    }

    fn two() -> String {
        "02".repeat(31) + "ff"
    }

    #[test]
    fn what_is_sealed_opens_with_the_key_that_sealed_it() {
        let sealed = seal(&ring(&one()), LABEL, b"a token").unwrap();
        assert!(!sealed.windows(7).any(|window| window == b"a token"));
        assert_eq!(KeyId::of_sealed(&sealed), Some(ring(&one()).first()));
        let newer = ring(&format!("{}\n{}", two(), one()));
        for ring in [ring(&one()), newer.clone()] {
            assert_eq!(open(&ring, LABEL, &sealed).unwrap().expose(), b"a token");
        }
        let error = open(&ring(&two()), LABEL, &sealed).unwrap_err();
        assert_eq!(error, SealError::UnknownKey(ring(&one()).first()));
        assert_ne!(
            seal(&newer, LABEL, b"").unwrap(),
            seal(&newer, LABEL, b"").unwrap(),
            "no seal is like another"
        );
    }

    #[test]
    fn what_is_moved_elsewhere_does_not_open() {
        let ring = ring(&one());
        let sealed = seal(&ring, LABEL, b"a token").unwrap();
        for other in [
            Label { purpose: Purpose::Revocation, ..LABEL },
            Label { subject: "did:web:boris.example", ..LABEL },
            Label { subject: "", ..LABEL },
            Label { generation: 8, ..LABEL },
        ] {
            assert_eq!(open(&ring, other, &sealed).unwrap_err(), SealError::Broken, "{other:?}");
        }
    }

    #[test]
    fn no_byte_can_be_changed_or_left_out() {
        let ring = ring(&one());
        let sealed = seal(&ring, LABEL, b"a token").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open(&ring, LABEL, &changed).is_err(), "byte {at} changed");
            assert!(open(&ring, LABEL, &sealed[..at]).is_err(), "cut at {at}");
        }
    }
}
