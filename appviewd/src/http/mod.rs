//! The route table, and how a request reaches the index.
//!
//! HTTP requests enter; JSON leaves, over a WebSocket for those who subscribe. What every request passes is in `front`.
//! Reads run on snapshots of their own, on blocking threads, and never wait for the writer. Deliberately absent: SQL, and
//! anything that changes the index.

mod compute;
mod error;
mod front;
mod health;
mod listen;
pub mod person;
mod query;
mod subscribe;

use std::sync::Arc;
use std::time::{Duration, Instant};

use appview_core::index::IndexReader;
use appview_core::query::QueryError;
use appview_core::source::now;
use axum::Router;
use axum::http::header;
use axum::routing::get;
use tokio::sync::{Semaphore, watch};

pub use error::XrpcError;
pub use front::Peer;
use front::{Allowance, Callers, Keep, Names, Shelf};
pub use listen::{Seats, serve};
pub use person::{Accounts, internal_routes};
pub use subscribe::{Subscribers, Terms};

use crate::config::Access;
use crate::engine::Engine;
use crate::meter::{self, Meter};

/// How a service answers, by its operator's choice.
#[derive(Debug, Clone)]
pub struct Answering {
    /// How far behind it may be and still be ready.
    pub ready_lag: Duration,
    /// Who may ask how much, and as what it presents itself.
    pub access: Access,
}

impl Default for Answering {
    fn default() -> Self {
        Self { ready_lag: Duration::from_secs(60), access: Access::default() }
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
    /// `subscribers` are told what changes.
    #[must_use]
    pub fn new(
        engine: Engine,
        service: Answering,
        stopped: watch::Receiver<bool>,
        subscribers: Subscribers,
    ) -> Self {
        let Answering { ready_lag, access } = service;
        let start = now();
        Self {
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
        ask: impl FnOnce(&IndexReader) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, XrpcError> {
        let index = self.engine.index.clone();
        let asked = tokio::task::spawn_blocking(move || ask(&index.reader()?));
        match asked.await {
            Ok(answer) => answer.map_err(|error: QueryError| XrpcError::from(error)),
            Err(error) => Err(XrpcError::internal(&error)),
        }
    }

    fn version(&self) -> Version {
        const HOUR: u64 = 3_600_000_000;
        Version { changes: self.engine.pulse.version(), hour: now() / HOUR }
    }
}

/// Every path that is answered; those about accounts only where there are some.
pub fn routes(app: App, accounts: Option<Accounts>) -> Router {
    let app = Arc::new(app);
    let service = Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/subscribe", get(subscribe::subscribe));
    let lists = Router::new()
        .route("/xrpc/dev.cocore.compute.listProviders", get(compute::list_providers))
        .route("/xrpc/dev.cocore.compute.listReceipts", get(compute::list_receipts));
    let routes = service
        .merge(front::kept(lists, &app, Keep::WhileUnchanged))
        .merge(person::left_to_others())
        .merge(accounts.map(person::routes).unwrap_or_default())
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed);
    front::open(routes, &app).with_state(app)
}

/// `/metrics`, which has a listener of its own: numbers are for whoever runs the service.
pub fn metrics_route(engine: Engine) -> Router {
    let answer = async move || {
        meter::read(&engine, appview_core::source::now());
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], Meter::global().render())
    };
    Router::new().route("/metrics", get(answer)).fallback(error::not_found)
}
