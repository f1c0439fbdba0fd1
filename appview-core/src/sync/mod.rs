//! From bytes to a change we can swear to.
//!
//! Messages of `subscribeRepos` and repository exports enter; [`Change`]s leave, in an order that respects each
//! repository's chain. [`frame`] decodes, [`verify`] proves and is the only maker of the `Verified…` types,
//! [`verifier`] keeps the order and decides what to ask for. Deliberately absent: sockets, clocks, threads, SQLite,
//! and what a record means.
//!
//! Follows [Sync](https://atproto.com/specs/sync).

mod change;
pub mod frame;
mod park;
mod stream;
pub mod verifier;
pub mod verify;

pub use change::{
    Change, Followed, Hosting, Postponed, Proof, RecordChange, RepoHead, RepoState, StreamCursor, Watch,
};
pub use frame::{CommitEvent, Event, FrameError, SyncEvent};
pub use stream::StreamId;
pub use verifier::{Freshness, Output, Rejection, Scope, Verifier};
pub use verify::{Disposition, VerifiedCommit, VerifiedHead, VerifiedRecord, VerifiedRepo, VerifyError};
