//! Whoever reads the feed, stops at any event and goes on from its cursor holds in the end what the index serves. What was
//! deleted is in it by its place alone, and not for ever.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod consumer;
mod network;
mod story;

use std::collections::BTreeMap;
use std::time::Duration;

use appview_core::block::Cid;
use appview_core::index::{FeedSeq, Index, IndexWriter};
use appview_core::query::{FeedCursor, FeedError, FeedEvent, FeedFilter};
use appview_core::record::Catalog;
use appview_core::sync::{Change, Hosting};
use consumer::{Consumer, Hidden, served};
use fixtures::records;
use fixtures::{KeyKind, Write};
use network::{Network, Scratch, catalog, did};
use proptest::prelude::*;
use story::{HOUR, START, STRICT, Story, friend, friendless, named, read, words};

#[test]
fn old_deletions_are_removed_and_whoever_may_have_missed_one_is_told() {
    let mut story = Story::new(45);
    story.writer.set_feed_retention(Duration::from_secs(3600));
    let create = |rkey: &str| Write::create(records::FRIEND, rkey, friend(1));
    story.commit(vec![create("a"), create("b")]);
    let (mut away, mut longer_away) = (story.consumer.clone(), story.consumer.clone());
    story.now += HOUR / 2;
    story.commit(vec![Write::delete(records::FRIEND, "a")]);
    away.read_all(&story.scratch.reader());
    // It is an hour old, and not older.
    story.now += HOUR;
    story.commit(vec![create("c")]);
    assert_eq!(words(&longer_away.clone().read_all(&story.scratch.reader())), ["deleted a", "created c"]);
    story.now += 1;
    story.commit(vec![create("d")]);

    let reader = story.scratch.reader();
    assert_eq!(words(&read(&reader, FeedCursor::BEGINNING)), ["created b", "created c", "created d"]);
    assert_eq!(
        (words(&away.read_all(&reader)), away.gaps),
        (vec!["created c".into(), "created d".into()], 0)
    );
    let place = longer_away.cursor;
    longer_away.read_all(&reader);
    assert_eq!((longer_away.shown(), longer_away.gaps), (served(&reader), 1));
    // It is told first, and only once; whoever asks on gets what there is.
    let told: Vec<_> = reader.feed(place, &FeedFilter::default()).collect();
    assert!(matches!(told[0], Err(FeedError::Gap { found, .. }) if found == place.after), "{told:?}");
    let rest: Vec<_> = told.into_iter().skip(1).map(Result::unwrap).collect();
    assert_eq!(words(&rest), ["created c", "created d"]);
}

#[test]
fn a_consumer_that_has_begun_is_not_sent_back_by_what_was_removed_before_it_began() {
    let mut story = Story::new(52);
    story.writer.set_feed_retention(Duration::from_secs(3600));
    let create = |rkey: &str| Write::create(records::FRIEND, rkey, friend(1));
    story.commit(vec![create("a"), create("b"), create("c")]);
    story.commit(vec![Write::delete(records::FRIEND, "b")]);
    story.now += 2 * HOUR;
    story.commit(vec![create("d")]);
    // The deletion is removed; what is served reaches back to before it.
    let mut beginner = Consumer::new(Hidden::Forgotten);
    for expected in ["created a", "created c"] {
        assert_eq!(words(&beginner.read(&story.scratch.reader(), 1)), [expected]);
    }
    // What is deleted since it began, it hears of.
    story.commit(vec![Write::delete(records::FRIEND, "a")]);
    let heard = words(&beginner.read_all(&story.scratch.reader()));
    assert_eq!((heard, beginner.gaps), (vec!["created d".into(), "deleted a".into()], 0));
    // Unless it stays away for too long.
    let mut beginner = Consumer::new(Hidden::Forgotten);
    beginner.read(&story.scratch.reader(), 1);
    story.commit(vec![Write::delete(records::FRIEND, "c")]);
    story.now += 2 * HOUR;
    story.commit(vec![create("e")]);
    beginner.read_all(&story.scratch.reader());
    assert_eq!((beginner.shown(), beginner.gaps), (served(&story.scratch.reader()), 1));
}

#[test]
fn an_account_that_was_back_before_a_consumer_began_is_never_hidden_from_it() {
    let mut story = Story::new(56);
    story.writer.set_feed_retention(Duration::from_secs(3600));
    story.commit(vec![Write::create(records::FRIEND, "a", friend(1))]);
    let forget = [Change::Forget { did: did(&story.account) }];
    assert_eq!(story.apply(&forget), ["erased", "shown"]);
    let repo = story.network.repo(&story.account);
    story.apply(&[repo]);
    let mut beginner = Consumer::new(Hidden::Kept);
    assert_eq!(words(&beginner.read(&story.scratch.reader(), 1)), ["shown"]);
    // Both words about it are removed before this one goes on.
    story.now += 2 * HOUR;
    story.commit(vec![Write::create(records::FRIEND, "b", friend(1))]);
    beginner.read_all(&story.scratch.reader());
    assert_eq!((beginner.shown(), beginner.gaps), (served(&story.scratch.reader()), 0));
}

#[test]
fn a_flood_of_old_deletions_is_removed_bit_by_bit() {
    let mut story = Story::new(46);
    let keys: Vec<String> = (0..600).map(|number| format!("k{number}")).collect();
    for keys in keys.chunks(200) {
        story.commit(keys.iter().map(|key| Write::create(records::FRIEND, key, friend(1))).collect());
    }
    for keys in keys.chunks(200) {
        story.commit(keys.iter().map(|key| Write::delete(records::FRIEND, key)).collect());
    }
    story.writer.set_feed_retention(Duration::from_secs(60));
    story.now += HOUR;
    let mut left = Vec::new();
    while left.last() != Some(&0) {
        story.writer.apply(&[], &[], story.now).unwrap();
        left.push(read(&story.scratch.reader(), FeedCursor::BEGINNING).len());
        assert!(left.len() < 10, "{left:?}");
    }
    assert!(left.len() > 2 && left[0] > 300, "{left:?}");
    // The place of what was removed is not given again, whatever the clock says.
    story.now = START;
    assert_eq!(story.commit(vec![Write::create(records::FRIEND, "z", friend(1))]), ["created z"]);
}

#[test]
fn a_transaction_that_adds_many_deletions_removes_more_than_it_adds() {
    let mut story = Story::new(53);
    let keys: Vec<String> = (0..1_200).map(|number| format!("k{number}")).collect();
    for keys in keys.chunks(200) {
        story.commit(keys.iter().map(|key| Write::create(records::FRIEND, key, friend(1))).collect());
    }
    let deletions = |story: &mut Story, keys: &[String]| -> Vec<Change> {
        let deletions =
            |keys: &[String]| keys.iter().map(|key| Write::delete(records::FRIEND, key)).collect();
        keys.chunks(200).map(|keys| story.network.commit(&story.account, deletions(keys))).collect()
    };
    let (old, young) = keys.split_at(800);
    let old = deletions(&mut story, old);
    story.apply(&old);
    story.writer.set_feed_retention(Duration::from_secs(60));
    story.now += HOUR;
    // All eight hundred are as old as each other; twice four hundred are removed.
    let young = deletions(&mut story, young);
    story.writer.apply(&young, &[], story.now).unwrap();
    assert_eq!(read(&story.scratch.reader(), FeedCursor::BEGINNING).len(), 400);
}

#[test]
fn of_an_account_that_comes_and_goes_only_the_last_word_is_kept() {
    let mut story = Story::new(54);
    let owner = did(&story.account);
    story.commit(vec![Write::create(records::FRIEND, "a", friend(1))]);
    story.commit(vec![Write::create(records::FRIEND, "b", friend(1)), Write::delete(records::FRIEND, "a")]);
    let mut away = [Hidden::Forgotten, Hidden::Kept].map(Consumer::new);
    for consumer in &mut away {
        consumer.read(&story.scratch.reader(), 1);
    }
    let flips: Vec<Change> = (0..10_000)
        .map(|number| if number % 2 == 0 { Hosting::Deactivated } else { Hosting::Active })
        .map(|hosting| Change::Hosting { did: owner.clone(), hosting })
        .collect();
    for flips in flips.chunks(1_000) {
        story.now += 1_000_000;
        story.writer.apply(flips, &[], story.now).unwrap();
    }
    let reader = story.scratch.reader();
    assert_eq!(words(&read(&reader, FeedCursor::BEGINNING)), ["deleted a", "shown", "created b"]);
    for mut consumer in away {
        consumer.read_all(&reader);
        assert_eq!((consumer.shown(), consumer.gaps), (served(&reader), 0));
    }
    // That everything was erased is told for as long as anything is.
    story.apply(&[Change::Erase { did: owner, hosting: Hosting::Deleted }]);
    story.host(Hosting::Active);
    story.host(Hosting::Suspended);
    let all = story.scratch.reader().feed_page(FeedSeq::START, &FeedFilter::default()).unwrap().events;
    assert_eq!(words(&all), ["erased", "hidden suspended"]);
    assert_eq!(words(&read(&story.scratch.reader(), FeedCursor::BEGINNING)), ["hidden suspended"]);
}

#[test]
fn a_rebuilt_index_has_a_feed_of_its_own_and_says_so() {
    let mut story = Story::new(47);
    story.commit(vec![Write::create(records::FRIEND, "a", friend(1))]);
    story.commit(vec![Write::create(records::FRIEND, "b", friend(1))]);
    // This one hears of neither the deletion nor the rebuild.
    let mut away = story.consumer.clone();
    story.commit(vec![Write::delete(records::FRIEND, "b")]);
    let repo = story.network.repo(&story.account);
    let Story { scratch, writer, .. } = story;
    drop(writer);
    let newest = scratch.reader().feed_newest().unwrap();
    // The clock went back meanwhile.
    Index::rebuild(scratch.index.path(), catalog(), |writer| writer.apply(&[repo], &[], 7).map(drop))
        .unwrap();
    let reader = scratch.reader();
    for mut consumer in [away.clone(), story.consumer] {
        consumer.read_all(&reader);
        assert_eq!((consumer.shown(), consumer.gaps), (served(&reader), 1));
        assert!(consumer.after() > newest);
    }
    // Without a word about it, everything would come again all the same.
    let page = reader.feed_page(away.after(), &FeedFilter::default()).unwrap();
    assert_eq!(words(&page.events), ["created a"]);

    // Where the old file is gone, the clock alone tells the two apart.
    std::fs::remove_file(scratch.index.path()).unwrap();
    let index = Index::create(scratch.index.path()).unwrap();
    assert_eq!(away.read_all(&index.reader().unwrap()), []);
    index.writer(catalog()).unwrap().apply(&[story.network.repo(&story.account)], &[], START + HOUR).unwrap();
    let reader = index.reader().unwrap();
    away.read_all(&reader);
    assert_eq!((away.shown(), away.gaps), (served(&reader), 1));
}

#[test]
fn of_what_was_deleted_only_its_place_is_left_and_of_an_erased_account_nothing() {
    let mut story = Story::new(49);
    let [kept, updated, deleted, key] =
        ["of one kept", "of one overwritten", "of one deleted", "3kmkeyofone22"]
            .map(|part| format!("needle {part}"));
    let key = key.replace(' ', "");
    let create = |rkey: &str, name: &str| Write::create(records::FRIEND, rkey, named(name));
    story.commit(vec![create("a", &kept), create("b", &updated), create(&key, &deleted)]);
    story.commit(vec![Write::update(records::FRIEND, "b", friend(2)), Write::delete(records::FRIEND, &key)]);
    // Bytes would be left in the log, which is not what this is about, until it is written back.
    let is_somewhere = |story: &mut Story, needle: &str| {
        story.writer.write_back_log().unwrap();
        std::fs::read_dir(story.scratch.folder.path()).unwrap().any(|entry| {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            bytes.windows(needle.len()).any(|window| window == needle.as_bytes())
        })
    };
    assert!(is_somewhere(&mut story, &kept) && is_somewhere(&mut story, &key));
    assert!(!is_somewhere(&mut story, &updated) && !is_somewhere(&mut story, &deleted));
    let owner = did(&story.account);
    story.apply(&[Change::Erase { did: owner, hosting: Hosting::Deleted }]);
    assert!(!is_somewhere(&mut story, &kept) && !is_somewhere(&mut story, &key));
}

/// What may happen to an index between two looks at its feed.
#[derive(Debug, Clone)]
enum Step {
    /// An account writes: what to do for each of four keys, in one commit.
    Commit {
        account: usize,
        writes: [Option<Edit>; 4],
    },
    /// An account writes and nobody hears of it.
    Unheard {
        account: usize,
        writes: [Option<Edit>; 4],
    },
    /// A repository is fetched whole.
    Fetch {
        account: usize,
    },
    Host {
        account: usize,
        hosting: Hosting,
    },
    Erase {
        account: usize,
    },
    /// Everything is judged by other lexicons, and again by ours.
    Judge,
    Rebuild,
    Wait {
        hours: u64,
    },
    /// A consumer reads some events.
    Read {
        consumer: usize,
        most: usize,
    },
}

#[derive(Debug, Clone, Copy)]
enum Edit {
    Put(u64),
    PutQuarantined,
    Delete,
}

fn step() -> impl Strategy<Value = Step> {
    let account = 0..3_usize;
    let edit = prop_oneof![
        4 => (0..1_000_u64).prop_map(Edit::Put),
        1 => Just(Edit::PutQuarantined),
        2 => Just(Edit::Delete),
    ];
    let writes = proptest::array::uniform4(proptest::option::of(edit));
    let hosting = proptest::sample::select(Hosting::ALL.to_vec());
    prop_oneof![
        8 => (account.clone(), writes.clone()).prop_map(|(account, writes)| Step::Commit { account, writes }),
        2 => (account.clone(), writes).prop_map(|(account, writes)| Step::Unheard { account, writes }),
        3 => account.clone().prop_map(|account| Step::Fetch { account }),
        3 => (account.clone(), hosting).prop_map(|(account, hosting)| Step::Host { account, hosting }),
        2 => account.clone().prop_map(|account| Step::Host { account, hosting: Hosting::Active }),
        1 => account.prop_map(|account| Step::Erase { account }),
        1 => Just(Step::Judge),
        1 => Just(Step::Rebuild),
        2 => (0..30_u64).prop_map(|hours| Step::Wait { hours }),
        8 => (0..4_usize, 0..6_usize).prop_map(|(consumer, most)| Step::Read { consumer, most }),
    ]
}

/// Three accounts, an index that hears of most of what they do, and consumers at any place of its feed.
struct Company {
    network: Network,
    accounts: [fixtures::Did; 3],
    scratch: Scratch,
    writer: Option<IndexWriter>,
    now: u64,
    /// Two that are never up to date for long, of either kind, two that start in the middle, and one of either kind that
    /// reads everything at once.
    consumers: Vec<Consumer>,
    prompt: [Consumer; 2],
}

impl Company {
    fn new(seed: u64) -> Self {
        let mut network = Network::new(seed);
        let accounts = [(); 3].map(|()| network.world.create_account(KeyKind::K256));
        let scratch = Scratch::new();
        let consumers =
            [Hidden::Forgotten, Hidden::Kept, Hidden::Forgotten, Hidden::Kept].map(Consumer::new).into();
        let prompt = [Hidden::Forgotten, Hidden::Kept].map(Consumer::new);
        let mut company = Self { network, accounts, scratch, writer: None, now: START, consumers, prompt };
        company.writer = Some(company.open());
        company
    }

    fn open(&self) -> IndexWriter {
        let mut writer = self.scratch.writer();
        writer.set_feed_retention(Duration::from_secs(24 * 3600));
        writer
    }

    fn apply(&mut self, change: Change) {
        self.now += 1;
        self.writer.as_mut().unwrap().apply(&[change], &[], self.now).unwrap();
    }

    fn commit(&mut self, account: usize, writes: [Option<Edit>; 4]) -> Change {
        let account = self.accounts[account].clone();
        let present = self.network.world.records(&account);
        let edits = writes.into_iter().enumerate().filter_map(|(key, edit)| {
            let key = format!("k{key}");
            let is_there = present.contains_key(&format!("{}/{key}", records::FRIEND));
            let record = match edit? {
                Edit::Delete => return is_there.then(|| Write::delete(records::FRIEND, &key)),
                Edit::Put(subject) => friend(subject),
                Edit::PutQuarantined => friendless(),
            };
            Some(match is_there {
                true => Write::update(records::FRIEND, &key, record),
                false => Write::create(records::FRIEND, &key, record),
            })
        });
        let edits: Vec<Write> = edits.collect();
        self.network.commit(&account, edits)
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Commit { account, writes } => {
                let commit = self.commit(account, writes);
                self.apply(commit);
            }
            Step::Unheard { account, writes } => drop(self.commit(account, writes)),
            Step::Fetch { account } => {
                let repo = self.network.repo(&self.accounts[account].clone());
                self.apply(repo);
            }
            Step::Host { account, hosting } => {
                let did = did(&self.accounts[account]);
                self.apply(Change::Hosting { did, hosting });
            }
            Step::Erase { account } => {
                let did = did(&self.accounts[account]);
                self.apply(Change::Erase { did, hosting: Hosting::Deleted });
            }
            Step::Judge => {
                self.writer = None;
                drop(self.scratch.index.writer(Catalog::parse([STRICT]).unwrap()).unwrap());
                self.look();
                self.writer = Some(self.open());
            }
            Step::Rebuild => {
                self.writer = None;
                let repos = self.accounts.clone().map(|account| self.network.repo(&account));
                let fill = |writer: &mut IndexWriter| writer.apply(&repos, &[], self.now).map(drop);
                Index::rebuild(self.scratch.index.path(), catalog(), fill).unwrap();
                self.writer = Some(self.open());
            }
            Step::Wait { hours } => self.now += hours * HOUR,
            Step::Read { consumer, most } => {
                self.consumers[consumer].read(&self.scratch.reader(), most);
            }
        }
    }

    /// Whoever reads everything at once holds what is served.
    fn look(&mut self) {
        let reader = self.scratch.reader();
        let served = served(&reader);
        for consumer in &mut self.prompt {
            consumer.read_all(&reader);
            assert_eq!(consumer.shown(), served, "{consumer:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn wherever_a_consumer_stops_it_ends_with_what_is_served(
        steps in proptest::collection::vec(step(), 1..60),
        late in 0..40_usize,
    ) {
        let mut company = Company::new(50);
        for (number, step) in steps.iter().enumerate() {
            company.take(step);
            company.look();
            if number == late {
                // A third of the way in, someone has read some, and someone starts.
                let copy = company.prompt[0].clone();
                company.consumers[2] = copy;
            }
        }
        let reader = company.scratch.reader();
        prop_assert_eq!(reader.check(|_| ()).unwrap().damage, []);
        let served = served(&reader);
        for mut consumer in company.consumers {
            // One event at a time, each by a feed of its own.
            while !consumer.read(&reader, 1).is_empty() {}
            prop_assert_eq!(consumer.shown(), served.clone());
        }
        // From the beginning, nothing comes twice and nothing is left over but what deletions tell.
        let mut seen: BTreeMap<String, Cid> = BTreeMap::new();
        for event in read(&reader, FeedCursor::BEGINNING) {
            if let FeedEvent::Created { record, .. } | FeedEvent::Updated { record, .. } = event {
                prop_assert_eq!(seen.insert(record.uri().to_string(), record.cid), None);
            }
        }
        prop_assert_eq!(seen, served);
    }
}
