#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

use std::fs;
use std::path::Path;

use serde_json::{Value as Json, json};

use super::account::*;
use super::compute::*;
use super::*;
use crate::block::Cid;
use crate::block::json::json_to_cbor;
use crate::syntax::Tid;

/// Reads a block through its collection's view and writes it again, as JSON and as a block.
fn reread(collection: Collection, block: &[u8]) -> Result<(Json, Vec<u8>), RecordError> {
    fn through<T: TypedRecord>(block: &[u8]) -> Result<(Json, Vec<u8>), RecordError> {
        let record = T::from_block(block)?;
        Ok((serde_json::to_value(&record).unwrap(), serde_ipld_dagcbor::to_vec(&record).unwrap()))
    }
    match collection {
        Collection::Friend => through::<Friend>(block),
        Collection::Profile => through::<Profile>(block),
        Collection::TokenGrant => through::<TokenGrant>(block),
        Collection::TokenPatronage => through::<TokenPatronage>(block),
        Collection::Attestation => through::<Attestation>(block),
        Collection::Dispute => through::<Dispute>(block),
        Collection::ExchangeAttestation => through::<ExchangeAttestation>(block),
        Collection::ExchangePolicy => through::<ExchangePolicy>(block),
        Collection::Job => through::<Job>(block),
        Collection::PaymentAuthorization => through::<PaymentAuthorization>(block),
        Collection::Provider => through::<Provider>(block),
        Collection::Receipt => through::<Receipt>(block),
        Collection::Settlement => through::<Settlement>(block),
        Collection::TermsAcceptance => through::<TermsAcceptance>(block),
    }
}

fn document(id: &str) -> Json {
    if id == "com.atproto.repo.strongRef" {
        return json!({"id": id, "defs": {"main": {"type": "object", "properties": {
            "uri": {"type": "string", "format": "at-uri"}, "cid": {"type": "string", "format": "cid"},
        }}}});
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("lexicons").join(id.replace('.', "/") + ".json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A valid value with every member its schema knows.
fn full(document_id: &str, schema: &Json) -> Json {
    match schema["type"].as_str().unwrap() {
        "boolean" => json!(true),
        "integer" => schema.get("minimum").cloned().unwrap_or(json!(7)),
        "bytes" => json!({"$bytes": "AQID"}),
        "blob" => json!({
            "$type": "blob", "ref": {"$link": Cid::of(b"").to_string()}, "mimeType": schema["accept"][0], "size": 1,
        }),
        "array" => json!([full(document_id, &schema["items"])]),
        "object" => match schema["properties"].as_object() {
            Some(members) => {
                members.iter().map(|(name, member)| (name.clone(), full(document_id, member))).collect()
            }
            // Nothing is known about its members, so it has some of every kind.
            None => {
                json!({"a": [1, true, null, "x"], "b": {"$bytes": "AQID"}, "c": {"$link": Cid::of(b"").to_string()}})
            }
        },
        "ref" => {
            let (id, name) = schema["ref"]
                .as_str()
                .unwrap()
                .split_once('#')
                .unwrap_or((schema["ref"].as_str().unwrap(), "main"));
            let id = if id.is_empty() { document_id } else { id };
            full(id, &document(id)["defs"][name])
        }
        "string" => match schema["format"].as_str() {
            Some("did") => json!("did:plc:abc"),
            Some("at-uri") => json!("at://did:plc:abc/a.b.c/x"),
            Some("cid") => json!(Cid::of(b"").to_string()),
            Some("datetime") => json!("2026-01-01T00:00:00Z"),
            Some("uri") => json!("https://example.com"),
            None => json!("a".repeat(schema["minLength"].as_u64().unwrap_or(1).try_into().unwrap())),
            Some(other) => panic!("no example of {other}"),
        },
        other => panic!("no example of {other}"),
    }
}

fn full_record(collection: Collection) -> Json {
    let id = collection.nsid();
    let mut record = full(id, &document(id)["defs"]["main"]["record"]);
    record["$type"] = json!(id);
    record
}

fn valid_key(collection: Collection) -> &'static str {
    if collection == Collection::Profile { "self" } else { "3jzfcijpj2z2a" }
}

/// All values that differ from `json` in one place: a member gone, or a value replaced.
fn mutants(json: &Json) -> Vec<Json> {
    let replacements = [
        json!(null),
        json!(true),
        json!(-1),
        json!(""),
        json!("?"),
        json!([]),
        json!([1]),
        json!({}),
        json!({"$bytes": ""}),
        json!({"$link": Cid::of(b"").to_string()}),
    ];
    let mut mutants: Vec<Json> = replacements.into_iter().filter(|other| other != json).collect();
    match json {
        // A link or bytes in JSON's clothes are one value.
        Json::Object(members) if members.keys().any(|name| name == "$link" || name == "$bytes") => {}
        Json::Object(members) => {
            for (name, member) in members {
                let mut without = members.clone();
                without.remove(name);
                mutants.push(Json::Object(without));
                for mutant in self::mutants(member) {
                    let mut with = members.clone();
                    with.insert(name.clone(), mutant);
                    mutants.push(Json::Object(with));
                }
            }
        }
        Json::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                for mutant in self::mutants(item) {
                    let mut with = items.clone();
                    with[index] = mutant;
                    mutants.push(Json::Array(with));
                }
            }
        }
        _ => {}
    }
    mutants
}

#[test]
fn a_record_beyond_the_limit_is_kept_and_quarantined() {
    let large = Value::Map(crate::block::Map::from_entries(vec![
        ("$type", Value::Text("dev.cocore.compute.unheard")),
        ("bytes", Value::Bytes(&[0; crate::limits::RECORD_BYTES])),
    ]));
    let block = crate::block::cbor::encode(&large);
    let judgement = Catalog::builtin().unwrap().judge_block(
        "dev.cocore.compute.unheard",
        "self",
        &block,
        Reading::Network,
    );
    assert_eq!(judgement.verdict, Verdict::Quarantined);
    assert!(judgement.findings[0].message.contains("expected at most 1000000"), "{:?}", judgement.findings);
}

#[test]
fn views_carry_every_member_their_lexicons_name() {
    let catalog = Catalog::builtin().unwrap();
    for collection in Collection::ALL {
        let record = full_record(*collection);
        let block = json_to_cbor(&record).unwrap();
        let judgement =
            catalog.judge_block(collection.nsid(), valid_key(*collection), &block, Reading::Strict);
        assert_eq!(judgement, Judgement::default(), "{collection}");
        let (json, again) = reread(*collection, &block).unwrap();
        assert_eq!(json, record);
        assert_eq!(again, block, "{collection}");
    }
}

#[test]
fn every_record_that_is_not_quarantined_has_a_view() {
    let catalog = Catalog::builtin().unwrap();
    let (mut readable, mut quarantined) = (0, 0);
    for collection in Collection::ALL {
        for mutant in mutants(&full_record(*collection)) {
            // Some mutants are not of the data model, e.g. a blob without its link.
            let Ok(block) = json_to_cbor(&mutant) else {
                continue;
            };
            let judgement =
                catalog.judge_block(collection.nsid(), valid_key(*collection), &block, Reading::Network);
            if judgement.verdict == Verdict::Quarantined {
                quarantined += 1;
                continue;
            }
            readable += 1;
            if let Err(error) = reread(*collection, &block) {
                panic!("{mutant}\n{judgement:?}\n{error}");
            }
        }
    }
    assert!(readable > 500 && quarantined > 500, "{readable} {quarantined}");
}

#[test]
fn every_recorded_record_has_a_view() {
    let text =
        fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/pds-scenario-a/oracle.json")).unwrap();
    let oracle: Json = serde_json::from_slice(&text).unwrap();
    let mut read = 0;
    for record in oracle["records"].as_array().unwrap() {
        let value = &record["value"];
        let Some(collection) = Collection::from_nsid(value["$type"].as_str().unwrap()) else {
            continue;
        };
        let block = json_to_cbor(value).unwrap();
        assert_eq!(Cid::of(&block).to_string(), record["cid"].as_str().unwrap());
        let (json, again) = reread(collection, &block).unwrap();
        // Producers that write bytes as text get bytes back: the only difference there may be.
        if again == block {
            assert_eq!(json_to_cbor(&json).unwrap(), block);
        }
        read += 1;
    }
    assert_eq!(read, oracle["counts"]["cocoreRecords"].as_u64().unwrap());
}

#[test]
fn a_record_of_another_type_or_none_is_refused() {
    let mut record = full_record(Collection::Friend);
    let mut other = record.clone();
    other["$type"] = json!("dev.cocore.compute.job");
    let error = Friend::from_block(&json_to_cbor(&other).unwrap()).unwrap_err();
    assert!(error.to_string().starts_with("expected a record of dev.cocore.account.friend: "), "{error}");
    record.as_object_mut().unwrap().remove("$type");
    assert!(Friend::from_block(&json_to_cbor(&record).unwrap()).is_err());
    assert!(Friend::from_block(&[0xff]).is_err());
}

#[test]
fn members_no_lexicon_names_are_ignored() {
    let mut record = full_record(Collection::Friend);
    record["extra"] =
        json!([{"$link": Cid::of(b"").to_string()}, {"$bytes": "AQID"}, {"deep": {"er": null}}]);
    assert!(Friend::from_block(&json_to_cbor(&record).unwrap()).is_ok());
}

fn moment_of(nsid: &str, rkey: &str, json: serde_json::Value) -> i64 {
    let block = json_to_cbor(&json).unwrap();
    let value = decode(&block).unwrap();
    moment(nsid, rkey, value.as_map())
}

#[test]
fn when_a_record_was_made_is_told_by_its_key_then_by_itself() {
    let job = Collection::Job.nsid();
    let created = serde_json::json!({"createdAt": "1970-01-01T00:00:01Z"});
    assert_eq!(moment_of(job, "3jzfcijpj2z2a", created.clone()), 1_688_137_381_887_007);
    assert_eq!(moment_of(job, "self", created), 1_000_000);
    let settled = serde_json::json!({"createdAt": "soon", "settledAt": "1970-01-01T00:00:02Z"});
    assert_eq!(moment_of(job, "self", settled), 2_000_000);
    assert_eq!(moment_of(job, "self", serde_json::json!({})), 0);
    assert_eq!(moment(job, "self", None), 0);
}

#[test]
fn when_a_receipt_was_made_is_when_its_work_was_completed() {
    let receipt = Collection::Receipt.nsid();
    let completed =
        serde_json::json!({"completedAt": "1970-01-01T00:00:02Z", "createdAt": "1970-01-01T00:00:01Z"});
    assert_eq!(moment_of(receipt, "3jzfcijpj2z2a", completed.clone()), 2_000_000);
    assert_eq!(moment_of(Collection::Job.nsid(), "self", completed), 1_000_000);
    let unreadable = serde_json::json!({"completedAt": "soon"});
    assert_eq!(moment_of(receipt, "3jzfcijpj2z2a", unreadable), 1_688_137_381_887_007);
}

#[test]
fn a_moment_is_within_what_a_tid_can_tell() {
    let receipt = Collection::Receipt.nsid();
    for (text, expected) in
        [("1969-12-31T23:59:59Z", 0), ("9999-12-31T23:59:59Z", Tid::LAST_MICROS.cast_signed())]
    {
        assert_eq!(moment_of(receipt, "self", serde_json::json!({"completedAt": text})), expected);
    }
}
