//! The way over the records of a tree.
//!
//! An archive, the root of a tree in it and a namespace enter; each path in scope with its CID is shown, in the order of the tree.
//! Deliberately absent: bodies, and any list of what was shown.

use crate::block::Cid;
use crate::block::car::Archive;
use crate::repo::mst::{self, MstError};
use crate::syntax::RepoPath;

/// Why a walk over a tree that was proven ended early.
pub(super) enum Stopped<E> {
    ByTree(MstError),
    ByVisit(E),
}

impl<E> From<MstError> for Stopped<E> {
    fn from(error: MstError) -> Self {
        Self::ByTree(error)
    }
}

/// Visits every record under `namespace` of the tree of `data`. A path that breaks the syntax is in the tree, but no record of
/// ours.
pub(super) fn each_record<E: From<MstError>>(
    archive: &Archive,
    data: &Cid,
    namespace: &str,
    mut visit: impl FnMut(&RepoPath, &Cid) -> Result<(), E>,
) -> Result<(), E> {
    mst::walk(archive, data, namespace.as_bytes(), |key, cid| {
        match std::str::from_utf8(key).ok().and_then(|key| key.parse::<RepoPath>().ok()) {
            Some(path) => visit(&path, &cid),
            None => Ok(()),
        }
    })
}
