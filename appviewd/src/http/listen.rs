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
            // A connection that becomes a WebSocket ends here, and is its handler's from then on.
            let connection = http.serve_connection(TokioIo::new(socket), service).with_upgrades();
            let mut connection = std::pin::pin!(connection);
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

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use axum::extract::Request;
    use axum::http::{StatusCode, header};
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// Says every byte again, once the connection is its own.
    async fn echo(request: Request) -> (StatusCode, [(header::HeaderName, &'static str); 2]) {
        tokio::spawn(async move {
            let upgraded = TokioIo::new(hyper::upgrade::on(request).await.unwrap());
            let (mut read, mut write) = tokio::io::split(upgraded);
            tokio::io::copy(&mut read, &mut write).await.unwrap();
        });
        (StatusCode::SWITCHING_PROTOCOLS, [(header::CONNECTION, "upgrade"), (header::UPGRADE, "echo")])
    }

    #[tokio::test]
    async fn a_connection_may_become_another_protocols_and_holds_no_stop() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let serving = tokio::spawn(serve(listener, Router::new().route("/", get(echo)), stopped));
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n")
            .await
            .unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(socket.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        socket.write_all(b"hello").await.unwrap();
        let mut said = [0; 5];
        socket.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"hello");
        stop.send_replace(true);
        serving.await.unwrap();
    }
}
