//! The machine that turns streams of frames into changes: sans-IO, one for all streams, in stream order.
//!
//! Frames, identities and exports enter through the `handle_*` methods, in any order that the network brings;
//! [`Output`]s leave through [`Verifier::poll_output`], which is to be called until it is empty after each of them.
//! Time is handed in. It keeps, for each repository that matters, the head it has accepted (which may be ahead of the
//! index by what the writer has not committed), and parks frames while something is being fetched. Deliberately
//! absent: sockets, retries and their pace (a driver that failed to fetch tries again by itself), SQLite. `event` holds
//! what messages do, `hint` what unproven ones do, `answer` what answers do, `watch` what time does, `tracked` what is kept
//! of one repository; `scope` holds whom and what it is all about.
//!
//! Follows [Sync](https://atproto.com/specs/sync).

mod answer;
mod budget;
mod event;
mod hint;
mod output;
mod scope;
mod tracked;
mod watch;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::change::{Change, Followed, Hosting, Postponed, Proof, RepoHead, RepoState, StreamCursor, Watch};
use super::frame::{Event, FrameError, Glance, glance, happened_at};
use super::stream::{Order, Stream, StreamId, Ticket};
use crate::repo::Identity;
use crate::syntax::Did;
use budget::Budget;
use tracked::{Phase, Tracked};

pub use hint::Hint;
pub use output::{
    Closing, Freshness, Handled, Output, Rejection, Standing, StreamStanding, Tally, Unresolved,
};
pub use scope::Scope;
pub use watch::Pace;

/// How long after one refresh of a key, and after one fetch for what nobody has signed, the next such frame of the same
/// repository is refused without another, in microseconds. Junk would otherwise make us a flood for the directory and the PDS.
const REFRESH_PAUSE: u64 = 60_000_000;

/// How soon after one gap everything may be doubted again, in microseconds.
const GAP_PAUSE: u64 = 60_000_000;

/// How much is told of the words that a stream uses for itself, in characters.
const NOTICE_CHARACTERS: usize = 200;

/// How often one frame may have its repository fetched. An export may lag behind the stream, hence twice; a frame that
/// the second one does not explain either would have us fetch for ever.
const FETCHES_PER_FRAME: u8 = 2;

/// Bytes of frames that may wait, over all repositories.
const PARKED_BYTES: usize = 64 << 20;

/// Which keys commits may be signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keys {
    /// The key that the DID document names at the time of reading: right for a live stream. A former key proves nothing
    /// there, or whoever holds one could sign for any time in which it was valid.
    #[default]
    Current,
    /// The key that the audit log names for the time of the commit: for recordings, whose past is over.
    AuditLog,
}

impl Keys {
    /// Leaves of an identity what may be believed.
    fn apply(self, identity: Identity) -> Arc<Identity> {
        Arc::new(match self {
            Self::Current => identity.without_history(),
            Self::AuditLog => identity,
        })
    }
}

/// The machine. See the module's head.
#[derive(Debug)]
pub struct Verifier {
    scope: Scope,
    repos: HashMap<Did, Tracked>,
    streams: Vec<Stream>,
    outputs: VecDeque<Output>,
    tally: Tally,
    keys: Keys,
    budget: Budget,
    parked_bytes: usize,
    pace: Pace,
    /// The latest moment that it was told.
    now: u64,
    /// When the repositories were last looked through.
    scanned: Option<u64>,
    /// When everything was last doubted because of a stream.
    gap_at: Option<u64>,
    /// Whether there is reason to do so again.
    gap_due: bool,
    standing: Standing,
}

impl Verifier {
    /// Starts from what the index remembers; repositories that it knows to be desynchronized are asked for at once.
    pub fn new(scope: Scope, followed: impl IntoIterator<Item = Followed>) -> Self {
        let mut verifier = Self {
            scope,
            repos: HashMap::new(),
            streams: Vec::new(),
            outputs: VecDeque::new(),
            tally: Tally::default(),
            keys: Keys::default(),
            budget: Budget::default(),
            parked_bytes: 0,
            pace: Pace::default(),
            now: 0,
            scanned: None,
            gap_at: None,
            gap_due: false,
            standing: Standing::default(),
        };
        for Followed { did, state, watch } in followed {
            let is_wanted = state.proof == Proof::Desynchronized || state.hosting == Hosting::Returning;
            let mut tracked = Tracked::new(state, watch);
            if verifier.scope.excludes(did.as_str()) {
                verifier.outputs.push_back(Output::Apply(Change::Forget { did }));
                continue;
            }
            if state.head.is_some_and(|head| verifier.scope.is_wiped(did.as_str(), head.rev)) {
                // What it has said since is not known.
                verifier.outputs.push_back(Output::Apply(Change::Forget { did: did.clone() }));
                verifier.track(did);
                continue;
            }
            if is_wanted && state.hosting.is_hosted() {
                tracked.phase = Phase::Fetching;
                let (attempt, not_before) =
                    watch.postponed.map_or((0, 0), |postponed| (postponed.attempt, postponed.until));
                let fetch = Output::FetchRepo { did: did.clone(), held: None, attempt, not_before };
                verifier.outputs.push_back(fetch);
            }
            verifier.repos.insert(did, tracked);
        }
        verifier
    }

    /// Chooses which keys commits may be signed with; before anything is handled.
    pub const fn set_keys(&mut self, keys: Keys) {
        self.keys = keys;
    }

    /// Adds a stream that goes on after `cursor`.
    pub fn add_stream(&mut self, endpoint: &str, cursor: Option<i64>) -> StreamId {
        self.streams.push(Stream::new(endpoint.to_owned(), cursor));
        StreamId(self.streams.len().saturating_sub(1))
    }

    /// Notes that a stream was connected (again): its sequence numbers may start over.
    ///
    /// One without a cursor begins with what comes next. What was proven before may have changed since unseen, and is
    /// proven again.
    pub fn handle_connected(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(id.0) else { return };
        stream.connect();
        if stream.newest().is_none() && !self.repos.is_empty() {
            self.doubt_all(id);
        }
    }

    /// Notes that a stream's connection has ended, or could not be made.
    pub fn handle_disconnected(&mut self, stream: StreamId) {
        if let Some(stream) = self.streams.get_mut(stream.0) {
            stream.disconnect();
        }
    }

    /// Handles one message of a stream. `now` is in microseconds since the Unix epoch.
    pub fn handle_frame(&mut self, stream: StreamId, frame: &[u8], now: u64) -> Handled {
        self.tally.frames = self.tally.frames.saturating_add(1);
        self.now = self.now.max(now);
        if let Some(stream) = self.streams.get_mut(stream.0)
            && stream.is_due(now)
            && let Some(at) = happened_at(frame)
        {
            stream.happened(at, now);
        }
        let glanced = glance(frame, &self.scope.namespace);
        let decoded = match &glanced {
            Ok(Glance::Commit { seq, repo, in_namespace: false }) if !self.repos.contains_key(*repo) => {
                self.tally.foreign = self.tally.foreign.saturating_add(1);
                self.begin(stream, *seq);
                return Handled::Foreign;
            }
            Ok(_) => Event::decode(frame),
            Err(error) => Err(error.clone()),
        };
        match decoded {
            Ok((event, deviations)) => {
                self.tally.deviating = self.tally.deviating.saturating_add(u64::from(deviations > 0));
                self.handle_event(stream, &event, frame, now)
            }
            Err(error) => {
                // Its chain goes on where no message can show it. Nobody has signed that, so that a courier could make it up at
                // any rate.
                if let (Ok(Glance::Commit { repo, .. }), FrameError::TooManyOps { .. }) = (&glanced, &error)
                    && let Some((did, _)) = self.repos.get_key_value(*repo)
                {
                    let did = did.clone();
                    self.doubt_unsigned(&did, now);
                }
                self.reject_frame(&error)
            }
        }
    }

    /// Starts to follow a repository, by proving it, if it is not followed already.
    pub fn track(&mut self, did: Did) {
        if !self.repos.contains_key(&did) && !self.scope.excludes(did.as_str()) {
            self.repos.insert(did.clone(), Tracked::unknown());
            self.desynchronize(&did);
        }
    }

    /// Notes that a repository that is to be fetched could not be had, and is asked for again later: the index is to know.
    pub fn handle_postponed(&mut self, did: &Did, postponed: Postponed) {
        if let Some(tracked) = self.repos.get_mut(did)
            && tracked.phase == Phase::Fetching
        {
            tracked.watch.postponed = Some(postponed);
            self.outputs.push_back(Output::Apply(Change::Postponed { did: did.clone(), postponed }));
        }
    }

    /// Notes that a stream's cursor means nothing to its service: what it has said since is unknown.
    pub fn lose_cursor(&mut self, stream: StreamId) {
        if let Some(stream) = self.streams.get_mut(stream.0) {
            stream.lose_cursor();
        }
        self.doubt_all(stream);
    }

    /// Has a repository that is followed fetched and proven again, whatever its PDS says about what is held: the index
    /// may hold something else.
    ///
    /// Of an account that is hidden its PDS is asked, and nothing else can be.
    pub fn doubt(&mut self, did: &Did) {
        let Some(tracked) = self.repos.get_mut(did) else { return };
        if !tracked.state.hosting.is_hosted() {
            self.outputs.push_back(Output::ConfirmHosting { did: did.clone() });
            return;
        }
        tracked.state.head = None;
        tracked.written = true;
        if tracked.phase == Phase::Fetching {
            // What is on its way may be no more than the word that what was held is current.
            self.fetch(did, None, 0);
        } else {
            self.desynchronize(did);
        }
    }

    /// Has every repository that is followed proven again, because events may have been lost. Accounts that were hidden may be
    /// back: their PDSes are asked.
    pub fn handle_gap(&mut self) {
        let mut dids: Vec<Did> = self.repos.keys().cloned().collect();
        dids.sort();
        for did in dids {
            let Some(tracked) = self.repos.get_mut(&did) else { continue };
            if !tracked.state.hosting.is_hosted() {
                self.outputs.push_back(Output::ConfirmHosting { did });
            } else if tracked.phase == Phase::Fetching {
                tracked.is_outdated = true;
            } else {
                self.desynchronize(&did);
            }
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// How far each stream's cursor may be saved together with everything polled so far.
    #[must_use]
    pub fn watermarks(&self) -> Vec<StreamCursor> {
        self.streams.iter().filter_map(Stream::watermark).collect()
    }

    /// The newest frame of a stream that has been handled: where to go on with it in this process.
    #[must_use]
    pub fn newest(&self, stream: StreamId) -> Option<i64> {
        self.streams.get(stream.0).and_then(Stream::newest)
    }

    /// How each stream stands.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamStanding> {
        self.streams.iter().map(Stream::standing).collect()
    }

    /// What was counted.
    #[must_use]
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// What is indexed.
    #[must_use]
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }

    /// How many repositories are followed.
    #[must_use]
    pub fn tracked(&self) -> usize {
        self.repos.len()
    }

    /// Repositories that wait for an answer, in no order, and how often and until when their export was put off.
    pub fn waiting(&self) -> impl Iterator<Item = (&Did, Option<Postponed>)> {
        let waiting = self.repos.iter().filter(|(_, tracked)| tracked.phase != Phase::Ready);
        waiting.map(|(did, tracked)| (did, tracked.watch.postponed))
    }

    /// What is accepted of one repository, whether or not it is written yet.
    #[must_use]
    pub fn state(&self, did: &str) -> Option<RepoState> {
        self.repos.get(did).map(|tracked| tracked.state)
    }

    /// What is remembered of one repository by the clock.
    #[must_use]
    pub fn watch(&self, did: &str) -> Option<Watch> {
        self.repos.get(did).map(|tracked| tracked.watch)
    }

    fn resolve(&mut self, did: &Did, freshness: Freshness) {
        self.outputs.push_back(Output::ResolveIdentity { did: did.clone(), freshness });
    }

    /// Asks for a repository that is being fetched once more, at once: other than what is `held`, if anything is.
    fn fetch(&mut self, did: &Did, held: Option<RepoHead>, attempt: u32) {
        self.outputs.push_back(Output::FetchRepo { did: did.clone(), held, attempt, not_before: 0 });
    }

    fn notice(&mut self, stream: StreamId, name: &str, message: Option<&str>, closing: Closing) {
        let short = |text: &str| text.chars().take(NOTICE_CHARACTERS).collect::<String>();
        let (told, message) = (short(name), message.map(short));
        self.outputs.push_back(Output::Notice { stream, name: told, message, closing });
        match name {
            "OutdatedCursor" => {
                if let Some(stream) = self.streams.get_mut(stream.0) {
                    stream.expect_gap();
                }
                self.doubt_all(stream);
            }
            // Of a stream that was not resumed it says nothing. Of one that was, the service counts anew.
            "FutureCursor" if self.newest(stream).is_some() => self.lose_cursor(stream),
            _ => {}
        }
    }

    /// Has a repository proven for a reason that nobody has signed: once a minute at most.
    fn doubt_unsigned(&mut self, did: &Did, now: u64) {
        let Some(tracked) = self.repos.get_mut(did) else { return };
        if tracked.doubted.is_none_or(|at| now.saturating_sub(at) >= REFRESH_PAUSE) {
            tracked.doubted = Some(now);
            self.desynchronize(did);
        }
    }

    /// Has everything proven again, and whoever else there may be found.
    ///
    /// Once a minute at most, whatever services say and however often: until then the cursor stays where it is stored.
    fn doubt_all(&mut self, stream: StreamId) {
        if self.gap_at.is_none_or(|at| self.now.saturating_sub(at) >= GAP_PAUSE) {
            self.run_gap(stream);
        } else if let Some(stream) = self.streams.get_mut(stream.0) {
            stream.doubt(true);
            self.gap_due = true;
        }
    }

    /// Makes up for the gaps that came too soon after another.
    fn run_due_gap(&mut self) {
        if self.gap_due && self.gap_at.is_none_or(|at| self.now.saturating_sub(at) >= GAP_PAUSE) {
            self.run_gap(StreamId(0));
        }
    }

    fn run_gap(&mut self, stream: StreamId) {
        (self.gap_at, self.gap_due) = (Some(self.now), false);
        self.streams.iter_mut().for_each(|stream| stream.doubt(false));
        self.outputs.push_back(Output::Gap { stream });
        self.handle_gap();
    }

    /// Notes a frame's place; false if it came before.
    fn begin(&mut self, stream: StreamId, seq: i64) -> bool {
        match self.streams.get_mut(stream.0).map(|stream| stream.begin(seq)) {
            Some(Order::Repeated) => false,
            Some(Order::Rewound | Order::Skipped) => {
                self.doubt_all(stream);
                true
            }
            Some(Order::Next) | None => true,
        }
    }

    fn release(&mut self, ticket: Ticket) {
        if let Some(stream) = self.streams.get_mut(ticket.stream.0) {
            stream.release(ticket);
        }
    }

    fn reject_frame(&mut self, error: &FrameError) -> Handled {
        self.reject(None, None, "bad-frame", error.to_string())
    }

    fn reject(
        &mut self,
        did: Option<Did>,
        seq: Option<i64>,
        reason: &'static str,
        detail: String,
    ) -> Handled {
        self.tally.rejected = self.tally.rejected.saturating_add(1);
        self.outputs.push_back(Output::Reject(Rejection { did, seq, reason, detail }));
        Handled::Rejected
    }
}
