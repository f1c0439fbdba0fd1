//! One message of an event stream: bytes in, [`Event`] out.
//!
//! [`glance`] decides from the operations alone whether a frame can concern us; it allocates nothing and never
//! looks inside `blocks`, because nearly all of the network's traffic ends there. [`Event::decode`] reads the rest,
//! still borrowing. The envelope is read whatever its key order or integer form; the blocks inside are not decoded
//! here. Deliberately absent: any judgement of whether what a message claims is true.
//!
//! Follows [Event Stream](https://atproto.com/specs/event-stream) and
//! [`subscribeRepos`](https://docs.bsky.app/docs/api/com-atproto-sync-subscribe-repos).

use crate::block::cbor::{Kind, Reader};
use crate::block::{BlockError, Cid};
use crate::limits;
use crate::repo::RepoOp;
use crate::syntax::{SyntaxError, Tid, datetime_unix_micros};

/// Why a message cannot be read. The relay's fault, or whose it passes on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// Not two items of CBOR, or a member of another type.
    #[error("malformed frame: {0}")]
    Block(#[from] BlockError),
    /// Longer than the limit of the protocol.
    #[error("frame of {found} bytes, expected at most {}", limits::FRAME_BYTES)]
    TooLarge {
        /// Its length in bytes.
        found: usize,
    },
    /// A member that the message needs is not there.
    #[error("{message} without {member}")]
    Missing {
        /// The message.
        message: &'static str,
        /// The member.
        member: &'static str,
    },
    /// A member is there twice, so that readers could disagree.
    #[error("{member} stands twice in one frame")]
    Twice {
        /// The member.
        member: &'static str,
    },
    /// `seq` is not a positive integer below 2^53.
    #[error("expected a positive seq below 2^53, found {found}")]
    Seq {
        /// What stands there.
        found: i64,
    },
    /// A revision is no TID.
    #[error("{member}: {error}")]
    Rev {
        /// Which member.
        member: &'static str,
        /// What is wrong with it.
        error: SyntaxError,
    },
    /// An operation is none of create, update and delete with what each needs.
    #[error("malformed operation: {reason}")]
    Op {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// More operations than one commit may have.
    #[error("{found} operations, expected at most {}", limits::COMMIT_OPS)]
    TooManyOps {
        /// How many.
        found: usize,
    },
}

/// A `#commit`: one commit of one repository, as claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitEvent<'a> {
    /// Place in the stream.
    pub seq: i64,
    /// Whose repository; unchecked text.
    pub repo: &'a str,
    /// The commit object.
    pub commit: Cid,
    /// Its revision.
    pub rev: Tid,
    /// The revision before it; none for the first.
    pub since: Option<Tid>,
    /// Root of the tree before it; left out by hosts that predate Sync 1.1.
    pub prev_data: Option<Cid>,
    /// A CAR with the commit, changed records and the nodes that prove the change.
    pub blocks: &'a [u8],
    /// The operations, in the order given.
    pub ops: Vec<RepoOp<'a>>,
    /// Deprecated: the blocks were left out.
    pub too_big: bool,
}

/// A `#sync`: the state of a repository, without saying how it came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncEvent<'a> {
    /// Place in the stream.
    pub seq: i64,
    /// Whose repository; unchecked text.
    pub did: &'a str,
    /// Its revision.
    pub rev: Tid,
    /// A CAR with the commit object.
    pub blocks: &'a [u8],
}

/// One message of `subscribeRepos`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A commit.
    Commit(CommitEvent<'a>),
    /// A repository's state.
    Sync(SyncEvent<'a>),
    /// A DID document may have changed.
    Identity {
        /// Place in the stream.
        seq: i64,
        /// Whose; unchecked text.
        did: &'a str,
    },
    /// An account's hosting changed.
    Account {
        /// Place in the stream.
        seq: i64,
        /// Whose; unchecked text.
        did: &'a str,
        /// Whether it is hosted.
        active: bool,
        /// Why not.
        status: Option<&'a str>,
    },
    /// A note from the service about the stream.
    Info {
        /// Its kind, `OutdatedCursor` being the one that is known.
        name: &'a str,
        /// For people.
        message: Option<&'a str>,
    },
    /// The service ends the stream.
    Error {
        /// Its kind, such as `FutureCursor` or `ConsumerTooSlow`.
        name: &'a str,
        /// For people.
        message: Option<&'a str>,
    },
    /// A message of a kind that this version does not know, to be passed over and counted.
    Unknown {
        /// Its `op`.
        op: i64,
        /// Its `t`.
        kind: Option<&'a str>,
        /// Its place in the stream, if it has one.
        seq: Option<i64>,
    },
}

impl Event<'_> {
    /// Its place in the stream.
    #[must_use]
    pub const fn seq(&self) -> Option<i64> {
        match self {
            Self::Commit(CommitEvent { seq, .. })
            | Self::Sync(SyncEvent { seq, .. })
            | Self::Identity { seq, .. }
            | Self::Account { seq, .. } => Some(*seq),
            Self::Unknown { seq, .. } => *seq,
            Self::Info { .. } | Self::Error { .. } => None,
        }
    }
}

/// What a frame is about, as far as its operations tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Glance<'a> {
    /// A `#commit`.
    Commit {
        /// Place in the stream.
        seq: i64,
        /// Whose repository; unchecked text.
        repo: &'a str,
        /// Whether an operation's path starts with the namespace.
        in_namespace: bool,
    },
    /// Anything else: decode it.
    Other,
}

/// Looks at the operations of a `#commit` and no further.
///
/// In the canonical order `ops`, `seq` and `repo` stand before `blocks`, so that the answer takes the first few hundred
/// bytes of a frame. Nothing depends on that order: whatever stands elsewhere is passed over by its length.
///
/// # Errors
///
/// [`FrameError`], as far as it looked.
pub fn glance<'a>(frame: &'a [u8], namespace: &str) -> Result<Glance<'a>, FrameError> {
    let (Header::Message("#commit"), mut reader) = header(frame)? else {
        return Ok(Glance::Other);
    };
    let (mut ops, mut seq, mut repo) = (None, None, None);
    for _ in 0..reader.map()? {
        match reader.text_bytes()? {
            b"ops" => ops = Some(touches(&mut reader, namespace)?),
            b"seq" => seq = Some(reader.integer()?),
            b"repo" => repo = Some(reader.text()?),
            // Stands in every commit between those above; what it says is for the decoder.
            b"rev" => _ = reader.text_bytes()?,
            _ => reader.skip(0)?,
        }
        if let (Some(in_namespace), Some(seq), Some(repo)) = (ops, seq, repo) {
            return Ok(Glance::Commit { seq: check_seq(seq)?, repo, in_namespace });
        }
    }
    let member = match (ops, seq) {
        (None, _) => "ops",
        (_, None) => "seq",
        _ => "repo",
    };
    Err(FrameError::Missing { message: "#commit", member })
}

/// When a message's event happened, by the service's word, in microseconds since the Unix epoch; none if it does not say.
#[must_use]
pub fn happened_at(frame: &[u8]) -> Option<u64> {
    let (_, mut reader) = header(frame).ok()?;
    for _ in 0..reader.map().ok()? {
        match reader.text_bytes().ok()? {
            b"time" => return u64::try_from(datetime_unix_micros(reader.text().ok()?).ok()?).ok(),
            _ => reader.skip(0).ok()?,
        }
    }
    None
}

/// Whether any operation's path starts with `namespace`; reads no further than the first that does.
fn touches(reader: &mut Reader<'_>, namespace: &str) -> Result<bool, FrameError> {
    let mut touches = false;
    for _ in 0..reader.list()? {
        for _ in 0..reader.map()? {
            match reader.text_bytes()? {
                b"path" => touches |= reader.text_bytes()?.starts_with(namespace.as_bytes()),
                b"action" => _ = reader.text_bytes()?,
                _ => reader.skip(0)?,
            }
        }
    }
    Ok(touches)
}

enum Header<'a> {
    Message(&'a str),
    Error,
    Unknown(i64, Option<&'a str>),
}

/// The canonical header of a commit.
const COMMIT_HEADER: &[u8] = b"\xa2\x61t\x67#commit\x62op\x01";

/// Reads the first of a frame's two items; the reader that is returned stands before the second.
#[inline(always)]
fn header(frame: &[u8]) -> Result<(Header<'_>, Reader<'_>), FrameError> {
    if frame.len() > limits::FRAME_BYTES {
        return Err(FrameError::TooLarge { found: frame.len() });
    }
    if let Some(body) = frame.strip_prefix(COMMIT_HEADER) {
        return Ok((Header::Message("#commit"), Reader::lenient(body)));
    }
    other_header(frame)
}

#[inline(never)]
fn other_header(frame: &[u8]) -> Result<(Header<'_>, Reader<'_>), FrameError> {
    let mut reader = Reader::lenient(frame);
    let (mut op, mut kind) = (None, None);
    let mut previous = None;
    for _ in 0..reader.map()? {
        let key = reader.key_bytes(previous)?;
        previous = Some(key);
        match key {
            b"op" => set(&mut op, reader.integer()?, "op")?,
            b"t" => set(&mut kind, reader.text()?, "t")?,
            _ => reader.skip_value(key)?,
        }
    }
    let header = match (op, kind) {
        (Some(1), Some(kind)) => Header::Message(kind),
        (Some(-1), _) => Header::Error,
        (Some(op), kind) => Header::Unknown(op, kind),
        (None, _) => {
            return Err(FrameError::Missing { message: "a header", member: "op" });
        }
    };
    Ok((header, reader))
}

impl<'a> Event<'a> {
    /// Decodes a frame; the second value counts how often its envelope left the canonical form.
    ///
    /// # Errors
    ///
    /// [`FrameError`]. The frame is then unusable as a whole; nothing of it was trusted.
    ///
    /// ```
    /// use appview_core::source::replay::Recording;
    /// use appview_core::sync::Event;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut recording = Recording::open("../fixtures/pds-scenario-a/frames-live.bin")?;
    /// let mut frame = Vec::new();
    /// recording.next_frame(&mut frame)?;
    /// let (event, deviations) = Event::decode(&frame)?;
    /// // What is heard of an account first. Its DID is text that nobody has checked yet.
    /// assert!(matches!(event, Event::Identity { seq: 1, did } if did.starts_with("did:plc:")));
    /// assert_eq!(deviations, 0);
    /// assert!(Event::decode(&frame[1..]).is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn decode(frame: &'a [u8]) -> Result<(Self, u32), FrameError> {
        let (header, mut reader) = header(frame)?;
        let members = Members::read(&mut reader)?;
        reader.end()?;
        let event = match header {
            Header::Message("#commit") => Self::Commit(members.commit()?),
            Header::Message("#sync") => Self::Sync(members.sync()?),
            Header::Message("#identity") => {
                Self::Identity { seq: members.seq("#identity")?, did: members.did("#identity")? }
            }
            Header::Message("#account") => Self::Account {
                seq: members.seq("#account")?,
                did: members.did("#account")?,
                active: needed(members.active, "#account", "active")?,
                status: members.status,
            },
            Header::Message("#info") => {
                Self::Info { name: needed(members.name, "#info", "name")?, message: members.message }
            }
            Header::Error => {
                Self::Error { name: needed(members.error, "an error", "error")?, message: members.message }
            }
            Header::Message(kind) => {
                Self::Unknown { op: 1, kind: Some(kind), seq: members.seq.map(check_seq).transpose()? }
            }
            Header::Unknown(op, kind) => {
                Self::Unknown { op, kind, seq: members.seq.map(check_seq).transpose()? }
            }
        };
        Ok((event, reader.deviations()))
    }
}

/// Every member of every message, as far as it stands in this one.
#[derive(Default)]
struct Members<'a> {
    active: Option<bool>,
    blocks: Option<&'a [u8]>,
    commit: Option<Cid>,
    did: Option<&'a str>,
    error: Option<&'a str>,
    message: Option<&'a str>,
    name: Option<&'a str>,
    ops: Option<Vec<RepoOp<'a>>>,
    prev_data: Option<Option<Cid>>,
    repo: Option<&'a str>,
    rev: Option<&'a str>,
    seq: Option<i64>,
    since: Option<Option<&'a str>>,
    status: Option<&'a str>,
    too_big: Option<bool>,
}

impl<'a> Members<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, FrameError> {
        let mut members = Self::default();
        let mut previous = None;
        for _ in 0..reader.map()? {
            let key = reader.key_bytes(previous)?;
            previous = Some(key);
            members.member(key, reader)?;
        }
        Ok(members)
    }

    fn member(&mut self, key: &[u8], reader: &mut Reader<'a>) -> Result<(), FrameError> {
        match key {
            b"active" => set(&mut self.active, reader.bool()?, "active"),
            b"blocks" => set(&mut self.blocks, reader.bytes()?, "blocks"),
            b"commit" => set(&mut self.commit, reader.link()?, "commit"),
            b"did" => set(&mut self.did, reader.text()?, "did"),
            b"error" => set(&mut self.error, reader.text()?, "error"),
            b"message" => set_text(&mut self.message, reader, "message"),
            b"name" => set(&mut self.name, reader.text()?, "name"),
            b"ops" => set(&mut self.ops, ops(reader)?, "ops"),
            b"prevData" => set(&mut self.prev_data, reader.link_or_null()?, "prevData"),
            b"repo" => set(&mut self.repo, reader.text()?, "repo"),
            b"rev" => set(&mut self.rev, reader.text()?, "rev"),
            b"seq" => set(&mut self.seq, reader.integer()?, "seq"),
            b"since" if reader.null()? => set(&mut self.since, None, "since"),
            b"since" => set(&mut self.since, Some(reader.text()?), "since"),
            b"status" => set_text(&mut self.status, reader, "status"),
            b"tooBig" => set(&mut self.too_big, reader.bool()?, "tooBig"),
            _ => Ok(reader.skip_value(key)?),
        }
    }

    fn commit(self) -> Result<CommitEvent<'a>, FrameError> {
        let message = "#commit";
        Ok(CommitEvent {
            seq: self.seq(message)?,
            repo: needed(self.repo, message, "repo")?,
            commit: needed(self.commit, message, "commit")?,
            rev: tid(needed(self.rev, message, "rev")?, "rev")?,
            since: self.since.flatten().map(|since| tid(since, "since")).transpose()?,
            prev_data: self.prev_data.flatten(),
            blocks: needed(self.blocks, message, "blocks")?,
            too_big: self.too_big.unwrap_or(false),
            ops: needed(self.ops, message, "ops")?,
        })
    }

    fn sync(self) -> Result<SyncEvent<'a>, FrameError> {
        let message = "#sync";
        Ok(SyncEvent {
            seq: self.seq(message)?,
            did: self.did(message)?,
            rev: tid(needed(self.rev, message, "rev")?, "rev")?,
            blocks: needed(self.blocks, message, "blocks")?,
        })
    }

    fn seq(&self, message: &'static str) -> Result<i64, FrameError> {
        check_seq(needed(self.seq, message, "seq")?)
    }

    fn did(&self, message: &'static str) -> Result<&'a str, FrameError> {
        needed(self.did, message, "did")
    }
}

fn ops<'a>(reader: &mut Reader<'a>) -> Result<Vec<RepoOp<'a>>, FrameError> {
    let found = reader.list()?;
    if found > limits::COMMIT_OPS {
        return Err(FrameError::TooManyOps { found });
    }
    let mut ops = Vec::with_capacity(found);
    for _ in 0..found {
        ops.push(op(reader)?);
    }
    Ok(ops)
}

fn op<'a>(reader: &mut Reader<'a>) -> Result<RepoOp<'a>, FrameError> {
    let (mut action, mut path, mut cid, mut prev) = (None, None, None, None);
    let mut previous = None;
    for _ in 0..reader.map()? {
        let key = reader.key_bytes(previous)?;
        previous = Some(key);
        match key {
            b"action" => set(&mut action, reader.text()?, "action")?,
            b"path" => set(&mut path, reader.text()?, "path")?,
            b"cid" => set(&mut cid, reader.link_or_null()?, "cid")?,
            b"prev" => set(&mut prev, reader.link_or_null()?, "prev")?,
            _ => reader.skip_value(key)?,
        }
    }
    let path = path.ok_or(FrameError::Op { reason: "no path" })?;
    match (action, cid.flatten(), prev.flatten()) {
        // A host may tell as prev what stood there before the whole commit, if another of its operations deletes that. The
        // tree shows whether one does.
        (Some("create"), Some(cid), _) => Ok(RepoOp::Create { path, cid }),
        (Some("update"), Some(cid), prev) => Ok(RepoOp::Update { path, cid, prev }),
        (Some("delete"), None, prev) => Ok(RepoOp::Delete { path, prev }),
        (Some("create" | "update"), None, _) => Err(FrameError::Op { reason: "no cid" }),
        (Some("delete"), Some(_), _) => Err(FrameError::Op { reason: "a delete with cid" }),
        _ => Err(FrameError::Op { reason: "action is none of create, update and delete" }),
    }
}

fn set<T>(slot: &mut Option<T>, value: T, member: &'static str) -> Result<(), FrameError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(FrameError::Twice { member }),
    }
}

/// Text that some senders write as null when there is none.
fn set_text<'a>(
    slot: &mut Option<&'a str>,
    reader: &mut Reader<'a>,
    member: &'static str,
) -> Result<(), FrameError> {
    match reader.peek()? {
        Kind::Simple if reader.null()? => Ok(()),
        _ => set(slot, reader.text()?, member),
    }
}

fn needed<T>(value: Option<T>, message: &'static str, member: &'static str) -> Result<T, FrameError> {
    value.ok_or(FrameError::Missing { message, member })
}

fn check_seq(seq: i64) -> Result<i64, FrameError> {
    if (1..=limits::SEQ).contains(&seq) { Ok(seq) } else { Err(FrameError::Seq { found: seq }) }
}

fn tid(text: &str, member: &'static str) -> Result<Tid, FrameError> {
    text.parse().map_err(|error| FrameError::Rev { member, error })
}
