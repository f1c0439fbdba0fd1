//! The proof of one record, cut out of an export: what a PDS answers to `getRecord`, where files stand in for it.
//!
//! A path enters; a CAR leaves, of the signed commit, the tree's nodes on the way to the record, and the record.
//! Deliberately absent: any check. Whoever is given the CAR makes it, with
//! [`verify_record`](crate::sync::verify::verify_record).

use std::cell::RefCell;
use std::iter::once;
use std::sync::Arc;

use super::replay::{Offline, ReplayError, open_export};
use crate::block::car::{self, Archive};
use crate::block::{BlockError, Cid};
use crate::repo::mst::{Blocks, MstError, lookup};
use crate::repo::{Commit, CommitError, Identity};
use crate::syntax::{Did, RepoPath};

impl Offline {
    /// Who signs for a DID, as far as it was saved.
    #[must_use]
    pub fn identity(&self, did: &Did) -> Option<&Arc<Identity>> {
        self.identities.get(did.as_str())
    }

    /// The proof of what a repository's export has at a path, be it a record or nothing; none where no export was saved.
    /// Costs as much as reading the export.
    ///
    /// # Errors
    ///
    /// [`ReplayError`]: the export cannot be read, or its tree is not whole.
    pub fn record_proof(&self, did: &Did, path: &RepoPath) -> Result<Option<Vec<u8>>, ReplayError> {
        let Some(export) = self.repos.as_ref().map(|repos| repos.car_of(did)).filter(|car| car.exists())
        else {
            return Ok(None);
        };
        let failed = |reason: String| ReplayError::Export { path: export.clone(), reason };
        let (found, archive) = open_export(&export)?;
        if found != *did {
            return Err(failed(format!("expected a repository of {did}, found one of {found}")));
        }
        cut(&archive, path).map(Some).map_err(|error| failed(error.to_string()))
    }
}

/// Why nothing can be cut out.
#[derive(Debug, thiserror::Error)]
enum CutError {
    #[error(transparent)]
    Block(#[from] BlockError),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Tree(#[from] MstError),
    #[error("block {0} is missing")]
    Missing(Cid),
}

fn cut(archive: &Archive, path: &RepoPath) -> Result<Vec<u8>, CutError> {
    let block = |cid: Cid| {
        let mut block = Vec::new();
        if archive.read(&cid, &mut block)? { Ok((cid, block)) } else { Err(CutError::Missing(cid)) }
    };
    let root = archive.roots().first().copied().ok_or(BlockError::CarHeader { reason: "no root" })?;
    let commit = block(root)?;
    let noted = Noted { archive, cids: RefCell::default() };
    let record = lookup(&noted, &Commit::decode(&commit.1)?.data, path.to_string().as_bytes())?;
    let rest = noted.cids.into_inner().into_iter().chain(record).map(block);
    let blocks = once(Ok(commit)).chain(rest).collect::<Result<Vec<_>, _>>()?;
    Ok(car::write(&root, blocks.iter().map(|(cid, block)| (*cid, block.as_slice()))))
}

/// An archive that notes what is read of it.
struct Noted<'a> {
    archive: &'a Archive,
    cids: RefCell<Vec<Cid>>,
}

impl Blocks for Noted<'_> {
    fn block<'b>(&'b self, cid: &Cid, buffer: &'b mut Vec<u8>) -> Result<Option<&'b [u8]>, BlockError> {
        self.cids.borrow_mut().push(*cid);
        self.archive.block(cid, buffer)
    }
}
