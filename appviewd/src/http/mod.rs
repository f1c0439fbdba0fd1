//! The route table, and how a request reaches the index.
//!
//! HTTP requests enter; JSON leaves. Reads run on snapshots of their own, on blocking threads, and never wait for the
//! writer. Deliberately absent: SQL, and anything that changes the index.

mod compute;
mod error;
mod health;
pub mod rebuild;

use std::future::Future;

use appview_core::index::{Index, IndexReader};
use appview_core::query::QueryError;
use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;

pub use error::XrpcError;
pub use health::Health;

/// What every handler has.
#[derive(Debug, Clone)]
pub struct App {
    index: Index,
    health: Health,
}

impl App {
    /// Answers from `index`; `health` tells how following it goes.
    #[must_use]
    pub const fn new(index: Index, health: Health) -> Self {
        Self { index, health }
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
        let index = self.index.clone();
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
        .route("/xrpc/dev.cocore.compute.listProviders", get(compute::list_providers))
        .route("/xrpc/dev.cocore.compute.listReceipts", get(compute::list_receipts))
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .with_state(app)
}

/// Answers until `shutdown` completes, then finishes what was begun.
///
/// # Errors
///
/// The listener fails.
pub async fn serve(
    listener: TcpListener,
    app: App,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, routes(app)).with_graceful_shutdown(shutdown).await
}
