//! How SQLite answers: by which index, and whether it has to sort.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::index::{Fault, Index};

/// Every statement that answers a list, with its plan: one line for each table in the order of the loops.
fn plans() -> String {
    let lists = [
        ("of a collection", provider::LIST_OF_COLLECTION),
        ("of a repo", job::LIST_OF_REPO),
        ("providers by model", provider::LIST_BY_MODEL),
        ("providers by trust level", provider::LIST_BY_TRUST_LEVEL),
        ("providers by tier", provider::LIST_BY_TIER),
        ("receipts", receipt::walk::LIST_ALL),
        ("receipts by provider", receipt::walk::LIST_BY_PROVIDER),
        ("receipts by requester", receipt::walk::LIST_BY_REQUESTER),
        ("receipts by model", receipt::walk::LIST_BY_MODEL),
        ("receipts by job", receipt::walk::LIST_BY_JOB),
        ("receipts by tier", receipt::walk::LIST_BY_TIER),
        ("settlements by receipt", settlement::LIST_BY_RECEIPT),
        ("settlements by requester", settlement::LIST_BY_REQUESTER),
        ("disputes by settlement", exchange::LIST_BY_SETTLEMENT),
        ("disputes by raiser", exchange::LIST_BY_RAISER),
        ("friends by subject", friend::LIST_BY_SUBJECT),
        ("incoming friends", friend::LIST_INCOMING),
        ("friend edges", friend::LIST_EDGES),
        ("declaration of trust", friend::FIND_DECLARATION),
        ("profiles", profile::LIST_PROFILES),
        ("weeks of an account", profile::LIST_WEEKS),
        ("weeks of trust", profile::LIST_WEEKS_OF_TRUST),
        ("recent accounts", account::LIST_RECENT),
        ("recent providers", account::LIST_RECENT_PROVIDERS),
        ("newest accounts", account::LIST_NEWEST),
        ("newest providers", account::LIST_NEWEST_PROVIDERS),
        ("names of an account", account::FIND_NAMES),
        ("latency of providers", latency::LIST_PROVIDERS),
        ("latency of models", latency::LIST_MODELS),
        ("models in use", activity::LIST_MODELS),
        ("providers of a model", activity::LIST_PROVIDERS),
        ("weeks of a group", sums::LIST_WEEKS),
        ("sum of all", sums::ADD_UP_ALL),
        ("sum of a requester", sums::ADD_UP_REQUESTER),
        ("sum of a provider", sums::ADD_UP_PROVIDER),
        ("sum of a model", sums::ADD_UP_MODEL),
        ("sum of a provider's model", sums::ADD_UP_MODEL_OF),
        ("export", export::LIST_RECORDS),
        ("fingerprints by collection", fingerprint::LIST_BY_COLLECTION),
        ("fingerprints by repo", fingerprint::LIST_REPOS),
        ("records of a fingerprint", fingerprint::LIST_RECORDS),
        ("record", record::FIND_RECORD),
        ("record of a typed row", record::READ_RECORD),
        ("offer with a key", evidence::FIND_OFFER),
        ("offers of an account", evidence::LIST_OFFERS),
        ("receipts of a job", evidence::LIST_OF_JOB),
        ("settlements of an exchange by receipt", evidence::LIST_SETTLED),
        ("records that share a mark", evidence::LIST_SHARING),
        ("charges on an authorization", evidence::LIST_CHARGED),
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
        assert!(!line.contains("TEMP B-TREE") || line.contains("FOR LAST"), "{line}\nin\n{plans}");
    }
    insta::assert_snapshot!(plans);
}
