//! The catalogue of hostile input: whatever a courier, a host or an owner sends, it is refused for a stated reason, what it
//! says changes nothing, and the next good frame is handled as if it had never come.
//!
//! The files in `hostile/` follow the layers that input passes: encoding, file, tree, commit, stream. What is
//! bounded in memory rather than in meaning has its own promise, `allocation_is_bounded`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

/// The layers.
mod hostile {
    mod commit;
    mod encoding;
    mod file;
    mod stream;
    mod tree;
}
mod support;

use fixtures::forge::{Quirk, RawCar};
use fixtures::{Draft, Envelope, Frame, Ipld, car, value};
use support::{Listener, friend, integer, rename, text};

/// The words for a refusal that leaves the repository as it is.
fn dropped(reason: &str) -> Vec<String> {
    vec![format!("reject {reason}")]
}

/// The words for a refusal after which the repository is to be fetched.
fn desynchronized(reason: &str) -> Vec<String> {
    ["desynchronized", "fetch"].map(str::to_owned).into_iter().chain(dropped(reason)).collect()
}

/// Hears a hostile frame about a repository that is followed, expects these words, answers what is asked, and shows that
/// the next honest commit is proven.
#[track_caller]
fn refuses(listener: &mut Listener, account: &str, frame: &Frame, expected: Vec<String>) {
    let shown = listener.shown(account);
    assert_eq!(listener.hear(frame), expected);
    listener.settle();
    assert_eq!(listener.shown(account), shown, "it changed nothing");
    let name = listener.world.next_tid();
    let next = listener.world.commit(account, vec![rename(&name)]);
    assert_eq!(listener.hear(&next), ["commit +dev.cocore.account.profile/self"]);
    assert_eq!(listener.shown(account), listener.truth(account));
}

/// The same for what becomes of a forged commit on a fresh repository.
#[track_caller]
fn refuses_forgery(expected: Vec<String>, forge: impl FnOnce(&mut Listener, Draft) -> Frame) {
    let (mut listener, account) = Listener::following(1);
    let draft = listener.world.forge(&account, vec![rename("Mallory"), friend("mallory")]);
    let frame = forge(&mut listener, draft);
    refuses(&mut listener, &account, &frame, expected);
}

/// The same for what a courier makes of an honest commit.
#[track_caller]
fn refuses_tampering(expected: Vec<String>, tamper: impl FnOnce(&mut Envelope)) {
    refuses_forgery(expected, |_, draft| {
        let mut envelope = Envelope::decode(&draft.frame().bytes);
        tamper(&mut envelope);
        envelope.frame()
    });
}

/// An honest commit's file changed by a courier.
#[track_caller]
fn refuses_file(expected: Vec<String>, tamper: impl FnOnce(&mut RawCar)) {
    refuses_tampering(expected, |envelope| {
        let mut file = envelope.car();
        tamper(&mut file);
        envelope.set_car(&file);
    });
}

fn unhex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits.bytes().filter(|digit| *digit != b' ').collect();
    let digit = |digit: u8| u8::try_from(char::from(digit).to_digit(16).unwrap()).unwrap();
    digits.chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}
