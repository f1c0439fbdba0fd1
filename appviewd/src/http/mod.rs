//! The route table, and how a request reaches the index.
//!
//! HTTP requests enter; JSON leaves, over a WebSocket for those who subscribe, and pages for people. What every request
//! passes is in `front`.
//! Reads run on snapshots of their own, on blocking threads, and never wait for the writer. Deliberately absent: SQL, and
//! anything that changes the index.

mod account;
mod answer;
mod bluesky;
mod compute;
mod describe;
mod error;
mod front;
mod health;
mod listen;
mod page;
pub mod person;
mod query;
mod record;
mod service;
mod subscribe;
mod verify;

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use appview_core::index::{FEED_RETENTION, IndexReader, Readers, Recall};
use appview_core::source::clock::Clock;
use appview_core::source::network::Network;
use appview_core::source::now;
use appview_core::source::replay::Offline;
use appview_core::source::seen::Seen;
use appview_core::source::turns::Urgency;
use appview_core::sync::verifier::Pace;
use appview_core::syntax::Did;
use appview_core::trust::{self, Examiner};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Redirect;
use axum::routing::{MethodRouter, get};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

pub use error::XrpcError;
pub use front::{Peer, Site};
pub use listen::{Host, Seats, serve};
pub use person::{Accounts, internal_routes};
pub use subscribe::{Subscribers, Terms};

use bluesky::{Face, Faces};
use describe::Description;
use front::{Allowance, Callers, Keep, Names, Shelf, Tallies, place, told_to_browsers};
use record::Proofs;

use crate::config::{Access, LogNames};
use crate::engine::Engine;
use crate::meter::{self, Meter};
use crate::pages::person::Off;
use crate::pages::{Asset, Frame};

/// How a service answers, by its operator's choice.
#[derive(Debug, Clone)]
pub struct Answering {
    /// How far behind it may be and still be ready.
    pub ready_lag: Duration,
    /// Who may ask how much, and as what it presents itself.
    pub access: Access,
    /// Whom to ask what no index holds; nobody where files stand in for the network.
    pub network: Option<Network>,
    /// Those files, where they do.
    pub files: Option<Offline>,
    /// Where it is reached, like `http://127.0.0.1:8080`: what examples are written with.
    pub origin: String,
    /// What time it is.
    pub clock: Clock,
    /// By what receipts and settlements are judged.
    pub terms: trust::Terms,
    /// What brokers and exchanges said of themselves before.
    pub seen: Arc<Seen>,
    /// What is kept for how long, as people are told.
    pub keeping: Keeping,
}

/// What is kept for how long, and how: what people are told of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    /// Within what time each repository is held against what its PDS has.
    pub audited_within: Duration,
    /// For how long the records of a hidden account are kept.
    pub hidden_kept: Duration,
    /// For how long others are told of a deletion.
    pub deletions_told: Duration,
    /// What the log calls people.
    pub log_names: LogNames,
}

impl Default for Keeping {
    fn default() -> Self {
        let Pace { audit, keep_hidden } = Pace::default();
        Self {
            audited_within: Duration::from_micros(audit),
            hidden_kept: Duration::from_micros(keep_hidden),
            deletions_told: FEED_RETENTION,
            log_names: LogNames::default(),
        }
    }
}

impl Answering {
    /// By these terms, to everybody, without asking anybody.
    #[must_use]
    pub fn alone(terms: trust::Terms) -> Self {
        Self {
            ready_lag: Duration::from_secs(60),
            access: Access::default(),
            network: None,
            files: None,
            origin: "http://127.0.0.1:8080".to_owned(),
            clock: Clock::system(),
            terms,
            seen: Arc::default(),
            keeping: Keeping::default(),
        }
    }
}

/// What every handler has.
#[derive(Debug)]
pub struct App {
    engine: Engine,
    ready_lag: Duration,
    access: Access,
    keeping: Keeping,
    stopped: watch::Receiver<bool>,
    subscribers: Subscribers,
    network: Option<Network>,
    files: Option<Offline>,
    origin: String,
    clock: Clock,
    readers: Readers,
    /// Two permits for each processor: one works while another waits for the disk, and more would only wait for both.
    at_work: Arc<Semaphore>,
    /// The one permit for a question that takes long.
    adding_up: Arc<Semaphore>,
    proofs: Proofs,
    examiner: Arc<Examiner>,
    seen: Arc<Seen>,
    faces: Option<Arc<Faces>>,
    frame: Frame,
    names: Names,
    tallies: Tallies,
    told_to_browsers: HeaderMap,
    callers: Callers,
    allowance: Option<Allowance>,
    shelf: Shelf,
    /// One permit for each query that may be worked on.
    room: Arc<Semaphore>,
    began: Instant,
}

/// As of when an answer is: it is the same as long as these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    /// What the index holds.
    changes: u64,
    /// Hours since 1970: weeks and days, which answers count in, begin on one.
    hour: u64,
}

impl App {
    /// Answers from the engine's index, and about the engine, which is not ready any more once `stopped` is true.
    /// `subscribers` are told what changes. To be called within a runtime.
    #[must_use]
    pub fn new(
        engine: Engine,
        answering: Answering,
        stopped: watch::Receiver<bool>,
        subscribers: Subscribers,
    ) -> Self {
        let Answering { ready_lag, access, network, files, origin, clock, terms, seen, keeping } = answering;
        let start = clock.now();
        let at_once = available_parallelism().map_or(4, |processors| processors.get().saturating_mul(2));
        let faces = |network: &Network| {
            let api = access.bluesky_api.as_ref()?;
            Some(Faces::of(network.http.with(Urgency::Live), api.as_str()))
        };
        Self {
            readers: Readers::new(engine.index.clone(), at_once),
            at_work: Arc::new(Semaphore::new(at_once)),
            adding_up: Arc::new(Semaphore::new(1)),
            examiner: Arc::new(Examiner::new(terms)),
            seen,
            proofs: Proofs::new(),
            faces: network.as_ref().and_then(faces),
            network,
            files,
            origin,
            clock,
            engine,
            ready_lag,
            stopped,
            subscribers,
            frame: Frame::of(&access),
            names: Names::since(start),
            tallies: Tallies::default(),
            told_to_browsers: told_to_browsers(&access),
            callers: Callers { spared: access.spare.clone(), proxies: access.proxy.clone() },
            allowance: Allowance::new(access.rate_limit),
            shelf: Shelf::new(),
            room: Arc::new(Semaphore::new(access.max_queries as usize)),
            began: Instant::now(),
            access,
            keeping,
        }
    }

    /// Asks the newest snapshot of the index something. It is called off if whoever waits for the answer leaves.
    ///
    /// # Errors
    ///
    /// What `ask` returns, or that the index cannot be opened.
    async fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&IndexReader) -> Result<T, XrpcError> + Send + 'static,
    ) -> Result<T, XrpcError> {
        let (readers, waiting) = (self.readers.clone(), Waiting::default());
        let recall = waiting.0.clone();
        self.work(move || readers.read_until(&recall, ask)).await
    }

    /// Does something that keeps a processor busy, beside those who wait for a socket.
    ///
    /// # Errors
    ///
    /// What `work` returns, or that it panicked.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, XrpcError> + Send + 'static,
    ) -> Result<T, XrpcError> {
        // Nobody closes the semaphore, so there is always a permit.
        let permit = Arc::clone(&self.at_work).acquire_owned().await;
        // What is begun here goes on where nobody waits for it any more, and is counted until it ends.
        let held = (permit, place());
        let work = move || {
            let _held = held;
            work()
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(answer) => answer,
            Err(error) => Err(XrpcError::internal(&error)),
        }
    }

    /// The right to ask what takes long, which one question has at a time.
    ///
    /// # Errors
    ///
    /// Another has it: whoever waited would keep a place from those who ask for less.
    fn add_up(&self) -> Result<OwnedSemaphorePermit, XrpcError> {
        Arc::clone(&self.adding_up).try_acquire_owned().map_err(|_| XrpcError::busy())
    }

    /// What is known elsewhere of these accounts; nothing where nobody is asked.
    async fn faces(&self, dids: &[Did]) -> HashMap<Did, Face> {
        match &self.faces {
            Some(faces) if !dids.is_empty() => faces.of_accounts(dids).await,
            _ => HashMap::new(),
        }
    }

    fn version(&self) -> Version {
        const HOUR: u64 = 3_600_000_000;
        Version { changes: self.engine.pulse.version(), hour: self.clock.now() / HOUR }
    }
}

/// Somebody who waits for an answer of the index; the question is called off when it is dropped.
#[derive(Debug, Default)]
struct Waiting(Recall);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.call_off();
    }
}

/// A query: its NSID, for how long its answers are given again, and who answers.
type Query = (&'static str, Option<Keep>, MethodRouter<Arc<App>>);

/// Every query, in the order in which they are described.
fn queries(app: &App) -> Vec<Query> {
    let unchanged = Some(Keep::WhileUnchanged);
    let briefly = Some(Keep::Briefly);
    // What others say of an account may come later, or change by itself.
    let faces = if app.faces.is_some() { briefly } else { unchanged };
    vec![
        ("dev.cocore.compute.listProviders", unchanged, get(compute::list_providers)),
        ("dev.cocore.compute.listReceipts", unchanged, get(compute::list_receipts)),
        ("dev.cocore.compute.listJobs", unchanged, get(compute::list_jobs)),
        ("dev.cocore.compute.listSettlements", unchanged, get(compute::list_settlements)),
        ("dev.cocore.compute.latency", briefly, get(compute::latency)),
        ("dev.cocore.compute.modelActivity", briefly, get(compute::model_activity)),
        ("dev.cocore.compute.verifyReceipt", briefly, get(verify::verify_receipt)),
        ("dev.cocore.compute.verifySettlement", briefly, get(verify::verify_settlement)),
        ("dev.cocore.account.listProfiles", unchanged, get(account::list_profiles)),
        ("dev.cocore.account.getProfile", faces, get(account::get_profile)),
        ("dev.cocore.account.listAccounts", faces, get(account::list_accounts)),
        ("dev.cocore.account.listIncomingFriends", faces, get(account::list_incoming_friends)),
        ("dev.cocore.account.listFriendEdges", unchanged, get(account::list_friend_edges)),
        ("dev.cocore.appview.listProviders", unchanged, get(compute::list_providers)),
        ("dev.cocore.appview.listDisputes", unchanged, get(compute::list_disputes)),
        ("dev.cocore.appview.listPolicies", unchanged, get(compute::list_policies)),
        ("dev.cocore.appview.listAttestations", unchanged, get(compute::list_attestations)),
        ("dev.cocore.appview.listProfiles", unchanged, get(account::list_profiles)),
        ("dev.cocore.appview.getLatency", briefly, get(compute::latency)),
        ("dev.cocore.appview.getModelActivity", briefly, get(compute::model_activity)),
        ("dev.cocore.appview.getTotals", unchanged, get(compute::get_totals)),
        ("dev.cocore.appview.getRecord", unchanged, get(record::get_record)),
        ("dev.cocore.appview.getFingerprint", unchanged, get(service::get_fingerprint)),
        ("dev.cocore.appview.getStatus", None, get(service::get_status)),
    ]
}

/// Every path that is answered; those about accounts only where there are some.
pub fn routes(app: App, accounts: Option<Accounts>) -> Site {
    let app = Arc::new(app);
    let queries = queries(&app);
    let names = queries.iter().map(|(name, keep, _)| (*name, keep.is_some())).collect();
    let description = Arc::new(Description::of(names, &app.origin));
    let (openapi, methods) = (Arc::clone(&description), description);
    let mut routes = Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/subscribe", get(subscribe::subscribe))
        .route("/.well-known/did.json", get(service::did_document));
    let told = Router::new().route("/openapi.json", get(async move || openapi.openapi()));
    routes = routes.merge(front::kept(told, &app, Keep::WhileUnchanged)).merge(pages(
        &app,
        methods,
        accounts.as_ref(),
    ));
    for (name, keep, method) in queries {
        let route = Router::new().route(&format!("/xrpc/{name}"), method);
        routes = routes.merge(match keep {
            Some(keep) => front::kept(route, &app, keep),
            None => front::worked(route, &app),
        });
    }
    routes = routes.merge(person::left_to_others()).merge(person::pages(Arc::clone(&app), accounts.clone()));
    routes = routes.merge(accounts.map(person::routes).unwrap_or_default());
    let routes = routes.fallback(error::not_found).method_not_allowed_fallback(error::method_not_allowed);
    let routes = front::open(routes, &app).with_state(Arc::clone(&app));
    Site::new(app, routes)
}

/// What people read, and what that refers to.
fn pages(app: &Arc<App>, methods: Arc<Description>, accounts: Option<&Accounts>) -> Router<Arc<App>> {
    let off = accounts.map_or(Some(Off::Accounts), Accounts::off);
    let unchanged = Router::new()
        .route("/providers", get(page::providers))
        .route("/models", get(page::models))
        .route("/privacy", get(async move |app| page::privacy(app, off).await))
        .route("/api", get(async move |State(app): State<Arc<App>>| page::api(&app, methods).await));
    // They tell the time, or rest on documents that may change.
    let briefly = Router::new()
        .route("/", get(page::network))
        .route("/provider/{did}", get(page::provider))
        .route("/model/{*id}", get(page::model))
        .route("/u/{did}", get(page::person))
        .route("/receipt/{*uri}", get(page::receipt))
        .route("/status", get(page::status));
    let assets = Asset::all().into_iter().fold(Router::new(), |routes, asset| {
        routes.route(&asset.path, get(async move || page::asset(asset)))
    });
    front::kept(unchanged, app, Keep::WhileUnchanged)
        .merge(front::kept(briefly, app, Keep::Briefly))
        .merge(front::worked(assets, app))
        // What browsers ask for beside an answer that names no icon.
        .route("/favicon.ico", get(async || Redirect::temporary(&Asset::icon().path)))
        .route("/go", get(page::go))
}

/// `/metrics`, which has a listener of its own: numbers are for whoever runs the service.
pub fn metrics_route(engine: Engine) -> Router {
    let answer = async move || {
        meter::read(&engine, now());
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], Meter::global().render())
    };
    Router::new().route("/metrics", get(answer)).fallback(error::not_found)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;

    use appview_core::index::Index;
    use appview_core::source::backlog::Progress;
    use appview_core::source::follow::Pulse;
    use appview_core::source::orders::Orders;
    use futures_util::FutureExt as _;

    use super::*;

    fn app(folder: &tempfile::TempDir) -> App {
        let index = Index::open(folder.path().join("index.db")).unwrap();
        let (pulse, progress, orders) = (Pulse::default(), Progress::default(), Orders::default());
        let subscribers = Subscribers::new(index.clone(), pulse.feed(), Terms::default());
        let answering = Answering::alone(trust::Terms::builtin().unwrap());
        App::new(Engine { index, pulse, progress, orders }, answering, watch::channel(false).1, subscribers)
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_any_more_is_counted_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let app = app(&folder);
        let all = app.at_work.available_permits();
        let (end, ending) = mpsc::channel::<()>();
        let ending = Arc::new(std::sync::Mutex::new(ending));
        for _ in 0..all {
            let ending = Arc::clone(&ending);
            let asked = app.work(move || {
                ending.lock().unwrap().recv().unwrap();
                Ok(())
            });
            assert!(asked.now_or_never().is_none(), "it is begun, and its client leaves");
        }
        assert_eq!(app.at_work.available_permits(), 0);
        let next = app.work(|| Ok(()));
        tokio::pin!(next);
        assert!(next.as_mut().now_or_never().is_none(), "there is no place for another");
        end.send(()).unwrap();
        next.await.unwrap();
        (1..all).for_each(|_| end.send(()).unwrap());
        drop(app.at_work.acquire_many(u32::try_from(all).unwrap()).await.unwrap());
    }

    #[test]
    fn a_question_is_called_off_when_its_client_leaves() {
        let one_thread =
            tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        one_thread.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let app = app(&folder);
            let all = u32::try_from(app.at_work.available_permits()).unwrap();
            let (end, ending) = mpsc::channel::<()>();
            let other = tokio::task::spawn_blocking(move || ending.recv().unwrap());
            let was_asked = Arc::new(AtomicBool::new(false));
            let asked = Arc::clone(&was_asked);
            let asking = app.read(move |_| {
                asked.store(true, Ordering::Relaxed);
                Ok(())
            });
            assert!(asking.now_or_never().is_none(), "it waits for the thread, and its client leaves");
            end.send(()).unwrap();
            other.await.unwrap();
            drop(app.at_work.acquire_many(all).await.unwrap());
            assert!(!was_asked.load(Ordering::Relaxed));
        });
    }

    #[tokio::test]
    async fn one_question_that_takes_long_is_answered_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let app = app(&folder);
        let first = app.add_up().unwrap();
        assert!(app.add_up().is_err());
        drop(first);
        assert!(app.add_up().is_ok());
    }
}
