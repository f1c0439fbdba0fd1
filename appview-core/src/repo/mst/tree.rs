//! A partial tree that can be changed: what a commit did is undone, and the root that results is compared.
//!
//! A new root and the blocks of a message enter; after each operation has been undone the root of the tree before
//! leaves. Nodes are read when a change touches them, and only changed ones are written and hashed again. Subtrees
//! that no operation touches stay links. Deliberately absent: storing any of it.

use super::node::{self, Key, Keys, Leaf, Place};
use super::{Blocks, EMPTY_ROOT, MstError, key_height};
use crate::block::Cid;

/// A tree of which some nodes are in memory.
#[derive(Debug)]
pub struct Tree<'b, B> {
    blocks: &'b B,
    keys: Keys,
    buffer: Vec<u8>,
    root: Child,
    /// Layer of `root`.
    height: u32,
    nodes: Vec<TreeNode>,
}

/// What hangs between two leaves.
#[derive(Debug, Clone, Copy)]
enum Child {
    /// Nothing.
    Empty,
    /// A node that has not been read.
    Link(Cid),
    /// A node of [`Tree::nodes`].
    Node(usize),
}

#[derive(Debug, Default)]
struct TreeNode {
    /// Its CID as long as nothing below it has changed.
    cid: Option<Cid>,
    leaves: Vec<Leaf>,
    /// One more than there are leaves.
    children: Vec<Child>,
}

impl<'b, B: Blocks> Tree<'b, B> {
    /// Starts from the root of a tree.
    ///
    /// # Errors
    ///
    /// The root node is missing or misshapen.
    pub fn new(blocks: &'b B, root: &Cid) -> Result<Self, MstError> {
        let mut tree = Self {
            blocks,
            keys: Keys::default(),
            buffer: Vec::new(),
            root: Child::Empty,
            height: 0,
            nodes: Vec::new(),
        };
        if *root != EMPTY_ROOT {
            let (index, layer) = tree.read(root, Place::ROOT)?;
            tree.root = Child::Node(index);
            tree.height = layer;
        }
        Ok(tree)
    }

    /// Undoes one operation: checks that `key` holds `after`, and puts `before` in its place.
    ///
    /// # Errors
    ///
    /// [`MstError::Claim`] if the tree holds something else; a node that is missing or misshapen.
    pub fn undo(&mut self, key: &[u8], before: Option<Cid>, after: Option<Cid>) -> Result<(), MstError> {
        let layer = key_height(key);
        let claim = || MstError::Claim { key: String::from_utf8_lossy(key).into_owned() };
        match (before, after) {
            (None, None) => Err(claim()),
            (before, Some(after)) => {
                if layer > self.height {
                    return Err(claim());
                }
                if matches!(self.root, Child::Empty) {
                    return Err(claim());
                }
                let index = self.root_node()?;
                self.replace(index, self.height, Place::ROOT, key, layer, after, before)?;
                self.trim()
            }
            (Some(before), None) => self.insert(key, layer, before),
        }
    }

    /// The root as it stands.
    #[must_use]
    pub fn root(&mut self) -> Cid {
        match self.root {
            Child::Empty => EMPTY_ROOT,
            Child::Link(cid) => cid,
            Child::Node(index) => self.hash(index),
        }
    }

    /// Replaces the value of a key that must hold `expected`, or removes the key.
    #[expect(clippy::too_many_arguments, reason = "the recursion's position and its one task")]
    fn replace(
        &mut self,
        index: usize,
        at_layer: u32,
        place: Place,
        key: &[u8],
        layer: u32,
        expected: Cid,
        value: Option<Cid>,
    ) -> Result<(), MstError> {
        let claim = || MstError::Claim { key: String::from_utf8_lossy(key).into_owned() };
        let at = self.position(index, key);
        self.touch(index);
        if at_layer > layer {
            let (child, below) = self.open(index, at, at_layer, place)?.ok_or_else(claim)?;
            self.replace(child, at_layer.saturating_sub(1), below, key, layer, expected, value)?;
            if self.is_vacant(child) {
                self.set_child(index, at, Child::Empty);
            }
            return Ok(());
        }
        let found = self.leaf(index, at).filter(|leaf| self.keys.get(leaf.key) == key);
        if found.is_none_or(|leaf| leaf.value != expected) {
            return Err(claim());
        }
        match value {
            Some(value) => {
                if let Some(leaf) = self.nodes.get_mut(index).and_then(|node| node.leaves.get_mut(at)) {
                    leaf.value = value;
                }
            }
            None => {
                // What hung on both sides of the key becomes one subtree.
                let (left, right) = (self.child(index, at), self.child(index, at.saturating_add(1)));
                let (after, before) = self.bounds(index, at, place);
                let (_, beyond) = self.bounds(index, at.saturating_add(1), place);
                let middle = found.map(|leaf| leaf.key);
                let below = at_layer.checked_sub(1);
                let merged = self.merge(
                    (left, Place { layer: below, after, before }),
                    (right, Place { layer: below, after: middle, before: beyond }),
                )?;
                if let Some(node) = self.nodes.get_mut(index) {
                    node.leaves.remove(at);
                    node.children.remove(at);
                }
                self.set_child(index, at, merged);
            }
        }
        Ok(())
    }

    /// Joins two subtrees of one layer, all keys of the first less than those of the second.
    fn merge(&mut self, left: (Child, Place), right: (Child, Place)) -> Result<Child, MstError> {
        let (a, b) = match (left.0, right.0) {
            (Child::Empty, child) | (child, Child::Empty) => return Ok(child),
            (a, b) => (self.resolve(a, left.1)?, self.resolve(b, right.1)?),
        };
        let last = self.nodes.get(a).map_or(0, |node| node.leaves.len());
        let (after, before) = self.bounds(a, last, left.1);
        let inner_left = (self.child(a, last), Place { layer: below(left.1), after, before });
        let (after, before) = self.bounds(b, 0, right.1);
        let inner_right = (self.child(b, 0), Place { layer: below(right.1), after, before });
        let middle = self.merge(inner_left, inner_right)?;
        let taken = self.nodes.get_mut(b).map(std::mem::take).unwrap_or_default();
        if let Some(node) = self.nodes.get_mut(a) {
            node.cid = None;
            node.leaves.extend_from_slice(&taken.leaves);
            node.children.pop();
            node.children.push(middle);
            node.children.extend(taken.children.into_iter().skip(1));
        }
        Ok(Child::Node(a))
    }

    /// Adds a key that must not be there.
    fn insert(&mut self, key: &[u8], layer: u32, value: Cid) -> Result<(), MstError> {
        let stored = self.keys.push(key);
        if matches!(self.root, Child::Empty) {
            self.height = layer;
            self.root = self.add(TreeNode {
                cid: None,
                leaves: vec![Leaf { key: stored, value }],
                children: vec![Child::Empty, Child::Empty],
            });
            return Ok(());
        }
        if layer > self.height {
            // The key stands above the root: the whole tree falls apart to its left and right.
            let (mut left, mut right) =
                self.split(self.root, Place { layer: Some(self.height), ..Place::ROOT }, key)?;
            for _ in self.height.saturating_add(1)..layer {
                left = self.wrap(left);
                right = self.wrap(right);
            }
            self.height = layer;
            self.root = self.add(TreeNode {
                cid: None,
                leaves: vec![Leaf { key: stored, value }],
                children: vec![left, right],
            });
            return Ok(());
        }
        let (mut index, mut at_layer, mut place) = (self.root_node()?, self.height, Place::ROOT);
        loop {
            let at = self.position(index, key);
            self.touch(index);
            if at_layer == layer {
                if self.leaf(index, at).is_some_and(|leaf| self.keys.get(leaf.key) == key) {
                    return Err(MstError::Claim { key: String::from_utf8_lossy(key).into_owned() });
                }
                let (after, before) = self.bounds(index, at, place);
                let gap = Place { layer: at_layer.checked_sub(1), after, before };
                let (left, right) = self.split(self.child(index, at), gap, key)?;
                if let Some(node) = self.nodes.get_mut(index) {
                    node.leaves.insert(at, Leaf { key: stored, value });
                    node.children.insert(at, left);
                }
                self.set_child(index, at.saturating_add(1), right);
                return Ok(());
            }
            (index, place) = match self.open(index, at, at_layer, place)? {
                Some(below) => below,
                None => {
                    // A node without keys, which will hold the way down to the new one.
                    let child =
                        self.add(TreeNode { cid: None, leaves: vec![], children: vec![Child::Empty] });
                    self.set_child(index, at, child);
                    let (after, before) = self.bounds(index, at, place);
                    let below = Place { layer: at_layer.checked_sub(1), after, before };
                    (self.resolve(child, below)?, below)
                }
            };
            at_layer = at_layer.saturating_sub(1);
        }
    }

    /// Splits a subtree into what is less and what is greater than `key`, which it must not hold.
    fn split(&mut self, child: Child, place: Place, key: &[u8]) -> Result<(Child, Child), MstError> {
        if matches!(child, Child::Empty) {
            return Ok((Child::Empty, Child::Empty));
        }
        let index = self.resolve(child, place)?;
        let at = self.position(index, key);
        if self.leaf(index, at).is_some_and(|leaf| self.keys.get(leaf.key) == key) {
            return Err(MstError::Claim { key: String::from_utf8_lossy(key).into_owned() });
        }
        let (after, before) = self.bounds(index, at, place);
        let inner = Place { layer: below(place), after, before };
        let (inner_left, inner_right) = self.split(self.child(index, at), inner, key)?;
        let mut right = TreeNode { cid: None, leaves: Vec::new(), children: vec![inner_right] };
        if let Some(node) = self.nodes.get_mut(index) {
            node.cid = None;
            right.leaves = node.leaves.split_off(at);
            right.children.extend(node.children.split_off(at.saturating_add(1)));
            node.children.pop();
            node.children.push(inner_left);
        }
        let right = self.add(right);
        let left = if self.is_vacant(index) { Child::Empty } else { Child::Node(index) };
        let right = match right {
            Child::Node(index) if self.is_vacant(index) => Child::Empty,
            other => other,
        };
        Ok((left, right))
    }

    /// One more layer without keys above a subtree.
    fn wrap(&mut self, child: Child) -> Child {
        match child {
            Child::Empty => Child::Empty,
            child => self.add(TreeNode { cid: None, leaves: vec![], children: vec![child] }),
        }
    }

    /// Takes away roots without keys, as the canonical form demands.
    fn trim(&mut self) -> Result<(), MstError> {
        loop {
            let index = match self.root {
                Child::Empty => return Ok(()),
                Child::Node(index) => index,
                Child::Link(_) => self.root_node()?,
            };
            match self.nodes.get(index) {
                Some(node) if node.leaves.is_empty() => {
                    self.root = node.children.first().copied().unwrap_or(Child::Empty);
                    self.height = self.height.saturating_sub(1);
                }
                _ => return Ok(()),
            }
        }
    }

    fn root_node(&mut self) -> Result<usize, MstError> {
        let index = self.resolve(self.root, Place { layer: Some(self.height), ..Place::ROOT })?;
        self.root = Child::Node(index);
        Ok(index)
    }

    /// Opens the child at `at` of a node at `layer`, if there is one.
    fn open(
        &mut self,
        index: usize,
        at: usize,
        layer: u32,
        place: Place,
    ) -> Result<Option<(usize, Place)>, MstError> {
        let (after, before) = self.bounds(index, at, place);
        let below = Place { layer: layer.checked_sub(1), after, before };
        match self.child(index, at) {
            Child::Empty => Ok(None),
            child => {
                let opened = self.resolve(child, below)?;
                self.set_child(index, at, Child::Node(opened));
                Ok(Some((opened, below)))
            }
        }
    }

    fn resolve(&mut self, child: Child, place: Place) -> Result<usize, MstError> {
        match child {
            Child::Node(index) => Ok(index),
            Child::Link(cid) => self.read(&cid, place).map(|(index, _)| index),
            Child::Empty => Err(MstError::Misshapen { rule: "an empty subtree has no node" }),
        }
    }

    fn read(&mut self, cid: &Cid, place: Place) -> Result<(usize, u32), MstError> {
        let block = self.blocks.block(cid, &mut self.buffer)?.ok_or(MstError::MissingNode { cid: *cid })?;
        let node = node::decode(block, place, &mut self.keys)?;
        let children =
            node.children.into_iter().map(|child| child.map_or(Child::Empty, Child::Link)).collect();
        let index = self.nodes.len();
        self.nodes.push(TreeNode { cid: Some(*cid), leaves: node.leaves, children });
        Ok((index, node.layer))
    }

    fn hash(&mut self, index: usize) -> Cid {
        let children = match self.nodes.get(index) {
            Some(TreeNode { cid: Some(cid), .. }) => return *cid,
            Some(node) => node.children.clone(),
            None => return EMPTY_ROOT,
        };
        let links: Vec<Option<Cid>> = children
            .into_iter()
            .map(|child| match child {
                Child::Empty => None,
                Child::Link(cid) => Some(cid),
                Child::Node(index) => Some(self.hash(index)),
            })
            .collect();
        let mut out = std::mem::take(&mut self.buffer);
        out.clear();
        let leaves = self.nodes.get(index).map(|node| node.leaves.as_slice()).unwrap_or_default();
        let mut links = links.into_iter();
        let first = links.next().flatten();
        let entries =
            leaves.iter().zip(links).map(|(leaf, right)| (self.keys.get(leaf.key), leaf.value, right));
        node::encode(&mut out, first, entries);
        let cid = Cid::of(&out);
        self.buffer = out;
        if let Some(node) = self.nodes.get_mut(index) {
            node.cid = Some(cid);
        }
        cid
    }

    fn add(&mut self, node: TreeNode) -> Child {
        self.nodes.push(node);
        Child::Node(self.nodes.len().saturating_sub(1))
    }

    fn touch(&mut self, index: usize) {
        if let Some(node) = self.nodes.get_mut(index) {
            node.cid = None;
        }
    }

    fn position(&self, index: usize, key: &[u8]) -> usize {
        self.nodes
            .get(index)
            .map_or(0, |node| node.leaves.partition_point(|leaf| self.keys.get(leaf.key) < key))
    }

    fn leaf(&self, index: usize, at: usize) -> Option<Leaf> {
        self.nodes.get(index)?.leaves.get(at).copied()
    }

    fn child(&self, index: usize, at: usize) -> Child {
        self.nodes.get(index).and_then(|node| node.children.get(at)).copied().unwrap_or(Child::Empty)
    }

    fn set_child(&mut self, index: usize, at: usize, child: Child) {
        if let Some(slot) = self.nodes.get_mut(index).and_then(|node| node.children.get_mut(at)) {
            *slot = child;
        }
    }

    /// The keys next to the child at `at`: of the node itself, else of what its parent said.
    fn bounds(&self, index: usize, at: usize, place: Place) -> (Option<Key>, Option<Key>) {
        let key = |at: usize| self.leaf(index, at).map(|leaf| leaf.key);
        (at.checked_sub(1).and_then(key).or(place.after), key(at).or(place.before))
    }

    /// Whether a node holds neither keys nor children.
    fn is_vacant(&self, index: usize) -> bool {
        self.nodes.get(index).is_none_or(|node| {
            node.leaves.is_empty() && node.children.iter().all(|child| matches!(child, Child::Empty))
        })
    }
}

fn below(place: Place) -> Option<u32> {
    place.layer.and_then(|layer| layer.checked_sub(1))
}
