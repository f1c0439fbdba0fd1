//! A cursor is saved only as far as nothing is lost by it, each stream counts for itself, and any doubt about a stream
//! has every repository proven again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use fixtures::KeyKind;
use support::{Listener, friend, post, profile, rename};

#[test]
fn the_watermark_stops_before_the_oldest_frame_that_waits_for_a_key() {
    let (mut listener, account) = Listener::following(1);
    let before = listener.world.seq() as i64;
    assert_eq!(listener.watermark(), Some(before));
    let stranger = listener.world.create_account(KeyKind::P256);
    let waiting = listener.world.commit(&stranger, vec![profile("Eve")]);
    listener.hear(&waiting);
    for number in 0..5 {
        let frame = listener.world.commit(&account, vec![friend(&format!("{number}"))]);
        listener.hear(&frame);
        assert_eq!(listener.watermark(), Some(before));
    }
    listener.resolve(&stranger);
    assert_eq!(listener.watermark(), Some(before + 6));
}

#[test]
fn a_fetch_does_not_hold_the_watermark_because_the_index_knows_of_it() {
    let (mut listener, account) = Listener::following(2);
    listener.world.commit(&account, vec![friend("unheard")]);
    let breaking = listener.world.commit(&account, vec![friend("a")]);
    assert_eq!(listener.hear(&breaking)[0], "desynchronized", "it is written before the cursor passes");
    let parked = listener.world.commit(&account, vec![friend("b")]);
    listener.hear(&parked);
    assert_eq!(listener.watermark(), Some(listener.world.seq() as i64));
}

#[test]
fn the_same_commit_from_two_streams_counts_once() {
    let (mut listener, account) = Listener::following(3);
    let other = listener.verifier.add_stream("wss://other.test", None);
    let frame = listener.world.commit(&account, vec![rename("Grace")]);
    assert_eq!(listener.hear(&frame), ["commit +dev.cocore.account.profile/self"]);
    assert_eq!(listener.hear_on(other, &frame), ["reject stale-rev"]);
    let stranger = listener.world.create_account(KeyKind::K256);
    let frame = listener.world.commit(&stranger, vec![profile("Eve")]);
    assert_eq!(listener.hear_on(other, &frame), ["resolve cached"]);
    assert!(listener.hear(&frame).is_empty());
    assert_eq!(listener.resolve(&stranger), ["commit +dev.cocore.account.profile/self", "reject stale-rev"]);
}

#[test]
fn each_stream_has_a_watermark_of_its_own() {
    let (mut listener, account) = Listener::following(4);
    let other = listener.verifier.add_stream("wss://other.test", Some(40));
    let frame = listener.world.commit(&account, vec![post("a")]);
    let seq = listener.world.seq() as i64;
    listener.hear(&frame);
    let seqs: Vec<_> =
        listener.verifier.watermarks().into_iter().map(|cursor| (cursor.endpoint, cursor.seq)).collect();
    assert_eq!(seqs, [("wss://relay.test".to_owned(), seq), ("wss://other.test".to_owned(), 40)]);
    let _ = other;
}

#[test]
fn a_few_numbers_left_out_of_a_stream_mean_nothing() {
    let (mut listener, account) = Listener::following(5);
    listener.world.skip_seq(1_000);
    let frame = listener.world.commit(&account, vec![friend("a")]);
    assert_eq!(listener.hear(&frame), ["commit +dev.cocore.account.friend/a"]);
    assert_eq!(listener.watermark(), Some(listener.world.seq() as i64));
}

#[test]
fn a_leap_of_billions_has_every_repository_proven_again() {
    let (mut listener, account) = Listener::following(5);
    listener.world.commit(&account, vec![friend("lost")]);
    listener.world.skip_seq(9_000_000_000);
    let frame = listener.world.commit(&account, vec![friend("a")]);
    assert_eq!(listener.hear(&frame), ["gap", "desynchronized", "fetch"]);
    listener.settle();
    assert_eq!(listener.shown(&account), listener.truth(&account));
}

#[test]
fn gaps_that_follow_each_other_are_made_up_for_together_and_the_cursor_waits() {
    let (mut listener, account) = Listener::following(5);
    listener.world.skip_seq(9_000_000_000);
    let frame = listener.world.commit(&account, vec![friend("a")]);
    assert_eq!(listener.hear(&frame), ["gap", "desynchronized", "fetch"]);
    listener.settle();
    let stored = listener.watermark();
    assert!(stored.is_some());
    for key in ["b", "c", "d"] {
        listener.world.skip_seq(9_000_000_000);
        let frame = listener.world.commit(&account, vec![friend(key)]);
        assert_eq!(listener.hear(&frame), [format!("commit +dev.cocore.account.friend/{key}")]);
        assert_eq!(listener.watermark(), None, "a crash before the gap is made up for must find it again");
    }
    listener.world.advance(61_000_000);
    listener.verifier.tick(listener.world.now_micros());
    assert_eq!(listener.said()[..3], ["gap", "desynchronized", "fetch"]);
    assert_eq!(listener.watermark(), Some(listener.world.seq() as i64));
}

#[test]
fn what_is_left_out_right_after_a_cursor_has_every_repository_proven_again() {
    let (mut listener, account) = Listener::following(5);
    let seq = listener.world.seq() as i64;
    listener.world.commit(&account, vec![friend("lost")]);
    let frame = listener.world.commit(&account, vec![friend("a")]);
    let mut again = Listener::resuming(listener.world.clone(), [listener.followed(&account)], Some(seq));
    again.verifier.handle_connected(again.stream);
    assert_eq!(again.hear(&frame), ["gap", "desynchronized", "fetch"]);
    again.settle();
    assert_eq!(again.shown(&account), again.truth(&account));
}

#[test]
fn a_cursor_that_the_service_has_not_come_to_is_lost_and_everything_proven_again() {
    let (mut listener, account) = Listener::following(6);
    let error = listener.world.error("FutureCursor");
    assert_eq!(listener.hear(&error), ["closing FutureCursor", "gap", "desynchronized", "fetch"]);
    assert_eq!(listener.watermark(), None, "the next connection begins with what comes next");
    listener.settle();
    assert_eq!(listener.shown(&account), listener.truth(&account));
}

#[test]
fn a_cursor_that_is_out_of_date_has_every_repository_proven_again() {
    let (mut listener, first) = Listener::following(6);
    let second = listener.newcomer();
    listener.world.commit(&first, vec![friend("unheard")]);
    let info = listener.world.info("OutdatedCursor");
    assert_eq!(
        listener.hear(&info),
        ["notice OutdatedCursor", "gap", "desynchronized", "fetch", "desynchronized", "fetch"]
    );
    listener.settle();
    for account in [first, second] {
        assert_eq!(listener.shown(&account), listener.truth(&account));
    }
}

#[test]
fn what_a_service_leaves_out_after_it_said_so_is_made_up_for_once() {
    let (mut listener, account) = Listener::following(6);
    listener.verifier.handle_connected(listener.stream);
    let info = listener.world.info("OutdatedCursor");
    assert_eq!(listener.hear(&info), ["notice OutdatedCursor", "gap", "desynchronized", "fetch"]);
    listener.settle();
    listener.world.skip_seq(5_000);
    let frame = listener.world.commit(&account, vec![friend("a")]);
    assert_eq!(listener.hear(&frame), ["commit +dev.cocore.account.friend/a"]);
    assert_eq!(listener.watermark(), Some(listener.world.seq() as i64));
    listener.world.advance(61_000_000);
    listener.verifier.tick(listener.world.now_micros());
    assert!(listener.said().is_empty());
}

#[test]
fn what_a_service_says_of_itself_is_cut_short() {
    let (mut listener, _) = Listener::following(6);
    let info = listener.world.info(&"x".repeat(100_000));
    assert_eq!(listener.hear(&info), [format!("notice {}", "x".repeat(200))]);
}

#[test]
fn a_stream_that_begins_with_what_comes_next_has_what_was_proven_before_it_proven_again() {
    let (mut listener, account) = Listener::following(6);
    let late = listener.verifier.add_stream("wss://late.test", None);
    listener.world.commit(&account, vec![friend("unheard")]);
    listener.verifier.handle_connected(late);
    assert_eq!(listener.said(), ["gap", "desynchronized", "fetch"]);
    listener.settle();
    assert_eq!(listener.shown(&account), listener.truth(&account));
    let frame = listener.world.commit(&account, vec![friend("a")]);
    assert_eq!(listener.hear_on(late, &frame), ["commit +dev.cocore.account.friend/a"]);
    listener.verifier.handle_connected(late);
    assert!(listener.said().is_empty(), "it is resumed from there on");
}

#[test]
fn a_service_that_counts_anew_has_every_repository_proven_again() {
    let (mut listener, account) = Listener::following(7);
    let early = listener.world.commit(&account, vec![friend("a")]);
    let mut again =
        Listener::resuming(listener.world.clone(), [listener.followed(&account)], Some(1_000_000));
    assert!(again.said().is_empty());
    again.verifier.handle_connected(again.stream);
    assert_eq!(again.hear(&early), ["gap", "desynchronized", "fetch"]);
    again.settle();
    assert_eq!(again.shown(&account), again.truth(&account));
    assert_eq!(again.watermark(), Some(again.world.seq() as i64));
}

#[test]
fn the_event_at_the_cursor_may_come_once_more_after_a_reconnection() {
    let (mut listener, account) = Listener::following(8);
    let frame = listener.world.commit(&account, vec![friend("a")]);
    listener.hear(&frame);
    assert_eq!(listener.hear(&frame), ["reject repeated-seq"]);
    listener.verifier.handle_connected(listener.stream);
    assert_eq!(listener.hear(&frame), ["reject stale-rev"]);
}

#[test]
fn notices_are_passed_on_with_whether_they_close_the_stream() {
    let mut listener = Listener::new(9);
    for (frame, word) in [
        (listener.world.info("SomethingElse"), "notice SomethingElse"),
        (listener.world.error("FutureCursor"), "closing FutureCursor"),
        (listener.world.error("ConsumerTooSlow"), "closing ConsumerTooSlow"),
    ] {
        assert_eq!(listener.hear(&frame), [word]);
    }
    assert_eq!(listener.watermark(), None);
}
