//! Content-addressed blocks: the data model's bytes, before anyone asks whose they are.
//!
//! Bytes enter (a block, a CAR, an integer of an envelope); values, block maps and CIDs leave. Every block that leaves
//! a CAR has been hashed, and every value that leaves [`cbor`] was canonical. Deliberately absent: names (DIDs, NSIDs,
//! paths), signatures, and anything that knows what a repository is.

pub mod car;
pub mod cbor;
pub mod cid;
pub mod json;

pub use cbor::{Map, Value};
pub use cid::{Cid, Codec};

/// Why bytes are not the block they claim to be. The sender's fault, always.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// The bytes end before the item does, or a length claims more than there is.
    #[error("truncated at byte {offset}")]
    Truncated {
        /// Where in the input reading stopped.
        offset: usize,
    },
    /// Something follows the one item that a block is.
    #[error("{extra} bytes after the end of the block")]
    TrailingBytes {
        /// How many bytes follow.
        extra: usize,
    },
    /// Legal CBOR that is not canonical DAG-CBOR.
    #[error("not canonical at byte {offset}: {rule}")]
    NotCanonical {
        /// Where in the input.
        offset: usize,
        /// The rule that is broken.
        rule: &'static str,
    },
    /// CBOR that the AT data model has no place for: floats, `undefined`, tags other than 42, integers beyond 64 bits.
    #[error("outside the data model at byte {offset}: {rule}")]
    DataModel {
        /// Where in the input.
        offset: usize,
        /// The rule that is broken.
        rule: &'static str,
    },
    /// An item of another kind than its place asks for.
    #[error("expected {expected} at byte {offset}, found {found}")]
    Unexpected {
        /// Where in the input.
        offset: usize,
        /// What the place asks for.
        expected: &'static str,
        /// What stands there.
        found: &'static str,
    },
    /// Lists and maps nested deeper than [`crate::limits::CBOR_DEPTH`].
    #[error("nested deeper than {} levels", crate::limits::CBOR_DEPTH)]
    TooDeep,
    /// More bytes than the limit of this kind of block.
    #[error("{what} of {found} bytes, expected at most {limit}")]
    TooLarge {
        /// What was too large.
        what: &'static str,
        /// The claimed or actual size in bytes.
        found: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A CID that is not version 1, SHA-256, DAG-CBOR or raw.
    #[error("unsupported cid: {reason}")]
    UnsupportedCid {
        /// Which part of it.
        reason: &'static str,
    },
    /// A block whose bytes do not hash to its CID.
    #[error("block does not hash to its cid {cid}")]
    HashMismatch {
        /// The CID that was claimed.
        cid: Cid,
    },
    /// A CAR whose header is not `{roots: [cid, …], version: 1}`.
    #[error("malformed car header: {reason}")]
    CarHeader {
        /// Which part of it.
        reason: &'static str,
    },
    /// Reading the bytes failed below us.
    #[error("reading failed: {kind}")]
    Io {
        /// The operating system's word for it.
        kind: std::io::ErrorKind,
    },
}

impl From<std::io::Error> for BlockError {
    fn from(error: std::io::Error) -> Self {
        Self::Io { kind: error.kind() }
    }
}
