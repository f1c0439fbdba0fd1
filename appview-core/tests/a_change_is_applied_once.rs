//! What the writer makes of changes: each takes effect once, in one transaction, and in full.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod network;

use appview_core::block::Cid;
use appview_core::query::Scope;
use appview_core::record::Verdict;
use appview_core::sync::{Change, Followed, Hosting, Postponed, Proof, RepoHead};
use fixtures::records;
use fixtures::{KeyKind, Write};
use network::{Business, Network, Scratch, catalog, counted, cursor, did, see};

#[test]
fn an_index_shows_what_the_repositories_hold_and_keeps_back_what_breaks_its_schema() {
    let business = Business::new(1, 4);
    let scratch = Scratch::told(&business.told);
    let seen = see(&scratch.reader(), &business);

    let mut expected = Vec::new();
    for (did, account) in business.network.world.ledger().accounts {
        for (path, cid) in account.records {
            if path.starts_with("dev.cocore.") {
                expected.push((format!("at://{did}/{path}"), cid.to_string()));
            }
        }
    }
    expected.sort();
    let exported: Vec<_> = seen.exported.iter().map(|(uri, cid, _)| (uri.clone(), cid.to_string())).collect();
    assert_eq!(exported, expected);

    assert_eq!(seen.counts.records.total() as usize, expected.len());
    assert_eq!(seen.counts.records.quarantined, 2);
    assert!(seen.counts.records.marked >= 1);
    assert_eq!(seen.counts.repos.followed, 3);
    for (name, pages) in &seen.lists {
        let length: usize = pages.iter().map(|(uris, _)| uris.len()).sum();
        let expected = match *name {
            "profiles" => 2,
            "providers" | "friends" | "friends of" | "receipts by job" | "settlements by receipt" => 1,
            _ => 4,
        };
        assert_eq!(length, expected, "{name}");
    }
    let jobs = &seen.lists["jobs"];
    let newest_first: Vec<_> = jobs.iter().flat_map(|(uris, _)| uris.clone()).collect();
    assert!(newest_first.is_sorted_by(|a, b| a > b));
}

#[test]
fn a_quarantined_record_is_found_by_its_uri_with_the_reasons() {
    let business = Business::new(1, 1);
    let scratch = Scratch::told(&business.told);
    let reader = scratch.reader();
    let seen = see(&reader, &business);
    let kept_back: Vec<_> =
        seen.exported.iter().filter(|(_, _, verdict)| *verdict == Verdict::Quarantined).collect();
    assert_eq!(kept_back.len(), 2);
    for (uri, _, _) in kept_back {
        let uri = uri.parse().unwrap();
        let record = reader.record(&uri).unwrap().unwrap();
        assert_eq!(record.verdict, Verdict::Quarantined);
        assert!(!reader.findings(&uri).unwrap().is_empty());
        let is_json = record.write_body(&mut String::new()).is_ok();
        assert_eq!(is_json, record.collection.as_str() == records::RECEIPT);
    }
    let valid = business.jobs[0].parse().unwrap();
    assert_eq!(reader.findings(&valid).unwrap(), []);
    let missing = "at://did:web:nowhere.example/dev.cocore.compute.job/3jzfcijpj2z2a".parse().unwrap();
    assert_eq!(reader.record(&missing).unwrap(), None);
}

#[test]
fn a_replayed_change_changes_nothing() {
    let mut business = Business::new(2, 2);
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    writer.apply(&business.told, &[cursor(7)], 0).unwrap();
    let before = see(&scratch.reader(), &business);
    let again = writer.apply(&business.told, &[cursor(7)], 0).unwrap();
    assert_eq!(counted(&again), [0, 0, 0, 0, business.told.len() as u64]);
    assert_eq!(again.refused, []);

    // A whole repository of the same revision proves that all is as it was.
    let again = writer.apply(&business.repos(), &[], 0).unwrap();
    assert_eq!(counted(&again), [0, 0, 0, before.exported.len() as u64, 0]);
    assert_eq!(see(&scratch.reader(), &business), before);
    assert_eq!(scratch.reader().cursors().unwrap(), [cursor(7)]);
    assert_eq!(writer.cursors().unwrap(), [cursor(7)]);
}

#[test]
fn a_commit_that_does_not_follow_what_is_stored_is_refused_and_told() {
    let mut business = Business::new(3, 2);
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    let last = business.told.pop().unwrap();
    let owner = did(&business.owner);
    let Change::Commit(commit) = &last else { panic!("a commit") };
    let after = commit.after();
    let told_before: Vec<_> = business.told.drain(..).filter(|change| change.did() != &owner).collect();
    writer.apply(&told_before, &[], 0).unwrap();
    let applied = writer.apply(std::slice::from_ref(&last), &[], 0).unwrap();
    assert_eq!(applied.refused.len(), 1);
    assert_eq!(applied.refused[0].did, owner);
    assert_eq!(applied.refused[0].expected, after);
    assert_eq!(applied.refused[0].found, None);
    let state = writer.repo_state(&owner).unwrap().unwrap();
    assert_eq!((state.head, state.proof), (None, Proof::Desynchronized));
    assert_eq!(scratch.reader().fingerprint(&Scope::Repo(owner)).unwrap(), Default::default());
}

#[test]
fn a_whole_repository_is_applied_as_a_difference_with_its_deletes() {
    let mut network = Network::new(4);
    let account = network.world.create_account(KeyKind::K256);
    let now = network.world.now_micros();
    // `a-b` sorts before `a/`: the order of paths is not the order of collections.
    let nsids =
        ["dev.cocore.compute.job", "dev.cocore.compute.jobs", "dev.cocore.compute-x.job", "dev.cocore.a.b"];
    let create =
        |nsid: &str, rkey: &str| Write::create(nsid, rkey, records::friend("did:web:x.example", now));
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    let mut writes: Vec<_> = nsids.iter().flat_map(|nsid| [create(nsid, "a"), create(nsid, "b")]).collect();
    writes.push(create("dev.cocore.gone.soon", "a"));
    let first = network.commit(&account, writes);
    assert_eq!(counted(&writer.apply(&[first], &[], 0).unwrap()), [9, 0, 0, 0, 0]);

    network.commit(
        &account,
        vec![
            Write::delete("dev.cocore.gone.soon", "a"),
            Write::delete("dev.cocore.compute.job", "a"),
            Write::delete("dev.cocore.compute.jobs", "b"),
            Write::update("dev.cocore.a.b", "a", records::friend("did:web:y.example", now)),
            create("dev.cocore.a.b", "aa"),
            create("dev.cocore.compute-x.job", "c"),
        ],
    );
    let repo = network.repo(&account);
    assert_eq!(counted(&writer.apply(&[repo], &[], 0).unwrap()), [2, 1, 3, 5, 0]);

    let fresh = Scratch::told(&[network.repo(&account)]);
    let both = [scratch.reader(), fresh.reader()].map(|reader| {
        assert_eq!(reader.check(|_| ()).unwrap().damage, []);
        reader.fingerprint(&Scope::Whole).unwrap()
    });
    assert_eq!(both[0], both[1]);
    // The deleted ones are not to be mistaken for counted: an older export changes nothing any more.
    assert_eq!(scratch.reader().counts().unwrap().records.total(), 8);
}

#[test]
fn an_account_that_is_hidden_and_shown_again_is_as_before() {
    let business = Business::new(5, 3);
    let scratch = Scratch::told(&business.told);
    let before = see(&scratch.reader(), &business);
    let mut writer = scratch.writer();
    let owner = did(&business.owner);
    let hosting = |hosting| [Change::Hosting { did: owner.clone(), hosting }];
    for hidden in [Hosting::Takendown, Hosting::Deactivated, Hosting::Returning] {
        writer.apply(&hosting(hidden), &[], 0).unwrap();
        let reader = scratch.reader();
        let seen = see(&reader, &business);
        assert!(seen.exported.iter().all(|(uri, _, _)| !uri.contains(owner.as_str())));
        assert_eq!(seen.lists["receipts"], [(vec![], None)]);
        assert_eq!(seen.lists["receipts by requester"], [(vec![], None)]);
        assert_eq!(seen.lists["providers"], [(vec![], None)]);
        assert_eq!(reader.record(&business.receipts[0].parse().unwrap()).unwrap(), None);
        assert_eq!(reader.check(|_| ()).unwrap().damage, []);
    }
    writer.apply(&hosting(Hosting::Active), &[], 0).unwrap();
    assert_eq!(see(&scratch.reader(), &business), before);
    assert_eq!(scratch.reader().check(|_| ()).unwrap().damage, []);
}

#[test]
fn what_a_hidden_account_does_is_stored_and_not_counted() {
    let mut business = Business::new(6, 2);
    let owner = did(&business.owner);
    let rest = business.told.split_off(4);
    let scratch = Scratch::told(&business.told);
    let mut writer = scratch.writer();
    writer.apply(&[Change::Hosting { did: owner.clone(), hosting: Hosting::Suspended }], &[], 0).unwrap();
    writer.apply(&rest, &[], 0).unwrap();
    assert_eq!(scratch.reader().check(|_| ()).unwrap().damage, []);
    assert_eq!(scratch.reader().fingerprint(&Scope::Repo(owner.clone())).unwrap(), Default::default());
    writer.apply(&[Change::Hosting { did: owner, hosting: Hosting::Active }], &[], 0).unwrap();
    let told: Vec<_> = business.told.into_iter().chain(rest).collect();
    business.told = Vec::new();
    assert_eq!(see(&scratch.reader(), &business), see(&Scratch::told(&told).reader(), &business));
}

#[test]
fn an_erased_account_leaves_nothing_and_comes_back_only_when_it_is_hosted_again() {
    let mut business = Business::new(7, 2);
    let scratch = Scratch::told(&business.told);
    let mut writer = scratch.writer();
    let owner = did(&business.owner);
    let applied =
        writer.apply(&[Change::Erase { did: owner.clone(), hosting: Hosting::Deleted }], &[], 0).unwrap();
    assert_eq!(applied.deleted, 8);
    let state = writer.repo_state(&owner).unwrap().unwrap();
    assert_eq!((state.head, state.hosting), (None, Hosting::Deleted));
    assert_eq!(scratch.reader().check(|_| ()).unwrap().damage, []);

    let repo = business.network.repo(&business.owner.clone());
    let replayed = writer.apply(&[repo], &[], 0).unwrap();
    assert_eq!(counted(&replayed), [0, 0, 0, 0, 1]);
    let first = &business.told[..1];
    assert_eq!(counted(&writer.apply(first, &[], 0).unwrap()), [0, 0, 0, 0, 1]);

    writer.apply(&[Change::Hosting { did: owner, hosting: Hosting::Active }], &[], 0).unwrap();
    let repo = business.network.repo(&business.owner.clone());
    assert_eq!(writer.apply(&[repo], &[], 0).unwrap().created, 8);
    assert_eq!(see(&scratch.reader(), &business), see(&Scratch::told(&business.told).reader(), &business));
}

#[test]
fn no_byte_of_an_erased_record_is_left_in_any_file() {
    let needle = "a needle that is nowhere else";
    let mut network = Network::new(8);
    let account = network.world.create_account(KeyKind::K256);
    let profile = records::profile(needle, network.world.now_micros());
    let commit = network.commit(&account, vec![Write::create(records::PROFILE, "self", profile)]);
    let scratch = Scratch::told(&[commit]);
    let is_somewhere = || {
        std::fs::read_dir(scratch.folder.path()).unwrap().any(|entry| {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
        })
    };
    assert!(is_somewhere());
    let mut writer = scratch.writer();
    writer.apply(&[Change::Erase { did: did(&account), hosting: Hosting::Deleted }], &[], 0).unwrap();
    writer.write_back_log().unwrap();
    assert!(!is_somewhere());
}

#[test]
fn a_desynchronized_repository_keeps_what_was_proven_and_tells_the_next_start() {
    let mut business = Business::new(9, 1);
    let scratch = Scratch::told(&business.told);
    let before = see(&scratch.reader(), &business);
    let mut writer = scratch.writer();
    let unheard = did("did:web:unheard.example");
    let owner = did(&business.owner);
    let changes = [&owner, &unheard].map(|did| Change::Desynchronized { did: did.clone() });
    writer.apply(&changes, &[], 0).unwrap();
    assert_eq!(see(&scratch.reader(), &business).exported, before.exported);
    let states: Vec<_> = writer.repo_states().collect::<Result<_, _>>().unwrap();
    assert_eq!(states.len(), 4);
    for Followed { did, state, .. } in states {
        let wanted = did == owner || did == unheard;
        assert_eq!(state.proof == Proof::Desynchronized, wanted, "{did}");
        assert_eq!(state.head.is_none(), did == unheard);
    }
    let repo = business.network.repo(&business.owner.clone());
    writer.apply(&[repo], &[], 0).unwrap();
    assert_eq!(scratch.reader().repo_state(&owner).unwrap().unwrap().proof, Proof::Full);
}

#[test]
fn other_lexicons_judge_every_record_again() {
    use appview_core::record::Catalog;
    let business = Business::new(10, 5);
    let scratch = Scratch::told(&business.told);
    let before = see(&scratch.reader(), &business);

    // A catalogue in which a receipt needs what none has, and everything else may be as it likes.
    let strict = r#"{"lexicon": 1, "id": "dev.cocore.compute.receipt", "defs": {"main": {"type": "record", "key": "any",
        "record": {"type": "object", "required": ["nothingHasThis"],
        "properties": {"nothingHasThis": {"type": "string"}}}}}}"#;
    drop(scratch.index.writer(Catalog::parse([strict]).unwrap()).unwrap());
    let seen = see(&scratch.reader(), &business);
    assert_eq!(seen.fingerprint, before.fingerprint);
    // Those five, the one that always was, and the one that is no record.
    assert_eq!(seen.counts.records.quarantined, 7);
    assert_eq!(seen.counts.records.marked, 0);
    assert_eq!(seen.lists["receipts by requester"], [(vec![], None)]);
    let reader = scratch.reader();
    assert_eq!(reader.check(|_| ()).unwrap().damage, []);
    let findings = reader.findings(&business.receipts[0].parse().unwrap()).unwrap();
    assert!(findings[0].message.contains("nothingHasThis") || findings[0].path.contains("nothingHasThis"));

    drop(scratch.index.writer(catalog()).unwrap());
    assert_eq!(see(&scratch.reader(), &business), before);
    assert_eq!(scratch.reader().check(|_| ()).unwrap().damage, []);
}

#[test]
fn a_batch_that_fails_leaves_no_trace_and_can_be_given_again() {
    let mut business = Business::new(11, 2);
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    // A repository whose archive is a file that was cut after its proof.
    let path = scratch.folder.path().join("repo.car");
    std::fs::write(&path, business.network.world.car(&business.owner)).unwrap();
    let archive = appview_core::block::car::Archive::from_file(std::fs::File::open(&path).unwrap()).unwrap();
    let owner = did(&business.owner);
    let document = business.network.world.did_document(&business.owner);
    let identity = appview_core::repo::Identity::from_document(&owner, &document).unwrap();
    let now = business.network.world.now_micros() + 1_000_000;
    let repo = appview_core::sync::verify::verify_repo(archive, &identity, network::NAMESPACE, now).unwrap();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(3_000).unwrap();
    let failing = [business.told.remove(1), Change::Repo(repo)];
    let error = writer.apply(&failing, &[cursor(1)], 0).unwrap_err();
    assert_eq!(error.label(), "archive");
    assert_eq!(writer.cursors().unwrap(), []);
    assert_eq!(writer.repo_states().count(), 0);

    writer.apply(&failing[..1], &[cursor(1)], 0).unwrap();
    let repos = business.repos();
    writer.apply(&repos, &[], 0).unwrap();
    assert_eq!(scratch.reader().check(|_| ()).unwrap().damage, []);
    let fresh = Scratch::told(&repos);
    assert_eq!(see(&scratch.reader(), &business), see(&fresh.reader(), &business));
}

#[test]
fn a_doubt_that_ends_restores_what_was_proven_and_nothing_more() {
    let business = Business::new(10, 1);
    let scratch = Scratch::told(&business.told);
    let mut writer = scratch.writer();
    let owner = did(&business.owner);
    let proven = writer.repo_state(&owner).unwrap().unwrap();
    let head = proven.head.unwrap();
    assert_eq!((proven.proof, proven.proven), (Proof::Full, None));

    let doubt = || Change::Desynchronized { did: owner.clone() };
    let current = |head| Change::Current { did: owner.clone(), head };
    // Twice, as after a restart: the second doubt must not forget what the first remembered.
    writer.apply(&[doubt(), doubt()], &[], 0).unwrap();
    let doubted = writer.repo_state(&owner).unwrap().unwrap();
    assert_eq!((doubted.proof, doubted.proven), (Proof::Desynchronized, Some(Proof::Full)));

    // Another head than the one that is stored proves nothing about it.
    let other = RepoHead { data: Cid::of(b"another tree"), ..head };
    let applied = writer.apply(&[current(other)], &[], 0).unwrap();
    assert_eq!((applied.refused[0].expected, applied.refused[0].found), (Some(other), Some(head)));
    assert_eq!(writer.repo_state(&owner).unwrap(), Some(doubted));

    assert_eq!(writer.apply(&[current(head)], &[], 0).unwrap().refused, []);
    assert_eq!(writer.repo_state(&owner).unwrap(), Some(proven));

    let unheard = did("did:web:unheard.example");
    let claim = Change::Current { did: unheard.clone(), head };
    let shown = Change::Hosting { did: unheard.clone(), hosting: Hosting::Active };
    assert_eq!(writer.apply(&[claim, shown], &[], 0).unwrap().refused.len(), 1);
    let state = writer.repo_state(&unheard).unwrap().unwrap();
    assert_eq!((state.head, state.proof, state.proven), (None, Proof::Desynchronized, None));
    assert_eq!(scratch.reader().check(|_| ()).unwrap().damage, []);
}

#[test]
fn a_repository_that_was_fetched_is_noted_as_proven_and_no_more_as_postponed() {
    let mut business = Business::new(3, 1);
    let scratch = Scratch::new();
    let mut writer = scratch.writer();
    let [account, ..] = business.dids();
    let did = did(&account);
    let postponed = Postponed { attempt: 3, until: 5_000 };
    let doubted = [Change::Desynchronized { did: did.clone() }, Change::Postponed { did, postponed }];
    writer.apply(&doubted, &[], 1_000).unwrap();
    let watch = |scratch: &Scratch| scratch.reader().repo_states().next().unwrap().unwrap().watch;
    assert_eq!(watch(&scratch).postponed, Some(postponed));
    assert_eq!(watch(&scratch).proven_at, None);
    writer.apply(&[business.network.repo(&account)], &[], 2_000).unwrap();
    assert_eq!(watch(&scratch).postponed, None);
    assert_eq!(watch(&scratch).proven_at, Some(2_000));
}
