//! How one record names a version of another.
//!
//! A body enters, a [`Reference`] leaves; evidence tells what it leads to. Deliberately absent: whether it should lead there.

use super::evidence::Evidence;
use super::exhibit::Exhibit;
use crate::block::{Cid, Map};

/// A reference of one record to a version of another.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reference<'a> {
    /// As it is written.
    pub(super) uri: &'a str,
    pub(super) cid: Option<Cid>,
}

impl<'a> Reference<'a> {
    /// The strong reference at `key`; nothing if there is no object with a URI.
    pub(super) fn read(record: &Map<'a>, key: &str) -> Option<Self> {
        let link = record.map(key)?;
        let cid = link.text("cid").and_then(|cid| cid.parse().ok());
        Some(Self { uri: link.text("uri")?, cid })
    }

    /// What it leads to.
    pub(super) fn follow<'e>(&self, evidence: &'e Evidence) -> Option<&'e Exhibit> {
        evidence.find_version(self.uri, self.cid)
    }
}
