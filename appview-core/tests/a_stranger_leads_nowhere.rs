//! Whatever a host that a stranger chose does with a request, it leads nowhere else, and takes no more time and memory
//! than it may.
#![cfg(feature = "net")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod outside;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use appview_core::source::http::{Http, HttpError};
use appview_core::source::pds::{Hosts, PdsError};
use appview_core::source::spool::Spool;
use appview_core::source::turns::Politeness;
use appview_core::source::wire::{self, ChosenBy, Outside, Reach};
use appview_core::syntax::Did;
use fixtures::{KeyKind, World};
use outside::{Ending, MadeUp, PDS, Said, padded};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

const LIMIT: usize = 64 << 10;

/// A host on the loopback that says the same to everyone, and how often it was connected to.
struct Host {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    heard: Arc<std::sync::Mutex<String>>,
}

impl Host {
    async fn start<F: Future<Output = ()> + Send>(
        say: impl Fn(TcpStream) -> F + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = Self {
            address: listener.local_addr().unwrap(),
            connections: Arc::default(),
            heard: Arc::default(),
        };
        let (connections, heard) = (Arc::clone(&host.connections), Arc::clone(&host.heard));
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                connections.fetch_add(1, Ordering::SeqCst);
                let mut head = vec![0; 4096];
                let length = socket.read(&mut head).await.unwrap_or(0);
                heard.lock().unwrap().push_str(&String::from_utf8_lossy(&head[..length]));
                say(socket).await;
            }
        });
        host
    }

    /// One that says just this.
    async fn saying(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        Self::start(move |mut socket| {
            let answer = answer.clone();
            async move { socket.write_all(&answer).await.unwrap() }
        })
        .await
    }

    fn url(&self) -> String {
        format!("http://{}/x", self.address)
    }
}

fn on_loopback() -> Http {
    Http::new(&Outside::internet(Reach::Anywhere).unwrap(), Politeness::default())
}

async fn ask(host: &Host) -> Result<Vec<u8>, HttpError> {
    on_loopback().stranger(&host.url()).await.unwrap().bytes(LIMIT).await
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let other = Host::saying("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
    for status in ["301 Moved Permanently", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"] {
        let location = other.url();
        let head = format!("HTTP/1.1 {status}\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        let error = ask(&Host::saying(head).await).await.unwrap_err();
        let expected = status[..3].parse::<u16>().unwrap();
        assert!(matches!(error, HttpError::Status { status, .. } if status == expected), "{error}");
    }
    assert_eq!(other.connections.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn what_is_compressed_stays_so() {
    // `{"a":1}`, as gzip has it; a bomb would look no different.
    let packed = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\x56\x4a\x54\xb2\x32\xac\x05\x00\xaf\xac\x1b\x56\x07\x00\x00\x00";
    let mut answer =
        format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", packed.len())
            .into_bytes();
    answer.extend_from_slice(packed);
    let host = Host::saying(answer).await;
    assert_eq!(ask(&host).await.unwrap(), packed);
    assert!(!host.heard.lock().unwrap().to_lowercase().contains("accept-encoding"), "nobody asked for it");
    let error = on_loopback().stranger(&host.url()).await.unwrap().json(LIMIT).await.unwrap_err();
    assert!(matches!(error, HttpError::Malformed { expected: "json", .. }), "{error}");
}

#[tokio::test]
async fn an_endless_body_is_read_up_to_its_limit() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let host = Host::start(move |mut socket| {
        let sent = Arc::clone(&counted);
        async move {
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
            let mut chunk = b"1000\r\n".to_vec();
            chunk.extend_from_slice(&[b' '; 0x1000]);
            chunk.extend_from_slice(b"\r\n");
            while socket.write_all(&chunk).await.is_ok() {
                sent.fetch_add(chunk.len(), Ordering::SeqCst);
            }
        }
    })
    .await;
    let error = ask(&host).await.unwrap_err();
    assert!(matches!(error, HttpError::TooLarge { limit: 65_536, .. }), "{error}");
    // What the machine's own buffers hold is not ours to bound.
    assert!(sent.load(Ordering::SeqCst) < 64 << 20);
}

#[tokio::test]
async fn an_endless_head_is_not_read_to_its_end() {
    let host = Host::start(|mut socket| async move {
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nx: ").await;
        while socket.write_all(&[b'x'; 4096]).await.is_ok() {}
    })
    .await;
    let error = ask(&host).await.unwrap_err();
    assert!(matches!(error, HttpError::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_name_that_leads_to_a_private_address_is_not_connected_to() {
    let host = Host::saying("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
    let outside = Outside::internet(Reach::Public).unwrap();
    let port = host.address.port();
    // The rules for URLs would refuse all of these; the wire does not rely on them.
    for url in [format!("https://localhost:{port}/"), format!("http://localhost:{port}/")] {
        let got = outside.wire.send(url.parse().unwrap(), wire::Said::default(), ChosenBy::Stranger).await;
        assert!(got.is_err(), "{url}");
    }
    let named = format!("https://localhost:{port}/").parse().unwrap();
    let named = outside.wire.send(named, wire::Said::default(), ChosenBy::Stranger);
    let error = named.await.err().unwrap().to_string();
    assert_eq!(error, "the name leads to an address that is not public");
    let http = Http::new(&outside, Politeness::default());
    for url in [host.url(), format!("https://127.0.0.1:{port}/"), format!("https://[::ffff:7f00:1]:{port}/")]
    {
        assert!(matches!(http.stranger(&url).await, Err(HttpError::Refused { .. })), "{url}");
    }
    assert_eq!(host.connections.load(Ordering::SeqCst), 0);
    // What the operator chose may be anywhere.
    assert_eq!(http.operator(&host.url()).await.unwrap().bytes(LIMIT).await.unwrap(), b"{}");
}

/// Answers with so many bytes again and again, with a pause before each.
fn dripping(bytes: usize, pause: Duration) -> MadeUp {
    MadeUp::new(move |_| Said { ending: Ending::Endless, ..Said::new(200, vec![0; bytes]).after(pause) })
}

fn http(made_up: &MadeUp) -> Http {
    Http::new(&made_up.outside(), Politeness::default())
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_drips_is_given_up_after_ten_seconds() {
    let made_up = dripping(1, Duration::from_secs(1));
    let begun = Instant::now();
    let error = http(&made_up).stranger(PDS).await.unwrap().bytes(LIMIT).await.unwrap_err();
    assert!(matches!(error, HttpError::Unreachable { .. }), "{error}");
    assert_eq!(begun.elapsed(), Duration::from_secs(10));
}

/// Reads a stream until it ends or fails, and tells after how long and how much.
async fn read_all(made_up: &MadeUp) -> (HttpError, Duration, u64) {
    let begun = Instant::now();
    let mut stream = http(made_up).stranger(PDS).await.unwrap().stream(1 << 30).await.unwrap();
    loop {
        match stream.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ends"),
            Err(error) => return (error, begun.elapsed(), stream.read()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_drips_is_given_up_and_a_slow_one_is_not() {
    let (_, elapsed, read) = read_all(&dripping(1, Duration::from_millis(500))).await;
    assert!(elapsed <= Duration::from_secs(31) && read < 70, "{read} bytes in {elapsed:?}");
    // Half of what it must be, and twice.
    let (_, elapsed, _) = read_all(&dripping(512, Duration::from_secs(1))).await;
    assert!(elapsed <= Duration::from_secs(31), "{elapsed:?}");
    let (_, elapsed, read) = read_all(&dripping(2 << 10, Duration::from_secs(1))).await;
    assert!(elapsed > Duration::from_secs(3600) && read > 7 << 20, "{read} bytes in {elapsed:?}");
    // Nobody holds a place for ever, however steadily.
    assert!(elapsed < Duration::from_secs(7 * 3600), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_falls_silent_is_given_up_whatever_it_brought_before() {
    let made_up = MadeUp::new(|_| Said { ending: Ending::Silence, ..Said::new(200, vec![0; 10 << 20]) });
    let (_, elapsed, read) = read_all(&made_up).await;
    assert_eq!(read, 10 << 20);
    assert!(elapsed <= Duration::from_secs(61), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn exports_together_take_no_more_of_the_disk_than_they_may() {
    let mut world = World::new(1);
    let account = world.create_account(KeyKind::K256);
    world.genesis_frames(&account);
    let car = padded(world.car(&account), 6);
    let did = account.parse().unwrap();
    let body: Vec<_> = car.chunks(64 << 10).map(|chunk| (Duration::ZERO, chunk.to_vec().into())).collect();
    let made_up = MadeUp::new(move |_| Said { body: body.clone(), ..Said::new(200, "") });
    let folder = tempfile::tempdir().unwrap();
    let hosts = Hosts::new(http(&made_up), Spool::with_room(folder.path().into(), 10 << 20));
    let first = hosts.repo(PDS, &did).await.unwrap();
    assert!(first.archive.is_file());
    let error = hosts.repo(PDS, &did).await.unwrap_err();
    assert!(matches!(error, PdsError::NoRoom), "{error}");
    drop(first);
    for _ in 0..3 {
        // What failed gave back what it had taken, and so does what is done with.
        assert!(hosts.repo(PDS, &did).await.unwrap().archive.is_file());
    }
}

#[tokio::test]
async fn large_exports_share_the_memory_of_what_the_largest_may_take() {
    let mut world = World::new(1);
    let account = world.create_account(KeyKind::K256);
    world.genesis_frames(&account);
    let car = Arc::new(padded(world.car(&account), 70));
    let routes = axum::Router::new().fallback(move || {
        let car = Arc::clone(&car);
        async move { car.to_vec() }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let pds = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    let folder = tempfile::tempdir().unwrap();
    let hosts = Hosts::new(on_loopback(), Spool::new(folder.path().into()));
    let did: Did = account.parse().unwrap();
    let mut fetching = tokio::task::JoinSet::new();
    for _ in 0..5 {
        let (hosts, pds, did) = (hosts.clone(), pds.clone(), did.clone());
        fetching.spawn(async move { hosts.repo(&pds, &did).await.unwrap() });
    }
    // Each may have 1.9 million blocks at most, for all that can be known before it is opened.
    let mut opened = vec![fetching.join_next().await.unwrap().unwrap()];
    opened.push(fetching.join_next().await.unwrap().unwrap());
    assert!(opened.iter().all(|export| export.archive.is_file()));
    let third = tokio::time::timeout(Duration::from_secs(1), fetching.join_next());
    assert!(third.await.is_err(), "there is no memory for a third");
    // Who is done with one lets in the next, and nobody is kept out for ever.
    while let Some(done) = opened.pop() {
        drop(done);
        opened.extend(fetching.join_next().await.map(Result::unwrap));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_not_read_beyond_its_limit() {
    let made_up = dripping(1 << 20, Duration::from_millis(10));
    let mut stream = http(&made_up).stranger(PDS).await.unwrap().stream(5 << 20).await.unwrap();
    let mut chunks = 0;
    let error = loop {
        match stream.next().await {
            Ok(_) => chunks += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, HttpError::TooLarge { .. }), "{error}");
    assert_eq!(chunks, 5);
}
