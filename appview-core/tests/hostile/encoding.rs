//! C1 to C7: bytes that are no canonical data.

use appview_core::block::{BlockError, cbor};
use appview_core::limits;
use appview_core::sync::{Event, FrameError, RecordChange};

use crate::support::on_a_small_stack;
use crate::*;

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
    for hex in
        ["9f ff", "bf ff", "5f 41 00 ff", "7f 61 61 ff", "9f 01 02 ff", "a1 61 61 9f ff", "ff", "1f", "df"]
    {
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
    for junk in ["9f ff", "f7", "f9 00 00", "c1 00", "d8 2a 40", "a2 61 61 00 61 61 00", "62 ff ff", "82 00"]
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
    assert!(matches!(cbor::decode(&record), Err(BlockError::DataModel { rule: "floats have no place", .. })));
    assert_eq!(
        listener.hear(&frame),
        ["commit +dev.cocore.account.friend/float"],
        "a bad record blocks no repo"
    );
    refuses_forgery(dropped("bad-commit"), |_, draft| draft.with_object("version", Ipld::Float(3.0)).frame());
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
    for (hex, number) in [("1b 7f ff ff ff ff ff ff ff", i64::MAX), ("3b 7f ff ff ff ff ff ff ff", i64::MIN)]
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
