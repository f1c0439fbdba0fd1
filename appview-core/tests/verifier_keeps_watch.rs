//! What passes with time: every repository is shown to be current again and again, hidden records go when their time has
//! come, and how much of it all is proven can be told at any moment.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use appview_core::sync::verifier::Pace;
use appview_core::sync::{
    Followed, Hosting, Output, Postponed, Proof, RepoHead, RepoState, Scope, Verifier, Watch,
};
use appview_core::syntax::Did;
use support::{Listener, did, friend, identity};

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
const DAY: u64 = 24 * 60 * MINUTE;

/// Lets time pass, and tells what that leads to.
fn pass(listener: &mut Listener, micros: u64) -> Vec<String> {
    listener.world.advance(micros);
    listener.verifier.tick(listener.world.now_micros());
    listener.said()
}

fn held(listener: &Listener, account: &str) -> RepoHead {
    listener.state(account).head.expect("something is held")
}

/// Answers an audit truthfully.
fn answer(listener: &mut Listener, account: &str) -> Vec<String> {
    let (held, now) = (held(listener, account), listener.world.now_micros());
    let identity = Arc::new(identity(&listener.world, account));
    let rev = listener.world.head(account).rev.parse().unwrap();
    if rev == held.rev {
        listener.verifier.handle_current(&did(account), held, identity, now);
    } else {
        listener.verifier.handle_behind(&did(account), rev, identity, now);
    }
    listener.said()
}

#[test]
fn each_repository_is_audited_within_a_quarter_of_an_hour_and_not_sooner() {
    let (mut listener, account) = Listener::following(1);
    assert!(pass(&mut listener, SECOND).is_empty());
    assert!(pass(&mut listener, 14 * MINUTE).is_empty());
    assert_eq!(pass(&mut listener, MINUTE), ["audit"]);
    assert!(pass(&mut listener, MINUTE).is_empty(), "the question is on its way");
    assert_eq!(answer(&mut listener, &account), ["current"]);
    assert_eq!(listener.verifier.watch(&account).unwrap().proven_at, Some(listener.world.now_micros()));
    assert!(pass(&mut listener, 14 * MINUTE).is_empty());
    assert_eq!(pass(&mut listener, 2 * MINUTE), ["audit"]);
    assert_eq!(listener.verifier.tally().audits, 1);
}

#[test]
fn a_commit_is_a_proof_and_puts_the_audit_off() {
    let (mut listener, account) = Listener::following(2);
    listener.world.advance(10 * MINUTE);
    let frame = listener.world.commit(&account, vec![friend("a")]);
    listener.hear(&frame);
    assert!(pass(&mut listener, 10 * MINUTE).is_empty());
    assert_eq!(pass(&mut listener, 6 * MINUTE), ["audit"]);
}

#[test]
fn what_the_stream_hides_is_found_by_an_audit_and_made_good() {
    let (mut listener, account) = Listener::following(3);
    listener.world.commit(&account, vec![friend("hidden")]);
    assert_eq!(pass(&mut listener, 16 * MINUTE), ["audit"]);
    assert!(answer(&mut listener, &account).is_empty(), "the stream may be about to bring it");
    assert!(pass(&mut listener, 10 * SECOND).is_empty());
    assert_eq!(pass(&mut listener, 15 * SECOND), ["audit"]);
    assert_eq!(answer(&mut listener, &account), ["desynchronized", "fetch"]);
    listener.settle();
    assert_eq!(listener.shown(&account), listener.truth(&account));
    assert_eq!(listener.verifier.tally().audit_differences, 1);
}

#[test]
fn a_stream_that_catches_up_needs_no_fetch() {
    let (mut listener, account) = Listener::following(4);
    let frame = listener.world.commit(&account, vec![friend("late")]);
    assert_eq!(pass(&mut listener, 16 * MINUTE), ["audit"]);
    assert!(answer(&mut listener, &account).is_empty());
    assert_eq!(listener.hear(&frame), ["commit +dev.cocore.account.friend/late"]);
    assert!(pass(&mut listener, MINUTE).is_empty());
    assert_eq!(listener.verifier.tally().audit_differences, 0);
}

#[test]
fn an_audit_that_nobody_answers_is_repeated_sooner_and_proves_nothing() {
    let (mut listener, account) = Listener::following(5);
    assert_eq!(pass(&mut listener, 16 * MINUTE), ["audit"]);
    let proven_at = listener.verifier.watch(&account).unwrap().proven_at;
    listener.verifier.handle_unaudited(&did(&account));
    assert!(pass(&mut listener, 3 * MINUTE).is_empty());
    assert_eq!(pass(&mut listener, MINUTE), ["audit"]);
    assert_eq!(listener.verifier.watch(&account).unwrap().proven_at, proven_at);
}

#[test]
fn an_account_that_moved_is_proven_at_its_new_host() {
    let (mut listener, account) = Listener::following(6);
    listener.world.migrate(&account, "https://elsewhere.example");
    assert_eq!(pass(&mut listener, 16 * MINUTE), ["audit"]);
    let said = answer(&mut listener, &account);
    assert!(said.contains(&"fetch".to_owned()), "{said:?}");
}

#[test]
fn a_hidden_account_is_asked_about_too_and_shown_again_when_its_pds_says_so() {
    let (mut listener, account) = Listener::following(7);
    let frame = listener.world.account(&account, false, Some("takendown"));
    assert_eq!(listener.hear(&frame), ["hosting takendown", "confirm hosting"]);
    assert!(listener.confirm(&account, Hosting::Takendown).is_empty());
    assert_eq!(pass(&mut listener, 16 * MINUTE), ["confirm hosting"]);
    assert_eq!(
        listener.confirm(&account, Hosting::Active),
        ["hosting returning", "desynchronized", "fetch"],
        "the stream never said so"
    );
    listener.settle();
    let frame = listener.world.account(&account, true, None);
    listener.hear(&frame);
    assert_eq!(listener.shown(&account), listener.truth(&account));
}

#[test]
fn whoever_is_gone_is_asked_about_less_and_less_and_once_a_day_in_the_end() {
    for answers in [true, false] {
        let (mut listener, _) = Listener::following(7);
        let account = listener.world.create_account(fixtures::KeyKind::K256);
        listener.verifier.track(did(&account));
        listener.said();
        // Nothing of it has been proven.
        let frame = listener.world.account(&account, false, Some("deleted"));
        assert_eq!(listener.hear(&frame), ["hosting deleted", "confirm hosting"]);
        let mut asked = Vec::new();
        for minute in 0..4 * 24 * 60 {
            if pass(&mut listener, MINUTE).contains(&"confirm hosting".to_owned()) {
                asked.push(minute);
                if answers {
                    listener.confirm(&account, Hosting::Deleted);
                }
            }
        }
        let pauses: Vec<i32> = asked.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(pauses[0] <= 16 && pauses.is_sorted(), "{pauses:?}");
        assert!(
            (8..=13).contains(&pauses.len()) && pauses.last().unwrap().abs_diff(24 * 60) <= 1,
            "{pauses:?}"
        );
    }
}

#[test]
fn the_records_of_a_hidden_account_are_kept_for_a_time_and_then_erased() {
    for (status, hosting) in [("deactivated", Hosting::Deactivated), ("deleted", Hosting::Deleted)] {
        let (mut listener, account) = Listener::following(8);
        let keep_hidden = 10 * DAY;
        listener.verifier.set_pace(Pace { keep_hidden, ..Pace::default() });
        let frame = listener.world.account(&account, false, Some(status));
        listener.hear(&frame);
        let said = pass(&mut listener, 10 * DAY - MINUTE);
        assert!(!said.contains(&"erase".to_owned()), "{said:?}");
        assert_eq!(listener.index[&did(&account)].records.len(), 1);
        let said = pass(&mut listener, 2 * MINUTE);
        assert!(said.contains(&"erase".to_owned()), "{said:?}");
        assert!(listener.index[&did(&account)].records.is_empty());
        assert_eq!(listener.state(&account).hosting, hosting);
        let said = pass(&mut listener, DAY);
        assert!(!said.contains(&"erase".to_owned()), "once is enough: {said:?}");
        // Whoever comes back after that is proven from nothing.
        let frame = listener.world.account(&account, true, None);
        listener.hear(&frame);
        listener.settle();
        assert_eq!(listener.shown(&account), listener.truth(&account));
    }
}

#[test]
fn the_time_of_a_hidden_account_goes_on_through_a_restart() {
    let (mut listener, account) = Listener::following(9);
    let frame = listener.world.account(&account, false, Some("takendown"));
    listener.hear(&frame);
    listener.world.advance(20 * DAY);
    let mut again = Listener::resuming(listener.world.clone(), [listener.followed(&account)], None);
    assert_eq!(pass(&mut again, 9 * DAY), ["confirm hosting"]);
    assert!(pass(&mut again, 2 * DAY).contains(&"erase".to_owned()));
}

/// What a host does with an audit.
#[derive(Clone, Copy)]
enum Host {
    Answers,
    /// Nothing comes within hours.
    Silent,
    /// Nobody can ask it.
    Dead,
}

/// How often each repository is asked about in half an hour, if more are to be audited than may be: some of a host that
/// answers, and many of another.
fn audits_beside(many: Host) -> (BTreeMap<Did, usize>, BTreeSet<Did>) {
    let (listener, account) = Listener::following(14);
    let identity = Arc::new(identity(&listener.world, &account));
    let state = RepoState { proof: Proof::Full, ..listener.state(&account) };
    let held = state.head.unwrap();
    let did = |number: usize| format!("did:web:d{number}.example").parse::<Did>().unwrap();
    // 1,200 may be asked about in a minute.
    let (some, all) = (600, 3_000);
    let followed = (0..all).map(|number| Followed { did: did(number), state, watch: Watch::default() });
    let mut verifier = Verifier::new(Scope::default(), followed);
    verifier.set_pace(Pace { audit: MINUTE, ..Pace::default() });
    let those: BTreeSet<Did> = (0..some).map(did).collect();
    let mut asked: BTreeMap<Did, usize> = BTreeMap::new();
    let began = listener.world.now_micros();
    for second in 0..1_800 {
        let now = began + second * SECOND;
        verifier.tick(now);
        while let Some(output) = verifier.poll_output() {
            let Output::Audit { did, .. } = output else { continue };
            let host = if those.contains(&did) { Host::Answers } else { many };
            *asked.entry(did.clone()).or_default() += 1;
            match host {
                Host::Answers => verifier.handle_current(&did, held, Arc::clone(&identity), now),
                Host::Silent => {}
                Host::Dead => verifier.handle_unaudited(&did),
            }
        }
    }
    (asked, those)
}

#[test]
fn a_host_that_is_slow_or_dead_does_not_take_the_turns_of_others() {
    let least = |(asked, those): (BTreeMap<Did, usize>, BTreeSet<Did>)| {
        those.iter().map(|did| asked.get(did).copied().unwrap_or(0)).min().unwrap()
    };
    // 36,000 may be asked: twelve times about each of 3,000.
    let usual = least(audits_beside(Host::Answers));
    assert_eq!(usual, 12);
    assert!(least(audits_beside(Host::Dead)) >= usual, "nobody gets more for failing");
    // The others are asked about as often as is wanted, once a minute.
    let beside_silence = least(audits_beside(Host::Silent));
    assert!(beside_silence >= 25, "{beside_silence}");
}

#[test]
fn a_postponed_fetch_is_remembered_through_a_restart() {
    let (mut listener, account) = Listener::following(10);
    listener.verifier.handle_gap();
    assert_eq!(listener.said(), ["desynchronized", "fetch"]);
    let until = listener.world.now_micros() + MINUTE;
    listener.verifier.handle_postponed(&did(&account), Postponed { attempt: 3, until });
    assert_eq!(listener.said(), ["postponed"]);
    let again = Listener::resuming(listener.world.clone(), [listener.followed(&account)], None);
    assert_eq!(again.verifier.watch(&account).unwrap().postponed, Some(Postponed { attempt: 3, until }));
    listener.settle();
    assert_eq!(listener.verifier.watch(&account).unwrap().postponed, None, "it is over once it succeeds");
}

#[test]
fn how_much_is_proven_can_be_told_at_any_moment() {
    let (mut listener, account) = Listener::following(11);
    let second = listener.newcomer();
    let hidden = listener.newcomer();
    let frame = listener.world.account(&hidden, false, Some("takendown"));
    listener.hear(&frame);
    pass(&mut listener, SECOND);
    let standing = listener.verifier.standing();
    assert_eq!((standing.followed, standing.hosted, standing.proven), (3, 2, 2));
    assert!((standing.proven_share() - 1.0).abs() < f64::EPSILON);

    // One is doubted, the other's proof grows old.
    listener.verifier.doubt(&did(&account));
    listener.said();
    pass(&mut listener, 10 * SECOND);
    let standing = listener.verifier.standing();
    assert_eq!((standing.waiting, standing.unproven, standing.proven), (1, 1, 1));
    assert!((standing.proven_share() - 0.5).abs() < f64::EPSILON);
    assert_eq!(standing.oldest_proof, listener.verifier.watch(&second).unwrap().proven_at);
    pass(&mut listener, 31 * MINUTE);
    assert_eq!(listener.verifier.standing().proven, 0);
    assert!((appview_core::sync::verifier::Standing::default().proven_share() - 1.0).abs() < f64::EPSILON);
}

#[test]
fn a_repository_that_is_left_out_is_erased_and_not_heard_of_until_it_is_wanted_again() {
    let (mut listener, account) = Listener::following(12);
    listener.verifier.exclude(did(&account));
    assert_eq!(listener.said(), ["forget"]);
    assert!(listener.index[&did(&account)].records.is_empty());
    let frame = listener.world.commit(&account, vec![friend("a")]);
    assert!(listener.hear(&frame).is_empty());
    listener.verifier.track(did(&account));
    assert!(listener.said().is_empty(), "whoever lists it does not know");
    listener.verifier.include(did(&account));
    assert_eq!(listener.said(), ["desynchronized", "fetch"]);
    listener.settle();
    assert_eq!(listener.shown(&account), listener.truth(&account));
}

#[test]
fn a_repository_that_is_left_out_from_the_start_is_forgotten_by_the_index() {
    let (listener, account) = Listener::following(13);
    let scope = appview_core::sync::Scope::default().excluding([did(&account)]);
    let mut verifier = appview_core::sync::Verifier::new(scope, [listener.followed(&account)]);
    assert!(matches!(
        verifier.poll_output(),
        Some(appview_core::sync::Output::Apply(appview_core::sync::Change::Forget { .. }))
    ));
    assert_eq!(verifier.tracked(), 0);
}

#[test]
fn what_an_operator_has_fetched_anew_while_it_is_being_fetched_is_asked_for_again() {
    let (mut listener, account) = Listener::following(21);
    listener.verifier.handle_gap();
    assert_eq!(listener.said(), ["desynchronized", "fetch"]);
    let before = held(&listener, &account);
    listener.verifier.doubt(&did(&account));
    assert_eq!(listener.said(), ["fetch"]);
    // The answer to the first question says nothing of what is doubted.
    let (identity, now) = (Arc::new(identity(&listener.world, &account)), listener.world.now_micros());
    listener.verifier.handle_current(&did(&account), before, identity, now);
    assert_eq!(listener.said(), ["fetch"]);
    listener.settle();
    assert_eq!(listener.state(&account).proof, Proof::Full);
    assert_eq!(listener.verifier.waiting().count(), 0);
}

#[test]
fn a_hidden_account_that_is_doubted_is_asked_about_and_erased_in_its_time() {
    let (mut listener, account) = Listener::following(22);
    listener.verifier.set_pace(Pace { keep_hidden: 30 * DAY, ..Pace::default() });
    let frame = listener.world.account(&account, false, Some("takendown"));
    listener.hear(&frame);
    listener.verifier.doubt(&did(&account));
    assert_eq!(listener.said(), ["confirm hosting"]);
    let words = pass(&mut listener, 31 * DAY);
    assert!(words.contains(&"erase".to_owned()), "{words:?}");
}

#[test]
fn an_export_that_was_asked_for_before_a_gap_does_not_end_the_doubt() {
    let (mut listener, account) = Listener::following(23);
    listener.verifier.handle_gap();
    assert_eq!(listener.said(), ["desynchronized", "fetch"]);
    let early = listener.world.car(&account);
    listener.world.commit(&account, vec![friend("unheard")]);
    listener.verifier.handle_gap();
    assert!(listener.said().is_empty(), "it is on its way already");
    assert_eq!(listener.fetch_car(&account, early), ["repo full 1", "desynchronized", "fetch"]);
    listener.settle();
    assert_eq!(listener.shown(&account), listener.truth(&account));
}

#[test]
fn the_word_that_what_is_held_is_current_from_before_a_gap_does_not_end_the_doubt() {
    let (mut listener, account) = Listener::following(24);
    listener.verifier.handle_gap();
    listener.verifier.handle_gap();
    assert_eq!(listener.said(), ["desynchronized", "fetch"]);
    assert_eq!(answer(&mut listener, &account), ["fetch"]);
    assert_eq!(answer(&mut listener, &account), ["current"]);
}

#[test]
fn what_is_provisional_is_not_counted_as_proven() {
    let (mut listener, account) = Listener::following(25);
    pass(&mut listener, SECOND);
    assert_eq!(listener.verifier.standing().proven, 1);
    listener.moved(&account);
    pass(&mut listener, MINUTE);
    assert_eq!(listener.verifier.standing().proven, 0);
    assert!(listener.verifier.standing().proven_share() < 1.0);
}
