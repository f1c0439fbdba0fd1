//! What is held in the end is a function of what was signed: not of how the streams of different repositories were mixed, of
//! when questions were answered, of what came twice, or of what was lost on the way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use fixtures::seed::Seed;
use fixtures::world::Did as Account;
use fixtures::{Envelope, Frame, KeyKind, World};
use proptest::prelude::*;
use support::{Listener, friend, integer, post, profile, rename, unfriend};

/// A small network and, for each account, its frames in order.
fn play(seed: u64, frames_each: usize) -> (World, Vec<(Account, Vec<Frame>)>) {
    let mut world = World::new(seed);
    let mut dice = Seed::new(seed);
    let accounts: Vec<Account> =
        [KeyKind::K256, KeyKind::P256, KeyKind::K256].map(|kind| world.create_account(kind)).to_vec();
    let mut stories: Vec<(Account, Vec<Frame>)> =
        accounts.iter().map(|account| (account.clone(), world.genesis_frames(account))).collect();
    for number in 0..frames_each {
        for (account, story) in &mut stories {
            world.advance(dice.below(2_000_000));
            // The last word on every account is a commit of an active one to a record in scope, so that all truth can be
            // heard, also of an account whose earlier commits were signed by a key that nobody names any more.
            let last = number + 1 == frames_each;
            let has = |path: &str| world.records(account).contains_key(path);
            let writes = match dice.below(8) {
                0 if !has("dev.cocore.account.profile/self") => {
                    vec![profile("Ada"), post(&format!("{number}"))]
                }
                1 if has("dev.cocore.account.profile/self") => vec![rename(&format!("{number}"))],
                2 if has("dev.cocore.account.friend/x") => vec![unfriend("x"), friend(&format!("{number}"))],
                3 if !last => {
                    story.push(world.account(account, false, Some("deactivated")));
                    story.push(world.account(account, true, None));
                    story.push(world.sync(account));
                    continue;
                }
                4 if !last => {
                    world.rotate_key(account, KeyKind::P256);
                    story.push(world.identity(account));
                    world.resign(account);
                    story.push(world.sync(account));
                    continue;
                }
                5 if !last => vec![],
                6 if !has("dev.cocore.account.friend/x") => vec![friend("x")],
                _ => vec![friend(&format!("f{number}")), post(&format!("p{number}"))],
            };
            story.push(world.commit(account, writes));
        }
    }
    (world, stories)
}

/// Deals the stories into one stream that keeps each one's order, numbered anew.
fn deal(stories: &[(Account, Vec<Frame>)], dice: &mut Seed) -> Vec<Frame> {
    let mut rest: Vec<_> = stories.iter().map(|(_, story)| story.as_slice()).collect();
    let mut stream = Vec::new();
    while !rest.is_empty() {
        let at = dice.below(rest.len() as u64) as usize;
        match rest[at].split_first() {
            Some((frame, later)) => {
                let mut envelope = Envelope::decode(&frame.bytes);
                stream.push(envelope.set("seq", integer(stream.len() as i128 + 1)).frame());
                rest[at] = later;
            }
            None => drop(rest.remove(at)),
        }
    }
    stream
}

/// Hears a stream, answers some questions as it goes and the others in the end.
fn hear_all(listener: &mut Listener, stream: &[Frame], dice: &mut Seed) {
    for frame in stream {
        listener.hear(frame);
        match dice.below(6) {
            0 => drop(listener.settle()),
            1 => {
                if let Some(did) = listener.unresolved.pop() {
                    listener.resolve(did.as_str());
                }
            }
            _ => {}
        }
    }
    listener.settle();
}

fn holds_the_truth(listener: &Listener, stories: &[(Account, Vec<Frame>)]) -> Result<(), TestCaseError> {
    for (account, _) in stories {
        prop_assert_eq!(listener.shown(account), listener.truth(account));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_mixture_of_the_streams_ends_in_the_truth(seed: u64, mixture: u64) {
        let (world, stories) = play(seed, 12);
        let mut dice = Seed::new(mixture);
        let stream = deal(&stories, &mut dice);
        let mut listener = Listener::resuming(world, [], None);
        hear_all(&mut listener, &stream, &mut dice);
        holds_the_truth(&listener, &stories)?;
        prop_assert_eq!(listener.watermark(), Some(stream.len() as i64));
    }

    #[test]
    fn hearing_everything_twice_changes_nothing(seed: u64, mixture: u64) {
        let (world, stories) = play(seed, 8);
        let mut dice = Seed::new(mixture);
        let stream = deal(&stories, &mut dice);
        let mut listener = Listener::resuming(world, [], None);
        hear_all(&mut listener, &stream, &mut dice);
        holds_the_truth(&listener, &stories)?;
        let index = listener.index.clone();
        // From the start of the same stream after a reconnection, and from another service.
        listener.verifier.handle_connected(listener.stream);
        hear_all(&mut listener, &stream, &mut dice);
        prop_assert_eq!(&listener.index, &index);
        let again = deal(&stories, &mut dice);
        listener.stream = listener.verifier.add_stream("wss://other.test", None);
        hear_all(&mut listener, &again, &mut dice);
        prop_assert_eq!(&listener.index, &index);
    }

    #[test]
    fn lost_frames_are_made_good_by_the_next_commit(seed: u64, mixture: u64, share in 2..6_u64) {
        let (mut world, mut stories) = play(seed, 10);
        let mut dice = Seed::new(mixture);
        for (_, story) in &mut stories {
            story.retain(|_| dice.below(share) > 0);
        }
        for (account, story) in &mut stories {
            story.push(world.commit(account, vec![friend("last")]));
        }
        let stream = deal(&stories, &mut dice);
        let mut listener = Listener::resuming(world, [], None);
        hear_all(&mut listener, &stream, &mut dice);
        for (account, story) in &stories {
            // A lost reactivation leaves the account hidden until somebody asks its PDS.
            if listener.shown(account).is_empty() {
                let hidden = listener.state(account).hosting;
                prop_assert!(!hidden.is_visible(), "{} of {} frames", hidden, story.len());
                listener.confirm(account, appview_core::sync::Hosting::Active);
                listener.settle();
            }
        }
        holds_the_truth(&listener, &stories)?;
    }
}
