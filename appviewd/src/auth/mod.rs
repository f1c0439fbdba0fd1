//! Who is asking: a person by a token of their PDS, whoever has an API key, or the console by the internal secret.
//!
//! What a request says of its sender enters; a DID leaves, or why not, in words that tell nothing to whoever guesses. Deliberately
//! absent: HTTP, and what anyone may do.

pub mod internal;
pub mod object;
pub mod rates;
mod replay;
pub mod service;
mod token;

use std::fmt;

use crate::secret::Secret;

/// Why somebody is not let in: an error's name, and a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Denied {
    /// What clients go by.
    pub name: &'static str,
    /// What people read.
    pub message: String,
}

impl Denied {
    pub(crate) fn new(name: &'static str, message: impl fmt::Display) -> Self {
        Self { name, message: message.to_string() }
    }

    /// There is nothing that tells who asks, or it is worth nothing: one answer for both.
    #[must_use]
    pub fn required(what: &str) -> Self {
        Self::new("AuthRequired", format!("expected {what} in the header Authorization: Bearer …"))
    }
}

/// What stands behind `Bearer` in a header `Authorization`; nothing in any other header.
#[must_use]
pub fn bearer(authorization: &str) -> Option<Secret<String>> {
    let (scheme, token) = authorization.split_once(|char: char| char.is_ascii_whitespace())?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| Secret::new(token.to_owned()))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_what_follows_the_word() {
        for header in ["Bearer abc", "bearer   abc ", "BEARER\tabc"] {
            assert!(bearer(header).unwrap().is("abc"), "{header}");
        }
        for header in ["", "Bearer", "Bearer ", "Bearerabc", "Basic abc", "DPoP abc", " Bearer abc"] {
            assert!(bearer(header).is_none(), "{header}");
        }
    }
}
