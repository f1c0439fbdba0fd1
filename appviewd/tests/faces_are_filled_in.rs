//! What a profile lacks is asked of the Bluesky API only where an operator says so, and never holds or fails an answer.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::routing::get as route;
use fixtures::world::Did;
use fixtures::{Write, records};
use serde_json::{Value as Json, json};
use support::Scenario;
use support::daemon::Daemon;
use support::http::{ask, get};
use support::town::Town;
use tokio::net::TcpListener;

/// The API, which knows everybody; how often it was asked.
async fn api(hangs: bool) -> (SocketAddr, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let answer = async move |State(asked): State<Arc<AtomicUsize>>, RawQuery(query): RawQuery| {
        asked.fetch_add(1, Ordering::SeqCst);
        if hangs {
            std::future::pending::<()>().await;
        }
        let dids = query.unwrap().replace("%3A", ":");
        let profile =
            |did: &str| json!({"did": did, "handle": "known.example", "avatar": "https://cdn.example/a"});
        let profiles: Vec<Json> =
            dids.split('&').map(|pair| profile(pair.strip_prefix("actors=").unwrap())).collect();
        axum::Json(json!({"profiles": profiles}))
    };
    let router =
        Router::new().route("/xrpc/app.bsky.actor.getProfiles", route(answer)).with_state(Arc::clone(&asked));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, asked)
}

/// A town in which somebody without a profile trusts somebody with half of one, followed by a daemon.
async fn followed(arguments: &[&str]) -> (Town, [Did; 2], Daemon, Scenario) {
    let (town, scenario) = (Town::start().await, Scenario::empty());
    let (ada, boris) = (town.account(), town.account());
    town.commit(&ada, vec![Write::create(records::FRIEND, "3jzfcijpj2z2a", records::friend(&boris, 0))]);
    town.commit(&boris, vec![Write::create(records::PROFILE, "self", records::profile("Boris", 0))]);
    let daemon = town.followed(&scenario, arguments).await;
    (town, [ada, boris], daemon, scenario)
}

async fn profile(daemon: &Daemon, did: &Did) -> Json {
    let path = format!("/xrpc/dev.cocore.account.getProfile?did={did}");
    get(daemon.address, &path).await["profile"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_profile_lacks_is_filled_in_and_what_it_says_stays() {
    let (address, asked) = api(false).await;
    let url = format!("http://{address}");
    let (_town, [ada, boris], daemon, _scenario) = followed(&["--bluesky-api", &url]).await;
    let known = profile(&daemon, &ada).await;
    assert_eq!((&known["handle"], &known["displayName"]), (&json!("known.example"), &Json::Null));
    assert_eq!(known["avatarUrl"], json!("https://cdn.example/a"));
    let half = profile(&daemon, &boris).await;
    assert_eq!((&half["handle"], &half["displayName"]), (&json!("known.example"), &json!("Boris")));
    let accounts = get(daemon.address, "/xrpc/dev.cocore.account.listAccounts").await;
    for account in accounts["accounts"].as_array().unwrap() {
        assert_eq!(account["handle"], json!("known.example"), "{account}");
    }
    let path = format!("/xrpc/dev.cocore.account.listIncomingFriends?did={boris}");
    let friends = get(daemon.address, &path).await;
    assert_eq!(friends["friends"][0]["frienderHandle"], json!("known.example"), "{friends}");
    assert_eq!(asked.load(Ordering::SeqCst), 2, "once for each account, whatever asks");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_unless_an_operator_says_so() {
    let (_town, [ada, boris], daemon, _scenario) = followed(&[]).await;
    let unknown = profile(&daemon, &ada).await;
    assert_eq!((&unknown["handle"], &unknown["avatarUrl"]), (&Json::Null, &Json::Null));
    let path = format!("/xrpc/dev.cocore.account.listIncomingFriends?did={boris}");
    assert_eq!(get(daemon.address, &path).await["friends"][0]["frienderHandle"], Json::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_hangs_holds_no_answer_for_long() {
    let (address, asked) = api(true).await;
    let url = format!("http://{address}");
    let (_town, [ada, _], daemon, _scenario) = followed(&["--bluesky-api", &url]).await;
    let began = Instant::now();
    let answer = ask(daemon.address, "GET", &format!("/xrpc/dev.cocore.account.getProfile?did={ada}")).await;
    assert_eq!((answer.status, &answer.body["profile"]["handle"]), (200, &Json::Null));
    // Half a second, and what a busy machine adds.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}
