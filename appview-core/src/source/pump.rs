//! The only loop: inputs into the verifier, its requests to whoever can answer, its changes to the writer.
//!
//! [`Input`]s enter, [`Batch`]es leave, each with the cursors that belong in the same transaction. The pump is
//! synchronous: one thread calls it, and what takes long (sockets, exports, transactions) happens on the other side
//! of an [`Upstream`] or a [`Sink`]. Deliberately absent: the network, and any memory of a request; whoever took it
//! answers it in time.

use std::sync::Arc;
use std::time::Instant;

use super::burst::Burst;
use crate::index::{IndexError, IndexWriter, Refused};
use crate::repo::Identity;
use crate::sync::verifier::{Closing, Handled, Hint, Keys, Tally, Unresolved};
use crate::sync::{
    Change, Freshness, Hosting, Output, Postponed, RecordChange, Rejection, RepoHead, StreamCursor, StreamId,
    VerifiedRecord, VerifiedRepo, Verifier,
};
use crate::syntax::{Did, RepoPath, Tid};

/// Most changes in one transaction. From a few hundred on, a transaction's fixed cost no longer shows.
const BATCH_CHANGES: usize = 1_000;
/// How many bytes of memory make a batch full. What makes it so is the last in it, so that a batch takes at most this and
/// one change more.
const BATCH_BYTES: usize = 16 << 20;
/// How long a cursor may be ahead of the stored one while nothing else is to be written, in microseconds.
const CURSOR_PACE: u64 = 1_000_000;
/// How long a change may wait for others to share its transaction while there is always more to handle, in microseconds.
const BATCH_AGE: u64 = 20_000;

/// Something that happened.
#[derive(Debug)]
pub enum Input {
    /// A stream was connected.
    Connected(StreamId),
    /// A stream's connection has ended, or could not be made.
    Disconnected(StreamId),
    /// Messages of a stream.
    Frames {
        /// Which stream.
        stream: StreamId,
        /// Those that arrived together.
        burst: Burst,
    },
    /// The answer to a request that could not be answered at once.
    Answer(Answer),
    /// Follow this repository from here on, if it is not followed yet.
    Track(Did),
    /// What is held of this repository may be wrong: prove it.
    Doubt(Did),
    /// Follow this repository, even if it was left out so far.
    Include(Did),
    /// Leave this repository out from here on, and erase what is held of it.
    Exclude(Did),
    /// Erase what is held of a repository, and show nothing of what it said up to a revision: its owner had it wiped.
    Wipe {
        /// Whose.
        did: Did,
        /// Up to which revision.
        until: Tid,
    },
    /// A stream of hints said something.
    Hint {
        /// Which stream.
        stream: StreamId,
        /// Its place: the time of its event, in microseconds since the Unix epoch.
        at: i64,
        /// What it said.
        hint: Hint,
    },
    /// A stream's cursor means nothing to its service.
    Lost(StreamId),
    /// A request for a repository could not be answered, and is tried again later.
    Postponed {
        /// Whose.
        did: Did,
        /// How often it was tried, and when it will be.
        postponed: Postponed,
    },
    /// Time has passed.
    Tick,
}

/// Something that the verifier needs to know.
#[derive(Debug)]
pub enum Request {
    /// Who signs for a DID, and where its repository lives.
    Identity {
        /// Whom.
        did: Did,
        /// Which answers will do.
        freshness: Freshness,
    },
    /// The whole repository, proven.
    Repo {
        /// Whose.
        did: Did,
        /// What is held of it.
        held: Option<RepoHead>,
        /// How many answers before this one led no further, or how many tries failed: wait longer each time.
        attempt: u32,
        /// Not before this moment, in microseconds since the Unix epoch; 0 at once.
        not_before: u64,
    },
    /// Whether what is held is what its PDS has. There is time: whatever else is asked goes first.
    Audit {
        /// Whose.
        did: Did,
        /// What is held of it.
        held: RepoHead,
    },
    /// One record with its proof.
    Record {
        /// Whose.
        did: Did,
        /// Which.
        path: RepoPath,
    },
    /// What an account's PDS says about its hosting.
    Hosting {
        /// Whose.
        did: Did,
    },
}

/// The answer to a [`Request`].
#[derive(Debug)]
pub enum Answer {
    /// An identity, or why there is none.
    Identity {
        /// Whose.
        did: Did,
        /// Who signs for it.
        identity: Result<Identity, Unresolved>,
    },
    /// A repository, and the identity it was proven with.
    Repo {
        /// The repository.
        repo: VerifiedRepo,
        /// Whose it is.
        identity: Arc<Identity>,
    },
    /// A record, and the identity it was proven with.
    Record {
        /// The record.
        record: VerifiedRecord,
        /// Whose it is.
        identity: Arc<Identity>,
    },
    /// Its PDS has another revision than what was held when it was audited.
    Behind {
        /// Whose.
        did: Did,
        /// What its PDS has.
        rev: Tid,
        /// Who signs for it.
        identity: Arc<Identity>,
    },
    /// Nobody could be asked whether what is held is what its PDS has.
    Unaudited {
        /// Whose.
        did: Did,
    },
    /// Its PDS still has exactly what was held when it was asked for.
    Current {
        /// Whose.
        did: Did,
        /// What was held.
        head: RepoHead,
        /// Who signs for it.
        identity: Arc<Identity>,
    },
    /// What its PDS says about an account.
    Hosting {
        /// Whose.
        did: Did,
        /// What it says.
        hosting: Hosting,
        /// When it was asked, in microseconds since the Unix epoch.
        asked_at: u64,
    },
}

/// Who answers requests.
pub trait Upstream {
    /// Takes a request: answers it at once, or later as an [`Input::Answer`], or never. Whatever asks for a repository again and
    /// again says so with [`Input::Postponed`].
    fn ask(&mut self, request: Request) -> Option<Answer>;

    /// Which keys commits may be signed with, given the identities that this answers with.
    fn keys(&self) -> Keys {
        Keys::Current
    }

    /// Repositories that may hold records in scope, as far as can be told at once. Asked for after a gap, because events
    /// of repositories that nobody followed may have been among those lost.
    fn discover(&mut self) -> Vec<Did> {
        Vec::new()
    }
}

impl<U: Upstream + ?Sized> Upstream for Box<U> {
    fn ask(&mut self, request: Request) -> Option<Answer> {
        self.as_mut().ask(request)
    }

    fn keys(&self) -> Keys {
        self.as_ref().keys()
    }

    fn discover(&mut self) -> Vec<Did> {
        self.as_mut().discover()
    }
}

/// What belongs into one transaction.
#[derive(Debug, Default)]
pub struct Batch {
    /// In the order in which they must be applied.
    pub changes: Vec<Change>,
    /// How far each stream's effects are among them.
    pub cursors: Vec<StreamCursor>,
    /// When it was closed, in microseconds since the Unix epoch.
    pub at: u64,
}

/// Where batches go.
pub trait Sink {
    /// Why a batch cannot be written.
    type Error;

    /// Writes a batch, or sees to it that it is written before any later one.
    ///
    /// # Errors
    ///
    /// The batch, or one before it, could not be written.
    fn write(&mut self, batch: Batch) -> Result<(), Self::Error>;
}

impl Sink for &mut IndexWriter {
    type Error = IndexError;

    fn write(&mut self, batch: Batch) -> Result<(), IndexError> {
        let applied = self.apply(&batch.changes, &batch.cursors, batch.at)?;
        applied.refused.iter().for_each(tell_refused);
        Ok(())
    }
}

/// The verifier hands out nothing that does not follow what it handed out before, so this is a fault of ours. The index
/// has marked the repository, and it is fetched at the next start at the latest.
pub(super) fn tell_refused(refused: &Refused) {
    let Refused { did, expected, found } = refused;
    tracing::error!(%did, ?expected, ?found, "a change does not follow what is stored; the repository is proven anew");
    metrics::counter!("appview_refused_changes_total").increment(1);
}

/// A message about a stream that concerns whoever holds its socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Which stream.
    pub stream: StreamId,
    /// The service's name for it.
    pub name: String,
    /// What it said.
    pub message: Option<String>,
    /// Whether it ends the stream.
    pub closing: Closing,
}

/// The loop's state. Hand it inputs with [`Pump::handle`], call [`Pump::rest`] when there are no more for now, and
/// [`Pump::flush`] when there are no more at all.
#[derive(Debug)]
pub struct Pump<U, S> {
    verifier: Verifier,
    upstream: U,
    sink: S,
    batch: Vec<Change>,
    batch_bytes: usize,
    saved: Vec<StreamCursor>,
    saved_at: u64,
    /// When the oldest change of the batch was gathered.
    gathered_at: Option<u64>,
    notices: Vec<Notice>,
    rejections: Vec<Rejection>,
    /// How long frames took that are not foreign. Kept here because it takes longer to look it up than to refuse a frame.
    proving: metrics::Histogram,
}

impl<U: Upstream, S: Sink> Pump<U, S> {
    /// Starts with a verifier that knows what the sink holds, and asks for what the verifier wants at once.
    ///
    /// # Errors
    ///
    /// As [`Pump::handle`].
    pub fn new(mut verifier: Verifier, upstream: U, sink: S, now: u64) -> Result<Self, S::Error> {
        verifier.set_keys(upstream.keys());
        let mut pump = Self {
            verifier,
            upstream,
            sink,
            batch: Vec::new(),
            batch_bytes: 0,
            saved: Vec::new(),
            saved_at: now,
            gathered_at: None,
            notices: Vec::new(),
            rejections: Vec::new(),
            proving: metrics::histogram!("appview_verify_seconds"),
        };
        pump.turn(now)?;
        Ok(pump)
    }

    /// Handles one input. `now` is in microseconds since the Unix epoch.
    ///
    /// # Errors
    ///
    /// Only what the sink returns: no input can make it fail. The sink has the batch then, and the verifier goes by what
    /// is in it: the pump is of no use any more, and whoever goes on starts another from what is stored.
    pub fn handle(&mut self, input: Input, now: u64) -> Result<(), S::Error> {
        match input {
            Input::Connected(stream) => self.verifier.handle_connected(stream),
            Input::Disconnected(stream) => self.verifier.handle_disconnected(stream),
            Input::Frames { stream, burst } => {
                let mut since = Instant::now();
                burst.frames().try_for_each(|frame| self.frame(stream, frame, now, &mut since))?;
            }
            Input::Answer(answer) => self.answer(answer, now),
            Input::Track(did) => self.verifier.track(did),
            Input::Doubt(did) => self.verifier.doubt(&did),
            Input::Include(did) => self.verifier.include(did),
            Input::Exclude(did) => self.verifier.exclude(did),
            Input::Wipe { did, until } => self.verifier.wipe(did, until),
            Input::Hint { stream, at, hint } => _ = self.verifier.handle_hint(stream, at, hint, now),
            Input::Lost(stream) => self.verifier.lose_cursor(stream),
            Input::Postponed { did, postponed } => self.verifier.handle_postponed(&did, postponed),
            Input::Tick => self.verifier.tick(now),
        }
        self.turn(now)?;
        self.keep_pace(now)
    }

    /// Handles one message of a stream.
    ///
    /// # Errors
    ///
    /// As [`Pump::handle`].
    pub fn handle_frame(&mut self, stream: StreamId, frame: &[u8], now: u64) -> Result<(), S::Error> {
        self.frame(stream, frame, now, &mut Instant::now())?;
        self.keep_pace(now)
    }

    /// Writes what has waited for long enough, though there may be more to handle: a stream that is being caught up with
    /// would otherwise show nothing, and keep its place nowhere, until it is over.
    fn keep_pace(&mut self, now: u64) -> Result<(), S::Error> {
        let is_old = |since: u64, age: u64| now.saturating_sub(since) >= age;
        if self.gathered_at.is_some_and(|at| is_old(at, BATCH_AGE)) || is_old(self.saved_at, CURSOR_PACE) {
            self.flush(now)?;
        }
        Ok(())
    }

    /// Measures from `since`, which moves on with each frame that is not foreign: to look at the clock for each that is would
    /// take as long as refusing it.
    fn frame(
        &mut self,
        stream: StreamId,
        frame: &[u8],
        now: u64,
        since: &mut Instant,
    ) -> Result<(), S::Error> {
        let handled = self.verifier.handle_frame(stream, frame, now);
        if handled != Handled::Foreign {
            self.proving.record(since.elapsed());
        }
        fail::fail_point!("pump::verified");
        self.turn(now)?;
        if handled != Handled::Foreign {
            *since = Instant::now();
        }
        Ok(())
    }

    /// Writes what has been gathered, for now there is no more. Cursors alone are written from time to time only: an event
    /// that led to nothing is not worth a transaction, and at worst it is heard again.
    ///
    /// # Errors
    ///
    /// As [`Pump::handle`].
    pub fn rest(&mut self, now: u64) -> Result<(), S::Error> {
        if !self.batch.is_empty() || now.saturating_sub(self.saved_at) >= CURSOR_PACE {
            self.flush(now)?;
        }
        Ok(())
    }

    /// Writes what has been gathered, with the cursors that belong to it.
    ///
    /// # Errors
    ///
    /// As [`Pump::handle`].
    pub fn flush(&mut self, now: u64) -> Result<(), S::Error> {
        let cursors = self.verifier.watermarks();
        if self.batch.is_empty() && cursors == self.saved {
            self.saved_at = now;
            return Ok(());
        }
        fail::fail_point!("pump::gathered");
        self.write(cursors, now)
    }

    /// What streams said about themselves since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// What was refused since the last call; of a flood only the first thousand.
    pub fn take_rejections(&mut self) -> Vec<Rejection> {
        std::mem::take(&mut self.rejections)
    }

    /// The verifier's counts.
    #[must_use]
    pub const fn tally(&self) -> Tally {
        self.verifier.tally()
    }

    /// The verifier.
    #[must_use]
    pub const fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Carries out what the verifier wants, until it wants nothing.
    fn turn(&mut self, now: u64) -> Result<(), S::Error> {
        while let Some(output) = self.verifier.poll_output() {
            match output {
                Output::Apply(change) => {
                    tell_account(&change);
                    self.batch_bytes = self.batch_bytes.saturating_add(weight(&change));
                    self.batch.push(change);
                    self.gathered_at = self.gathered_at.or(Some(now));
                    if self.batch.len() >= BATCH_CHANGES || self.batch_bytes >= BATCH_BYTES {
                        self.flush_ordered(now)?;
                    }
                }
                Output::ResolveIdentity { did, freshness } => {
                    self.ask(Request::Identity { did, freshness }, now)
                }
                Output::FetchRepo { did, held, attempt, not_before } => {
                    self.ask(Request::Repo { did, held, attempt, not_before }, now)
                }
                Output::Audit { did, held } => self.ask(Request::Audit { did, held }, now),
                Output::FetchRecord { did, path } => self.ask(Request::Record { did, path }, now),
                Output::ConfirmHosting { did } => self.ask(Request::Hosting { did }, now),
                Output::Moved { did, from, to } => {
                    tracing::info!(%did, from, to, "an account has moved to another host");
                }
                Output::Reject(rejection) => {
                    let Rejection { did, seq, reason, detail } = &rejection;
                    let did = did.as_ref().map(tracing::field::display);
                    tracing::debug!(did, seq, reason, detail, "refused");
                    metrics::counter!("appview_rejected_total", "reason" => *reason).increment(1);
                    if self.rejections.len() < 1_000 {
                        self.rejections.push(rejection);
                    }
                }
                Output::Gap { .. } => {
                    for did in self.upstream.discover() {
                        self.verifier.track(did);
                    }
                }
                Output::Notice { stream, name, message, closing } => {
                    self.notices.push(Notice { stream, name, message, closing });
                }
            }
        }
        Ok(())
    }

    /// Writes a full batch while the verifier still has outputs: what they will change is not in it, so neither may
    /// their cursors be.
    fn flush_ordered(&mut self, now: u64) -> Result<(), S::Error> {
        self.write(self.saved.clone(), now)
    }

    fn write(&mut self, cursors: Vec<StreamCursor>, now: u64) -> Result<(), S::Error> {
        (self.batch_bytes, self.gathered_at) = (0, None);
        let changes = std::mem::take(&mut self.batch);
        self.sink.write(Batch { changes, cursors: cursors.clone(), at: now })?;
        (self.saved, self.saved_at) = (cursors, now);
        Ok(())
    }

    fn ask(&mut self, request: Request, now: u64) {
        if let Some(answer) = self.upstream.ask(request) {
            self.answer(answer, now);
        }
    }

    fn answer(&mut self, answer: Answer, now: u64) {
        match answer {
            Answer::Identity { did, identity } => self.verifier.handle_identity(&did, identity, now),
            Answer::Repo { repo, identity } => self.verifier.handle_repo(repo, identity, now),
            Answer::Current { did, head, identity } => {
                self.verifier.handle_current(&did, head, identity, now)
            }
            Answer::Record { record, identity } => self.verifier.handle_record(record, identity),
            Answer::Behind { did, rev, identity } => self.verifier.handle_behind(&did, rev, identity, now),
            Answer::Unaudited { did } => self.verifier.handle_unaudited(&did),
            Answer::Hosting { did, hosting, asked_at } => {
                self.verifier.handle_hosting(&did, hosting, asked_at)
            }
        }
    }
}

/// What becomes of an account is told to people: its records appear or disappear with it.
fn tell_account(change: &Change) {
    match change {
        Change::Hosting { did, hosting: Hosting::Active } => {
            tracing::info!(%did, "an account is proven again, and shown");
        }
        Change::Hosting { did, hosting: Hosting::Returning } => {
            tracing::info!(%did, "an account is back, and is shown once it is proven again");
        }
        Change::Hosting { did, hosting } => tracing::info!(%did, %hosting, "an account is hidden"),
        Change::Erase { did, hosting } => {
            tracing::info!(%did, %hosting, "what was held of an account is erased");
        }
        Change::Forget { did } => tracing::debug!(%did, "a repository is forgotten"),
        _ => {}
    }
}

/// Bytes that a change carries in memory.
fn weight(change: &Change) -> usize {
    match change {
        Change::Commit(commit) => commit.changes().iter().map(RecordChange::bytes).sum(),
        // Its bodies are read while it is written, which keeps the transaction open: nothing comes after it.
        Change::Repo(repo) if repo.is_file() => BATCH_BYTES,
        Change::Repo(repo) => repo.memory_bytes(),
        Change::Record(record) => record.change().bytes(),
        Change::Current { .. }
        | Change::Head(_)
        | Change::Hosting { .. }
        | Change::Desynchronized { .. }
        | Change::Erase { .. }
        | Change::Forget { .. }
        | Change::Postponed { .. } => 0,
    }
}
