//! A relay's stream over a WebSocket, for as long as anyone listens (feature `net`).
//!
//! An endpoint enters; [`Input`]s leave on a bounded channel, so that a slow index slows the socket and never grows a
//! queue. Whatever ends a connection, it is opened again: after an error, a silence, a standstill, or a clean end alike.
//! Deliberately absent: what frames say. The cursor to resume from is asked of whoever handled the frames, because frames that are
//! still queued will be handled, and ones that were not received will not.
//!
//! Follows [Event Stream](https://atproto.com/specs/event-stream).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{FutureExt as _, SinkExt as _, StreamExt as _};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout, timeout_at};

use super::burst::Burst;
use super::jetstream;
use super::orders::Orders;
use super::pump::Input;
use super::queue::Outbox;
use super::wire::{Message, Outside, Socket, SocketError, Wire};
use crate::sync::StreamId;

/// How long a connection may take to open.
const CONNECT: Duration = Duration::from_secs(10);
/// How long a stream may be silent before it is asked for a pong, and then again before it is given up. Relays ping an
/// idle consumer every 30 seconds.
const IDLE: Duration = Duration::from_secs(45);
/// How long a stream may bring no event while all others together bring [`STALL_EVENTS`].
const STALL: Duration = Duration::from_secs(90);
/// How many events of others show that a quiet stream stands still.
const STALL_EVENTS: u64 = 100;
/// How long a stream may bring no event before it is asked for its newest one again. A service on which nothing happens pays
/// one connection and one event for that; one that has forgotten whom it serves shows no other sign of it.
const MUTE: Duration = Duration::from_secs(5 * 60);
/// How long one may that has no newest event: to be connected without a cursor has every repository proven again.
const MUTE_FROM_THE_START: Duration = Duration::from_secs(60 * 60);
/// How long a Jetstream keeps events at least, in microseconds: an older cursor leads to the oldest of them, and it says
/// nothing about that.
const JETSTREAM_KEEPS: u64 = 20 * 60 * 60 * 1_000_000;
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
    /// The service closed it.
    #[error("the stream was closed at the other end")]
    Closed,
    /// It failed.
    #[error("the stream failed: {0}")]
    Failed(String),
    /// It was silent for too long, pings included.
    #[error("nothing received for {} s", IDLE.as_secs() * 2)]
    Silent,
    /// It brought no event while other streams brought many.
    #[error("no event for {} s while other streams went on", STALL.as_secs())]
    Stalled,
    /// It was resumed from a cursor and brought no event: the cursor may lie in a future that never comes.
    #[error("no event for {} s after a cursor", MUTE.as_secs())]
    Mute,
    /// It brings no events any more, or has brought none from the start: nothing may happen there, or it may hang.
    #[error("no event for {} s", .0.as_secs())]
    Quiet(Duration),
    /// Text where the protocol has binary messages, or the other way round.
    #[error("expected {expected} messages, found {found}")]
    Form {
        /// What the dialect has.
        expected: &'static str,
        /// What came.
        found: &'static str,
    },
    /// The operator ordered a pause.
    #[error("paused")]
    Paused,
    /// Nobody listens any more.
    #[error("stopped")]
    Stopped,
}

/// What an endpoint speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dialect {
    /// `com.atproto.sync.subscribeRepos`: frames of signed commits, by relays and PDSes.
    Frames,
    /// Jetstream's `/subscribe`: hints about collections that start with a namespace.
    Hints {
        /// The namespace, which ends in a dot.
        namespace: String,
    },
}

/// How much has come over all lines together: what shows that one of them stands still.
#[derive(Debug, Clone, Default)]
pub struct Traffic(Arc<AtomicU64>);

/// One endpoint, and where what it says goes.
#[derive(Debug)]
pub struct Line {
    /// The endpoint.
    pub url: RelayUrl,
    /// What it speaks.
    pub dialect: Dialect,
    /// Which stream it is.
    pub stream: StreamId,
    /// Where inputs go.
    pub output: Outbox,
    /// What carries bytes, and what time it is.
    pub outside: Outside,
    /// Whose orders count.
    pub orders: Orders,
    /// What has come over all lines.
    pub traffic: Traffic,
}

/// Whether the cursor of the next connection is believed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Belief {
    Full,
    /// The last connection brought no event, or no more. The next one asks for the newest known event once more, which a service
    /// that has come as far sends again.
    Doubtful,
}

impl Line {
    /// Follows the endpoint until the receiver of `output` is dropped.
    pub async fn follow(self) {
        let (mut pause, mut belief) = (FIRST_PAUSE, Belief::Full);
        loop {
            tokio::select! {
                () = self.orders.running() => {}
                () = self.output.closed() => return,
            }
            let (sender, cursor) = oneshot::channel();
            let resume = Received::Resume { stream: self.stream, cursor: sender };
            if self.output.send(resume).await.is_err() {
                return;
            }
            let Ok(cursor) = cursor.await else { return };
            if !self.is_kept(cursor) {
                tracing::warn!(endpoint = %self.url, ?cursor, "events were missed; every repository is proven again");
                if self.output.send(Received::Input(Input::Lost(self.stream))).await.is_err() {
                    return;
                }
                continue;
            }
            let started = Instant::now();
            let end = tokio::select! {
                end = self.connection(cursor, belief) => end,
                () = self.orders.paused() => ConnectionEnd::Paused,
            };
            let ended = Received::Input(Input::Disconnected(self.stream));
            if matches!(end, ConnectionEnd::Stopped) || self.output.send(ended).await.is_err() {
                return;
            }
            match end {
                ConnectionEnd::Paused => {
                    tracing::info!(endpoint = %self.url, "paused");
                    continue;
                }
                ConnectionEnd::Mute if belief == Belief::Full => belief = Belief::Doubtful,
                ConnectionEnd::Quiet(_) => belief = Belief::Doubtful,
                ConnectionEnd::Mute => {
                    tracing::warn!(endpoint = %self.url, ?cursor, "the cursor lies in a future that does not come");
                    belief = Belief::Full;
                    if self.output.send(Received::Input(Input::Lost(self.stream))).await.is_err() {
                        return;
                    }
                }
                _ => belief = Belief::Full,
            }
            if matches!(end, ConnectionEnd::Stalled) {
                metrics::counter!("appview_stream_stalls_total", "endpoint" => self.url.0.clone())
                    .increment(1);
            }
            if started.elapsed() >= STEADY {
                pause = FIRST_PAUSE;
            }
            metrics::counter!("appview_stream_reconnects_total", "endpoint" => self.url.0.clone())
                .increment(1);
            if matches!(end, ConnectionEnd::Quiet(_)) {
                // It has not failed: it need not be spared, and whoever asks whether anything is followed is to see no gap.
                tracing::info!(endpoint = %self.url, reason = %end, "asking for the newest event again");
                continue;
            }
            let wait = self.outside.clock.jitter(pause);
            tracing::warn!(
                endpoint = %self.url, reason = %end, wait_ms = wait.as_millis(), "the stream ended; connecting again"
            );
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.output.closed() => return,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Whether the service still has what comes after a cursor, as far as can be told before asking.
    fn is_kept(&self, cursor: Option<i64>) -> bool {
        match (&self.dialect, cursor) {
            (Dialect::Hints { .. }, Some(cursor)) => {
                self.outside.clock.now().saturating_sub(cursor.max(0).cast_unsigned()) < JETSTREAM_KEEPS
            }
            _ => true,
        }
    }

    async fn connection(&self, cursor: Option<i64>, belief: Belief) -> ConnectionEnd {
        let from = match belief {
            Belief::Full => cursor,
            Belief::Doubtful => cursor.map(|cursor| cursor.saturating_sub(1)),
        };
        let mut socket = tokio::select! {
            socket = connect(&self.url, &self.dialect, from, &*self.outside.wire) => match socket {
                Ok(socket) => socket,
                Err(end) => return end,
            },
            () = self.output.closed() => return ConnectionEnd::Stopped,
        };
        tracing::info!(endpoint = %self.url, cursor = from, "connected");
        if self.output.send(Received::Input(Input::Connected(self.stream))).await.is_err() {
            return ConnectionEnd::Stopped;
        }
        let mut quiet = Quiet::new(&self.dialect, from, self.traffic.count());
        // What ended the last burst without being part of it.
        let mut ahead = None;
        loop {
            let received = match ahead.take() {
                Some(received) => Ok(received),
                None => tokio::select! {
                    received = timeout_at(quiet.next_look(), socket.next()) => received,
                    () = self.output.closed() => {
                        // The peer's answer to the goodbye is not waited for.
                        let _ = timeout(FIRST_PAUSE, socket.close()).await;
                        return ConnectionEnd::Stopped;
                    }
                },
            };
            let message = match received {
                Err(_) => {
                    match quiet.look(self.traffic.count()) {
                        Look::Wait => {}
                        Look::Ask => {
                            if let Err(error) = socket.send(Message::Ping(Vec::new().into())).await {
                                return ConnectionEnd::Failed(error.to_string());
                            }
                        }
                        Look::End(end) => return end,
                    }
                    continue;
                }
                Ok(None | Some(Ok(Message::Close(_)))) => return ConnectionEnd::Closed,
                Ok(Some(Err(error))) => return ConnectionEnd::Failed(error.to_string()),
                Ok(Some(Ok(message))) => message,
            };
            let mut events = 1;
            let input = match (&self.dialect, message) {
                (Dialect::Frames, Message::Binary(frame)) => {
                    let mut burst = Burst::new(&frame);
                    ahead = gather(&mut *socket, &mut burst);
                    events = burst.count() as u64;
                    Some(Input::Frames { stream: self.stream, burst })
                }
                (Dialect::Hints { .. }, Message::Text(text)) => match jetstream::hint(&text) {
                    Ok((at, hint)) => hint.map(|hint| Input::Hint { stream: self.stream, at, hint }),
                    Err(error) => {
                        metrics::counter!("appview_rejected_total", "reason" => "bad-event").increment(1);
                        tracing::debug!(%error, "refused");
                        None
                    }
                },
                (Dialect::Frames, Message::Text(_)) => {
                    return ConnectionEnd::Form { expected: "binary", found: "text" };
                }
                (Dialect::Hints { .. }, Message::Binary(_)) => {
                    return ConnectionEnd::Form { expected: "text", found: "binary" };
                }
                // Pings are answered by the library; either shows that someone is there.
                _ => {
                    quiet.heard();
                    continue;
                }
            };
            let traffic = self.traffic.add(events);
            if let Some(input) = input
                && self.output.send(Received::Input(input)).await.is_err()
            {
                return ConnectionEnd::Stopped;
            }
            // Not before: a slow index is no silence of the relay's.
            quiet.heard_event(traffic);
        }
    }
}

/// Adds the frames that have arrived already; returns what comes after them, if that has arrived too.
fn gather(socket: &mut dyn Socket, burst: &mut Burst) -> Option<Option<Result<Message, SocketError>>> {
    while !burst.is_full() {
        match socket.next().now_or_never()? {
            Some(Ok(Message::Binary(frame))) => burst.push(&frame),
            other => return Some(other),
        }
    }
    None
}

/// Connects once.
///
/// # Errors
///
/// [`ConnectionEnd::Connect`].
pub async fn connect(
    url: &RelayUrl,
    dialect: &Dialect,
    cursor: Option<i64>,
    wire: &dyn Wire,
) -> Result<Box<dyn Socket>, ConnectionEnd> {
    let target = match (dialect, cursor) {
        (Dialect::Hints { namespace }, cursor) => jetstream::target(url, namespace, cursor),
        (Dialect::Frames, None) => format!("{url}/xrpc/com.atproto.sync.subscribeRepos"),
        (Dialect::Frames, Some(cursor)) => {
            format!("{url}/xrpc/com.atproto.sync.subscribeRepos?cursor={cursor}")
        }
    };
    match timeout(CONNECT, wire.dial(target)).await {
        Ok(Ok(socket)) => Ok(socket),
        Ok(Err(error)) => Err(ConnectionEnd::Connect(error.to_string())),
        Err(_) => Err(ConnectionEnd::Connect(format!("no answer within {} s", CONNECT.as_secs()))),
    }
}

impl Traffic {
    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts more events; returns how many there are.
    fn add(&self, events: u64) -> u64 {
        self.0.fetch_add(events, Ordering::Relaxed).saturating_add(events)
    }
}

/// How quiet one connection is.
struct Quiet {
    heard: Instant,
    /// Silence has been asked about since anything was heard.
    is_asked: bool,
    event: Instant,
    /// When it was last looked how quiet it is.
    looked: Instant,
    /// What had come over all lines at its last event.
    traffic: u64,
    /// What its bringing no event leads to.
    patience: Patience,
}

/// How long a connection may bring no event, and what that shows.
#[derive(Clone, Copy)]
enum Patience {
    /// For ever: a filtered stream may well be quiet for hours.
    Endless,
    /// It began at what comes next, and nothing has come yet.
    Beginning,
    /// It was resumed from a cursor, and has brought nothing yet.
    Resumed,
    /// It has brought events.
    Lively,
}

/// What follows from how quiet it is.
enum Look {
    Wait,
    Ask,
    End(ConnectionEnd),
}

impl Quiet {
    fn new(dialect: &Dialect, cursor: Option<i64>, traffic: u64) -> Self {
        let patience = match (dialect, cursor) {
            (Dialect::Hints { .. }, _) => Patience::Endless,
            (Dialect::Frames, None) => Patience::Beginning,
            (Dialect::Frames, Some(_)) => Patience::Resumed,
        };
        let now = Instant::now();
        Self { heard: now, is_asked: false, event: now, looked: now, traffic, patience }
    }

    fn heard(&mut self) {
        (self.heard, self.is_asked) = (Instant::now(), false);
    }

    fn heard_event(&mut self, traffic: u64) {
        self.heard();
        (self.event, self.traffic) = (self.heard, traffic);
        if let Patience::Beginning | Patience::Resumed = self.patience {
            self.patience = Patience::Lively;
        }
    }

    /// When to look next, whatever is heard before but events: a relay that only pings is to be looked at all the same.
    fn next_look(&self) -> Instant {
        let idle = if self.is_asked { IDLE * 2 } else { IDLE };
        // What led to nothing is looked at again after a while.
        (self.heard + idle).min((self.event + STALL).max(self.looked + IDLE))
    }

    fn look(&mut self, traffic: u64) -> Look {
        let now = Instant::now();
        self.looked = now;
        let silent = now.saturating_duration_since(self.heard);
        let eventless = now.saturating_duration_since(self.event);
        if silent >= IDLE * 2 && self.is_asked {
            return Look::End(ConnectionEnd::Silent);
        }
        if eventless >= STALL && traffic.saturating_sub(self.traffic) >= STALL_EVENTS {
            return Look::End(ConnectionEnd::Stalled);
        }
        match self.patience {
            Patience::Resumed if eventless >= MUTE => return Look::End(ConnectionEnd::Mute),
            Patience::Lively if eventless >= MUTE => return Look::End(ConnectionEnd::Quiet(MUTE)),
            Patience::Beginning if eventless >= MUTE_FROM_THE_START => {
                return Look::End(ConnectionEnd::Quiet(MUTE_FROM_THE_START));
            }
            _ => {}
        }
        if silent >= IDLE && !self.is_asked {
            self.is_asked = true;
            return Look::Ask;
        }
        Look::Wait
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
