//! Pages of the feed for all subscribers, read one at a time.
//!
//! Questions enter, texts ready to be sent leave. Questions that wait are answered in a round, from one snapshot that was
//! taken after the last of them was asked and is given up after the last is answered: so subscribers together take one
//! core, one connection and one cache, however many they are, a slow one holds nothing of the index, and an index that
//! was rebuilt is the one that is read.

use appview_core::index::{FeedSeq, Index, IndexError, IndexReader};
use appview_core::query::FeedPage;
use tokio::sync::{mpsc, oneshot};

use super::event;
use super::options::Options;

/// Most questions in one round.
const ROUND: usize = 128;

/// Where to read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Behind the newest event.
    Newest,
    /// At this event, which is given again; behind the newest one if it is later.
    At(FeedSeq),
    /// Behind this event.
    After(FeedSeq),
}

/// A bounded part of the feed, as text.
#[derive(Debug)]
pub(super) struct Texts {
    pub(super) texts: Vec<String>,
    /// Where to read on.
    pub(super) after: FeedSeq,
    /// From where on the subscriber must hear of every deletion: the newest event when it began, and later where it is.
    /// The start as long as there was none.
    pub(super) since: FeedSeq,
    /// Whether there is no more for now.
    pub(super) is_last: bool,
}

/// What is found at a place.
#[derive(Debug)]
pub(super) enum Found {
    /// The part that follows.
    Texts(Texts),
    /// What the subscriber was sent is of another file: nothing tells it which of that is gone.
    BuiltAnew,
}

/// A question, and where its answer goes.
#[derive(Debug)]
struct Ask {
    place: Place,
    /// From where on it must hear of every deletion.
    since: FeedSeq,
    options: Options,
    answer: oneshot::Sender<Found>,
}

/// The reader of pages; cheap to clone. It ends with its last clone.
#[derive(Debug, Clone)]
pub(super) struct Pages(mpsc::Sender<Ask>);

impl Pages {
    /// Starts reading from `index`.
    pub(super) fn of(index: Index) -> Self {
        let (asks, asked) = mpsc::channel(ROUND);
        tokio::spawn(read(index, asked));
        Self(asks)
    }

    /// The next part for a subscriber, whose `since` is that of the part before, or the start; nothing if the index cannot
    /// be read, which is logged.
    pub(super) async fn next(&self, place: Place, since: FeedSeq, options: Options) -> Option<Found> {
        let (answer, answered) = oneshot::channel();
        self.0.send(Ask { place, since, options, answer }).await.ok()?;
        answered.await.ok()
    }
}

async fn read(index: Index, mut asked: mpsc::Receiver<Ask>) {
    let mut round = Vec::new();
    while asked.recv_many(&mut round, ROUND).await > 0 {
        let (index, round) = (index.clone(), std::mem::take(&mut round));
        if let Err(error) = tokio::task::spawn_blocking(move || answer(&index, round)).await {
            tracing::error!(%error, "subscribers were not answered");
        }
    }
}

fn answer(index: &Index, round: Vec<Ask>) {
    let answered = index.reader().and_then(|reader| {
        for ask in round {
            let found = find(&reader, &ask)?;
            // Who has gone meanwhile needs none.
            let _ = ask.answer.send(found);
        }
        Ok(())
    });
    if let Err(error) = answered {
        tracing::error!(%error, "the feed cannot be read; its subscribers are let go");
    }
}

fn find(reader: &IndexReader, ask: &Ask) -> Result<Found, IndexError> {
    let since = match ask.since {
        FeedSeq::START => reader.feed_newest()?,
        since => since,
    };
    if reader.feed_floor()?.is_some_and(|floor| since < floor) {
        return Ok(Found::BuiltAnew);
    }
    let after = match ask.place {
        Place::Newest => reader.feed_newest()?,
        Place::At(seq) => seq.before().min(reader.feed_newest()?),
        Place::After(seq) => seq,
    };
    let FeedPage { events, after, is_last } = reader.feed_page(after, &ask.options.filter)?;
    let most_bytes = ask.options.most_bytes.unwrap_or(usize::MAX);
    let mut texts = Vec::with_capacity(events.len());
    for event in &events {
        match event::json(event) {
            Ok(text) if text.len() <= most_bytes => texts.push(text),
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "an event of the feed is left out"),
        }
    }
    Ok(Found::Texts(Texts { texts, after, since: since.max(after), is_last }))
}
