//! What the fuzzer is started from, and thousands of changes of it, keep the laws that the fuzz targets state.
//!
//! The corpus under `fuzz/corpus` is what the fixtures make of it: after a change of either, run this test once with
//! `APPVIEW_WRITE_CORPUS` set and commit the result. Inputs that once broke a law are kept beside it as `found-…`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../fuzz/src/lib.rs"]
#[allow(missing_docs, unreachable_pub, dead_code, reason = "a crate of its own, included")]
mod targets;

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use appview_core::trust::app_attest::verify_app_attest;
use appview_core::trust::assertion::verify_assertion;
use appview_core::trust::mda::verify_device_chain;
use appview_core::trust::{self, ChainError};
use fixtures::forge::Quirk;
use fixtures::seed::Seed;
use fixtures::{Draft, Envelope, Ipld, KeyKind, World, Write, car, proof, records, value};
use support::{friend, post, profile, rename, unfriend};

/// Accepts any bytes, and panics where a law is broken.
type Law = fn(&[u8]);

const TARGETS: [(&str, Law); 7] = [
    ("frame", targets::frame),
    ("cbor", targets::cbor),
    ("car", targets::car),
    ("mst", targets::mst),
    ("commit", targets::commit),
    ("canonical", targets::canonical),
    ("evidence", targets::evidence),
];

/// Mutations of each seed.
const MUTATIONS: u64 = 300;

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

/// The seeds of each target, by name.
fn seeds() -> BTreeMap<&'static str, Vec<Vec<u8>>> {
    let mut world = World::new(1);
    let account = world.create_account(KeyKind::K256);
    let mut frames = world.genesis_frames(&account);
    let (mut blocks, mut files, mut trees, mut commits) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    files.push(world.car(&account));
    let stories: [Vec<Write>; 5] = [
        vec![profile("Ada"), post("a")],
        (0..24).map(|number| friend(&format!("f{number}"))).collect(),
        vec![rename("Grace"), unfriend("f3"), friend("x")],
        (4..20).map(|number| unfriend(&format!("f{number}"))).collect(),
        vec![Write::delete(records::POST, "a"), post("b")],
    ];
    for writes in stories {
        let olds: Vec<_> =
            writes.iter().filter_map(|write| world.repo(&account).tree().get(&write.path())).collect();
        let before = world.head(&account).data;
        let draft = world.draft(&account, writes);
        let old_blocks = olds.iter().map(|cid| (*cid, world.block(cid).unwrap().to_vec())).collect();
        commits.push(story(&draft, &before, old_blocks));
        blocks.push(draft.sign().1);
        blocks.extend(draft.blocks.iter().map(|(_, block)| block.clone()).take(4));
        files.push(draft.car());
        trees.push(tree(&world, &account));
        frames.push(draft.frame());
    }
    files.truncate(3);
    files.push(car::write(&[], []));
    let envelope = Envelope::decode(&frames[4].bytes);
    for quirk in [Quirk::UnsortedKeys, Quirk::LongIntegers, Quirk::IndefiniteLengths, Quirk::DuplicateKeys] {
        frames.push(envelope.frame_with(quirk));
    }
    frames.extend([world.account(&account, false, Some("takendown")), world.unknown_type()]);
    frames.extend([world.info("OutdatedCursor"), world.error("FutureCursor")]);
    let provider = records::provider(&records::Machine::new(1), world.now_micros());
    let odd = Ipld::List(vec![Ipld::Null, Ipld::Bool(true), Ipld::Integer(-1), Ipld::Bytes(vec![0, 255])]);
    blocks.extend(
        [provider, odd, Ipld::Integer(i128::from(i64::MIN)), Ipld::Float(0.5)]
            .map(|data| value::encode(&data)),
    );
    trees.push(targets::write_blocks(&fixtures::forge::left_chain(5).into_iter().rev().collect::<Vec<_>>()));
    let frames = frames.into_iter().map(|frame| frame.bytes).collect();
    let mut texts: Vec<Vec<u8>> = blocks.iter().rev().take(6).cloned().collect();
    let json = [
        r#"{"b": {"10": 1, "9": [-9007199254740991, "\u00e9\ud83e\uddfe\n\/"], "": null}, "$type": true}"#,
        r#"[1.0, -0, 1e3, {"a": 1, "a": 2}]"#,
    ];
    texts.extend(json.map(|text| text.as_bytes().to_vec()));
    BTreeMap::from([
        ("frame", frames),
        ("cbor", blocks),
        ("car", files),
        ("mst", trees),
        ("commit", commits),
        ("canonical", texts),
        ("evidence", evidence()),
    ])
}

/// A root as a certificate and as the one certificate of an App Attest object, an assertion, a signature, a document.
fn evidence() -> Vec<Vec<u8>> {
    let apple = appview_core::trust::Apple::production();
    let bytes = |bytes: &[u8]| Ipld::Bytes(bytes.to_vec());
    let map = |members: Vec<(&str, Ipld)>| {
        Ipld::Map(members.into_iter().map(|(key, item)| (key.to_owned(), item)).collect())
    };
    let auth_data =
        [apple.app.hash().as_slice(), &[0x40, 0, 0, 0, 0], b"appattest\0\0\0\0\0\0\0", &[0, 0]].concat();
    let signature = [&[0x30, 0x45, 0x02, 0x21, 0x00, 0xff][..], &[7; 31], &[0x02, 0x20], &[9; 32]].concat();
    let object = map(vec![
        ("fmt", Ipld::String("apple-appattest".to_owned())),
        ("attStmt", map(vec![("x5c", Ipld::List(vec![bytes(&apple.app_attest_root)]))])),
        ("authData", bytes(&auth_data)),
    ]);
    let assertion = map(vec![("signature", bytes(&signature)), ("authenticatorData", bytes(&auth_data))]);
    let document = r##"{"id": "did:web:a.example", "verificationMethod": [
        {"publicKeyJwk": {"kty": "EC", "crv": "P-256", "x": "HLHXCWfduWW4t3ysOgljbvK1rzaCXv-hnh8LqUgs4Lg",
            "y": "dnrvfUL8LboAj_fln0gr0mnmjRQ6A4YyXRfvW10W94k"}},
        {"type": "Multikey", "publicKeyMultibase": "zDnaeUKTWUXc1HDpGfKbEK31nKLN19yX5aunFd7VK1CUMeyJu"}]}"##;
    vec![
        apple.mda_root.to_vec(),
        value::encode(&object),
        value::encode(&assertion),
        signature,
        document.as_bytes().to_vec(),
    ]
}

/// A whole tree in the form of [`targets::mst`], children before their parents.
fn tree(world: &World, account: &str) -> Vec<u8> {
    let (_, nodes) = fixtures::mst::root(&world.records(account));
    let nodes: Vec<_> = nodes.into_iter().rev().map(|(cid, block)| (cid, block.to_vec())).collect();
    targets::write_blocks(&nodes)
}

/// A commit in the form of [`targets::Story`].
fn story(draft: &Draft, before: &fixtures::Cid, old: Vec<(fixtures::Cid, Vec<u8>)>) -> Vec<u8> {
    let Ipld::Link(root) = draft.object["data"] else { panic!("data is a link") };
    let mut blocks = [old, draft.blocks.clone()].concat();
    // Nodes come root first: turned round, every node is known before its parent names it.
    blocks.reverse();
    let at = blocks.iter().position(|(cid, _)| *cid == root).unwrap();
    let root = blocks.remove(at);
    blocks.push(root);
    let number = |cid: Option<fixtures::Cid>| {
        let at = blocks.iter().position(|(own, _)| Some(*own) == cid);
        at.map_or(255, |at| u8::try_from(at).unwrap())
    };
    let ops = proof::ops_of(&draft.body);
    let mut out = before.hash().digest().to_vec();
    out.push(u8::try_from(ops.len().min(16)).unwrap());
    for op in ops.iter().take(16) {
        out.push(match (op.cid, op.prev) {
            (Some(_), None) => 0,
            (Some(_), Some(_)) => 1,
            (None, _) => 2,
        });
        out.push(u8::try_from(op.path.len()).unwrap());
        out.extend(op.path.as_bytes());
        out.extend([number(op.cid), number(op.prev)]);
    }
    out.extend(targets::write_blocks(&blocks));
    out
}

#[test]
fn the_corpus_is_what_the_fixtures_make_and_stays_small() {
    let write = std::env::var_os("APPVIEW_WRITE_CORPUS").is_some();
    let mut bytes = 0;
    for (target, seeds) in seeds() {
        for (number, seed) in seeds.iter().enumerate() {
            let path = folder(target).join(format!("seed-{number:02}"));
            if write {
                fs::create_dir_all(folder(target)).unwrap();
                fs::write(&path, seed).unwrap();
            }
            assert!(fs::read(&path).unwrap() == *seed, "{} is out of date", path.display());
            bytes += seed.len();
        }
    }
    assert!(bytes < 200_000, "{bytes} bytes");
}

#[test]
fn the_corpus_and_its_mutations_keep_the_laws() {
    for (target, law) in TARGETS {
        let mut inputs: Vec<PathBuf> =
            fs::read_dir(folder(target)).unwrap().map(|entry| entry.unwrap().path()).collect();
        inputs.sort();
        assert!(inputs.len() > 3, "{target} has no corpus");
        let inputs: Vec<Vec<u8>> = inputs.iter().map(|path| fs::read(path).unwrap()).collect();
        let mut dice = Seed::new(1);
        for input in &inputs {
            law(input);
            for _ in 0..MUTATIONS {
                law(&mutated(input, &inputs, &mut dice));
            }
        }
    }
}

/// A few changes of the kinds that find faults in readers of bytes.
fn mutated(input: &[u8], others: &[Vec<u8>], dice: &mut Seed) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..=dice.below(3) {
        let at = dice.below(bytes.len() as u64 + 1) as usize;
        let other = &others[dice.below(others.len() as u64) as usize];
        let from = dice.below(other.len() as u64 + 1) as usize;
        let to = from + dice.below((other.len() - from).min(64) as u64 + 1) as usize;
        match dice.below(6) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            2 if at < bytes.len() => {
                bytes[at] = [0, 1, 0x17, 0x18, 0x7f, 0x80, 0xf6, 0xff][dice.below(8) as usize]
            }
            3 => bytes.truncate(at),
            4 => drop(bytes.splice(at..at, other[from..to].iter().copied())),
            _ => {
                let end = (at + to - from).min(bytes.len());
                drop(bytes.splice(at..end, other[from..to].iter().copied()));
            }
        }
    }
    bytes
}

#[test]
fn every_law_is_reached_by_its_seeds() {
    let seeds = seeds();
    // A tree of the form reads back as the tree that it was made from, so that the laws behind the first check are met.
    for tree in &seeds["mst"] {
        assert_eq!(targets::write_blocks(&targets::blocks(tree)), *tree);
    }
    assert_eq!(seeds["commit"].iter().filter(|story| targets::is_proven(story)).count(), 4);
    // Evidence is read to its end, and refused for what only a key can make.
    let [root, object, assertion, signature, document] = seeds["evidence"].as_slice() else {
        panic!("five kinds of evidence");
    };
    let (apple, now) = (trust::Apple::production(), trust::Instant::from_unix_millis(1_780_000_000_000));
    let (key, _) = trust::Key::from_base64(targets::GENERATOR).unwrap();
    let chain = verify_device_chain(&[root], &apple, now);
    assert_eq!(chain.err(), Some(ChainError::LeafIsCa));
    let object = verify_app_attest(object, &key.id(), &key, &apple, now);
    assert_eq!(object.err(), Some(ChainError::LeafIsCa.into()));
    let assertion = verify_assertion(&key, b"message", assertion, &apple.app);
    assert_eq!(assertion, Err(trust::SignatureFault::Mismatch));
    assert_eq!(trust::Signature::from_der(signature).map(|read| read.1), Ok(trust::Encoding::Strict));
    assert_eq!(trust::DidDocument::parse(document).unwrap().keys().len(), 2);
}
