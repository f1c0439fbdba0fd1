//! A relay is followed whatever it does: it goes away, says nothing, says too much, or says what nobody can use.
//!
//! The relay is a WebSocket server in this process, played by the test; the clock is tokio's, paused, and moved by the test.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver as Gate, Sender as Opener, channel as gate};
use std::time::Duration;

use appview_core::index::{Index, IndexWriter};
use appview_core::limits::FRAME_BYTES;
use appview_core::query::ExportFilter;
use appview_core::record::Catalog;
use appview_core::source::follow::{Answers, Following, Pulse, Source, follow};
use appview_core::source::orders::Orders;
use appview_core::source::pump::{Answer, Input, Request, Upstream};
use appview_core::source::queue::{Inbox, queue_for};
use appview_core::source::relay::{Dialect, Line, Received, RelayUrl, Traffic};
use appview_core::source::replay::{Identities, Offline};
use appview_core::source::wire::{Outside, Reach};
use appview_core::sync::{Scope, StreamCursor, StreamId, Verifier};
use fixtures::{Frame, KeyKind, World, Write, records};
use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request as Handshake, Response};

/// The clock stands still until the test moves it. By itself tokio moves a paused clock whenever nothing else is to be
/// done, which would not wait for a socket; but it doesn't while a blocking task runs, so one runs.
struct Clock {
    _held: Opener<()>,
}

impl Clock {
    fn stop() -> Self {
        tokio::time::pause();
        let (opener, held) = gate::<()>();
        tokio::task::spawn_blocking(move || held.recv());
        Self { _held: opener }
    }

    /// Moves on in steps until `event` happens; tells how long that took. Each step leaves the sockets a moment of real
    /// time, so that no time-out is met only because the machine is busy.
    async fn until<T>(&self, step: Duration, event: impl Future<Output = T>) -> (T, Duration) {
        let started = tokio::time::Instant::now();
        let mut event = std::pin::pin!(event);
        loop {
            for _ in 0..4 {
                if let Some(happened) = event.as_mut().now_or_never() {
                    return (happened, started.elapsed());
                }
                tokio::task::yield_now().await;
                std::thread::sleep(Duration::from_micros(200));
            }
            tokio::time::advance(step).await;
            assert!(started.elapsed() < Duration::from_secs(600), "it never happened");
        }
    }
}

/// For pauses of a second.
const STEP: Duration = Duration::from_millis(50);
/// For longer ones. Opening a connection may take twenty of them.
const LONG_STEP: Duration = Duration::from_millis(500);

/// A relay that does nothing by itself.
struct Relay {
    listener: TcpListener,
}

impl Relay {
    async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    fn url(&self) -> RelayUrl {
        format!("ws://{}", self.listener.local_addr().unwrap()).parse().unwrap()
    }

    /// The next consumer, and the cursor it asks for.
    async fn accept(&self) -> (WebSocketStream<TcpStream>, Option<i64>) {
        let (socket, _) = self.listener.accept().await.unwrap();
        let mut cursor = None;
        #[expect(clippy::result_large_err, reason = "the signature is the library's")]
        let read_cursor = |request: &Handshake, response: Response| -> Result<Response, ErrorResponse> {
            assert_eq!(request.uri().path(), "/xrpc/com.atproto.sync.subscribeRepos");
            cursor =
                request.uri().query().map(|query| query.strip_prefix("cursor=").unwrap().parse().unwrap());
            Ok(response)
        };
        let socket = tokio_tungstenite::accept_hdr_async(socket, read_cursor).await.unwrap();
        (socket, cursor)
    }
}

fn binary(bytes: impl Into<Vec<u8>>) -> Message {
    Message::Binary(bytes.into().into())
}

/// Whoever handles the frames of [`relay::follow`], played by the test.
struct Consumer {
    received: Inbox,
    /// Frames that came with the one asked for last.
    more: VecDeque<Vec<u8>>,
    task: JoinHandle<()>,
}

impl Consumer {
    fn follow(relay: &Relay, room: u32) -> Self {
        let (sender, received) = queue_for(room);
        let outside = Outside::internet(Reach::Anywhere).unwrap();
        let line = Line {
            url: relay.url(),
            dialect: Dialect::Frames,
            stream: stream(),
            output: sender,
            outside,
            orders: Orders::default(),
            traffic: Traffic::default(),
        };
        let task = tokio::spawn(line.follow());
        Self { received, more: VecDeque::new(), task }
    }

    /// Answers the question for the cursor, and sees the connection made.
    async fn connect(&mut self, relay: &Relay, cursor: Option<i64>) -> WebSocketStream<TcpStream> {
        self.resume(cursor).await;
        let (socket, asked) = relay.accept().await;
        assert_eq!(asked, cursor);
        assert!(matches!(self.received.receive().await, Some(Received::Input(Input::Connected(_)))));
        socket
    }

    /// Answers the question for the cursor, before which there may have been another connection.
    async fn resume(&mut self, cursor: Option<i64>) {
        loop {
            match self.received.receive().await {
                Some(Received::Resume { cursor: answer, .. }) => return answer.send(cursor).unwrap(),
                Some(Received::Input(Input::Disconnected(_))) => {}
                other => panic!("expected a question for the cursor, found {other:?}"),
            }
        }
    }

    async fn frame(&mut self) -> Vec<u8> {
        if self.more.is_empty() {
            match self.received.receive().await {
                Some(Received::Input(Input::Frames { burst, .. })) => {
                    self.more.extend(burst.frames().map(<[u8]>::to_vec));
                }
                other => panic!("expected frames, found {other:?}"),
            }
        }
        self.more.pop_front().unwrap()
    }
}

fn stream() -> StreamId {
    Verifier::new(Scope::default(), []).add_stream("ws://relay", None)
}

#[tokio::test]
async fn whatever_ends_a_connection_the_next_asks_for_what_was_not_handled() {
    let clock = Clock::stop();
    let relay = Relay::start().await;
    let mut consumer = Consumer::follow(&relay, 16);
    let mut socket = consumer.connect(&relay, None).await;
    socket.send(binary([1])).await.unwrap();
    assert_eq!(consumer.frame().await, [1]);
    // An end without a goodbye.
    drop(socket);

    let (mut socket, _) = clock.until(STEP, consumer.connect(&relay, Some(1))).await;
    socket.send(binary([2])).await.unwrap();
    socket.close(None).await.unwrap();
    assert_eq!(consumer.frame().await, [2], "what was sent before a clean end is handled");

    let (mut socket, _) = clock.until(STEP, consumer.connect(&relay, Some(2))).await;
    socket.send(binary([3])).await.unwrap();
    socket.send(Message::Text("the protocol has no text".into())).await.unwrap();
    socket.send(binary([4])).await.unwrap();
    assert_eq!(consumer.frame().await, [3]);
    let (mut socket, _) = clock.until(STEP, consumer.connect(&relay, Some(3))).await;

    // As long as the protocol allows, and one byte longer.
    socket.send(binary(vec![5; FRAME_BYTES])).await.unwrap();
    assert_eq!(consumer.frame().await.len(), FRAME_BYTES);
    // The other side may hang up in the midst of it.
    let _ = socket.send(binary(vec![6; FRAME_BYTES + 1])).await;
    let (_socket, _) = clock.until(STEP, consumer.connect(&relay, Some(5))).await;
    assert!(!consumer.task.is_finished());
}

#[tokio::test]
async fn frames_that_still_wait_are_handled_before_the_cursor_is_asked_for() {
    let clock = Clock::stop();
    let relay = Relay::start().await;
    let mut consumer = Consumer::follow(&relay, 16);
    let mut socket = consumer.connect(&relay, None).await;
    for number in [1, 2, 3] {
        socket.send(binary([number])).await.unwrap();
    }
    drop(socket);
    let next = async {
        // However late: the question comes behind the frames.
        for number in [1, 2, 3] {
            assert_eq!(consumer.frame().await, [number]);
        }
        consumer.connect(&relay, Some(3)).await
    };
    clock.until(STEP, next).await;
}

#[tokio::test]
async fn pauses_grow_to_half_a_minute_and_no_two_followers_keep_step() {
    let clock = Clock::stop();
    let relay = Relay::start().await;
    let mut consumers = [Consumer::follow(&relay, 16), Consumer::follow(&relay, 16)];
    let mut pauses: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    for (consumer, pauses) in consumers.iter_mut().zip(&mut pauses) {
        drop(consumer.connect(&relay, None).await);
        for longest in [1, 2, 4, 8, 16, 30, 30, 30] {
            let longest = Duration::from_secs(longest);
            let step = LONG_STEP.min(longest / 16);
            let (socket, pause) = clock.until(step, consumer.connect(&relay, Some(1))).await;
            drop(socket);
            assert!(pause >= longest / 2 && pause <= longest + step * 2, "{pause:?} of {longest:?}");
            pauses.push(pause.as_secs_f64());
        }
        // A connection that held for a minute has earned a short pause.
        let (mut socket, _) = clock.until(STEP, consumer.connect(&relay, Some(1))).await;
        for _ in 0..7 {
            tokio::time::advance(Duration::from_secs(10)).await;
            socket.send(binary([1])).await.unwrap();
            consumer.frame().await;
        }
        drop(socket);
        let (_, pause) = clock.until(STEP, consumer.connect(&relay, Some(1))).await;
        assert!(pause <= Duration::from_secs(1) + STEP * 2, "{pause:?}");
    }
    assert_ne!(pauses[0], pauses[1]);
}

#[tokio::test]
async fn a_relay_that_cannot_be_reached_is_tried_again() {
    let clock = Clock::stop();
    let relay = Relay::start().await;
    let mut consumer = Consumer::follow(&relay, 16);
    // It takes the connection and hangs up before it is a WebSocket; then it never says a word.
    consumer.resume(None).await;
    drop(relay.listener.accept().await.unwrap());
    let (_, _) = clock.until(STEP, consumer.resume(None)).await;
    let (_silent, _) = relay.listener.accept().await.unwrap();
    let (_, waited) = clock.until(STEP, consumer.resume(None)).await;
    assert!(waited >= Duration::from_secs(10) && waited <= Duration::from_secs(13), "{waited:?}");
}

#[tokio::test]
async fn a_silent_relay_is_asked_for_a_sign_of_life_and_then_given_up() {
    let clock = Clock::stop();
    let relay = Relay::start().await;
    let mut consumer = Consumer::follow(&relay, 16);
    let mut socket = consumer.connect(&relay, Some(7)).await;
    let (asked, silence) = clock.until(LONG_STEP, socket.next()).await;
    assert!(matches!(asked, Some(Ok(Message::Ping(_)))), "{asked:?}");
    assert!(silence >= Duration::from_secs(44) && silence <= Duration::from_secs(46), "{silence:?}");
    // Nothing answers: a pong would be sent when the socket is next read.
    let (_, silence) = clock.until(LONG_STEP, consumer.connect(&relay, Some(7))).await;
    assert!(silence >= Duration::from_secs(44) && silence <= Duration::from_secs(47), "{silence:?}");
    drop(socket);
}

#[tokio::test]
async fn a_relay_that_answers_is_not_given_up_for_its_silence() {
    let clock = Clock::stop();
    let relay = Relay::start().await;
    let mut consumer = Consumer::follow(&relay, 16);
    let mut socket = consumer.connect(&relay, None).await;
    let mut asked = 0;
    for _ in 0..5 {
        let ((), _) = clock
            .until(LONG_STEP, async {
                let message = socket.next().await;
                assert!(matches!(message, Some(Ok(Message::Ping(_)))), "{message:?}");
                socket.flush().await.unwrap();
            })
            .await;
        asked += 1;
    }
    socket.send(binary([1])).await.unwrap();
    assert_eq!(consumer.frame().await, [1], "it is still the first connection");
    assert_eq!(asked, 5);
}

#[tokio::test]
async fn a_slow_consumer_slows_the_relay_and_no_queue_grows() {
    const FRAME: usize = 64 * 1024;
    const FRAMES: usize = 1_024;
    let relay = Relay::start().await;
    // Four may wait behind the one that is being handled, which is the connection's beginning.
    let mut consumer = Consumer::follow(&relay, 5);
    let mut socket = consumer.connect(&relay, None).await;
    let (sent, mut counted) = tokio::sync::watch::channel(0);
    let sending = tokio::spawn(async move {
        for number in 0..FRAMES {
            let mut frame = vec![0; FRAME];
            frame[..8].copy_from_slice(&(number as u64).to_be_bytes());
            socket.send(binary(frame)).await.unwrap();
            sent.send_replace(number + 1);
        }
        socket
    });
    // Nobody receives: what the kernel's buffers and four places hold is sent, and then no more.
    let (mut before, mut still) = (0, 0);
    while still < 50 {
        tokio::task::yield_now().await;
        std::thread::sleep(Duration::from_millis(1));
        let now = *counted.borrow_and_update();
        still = if now == before { still + 1 } else { 0 };
        before = now;
    }
    assert!(before > 0 && before < FRAMES / 2, "{before} of {FRAMES} frames were sent");
    assert_eq!(consumer.received.len(), 4);
    for number in 0..FRAMES {
        let frame = consumer.frame().await;
        assert_eq!((frame.len(), &frame[..8]), (FRAME, (number as u64).to_be_bytes().as_slice()));
    }
    drop(sending.await.unwrap());
}

#[tokio::test]
async fn it_ends_when_nobody_listens_any_more() {
    let clock = Clock::stop();
    let relay = Relay::start().await;
    // In the midst of a stream: the relay is told.
    let mut consumer = Consumer::follow(&relay, 16);
    let mut socket = consumer.connect(&relay, None).await;
    drop(consumer.received);
    assert!(matches!(socket.next().await, Some(Ok(Message::Close(_)))));
    assert!(socket.next().await.is_none());
    consumer.task.await.unwrap();
    // While it waits to connect again.
    let mut consumer = Consumer::follow(&relay, 16);
    drop(consumer.connect(&relay, None).await);
    clock.until(STEP, tokio::time::sleep(STEP)).await;
    drop(consumer.received);
    consumer.task.await.unwrap();
    // Before it has connected at all.
    let mut consumer = Consumer::follow(&relay, 16);
    consumer.resume(None).await;
    drop(consumer.received);
    consumer.task.await.unwrap();
}

/// A world, an index of it, and a relay that tells of it.
struct Network {
    world: World,
    folder: tempfile::TempDir,
    frames: Vec<Frame>,
}

impl Network {
    /// Accounts that write profiles and friends, commit after commit.
    fn new(commits: usize) -> Self {
        let mut world = World::new(11);
        let dids = [world.create_account(KeyKind::K256), world.create_account(KeyKind::P256)];
        let mut frames: Vec<Frame> = dids.iter().flat_map(|did| world.genesis_frames(did)).collect();
        for _ in 0..commits {
            let rkey = world.next_tid();
            let friend = records::friend("did:web:friend.test", 0);
            let did = &dids[frames.len() % dids.len()];
            frames.push(world.commit(did, vec![Write::create(records::FRIEND, &rkey, friend)]));
        }
        Self { world, folder: tempfile::tempdir().unwrap(), frames }
    }

    fn index(&self) -> Index {
        Index::open(self.folder.path().join("index.db")).unwrap()
    }

    fn upstream(&self) -> Offline {
        Offline::new(Identities::from_json(&self.world.plc()).unwrap(), None, Scope::default())
    }

    fn last(&self) -> i64 {
        self.frames.last().unwrap().seq.unwrap().cast_signed()
    }

    /// Follows `relays` in the background until told to stop.
    fn follow(&self, relays: &[&Relay], upstream: impl Upstream + Send + 'static) -> Follower {
        let writer = self.index().writer(Catalog::builtin().unwrap()).unwrap();
        let sources = relays.iter().map(|relay| Source::Relay(relay.url())).collect();
        let outside = Outside::internet(Reach::Anywhere).unwrap();
        let following = Following::new(sources, Answers::Upstream(Box::new(upstream)), outside);
        let pulse = Pulse::default();
        let (stop, stopped) = oneshot::channel::<()>();
        let following = follow(writer, following, pulse.clone(), async { drop(stopped.await) });
        Follower { pulse, stop, task: tokio::spawn(async move { following.await.unwrap() }) }
    }

    /// That the index holds exactly what the world says is true.
    fn check(&self) {
        let mut held = BTreeMap::new();
        self.index()
            .reader()
            .unwrap()
            .export(&ExportFilter::default(), |record| {
                held.insert(record.uri().to_string(), record.cid.to_string());
                Ok::<_, appview_core::index::IndexError>(())
            })
            .unwrap();
        let mut truth = BTreeMap::new();
        for (did, account) in self.world.ledger().accounts {
            for (path, cid) in account.records {
                truth.insert(format!("at://{did}/{path}"), cid.to_string());
            }
        }
        assert_eq!(held, truth);
    }

    fn cursors(&self) -> Vec<StreamCursor> {
        self.index().reader().unwrap().cursors().unwrap()
    }
}

struct Follower {
    pulse: Pulse,
    stop: oneshot::Sender<()>,
    task: JoinHandle<IndexWriter>,
}

impl Follower {
    /// Completes when the cursor of `relay` has been stored as far as `seq`.
    async fn stored(&self, relay: &Relay, seq: i64) {
        let url = relay.url();
        let is_stored =
            || self.pulse.read().cursors.iter().any(|(endpoint, at)| *endpoint == url.as_str() && *at >= seq);
        while !is_stored() {
            tokio::task::yield_now().await;
        }
    }

    /// Completes when every stream is connected. Whatever is told before a stream without a cursor is proven again.
    async fn connected(&self, streams: usize) {
        let connected = || self.pulse.read().streams.iter().filter(|stream| stream.is_connected).count();
        while connected() < streams {
            tokio::task::yield_now().await;
        }
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        drop(self.task.await.unwrap());
    }
}

/// Sends the frames behind `cursor`, at most so many.
async fn send(socket: &mut WebSocketStream<TcpStream>, frames: &[Frame], cursor: Option<i64>, most: usize) {
    let behind = |frame: &&Frame| frame.seq.unwrap().cast_signed() > cursor.unwrap_or(0);
    for frame in frames.iter().filter(behind).take(most) {
        socket.send(binary(frame.bytes.clone())).await.unwrap();
    }
}

/// Waits until the other side has read everything that was sent.
async fn read_by_now(socket: &mut WebSocketStream<TcpStream>) {
    socket.send(Message::Ping(Vec::new().into())).await.unwrap();
    while !matches!(socket.next().await.unwrap().unwrap(), Message::Pong(_)) {}
}

#[tokio::test]
async fn a_relay_that_hangs_up_again_and_again_is_followed_to_the_end() {
    let clock = Clock::stop();
    let (network, relay) = (Network::new(40), Relay::start().await);
    let follower = network.follow(&[&relay], network.upstream());
    let mut asked = Vec::new();
    while asked.last() != Some(&Some(network.last())) {
        let ((mut socket, cursor), _) = clock.until(STEP, relay.accept()).await;
        asked.push(cursor);
        send(&mut socket, &network.frames, cursor, 10).await;
        read_by_now(&mut socket).await;
        // Every second time it says goodbye.
        if asked.len() % 2 == 0 {
            socket.close(None).await.unwrap();
        }
    }
    // Ten frames at a time, none twice and none left out.
    assert_eq!(asked, [None, Some(10), Some(20), Some(30), Some(40), Some(48)]);
    follower.stop().await;
    network.check();
    assert_eq!(network.cursors(), [StreamCursor { endpoint: relay.url().as_str().to_owned(), seq: 48 }]);
}

#[tokio::test]
async fn each_relay_has_a_cursor_of_its_own_and_a_start_resumes_all_of_them() {
    let clock = Clock::stop();
    let (network, one, two) = (Network::new(12), Relay::start().await, Relay::start().await);
    let follower = network.follow(&[&one, &two], network.upstream());
    let (mut first, _) = one.accept().await;
    let (mut second, _) = two.accept().await;
    clock.until(STEP, follower.connected(2)).await;
    send(&mut first, &network.frames, None, 20).await;
    send(&mut second, &network.frames, None, 13).await;
    clock.until(STEP, follower.stored(&one, 20)).await;
    clock.until(STEP, follower.stored(&two, 13)).await;
    follower.stop().await;
    network.check();

    let follower = network.follow(&[&two, &one], network.upstream());
    assert_eq!((one.accept().await.1, two.accept().await.1), (Some(20), Some(13)));
    follower.stop().await;
}

/// An upstream that answers when it is let.
struct Gated {
    upstream: Offline,
    gate: Gate<()>,
}

impl Upstream for Gated {
    fn ask(&mut self, request: Request) -> Option<Answer> {
        // Once the other end is gone it is open for good.
        let _ = self.gate.recv();
        self.upstream.ask(request)
    }
}

#[tokio::test]
async fn a_stop_writes_everything_that_was_received() {
    let (network, relay) = (Network::new(60), Relay::start().await);
    let (opener, gate) = gate();
    let follower = network.follow(&[&relay], Gated { upstream: network.upstream(), gate });
    let (mut socket, _) = relay.accept().await;
    send(&mut socket, &network.frames, None, usize::MAX).await;
    // The pump stands before the first key it needs, after two accounts' four frames each; all others wait behind it.
    read_by_now(&mut socket).await;
    assert!(network.cursors().iter().all(|cursor| cursor.seq <= 8), "{:?}", network.cursors());
    let stopping = tokio::spawn(follower.stop());
    while !matches!(socket.next().await, None | Some(Err(_))) {}
    drop(opener);
    stopping.await.unwrap();
    network.check();
    assert_eq!(network.cursors()[0].seq, network.last());
}

#[tokio::test]
async fn what_a_relay_says_about_its_stream_ends_nothing() {
    let clock = Clock::stop();
    let (network, relay) = (Network::new(4), Relay::start().await);
    let follower = network.follow(&[&relay], network.upstream());
    let (mut socket, _) = relay.accept().await;
    for frame in [network.world.info("OutdatedCursor"), network.world.error("ConsumerTooSlow")] {
        socket.send(binary(frame.bytes)).await.unwrap();
    }
    socket.send(binary("junk")).await.unwrap();
    socket.close(None).await.unwrap();
    let ((mut socket, cursor), _) = clock.until(STEP, relay.accept()).await;
    assert_eq!(cursor, None);
    send(&mut socket, &network.frames, None, usize::MAX).await;
    clock.until(STEP, follower.stored(&relay, network.last())).await;
    assert_eq!(follower.pulse.read().cursors, [(relay.url().as_str().to_owned(), network.last())]);
    follower.stop().await;
    network.check();
}
