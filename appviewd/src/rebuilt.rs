//! How a rebuild from the network ended, in the words of the command, and of the daemon that does it for the command.

use appview_core::source::rebuild::Comparison;
use serde_json::{Value as Json, json};

/// What came of a rebuild.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The two indexes, compared.
    pub comparison: Comparison,
    /// Whether the new one is in the place of the old one.
    pub swapped: bool,
}

impl Outcome {
    /// `{fingerprint, before, agrees, differs, moved, failed, unread, whole, swapped}`
    #[must_use]
    pub fn to_json(&self) -> Json {
        let Self { comparison, swapped } = self;
        let texts = |items: &[_]| items.iter().map(ToString::to_string).collect::<Vec<String>>();
        json!({
            "fingerprint": comparison.fingerprint.to_string(),
            "before": comparison.before.as_ref().map(ToString::to_string),
            "agrees": comparison.agrees(),
            "differs": texts(&comparison.differs),
            "moved": texts(&comparison.moved),
            "failed": texts(&comparison.failed),
            "unread": comparison.unread.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "whole": comparison.is_whole(),
            "swapped": swapped,
        })
    }
}
