//! How SQLite answers: by which index, and whether it has to sort.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::block::Cid;
use crate::block::json::json_to_cbor;
use crate::index::{Fault, Index};
use crate::record::Verdict;

/// Every statement that answers a list, with its plan: one line for each table in the order of the loops.
fn plans() -> String {
    let lists = [
        ("of a collection", provider::LIST_OF_COLLECTION),
        ("of a repo", job::LIST_OF_REPO),
        ("receipts by requester", receipt::LIST_BY_REQUESTER),
        ("receipts by requester and provider", receipt::LIST_BY_REQUESTER_AND_PROVIDER),
        ("receipts by job", receipt::LIST_BY_JOB),
        ("settlements by receipt", settlement::LIST_BY_RECEIPT),
        ("settlements by requester", settlement::LIST_BY_REQUESTER),
        ("friends by subject", friend::LIST_BY_SUBJECT),
        ("profiles", profile::LIST_PROFILES),
        ("export", export::LIST_RECORDS),
        ("fingerprints by collection", fingerprint::LIST_BY_COLLECTION),
        ("fingerprints by repo", fingerprint::LIST_REPOS),
        ("records of a fingerprint", fingerprint::LIST_RECORDS),
        ("record", record::FIND_RECORD),
        ("offers of an account", evidence::LIST_OFFERS),
        ("receipts of a job", evidence::LIST_OF_JOB),
        ("settlements of an exchange by receipt", evidence::LIST_SETTLED),
        ("records that share a mark", evidence::LIST_SHARING),
        ("hosting", evidence::FIND_HOSTING),
        ("feed", feed::page::LIST_CHANGES),
        ("record of the feed", feed::page::READ_RECORD),
    ];
    let folder = tempfile::tempdir().unwrap();
    let reader = Index::open(folder.path().join("index.db")).unwrap().reader().unwrap();
    let explain = |sql: &str| {
        reader.query(|conn| {
            let mut statement = conn.prepare(&format!("explain query plan {sql}"))?;
            let mut lines = Vec::new();
            // A plan needs no values.
            let mut rows = statement.raw_query();
            while let Some(row) = rows.next()? {
                lines.push(row.get::<_, String>(3)?);
            }
            Ok::<_, Fault>(lines.join("\n  "))
        })
    };
    lists.map(|(name, sql)| format!("{name}\n  {}\n", explain(sql).unwrap())).concat()
}

#[test]
fn no_list_scans_a_table_or_sorts_more_than_equal_keys() {
    let plans = plans();
    for line in plans.lines() {
        assert!(!line.contains("SCAN"), "{line}\nin\n{plans}");
        assert!(!line.contains("TEMP B-TREE") || line.contains("LAST TERM"), "{line}\nin\n{plans}");
    }
    insta::assert_snapshot!(plans);
}

fn view(rkey: &str, json: serde_json::Value) -> RecordView {
    let block = json_to_cbor(&json).unwrap();
    RecordView {
        repo: "did:web:x.example".parse().unwrap(),
        collection: "dev.cocore.compute.job".parse().unwrap(),
        rkey: rkey.parse().unwrap(),
        cid: Cid::of(&block),
        verdict: Verdict::Valid,
        block: block.into(),
    }
}

#[test]
fn when_a_record_was_indexed_is_told_by_its_key_then_by_itself() {
    let created = serde_json::json!({"createdAt": "1970-01-01T00:00:01Z"});
    assert_eq!(view("3jzfcijpj2z2a", created.clone()).indexed_at_micros(), 1_688_137_381_887_007);
    assert_eq!(view("self", created).indexed_at_micros(), 1_000_000);
    let settled = serde_json::json!({"createdAt": "soon", "settledAt": "1970-01-01T00:00:02Z"});
    assert_eq!(view("self", settled).indexed_at_micros(), 2_000_000);
    assert_eq!(view("self", serde_json::json!({})).indexed_at_micros(), 0);
    let undecodable = RecordView { block: Box::from(*b"\xff"), ..view("self", serde_json::json!({})) };
    assert_eq!(undecodable.indexed_at_micros(), 0);
}
