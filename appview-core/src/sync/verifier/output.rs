//! What the machine asks its driver to do, and what it tells on the way.

use super::super::change::{Change, RepoHead};
use super::super::stream::StreamId;
use crate::syntax::{Did, RepoPath};

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
    /// Said again meanwhile, it means that a try that was put off may succeed now; heed that once a minute at most.
    FetchRepo {
        /// Whose.
        did: Did,
        /// What is held: if the PDS still has exactly this, there is no need to fetch it.
        held: Option<RepoHead>,
        /// How many answers before this one led no further: wait longer each time.
        attempt: u32,
        /// Not before this moment, in microseconds since the Unix epoch; 0 at once.
        not_before: u64,
    },
    /// Ask a repository's PDS whether what is held is what it has, when there is nothing better to do; answer with
    /// [`super::Verifier::handle_current`], [`super::Verifier::handle_behind`], [`super::Verifier::handle_hosting`] or
    /// [`super::Verifier::handle_unaudited`].
    Audit {
        /// Whose.
        did: Did,
        /// What is held.
        held: RepoHead,
    },
    /// Fetch one record with its proof from its PDS, prove it with [`crate::sync::verify::verify_record`], and answer with
    /// [`super::Verifier::handle_record`]. The repository is fetched as well, so that this need not succeed.
    FetchRecord {
        /// Whose.
        did: Did,
        /// Which.
        path: RepoPath,
    },
    /// The service says that an account is inactive; ask its PDS, which decides.
    ConfirmHosting {
        /// Whose.
        did: Did,
    },
    /// An account has left its host; whatever follows from that is said apart.
    Moved {
        /// Whose.
        did: Did,
        /// The host that its document named before, as a URL, if any.
        from: Option<String>,
        /// The one that it names from here on.
        to: Option<String>,
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
    /// Hints heard.
    pub hints: u64,
    /// Records proven one by one.
    pub records: u64,
    /// Audits that found what is held.
    pub audits: u64,
    /// Audits that found something else: the repository was then fetched.
    pub audit_differences: u64,
}

/// How the repositories that are followed stand, as of the last [`super::Verifier::tick`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// How many are followed.
    pub followed: u64,
    /// Those whose account is hosted, be they shown yet or not.
    pub hosted: u64,
    /// Those that are hosted, as well proven as can be, and were shown to be current within the time that an audit of all
    /// takes.
    pub proven: u64,
    /// Those that are waiting for their export.
    pub waiting: u64,
    /// Those of which nothing has been proven yet.
    pub unproven: u64,
    /// The oldest moment at which one that is hosted and of which anything is proven was last shown to be current, in
    /// microseconds since the Unix epoch.
    pub oldest_proof: Option<u64>,
}

impl Standing {
    /// The share of what is hosted that is proven current; 1 of nothing.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share needs no more than 52 bits")]
    pub fn proven_share(&self) -> f64 {
        if self.hosted == 0 { 1.0 } else { self.proven as f64 / self.hosted as f64 }
    }
}

/// How one stream stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamStanding {
    /// Its endpoint.
    pub endpoint: String,
    /// Whether there is a connection.
    pub is_connected: bool,
    /// The newest frame that has been handled.
    pub newest: Option<i64>,
    /// When that event happened, by the service's word and to about a second, in microseconds since the Unix epoch.
    pub newest_at: Option<u64>,
    /// When that was read, by our clock: to about a second when the newest frame was handled. In microseconds since the Unix
    /// epoch.
    pub read_at: Option<u64>,
}

/// Why there is no identity for a DID.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unresolved {
    /// There is none: the DID is unknown, tombstoned, or its document names no usable key.
    Gone,
    /// Nobody could be asked.
    Unreachable,
}
