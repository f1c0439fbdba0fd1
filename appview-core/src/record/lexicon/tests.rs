#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;
use crate::block::Cid;
use crate::block::json::json_to_cbor;
use crate::record::Collection;

const RKEY: &str = "3jzfcijpj2z2a";

fn judge(collection: &str, rkey: &str, record: &Json) -> Judgement {
    Catalog::builtin().unwrap().judge_block(
        collection,
        rkey,
        &json_to_cbor(record).unwrap(),
        Reading::Network,
    )
}

/// Judges a record of a catalogue with one record type `a.b.c` of these members.
fn judge_by(properties: Json, required: Json, member: (&str, Json), reading: Reading) -> Judgement {
    let document = json!({"lexicon": 1, "id": "a.b.c", "defs": {
        "main": {"type": "record", "key": "any", "record": {
            "type": "object", "required": required, "properties": properties,
        }},
        "one": {"type": "object", "required": ["n"], "properties": {
            "n": {"type": "integer"}, "next": {"type": "ref", "ref": "#one"},
        }},
        "word": {"type": "token"},
    }});
    let mut record = json!({"$type": "a.b.c"});
    record[member.0] = member.1;
    let catalog = Catalog::parse([document.to_string().as_str()]).unwrap();
    catalog.judge_block("a.b.c", "x", &json_to_cbor(&record).unwrap(), reading)
}

fn rules_of(judgement: &Judgement) -> Vec<(&str, &str)> {
    judgement.findings.iter().map(|finding| (finding.path.as_str(), finding.rule.name())).collect()
}

/// The rules a single member `m` of this schema breaks with this value.
fn rules(schema: Json, value: Json) -> Vec<Rule> {
    let judgement = judge_by(json!({"m": schema}), json!([]), ("m", value), Reading::Network);
    assert_eq!(judgement.verdict == Verdict::Valid, judgement.findings.is_empty());
    judgement.findings.into_iter().map(|finding| finding.rule).collect()
}

fn money() -> Json {
    json!({"amount": 5, "currency": "USD"})
}

fn strong_ref() -> Json {
    json!({"uri": "at://did:plc:abc/a.b.c/x", "cid": Cid::of(b"").to_string()})
}

fn receipt() -> Json {
    json!({
        "$type": "dev.cocore.compute.receipt", "job": strong_ref(), "requester": "did:plc:abc", "model": "m",
        "inputCommitment": "a".repeat(64), "outputCommitment": "b".repeat(64), "tokens": {"in": 1, "out": 2},
        "startedAt": "2026-01-01T00:00:00Z", "completedAt": "2026-01-01T00:00:01Z", "price": money(),
        "attestation": strong_ref(), "enclaveSignature": {"$bytes": "AQID"},
    })
}

#[test]
fn the_documents_built_in_are_all_there_are() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("lexicons/dev");
    let mut on_disk = BTreeSet::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                on_disk.insert(fs::read_to_string(path).unwrap());
            }
        }
    }
    let built_in: BTreeSet<_> = builtin::DOCUMENTS.iter().map(|text| (*text).to_owned()).collect();
    assert_eq!(on_disk, built_in);
}

#[test]
fn every_collection_has_a_lexicon_and_every_record_lexicon_is_a_collection() {
    let catalog = Catalog::builtin().unwrap();
    let by_lexicon: BTreeSet<_> = catalog.collections().collect();
    let by_name: BTreeSet<_> = Collection::ALL.iter().map(|collection| collection.nsid()).collect();
    assert_eq!(by_lexicon, by_name);
    assert!(Collection::ALL.is_sorted_by_key(|collection| collection.nsid()));
    for collection in Collection::ALL {
        assert_eq!(Collection::from_nsid(collection.nsid()), Some(*collection));
        assert!(collection.nsid().starts_with(crate::record::NAMESPACE));
    }
}

#[test]
fn our_documents_refer_to_no_document_but_each_other() {
    fn references<'a>(json: &'a Json, found: &mut Vec<&'a str>) {
        match json {
            Json::Object(members) => {
                found.extend(members.get("ref").and_then(Json::as_str));
                members.values().for_each(|member| references(member, found));
            }
            Json::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let documents: Vec<Json> =
        builtin::DOCUMENTS.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    let ids: BTreeSet<_> = documents.iter().map(|document| document["id"].as_str().unwrap()).collect();
    let mut found = Vec::new();
    documents.iter().for_each(|document| references(document, &mut found));
    for reference in found {
        let id = reference.split('#').next().unwrap();
        assert!(id.is_empty() || id == "com.atproto.repo.strongRef" || ids.contains(id), "{reference}");
    }
}

#[test]
fn the_strong_reference_is_the_one_of_the_published_api() {
    let ours = strong_ref();
    let theirs: atrium_api::com::atproto::repo::strong_ref::MainData =
        serde_json::from_value(ours.clone()).unwrap();
    assert_eq!(serde_json::to_value(&theirs).unwrap(), ours);
    for member in ["uri", "cid"] {
        let mut lacking = ours.clone();
        lacking.as_object_mut().unwrap().remove(member);
        let refused =
            serde_json::from_value::<atrium_api::com::atproto::repo::strong_ref::MainData>(lacking.clone());
        assert!(refused.is_err());
        let mut record = receipt();
        record["job"] = lacking;
        let path = format!("job.{member}");
        assert_eq!(
            rules_of(&judge("dev.cocore.compute.receipt", RKEY, &record)),
            [(path.as_str(), "missing")]
        );
    }
}

#[test]
fn the_recorded_network_is_valid_but_for_its_two_letter_currency() {
    fn has_credits(json: &Json) -> bool {
        match json {
            Json::String(text) => text == "CC",
            Json::Array(items) => items.iter().any(has_credits),
            Json::Object(members) => members.values().any(has_credits),
            _ => false,
        }
    }
    let text =
        fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/pds-scenario-a/oracle.json")).unwrap();
    let oracle: Json = serde_json::from_slice(&text).unwrap();
    let catalog = Catalog::builtin().unwrap();
    let (mut valid, mut marked) = (0, 0);
    for record in oracle["records"].as_array().unwrap() {
        let uri: crate::syntax::AtUri = record["uri"].as_str().unwrap().parse().unwrap();
        let (collection, rkey) = (uri.collection().unwrap(), uri.rkey().unwrap());
        if !collection.starts_with(crate::record::NAMESPACE) {
            continue;
        }
        let block = json_to_cbor(&record["value"]).unwrap();
        let judgement = catalog.judge_block(collection, rkey, &block, Reading::Network);
        if has_credits(&record["value"]) {
            marked += 1;
            assert_eq!(judgement.verdict, Verdict::Marked, "{uri}");
            for finding in &judgement.findings {
                assert_eq!(finding.rule, Rule::MinLength, "{uri}: {finding:?}");
                assert_eq!(finding.message, "expected at least 3 bytes, found 2");
                assert!(finding.path.contains("urrenc"), "{uri}: {finding:?}");
            }
        } else {
            valid += 1;
            assert_eq!(judgement, Judgement::default(), "{uri}");
        }
    }
    assert_eq!(valid + marked, oracle["counts"]["cocoreRecords"].as_u64().unwrap());
    assert!(valid > 20 && marked > 20);
}

#[test]
fn a_lack_or_a_wrong_type_quarantines_however_deep_it_lies() {
    let collection = "dev.cocore.compute.receipt";
    assert_eq!(judge(collection, RKEY, &receipt()), Judgement::default());

    let mut record = receipt();
    record.as_object_mut().unwrap().remove("model");
    record["tokens"] = json!({"in": "1"});
    let judgement = judge(collection, RKEY, &record);
    assert_eq!(judgement.verdict, Verdict::Quarantined);
    assert_eq!(
        rules_of(&judgement),
        [("model", "missing"), ("tokens.in", "wrong-type"), ("tokens.out", "missing")]
    );
    assert_eq!(judgement.findings[1].message, "expected an integer, found text");
}

#[test]
fn a_breach_of_limits_only_marks() {
    let mut record = receipt();
    record["inputCommitment"] = json!("a".repeat(63));
    record["completedAt"] = json!("yesterday");
    record["tokens"]["in"] = json!(-1);
    let judgement = judge("dev.cocore.compute.receipt", "self", &record);
    assert_eq!(judgement.verdict, Verdict::Marked);
    let expected = [
        ("", "record-key"),
        ("tokens.in", "minimum"),
        ("completedAt", "format"),
        ("inputCommitment", "min-length"),
    ];
    assert_eq!(rules_of(&judgement), expected);
}

#[test]
fn a_path_names_members_and_items() {
    let record = json!({
        "$type": "dev.cocore.compute.provider", "machineLabel": "m", "chip": "c", "ramGB": 1, "supportedModels": ["m"],
        "priceList": [
            {"modelId": "m", "inputPricePerMTok": 1, "outputPricePerMTok": 1, "currency": "USD"},
            {"modelId": "m", "inputPricePerMTok": 1, "outputPricePerMTok": 1, "currency": "CC"},
        ],
        "encryptionPubKey": "", "attestationPubKey": "", "trustLevel": "t", "createdAt": "2026-01-01T00:00:00Z",
    });
    let judgement = judge("dev.cocore.compute.provider", RKEY, &record);
    assert_eq!(rules_of(&judgement), [("priceList[1].currency", "min-length")]);
}

#[test]
fn a_collection_without_a_lexicon_has_only_its_type_judged() {
    let new = "dev.cocore.compute.somethingNew";
    assert_eq!(judge(new, "x", &json!({"$type": new, "any": [1]})), Judgement::default());
    for record in [json!({}), json!({"$type": "dev.cocore.compute.job"})] {
        let judgement = judge(new, "x", &record);
        assert_eq!(judgement.verdict, Verdict::Quarantined);
        assert_eq!(rules_of(&judgement), [("$type", "record-type")]);
    }
}

#[test]
fn a_block_that_does_not_decode_or_is_no_object_is_quarantined() {
    let catalog = Catalog::builtin().unwrap();
    let of = |block: &[u8]| catalog.judge_block("dev.cocore.compute.job", RKEY, block, Reading::Network);
    assert_eq!(rules_of(&of(&[0xff])), [("", "undecodable")]);
    assert_eq!(rules_of(&of(&[0x80])), [("", "wrong-type")]);
    assert_eq!(of(&[0x80]).verdict, Verdict::Quarantined);
}

#[test]
fn base64_text_is_bytes_on_the_network_and_text_to_the_letter_of_the_protocol() {
    let schema = json!({"type": "bytes", "minLength": 3, "maxLength": 3});
    for text in ["+/8A", "-_8A", "AQID"] {
        assert_eq!(rules(schema.clone(), json!(text)), []);
    }
    assert_eq!(rules(schema.clone(), json!("AQ==")), [Rule::MinLength]);
    assert_eq!(rules(schema.clone(), json!("AQIDBA")), [Rule::MaxLength]);
    assert_eq!(rules(schema.clone(), json!("not base64")), [Rule::Base64]);
    assert_eq!(rules(schema.clone(), json!(7)), [Rule::WrongType]);
    let strict = judge_by(json!({"m": schema}), json!([]), ("m", json!("AQID")), Reading::Strict);
    assert_eq!(rules_of(&strict), [("m", "wrong-type")]);
}

#[test]
fn integers_and_booleans_keep_constants_choices_and_ranges() {
    assert_eq!(rules(json!({"type": "boolean", "const": true}), json!(false)), [Rule::Const]);
    assert_eq!(rules(json!({"type": "integer", "const": 1}), json!(2)), [Rule::Const]);
    assert_eq!(rules(json!({"type": "integer", "enum": [1, 3]}), json!(2)), [Rule::Enum]);
    assert_eq!(rules(json!({"type": "integer", "minimum": 1, "maximum": 3}), json!(0)), [Rule::Minimum]);
    assert_eq!(rules(json!({"type": "integer", "minimum": 1, "maximum": 3}), json!(4)), [Rule::Maximum]);
    assert_eq!(rules(json!({"type": "null"}), json!(null)), []);
    assert_eq!(rules(json!({"type": "null"}), json!(0)), [Rule::WrongType]);
}

#[test]
fn text_is_measured_in_bytes_and_in_characters_as_people_count_them() {
    let family = "👩‍👩‍👦‍👦";
    assert_eq!(rules(json!({"type": "string", "maxGraphemes": 1}), json!(family)), []);
    assert_eq!(rules(json!({"type": "string", "maxGraphemes": 1}), json!("ab")), [Rule::MaxGraphemes]);
    assert_eq!(rules(json!({"type": "string", "minGraphemes": 2}), json!(family)), [Rule::MinGraphemes]);
    assert_eq!(rules(json!({"type": "string", "maxLength": 24}), json!(family)), [Rule::MaxLength]);
    assert_eq!(rules(json!({"type": "string", "maxLength": 25}), json!(family)), []);
    assert_eq!(rules(json!({"type": "string", "const": "a"}), json!("b")), [Rule::Const]);
    assert_eq!(rules(json!({"type": "string", "enum": ["a"]}), json!("b")), [Rule::Enum]);
    assert_eq!(rules(json!({"type": "string", "knownValues": ["a"]}), json!("b")), []);
    assert_eq!(rules(json!({"type": "ref", "ref": "#word"}), json!("a.b.c#word")), []);
    assert_eq!(rules(json!({"type": "ref", "ref": "#word"}), json!("word")), [Rule::Token]);
}

#[test]
fn a_blob_keeps_its_media_types_and_size() {
    let link = json!({"$link": Cid::of(b"").to_string()});
    let blob = |mime_type: &str, size: i64| json!({"$type": "blob", "ref": link, "mimeType": mime_type, "size": size});
    let schema = json!({"type": "blob", "accept": ["image/*", "text/plain"], "maxSize": 10});
    assert_eq!(rules(schema.clone(), blob("image/png", 10)), []);
    assert_eq!(rules(schema.clone(), blob("text/plain", 0)), []);
    assert_eq!(rules(schema.clone(), blob("text/html", 11)), [Rule::Accept, Rule::MaxSize]);
    assert_eq!(rules(schema.clone(), blob("images/png", -1)), [Rule::Accept, Rule::Minimum]);
    assert_eq!(rules(json!({"type": "blob", "accept": ["*/*"]}), blob("a/b", 1)), []);
    assert_eq!(rules(schema, json!({"ref": link})), [Rule::WrongType]);
}

#[test]
fn unions_and_unknown_members_are_objects() {
    let open = json!({"type": "union", "refs": ["#one"]});
    let closed = json!({"type": "union", "refs": ["#one"], "closed": true});
    let other = json!({"$type": "x.y.z"});
    assert_eq!(rules(open.clone(), other.clone()), []);
    assert_eq!(rules(closed.clone(), other), [Rule::ClosedUnion]);
    assert_eq!(rules(closed, json!({"$type": "a.b.c#one"})), [Rule::Missing]);
    assert_eq!(rules(open.clone(), json!({"n": 1})), [Rule::Missing]);
    assert_eq!(rules(open, json!("x")), [Rule::WrongType]);
    assert_eq!(rules(json!({"type": "unknown"}), json!({"$type": "x.y.z"})), []);
    for value in [json!(1), json!([]), json!({"$bytes": "AQID"}), json!({"$link": Cid::of(b"").to_string()})]
    {
        assert_eq!(rules(json!({"type": "unknown"}), value), [Rule::WrongType]);
    }
}

#[test]
fn only_a_nullable_member_may_be_null() {
    assert_eq!(rules(json!({"type": "integer"}), json!(null)), [Rule::WrongType]);
    let document = json!({"lexicon": 1, "id": "a.b.c", "defs": {"main": {"type": "record", "key": "any", "record": {
        "type": "object", "required": ["m"], "nullable": ["m"], "properties": {"m": {"type": "integer"}},
    }}}});
    let catalog = Catalog::parse([document.to_string().as_str()]).unwrap();
    for (record, verdict) in [
        (json!({"$type": "a.b.c", "m": null}), Verdict::Valid),
        (json!({"$type": "a.b.c"}), Verdict::Quarantined),
    ] {
        let block = json_to_cbor(&record).unwrap();
        assert_eq!(catalog.judge_block("a.b.c", "x", &block, Reading::Network).verdict, verdict);
    }
}

#[test]
fn a_schema_that_refers_to_itself_is_followed_as_deep_as_the_value_goes() {
    let schema = json!({"type": "ref", "ref": "#one"});
    let mut value = json!({"n": "no number"});
    for _ in 0..20 {
        value = json!({"n": 1, "next": value});
    }
    assert_eq!(rules(schema, value), [Rule::WrongType]);
}

#[test]
fn findings_are_bounded_and_still_explain_the_verdict() {
    let schema = json!({"type": "array", "items": {"type": "integer", "maximum": 0}});
    let mut items: Vec<Json> = (1..1000).map(Json::from).collect();
    let judgement = judge_by(json!({"m": schema}), json!([]), ("m", json!(items)), Reading::Network);
    assert_eq!((judgement.verdict, judgement.findings.len()), (Verdict::Marked, 16));
    items.push(json!("x"));
    let judgement = judge_by(json!({"m": schema}), json!([]), ("m", json!(items)), Reading::Network);
    assert_eq!((judgement.verdict, judgement.findings.len()), (Verdict::Quarantined, 16));
    assert_eq!(judgement.findings[15].path, "m[999]");
    let endless = "é".repeat(10_000);
    let judgement = judge_by(
        json!({"m": {"type": "string", "enum": ["a"]}}),
        json!([]),
        ("m", json!(endless)),
        Reading::Network,
    );
    assert!(judgement.findings[0].message.len() < 200);
}

#[test]
fn the_set_id_follows_content_and_not_order_or_whitespace() {
    let a = r#"{"lexicon":1,"id":"a.b.c","defs":{"x":{"type":"integer","minimum":1}}}"#;
    let a_respelled = r#"{ "id": "a.b.c", "lexicon": 1, "defs": {"x": {"minimum": 1, "type": "integer"}}}"#;
    let a_changed = a.replace('1', "2").replace("\"lexicon\":2", "\"lexicon\":1");
    let b = r#"{"lexicon":1,"id":"a.b.d","defs":{"x":{"type":"boolean"}}}"#;
    let id =
        |documents: &[&str]| Catalog::parse(documents.iter().copied()).unwrap().schema_set_id().to_owned();
    assert_eq!(id(&[a, b]), id(&[b, a_respelled]));
    assert_ne!(id(&[a, b]), id(&[&a_changed, b]));
    assert_ne!(id(&[a, b]), id(&[a]));
    assert_eq!(id(&[a]).len(), 64);
}

#[test]
fn a_malformed_document_is_refused_with_the_place_and_the_expectation() {
    let document =
        |definition: Json| json!({"lexicon": 1, "id": "a.b.c", "defs": {"x": definition}}).to_string();
    let error = |text: &str| Catalog::parse([text]).unwrap_err().to_string();
    assert!(error("{").starts_with("document 0 is not json: "));
    assert_eq!(error(r#"{"lexicon": 2}"#), "document 0: expected lexicon version 1");
    assert_eq!(error(r#"{"lexicon": 1, "id": "x"}"#), "document 0: expected an nsid as its id");
    assert_eq!(error(r#"{"lexicon": 1, "id": "a.b.c"}"#), "a.b.c/defs: expected this member to be there");
    for (definition, message) in [
        (json!({"type": "strnig"}), "a.b.c/x: expected a type of the lexicon language that can stand here"),
        (json!({"type": "unknown"}), "a.b.c/x: expected a type that can be defined by name"),
        (json!({"type": "query"}), "a.b.c/x: expected a definition of this type to be named main"),
        (json!({"type": "string", "maxLength": -1}), "a.b.c/x/maxLength: expected an integer not below zero"),
        (json!({"type": "string", "format": "url"}), "a.b.c/x/format: expected a string format"),
        (
            json!({"type": "string", "minLength": 2, "maxLength": 1}),
            "a.b.c/x: expected a minimum length not above the maximum length",
        ),
        (
            json!({"type": "array", "items": {"type": "ref", "ref": "#y"}}),
            "a.b.c/x/items: no document defines a.b.c#y",
        ),
        (
            json!({"type": "object", "required": ["y"]}),
            "a.b.c/x: expected required and nullable to name members that properties define",
        ),
    ] {
        assert_eq!(error(&document(definition)), message);
    }
    let record = json!({"lexicon": 1, "id": "a.b.c", "defs": {"main": {"type": "record", "key": "any", "record": {
        "type": "object", "properties": {"m": {"type": "ref", "ref": "x.y.z"}},
    }}}});
    assert_eq!(error(&record.to_string()), "a.b.c/a.b.c/record/properties/m: no document defines x.y.z");
    let twice = document(json!({"type": "integer"}));
    assert!(matches!(Catalog::parse([twice.as_str(), &twice]), Err(LexiconError::Duplicate { .. })));
}

#[test]
fn names_and_codes_are_stable() {
    for verdict in [Verdict::Valid, Verdict::Marked, Verdict::Quarantined] {
        assert_eq!(Verdict::from_code(verdict.code()), Some(verdict));
        assert_eq!(serde_json::to_value(verdict).unwrap(), verdict.name());
    }
    assert_eq!(Verdict::from_code(3), None);
    for rule in Rule::ALL {
        assert_eq!(serde_json::to_value(rule).unwrap(), rule.name());
        assert_ne!(rule.verdict(), Verdict::Valid);
    }
}

/// A value that owns its text, to grow at random.
#[derive(Debug, Clone)]
enum Tree {
    Null,
    Bool(bool),
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
    Link,
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

impl Tree {
    fn value(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(bool) => Value::Bool(*bool),
            Self::Integer(integer) => Value::Integer(*integer),
            Self::Text(text) => Value::Text(text),
            Self::Bytes(bytes) => Value::Bytes(bytes),
            Self::Link => Value::Link(Cid::of(b"")),
            Self::List(items) => Value::List(items.iter().map(Self::value).collect()),
            Self::Map(members) => Value::Map(crate::block::Map::from_entries(
                members.iter().map(|(name, value)| (name.as_str(), value.value())).collect(),
            )),
        }
    }
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        Just(Tree::Null),
        Just(Tree::Link),
        any::<bool>().prop_map(Tree::Bool),
        any::<i64>().prop_map(Tree::Integer),
        "\\PC{0,80}".prop_map(Tree::Text),
        prop::sample::select(vec!["dev.cocore.compute.job", "blob", "AQID"])
            .prop_map(|text| Tree::Text(text.into())),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Tree::Bytes),
    ];
    let name = prop_oneof![
        "\\PC{0,8}",
        prop::sample::select(vec![
            "$type",
            "tools",
            "function",
            "name",
            "priceCeiling",
            "nonce",
            "outputSchema"
        ])
        .prop_map(String::from),
    ];
    leaf.prop_recursive(6, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Tree::List),
            prop::collection::vec((name.clone(), inner), 0..6).prop_map(Tree::Map),
        ]
    })
}

proptest! {
    #[test]
    fn no_value_makes_judging_panic_and_the_verdict_is_that_of_the_worst_finding(tree in tree(), rkey in "\\PC{0,20}") {
        let catalog = Catalog::builtin().unwrap();
        for reading in [Reading::Network, Reading::Strict] {
            let judgement = catalog.judge("dev.cocore.compute.job", &rkey, &tree.value(), reading);
            let worst = judgement.findings.iter().map(|finding| finding.rule.verdict()).max().unwrap_or_default();
            prop_assert_eq!(judgement.verdict, worst);
            prop_assert!(judgement.findings.len() <= 16);
        }
    }
}
