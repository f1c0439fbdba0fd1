//! One wipe, from step to step, until it is done or has to wait.
//!
//! A stored [`Wipe`] enters and is saved after each step, and within the long one after each request. Whatever step a crash interrupts
//! is done again from its beginning: what was deleted is not there any more, and what was erased is erased again. A wipe is done
//! when all three places were looked at and found empty, and never before. Deliberately absent: requests to a PDS.

use std::collections::BTreeSet;

use appview_core::source::pump::Input;
use appview_core::syntax::{Did, Nsid, Tid};

use super::report::{Report, Seen, Wait};
use super::{WipeError, Wiper, stored};
use crate::account::{AccountError, AccountStore, Exclusion, Extent, SessionsAfter, Shown, Wipe, WipeStep};

const SECOND: u64 = 1_000_000;
/// The longest that is waited before it is tried again.
const LONGEST: u64 = 60 * 60 * SECOND;
/// How often it is begun anew, because something came back, before it waits.
const ROUNDS: u32 = 3;

/// Why a step does not lead to the next one.
pub(super) enum Halt {
    /// It has to wait until this moment.
    Wait(Wait, u64),
    /// Something of ours is of no use at this moment.
    Failed(WipeError),
}

impl<E: Into<WipeError>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// One wipe at work.
pub(super) struct Work {
    pub(super) wiper: Wiper,
    pub(super) wipe: Wipe,
    pub(super) report: Report,
    /// Collections that the PDS does not let us empty.
    pub(super) refused: BTreeSet<Nsid>,
    rounds: u32,
}

impl Work {
    pub(super) fn new(wiper: Wiper, wipe: Wipe) -> Self {
        let report = serde_json::from_value(wipe.report.clone()).unwrap_or_default();
        Self { wiper, wipe, report, refused: BTreeSet::new(), rounds: 0 }
    }

    /// Goes as far as it can; gives back whose it was.
    pub(super) async fn run(mut self) -> Did {
        self.report.waits = None;
        while self.wipe.step != WipeStep::Done {
            let next = match self.wipe.step {
                WipeStep::Repo => self.repo().await,
                WipeStep::Index => self.index().await,
                WipeStep::Account => self.account().await,
                WipeStep::Verify => self.verify().await,
                WipeStep::Sessions => self.sessions().await,
                WipeStep::Done => Ok(WipeStep::Done),
            };
            let saved = match next {
                Ok(step) => {
                    self.wipe.step = step;
                    self.save().await.map_err(WipeError::from)
                }
                Err(Halt::Wait(wait, until)) => {
                    self.report.waits = Some(wait);
                    self.wipe.due_at = until;
                    let _ = self.save().await;
                    break;
                }
                Err(Halt::Failed(error)) => Err(error),
            };
            if let Err(error) = saved {
                self.put_off(error).await;
                break;
            }
        }
        if self.wipe.step == WipeStep::Done {
            tracing::info!("a wipe is done");
        }
        self.wipe.did
    }

    /// The store fails: later, if that much can be written.
    async fn put_off(&mut self, error: WipeError) {
        // Somebody has begun another one in its place.
        if matches!(error, WipeError::Account(AccountError::Overtaken { .. })) {
            return;
        }
        tracing::error!(%error, "a wipe cannot go on");
        let Halt::Wait(wait, until) = self.retry(None, error.to_string()) else { return };
        self.report.waits = Some(wait);
        self.wipe.due_at = until;
        let _ = self.save().await;
    }

    pub(super) async fn save(&mut self) -> Result<(), AccountError> {
        self.wipe.report = stored(&self.report);
        self.wipe.changed_at = self.wiper.now();
        let wipe = self.wipe.clone();
        fail::fail_point!("wipe::before-save");
        self.wiper.0.terms.store.run::<_, AccountError>(move |store| store.save_wipe(&wipe)).await?;
        fail::fail_point!("wipe::after-save");
        Ok(())
    }

    /// It went on: whatever comes next begins with short pauses.
    pub(super) const fn moved(&mut self) {
        self.report.attempts = 0;
        self.report.waits = None;
    }

    /// It could not go on, and may later: a second the first time, twice as long each time after.
    pub(super) fn retry(&mut self, collection: Option<&Nsid>, why: String) -> Halt {
        self.problem(collection, why);
        let pause = SECOND.saturating_mul(1 << self.report.attempts.min(16)).min(LONGEST);
        self.report.attempts = self.report.attempts.saturating_add(1);
        Halt::Wait(Wait::Service, self.wiper.now().saturating_add(pause))
    }

    /// It cannot go on before somebody else does something; it is looked once an hour, and when they say so.
    pub(super) fn wait(&mut self, wait: Wait, collection: Option<&Nsid>, why: String) -> Halt {
        self.problem(collection, why);
        Halt::Wait(wait, self.wiper.now().saturating_add(LONGEST))
    }

    pub(super) fn problem(&mut self, collection: Option<&Nsid>, why: String) {
        let (now, step) = (self.wiper.now(), self.wipe.step);
        self.report.problem(now, step, collection.map(Nsid::as_str), why);
    }

    async fn index(&mut self) -> Result<WipeStep, Halt> {
        let (did, now) = (self.wipe.did.clone(), self.wiper.now());
        // Up to where the repository was seen; of one that is nowhere, up to this moment.
        let rev = self.report.rev.unwrap_or_else(|| Tid::from_micros(now, 0));
        let (until, shown, order) = match self.wipe.extent {
            Extent::Everything => (Some(rev), Shown::Since, Input::Wipe { did: did.clone(), until: rev }),
            Extent::Here => (None, Shown::Nothing, Input::Exclude(did.clone())),
        };
        let exclusion = Exclusion { did: did.clone(), rev: until, at: now, shown };
        let rows = self.wiper.rows(&did).await?;
        // First what must not come back, then the erasure: a crash in between leaves the one without the other, and is mended.
        self.wiper.0.terms.store.run::<_, AccountError>(move |store| store.exclude(&exclusion)).await?;
        fail::fail_point!("wipe::excluded");
        if self.wiper.0.terms.engine.orders.send(order).await.is_err() {
            return Err(self.retry(None, "nothing is followed at this moment".to_owned()));
        }
        if !self.refused.is_empty() {
            // What is left there is shown, as whatever is in a repository.
            let _ = self.wiper.0.terms.engine.orders.send(Input::Track(did.clone())).await;
        }
        if !self.wiper.is_let_go(&did, until).await? {
            return Err(self.retry(None, "the index has not let go of the rows yet".to_owned()));
        }
        self.report.index = self.report.index.saturating_add(rows);
        fail::fail_point!("wipe::rows-erased");
        if !self.wiper.clear_index_log().await? {
            return Err(self.retry(None, "a reader keeps erased bytes in the index's log".to_owned()));
        }
        fail::fail_point!("wipe::index-cleared");
        self.moved();
        Ok(WipeStep::Account)
    }

    async fn account(&mut self) -> Result<WipeStep, Halt> {
        let (did, now) = (self.wipe.did.clone(), self.wiper.now());
        let erase = move |store: &AccountStore| store.erase(&did, SessionsAfter::Keep, now);
        match self.wiper.0.terms.store.run(erase).await {
            Ok(erased) => self.report.account = self.report.account.and(erased),
            Err(error @ AccountError::StillRead { .. }) => return Err(self.retry(None, error.to_string())),
            Err(error) => return Err(error.into()),
        }
        fail::fail_point!("wipe::account-erased");
        self.moved();
        Ok(WipeStep::Verify)
    }

    /// Looks at all three places.
    async fn verify(&mut self) -> Result<WipeStep, Halt> {
        let repo = match self.wipe.extent {
            Extent::Everything => self.left().await?,
            Extent::Here => 0,
        };
        let did = self.wipe.did.clone();
        let (owner, extent) = (did.clone(), self.wipe.extent);
        let until = self.wiper.0.terms.store.run::<_, AccountError>(move |store| {
            let exclusion = store.exclusion(&owner)?.filter(|_| extent == Extent::Everything);
            Ok(exclusion.and_then(|exclusion| exclusion.rev))
        });
        let until = until.await?;
        let traces = self.wiper.traces(&did, until).await?;
        let index = traces.rows.saturating_add(traces.deletions);
        let held = self.wiper.0.terms.store.run::<_, AccountError>(move |store| store.held(&did)).await?;
        let account = held.keys.saturating_add(held.pairings).saturating_add(held.audit);
        let account = account.saturating_add(held.reports) as u64;
        let seen = Seen { at: self.wiper.now(), repo, index, account };
        self.report.seen = Some(seen);
        if seen.is_empty() {
            self.moved();
            return Ok(WipeStep::Sessions);
        }
        // Something was published or made meanwhile, or could not be deleted.
        self.rounds = self.rounds.saturating_add(1);
        let next = match (repo, index) {
            (1.., _) => WipeStep::Repo,
            (0, 1..) => WipeStep::Index,
            (0, 0) => WipeStep::Account,
        };
        if self.refused.is_empty() && self.rounds < ROUNDS {
            return Ok(next);
        }
        self.wipe.step = next;
        if self.refused.is_empty() {
            return Err(self.retry(None, "something new was written meanwhile".to_owned()));
        }
        let why =
            "the session does not let this service delete these; delete them elsewhere, or sign in again"
                .to_owned();
        Err(self.wait(Wait::Permission, None, why))
    }

    /// Ends sessions, if that is wished by now.
    async fn sessions(&mut self) -> Result<WipeStep, Halt> {
        let (did, now, extent) = (self.wipe.did.clone(), self.wiper.now(), self.wipe.extent);
        let end = move |store: &AccountStore| {
            let wished = store.wipe(&did)?.is_some_and(|wipe| wipe.sessions == SessionsAfter::End);
            if wished || extent == Extent::Here {
                store.erase(&did, SessionsAfter::End, now).map(Some)
            } else {
                Ok(None)
            }
        };
        match self.wiper.0.terms.store.run(end).await {
            Ok(None) => {}
            Ok(Some(erased)) => {
                self.report.account = self.report.account.and(erased);
                if let Some(oauth) = &self.wiper.0.terms.oauth {
                    oauth.tell_ended();
                }
            }
            Err(error @ AccountError::StillRead { .. }) => return Err(self.retry(None, error.to_string())),
            Err(error) => return Err(error.into()),
        }
        fail::fail_point!("wipe::sessions-ended");
        self.moved();
        Ok(WipeStep::Done)
    }
}
