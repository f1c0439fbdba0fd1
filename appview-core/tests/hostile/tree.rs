//! M1 to M5: trees that no repository has.

use appview_core::block::car::Slice;
use appview_core::limits;
use appview_core::repo::mst::{self, MstError};
use appview_core::sync::VerifyError;
use fixtures::forge::{RawEntry, RawNode, left_chain};
use fixtures::mst::mine_rkey;
use fixtures::{Cid, records};

use crate::support::{on_a_small_stack, unfriend};
use crate::*;

fn leaf() -> Cid {
    value::cid_of(b"value")
}

/// What a walk says of the tree with these nodes, the first of which is its root.
fn walk(nodes: &[(Cid, Vec<u8>)]) -> Result<usize, MstError> {
    let file = car::write(&[], nodes.iter().map(|(cid, block)| (*cid, block.as_slice())));
    let root = nodes[0].0.to_string().parse().unwrap();
    let mut keys = 0;
    mst::walk::<MstError>(&Slice::parse(&file).unwrap(), &root, b"", |_, _| {
        keys += 1;
        Ok(())
    })?;
    Ok(keys)
}

#[track_caller]
fn misshapen(nodes: &[(Cid, Vec<u8>)], rule: &'static str) {
    assert_eq!(walk(nodes), Err(MstError::Misshapen { rule }));
    refuses_forgery(desynchronized("bad-tree"), |_, draft| {
        let record: Vec<_> = draft.blocks.iter().skip(1).cloned().collect();
        draft.with_tree(nodes.iter().cloned().chain(record).collect()).frame()
    });
}

fn entry(prefix: u64, suffix: &str) -> RawEntry {
    RawEntry { prefix, suffix: suffix.into(), value: leaf(), right: None }
}

fn node(entries: Vec<RawEntry>) -> Vec<(Cid, Vec<u8>)> {
    vec![RawNode { left: None, entries }.block()]
}

/// A key of a height, by number.
fn key(height: usize, number: u64) -> String {
    format!("a.b.c/{}", mine_rkey("a.b.c", "k", height, number * 1_000_000))
}

#[test]
fn m1_prefixes_are_those_of_the_key_before_and_as_long_as_they_can_be() {
    let (first, second) = (key(0, 0), key(0, 1));
    let shared = fixtures::mst::shared_prefix(&first, &second);
    let pair = |prefix: usize, suffix: &str| node(vec![entry(0, &first), entry(prefix as u64, suffix)]);
    assert_eq!(walk(&pair(shared, &second[shared..])), Ok(2));
    for (nodes, rule) in [
        (node(vec![entry(1, &first)]), "a prefix is no longer than the key before"),
        (node(vec![entry(u64::MAX / 2, &first)]), "a prefix is no longer than the key before"),
        (pair(first.len() + 1, "x"), "a prefix is no longer than the key before"),
        (pair(shared - 1, &second[shared - 1..]), "a prefix is as long as it can be"),
        (pair(0, &second), "a prefix is as long as it can be"),
        (node(vec![entry(0, "")]), "a key is not empty"),
        (pair(0, ""), "keys rise"),
        (pair(first.len(), ""), "keys rise"),
        (node(vec![entry(0, &"k".repeat(831))]), "a key is at most 830 bytes"),
        (pair(first.len(), &"k".repeat(831 - first.len())), "a key is at most 830 bytes"),
    ] {
        misshapen(&nodes, rule);
    }
}

#[test]
fn m2_a_tree_has_one_shape_only() {
    let (low, high) = (key(0, 0), key(1, 0));
    let of = |left, keys: &[&str]| {
        RawNode::of_keys(left, &Vec::from_iter(keys.iter().map(|key| (*key, leaf(), None))))
    };
    let mut sorted = [key(0, 0), key(0, 1)];
    sorted.sort();
    let [a, b] = &sorted;
    misshapen(&[of(None, &[b, a]).block()], "keys rise");
    misshapen(&[of(None, &[a, a]).block()], "keys rise");
    let mut mixed = [low.as_str(), high.as_str()];
    mixed.sort_unstable();
    misshapen(&[of(None, &mixed).block()], "every key stands at the layer of its height");

    let below = |child: RawNode| {
        let child = child.block();
        vec![of(Some(child.0), &[&high]).block(), child]
    };
    misshapen(&below(RawNode::default()), "only the root may be empty");
    misshapen(&below(of(None, &[&high])), "every key stands at the layer of its height");
    misshapen(&below(RawNode { left: Some(leaf()), entries: vec![] }), "nothing lies below layer 0");
    let beyond = (0..).map(|number| key(0, number)).find(|key| *key > high).unwrap();
    misshapen(&below(of(None, &[&beyond])), "keys of a subtree lie between its neighbours");
    let child = of(None, &[a]).block();
    misshapen(&[of(Some(child.0), &[b]).block(), child.clone()], "nothing lies below layer 0");
    misshapen(&[RawNode { left: Some(child.0), entries: vec![] }.block(), child], "the root holds a key");
}

#[test]
fn m2_a_node_has_its_members_and_no_others() {
    for (member, value) in [("x", Ipld::Null), ("l", integer(0)), ("e", Ipld::Null)] {
        let Ipld::Map(mut node) = value::decode(&RawNode::default().encode()) else {
            panic!("a node is a map")
        };
        node.insert(member.to_owned(), value);
        let block = value::encode(&Ipld::Map(node));
        let error = walk(&[(value::cid_of(&block), block)]).unwrap_err();
        assert!(matches!(error, MstError::Misshapen { .. } | MstError::Block(_)), "{error}");
    }
}

#[test]
fn m3_a_chain_of_nodes_is_no_deeper_than_its_layers() {
    on_a_small_stack(|| {
        let chain = left_chain(22_000);
        assert_eq!(walk(&chain), Err(MstError::Misshapen { rule: "the root holds a key" }));
        // Below a key of layer 6 there are six layers, however many nodes are offered.
        let top = RawNode::of_keys(Some(chain[1].0), &[(&key(6, 0), leaf(), None)]).block();
        let nodes = [&[top], &chain[1..]].concat();
        assert_eq!(walk(&nodes), Err(MstError::Misshapen { rule: "nothing lies below layer 0" }));
        refuses_forgery(desynchronized("bad-tree"), |_, draft| draft.with_tree(nodes).frame());
    });
}

#[test]
fn m3_a_node_is_no_wider_than_the_limit() {
    let wide = node(vec![entry(0, "k"); limits::MST_NODE_ENTRIES + 1]);
    assert_eq!(walk(&wide), Err(MstError::Misshapen { rule: "a node has at most 10,000 entries" }));
}

#[test]
fn m4_no_operation_can_be_left_out_or_altered_or_counts_twice() {
    let (mut listener, account) = Listener::following(1);
    let before = listener.world.commit(&account, vec![friend("old"), friend("older")]);
    listener.hear(&before);
    let writes = || vec![friend("new"), unfriend("old"), rename("Grace")];
    let count = writes().len();
    let tell = |listener: &mut Listener, change: &dyn Fn(&mut Vec<Ipld>)| {
        let mut envelope = Envelope::decode(&listener.world.forge(&account, writes()).frame().bytes);
        let Ipld::List(mut ops) = envelope.get("ops").clone() else { panic!("ops are a list") };
        change(&mut ops);
        envelope.set("ops", Ipld::List(ops)).frame()
    };
    fn set(op: &mut Ipld, name: &str, member: Ipld) {
        let Ipld::Map(op) = op else { panic!("an op is a map") };
        op.insert(name.to_owned(), member);
    }
    for at in 0..count {
        let frame = tell(&mut listener, &|ops| drop(ops.remove(at)));
        assert!(matches!(listener.prove(&account, &frame), Err(VerifyError::Inversion { .. })));
        refuses(&mut listener, &account, &frame, desynchronized("bad-inversion"));
    }
    let tell_twice = |listener: &mut Listener, at: usize| {
        tell(listener, &|ops| {
            let op = ops[at].clone();
            ops.push(op);
        })
    };
    for at in [0, 1] {
        let frame = tell_twice(&mut listener, at);
        refuses(&mut listener, &account, &frame, desynchronized("indefinite-ops"));
    }
    // So tells a host that updated a record twice over; the tree leaves no doubt.
    let (honest, frame) = (tell(&mut listener, &|_| ()), tell_twice(&mut listener, 2));
    let (honest, twice) = (listener.prove(&account, &honest), listener.prove(&account, &frame));
    assert_eq!(twice.unwrap().changes(), honest.unwrap().changes());
    for at in [1, 2] {
        let frame = tell(&mut listener, &|ops| set(&mut ops[at], "prev", Ipld::Link(leaf())));
        refuses(&mut listener, &account, &frame, desynchronized("bad-inversion"));
    }
    for at in [0, 2] {
        let frame = tell(&mut listener, &|ops| set(&mut ops[at], "cid", Ipld::Link(leaf())));
        assert!(matches!(listener.prove(&account, &frame), Err(VerifyError::Mst(MstError::Claim { .. }))));
        refuses(&mut listener, &account, &frame, desynchronized("bad-tree"));
    }
    let frame = tell(&mut listener, &|ops| set(&mut ops[0], "path", text("dev.cocore.account.friend/other")));
    refuses(&mut listener, &account, &frame, desynchronized("bad-tree"));
}

#[test]
fn m5_no_withheld_block_makes_a_commit_say_something_else() {
    let (mut listener, account) = Listener::following(1);
    let template = value::encode(&records::post(0, 0));
    listener.world.fill(&account, records::POST, &template, 400);
    let sync = listener.world.sync(&account);
    listener.hear(&sync);
    listener.settle();
    let honest = listener.world.forge(&account, vec![friend("new"), rename("Grace")]);
    let proven = listener.prove(&account, &honest.clone().frame()).unwrap();
    let mut refused = 0;
    for (number, (cid, _)) in honest.blocks.iter().enumerate() {
        match listener.prove(&account, &honest.clone().without_block(cid).frame()) {
            Ok(same) => assert!(number > 0 && same == proven, "a node that the proof does not need"),
            Err(
                VerifyError::Mst(MstError::MissingNode { cid: missing })
                | VerifyError::MissingRecord { cid: missing },
            ) => {
                refused += 1;
                assert_eq!(missing.to_string(), cid.to_string());
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(refused >= 4, "{refused} of {}", honest.blocks.len());
    let root = honest.blocks[0].0;
    refuses(&mut listener, &account, &honest.without_block(&root).frame(), desynchronized("bad-tree"));
}
