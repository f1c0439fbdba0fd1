//! Whatever a courier does to the bytes of a valid commit, it is either refused or proven to be the very commit that was
//! signed; and the machine that hears it goes on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use appview_core::sync::verify::verify_commit;
use appview_core::sync::{Event, VerifiedCommit};
use fixtures::seed::Seed;
use fixtures::{Frame, Write, records};
use proptest::prelude::*;
use support::{Listener, NAMESPACE, friend, identity, post, rename, unfriend};

/// A repository of some size, a commit on it, and what that commit proves.
fn commit(seed: u64) -> (Listener, fixtures::world::Did, Frame, VerifiedCommit) {
    let (mut listener, account) = Listener::following(seed);
    let many = (0..60).map(|number| friend(&format!("{number}"))).chain([post("a")]).collect();
    let first = listener.world.commit(&account, many);
    listener.hear(&first);
    let writes = vec![rename("Grace"), unfriend("7"), friend("x"), Write::delete(records::POST, "a")];
    let frame = listener.world.commit(&account, writes);
    let proven = listener.prove(&account, &frame).unwrap();
    (listener, account, frame, proven)
}

/// What the pure function says of these bytes, if they are a commit at all.
fn proven(listener: &Listener, account: &str, frame: &[u8]) -> Option<VerifiedCommit> {
    let Ok((Event::Commit(event), _)) = Event::decode(frame) else {
        return None;
    };
    let head = listener.state(account).head;
    verify_commit(&event, head, &identity(&listener.world, account), NAMESPACE, listener.now()).ok()
}

#[test]
fn no_byte_of_a_commit_can_be_changed_to_prove_something_else() {
    let (listener, account, frame, honest) = commit(1);
    let mut dice = Seed::new(1);
    let (mut same, mut refused) = (0, 0);
    for at in 0..frame.bytes.len() {
        for change in [1, 0x80, 1 + dice.below(255) as u8] {
            let mut bytes = frame.bytes.clone();
            bytes[at] ^= change;
            match proven(&listener, &account, &bytes) {
                Some(other) => {
                    assert_eq!(other, honest, "byte {at} xor {change:#x}");
                    same += 1;
                }
                None => refused += 1,
            }
        }
    }
    // Number, time and deprecated members are nobody's promise; all else is.
    assert!(same > 0 && refused > 20 * same, "{same} proven, {refused} refused");
}

#[test]
fn no_cut_of_a_commit_proves_anything() {
    let (listener, account, frame, _) = commit(2);
    for length in 0..frame.bytes.len() {
        assert_eq!(proven(&listener, &account, &frame.bytes[..length]), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_machine_that_hears_damaged_frames_ends_in_the_truth(
        seed: u64,
        damage in prop::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 1..4),
    ) {
        let (mut listener, account, frame, _) = commit(seed);
        let mut bytes = frame.bytes.clone();
        for (at, change) in damage {
            let at = at.index(bytes.len());
            bytes[at] ^= change;
        }
        listener.hear(&bytes);
        listener.settle();
        let next = listener.world.commit(&account, vec![friend("next")]);
        // A damaged number may have claimed a place far ahead; the next connection starts over.
        listener.verifier.handle_connected(listener.stream);
        listener.hear(&next);
        listener.settle();
        prop_assert_eq!(listener.shown(&account), listener.truth(&account));
    }
}
