//! The Merkle search tree: walks, lookups with proof, and the inversion of a commit's operations.
//!
//! Blocks enter through [`Blocks`], found by CID and hence already trusted as far as the root is; keys, values and
//! root CIDs leave. Every node is checked as it is read: canonical, keys complete and sorted, within the bounds that
//! its parent sets, at the height that their hashes give. `node` reads and writes one node, [`lookup`] and [`walk`]
//! read many, [`Tree`] is a partial one that can be changed. Deliberately absent: what a value is.
//!
//! Follows [Repository, MST structure](https://atproto.com/specs/repository#mst-structure).

mod node;
mod tree;
mod walk;

pub use node::key_height;
pub use tree::Tree;
pub use walk::{lookup, walk};

use crate::block::car::{Archive, Slice};
use crate::block::{BlockError, Cid};

/// The root of a repository without records: `{e: [], l: null}`.
pub const EMPTY_ROOT: Cid = Cid::from_digest(
    crate::block::Codec::DagCbor,
    [
        0x9d, 0xfe, 0xfe, 0x61, 0xdd, 0x76, 0xea, 0x3d, 0xca, 0xe5, 0x02, 0x38, 0x80, 0xb0, 0x83, 0x79, 0xd5,
        0x7a, 0xdf, 0x20, 0x48, 0x2d, 0x6f, 0xdb, 0xe2, 0x75, 0x92, 0x89, 0xf6, 0x47, 0x67, 0x7b,
    ],
);

/// Why a tree proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MstError {
    /// A node that is needed is not among the blocks.
    #[error("node {cid} is missing")]
    MissingNode {
        /// The node.
        cid: Cid,
    },
    /// A node is not canonical, or a member has another type.
    #[error("malformed node: {0}")]
    Block(#[from] BlockError),
    /// A node breaks a rule of the tree.
    #[error("misshapen tree: {rule}")]
    Misshapen {
        /// The rule.
        rule: &'static str,
    },
    /// An operation claims something else than the tree holds.
    #[error("the tree does not hold what the operation claims for {key}")]
    Claim {
        /// The key.
        key: String,
    },
}

/// Where nodes come from.
pub trait Blocks {
    /// Reads the block of `cid`, into `buffer` if it is not in memory; none if it is not here.
    ///
    /// # Errors
    ///
    /// A failing store.
    fn block<'b>(&'b self, cid: &Cid, buffer: &'b mut Vec<u8>) -> Result<Option<&'b [u8]>, BlockError>;
}

impl Blocks for Slice<'_> {
    fn block<'b>(&'b self, cid: &Cid, _: &'b mut Vec<u8>) -> Result<Option<&'b [u8]>, BlockError> {
        Ok(self.get(cid))
    }
}

impl Blocks for Archive {
    fn block<'b>(&'b self, cid: &Cid, buffer: &'b mut Vec<u8>) -> Result<Option<&'b [u8]>, BlockError> {
        Ok(if self.read(cid, buffer)? { Some(buffer) } else { None })
    }
}

/// Length of what `a` and `b` begin with alike, in bytes.
#[must_use]
pub fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_root_is_the_hash_of_the_empty_node() {
        assert_eq!(Cid::of(&[0xa2, 0x61, b'e', 0x80, 0x61, b'l', 0xf6]), EMPTY_ROOT);
    }
}
