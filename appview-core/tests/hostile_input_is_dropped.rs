//! The catalogue of hostile input: whatever a courier, a host or an owner sends, it is refused for a stated reason, what it
//! says changes nothing, and the next good frame is handled as if it had never come.
//!
//! The modules follow the layers that input passes: [`encoding`], [`file`], [`tree`], [`commit`], [`stream`]. What is
//! bounded in memory rather than in meaning has its own promise, `allocation_is_bounded`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use fixtures::forge::{Quirk, RawCar};
use fixtures::{Draft, Envelope, Frame, Ipld, car, value};
use support::{Listener, friend, integer, rename, text};

/// The words for a refusal that leaves the repository as it is.
fn dropped(reason: &str) -> Vec<String> {
    vec![format!("reject {reason}")]
}

/// The words for a refusal after which the repository is to be fetched.
fn desynchronized(reason: &str) -> Vec<String> {
    ["desynchronized", "fetch"].map(str::to_owned).into_iter().chain(dropped(reason)).collect()
}

/// Hears a hostile frame about a repository that is followed, expects these words, answers what is asked, and shows that
/// the next honest commit is proven.
#[track_caller]
fn refuses(listener: &mut Listener, account: &str, frame: &Frame, expected: Vec<String>) {
    let shown = listener.shown(account);
    assert_eq!(listener.hear(frame), expected);
    listener.settle();
    assert_eq!(listener.shown(account), shown, "it changed nothing");
    let name = listener.world.next_tid();
    let next = listener.world.commit(account, vec![rename(&name)]);
    assert_eq!(listener.hear(&next), ["commit +dev.cocore.account.profile/self"]);
    assert_eq!(listener.shown(account), listener.truth(account));
}

/// The same for what becomes of a forged commit on a fresh repository.
#[track_caller]
fn refuses_forgery(expected: Vec<String>, forge: impl FnOnce(&mut Listener, Draft) -> Frame) {
    let (mut listener, account) = Listener::following(1);
    let draft = listener.world.forge(&account, vec![rename("Mallory"), friend("mallory")]);
    let frame = forge(&mut listener, draft);
    refuses(&mut listener, &account, &frame, expected);
}

/// The same for what a courier makes of an honest commit.
#[track_caller]
fn refuses_tampering(expected: Vec<String>, tamper: impl FnOnce(&mut Envelope)) {
    refuses_forgery(expected, |_, draft| {
        let mut envelope = Envelope::decode(&draft.frame().bytes);
        tamper(&mut envelope);
        envelope.frame()
    });
}

/// An honest commit's file changed by a courier.
#[track_caller]
fn refuses_file(expected: Vec<String>, tamper: impl FnOnce(&mut RawCar)) {
    refuses_tampering(expected, |envelope| {
        let mut file = envelope.car();
        tamper(&mut file);
        envelope.set_car(&file);
    });
}

fn unhex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(|digit| *digit != b' ').collect();
    let digit = |digit: u8| u8::try_from(char::from(digit).to_digit(16).unwrap()).unwrap();
    digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

/// C1 to C7: bytes that are no canonical data.
mod encoding {
    use appview_core::block::{BlockError, cbor};
    use appview_core::limits;
    use appview_core::sync::{Event, FrameError, RecordChange};

    use super::*;
    use crate::support::on_a_small_stack;

    fn rule(hex: &str) -> &'static str {
        match cbor::decode(&unhex(hex)) {
            Err(BlockError::NotCanonical { rule, .. } | BlockError::DataModel { rule, .. }) => rule,
            Err(BlockError::UnsupportedCid { reason }) => reason,
            Err(BlockError::TrailingBytes { .. }) => "trailing bytes",
            Err(BlockError::Truncated { .. }) => "truncated",
            other => panic!("{hex}: {other:?}"),
        }
    }

    #[test]
    fn c1_a_block_that_is_not_canonical_is_refused_by_rule() {
        for hex in [
            "9f ff",
            "bf ff",
            "5f 41 00 ff",
            "7f 61 61 ff",
            "9f 01 02 ff",
            "a1 61 61 9f ff",
            "ff",
            "1f",
            "df",
        ] {
            assert_eq!(rule(hex), "lengths must be definite", "{hex}");
        }
        for hex in [
            "18 17",
            "19 00 ff",
            "1a 00 00 ff ff",
            "1b 00 00 00 00 ff ff ff ff",
            "38 00",
            "39 00 17",
            "58 01 00",
            "78 01 61",
            "98 01 00",
            "b8 01 61 61 00",
            "59 00 01 00",
            "a1 78 01 61 00",
        ] {
            assert_eq!(rule(hex), "integers and lengths must take their shortest form", "{hex}");
        }
        for hex in ["a2 61 62 00 61 61 00", "a2 62 61 61 00 61 62 00", "81 a2 61 7a 00 61 61 00"] {
            assert_eq!(rule(hex), "map keys must be sorted by length, then bytes", "{hex}");
        }
        for hex in ["a2 61 61 00 61 61 00", "a3 61 61 00 61 62 00 61 62 01"] {
            assert_eq!(rule(hex), "map keys must be unique", "{hex}");
        }
        for hex in ["1c", "3d", "5e", "7c", "9d", "be"] {
            assert_eq!(rule(hex), "reserved additional information", "{hex}");
        }
        for hex in ["a0 00", "00 00", "f6 f6"] {
            assert_eq!(rule(hex), "trailing bytes", "{hex}");
        }
        for hex in ["", "18", "a1", "a1 61 61", "82 00", "42 00", "62 61"] {
            assert_eq!(rule(hex), "truncated", "{hex}");
        }
        for hex in ["a1 00 00", "a1 40 00", "a1 f6 00"] {
            assert!(
                matches!(cbor::decode(&unhex(hex)), Err(BlockError::Unexpected { expected: "text", .. })),
                "{hex}"
            );
        }
    }

    #[test]
    fn c1_an_envelope_may_be_sloppy_but_not_ambiguous() {
        for (quirk, expected) in [
            (Quirk::UnsortedKeys, None),
            (Quirk::TextSortedKeys, None),
            (Quirk::LongIntegers, None),
            (Quirk::IndefiniteLengths, Some(dropped("bad-frame"))),
            (Quirk::DuplicateKeys, Some(dropped("bad-frame"))),
            (Quirk::TrailingByte, Some(dropped("bad-frame"))),
        ] {
            let (mut listener, account) = Listener::following(1);
            let honest = Envelope::decode(&listener.world.commit(&account, vec![rename("Grace")]).bytes);
            match expected {
                None => {
                    let said = listener.hear(honest.frame_with(quirk));
                    assert_eq!(said, ["commit +dev.cocore.account.profile/self"], "{quirk:?}");
                    assert_eq!(listener.verifier.tally().deviating, 1);
                }
                Some(expected) => {
                    assert_eq!(listener.hear(honest.frame_with(quirk)), expected, "{quirk:?}");
                    assert_eq!(listener.hear(honest.frame()), ["commit +dev.cocore.account.profile/self"]);
                }
            }
        }
    }

    #[test]
    fn c1_a_signed_object_has_one_encoding_only() {
        for quirk in [
            Quirk::UnsortedKeys,
            Quirk::TextSortedKeys,
            Quirk::LongIntegers,
            Quirk::IndefiniteLengths,
            Quirk::DuplicateKeys,
            Quirk::TrailingByte,
        ] {
            refuses_forgery(dropped("bad-commit"), |_, mut draft| {
                draft.encoding = quirk;
                draft.frame()
            });
        }
    }

    #[test]
    fn c2_an_unknown_member_is_passed_over_only_if_it_is_data() {
        let mut good = None;
        refuses_forgery(dropped("bad-frame"), |_, draft| {
            let mut envelope = Envelope::decode(&draft.frame().bytes);
            good = Some(envelope.clone().set("zzz", Ipld::List(vec![text("a"), Ipld::Null])).frame());
            envelope.set("zzz", Ipld::Float(1.5)).frame()
        });
        assert!(Event::decode(&good.unwrap().bytes).is_ok());
        let body = |junk: &str| {
            let header = b"\xa2\x61t\x69#identity\x62op\x01".as_slice();
            let members = unhex(&format!("a3 63 646964 69 6469643a7765623a61 63 736571 01 637a7a7a {junk}"));
            [header, &members].concat()
        };
        assert!(Event::decode(&body("80")).is_ok());
        for junk in
            ["9f ff", "f7", "f9 00 00", "c1 00", "d8 2a 40", "a2 61 61 00 61 61 00", "62 ff ff", "82 00"]
        {
            assert!(matches!(Event::decode(&body(junk)), Err(FrameError::Block(_))), "{junk}");
        }
    }

    #[test]
    fn c3_what_the_data_model_has_no_place_for_is_refused_by_rule() {
        let link = |cid: &str| format!("d8 2a 58 25 00 {cid} {}", "00".repeat(32));
        for (hex, expected) in [
            ("f9 3c 00", "floats have no place"),
            ("fa 3f 80 00 00", "floats have no place"),
            ("fb 3f f0 00 00 00 00 00 00", "floats have no place"),
            ("fb 7f f8 00 00 00 00 00 00", "floats have no place"),
            ("f9 7e 00", "floats have no place"),
            ("f7", "undefined has no place"),
            ("e0", "simple values other than true, false and null have no place"),
            ("f8 20", "simple values other than true, false and null have no place"),
            ("c0 60", "tags other than 42 have no place"),
            ("d8 2b 41 00", "tags other than 42 have no place"),
            ("d8 2a 41 01", "link does not start with a zero byte"),
            ("d8 2a 40", "link does not start with a zero byte"),
            ("61 ff", "text must be utf-8"),
            ("63 ed a0 80", "text must be utf-8"),
            (&link("01 70 12 20"), "codec is neither dag-cbor nor raw"),
            (&link("01 71 1e 20"), "hash function is not sha2-256"),
            (&link("01 71 00 20"), "identity hash"),
            (&link("12 20 00 00"), "version 0"),
            (&link("02 71 12 20"), "version is not 1"),
        ] {
            assert_eq!(rule(hex), expected, "{hex}");
        }
    }

    #[test]
    fn c3_a_float_is_stored_with_a_record_and_refused_in_a_commit() {
        let (mut listener, account) = Listener::following(1);
        let record = value::encode(&Ipld::Map([("price".to_owned(), Ipld::Float(0.5))].into()));
        let write = fixtures::Write::create_block(fixtures::records::FRIEND, "float", record.clone());
        let frame = listener.world.commit(&account, vec![write]);
        let commit = listener.prove(&account, &frame).unwrap();
        assert!(matches!(commit.changes(), [RecordChange::Put { block, .. }] if **block == record));
        assert!(matches!(
            cbor::decode(&record),
            Err(BlockError::DataModel { rule: "floats have no place", .. })
        ));
        assert_eq!(
            listener.hear(&frame),
            ["commit +dev.cocore.account.friend/float"],
            "a bad record blocks no repo"
        );
        refuses_forgery(dropped("bad-commit"), |_, draft| {
            draft.with_object("version", Ipld::Float(3.0)).frame()
        });
    }

    #[test]
    fn c4_integers_end_where_64_bits_with_a_sign_end() {
        for hex in [
            "1b 80 00 00 00 00 00 00 00",
            "1b ff ff ff ff ff ff ff ff",
            "3b 80 00 00 00 00 00 00 00",
            "3b ff ff ff ff ff ff ff ff",
        ] {
            assert_eq!(rule(hex), "integers must fit 64 bits with a sign", "{hex}");
        }
        for (hex, number) in
            [("1b 7f ff ff ff ff ff ff ff", i64::MAX), ("3b 7f ff ff ff ff ff ff ff", i64::MIN)]
        {
            assert_eq!(cbor::decode(&unhex(hex)), Ok(cbor::Value::Integer(number)));
        }
    }

    #[test]
    fn c5_nesting_has_a_limit_that_fits_the_smallest_stack() {
        fn nested(depth: usize, head: &[u8]) -> Vec<u8> {
            [head.repeat(depth - 1), vec![0x80]].concat()
        }
        on_a_small_stack(|| {
            for head in [b"\x81".as_slice(), b"\xa1\x61a"] {
                for depth in [31, limits::CBOR_DEPTH] {
                    let block = nested(depth, head);
                    assert_eq!(cbor::encode(&cbor::decode(&block).unwrap()), block);
                }
                for depth in [limits::CBOR_DEPTH + 1, 10_000, 1_000_000] {
                    let block = nested(depth, head);
                    assert_eq!(cbor::decode(&block), Err(BlockError::TooDeep));
                    assert_eq!(appview_core::block::json::to_json(&block), Err(BlockError::TooDeep));
                    let mut reader = cbor::Reader::lenient(&block);
                    assert_eq!(reader.skip(0), Err(BlockError::TooDeep));
                }
            }
        });
    }

    #[test]
    fn c7_a_message_over_the_limit_of_the_protocol_is_refused() {
        refuses_tampering(dropped("bad-frame"), |envelope| {
            envelope.set("zzz", Ipld::Bytes(vec![0; limits::FRAME_BYTES]));
        });
        let frame = vec![0xa0; limits::FRAME_BYTES + 1];
        assert_eq!(Event::decode(&frame), Err(FrameError::TooLarge { found: limits::FRAME_BYTES + 1 }));
    }
}

/// A1 to A4: files that are not what they say.
mod file {
    use appview_core::block::BlockError;
    use appview_core::block::car::{Archive, Slice};
    use appview_core::sync::VerifyError;
    use fixtures::forge::{blake3_cid, identity_cid, overlong_varint, short_cid, v0_cid};
    use fixtures::recording;

    use super::*;
    use crate::support::{NAMESPACE, commit_event};

    #[test]
    fn a1_no_flipped_bit_in_any_block_of_a_real_commit_goes_unseen() {
        let mut commits = 0;
        for frame in recording::frames_live() {
            let envelope = Envelope::decode(frame);
            if envelope.kind() != "#commit"
                || !matches!(envelope.get("ops"), Ipld::List(ops) if !ops.is_empty())
            {
                continue;
            }
            commits += 1;
            let honest = envelope.car();
            assert!(Slice::parse(&honest.encode()).is_ok());
            for section in 0..honest.sections.len() {
                let bits = honest.sections[section].block.len() * 8;
                for bit in (0..bits).step_by(311) {
                    let mut file = honest.clone();
                    file.flip_bit(section, bit);
                    let error = Slice::parse(&file.encode()).unwrap_err();
                    assert!(matches!(error, BlockError::HashMismatch { .. }), "{error}");
                    assert!(matches!(
                        Archive::from_bytes(file.encode()),
                        Err(BlockError::HashMismatch { .. })
                    ));
                }
            }
        }
        assert!(commits > 100, "{commits}");
        refuses_file(desynchronized("bad-block"), |file| file.flip_bit(0, 9));
    }

    #[test]
    fn a2_a_cid_of_another_shape_than_the_protocols_is_refused() {
        let block = value::encode(&Ipld::Null);
        for (cid, reason) in [
            (identity_cid(&block).to_bytes(), "identity hash"),
            (blake3_cid(&block).to_bytes(), "hash function is not sha2-256"),
            (v0_cid(&block).to_bytes(), "version 0"),
            (short_cid(&block, 20), "digest length is not 32"),
            (value::cid_with(0x70, &block).to_bytes(), "codec is neither dag-cbor nor raw"),
            (vec![1, 0x71], "shorter than its prefix"),
        ] {
            let mut file = RawCar::decode(&car::write(&[], []));
            file.push(cid.clone(), block.clone());
            assert_eq!(Slice::parse(&file.encode()).unwrap_err(), BlockError::UnsupportedCid { reason });
            refuses_file(desynchronized("bad-block"), |file| file.push(cid, block.clone()));
        }
    }

    #[test]
    fn a3_a_length_that_lies_is_refused_before_anything_is_read_by_it() {
        let length = |bytes: Vec<u8>| {
            let mut file = RawCar::decode(&car::write(&[], [(value::cid_of(b""), b"".as_slice())]));
            file.sections[0].length = Some(bytes);
            let whole = file.encode();
            let streamed = Archive::from_bytes(whole.clone()).unwrap_err();
            let error = Slice::parse(&whole).unwrap_err();
            assert_eq!(
                std::mem::discriminant(&streamed),
                std::mem::discriminant(&error),
                "the streaming reader agrees"
            );
            error
        };
        let not_canonical = |rule| BlockError::NotCanonical { offset: 0, rule };
        for width in 2..=5 {
            assert_eq!(
                length(overlong_varint(36, width)),
                not_canonical("a car length takes its shortest form")
            );
        }
        assert_eq!(length(overlong_varint(36, 6)), not_canonical("a car length takes at most five bytes"));
        assert_eq!(length(vec![0xff; 4096]), not_canonical("a car length takes at most five bytes"));
        let giant = BlockError::TooLarge { what: "a car section", found: 0xffff_ffff, limit: 2_000_036 };
        assert_eq!(length(car::varint(0xffff_ffff)), giant);
        assert!(matches!(length(car::varint(37)), BlockError::Truncated { .. }));
        assert!(matches!(
            length(car::varint(35)),
            BlockError::UnsupportedCid { reason: "digest is cut short" }
        ));

        let mut file = RawCar::decode(&car::write(&[], []));
        file.header_length = Some(car::varint(1 << 30));
        let giant = BlockError::TooLarge { what: "a car section", found: 1 << 30, limit: 4_096 };
        assert_eq!(Slice::parse(&file.encode()).unwrap_err(), giant);
        refuses_file(desynchronized("bad-block"), |file| file.header_length = Some(vec![0x80; 9]));
    }

    #[test]
    fn a4_a_header_says_roots_and_version_1_and_nothing_else() {
        for (name, member) in
            [("version", None), ("version", Some(integer(2))), ("roots", None), ("extra", Some(Ipld::Null))]
        {
            let mut file = RawCar::decode(&car::write(&[], []));
            file.set_header(name, member.clone());
            assert!(
                matches!(Slice::parse(&file.encode()), Err(BlockError::CarHeader { .. })),
                "{name} {member:?}"
            );
        }
        assert!(Slice::parse(b"").is_err());
    }

    #[test]
    fn a4_a_commit_is_the_only_root_of_its_file() {
        refuses_file(dropped("bad-root"), |file| file.set_roots(&[]));
        refuses_file(dropped("bad-root"), |file| {
            let roots = car::read(&file.encode()).roots;
            file.set_roots(&[roots[0], roots[0]]);
        });
        refuses_file(dropped("bad-root"), |file| {
            let node = car::read(&file.encode()).blocks[1].0;
            file.set_roots(&[node]);
        });
    }

    #[test]
    fn a4_a_commit_or_a_record_that_is_left_out_has_the_repository_fetched() {
        refuses_file(desynchronized("missing-commit"), |file| drop(file.sections.remove(0)));
        refuses_file(desynchronized("missing-record"), |file| drop(file.sections.pop()));
    }

    #[test]
    fn a4_blocks_given_twice_or_in_excess_or_in_any_order_do_no_harm() {
        let (mut listener, account) = Listener::following(1);
        let mut envelope = Envelope::decode(&listener.world.commit(&account, vec![rename("Grace")]).bytes);
        let mut file = envelope.car();
        let twice = file.sections.clone();
        file.sections.extend(twice);
        file.push(value::cid_of(b"extra").to_bytes(), b"extra".to_vec());
        file.sections.reverse();
        let frame = envelope.set_car(&file).frame();
        assert_eq!(listener.hear(&frame), ["commit +dev.cocore.account.profile/self"]);
    }

    #[test]
    fn a4_an_export_without_its_commit_or_with_another_accounts_is_no_proof() {
        let (listener, account) = Listener::following(1);
        let identity = crate::support::identity(&listener.world, &account);
        let verify = |car: Vec<u8>| {
            let archive = Archive::from_bytes(car).unwrap();
            appview_core::sync::verify::verify_repo(archive, &identity, NAMESPACE, listener.now()).map(|_| ())
        };
        assert_eq!(verify(car::write(&[], [])), Err(VerifyError::Root));
        let commit = car::read(&listener.world.car(&account)).roots[0];
        let missing = VerifyError::MissingCommit { cid: commit.to_string().parse().unwrap() };
        assert_eq!(verify(car::write(&[commit], [])), Err(missing));
        let (other, stranger) = Listener::following(2);
        assert_eq!(verify(other.world.car(&stranger)), Err(VerifyError::Envelope { member: "did" }));
        let mut short = RawCar::decode(&listener.world.car(&account));
        short.sections.pop();
        assert!(matches!(verify(short.encode()), Err(VerifyError::MissingRecord { .. })));
        assert!(commit_event(&listener.world.clone().commit(&account, vec![]).bytes).ops.is_empty());
    }
}

/// M1 to M5: trees that no repository has.
mod tree {
    use appview_core::block::car::Slice;
    use appview_core::limits;
    use appview_core::repo::mst::{self, MstError};
    use appview_core::sync::VerifyError;
    use fixtures::forge::{RawEntry, RawNode, left_chain};
    use fixtures::mst::mine_rkey;
    use fixtures::{Cid, records};

    use super::*;
    use crate::support::{on_a_small_stack, unfriend};

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
            assert!(matches!(
                listener.prove(&account, &frame),
                Err(VerifyError::Mst(MstError::Claim { .. }))
            ));
            refuses(&mut listener, &account, &frame, desynchronized("bad-tree"));
        }
        let frame =
            tell(&mut listener, &|ops| set(&mut ops[0], "path", text("dev.cocore.account.friend/other")));
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
}

/// K1 to K6: commits that are not what their message says, or nobody's.
mod commit {
    use appview_core::repo::SignatureError;
    use appview_core::sync::{Event, FrameError, VerifyError};
    use fixtures::forge::SignatureForm;
    use fixtures::{KeyKind, time};

    use super::*;

    #[test]
    fn k1_message_and_signed_object_say_the_same() {
        let mut listener = Listener::new(1);
        let [account, other] = [listener.newcomer(), listener.newcomer()];
        let draft = listener.world.forge(&account, vec![rename("Mallory")]);
        let frame = draft.with_body("repo", text(&other)).frame();
        assert_eq!(listener.prove(&other, &frame), Err(VerifyError::Envelope { member: "did" }));
        refuses(&mut listener, &other, &frame, dropped("envelope-mismatch"));

        let later = listener.world.next_tid();
        refuses_forgery(dropped("envelope-mismatch"), |_, draft| {
            draft.with_body("rev", text(&later)).frame()
        });
        refuses_forgery(dropped("envelope-mismatch"), |_, draft| {
            draft.with_object("did", text(&other)).frame()
        });
        refuses_forgery(dropped("bad-root"), |_, draft| {
            draft.with_body("commit", Ipld::Link(value::cid_of(b"another"))).frame()
        });
    }

    #[test]
    fn k6_one_block_cannot_be_many_large_records() {
        let (mut listener, account) = Listener::following(1);
        let large = |number: u32| {
            let record = fixtures::records::friend(&format!("did:web:{}.example", "a".repeat(60)), 0);
            let Ipld::Map(mut record) = record else { unreachable!() };
            record.insert("note".to_owned(), text(&"x".repeat(300_000)));
            fixtures::Write::create("dev.cocore.account.friend", &format!("k{number}"), Ipld::Map(record))
        };
        let frame = listener.world.forge(&account, (0..20).map(large).collect()).frame();
        assert!(frame.bytes.len() < 500_000, "the block is there once");
        assert_eq!(listener.prove(&account, &frame), Err(VerifyError::OverLimit));
    }

    #[test]
    fn k2_a_revision_neither_goes_back_nor_lies_in_the_future() {
        refuses_forgery(dropped("future-rev"), |listener, draft| {
            draft.with_rev(&time::tid(listener.now() + 301_000_000, 0)).frame()
        });
        for back in [0, 1_000_000] {
            refuses_forgery(dropped("stale-rev"), |listener, draft| {
                let held =
                    listener.verifier.state(listener.world.dids().next().unwrap()).unwrap().head.unwrap();
                let rev = appview_core::syntax::Tid::from_micros(held.rev.micros() - back, 0).to_string();
                draft.with_rev(if back == 0 { held.rev.to_string() } else { rev }.as_str()).frame()
            });
        }
        refuses_forgery(dropped("bad-frame"), |_, draft| draft.with_rev("not a tid").frame());
        let (mut listener, account) = Listener::following(1);
        let soon = time::tid(listener.now() + 299_000_000, 0);
        let frame = listener.world.forge(&account, vec![rename("Grace")]).with_rev(&soon).frame();
        assert!(listener.prove(&account, &frame).is_ok(), "clocks differ by less than five minutes");
        assert!(listener.hear(&frame)[0].starts_with("commit"));
    }

    #[test]
    fn k2_a_commit_on_another_than_the_held_one_has_the_repository_fetched() {
        let nothing = value::cid_of(b"nothing");
        refuses_forgery(desynchronized("chain-break"), |_, draft| {
            draft.with_body("prevData", Ipld::Link(nothing)).frame()
        });
        refuses_forgery(desynchronized("chain-break"), |_, draft| draft.without_body("prevData").frame());
        refuses_forgery(desynchronized("chain-break"), |_, draft| {
            draft.with_body("since", Ipld::Null).frame()
        });
        refuses_forgery(desynchronized("chain-break"), |listener, draft| {
            draft.with_body("since", text(&listener.world.next_tid())).frame()
        });
    }

    #[test]
    fn k3_a_signature_has_one_form_and_one_curve() {
        for kind in [KeyKind::K256, KeyKind::P256] {
            let mut listener = Listener::new(1);
            let account = listener.world.create_account(kind);
            let first = listener.world.commit(&account, vec![crate::support::profile("Ada")]);
            listener.hear(&first);
            listener.settle();
            let honest = listener.world.forge(&account, vec![rename("Mallory")]);
            let other_curve =
                listener.world.stray_key(if kind == KeyKind::K256 { KeyKind::P256 } else { KeyKind::K256 });
            let der = honest.clone().in_form(SignatureForm::Der);
            let der_length = match der.sign().1.windows(3).position(|window| window == b"sig") {
                Some(at) => usize::from(der.sign().1[at + 4]),
                None => panic!("a commit has a sig"),
            };
            for (draft, expected) in [
                (honest.clone().in_form(SignatureForm::HighS), SignatureError::HighS),
                (der, SignatureError::Length { found: der_length }),
                (
                    honest.clone().in_form(SignatureForm::Bytes(vec![1; 65])),
                    SignatureError::Length { found: 65 },
                ),
                (
                    honest.clone().in_form(SignatureForm::Bytes(Vec::new())),
                    SignatureError::Length { found: 0 },
                ),
                (honest.clone().in_form(SignatureForm::Bytes(vec![0; 64])), SignatureError::Mismatch),
                (honest.clone().signed_by(other_curve), SignatureError::Mismatch),
            ] {
                listener.world.skip_seq(1);
                let frame = draft.with_body("seq", integer(i128::from(listener.world.seq()))).frame();
                let error = listener.prove(&account, &frame).unwrap_err();
                assert!(
                    error == VerifyError::Signature(expected)
                        // A signature by the other curve is high or low by chance.
                        || error == VerifyError::Signature(SignatureError::HighS) && expected == SignatureError::Mismatch,
                    "{error}"
                );
                listener.world.advance(120_000_000);
                assert_eq!(listener.hear(&frame), ["resolve fresh"]);
                let said = listener.settle();
                assert_eq!(said[..3], desynchronized("bad-signature"));
                assert_eq!(listener.shown(&account), listener.truth(&account));
            }
            assert!(listener.prove(&account, &honest.frame()).is_ok());
        }
    }

    #[test]
    fn k4_no_record_is_served_unsigned_however_long_the_directory_is_down() {
        let (mut listener, account) = Listener::following(1);
        listener.world.rotate_key(&account, KeyKind::P256);
        let mut shown = listener.shown(&account);
        for number in 0..10 {
            listener.world.advance(60_000_000);
            let frame = listener.world.commit(&account, vec![friend(&format!("{number}"))]);
            listener.hear(&frame);
            if let Some(did) = listener.unresolved.pop() {
                listener.resolve_with(did.as_str(), None);
            }
            assert_eq!(listener.shown(&account), shown);
        }
        listener.settle();
        shown = listener.truth(&account);
        assert_eq!(listener.shown(&account), shown);
        assert_eq!(shown.len(), 11);
    }

    #[test]
    fn k5_a_commit_has_its_members_and_no_others() {
        // Under one signature another address: the signature does not cover the member.
        refuses_forgery(dropped("bad-commit"), |_, mut draft| {
            draft.unsigned = [("note".to_owned(), Ipld::Null)].into();
            draft.frame()
        });
        refuses_forgery(dropped("bad-commit"), |_, draft| draft.with_object("note", Ipld::Null).frame());
        for member in ["did", "rev", "data", "prev", "version"] {
            refuses_forgery(dropped("bad-commit"), |_, draft| draft.without_object(member).frame());
        }
        refuses_forgery(dropped("bad-commit"), |_, draft| draft.in_form(SignatureForm::Absent).frame());
        refuses_forgery(dropped("bad-commit"), |_, draft| draft.with_object("version", integer(2)).frame());
        refuses_forgery(dropped("bad-commit"), |_, draft| draft.with_object("rev", text("now")).frame());
    }

    #[test]
    fn k6_what_is_left_out_for_its_size_has_the_repository_fetched() {
        refuses_tampering(desynchronized("over-limit"), |envelope| {
            envelope.set("tooBig", Ipld::Bool(true));
        });
        refuses_file(desynchronized("over-limit"), |file| {
            let block = vec![0; 1_000_000];
            file.push(value::cid_of(&block).to_bytes(), block.clone());
            file.push(value::cid_of(&block).to_bytes(), block);
        });
        let many = |envelope: &mut Envelope| {
            let Ipld::List(ops) = envelope.get("ops").clone() else { panic!("ops are a list") };
            envelope.set("ops", Ipld::List(ops.into_iter().cycle().take(201).collect()));
        };
        refuses_tampering(desynchronized("bad-frame"), many);
    }

    #[test]
    fn k6_an_operation_is_a_create_an_update_or_a_delete() {
        for (member, value, reason) in [
            ("action", text("upsert"), "action is none of create, update and delete"),
            ("cid", Ipld::Null, "no cid"),
            ("action", text("delete"), "a delete with cid"),
        ] {
            refuses_forgery(dropped("bad-frame"), |_, draft| {
                let mut envelope = Envelope::decode(&draft.frame().bytes);
                let Ipld::List(mut ops) = envelope.get("ops").clone() else { panic!("ops are a list") };
                let Ipld::Map(op) = &mut ops[0] else { panic!("an op is a map") };
                op.insert(member.to_owned(), value);
                let frame = envelope.set("ops", Ipld::List(ops)).frame();
                assert_eq!(Event::decode(&frame.bytes), Err(FrameError::Op { reason }));
                frame
            });
        }
    }

    #[test]
    fn k6_a_message_of_an_unknown_kind_is_passed_over_and_the_cursor_moves() {
        let (mut listener, account) = Listener::following(1);
        let unknown = listener.world.unknown_type();
        refuses(&mut listener, &account, &unknown, dropped("unknown-message"));
        let unknown = listener.world.unknown_type();
        listener.hear(&unknown);
        assert_eq!(listener.watermark(), Some(listener.world.seq() as i64));
    }
}

/// E1 to E4: what a courier may say without any signature.
mod stream {
    use appview_core::sync::{Event, FrameError, Hosting};

    use super::*;

    #[test]
    fn e1_a_lie_about_an_account_hides_its_records_only_until_its_pds_is_heard() {
        let (mut listener, account) = Listener::following(1);
        let lie = listener.world.clone().account(&account, false, Some("deleted"));
        assert_eq!(listener.hear(&lie), ["hosting deleted", "confirm hosting"]);
        assert!(listener.shown(&account).is_empty());
        listener.confirm(&account, Hosting::Active);
        listener.settle();
        assert_eq!(listener.shown(&account), listener.truth(&account));
    }

    #[test]
    fn e2_a_flood_of_identity_events_asks_once_until_it_is_answered() {
        let (mut listener, account) = Listener::following(1);
        let mut asked = 0;
        let mut envelope = Envelope::decode(&listener.world.identity(&account).bytes);
        let first = listener.world.seq();
        for number in 0..100_000 {
            let frame = envelope.set("seq", integer(i128::from(first + number))).frame();
            asked += listener.hear(&frame).len();
        }
        assert_eq!(asked, 1);
        // It changed again while it was on its way, however often: once more, and that is all.
        assert_eq!(listener.resolve(&account), ["resolve fresh"]);
        assert!(listener.resolve(&account).is_empty());
        assert_eq!(listener.verifier.tracked(), 1);
    }

    #[test]
    fn e2_an_identity_event_about_a_stranger_costs_nothing() {
        let (mut listener, _) = Listener::following(1);
        let stranger = listener.world.create_account(fixtures::KeyKind::P256);
        let frame = listener.world.identity(&stranger);
        assert!(listener.hear(&frame).is_empty());
        assert_eq!(listener.verifier.tracked(), 1);
    }

    #[test]
    fn e3_a_sync_is_believed_by_its_signature_alone() {
        let (mut listener, account) = Listener::following(1);
        let equal = listener.world.sync(&account);
        assert!(listener.hear(&equal).is_empty());
        let stray = listener.world.stray_key(fixtures::KeyKind::K256);
        let draft = listener.world.forge(&account, vec![friend("mallory")]).signed_by(stray);
        let (commit, block) = draft.sign();
        let mut envelope = Envelope::decode(&equal.bytes);
        envelope.set("seq", integer(i128::from(listener.world.seq() + 1)));
        envelope.set("rev", draft.object["rev"].clone());
        envelope.set("blocks", Ipld::Bytes(car::write(&[commit], [(commit, block.as_slice())])));
        let forged = envelope.frame();
        listener.world.skip_seq(1);
        assert_eq!(listener.hear(&forged), ["resolve fresh"]);
        assert_eq!(listener.settle()[..3], desynchronized("bad-signature"));
        envelope.set("seq", integer(i128::from(listener.world.seq() + 1)));
        envelope.set("blocks", Ipld::Bytes(vec![0; 10_001]));
        let oversized = envelope.frame();
        listener.world.skip_seq(1);
        assert_eq!(
            listener.hear(&oversized),
            dropped("over-limit"),
            "unsigned junk costs one fetch a minute"
        );
        listener.world.advance(60_000_000);
        envelope.set("seq", integer(i128::from(listener.world.seq() + 1)));
        let oversized = envelope.frame();
        listener.world.skip_seq(1);
        refuses(&mut listener, &account, &oversized, desynchronized("over-limit"));
    }

    #[test]
    fn e4_a_number_outside_its_range_makes_the_frame_unusable() {
        for seq in [0, -1, i64::MIN, 1 << 53, i64::MAX] {
            let mut number = 0;
            refuses_tampering(dropped("bad-frame"), |envelope| {
                number = seq;
                envelope.set("seq", integer(i128::from(seq)));
                assert_eq!(Event::decode(&envelope.frame().bytes), Err(FrameError::Seq { found: number }));
            });
        }
    }

    #[test]
    fn e4_a_repeated_number_is_passed_over_and_a_service_that_counts_anew_is_a_gap() {
        let (mut listener, account) = Listener::following(1);
        let frame = listener.world.commit(&account, vec![rename("Grace")]);
        listener.hear(&frame);
        refuses(&mut listener, &account, &frame, dropped("repeated-seq"));
        listener.verifier.handle_connected(listener.stream);
        let watermark = listener.watermark();
        assert_eq!(listener.hear(&frame)[..2], ["gap", "desynchronized"].map(str::to_owned));
        listener.settle();
        assert!(listener.watermark() < watermark);
        assert_eq!(listener.shown(&account), listener.truth(&account));
    }
}
