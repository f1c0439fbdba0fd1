//! What an official PDS said during a recorded day adds up to what the same PDS answered at its end: heard live, replayed
//! from the start with its gaps, or joined in the middle.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use appview_core::block::BlockError;
use appview_core::block::car::Archive;
use appview_core::repo::Identity;
use appview_core::sync::verifier::{Closing, Keys};
use appview_core::sync::verify::verify_repo;
use appview_core::sync::{Change, Event, Hosting, Output, Proof, RecordChange, Scope, Verifier};
use appview_core::syntax::Did;
use fixtures::recording::{self, Oracle};

/// After the recording.
const NOW: u64 = 1_900_000_000_000_000;

/// Whether the driver can reach the PDS, or has only the stream.
#[derive(PartialEq)]
enum Pds {
    Answers,
    IsAway,
}

/// What is shown in the end, CIDs by URI, and the machine as it then is.
fn play(frames: &[&[u8]], pds: Pds) -> (BTreeMap<String, String>, Verifier) {
    let documents = recording::plc();
    let identity = |did: &Did| {
        let entry = &documents[did.as_str()];
        let identity = Identity::from_document(did, &entry["didDocument"]).unwrap();
        identity.with_audit_log(&entry["operations"]).unwrap()
    };
    let mut verifier = Verifier::new(Scope::default(), []);
    verifier.set_keys(Keys::AuditLog);
    let stream = verifier.add_stream("ws://pds", None);
    let mut records: BTreeMap<Did, BTreeMap<String, String>> = BTreeMap::new();
    let mut hosting: BTreeMap<Did, Hosting> = BTreeMap::new();
    for frame in frames {
        verifier.handle_frame(stream, frame, NOW);
        while let Some(output) = verifier.poll_output() {
            match output {
                Output::Apply(Change::Commit(commit)) => {
                    let records = records.entry(commit.did().clone()).or_default();
                    for change in commit.changes() {
                        match change {
                            RecordChange::Put { path, cid, .. } => {
                                drop(records.insert(path.to_string(), cid.to_string()))
                            }
                            RecordChange::Delete { path } => drop(records.remove(&path.to_string()).unwrap()),
                        }
                    }
                }
                Output::Apply(Change::Repo(repo)) => {
                    let mut listing = BTreeMap::new();
                    let listed = repo.each_record::<BlockError>(|path, cid| {
                        listing.insert(path.to_string(), cid.to_string());
                        Ok(())
                    });
                    listed.unwrap();
                    records.insert(repo.did().clone(), listing);
                }
                Output::Apply(Change::Hosting { did, hosting: said }) => drop(hosting.insert(did, said)),
                Output::Apply(Change::Erase { did, .. }) => drop(records.remove(&did)),
                Output::ResolveIdentity { did, .. } => {
                    let identity = identity(&did);
                    verifier.handle_identity(&did, Ok(identity), NOW);
                }
                Output::FetchRepo { did, .. } if pds == Pds::Answers => match recording::repo(did.as_str()) {
                    Some(car) => {
                        let (identity, archive) =
                            (identity(&did), Archive::from_bytes(car.to_vec()).unwrap());
                        let repo = verify_repo(archive, &identity, Scope::default().as_str(), NOW).unwrap();
                        verifier.handle_repo(repo, Arc::new(identity), NOW);
                    }
                    None => verifier.handle_hosting(&did, Hosting::Inactive, NOW),
                },
                _ => {}
            }
        }
    }
    assert_eq!(verifier.watermarks().first().map(|cursor| cursor.seq), Some(216), "nothing waits in the end");
    records.retain(|did, _| hosting.get(did).is_none_or(|hosting| hosting.is_visible()));
    let uris = records.into_iter().flat_map(|(did, records)| {
        records.into_iter().map(move |(path, cid)| (format!("at://{did}/{path}"), cid))
    });
    (uris.collect(), verifier)
}

fn oracle() -> BTreeMap<String, String> {
    let records: BTreeMap<_, _> =
        Oracle::read().records.into_iter().map(|record| (record.uri, record.cid)).collect();
    assert!(records.len() > 100);
    records
}

#[test]
fn the_stream_alone_shows_nothing_but_the_truth_and_knows_whom_it_lacks() {
    let (shown, verifier) = play(&recording::frames_live(), Pds::IsAway);
    let mut lacking = BTreeSet::new();
    for (uri, cid) in oracle() {
        match shown.get(&uri) {
            Some(shown) => assert_eq!(*shown, cid),
            None => drop(lacking.insert(uri.split('/').nth(2).unwrap().to_owned())),
        }
    }
    assert!(shown.keys().all(|uri| oracle().contains_key(uri)));
    // Their first commits had no record in scope, so no one listened yet.
    assert_eq!(lacking.len(), 2);
    for did in lacking {
        assert_eq!(verifier.state(&did).unwrap().proof, Proof::Desynchronized);
    }
    let tally = verifier.tally();
    assert_eq!((tally.frames, tally.deviating, tally.repos), (216, 0, 0), "{tally:?}");
}

#[test]
fn stream_and_exports_together_add_up_to_the_same() {
    assert_eq!(play(&recording::frames_live(), Pds::Answers).0, oracle());
}

#[test]
fn a_replay_without_a_deleted_accounts_events_adds_up_to_the_same() {
    let (shown, verifier) = play(&recording::frames_replay(), Pds::Answers);
    assert_eq!(shown, oracle());
    assert_eq!(verifier.tally().frames, 201);
}

#[test]
fn joined_in_the_middle_it_fetches_every_repository_and_adds_up_to_the_same() {
    let (shown, verifier) = play(&recording::frames_outdated_cursor(), Pds::Answers);
    assert_eq!(shown, oracle());
    assert_eq!(
        (verifier.tally().commits, verifier.tally().repos),
        (0, 9),
        "the exports are newer than the stream"
    );
}

#[test]
fn a_cursor_from_the_future_is_one_message_that_ends_the_stream() {
    let frames = recording::frames_future_cursor();
    let [frame] = frames[..] else { panic!("{} messages", frames.len()) };
    assert!(matches!(Event::decode(frame), Ok((Event::Error { name: "FutureCursor", .. }, 0))));
    let mut verifier = Verifier::new(Scope::default(), []);
    let stream = verifier.add_stream("ws://pds", Some(1_000_000));
    verifier.handle_frame(stream, frame, NOW);
    assert!(matches!(verifier.poll_output(), Some(Output::Notice { closing: Closing::Yes, .. })));
    assert!(verifier.watermarks().is_empty(), "nobody resumes from there again");
}
