//! What the account store does with sessions, sign-ins, browsers, revocations, audit lists and wipes, each by its rules.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use appview_core::syntax::Did;
use appviewd::account::{
    AccountError, Action, Actor, Entry, Exclusion, Extent, KeyOf, SessionKind, SessionState, SessionsAfter,
    Shown, WipeStep,
};
use appviewd::secret::Secret;
use support::store::{ada, boris, open, tokens};

#[test]
fn a_write_that_comes_too_late_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let overtaken = |result: Result<_, AccountError>| matches!(result, Err(AccountError::Overtaken { .. }));
    let first = store.begin_session(&ada(), b"first", 1).unwrap();
    let second = store.intend_refresh(&ada(), first, 2).unwrap();
    assert!(second > first);
    assert!(overtaken(store.intend_refresh(&ada(), first, 3)), "two refreshes at once");
    assert!(overtaken(store.keep_tokens(&ada(), first, &tokens("late"), 3)));
    assert!(overtaken(store.require_sign_in(&ada(), first, 3)));
    // What began before the person signed out does not sign them in again.
    assert!(store.end_session(&ada(), 4).unwrap());
    assert!(overtaken(store.keep_tokens(&ada(), second, &tokens("late"), 5)));
    assert!(store.session(&ada()).unwrap().is_none());
    // Nor does it take the place of a newer sign-in.
    let third = store.begin_session(&ada(), b"anew", 6).unwrap();
    assert!(third > second && overtaken(store.keep_tokens(&ada(), second, &tokens("late"), 7)));
    let session = store.session(&ada()).unwrap().unwrap();
    assert!(matches!(session.state, SessionState::Ready(tokens) if tokens.expose() == b"anew"));
    let fourth = store.require_sign_in(&ada(), third, 8).unwrap();
    assert!(overtaken(store.intend_refresh(&ada(), fourth, 9)), "there is nothing to refresh");
    assert_eq!(store.sessions(SessionKind::NeedsSignIn).unwrap(), [ada()]);
    assert!(store.sessions(SessionKind::Ready).unwrap().is_empty());
}

#[test]
fn a_sign_in_comes_back_once_to_its_browser_and_in_time() {
    const MINUTE: u64 = 60_000_000;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let secret = |text: &str| Secret::new(text.to_owned());
    let begin =
        |state: &str, now| store.begin_sign_in(&secret(state), &secret("browser"), b"verifier", now).unwrap();
    let take =
        |state: &str, browser: &str, now| store.take_sign_in(&secret(state), &secret(browser), now).unwrap();
    begin("one", 0);
    assert!(take("other", "browser", 1).is_none());
    assert_eq!(take("one", "browser", 10 * MINUTE - 1).unwrap().expose(), b"verifier");
    assert!(take("one", "browser", 1).is_none(), "a second time");
    begin("two", 0);
    assert!(take("two", "another browser", 1).is_none());
    assert!(take("two", "browser", 1).is_none(), "whoever was first has used it up");
    begin("three", 0);
    assert!(take("three", "browser", 10 * MINUTE).is_none(), "too late");
}

#[test]
fn a_browser_is_signed_in_until_it_signs_out_or_its_time_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let token = store.sign_browser_in(&ada(), 100, 1).unwrap();
    let other = store.sign_browser_in(&ada(), 100, 2).unwrap();
    assert!(!token.is(other.expose()));
    assert_eq!(store.browser(&token, 99).unwrap().unwrap().did, ada());
    assert!(store.browser(&token, 100).unwrap().is_none());
    assert!(store.sign_browser_out(&token).unwrap() && !store.sign_browser_out(&token).unwrap());
    assert!(store.browser(&token, 3).unwrap().is_none());
    assert!(store.browser(&other, 3).unwrap().is_some());
    assert_eq!(store.sign_browsers_out(&ada()).unwrap(), 1);
    for at in 0..60 {
        store.sign_browser_in(&ada(), 10_000, 200 + at).unwrap();
    }
    assert_eq!(store.held(&ada()).unwrap().browsers, 50, "the oldest are signed out");
}

#[test]
fn a_revocation_is_tried_ever_less_and_given_up_after_a_week() {
    const DAY: u64 = 24 * 60 * 60 * 1_000_000;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.queue_revocation(&ada(), b"tokens", 0).unwrap();
    let (mut now, mut tries) = (0, 0);
    while let [revocation] = &store.due_revocations(now).unwrap()[..] {
        assert_eq!((revocation.tokens.expose().as_slice(), revocation.attempts), (&b"tokens"[..], tries));
        store.put_off_revocation(revocation, now).unwrap();
        assert!(store.due_revocations(now).unwrap().is_empty(), "not at once");
        now += DAY / 4;
        tries += 1;
    }
    assert_eq!(now, 7 * DAY + DAY / 2);
}

#[test]
fn what_was_done_is_told_page_by_page_newest_first_for_ninety_days() {
    const DAY: u64 = 24 * 60 * 60 * 1_000_000;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for day in 0..100 {
        let entry = Entry::new(day * DAY, Action::Created, Actor::Key("id".to_owned())).to("x".repeat(600));
        store.note(&ada(), &entry).unwrap();
        store.note(&boris(), &Entry::new(day * DAY, Action::Refreshed, Actor::Daemon)).unwrap();
    }
    let (mut told, mut after) = (Vec::new(), None);
    loop {
        let (entries, next) = store.audit(&ada(), 30, after).unwrap();
        told.extend(entries);
        let Some(next) = next else { break };
        after = Some(next);
    }
    assert_eq!(
        told.iter().map(|entry| entry.at / DAY).collect::<Vec<_>>(),
        (0..100).rev().collect::<Vec<_>>()
    );
    assert_eq!(told[0].actor, Actor::Key("id".to_owned()));
    assert_eq!(told[0].subject.as_ref().unwrap().len(), 512, "what is too long is cut");
    assert_eq!(store.sweep_audit(99 * DAY).unwrap(), 2 * 9);
    assert_eq!(store.audit(&ada(), 200, None).unwrap().0.len(), 91);
}

#[test]
fn a_wipe_goes_on_where_it_was_saved_and_what_it_excludes_only_grows() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut wipe =
        store.begin_wipe(&ada(), Extent::Everything, SessionsAfter::Keep, Actor::Browser, 1).unwrap();
    assert_eq!((wipe.step, wipe.sessions), (WipeStep::Repo, SessionsAfter::Keep));
    wipe.step = WipeStep::Index;
    wipe.report = serde_json::json!({"deleted": 7});
    let again = store.begin_wipe(&ada(), Extent::Everything, SessionsAfter::End, Actor::Browser, 2).unwrap();
    assert_eq!((again.started_at, again.sessions), (1, SessionsAfter::End), "one at a time");
    store.save_wipe(&wipe).unwrap();
    drop(store);
    let store = open(folder.path());
    let [mut stored] = store.due_wipes(10).unwrap().try_into().unwrap();
    assert_eq!((stored.step, &stored.report), (WipeStep::Index, &wipe.report));
    assert_eq!(stored.sessions, SessionsAfter::End, "what was wished meanwhile");
    stored.step = WipeStep::Done;
    store.save_wipe(&stored).unwrap();
    assert!(store.due_wipes(10).unwrap().is_empty());
    assert_eq!(
        store
            .begin_wipe(&ada(), Extent::Everything, SessionsAfter::Keep, Actor::Browser, 9)
            .unwrap()
            .started_at,
        9
    );
    let rev = |text: &str| Some(text.parse().unwrap());
    for (new, at, expected) in [
        (None, 5, (None, 5)),
        (rev("3jzfcijpj2z2a"), 4, (rev("3jzfcijpj2z2a"), 5)),
        (rev("3jzfcijpj2z22"), 9, (rev("3jzfcijpj2z2a"), 9)),
        (None, 10, (rev("3jzfcijpj2z2a"), 10)),
        (rev("3kzfcijpj2z2a"), 10, (rev("3kzfcijpj2z2a"), 10)),
    ] {
        store.exclude(&Exclusion { did: ada(), rev: new, at, shown: Shown::Since }).unwrap();
        let exclusion = store.exclusion(&ada()).unwrap().unwrap();
        assert_eq!((exclusion.rev, exclusion.at), expected);
    }
}

#[test]
fn two_people_share_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let people: Vec<Did> = (0..4).map(|at| format!("did:web:person{at}.example").parse().unwrap()).collect();
    for (at, did) in (0..).zip(&people) {
        store.mint_key(did, &"one".parse().unwrap(), None, Actor::Service, at).unwrap();
        store.begin_session(did, did.as_str().as_bytes(), at).unwrap();
        store.sign_browser_in(did, 1_000, at).unwrap();
    }
    let of = |did: &Did| {
        let session = store.session(did).unwrap().map(|session| (session.generation, session.changed_at));
        (
            store.keys(KeyOf::Person(did)).unwrap(),
            session,
            store.audit(did, 100, None).unwrap(),
            store.held(did).unwrap(),
        )
    };
    let others = || people[1..].iter().map(of).collect::<Vec<_>>();
    let before = others();
    store.erase(&people[0], SessionsAfter::End, 10).unwrap();
    store.revoke_keys(&people[0], Actor::Internal, 11).unwrap();
    store.sign_browsers_out(&people[0]).unwrap();
    assert_eq!(others(), before);
}
