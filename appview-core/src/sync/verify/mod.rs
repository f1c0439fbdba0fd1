//! Proof: the only room that makes a [`VerifiedCommit`], a [`VerifiedHead`], a [`VerifiedRecord`] or a [`VerifiedRepo`].
//!
//! A message or an export, the chain's head and an [`Identity`] enter; a proof or the reason against it leaves.
//! Each is one function, so that nobody can check the signature and forget the tree. All are pure: time is handed in,
//! nothing is fetched, nothing is remembered. Deliberately absent: what to do about a failure; that is policy and
//! stands in [`VerifyError::disposition`] and the verifier.
//!
//! The order of checks follows cost: what is cheap and certain comes first, the signature and the tree last.

mod proven;
mod walk;

pub use proven::{VerifiedCommit, VerifiedHead, VerifiedRecord, VerifiedRepo};

use crate::block::car::{Archive, Slice};
use crate::block::{BlockError, Cid};
use crate::limits;
use crate::repo::mst::{self, EMPTY_ROOT, MstError, Tree};
use crate::repo::{
    Commit, CommitError, Identity, NetOp, OpError, PublicKey, RepoOp, SignatureError, net_effects,
};
use crate::syntax::{Did, RepoPath, Tid, repo_path_parts};

use super::change::{Proof, RecordChange, RepoHead};
use super::frame::{CommitEvent, SyncEvent};

/// What the records of any export may take together, in bytes; of a larger one four times its own size.
const BUDGET_AT_LEAST: u64 = 16 << 20;

/// Why something is not proven.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// A revision further in the future than clocks may differ.
    #[error("rev {rev} lies in the future")]
    FutureRev {
        /// The revision.
        rev: Tid,
    },
    /// Not newer than what is held: a replay, or another relay's copy.
    #[error("rev {rev} is not newer than {held}")]
    StaleRev {
        /// The revision.
        rev: Tid,
        /// The head's.
        held: Tid,
    },
    /// More bytes than a message of its kind may carry, or blocks left out because of that.
    #[error("the blocks of the message are too large or left out")]
    OverLimit,
    /// The CAR cannot be read, or a block does not hash to its CID.
    #[error(transparent)]
    Block(#[from] BlockError),
    /// The CAR's root is not the one commit that the message names.
    #[error("expected the commit as the only root of the car")]
    Root,
    /// The commit object is not among the blocks.
    #[error("commit {cid} is missing")]
    MissingCommit {
        /// The commit.
        cid: Cid,
    },
    /// The commit object cannot be read.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Message and signed object disagree.
    #[error("{member} of the message is not that of the signed commit")]
    Envelope {
        /// What they disagree about.
        member: &'static str,
    },
    /// The commit does not follow the one that is held.
    #[error(
        "expected a commit on rev {} and data {}, found since {} and prevData {}",
        or_none(held.map(|held| held.rev)), or_none(held.map(|held| held.data)), or_none(*since), or_none(*prev_data)
    )]
    ChainBreak {
        /// The head.
        held: Option<RepoHead>,
        /// Which revision the commit follows.
        since: Option<Tid>,
        /// Which tree the commit follows.
        prev_data: Option<Cid>,
    },
    /// The signature does not hold.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The operations say nothing definite.
    #[error(transparent)]
    Op(#[from] OpError),
    /// The tree does not hold what the operations claim, or not enough of it is here.
    #[error(transparent)]
    Mst(#[from] MstError),
    /// The operations, undone, do not lead to the tree before.
    #[error("the operations lead back to {found}, expected {expected}")]
    Inversion {
        /// The tree before, by `prevData`.
        expected: Cid,
        /// Where undoing the operations led.
        found: Cid,
    },
    /// The block of a record is missing.
    #[error("record {cid} is missing")]
    MissingRecord {
        /// The record.
        cid: Cid,
    },
}

fn or_none(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| value.to_string())
}

/// What is to be done about a failed proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Count it and go on: it never happened.
    Drop,
    /// Resolve the identity past every cache and try once more.
    RefreshKey,
    /// Prove the whole repository from its PDS.
    Resync,
}

impl VerifyError {
    /// What is to be done; every variant is decided here and nowhere else.
    #[must_use]
    pub const fn disposition(&self) -> Disposition {
        match self {
            // Whoever may write to a relay could forge these: they say nothing about the repository.
            Self::FutureRev { .. }
            | Self::StaleRev { .. }
            | Self::Root
            | Self::Commit(_)
            | Self::Envelope { .. } => Disposition::Drop,
            Self::Signature(_) => Disposition::RefreshKey,
            // The signed chain goes on somewhere that these messages do not show.
            Self::OverLimit
            | Self::Block(_)
            | Self::MissingCommit { .. }
            | Self::ChainBreak { .. }
            | Self::Op(_)
            | Self::Mst(_)
            | Self::Inversion { .. }
            | Self::MissingRecord { .. } => Disposition::Resync,
        }
    }

    /// Whether it was found in something that the repository's key has signed, and not merely in what a courier brought.
    #[must_use]
    pub const fn is_signed(&self) -> bool {
        match self {
            Self::ChainBreak { .. }
            | Self::Op(_)
            | Self::Mst(_)
            | Self::Inversion { .. }
            | Self::MissingRecord { .. } => true,
            Self::FutureRev { .. }
            | Self::StaleRev { .. }
            | Self::OverLimit
            | Self::Block(_)
            | Self::Root
            | Self::MissingCommit { .. }
            | Self::Commit(_)
            | Self::Envelope { .. }
            | Self::Signature(_) => false,
        }
    }

    /// A stable word for metrics.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::FutureRev { .. } => "future-rev",
            Self::StaleRev { .. } => "stale-rev",
            Self::OverLimit => "over-limit",
            Self::Block(_) => "bad-block",
            Self::Root => "bad-root",
            Self::MissingCommit { .. } => "missing-commit",
            Self::Commit(_) => "bad-commit",
            Self::Envelope { .. } => "envelope-mismatch",
            Self::ChainBreak { .. } => "chain-break",
            Self::Signature(_) => "bad-signature",
            Self::Op(_) => "indefinite-ops",
            Self::Mst(_) => "bad-tree",
            Self::Inversion { .. } => "bad-inversion",
            Self::MissingRecord { .. } => "missing-record",
        }
    }
}

/// Proves one `#commit` against the head that is held.
///
/// Without a head the commit must be the first that put anything into its repository: undoing its operations must leave
/// the empty tree. `now` is in microseconds since the Unix epoch. Only paths that start with `namespace` become
/// changes; all others are proven and left out. An operation on a malformed path changes no record, but is undone
/// like any other.
///
/// # Errors
///
/// [`VerifyError`], in the order of the checks.
///
/// ```
/// use appview_core::source::replay::{Identities, Recording};
/// use appview_core::sync::Event;
/// use appview_core::sync::verify::verify_commit;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let identities = Identities::open("../fixtures/pds-scenario-a/plc.json")?;
/// let ada = identities.get("did:plc:2772a7bv57z4lhimh7z466vo").ok_or("somebody")?;
/// let mut recording = Recording::open("../fixtures/pds-scenario-a/frames-live.bin")?;
/// let (mut frame, mut head, mut records) = (Vec::new(), None, 0);
/// while recording.next_frame(&mut frame)? {
///     let (Event::Commit(event), _) = Event::decode(&frame)? else { continue };
///     if event.repo != ada.did().as_str() {
///         continue;
///     }
///     // Each commit is proven on top of the one before, from the empty repository on.
///     let now = event.rev.micros();
///     let proven = verify_commit(&event, head, ada, "dev.cocore.", now)?;
///     records += proven.changes().len();
///     head = Some(proven.head());
///     // The same once more follows nothing that is held.
///     assert!(verify_commit(&event, head, ada, "dev.cocore.", now).is_err());
/// }
/// assert!(records > 5);
/// # Ok(())
/// # }
/// ```
pub fn verify_commit(
    event: &CommitEvent<'_>,
    head: Option<RepoHead>,
    identity: &Identity,
    namespace: &str,
    now: u64,
) -> Result<VerifiedCommit, VerifyError> {
    check_rev(event.rev, head, now)?;
    check_event(event, now)?;
    let blocks = Slice::parse(event.blocks)?;
    let commit = signed_object(&blocks, Some(event.commit))?;
    bind(&commit, identity.did(), event.repo, event.rev)?;
    // The signature comes first even where the chain is broken: only its owner can make us fetch a repository.
    commit.verify(key_at(identity, commit.rev)?)?;
    let follows = match head {
        Some(head) => event.since == Some(head.rev) && event.prev_data == Some(head.data),
        None => event.prev_data.is_none_or(|data| data == EMPTY_ROOT),
    };
    if !follows {
        let (since, prev_data) = (event.since, event.prev_data);
        return Err(VerifyError::ChainBreak { held: head, since, prev_data });
    }
    let net = net_effects(&event.ops)?;
    let mut tree = Tree::new(&blocks, &commit.data)?;
    for op in &net {
        tree.undo(op.path.as_bytes(), op.before, op.after)?;
    }
    let (expected, found) = (head.map_or(EMPTY_ROOT, |head| head.data), tree.root());
    if found != expected {
        return Err(VerifyError::Inversion { expected, found });
    }
    Ok(VerifiedCommit {
        did: identity.did().clone(),
        head: RepoHead { rev: commit.rev, data: commit.data },
        after: head,
        changes: changes(&net, &blocks, namespace)?,
    })
}

/// Proves a `#sync` whose tree is the one that is held.
///
/// # Errors
///
/// [`VerifyError::ChainBreak`] if the tree is another one: it takes the whole repository to prove that. The rest as for
/// [`verify_commit`].
pub fn verify_sync(
    event: &SyncEvent<'_>,
    head: Option<RepoHead>,
    identity: &Identity,
    now: u64,
) -> Result<VerifiedHead, VerifyError> {
    match head {
        // After a creation, `#sync` repeats the revision of the `#commit` before it: nothing new, and no replay.
        Some(held) if held.rev == event.rev => {}
        _ => check_rev(event.rev, head, now)?,
    }
    if event.blocks.len() > limits::SYNC_BLOCKS_BYTES {
        return Err(VerifyError::OverLimit);
    }
    let blocks = Slice::parse(event.blocks)?;
    let commit = signed_object(&blocks, None)?;
    bind(&commit, identity.did(), event.did, commit.rev)?;
    commit.verify(key_at(identity, commit.rev)?)?;
    if commit.rev != event.rev {
        // A host that imported the repository announces a revision of its own.
        return Err(VerifyError::ChainBreak { held: head, since: None, prev_data: None });
    }
    if head.is_none_or(|head| head.data != commit.data) {
        return Err(VerifyError::ChainBreak { held: head, since: None, prev_data: Some(commit.data) });
    }
    let head = RepoHead { rev: commit.rev, data: commit.data };
    Ok(VerifiedHead { did: identity.did().clone(), head })
}

/// Proves one record, or that there is none, by the CAR that `getRecord` answers with: the signed commit, the tree's nodes on
/// the way to the path, and the record's block.
///
/// # Errors
///
/// [`VerifyError`]; a signature by a former key is one.
pub fn verify_record(
    car: &[u8],
    path: &RepoPath,
    identity: &Identity,
    now: u64,
) -> Result<VerifiedRecord, VerifyError> {
    let blocks = Slice::parse(car)?;
    let commit = signed_object(&blocks, None)?;
    bind(&commit, identity.did(), identity.did().as_str(), commit.rev)?;
    check_rev(commit.rev, None, now)?;
    commit.verify(identity.key())?;
    let path = path.clone();
    let change = match mst::lookup(&blocks, &commit.data, path.to_string().as_bytes())? {
        None => RecordChange::Delete { path },
        Some(cid) => {
            let block = blocks.get(&cid).ok_or(VerifyError::MissingRecord { cid })?;
            RecordChange::Put { path, cid, block: block.into() }
        }
    };
    let head = RepoHead { rev: commit.rev, data: commit.data };
    Ok(VerifiedRecord { did: identity.did().clone(), head, change })
}

/// Proves a whole repository: its commit, and its tree as far as it holds paths that start with `namespace`.
///
/// Subtrees that lie wholly outside the namespace are not read; the root's hash covers them, and they prove nothing
/// that is asked here.
///
/// # Errors
///
/// [`VerifyError`]. A signature by a former key is not one, if the audit log says that the key was valid at the
/// commit's revision: the proof is then [`Proof::Provisional`].
///
/// ```
/// use appview_core::block::Cid;
/// use appview_core::source::now;
/// use appview_core::source::replay::{Identities, RepoFolder, open_export};
/// use appview_core::sync::verify::verify_repo;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let identities = Identities::open("../fixtures/pds-scenario-a/plc.json")?;
/// for car in RepoFolder::new("../fixtures/pds-scenario-a/repos").cars()? {
///     // Whose it claims to be, and its blocks, each of which has been hashed.
///     let (did, archive) = open_export(&car)?;
///     let identity = identities.get(did.as_str()).ok_or("a document")?;
///     let proven = verify_repo(archive, identity, "dev.cocore.", now())?;
///     println!("{did} at {}: {} records", proven.head().rev, proven.count());
/// }
/// # Ok(())
/// # }
/// ```
pub fn verify_repo(
    archive: Archive,
    identity: &Identity,
    namespace: &str,
    now: u64,
) -> Result<VerifiedRepo, VerifyError> {
    let mut buffer = Vec::new();
    let cid = match archive.roots() {
        [root, ..] => *root,
        [] => return Err(VerifyError::Root),
    };
    if !archive.read(&cid, &mut buffer)? {
        return Err(VerifyError::MissingCommit { cid });
    }
    let commit = Commit::decode(&buffer)?;
    if commit.did != identity.did().as_str() {
        return Err(VerifyError::Envelope { member: "did" });
    }
    check_rev(commit.rev, None, now)?;
    let proof = match (commit.verify(identity.key()), identity.former_key(commit.rev)) {
        (Ok(()), _) => Proof::Full,
        (Err(_), Some(former)) if former != identity.key() => {
            commit.verify(former)?;
            Proof::Provisional
        }
        (Err(error), _) => return Err(error.into()),
    };
    let head = RepoHead { rev: commit.rev, data: commit.data };
    // As in a commit: one block may be many records, which must not take much more than the export itself.
    let budget = archive.block_bytes().saturating_mul(4).saturating_add(BUDGET_AT_LEAST);
    let (mut count, mut bytes) = (0_u64, 0_u64);
    walk::each_record::<VerifyError>(&archive, &head.data, namespace, |_, cid| {
        let size = archive.size(cid)?.ok_or(VerifyError::MissingRecord { cid: *cid })?;
        (count, bytes) = (count.saturating_add(1), bytes.saturating_add(size as u64));
        if bytes > budget { Err(VerifyError::OverLimit) } else { Ok(()) }
    })?;
    let did = identity.did().clone();
    Ok(VerifiedRepo { did, head, proof, namespace: namespace.into(), count, archive })
}

/// The key to check a live commit with; none was valid then if the DID had been tombstoned.
fn key_at(identity: &Identity, rev: Tid) -> Result<&PublicKey, SignatureError> {
    identity.key_at(rev).ok_or(SignatureError::Mismatch)
}

/// What can be said against a message without its blocks or a key.
pub(super) fn check_event(event: &CommitEvent<'_>, now: u64) -> Result<(), VerifyError> {
    check_rev(event.rev, None, now)?;
    if event.too_big || event.blocks.len() > limits::COMMIT_BLOCKS_BYTES {
        return Err(VerifyError::OverLimit);
    }
    Ok(())
}

fn check_rev(rev: Tid, head: Option<RepoHead>, now: u64) -> Result<(), VerifyError> {
    let tolerance = u64::try_from(limits::FUTURE_REV.as_micros()).unwrap_or(u64::MAX);
    if rev.micros() > now.saturating_add(tolerance) {
        return Err(VerifyError::FutureRev { rev });
    }
    match head {
        Some(head) if rev <= head.rev => Err(VerifyError::StaleRev { rev, held: head.rev }),
        _ => Ok(()),
    }
}

/// The commit object of a message's CAR: its only root, and the one that the message names if it names one.
fn signed_object<'a>(blocks: &Slice<'a>, named: Option<Cid>) -> Result<Commit<'a>, VerifyError> {
    let cid = match (blocks.roots(), named) {
        ([root], None) => *root,
        ([root], Some(named)) if *root == named => *root,
        _ => return Err(VerifyError::Root),
    };
    let block = blocks.get(&cid).ok_or(VerifyError::MissingCommit { cid })?;
    Ok(Commit::decode(block)?)
}

fn bind(commit: &Commit<'_>, did: &Did, repo: &str, rev: Tid) -> Result<(), VerifyError> {
    if commit.did != repo || commit.did != did.as_str() {
        return Err(VerifyError::Envelope { member: "did" });
    }
    if commit.rev != rev {
        return Err(VerifyError::Envelope { member: "rev" });
    }
    Ok(())
}

fn changes(net: &[NetOp<'_>], blocks: &Slice<'_>, namespace: &str) -> Result<Vec<RecordChange>, VerifyError> {
    let mut changes = Vec::new();
    // A block is in the message once, however many records it is: what they take together is bounded as well.
    let mut bytes = 0_usize;
    for op in net.iter().filter(|op| op.path.starts_with(namespace)) {
        let Ok(path) = op.path.parse::<RepoPath>() else {
            continue;
        };
        changes.push(match op.after {
            None => RecordChange::Delete { path },
            Some(cid) => {
                let block = blocks.get(&cid).ok_or(VerifyError::MissingRecord { cid })?;
                bytes = bytes.saturating_add(block.len());
                if bytes > limits::COMMIT_RECORDS_BYTES {
                    return Err(VerifyError::OverLimit);
                }
                RecordChange::Put { path, cid, block: block.into() }
            }
        });
    }
    Ok(changes)
}

/// How many operations stand on paths that break the syntax, and hence change no record.
#[must_use]
pub fn malformed_paths(ops: &[RepoOp<'_>]) -> usize {
    ops.iter().filter(|op| repo_path_parts(op.path()).is_err()).count()
}
