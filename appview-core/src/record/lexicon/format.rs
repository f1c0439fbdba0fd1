//! The formats a string may be bound to.

use crate::syntax;

/// A string format of the Lexicon language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    AtIdentifier,
    AtUri,
    Cid,
    Datetime,
    Did,
    Handle,
    Language,
    Nsid,
    RecordKey,
    Tid,
    Uri,
}

impl Format {
    const ALL: [Self; 11] = [
        Self::AtIdentifier,
        Self::AtUri,
        Self::Cid,
        Self::Datetime,
        Self::Did,
        Self::Handle,
        Self::Language,
        Self::Nsid,
        Self::RecordKey,
        Self::Tid,
        Self::Uri,
    ];

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|format| format.name() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::AtIdentifier => "at-identifier",
            Self::AtUri => "at-uri",
            Self::Cid => "cid",
            Self::Datetime => "datetime",
            Self::Did => "did",
            Self::Handle => "handle",
            Self::Language => "language",
            Self::Nsid => "nsid",
            Self::RecordKey => "record-key",
            Self::Tid => "tid",
            Self::Uri => "uri",
        }
    }

    pub(super) fn admits(self, text: &str) -> bool {
        match self {
            Self::AtIdentifier => syntax::is_at_identifier(text),
            Self::AtUri => syntax::is_at_uri(text),
            Self::Cid => syntax::is_cid(text),
            Self::Datetime => syntax::is_datetime(text),
            Self::Did => syntax::is_did(text),
            Self::Handle => syntax::is_handle(text),
            Self::Language => syntax::is_language(text),
            Self::Nsid => syntax::is_nsid(text),
            Self::RecordKey => syntax::is_record_key(text),
            Self::Tid => syntax::is_tid(text),
            Self::Uri => syntax::is_uri(text),
        }
    }
}
