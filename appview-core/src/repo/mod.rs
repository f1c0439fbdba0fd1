//! What a repository is: a signed commit over a tree of records, and the key that signs it.
//!
//! Blocks and DID documents enter; keys, commits and proofs about trees leave. Deliberately absent: messages, chains
//! of commits (that is [`crate::sync`]), JSON beyond DID documents, and SQLite.
//!
//! Follows [Repository](https://atproto.com/specs/repository) and
//! [Cryptography](https://atproto.com/specs/cryptography).

mod commit;
mod identity;
mod key;
pub mod mst;
mod op;

pub use commit::{Commit, CommitError};
pub use identity::{Identity, IdentityError};
pub use key::{KeyError, PublicKey, SignatureError};
pub use op::{NetOp, OpError, RepoOp, net_effects};
