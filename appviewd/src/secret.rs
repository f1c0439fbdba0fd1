//! What must not be seen: keys, tokens, and whatever else opens a door.
//!
//! Bytes and text enter; they leave through [`Secret::expose`] alone, so that each place that looks at them can be found. They
//! are not printed, not written by serde, compared in constant time, and overwritten when dropped. Copies that other crates
//! make (a parser, a TLS stream) are theirs: this keeps secrets out of logs and errors, and does not hide them from whoever may
//! read the memory of the process.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Deserializer};
use zeroize::{Zeroize, Zeroizing};

/// The operating system gave no random bytes, without which no secret can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gives no random bytes")]
pub struct NoRandomness;

/// Something that must not be seen.
#[derive(Clone)]
pub struct Secret<T: Zeroize>(Zeroizing<T>);

impl<T: Zeroize> Secret<T> {
    /// Takes it out of sight.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self(Zeroizing::new(value))
    }

    /// Shows it to whoever cannot do without.
    #[must_use]
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize + AsRef<[u8]>> Secret<T> {
    /// Whether it is exactly this, in a time that depends on the lengths alone.
    #[must_use]
    pub fn is(&self, other: impl AsRef<[u8]>) -> bool {
        verify_slices_are_equal(self.expose().as_ref(), other.as_ref()).is_ok()
    }

    /// Its bytes as base64url without padding.
    #[must_use]
    pub fn to_base64url(&self) -> Secret<String> {
        Secret::new(URL_SAFE_NO_PAD.encode(self.expose()))
    }
}

impl<const N: usize> Secret<[u8; N]> {
    /// Bytes that nobody can guess.
    ///
    /// # Errors
    ///
    /// [`NoRandomness`].
    pub fn random() -> Result<Self, NoRandomness> {
        let mut bytes = Zeroizing::new([0; N]);
        aws_lc_rs::rand::fill(bytes.as_mut_slice()).map_err(|_| NoRandomness)?;
        Ok(Self(bytes))
    }
}

impl<T: Zeroize> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl<'de, T: Zeroize + Deserialize<'de>> Deserialize<'de> for Secret<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed_and_is_equal_to_itself_alone() {
        let secret = Secret::new("hunter2".to_owned());
        assert!(!format!("{secret:?} {:?}", Some(&secret)).contains("hunter2"));
        assert!(secret.is("hunter2"));
        assert!(!secret.is("hunter3") && !secret.is("hunter") && !secret.is(""));
    }

    #[test]
    fn no_two_random_secrets_are_alike() {
        let [a, b] = [Secret::<[u8; 32]>::random().unwrap(), Secret::random().unwrap()];
        assert!(!a.is(b.expose()) && !a.is([0; 32]));
        assert_eq!(a.to_base64url().expose().len(), 43);
    }
}
