//! The protocol authors' own cases for keys, signatures, the data model, the tree and proofs of commits.
//!
//! The cases are read from a folder beside the project, see [`shared_folder`]. A manifest names every published file,
//! and how many cases it holds, so that none is left out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use appview_core::block::car::Slice;
use appview_core::block::json::{json_to_cbor, to_json};
use appview_core::block::{Cid, cbor};
use appview_core::repo::mst::{self, EMPTY_ROOT, MstError, Tree};
use appview_core::repo::{PublicKey, SignatureError};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use fixtures::{KeyKind, SigningKey, car, shared_folder};
use serde_json::Value as Json;

/// Every published file and its number of cases. Those of `syntax/` and `lexicon/` have a test binary each.
const MANIFEST: [(&str, usize); 43] = [
    ("crypto/signature-fixtures.json", 6),
    ("crypto/w3c_didkey_K256.json", 5),
    ("crypto/w3c_didkey_P256.json", 1),
    ("data-model/data-model-fixtures.json", 3),
    ("data-model/data-model-invalid.json", 12),
    ("data-model/data-model-valid.json", 5),
    ("firehose/commit-proof-fixtures.json", 6),
    ("lexicon/catalog/permission-set.json", 1),
    ("lexicon/catalog/procedure.json", 1),
    ("lexicon/catalog/query.json", 1),
    ("lexicon/catalog/record.json", 1),
    ("lexicon/catalog/subscription.json", 1),
    ("lexicon/lexicon-invalid.json", 7),
    ("lexicon/lexicon-valid.json", 3),
    ("lexicon/record-data-invalid.json", 50),
    ("lexicon/record-data-valid.json", 3),
    ("mst/common_prefix.json", 13),
    ("mst/example_keys.txt", 156),
    ("mst/key_heights.json", 9),
    ("syntax/atidentifier_syntax_invalid.txt", 22),
    ("syntax/atidentifier_syntax_valid.txt", 11),
    ("syntax/aturi_syntax_invalid.txt", 72),
    ("syntax/aturi_syntax_valid.txt", 23),
    ("syntax/cid_syntax_invalid.txt", 10),
    ("syntax/cid_syntax_valid.txt", 8),
    ("syntax/datetime_parse_invalid.txt", 7),
    ("syntax/datetime_syntax_invalid.txt", 45),
    ("syntax/datetime_syntax_valid.txt", 35),
    ("syntax/did_syntax_invalid.txt", 18),
    ("syntax/did_syntax_valid.txt", 24),
    ("syntax/handle_syntax_invalid.txt", 48),
    ("syntax/handle_syntax_valid.txt", 71),
    ("syntax/language_parse_invalid.txt", 4),
    ("syntax/language_syntax_invalid.txt", 7),
    ("syntax/language_syntax_valid.txt", 18),
    ("syntax/nsid_syntax_invalid.txt", 27),
    ("syntax/nsid_syntax_valid.txt", 25),
    ("syntax/recordkey_syntax_invalid.txt", 11),
    ("syntax/recordkey_syntax_valid.txt", 16),
    ("syntax/tid_syntax_invalid.txt", 9),
    ("syntax/tid_syntax_valid.txt", 4),
    ("syntax/uri_syntax_invalid.txt", 12),
    ("syntax/uri_syntax_valid.txt", 9),
];

#[test]
fn every_published_file_is_in_the_manifest_with_its_number_of_cases() {
    let Some(folder) = shared_folder("interop") else {
        return;
    };
    let mut found = BTreeMap::new();
    list(&folder, &folder, &mut found);
    assert_eq!(found, BTreeMap::from(MANIFEST.map(|(file, cases)| (file.to_owned(), cases))));
}

fn list(root: &Path, folder: &Path, found: &mut BTreeMap<String, usize>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            list(root, &path, found);
        } else if name != "README.md" && name != "LICENSE-CC0" {
            let text = fs::read_to_string(&path).unwrap();
            let cases = match name.ends_with(".json") {
                true => serde_json::from_str::<Json>(&text).unwrap().as_array().map_or(1, Vec::len),
                false => lines(&text).count(),
            };
            found.insert(name, cases);
        }
    }
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

/// The cases of a file, where this machine has them.
fn cases(file: &str) -> Vec<Json> {
    let Some(folder) = shared_folder("interop") else {
        return Vec::new();
    };
    let cases: Vec<Json> = serde_json::from_slice(&fs::read(folder.join(file)).unwrap()).unwrap();
    assert!(!cases.is_empty(), "{file} holds no case");
    cases
}

fn text<'a>(case: &'a Json, member: &str) -> &'a str {
    case[member].as_str().unwrap_or_else(|| panic!("{member} of {case}"))
}

fn texts<'a>(case: &'a Json, member: &str) -> Vec<&'a str> {
    case[member].as_array().unwrap().iter().map(|item| item.as_str().unwrap()).collect()
}

fn base64(case: &Json, member: &str) -> Vec<u8> {
    STANDARD_NO_PAD.decode(text(case, member)).unwrap()
}

#[test]
fn a_signature_is_accepted_in_its_one_form_only() {
    for case in cases("crypto/signature-fixtures.json") {
        let key = PublicKey::from_did_key(text(&case, "publicKeyDid")).unwrap();
        let (suite, multibase) = (text(&case, "didDocSuite"), text(&case, "publicKeyMultibase"));
        assert_eq!(PublicKey::from_verification_method(suite, multibase).unwrap(), key);
        let (message, signature) = (base64(&case, "messageBase64"), base64(&case, "signatureBase64"));
        let expected = match texts(&case, "tags")[..] {
            [] => Ok(()),
            ["high-s"] => Err(SignatureError::HighS),
            ["der-encoded"] => Err(SignatureError::Length { found: signature.len() }),
            _ => panic!("{case}: a tag this test does not know"),
        };
        assert_eq!(expected.is_ok(), case["validSignature"]);
        assert_eq!(key.verify(&message, &signature), expected, "{}", case["comment"]);
    }
}

#[test]
fn a_did_key_names_the_public_half_of_the_published_secret() {
    let of_curve = |file, kind, secret: fn(&Json) -> Vec<u8>| {
        for case in cases(file) {
            let did_key = text(&case, "publicDidKey");
            let secret = SigningKey::from_secret(kind, &secret(&case));
            let key = PublicKey::from_did_key(did_key).unwrap();
            assert_eq!(key.to_string(), did_key);
            assert_eq!(PublicKey::from_multikey(&secret.multikey()).unwrap(), key);
            assert_eq!(key.verify(b"message", &secret.sign(b"message")), Ok(()));
            assert_eq!(key.verify(b"massage", &secret.sign(b"message")), Err(SignatureError::Mismatch));
        }
    };
    of_curve("crypto/w3c_didkey_K256.json", KeyKind::K256, |case| {
        let digits = text(case, "privateKeyBytesHex");
        (0..64).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
    });
    of_curve("crypto/w3c_didkey_P256.json", KeyKind::P256, |case| {
        bs58::decode(text(case, "privateKeyBytesBase58")).into_vec().unwrap()
    });
}

#[test]
fn json_leads_to_the_published_bytes_and_cid_and_back() {
    for case in cases("data-model/data-model-fixtures.json") {
        let (json, block) = (&case["json"], base64(&case, "cbor_base64"));
        assert_eq!(json_to_cbor(json).unwrap(), block);
        assert_eq!(Cid::of(&block).to_string(), text(&case, "cid"));
        assert_eq!(cbor::encode(&cbor::decode(&block).unwrap()), block);
        assert_eq!(serde_json::from_str::<Json>(&to_json(&block).unwrap()).unwrap(), *json);
    }
}

#[test]
fn json_of_the_data_model_is_accepted() {
    for case in cases("data-model/data-model-valid.json") {
        let block = json_to_cbor(&case["json"]).unwrap_or_else(|error| panic!("{}: {error}", case["note"]));
        cbor::decode(&block).unwrap();
    }
}

#[test]
fn json_outside_the_data_model_is_refused() {
    for case in cases("data-model/data-model-invalid.json") {
        assert!(json_to_cbor(&case["json"]).is_err(), "{}", case["note"]);
    }
}

#[test]
fn a_key_stands_at_its_published_height() {
    for case in cases("mst/key_heights.json") {
        assert_eq!(u64::from(mst::key_height(text(&case, "key").as_bytes())), case["height"], "{case}");
    }
}

#[test]
fn keys_share_their_published_prefix() {
    for case in cases("mst/common_prefix.json") {
        let (left, right) = (text(&case, "left"), text(&case, "right"));
        assert_eq!(mst::common_prefix(left.as_bytes(), right.as_bytes()), case["len"], "{case}");
    }
}

#[test]
fn the_published_keys_grow_the_one_tree_that_they_have_in_any_order() {
    let Some(folder) = shared_folder("interop") else {
        return;
    };
    let keys = fs::read_to_string(folder.join("mst/example_keys.txt")).unwrap();
    let keys: Vec<&str> = lines(&keys).collect();
    let value = Cid::of(b"value");
    let (root, nodes) = tree_of(&keys, value);
    let root_cid = theirs_to_ours(&root);
    let mut walked = Vec::new();
    mst::walk::<MstError>(&Slice::parse(&nodes).unwrap(), &root_cid, b"", |key, cid| {
        assert_eq!(cid, value);
        walked.push(String::from_utf8(key.to_vec()).unwrap());
        Ok(())
    })
    .unwrap();
    assert_eq!(walked, keys, "published in order");
    // To undo a deletion is to insert.
    let nothing = car::write(&[], []);
    let nothing = Slice::parse(&nothing).unwrap();
    for step in [1, 5, 29, 155] {
        let mut tree = Tree::new(&nothing, &EMPTY_ROOT).unwrap();
        for number in 0..keys.len() {
            let key = keys[number * step % keys.len()];
            assert_eq!(key[1..2], mst::key_height(key.as_bytes()).to_string(), "a key names its height");
            tree.undo(key.as_bytes(), Some(value), None).unwrap();
        }
        assert_eq!(tree.root(), root_cid);
    }
}

#[test]
fn a_published_commit_inverts_to_the_root_before_it_with_no_more_than_the_published_blocks() {
    for case in cases("firehose/commit-proof-fixtures.json") {
        let name = text(&case, "comment");
        let leaf: Cid = text(&case, "leafValue").parse().unwrap();
        let (adds, dels) = (texts(&case, "adds"), texts(&case, "dels"));
        let before: BTreeSet<&str> = texts(&case, "keys").into_iter().collect();
        let mut after = before.clone();
        after.extend(&adds);
        after.retain(|key| !dels.contains(key));

        let (root_before, _) = tree_of(&Vec::from_iter(before), leaf);
        assert_eq!(root_before.to_string(), text(&case, "rootBeforeCommit"), "{name}");
        let (root_after, nodes) = tree_of(&Vec::from_iter(after.clone()), leaf);
        assert_eq!(root_after.to_string(), text(&case, "rootAfterCommit"), "{name}");

        let published = texts(&case, "blocksInProof");
        let mut nodes = car::read(&nodes).blocks;
        nodes.retain(|(cid, _)| published.contains(&cid.to_string().as_str()));
        assert_eq!(nodes.len(), published.len(), "{name}: every published block is one of the tree's");
        let blocks = car::write(&[root_after], nodes.iter().map(|(cid, block)| (*cid, block.as_slice())));
        let blocks = Slice::parse(&blocks).unwrap();
        let root = theirs_to_ours(&root_after);
        for key in adds.iter().chain(&dels) {
            let there = after.contains(key).then_some(leaf);
            assert_eq!(mst::lookup(&blocks, &root, key.as_bytes()), Ok(there), "{name}: {key}");
        }
        // In either order: the net effects of one commit commute.
        for order in [[&adds, &dels], [&dels, &adds]] {
            let mut tree = Tree::new(&blocks, &root).unwrap();
            for key in order.into_iter().flatten() {
                let there = after.contains(key).then_some(leaf);
                tree.undo(key.as_bytes(), there.is_none().then_some(leaf), there).unwrap();
            }
            assert_eq!(tree.root().to_string(), text(&case, "rootBeforeCommit"), "{name}");
        }
    }
}

/// Root and nodes of a tree, by the tree of the fixtures; the nodes as a CAR.
fn tree_of(keys: &[&str], value: Cid) -> (fixtures::Cid, Vec<u8>) {
    let value = value.to_string().parse().unwrap();
    let records = keys.iter().map(|key| ((*key).to_owned(), value)).collect();
    let (root, nodes) = fixtures::mst::root(&records);
    (root, car::write(&[root], nodes.iter().map(|(cid, block)| (*cid, block.as_ref()))))
}

fn theirs_to_ours(cid: &fixtures::Cid) -> Cid {
    cid.to_string().parse().unwrap()
}
