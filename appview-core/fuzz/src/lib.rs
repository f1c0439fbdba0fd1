//! One function for each fuzz target: bytes enter, and a broken law panics.
//!
//! Each law says more than that nothing panics. The functions stand apart from the fuzzer so that a stable compiler can
//! replay the corpus, see `tests/fuzz_corpus_replays.rs` of the core. Two targets take a form of their own instead of
//! the wire's, because no mutation of bytes finds a hash or a signature: see [`blocks`].

use appview_core::block::car::{Archive, Reader, Slice};
use appview_core::block::{Cid, cbor, json};
use appview_core::limits;
use appview_core::repo::mst::{self, EMPTY_ROOT, MstError, Tree};
use appview_core::repo::{Identity, RepoOp};
use appview_core::sync::frame::{Glance, glance};
use appview_core::sync::verify::verify_commit;
use appview_core::sync::{CommitEvent, Event, RecordChange, RepoHead};
use appview_core::syntax::{Did, Tid};
use appview_core::trust::app_attest::verify_app_attest;
use appview_core::trust::assertion::verify_assertion;
use appview_core::trust::mda::verify_device_chain;
use appview_core::trust::{Apple, Canonical, DidDocument, Encoding, Instant, Key, Signature, SignatureFault};
use fixtures::{Ipld, KeyKind, SigningKey, value};

/// Every path in scope starts like this.
pub const NAMESPACE: &str = "dev.cocore.";

/// A message: the glance sees what the full reading sees, and an envelope without deviations is two canonical items.
pub fn frame(input: &[u8]) {
    let Ok((event, deviations)) = Event::decode(input) else {
        // A glance reads less, so it may accept more; it only must return.
        let _ = glance(input, NAMESPACE);
        return;
    };
    let seen = match &event {
        Event::Commit(event) => Glance::Commit {
            seq: event.seq,
            repo: event.repo,
            in_namespace: event.ops.iter().any(|op| op.path().starts_with(NAMESPACE)),
        },
        _ => Glance::Other,
    };
    assert_eq!(glance(input, NAMESPACE), Ok(seen));
    assert!(event.seq().is_none_or(|seq| (1..=limits::SEQ).contains(&seq)));
    let mut strict = cbor::Reader::canonical(input);
    let is_canonical = strict.skip(0).and_then(|()| strict.skip(0)).and_then(|()| strict.end()).is_ok();
    assert_eq!(is_canonical, deviations == 0);
}

/// A block: what is accepted encodes to the same bytes, and leads through JSON to the same bytes.
pub fn cbor(input: &[u8]) {
    let skipped = {
        let mut reader = cbor::Reader::canonical(input);
        reader.skip(0).and_then(|()| reader.end())
    };
    match cbor::decode(input) {
        Ok(value) => {
            assert_eq!(skipped, Ok(()), "what can be read can be passed over");
            assert_eq!(cbor::encode(&value), input);
            let text = json::to_json(input).expect("what can be read can be written as JSON");
            let parsed: serde_json::Value = serde_json::from_str(&text).expect("JSON is written well");
            // JSON reads `$link`, `$bytes` and `$type` as more than names, so not every map comes back.
            if let Ok(block) = json::json_to_cbor(&parsed)
                && !text.contains("\"$")
            {
                assert_eq!(block, input);
            }
        }
        Err(error) => assert_eq!(skipped, Err(error), "and the other way round"),
    }
}

/// A file: three readers accept the same files and see the same blocks, each of which hashes to its CID.
pub fn car(input: &[u8]) {
    let (slice, archive) = (Slice::parse(input), Archive::from_bytes(input.to_vec()));
    let (Ok(slice), Ok(archive)) = (&slice, &archive) else {
        assert!(slice.is_err() && archive.is_err(), "{slice:?} {archive:?}");
        return;
    };
    assert_eq!((slice.roots(), slice.len()), (archive.roots(), archive.len()));
    let mut reader = Reader::new(input).expect("the header was read before");
    assert_eq!(reader.roots(), slice.roots());
    let (mut count, mut buffer) = (0, Vec::new());
    while let Some(block) = reader.next_block().expect("the blocks were read before") {
        count += 1;
        assert!(block.cid.addresses(block.bytes));
        assert!(
            input[usize::try_from(block.offset).expect("it lies in the input")..].starts_with(block.bytes)
        );
        assert_eq!(slice.get(&block.cid), Some(block.bytes));
        assert_eq!(archive.size(&block.cid), Ok(Some(block.bytes.len())));
        assert_eq!(archive.read(&block.cid, &mut buffer), Ok(true));
        assert_eq!(buffer, block.bytes);
    }
    assert_eq!(count, slice.len());
}

/// A tree, as [`blocks`] with the root last: keys rise, each is found, and taking keys out and putting them back in any
/// order restores the root.
pub fn mst(input: &[u8]) {
    let blocks = blocks(input);
    let Some((root, _)) = blocks.last() else {
        return;
    };
    let root = ours(root);
    let file = file(&blocks);
    let slice = Slice::parse(&file).expect("the file is sound");
    let mut entries: Vec<(Vec<u8>, Cid)> = Vec::new();
    let walked = mst::walk::<MstError>(&slice, &root, b"", |key, cid| {
        assert!(entries.last().is_none_or(|(last, _)| last.as_slice() < key), "keys rise");
        entries.push((key.to_vec(), cid));
        Ok(())
    });
    if walked.is_err() {
        // A tree that is partly unknown may still be changed, or refuse to be.
        if let Ok(mut tree) = Tree::new(&slice, &root) {
            for (key, cid) in entries.iter().take(8) {
                let _ = tree.undo(key, None, Some(*cid));
            }
            let _ = tree.root();
        }
        return;
    }
    let mut tree = Tree::new(&slice, &root).expect("the root was read before");
    assert_eq!(tree.root(), root);
    for (key, cid) in &entries {
        assert_eq!(mst::lookup(&slice, &root, key), Ok(Some(*cid)));
        tree.undo(key, None, Some(*cid)).expect("the key is there");
        assert!(tree.undo(key, None, Some(*cid)).is_err(), "the key is gone");
    }
    assert_eq!(tree.root(), EMPTY_ROOT);
    for (key, cid) in entries.iter().rev() {
        tree.undo(key, Some(*cid), None).expect("there is room for the key");
    }
    assert_eq!(tree.root(), root);
}

/// A commit, truly signed over what the input says, see [`Story`]: what is proven is in the tree, and in the blocks.
pub fn commit(input: &[u8]) {
    is_proven(input);
}

/// As [`commit`]; whether the input was a commit that could be proven.
pub fn is_proven(input: &[u8]) -> bool {
    let Some(story) = Story::decode(input) else {
        return false;
    };
    let did: Did = "did:web:fuzz.test".parse().expect("a DID");
    let key = SigningKey::from_secret(KeyKind::K256, &[7; 32]);
    let document = serde_json::json!({
        "id": did,
        "verificationMethod": [{
            "id": "did:web:fuzz.test#atproto",
            "type": "Multikey",
            "controller": did,
            "publicKeyMultibase": key.multikey(),
        }],
    });
    let identity = Identity::from_document(&did, &document).expect("a document");
    let (before, rev) = (Tid::from_micros(1, 0), Tid::from_micros(2, 0));
    let mut object = std::collections::BTreeMap::from([
        ("did".to_owned(), Ipld::String(did.to_string())),
        ("version".to_owned(), Ipld::Integer(3)),
        ("data".to_owned(), Ipld::Link(story.root)),
        ("rev".to_owned(), Ipld::String(rev.to_string())),
        ("prev".to_owned(), Ipld::Null),
    ]);
    object.insert("sig".to_owned(), Ipld::Bytes(key.sign(&value::encode(&object))));
    let signed = value::encode(&object);
    let signed_cid = value::cid_of(&signed);
    let mut blocks = story.blocks;
    blocks.push((signed_cid, signed));
    let blocks =
        fixtures::car::write(&[signed_cid], blocks.iter().map(|(cid, block)| (*cid, block.as_slice())));
    let data = Cid::from_digest(appview_core::block::Codec::DagCbor, story.before);
    let event = CommitEvent {
        seq: 1,
        repo: did.as_str(),
        commit: ours(&signed_cid),
        rev,
        since: Some(before),
        prev_data: Some(data),
        blocks: &blocks,
        ops: story.ops,
        too_big: false,
    };
    let head = RepoHead { rev: before, data };
    let Ok(proven) = verify_commit(&event, Some(head), &identity, NAMESPACE, 1_000_000) else {
        return false;
    };
    assert_eq!((proven.did(), proven.after()), (&did, Some(head)));
    assert_eq!(proven.head(), RepoHead { rev, data: ours(&story.root) });
    let slice = Slice::parse(&blocks).expect("it was read before");
    let mut paths = std::collections::BTreeSet::new();
    for change in proven.changes() {
        let (path, there) = match change {
            RecordChange::Put { path, cid, block } => {
                assert!(cid.addresses(block));
                (path.to_string(), Some(*cid))
            }
            RecordChange::Delete { path } => (path.to_string(), None),
        };
        assert!(path.starts_with(NAMESPACE));
        assert_eq!(mst::lookup(&slice, &proven.head().data, path.as_bytes()), Ok(there), "{path}");
        assert!(paths.insert(path), "each path once");
    }
    true
}

/// A block or JSON text: a canonical form is its own canonical form, and a block's is that of its JSON.
pub fn canonical(input: &[u8]) {
    let of_text = |text: &str| {
        let mut canonical = Canonical::new();
        let form = String::from_utf8(canonical.json(text).ok()?.to_vec()).expect("it was written as text");
        let parsed =
            |text| serde_json::from_str::<serde_json::Value>(text).expect("another parser accepts it");
        assert_eq!(parsed(&form), parsed(text));
        assert_eq!(canonical.json(&form), Ok(form.as_bytes()));
        Some(form)
    };
    if let Ok(text) = std::str::from_utf8(input) {
        of_text(text);
    }
    let Ok(value) = cbor::decode(input) else {
        return;
    };
    let json = json::to_json(input).expect("what can be read can be written as JSON");
    let of_json = of_text(&json);
    let mut canonical = Canonical::new();
    let of_block = canonical.value(&value).ok().map(|form| String::from_utf8_lossy(form).into_owned());
    match of_block {
        // Bytes are an object in one and text in the other, with padding or without.
        Some(form) if json.contains("$bytes") => assert_eq!(of_text(&form), Some(form)),
        form => assert_eq!(of_json, form),
    }
}

/// What signatures and hardware are proven by: nothing that is made up proves anything, and what is read strictly is
/// written back as it was.
pub fn evidence(input: &[u8]) {
    let apple = Apple::production();
    let now = Instant::from_unix_millis(1_780_000_000_000);
    let (generator, _) = Key::from_base64(GENERATOR).expect("a point of the curve");
    assert!(verify_app_attest(input, &generator.id(), &generator, &apple, now).is_err());
    assert!(verify_assertion(&generator, b"message", input, &apple.app).is_err());
    assert!(verify_device_chain(&[input], &apple, now).is_err());
    assert!(verify_device_chain(&[input, &apple.mda_root], &apple, now).is_err());
    match Signature::from_der(input) {
        Ok((signature, encoding)) => {
            assert_eq!(signature.to_der() == input, encoding == Encoding::Strict);
            assert_eq!(Signature::from_der(&signature.to_der()), Ok((signature, Encoding::Strict)));
            assert_eq!(generator.verify(b"message", &signature), Err(SignatureFault::Mismatch));
        }
        Err(fault) => assert_eq!(fault, SignatureFault::Malformed),
    }
    if let Ok(document) = DidDocument::parse(input) {
        for key in document.keys() {
            assert!(!key.fingerprints.is_empty());
        }
    }
}

/// The base point of P-256: a key whose secret everyone knows, and that signed none of the inputs.
pub const GENERATOR: &str =
    "axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpZP40Li/hp/m47n60p8D54WK84zV2sxXs7LtkBoN79R9Q==";

/// What a commit does, before anyone signs it: 32 bytes of the digest of the tree before; a count of operations, each
/// a kind, a path behind its length, and the numbers of the blocks that are its `cid` and its `prev`; then [`blocks`],
/// the root of the tree last. A block's number 255 stands for none.
#[derive(Debug)]
pub struct Story<'a> {
    before: [u8; 32],
    ops: Vec<RepoOp<'a>>,
    root: fixtures::Cid,
    blocks: Vec<(fixtures::Cid, Vec<u8>)>,
}

impl<'a> Story<'a> {
    fn decode(input: &'a [u8]) -> Option<Self> {
        let (before, rest) = input.split_first_chunk::<32>()?;
        let (&count, mut rest) = rest.split_first()?;
        let mut told = Vec::new();
        for _ in 0..count.min(16) {
            let ([kind, length], after) = rest.split_first_chunk::<2>()?;
            let (path, after) = after.split_at_checked(usize::from(*length))?;
            let ([cid, prev], after) = after.split_first_chunk::<2>()?;
            told.push((*kind, std::str::from_utf8(path).ok()?, *cid, *prev));
            rest = after;
        }
        let blocks = blocks(rest);
        let block = |number: u8| blocks.get(usize::from(number)).map(|(cid, _)| ours(cid));
        let ops = told.into_iter().map(|(kind, path, cid, prev)| {
            Some(match kind % 3 {
                0 => RepoOp::Create { path, cid: block(cid)? },
                1 => RepoOp::Update { path, cid: block(cid)?, prev: block(prev) },
                _ => RepoOp::Delete { path, prev: block(prev) },
            })
        });
        let ops = ops.collect::<Option<Vec<_>>>()?;
        Some(Self { before: *before, ops, root: blocks.last()?.0, blocks })
    }
}

/// What stands before the digest of a link in a node.
const LINK: [u8; 9] = [0xd8, 0x2a, 0x58, 0x25, 0, 1, 0x71, 0x12, 0x20];

/// Blocks, each behind its length in 16 bits, big-endian. A link whose digest is a number and 31 zeros stands for the
/// block of that number, if it came before: so a block can be changed and still be found by those that link to it.
#[must_use]
pub fn blocks(mut input: &[u8]) -> Vec<(fixtures::Cid, Vec<u8>)> {
    let mut blocks: Vec<(fixtures::Cid, Vec<u8>)> = Vec::new();
    while let Some((length, rest)) = input.split_first_chunk() {
        let Some((block, rest)) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))) else {
            break;
        };
        let mut block = block.to_vec();
        for at in 0..block.len().saturating_sub(LINK.len() + 31) {
            let digest = at + LINK.len()..at + LINK.len() + 32;
            if block[at..].starts_with(&LINK)
                && block[digest.clone()][1..] == [0; 31]
                && let Some((cid, _)) = blocks.get(usize::from(block[digest.start]))
            {
                block[digest].copy_from_slice(cid.hash().digest());
            }
        }
        blocks.push((value::cid_of(&block), block));
        input = rest;
    }
    blocks
}

/// The inverse of [`blocks`], for seeds: links to blocks that come before are written as their numbers.
#[must_use]
pub fn write_blocks(blocks: &[(fixtures::Cid, Vec<u8>)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, (_, block)) in blocks.iter().enumerate() {
        let mut block = block.clone();
        for (earlier, (cid, _)) in blocks[..number].iter().enumerate().take(255) {
            let link = [LINK.as_slice(), cid.hash().digest()].concat();
            let places: Vec<usize> = (0..block.len()).filter(|at| block[*at..].starts_with(&link)).collect();
            for at in places {
                block[at + LINK.len()..at + link.len()].fill(0);
                block[at + LINK.len()] = u8::try_from(earlier).expect("at most 255 are numbered");
            }
        }
        out.extend(u16::try_from(block.len()).expect("a seed's blocks are small").to_be_bytes());
        out.extend(block);
    }
    out
}

fn ours(cid: &fixtures::Cid) -> Cid {
    Cid::decode(&cid.to_bytes()).expect("the CID of a block")
}

fn file(blocks: &[(fixtures::Cid, Vec<u8>)]) -> Vec<u8> {
    fixtures::car::write(&[], blocks.iter().map(|(cid, block)| (*cid, block.as_slice())))
}
