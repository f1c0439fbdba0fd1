//! `/subscribe`: the feed of verified changes over a WebSocket, as clients of Jetstream's first version expect it.
//!
//! A request with filters and perhaps a cursor enters; one text message for each event leaves, and a ping where there is
//! none for a while. Whatever a subscriber has not been sent yet is in the index: of each, this holds one page at most,
//! and nothing of the index while it waits for its socket. Deliberately absent: compression, whose dictionary we don't
//! have; a client that asks for it is sent plain text, which servers without the dictionary send too.

mod event;
mod options;
mod pages;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use appview_core::index::{FeedSeq, Index};
use axum::body::Bytes;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::App;
use options::{Options, OptionsError, Request};
use pages::{Found, Pages, Place};

/// Longest message that is read. Ten thousand DIDs take a third of it.
const MESSAGE_BYTES: usize = 1_000_000;

/// What is read from a socket at once, and what is written to it at once: of each subscriber, for as long as it is there.
const BUFFER_BYTES: usize = 16 << 10;

/// Longest reason of a close frame, in bytes.
const REASON_BYTES: usize = 123;

/// What a subscriber is told whose place is in the feed of another file.
const BUILT_ANEW: &str = "the index was built anew; start from cursor=0";

/// After how many pings without an answer, or anything else, a subscriber is gone.
const UNANSWERED_PINGS: u32 = 6;

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// How subscribers are served.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Most of them at a time; the next is told to come back later.
    pub most: u32,
    /// After how long without an event a ping is sent. Some clients give a silent stream up after 15 seconds.
    pub ping_after: Duration,
    /// How long a message may wait for a subscriber's socket; then the connection is dropped.
    pub patience: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self { most: 100, ping_after: Duration::from_secs(10), patience: Duration::from_secs(10) }
    }
}

/// All subscribers, and what they share; cheap to clone.
#[derive(Debug, Clone)]
pub struct Subscribers {
    terms: Terms,
    pages: Pages,
    /// Told of each transaction that has something for the feed.
    news: watch::Receiver<FeedSeq>,
    places: Arc<Semaphore>,
    closing: Arc<watch::Sender<bool>>,
}

impl Subscribers {
    /// Serves the feed of `index`, whose writer tells the place of the newest event by `news`. To be called within a
    /// runtime.
    #[must_use]
    pub fn new(index: Index, news: watch::Receiver<FeedSeq>, terms: Terms) -> Self {
        let places = Arc::new(Semaphore::new(terms.most as usize));
        Self { terms, pages: Pages::of(index), news, places, closing: Arc::default() }
    }

    /// Has every subscriber told that the service goes away.
    pub fn close(&self) {
        self.closing.send_replace(true);
    }

    /// Waits until all of them are gone, but not for long.
    pub async fn closed(&self) {
        // One that does not even take a goodbye has to do without.
        let _ = timeout(GOODBYE, self.places.acquire_many(self.terms.most)).await;
    }
}

/// `GET /subscribe`
pub(super) async fn subscribe(
    State(app): State<Arc<App>>,
    Query(parameters): Query<Vec<(String, String)>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let request = match Request::parse(&parameters) {
        Ok(request) => request,
        Err(error) => return (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    };
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    let subscribers = app.subscribers.clone();
    let Ok(place) = Arc::clone(&subscribers.places).try_acquire_owned() else {
        let told = "all places are taken; come back in a minute";
        return (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "60")], told).into_response();
    };
    upgrade
        .max_message_size(MESSAGE_BYTES)
        .max_frame_size(MESSAGE_BYTES)
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .on_upgrade(async |socket| {
            let subscribed = metrics::gauge!("appview_feed_subscribers");
            subscribed.increment(1.0);
            serve(socket, request, subscribers, place).await;
            subscribed.decrement(1.0);
        })
}

/// Serves one subscriber to its end.
async fn serve(socket: WebSocket, request: Request, shared: Subscribers, _place: OwnedSemaphorePermit) {
    let closing = shared.closing.subscribe();
    let (options, now) = (request.options, Instant::now());
    let mut subscriber = Subscriber { socket, options, shared, closing, sent: now, heard: now };
    let Err(end) = subscriber.run(request.cursor, request.waits_for_hello).await;
    tracing::debug!(?end, "a subscriber has left");
    let frame = match end {
        End::Stopping => Some(CloseFrame { code: close_code::AWAY, reason: "the service stops".into() }),
        End::BuiltAnew => Some(CloseFrame { code: close_code::RESTART, reason: BUILT_ANEW.into() }),
        End::Refused(error) => Some(CloseFrame { code: code(&error), reason: reason(&error).into() }),
        // What it said last is answered.
        End::Gone => None,
        // It would not take a goodbye either.
        End::TooSlow | End::Unanswered => return,
    };
    // Who does not wait for it has to do without.
    let _ = timeout(GOODBYE, async {
        if let Some(frame) = frame {
            subscriber.socket.send(Message::Close(Some(frame))).await?;
        }
        subscriber.socket.close().await
    })
    .await;
}

/// Why a subscriber is not served any longer.
#[derive(Debug)]
enum End {
    /// It closed the connection, or the connection broke.
    Gone,
    /// It did not take what it was sent.
    TooSlow,
    /// It has not answered any ping for long.
    Unanswered,
    /// What it sent makes no sense.
    Refused(OptionsError),
    /// The index was built anew, and what it was sent may be gone without a word.
    BuiltAnew,
    /// The service stops, or cannot read its index any more.
    Stopping,
}

const fn code(error: &OptionsError) -> u16 {
    match error {
        OptionsError::Json => close_code::INVALID,
        _ => close_code::POLICY,
    }
}

fn reason(error: &OptionsError) -> String {
    let mut reason = error.to_string();
    reason.truncate(reason.floor_char_boundary(REASON_BYTES));
    reason
}

struct Subscriber {
    socket: WebSocket,
    options: Options,
    shared: Subscribers,
    closing: watch::Receiver<bool>,
    /// When it was last sent anything.
    sent: Instant,
    /// When it was last heard.
    heard: Instant,
}

impl Subscriber {
    async fn run(&mut self, cursor: Option<FeedSeq>, waits_for_hello: bool) -> Result<Infallible, End> {
        if waits_for_hello {
            while !self.wait(std::future::pending()).await? {}
        }
        let mut news = self.shared.news.clone();
        let (mut place, mut since) = (cursor.map_or(Place::Newest, Place::At), FeedSeq::START);
        loop {
            // What is committed from here on wakes; what was committed before is in the page.
            news.mark_unchanged();
            let found = self.shared.pages.next(place, since, self.options.clone()).await;
            let page = match found.ok_or(End::Stopping)? {
                Found::Texts(page) => page,
                Found::BuiltAnew => return Err(End::BuiltAnew),
            };
            (place, since) = (Place::After(page.after), page.since);
            self.send(page.texts.into_iter().map(Message::from)).await?;
            if page.is_last {
                self.wait(changed(&mut news)).await?;
            } else {
                // On a long way, requests are heard all the same.
                self.wait(std::future::ready(())).await?;
            }
        }
    }

    /// Waits for `news`, hears what the subscriber says meanwhile, and pings it. Returns also when it has been pinged,
    /// so that whoever forgot to tell news is found out, and when it has other options: true then.
    async fn wait(&mut self, news: impl Future<Output = ()>) -> Result<bool, End> {
        let mut news = std::pin::pin!(news);
        loop {
            let ping_at = self.sent + self.shared.terms.ping_after;
            let heard = tokio::select! {
                biased;
                _ = self.closing.wait_for(|closing| *closing) => return Err(End::Stopping),
                message = self.socket.next() => Some(message),
                () = &mut news => return Ok(false),
                () = sleep_until(ping_at) => None,
            };
            let Some(message) = heard else {
                return self.ping().await.map(|()| false);
            };
            if self.hear(message)? {
                return Ok(true);
            }
        }
    }

    async fn ping(&mut self) -> Result<(), End> {
        if self.heard.elapsed() >= self.shared.terms.ping_after * UNANSWERED_PINGS {
            return Err(End::Unanswered);
        }
        self.send([Message::Ping(Bytes::new())]).await
    }

    /// Takes a message of the subscriber; returns whether it brought options.
    fn hear(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<bool, End> {
        self.heard = Instant::now();
        match message {
            Some(Ok(Message::Text(text))) => match self.options.updated(&text).map_err(End::Refused)? {
                Some(options) => {
                    self.options = options;
                    Ok(true)
                }
                None => Ok(false),
            },
            // Pings are answered where they are read.
            Some(Ok(Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => Ok(false),
            Some(Ok(Message::Close(_)) | Err(_)) | None => Err(End::Gone),
        }
    }

    async fn send(&mut self, messages: impl IntoIterator<Item = Message>) -> Result<(), End> {
        let patience = self.shared.terms.patience;
        let mut is_sent = false;
        for message in messages {
            timeout(patience, self.socket.feed(message))
                .await
                .map_err(|_| End::TooSlow)?
                .map_err(|_| End::Gone)?;
            is_sent = true;
        }
        if is_sent {
            timeout(patience, self.socket.flush()).await.map_err(|_| End::TooSlow)?.map_err(|_| End::Gone)?;
            self.sent = Instant::now();
        }
        Ok(())
    }
}

async fn changed(news: &mut watch::Receiver<FeedSeq>) {
    if news.changed().await.is_err() {
        // Nobody writes any more.
        std::future::pending().await
    }
}
