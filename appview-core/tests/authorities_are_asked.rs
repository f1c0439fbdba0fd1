//! Brokers and exchanges are asked who they are: where their DID leads, as often as it must be, and never for long.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod outside;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use appview_core::block::Cid;
use appview_core::block::json::json_to_cbor;
use appview_core::source::authority::Authorities;
use appview_core::source::http::Http;
use appview_core::source::seen::Seen;
use appview_core::source::turns::Politeness;
use appview_core::source::wire::Reach;
use appview_core::syntax::Did;
use appview_core::trust::{Document, Evidence, Exhibit, Instant, Origin, Terms};
use outside::{Ending, MadeUp, PLC, Said};
use serde_json::json;

const MINUTE: Duration = Duration::from_secs(60);

fn authorities(made_up: &MadeUp, reach: Reach) -> Authorities {
    let mut outside = made_up.outside();
    outside.reach = reach;
    Authorities::new(&Http::new(&outside, Politeness::default()), outside.clock.clone(), PLC)
}

fn did(text: &str) -> Did {
    text.parse().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_did_leads_to_its_document_wherever_it_may_be() {
    let made_up = MadeUp::new(|_| Said::json(&json!({})));
    for (text, reach, url) in [
        ("did:web:a.example.com", Reach::Public, "https://a.example.com/.well-known/did.json"),
        ("did:web:a.example.com:x:y", Reach::Public, "https://a.example.com/x/y/did.json"),
        ("did:plc:abc", Reach::Public, "https://plc.example.com/did%3Aplc%3Aabc"),
        ("did:web:localhost%3A99", Reach::Anywhere, "http://localhost:99/.well-known/did.json"),
    ] {
        assert!(authorities(&made_up, reach).document(&did(text)).await.is_some(), "{text}");
        assert_eq!(made_up.asked().last().unwrap().url.as_str(), url);
    }
    let asked = made_up.asked().len();
    for text in ["did:key:abc", "did:web:localhost%3A99", "did:web:127.0.0.1", "did:web:a.example.com:.."] {
        assert!(authorities(&made_up, Reach::Public).document(&did(text)).await.is_none(), "{text}");
    }
    assert_eq!(made_up.asked().len(), asked, "nobody was asked");
}

#[tokio::test(start_paused = true)]
async fn an_answer_and_the_lack_of_one_will_do_for_five_minutes() {
    for answers in [true, false] {
        let made_up =
            MadeUp::new(
                move |_| {
                    if answers { Said::json(&json!({"id": "x"})) } else { Said::error(404, "NotFound") }
                },
            );
        let authorities = authorities(&made_up, Reach::Public);
        for (pause, times) in [(Duration::ZERO, 1), (4 * MINUTE, 1), (MINUTE, 2)] {
            tokio::time::sleep(pause).await;
            let found = authorities.document(&did("did:web:a.example.com")).await;
            assert_eq!(found.is_some(), answers);
            assert_eq!(made_up.asked().len(), times, "after {pause:?} more");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_three_seconds_and_all_wait_for_one_question() {
    let made_up = MadeUp::new(|_| Said { ending: Ending::Silence, ..Said::json(&json!({})) });
    let authorities = authorities(&made_up, Reach::Public);
    let begin = tokio::time::Instant::now();
    let slow = did("did:web:slow.example.com");
    let (one, other) = tokio::join!(authorities.document(&slow), authorities.document(&slow));
    assert!(one.is_none() && other.is_none());
    assert_eq!(begin.elapsed(), Duration::from_secs(3));
    assert_eq!(made_up.asked().len(), 1);
    assert!(authorities.document(&slow).await.is_none());
    assert_eq!(begin.elapsed(), Duration::from_secs(3), "that it is slow is remembered");
}

#[tokio::test(start_paused = true)]
async fn evidence_gets_the_documents_that_a_verdict_wants_and_no_others() {
    let made_up = MadeUp::new(|_| Said::json(&json!({"id": "x"})));
    let mut evidence = Evidence::default();
    let mut put = |uri: &str, body: &serde_json::Value| {
        let block = json_to_cbor(body).unwrap();
        evidence.put(Exhibit::new(uri.parse().unwrap(), Cid::of(&block), block).unwrap());
    };
    let witness = |authority: &str| json!({"brokerageCountersignature": {"authority": authority}});
    put("at://did:web:p.example.com/dev.cocore.compute.receipt/a", &witness("did:web:broker.example.com"));
    put("at://did:web:p.example.com/dev.cocore.compute.receipt/b", &witness("did:web:stranger.example.com"));
    put("at://did:web:exchange.example.com/dev.cocore.compute.settlement/c", &json!({}));
    let terms = Terms { brokerages: vec![did("did:web:broker.example.com")], ..Terms::builtin().unwrap() };
    authorities(&made_up, Reach::Public).complete(&mut evidence, &terms, &Seen::nowhere()).await;
    let hosts: Vec<String> = made_up.asked().iter().map(|asked| asked.host().to_owned()).collect();
    assert_eq!(hosts, ["broker.example.com", "exchange.example.com"]);
    assert_eq!(evidence.documents().count(), 2);
    assert!(evidence.wanted_documents(&terms).is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_was_seen_is_there_when_its_host_is_not() {
    // Two documents, one after the other, and then nothing.
    let said = [Some(1), Some(2), None];
    let at = Arc::new(AtomicUsize::new(0));
    let turn = Arc::clone(&at);
    let made_up = MadeUp::new(move |_| match said[turn.load(Ordering::Relaxed)] {
        Some(number) => Said::json(&json!({"id": "x", "number": number})),
        None => Said::error(503, "Gone"),
    });
    let document = |number: u8| Document::new(json!({"id": "x", "number": number}));
    let terms = Terms { brokerages: Vec::new(), ..Terms::builtin().unwrap() };
    let (authorities, seen) = (authorities(&made_up, Reach::Public), Seen::nowhere());
    let mut known = Vec::new();
    for step in 0..3 {
        at.store(step, Ordering::Relaxed);
        let mut evidence = Evidence::default();
        let uri = "at://did:web:exchange.example.com/dev.cocore.compute.settlement/c";
        evidence.put(Exhibit::new(uri.parse().unwrap(), Cid::of(b"\xa0"), *b"\xa0").unwrap());
        authorities.complete(&mut evidence, &terms, &seen).await;
        known.push(evidence.documents().next().unwrap().1.to_vec());
        tokio::time::sleep(6 * MINUTE).await;
    }
    assert_eq!(known[0], [(Origin::Resolved, document(1))]);
    assert_eq!(known[1][0], (Origin::Resolved, document(2)));
    let (Origin::Remembered { until: Some(until) }, former) = &known[1][1] else { panic!("{:?}", known[1]) };
    assert_eq!(*former, document(1));
    let last = Origin::Remembered { until: None };
    assert_eq!(known[2], [(last, document(2)), (Origin::Remembered { until: Some(*until) }, document(1))]);
    assert!(*until > Instant::from_unix_millis(0));
}
