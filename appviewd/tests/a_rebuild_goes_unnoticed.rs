//! `appviewd rebuild --from network`, with a daemon and without: who reads meanwhile notices nothing, and nothing that
//! happens meanwhile is lost.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt as _;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use appview_core::index::Index;
use fixtures::recording::Record;
use fixtures::records::Machine;
use fixtures::world::Did;
use fixtures::{Write, records};
use serde_json::{Value as Json, json};
use tokio::task::spawn_blocking;

use support::daemon::Daemon;
use support::http::ask;
use support::town::Town;
use support::{Scenario, fingerprint};

/// How long anything here may take before something must be wrong.
const PATIENCE: Duration = Duration::from_secs(60);
const PROVIDERS: &str = "/xrpc/dev.cocore.compute.listProviders?limit=100";

/// One of a thousand providers that an account may declare.
fn provider(number: usize) -> Write {
    let digit = |place: usize| char::from(b"234567abcdefghijklmnopqrstuvwxyz"[number / place % 32]);
    let key = format!("3jzfcijpj2z{}{}", digit(32), digit(1));
    Write::create(records::PROVIDER, &key, records::provider(&Machine::new(number as u64), 0))
}

/// A town with a few people, and the folder of an index of it.
async fn town() -> (Town, Vec<Did>, Arc<Scenario>) {
    let town = Town::start().await;
    let people: Vec<Did> = (0..6).map(|_| town.account()).collect();
    for did in &people {
        town.commit(did, vec![provider(0)]);
    }
    (town, people, Arc::new(Scenario::empty()))
}

fn arguments(town: &Town) -> Vec<String> {
    ["--relay", &town.relay(), "--plc", &town.http(), "--allow-private-hosts"].map(str::to_owned).into()
}

/// The daemon as a process, once its index is what was signed.
async fn follow(town: &Town, scenario: &Scenario) -> Daemon {
    let arguments = arguments(town);
    let daemon = Daemon::serve(scenario, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    comes_to_equal(town, scenario).await;
    daemon
}

async fn comes_to_equal(town: &Town, scenario: &Scenario) {
    let index = Index::open_existing(scenario.path("appview-data/index.db")).unwrap();
    let equal = async {
        while index.fingerprint().unwrap().to_string() != fingerprint(&town.records()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, equal).await.expect("the index comes to be what was signed");
}

async fn rebuild(town: &Town, scenario: &Arc<Scenario>) -> Output {
    let (arguments, scenario) = (arguments(town), Arc::clone(scenario));
    spawn_blocking(move || {
        let arguments = arguments.iter().map(String::as_str);
        scenario
            .run(&["rebuild", "--from", "network", "--json"].into_iter().chain(arguments).collect::<Vec<_>>())
    })
    .await
    .unwrap()
}

fn told(output: &Output) -> Json {
    let told = serde_json::from_slice(&output.stdout);
    told.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

/// Which file stands there.
fn inode(scenario: &Scenario) -> u64 {
    std::fs::metadata(scenario.path("appview-data/index.db")).unwrap().ino()
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_never_fail_nor_go_back_and_what_is_signed_meanwhile_is_there() {
    let (town, people, scenario) = town().await;
    let daemon = follow(&town, &scenario).await;
    let (before, address) = (inode(&scenario), daemon.address);
    let (is_over, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (is_over, reads) = (Arc::clone(&is_over), Arc::clone(&reads));
            tokio::spawn(async move {
                let mut seen = BTreeSet::new();
                while !is_over.load(Ordering::Relaxed) {
                    let answer = ask(address, "GET", PROVIDERS).await;
                    assert_eq!(answer.status, 200, "{}", answer.body);
                    let providers = answer.body["providers"].as_array().unwrap();
                    let now: BTreeSet<String> =
                        providers.iter().map(|item| item["uri"].as_str().unwrap().to_owned()).collect();
                    assert!(seen.is_subset(&now), "{:?} went away", seen.difference(&now));
                    seen = now;
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let signer = {
        let (town, people, is_over) = (town.clone(), people.clone(), Arc::clone(&is_over));
        tokio::spawn(async move {
            let mut signed = 0;
            for number in 1..14 {
                for did in &people {
                    town.commit(did, vec![provider(number)]);
                    signed += 1;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    if is_over.load(Ordering::Relaxed) {
                        return signed;
                    }
                }
            }
            signed
        })
    };
    let rebuilt = told(&rebuild(&town, &scenario).await);
    assert_eq!((&rebuilt["swapped"], &rebuilt["whole"]), (&json!(true), &json!(true)), "{rebuilt}");
    comes_to_equal_while(&town, &scenario, signer).await;
    is_over.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    assert_ne!(inode(&scenario), before, "another file stands there");
    assert!(reads.load(Ordering::Relaxed) > 10);

    // At rest, the next one agrees; and the daemon goes on.
    let output = rebuild(&town, &scenario).await;
    let rebuilt = told(&output);
    assert_eq!((&rebuilt["agrees"], &rebuilt["differs"]), (&json!(true), &json!([])), "{rebuilt}");
    assert!(output.status.success());
    town.commit(&people[0], vec![provider(20)]);
    comes_to_equal(&town, &scenario).await;
}

async fn comes_to_equal_while(town: &Town, scenario: &Scenario, signer: tokio::task::JoinHandle<u32>) {
    assert!(signer.await.unwrap() > 0, "something was signed meanwhile");
    comes_to_equal(town, scenario).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_rebuild_is_told_of_the_first() {
    let (town, _, scenario) = town().await;
    let daemon = follow(&town, &scenario).await;
    let asked = town.hold();
    let first = tokio::spawn({
        let (town, scenario) = (town.clone(), Arc::clone(&scenario));
        async move { rebuild(&town, &scenario).await }
    });
    town.asked_for_more_than(asked).await;
    let second = rebuild(&town, &scenario).await;
    assert_eq!(second.status.code(), Some(1));
    let error = String::from_utf8(second.stderr).unwrap();
    assert!(error.contains("another rebuild of "), "{error}");
    town.release();
    assert_eq!(told(&first.await.unwrap())["agrees"], true);
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_orders_meanwhile_is_heeded_before_the_swap() {
    let (town, people, scenario) = town().await;
    let daemon = follow(&town, &scenario).await;
    let silent = town.account();
    let asked = town.hold();
    let rebuilding = tokio::spawn({
        let (town, scenario) = (town.clone(), Arc::clone(&scenario));
        async move { rebuild(&town, &scenario).await }
    });
    town.asked_for_more_than(asked).await;
    let (ordering, left_out, tracked) = (Arc::clone(&scenario), people[1].to_string(), silent.to_string());
    spawn_blocking(move || {
        ordering.succeed(&["repo", "untrack", &left_out]);
        ordering.succeed(&["repo", "track", &tracked]);
    })
    .await
    .unwrap();
    town.release();
    let rebuilt = told(&rebuilding.await.unwrap());
    let is_left = |record: &Record| !record.uri.contains(&*people[1]);
    let left: Vec<Record> = town.records().into_iter().filter(is_left).collect();
    assert_eq!((&rebuilt["whole"], &rebuilt["swapped"]), (&json!(true), &json!(true)), "{rebuilt}");
    assert_eq!(rebuilt["fingerprint"], fingerprint(&left), "{rebuilt}");
    let status = |did: &Did| -> Json {
        serde_json::from_str(&scenario.succeed(&["repo", "status", did, "--json"])).unwrap()
    };
    assert_eq!(
        (&status(&people[1])["followed"], &status(&silent)["followed"]),
        (&json!(false), &json!(true))
    );
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_on_its_way_is_no_difference() {
    let (town, people, scenario) = town().await;
    let daemon = follow(&town, &scenario).await;
    town.sign(&people[2], vec![provider(1)]);
    let output = rebuild(&town, &scenario).await;
    let rebuilt = told(&output);
    assert_eq!((&rebuilt["agrees"], &rebuilt["differs"]), (&json!(true), &json!([])), "{rebuilt}");
    assert_eq!(rebuilt["fingerprint"], fingerprint(&town.records()));
    assert!(output.status.success());
    drop(daemon);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_daemon_it_is_done_at_once_and_says_who_differs() {
    let (town, people, scenario) = town().await;
    // From nothing.
    let output = rebuild(&town, &scenario).await;
    let rebuilt = told(&output);
    assert_eq!(rebuilt["fingerprint"], fingerprint(&town.records()));
    assert_eq!((&rebuilt["before"], &rebuilt["agrees"]), (&Json::Null, &Json::Null));
    assert!(output.status.success());
    // What happened since is what it finds.
    town.commit(&people[1], vec![provider(1)]);
    let output = rebuild(&town, &scenario).await;
    let rebuilt = told(&output);
    assert_eq!((&rebuilt["agrees"], &rebuilt["differs"]), (&json!(false), &json!([*people[1]])));
    assert_eq!(rebuilt["fingerprint"], fingerprint(&town.records()));
    assert_eq!(output.status.code(), Some(1), "whoever has it done by a script wants to know");
    assert!(rebuild(&town, &scenario).await.status.success());
}
