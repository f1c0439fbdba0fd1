//! Wherever the process ends while somebody's data is wiped, the next one goes on, and ends with all of it gone.
//!
//! The points are global: this file has one test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::time::Duration;

use appview_core::syntax::Did;
use appviewd::account::{Actor, Extent, Held, SessionsAfter};
use fail::FailScenario;
use fixtures::{Write, records};

use support::authority::Authority;
use support::exchange::{Exchange, Streams};

/// Where it ends.
const POINTS: [&str; 12] = [
    "wipe::listed",
    "wipe::before-delete",
    "wipe::after-delete",
    "wipe::before-save",
    "wipe::after-save",
    "wipe::excluded",
    "wipe::rows-erased",
    "wipe::index-cleared",
    "account::report-erased",
    "wipe::account-erased",
    "wipe::sessions-ended",
    "account::after-commit",
];

#[tokio::test(flavor = "multi_thread")]
async fn wherever_it_ends_the_next_process_goes_on() {
    let _points = FailScenario::setup();
    let authority = Authority::start().await;
    let ada = authority.account();
    let did: Did = ada.parse().unwrap();
    let mut exchange = Exchange::start(&authority, Streams::Relay).await;
    for point in POINTS {
        for occasion in 0..2 {
            exchange.sign_in(&authority, &ada).await;
            exchange.key(&ada);
            exchange.store.keep_report(&did, b"report", exchange.oauth.now()).unwrap();
            let friend = |at: u64| {
                Write::create(records::FRIEND, &format!("f{at}"), records::friend("did:web:a.example", 0))
            };
            authority.town().commit(&ada, (0..3).map(friend).collect());
            exchange.wiper.begin(&did, Extent::Everything, SessionsAfter::End, Actor::Browser).await.unwrap();
            fail::cfg(point, &format!("{occasion}*off->1*panic->off")).unwrap();
            let wiped = async {
                loop {
                    let wipe = exchange.wiper.newest(&did).await.unwrap().unwrap();
                    if wipe.complete {
                        break wipe;
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            // What broke off is gone on with, in the same process a moment later.
            let wipe = tokio::time::timeout(Duration::from_secs(60), wiped).await.expect(point);
            fail::remove(point);
            assert_eq!(
                wipe.seen.map(|seen| (seen.repo, seen.index, seen.account)),
                Some((0, 0, 0)),
                "{point}"
            );
            assert_eq!(exchange.store.held(&did).unwrap(), Held::default(), "{point}");
            assert!(authority.town().world().records(&ada).is_empty(), "{point}");
            assert!(exchange.indexed().is_empty(), "{point}");
        }
        exchange = Exchange::again(&authority, Streams::Relay, exchange.stop().await).await;
    }
    exchange.stop().await;
}
