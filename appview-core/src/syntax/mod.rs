//! The string types of the AT Protocol: parsed once at the edge, trusted ever after.
//!
//! Text enters; a type leaves that can hold nothing but text of its syntax, or a [`SyntaxError`] that names what
//! was expected and where. Each type has a free function beside it (`is_did`, `is_nsid`, …) that answers without
//! allocation, for filters that look at much and keep little.
//!
//! Deliberately not here: resolution (whether a DID exists, whether a handle points back), normalisation (a value
//! keeps the exact bytes its author signed), and CIDs as values: [`is_cid`] checks the text form only, the binary
//! identifier belongs to the block layer. Syntax as in <https://atproto.com/specs>, one page per type.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de;
use thiserror::Error;

/// Declares a string type: a wrapper whose only ways in are `FromStr`, `TryFrom` and serde, all through one check.
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident($store:ty), $check:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name($store);

        impl $name {
            /// The text, exactly as it was parsed.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::syntax::SyntaxError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $check(text)?;
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<&str> for $name {
            type Error = $crate::syntax::SyntaxError;

            fn try_from(text: &str) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::syntax::SyntaxError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                $check(&text)?;
                Ok(Self(text.into()))
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        // Sound because equality, order and hash of the wrapper are those of its text.
        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str($crate::syntax::TextVisitor::new())
            }
        }
    };
}

mod datetime;
mod identity;
mod language;
mod link;
mod name;
mod tid;

pub use datetime::{Datetime, datetime_unix_micros, is_datetime};
pub use identity::{AtIdentifier, Did, Handle, is_at_identifier, is_did, is_handle};
pub use language::{Language, is_language};
pub use link::{AtUri, Uri, is_at_uri, is_cid, is_uri};
pub use name::{Nsid, RecordKey, RepoPath, is_nsid, is_record_key, repo_path_parts};
pub use tid::{Tid, is_tid};

/// Text that is not what its place requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub struct SyntaxError {
    /// The type that was asked for.
    pub kind: SyntaxKind,
    /// What was expected, as a phrase that can follow the word "expected".
    pub reason: &'static str,
    /// The byte at which the text stops being of this kind, where one byte is to blame.
    pub offset: Option<usize>,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a valid {}: expected {}", self.kind, self.reason)?;
        match self.offset {
            Some(offset) => write!(f, " at byte {offset}"),
            None => Ok(()),
        }
    }
}

/// The string types this module parses, as [`SyntaxError`] names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant is the type of the same name")]
pub enum SyntaxKind {
    Did,
    Handle,
    AtIdentifier,
    Nsid,
    RecordKey,
    RepoPath,
    Tid,
    AtUri,
    Datetime,
    Language,
    Uri,
    Cid,
}

impl SyntaxKind {
    /// A stable name in lower case, for messages and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Did => "did",
            Self::Handle => "handle",
            Self::AtIdentifier => "at-identifier",
            Self::Nsid => "nsid",
            Self::RecordKey => "record-key",
            Self::RepoPath => "repo-path",
            Self::Tid => "tid",
            Self::AtUri => "at-uri",
            Self::Datetime => "datetime",
            Self::Language => "language",
            Self::Uri => "uri",
            Self::Cid => "cid",
        }
    }

    fn expected(self, reason: &'static str) -> SyntaxError {
        SyntaxError { kind: self, reason, offset: None }
    }

    fn expected_at(self, reason: &'static str, offset: usize) -> SyntaxError {
        SyntaxError { kind: self, reason, offset: Some(offset) }
    }
}

impl fmt::Display for SyntaxKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Reads any of these types out of a deserializer's string without an intermediate `String`.
struct TextVisitor<T>(PhantomData<T>);

impl<T> TextVisitor<T> {
    fn new() -> Self {
        Self(PhantomData)
    }
}

impl<T: FromStr<Err = SyntaxError>> de::Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string of the AT Protocol")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}
