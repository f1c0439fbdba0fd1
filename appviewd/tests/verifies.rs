//! Receipts and settlements are judged from the command line: by an index, or by a file and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::fs;

use appview_core::source::replay::{Identities, Offline, RepoFolder};
use appview_core::sync::Scope;
use appview_core::syntax::Did;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use fixtures::recording;
use serde_json::{Value as Json, json};

use support::{Scenario, collection, listed, repo};

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

/// A proof of a record of the recording, as a CAR, and who signed it.
fn proof(uri: &str) -> (Vec<u8>, String) {
    let did: Did = repo(uri).parse().unwrap();
    let identities = Identities::from_json(&serde_json::from_str(recording::PLC_JSON).unwrap()).unwrap();
    let folder = Scenario::new();
    let offline = Offline::new(identities, Some(RepoFolder::new(folder.path("repos"))), Scope::default());
    let path = uri.splitn(4, '/').nth(3).unwrap().parse().unwrap();
    let key = offline.identity(&did).unwrap().key().to_string();
    (offline.record_proof(&did, &path).unwrap().unwrap(), key)
}

#[test]
fn a_proof_is_checked_by_a_key_and_nothing_else() {
    let scenario = Scenario::new();
    let uri = first("receipt");
    let (car, key) = proof(&uri);
    let elsewhere = Scenario::empty();
    fs::write(elsewhere.path("proof.car"), &car).unwrap();
    let answer =
        json!({"proof": {"car": {"$bytes": STANDARD_NO_PAD.encode(&car)}, "key": "did:key:zAnyone"}});
    fs::write(elsewhere.path("proof.json"), answer.to_string()).unwrap();
    fs::copy(scenario.path("plc.json"), elsewhere.path("plc.json")).unwrap();
    let by_key = elsewhere.succeed(&["verify", "record", &uri, "--proof", "proof.car", "--key", &key]);
    insta::assert_snapshot!("a_record_by_its_proof", by_key);
    for (file, by) in [("proof.json", ["--key", &key]), ("proof.car", ["--identities", "plc.json"])] {
        let told = elsewhere.succeed(&["verify", "record", &uri, "--proof", file, by[0], by[1]]);
        assert_eq!(told, by_key, "{file} {by:?}");
    }
    let told =
        elsewhere.succeed(&["verify", "record", &uri, "--proof", "proof.car", "--key", &key, "--json"]);
    let told: Json = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["ok"], &told["cid"]), (&json!(true), &json!(listed()[&uri].cid)));
    assert_eq!(told["body"]["$type"], "dev.cocore.compute.receipt");
}

#[test]
fn a_proof_that_proves_nothing_or_something_else_says_so() {
    let uri = first("receipt");
    let (car, key) = proof(&uri);
    let (_, another) = listed().into_keys().map(|uri| proof(&uri)).find(|(_, other)| *other != key).unwrap();
    let elsewhere = Scenario::empty();
    fs::write(elsewhere.path("proof.car"), &car).unwrap();
    let mut flipped = car.clone();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    fs::write(elsewhere.path("flipped.car"), flipped).unwrap();
    let of = |uri: &str, file: &str, key: &str| {
        let output = elsewhere.run(&["verify", "record", uri, "--proof", file, "--key", key]);
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    for (file, key) in [("proof.car", &another), ("flipped.car", &key)] {
        let (code, told) = of(&uri, file, key);
        assert!(
            code == 3 && told.starts_with("record is NOT proven\n") && told.contains("ERROR"),
            "{file}: {told}"
        );
    }
    // The same proof shows that nothing is right behind the record.
    let (code, told) = of(&format!("{uri}2"), "proof.car", &key);
    assert!(code == 4 && told.starts_with("record is NOT there: "), "{code}: {told}");
    fs::write(elsewhere.path("without.json"), "{\"record\": {}}").unwrap();
    let told = elsewhere.fail(1, &["verify", "record", &uri, "--proof", "without.json", "--key", &key]);
    assert_eq!(told, "appviewd: without.json is an answer without a proof; ask getRecord with proof=true\n");
}
