//! A new index from the network, beside the one that is in use: everyone who may have records is asked for, proven, and
//! compared with what the old one has (feature `net`).
//!
//! The network, and the names of those that the old index follows, enter; a whole index in its place leaves, with word of
//! whether the two agree. Names are hints: what is shown of a repository is what its PDS says and its owner has signed. The
//! same pump, verifier and network as live, but without streams. Deliberately absent: who follows the network meanwhile,
//! and lets go of the old index at the end.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::backlog::Progress;
use super::discovery::Discovery;
use super::network::Network;
use super::orders::Orders;
use super::pump::{Input, Pump, Sink, Upstream};
use super::queue::{Inbox, queue};
use super::relay::{Received, RelayUrl};
use crate::index::{Fingerprint, Index, IndexError, IndexReader, IndexWriter, Rebuilt};
use crate::query::Scope as FingerprintOf;
use crate::record::Catalog;
use crate::sync::{Followed, Proof, RepoState, Scope, StreamCursor, Verifier};
use crate::syntax::{Did, Nsid};

/// How often it is looked how far it has come, and what was gathered is written.
const PACE: Duration = Duration::from_millis(100);
/// Tries of a repository after which it may be left at that.
const TRIES: u32 = 4;
/// How long nothing may come of asking before what is missing is given up: longer than any host's rest that is usual, and
/// than the largest export takes.
const PATIENCE: Duration = Duration::from_secs(10 * 60);
/// The same while nobody follows the network.
const SHORT_PATIENCE: Duration = Duration::from_secs(30);

/// Whom to ask.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Who signs, and what repositories hold.
    pub network: Network,
    /// Who has records: relays, or PDSes.
    pub directories: Vec<RelayUrl>,
    /// Records of which collections.
    pub collections: Vec<Nsid>,
    /// Repositories to prove, whether or not anyone else names them.
    pub tracked: Vec<Did>,
    /// When to wait.
    pub orders: Orders,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progressed {
    /// Repositories that were found so far.
    pub found: u64,
    /// Those among them that are proven, or known to be hosted no more.
    pub settled: u64,
    /// Those that could not be proven at the last try, and will be tried again.
    pub put_off: u64,
    /// How long it will take at the pace so far; none as long as more are being found.
    pub left: Option<Duration>,
}

/// What a new index is, compared with the old one. Repositories are sorted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// The fingerprint of the new index.
    pub fingerprint: Fingerprint,
    /// That of the old one, where there is one that can be read.
    pub before: Option<Fingerprint>,
    /// Repositories whose records in the new index are others than in the old one. What the new one shows of them is
    /// proven.
    pub differs: Vec<Did>,
    /// Those among them of which the new index has a later revision: their commits may be on the way to the old one.
    pub ahead: Vec<Did>,
    /// Repositories of which the old index has a later revision than their PDS would give: they moved meanwhile.
    pub moved: Vec<Did>,
    /// Repositories that could not be proven.
    pub failed: Vec<Did>,
    /// Those who did not say to the end who has records: others may be missing.
    pub unread: Vec<RelayUrl>,
}

impl Comparison {
    /// Whether the new index has everyone, proven, and no one at an earlier revision than the old index.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.moved.is_empty() && self.failed.is_empty() && self.unread.is_empty()
    }

    /// Whether both show the same records; none where there is no old index to compare with.
    #[must_use]
    pub fn agrees(&self) -> Option<bool> {
        self.before.as_ref().map(|before| *before == self.fingerprint)
    }
}

/// A new index beside the old one, filled from the network. Dropped, it is gone.
#[derive(Debug)]
pub struct Anew {
    asked: Asked,
    catalog: Arc<Catalog>,
    path: PathBuf,
    /// How far streams had been followed before anyone was asked: what came since may be missing.
    cursors: Vec<StreamCursor>,
    unread: Vec<RelayUrl>,
    rebuilt: Rebuilt,
}

impl Anew {
    /// Fills a new index beside the one at `path`, which goes on being read and written. Takes as long as it takes to
    /// fetch everything; a host that does not answer is given up after ten minutes in which nothing else came either, or
    /// after four tries of all that is missing.
    ///
    /// Writes from the task that it is called in.
    ///
    /// # Errors
    ///
    /// Those of [`Index::build`] and [`Building::finish`](crate::index::Building::finish), and what the new file cannot be
    /// written for. Nothing that hosts say or fail to say.
    pub async fn build(
        path: &Path,
        catalog: impl Into<Arc<Catalog>>,
        asked: Asked,
        mut tell: impl FnMut(Progressed),
    ) -> Result<Self, IndexError> {
        let catalog = catalog.into();
        let mut building = Index::build(path, Arc::clone(&catalog))?;
        let (mut cursors, mut names) = (Vec::new(), BTreeSet::from_iter(asked.tracked.iter().cloned()));
        // Of one that cannot be read, as of none, nothing is known.
        if let Some(old) = reader(path) {
            cursors = old.cursors()?;
            for followed in old.repo_states() {
                names.insert(followed?.did);
            }
        }
        let names = names.into_iter().collect();
        let unread =
            gather(building.writer(), &asked, names, &asked.directories, PATIENCE, &mut tell).await?;
        let rebuilt = building.finish()?;
        Ok(Self { asked, catalog, path: path.into(), cursors, unread, rebuilt })
    }

    /// Has everyone proven again who moved, appeared, vanished or was doubted in the old index since, and everyone
    /// forgotten whom `scope` leaves out: an operator may have spoken meanwhile. Whoever is tracked since then is in the old
    /// index already. Returns how many those are.
    ///
    /// # Errors
    ///
    /// Either index cannot be read, or the new one not be written.
    pub async fn catch_up(&mut self, scope: Scope) -> Result<usize, IndexError> {
        self.asked.network.scope = scope;
        let stale = match reader(&self.path) {
            Some(old) => self.pairs(&old, is_stale)?,
            None => Vec::new(),
        };
        let found = stale.len().saturating_add(self.left_out()?);
        if found > 0 {
            let mut writer = self.rebuilt.index().writer(Arc::clone(&self.catalog))?;
            gather(&mut writer, &self.asked, stale, &[], SHORT_PATIENCE, &mut |_| ()).await?;
        }
        Ok(found)
    }

    /// How many repositories the new index has that are to be left out, or that it has as they were before a wipe.
    fn left_out(&self) -> Result<usize, IndexError> {
        let mut found: usize = 0;
        let scope = &self.asked.network.scope;
        for followed in self.rebuilt.index().reader()?.repo_states() {
            let Followed { did, state, .. } = followed?;
            let is_out = scope.excludes(did.as_str())
                || state.head.is_some_and(|head| scope.is_wiped(did.as_str(), head.rev));
            found = found.saturating_add(usize::from(is_out));
        }
        Ok(found)
    }

    /// Compares the new index with the old one.
    ///
    /// # Errors
    ///
    /// Either cannot be read.
    pub fn compare(&self) -> Result<Comparison, IndexError> {
        let new = self.rebuilt.index().reader()?;
        let mut failed = Vec::new();
        for followed in new.repo_states() {
            let Followed { did, state, .. } = followed?;
            if is_unproven(&state) {
                failed.push(did);
            }
        }
        failed.sort();
        let fingerprint = new.fingerprint(&FingerprintOf::Whole)?;
        let (mut before, mut differs, mut ahead, mut moved) = (None, Vec::new(), Vec::new(), Vec::new());
        if let Some(old) = reader(&self.path) {
            moved = self.pairs(&old, |was, is| is.is_some_and(|is| is_ahead(was, is)))?;
            moved.retain(|did| failed.binary_search(did).is_err());
            let whole = old.fingerprint(&FingerprintOf::Whole)?;
            if whole != fingerprint {
                differs = old.repos_that_differ(&new)?;
                differs.retain(|did| failed.binary_search(did).is_err() && moved.binary_search(did).is_err());
                for did in &differs {
                    let rev = |reader: &IndexReader| -> Result<_, IndexError> {
                        Ok(reader.repo_state(did)?.and_then(|state| state.head).map(|head| head.rev))
                    };
                    if rev(&new)? > rev(&old)? {
                        ahead.push(did.clone());
                    }
                }
            }
            before = Some(whole);
        }
        Ok(Comparison { fingerprint, before, differs, ahead, moved, failed, unread: self.unread.clone() })
    }

    /// Puts it in the place of the index that `writer` writes; see [`Rebuilt::swap`].
    ///
    /// Whoever follows streams with the writer that comes back hears again what came while the new index was filled.
    ///
    /// # Errors
    ///
    /// Those of [`Rebuilt::swap`].
    pub fn swap(self, writer: IndexWriter) -> Result<IndexWriter, IndexError> {
        self.note_cursors()?;
        self.rebuilt.swap(writer)
    }

    /// The same where the old index has no writer, or there is no old one.
    ///
    /// # Errors
    ///
    /// Those of [`Rebuilt::swap_in`].
    pub fn swap_in(self) -> Result<Index, IndexError> {
        self.note_cursors()?;
        self.rebuilt.swap_in()
    }

    fn note_cursors(&self) -> Result<(), IndexError> {
        let mut writer = self.rebuilt.index().writer(Arc::clone(&self.catalog))?;
        writer.apply(&[], &self.cursors, self.asked.network.clock.now()).map(|_| ())
    }

    /// Repositories of the old index whose state there, and in the new one, are `such`; sorted.
    fn pairs(
        &self,
        old: &IndexReader,
        such: impl Fn(&RepoState, Option<&RepoState>) -> bool,
    ) -> Result<Vec<Did>, IndexError> {
        let new = self.rebuilt.index().reader()?;
        let mut found = Vec::new();
        for followed in old.repo_states() {
            let Followed { did, state, .. } = followed?;
            if !self.asked.network.scope.excludes(did.as_str())
                && such(&state, new.repo_state(&did)?.as_ref())
            {
                found.push(did);
            }
        }
        found.sort();
        Ok(found)
    }
}

/// The old index as it is at this moment, if there is one that can be read.
fn reader(path: &Path) -> Option<IndexReader> {
    Index::open_existing(path).and_then(|index| index.reader()).ok()
}

/// Whether a repository must be proven again: by its own revision, its account, or what is known to be missing.
fn is_stale(was: &RepoState, is: Option<&RepoState>) -> bool {
    let Some(is) = is else { return true };
    if is_unproven(is) {
        // It was tried for long enough.
        return false;
    }
    was.hosting.is_visible() != is.hosting.is_visible()
        || is_ahead(was, is)
        // A message that has not been proven yet had it doubted, and is not heard again.
        || (was.proof == Proof::Desynchronized && was.hosting.is_hosted())
}

/// Whether the old index has a later revision of a repository that both show.
fn is_ahead(was: &RepoState, is: &RepoState) -> bool {
    let rev = |state: &RepoState| state.head.map(|head| head.rev);
    was.hosting.is_visible() && is.hosting.is_hosted() && rev(was) > rev(is)
}

fn is_unproven(state: &RepoState) -> bool {
    state.hosting.is_hosted() && (state.proof == Proof::Desynchronized || !state.hosting.is_visible())
}

/// Proves repositories into an index: those of `names`, and whoever `directories` name. What is held of a name, and of whoever
/// is left out, is forgotten first. Returns the directories that could not be read to their end.
async fn gather(
    writer: &mut IndexWriter,
    asked: &Asked,
    names: Vec<Did>,
    directories: &[RelayUrl],
    patience: Duration,
    tell: &mut impl FnMut(Progressed),
) -> Result<Vec<RelayUrl>, IndexError> {
    let mut network = asked.network.clone();
    // What is given up in the end must not count as waiting for ever.
    network.progress = Progress::default();
    let clock = network.clock.clone();
    let states = writer.repo_states().collect::<Result<Vec<_>, _>>()?;
    let verifier = Verifier::new(network.scope.clone(), states);
    let (outbox, inbox) = queue();
    let mut listing = JoinSet::new();
    for relay in directories {
        let discovery = Discovery {
            hosts: network.hosts.clone(),
            relay: relay.clone(),
            collections: asked.collections.clone(),
            namespace: network.scope.as_str().to_owned(),
            clock: clock.clone(),
            orders: asked.orders.clone(),
            search: network.search.clone(),
        };
        let (relay, outbox) = (relay.clone(), outbox.clone());
        listing.spawn(async move { (relay, discovery.once(outbox).await) });
    }
    let (asking, work) = network.start(outbox, asked.orders.clone());
    let mut working = JoinSet::new();
    working.spawn(work);
    let mut pump = Pump::new(verifier, asking, writer, clock.now())?;
    for did in names.into_iter().filter(|did| !asked.network.scope.excludes(did.as_str())) {
        if pump.verifier().state(did.as_str()).is_some() {
            pump.handle(Input::Exclude(did.clone()), clock.now())?;
        }
        pump.handle(Input::Include(did), clock.now())?;
    }
    let mut unread = directories.to_vec();
    let mut gathering =
        Gathering { inbox, begun: Instant::now(), moved_at: Instant::now(), patience, last: (0, 0) };
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            Some(Received::Input(input)) = gathering.inbox.receive() => pump.handle(input, clock.now())?,
            Some(listed) = listing.join_next(), if !listing.is_empty() => match listed {
                Ok((relay, is_whole)) => unread.retain(|other| !is_whole || *other != relay),
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            },
            _ = pace.tick() => {
                pump.flush(clock.now())?;
                let (progressed, is_over) = gathering.look(&pump, listing.is_empty());
                tell(progressed);
                if is_over {
                    return Ok(unread);
                }
            }
        }
    }
}

/// What tells when there is nothing more to wait for.
struct Gathering {
    inbox: Inbox,
    begun: Instant,
    /// When something was found or settled last.
    moved_at: Instant,
    patience: Duration,
    last: (u64, u64),
}

impl Gathering {
    /// How far it has come, and whether that is all that will come.
    fn look<S: Sink>(&mut self, pump: &Pump<impl Upstream, S>, is_listed: bool) -> (Progressed, bool) {
        let (mut waiting, mut put_off, mut is_tried) = (0_u64, 0_u64, true);
        for (_, postponed) in pump.verifier().waiting() {
            waiting = waiting.saturating_add(1);
            put_off = put_off.saturating_add(u64::from(postponed.is_some()));
            is_tried &= postponed.is_some_and(|postponed| postponed.attempt >= TRIES);
        }
        let found = pump.verifier().tracked() as u64;
        let settled = found.saturating_sub(waiting);
        if self.last != (found, settled) {
            (self.last, self.moved_at) = ((found, settled), Instant::now());
        }
        let each = u32::try_from(settled).ok().and_then(|settled| self.begun.elapsed().checked_div(settled));
        let left = each.map(|each| each.saturating_mul(u32::try_from(waiting).unwrap_or(u32::MAX)));
        let progressed = Progressed { found, settled, put_off, left: left.filter(|_| is_listed) };
        let is_done = is_listed && is_tried && self.inbox.is_empty();
        (progressed, is_done || self.moved_at.elapsed() >= self.patience)
    }
}
