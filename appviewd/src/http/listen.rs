//! Connections: how many there may be, how long they may take, and how they end.
//!
//! A listener and a router enter; answers leave. Whoever opens a connection and sends no request, or a request byte by byte,
//! holds it for a bounded time and nothing else. Deliberately absent: what is asked.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Connections that may be open at a time on one listener; others wait to be accepted.
const CONNECTIONS: usize = 1_024;
/// How long a request's head may take to arrive, which is also how long a connection may be idle.
const HEAD: Duration = Duration::from_secs(30);
/// How long an answer that has begun may take when everything stops.
const GOODBYE: Duration = Duration::from_secs(2);

/// Answers until `stopped` turns true; what was begun is finished within two seconds.
pub async fn serve<L: Listener>(mut listener: L, router: Router, mut stopped: watch::Receiver<bool>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let place = Arc::clone(&room).acquire_owned().await;
            (place, listener.accept().await.0)
        };
        let (place, socket) = tokio::select! {
            accepted = accepted => accepted,
            _ = stopped.wait_for(|stopped| *stopped) => break,
        };
        let (router, mut stopped) = (router.clone(), stopped.clone());
        connections.spawn(async move {
            let _place = place;
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD);
            let service = TowerToHyperService::new(router);
            let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(socket), service));
            // How a connection ends is the client's affair.
            tokio::select! {
                _ = connection.as_mut() => return,
                _ = stopped.wait_for(|stopped| *stopped) => {}
            }
            connection.as_mut().graceful_shutdown();
            let _ = timeout(GOODBYE, connection).await;
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}
