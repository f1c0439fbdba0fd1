//! Requests that are bounded in where, when, how long and how much: the only way out of the process besides relays.
//!
//! A URL enters, and waits for its host's [turn](super::turns); JSON or a stream of bytes leaves. URLs are of two kinds.
//! An operator's (the PLC directory, a relay) may name any host. A stranger's (a PDS or did:web host that somebody's DID
//! document names) must be `https` on its own port at a domain name, and lead to public addresses, which the
//! [wire](super::wire) sees to. Redirects are never followed. Deliberately absent: caches, retries, and what the answers
//! mean.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use reqwest::Url;
use serde_json::Value as Json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use super::turns::{Manners, PATIENCE, Politeness, Turn, Turns, Urgency};
use super::wire::{Bytes, ChosenBy, HeaderMap, Outside, Reach, Reply, Said, Wire, WireError};
use crate::limits;

/// Requests under way at once to all hosts that strangers chose.
const AT_ONCE: usize = 48;
/// As many more may be under way to those of them that failed to answer the last one: however many hang, they keep nobody
/// from the others.
const DOUBTFUL_AT_ONCE: usize = 16;
/// How long a JSON answer, or a stream's first byte, may take.
const ANSWER: Duration = Duration::from_secs(10);
/// A stream brings at least [`SLOWEST`] bytes in each of these, or it is given up.
const STRETCH: Duration = Duration::from_secs(30);
/// 1 KiB/s: no line is as slow, and whoever drips would keep a place for ever.
const SLOWEST: u64 = 30 << 10;
/// How long a stream may take as a whole: that of the largest export at 50 kB/s.
const LONGEST_STREAM: Duration = Duration::from_secs(6 * 60 * 60);
/// Characters of an error's name and message that are kept.
const TOLD: usize = 200;

/// Why a request brought nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The URL may not be asked.
    #[error("{url}: refused: {reason}")]
    Refused {
        /// The URL.
        url: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// The host could not be reached, or the connection failed.
    #[error("{url}: {reason}")]
    Unreachable {
        /// The URL.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The host was asked and has not answered in full: whether it did what it was asked is not known.
    #[error("{url}: {reason}, after it was asked")]
    Lost {
        /// The URL.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The host answered with an error.
    #[error("{url}: {status}{}", name.as_ref().map(|name| format!(" {name}")).unwrap_or_default())]
    Status {
        /// The URL.
        url: String,
        /// The status code.
        status: u16,
        /// The error's name, where the answer is an XRPC error.
        name: Option<String>,
        /// What the answer says to people, where it is JSON.
        message: Option<String>,
    },
    /// The host has failed too often, or has asked for a rest, and the request cannot wait that long.
    #[error("{url}: the host is left alone for a while")]
    Resting {
        /// The URL.
        url: String,
    },
    /// The answer is longer than its limit.
    #[error("{url}: more than {limit} bytes")]
    TooLarge {
        /// The URL.
        url: String,
        /// The limit.
        limit: u64,
    },
    /// The answer is not what was asked for.
    #[error("{url}: expected {expected}")]
    Malformed {
        /// The URL.
        url: String,
        /// What was asked for.
        expected: &'static str,
    },
}

impl HttpError {
    /// A stable word for metrics.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::Unreachable { .. } => "unreachable",
            Self::Lost { .. } => "lost",
            Self::Status { status: 429, .. } => "too-many-requests",
            Self::Status { status: 500.., .. } => "server-error",
            Self::Status { .. } => "status",
            Self::Resting { .. } => "resting",
            Self::TooLarge { .. } => "too-large",
            Self::Malformed { .. } => "malformed",
        }
    }
}

/// A client for both kinds of URLs; cheap to clone, and polite to each host over all clones.
#[derive(Debug, Clone)]
pub struct Http {
    shared: Arc<Shared>,
    urgency: Urgency,
}

#[derive(Debug)]
struct Shared {
    wire: Arc<dyn Wire>,
    reach: Reach,
    turns: Turns,
    politeness: Politeness,
    at_once: Arc<Semaphore>,
    doubtful_at_once: Arc<Semaphore>,
}

impl Http {
    /// Makes a client as polite as this, for [`Urgency::Fetch`].
    #[must_use]
    pub fn new(outside: &Outside, politeness: Politeness) -> Self {
        let (wire, reach) = (Arc::clone(&outside.wire), outside.reach);
        let turns = Turns::new(outside.clock.clone());
        let places = |count| Arc::new(Semaphore::new(count));
        let (at_once, doubtful_at_once) = (places(AT_ONCE), places(DOUBTFUL_AT_ONCE));
        let shared = Shared { wire, reach, turns, politeness, at_once, doubtful_at_once };
        Self { shared: Arc::new(shared), urgency: Urgency::Fetch }
    }

    /// The same client for questions of another urgency.
    #[must_use]
    pub fn with(&self, urgency: Urgency) -> Self {
        Self { shared: Arc::clone(&self.shared), urgency }
    }

    /// Where strangers' URLs may lead.
    #[must_use]
    pub fn reach(&self) -> Reach {
        self.shared.reach
    }

    /// How much hosts are asked.
    #[must_use]
    pub fn politeness(&self) -> Politeness {
        self.shared.politeness
    }

    /// Waits for the turn to ask the directory that the operator chose.
    ///
    /// # Errors
    ///
    /// [`HttpError::Refused`], [`HttpError::Resting`].
    pub async fn directory(&self, url: &str) -> Result<Question, HttpError> {
        self.question(parse(url)?, ChosenBy::Operator, self.shared.politeness.directory).await
    }

    /// Waits for the turn to ask another host that the operator chose.
    ///
    /// # Errors
    ///
    /// As [`Http::directory`].
    pub async fn operator(&self, url: &str) -> Result<Question, HttpError> {
        // What everything depends on is soon tried again.
        let manners = Manners {
            longest_rest: self.shared.politeness.directory.longest_rest,
            ..self.shared.politeness.host
        };
        self.question(parse(url)?, ChosenBy::Operator, manners).await
    }

    /// Waits for the turn to ask a host that a stranger chose.
    ///
    /// # Errors
    ///
    /// As [`Http::directory`].
    pub async fn stranger(&self, url: &str) -> Result<Question, HttpError> {
        self.question(self.allowed(url)?, ChosenBy::Stranger, self.shared.politeness.host).await
    }

    /// The texts that the domain name system has at a stranger's name; none where it knows no such name.
    ///
    /// # Errors
    ///
    /// [`HttpError::Unreachable`].
    pub async fn texts(&self, name: &str) -> Result<Vec<String>, HttpError> {
        let failed = |reason: String| HttpError::Unreachable { url: format!("dns:{name}"), reason };
        match timeout(ANSWER, self.shared.wire.texts(name.to_owned())).await {
            Ok(texts) => texts.map_err(|error| failed(error.to_string())),
            Err(_) => Err(failed(format!("no answer within {} s", ANSWER.as_secs()))),
        }
    }

    /// Whether a stranger's URL may be asked, as far as it tells.
    ///
    /// # Errors
    ///
    /// [`HttpError::Refused`].
    pub fn may_ask(&self, url: &str) -> Result<(), HttpError> {
        self.allowed(url).map(drop)
    }

    /// Until when a host has so long a rest that whoever can wait elsewhere does not wait for it, in
    /// microseconds since the Unix epoch.
    #[must_use]
    pub fn long_rest(&self, origin: &str) -> Option<u64> {
        self.shared.turns.long_rest(origin)
    }

    async fn question(&self, url: Url, chosen: ChosenBy, manners: Manners) -> Result<Question, HttpError> {
        let Self { shared, urgency } = self.clone();
        match shared.turns.turn(&origin(&url), urgency, manners).await {
            Ok(turn) => Ok(Question { shared, urgency, url, chosen, turn }),
            Err(_) => Err(HttpError::Resting { url: url.into() }),
        }
    }

    fn allowed(&self, url: &str) -> Result<Url, HttpError> {
        let url = parse(url)?;
        match self.shared.reach.allows(&url) {
            Ok(()) => Ok(url),
            Err(reason) => Err(HttpError::Refused { url: url.to_string(), reason }),
        }
    }
}

/// An answer in full, whatever its status.
#[derive(Clone)]
pub struct Heard {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {} bytes", self.status, self.body.len())
    }
}

/// A question whose turn it is: to be asked at once, or dropped.
#[derive(Debug)]
pub struct Question {
    shared: Arc<Shared>,
    urgency: Urgency,
    url: Url,
    chosen: ChosenBy,
    turn: Turn,
}

impl Question {
    /// Asks, and reads an answer of at most `limit` bytes within ten seconds.
    ///
    /// # Errors
    ///
    /// [`HttpError`].
    pub async fn bytes(self, limit: usize) -> Result<Vec<u8>, HttpError> {
        let _place = self.place().await?;
        let asked = async {
            let mut reply = self.ask().await?;
            body(&self.url, &mut reply, limit).await
        };
        let answer = match timeout(ANSWER, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(silent(&self.url)),
        };
        self.note(answer.as_ref().err());
        answer
    }

    /// Says something, once, and hears the answer, whatever its status, of at most `limit` bytes within ten seconds.
    ///
    /// # Errors
    ///
    /// [`HttpError::Unreachable`] if it was not said, [`HttpError::Lost`] if that is not known, [`HttpError::TooLarge`].
    pub async fn say(self, said: Said, limit: usize) -> Result<Heard, HttpError> {
        let _place = self.place().await?;
        let heard = match timeout(ANSWER, self.hear(said, limit)).await {
            Ok(heard) => heard,
            Err(_) => Err(lost(silent(&self.url))),
        };
        match &heard {
            Ok(Heard { status: 500 | 502.., .. }) => self.turn.failed(),
            Ok(_) => self.turn.answered(),
            Err(HttpError::Unreachable { .. } | HttpError::Lost { .. }) => self.turn.failed(),
            Err(_) => self.turn.answered(),
        }
        let outcome = heard.as_ref().err().map_or("answered", HttpError::label);
        metrics::counter!("appview_requests_total", "outcome" => outcome).increment(1);
        heard
    }

    /// Asks for JSON of at most `limit` bytes.
    ///
    /// # Errors
    ///
    /// [`HttpError`].
    pub async fn json(self, limit: usize) -> Result<Json, HttpError> {
        let url = self.url.clone();
        serde_json::from_slice(&self.bytes(limit).await?)
            .map_err(|_| HttpError::Malformed { url: url.into(), expected: "json" })
    }

    /// Asks for a stream of at most `limit` bytes, which keeps its turn until it is dropped. How many arrive at once is up to
    /// whoever reads them.
    ///
    /// # Errors
    ///
    /// [`HttpError`].
    pub async fn stream(self, limit: u64) -> Result<Stream, HttpError> {
        let place = self.place().await?;
        let reply = match timeout(ANSWER, self.ask()).await {
            Ok(reply) => reply,
            Err(_) => Err(silent(&self.url)),
        };
        self.note(reply.as_ref().err());
        drop(place);
        let now = Instant::now();
        Ok(Stream { reply: reply?, question: self, limit, read: 0, began: now, stretch: (now, 0) })
    }

    /// Waits for a place among all requests. The host's turn came first, so that nobody who waits for a host keeps others
    /// from asking another. What an operator chose needs none: however many strangers are slow, it is asked.
    async fn place(&self) -> Result<Option<OwnedSemaphorePermit>, HttpError> {
        if self.chosen == ChosenBy::Operator {
            return Ok(None);
        }
        let Shared { at_once, doubtful_at_once, .. } = self.shared.as_ref();
        let places = if self.turn.is_doubtful() { doubtful_at_once } else { at_once };
        let place = Arc::clone(places).acquire_owned();
        // Nobody closes the semaphores, so there is always a permit.
        match self.urgency {
            Urgency::Fetch | Urgency::Audit => Ok(place.await.ok()),
            Urgency::Live => match timeout(PATIENCE, place).await {
                Ok(place) => Ok(place.ok()),
                Err(_) => Err(HttpError::Resting { url: self.url.to_string() }),
            },
        }
    }

    /// An answer that is none of an error.
    async fn ask(&self) -> Result<Reply, HttpError> {
        let reply = self.shared.wire.send(self.url.clone(), Said::default(), self.chosen).await;
        let reply = reply.map_err(|error| unreachable(&self.url, error))?;
        self.heed(&reply);
        if reply.status == 200 { Ok(reply) } else { Err(refusal(&self.url, reply).await) }
    }

    async fn hear(&self, said: Said, limit: usize) -> Result<Heard, HttpError> {
        let reply = self.shared.wire.send(self.url.clone(), said, self.chosen).await;
        let mut reply = reply.map_err(|error| match error {
            WireError::Unsent(_) => unreachable(&self.url, error),
            WireError::Lost(_) => lost(unreachable(&self.url, error)),
        })?;
        self.heed(&reply);
        let body = body(&self.url, &mut reply, limit).await.map_err(lost)?;
        Ok(Heard { status: reply.status, headers: reply.headers, body })
    }

    /// Leaves the host alone where it asks for that.
    fn heed(&self, reply: &Reply) {
        if let Some(allowance) = reply.wishes.allowance {
            self.turn.allowed(allowance);
        }
        match (reply.status, reply.wishes.retry_after) {
            (429, pause) => self.turn.rest(pause),
            (503, Some(pause)) => self.turn.rest(Some(pause)),
            _ => {}
        }
    }

    /// Lets everybody whose turn comes later know how the host is.
    fn note(&self, error: Option<&HttpError>) {
        match error {
            Some(HttpError::Unreachable { .. }) => self.turn.failed(),
            // 501 is what a host says to a method that it does not have.
            Some(HttpError::Status { status: 500 | 502.., .. }) => self.turn.failed(),
            _ => self.turn.answered(),
        }
        let outcome = error.map_or("answered", HttpError::label);
        metrics::counter!("appview_requests_total", "outcome" => outcome).increment(1);
    }
}

/// The body of an answer, as it arrives.
pub struct Stream {
    question: Question,
    reply: Reply,
    limit: u64,
    read: u64,
    began: Instant,
    /// When the present stretch began, and how much had come by then.
    stretch: (Instant, u64),
}

impl Stream {
    /// How many bytes have come.
    #[must_use]
    pub const fn read(&self) -> u64 {
        self.read
    }

    /// Begins to count its time, for whoever had to wait before reading.
    pub fn begin(&mut self) {
        self.began = Instant::now();
        self.stretch = (self.began, 0);
    }

    /// Since it was begun.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The next bytes; none at the end.
    ///
    /// # Errors
    ///
    /// The stream fails, brings less than 30 KiB in 30 seconds, takes more than six hours, or exceeds its limit.
    pub async fn next(&mut self) -> Result<Option<Bytes>, HttpError> {
        let next = self.chunk().await;
        if let Err(HttpError::Unreachable { .. }) = &next {
            self.question.turn.failed();
        }
        next
    }

    async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        let url = &self.question.url;
        let chunk = loop {
            let (from, before) = self.stretch;
            match timeout_at(from + STRETCH, self.reply.body.next()).await {
                Ok(chunk) => break chunk,
                Err(_) if self.read - before >= SLOWEST && self.elapsed() < LONGEST_STREAM => {
                    self.stretch = (Instant::now(), self.read);
                }
                Err(_) => return Err(unreachable(url, WireError::Lost("too slow".to_owned()))),
            }
        };
        let Some(chunk) = chunk else { return Ok(None) };
        let chunk = chunk.map_err(|error| unreachable(url, error))?;
        self.read = self.read.saturating_add(chunk.len() as u64);
        if self.read > self.limit {
            return Err(HttpError::TooLarge { url: url.to_string(), limit: self.limit });
        }
        Ok(Some(chunk))
    }
}

async fn body(url: &Url, reply: &mut Reply, limit: usize) -> Result<Vec<u8>, HttpError> {
    let mut body = Vec::new();
    while let Some(chunk) = reply.body.next().await {
        let chunk = chunk.map_err(|error| unreachable(url, error))?;
        if body.len().saturating_add(chunk.len()) > limit {
            return Err(HttpError::TooLarge { url: url.to_string(), limit: limit as u64 });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Reads an error answer: XRPC's names where there are any.
async fn refusal(url: &Url, mut reply: Reply) -> HttpError {
    let body = body(url, &mut reply, limits::XRPC_ERROR_BYTES).await.unwrap_or_default();
    let json: Option<Json> = serde_json::from_slice(&body).ok();
    let told = |member: &str| -> Option<String> {
        Some(json.as_ref()?.get(member)?.as_str()?.chars().take(TOLD).collect())
    };
    HttpError::Status {
        url: url.to_string(),
        status: reply.status,
        name: told("error"),
        message: told("message"),
    }
}

/// What politeness is about: scheme, host and port.
pub(super) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn parse(url: &str) -> Result<Url, HttpError> {
    Url::parse(url).map_err(|_| HttpError::Refused { url: url.to_owned(), reason: "not a url" })
}

fn unreachable(url: &Url, error: WireError) -> HttpError {
    HttpError::Unreachable { url: url.to_string(), reason: error.to_string() }
}

/// The same failure once something was sent.
fn lost(error: HttpError) -> HttpError {
    match error {
        HttpError::Unreachable { url, reason } => HttpError::Lost { url, reason },
        other => other,
    }
}

fn silent(url: &Url) -> HttpError {
    HttpError::Unreachable {
        url: url.to_string(),
        reason: format!("no answer within {} s", ANSWER.as_secs()),
    }
}
