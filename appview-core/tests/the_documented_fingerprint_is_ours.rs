//! The fingerprints that ARCHITECTURE.md works out are those of an index that holds the records it names.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::path::Path;
use std::sync::Arc;

use appview_core::block::car::Archive;
use appview_core::index::{Index, IndexWriter};
use appview_core::query::Scope as Part;
use appview_core::record::Catalog;
use appview_core::repo::Identity;
use appview_core::sync::verify::verify_repo;
use appview_core::sync::{Change, Scope};
use appview_core::syntax::{Did, Tid};
use fixtures::{KeyKind, SigningKey, car, plc, value};
use serde_json::json;

const PATH: &str = "dev.cocore.account.friend/3jzfcijpj2z2a";
const REV: &str = "3jzfcijpj2z2b";

/// A repository that holds the documented record at the documented key, and nothing else.
fn put(writer: &mut IndexWriter, did: &str) {
    let key = SigningKey::from_secret(KeyKind::K256, &[7; 32]);
    let encoded = |json| value::encode(&value::from_json(&json));
    let link = |block: &[u8]| json!({"$link": value::cid_of(block).to_string()});
    let record = encoded(json!({
        "$type": "dev.cocore.account.friend", "subject": "did:web:boris.example", "createdAt": "2026-01-01T00:00:00.000Z",
    }));
    let bytes = |bytes: &[u8]| value::to_json(&fixtures::Ipld::Bytes(bytes.to_vec()));
    let entry = json!({"k": bytes(PATH.as_bytes()), "p": 0, "t": null, "v": link(&record)});
    let node = encoded(json!({"e": [entry], "l": null}));
    let mut commit = json!({"did": did, "rev": REV, "data": link(&node), "prev": null, "version": 3});
    commit["sig"] = bytes(&key.sign(&encoded(commit.clone())));
    let commit = encoded(commit);
    let blocks = [&commit, &node, &record].map(|block| (value::cid_of(block), block.as_slice()));
    let car = car::write(&[value::cid_of(&commit)], blocks);

    let claims = plc::Claims {
        signing_key: &key,
        rotation_key: &key,
        handle: "someone.example",
        endpoint: "https://pds.example",
    };
    let parsed: Did = did.parse().unwrap();
    let identity = Identity::from_document(&parsed, &plc::document(did, &claims)).unwrap();
    let now = REV.parse::<Tid>().unwrap().micros();
    let archive = Archive::from_bytes(car).unwrap();
    let repo = verify_repo(archive, &identity, Scope::default().as_str(), now).unwrap();
    writer.apply(&[Change::Repo(repo)], &[], 0).unwrap();
}

#[test]
fn the_empty_index_and_the_worked_example_have_the_documented_fingerprints() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ARCHITECTURE.md");
    let document = std::fs::read_to_string(path).unwrap();
    let is_digits = |text: &&str| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let documented: Vec<&str> = document.split('`').filter(is_digits).collect();

    let folder = tempfile::tempdir().unwrap();
    let index = Index::open(folder.path().join("index.db")).unwrap();
    let mut writer = index.writer(Arc::new(Catalog::builtin().unwrap())).unwrap();
    let fingerprint = || index.reader().unwrap().fingerprint(&Part::Whole).unwrap().to_string();
    let mut found = vec![fingerprint()];
    for did in ["did:web:ada.example", "did:web:boris.example"] {
        put(&mut writer, did);
        found.push(fingerprint());
    }
    assert_eq!(found, documented);
}
