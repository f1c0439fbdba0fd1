//! The daemon as a library, on a thread of this process, following relays of the test.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::net::SocketAddr;
use std::time::Duration;

use appview_core::index::Index;
use appview_core::source::clock::Clock;
use appview_core::source::follow::{Answers, Following, Source};
use appview_core::source::replay::{Identities, Offline, RepoFolder};
use appview_core::source::wire::{Outside, Reach};
use appview_core::sync::Scope;
use appviewd::command::serve::{Doors, Limits, serve};
use appviewd::config::Access;
use appviewd::engine::Engine;
use fixtures::recording;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Scenario;
use super::http::get;
use super::relay::{Relay, seq};

/// How long anything here may take before something must be wrong. A gap that follows another is made up for a minute later.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Served {
    pub address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinHandle<anyhow::Result<()>>,
}

impl Served {
    pub async fn start(scenario: &Scenario, relays: &[&Relay]) -> Self {
        Self::open_to(Access::default(), scenario, relays).await
    }

    /// One that meets whoever asks so.
    pub async fn open_to(access: Access, scenario: &Scenario, relays: &[&Relay]) -> Self {
        Self::at(Clock::system(), access, scenario, relays).await
    }

    /// One to which it is another time.
    pub async fn at(clock: Clock, access: Access, scenario: &Scenario, relays: &[&Relay]) -> Self {
        let index = Index::open(scenario.path("index.db")).unwrap();
        let identities = Identities::open(scenario.path("plc.json")).unwrap();
        let upstream =
            Offline::new(identities, Some(RepoFolder::new(scenario.path("repos"))), Scope::default());
        // On every address of the loopback, so that clients can have different ones.
        let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
        let address = SocketAddr::from(([127, 0, 0, 1], listener.local_addr().unwrap().port()));
        let (stop, stopped) = watch::channel(false);
        let outside = Outside { clock, ..Outside::internet(Reach::Anywhere).unwrap() };
        let sources = relays.iter().map(|relay| Source::Relay(relay.url().parse().unwrap())).collect();
        let following = Following::new(sources, Answers::Upstream(Box::new(upstream)), outside);
        let engine = Engine::of(index, &following);
        let limits = Limits { access, ..Limits::default() };
        let serving = tokio::spawn(serve(engine, following, Doors::queries(listener), limits, stopped));
        Self { address, stop, serving }
    }

    pub async fn stop(self) {
        self.stop.send_replace(true);
        tokio::time::timeout(PATIENCE, self.serving).await.expect("it stops").unwrap().unwrap();
    }
}

/// Asks until the daemon's stored cursor has come to `seq`.
pub async fn wait_for(address: SocketAddr, relay: &Relay, seq: i64) {
    let stored = async {
        while get(address, "/healthz").await["cursors"][relay.url()] != seq {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, stored).await.expect("the cursor gets there");
}

/// The frames of the recording.
pub fn frames() -> Vec<Vec<u8>> {
    recording::frames_live().into_iter().map(<[u8]>::to_vec).collect()
}

/// The recording, followed to its end.
pub async fn followed() -> (Scenario, Relay, Served) {
    followed_by(Access::default()).await
}

/// The same by a daemon that meets whoever asks so.
pub async fn followed_by(access: Access) -> (Scenario, Relay, Served) {
    followed_at(Clock::system(), access).await
}

/// The same when it is another time.
pub async fn followed_at(clock: Clock, access: Access) -> (Scenario, Relay, Served) {
    let scenario = Scenario::new();
    let frames = frames();
    let (upto, last) = (frames.len(), seq(frames.last().unwrap()));
    let relay = Relay::start(frames, upto).await;
    let daemon = Served::at(clock, access, &scenario, &[&relay]).await;
    wait_for(daemon.address, &relay, last).await;
    (scenario, relay, daemon)
}
