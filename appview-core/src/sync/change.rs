//! What the index may be told: proven record changes, and the states of repositories.
//!
//! [`VerifiedCommit`], [`VerifiedHead`], [`VerifiedRecord`] and [`VerifiedRepo`] are made in [`super::verify`] alone; [`Change`] is their
//! union with what needs no proof, because it brings no record and no head that was not proven before.
//! Deliberately absent: how any of it was learned.

use std::fmt;

use super::verify::{VerifiedCommit, VerifiedHead, VerifiedRecord, VerifiedRepo};
use crate::block::Cid;
use crate::syntax::{Did, RepoPath, Tid};

/// The point up to which one repository's chain of commits is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepoHead {
    /// Revision of the newest commit.
    pub rev: Tid,
    /// Root of the tree at that commit.
    pub data: Cid,
}

/// Whether the network hosts an account, in the words of `#account` and `getRepoStatus`
/// ([account lifecycle](https://atproto.com/specs/account)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hosting {
    /// Hosted: its records are shown.
    Active,
    /// Said to be active again, hidden until its repository has been proven anew.
    Returning,
    /// Taken down by a host's moderation.
    Takendown,
    /// Suspended for a time.
    Suspended,
    /// Deactivated by its owner.
    Deactivated,
    /// Deleted; its rows are erased once its PDS or its DID document agrees.
    Deleted,
    /// Inactive for a reason that this version has no word for.
    Inactive,
}

impl Hosting {
    /// Every state, in the order of [`Hosting::code`].
    pub const ALL: [Self; 7] = [
        Self::Active,
        Self::Returning,
        Self::Takendown,
        Self::Suspended,
        Self::Deactivated,
        Self::Deleted,
        Self::Inactive,
    ];

    /// What `#account` says. `active` alone decides visibility, whatever the status word is.
    #[must_use]
    pub fn from_event(active: bool, status: Option<&str>) -> Self {
        match (active, status) {
            (true, _) => Self::Active,
            (false, Some("takendown")) => Self::Takendown,
            (false, Some("suspended")) => Self::Suspended,
            (false, Some("deactivated")) => Self::Deactivated,
            (false, Some("deleted")) => Self::Deleted,
            (false, _) => Self::Inactive,
        }
    }

    /// Whether a host has the account, so that its commits are proven, be its records shown yet or not.
    #[must_use]
    pub const fn is_hosted(self) -> bool {
        matches!(self, Self::Active | Self::Returning)
    }

    /// Whether the account's records are served and counted in the fingerprint.
    #[must_use]
    pub const fn is_visible(self) -> bool {
        matches!(self, Self::Active)
    }

    /// The protocol's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Returning => "returning",
            Self::Takendown => "takendown",
            Self::Suspended => "suspended",
            Self::Deactivated => "deactivated",
            Self::Deleted => "deleted",
            Self::Inactive => "inactive",
        }
    }

    /// The number that stands for it in a row.
    #[must_use]
    pub const fn code(self) -> i64 {
        match self {
            Self::Active => 0,
            Self::Returning => 1,
            Self::Takendown => 2,
            Self::Suspended => 3,
            Self::Deactivated => 4,
            Self::Deleted => 5,
            Self::Inactive => 6,
        }
    }
}

impl fmt::Display for Hosting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How well what is stored of a repository is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Proof {
    /// Signed by the key that its DID document names, or by a former one at a time when the audit log names it.
    Full,
    /// A repository that moved in: signed by the former host's key, valid at that revision by the audit log. Holds
    /// until its next commit.
    Provisional,
    /// Its chain broke, or it was never fetched: to be proven from its PDS. What was proven before is still served.
    Desynchronized,
}

impl Proof {
    /// Every state, in the order of [`Proof::code`].
    pub const ALL: [Self; 3] = [Self::Full, Self::Provisional, Self::Desynchronized];

    /// The number that stands for it in a row.
    #[must_use]
    pub const fn code(self) -> i64 {
        match self {
            Self::Full => 0,
            Self::Provisional => 1,
            Self::Desynchronized => 2,
        }
    }

    /// A word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Provisional => "provisional",
            Self::Desynchronized => "desynchronized",
        }
    }
}

/// What the index remembers of one repository, and the verifier starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RepoState {
    /// The head of its chain; none before its first proof.
    pub head: Option<RepoHead>,
    /// Whether the network hosts the account.
    pub hosting: Hosting,
    /// How well it is proven.
    pub proof: Proof,
    /// How well the head was proven before it was doubted: what [`Change::Current`] restores. None while it is not
    /// doubted, and where nothing was ever proven.
    pub proven: Option<Proof>,
}

impl RepoState {
    /// Of a repository that is followed from here on: nothing of it is proven yet.
    pub(crate) const UNPROVEN: Self =
        Self { head: None, hosting: Hosting::Active, proof: Proof::Desynchronized, proven: None };

    /// Of a repository that was erased, and is hosted like this from then on.
    pub(crate) const fn erased(hosting: Hosting) -> Self {
        Self { hosting, ..Self::UNPROVEN }
    }

    /// Sets the head of the chain, and how well it is proven.
    pub(crate) const fn prove(&mut self, head: RepoHead, proof: Proof) {
        (self.head, self.proof, self.proven) = (Some(head), proof, None);
    }

    /// Has it proven from its PDS, and keeps in mind how well it was proven so far.
    pub(crate) const fn doubt(&mut self) {
        if !matches!(self.proof, Proof::Desynchronized) {
            (self.proof, self.proven) = (Proof::Desynchronized, Some(self.proof));
        }
    }

    /// Ends the doubt: it is as well proven as before. Changes nothing if nothing was.
    pub(crate) const fn trust(&mut self) {
        if let Some(proof) = self.proven {
            (self.proof, self.proven) = (proof, None);
        }
    }
}

/// What an index remembers for itself about a repository that it follows: by its own clock, and in nothing that is served,
/// ordered or added up. Moments are in microseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Watch {
    /// When its head was last shown to be what its owner signed last: by a commit, an export, or its PDS's word.
    pub proven_at: Option<u64>,
    /// Since when its account has been hidden; none while it is shown.
    pub hidden_at: Option<u64>,
    /// That its export could not be had, and when it will be asked for again.
    pub postponed: Option<Postponed>,
}

/// A fetch that failed and is due again later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Postponed {
    /// How many tries have failed in a row.
    pub attempt: u32,
    /// When the next one is due, in microseconds since the Unix epoch.
    pub until: u64,
}

/// A repository that an index follows, with all that is remembered of it: where a verifier starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// Whose.
    pub did: Did,
    /// What was proven of it, and how it is hosted.
    pub state: RepoState,
    /// What the index remembers for itself.
    pub watch: Watch,
}

/// A place in one service's stream: it means nothing at another endpoint.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamCursor {
    /// The endpoint's URL, as the operator wrote it.
    pub endpoint: String,
    /// The newest event whose effects, and those of all before it, are in the same transaction.
    pub seq: i64,
}

/// What a proven commit does to one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordChange {
    /// The record is now this block.
    Put {
        /// Where it stands.
        path: RepoPath,
        /// Its address.
        cid: Cid,
        /// Its bytes as signed: they hash to `cid`, and nothing else about them is known.
        block: Box<[u8]>,
    },
    /// The record is gone.
    Delete {
        /// Where it stood.
        path: RepoPath,
    },
}

impl RecordChange {
    /// Bytes of the record's block.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match self {
            Self::Put { block, .. } => block.len(),
            Self::Delete { .. } => 0,
        }
    }
}

/// One thing to write, in the order given by the verifier.
#[derive(Debug)]
pub enum Change {
    /// A commit's records and head; the repository is then fully proven.
    Commit(VerifiedCommit),
    /// A whole repository, to be applied as the difference to what is stored, deletes included.
    Repo(VerifiedRepo),
    /// A head that moved without any record changing.
    Head(VerifiedHead),
    /// One record as it is at a commit newer than the head, which stays where it is: what else that commit did is not known.
    Record(VerifiedRecord),
    /// The repository's PDS still has the revision that is held: it is as well proven as it was before it was doubted.
    /// How well that was is the index's to know. It can raise nothing that was not proven: without a proof before the
    /// doubt, or with another head in the index, the repository stays to be proven.
    Current {
        /// The repository.
        did: Did,
        /// What its PDS has.
        head: RepoHead,
    },
    /// The account's hosting changed: its records appear or disappear, none is lost and none is new.
    /// [`Hosting::Active`] shows what is stored, all of it proven once, though perhaps doubted since; of a repository
    /// without a head that is nothing. It needs no proof because accounts sign nothing about their hosting.
    Hosting {
        /// The account.
        did: Did,
        /// What it is from here on.
        hosting: Hosting,
    },
    /// The repository is followed from here on, and has to be proven from its PDS. What is stored of it is shown as
    /// before.
    Desynchronized {
        /// The repository.
        did: Did,
    },
    /// Every row of an account's repository is erased; that it is not hosted is kept, so that nothing late can bring a row
    /// back.
    Erase {
        /// The account.
        did: Did,
        /// How it is hosted: [`Hosting::Deleted`], or hidden for longer than its records are kept.
        hosting: Hosting,
    },
    /// The repository is not followed any more: every row of it is erased, and that there was one.
    Forget {
        /// The repository.
        did: Did,
    },
    /// Its export could not be had, and will be asked for again later.
    Postponed {
        /// The repository.
        did: Did,
        /// How often, and when.
        postponed: Postponed,
    },
}

impl Change {
    /// The repository it is about.
    #[must_use]
    pub const fn did(&self) -> &Did {
        match self {
            Self::Commit(commit) => commit.did(),
            Self::Repo(repo) => repo.did(),
            Self::Head(head) => head.did(),
            Self::Record(record) => record.did(),
            Self::Current { did, .. }
            | Self::Hosting { did, .. }
            | Self::Desynchronized { did }
            | Self::Erase { did, .. }
            | Self::Forget { did }
            | Self::Postponed { did, .. } => did,
        }
    }
}
