//! Operations of a commit as the message claims them, and their net effect on each key.
//!
//! The list of a message enters in its order; for each path what stood there before and what stands there after
//! leaves. Deliberately absent: proof. [`crate::sync`] compares the claims with the trees.

use std::collections::BTreeMap;

use crate::block::Cid;

/// One operation of a `#commit` message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepoOp<'a> {
    /// The record did not exist.
    Create {
        /// `collection/rkey`, unchecked.
        path: &'a str,
        /// The record.
        cid: Cid,
    },
    /// The record existed.
    Update {
        /// `collection/rkey`, unchecked.
        path: &'a str,
        /// The record.
        cid: Cid,
        /// What it replaces; left out by hosts that predate Sync 1.1. After another operation on the same key it may be left
        /// out, or be what stood there before the whole commit.
        prev: Option<Cid>,
    },
    /// The record existed and is gone.
    Delete {
        /// `collection/rkey`, unchecked.
        path: &'a str,
        /// What it was; left out as in [`RepoOp::Update`].
        prev: Option<Cid>,
    },
}

impl<'a> RepoOp<'a> {
    /// `collection/rkey`, unchecked.
    #[must_use]
    pub const fn path(&self) -> &'a str {
        match self {
            Self::Create { path, .. } | Self::Update { path, .. } | Self::Delete { path, .. } => path,
        }
    }
}

/// Why the operations of one commit say nothing definite about a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpError {
    /// The first operation on a key tells that something stood there, but not what.
    #[error("the operation on {path} has no prev")]
    NoPrev {
        /// The key.
        path: String,
    },
    /// Two operations on a key contradict each other.
    #[error("the operations on {path} contradict each other")]
    Contradiction {
        /// The key.
        path: String,
    },
}

/// What one commit does to one key, all its operations taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetOp<'a> {
    /// `collection/rkey`, unchecked.
    pub path: &'a str,
    /// What stood there before the commit.
    pub before: Option<Cid>,
    /// What stands there after it.
    pub after: Option<Cid>,
}

/// Folds operations into one net effect per key, sorted by key; keys that end as they began are left out.
///
/// Real hosts do send a create whose block is missing because a later operation of the same commit replaces it, and know
/// only what stood there before the whole commit: behind another operation on its key, that is an operation's `prev`, or it has none.
///
/// # Errors
///
/// [`OpError`].
pub fn net_effects<'a>(ops: &[RepoOp<'a>]) -> Result<Vec<NetOp<'a>>, OpError> {
    // Nearly every commit has one operation.
    if let [op] = ops {
        let net = first(op)?;
        return Ok(if net.before == net.after { Vec::new() } else { vec![net] });
    }
    let mut keys: BTreeMap<&str, NetOp<'a>> = BTreeMap::new();
    for op in ops {
        match keys.get_mut(op.path()) {
            None => {
                keys.insert(op.path(), first(op)?);
            }
            Some(net) => {
                let contradiction = || OpError::Contradiction { path: op.path().to_owned() };
                let (exists, prev, after) = match *op {
                    RepoOp::Create { cid, .. } => (false, None, Some(cid)),
                    RepoOp::Update { cid, prev, .. } => (true, prev, Some(cid)),
                    RepoOp::Delete { prev, .. } => (true, prev, None),
                };
                if net.after.is_some() != exists
                    || (prev.is_some() && prev != net.after && prev != net.before)
                {
                    return Err(contradiction());
                }
                net.after = after;
            }
        }
    }
    Ok(keys.into_values().filter(|net| net.before != net.after).collect())
}

fn first<'a>(op: &RepoOp<'a>) -> Result<NetOp<'a>, OpError> {
    let no_prev = |path: &str| OpError::NoPrev { path: path.to_owned() };
    Ok(match *op {
        RepoOp::Create { path, cid } => NetOp { path, before: None, after: Some(cid) },
        RepoOp::Update { path, cid, prev } => {
            NetOp { path, before: Some(prev.ok_or_else(|| no_prev(path))?), after: Some(cid) }
        }
        RepoOp::Delete { path, prev } => {
            NetOp { path, before: Some(prev.ok_or_else(|| no_prev(path))?), after: None }
        }
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn several_operations_on_one_key_count_as_their_net_effect() {
        let [a, b, c] = [b"a", b"b", b"c"].map(|seed| Cid::of(seed));
        let ops = [
            RepoOp::Create { path: "n/created", cid: a },
            RepoOp::Update { path: "n/changed", cid: b, prev: Some(a) },
            RepoOp::Update { path: "n/created", cid: c, prev: None },
            RepoOp::Create { path: "n/fleeting", cid: a },
            RepoOp::Delete { path: "n/fleeting", prev: Some(a) },
            RepoOp::Delete { path: "n/changed", prev: Some(b) },
            RepoOp::Update { path: "n/rewritten", cid: b, prev: Some(a) },
            RepoOp::Update { path: "n/rewritten", cid: c, prev: Some(a) },
        ];
        assert_eq!(
            net_effects(&ops).unwrap(),
            [
                NetOp { path: "n/changed", before: Some(a), after: None },
                NetOp { path: "n/created", before: None, after: Some(c) },
                NetOp { path: "n/rewritten", before: Some(a), after: Some(c) },
            ]
        );
    }

    #[test]
    fn a_claim_that_cannot_be_undone_is_refused() {
        let [a, b] = [b"a", b"b"].map(|seed| Cid::of(seed));
        let no_prev = [RepoOp::Delete { path: "n/x", prev: None }];
        assert!(matches!(net_effects(&no_prev), Err(OpError::NoPrev { .. })));
        for contradiction in [
            [RepoOp::Create { path: "n/x", cid: a }, RepoOp::Create { path: "n/x", cid: b }],
            [RepoOp::Create { path: "n/x", cid: a }, RepoOp::Delete { path: "n/x", prev: Some(b) }],
            [
                RepoOp::Delete { path: "n/x", prev: Some(a) },
                RepoOp::Update { path: "n/x", cid: b, prev: None },
            ],
        ] {
            assert!(matches!(net_effects(&contradiction), Err(OpError::Contradiction { .. })));
        }
    }
}
