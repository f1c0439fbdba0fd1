//! Subscribers, however many and however they behave, take a bounded part of the service and hold up nobody.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod jetstream;
#[path = "../../appview-core/tests/network/mod.rs"]
mod network;

use std::net::SocketAddr;
use std::time::Duration;

use appviewd::http::Terms;
use fixtures::{Ipld, Write, records};
use jetstream::{Client, PATIENCE, Service, friend};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

/// A connection whose system takes little in advance.
async fn narrow(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    socket.connect(address).await.unwrap()
}

/// Fills the feed with records of two kilobytes each.
fn fill(service: &mut Service, commits: u64) {
    for commit in 0..commits {
        let text = Ipld::String("y".repeat(2_000));
        let writes = (0..100).map(|number| {
            let members = [
                ("$type".to_owned(), Ipld::String("dev.cocore.test.filler".to_owned())),
                ("text".to_owned(), text.clone()),
            ];
            Write::create("dev.cocore.test.filler", &format!("{commit}-{number}"), Ipld::Map(members.into()))
        });
        service.commit(writes.collect());
    }
}

/// Bytes of memory that this process has in use.
#[cfg(target_os = "linux")]
fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

#[tokio::test(flavor = "multi_thread")]
async fn more_subscribers_than_places_are_told_to_come_back() {
    let mut service = Service::with(Terms { most: 2, ..Terms::default() }).await;
    let mut first = service.subscribe("").await;
    let mut second = service.subscribe("").await;
    let (status, _, retry_after) = service.refusal("").await;
    assert_eq!((status, retry_after.as_deref()), (503, Some("60")));
    first.socket.close(None).await.unwrap();
    while first.frame().await.is_some() {}
    // Its place is free as soon as the service knows.
    let mut third = service.place().await;
    third.hears_nothing().await;
    second.hears_nothing().await;
    service.befriend(&["a"]);
    assert_eq!(second.words(1).await, ["create a"]);
    assert_eq!(third.words(1).await, ["create a"]);
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_dropped() {
    let terms = Terms { most: 1, patience: Duration::from_millis(100), ..Terms::default() };
    let mut service = Service::with(terms).await;
    fill(&mut service, 5);
    let stream = narrow(service.address).await;
    let mut client = Client::over(stream, service.address, "?cursor=0", &[]).await;
    // The one place there is is free again when it is dropped; nothing is read of it until then.
    drop(service.place().await);
    let mut events = 0;
    let end = loop {
        match client.frame().await {
            Some(Ok(Message::Text(_))) => events += 1,
            Some(Ok(Message::Ping(_))) => {}
            other => break other,
        }
    };
    assert!(events < 500, "{events}");
    assert!(!matches!(end, Some(Ok(Message::Close(_)))), "{end:?}");
    service.stop().await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_that_do_not_read_hold_up_nobody_and_hold_no_more_than_a_page_each() {
    const SLOW: usize = 200;
    let terms = Terms { most: 300, patience: PATIENCE * 10, ..Terms::default() };
    let mut service = Service::with(terms).await;
    // Six megabytes for each of them, if they were held.
    fill(&mut service, 30);
    let before = resident();
    let mut slow = Vec::new();
    for _ in 0..SLOW {
        let stream = narrow(service.address).await;
        slow.push(Client::over(stream, service.address, "?cursor=0", &[]).await);
    }
    // Each is stuck when one that reads has heard everything, since all take turns.
    let mut prompt = service.subscribe("?cursor=0").await;
    prompt.words(3_000).await;

    // The writer goes on, is heard at once, and finds no snapshot in the way of its log.
    let mut longest = Duration::ZERO;
    for round in 0..50 {
        let key = format!("k{round}");
        let commit =
            service.network.commit(&service.account, vec![Write::create(records::FRIEND, &key, friend(1))]);
        let begun = Instant::now();
        service.apply(commit);
        assert_eq!(prompt.words(1).await, [format!("create {key}")]);
        longest = longest.max(begun.elapsed());
        service.writer.as_mut().unwrap().write_back_log().unwrap();
    }
    let held = resident().saturating_sub(before);
    println!(
        "{SLOW} subscribers hold {} kB each; the longest way of an event was {longest:?}",
        held / 1024 / SLOW as u64
    );
    assert!(held < SLOW as u64 * 1_500_000, "{held} bytes");
    assert!(longest < Duration::from_secs(5), "{longest:?}");

    // Whoever begins to read has missed nothing.
    let mut late = slow.pop().unwrap();
    assert_eq!(late.words(3_050).await.last().unwrap(), "create k49");
    drop(slow);
    service.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_no_ping_for_a_minute_is_gone() {
    let service = Service::start().await;
    let Client { mut socket, .. } = service.subscribe("").await;
    // Reads what comes, and never lets its library answer.
    let stream = socket.get_mut();
    let (begun, mut bytes) = (Instant::now(), Vec::new());
    tokio::time::timeout(PATIENCE * 10, stream.read_to_end(&mut bytes)).await.expect("it is let go").unwrap();
    let waited = begun.elapsed();
    assert!(waited >= Duration::from_secs(55) && waited <= Duration::from_secs(75), "{waited:?}");
    // A ping is two bytes.
    assert_eq!(bytes, [0x89, 0].repeat(bytes.len() / 2));
    service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_stops_says_goodbye() {
    let mut service = Service::start().await;
    service.befriend(&["a"]);
    let mut waiting = service.subscribe("?requireHello=true").await;
    let mut quiet = service.subscribe("?cursor=0").await;
    assert_eq!(quiet.words(1).await, ["create a"]);
    service.stop.send_replace(true);
    assert_eq!(quiet.closing().await, (1001, "the service stops".to_owned()));
    assert_eq!(waiting.closing().await, (1001, "the service stops".to_owned()));
    tokio::time::timeout(PATIENCE, service.serving).await.expect("it stops").unwrap();
}
