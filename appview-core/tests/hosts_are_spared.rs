//! However much there is to ask, no host is asked more than it takes, and none that rests keeps others waiting.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod outside;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use appview_core::block::Cid;
use appview_core::source::pump::{Answer, Input, Request, Upstream as _};
use appview_core::sync::{Freshness, Postponed, RepoHead};
use outside::{Asked, Asker, MadeUp, PDS, PLC, Said, did, document, most_within, number};
use serde_json::json;

const WINDOW: Duration = Duration::from_secs(5 * 60);
const REV: &str = "3mx22tmmvc22b";

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn held() -> RepoHead {
    RepoHead { rev: REV.parse().unwrap(), data: Cid::of(b"a tree") }
}

/// What is held of a repository is what its host has.
fn up_to_date() -> Said {
    Said::json(&json!({"cid": "bafyreigwzqkig7wjik4e7ikb625xfkbdu4m5umrgkgolhqvxi73ne47huy", "rev": REV}))
}

fn repo(number: usize) -> Request {
    Request::Repo { did: did(number), held: Some(held()), attempt: 0, not_before: 0 }
}

/// A directory in which everybody is at the PDS of the tests, and what that says.
fn at_pds(pds: impl Fn(&Asked) -> Said + Send + Sync + 'static) -> MadeUp {
    MadeUp::new(move |asked| match asked.host() {
        "plc.example.com" => Said::json(&document(asked.method(), PDS)),
        _ => pds(asked),
    })
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_repositories_at_one_host_are_asked_for_within_its_budget() {
    let made_up = at_pds(|_| up_to_date());
    let mut asker = Asker::new(&made_up);
    for number in 0..10_000 {
        asker.asking.ask(repo(number));
    }
    let mut current = BTreeSet::new();
    while current.len() < 10_000 {
        let Answer::Current { did, .. } = asker.answer().await else { panic!("it is current") };
        current.insert(did);
    }
    let asked = made_up.asked_of(PDS);
    assert_eq!(asked.len(), 10_000, "each once");
    let most = most_within(WINDOW, &asked);
    assert!(most <= 2_000, "{most} in five minutes");
    assert!(most > 1_900, "{most} in five minutes is less than need be");
    assert_eq!(made_up.at_once(PDS), 2);
    let of_directory = made_up.asked_of(PLC);
    assert_eq!(of_directory.len(), 10_000);
    assert!(most_within(WINDOW, &of_directory) <= 3_000);
    assert!(made_up.at_once(PLC) <= 8);
}

#[tokio::test(start_paused = true)]
async fn a_dead_host_with_ten_thousand_repositories_is_hardly_asked() {
    let made_up = at_pds(|_| Said::refused());
    let mut asker = Asker::new(&made_up);
    for number in 0..10_000 {
        asker.asking.ask(repo(number));
    }
    let mut told = BTreeSet::new();
    let day = tokio::time::sleep(secs(12 * 3600));
    tokio::pin!(day);
    loop {
        tokio::select! {
            biased;
            () = &mut day => break,
            heard = asker.hear() => match heard {
                Input::Postponed { did, .. } => told.insert(did),
                other => panic!("{other:?}"),
            },
        };
    }
    let asked = made_up.asked_of(PDS).len();
    assert!((12..60).contains(&asked), "asked {asked} times in half a day");
    // Only those that were tried were put off for it.
    assert!(told.len() <= asked);
    assert_eq!(asker.network.progress.read(outside::BEGIN).waiting, 10_000);
    // Whether an account has left it is asked a few times a day.
    let of_directory = made_up.asked_of(PLC).len();
    assert!((20_000..50_000).contains(&of_directory), "the directory was asked {of_directory} times");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_comes_back_is_noticed_and_caught_up_with() {
    let is_back = Arc::new(AtomicBool::new(false));
    let back = Arc::clone(&is_back);
    let made_up =
        at_pds(move |_| if back.load(Ordering::Relaxed) { up_to_date() } else { Said::error(502, "") });
    let mut asker = Asker::new(&made_up);
    for number in 0..500 {
        asker.asking.ask(repo(number));
    }
    tokio::time::sleep(secs(2 * 3600)).await;
    is_back.store(true, Ordering::Relaxed);
    let mut current = BTreeSet::new();
    while current.len() < 500 {
        if let Answer::Current { did, .. } = asker.answer().await {
            current.insert(did);
        }
    }
    assert!(made_up.asked().last().unwrap().at < secs(4 * 3600), "within two hours of its return");
}

#[tokio::test(start_paused = true)]
async fn whose_account_leaves_a_dead_host_does_not_wait_for_it() {
    let has_moved = Arc::new(AtomicBool::new(false));
    let moved = Arc::clone(&has_moved);
    let made_up = MadeUp::new(move |asked| match asked.host() {
        "plc.example.com" if moved.load(Ordering::Relaxed) => {
            Said::json(&document(asked.method(), "https://refuge.example.com"))
        }
        "plc.example.com" => Said::json(&document(asked.method(), PDS)),
        "refuge.example.com" => up_to_date(),
        _ => Said::refused(),
    });
    let mut asker = Asker::new(&made_up);
    for number in 0..1_000 {
        asker.asking.ask(repo(number));
    }
    tokio::time::sleep(secs(24 * 3600)).await;
    has_moved.store(true, Ordering::Relaxed);
    let mut current = BTreeSet::new();
    while current.len() < 1_000 {
        if let Answer::Current { did, .. } = asker.answer().await {
            current.insert(did);
        }
    }
    assert!(made_up.asked().last().unwrap().at < secs(30 * 3600), "within six hours");
}

/// Asks for one repository and then, when it has been put off for a refusal, for others of the same host; returns for how
/// long the host was left alone after it.
async fn rest_after(refusal: Said) -> Duration {
    let asked_before = AtomicUsize::new(0);
    let made_up = at_pds(move |_| match asked_before.fetch_add(1, Ordering::Relaxed) {
        0 => refusal.clone(),
        _ => up_to_date(),
    });
    let mut asker = Asker::new(&made_up);
    asker.asking.ask(repo(0));
    let Input::Postponed { .. } = asker.hear().await else { panic!("it was refused") };
    for number in 1..5 {
        asker.asking.ask(repo(number));
    }
    for _ in 0..5 {
        let Answer::Current { .. } = asker.answer().await else { panic!("it is current") };
    }
    let asked = made_up.asked_of(PDS);
    asked[1].at - asked[0].at
}

#[tokio::test(start_paused = true)]
async fn a_host_that_asks_for_a_rest_has_it_however_it_asks() {
    let about = |rest: Duration, seconds: u64| {
        assert!(rest >= secs(seconds) && rest < secs(seconds + 2), "{rest:?} instead of {seconds} s");
    };
    let limited = || Said::error(429, "RateLimitExceeded");
    about(rest_after(limited().with("retry-after", "30")).await, 30);
    about(rest_after(limited().with("retry-after", "Sun, 04 Oct 2026 09:17:00 GMT")).await, 120);
    about(rest_after(limited()).await, 60);
    about(rest_after(Said::new(429, "<html>Too many requests</html>")).await, 60);
    about(rest_after(Said::error(503, "NotEnoughResources").with("retry-after", "20")).await, 20);
    // Nobody is waited for longer than an hour, nor asked again within a second.
    about(rest_after(limited().with("retry-after", "864000")).await, 3600);
    about(rest_after(limited().with("retry-after", "0")).await, 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_host_says_is_left_of_its_allowance_is_not_overdrawn() {
    // A window of ten requests in a minute, counted by the host.
    let spent = AtomicUsize::new(0);
    let made_up = at_pds(move |asked| {
        let window = asked.at.as_secs() / 60;
        let spent = spent.fetch_add(1, Ordering::Relaxed) % 10 + 1;
        let reset = outside::BEGIN / 1_000_000 + (window + 1) * 60;
        up_to_date()
            .with("ratelimit-remaining", (10 - spent).to_string())
            .with("ratelimit-reset", reset.to_string())
    });
    let mut asker = Asker::new(&made_up);
    for number in 0..27 {
        asker.asking.ask(repo(number));
    }
    for _ in 0..27 {
        let Answer::Current { .. } = asker.answer().await else { panic!("it is current") };
    }
    assert!(most_within(secs(50), &made_up.asked_of(PDS)) <= 10);
}

#[tokio::test(start_paused = true)]
async fn hosts_that_hang_keep_nobody_from_the_others() {
    // As many as there are places for requests, twice over.
    let made_up = MadeUp::new(|asked| match asked.host() {
        "plc.example.com" => {
            let number = number(asked.method());
            let pds = if number < 128 { format!("https://h{number}.example.com") } else { PDS.to_owned() };
            Said::json(&document(asked.method(), &pds))
        }
        "pds.example.com" => up_to_date(),
        _ => Said::silence(),
    });
    let mut asker = Asker::new(&made_up);
    for number in 0..200 {
        asker.asking.ask(repo(number));
    }
    for _ in 128..200 {
        let Answer::Current { .. } = asker.answer().await else { panic!("it is current") };
    }
    let last = made_up.asked_of(PDS).last().unwrap().at;
    assert!(last < secs(40), "the last of the living was asked after {last:?}");
}

#[tokio::test(start_paused = true)]
async fn exports_that_trickle_leave_their_places_to_others() {
    let made_up = MadeUp::new(|asked| match (asked.host(), asked.method()) {
        ("plc.example.com", _) => {
            let number = number(asked.method());
            let pds = if number < 40 { format!("https://h{number}.example.com") } else { PDS.to_owned() };
            Said::json(&document(asked.method(), &pds))
        }
        ("pds.example.com", _) => up_to_date(),
        // Fast enough not to be given up, and for ever.
        _ => {
            let mut trickle = Said::new(200, vec![0; 16 << 10]).after(secs(5));
            trickle.ending = outside::Ending::Endless;
            trickle
        }
    });
    let mut asker = Asker::new(&made_up);
    let whole = |number| Request::Repo { did: did(number), held: None, attempt: 0, not_before: 0 };
    (0..40).for_each(|number| _ = asker.asking.ask(whole(number)));
    tokio::time::sleep(secs(30)).await;
    (40..50).for_each(|number| _ = asker.asking.ask(whole(number)));
    let honest: BTreeSet<_> = (40..50).map(did).collect();
    let mut heard = BTreeSet::new();
    while heard.len() < honest.len() {
        match asker.hear_within(secs(600)).await.expect("the honest have their turn") {
            // What the test's PDS answers is no export, but it was read to its end.
            Input::Postponed { did, .. } if honest.contains(&did) => heard.insert(did),
            _ => false,
        };
    }
    let trickled: BTreeSet<String> = made_up
        .asked()
        .iter()
        .filter(|asked| asked.host().starts_with('h'))
        .map(|asked| asked.host().to_owned())
        .collect();
    assert_eq!(trickled.len(), 40);
}

#[tokio::test(start_paused = true)]
async fn what_frames_wait_for_goes_before_fetches_and_these_before_audits() {
    let made_up = at_pds(|_| up_to_date());
    let mut asker = Asker::new(&made_up);
    // Who signs for the first half is known, so that all of it waits at the PDS.
    for number in 0..400 {
        asker.asking.ask(Request::Identity { did: did(number), freshness: Freshness::Cached });
    }
    for _ in 0..400 {
        let Answer::Identity { .. } = asker.answer().await else { panic!("an identity") };
    }
    for number in 0..400 {
        asker.asking.ask(Request::Audit { did: did(number), held: held() });
    }
    tokio::time::sleep(secs(20)).await;
    let audited = made_up.asked_of(PDS).len();
    assert!((100..250).contains(&audited), "{audited} audits");
    for number in 400..450 {
        asker.asking.ask(repo(number));
    }
    // What audits have left of the budget is there for fetches at once.
    tokio::time::sleep(secs(5)).await;
    let fetched: Vec<_> = made_up.asked_of(PDS)[audited..].to_vec();
    let numbers: BTreeSet<String> = (400..450).map(|number| did(number).to_string()).collect();
    let first: Vec<bool> =
        fetched.iter().map(|asked| numbers.contains(&asked.param("did").unwrap())).collect();
    assert_eq!(first.iter().filter(|is_fetch| **is_fetch).count(), 50, "all of them");
    // While the directory is busy with 300 more repositories, an identity that frames wait for is there at once.
    for number in 500..900 {
        asker.asking.ask(repo(number));
    }
    tokio::time::sleep(secs(2)).await;
    let begun = tokio::time::Instant::now();
    asker.asking.ask(Request::Identity { did: did(1_000), freshness: Freshness::Fresh });
    loop {
        if let Answer::Identity { .. } = asker.answer().await {
            break;
        }
    }
    assert!(begun.elapsed() < secs(1), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_during_a_pause() {
    let made_up = at_pds(|_| up_to_date());
    let mut asker = Asker::new(&made_up);
    asker.orders.pause();
    for number in 0..10 {
        asker.asking.ask(repo(number));
    }
    assert!(asker.hear_within(secs(3600)).await.is_none());
    assert_eq!(made_up.asked().len(), 0);
    asker.orders.resume();
    for _ in 0..10 {
        let Answer::Current { .. } = asker.answer().await else { panic!("it is current") };
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_told_with_the_moment_of_the_next_try_which_comes_later_each_time() {
    let made_up = at_pds(|_| Said::error(400, "InvalidRequest"));
    let mut asker = Asker::new(&made_up);
    asker.asking.ask(repo(0));
    let mut pauses = Vec::new();
    for attempt in 1..=14 {
        let Input::Postponed { did: whose, postponed: Postponed { attempt: told, until } } =
            asker.hear().await
        else {
            panic!("it was put off")
        };
        assert_eq!((whose, told), (did(0), attempt));
        let last = made_up.asked_of(PDS).last().unwrap().at;
        pauses.push((Duration::from_micros(until - outside::BEGIN) - last).as_secs());
    }
    assert!(pauses[0] <= 2, "{pauses:?}");
    assert!(pauses.windows(2).take(9).all(|pair| pair[0] <= pair[1]), "{pauses:?}");
    assert!(pauses[12..].iter().all(|pause| (1_799..=3_600).contains(pause)), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_put_off_before_a_restart_waits_for_its_moment_after_it() {
    let made_up = at_pds(|_| up_to_date());
    let mut asker = Asker::new(&made_up);
    let not_before = outside::BEGIN + 1_000_000 * 1_500;
    asker.asking.ask(Request::Repo { did: did(0), held: Some(held()), attempt: 9, not_before });
    let Answer::Current { .. } = asker.answer().await else { panic!("it is current") };
    assert!(made_up.asked()[0].at >= secs(1_500), "{:?}", made_up.asked()[0].at);
    assert!(made_up.asked()[0].at < secs(1_501), "{:?}", made_up.asked()[0].at);
}
