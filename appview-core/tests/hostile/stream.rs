//! E1 to E4: what a courier may say without any signature.

use appview_core::sync::{Event, FrameError, Hosting};

use crate::*;

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
    assert_eq!(listener.hear(&oversized), dropped("over-limit"), "unsigned junk costs one fetch a minute");
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
    let next = listener.world.commit(&account, vec![rename("Hedy")]);
    listener.hear(&next);
    listener.verifier.handle_connected(listener.stream);
    let watermark = listener.watermark();
    assert_eq!(listener.hear(&frame)[..2], ["gap", "desynchronized"].map(str::to_owned));
    listener.settle();
    assert!(listener.watermark() < watermark);
    assert_eq!(listener.shown(&account), listener.truth(&account));
}
