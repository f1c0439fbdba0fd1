//! A world outside that is made up: what each URL answers and how slowly, at a time that leaps, and what was asked.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use appview_core::block::Cid;
use appview_core::source::clock::Clock;
use appview_core::source::network::{Asking, Network};
use appview_core::source::orders::Orders;
use appview_core::source::pump::{Answer, Input};
use appview_core::source::queue::{Inbox, queue};
use appview_core::source::relay::Received;
use appview_core::source::turns::Politeness;
use appview_core::source::wire::{
    self, Bytes, ChosenBy, HeaderMap, Outside, Reach, Reply, Socket, Wire, WireError,
};
use appview_core::source::wishes::Wishes;
use appview_core::sync::Scope;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream;
use reqwest::Url;
use serde_json::{Value as Json, json};
use tokio::time::Instant;

/// When every test begins, in microseconds since the Unix epoch: Sun, 04 Oct 2026 09:15:00 GMT.
pub const BEGIN: u64 = 1_791_105_300_000_000;
pub const PLC: &str = "https://plc.example.com";
pub const PDS: &str = "https://pds.example.com";
/// Some key.
const KEY: &str = "zQ3shqwJEJyMBsBXCWyCBpUBMqxcon9oHB7mCvx4sSpMdLJwc";

/// What was asked, and when.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Since the beginning.
    pub at: Duration,
    pub url: Url,
}

impl Asked {
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap()
    }

    pub fn method(&self) -> &str {
        self.url.path().rsplit('/').next().unwrap()
    }

    pub fn param(&self, name: &str) -> Option<String> {
        self.url.query_pairs().find(|(own, _)| own == name).map(|(_, value)| value.into_owned())
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub struct Said {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    /// Each after a pause.
    pub body: Vec<(Duration, Bytes)>,
    pub ending: Ending,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The body ends.
    Whole,
    /// Nobody takes the connection.
    Refused,
    /// Nothing more ever comes.
    Silence,
    /// The last chunk comes again and again.
    Endless,
}

impl Said {
    pub fn new(status: u16, body: impl Into<Bytes>) -> Self {
        let body = vec![(Duration::from_millis(20), body.into())];
        Self { status, headers: Vec::new(), body, ending: Ending::Whole }
    }

    pub fn json(body: &Json) -> Self {
        Self::new(200, body.to_string())
    }

    pub fn error(status: u16, name: &str) -> Self {
        Self::new(status, json!({"error": name, "message": "said by a test"}).to_string())
    }

    pub fn refused() -> Self {
        Self { ending: Ending::Refused, ..Self::new(0, "") }
    }

    pub fn silence() -> Self {
        Self { ending: Ending::Silence, body: Vec::new(), ..Self::new(200, "") }
    }

    pub fn with(mut self, header: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((header, value.into()));
        self
    }

    /// The same after a longer pause.
    pub fn after(mut self, pause: Duration) -> Self {
        self.body[0].0 = pause;
        self
    }
}

type Answers = dyn Fn(&Asked) -> Said + Send + Sync;

#[derive(Clone)]
pub struct MadeUp(Arc<Inner>);

struct Inner {
    began: Instant,
    answers: Box<Answers>,
    asked: Mutex<Vec<Asked>>,
    /// Requests under way by host, and the most there were.
    under_way: Mutex<BTreeMap<String, (usize, usize)>>,
}

impl MadeUp {
    pub fn new(answers: impl Fn(&Asked) -> Said + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner {
            began: Instant::now(),
            answers: Box::new(answers),
            asked: Mutex::default(),
            under_way: Mutex::default(),
        }))
    }

    pub fn outside(&self) -> Outside {
        let clock = Clock::of_runtime(self.now(), 7);
        Outside { wire: Arc::new(self.clone()), clock, reach: Reach::Public }
    }

    /// The time, in microseconds since the Unix epoch.
    pub fn now(&self) -> u64 {
        BEGIN + self.0.began.elapsed().as_micros() as u64
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.0.asked.lock().unwrap().clone()
    }

    /// When each request to a host was made.
    pub fn asked_of(&self, host: &str) -> Vec<Asked> {
        let host = host.trim_start_matches("https://");
        self.asked().into_iter().filter(|asked| asked.host() == host).collect()
    }

    /// How many requests there were of a method, whomever about.
    pub fn times(&self, method: &str) -> usize {
        self.asked().iter().filter(|asked| asked.method() == method).count()
    }

    /// The most requests that were under way at a host.
    pub fn at_once(&self, host: &str) -> usize {
        let host = host.trim_start_matches("https://");
        self.0.under_way.lock().unwrap().get(host).map_or(0, |(_, most)| *most)
    }
}

impl fmt::Debug for MadeUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MadeUp")
    }
}

/// A request that is under way until it is dropped.
struct UnderWay(Arc<Inner>, String);

impl UnderWay {
    fn new(inner: &Arc<Inner>, host: &str) -> Self {
        let mut all = inner.under_way.lock().unwrap();
        let (now, most) = all.entry(host.to_owned()).or_default();
        *now += 1;
        *most = (*most).max(*now);
        Self(Arc::clone(inner), host.to_owned())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.lock().unwrap().get_mut(&self.1).unwrap().0 -= 1;
    }
}

impl Wire for MadeUp {
    fn send(&self, url: Url, _: wire::Said, _: ChosenBy) -> BoxFuture<'static, Result<Reply, WireError>> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move {
            let asked = Asked { at: inner.began.elapsed(), url };
            let under_way = UnderWay::new(&inner, asked.host());
            let Said { status, headers, body, ending } = (inner.answers)(&asked);
            inner.asked.lock().unwrap().push(asked);
            let header =
                |name: &str| headers.iter().find(|(own, _)| *own == name).map(|(_, value)| value.as_str());
            let wishes = Wishes::read(header, BEGIN + inner.began.elapsed().as_micros() as u64);
            if ending == Ending::Refused {
                tokio::time::sleep(Duration::from_millis(20)).await;
                return Err(WireError::Unsent("connection refused".to_owned()));
            }
            let last = body.last().cloned();
            let chunks = stream::iter(body).chain(stream::unfold(last, move |last| async move {
                match ending {
                    Ending::Silence => std::future::pending().await,
                    Ending::Endless => Some((last.clone()?, last)),
                    Ending::Whole | Ending::Refused => None,
                }
            }));
            let body = chunks.then(move |(pause, chunk)| {
                let _ = &under_way;
                async move {
                    tokio::time::sleep(pause).await;
                    Ok(chunk)
                }
            });
            Ok(Reply { status, headers: HeaderMap::new(), wishes, body: body.boxed() })
        })
    }

    fn texts(&self, _: String) -> BoxFuture<'static, Result<Vec<String>, WireError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn dial(&self, _: String) -> BoxFuture<'static, Result<Box<dyn Socket>, WireError>> {
        Box::pin(async { Err(WireError::Unsent("no relay".to_owned())) })
    }
}

/// A DID that is one of many.
pub fn did(number: usize) -> appview_core::syntax::Did {
    // Letters from a to p, so that any number of 64 bits has a place in the 24.
    let letter = |place: u32| char::from(b'a' + (number >> (4 * place) & 15) as u8);
    let id: String = (0..16).map(letter).collect();
    format!("did:plc:{id}aaaaaaaa").parse().unwrap()
}

/// Which of [`did`]'s it is.
pub fn number(did: &str) -> usize {
    let id = did.strip_prefix("did:plc:").unwrap().bytes().take(16);
    id.enumerate().map(|(place, letter)| usize::from(letter - b'a') << (4 * place)).sum()
}

/// What a directory says about a DID.
pub fn document(did: &str, pds: &str) -> Json {
    json!({
        "id": did,
        "verificationMethod": [{
            "id": format!("{did}#atproto"), "type": "Multikey", "controller": did, "publicKeyMultibase": KEY,
        }],
        "service": [{"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": pds}],
    })
}

/// What the directory says when it knows no such DID.
pub fn not_registered(asked: &Asked) -> Said {
    let message = format!("DID not registered: {}", asked.method());
    Said::new(404, json!({ "message": message }).to_string())
}

/// An export with so many bytes more, in sections of a mebibyte that nothing refers to: it may carry more than its tree.
pub fn padded(mut car: Vec<u8>, mebibytes: u8) -> Vec<u8> {
    for number in 0..mebibytes {
        let block = vec![number; 1 << 20];
        let cid = Cid::of(&block).to_bytes();
        car.extend_from_slice(&fixtures::car::varint((cid.len() + block.len()) as u64));
        car.extend_from_slice(&cid);
        car.extend_from_slice(&block);
    }
    car
}

/// Whoever asks the network, and hears its answers.
pub struct Asker {
    pub asking: Asking,
    pub network: Network,
    inbox: Inbox,
    pub orders: Orders,
    work: tokio::task::JoinHandle<()>,
}

impl Asker {
    pub fn new(made_up: &MadeUp) -> Self {
        Self::politely(made_up, Politeness::default())
    }

    pub fn politely(made_up: &MadeUp, politeness: Politeness) -> Self {
        Self::with(made_up, std::env::temp_dir(), politeness)
    }

    /// One that spools large exports to a folder.
    pub fn spooling(made_up: &MadeUp, folder: PathBuf) -> Self {
        Self::with(made_up, folder, Politeness::default())
    }

    fn with(made_up: &MadeUp, spool: PathBuf, politeness: Politeness) -> Self {
        let outside = made_up.outside();
        let network = Network::politely(&outside, PLC, spool, Scope::default(), politeness);
        let (outbox, inbox) = queue();
        let orders = Orders::default();
        let (asking, work) = network.clone().start(outbox, orders.clone());
        Self { asking, network, inbox, orders, work: tokio::spawn(work) }
    }

    /// What the pump hears next.
    pub async fn hear(&mut self) -> Input {
        match self.inbox.receive().await.unwrap() {
            Received::Input(input) => input,
            Received::Resume { .. } => panic!("no relay is followed"),
        }
    }

    /// The next answer, whatever is heard before it.
    pub async fn answer(&mut self) -> Answer {
        loop {
            if let Input::Answer(answer) = self.hear().await {
                return answer;
            }
        }
    }

    /// What the pump hears next, if it does within a time.
    pub async fn hear_within(&mut self, time: Duration) -> Option<Input> {
        tokio::time::timeout(time, self.hear()).await.ok()
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.work.abort();
    }
}

/// The most requests in any span of time.
pub fn most_within(span: Duration, asked: &[Asked]) -> usize {
    let mut first = 0;
    (0..asked.len())
        .map(|last| {
            while asked[last].at - asked[first].at >= span {
                first += 1;
            }
            last - first + 1
        })
        .max()
        .unwrap_or(0)
}
