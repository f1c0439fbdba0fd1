//! A window of the live network, as its public relay sent it: everything that honest hosts wrote there is proven, and
//! agrees with what two other implementations made of it.
//!
//! The capture holds third parties' posts and stays outside the project, see [`shared_folder`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use appview_core::block::car::Archive;
use appview_core::block::json::json_to_cbor;
use appview_core::block::{Cid, cbor};
use appview_core::repo::mst::{self, MstError};
use appview_core::repo::{Commit, Identity};
use appview_core::sync::verifier::Scope;
use appview_core::sync::verify::verify_commit;
use appview_core::sync::{Event, RecordChange, RepoHead, Verifier};
use fixtures::shared_folder;
use serde_json::Value as Json;

/// Long after the window.
const NOW: u64 = 1_800_000_000_000_000;

fn json(folder: &Path, file: &str) -> Json {
    serde_json::from_slice(&fs::read(folder.join(file)).unwrap()).unwrap()
}

/// Messages behind their lengths, 32 bits, little-endian.
fn frames(file: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    let mut rest = file;
    while let Some((length, after)) = rest.split_first_chunk() {
        let (frame, after) = after.split_at(u32::from_le_bytes(*length) as usize);
        frames.push(frame);
        rest = after;
    }
    assert!(rest.is_empty());
    frames
}

#[test]
fn every_commit_of_the_window_is_proven_and_changes_what_another_indexer_saw_change() {
    let Some(folder) = shared_folder("live-relay") else {
        return;
    };
    let (manifest, documents) = (json(&folder, "manifest.json"), json(&folder, "did_docs.json"));
    let file = fs::read(folder.join("frames.bin")).unwrap();
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut count = |what| *counts.entry(what).or_default() += 1;
    let mut seqs = Vec::new();
    let mut dids = BTreeSet::new();
    // What happened, in the words of the other indexer: DID, revision, path, and the record's CID if there is one.
    let mut seen: Vec<(String, String, String, Option<Cid>)> = Vec::new();
    for frame in frames(&file) {
        count("frames");
        let (event, deviations) = Event::decode(frame).unwrap();
        assert_eq!(deviations, 0, "the relay writes canonical envelopes");
        seqs.extend(event.seq());
        match event {
            Event::Commit(event) => {
                count("commit_frames");
                dids.insert(event.repo.to_owned());
                let did = event.repo.parse().unwrap();
                let identity = Identity::from_document(&did, &documents[event.repo]).unwrap();
                let head = RepoHead { rev: event.since.unwrap(), data: event.prev_data.unwrap() };
                let commit = verify_commit(&event, Some(head), &identity, "", NOW)
                    .unwrap_or_else(|error| panic!("{did} {}: {error}", event.rev));
                for change in commit.changes() {
                    let (path, cid) = match change {
                        RecordChange::Put { path, cid, .. } => (path, Some(*cid)),
                        RecordChange::Delete { path } => (path, None),
                    };
                    seen.push((did.to_string(), event.rev.to_string(), path.to_string(), cid));
                }
            }
            Event::Identity { .. } => count("identity"),
            Event::Account { .. } => count("account"),
            other => panic!("not in the manifest: {other:?}"),
        }
    }

    let mut expected = Vec::new();
    for line in fs::read_to_string(folder.join("expected_jetstream.jsonl")).unwrap().lines() {
        count("v1_events");
        let event: Json = serde_json::from_str(line).unwrap();
        let text = |json: &Json| json.as_str().unwrap().to_owned();
        if event["kind"] == "commit" {
            let commit = &event["commit"];
            count(match commit["operation"].as_str().unwrap() {
                "create" => "creates",
                "update" => "updates",
                "delete" => "deletes",
                other => panic!("{other}"),
            });
            let path = format!("{}/{}", text(&commit["collection"]), text(&commit["rkey"]));
            let cid = commit.get("cid").map(|cid| cid.as_str().unwrap().parse().unwrap());
            if let Some(cid) = cid {
                let block = json_to_cbor(&commit["record"]).unwrap();
                assert_eq!(Cid::of(&block), cid, "the record's JSON leads to its block");
            }
            expected.push((text(&event["did"]), text(&commit["rev"]), path, cid));
        }
    }
    seen.sort();
    expected.sort();
    assert_eq!(seen, expected);
    for (what, found) in counts {
        assert_eq!(manifest[what], found, "{what}");
    }
    assert_eq!(
        (manifest["seq_first"].as_i64(), manifest["seq_last"].as_i64()),
        (seqs.first().copied(), seqs.last().copied())
    );
    assert!(seqs.is_sorted());
    let listed: BTreeSet<String> = serde_json::from_value(manifest["commit_dids"].clone()).unwrap();
    assert_eq!(dids, listed);
}

#[test]
fn a_verifier_of_our_namespace_passes_over_the_whole_window() {
    let Some(folder) = shared_folder("live-relay") else {
        return;
    };
    let file = fs::read(folder.join("frames.bin")).unwrap();
    let mut verifier = Verifier::new(Scope::default(), []);
    let stream = verifier.add_stream("wss://bsky.network", None);
    for frame in frames(&file) {
        verifier.handle_frame(stream, frame, NOW);
        assert!(verifier.poll_output().is_none());
    }
    let tally = verifier.tally();
    assert_eq!((tally.frames, tally.foreign, tally.rejected, verifier.tracked()), (150, 148, 0, 0));
    assert_eq!(verifier.watermarks()[0].seq, 31_527_015_471);
}

#[test]
fn an_exported_repository_lists_what_another_implementation_lists() {
    let Some(folder) = shared_folder("live-relay") else {
        return;
    };
    let archive = Archive::from_bytes(fs::read(folder.join("repo.car")).unwrap()).unwrap();
    let (mut block, mut listing) = (Vec::new(), String::new());
    assert!(archive.read(&archive.roots()[0], &mut block).unwrap());
    let commit = Commit::decode(&block).unwrap();
    let told = fs::read_to_string(folder.join("car_expected_commit.txt")).unwrap();
    let told: BTreeMap<&str, &str> = told.lines().filter_map(|line| line.split_once(": ")).collect();
    assert_eq!(
        (told["DID"], told["Revision"], told["Data CID"]),
        (commit.did, commit.rev.to_string().as_str(), commit.data.to_string().as_str())
    );
    let mut record = Vec::new();
    mst::walk::<MstError>(&archive, &commit.data, b"", |key, cid| {
        let key = std::str::from_utf8(key).unwrap();
        assert!(archive.read(&cid, &mut record)?, "the record of {key} is there");
        cbor::decode(&record)?;
        assert_eq!(mst::lookup(&archive, &commit.data, key.as_bytes())?, Some(cid));
        listing += &format!("{key}\t{cid}\n");
        Ok(())
    })
    .unwrap();
    assert_eq!(listing, fs::read_to_string(folder.join("car_expected_records.tsv")).unwrap());
}
