//! Reading a tree: one key with its proof, or all keys under a prefix.

use super::node::{self, Keys, Node, Place};
use super::{Blocks, EMPTY_ROOT, MstError, key_height};
use crate::block::Cid;

/// What `key` holds in the tree of `root`, or that it holds nothing; the nodes read are the proof of either.
///
/// # Errors
///
/// A node on the way that is missing or misshapen.
pub fn lookup(blocks: &impl Blocks, root: &Cid, key: &[u8]) -> Result<Option<Cid>, MstError> {
    if *root == EMPTY_ROOT {
        return Ok(None);
    }
    let height = key_height(key);
    let mut keys = Keys::default();
    let mut buffer = Vec::new();
    let mut place = Place::ROOT;
    let mut cid = *root;
    loop {
        let node = read(blocks, &cid, place, &mut keys, &mut buffer)?;
        let at = node.leaves.partition_point(|leaf| keys.get(leaf.key) < key);
        if node.layer <= height {
            let found = node.leaves.get(at).filter(|leaf| keys.get(leaf.key) == key);
            return Ok(found.map(|leaf| leaf.value));
        }
        match descend(&node, at, place) {
            Some((child, below)) => (cid, place) = (child, below),
            None => return Ok(None),
        }
    }
}

/// Calls `visit` with every key that starts with `prefix`, in order, and its value. Subtrees that cannot hold such a
/// key are not read, so they may be missing.
///
/// # Errors
///
/// A node on the way that is missing or misshapen, or what `visit` returns.
pub fn walk<E: From<MstError>>(
    blocks: &impl Blocks,
    root: &Cid,
    prefix: &[u8],
    mut visit: impl FnMut(&[u8], Cid) -> Result<(), E>,
) -> Result<(), E> {
    let mut keys = Keys::default();
    let mut buffer = Vec::new();
    // One step for each node between the root and the place where the walk stands. Layers fall strictly, so the path
    // is never longer than they are many.
    let mut path: Vec<Step> = Vec::new();
    let mut next = Some((*root, Place::ROOT)).filter(|(root, _)| *root != EMPTY_ROOT);
    loop {
        if let Some((cid, place)) = next.take() {
            let mark = keys.mark();
            let node = read(blocks, &cid, place, &mut keys, &mut buffer)?;
            path.push(Step { node, place, mark, slot: 0 });
        }
        let Some(step) = path.last_mut() else {
            return Ok(());
        };
        let (at, is_leaf) = (step.slot / 2, step.slot % 2 == 1);
        step.slot = step.slot.saturating_add(1);
        if is_leaf {
            if let Some(leaf) = step.node.leaves.get(at) {
                let key = keys.get(leaf.key);
                if key.starts_with(prefix) {
                    visit(key, leaf.value)?;
                }
            }
        } else if at > step.node.leaves.len() || step.is_behind(&keys, at, prefix) {
            keys.release(step.mark);
            path.pop();
        } else if !step.is_ahead(&keys, at, prefix) {
            next = descend(&step.node, at, step.place);
        }
    }
}

/// A node being walked. Its slots are its first child, its first leaf, its second child, and so on.
struct Step {
    node: Node,
    place: Place,
    mark: usize,
    slot: usize,
}

impl Step {
    /// Whether the child at `at`, and all that follows, lies behind the keys that start with `prefix`.
    fn is_behind(&self, keys: &Keys, at: usize, prefix: &[u8]) -> bool {
        let before = at.checked_sub(1).and_then(|before| self.node.leaves.get(before));
        before.is_some_and(|leaf| {
            let key = keys.get(leaf.key);
            key > prefix && !key.starts_with(prefix)
        })
    }

    /// Whether the child at `at` lies before the keys that start with `prefix`.
    fn is_ahead(&self, keys: &Keys, at: usize, prefix: &[u8]) -> bool {
        self.node.leaves.get(at).is_some_and(|leaf| keys.get(leaf.key) <= prefix)
    }
}

/// The child at `at` of a node, and where it stands.
fn descend(node: &Node, at: usize, place: Place) -> Option<(Cid, Place)> {
    let child = (*node.children.get(at)?)?;
    let key = |at: usize| node.leaves.get(at).map(|leaf| leaf.key);
    let after = at.checked_sub(1).and_then(key).or(place.after);
    let before = key(at).or(place.before);
    // Only nodes above layer 0 have children.
    Some((child, Place { layer: node.layer.checked_sub(1), after, before }))
}

fn read(
    blocks: &impl Blocks,
    cid: &Cid,
    place: Place,
    keys: &mut Keys,
    buffer: &mut Vec<u8>,
) -> Result<Node, MstError> {
    let block = blocks.block(cid, buffer)?.ok_or(MstError::MissingNode { cid: *cid })?;
    node::decode(block, place, keys)
}
