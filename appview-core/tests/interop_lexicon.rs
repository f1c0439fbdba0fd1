//! The protocol authors' own cases for lexicon documents and for records that keep or break them.
//!
//! The cases are read from a folder beside the project, see [`shared_folder`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::path::Path;

use appview_core::block::json::json_to_cbor;
use appview_core::record::{Catalog, Judgement, Reading};
use fixtures::shared_folder;
use serde_json::Value as Json;

fn cases(folder: &Path, name: &str) -> Vec<Json> {
    let cases: Vec<Json> = serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap();
    assert!(!cases.is_empty(), "{name} holds no case");
    println!("{name}: {} cases", cases.len());
    cases
}

fn catalog(folder: &Path) -> Catalog {
    let documents: Vec<String> = fs::read_dir(folder.join("catalog"))
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    assert!(!documents.is_empty(), "the catalogue holds no document");
    Catalog::parse(documents.iter().map(String::as_str)).unwrap()
}

/// The judgement, or nothing if the record is not even a value of the data model.
fn judge(catalog: &Catalog, case: &Json) -> Option<Judgement> {
    let record = &case["data"];
    let block = json_to_cbor(record).ok()?;
    let collection = record["$type"].as_str().unwrap();
    Some(catalog.judge_block(collection, case["rkey"].as_str().unwrap(), &block, Reading::Strict))
}

#[test]
fn every_valid_document_is_accepted() {
    let Some(folder) = shared_folder("interop/lexicon") else {
        return;
    };
    for case in cases(&folder, "lexicon-valid.json") {
        if let Err(error) = Catalog::parse([case["lexicon"].to_string().as_str()]) {
            panic!("{}: {error}", case["name"]);
        }
    }
}

#[test]
fn every_invalid_document_is_refused() {
    let Some(folder) = shared_folder("interop/lexicon") else {
        return;
    };
    for case in cases(&folder, "lexicon-invalid.json") {
        assert!(Catalog::parse([case["lexicon"].to_string().as_str()]).is_err(), "{}", case["name"]);
    }
}

#[test]
fn every_valid_record_has_no_finding() {
    let Some(folder) = shared_folder("interop/lexicon") else {
        return;
    };
    let catalog = catalog(&folder);
    for case in cases(&folder, "record-data-valid.json") {
        assert_eq!(judge(&catalog, &case), Some(Judgement::default()), "{}", case["name"]);
    }
}

#[test]
fn every_invalid_record_has_a_finding() {
    let Some(folder) = shared_folder("interop/lexicon") else {
        return;
    };
    let catalog = catalog(&folder);
    for case in cases(&folder, "record-data-invalid.json") {
        let clean = judge(&catalog, &case).is_some_and(|judgement| judgement.findings.is_empty());
        assert!(!clean, "{}", case["name"]);
    }
}
