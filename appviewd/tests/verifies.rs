//! Receipts and settlements are judged from the command line: by an index, or by a file and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::fs;

use appview_core::source::replay::{Identities, Offline, RepoFolder};
use appview_core::sync::Scope;
use appview_core::syntax::Did;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use fixtures::seed::Seed;
use fixtures::{KeyKind, SigningKey, recording, value};
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
            assert!(String::from_utf8(output.stderr).unwrap().contains(" records, 0 proofs, 0 documents\n"));
            // Somewhere else, where there is no index.
            let elsewhere = Scenario::empty();
            fs::copy(scenario.path(file), elsewhere.path(file)).unwrap();
            let by_file = elsewhere.succeed(&verify(kind, &uri, &["--json", "--bundle", file]));
            let by_file: Json = serde_json::from_str(&by_file).unwrap();
            // All that it says beside is that the file alone vouches for the records.
            assert!(by_file["judged"].as_array().unwrap().iter().all(|of| of["footing"] == "claimed"));
            assert!(json["judged"].as_array().unwrap().iter().all(|of| of["footing"] == "proven"));
            assert_eq!(without_footing(by_file), without_footing(json.clone()), "{file}");
            let tree = elsewhere.succeed(&verify(kind, &uri, &["--bundle", file]));
            let word = format!("that the records stand in their repositories is the word of {file} alone");
            assert!(tree.contains(&word), "{tree}");
        }
        let printed = scenario.succeed(&["bundle", &uri, "--offline"]);
        assert_eq!(printed, fs::read_to_string(scenario.path("bundle.json")).unwrap());
    }
}

fn without_footing(mut verdict: Json) -> Json {
    verdict["rules"]["checks"].as_array_mut().unwrap().retain(|check| check["rule"] != "footing");
    verdict["findings"].as_array_mut().unwrap().retain(|finding| finding["code"] != "x-record-unproven");
    for judged in verdict["judged"].as_array_mut().unwrap() {
        judged.as_object_mut().unwrap().remove("footing");
    }
    verdict
}

const BROKER: &str = "did:web:advisor.cocore.dev";

fn document(key: &SigningKey) -> Json {
    let point = key.public_uncompressed();
    let [x, y] = [&point[1..33], &point[33..]].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate));
    json!({"id": BROKER, "verificationMethod": [{"publicKeyJwk": {"kty": "EC", "crv": "P-256", "x": x, "y": y}}]})
}

/// Signs a record again, by another key.
fn sign(record: &mut Json, member: &str, key: &SigningKey) {
    let body = record["body"].as_object_mut().unwrap();
    let framing = body.remove("$type").unwrap();
    body.remove(member).unwrap();
    let message = value::canonical_json(&Json::Object(body.clone()));
    body.insert(member.to_owned(), STANDARD.encode(key.sign_der(message.as_bytes())).into());
    body.insert("$type".to_owned(), framing);
    record["cid"] = value::cid_of(&value::encode(&value::from_json(&record["body"]))).to_string().into();
}

/// A bundle in which one key has signed all: the attestation, the receipt, and what the network's broker would have witnessed.
fn forged(bundle: &mut Json, key: &SigningKey) {
    let mut records: Vec<Json> = bundle["records"].as_array().unwrap().clone();
    let of = |records: &[Json], kind: &str| {
        let nsid = format!("dev.cocore.compute.{kind}");
        records.iter().position(|record| collection(record["uri"].as_str().unwrap()) == nsid).unwrap()
    };
    let public = STANDARD.encode(&key.public_uncompressed()[1..]);
    let (attestation, receipt) = (of(&records, "attestation"), of(&records, "receipt"));
    let provider = of(&records, "provider");
    records[provider]["body"]["attestationPubKey"] = public.as_str().into();
    let body = value::encode(&value::from_json(&records[provider]["body"]));
    records[provider]["cid"] = value::cid_of(&body).to_string().into();
    records[attestation]["body"]["publicKey"] = public.into();
    sign(&mut records[attestation], "selfSignature", key);
    let cid = records[attestation]["cid"].clone();
    records[receipt]["body"]["attestation"]["cid"] = cid;
    sign(&mut records[receipt], "enclaveSignature", key);
    let body = &mut records[receipt]["body"];
    let mut witness = json!({
        "authority": BROKER, "attestation": body["attestation"]["uri"], "jobCid": body["job"]["cid"],
        "jobUri": body["job"]["uri"], "machineId": "m", "nonce": "0123456789abcdef", "requester": body["requester"],
    });
    let sig = STANDARD.encode(key.sign_der(value::canonical_json(&witness).as_bytes()));
    let members = witness.as_object_mut().unwrap();
    members.retain(|member, _| ["authority", "machineId", "nonce"].contains(&member.as_str()));
    members.insert("sig".to_owned(), sig.into());
    body["brokerageCountersignature"] = witness;
    let body = value::encode(&value::from_json(body));
    records[receipt]["cid"] = value::cid_of(&body).to_string().into();
    bundle["records"] = records.into();
    bundle["documents"] = json!({BROKER: document(key)});
}

#[test]
fn a_forged_file_is_not_confidential_whatever_documents_are_in_it() {
    let scenario = Scenario::played();
    let uri = first("receipt");
    let mut bundle: Json = serde_json::from_str(&scenario.succeed(&["bundle", &uri, "--offline"])).unwrap();
    let mut seed = Seed::new(3);
    let [forger, broker] = [(); 2].map(|()| SigningKey::generate(KeyKind::P256, &mut seed));
    forged(&mut bundle, &forger);
    fs::write(scenario.path("forged.json"), bundle.to_string()).unwrap();
    fs::write(scenario.path("forger.json"), document(&forger).to_string()).unwrap();
    fs::write(scenario.path("broker.json"), document(&broker).to_string()).unwrap();
    let judge = |more: &[&str]| {
        let json =
            verify("receipt", &uri, &[&["--bundle", "forged.json", "--json"], more].concat()).join(" ");
        let output = scenario.run(&json.split(' ').collect::<Vec<_>>());
        let verdict: Json = serde_json::from_slice(&output.stdout).unwrap();
        let checks = verdict["rules"]["checks"].as_array().unwrap();
        let witness = checks.iter().find(|check| check["check"] == "countersignature").unwrap();
        (output.status.code().unwrap(), verdict["confidential"].clone(), witness["outcome"].clone())
    };
    for strict in [&[][..], &["--strict"]] {
        let code = if strict.is_empty() { 5 } else { 3 };
        assert_eq!(judge(strict), (code, json!(false), json!("undecided")));
    }
    assert_eq!(judge(&["--document", "broker.json"]), (3, json!(false), json!("failed")));
    // The forger's own key would be good, were it the broker's: nothing else stood in the way.
    assert_eq!(judge(&["--document", "forger.json"]), (0, json!(true), json!("passed")));
    let tree = scenario.run(&verify("receipt", &uri, &["--bundle", "forged.json"]));
    let tree = String::from_utf8(tree.stdout).unwrap();
    for line in [
        "receipt can NOT be judged by what is at hand: self-attested, not confidential\n",
        "that the records stand in their repositories is the word of forged.json alone\n",
        "its document is the word of a file alone",
    ] {
        assert!(tree.contains(line), "{line} in\n{tree}");
    }
    fs::write(scenario.path("keyless.json"), json!({"id": BROKER}).to_string()).unwrap();
    for (file, why) in [
        ("keyless.json", "expected a P-256 key"),
        ("no-such-file", "No such file"),
        ("forged.json", "whose id is a did"),
    ] {
        let output = scenario.run(&verify("receipt", &uri, &["--document", file]));
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && told.contains(why), "{told}");
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
