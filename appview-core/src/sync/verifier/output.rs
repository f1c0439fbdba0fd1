//! What the machine asks its driver to do, and what it tells on the way.

use super::super::change::{Change, RepoHead};
use super::super::stream::StreamId;
use crate::syntax::Did;

/// What the driver is to do.
#[derive(Debug)]
pub enum Output {
    /// Write this, in the order given; then, or in the same transaction, the cursors of
    /// [`super::Verifier::watermarks`].
    Apply(Change),
    /// Resolve a DID and answer with [`super::Verifier::handle_identity`].
    ResolveIdentity {
        /// Whom.
        did: Did,
        /// Which answers will do.
        freshness: Freshness,
    },
    /// Resolve a DID anew, fetch its repository from the PDS that it names, prove it with
    /// [`crate::sync::verify::verify_repo`], and answer with [`super::Verifier::handle_repo`]. Try until one of them succeeds.
    FetchRepo {
        /// Whose.
        did: Did,
        /// What is held: if the PDS still has exactly this, there is no need to fetch it.
        held: Option<RepoHead>,
        /// How many answers before this one led no further: wait longer each time.
        attempt: u32,
    },
    /// The service says that an account is inactive; ask its PDS, which decides.
    ConfirmHosting {
        /// Whose.
        did: Did,
    },
    /// Something was refused.
    Reject(Rejection),
    /// The stream may have lost events: every repository that is followed will be proven.
    Gap {
        /// Which stream.
        stream: StreamId,
    },
    /// The service said something about the stream itself.
    Notice {
        /// Which stream.
        stream: StreamId,
        /// Its name for it, such as `OutdatedCursor`, `FutureCursor` or `ConsumerTooSlow`.
        name: String,
        /// What it said.
        message: Option<String>,
        /// Whether it closes the stream with this.
        closing: Closing,
    },
}

/// Whether a notice is the last message of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// It is an error message: the stream ends.
    Yes,
    /// The stream goes on.
    No,
}

/// Which answers to a resolution will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// A cached one.
    Cached,
    /// One that was asked for after this moment.
    Fresh,
}

/// Something that was refused, for logs and counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Whose repository, where that much is known.
    pub did: Option<Did>,
    /// Where in its stream, where that much is known.
    pub seq: Option<i64>,
    /// A stable word for the reason.
    pub reason: &'static str,
    /// The reason in full.
    pub detail: String,
}

/// How one frame ended, for rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// Not ours: refused by its operations alone.
    Foreign,
    /// Ours, and done with.
    Done,
    /// Ours, and known already.
    Stale,
    /// Ours, and waiting.
    Parked,
    /// Unusable.
    Rejected,
}

/// Counts since the verifier was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Frames handled, of any kind.
    pub frames: u64,
    /// Frames refused by their operations alone.
    pub foreign: u64,
    /// Frames whose envelope was not canonical.
    pub deviating: u64,
    /// Commits proven.
    pub commits: u64,
    /// Whole repositories accepted.
    pub repos: u64,
    /// Commits and syncs that were not newer than what was held: replays, copies from another stream, or what an export
    /// had already brought.
    pub stale: u64,
    /// Frames refused.
    pub rejected: u64,
    /// Operations whose path breaks the syntax, in commits that were proven.
    pub malformed_paths: u64,
}

/// Why there is no identity for a DID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unresolved {
    /// There is none: the DID is unknown, tombstoned, or its document names no usable key.
    Gone,
    /// Nobody could be asked.
    Unreachable,
}
