//! What a service says of an account hides its records at once; only its PDS erases them, and only a proof of the whole
//! repository brings them back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use appview_core::sync::Hosting;
use support::{Listener, did, friend, rename};

/// Hears `#account`.
fn account_event(listener: &mut Listener, account: &str, active: bool, status: Option<&str>) -> Vec<String> {
    let frame = listener.world.account(account, active, status);
    listener.hear(&frame)
}

#[test]
fn an_inactive_account_is_hidden_at_once_and_its_pds_is_asked() {
    for (status, hosting) in [
        (Some("takendown"), Hosting::Takendown),
        (Some("suspended"), Hosting::Suspended),
        (Some("deactivated"), Hosting::Deactivated),
        (Some("deleted"), Hosting::Deleted),
        (Some("throttled"), Hosting::Inactive),
        (None, Hosting::Inactive),
    ] {
        let (mut listener, account) = Listener::following(1);
        let said = account_event(&mut listener, &account, false, status);
        assert_eq!(said, [format!("hosting {hosting}").as_str(), "confirm hosting"]);
        assert!(listener.shown(&account).is_empty());
        assert_eq!(listener.index[&did(&account)].records.len(), 1, "nothing is erased on hearsay");
        assert!(listener.confirm(&account, hosting).iter().all(|word| word == "erase"));
    }
}

#[test]
fn a_commit_of_an_inactive_account_is_refused() {
    let (mut listener, account) = Listener::following(2);
    account_event(&mut listener, &account, false, Some("takendown"));
    let frame = listener.world.commit(&account, vec![rename("Grace")]);
    assert_eq!(
        listener.hear(&frame),
        ["confirm hosting", "reject inactive-account"],
        "whoever writes may be back"
    );
    let frame = listener.world.commit(&account, vec![rename("Ada")]);
    assert_eq!(listener.hear(&frame), ["reject inactive-account"], "once a minute is enough");
    let sync = listener.world.sync(&account);
    assert_eq!(listener.hear(&sync), ["reject inactive-account"]);
}

#[test]
fn a_reactivated_account_stays_hidden_until_its_repository_is_proven() {
    let (mut listener, account) = Listener::following(3);
    account_event(&mut listener, &account, false, Some("deactivated"));
    listener.world.commit(&account, vec![friend("unheard")]);
    let said = account_event(&mut listener, &account, true, None);
    assert_eq!(said, ["hosting returning", "desynchronized", "fetch"]);
    assert!(listener.shown(&account).is_empty());
    assert_eq!(listener.fetch(&account), ["repo full 2", "hosting active"]);
    assert_eq!(listener.shown(&account), listener.truth(&account));
}

#[test]
fn an_active_account_is_active_whatever_its_status_is_called() {
    for status in ["takendown", "deleted", "throttled", "desynchronized"] {
        let (mut listener, account) = Listener::following(3);
        assert_eq!(
            account_event(&mut listener, &account, true, Some(status)),
            [""; 0],
            "it is shown as before"
        );
        account_event(&mut listener, &account, false, Some("deactivated"));
        let said = account_event(&mut listener, &account, true, Some(status));
        assert_eq!(said, ["hosting returning", "desynchronized", "fetch"]);
    }
}

#[test]
fn a_sync_of_the_tree_that_is_held_is_proof_enough_to_return() {
    let (mut listener, account) = Listener::following(4);
    account_event(&mut listener, &account, false, Some("deactivated"));
    account_event(&mut listener, &account, true, None);
    let sync = listener.world.sync(&account);
    assert_eq!(listener.hear(&sync), ["head", "hosting active"]);
    assert_eq!(listener.shown(&account), listener.truth(&account));
}

#[test]
fn a_return_that_was_missed_with_other_events_is_asked_for() {
    for hosting in [Hosting::Deactivated, Hosting::Deleted] {
        let (mut listener, account) = Listener::following(4);
        account_event(&mut listener, &account, false, Some(hosting.as_str()));
        listener.confirm(&account, hosting);
        listener.world.account(&account, true, None);
        let info = listener.world.info("OutdatedCursor");
        assert_eq!(listener.hear(&info), ["notice OutdatedCursor", "gap", "confirm hosting"]);
        listener.confirm(&account, Hosting::Active);
        listener.settle();
        assert_eq!(listener.shown(&account), listener.truth(&account));
    }
}

#[test]
fn what_a_pds_said_before_a_return_is_asked_again() {
    let (mut listener, account) = Listener::following(5);
    let asked_at = listener.world.now_micros();
    listener.world.advance(1_000_000);
    account_event(&mut listener, &account, false, Some("takendown"));
    account_event(&mut listener, &account, true, None);
    let late = |listener: &mut Listener, hosting| {
        listener.verifier.handle_hosting(&did(&account), hosting, asked_at);
        listener.said()
    };
    assert_eq!(late(&mut listener, Hosting::Deleted), ["fetch"], "nobody may be fetching any more");
    listener.settle();
    assert_eq!(late(&mut listener, Hosting::Takendown), ["confirm hosting"]);
    assert_eq!(listener.shown(&account), listener.truth(&account));
    assert_eq!(listener.confirm(&account, Hosting::Takendown), ["hosting takendown"]);
}

#[test]
fn a_deletion_erases_only_when_the_pds_confirms_it() {
    let (mut listener, account) = Listener::following(5);
    account_event(&mut listener, &account, false, Some("deleted"));
    assert_eq!(listener.confirm(&account, Hosting::Deleted), ["erase"]);
    assert!(listener.index[&did(&account)].records.is_empty());
    assert_eq!(listener.state(&account).head, None);
    let frame = listener.world.commit(&account, vec![friend("late")]);
    assert_eq!(listener.hear(&frame), ["confirm hosting", "reject inactive-account"]);
    // A host that took the account for gone by mistake is not believed for longer than until the account writes again.
    assert_eq!(listener.confirm(&account, Hosting::Active), ["hosting returning", "desynchronized", "fetch"]);
    listener.world.account(&account, true, None);
    listener.settle();
    assert_eq!(listener.shown(&account), listener.truth(&account));
}

#[test]
fn whom_nobody_knows_and_nothing_was_shown_of_leaves_no_trace() {
    let mut listener = Listener::new(15);
    let ghost = listener.world.create_account(fixtures::KeyKind::K256);
    for said in [Hosting::Deleted, Hosting::Inactive] {
        listener.verifier.track(did(&ghost));
        assert_eq!(listener.said(), ["desynchronized", "fetch"]);
        assert_eq!(listener.confirm(&ghost, said), ["forget"]);
        assert_eq!(listener.verifier.tracked(), 0);
    }
}

#[test]
fn a_lie_about_a_deletion_hides_until_the_pds_contradicts_it() {
    let (mut listener, account) = Listener::following(6);
    let lie = listener.world.account(&account, false, Some("deleted"));
    listener.world.account(&account, true, None);
    assert_eq!(listener.hear(&lie), ["hosting deleted", "confirm hosting"]);
    let said = listener.confirm(&account, Hosting::Active);
    assert_eq!(said, ["hosting returning", "desynchronized", "fetch"]);
    assert_eq!(listener.fetch(&account), ["repo full 1", "hosting active"]);
    assert_eq!(listener.shown(&account), listener.truth(&account));
}

#[test]
fn a_takedown_on_top_of_a_deactivation_needs_both_to_lift() {
    let (mut listener, account) = Listener::following(7);
    account_event(&mut listener, &account, false, Some("takendown"));
    let said = account_event(&mut listener, &account, false, Some("deactivated"));
    assert_eq!(said, ["hosting deactivated", "confirm hosting"]);
    // A relay says that one has lifted; the PDS refuses the fetch because of the other.
    let said = account_event(&mut listener, &account, true, None);
    assert_eq!(said, ["hosting returning", "desynchronized", "fetch"]);
    assert_eq!(listener.confirm(&account, Hosting::Deactivated)[0], "hosting deactivated");
    assert!(listener.shown(&account).is_empty());
    assert_eq!(listener.confirm(&account, Hosting::Active)[0], "hosting returning");
    listener.settle();
    assert_eq!(listener.shown(&account), listener.truth(&account));
}

#[test]
fn an_export_that_arrives_after_the_account_went_away_is_not_shown() {
    let (mut listener, account) = Listener::following(8);
    listener.verifier.handle_gap();
    account_event(&mut listener, &account, false, Some("deactivated"));
    assert!(listener.fetch(&account).is_empty());
    assert!(listener.shown(&account).is_empty());
    account_event(&mut listener, &account, true, None);
    listener.settle();
    assert_eq!(listener.shown(&account), listener.truth(&account));
}

#[test]
fn commits_heard_while_an_account_returns_are_replayed_before_anyone_looks() {
    let (mut listener, account) = Listener::following(9);
    account_event(&mut listener, &account, false, Some("deactivated"));
    account_event(&mut listener, &account, true, None);
    let export = listener.world.car(&account);
    let frame = listener.world.commit(&account, vec![friend("a")]);
    assert!(listener.hear(&frame).is_empty());
    assert_eq!(
        listener.fetch_car(&account, export),
        ["repo full 1", "hosting active", "commit +dev.cocore.account.friend/a"]
    );
}

#[test]
fn what_is_said_of_an_account_that_is_not_followed_is_passed_over() {
    let (mut listener, _) = Listener::following(10);
    let other = listener.world.create_account(fixtures::KeyKind::K256);
    for (active, status) in [(false, Some("deleted")), (true, None)] {
        assert!(account_event(&mut listener, &other, active, status).is_empty());
    }
    assert_eq!(listener.verifier.tracked(), 1);
}
