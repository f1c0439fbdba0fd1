//! One node: its bytes in, complete and checked keys out, and back.

use super::{MstError, common_prefix};
use crate::block::Cid;
use crate::block::cbor::{self, Reader};
use crate::block::cid::sha256;
use crate::limits;

/// The layer at which a key stands: half the number of leading zero bits of its SHA-256.
#[must_use]
pub fn key_height(key: &[u8]) -> u32 {
    let mut zeros = 0;
    for byte in sha256(key) {
        zeros += byte.leading_zeros();
        if byte != 0 {
            break;
        }
    }
    zeros / 2
}

/// Keys of many nodes, one after the other, so that reading a node allocates nothing per key.
#[derive(Debug, Default)]
pub(super) struct Keys(Vec<u8>);

/// A key inside [`Keys`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    start: usize,
    len: usize,
}

impl Keys {
    pub(super) fn get(&self, key: Key) -> &[u8] {
        self.0.get(key.start..key.start.saturating_add(key.len)).unwrap_or_default()
    }

    pub(super) fn push(&mut self, key: &[u8]) -> Key {
        let start = self.0.len();
        self.0.extend_from_slice(key);
        Key { start, len: key.len() }
    }

    /// Appends the first `prefix` bytes of `previous`, then `suffix`.
    fn push_compressed(&mut self, previous: Key, prefix: usize, suffix: &[u8]) -> Key {
        let start = self.0.len();
        self.0.extend_from_within(previous.start..previous.start.saturating_add(prefix));
        self.0.extend_from_slice(suffix);
        Key { start, len: prefix.saturating_add(suffix.len()) }
    }

    pub(super) const fn mark(&self) -> usize {
        self.0.len()
    }

    /// Forgets all keys pushed since `mark`.
    pub(super) fn release(&mut self, mark: usize) {
        self.0.truncate(mark);
    }
}

/// Where a node stands: what its parent says about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Its layer; none for the root, whose keys decide.
    pub(super) layer: Option<u32>,
    /// All its keys are greater than this one.
    pub(super) after: Option<Key>,
    /// All its keys are less than this one.
    pub(super) before: Option<Key>,
}

impl Place {
    pub(super) const ROOT: Self = Self { layer: None, after: None, before: None };
}

/// A key and its value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaf {
    pub(super) key: Key,
    pub(super) value: Cid,
}

/// A node as read: `children[i]` lies before `leaves[i]`, the last child after the last leaf.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) layer: u32,
    pub(super) leaves: Vec<Leaf>,
    pub(super) children: Vec<Option<Cid>>,
}

/// Reads a node and checks everything that can be checked without its children.
pub(super) fn decode(block: &[u8], place: Place, keys: &mut Keys) -> Result<Node, MstError> {
    let misshapen = |rule| Err(MstError::Misshapen { rule });
    let mut reader = Reader::canonical(block);
    if reader.map()? != 2 || !reader.next_key_is("e") {
        return misshapen("a node has the members e and l");
    }
    let count = reader.list()?;
    if count > limits::MST_NODE_ENTRIES {
        return misshapen("a node has at most 10,000 entries");
    }
    let mut leaves: Vec<Leaf> = Vec::with_capacity(count.min(64));
    let mut children = Vec::with_capacity(count.min(64).saturating_add(1));
    children.push(None);
    let mut layer = place.layer;
    for _ in 0..count {
        let (leaf, right) = entry(&mut reader, leaves.last().map(|leaf| leaf.key), keys)?;
        let key = keys.get(leaf.key);
        let height = key_height(key);
        match layer {
            None => layer = Some(height),
            Some(layer) if layer != height => {
                return misshapen("every key stands at the layer of its height");
            }
            Some(_) => {}
        }
        if place.before.is_some_and(|before| key >= keys.get(before)) {
            return misshapen("keys of a subtree lie between its neighbours");
        }
        leaves.push(leaf);
        children.push(right);
    }
    if !reader.next_key_is("l") {
        return misshapen("a node has the members e and l");
    }
    let left = reader.link_or_null()?;
    reader.end()?;
    if let (Some(after), Some(first)) = (place.after, leaves.first())
        && keys.get(first.key) <= keys.get(after)
    {
        return misshapen("keys of a subtree lie between its neighbours");
    }
    if let Some(first) = children.first_mut() {
        *first = left;
    }
    let has_children = children.iter().any(Option::is_some);
    let layer = match (layer, leaves.is_empty(), has_children) {
        (None, _, true) => return misshapen("the root holds a key"),
        (None, ..) => 0,
        (Some(_), true, false) => return misshapen("only the root may be empty"),
        (Some(0), _, true) => return misshapen("nothing lies below layer 0"),
        (Some(layer), ..) => layer,
    };
    Ok(Node { layer, leaves, children })
}

fn entry(
    reader: &mut Reader<'_>,
    previous: Option<Key>,
    keys: &mut Keys,
) -> Result<(Leaf, Option<Cid>), MstError> {
    let misshapen = |rule| Err(MstError::Misshapen { rule });
    let members = "an entry has the members k, p, t and v";
    if reader.map()? != 4 || !reader.next_key_is("k") {
        return misshapen(members);
    }
    let suffix = reader.bytes()?;
    if !reader.next_key_is("p") {
        return misshapen(members);
    }
    let prefix = usize::try_from(reader.integer()?).unwrap_or(usize::MAX);
    if !reader.next_key_is("t") {
        return misshapen(members);
    }
    let right = reader.link_or_null()?;
    if !reader.next_key_is("v") {
        return misshapen(members);
    }
    let value = reader.link()?;
    if prefix > previous.map_or(0, |previous| previous.len) {
        return misshapen("a prefix is no longer than the key before");
    }
    if prefix.saturating_add(suffix.len()) > limits::REPO_PATH_BYTES {
        return misshapen("a key is at most 830 bytes");
    }
    let key = match previous {
        None => keys.push(suffix),
        Some(previous) => {
            let key = keys.push_compressed(previous, prefix, suffix);
            let (last, this) = (keys.get(previous), keys.get(key));
            if this <= last {
                return misshapen("keys rise");
            }
            if common_prefix(last, this) != prefix {
                return misshapen("a prefix is as long as it can be");
            }
            key
        }
    };
    if key.len == 0 {
        return misshapen("a key is not empty");
    }
    Ok((Leaf { key, value }, right))
}

/// Writes a node; the inverse of [`decode`].
pub(super) fn encode<'k>(
    out: &mut Vec<u8>,
    first_child: Option<Cid>,
    entries: impl ExactSizeIterator<Item = (&'k [u8], Cid, Option<Cid>)>,
) {
    let link_or_null = |out: &mut Vec<u8>, cid: Option<Cid>| match cid {
        Some(cid) => cbor::write_link(out, &cid),
        None => out.push(0xf6),
    };
    out.extend_from_slice(&[0xa2, 0x61, b'e']);
    cbor::write_head(out, 4, entries.len() as u64);
    let mut previous: &[u8] = &[];
    for (key, value, right) in entries {
        let prefix = common_prefix(previous, key);
        out.extend_from_slice(&[0xa4, 0x61, b'k']);
        cbor::write_bytes(out, key.get(prefix..).unwrap_or_default());
        out.extend_from_slice(&[0x61, b'p']);
        cbor::write_head(out, 0, prefix as u64);
        out.extend_from_slice(&[0x61, b't']);
        link_or_null(out, right);
        out.extend_from_slice(&[0x61, b'v']);
        cbor::write_link(out, &value);
        previous = key;
    }
    out.extend_from_slice(&[0x61, b'l']);
    link_or_null(out, first_child);
}
