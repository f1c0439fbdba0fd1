//! What a length claims never decides how much memory is taken, and what does not concern us takes none.
//!
//! Linking `allocation-counter` replaces this binary's global allocator by one that counts for each thread.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use allocation_counter::{AllocationInfo, measure};
use appview_core::block::car::{Archive, Slice};
use appview_core::block::cbor;
use appview_core::block::json::to_json;
use appview_core::repo::Commit;
use appview_core::repo::mst::{Tree, lookup};
use appview_core::sync::Event;
use appview_core::sync::verifier::Handled;
use fixtures::forge::RawCar;
use fixtures::{Envelope, Ipld, KeyKind, car, value};
use support::{Listener, friend, post};

/// What one refusal may take, in bytes, beyond a share of its input: an error's text, a first few places.
const SMALL_BYTES: u64 = 8 * 1024;

#[test]
fn refusing_a_foreign_frame_allocates_nothing_however_large_its_blocks_are() {
    let (mut listener, _) = Listener::following(1);
    let stranger = listener.world.create_account(KeyKind::P256);
    let mut foreign = Envelope::decode(&listener.world.commit(&stranger, vec![post("a"), post("b")]).bytes);
    for blocks in [0, 1_000, 1_000_000, 4_900_000] {
        listener.world.skip_seq(1);
        foreign.set("seq", support::integer(i128::from(listener.world.seq())));
        let frame = foreign.set("blocks", Ipld::Bytes(vec![0xff; blocks])).frame();
        let (stream, now) = (listener.stream, listener.now());
        let mut handled = Handled::Rejected;
        let taken = measure(|| handled = listener.verifier.handle_frame(stream, &frame.bytes, now));
        assert_eq!((handled, taken), (Handled::Foreign, AllocationInfo::default()), "{blocks}");
    }
}

#[test]
fn a_length_that_no_input_could_fill_reserves_nothing() {
    // Heads of text, bytes, lists and maps that claim from a few millions to 2^64 - 1.
    let lengths = [
        [[0x1a].as_slice(), &0xff_ffff_u32.to_be_bytes()].concat(),
        [[0x1b].as_slice(), &(1_u64 << 40).to_be_bytes()].concat(),
        [[0x1b].as_slice(), &u64::MAX.to_be_bytes()].concat(),
    ];
    for major in 2..=5 {
        for length in &lengths {
            let mut lie = length.clone();
            lie[0] |= major << 5;
            lie.extend([0x61; 500]);
            let member = |name: &str| [&[0xa1, 0x60 | name.len() as u8], name.as_bytes(), &lie].concat();
            let header = b"\xa2\x61t\x67#commit\x62op\x01".as_slice();
            bounded(&lie, |input| cbor::decode(input).is_ok());
            bounded(&lie, |input| to_json(input).is_ok());
            bounded(&lie, |input| Commit::decode(input).is_ok());
            for name in ["ops", "blobs", "blocks", "repo", "zzz"] {
                bounded(&[header, &member(name)].concat(), |input| Event::decode(input).is_ok());
                bounded(&[header, &member(name)].concat(), |input| {
                    let mut verifier = appview_core::sync::Verifier::new(Default::default(), []);
                    let stream = verifier.add_stream("", None);
                    verifier.handle_frame(stream, input, 0) != Handled::Rejected
                });
            }
            for name in ["e", "roots"] {
                let node = member(name);
                let root = value::cid_of(&node);
                let file = car::write(&[root], [(root, node.as_slice())]);
                let slice = Slice::parse(&file).unwrap();
                let ours = slice.roots()[0];
                bounded(&node, |_| Tree::new(&slice, &ours).is_ok());
                bounded(&node, |_| lookup(&slice, &ours, b"key").is_ok());
                let headed = [car::varint(node.len() as u64), node].concat();
                bounded(&headed, |input| Slice::parse(input).is_ok());
                bounded(&headed, |input| Archive::from_bytes(input.to_vec()).is_ok());
            }
        }
    }
    for length in [1 << 20, 1 << 30, (1 << 35) - 1] {
        let mut file = RawCar::decode(&car::write(&[], [(value::cid_of(b""), b"".as_slice())]));
        file.sections[0].length = Some(car::varint(length));
        bounded(&file.encode(), |input| Slice::parse(input).is_ok());
        bounded(&file.encode(), |input| Archive::from_bytes(input.to_vec()).is_ok());
    }
}

/// Runs a refusal, and holds it to what its input justifies.
#[track_caller]
fn bounded(input: &[u8], accepts: impl FnOnce(&[u8]) -> bool) {
    let mut accepted = false;
    let taken = measure(|| accepted = accepts(input));
    assert!(!accepted);
    let limit = 4 * input.len() as u64 + SMALL_BYTES;
    assert!(taken.bytes_max <= limit, "{} bytes for an input of {}", taken.bytes_max, input.len());
}

#[test]
fn the_densest_block_takes_a_fixed_multiple_of_its_bytes() {
    // One byte of input for each item is as dense as it gets.
    let block = [[0x9a].as_slice(), &1_000_000_u32.to_be_bytes(), &[0xf6; 1_000_000]].concat();
    let taken = measure(|| drop(cbor::decode(&block).unwrap()));
    let item = size_of::<cbor::Value<'_>>() as u64;
    assert!(taken.bytes_max <= 4 * item * block.len() as u64, "{} bytes", taken.bytes_max);
    // To pass over it takes nothing.
    assert_eq!(measure(|| cbor::Reader::canonical(&block).skip(0).unwrap()), AllocationInfo::default());
}

#[test]
fn proving_a_commit_takes_a_small_multiple_of_its_frame() {
    let (mut listener, account) = Listener::following(2);
    let frame =
        listener.world.commit(&account, (0..100).map(|number| friend(&format!("{number}"))).collect());
    let (stream, now) = (listener.stream, listener.now());
    let mut handled = Handled::Rejected;
    let taken = measure(|| handled = listener.verifier.handle_frame(stream, &frame.bytes, now));
    assert_eq!(handled, Handled::Done);
    let limit = 8 * frame.bytes.len() as u64;
    assert!(taken.bytes_max <= limit, "{} bytes for a frame of {}", taken.bytes_max, frame.bytes.len());
    assert!(listener.said()[0].starts_with("commit"));
}

#[test]
fn junk_in_the_name_of_accounts_that_do_not_exist_fills_no_memory() {
    let mut listener = Listener::new(1);
    let account = listener.world.create_account(KeyKind::K256);
    let honest = listener.world.commit(&account, vec![friend("a")]);
    let mut envelope = Envelope::decode(&honest.bytes);
    envelope.set("blocks", Ipld::Bytes(vec![0xff; 1_900_000]));
    let taken = measure(|| {
        for number in 0..100 {
            envelope.set("repo", Ipld::String(format!("did:web:invented-{number}.example")));
            envelope.set("seq", Ipld::Integer(1_000 + number));
            listener.verifier.handle_frame(listener.stream, &envelope.frame().bytes, u64::MAX / 2);
            while listener.verifier.poll_output().is_some() {}
        }
    });
    // 190 MB were sent, 64 MB may wait; the rest is this test's own copy of a frame.
    assert!(taken.bytes_current < 68 << 20, "{taken:?}");
    assert!(taken.bytes_max < 80 << 20, "{taken:?}");
    assert!(listener.verifier.tracked() < 40, "{}", listener.verifier.tracked());
}
