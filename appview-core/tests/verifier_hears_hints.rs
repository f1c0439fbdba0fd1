//! A filtered stream proves nothing: what it hints at is asked of the PDS, and what it may make up costs little.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::sync::Arc;

use appview_core::sync::verifier::{Handled, Hint};
use appview_core::sync::verify::verify_record;
use appview_core::sync::{Hosting, Output, VerifyError};
use fixtures::{KeyKind, Write, records};
use support::{Listener, did, friend, identity, rename};

const FRIEND: &str = "dev.cocore.account.friend/a";

fn at(listener: &Listener) -> i64 {
    listener.world.now_micros().cast_signed()
}

/// Hears that a record was touched by the newest commit.
fn hint(listener: &mut Listener, account: &str, path: &str) -> Vec<String> {
    let rev = listener.world.head(account).rev.parse().unwrap();
    let hint = Hint::Record { did: did(account), path: path.parse().unwrap(), rev };
    let (at, now) = (at(listener), listener.world.now_micros());
    listener.verifier.handle_hint(listener.stream, at, hint, now);
    listener.said()
}

/// Answers for one record with what the PDS has.
fn record(listener: &mut Listener, account: &str, path: &str) -> Vec<String> {
    let car = listener.world.repo(account).record_car(path);
    let identity = Arc::new(identity(&listener.world, account));
    let now = listener.world.now_micros();
    let record = verify_record(&car, &path.parse().unwrap(), &identity, now).unwrap();
    listener.verifier.handle_record(record, identity);
    listener.said()
}

#[test]
fn a_hinted_record_is_shown_once_its_pds_has_proven_it_and_the_repository_follows() {
    let (mut listener, account) = Listener::following(1);
    listener.world.commit(&account, vec![friend("a")]);
    assert_eq!(
        hint(&mut listener, &account, FRIEND),
        [format!("fetch {FRIEND}").as_str(), "desynchronized", "fetch"]
    );
    assert_eq!(listener.shown(&account).len(), 1, "a hint is not shown");
    assert_eq!(record(&mut listener, &account, FRIEND), [format!("record +{FRIEND}")]);
    assert_eq!(listener.shown(&account), listener.truth(&account));
    assert_eq!(listener.fetch(&account), ["repo full 2"]);
    assert!(hint(&mut listener, &account, FRIEND).is_empty(), "known by now");
}

#[test]
fn a_hinted_deletion_is_proven_by_absence() {
    let (mut listener, account) = Listener::following(2);
    let frame = listener.world.commit(&account, vec![friend("a")]);
    listener.hear(&frame);
    listener.world.commit(&account, vec![Write::delete(records::FRIEND, "a")]);
    hint(&mut listener, &account, FRIEND);
    assert_eq!(record(&mut listener, &account, FRIEND), [format!("record -{FRIEND}")]);
    assert_eq!(listener.shown(&account), listener.truth(&account));
}

#[test]
fn hints_about_one_repository_are_gathered_into_one_export() {
    let (mut listener, account) = Listener::following(3);
    for key in ["a", "b", "c"] {
        listener.world.commit(&account, vec![friend(key)]);
        let said = hint(&mut listener, &account, &format!("dev.cocore.account.friend/{key}"));
        assert_eq!(said.contains(&"fetch".to_owned()), key == "a", "{said:?}");
    }
    assert_eq!(listener.fetch(&account), ["repo full 4"]);
    assert!(listener.said().is_empty());
    assert_eq!(listener.shown(&account), listener.truth(&account));
}

#[test]
fn an_export_older_than_a_hint_is_followed_by_another_and_by_no_third() {
    let (mut listener, account) = Listener::following(4);
    listener.world.commit(&account, vec![friend("a")]);
    let early = listener.world.car(&account);
    listener.world.commit(&account, vec![friend("b")]);
    hint(&mut listener, &account, "dev.cocore.account.friend/b");
    assert_eq!(listener.fetch_car(&account, early.clone()), ["repo full 2", "desynchronized", "fetch"]);
    assert_eq!(listener.fetch_car(&account, early), ["repo full 2"], "a hint may be made up");
}

#[test]
fn an_export_waits_for_more_hints_and_for_longer_the_larger_it_is() {
    let not_before = |listener: &mut Listener, account: &str| {
        let rev = listener.world.head(account).rev.parse().unwrap();
        let hint = Hint::Record { did: did(account), path: FRIEND.parse().unwrap(), rev };
        let now = listener.world.now_micros();
        listener.verifier.handle_hint(listener.stream, now.cast_signed(), hint, now);
        let mut put_off = None;
        while let Some(output) = listener.verifier.poll_output() {
            if let Output::FetchRepo { not_before, .. } = output {
                put_off = Some(not_before - now);
            }
        }
        put_off.expect("it is fetched")
    };
    let (mut small, account) = Listener::following(5);
    small.world.commit(&account, vec![friend("a")]);
    let short = not_before(&mut small, &account);

    let (mut large, account) = Listener::following(5);
    for (collection, filling) in [("a.b.c", 7), ("a.b.d", 8), ("a.b.e", 9)] {
        large.world.fill(&account, collection, &[filling; 900_000], 1);
    }
    large.verifier.handle_gap();
    large.settle();
    large.world.commit(&account, vec![friend("a")]);
    let long = not_before(&mut large, &account);
    assert!(short < 10_000_000 && long > 30_000_000, "{short} {long}");
}

#[test]
fn a_hint_about_a_stranger_has_them_fetched_and_junk_is_refused() {
    let mut listener = Listener::new(6);
    let account = listener.world.create_account(KeyKind::P256);
    listener.world.commit(&account, vec![friend("a")]);
    assert_eq!(hint(&mut listener, &account, FRIEND), ["desynchronized", "fetch"]);
    listener.settle();
    assert_eq!(listener.shown(&account), listener.truth(&account));

    let now = listener.world.now_micros();
    let far = Hint::Record {
        did: did(&account),
        path: FRIEND.parse().unwrap(),
        rev: appview_core::syntax::Tid::from_bits((now + 600_000_000) << 10).unwrap(),
    };
    assert_eq!(listener.verifier.handle_hint(listener.stream, 1, far, now), Handled::Rejected);
    assert_eq!(listener.said(), ["reject future-rev"]);
    listener.world.commit(&account, vec![friend("b")]);
    assert!(hint(&mut listener, &account, "app.bsky.feed.post/a").is_empty(), "outside of the namespace");
}

#[test]
fn accounts_and_identities_are_heard_as_on_any_stream() {
    let (mut listener, account) = Listener::following(7);
    let (place, now) = (at(&listener), listener.world.now_micros());
    let hosting = Hosting::Deactivated;
    listener.verifier.handle_hint(listener.stream, place, Hint::Account { did: did(&account), hosting }, now);
    assert_eq!(listener.said(), ["hosting deactivated", "confirm hosting"]);
    let (mut listener, account) = Listener::following(8);
    listener.verifier.handle_hint(listener.stream, place, Hint::Identity { did: did(&account) }, now);
    assert_eq!(listener.said(), ["resolve fresh"]);
}

#[test]
fn places_of_hints_may_repeat_and_the_cursor_never_goes_back() {
    let (mut listener, account) = Listener::following(9);
    let now = listener.world.now_micros();
    for place in [50_000_000, 60_000_000, 60_000_000, 55_000_000] {
        let hint = Hint::Identity { did: did(&account) };
        listener.verifier.handle_hint(listener.stream, place, hint, now);
    }
    assert_eq!(listener.watermark(), Some(60_000_000));
    let said = listener.said();
    assert!(!said.contains(&"gap".to_owned()), "{said:?}");
}

#[test]
fn an_event_from_the_future_moves_no_cursor() {
    let (mut listener, account) = Listener::following(9);
    let now = listener.world.now_micros();
    let far = now.cast_signed() + 3_600_000_000;
    let hint = Hint::Identity { did: did(&account) };
    assert_eq!(listener.verifier.handle_hint(listener.stream, far, hint, now), Handled::Rejected);
    assert_eq!(listener.said(), ["reject future-event"]);
    assert!(listener.watermark().is_some_and(|at| at < far));
}

#[test]
fn a_record_that_was_overtaken_changes_nothing() {
    let (mut listener, account) = Listener::following(10);
    let now = listener.world.now_micros();
    listener.world.commit(&account, vec![friend("a")]);
    let early = listener.world.repo(&account).record_car(FRIEND);
    listener.world.commit(&account, vec![Write::delete(records::FRIEND, "a")]);
    hint(&mut listener, &account, FRIEND);
    let identity = Arc::new(identity(&listener.world, &account));
    let early = verify_record(&early, &FRIEND.parse().unwrap(), &identity, now + 1_000_000).unwrap();
    listener.settle();
    listener.verifier.handle_record(early, identity);
    assert!(listener.said().is_empty());
    assert_eq!(listener.shown(&account), listener.truth(&account));
}

#[test]
fn an_export_older_than_a_record_that_is_shown_is_a_stale_copy() {
    let (mut listener, account) = Listener::following(11);
    let early = listener.world.car(&account);
    listener.world.commit(&account, vec![friend("a")]);
    hint(&mut listener, &account, FRIEND);
    record(&mut listener, &account, FRIEND);
    assert_eq!(listener.fetch_car(&account, early), ["fetch"], "it would take back what is proven");
    assert_eq!(listener.fetch(&account), ["repo full 2"]);
}

#[test]
fn a_record_is_proven_by_its_own_repositorys_key_and_tree_alone() {
    let (mut listener, account) = Listener::following(12);
    let other = listener.newcomer();
    listener.world.commit(&account, vec![friend("a"), rename("Ada")]);
    let (car, now) = (listener.world.repo(&account).record_car(FRIEND), listener.world.now_micros());
    let path = FRIEND.parse().unwrap();
    let owner = identity(&listener.world, &account);
    assert!(verify_record(&car, &path, &owner, now).is_ok());
    let stranger = identity(&listener.world, &other);
    assert!(matches!(
        verify_record(&car, &path, &stranger, now),
        Err(VerifyError::Envelope { member: "did" })
    ));
    // The nodes on the way to one record say nothing about others.
    let elsewhere = "dev.cocore.compute.receipt/3jzfcijpj2z2a".parse().unwrap();
    let absent = verify_record(&car, &elsewhere, &owner, now);
    assert!(
        absent.is_err()
            || matches!(absent.unwrap().change(), appview_core::sync::RecordChange::Delete { .. })
    );
    listener.world.rotate_key(&account, KeyKind::K256);
    let rotated = identity(&listener.world, &account);
    assert!(matches!(verify_record(&car, &path, &rotated, now), Err(VerifyError::Signature(_))));
    assert!(matches!(verify_record(&car, &path, &owner, 0), Err(VerifyError::FutureRev { .. })));
    for cut in [0, 10, car.len() / 2, car.len() - 1] {
        assert!(verify_record(&car[..cut], &path, &owner, now).is_err());
    }
}
