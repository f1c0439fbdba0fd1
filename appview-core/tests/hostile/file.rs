//! A1 to A4: files that are not what they say.

use appview_core::block::BlockError;
use appview_core::block::car::{Archive, Slice};
use appview_core::sync::VerifyError;
use fixtures::forge::{blake3_cid, identity_cid, overlong_varint, short_cid, v0_cid};
use fixtures::recording;

use crate::support::{NAMESPACE, commit_event};
use crate::*;

#[test]
fn a1_no_flipped_bit_in_any_block_of_a_real_commit_goes_unseen() {
    let mut commits = 0;
    for frame in recording::frames_live() {
        let envelope = Envelope::decode(frame);
        if envelope.kind() != "#commit" || !matches!(envelope.get("ops"), Ipld::List(ops) if !ops.is_empty())
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
                assert!(matches!(Archive::from_bytes(file.encode()), Err(BlockError::HashMismatch { .. })));
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
        assert_eq!(length(overlong_varint(36, width)), not_canonical("a car length takes its shortest form"));
    }
    assert_eq!(length(overlong_varint(36, 6)), not_canonical("a car length takes at most five bytes"));
    assert_eq!(length(vec![0xff; 4096]), not_canonical("a car length takes at most five bytes"));
    let giant = BlockError::TooLarge { what: "a car section", found: 0xffff_ffff, limit: 2_000_036 };
    assert_eq!(length(car::varint(0xffff_ffff)), giant);
    assert!(matches!(length(car::varint(37)), BlockError::Truncated { .. }));
    assert!(matches!(length(car::varint(35)), BlockError::UnsupportedCid { reason: "digest is cut short" }));

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
