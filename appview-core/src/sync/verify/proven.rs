//! What a proof leaves behind. The fields are visible in [`super`] and nowhere else, so that nobody can have one of
//! these without the function that proves it.

use super::super::change::{Proof, RecordChange, RepoHead};
use super::walk::{Stopped, each_record};
use crate::block::car::Archive;
use crate::block::{BlockError, Cid};
use crate::repo::mst::MstError;
use crate::syntax::{Did, RepoPath};

/// One commit, proven: signature, tree, operations, and its link to the commit before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCommit {
    pub(super) did: Did,
    pub(super) head: RepoHead,
    pub(super) after: Option<RepoHead>,
    pub(super) changes: Vec<RecordChange>,
}

impl VerifiedCommit {
    /// The repository.
    #[must_use]
    pub const fn did(&self) -> &Did {
        &self.did
    }

    /// The head of the chain after it.
    #[must_use]
    pub const fn head(&self) -> RepoHead {
        self.head
    }

    /// The head that it follows; none if it is proven to start from an empty repository.
    #[must_use]
    pub const fn after(&self) -> Option<RepoHead> {
        self.after
    }

    /// What it does to records in scope, each path once.
    #[must_use]
    pub fn changes(&self) -> &[RecordChange] {
        &self.changes
    }
}

/// A new revision of a tree that is already held: the proof of a `#sync` whose root equals ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedHead {
    pub(super) did: Did,
    pub(super) head: RepoHead,
}

impl VerifiedHead {
    /// The repository.
    #[must_use]
    pub const fn did(&self) -> &Did {
        &self.did
    }

    /// The head of the chain.
    #[must_use]
    pub const fn head(&self) -> RepoHead {
        self.head
    }
}

/// One record as it is at a signed commit, or that it is not there, proven by the tree's nodes on the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedRecord {
    pub(super) did: Did,
    pub(super) head: RepoHead,
    pub(super) change: RecordChange,
}

impl VerifiedRecord {
    /// The repository.
    #[must_use]
    pub const fn did(&self) -> &Did {
        &self.did
    }

    /// The commit at which it is so.
    #[must_use]
    pub const fn head(&self) -> RepoHead {
        self.head
    }

    /// The record as it is there.
    #[must_use]
    pub const fn change(&self) -> &RecordChange {
        &self.change
    }
}

/// A whole repository, proven: its signed commit, and every path in scope that its tree holds.
///
/// Neither paths nor bodies are kept: both stay in the archive until they are asked for, so that a repository takes the
/// memory of its archive and no more, however many records it has.
#[derive(Debug)]
pub struct VerifiedRepo {
    pub(super) did: Did,
    pub(super) head: RepoHead,
    pub(super) proof: Proof,
    /// What every path in scope starts with.
    pub(super) namespace: Box<str>,
    pub(super) count: u64,
    pub(super) archive: Archive,
}

impl VerifiedRepo {
    /// The repository.
    #[must_use]
    pub const fn did(&self) -> &Did {
        &self.did
    }

    /// The head of its chain.
    #[must_use]
    pub const fn head(&self) -> RepoHead {
        self.head
    }

    /// [`Proof::Full`] or [`Proof::Provisional`].
    #[must_use]
    pub const fn proof(&self) -> Proof {
        self.proof
    }

    /// How many records in scope it has.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Visits every record in scope, in the order of `collection/rkey` as bytes.
    ///
    /// # Errors
    ///
    /// What `visit` returns, and those of [`VerifiedRepo::read`]: that the tree is whole was shown when it was verified.
    pub fn each_record<E: From<BlockError>>(
        &self,
        mut visit: impl FnMut(&RepoPath, &Cid) -> Result<(), E>,
    ) -> Result<(), E> {
        let walked = each_record(&self.archive, &self.head.data, &self.namespace, |path, cid| {
            visit(path, cid).map_err(Stopped::ByVisit)
        });
        walked.map_err(|stopped| match stopped {
            Stopped::ByVisit(error) => error,
            Stopped::ByTree(MstError::Block(error)) => error.into(),
            Stopped::ByTree(_) => BlockError::HashMismatch { cid: self.head.data }.into(),
        })
    }

    /// Whether the bodies stay in a file until they are read, as those of a large export do.
    #[must_use]
    pub const fn is_file(&self) -> bool {
        self.archive.is_file()
    }

    /// Bytes of memory that it takes.
    #[must_use]
    pub const fn memory_bytes(&self) -> usize {
        self.archive.memory_bytes()
    }

    /// Bytes of the export's blocks.
    #[must_use]
    pub fn export_bytes(&self) -> u64 {
        self.archive.block_bytes()
    }

    /// Reads the block of a record of [`VerifiedRepo::each_record`] into `buffer`.
    ///
    /// # Errors
    ///
    /// A failing or changed file. That every record's block is in the archive was shown when it was verified.
    pub fn read(&self, cid: &Cid, buffer: &mut Vec<u8>) -> Result<(), BlockError> {
        if self.archive.read(cid, buffer)? { Ok(()) } else { Err(BlockError::HashMismatch { cid: *cid }) }
    }
}
