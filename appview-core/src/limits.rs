//! Every limit of the protocol and of this implementation, once, each with where it comes from.
//!
//! Nothing enters and nothing leaves: constants only. Limits that an operator may set are not here but in the
//! configuration of the daemon.

use std::time::Duration;

/// Longest message of an event stream, in bytes.
///
/// [Event stream limits](https://atproto.com/specs/event-stream); relays refuse more.
pub const FRAME_BYTES: usize = 5_000_000;

/// Longest `blocks` of a `#commit`, in bytes ([Sync](https://atproto.com/specs/sync)).
pub const COMMIT_BLOCKS_BYTES: usize = 2_000_000;

/// Most bytes of records that one commit may put: one block of it can be many records.
pub const COMMIT_RECORDS_BYTES: usize = 2 * COMMIT_BLOCKS_BYTES;

/// Longest `blocks` of a `#sync`, in bytes ([Sync](https://atproto.com/specs/sync)).
pub const SYNC_BLOCKS_BYTES: usize = 10_000;

/// Most operations in one commit ([Sync](https://atproto.com/specs/sync)).
pub const COMMIT_OPS: usize = 200;

/// Largest record, in bytes of its block ([Repository](https://atproto.com/specs/repository)).
pub const RECORD_BYTES: usize = 1_000_000;

/// Largest block of any kind inside a CAR, in bytes: nothing legal is larger than a commit's `blocks`.
pub const BLOCK_BYTES: usize = COMMIT_BLOCKS_BYTES;

/// Largest header of a CAR, in bytes. One root takes 58; tools that write several roots stay far below this.
pub const CAR_HEADER_BYTES: usize = 4_096;

/// Deepest nesting of lists and maps in a block. The data model's guide suggests 32; a tree of this depth also fits
/// the smallest thread stacks, so that decoding may recurse.
pub const CBOR_DEPTH: usize = 32;

/// Deepest nesting of lists and objects in JSON text whose canonical form is asked for: as deep as `serde_json` goes.
pub const JSON_DEPTH: usize = 127;

/// Longest key of a tree (`collection/rkey`): 317 bytes of NSID, a slash, 512 bytes of record key.
pub const REPO_PATH_BYTES: usize = 317 + 1 + 512;

/// Most entries in one node of a tree. A key's height is a hash that an author can grind, but not this far: a node of
/// honest keys holds four on average.
pub const MST_NODE_ENTRIES: usize = 10_000;

/// Deepest tree: one layer per two leading zero bits of a SHA-256.
pub const MST_LAYERS: usize = 128;

/// Largest integer that a `seq` may be: 2^53 - 1, so that JavaScript consumers can hold it.
pub const SEQ: i64 = (1 << 53) - 1;

/// How far in the future a `rev` may lie. One signed far-future rev would otherwise wedge its repo, since every later
/// commit must exceed it ([Sync](https://atproto.com/specs/sync)).
pub const FUTURE_REV: Duration = Duration::from_secs(5 * 60);

/// Most blocks in the CAR of one repository. Twenty bytes are kept for each, so this bounds memory at 80 MB.
pub const ARCHIVE_BLOCKS: usize = 4_000_000;

/// Longest DID document, in bytes. Today's take one or two thousand.
pub const DID_DOCUMENT_BYTES: usize = 64 << 10;

/// Longest answer of a handle's host, in bytes: a DID has at most 2,048, and perhaps a line's end.
pub const HANDLE_ANSWER_BYTES: usize = 2_050;

/// Longest JSON answer to any other question, in bytes: a page of 1,000 repositories is a tenth of it.
pub const XRPC_JSON_BYTES: usize = 2 << 20;

/// Longest answer that is an error, in bytes. What is beyond is not read.
pub const XRPC_ERROR_BYTES: usize = 16 << 10;

/// Largest export of a repository, in bytes.
pub const EXPORT_BYTES: u64 = 1 << 30;

/// Largest proof of one record, in bytes: the record, and as much again of tree.
pub const RECORD_PROOF_BYTES: usize = 2 * COMMIT_BLOCKS_BYTES;

/// Most provider records of one account that are searched for a key. An account has one for each of its machines.
pub const EVIDENCE_OFFERS: u32 = 256;

/// Most other receipts for one job that a verdict looks at: each may cost it a signature. One job has one receipt.
pub const EVIDENCE_RECEIPTS: u32 = 8;

/// Most records sharing what should be used once that a verdict looks at: the settlements of one session.
pub const EVIDENCE_SHARED: u32 = 512;

/// Longest bundle of evidence, in bytes. A receipt's takes five to ten thousand, a settlement's twice that.
pub const BUNDLE_BYTES: usize = 4 << 20;

/// Most records in a bundle: more than any verdict looks at.
pub const BUNDLE_RECORDS: usize = 2_048;

/// Most DIDs whose documents or accounts a bundle may tell of.
pub const BUNDLE_DIDS: usize = 64;
