//! The route table, and how a request reaches the index.
//!
//! HTTP requests enter; JSON leaves, over a WebSocket for those who subscribe. What every request passes is in `front`.
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
pub mod person;
mod query;
mod record;
mod service;
mod subscribe;
mod verify;

use std::collections::HashMap;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use appview_core::index::{IndexReader, Readers};
use appview_core::source::clock::Clock;
use appview_core::source::network::Network;
use appview_core::source::now;
use appview_core::source::turns::Urgency;
use appview_core::syntax::Did;
use appview_core::trust::{self, Examiner};
use axum::Router;
use axum::http::header;
use axum::routing::{MethodRouter, get};
use tokio::sync::{Semaphore, watch};

pub use error::XrpcError;
pub use front::Peer;
pub use listen::{Seats, serve};
pub use person::{Accounts, internal_routes};
pub use subscribe::{Subscribers, Terms};

use bluesky::{Face, Faces};
use describe::Description;
use front::{Allowance, Callers, Keep, Names, Shelf};
use record::Proofs;

use crate::config::{Access, PublicUrl};
use crate::engine::Engine;
use crate::meter::{self, Meter};

/// How a service answers, by its operator's choice.
#[derive(Debug, Clone)]
pub struct Answering {
    /// How far behind it may be and still be ready.
    pub ready_lag: Duration,
    /// Who may ask how much, and as what it presents itself.
    pub access: Access,
    /// Whom to ask what no index holds; nobody where files stand in for the network.
    pub network: Option<Network>,
    /// What time it is.
    pub clock: Clock,
    /// By what receipts and settlements are judged.
    pub terms: trust::Terms,
}

impl Answering {
    /// By these terms, to everybody, without asking anybody.
    #[must_use]
    pub fn alone(terms: trust::Terms) -> Self {
        let ready_lag = Duration::from_secs(60);
        Self { ready_lag, access: Access::default(), network: None, clock: Clock::system(), terms }
    }
}

/// What every handler has.
#[derive(Debug)]
pub struct App {
    engine: Engine,
    ready_lag: Duration,
    access: Access,
    stopped: watch::Receiver<bool>,
    subscribers: Subscribers,
    network: Option<Network>,
    clock: Clock,
    readers: Readers,
    /// One permit for each processor: more work at once would only wait for one.
    at_work: Semaphore,
    /// The one permit for a question that takes long.
    adding_up: Semaphore,
    proofs: Proofs,
    examiner: Arc<Examiner>,
    faces: Option<Arc<Faces>>,
    names: Names,
    callers: Callers,
    allowance: Option<Allowance>,
    shelf: Shelf,
    /// One permit for each query that may be worked on.
    room: Semaphore,
    began: Instant,
}

/// As of when an answer is: it is the same as long as these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
        let Answering { ready_lag, access, network, clock, terms } = answering;
        let start = clock.now();
        let at_once = available_parallelism().map_or(2, NonZero::get);
        let faces = |network: &Network| {
            let api = access.bluesky_api.as_ref()?;
            Some(Faces::of(network.http.with(Urgency::Live), api.as_str()))
        };
        Self {
            readers: Readers::new(engine.index.clone(), at_once),
            at_work: Semaphore::new(at_once),
            adding_up: Semaphore::new(1),
            examiner: Arc::new(Examiner::new(terms)),
            proofs: Proofs::new(),
            faces: network.as_ref().and_then(faces),
            network,
            clock,
            engine,
            ready_lag,
            stopped,
            subscribers,
            names: Names::since(start),
            callers: Callers { spared: access.spare.clone(), proxies: access.proxy.clone() },
            allowance: Allowance::new(access.rate_limit),
            shelf: Shelf::since(start),
            room: Semaphore::new(access.max_queries as usize),
            began: Instant::now(),
            access,
        }
    }

    /// Asks the newest snapshot of the index something.
    ///
    /// # Errors
    ///
    /// What `ask` returns, or that the index cannot be opened.
    async fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&IndexReader) -> Result<T, XrpcError> + Send + 'static,
    ) -> Result<T, XrpcError> {
        let readers = self.readers.clone();
        self.work(move || readers.read(ask)).await
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
        let _place = self.at_work.acquire().await;
        match tokio::task::spawn_blocking(work).await {
            Ok(answer) => answer,
            Err(error) => Err(XrpcError::internal(&error)),
        }
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
pub fn routes(app: App, accounts: Option<Accounts>) -> Router {
    let app = Arc::new(app);
    let queries = queries(&app);
    let names: Vec<&str> = queries.iter().map(|(name, ..)| *name).collect();
    let origin = app.access.public_url.as_ref().map_or("http://127.0.0.1:8080", PublicUrl::as_str);
    let description = Arc::new(Description::of(&names, origin));
    let (openapi, page) = (Arc::clone(&description), description);
    let mut routes = Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/subscribe", get(subscribe::subscribe))
        .route("/.well-known/did.json", get(service::did_document));
    let told = Router::new()
        .route("/openapi.json", get(async move || openapi.openapi()))
        .route("/api", get(async move || page.page()))
        .route("/api.css", get(describe::style));
    routes = routes.merge(front::kept(told, &app, Keep::WhileUnchanged));
    for (name, keep, method) in queries {
        let route = Router::new().route(&format!("/xrpc/{name}"), method);
        routes = routes.merge(match keep {
            Some(keep) => front::kept(route, &app, keep),
            None => front::worked(route, &app),
        });
    }
    routes = routes.merge(person::left_to_others()).merge(accounts.map(person::routes).unwrap_or_default());
    let routes = routes.fallback(error::not_found).method_not_allowed_fallback(error::method_not_allowed);
    front::open(routes, &app).with_state(app)
}

/// `/metrics`, which has a listener of its own: numbers are for whoever runs the service.
pub fn metrics_route(engine: Engine) -> Router {
    let answer = async move || {
        meter::read(&engine, now());
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], Meter::global().render())
    };
    Router::new().route("/metrics", get(answer)).fallback(error::not_found)
}
