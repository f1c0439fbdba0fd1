//! The route table, and how a request reaches the index.
//!
//! HTTP requests enter; JSON leaves. Reads run on snapshots of their own, on blocking threads, and never wait for the
//! writer. Deliberately absent: SQL, and anything that changes the index.

mod compute;
mod error;
mod health;

use std::future::Future;
use std::sync::{Arc, Mutex};

use appview_core::index::{Index, IndexReader};
use appview_core::query::QueryError;
use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;

pub use error::XrpcError;
pub use health::Health;

/// Snapshots that are kept open for the next request.
const IDLE_READERS: usize = 4;

/// What every handler has.
#[derive(Debug, Clone)]
pub struct App {
    readers: Arc<Readers>,
    health: Health,
}

#[derive(Debug)]
struct Readers {
    index: Index,
    idle: Mutex<Vec<IndexReader>>,
}

impl App {
    /// Answers from `index`; `health` tells how following it goes.
    #[must_use]
    pub fn new(index: Index, health: Health) -> Self {
        Self { readers: Arc::new(Readers { index, idle: Mutex::default() }), health }
    }

    /// Asks the newest snapshot of the index something.
    ///
    /// # Errors
    ///
    /// What `ask` returns; 503 if the index cannot be opened.
    async fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&IndexReader) -> Result<T, QueryError> + Send + 'static,
    ) -> Result<T, XrpcError> {
        let readers = Arc::clone(&self.readers);
        let asked = tokio::task::spawn_blocking(move || {
            let reader = readers.take()?;
            let answer = ask(&reader)?;
            readers.put_back(reader);
            Ok(answer)
        });
        match asked.await {
            Ok(answer) => answer.map_err(|error: QueryError| XrpcError::from(error)),
            Err(error) => Err(XrpcError::internal(&error)),
        }
    }
}

impl Readers {
    fn take(&self) -> Result<IndexReader, QueryError> {
        let idle = self.idle.lock().ok().and_then(|mut idle| idle.pop());
        Ok(match idle {
            Some(mut reader) => {
                reader.refresh()?;
                reader
            }
            None => self.index.reader()?,
        })
    }

    fn put_back(&self, reader: IndexReader) {
        // A reader that failed is dropped instead of coming back here.
        if let Ok(mut idle) = self.idle.lock()
            && idle.len() < IDLE_READERS
            && reader.release().is_ok()
        {
            idle.push(reader);
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
