//! Relays followed live: sockets on the async side, the pump and the writer on a thread each (feature `net`).
//!
//! Relays, whoever answers questions, and the one writer enter; an index that keeps up leaves. Frames, answers and found
//! repositories wait in one bounded queue, and batches in another, so that a slow disk slows the sockets and nothing
//! grows. Deliberately absent: what is asked and answered.
//!
//! ```text
//! socket    ─┐
//! socket    ─┼─ queue ─ pump thread ─ queue ─ writer thread ─ index.db
//! discovery ─┤              │
//! network   ─┘ ◄─ requests ─┘
//! ```

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::clock::Clock;
use super::counts::count;
use super::discovery::Discovery;
use super::network::Network;
use super::orders::Orders;
use super::pump::{Input, Notice, Pump, Sink, Upstream};
use super::queue::{Inbox, Outbox, WeakOutbox, queue};
use super::rebuild::Asked;
use super::relay::{Dialect, Line, Received, RelayUrl, Traffic};
use super::wire::Outside;
use super::writing::spawn_writer;
use crate::index::{Applied, FeedSeq, IndexError, IndexWriter};
use crate::sync::verifier::{Closing, Pace, Standing, StreamStanding, Tally};
use crate::sync::{Scope, Verifier};
use crate::syntax::{Did, Nsid};

/// How often the pump is told that time passes.
const TICK: Duration = Duration::from_secs(1);

/// What to follow.
pub struct Following {
    /// Streams, each with a cursor of its own.
    pub sources: Vec<Source>,
    /// Who is asked who has records: relays, or PDSes.
    pub directories: Vec<RelayUrl>,
    /// How much time things take.
    pub pace: Pace,
    /// What to index.
    pub scope: Scope,
    /// Repositories to follow, whether or not anyone else names them.
    pub tracked: Vec<Did>,
    /// Who answers about identities and repositories.
    pub answers: Answers,
    /// What carries bytes, and what time it is.
    pub outside: Outside,
    /// Where an operator's orders come from.
    pub orders: Orders,
}

impl Following {
    /// Everything of `dev.cocore.*`, at the usual pace, without an operator; relays among the sources are asked who has
    /// records.
    #[must_use]
    pub fn new(sources: Vec<Source>, answers: Answers, outside: Outside) -> Self {
        let relay = |source: &Source| match source {
            Source::Relay(url) => Some(url.clone()),
            Source::Jetstream(_) => None,
        };
        Self {
            directories: sources.iter().filter_map(relay).collect(),
            sources,
            pace: Pace::default(),
            scope: Scope::default(),
            tracked: Vec::new(),
            answers,
            outside,
            orders: Orders::default(),
        }
    }
}

impl Following {
    /// The same once more, for when this one has ended; none where an [`Upstream`] answers, of which there is one.
    #[must_use]
    pub fn again(&self) -> Option<Self> {
        let Answers::Network { network, collections } = &self.answers else { return None };
        Some(Self {
            sources: self.sources.clone(),
            directories: self.directories.clone(),
            tracked: self.tracked.clone(),
            pace: self.pace,
            scope: self.scope.clone(),
            answers: Answers::Network { network: network.clone(), collections: collections.clone() },
            outside: self.outside.clone(),
            orders: self.orders.clone(),
        })
    }

    /// Whom a rebuild has to ask; none where an [`Upstream`] answers.
    #[must_use]
    pub fn asked(&self) -> Option<Asked> {
        let Answers::Network { network, collections } = &self.answers else { return None };
        let mut network = network.clone();
        network.scope = self.scope.clone();
        Some(Asked {
            network,
            directories: self.directories.clone(),
            collections: collections.clone(),
            tracked: self.tracked.clone(),
            orders: self.orders.clone(),
        })
    }
}

/// A stream to follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A relay, or a PDS: every commit, signed.
    Relay(RelayUrl),
    /// A Jetstream, at a thousandth of the bandwidth: hints, each of which has its repository asked for at its PDS.
    Jetstream(RelayUrl),
}

impl Source {
    /// Where it is.
    #[must_use]
    pub const fn url(&self) -> &RelayUrl {
        match self {
            Self::Relay(url) | Self::Jetstream(url) => url,
        }
    }
}

/// Who answers about identities and repositories.
#[expect(clippy::large_enum_variant, reason = "a process has one, and hands it over once")]
pub enum Answers {
    /// Files that stand in for the network, or whatever else has an answer.
    Upstream(Box<dyn Upstream + Send>),
    /// The network itself, which is also asked who has records of these collections.
    Network {
        /// Whom to ask.
        network: Network,
        /// Collections to look for.
        collections: Vec<Nsid>,
    },
}

/// How following goes; cheap to clone, read by whoever reports.
#[derive(Debug, Clone, Default)]
pub struct Pulse {
    beat: Arc<Mutex<Beat>>,
    feed: watch::Sender<FeedSeq>,
    version: Arc<AtomicU64>,
}

/// One reading of a [`Pulse`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beat {
    /// The verifier's counts.
    pub tally: Tally,
    /// How many repositories are followed.
    pub repos: usize,
    /// The newest cursor of each endpoint that is stored.
    pub cursors: Vec<(String, i64)>,
    /// How each stream stands.
    pub streams: Vec<StreamStanding>,
    /// How the repositories stand.
    pub standing: Standing,
    /// When the last frame or hint was handled, in microseconds since the Unix epoch.
    pub last_frame: Option<u64>,
    /// Messages that wait for the pump.
    pub queued: usize,
    /// Bytes that those take, with the one that is being handled.
    pub queued_bytes: usize,
    /// What was refused since following began, by the reason, with what was no newer than what is held; of a flood not all is
    /// counted here.
    pub rejections: BTreeMap<&'static str, u64>,
    /// When all but the cursors was read last, in microseconds since the Unix epoch; none before the pump has begun.
    pub at: Option<u64>,
}

impl Pulse {
    /// Reads it.
    #[must_use]
    pub fn read(&self) -> Beat {
        self.beat.lock().map(|beat| beat.clone()).unwrap_or_default()
    }

    /// Notes what a transaction has changed.
    pub(super) fn tell(&self, applied: &Applied) {
        let place = applied.feed;
        let is_told = self.feed.send_if_modified(|newest| std::mem::replace(newest, place) < place);
        // What is quarantined changes answers too, and the feed does not tell of it.
        if is_told || applied.created + applied.updated + applied.deleted > 0 {
            self.count_change();
        }
    }

    /// The place of the newest change that has been committed; wakes whoever waits for more of the feed.
    #[must_use]
    pub fn feed(&self) -> watch::Receiver<FeedSeq> {
        self.feed.subscribe()
    }

    /// A number that has grown whenever the index may answer anything else than before: whatever is read after it was looked
    /// at is at least as new. It counts within this process, and means nothing elsewhere.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Counts a change of the index: for whoever writes to it without [`follow`].
    pub fn count_change(&self) {
        self.version.fetch_add(1, Ordering::Release);
    }

    pub(super) fn write(&self, change: impl FnOnce(&mut Beat)) {
        if let Ok(mut beat) = self.beat.lock() {
            change(&mut beat);
        }
    }
}

/// Follows relays until `shutdown` completes, then writes what was received and gives the writer back.
///
/// # Errors
///
/// [`IndexError`] as soon as the index cannot be written: what is on disk is then as good as before the last batch. A full
/// disk is waited out until `shutdown` completes.
/// Nothing that relays or hosts send can end it.
pub async fn follow(
    writer: IndexWriter,
    following: Following,
    pulse: Pulse,
    shutdown: impl Future<Output = ()>,
) -> Result<IndexWriter, IndexError> {
    // Whoever had the writer before may have changed anything with it, the file included.
    pulse.count_change();
    let clock = following.outside.clock.clone();
    let Started { verifier, upstream, outbox, inbox, mut sockets } = start(&writer, following)?;
    let (sink, written, patience) = spawn_writer(writer, outbox, pulse.clone());
    let (ended, end) = tokio::sync::oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    let pump = std::thread::spawn(move || {
        let result = runtime.block_on(pump(verifier, upstream, sink, inbox, &pulse, &clock));
        // Nobody may be waiting any more: then the result is read by joining.
        let _ = ended.send(());
        result
    });
    tokio::select! {
        () = shutdown => {}
        _ = end => {}
    }
    // The sockets stop, the queue runs dry, the pump flushes, the writer commits, or the disk goes on refusing for a while.
    drop(patience);
    sockets.shutdown().await;
    let ending = tokio::task::spawn_blocking(move || {
        // The pump fails only where the writer did, and the writer tells why.
        let pumped = pump.join();
        match (pumped, written.join()) {
            (Err(panic), _) | (_, Err(panic)) => std::panic::resume_unwind(panic),
            (Ok(_), Ok(result)) => result,
        }
    });
    match ending.await {
        Ok(result) => result,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Follows as [`follow`] does, all of it in the task that calls: with a clock and a wire that are a test's, one run is
/// like the next. `sink` lends the writer, of which it is asked where to go on, and to which batches go at last.
///
/// # Errors
///
/// Whatever `sink` returns.
pub async fn follow_in_place<S: Sink + AsRef<IndexWriter>>(
    sink: S,
    following: Following,
    pulse: &Pulse,
    shutdown: impl Future<Output = ()>,
) -> Result<(), S::Error>
where
    S::Error: From<IndexError>,
{
    // Whoever had the writer before may have changed anything with it, the file included.
    pulse.count_change();
    let clock = following.outside.clock.clone();
    let Started { verifier, upstream, outbox: _, inbox, mut sockets } = start(sink.as_ref(), following)?;
    let mut pump = std::pin::pin!(pump(verifier, upstream, sink, inbox, pulse, &clock));
    tokio::select! {
        ended = &mut pump => return ended,
        () = shutdown => {}
    }
    let (_, ended) = tokio::join!(sockets.shutdown(), pump);
    ended
}

/// What following consists of before it begins.
struct Started {
    verifier: Verifier,
    upstream: Box<dyn Upstream + Send>,
    outbox: WeakOutbox,
    inbox: Inbox,
    sockets: JoinSet<()>,
}

fn start(writer: &IndexWriter, following: Following) -> Result<Started, IndexError> {
    let Following { sources, directories, pace, scope, tracked, answers, outside, orders } = following;
    let followed = writer.repo_states().collect::<Result<Vec<_>, _>>()?;
    let cursors = writer.cursors()?;
    let mut verifier = Verifier::new(scope, followed);
    verifier.set_pace(pace);
    tracked.into_iter().for_each(|did| verifier.track(did));
    let namespace = verifier.scope().as_str().to_owned();
    let (frames, inbox) = queue();
    orders.attach(frames.downgrade());
    let (mut sockets, traffic) = (JoinSet::new(), Traffic::default());
    for source in sources {
        let url = source.url();
        let cursor = cursors.iter().find(|cursor| cursor.endpoint == url.as_str()).map(|cursor| cursor.seq);
        let stream = verifier.add_stream(url.as_str(), cursor);
        let dialect = match source {
            Source::Relay(_) => Dialect::Frames,
            Source::Jetstream(_) => Dialect::Hints { namespace: namespace.clone() },
        };
        let line = Line {
            url: source.url().clone(),
            dialect,
            stream,
            output: frames.clone(),
            outside: outside.clone(),
            orders: orders.clone(),
            traffic: traffic.clone(),
        };
        sockets.spawn(line.follow());
    }
    sockets.spawn(tick(frames.clone()));
    let upstream: Box<dyn Upstream + Send> = match answers {
        Answers::Upstream(upstream) => upstream,
        Answers::Network { network, collections } => {
            for relay in directories {
                let discovery = Discovery {
                    hosts: network.hosts.clone(),
                    relay,
                    collections: collections.clone(),
                    namespace: namespace.clone(),
                    clock: outside.clock.clone(),
                    orders: orders.clone(),
                    search: network.search.clone(),
                };
                sockets.spawn(discovery.run(frames.clone()));
            }
            let (asking, work) = network.start(frames.clone(), orders);
            sockets.spawn(work);
            Box::new(asking)
        }
    };
    Ok(Started { verifier, upstream, outbox: frames.downgrade(), inbox, sockets })
}

/// Tells the pump that time passes.
async fn tick(output: Outbox) {
    loop {
        if output.send(Received::Input(Input::Tick)).await.is_err() {
            return;
        }
        tokio::time::sleep(TICK).await;
    }
}

/// Runs the pump until no socket is left.
async fn pump<S: Sink>(
    verifier: Verifier,
    upstream: impl Upstream,
    sink: S,
    mut inbox: Inbox,
    pulse: &Pulse,
    clock: &Clock,
) -> Result<(), S::Error> {
    let mut pump = Pump::new(verifier, upstream, sink, clock.now())?;
    let mut report = Report { pulse, told: Tally::default(), rejections: BTreeMap::new() };
    loop {
        let received = match inbox.try_receive() {
            Some(received) => received,
            None => {
                // Nothing waits: write what there is, so that a quiet network is not a slow one.
                pump.rest(clock.now())?;
                report.write(&pump, &inbox, clock.now());
                match inbox.receive().await {
                    Some(received) => received,
                    None => return pump.flush(clock.now()),
                }
            }
        };
        match received {
            Received::Input(input) => {
                let is_event = matches!(input, Input::Frames { .. } | Input::Hint { .. });
                let is_tick = matches!(input, Input::Tick);
                let at = clock.now();
                pump.handle(input, at)?;
                if is_event {
                    pulse.write(|beat| beat.last_frame = Some(at));
                }
                if is_tick {
                    report.write(&pump, &inbox, at);
                }
            }
            Received::Resume { stream, cursor } => {
                // The relay's task may have been stopped meanwhile.
                let _ = cursor.send(pump.verifier().newest(stream));
            }
        }
        for notice in pump.take_notices() {
            tell(&notice);
        }
        for rejection in pump.take_rejections() {
            *report.rejections.entry(rejection.reason).or_default() += 1;
        }
    }
}

/// What is told of one pump from time to time.
struct Report<'p> {
    pulse: &'p Pulse,
    /// What it had counted when that was told last.
    told: Tally,
    rejections: BTreeMap<&'static str, u64>,
}

impl Report<'_> {
    fn write<S: Sink>(&mut self, pump: &Pump<impl Upstream, S>, inbox: &Inbox, at: u64) {
        let tally = pump.tally();
        count(std::mem::replace(&mut self.told, tally), tally);
        self.pulse.write(|beat| {
            beat.tally = tally;
            beat.repos = pump.verifier().tracked();
            beat.streams = pump.verifier().streams();
            beat.standing = pump.verifier().standing();
            (beat.queued, beat.queued_bytes) = (inbox.len(), inbox.bytes());
            beat.rejections.clone_from(&self.rejections);
            beat.at = Some(at);
        });
    }
}

fn tell(notice: &Notice) {
    let Notice { name, message, closing, .. } = notice;
    // A service may use any word, and a label is kept for ever.
    let known = ["OutdatedCursor", "FutureCursor", "ConsumerTooSlow"].into_iter().find(|known| known == name);
    metrics::counter!("appview_stream_notices_total", "name" => known.unwrap_or("other")).increment(1);
    match (name.as_str(), closing) {
        ("OutdatedCursor", _) => {
            tracing::warn!(?message, "events were missed; every repository is proven again");
        }
        ("FutureCursor", _) => {
            tracing::warn!(
                ?message,
                "the relay has not come as far as our cursor; every repository is proven again"
            );
        }
        ("ConsumerTooSlow", _) => tracing::warn!(?message, "the relay found us too slow"),
        (name, Closing::Yes) => tracing::warn!(name, ?message, "the relay ended the stream"),
        (name, Closing::No) => tracing::info!(name, ?message, "the relay has a note"),
    }
}
