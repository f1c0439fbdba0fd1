//! Nothing is proven without the key that the account's DID document names at that time; a wrong one is asked for again
//! once, past every cache, and not for every piece of junk.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use appview_core::repo::SignatureError;
use appview_core::sync::verifier::Keys;
use appview_core::sync::{Postponed, Proof, VerifyError};
use appview_core::syntax::Tid;
use fixtures::{KeyKind, Write, records};
use support::{Listener, did, friend, profile, rename, unfriend};

const MINUTE: u64 = 60_000_000;

#[test]
fn a_did_that_resolves_to_nothing_is_not_followed_for_what_it_sent() {
    let mut listener = Listener::new(1);
    let account = listener.world.create_account(KeyKind::K256);
    listener.world.genesis_frames(&account);
    let frame = listener.world.commit(&account, vec![profile("Nobody")]);
    assert_eq!(listener.hear(&frame), ["resolve cached"]);
    assert!(listener.resolve_to_nothing(&account).is_empty());
    assert_eq!(listener.verifier.tracked(), 0);
    assert_eq!(
        listener.verifier.watermarks()[0].seq,
        i64::try_from(frame.seq.unwrap()).unwrap(),
        "and it holds nothing up"
    );
}

#[test]
fn a_did_that_resolves_to_nothing_any_more_is_asked_about() {
    let (mut listener, account) = Listener::following(1);
    let frame = listener.world.identity(&account);
    assert_eq!(listener.hear(&frame), ["resolve fresh"]);
    assert_eq!(listener.resolve_to_nothing(&account), ["desynchronized", "fetch", "confirm hosting"]);
}

#[test]
fn commits_wait_for_their_key_and_are_then_handled_in_order() {
    let mut listener = Listener::new(1);
    let account = listener.world.create_account(KeyKind::P256);
    let frames = [
        listener.world.commit(&account, vec![profile("Ada")]),
        listener.world.commit(&account, vec![rename("Grace")]),
        listener.world.commit(&account, vec![Write::delete(records::PROFILE, "self")]),
        listener.world.commit(&account, vec![profile("Mary"), friend("a")]),
    ];
    let said: Vec<_> = frames.iter().map(|frame| listener.hear(frame)).collect();
    assert_eq!(said.concat(), ["resolve cached"], "one question for all of them");
    assert_eq!(
        listener.resolve(&account),
        [
            "commit +dev.cocore.account.profile/self",
            "commit +dev.cocore.account.profile/self",
            "commit -dev.cocore.account.profile/self",
            "commit +dev.cocore.account.friend/a +dev.cocore.account.profile/self"
        ]
    );
    assert_eq!(listener.shown(&account), listener.truth(&account));
}

#[test]
fn an_identity_that_cannot_be_had_leads_to_a_fetch_and_never_to_an_unsigned_record() {
    let mut listener = Listener::new(2);
    let account = listener.world.create_account(KeyKind::K256);
    let frame = listener.world.commit(&account, vec![profile("Ada")]);
    listener.hear(&frame);
    assert_eq!(listener.resolve_with(&account, None), ["desynchronized", "fetch"]);
    let next = listener.world.commit(&account, vec![friend("a")]);
    assert!(listener.hear(&next).is_empty());
    assert!(listener.shown(&account).is_empty());
    assert_eq!(listener.fetch(&account), ["repo full 2", "reject stale-rev", "reject stale-rev"]);
}

#[test]
fn a_commit_signed_with_a_rotated_key_passes_after_one_refresh() {
    let (mut listener, account) = Listener::following(3);
    listener.world.advance(MINUTE);
    listener.world.rotate_key(&account, KeyKind::P256);
    let frame = listener.world.commit(&account, vec![rename("Grace")]);
    assert_eq!(listener.hear(&frame), ["resolve fresh"]);
    let next = listener.world.commit(&account, vec![friend("a")]);
    assert!(listener.hear(&next).is_empty());
    assert_eq!(
        listener.resolve(&account),
        ["commit +dev.cocore.account.profile/self", "commit +dev.cocore.account.friend/a"]
    );
}

#[test]
fn a_rotation_that_is_announced_first_makes_commits_wait_for_the_new_key() {
    let (mut listener, account) = Listener::following(4);
    listener.world.advance(MINUTE);
    listener.world.rotate_key(&account, KeyKind::P256);
    let identity = listener.world.identity(&account);
    assert_eq!(listener.hear(&identity), ["resolve fresh"]);
    listener.world.resign(&account);
    let sync = listener.world.sync(&account);
    let frame = listener.world.commit(&account, vec![friend("a")]);
    assert!(listener.hear(&sync).is_empty() && listener.hear(&frame).is_empty());
    assert_eq!(listener.resolve(&account), ["head", "commit +dev.cocore.account.friend/a"]);
}

#[test]
fn a_signature_that_a_fresh_key_does_not_explain_either_has_the_repository_fetched() {
    let (mut listener, account) = Listener::following(5);
    let stray = listener.world.stray_key(KeyKind::K256);
    let junk = listener.world.forge(&account, vec![rename("Mallory")]).signed_by(stray).frame();
    assert_eq!(listener.prove(&account, &junk), Err(VerifyError::Signature(SignatureError::Mismatch)));
    assert_eq!(listener.hear(&junk), ["resolve fresh"]);
    assert_eq!(listener.resolve(&account), ["desynchronized", "fetch", "reject bad-signature"]);
    assert_eq!(listener.settle(), ["repo full 1"], "the junk itself is not kept");
    let next = listener.world.commit(&account, vec![rename("Grace")]);
    assert_eq!(listener.hear(&next), ["commit +dev.cocore.account.profile/self"]);
}

#[test]
fn a_flood_of_bad_signatures_refreshes_the_key_once_a_minute() {
    let (mut listener, account) = Listener::following(6);
    let stray = listener.world.stray_key(KeyKind::K256);
    let junk = |listener: &mut Listener| {
        let frame = listener.world.forge(&account, vec![rename("Mallory")]).signed_by(stray.clone()).frame();
        let mut said = listener.hear(&frame);
        said.extend(listener.settle());
        said
    };
    let first = junk(&mut listener);
    assert_eq!(
        first.iter().filter(|word| *word == "resolve fresh" || *word == "fetch").count(),
        2,
        "{first:?}"
    );
    for _ in 0..100 {
        assert_eq!(junk(&mut listener), ["reject bad-signature"]);
    }
    listener.world.advance(MINUTE);
    assert_eq!(junk(&mut listener)[0], "resolve fresh");
}

#[test]
fn a_repository_that_only_junk_speaks_for_is_not_remembered() {
    let mut listener = Listener::new(7);
    let account = listener.world.create_account(KeyKind::K256);
    let stray = listener.world.stray_key(KeyKind::K256);
    let junk = listener.world.forge(&account, vec![profile("Mallory")]).signed_by(stray).frame();
    assert_eq!(listener.hear(&junk), ["resolve cached"]);
    assert_eq!(listener.resolve(&account), ["resolve fresh"]);
    assert_eq!(listener.resolve(&account), ["reject bad-signature"]);
    assert_eq!(listener.verifier.tracked(), 0);
    let frame = listener.world.commit(&account, vec![profile("Ada")]);
    assert_eq!(listener.hear(&frame), ["resolve cached"]);
    assert_eq!(listener.resolve(&account), ["commit +dev.cocore.account.profile/self"]);
}

#[test]
fn in_a_recording_commits_from_before_a_rotation_are_proven_by_the_key_of_their_time() {
    let mut listener = Listener::new(8);
    listener.verifier.set_keys(Keys::AuditLog);
    let account = listener.world.create_account(KeyKind::K256);
    listener.world.advance(MINUTE);
    let before = listener.world.commit(&account, vec![profile("Ada")]);
    listener.world.advance(MINUTE);
    listener.world.rotate_key(&account, KeyKind::P256);
    let after = listener.world.commit(&account, vec![rename("Grace")]);
    listener.hear(&before);
    listener.hear(&after);
    assert_eq!(
        listener.resolve(&account),
        ["commit +dev.cocore.account.profile/self", "commit +dev.cocore.account.profile/self"]
    );
}

#[test]
fn a_repository_signed_by_the_former_host_is_provisional_until_its_next_commit() {
    let (mut listener, account) = Listener::following(9);
    listener.world.advance(MINUTE);
    listener.world.migrate(&account, "https://new.example");
    listener.world.rotate_key(&account, KeyKind::P256);
    let identity = listener.world.identity(&account);
    assert_eq!(listener.hear(&identity), ["resolve fresh"]);
    assert_eq!(listener.resolve(&account), ["desynchronized", "fetch"], "the account moved");
    assert_eq!(listener.fetch(&account), ["repo provisional 1"]);
    assert_eq!(listener.state(&account).proof, Proof::Provisional);
    // Saying the same again proves no more.
    let sync = listener.world.sync(&account);
    listener.hear(&sync);
    listener.settle();
    assert_eq!(listener.state(&account).proof, Proof::Provisional);
    let next = listener.world.commit(&account, vec![rename("Grace")]);
    assert_eq!(listener.hear(&next), ["commit +dev.cocore.account.profile/self"]);
    assert_eq!(listener.state(&account).proof, Proof::Full);
}

#[test]
fn on_a_live_stream_a_former_key_signs_nothing_however_it_is_dated() {
    let (mut listener, account) = Listener::following(9);
    let former = listener.world.signing_key(&account).clone();
    let held = listener.state(&account).head.unwrap();
    listener.moved(&account);
    // The former host still has its key, and dates a commit into the time when that was the account's.
    let shown = listener.shown(&account);
    let backdated = Tid::from_micros(held.rev.micros() + 1, 0).to_string();
    let draft = listener.world.forge(&account, vec![rename("Mallory")]);
    let forged = draft.with_rev(&backdated).signed_by(former).frame();
    let said = listener.hear(&forged);
    assert!(!said.iter().any(|word| word.starts_with("commit")), "{said:?}");
    let said = listener.settle();
    assert!(!said.iter().any(|word| word.starts_with("commit")), "{said:?}");
    assert_eq!(listener.shown(&account), shown);
    assert_eq!(listener.state(&account).proof, Proof::Provisional);
}

#[test]
fn an_identity_event_without_a_move_costs_one_question_and_no_fetch() {
    let (mut listener, account) = Listener::following(10);
    listener.world.set_handle(&account, "other.test");
    let identity = listener.world.identity(&account);
    assert_eq!(listener.hear(&identity), ["resolve fresh"]);
    assert!(listener.resolve(&account).is_empty());
    let next = listener.world.commit(&account, vec![friend("a")]);
    assert_eq!(listener.hear(&next), ["commit +dev.cocore.account.friend/a"]);
}

#[test]
fn an_identity_event_of_somebody_who_is_not_followed_costs_nothing() {
    let (mut listener, _) = Listener::following(13);
    let stranger = listener.world.create_account(KeyKind::P256);
    let identity = listener.world.identity(&stranger);
    assert!(listener.hear(&identity).is_empty());
}

#[test]
fn an_identity_event_hurries_a_fetch_that_was_put_off_and_no_other() {
    let (mut listener, account) = Listener::following(12);
    listener.verifier.doubt(&did(&account));
    assert_eq!(listener.said(), ["desynchronized", "fetch"]);
    listener.world.migrate(&account, "https://new.example");
    let identity = listener.world.identity(&account);
    assert!(listener.hear(&identity).is_empty(), "it is under way");
    let until = listener.now() + 60 * MINUTE;
    listener.verifier.handle_postponed(&did(&account), Postponed { attempt: 9, until });
    assert_eq!(listener.said(), ["postponed"]);
    let identity = listener.world.identity(&account);
    assert_eq!(listener.hear(&identity), ["fetch"]);
    listener.settle();
    assert_eq!(listener.shown(&account), listener.truth(&account));
    let identity = listener.world.identity(&account);
    assert_eq!(listener.hear(&identity), ["resolve fresh"], "the back-off is over");
}

#[test]
fn commits_parked_across_a_move_are_kept_and_the_new_host_is_asked() {
    let (mut listener, account) = Listener::following(11);
    listener.world.migrate(&account, "https://new.example");
    let identity = listener.world.identity(&account);
    listener.hear(&identity);
    let frames = [
        listener.world.commit(&account, vec![friend("a")]),
        listener.world.commit(&account, vec![unfriend("a"), friend("b")]),
    ];
    frames.iter().for_each(|frame| assert!(listener.hear(frame).is_empty()));
    let said = listener.resolve(&account);
    assert!(said.contains(&"fetch".to_owned()), "{said:?}");
    listener.settle();
    assert_eq!(listener.shown(&account), listener.truth(&account));
}
