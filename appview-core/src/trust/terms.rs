//! What a verifier believes before it looks at any evidence.
//!
//! Nothing enters but an operator's choice. Deliberately absent: keys of brokers and exchanges that nobody chose, which are
//! evidence, and the time, which whoever asks says.

use std::sync::Arc;

use super::apple::Apple;
use super::brokerage::DEFAULT_BROKER;
use super::evidence::Document;
use crate::record::{Catalog, LexiconError};
use crate::syntax::Did;

/// By what a verifier judges: equal terms and equal evidence lead to equal verdicts.
#[derive(Debug, Clone)]
pub struct Terms {
    /// What evidence from Apple is judged against.
    pub apple: Apple,
    /// Whose countersignatures make a receipt confidential. Of none, no receipt is.
    pub brokerages: Vec<Did>,
    /// Documents of brokers and exchanges that are believed without asking anybody, in the place of all others of the same
    /// DID.
    pub documents: Vec<(Did, Document)>,
    /// The lexicons that records must keep.
    pub catalog: Arc<Catalog>,
}

impl Terms {
    /// The network's own: Apple's roots, its agent, its brokerage.
    #[must_use]
    pub fn new(catalog: impl Into<Arc<Catalog>>) -> Self {
        Self {
            apple: Apple::production(),
            brokerages: DEFAULT_BROKER.parse().into_iter().collect(),
            documents: Vec::new(),
            catalog: catalog.into(),
        }
    }

    /// As [`Terms::new`], with the lexicons this crate is built with.
    ///
    /// # Errors
    ///
    /// As [`Catalog::builtin`].
    pub fn builtin() -> Result<Self, LexiconError> {
        Catalog::builtin().map(Self::new)
    }

    /// The documents of a DID that are believed.
    pub(super) fn pinned(&self, did: &str) -> impl Iterator<Item = &Document> {
        self.documents.iter().filter(move |(of, _)| of.as_str() == did).map(|(_, document)| document)
    }

    pub(super) fn trusts(&self, authority: &str) -> bool {
        self.brokerages.iter().any(|did| did.as_str() == authority)
    }
}
