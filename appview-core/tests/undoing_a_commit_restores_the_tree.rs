//! A commit's operations, undone on the few nodes that its message carries, lead to the root of the tree before: for any
//! tree and any operations, in any order, against a tree that is built from its keys by definition.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeMap;

use appview_core::block::Cid;
use appview_core::block::car::Slice;
use appview_core::repo::mst::{self, MstError, Tree};
use fixtures::car;
use fixtures::mst::Block;
use proptest::prelude::*;
use proptest::sample::Index;

/// A few hundred keys of all the heights that matter, so that operations meet each other's nodes.
fn key() -> impl Strategy<Value = String> {
    (0..400_u32).prop_map(|number| format!("{}/{number}", ["a.b.c", "a.b.cc", "z.y.x"][number as usize % 3]))
}

fn value() -> impl Strategy<Value = u8> {
    0..4_u8
}

fn theirs(value: u8) -> fixtures::Cid {
    fixtures::value::cid_of(&[value])
}

fn ours(value: u8) -> Cid {
    Cid::of(&[value])
}

fn file(nodes: &[Block]) -> Vec<u8> {
    car::write(&[], nodes.iter().map(|(cid, block)| (*cid, block.as_ref())))
}

fn root(tree: &mut fixtures::mst::Tree) -> Cid {
    tree.root().to_string().parse().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn undoing_is_the_inverse_of_applying(
        before in prop::collection::btree_map(key(), value(), 0..200),
        writes in prop::collection::btree_map(key(), prop::option::of(value()), 1..20),
        shuffle in prop::collection::vec(any::<Index>(), 20),
    ) {
        let mut tree = fixtures::mst::Tree::default();
        for (key, value) in &before {
            tree.set(key, theirs(*value));
        }
        let root_before = root(&mut tree);
        let whole_before = file(&fixtures::mst::root(&tree.records()).1);
        // A write of what is there already, or a delete of what is not, is no operation.
        let mut ops: Vec<(String, Option<u8>, Option<u8>)> = writes
            .into_iter()
            .map(|(key, after)| (before.get(&key).copied(), key, after))
            .filter(|(before, _, after)| before != after)
            .map(|(before, key, after)| (key, before, after))
            .collect();
        for (key, _, after) in &ops {
            match after {
                Some(value) => tree.set(key, theirs(*value)),
                None => tree.remove(key),
            };
        }
        let root_after = root(&mut tree);
        let proof = file(&tree.proof(ops.iter().map(|(key, ..)| key.as_str())));
        for (from, to) in (0..ops.len()).zip(&shuffle) {
            let to = to.index(ops.len());
            ops.swap(from, to);
        }

        let blocks = Slice::parse(&proof).unwrap();
        let mut undone = Tree::new(&blocks, &root_after).unwrap();
        for (key, before, after) in &ops {
            prop_assert_eq!(mst::lookup(&blocks, &root_after, key.as_bytes()), Ok(after.map(ours)));
            undone.undo(key.as_bytes(), before.map(ours), after.map(ours)).unwrap();
        }
        prop_assert_eq!(undone.root(), root_before);
        // What is undone twice is done again; the whole tree before it is enough for that.
        let blocks = Slice::parse(&whole_before).unwrap();
        let mut done = Tree::new(&blocks, &root_before).unwrap();
        for (key, before, after) in ops.iter().rev() {
            done.undo(key.as_bytes(), after.map(ours), before.map(ours)).unwrap();
        }
        prop_assert_eq!(done.root(), root_after);
    }

    #[test]
    fn a_claim_that_the_tree_contradicts_is_refused(
        records in prop::collection::btree_map(key(), value(), 1..100),
        at in any::<Index>(),
        absent in key(),
    ) {
        prop_assume!(!records.contains_key(&absent));
        let (key, value) = records.iter().nth(at.index(records.len())).unwrap();
        let theirs: BTreeMap<String, fixtures::Cid> =
            records.iter().map(|(key, value)| (key.clone(), theirs(*value))).collect();
        let (root, nodes) = fixtures::mst::root(&theirs);
        let (root, nodes) = (root.to_string().parse().unwrap(), file(&nodes));
        let blocks = Slice::parse(&nodes).unwrap();
        let claim = |key: &String, before, after| {
            Tree::new(&blocks, &root).unwrap().undo(key.as_bytes(), before, after)
        };
        let refused = |key: &String| Err(MstError::Claim { key: key.clone() });
        prop_assert_eq!(claim(key, None, Some(ours(value + 1))), refused(key));
        prop_assert_eq!(claim(key, Some(ours(9)), None), refused(key), "a delete of what is still there");
        prop_assert_eq!(claim(key, None, None), refused(key));
        prop_assert_eq!(claim(&absent, None, Some(ours(0))), refused(&absent));
        prop_assert_eq!(claim(&absent, Some(ours(1)), Some(ours(0))), refused(&absent));
    }

    #[test]
    fn a_walk_visits_exactly_the_keys_under_a_prefix(
        records in prop::collection::btree_map(key(), value(), 0..200),
        prefix in prop::sample::select(vec!["", "a", "a.b.c/", "a.b.cc", "a.b.d", "z.y.x/1", "zz"]),
    ) {
        let theirs: BTreeMap<String, fixtures::Cid> =
            records.iter().map(|(key, value)| (key.clone(), theirs(*value))).collect();
        let (root, nodes) = fixtures::mst::root(&theirs);
        let nodes = file(&nodes);
        let mut walked = Vec::new();
        let root = root.to_string().parse().unwrap();
        mst::walk::<MstError>(&Slice::parse(&nodes).unwrap(), &root, prefix.as_bytes(), |key, cid| {
            walked.push((String::from_utf8(key.to_vec()).unwrap(), cid));
            Ok(())
        })
        .unwrap();
        let expected: Vec<_> = records
            .into_iter()
            .filter(|(key, _)| key.starts_with(prefix))
            .map(|(key, value)| (key, ours(value)))
            .collect();
        prop_assert_eq!(walked, expected);
    }
}
