//! A stream may be open, answer every ping, and still bring nothing: because it hangs, because its cursor lies in a future
//! that never comes, or because nothing happens. Which of these it is decides what follows.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use appview_core::source::clock::Clock;
use appview_core::source::orders::Orders;
use appview_core::source::pump::Input;
use appview_core::source::queue::{Inbox, queue_for};
use appview_core::source::relay::{Dialect, Line, Received, Traffic};
use appview_core::source::wire::{
    ChosenBy, Message, Outside, Reach, Reply, Said, Socket, SocketError, Wire, WireError,
};
use appview_core::sync::verifier::Hint;
use appview_core::sync::{Scope, StreamId, Verifier};
use futures_util::future::BoxFuture;
use futures_util::{Sink, Stream};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// A wire on which every dialled socket is handed to the test.
#[derive(Debug)]
struct Switchboard(mpsc::UnboundedSender<Call>);

#[derive(Debug)]
struct Call {
    url: String,
    say: mpsc::UnboundedSender<Message>,
    heard: mpsc::UnboundedReceiver<Message>,
}

impl Wire for Switchboard {
    fn send(&self, url: reqwest::Url, _: Said, _: ChosenBy) -> BoxFuture<'static, Result<Reply, WireError>> {
        panic!("nobody asks for {url}")
    }

    fn texts(&self, name: String) -> BoxFuture<'static, Result<Vec<String>, WireError>> {
        panic!("nobody asks for {name}")
    }

    fn dial(&self, url: String) -> BoxFuture<'static, Result<Box<dyn Socket>, WireError>> {
        let ((say, incoming), (outgoing, heard)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        self.0.send(Call { url, say, heard }).unwrap();
        Box::pin(async move { Ok(Box::new(Handset { incoming, outgoing }) as Box<dyn Socket>) })
    }
}

struct Handset {
    incoming: mpsc::UnboundedReceiver<Message>,
    outgoing: mpsc::UnboundedSender<Message>,
}

impl Stream for Handset {
    type Item = Result<Message, SocketError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.incoming.poll_recv(context).map(|message| message.map(Ok))
    }
}

impl Sink<Message> for Handset {
    type Error = SocketError;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, message: Message) -> Result<(), SocketError> {
        self.outgoing.send(message).map_err(|_| SocketError::ConnectionClosed)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SocketError>> {
        Poll::Ready(Ok(()))
    }
}

/// One followed endpoint: who answers the calls, and who takes what they bring.
struct Exchange {
    calls: mpsc::UnboundedReceiver<Call>,
    inbox: Inbox,
    orders: Orders,
}

fn stream() -> StreamId {
    Verifier::new(Scope::default(), []).add_stream("wss://relay.example", None)
}

impl Exchange {
    fn follow(dialect: Dialect, traffic: Traffic) -> Self {
        let (dialled, calls) = mpsc::unbounded_channel();
        let (output, inbox) = queue_for(1_000);
        let outside = Outside {
            wire: Arc::new(Switchboard(dialled)),
            clock: Clock::of_runtime(1_800_000_000_000_000, 7),
            reach: Reach::Public,
        };
        let orders = Orders::default();
        let url = "wss://relay.example".parse().unwrap();
        let line = Line { url, dialect, stream: stream(), output, outside, orders: orders.clone(), traffic };
        tokio::spawn(line.follow());
        Self { calls, inbox, orders }
    }

    /// Tells the cursor, and takes the call that follows.
    async fn connect(&mut self, cursor: Option<i64>) -> Call {
        let day = Duration::from_secs(24 * 60 * 60);
        tokio::time::timeout(day, self.connected(cursor)).await.expect("it connects within a day")
    }

    async fn connected(&mut self, cursor: Option<i64>) -> Call {
        loop {
            match self.inbox.receive().await.unwrap() {
                Received::Resume { cursor: answer, .. } => answer.send(cursor).unwrap(),
                Received::Input(Input::Connected(_)) => return self.calls.recv().await.unwrap(),
                Received::Input(Input::Frames { .. } | Input::Disconnected(_)) => {}
                other => panic!("expected a connection, found {other:?}"),
            }
        }
    }
}

/// Answers pings, and pings by itself as relays do, for as long as anyone is there.
async fn stay_alive(mut call: Call) {
    loop {
        tokio::select! {
            heard = call.heard.recv() => if heard.is_none() { return },
            () = tokio::time::sleep(Duration::from_secs(30)) => {
                if call.say.send(Message::Ping(Vec::new().into())).is_err() {
                    return;
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_brings_nothing_while_others_go_on_is_connected_anew() {
    let traffic = Traffic::default();
    let mut still = Exchange::follow(Dialect::Frames, traffic.clone());
    let mut lively = Exchange::follow(Dialect::Frames, traffic);
    let call = lively.connect(None).await;
    let first = still.connect(None).await;
    let alive = tokio::spawn(stay_alive(first));
    let started = Instant::now();
    let talking = tokio::spawn(async move {
        for number in 0..100_000_u32 {
            call.say.send(Message::Binary(number.to_be_bytes().to_vec().into())).unwrap();
            lively.inbox.receive().await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let minutes = Duration::from_secs(10 * 60);
    tokio::time::timeout(minutes, still.connect(None)).await.expect("it is connected anew");
    let waited = started.elapsed();
    assert!(waited >= Duration::from_secs(90) && waited < Duration::from_secs(140), "{waited:?}");
    alive.await.unwrap();
    talking.abort();
}

/// Says the newest event there is, if a call is to begin before it, and no more.
fn say_newest(call: &Call, newest: i64) {
    let cursor = call.url.split_once("?cursor=").and_then(|(_, cursor)| cursor.parse::<i64>().ok());
    if cursor.is_some_and(|cursor| cursor < newest) {
        call.say.send(Message::Binary(newest.to_be_bytes().to_vec().into())).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_alone_that_brings_no_more_events_is_asked_for_its_newest_again_every_five_minutes() {
    let mut only = Exchange::follow(Dialect::Frames, Traffic::default());
    let mut call = only.connect(None).await;
    call.say.send(Message::Binary(vec![1].into())).unwrap();
    for _ in 0..20 {
        tokio::spawn(stay_alive(call));
        let started = Instant::now();
        // It fails the test for whatever is lost.
        call = only.connect(Some(1_000)).await;
        let waited = started.elapsed();
        assert!(waited >= Duration::from_secs(300) && waited < Duration::from_secs(346), "{waited:?}");
        assert!(call.url.ends_with("?cursor=999"), "{}", call.url);
        say_newest(&call, 1_000);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_alone_that_hangs_is_left_and_its_cursor_is_lost_if_it_hangs_again() {
    let mut only = Exchange::follow(Dialect::Frames, Traffic::default());
    let call = only.connect(Some(990)).await;
    call.say.send(Message::Binary(vec![1].into())).unwrap();
    tokio::spawn(stay_alive(call));
    let again = only.connect(Some(1_000)).await;
    assert!(again.url.ends_with("?cursor=999"), "{}", again.url);
    tokio::spawn(stay_alive(again));
    assert!(matches!(only.inbox.receive().await, Some(Received::Input(Input::Disconnected(_)))));
    assert!(matches!(only.inbox.receive().await, Some(Received::Input(Input::Lost(_)))));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_has_brought_nothing_from_the_start_is_connected_anew_after_an_hour() {
    let mut only = Exchange::follow(Dialect::Frames, Traffic::default());
    tokio::spawn(stay_alive(only.connect(None).await));
    let started = Instant::now();
    let again = only.connect(None).await;
    let waited = started.elapsed();
    assert!(waited >= Duration::from_secs(3_600) && waited < Duration::from_secs(3_646), "{waited:?}");
    assert!(again.url.ends_with("subscribeRepos"), "{}", again.url);
}

#[tokio::test(start_paused = true)]
async fn a_cursor_in_a_future_that_does_not_come_is_asked_about_once_and_then_lost() {
    let mut only = Exchange::follow(Dialect::Frames, Traffic::default());
    let first = only.connect(Some(1_000)).await;
    assert!(first.url.ends_with("?cursor=1000"), "{}", first.url);
    tokio::spawn(stay_alive(first));
    // The newest event that is known would come again from a service that has come as far.
    let second = only.connect(Some(1_000)).await;
    assert!(second.url.ends_with("?cursor=999"), "{}", second.url);
    tokio::spawn(stay_alive(second));
    assert!(matches!(only.inbox.receive().await, Some(Received::Input(Input::Disconnected(_)))));
    assert!(matches!(only.inbox.receive().await, Some(Received::Input(Input::Lost(_)))));
    let third = only.connect(None).await;
    assert!(third.url.ends_with("subscribeRepos"), "{}", third.url);
    tokio::spawn(stay_alive(third));
    let while_quiet = Duration::from_secs(59 * 60);
    assert!(
        tokio::time::timeout(while_quiet, only.connect(None)).await.is_err(),
        "what is live may be quiet"
    );
}

#[tokio::test(start_paused = true)]
async fn a_quiet_service_that_repeats_its_newest_event_is_believed() {
    let mut only = Exchange::follow(Dialect::Frames, Traffic::default());
    let first = only.connect(Some(1_000)).await;
    tokio::spawn(stay_alive(first));
    for _ in 0..20 {
        let next = only.connect(Some(1_000)).await;
        assert!(next.url.ends_with("?cursor=999"), "{}", next.url);
        say_newest(&next, 1_000);
        assert!(matches!(only.inbox.receive().await, Some(Received::Input(Input::Frames { .. }))));
        tokio::spawn(stay_alive(next));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_slow_index_keeps_from_being_read_is_no_silence() {
    let (dialled, mut calls) = mpsc::unbounded_channel();
    // Room for what is being handled and nothing else.
    let (output, mut inbox) = queue_for(1);
    let outside = Outside {
        wire: Arc::new(Switchboard(dialled)),
        clock: Clock::of_runtime(1_800_000_000_000_000, 7),
        reach: Reach::Public,
    };
    let url = "wss://relay.example".parse().unwrap();
    let (orders, traffic) = (Orders::default(), Traffic::default());
    let line = Line { url, dialect: Dialect::Frames, stream: stream(), output, outside, orders, traffic };
    tokio::spawn(line.follow());
    let Some(Received::Resume { cursor, .. }) = inbox.receive().await else { panic!("a question") };
    cursor.send(None).unwrap();
    assert!(matches!(inbox.receive().await, Some(Received::Input(Input::Connected(_)))));
    let call = calls.recv().await.unwrap();
    call.say.send(Message::Binary(vec![1].into())).unwrap();
    // The index stands still for longer than a stream may be without an event.
    tokio::time::sleep(Duration::from_secs(6 * 60)).await;
    assert!(matches!(inbox.receive().await, Some(Received::Input(Input::Frames { .. }))));
    let soon = tokio::time::timeout(Duration::from_secs(80), inbox.receive()).await;
    assert!(soon.is_err(), "it is still connected, and was not silent: {soon:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pause_closes_the_stream_and_its_end_opens_it_again_where_it_was() {
    let mut only = Exchange::follow(Dialect::Frames, Traffic::default());
    let call = only.connect(None).await;
    call.say.send(Message::Binary(vec![1].into())).unwrap();
    assert!(matches!(only.inbox.receive().await, Some(Received::Input(Input::Frames { .. }))));
    only.orders.pause();
    call.say.closed().await;
    assert!(matches!(only.inbox.receive().await, Some(Received::Input(Input::Disconnected(_)))));
    let hours = Duration::from_secs(6 * 60 * 60);
    assert!(tokio::time::timeout(hours, only.inbox.receive()).await.is_err());
    only.orders.resume();
    assert!(only.connect(Some(5)).await.url.ends_with("?cursor=5"));
}

#[tokio::test(start_paused = true)]
async fn a_jetstream_is_asked_for_the_namespace_and_its_events_are_hints() {
    let hints = Dialect::Hints { namespace: "dev.cocore.".to_owned() };
    let mut only = Exchange::follow(hints, Traffic::default());
    let call = only.connect(Some(1_800_000_000_000_000)).await;
    assert_eq!(
        call.url,
        "wss://relay.example/subscribe?wantedCollections=dev.cocore.*&cursor=1799999995000000"
    );
    let event = r#"{"did":"did:web:a.example","time_us":1800000000000001,"kind":"identity","identity":{}}"#;
    for text in ["no event", r#"{"kind":"weather"}"#, event] {
        call.say.send(Message::Text(text.into())).unwrap();
    }
    match only.inbox.receive().await {
        Some(Received::Input(Input::Hint { at, hint: Hint::Identity { did }, .. })) => {
            assert_eq!((at, did.as_str()), (1_800_000_000_000_001, "did:web:a.example"));
        }
        other => panic!("expected a hint, found {other:?}"),
    }
    // A filtered stream may be quiet after a cursor for as long as it likes, and has no binary messages.
    let started = Instant::now();
    let alive = tokio::time::sleep(Duration::from_secs(40 * 60));
    tokio::pin!(alive);
    loop {
        tokio::select! {
            () = &mut alive => break,
            () = tokio::time::sleep(Duration::from_secs(30)) => {
                call.say.send(Message::Ping(Vec::new().into())).unwrap();
            }
        }
    }
    assert!(started.elapsed() >= Duration::from_secs(40 * 60));
    call.say.send(Message::Binary(vec![1].into())).unwrap();
    call.say.closed().await;
}
