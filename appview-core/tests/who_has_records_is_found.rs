//! Whoever has records in scope is found: from relays, from a PDS where there is no relay, at once after a gap, and
//! without asking for anything twice.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod outside;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use appview_core::source::discovery::{Discovery, Search};
use appview_core::source::network::Network;
use appview_core::source::orders::Orders;
use appview_core::source::pump::{Input, Upstream as _};
use appview_core::source::queue::{Inbox, queue};
use appview_core::source::relay::Received;
use appview_core::sync::Scope;
use appview_core::syntax::Did;
use outside::{Asked, MadeUp, PLC, Said, did, most_within, number};
use serde_json::{Value as Json, json};

const HOST: &str = "host.example.com";
const COLLECTIONS: [&str; 3] =
    ["dev.cocore.account.profile", "dev.cocore.compute.job", "dev.cocore.compute.receipt"];
const BY_COLLECTION: &str = "com.atproto.sync.listReposByCollection";
const REPOS: &str = "com.atproto.sync.listRepos";
const DESCRIBE: &str = "com.atproto.repo.describeRepo";

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A round of questions that is under way until it is dropped.
struct Round {
    inbox: Inbox,
    search: Search,
    orders: Orders,
    network: Network,
    task: tokio::task::JoinHandle<()>,
}

impl Round {
    fn begin(made_up: &MadeUp) -> Self {
        let outside = made_up.outside();
        let network = Network::new(&outside, PLC, std::env::temp_dir(), Scope::default());
        let (outbox, inbox) = queue();
        let (search, orders) = (network.search.clone(), Orders::default());
        let discovery = Discovery {
            hosts: network.hosts.clone(),
            relay: format!("wss://{HOST}").parse().unwrap(),
            collections: COLLECTIONS.map(|nsid| nsid.parse().unwrap()).to_vec(),
            namespace: "dev.cocore.".to_owned(),
            clock: outside.clock,
            orders: orders.clone(),
            search: search.clone(),
        };
        Self { inbox, search, orders, network, task: tokio::spawn(discovery.run(outbox)) }
    }

    /// Whom it names before it is silent for five minutes.
    async fn found(&mut self) -> Vec<Did> {
        self.found_until_silent(secs(5 * 60)).await
    }

    async fn found_until_silent(&mut self, silence: Duration) -> Vec<Did> {
        let mut found = Vec::new();
        while let Ok(Some(received)) = tokio::time::timeout(silence, self.inbox.receive()).await {
            let Received::Input(Input::Track(did)) = received else { panic!("{received:?}") };
            found.push(did);
        }
        found
    }

    /// Whom it names within a time.
    async fn found_within(&mut self, time: Duration) -> Vec<Did> {
        let (end, mut found) = (tokio::time::Instant::now() + time, Vec::new());
        while let Ok(Some(received)) = tokio::time::timeout_at(end, self.inbox.receive()).await {
            let Received::Input(Input::Track(did)) = received else { panic!("{received:?}") };
            found.push(did);
        }
        found
    }
}

impl Drop for Round {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A page of a listing in which `of` repositories are told, so many on each page.
fn page(asked: &Asked, of: std::ops::Range<usize>, size: usize, entry: impl Fn(usize) -> Json) -> Json {
    let from = asked.param("cursor").map_or(of.start, |cursor| cursor.parse().unwrap());
    let to = (from + size).min(of.end);
    let repos: Vec<Json> = (from..to).map(entry).collect();
    let mut page = json!({ "repos": repos });
    if to < of.end {
        page["cursor"] = to.to_string().into();
    }
    page
}

fn named(number: usize) -> Json {
    json!({ "did": did(number) })
}

/// Which of the collections was asked about.
fn collection(asked: &Asked) -> usize {
    let asked_about = asked.param("collection").unwrap();
    COLLECTIONS.iter().position(|nsid| *nsid == asked_about).unwrap()
}

/// A relay that knows a hundred repositories for each collection.
fn relay(asked: &Asked) -> Said {
    assert_eq!(asked.method(), BY_COLLECTION);
    let first = collection(asked) * 100;
    Said::json(&page(asked, first..first + 100, 30, named))
}

fn everybody() -> BTreeSet<Did> {
    (0..300).map(did).collect()
}

#[tokio::test(start_paused = true)]
async fn every_collection_is_asked_about_to_its_last_page_and_again_after_some_hours() {
    let made_up = MadeUp::new(relay);
    let mut round = Round::begin(&made_up);
    assert_eq!(round.found().await.into_iter().collect::<BTreeSet<_>>(), everybody());
    assert_eq!(made_up.asked().len(), 3 * 4);
    let Received::Input(Input::Track(_)) = round.inbox.receive().await.unwrap() else { panic!("again") };
    let again = made_up.asked()[12].at;
    assert!((3 * 3600..=6 * 3600 + 60).contains(&again.as_secs()), "{again:?}");
}

#[tokio::test(start_paused = true)]
async fn after_a_gap_everybody_is_asked_at_once() {
    let made_up = MadeUp::new(relay);
    let mut round = Round::begin(&made_up);
    round.found().await;
    let before = made_up.asked().len();
    // As the pump does when a stream has lost events.
    let (outbox, _inbox) = queue();
    let (mut asking, _work) = round.network.clone().start(outbox, Orders::default());
    assert_eq!(asking.discover(), []);
    assert_eq!(round.found_until_silent(secs(10)).await.len(), 300);
    assert_eq!(made_up.asked().len(), 2 * before);
    // One that comes while everybody is being asked has them asked once more.
    round.search.begin();
    tokio::task::yield_now().await;
    round.search.begin();
    assert_eq!(round.found_until_silent(secs(60)).await.len(), 600);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_cannot_be_had_is_asked_for_again_and_none_before_it() {
    for refusal in [
        Said::error(500, "InternalServerError"),
        Said::error(429, "RateLimitExceeded").with("retry-after", "40"),
        Said::new(200, "<html>"),
        Said::refused(),
        Said::silence(),
    ] {
        let refusals = AtomicUsize::new(0);
        let made_up = MadeUp::new(move |asked| {
            let is_third_page = asked.param("cursor").is_some_and(|cursor| cursor == "160");
            if is_third_page && refusals.fetch_add(1, Ordering::Relaxed) < 4 {
                refusal.clone()
            } else {
                relay(asked)
            }
        });
        let mut round = Round::begin(&made_up);
        assert_eq!(round.found_until_silent(secs(600)).await.len(), 300, "each once");
        let mut cursors: Vec<_> =
            made_up.asked().iter().map(|asked| (collection(asked), asked.param("cursor"))).collect();
        assert_eq!(cursors.len(), 12 + 4);
        cursors.dedup();
        assert_eq!(cursors.len(), 12, "nothing but that page was asked for twice, and that in a row");
    }
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_is_broken_for_good_keeps_no_other_waiting() {
    let made_up = MadeUp::new(|asked| match collection(asked) {
        1 => Said::error(500, "DatabaseError"),
        _ => relay(asked),
    });
    let mut round = Round::begin(&made_up);
    let found: BTreeSet<Did> = round.found_within(secs(600)).await.into_iter().collect();
    assert_eq!(found, (0..100).chain(200..300).map(did).collect());
    // It is tried again sooner than after hours, and not all the time.
    let of_broken = |made_up: &MadeUp| made_up.asked().iter().filter(|asked| collection(asked) == 1).count();
    let before = of_broken(&made_up);
    round.found_within(secs(1_800)).await;
    assert!((before + 1..before + 60).contains(&of_broken(&made_up)));
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_leads_in_a_circle_ends() {
    let made_up = MadeUp::new(|_| Said::json(&json!({"repos": [named(1)], "cursor": "here"})));
    let mut round = Round::begin(&made_up);
    assert_eq!(round.found().await.len(), 6, "two pages of each");
}

#[tokio::test(start_paused = true)]
async fn a_pause_is_heeded_between_pages_and_the_listing_goes_on_where_it_was() {
    let made_up = MadeUp::new(|asked| relay(asked).after(secs(10)));
    let mut round = Round::begin(&made_up);
    tokio::time::sleep(secs(25)).await;
    round.orders.pause();
    assert_eq!(
        round.found_until_silent(secs(3600)).await.len(),
        90,
        "the page that was under way is the last"
    );
    assert_eq!(made_up.asked().len(), 3);
    round.orders.resume();
    assert_eq!(round.found().await.len(), 210);
    assert_eq!(made_up.asked().len(), 12);
}

/// A PDS with so many accounts, of which every tenth has records in scope. Of `revs` it has made so many commits each.
fn pds(asked: &Asked, accounts: usize, rev: &str) -> Said {
    match asked.method() {
        BY_COLLECTION => Said::error(400, "InvalidRequest"),
        REPOS => {
            // A cursor with every page that is not empty, as the official PDS has it.
            let from: usize = asked.param("cursor").map_or(0, |cursor| cursor.parse().unwrap());
            let to = (from + 500).min(accounts);
            let entry = |number: usize| json!({"did": did(number), "rev": rev, "active": number % 7 != 3});
            let repos: Vec<Json> = (from..to).map(entry).collect();
            let mut page = json!({ "repos": repos });
            if from < to {
                page["cursor"] = to.to_string().into();
            }
            Said::json(&page)
        }
        DESCRIBE => {
            let whose = asked.param("repo").unwrap();
            let number = number(&whose);
            let other = ["app.bsky.feed.post", "dev.cocorex.other"];
            let ours = ["app.bsky.feed.post", "dev.cocore.compute.job"];
            Said::json(
                &json!({"did": whose, "collections": if number.is_multiple_of(10) { ours } else { other }}),
            )
        }
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn where_only_a_pds_is_at_hand_all_its_repositories_are_looked_at_within_its_budget() {
    const ACCOUNTS: usize = 4_000;
    let made_up = MadeUp::new(|asked| pds(asked, ACCOUNTS, "3mx22tmmvc22b"));
    let mut round = Round::begin(&made_up);
    let expected: BTreeSet<Did> =
        (0..ACCOUNTS).filter(|number| number.is_multiple_of(10) && number % 7 != 3).map(did).collect();
    assert_eq!(round.found().await.into_iter().collect::<BTreeSet<_>>(), expected);
    let asked = made_up.asked();
    assert!(most_within(secs(300), &asked) <= 2_000, "{}", most_within(secs(300), &asked));
    let described = made_up.times(DESCRIBE);
    assert_eq!(described, (0..ACCOUNTS).filter(|number| number % 7 != 3).count(), "none that is inactive");
    // Those that had nothing to give are not looked at again until they have changed.
    round.search.begin();
    assert_eq!(round.found().await.into_iter().collect::<BTreeSet<_>>(), expected);
    assert_eq!(made_up.times(DESCRIBE), described + expected.len());
}

#[tokio::test(start_paused = true)]
async fn a_repository_that_has_changed_since_it_was_passed_over_is_looked_at_again() {
    let rounds = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&rounds);
    let made_up = MadeUp::new(move |asked| {
        if asked.method() == BY_COLLECTION {
            counted.fetch_add(1, Ordering::Relaxed);
        }
        let is_first = counted.load(Ordering::Relaxed) < 2;
        pds(asked, 20, if is_first { "3mx22tmmvc22b" } else { "3mx22vftx222b" })
    });
    let mut round = Round::begin(&made_up);
    round.found().await;
    let described = made_up.times(DESCRIBE);
    round.search.begin();
    round.found().await;
    assert_eq!(made_up.times(DESCRIBE), 2 * described);
}

#[tokio::test(start_paused = true)]
async fn a_relay_that_denies_its_directory_for_once_is_not_taken_for_a_pds_with_the_whole_network() {
    let made_up = MadeUp::new(|asked| match asked.method() {
        BY_COLLECTION => Said::new(404, "<html>not found</html>"),
        REPOS => Said::json(&page(asked, 0..1_000_000, 1_000, named)),
        _ => Said::error(404, "XRPCNotSupported"),
    });
    let mut round = Round::begin(&made_up);
    assert_eq!(round.found().await, []);
    assert_eq!(made_up.asked().len(), 3, "nobody is described after the first");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_describes_nobody_for_a_while_is_asked_about_them_later() {
    let made_up = MadeUp::new(|asked| match asked.method() {
        DESCRIBE if asked.at < secs(60) => Said::error(500, "InternalServerError"),
        _ => pds(asked, 31, "3mx22tmmvc22b"),
    });
    let mut round = Round::begin(&made_up);
    let found: BTreeSet<Did> = round.found_within(secs(3600)).await.into_iter().collect();
    assert_eq!(found, [did(0), did(20), did(30)].into(), "the tenth is not active");
}
