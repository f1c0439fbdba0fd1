//! However a repository's chain of commits is disturbed, the machine either proves what follows or asks for the whole
//! repository, and never forgets that it has to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use fixtures::forge::RawCar;
use fixtures::{Envelope, Ipld, KeyKind, Write, records};
use support::{Listener, friend, integer, post, profile, rename, unfriend};

#[test]
fn the_first_commit_of_a_repository_is_proven_from_the_empty_tree_without_a_fetch() {
    let (listener, account) = Listener::following(1);
    assert_eq!(listener.verifier.tally().foreign, 1, "the genesis commit has no record in scope");
    assert_eq!(listener.shown(&account), listener.truth(&account));
}

#[test]
fn a_repository_whose_earlier_commits_were_missed_is_fetched() {
    let mut listener = Listener::new(2);
    let account = listener.world.create_account(KeyKind::P256);
    listener.world.commit(&account, vec![post("unheard"), friend("unheard")]);
    let frame = listener.world.commit(&account, vec![profile("Ada")]);
    assert_eq!(listener.hear(&frame), ["resolve cached"]);
    assert_eq!(listener.resolve(&account), ["desynchronized", "fetch", "reject chain-break"]);
    // The parked commit is part of what was fetched.
    assert_eq!(listener.fetch(&account), ["repo full 2", "reject stale-rev"]);
    assert_eq!(listener.shown(&account), listener.truth(&account));
}

#[test]
fn a_commit_in_no_record_of_ours_moves_the_head_of_a_repository_that_is_followed() {
    let (mut listener, account) = Listener::following(3);
    for frame in [
        listener.world.commit(&account, vec![post("a")]),
        listener.world.commit(&account, vec![]),
        listener.world.commit(&account, vec![Write::delete(records::POST, "a")]),
    ] {
        assert_eq!(listener.hear(&frame), ["commit"]);
    }
    let frame = listener.world.commit(&account, vec![rename("Grace")]);
    assert_eq!(listener.hear(&frame), ["commit +dev.cocore.account.profile/self"]);
}

#[test]
fn a_missed_commit_breaks_the_chain_and_the_repository_is_fetched() {
    let (mut listener, account) = Listener::following(4);
    listener.world.commit(&account, vec![friend("unheard")]);
    let after = listener.world.commit(&account, vec![friend("heard")]);
    assert_eq!(listener.hear(&after), ["desynchronized", "fetch", "reject chain-break"]);
    assert_eq!(listener.fetch(&account), ["repo full 3", "reject stale-rev"]);
    let next = listener.world.commit(&account, vec![unfriend("unheard")]);
    assert_eq!(listener.hear(&next), ["commit -dev.cocore.account.friend/unheard"]);
    assert_eq!(listener.shown(&account), listener.truth(&account));
}

#[test]
fn commits_that_arrive_during_a_fetch_are_replayed_on_top_and_older_ones_skipped() {
    let (mut listener, account) = Listener::following(5);
    listener.world.commit(&account, vec![friend("unheard")]);
    let breaking = listener.world.commit(&account, vec![friend("a")]);
    listener.hear(&breaking);
    let older = listener.world.commit(&account, vec![friend("b")]);
    let export = listener.world.car(&account);
    let newer = [
        listener.world.commit(&account, vec![friend("c")]),
        listener.world.commit(&account, vec![unfriend("a")]),
    ];
    assert!(listener.hear(&older).is_empty());
    newer.iter().for_each(|frame| assert!(listener.hear(frame).is_empty()));
    assert_eq!(
        listener.fetch_car(&account, export),
        [
            "repo full 4",
            "reject stale-rev",
            "reject stale-rev",
            "commit +dev.cocore.account.friend/c",
            "commit -dev.cocore.account.friend/a"
        ]
    );
    assert_eq!(listener.shown(&account), listener.truth(&account));
}

#[test]
fn an_export_that_lags_behind_the_parked_commits_is_asked_for_once_more() {
    let (mut listener, account) = Listener::following(6);
    let lagging = listener.world.car(&account);
    listener.world.commit(&account, vec![friend("unheard")]);
    let breaking = listener.world.commit(&account, vec![friend("a")]);
    listener.hear(&breaking);
    assert_eq!(
        listener.fetch_car(&account, lagging),
        ["repo full 1", "desynchronized", "fetch", "reject chain-break"]
    );
    listener.settle();
    assert_eq!(listener.shown(&account), listener.truth(&account));
}

#[test]
fn a_frame_that_no_export_ever_confirms_does_not_keep_the_machine_fetching() {
    let (mut listener, account) = Listener::following(7);
    // Signed by the owner, on a tree that nobody has: no repository will ever connect to it.
    let orphan = listener.world.forge(&account, vec![friend("a")]);
    let orphan =
        orphan.with_body("prevData", Ipld::Link(fixtures::value::cid_of(b"a tree of nobody"))).frame();
    assert_eq!(listener.hear(&orphan), ["desynchronized", "fetch", "reject chain-break"]);
    assert_eq!(
        listener.settle(),
        ["repo full 1", "desynchronized", "fetch", "reject chain-break", "repo full 1", "reject chain-break"],
        "the second export may be newer than the first; a third one is not asked for"
    );
    let next = listener.world.commit(&account, vec![friend("a")]);
    assert_eq!(listener.hear(&next), ["commit +dev.cocore.account.friend/a"]);
}

#[test]
fn an_overfull_park_forgets_its_frames_and_remembers_to_fetch_again() {
    let (mut listener, account) = Listener::following(8);
    listener.world.commit(&account, vec![friend("unheard")]);
    let breaking = listener.world.commit(&account, vec![friend("a")]);
    listener.hear(&breaking);
    let export = listener.world.car(&account);
    for number in 0..300 {
        let frame = listener.world.commit(&account, vec![friend(&format!("b{number}"))]);
        assert!(listener.hear(&frame).is_empty());
    }
    let said = listener.fetch_car(&account, export);
    assert_eq!(
        said,
        ["repo full 3", "desynchronized", "fetch"],
        "what was forgotten is newer than the export"
    );
    listener.settle();
    assert_eq!(listener.shown(&account).len(), 303);
    assert_eq!(listener.shown(&account), listener.truth(&account));
}

#[test]
fn a_stale_export_does_not_make_an_overfull_park_forget_that_it_forgot() {
    let (mut listener, account) = Listener::following(9);
    let stale = listener.world.car(&account);
    let known = listener.world.commit(&account, vec![friend("known")]);
    listener.hear(&known);
    let lagging = {
        listener.world.commit(&account, vec![friend("unheard")]);
        listener.world.car(&account)
    };
    // As many as fill the park, and one more.
    for number in 0..257 {
        let frame = listener.world.commit(&account, vec![friend(&format!("b{number}"))]);
        listener.hear(&frame);
    }
    assert_eq!(listener.fetch_car(&account, stale), ["fetch"], "it is older than what is held");
    let said = listener.fetch_car(&account, lagging);
    assert!(said.contains(&"desynchronized".to_owned()), "{said:?}");
    listener.settle();
    assert_eq!(listener.shown(&account), listener.truth(&account));
}

#[test]
fn a_park_that_overflows_while_a_key_is_awaited_turns_into_a_fetch() {
    let mut listener = Listener::new(10);
    let account = listener.world.create_account(KeyKind::K256);
    for number in 0..257 {
        let frame = listener.world.commit(&account, vec![friend(&format!("{number}"))]);
        let said = listener.hear(&frame);
        match number {
            0 => assert_eq!(said, ["resolve cached"]),
            256 => assert_eq!(said, ["desynchronized", "fetch"]),
            _ => assert!(said.is_empty()),
        }
    }
    assert_eq!(listener.watermark(), Some(257), "the index knows that it has to fetch");
    listener.settle();
    assert_eq!(listener.shown(&account).len(), 257);
}

#[test]
fn several_operations_on_one_key_count_as_their_net_effect() {
    let (mut listener, account) = Listener::following(11);
    let frame = listener.world.commit(
        &account,
        vec![
            friend("fleeting"),
            friend("replaced"),
            Write::update(records::FRIEND, "replaced", records::friend("did:web:other.test", 0)),
            unfriend("fleeting"),
            Write::delete(records::PROFILE, "self"),
            profile("again"),
            rename("Ada once more"),
        ],
    );
    assert_eq!(
        listener.hear(&frame),
        ["commit +dev.cocore.account.friend/replaced +dev.cocore.account.profile/self"]
    );
    assert_eq!(listener.shown(&account), listener.truth(&account));
}

#[test]
fn a_legacy_operation_without_prev_leads_to_a_fetch() {
    let (mut listener, account) = Listener::following(12);
    let mut envelope = Envelope::decode(&listener.world.commit(&account, vec![rename("Grace")]).bytes);
    let Ipld::List(mut ops) = envelope.get("ops").clone() else { panic!("ops are a list") };
    let Ipld::Map(op) = &mut ops[0] else { panic!("an op is a map") };
    op.remove("prev").unwrap();
    let frame = envelope.set("ops", Ipld::List(ops)).frame();
    assert_eq!(listener.hear(&frame), ["desynchronized", "fetch", "reject indefinite-ops"]);
    assert_eq!(listener.fetch(&account), ["repo full 1", "reject stale-rev"]);
}

#[test]
fn a_malformed_path_changes_no_record_and_keeps_the_chain() {
    let (mut listener, account) = Listener::following(13);
    let frame = listener.world.commit(
        &account,
        vec![
            friend("good"),
            Write::create(records::FRIEND, "not a key", records::friend("did:web:f.test", 0)),
        ],
    );
    assert_eq!(listener.hear(&frame), ["commit +dev.cocore.account.friend/good"]);
    assert_eq!(listener.verifier.tally().malformed_paths, 1);
    let next = listener.world.commit(&account, vec![unfriend("good")]);
    assert_eq!(listener.hear(&next), ["commit -dev.cocore.account.friend/good"]);
}

#[test]
fn a_sync_of_the_tree_that_is_held_fetches_nothing() {
    let (mut listener, account) = Listener::following(14);
    let repeated = listener.world.sync(&account);
    assert!(listener.hear(&repeated).is_empty(), "it repeats the revision that is held");
    listener.world.resign(&account);
    let resigned = listener.world.sync(&account);
    assert_eq!(listener.hear(&resigned), ["head"]);
    let next = listener.world.commit(&account, vec![friend("a")]);
    assert_eq!(
        listener.hear(&next),
        ["commit +dev.cocore.account.friend/a"],
        "since is the revision of the sync"
    );
}

#[test]
fn a_sync_of_another_tree_has_the_repository_fetched() {
    let (mut listener, account) = Listener::following(15);
    listener.world.commit(&account, vec![friend("unheard")]);
    let sync = listener.world.sync(&account);
    assert_eq!(listener.hear(&sync), ["desynchronized", "fetch", "reject chain-break"]);
    assert_eq!(listener.fetch(&account)[0], "repo full 2");
    assert_eq!(listener.shown(&account), listener.truth(&account));
    assert!(listener.settle().is_empty());
}

#[test]
fn a_sync_that_arrives_during_a_fetch_may_end_it() {
    let (mut listener, account) = Listener::following(16);
    listener.verifier.handle_gap();
    assert_eq!(listener.said(), ["desynchronized", "fetch"]);
    let sync = listener.world.sync(&account);
    assert_eq!(listener.hear(&sync), ["head"]);
    // The answer to the fetch may still come, and changes nothing.
    assert_eq!(listener.fetch(&account), ["repo full 1"]);
    assert_eq!(listener.shown(&account), listener.truth(&account));
}

#[test]
fn what_an_index_remembers_as_desynchronized_is_fetched_at_the_start() {
    let (mut listener, account) = Listener::following(17);
    listener.verifier.handle_gap();
    let mut again = Listener::resuming(listener.world.clone(), [listener.followed(&account)], Some(9));
    assert_eq!(again.said(), ["fetch"]);
    assert_eq!(again.fetch(&account), ["repo full 1"]);
}

#[test]
fn a_foreign_frame_is_refused_whatever_its_blocks_hold() {
    let mut listener = Listener::new(18);
    let account = listener.world.create_account(KeyKind::K256);
    let mut envelope = Envelope::decode(&listener.world.commit(&account, vec![post("a")]).bytes);
    let frame = envelope.set_car(&RawCar { trailer: vec![0xff; 999], ..envelope.car() }).frame();
    assert!(listener.hear(&frame).is_empty());
    envelope.set("seq", integer(7)).set("blocks", Ipld::Bytes(Vec::new()));
    assert!(listener.hear(envelope.frame()).is_empty());
    assert_eq!((listener.verifier.tally().foreign, listener.verifier.tracked()), (2, 0));
    assert_eq!(listener.watermark(), Some(7));
}
