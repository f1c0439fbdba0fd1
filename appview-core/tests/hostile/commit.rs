//! K1 to K6: commits that are not what their message says, or nobody's.

use appview_core::repo::SignatureError;
use appview_core::sync::{Event, FrameError, VerifyError};
use fixtures::forge::SignatureForm;
use fixtures::{KeyKind, time};

use crate::*;

#[test]
fn k1_message_and_signed_object_say_the_same() {
    let mut listener = Listener::new(1);
    let [account, other] = [listener.newcomer(), listener.newcomer()];
    let draft = listener.world.forge(&account, vec![rename("Mallory")]);
    let frame = draft.with_body("repo", text(&other)).frame();
    assert_eq!(listener.prove(&other, &frame), Err(VerifyError::Envelope { member: "did" }));
    refuses(&mut listener, &other, &frame, dropped("envelope-mismatch"));

    let later = listener.world.next_tid();
    refuses_forgery(dropped("envelope-mismatch"), |_, draft| draft.with_body("rev", text(&later)).frame());
    refuses_forgery(dropped("envelope-mismatch"), |_, draft| draft.with_object("did", text(&other)).frame());
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
            let held = listener.verifier.state(listener.world.dids().next().unwrap()).unwrap().head.unwrap();
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
    refuses_forgery(desynchronized("chain-break"), |_, draft| draft.with_body("since", Ipld::Null).frame());
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
            (honest.clone().in_form(SignatureForm::Bytes(vec![1; 65])), SignatureError::Length { found: 65 }),
            (honest.clone().in_form(SignatureForm::Bytes(Vec::new())), SignatureError::Length { found: 0 }),
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
