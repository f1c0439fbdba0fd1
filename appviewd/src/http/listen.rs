//! Connections: how many there may be, how long they may take, and how they end.
//!
//! A listener and what answers on it enter; answers leave. Whoever opens a connection and sends no request, or a request byte by
//! byte, or does not take what it asked for, holds it for a bounded time and nothing else; and nobody holds more than a few.
//! Deliberately absent: what is asked.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use axum::response::Response;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep, timeout};

use super::front::{Caller, Callers, Peer};
use crate::config::Access;

/// Connections that may be open at a time on one listener; others wait to be accepted.
const CONNECTIONS: usize = 1_024;
/// How long a request's head may take to arrive, which is also how long a connection may be idle.
const HEAD: Duration = Duration::from_secs(30);
/// Longest head of a request, in bytes.
const HEAD_BYTES: usize = 16 << 10;
/// How long the other end may take nothing of an answer.
const STALL: Duration = Duration::from_secs(30);
/// How long an answer that has begun may take when everything stops.
const GOODBYE: Duration = Duration::from_secs(2);

/// How many connections each address may hold.
#[derive(Debug, Clone)]
pub struct Seats {
    callers: Callers,
    each: u32,
    taken: Arc<Mutex<HashMap<Caller, u32>>>,
}

impl Seats {
    /// As many as an operator allows each of those who are not spared.
    #[must_use]
    pub fn of(access: &Access) -> Self {
        let callers = Callers { spared: access.spare.clone(), proxies: access.proxy.clone() };
        Self { callers, each: access.max_connections, taken: Arc::default() }
    }

    /// As many as there are: for a listener that only its owner can reach.
    #[must_use]
    pub fn unlimited() -> Self {
        let everybody = ["0.0.0.0/0", "::/0"].iter().filter_map(|range| range.parse().ok());
        let callers = Callers { spared: everybody.collect(), proxies: Vec::new() };
        Self { callers, each: u32::MAX, taken: Arc::default() }
    }

    /// A seat for a connection; none if its address holds as many as it may.
    fn take(&self, peer: Peer) -> Option<Seat> {
        let Some(caller) = self.callers.connecting(peer) else { return Some(Seat(None)) };
        let mut taken = self.taken();
        let count = taken.entry(caller).or_insert(0);
        if *count >= self.each {
            return None;
        }
        *count += 1;
        drop(taken);
        Some(Seat(Some((self.clone(), caller))))
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Caller, u32>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection's place among those of its address, free again when it is dropped.
#[derive(Debug)]
struct Seat(Option<(Seats, Caller)>);

impl Drop for Seat {
    fn drop(&mut self) {
        let Some((seats, caller)) = self.0.take() else { return };
        if let Entry::Occupied(mut count) = seats.taken().entry(caller) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// What answers on a listener.
pub trait Host: Send + 'static {
    /// What answers one connection.
    type Service: Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send>
        + Send
        + 'static;

    /// Answers whoever is at the other end of a connection.
    fn to(&self, peer: Peer) -> Self::Service;
}

/// Answers everybody alike.
impl Host for Router {
    type Service = TowerToHyperService<Self>;

    fn to(&self, _: Peer) -> Self::Service {
        TowerToHyperService::new(self.clone())
    }
}

/// Answers until `stopped` turns true; what was begun is finished within two seconds.
pub async fn serve<L: Listener<Addr: Into<Peer>>>(
    mut listener: L,
    host: impl Host,
    seats: Seats,
    mut stopped: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let place = Arc::clone(&room).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, (socket, address)) = tokio::select! {
            accepted = accepted => accepted,
            _ = stopped.wait_for(|stopped| *stopped) => break,
        };
        while connections.try_join_next().is_some() {}
        let peer: Peer = address.into();
        let Some(seat) = seats.take(peer) else {
            metrics::counter!("appview_http_connections_refused_total").increment(1);
            continue;
        };
        let (service, mut stopped) = (host.to(peer), stopped.clone());
        connections.spawn(async move {
            let _held = (place, seat);
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES);
            // A connection that becomes a WebSocket ends here, and is its handler's from then on.
            let connection =
                http.serve_connection(TokioIo::new(Patient::new(socket)), service).with_upgrades();
            let mut connection = std::pin::pin!(connection);
            // How a connection ends is the client's affair.
            tokio::select! {
                _ = connection.as_mut() => return,
                _ = stopped.wait_for(|stopped| *stopped) => {}
            }
            connection.as_mut().graceful_shutdown();
            let _ = timeout(GOODBYE, connection).await;
        });
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// A socket that is given up when the other end takes nothing for half a minute.
#[derive(Debug)]
struct Patient<S> {
    socket: S,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncWrite + Unpin> Patient<S> {
    const fn new(socket: S) -> Self {
        Self { socket, stalled: None }
    }

    fn write<T>(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if let Poll::Ready(written) = write(Pin::new(&mut self.socket), cx) {
            self.stalled = None;
            return Poll::Ready(written);
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(STALL)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, |socket, cx| socket.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |socket, cx| socket.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write(cx, |socket, cx| socket.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write(cx, |socket, cx| socket.poll_shutdown(cx))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::net::SocketAddr;

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
        let router = Router::new().route("/", get(echo));
        let serving = tokio::spawn(serve(listener, router, Seats::unlimited(), stopped));
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

    /// Connections without a network.
    struct Pipes(tokio::sync::mpsc::Receiver<tokio::io::DuplexStream>);

    impl Listener for Pipes {
        type Io = tokio::io::DuplexStream;
        type Addr = SocketAddr;

        async fn accept(&mut self) -> (Self::Io, SocketAddr) {
            match self.0.recv().await {
                Some(pipe) => (pipe, SocketAddr::from(([203, 0, 113, 1], 1))),
                None => std::future::pending().await,
            }
        }

        fn local_addr(&self) -> io::Result<SocketAddr> {
            Ok(SocketAddr::from(([203, 0, 113, 2], 80)))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_sends_a_head_byte_by_byte_has_half_a_minute_for_it() {
        let (connect, pipes) = tokio::sync::mpsc::channel(1);
        let (_stop, stopped) = watch::channel(false);
        let router = Router::new().route("/", get(async || "here"));
        tokio::spawn(serve(Pipes(pipes), router, Seats::unlimited(), stopped));
        let (mut client, server) = tokio::io::duplex(1 << 16);
        connect.send(server).await.unwrap();
        let began = tokio::time::Instant::now();
        // A byte a second would take minutes, and each is heard.
        for byte in b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: ".iter().chain(std::iter::repeat_n(&b'a', 300)) {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if client.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert!(!answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        assert!(began.elapsed() <= HEAD + Duration::from_secs(2), "{:?}", began.elapsed());
        // In time, one is answered, and the next has its time too.
        let (mut client, server) = tokio::io::duplex(1 << 16);
        connect.send(server).await.unwrap();
        for _ in 0..3 {
            tokio::time::sleep(HEAD - Duration::from_secs(1)).await;
            client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"here") {
                answer.push(client.read_u8().await.unwrap());
            }
            assert!(answer.starts_with(b"HTTP/1.1 200"));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_takes_nothing_is_waited_for_half_a_minute() {
        let (near, mut far) = tokio::io::duplex(8);
        let mut near = Patient::new(near);
        near.write_all(b"eight by").await.unwrap();
        let began = tokio::time::Instant::now();
        let stalled = near.write_all(b"more").await.unwrap_err();
        assert_eq!((stalled.kind(), began.elapsed()), (io::ErrorKind::TimedOut, STALL));
        // What is taken late, but in time, is no stall.
        let mut taken = [0; 8];
        far.read_exact(&mut taken).await.unwrap();
        near.write_all(b"eight by").await.unwrap();
    }

    #[test]
    fn an_address_holds_so_many_connections_and_gets_them_back() {
        let access = Access { max_connections: 2, ..Access::default() };
        let seats = Seats::of(&access);
        let take = |address: &str| seats.take(Peer::from(address.parse::<SocketAddr>().unwrap()));
        let held = [take("203.0.113.1:1").unwrap(), take("203.0.113.1:2").unwrap()];
        assert!(take("203.0.113.1:3").is_none());
        let other = take("203.0.113.2:1");
        assert!(other.is_some(), "another address");
        assert!((0..100).map(|port| take(&format!("127.0.0.1:{port}"))).all(|seat| seat.is_some()));
        drop(held);
        assert!(take("203.0.113.1:4").is_some());
        drop(other);
        assert!(seats.taken().is_empty(), "who holds none is not remembered");
    }
}
