//! Proofs of before a wipe are genuine and show nothing, whatever is held; what comes later is shown.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use appview_core::sync::verifier::{Hint, Verifier};
use appview_core::sync::{Followed, Scope};
use appview_core::syntax::Tid;
use fixtures::world::Did as Account;
use support::{Listener, did, friend, tid, unfriend};

/// One whose owner deleted two records, of which nobody heard, and had everything wiped.
fn wiped() -> (Listener, Account, Vec<u8>) {
    let (mut listener, account) = Listener::following(1);
    let told = listener.world.commit(&account, vec![friend("a"), friend("b")]);
    listener.hear(&told);
    let stale = listener.world.car(&account);
    listener.world.advance(1_000_000);
    let deletes = ["a", "b"].map(unfriend).into_iter();
    let profile = fixtures::Write::delete(fixtures::records::PROFILE, "self");
    listener.world.commit(&account, deletes.chain([profile]).collect());
    assert_eq!(listener.shown(&account).len(), 3);
    (listener, account, stale)
}

fn rev(listener: &Listener, account: &str) -> Tid {
    tid(&listener.world.head(account).rev)
}

#[test]
fn what_is_held_is_erased_and_no_copy_brings_it_back() {
    let (mut listener, account, stale) = wiped();
    let until = rev(&listener, &account);
    listener.verifier.wipe(did(&account), until);
    assert_eq!(listener.said(), ["forget"]);
    assert!(listener.shown(&account).is_empty());
    assert!(listener.fetch_car(&account, stale.clone()).is_empty(), "an answer that was on its way");
    assert_eq!(listener.verifier.tracked(), 0, "nothing is known of whoever says nothing");
    // Whoever asks for it again is not content with a copy from before.
    listener.verifier.track(did(&account));
    assert_eq!(listener.said(), ["desynchronized", "fetch"]);
    assert_eq!(listener.fetch_car(&account, stale), ["fetch"]);
    assert_eq!(listener.fetch(&account), ["repo full 0"]);
    let later = listener.world.commit(&account, vec![friend("later")]);
    listener.hear(&later);
    listener.settle();
    assert_eq!(listener.shown(&account), listener.truth(&account));
    assert_eq!(listener.shown(&account).len(), 1);
}

#[test]
fn a_stream_from_its_beginning_is_passed_over_and_nobody_is_followed_for_it() {
    let mut listener = Listener::new(2);
    let account = listener.world.create_account(fixtures::KeyKind::K256);
    let frames: Vec<_> = ["a", "b"].map(|rkey| listener.world.commit(&account, vec![friend(rkey)])).into();
    let last = listener.world.commit(&account, vec![unfriend("a"), unfriend("b")]);
    let until = rev(&listener, &account);
    listener.verifier.wipe(did(&account), until);
    listener.said();
    let mut fresh = Listener::resuming(listener.world.clone(), [], None);
    fresh.verifier = Verifier::new(Scope::default().wiping([(did(&account), until)]), []);
    fresh.stream = fresh.verifier.add_stream("wss://relay.test", None);
    for frame in frames.iter().chain([&last]) {
        assert!(fresh.hear(frame).is_empty());
    }
    assert_eq!((fresh.verifier.tracked(), fresh.verifier.tally().stale), (0, 3));
    let path = "dev.cocore.account.friend/a".parse().unwrap();
    let hint = Hint::Record { did: did(&account), path, rev: until };
    fresh.verifier.handle_hint(fresh.stream, 1, hint, fresh.now());
    assert_eq!((fresh.said().len(), fresh.verifier.tracked()), (0, 0));
    let later = fresh.world.commit(&account, vec![friend("later")]);
    fresh.hear(&later);
    fresh.settle();
    assert_eq!(fresh.shown(&account), fresh.truth(&account));
    assert_eq!(fresh.shown(&account).len(), 1);
}

#[test]
fn what_was_said_since_is_shown_again() {
    let (mut listener, account, _) = wiped();
    let until = rev(&listener, &account);
    let later = listener.world.commit(&account, vec![friend("later")]);
    listener.hear(&later);
    listener.verifier.wipe(did(&account), until);
    let said = listener.settle();
    assert!(said.contains(&"forget".to_owned()) && said.contains(&"repo full 1".to_owned()), "{said:?}");
    assert_eq!(listener.shown(&account), listener.truth(&account));
}

#[test]
fn an_index_of_before_is_emptied_at_the_start() {
    let (listener, account, _) = wiped();
    let until = rev(&listener, &account);
    let held: Followed = listener.followed(&account);
    let mut later = Listener::resuming(listener.world.clone(), [], None);
    later.verifier = Verifier::new(Scope::default().wiping([(did(&account), until)]), [held]);
    assert_eq!(later.said(), ["forget", "desynchronized", "fetch"]);
    assert_eq!(later.fetch(&account), ["repo full 0"]);
    // What was proven since stays.
    let held = later.followed(&account);
    later.verifier = Verifier::new(Scope::default().wiping([(did(&account), until)]), [held]);
    assert!(later.said().is_empty());
}

#[test]
fn of_two_wipes_the_later_holds_and_others_are_not_touched() {
    let (mut listener, account, _) = wiped();
    let other = listener.newcomer();
    let (early, late) = (tid("3jzfcijpj2z2a"), rev(&listener, &account));
    let scope = Scope::default().wiping([(did(&account), late), (did(&account), early)]);
    assert!(scope.is_wiped(&account, early) && !scope.is_wiped(&account, late));
    assert!(!scope.is_wiped(&other, early));
    listener.verifier.wipe(did(&account), late);
    listener.verifier.wipe(did(&account), early);
    listener.settle();
    assert!(listener.shown(&account).is_empty());
    assert_eq!(listener.shown(&other), listener.truth(&other));
}
