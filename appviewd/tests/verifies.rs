//! Receipts and settlements are judged from the command line: by an index, or by a file and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::fs;

use serde_json::{Value as Json, json};

use support::{Scenario, collection, listed};

/// After all of the recording, before any certificate of it could expire.
const AT: &str = "2026-11-25T00:00:00Z";

/// The first record of a kind in the recording.
fn first(kind: &str) -> String {
    let nsid = format!("dev.cocore.compute.{kind}");
    listed().into_keys().find(|uri| collection(uri) == nsid).unwrap()
}

fn verify<'a>(kind: &'a str, uri: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["verify", kind, uri, "--offline", "--at", AT], more].concat()
}

#[test]
fn a_verdict_shows_the_chain_who_signed_what_and_by_which_rule() {
    let scenario = Scenario::played();
    for kind in ["receipt", "settlement"] {
        let uri = first(kind);
        let told = scenario.succeed(&verify(kind, &uri, &[]));
        insta::assert_snapshot!(format!("a_{kind}_as_a_tree"), told);
    }
}

#[test]
fn a_bundle_says_what_the_index_says() {
    let scenario = Scenario::played();
    for kind in ["receipt", "settlement"] {
        let uri = first(kind);
        let by_index = scenario.succeed(&verify(kind, &uri, &["--json"]));
        let json: Json = serde_json::from_str(&by_index).unwrap();
        assert_eq!((&json["ok"], &json["rules"]["profile"]), (&json!(true), &json!("advise")));
        for file in ["bundle.json", "bundle.car"] {
            let output = scenario.run(&["bundle", &uri, "--offline", "--output", file]);
            assert!(output.status.success() && output.stdout.is_empty());
            assert!(String::from_utf8(output.stderr).unwrap().contains(" records, 0 documents\n"));
            // Somewhere else, where there is no index.
            let elsewhere = Scenario::empty();
            fs::copy(scenario.path(file), elsewhere.path(file)).unwrap();
            let by_file = elsewhere.succeed(&verify(kind, &uri, &["--json", "--bundle", file]));
            assert_eq!(by_file, by_index, "{file}");
            let tree = elsewhere.succeed(&verify(kind, &uri, &["--bundle", file]));
            let word = format!("that the records stand in their repositories is the word of {file} alone");
            assert!(tree.contains(&word), "{tree}");
        }
        let printed = scenario.succeed(&["bundle", &uri, "--offline"]);
        assert_eq!(printed, fs::read_to_string(scenario.path("bundle.json")).unwrap());
    }
}

#[test]
fn the_exit_code_is_the_verdict() {
    let scenario = Scenario::played();
    let uri = first("receipt");
    let of = |arguments: &[&str]| scenario.run(arguments).status.code().unwrap();
    assert_eq!(of(&verify("receipt", &uri, &[])), 0);
    // The network's own unit breaks the lexicon of jobs.
    assert_eq!(of(&verify("receipt", &uri, &["--strict"])), 3);
    assert_eq!(of(&verify("receipt", &uri, &["--strict", "--json"])), 3);

    scenario.succeed(&["bundle", &uri, "--offline", "--output", "bundle.json"]);
    let mut bundle: Json =
        serde_json::from_str(&fs::read_to_string(scenario.path("bundle.json")).unwrap()).unwrap();
    let receipt =
        bundle["records"].as_array_mut().unwrap().iter_mut().find(|record| record["uri"] == uri).unwrap();
    receipt["body"]["price"]["amount"] = json!(0);
    fs::write(scenario.path("tampered.json"), bundle.to_string()).unwrap();
    let output = scenario.run(&verify("receipt", &uri, &["--bundle", "tampered.json"]));
    assert_eq!(output.status.code(), Some(3));
    let told = String::from_utf8(output.stdout).unwrap();
    for line in ["receipt is NOT ok", "ERROR  signature-invalid: ", "warn   x-record-cid-mismatch: "] {
        assert!(told.contains(line), "{line} in\n{told}");
    }

    let records = bundle["records"].as_array_mut().unwrap();
    records.retain(|record| collection(record["uri"].as_str().unwrap()) != "dev.cocore.compute.job");
    fs::write(scenario.path("missing.json"), bundle.to_string()).unwrap();
    let told = scenario.fail(4, &verify("receipt", &uri, &["--bundle", "missing.json"]));
    assert!(told.starts_with("appviewd: the job is missing: at://"), "{told}");
    assert!(told.ends_with("; the bundle is not whole\n"), "{told}");
}

#[test]
fn mistakes_are_answered_with_what_to_do_next() {
    let scenario = Scenario::played();
    let (receipt, nobody) =
        (first("receipt"), "at://did:web:nobody.example/dev.cocore.compute.receipt/3jzfcijpj2z2a");
    fs::write(scenario.path("not-json.json"), "{").unwrap();
    fs::write(scenario.path("not-a.car"), "no car").unwrap();
    let told: String = [
        verify("settlement", &receipt, &[]),
        verify("receipt", "at://did:web:nobody.example", &[]),
        verify("receipt", &receipt, &["--bundle", "not-json.json"]),
        verify("receipt", &receipt, &["--bundle", "not-a.car"]),
        vec!["bundle", nobody],
        vec!["bundle", "at://did:web:nobody.example/dev.cocore.compute.job/3jzfcijpj2z2a"],
    ]
    .iter()
    .map(|arguments| scenario.fail(1, arguments))
    .collect();
    insta::assert_snapshot!(told);
    let told = scenario.fail(1, &verify("receipt", &receipt, &["--bundle", "no-such-file"]));
    assert!(told.starts_with("appviewd: no-such-file: "), "{told}");
    let told = scenario.fail(4, &verify("receipt", nobody, &[]));
    let advice = "`appviewd repo status did:web:nobody.example` tells why";
    assert_eq!(told, format!("appviewd: the receipt is missing: {nobody}; {advice}\n"));
}
