//! The route table, and how a request reaches the index.
//!
//! HTTP requests enter; JSON leaves, over a WebSocket for those who subscribe. Reads run on snapshots of their own, on
//! blocking threads, and never wait for the writer. Deliberately absent: SQL, and anything that changes the index.

mod compute;
mod error;
mod health;
mod listen;
mod measure;
mod subscribe;

use std::time::Duration;

use appview_core::index::IndexReader;
use appview_core::query::QueryError;
use axum::http::header;
use axum::routing::get;
use axum::{Router, middleware};
use tokio::sync::watch;

pub use error::XrpcError;
pub use listen::serve;
pub use subscribe::{Subscribers, Terms};

use crate::engine::Engine;
use crate::meter::{self, Meter};

/// What every handler has.
#[derive(Debug, Clone)]
pub struct App {
    engine: Engine,
    ready_lag: Duration,
    stopped: watch::Receiver<bool>,
    subscribers: Subscribers,
}

impl App {
    /// Answers from the engine's index, and about the engine; `ready_lag` is how far behind it may be and still be ready, which it
    /// is no more once `stopped` is true. `subscribers` are told what changes.
    #[must_use]
    pub const fn new(
        engine: Engine,
        ready_lag: Duration,
        stopped: watch::Receiver<bool>,
        subscribers: Subscribers,
    ) -> Self {
        Self { engine, ready_lag, stopped, subscribers }
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
}

/// Every path that is answered.
pub fn routes(app: App) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/subscribe", get(subscribe::subscribe))
        .route("/xrpc/dev.cocore.compute.listProviders", get(compute::list_providers))
        .route("/xrpc/dev.cocore.compute.listReceipts", get(compute::list_receipts))
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(middleware::from_fn(measure::measure))
        .with_state(app)
}

/// `/metrics`, which has a listener of its own: numbers are for whoever runs the service.
pub fn metrics_route(engine: Engine) -> Router {
    let answer = async move || {
        meter::read(&engine, appview_core::source::now());
        ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], Meter::global().render())
    };
    Router::new().route("/metrics", get(answer)).fallback(error::not_found)
}
