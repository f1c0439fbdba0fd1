//! Who signs for a DID is asked of whoever knows, as often as it must be and no more.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod outside;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use appview_core::source::directory::{Directory, ResolveError};
use appview_core::source::http::Http;
use appview_core::source::pump::{Answer, Request, Upstream as _};
use appview_core::source::turns::Politeness;
use appview_core::source::wire::Reach;
use appview_core::sync::Freshness::{self, Cached, Fresh};
use appview_core::sync::verifier::Unresolved;
use appview_core::syntax::Did;
use outside::{Asked, Asker, MadeUp, PDS, PLC, Said, did, document, not_registered};
use serde_json::json;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

fn directory(made_up: &MadeUp) -> Directory {
    reaching(made_up, Reach::Public)
}

fn reaching(made_up: &MadeUp, reach: Reach) -> Directory {
    let mut outside = made_up.outside();
    outside.reach = reach;
    Directory::new(Http::new(&outside, Politeness::default()), outside.clock.clone(), PLC)
}

fn found(asked: &Asked) -> Said {
    Said::json(&document(asked.method(), PDS))
}

/// A directory that works up to some time, and does not answer from then on.
fn working_until(end: Duration) -> MadeUp {
    MadeUp::new(
        move |asked| if asked.at < end { found(asked) } else { Said::error(500, "InternalServerError") },
    )
}

#[tokio::test(start_paused = true)]
async fn a_document_will_do_for_an_hour() {
    let made_up = MadeUp::new(found);
    let directory = directory(&made_up);
    for (pause, times) in [(Duration::ZERO, 1), (HOUR - MINUTE, 1), (2 * MINUTE, 2)] {
        tokio::time::sleep(pause).await;
        assert_eq!(directory.resolve(&did(0), Cached).await.unwrap().pds(), Some(PDS));
        assert_eq!(made_up.asked().len(), times, "after {pause:?} more");
    }
    directory.resolve(&did(0), Fresh).await.unwrap();
    assert_eq!(made_up.asked().len(), 3, "past every cache");
}

#[tokio::test(start_paused = true)]
async fn an_old_document_will_do_where_nobody_can_be_asked_but_not_for_longer_than_a_day() {
    let made_up = working_until(MINUTE);
    let directory = directory(&made_up);
    directory.resolve(&did(0), Cached).await.unwrap();
    tokio::time::sleep(23 * HOUR).await;
    assert!(directory.resolve(&did(0), Cached).await.is_ok());
    assert_eq!(made_up.asked().len(), 2, "it was asked for first");
    // Whoever needs to know what it says today is not told what it said yesterday.
    assert!(matches!(directory.resolve(&did(0), Fresh).await, Err(ResolveError::Http(_))));
    tokio::time::sleep(HOUR).await;
    assert!(directory.resolve(&did(0), Cached).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn that_there_is_no_such_did_is_remembered_for_two_minutes() {
    let made_up = MadeUp::new(not_registered);
    let directory = directory(&made_up);
    for (pause, times) in [(Duration::ZERO, 1), (MINUTE, 1), (2 * MINUTE, 2)] {
        tokio::time::sleep(pause).await;
        let error = directory.resolve(&did(0), Cached).await.unwrap_err();
        assert!(error.is_gone() && error.is_final());
        assert_eq!(made_up.asked().len(), times, "after {pause:?} more");
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_directory_that_names_the_did_can_say_that_it_is_gone() {
    // What is in front of a directory, or a wrong address, answers 404 as well.
    let someone_else = json!({"message": format!("DID not registered: {}", did(9))}).to_string();
    for body in
        ["<html>not found</html>".to_owned(), json!({"message": "not found"}).to_string(), someone_else]
    {
        let made_up = MadeUp::new(move |_| Said::new(404, body.clone()));
        let error = directory(&made_up).resolve(&did(0), Cached).await.unwrap_err();
        assert!(!error.is_gone() && !error.is_final(), "{error}");
    }
    let tombstone = |asked: &Asked| {
        Said::new(410, json!({"message": format!("DID not available: {}", asked.method())}).to_string())
    };
    let made_up = MadeUp::new(tombstone);
    let error = directory(&made_up).resolve(&did(0), Cached).await.unwrap_err();
    assert!(error.is_gone() && matches!(error, ResolveError::Tombstoned { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn only_the_plc_directory_can_say_that_a_did_has_been_ended_for_good() {
    let says = |status, text: &'static str| {
        MadeUp::new(move |asked| {
            let whose =
                if asked.host() == "plc.example.com" { asked.method() } else { "did:web:ada.example.com" };
            Said::new(status, json!({"message": format!("{text}: {whose}")}).to_string())
        })
    };
    let web: Did = "did:web:ada.example.com".parse().unwrap();
    for (status, text, is_tombstone) in [
        (410, "DID not available", true),
        // As the reference implementation has it.
        (404, "DID not available", true),
        (410, "Gone", true),
        (404, "DID not registered", false),
    ] {
        let made_up = says(status, text);
        let error = directory(&made_up).resolve(&did(0), Cached).await.unwrap_err();
        assert!(error.is_gone(), "{status} {text}: {error}");
        assert_eq!(
            matches!(error, ResolveError::Tombstoned { .. }),
            is_tombstone,
            "{status} {text}: {error}"
        );
        let error = directory(&made_up).resolve(&web, Cached).await.unwrap_err();
        assert!(matches!(error, ResolveError::Gone { .. }), "{status} {text}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn however_many_ask_for_one_did_it_is_asked_for_once_at_a_time() {
    let made_up = MadeUp::new(|asked| found(asked).after(Duration::from_secs(2)));
    let directory = directory(&made_up);
    let resolve = |freshness: Freshness| {
        let directory = directory.clone();
        tokio::spawn(async move { directory.resolve(&did(0), freshness).await.unwrap() })
    };
    let together: Vec<_> = (0..50).map(|_| resolve(Cached)).collect();
    for one in together {
        one.await.unwrap();
    }
    assert_eq!(made_up.asked().len(), 1);
    // Of those who want to know what it says from here on, all are served by one question asked after they came.
    let together: Vec<_> = (0..50).map(|_| resolve(Fresh)).collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let late = resolve(Fresh);
    for one in together {
        one.await.unwrap();
    }
    assert_eq!(made_up.asked().len(), 2 + 1, "and another is under way for who came later");
    late.await.unwrap();
    assert_eq!(made_up.asked().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_changed_identities_asks_a_directory_three_times_a_minute() {
    let made_up = MadeUp::new(found);
    let mut asker = Asker::new(&made_up);
    let fresh = || Request::Identity { did: did(0), freshness: Fresh };
    asker.asking.ask(fresh());
    let _ = asker.answer().await;
    // As the verifier does: the next question follows the answer at once.
    let begun = tokio::time::Instant::now();
    while begun.elapsed() < 10 * MINUTE {
        asker.asking.ask(fresh());
        let Answer::Identity { identity: Ok(_), .. } = asker.answer().await else { panic!("there is one") };
    }
    let times = made_up.asked().len();
    assert!((30..40).contains(&times), "{times} times in ten minutes");
    // Nobody else waits for it.
    let begun = tokio::time::Instant::now();
    asker.asking.ask(Request::Identity { did: did(1), freshness: Fresh });
    let _ = asker.answer().await;
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_asked_about_is_given_up_soon_because_a_stream_waits() {
    for (said, within) in [(Said::refused(), 20), (Said::silence(), 50), (Said::error(429, ""), 40)] {
        let made_up = MadeUp::new(move |_| said.clone());
        let mut asker = Asker::new(&made_up);
        let begun = tokio::time::Instant::now();
        asker.asking.ask(Request::Identity { did: did(0), freshness: Cached });
        let Answer::Identity { identity, .. } = asker.answer().await else { panic!("an answer") };
        assert_eq!(identity.unwrap_err(), Unresolved::Unreachable);
        assert!(begun.elapsed() < Duration::from_secs(within), "{:?}", begun.elapsed());
        // With the directory known to be down, the next is not waited for.
        let begun = tokio::time::Instant::now();
        asker.asking.ask(Request::Identity { did: did(1), freshness: Cached });
        let _ = asker.answer().await;
        assert!(begun.elapsed() < Duration::from_secs(70), "{:?}", begun.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn a_did_web_is_asked_for_at_its_host() {
    let made_up = MadeUp::new(|asked| match (asked.host(), asked.url.path()) {
        ("ada.example.com", "/.well-known/did.json") => Said::json(&document("did:web:ada.example.com", PDS)),
        ("liar.example.com", _) => Said::json(&document("did:web:ada.example.com", PDS)),
        _ => Said::new(404, ""),
    });
    let directory = directory(&made_up);
    let resolve = async |did: &str| directory.resolve(&did.parse::<Did>().unwrap(), Cached).await;
    assert_eq!(resolve("did:web:ada.example.com").await.unwrap().pds(), Some(PDS));
    assert!(resolve("did:web:boris.example.com").await.unwrap_err().is_gone());
    assert!(matches!(resolve("did:web:liar.example.com").await, Err(ResolveError::Identity(_))));
    let asked = made_up.asked().len();
    for private in [
        "did:web:localhost",
        "did:web:localhost%3A2583",
        "did:web:pds.internal",
        "did:web:pds.example.com%3A8443",
        "did:web:10.0.0.1",
        "did:web:pds.example.com:path",
        "did:key:zQ3shqwJEJyMBsBXCWyCBpUBMqxcon9oHB7mCvx4sSpMdLJwc",
    ] {
        let error = resolve(private).await.unwrap_err();
        assert!(matches!(error, ResolveError::Method { .. }) && error.is_final(), "{private}: {error}");
    }
    assert_eq!(made_up.asked().len(), asked, "nobody is asked about those");
}

#[tokio::test(start_paused = true)]
async fn a_did_web_of_localhost_is_for_networks_of_ones_own() {
    let whose = "did:web:localhost%3A2583";
    let made_up = MadeUp::new(move |_| Said::json(&document(whose, "http://localhost:2583")));
    let directory = reaching(&made_up, Reach::Anywhere);
    let identity = directory.resolve(&whose.parse().unwrap(), Cached).await.unwrap();
    assert_eq!(identity.pds(), Some("http://localhost:2583"));
    assert_eq!(made_up.asked()[0].url.as_str(), "http://localhost:2583/.well-known/did.json");
}

#[tokio::test(start_paused = true)]
async fn a_document_beyond_its_size_is_not_read() {
    let sent = Arc::new(AtomicU64::new(0));
    let long = Arc::clone(&sent);
    let made_up = MadeUp::new(move |asked| {
        let mut document = document(asked.method(), PDS);
        document["padding"] = "x".repeat(long.load(Ordering::Relaxed) as usize).into();
        Said::json(&document)
    });
    let directory = directory(&made_up);
    sent.store(60 << 10, Ordering::Relaxed);
    assert!(directory.resolve(&did(0), Fresh).await.is_ok());
    sent.store(64 << 10, Ordering::Relaxed);
    let error = directory.resolve(&did(0), Fresh).await.unwrap_err();
    assert!(error.to_string().ends_with("more than 65536 bytes"), "{error}");
}
