//! A relay's `subscribeRepos` over a WebSocket, for as long as anyone listens (feature `net`).
//!
//! An endpoint enters; [`Input`]s leave on a bounded channel, so that a slow index slows the socket and never grows a
//! queue. Whatever ends a connection, it is opened again: after an error, a silence, or a clean end alike. Deliberately
//! absent: what frames say. The cursor to resume from is asked of whoever handled the frames, because frames that are
//! still queued will be handled, and ones that were not received will not.
//!
//! Follows [Event Stream](https://atproto.com/specs/event-stream).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use super::orders::Orders;
use super::pump::Input;
use super::queue::Outbox;
use super::wire::{Message, Outside, Socket, Wire};
use crate::sync::StreamId;

/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a stream may be silent before it is asked for a pong, and then again before it is given up. Relays ping an
/// idle consumer every 30 seconds.
const IDLE: Duration = Duration::from_secs(45);
/// First pause before connecting again; doubled up to [`LONGEST_PAUSE`], and each time shortened by up to half by chance
/// so that a relay that comes back does not meet everyone at once.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause before connecting again.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long a connection must have lived for the next pause to be short again.
const STEADY: Duration = Duration::from_secs(60);

/// Text that names no relay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a relay like wss://relay.example, found {found:?}")]
pub struct RelayUrlError {
    found: String,
}

/// The endpoint of a relay: a `ws` or `wss` URL without a path. A cursor belongs to exactly one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RelayUrl(String);

impl RelayUrl {
    /// The URL, without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same endpoint for plain requests: `http` for `ws`, `https` for `wss`.
    #[must_use]
    pub fn to_http(&self) -> String {
        self.0.replacen("ws", "http", 1)
    }
}

impl FromStr for RelayUrl {
    type Err = RelayUrlError;

    /// Reads a URL; a bare domain means `wss`, `http` and `https` mean their WebSocket twins.
    fn from_str(text: &str) -> Result<Self, RelayUrlError> {
        let error = || RelayUrlError { found: text.to_owned() };
        let (scheme, rest) = match text.split_once("://") {
            Some(("ws" | "http", rest)) => ("ws", rest),
            Some(("wss" | "https", rest)) => ("wss", rest),
            // A bare word is sooner a mistake than a host.
            None if text.contains('.') => ("wss", text),
            _ => return Err(error()),
        };
        let host = rest.strip_suffix('/').unwrap_or(rest);
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
        // What follows the last colon is a port, unless it closes an IPv6 address.
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
            _ => (host, None),
        };
        let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
        if name.is_empty() || !is_port || !host.bytes().all(is_host) {
            return Err(error());
        }
        Ok(Self(format!("{scheme}://{}", host.to_ascii_lowercase())))
    }
}

impl fmt::Display for RelayUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a relay's task sends.
#[derive(Debug)]
pub enum Received {
    /// Something for the pump.
    Input(Input),
    /// All frames sent before this have been handled when it is received: answer with the cursor to resume from.
    Resume {
        /// Which stream.
        stream: StreamId,
        /// Where to answer; none starts at what comes next.
        cursor: oneshot::Sender<Option<i64>>,
    },
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectionEnd {
    /// It could not be opened.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The relay closed it.
    #[error("the relay closed the stream")]
    Closed,
    /// It failed.
    #[error("the stream failed: {0}")]
    Failed(String),
    /// It was silent for too long, pings included.
    #[error("nothing received for {} s", IDLE.as_secs() * 2)]
    Silent,
    /// A text message, which the protocol has no place for.
    #[error("expected binary messages, found text")]
    Text,
    /// The operator ordered a pause.
    #[error("paused")]
    Paused,
    /// Nobody listens any more.
    #[error("stopped")]
    Stopped,
}

/// Follows a relay until the receiver of `output` is dropped.
pub async fn follow(url: RelayUrl, stream: StreamId, output: Outbox, outside: Outside, orders: Orders) {
    let mut pause = FIRST_PAUSE;
    loop {
        tokio::select! {
            () = orders.running() => {}
            () = output.closed() => return,
        }
        let (sender, cursor) = oneshot::channel();
        if output.send(Received::Resume { stream, cursor: sender }).await.is_err() {
            return;
        }
        let Ok(cursor) = cursor.await else { return };
        let started = Instant::now();
        let connection = connection(&url, stream, cursor, &output, &*outside.wire);
        let end = tokio::select! {
            end = connection => end,
            () = orders.paused() => ConnectionEnd::Paused,
        };
        match end {
            ConnectionEnd::Stopped => return,
            ConnectionEnd::Paused => {
                tracing::info!(relay = %url, "paused");
                continue;
            }
            _ => {}
        }
        if started.elapsed() >= STEADY {
            pause = FIRST_PAUSE;
        }
        let wait = outside.clock.jitter(pause);
        tracing::warn!(relay = %url, reason = %end, wait_ms = wait.as_millis(), "the stream ended; connecting again");
        metrics::counter!("appview_relay_reconnects_total", "relay" => url.0.clone()).increment(1);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = output.closed() => return,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Connects once.
///
/// # Errors
///
/// [`ConnectionEnd::Connect`].
pub async fn connect(
    url: &RelayUrl,
    cursor: Option<i64>,
    wire: &dyn Wire,
) -> Result<Box<dyn Socket>, ConnectionEnd> {
    let mut target = format!("{url}/xrpc/com.atproto.sync.subscribeRepos");
    if let Some(cursor) = cursor {
        target.push_str(&format!("?cursor={cursor}"));
    }
    match timeout(CONNECT, wire.dial(target)).await {
        Ok(Ok(socket)) => Ok(socket),
        Ok(Err(error)) => Err(ConnectionEnd::Connect(error.to_string())),
        Err(_) => Err(ConnectionEnd::Connect(format!("no answer within {} s", CONNECT.as_secs()))),
    }
}

async fn connection(
    url: &RelayUrl,
    stream: StreamId,
    cursor: Option<i64>,
    output: &Outbox,
    wire: &dyn Wire,
) -> ConnectionEnd {
    let mut socket = tokio::select! {
        socket = connect(url, cursor, wire) => match socket {
            Ok(socket) => socket,
            Err(end) => return end,
        },
        () = output.closed() => return ConnectionEnd::Stopped,
    };
    tracing::info!(relay = %url, ?cursor, "connected");
    if output.send(Received::Input(Input::Connected(stream))).await.is_err() {
        return ConnectionEnd::Stopped;
    }
    let mut is_asked = false;
    let mut deadline = Instant::now() + IDLE;
    loop {
        let received = tokio::select! {
            received = timeout_at(deadline, socket.next()) => received,
            () = output.closed() => {
                // The peer's answer to the goodbye is not waited for.
                let _ = timeout(FIRST_PAUSE, socket.close()).await;
                return ConnectionEnd::Stopped;
            }
        };
        match received {
            Err(_) if is_asked => return ConnectionEnd::Silent,
            Err(_) => {
                is_asked = true;
                deadline = Instant::now() + IDLE;
                if let Err(error) = socket.send(Message::Ping(Vec::new().into())).await {
                    return ConnectionEnd::Failed(error.to_string());
                }
                continue;
            }
            Ok(None | Some(Ok(Message::Close(_)))) => return ConnectionEnd::Closed,
            Ok(Some(Err(error))) => return ConnectionEnd::Failed(error.to_string()),
            Ok(Some(Ok(Message::Text(_)))) => return ConnectionEnd::Text,
            Ok(Some(Ok(Message::Binary(frame)))) => {
                let frame = Vec::from(frame);
                if output.send(Received::Input(Input::Frame { stream, frame })).await.is_err() {
                    return ConnectionEnd::Stopped;
                }
            }
            // Pings are answered by the library; either shows that someone is there.
            Ok(Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)))) => {}
        }
        is_asked = false;
        deadline = Instant::now() + IDLE;
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_relay_is_one_endpoint_however_it_is_written() {
        for text in ["wss://Relay.example", "https://relay.example/", "relay.example"] {
            assert_eq!(text.parse::<RelayUrl>().unwrap().as_str(), "wss://relay.example");
        }
        assert_eq!("http://127.0.0.1:80".parse::<RelayUrl>().unwrap().as_str(), "ws://127.0.0.1:80");
        assert_eq!("ws://[::1]".parse::<RelayUrl>().unwrap().as_str(), "ws://[::1]");
        assert_eq!("ws://relay:2470".parse::<RelayUrl>().unwrap().as_str(), "ws://relay:2470");
        for text in [
            "",
            "nonsense",
            "ftp://relay.example",
            "wss://",
            "wss://:443",
            "wss://relay.example:0",
            "wss://relay.example:65536",
            "wss://relay.example/path",
            "wss://user@relay.example",
        ] {
            assert!(text.parse::<RelayUrl>().is_err(), "{text}");
        }
    }
}
