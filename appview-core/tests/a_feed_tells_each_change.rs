//! Each change of what an index serves is in its feed: once, in order, with its content or without.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod consumer;
mod network;
mod story;

use appview_core::index::{FeedSeq, IndexError};
use appview_core::query::{FeedCursor, FeedEvent, FeedFilter};
use appview_core::record::Catalog;
use appview_core::sync::{Change, Hosting};
use consumer::served;
use fixtures::records;
use fixtures::{Ipld, Write};
use network::{Business, Scratch, did};
use story::{HOUR, START, STRICT, Story, friend, friendless, named, read, words};

#[test]
fn each_change_of_what_is_served_is_told_once_and_in_order() {
    let mut story = Story::new(40);
    let create = |rkey: &str, subject| Write::create(records::FRIEND, rkey, friend(subject));
    let update = |rkey: &str, record| Write::update(records::FRIEND, rkey, record);
    let delete = |rkey: &str| Write::delete(records::FRIEND, rkey);
    assert_eq!(story.commit(vec![create("a", 1), create("b", 1)]), ["created a", "created b"]);
    assert_eq!(story.commit(vec![update("a", friend(2))]), ["updated a"]);
    assert_eq!(story.commit(vec![delete("b"), create("c", 1)]), ["deleted b", "created c"]);
    assert_eq!(story.commit(vec![Write::create(records::POST, "p", records::post(0, 0))]), [""; 0]);
    // What breaks its lexicon is not served.
    assert_eq!(story.commit(vec![Write::create(records::FRIEND, "q", friendless())]), [""; 0]);
    assert_eq!(story.commit(vec![update("q", friend(3))]), ["created q"]);
    assert_eq!(story.commit(vec![update("q", friend(4))]), ["updated q"]);
    assert_eq!(story.commit(vec![update("q", friendless())]), ["deleted q"]);
    assert_eq!(story.commit(vec![delete("q")]), [""; 0]);
    // Accounts come and go; what they do meanwhile is told when they are back, but for deletions.
    assert_eq!(story.host(Hosting::Takendown), ["hidden takendown"]);
    assert_eq!(story.host(Hosting::Takendown), [""; 0]);
    assert_eq!(story.host(Hosting::Deactivated), ["hidden deactivated"]);
    assert_eq!(story.commit(vec![create("d", 1), update("a", friend(5)), delete("c")]), ["deleted c"]);
    assert_eq!(story.host(Hosting::Active), ["shown", "created a", "created d"]);
    // A repository fetched whole is told by its difference.
    story.network.commit(&story.account, vec![delete("a"), update("d", friend(6)), create("e", 1)]);
    let repo = story.network.repo(&story.account);
    assert_eq!(story.apply(&[repo]), ["deleted a", "updated d", "created e"]);
    let owner = did(&story.account);
    assert_eq!(story.apply(&[Change::Erase { did: owner.clone(), hosting: Hosting::Deleted }]), ["erased"]);
    let repo = story.network.repo(&story.account);
    let back = [Change::Hosting { did: owner, hosting: Hosting::Active }, repo];
    assert_eq!(story.apply(&back), ["shown", "created d", "created e"]);
}

#[test]
fn an_account_that_was_left_out_is_shown_when_it_is_followed_again() {
    let mut story = Story::new(55);
    let owner = did(&story.account);
    let forget = [Change::Forget { did: owner.clone() }];
    story.commit(vec![Write::create(records::FRIEND, "a", friend(1))]);
    for hosting in [Hosting::Active, Hosting::Deactivated] {
        story.host(hosting);
        assert_eq!(story.apply(&forget), ["erased", "shown"]);
        assert_eq!(story.apply(&forget), [""; 0]);
        let repo = story.network.repo(&story.account);
        assert_eq!(story.apply(&[repo]), ["created a"]);
    }
}

#[test]
fn a_place_is_the_moment_of_the_transaction_and_later_than_the_one_before() {
    let mut story = Story::new(41);
    let create = |rkey: &str| Write::create(records::FRIEND, rkey, friend(1));
    story.commit(vec![create("a"), create("b")]);
    let places = |story: &Story| -> Vec<u64> {
        let events = read(&story.scratch.reader(), FeedCursor::BEGINNING);
        events.iter().map(|event| event.seq().micros()).collect()
    };
    assert_eq!(places(&story), [START, START + 1]);
    // The clock stands still, goes on, and goes back.
    story.commit(vec![create("c")]);
    story.now = START + HOUR;
    story.commit(vec![create("d")]);
    story.now = START - HOUR;
    story.commit(vec![create("e")]);
    assert_eq!(places(&story), [START, START + 1, START + 2, START + HOUR, START + HOUR + 1]);
    // Another writer goes on from what is in the file.
    drop(std::mem::replace(&mut story.writer, Scratch::new().writer()));
    story.writer = story.scratch.writer();
    story.commit(vec![create("f")]);
    assert_eq!(places(&story).last(), Some(&(START + HOUR + 2)));
}

#[test]
fn a_put_tells_the_revision_it_was_proven_at_and_its_block() {
    let mut story = Story::new(42);
    story.commit(vec![Write::create(records::FRIEND, "a", friend(1))]);
    let first = story.network.world.head(&story.account).rev.clone();
    story.commit(vec![Write::create(records::FRIEND, "b", friend(1))]);
    story.network.commit(&story.account, vec![Write::delete(records::FRIEND, "b")]);
    let repo = story.network.repo(&story.account);
    story.apply(&[repo]);
    let last = story.network.world.head(&story.account).rev.clone();
    let events = read(&story.scratch.reader(), FeedCursor::BEGINNING);
    let [
        FeedEvent::Created { rev, record, .. },
        FeedEvent::Deleted { rev: without, did: of, collection, rkey, .. },
    ] = events.as_slice()
    else {
        panic!("{events:?}")
    };
    assert_eq!((rev.to_string(), without.to_string()), (first, last));
    let expected = story.network.world.records(&story.account)["dev.cocore.account.friend/a"];
    assert_eq!(record.cid.to_string(), expected.to_string());
    assert_eq!((of.as_str(), collection.as_str(), rkey.as_str()), (&*story.account, records::FRIEND, "b"));
}

#[test]
fn a_filter_leaves_out_records_of_other_collections_and_everything_of_other_accounts() {
    let business = Business::new(43, 3);
    let scratch = Scratch::told(&business.told);
    let owner = did(&business.owner);
    scratch
        .writer()
        .apply(&[Change::Hosting { did: owner.clone(), hosting: Hosting::Suspended }], &[], START)
        .unwrap();
    let reader = scratch.reader();
    let all = read(&reader, FeedCursor::BEGINNING);
    let told = |collections: &[&str], dids: &[&str]| {
        let filter = FeedFilter {
            collections: collections.iter().map(|text| text.parse().unwrap()).collect(),
            dids: dids.iter().map(|text| did(text)).collect(),
        };
        let mut feed = reader.feed(FeedCursor::BEGINNING, &filter);
        let events: Vec<_> = feed.by_ref().collect::<Result<_, _>>().unwrap();
        assert_eq!(feed.cursor().after, all.last().unwrap().seq(), "what is left out is not looked at again");
        events
    };
    let expected = |wanted: &dyn Fn(&str, Option<&str>) -> bool| -> Vec<FeedEvent> {
        let events = all.iter().filter(|event| match event {
            FeedEvent::Created { record, .. } | FeedEvent::Updated { record, .. } => {
                wanted(record.repo.as_str(), Some(record.collection.as_str()))
            }
            FeedEvent::Deleted { did, collection, .. } => wanted(did.as_str(), Some(collection.as_str())),
            other => wanted(other.did().as_str(), None),
        });
        events.cloned().collect()
    };
    assert_eq!(told(&[], &[]), all);
    let jobs = told(&[records::JOB], &[]);
    assert_eq!(jobs, expected(&|_, nsid| nsid.is_none_or(|nsid| nsid == records::JOB)));
    assert_eq!(words(&jobs).iter().filter(|word| word.starts_with("created")).count(), 3);
    assert_eq!(
        told(&["dev.cocore.account.*", records::SETTLEMENT], &[]),
        expected(&|_, nsid| {
            nsid.is_none_or(|nsid| nsid.starts_with("dev.cocore.account.") || nsid == records::SETTLEMENT)
        })
    );
    let of_requester = told(&[], &[&business.requester]);
    assert_eq!(of_requester, expected(&|did, _| did == &*business.requester));
    assert_eq!(words(&told(&[], &[&business.owner])), ["hidden suspended"]);
    assert_eq!(
        told(&["dev.cocore.compute.*"], &[&business.requester, "did:web:nobody.example"]),
        expected(&|did, nsid| {
            did == &*business.requester && nsid.is_some_and(|nsid| nsid.starts_with("dev.cocore.compute."))
        })
    );
    assert_eq!(told(&["dev.cocore.comput.*", "dev.cocore.account.friends"], &[&business.requester]), []);
}

#[test]
fn more_than_a_page_is_read_in_pages_of_a_bounded_size() {
    let mut story = Story::new(44);
    // Many small ones, and a few that fill a page each.
    let large = Ipld::Map(
        [
            ("$type".to_owned(), Ipld::String("dev.cocore.test.large".to_owned())),
            ("text".to_owned(), Ipld::String("x".repeat(200_000))),
        ]
        .into(),
    );
    for batch in 0..4 {
        let small = (0..150).map(|n| Write::create(records::FRIEND, &format!("s{batch}-{n:03}"), friend(n)));
        story.commit(small.collect());
        let writes =
            (0..2).map(|n| Write::create("dev.cocore.test.large", &format!("l{batch}-{n}"), large.clone()));
        story.commit(writes.collect());
    }
    let reader = story.scratch.reader();
    let all = read(&reader, FeedCursor::BEGINNING);
    assert_eq!(all.len(), 608);
    let (mut after, mut joined, mut pages) = (FeedSeq::START, Vec::new(), 0);
    loop {
        let page = reader.feed_page(after, &FeedFilter::default()).unwrap();
        let bytes = |event: &FeedEvent| match event {
            FeedEvent::Created { record, .. } => record.block.len(),
            other => panic!("{other:?}"),
        };
        let total: usize = page.events.iter().map(bytes).sum();
        assert!(page.events.len() <= 256 && total <= (256 << 10) + 200_100, "{} events", page.events.len());
        assert_eq!(page.events.last().map(FeedEvent::seq), Some(page.after));
        joined.extend(page.events);
        (after, pages) = (page.after, pages + 1);
        if page.is_last {
            break;
        }
    }
    assert_eq!(joined, all);
    assert!(pages > 3, "{pages} pages");
    let empty = reader.feed_page(after, &FeedFilter::default()).unwrap();
    assert_eq!((empty.events.len(), empty.after, empty.is_last), (0, after, true));
}

#[test]
fn other_lexicons_are_told_by_what_they_serve() {
    let mut story = Story::new(48);
    let profile = records::profile("Ada", 0);
    let writes = vec![
        Write::create(records::FRIEND, "a", friend(1)),
        Write::create(records::FRIEND, "q", friendless()),
        Write::create(records::PROFILE, "self", profile),
    ];
    story.commit(writes);
    let Story { scratch, writer, mut consumer, .. } = story;
    drop(writer);
    drop(scratch.index.writer(Catalog::parse([STRICT]).unwrap()).unwrap());
    assert_eq!(words(&consumer.read_all(&scratch.reader())), ["deleted a"]);
    assert_eq!(consumer.shown(), served(&scratch.reader()));
    drop(scratch.writer());
    assert_eq!(words(&consumer.read_all(&scratch.reader())), ["created a"]);
    assert_eq!(consumer.shown(), served(&scratch.reader()));
    assert_eq!(scratch.reader().check(|_| ()).unwrap().damage, []);
}

#[test]
fn what_is_rolled_back_is_not_told() {
    let mut story = Story::new(51);
    story.commit(vec![Write::create(records::FRIEND, "a", friend(1))]);
    // A repository whose archive is a file that was cut after its proof.
    let account = story.account.clone();
    let path = story.scratch.folder.path().join("repo.car");
    story.network.commit(
        &account,
        vec![
            Write::delete(records::FRIEND, "a"),
            Write::create(records::FRIEND, "b", named(&"long ".repeat(2_000))),
        ],
    );
    std::fs::write(&path, story.network.world.car(&account)).unwrap();
    let archive = appview_core::block::car::Archive::from_file(std::fs::File::open(&path).unwrap()).unwrap();
    let now = story.network.world.now_micros() + 1_000_000;
    let identity = story.network.identity(&account);
    let repo = appview_core::sync::verify::verify_repo(archive, &identity, network::NAMESPACE, now).unwrap();
    let length = std::fs::metadata(&path).unwrap().len();
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length - 5_000).unwrap();
    let failed = story.writer.apply(&[Change::Repo(repo)], &[], START + HOUR);
    assert!(matches!(failed, Err(IndexError::Archive { .. })), "{failed:?}");
    let before = story.consumer.after();
    assert_eq!(story.apply(&[]), [""; 0]);
    assert_eq!(story.consumer.after(), before);
    let repo = story.network.repo(&account);
    assert_eq!(story.apply(&[repo]), ["deleted a", "created b"]);
}
