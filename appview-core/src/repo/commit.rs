//! The signed object at the root of a repository.
//!
//! A block enters; its members leave, borrowed, with the means to check the signature. Deliberately absent: whether
//! its tree is there, and whether it follows the commit before it.

use crate::block::cbor::Reader;
use crate::block::{BlockError, Cid};
use crate::repo::key::{PublicKey, SignatureError};
use crate::syntax::{SyntaxError, Tid};

/// Why a block is no commit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// It is not canonical, or a member has another type.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// It does not have exactly the members of a version 3 commit. Others that we would not know how to check could
    /// give one signature two addresses.
    #[error("expected the members did, rev, sig, data, prev and version of a commit")]
    Members,
    /// Another version of the format.
    #[error("expected version 3, found {found}")]
    Version {
        /// The version.
        found: i64,
    },
    /// Its `rev` is no TID.
    #[error("rev of the commit: {0}")]
    Rev(SyntaxError),
}

/// A commit object, borrowing from its block.
#[derive(Debug, Clone, Copy)]
pub struct Commit<'a> {
    /// Whose repository it says it is.
    pub did: &'a str,
    /// Its revision.
    pub rev: Tid,
    /// Root of its tree.
    pub data: Cid,
    signature: &'a [u8],
    /// The block's bytes before and after the `sig` member, without the map's head.
    unsigned: (&'a [u8], &'a [u8]),
}

impl<'a> Commit<'a> {
    /// Reads a commit.
    ///
    /// # Errors
    ///
    /// [`CommitError`]; `prev` may be null or a link, and is not used by version 3.
    pub fn decode(block: &'a [u8]) -> Result<Self, CommitError> {
        let mut reader = Reader::canonical(block);
        let members = |found: bool| {
            if found { Ok(()) } else { Err(CommitError::Members) }
        };
        members(reader.map()? == 6)?;
        let start = reader.rest();
        // The canonical form leaves one order only: by length, then alphabet.
        members(reader.next_key_is("did"))?;
        let did = reader.text()?;
        members(reader.next_key_is("rev"))?;
        let rev = reader.text()?;
        let before = start.get(..start.len().saturating_sub(reader.rest().len())).unwrap_or_default();
        members(reader.next_key_is("sig"))?;
        let signature = reader.bytes()?;
        let after = reader.rest();
        members(reader.next_key_is("data"))?;
        let data = reader.link()?;
        members(reader.next_key_is("prev"))?;
        reader.link_or_null()?;
        members(reader.next_key_is("version"))?;
        let version = reader.integer()?;
        reader.end()?;
        if version != 3 {
            return Err(CommitError::Version { found: version });
        }
        let rev = rev.parse().map_err(CommitError::Rev)?;
        Ok(Self { did, rev, data, signature, unsigned: (before, after) })
    }

    /// Checks the signature over the object without its `sig`.
    ///
    /// # Errors
    ///
    /// [`SignatureError`].
    pub fn verify(&self, key: &PublicKey) -> Result<(), SignatureError> {
        // A map of five instead of six: all else is already in the canonical bytes.
        let mut message = Vec::with_capacity(256);
        message.push(0xa5);
        message.extend_from_slice(self.unsigned.0);
        message.extend_from_slice(self.unsigned.1);
        key.verify(&message, self.signature)
    }
}
