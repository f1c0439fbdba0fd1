//! The machine that turns streams of frames into changes: sans-IO, one for all streams, in stream order.
//!
//! Frames, identities and exports enter through the `handle_*` methods, in any order that the network brings;
//! [`Output`]s leave through [`Verifier::poll_output`], which is to be called until it is empty after each of them.
//! Time is handed in. It keeps, for each repository that matters, the head it has accepted (which may be ahead of the
//! index by what the writer has not committed), and parks frames while something is being fetched. Deliberately
//! absent: sockets, retries and their pace (a driver that failed to fetch tries again by itself), SQLite.
//!
//! Follows [Sync](https://atproto.com/specs/sync).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::change::{Change, Hosting, Proof, RepoHead, RepoState, StreamCursor, VerifiedRepo};
use super::frame::{CommitEvent, Event, FrameError, Glance, SyncEvent, glance};
use super::park::{Park, Parked};
use super::stream::{Order, Stream, StreamId, Ticket};
use super::verify::{Disposition, VerifyError, malformed_paths, verify_commit, verify_sync};
use crate::repo::Identity;
use crate::syntax::{Did, Tid};

/// How long after one refresh of a key, and after one fetch for want of it, the next bad signature of the same repository
/// is refused without another, in microseconds. Junk would otherwise make us a flood for the directory and the PDS.
const REFRESH_PAUSE: u64 = 60_000_000;

/// How often one frame may have its repository fetched. An export may lag behind the stream, hence twice; a frame that
/// the second one does not explain either would have us fetch for ever.
const FETCHES_PER_FRAME: u8 = 2;

/// What is indexed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    namespace: String,
}

impl Scope {
    /// Every collection whose NSID starts with `namespace`, which should end in a dot.
    #[must_use]
    pub fn namespace(namespace: &str) -> Self {
        Self { namespace: namespace.to_owned() }
    }

    /// The prefix that every path in scope has.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.namespace
    }
}

impl Default for Scope {
    /// All of `dev.cocore.*`.
    fn default() -> Self {
        Self::namespace("dev.cocore.")
    }
}

/// What the driver is to do.
#[derive(Debug)]
pub enum Output {
    /// Write this, in the order given; then, or in the same transaction, the cursors of [`Verifier::watermarks`].
    Apply(Change),
    /// Resolve a DID and answer with [`Verifier::handle_identity`].
    ResolveIdentity {
        /// Whom.
        did: Did,
        /// Which answers will do.
        freshness: Freshness,
    },
    /// Resolve a DID anew, fetch its repository from the PDS that it names, prove it with
    /// [`super::verify::verify_repo`], and answer with [`Verifier::handle_repo`]. Try until one of them succeeds.
    FetchRepo {
        /// Whose.
        did: Did,
        /// What is held: if the PDS still has exactly this, there is no need to fetch it.
        held: Option<RepoHead>,
        /// How many answers before this one led no further: wait longer each time.
        attempt: u32,
    },
    /// The service says that an account is inactive; ask its PDS, which decides.
    ConfirmHosting {
        /// Whose.
        did: Did,
    },
    /// Something was refused.
    Reject(Rejection),
    /// The stream may have lost events: every repository that is followed will be proven.
    Gap {
        /// Which stream.
        stream: StreamId,
    },
    /// The service said something about the stream itself.
    Notice {
        /// Which stream.
        stream: StreamId,
        /// Its name for it, such as `OutdatedCursor`, `FutureCursor` or `ConsumerTooSlow`.
        name: String,
        /// What it said.
        message: Option<String>,
        /// Whether it closes the stream with this.
        closing: Closing,
    },
}

/// Whether a notice is the last message of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// It is an error message: the stream ends.
    Yes,
    /// The stream goes on.
    No,
}

/// Which answers to a resolution will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// A cached one.
    Cached,
    /// One that was asked for after this moment.
    Fresh,
}

/// Something that was refused, for logs and counters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// Whose repository, where that much is known.
    pub did: Option<Did>,
    /// Where in its stream, where that much is known.
    pub seq: Option<i64>,
    /// A stable word for the reason.
    pub reason: &'static str,
    /// The reason in full.
    pub detail: String,
}

/// How one frame ended, for rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// Not ours: refused by its operations alone.
    Foreign,
    /// Ours, and done with.
    Done,
    /// Ours, and known already.
    Stale,
    /// Ours, and waiting.
    Parked,
    /// Unusable.
    Rejected,
}

/// Counts since the verifier was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Frames handled, of any kind.
    pub frames: u64,
    /// Frames refused by their operations alone.
    pub foreign: u64,
    /// Frames whose envelope was not canonical.
    pub deviating: u64,
    /// Commits proven.
    pub commits: u64,
    /// Whole repositories accepted.
    pub repos: u64,
    /// Commits and syncs that were not newer than what was held: replays, copies from another stream, or what an export
    /// had already brought.
    pub stale: u64,
    /// Frames refused.
    pub rejected: u64,
    /// Operations whose path breaks the syntax, in commits that were proven.
    pub malformed_paths: u64,
}

#[derive(Debug)]
struct Tracked {
    state: RepoState,
    identity: Option<Arc<Identity>>,
    phase: Phase,
    park: Park,
    /// When a bad signature last had the key refreshed.
    refreshed: Option<u64>,
    /// When a signature that a fresh key did not explain last had the repository fetched.
    doubted: Option<u64>,
    /// How well what is held was proven before it was doubted.
    proven: Option<Proof>,
    /// How many exports in a row led no further than what was held.
    attempt: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Ready,
    /// Waiting for an identity; parked frames hold the watermark.
    Resolving(Freshness),
    /// Waiting for an export. The index knows, so parked frames need not hold the watermark: after a crash the
    /// repository is fetched again, and that brings what they said.
    Fetching,
}

/// The machine. See the module's head.
#[derive(Debug)]
pub struct Verifier {
    scope: Scope,
    repos: HashMap<Did, Tracked>,
    streams: Vec<Stream>,
    outputs: VecDeque<Output>,
    tally: Tally,
}

impl Verifier {
    /// Starts from what the index remembers; repositories that it knows to be desynchronized are asked for at once.
    pub fn new(scope: Scope, states: impl IntoIterator<Item = (Did, RepoState)>) -> Self {
        let mut verifier = Self {
            scope,
            repos: HashMap::new(),
            streams: Vec::new(),
            outputs: VecDeque::new(),
            tally: Tally::default(),
        };
        for (did, state) in states {
            let wanted = state.proof == Proof::Desynchronized || state.hosting == Hosting::Returning;
            let mut tracked = Tracked::new(state);
            if wanted && (state.hosting.is_visible() || state.hosting == Hosting::Returning) {
                tracked.phase = Phase::Fetching;
                verifier.outputs.push_back(Output::FetchRepo { did: did.clone(), held: None, attempt: 0 });
            }
            verifier.repos.insert(did, tracked);
        }
        verifier
    }

    /// Adds a stream that goes on after `cursor`.
    pub fn add_stream(&mut self, endpoint: &str, cursor: Option<i64>) -> StreamId {
        self.streams.push(Stream::new(endpoint.to_owned(), cursor));
        StreamId(self.streams.len().saturating_sub(1))
    }

    /// Notes that a stream was connected (again): its sequence numbers may start over.
    pub fn handle_connected(&mut self, stream: StreamId) {
        if let Some(stream) = self.streams.get_mut(stream.0) {
            stream.connect();
        }
    }

    /// Handles one message of a stream. `now` is in microseconds since the Unix epoch.
    pub fn handle_frame(&mut self, stream: StreamId, frame: &[u8], now: u64) -> Handled {
        self.tally.frames = self.tally.frames.saturating_add(1);
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
                // Its chain goes on where no message can show it.
                if let (Ok(Glance::Commit { repo, .. }), FrameError::TooManyOps { .. }) = (&glanced, &error)
                    && let Some((did, _)) = self.repos.get_key_value(*repo)
                {
                    let did = did.clone();
                    self.desynchronize(&did);
                }
                self.reject_frame(&error)
            }
        }
    }

    /// Handles the answer to [`Output::ResolveIdentity`]; an identity that cannot be had is `None`, and the repository
    /// is then fetched as soon as it can.
    pub fn handle_identity(&mut self, did: &Did, identity: Option<Identity>, now: u64) {
        let Some(tracked) = self.repos.get_mut(did) else {
            return;
        };
        let identity = identity.map(Arc::new);
        let moved = match (&tracked.identity, &identity) {
            (Some(before), Some(after)) => before.pds() != after.pds(),
            _ => false,
        };
        tracked.identity = identity.or(tracked.identity.take());
        let resolved = tracked.identity.is_some();
        match tracked.phase {
            Phase::Resolving(_) if resolved => {
                tracked.phase = Phase::Ready;
                self.replay_parked(did, now);
                if moved {
                    self.desynchronize(did);
                }
            }
            Phase::Resolving(_) => self.desynchronize(did),
            Phase::Fetching if resolved => self.try_parked_sync(did, now),
            Phase::Ready if moved => self.desynchronize(did),
            Phase::Fetching | Phase::Ready => {}
        }
    }

    /// Handles the answer to [`Output::FetchRepo`]: a proven repository, and the identity that it was proven with.
    ///
    /// An export older than what is held is an answer from a stale copy: it is asked for again.
    pub fn handle_repo(&mut self, repo: VerifiedRepo, identity: Arc<Identity>, now: u64) {
        let did = repo.did().clone();
        let Some(tracked) = self.repos.get_mut(&did) else {
            return;
        };
        let head = repo.head();
        if !matches!(tracked.state.hosting, Hosting::Active | Hosting::Returning) {
            return;
        }
        let held = tracked.state.head;
        let leads_further = held.is_none_or(|held| head.rev > held.rev);
        tracked.attempt = if leads_further { 0 } else { tracked.attempt.saturating_add(1) };
        if held.is_some_and(|held| head.rev < held.rev) {
            let attempt = tracked.attempt;
            self.outputs.push_back(Output::FetchRepo { did, held: None, attempt });
            return;
        }
        let forgotten = tracked.park.take_forgotten();
        tracked.identity = Some(identity);
        tracked.state.head = Some(head);
        tracked.state.proof = repo.proof();
        tracked.phase = Phase::Ready;
        self.tally.repos = self.tally.repos.saturating_add(1);
        self.outputs.push_back(Output::Apply(Change::Repo(repo)));
        self.reappear(&did);
        if forgotten.is_some_and(|rev| rev > head.rev) {
            self.desynchronize(&did);
        } else {
            self.replay_parked(&did, now);
        }
        if let Some(tracked) = self.repos.get_mut(&did)
            && tracked.phase == Phase::Ready
        {
            tracked.attempt = 0;
        }
    }

    /// Handles what an account's PDS says about its hosting, in answer to [`Output::ConfirmHosting`] or to a fetch that
    /// was refused for it. The PDS decides: a deletion that it confirms erases.
    pub fn handle_hosting(&mut self, did: &Did, hosting: Hosting) {
        match hosting {
            Hosting::Deleted => {
                if let Some(tracked) = self.repos.get_mut(did) {
                    tracked.state =
                        RepoState { head: None, hosting: Hosting::Deleted, proof: Proof::Desynchronized };
                    self.settle(did);
                    self.outputs.push_back(Output::Apply(Change::Erase { did: did.clone() }));
                }
            }
            other => self.set_hosting(did, other),
        }
    }

    /// Handles the answer that a PDS still has exactly what was held when it was asked.
    ///
    /// Holds only if that is what is held still, and if it is known how well it was proven: not after a restart.
    pub fn handle_current(&mut self, did: &Did, head: RepoHead, identity: Arc<Identity>, now: u64) {
        let Some(tracked) = self.repos.get_mut(did) else { return };
        if tracked.phase != Phase::Fetching || tracked.state.head != Some(head) {
            return;
        }
        let Some(proof) = tracked.proven else {
            let attempt = tracked.attempt;
            self.outputs.push_back(Output::FetchRepo { did: did.clone(), held: None, attempt });
            return;
        };
        tracked.identity = Some(identity);
        tracked.state.proof = proof;
        tracked.phase = Phase::Ready;
        self.outputs.push_back(Output::Apply(Change::Current { did: did.clone(), proof }));
        self.reappear(did);
        self.replay_parked(did, now);
    }

    /// Starts to follow a repository, by proving it, if it is not followed already.
    pub fn track(&mut self, did: Did) {
        if !self.repos.contains_key(&did) {
            self.repos.insert(did.clone(), Tracked::unknown());
            self.desynchronize(&did);
        }
    }

    /// Has a repository that is followed proven again.
    pub fn doubt(&mut self, did: &Did) {
        self.desynchronize(did);
    }

    /// Has every repository that is followed proven again, because events may have been lost.
    pub fn handle_gap(&mut self) {
        let mut dids: Vec<Did> = self.repos.keys().cloned().collect();
        dids.sort();
        for did in dids {
            self.desynchronize(&did);
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

    /// What is accepted of one repository, whether or not it is written yet.
    #[must_use]
    pub fn state(&self, did: &str) -> Option<RepoState> {
        self.repos.get(did).map(|tracked| tracked.state)
    }

    fn handle_event(&mut self, stream: StreamId, event: &Event<'_>, frame: &[u8], now: u64) -> Handled {
        if let Some(seq) = event.seq()
            && !self.begin(stream, seq)
        {
            return self.reject(None, Some(seq), "repeated-seq", "the stream repeats itself".to_owned());
        }
        let ticket = Ticket { stream, seq: event.seq().unwrap_or_default(), fetches: 0 };
        match *event {
            Event::Commit(ref commit) => self.handle_commit(ticket, commit, frame, now),
            Event::Sync(ref sync) => self.handle_sync(ticket, sync, frame, now),
            Event::Identity { did, .. } => {
                self.forget_identity(did);
                Handled::Done
            }
            Event::Account { did, active, status, .. } => {
                if let Some((did, _)) = self.repos.get_key_value(did) {
                    let did = did.clone();
                    self.set_hosting(&did, Hosting::from_event(active, status));
                }
                Handled::Done
            }
            Event::Info { name, message } => {
                self.notice(stream, name, message, Closing::No);
                Handled::Done
            }
            Event::Error { name, message } => {
                self.notice(stream, name, message, Closing::Yes);
                Handled::Done
            }
            Event::Unknown { op, kind, seq } => {
                self.reject(None, seq, "unknown-message", format!("op {op}, type {kind:?}"))
            }
        }
    }

    fn handle_commit(&mut self, ticket: Ticket, event: &CommitEvent<'_>, frame: &[u8], now: u64) -> Handled {
        let did = match self.repos.get_key_value(event.repo) {
            Some((did, _)) => did.clone(),
            None => match event.repo.parse::<Did>() {
                Ok(did) => {
                    self.repos.insert(did.clone(), Tracked::unknown());
                    did
                }
                Err(error) => {
                    return self.reject(None, Some(ticket.seq), "bad-did", error.to_string());
                }
            },
        };
        let Some(tracked) = self.repos.get_mut(&did) else {
            return Handled::Rejected;
        };
        if !matches!(tracked.state.hosting, Hosting::Active | Hosting::Returning) {
            let detail = format!("the account is {}", tracked.state.hosting);
            return self.reject(Some(did), Some(ticket.seq), "inactive-account", detail);
        }
        let identity = match (tracked.phase, &tracked.identity) {
            (Phase::Ready, Some(identity)) => Arc::clone(identity),
            (Phase::Ready, None) => {
                tracked.phase = Phase::Resolving(Freshness::Cached);
                self.resolve(&did, Freshness::Cached);
                return self.park(&did, ticket, frame, Some(event.rev));
            }
            _ => return self.park(&did, ticket, frame, Some(event.rev)),
        };
        match verify_commit(event, tracked.state.head, &identity, &self.scope.namespace, now) {
            Ok(commit) => {
                let malformed = malformed_paths(&event.ops) as u64;
                tracked.state.head = Some(commit.head());
                tracked.state.proof = Proof::Full;
                self.tally.commits = self.tally.commits.saturating_add(1);
                self.tally.malformed_paths = self.tally.malformed_paths.saturating_add(malformed);
                self.outputs.push_back(Output::Apply(Change::Commit(commit)));
                Handled::Done
            }
            Err(error) => self.refuse(&did, ticket, frame, Some(event.rev), &error, now),
        }
    }

    fn handle_sync(&mut self, ticket: Ticket, event: &SyncEvent<'_>, frame: &[u8], now: u64) -> Handled {
        let Some((did, _)) = self.repos.get_key_value(event.did) else {
            return Handled::Foreign;
        };
        let did = did.clone();
        let Some(tracked) = self.repos.get_mut(&did) else {
            return Handled::Rejected;
        };
        if !matches!(tracked.state.hosting, Hosting::Active | Hosting::Returning) {
            let detail = format!("the account is {}", tracked.state.hosting);
            return self.reject(Some(did), Some(ticket.seq), "inactive-account", detail);
        }
        let identity = match (tracked.phase, &tracked.identity) {
            (Phase::Ready | Phase::Fetching, Some(identity)) => Arc::clone(identity),
            (Phase::Resolving(_), _) => return self.park(&did, ticket, frame, Some(event.rev)),
            (phase, None) => {
                if phase == Phase::Ready {
                    tracked.phase = Phase::Resolving(Freshness::Cached);
                }
                self.resolve(&did, Freshness::Cached);
                return self.park(&did, ticket, frame, Some(event.rev));
            }
        };
        match verify_sync(event, tracked.state.head, &identity, now) {
            Ok(head) => {
                // Our rows are those of the tree that the host has now: whatever was missed changed nothing.
                let held = tracked.state;
                tracked.state.head = Some(head.head());
                // A commit of the former host's proves no more for being repeated.
                let is_repeated = held.head == Some(head.head());
                if !(is_repeated && held.proof == Proof::Provisional) {
                    tracked.state.proof = Proof::Full;
                }
                tracked.phase = Phase::Ready;
                if !is_repeated || held.proof != tracked.state.proof {
                    self.outputs.push_back(Output::Apply(Change::Head(head)));
                }
                self.reappear(&did);
                self.replay_parked(&did, now);
                Handled::Done
            }
            Err(_) if tracked.phase == Phase::Fetching => self.park(&did, ticket, frame, Some(event.rev)),
            Err(error) => self.refuse(&did, ticket, frame, Some(event.rev), &error, now),
        }
    }

    /// Decides what a failed proof leads to.
    fn refuse(
        &mut self,
        did: &Did,
        ticket: Ticket,
        frame: &[u8],
        rev: Option<Tid>,
        error: &VerifyError,
        now: u64,
    ) -> Handled {
        let Some(tracked) = self.repos.get_mut(did) else {
            return Handled::Rejected;
        };
        if matches!(error, VerifyError::StaleRev { .. }) {
            self.tally.stale = self.tally.stale.saturating_add(1);
            self.outputs.push_back(Output::Reject(Rejection {
                did: Some(did.clone()),
                seq: Some(ticket.seq),
                reason: error.label(),
                detail: error.to_string(),
            }));
            return Handled::Stale;
        }
        match error.disposition() {
            Disposition::Drop => {}
            Disposition::Resync if ticket.fetches >= FETCHES_PER_FRAME => {}
            Disposition::Resync => {
                self.desynchronize(did);
                self.reject(Some(did.clone()), Some(ticket.seq), error.label(), error.to_string());
                let ticket = Ticket { fetches: ticket.fetches.saturating_add(1), ..ticket };
                return self.park(did, ticket, frame, rev);
            }
            Disposition::RefreshKey => {
                let is_due =
                    |last: Option<u64>| last.is_none_or(|at| now.saturating_sub(at) >= REFRESH_PAUSE);
                if is_due(tracked.refreshed) {
                    tracked.refreshed = Some(now);
                    tracked.phase = Phase::Resolving(Freshness::Fresh);
                    self.resolve(did, Freshness::Fresh);
                    return self.park(did, ticket, frame, rev);
                }
                if tracked.state.head.is_none() {
                    // Never proven and signed by nobody we can name: not a repository to remember.
                    self.forget(did);
                } else if is_due(tracked.doubted) {
                    // The key may have been in use when no one could tell us. The PDS knows what is signed; the frame
                    // itself, which anyone can have made, is not kept.
                    tracked.doubted = Some(now);
                    self.desynchronize(did);
                }
            }
        }
        self.reject(Some(did.clone()), Some(ticket.seq), error.label(), error.to_string())
    }

    /// Handles parked frames again, in their order. Those that wait again are parked behind each other as before.
    fn replay_parked(&mut self, did: &Did, now: u64) {
        let Some(tracked) = self.repos.get_mut(did) else {
            return;
        };
        for Parked { ticket, frame } in tracked.park.drain() {
            self.release(ticket);
            match Event::decode(&frame) {
                Ok((Event::Commit(event), _)) => self.handle_commit(ticket, &event, &frame, now),
                Ok((Event::Sync(event), _)) => self.handle_sync(ticket, &event, &frame, now),
                // Only commits and syncs are parked, and these were decoded once already.
                Ok(_) => Handled::Rejected,
                Err(error) => self.reject_frame(&error),
            };
        }
    }

    /// A parked `#sync` may show that nothing changed, before the export arrives.
    fn try_parked_sync(&mut self, did: &Did, now: u64) {
        let Some(tracked) = self.repos.get(did) else {
            return;
        };
        let newest = tracked.park.iter().rev().find_map(|parked| match Event::decode(&parked.frame) {
            Ok((Event::Sync(_), _)) => Some((parked.ticket, parked.frame.clone())),
            _ => None,
        });
        let (Some((ticket, frame)), Some(identity)) = (newest, tracked.identity.clone()) else {
            return;
        };
        if let Ok((Event::Sync(event), _)) = Event::decode(&frame)
            && verify_sync(&event, tracked.state.head, &identity, now).is_ok()
        {
            self.handle_sync(ticket, &event, &frame, now);
        }
    }

    fn park(&mut self, did: &Did, ticket: Ticket, frame: &[u8], rev: Option<Tid>) -> Handled {
        let Some(tracked) = self.repos.get_mut(did) else {
            return Handled::Rejected;
        };
        let forgotten = tracked.park.push(Parked { ticket, frame: frame.into() }, rev);
        let is_resolving = matches!(tracked.phase, Phase::Resolving(_));
        if forgotten.is_empty() {
            if is_resolving && let Some(stream) = self.streams.get_mut(ticket.stream.0) {
                stream.hold(ticket.seq);
            }
        } else {
            if is_resolving {
                self.desynchronize(did);
            }
            forgotten.into_iter().for_each(|ticket| self.release(ticket));
        }
        Handled::Parked
    }

    /// Has a repository proven from its PDS, and lets the index know first: the frames parked for it then need not hold
    /// the watermark.
    fn desynchronize(&mut self, did: &Did) {
        let Some(tracked) = self.repos.get_mut(did) else {
            return;
        };
        if tracked.phase == Phase::Fetching
            || !matches!(tracked.state.hosting, Hosting::Active | Hosting::Returning)
        {
            return;
        }
        tracked.phase = Phase::Fetching;
        if tracked.state.proof != Proof::Desynchronized {
            tracked.proven = Some(tracked.state.proof);
        }
        tracked.state.proof = Proof::Desynchronized;
        let (held, attempt) = (tracked.state.head, tracked.attempt);
        let tickets: Vec<Ticket> = tracked.park.iter().map(|parked| parked.ticket).collect();
        tickets.into_iter().for_each(|ticket| self.release(ticket));
        self.outputs.push_back(Output::Apply(Change::Desynchronized { did: did.clone() }));
        self.outputs.push_back(Output::FetchRepo { did: did.clone(), held, attempt });
    }

    fn set_hosting(&mut self, did: &Did, hosting: Hosting) {
        let Some(tracked) = self.repos.get_mut(did) else {
            return;
        };
        let held = tracked.state.hosting;
        match (held, hosting) {
            (Hosting::Active | Hosting::Returning, Hosting::Active) => {}
            (held, said) if held == said => {}
            (_, Hosting::Active) => {
                tracked.state.hosting = Hosting::Returning;
                let returning = Change::Hosting { did: did.clone(), hosting: Hosting::Returning };
                self.outputs.push_back(Output::Apply(returning));
                self.desynchronize(did);
            }
            (_, hosting) => {
                tracked.state.hosting = hosting;
                self.settle(did);
                self.outputs.push_back(Output::Apply(Change::Hosting { did: did.clone(), hosting }));
                self.outputs.push_back(Output::ConfirmHosting { did: did.clone() });
            }
        }
    }

    /// Shows a repository that was proven after its account came back.
    fn reappear(&mut self, did: &Did) {
        if let Some(tracked) = self.repos.get_mut(did)
            && tracked.state.hosting == Hosting::Returning
        {
            tracked.state.hosting = Hosting::Active;
            let active = Change::Hosting { did: did.clone(), hosting: Hosting::Active };
            self.outputs.push_back(Output::Apply(active));
        }
    }

    /// Ends all waiting for a repository.
    fn settle(&mut self, did: &Did) {
        if let Some(tracked) = self.repos.get_mut(did) {
            tracked.phase = Phase::Ready;
            tracked.park.take_forgotten();
            let tickets: Vec<Ticket> = tracked.park.drain().map(|parked| parked.ticket).collect();
            tickets.into_iter().for_each(|ticket| self.release(ticket));
        }
    }

    fn forget(&mut self, did: &Did) {
        self.settle(did);
        self.repos.remove(did);
    }

    fn forget_identity(&mut self, did: &str) {
        let Some((did, _)) = self.repos.get_key_value(did) else {
            return;
        };
        let did = did.clone();
        // The old document stays until the new one is here: its PDS tells whether the account moved.
        if let Some(tracked) = self.repos.get_mut(&did)
            && tracked.identity.is_some()
            && tracked.phase == Phase::Ready
        {
            tracked.phase = Phase::Resolving(Freshness::Fresh);
            self.resolve(&did, Freshness::Fresh);
        }
    }

    fn resolve(&mut self, did: &Did, freshness: Freshness) {
        self.outputs.push_back(Output::ResolveIdentity { did: did.clone(), freshness });
    }

    fn notice(&mut self, stream: StreamId, name: &str, message: Option<&str>, closing: Closing) {
        let message = message.map(str::to_owned);
        self.outputs.push_back(Output::Notice { stream, name: name.to_owned(), message, closing });
        if name == "OutdatedCursor" {
            self.outputs.push_back(Output::Gap { stream });
            self.handle_gap();
        }
    }

    /// Notes a frame's place; false if it came before.
    fn begin(&mut self, stream: StreamId, seq: i64) -> bool {
        match self.streams.get_mut(stream.0).map(|stream| stream.begin(seq)) {
            Some(Order::Repeated) => false,
            Some(Order::Rewound) => {
                self.outputs.push_back(Output::Gap { stream });
                self.handle_gap();
                true
            }
            Some(Order::Next) | None => true,
        }
    }

    fn release(&mut self, ticket: Ticket) {
        if let Some(stream) = self.streams.get_mut(ticket.stream.0) {
            stream.release(ticket.seq);
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

impl Tracked {
    fn new(state: RepoState) -> Self {
        Self {
            state,
            identity: None,
            phase: Phase::Ready,
            park: Park::default(),
            refreshed: None,
            doubted: None,
            proven: None,
            attempt: 0,
        }
    }

    /// A repository seen for the first time.
    fn unknown() -> Self {
        Self::new(RepoState { head: None, hosting: Hosting::Active, proof: Proof::Desynchronized })
    }
}
