//! "Wipe all my data": a person's records in their own repository, the rows of the index, and all that is held of them here.
//!
//! A wish enters; what was done, what is left and why leaves, and whether all of it was seen to be gone. Each wish is a row of the
//! account store, written before anything is done and after each step, so that a crash, a full disk or a session that has ended costs
//! nothing but time, and doing any step twice does no harm. What must not come back is written down before the rows
//! go ([`scope`]). Records of others that name the person are theirs and stay. Deliberately absent: who may wish it.
//!
//! `work` goes from step to step, `repo` deletes at the PDS, `report` is what is told of it, `look` and `export` what there is of somebody.

pub mod export;
mod look;
mod repo;
mod report;
mod work;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use appview_core::index::{IndexError, IndexReader};
use appview_core::source::clock::Clock;
use appview_core::source::network::Network;
use appview_core::source::orders::NotFollowing;
use appview_core::source::pump::Input;
use appview_core::source::turns::Urgency;
use appview_core::sync::{Freshness, Scope};
use appview_core::syntax::{Did, Tid};
use serde_json::Value as Json;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use look::Look;
pub use report::{CollectionView, ProblemView, SeenView, Wait, WipeView};

use report::Report;

use crate::account::{AccountError, AccountStore, Actor, Exclusion, Extent, SessionsAfter, Shown, Wipe};
use crate::engine::Engine;
use crate::oauth::OAuth;
use crate::roster::{Roster, Word};
use work::Work;

/// How often it is looked whether one is to be gone on with.
const PACE: Duration = Duration::from_secs(1);
/// How many are worked on at once.
const AT_ONCE: usize = 8;
/// How long the index may take to let go of rows.
const PATIENCE: Duration = Duration::from_secs(30);

/// What a wipe works with.
pub struct Terms {
    /// Where wishes are, and what is held of people.
    pub store: AccountStore,
    /// Whose rows are erased.
    pub engine: Engine,
    /// Whom to ask what a repository has; none where files stand in for the network.
    pub network: Option<Network>,
    /// By whose sessions records are deleted; none where there are none.
    pub oauth: Option<OAuth>,
    /// Whom the operator leaves out, who are so whatever they wish.
    pub roster: Option<Roster>,
    /// What time it is.
    pub clock: Clock,
}

/// Carries wishes out; cheap to clone.
#[derive(Clone)]
pub struct Wiper(Arc<Inner>);

struct Inner {
    terms: Terms,
    /// Rises with each wish.
    wished: watch::Sender<u64>,
}

impl fmt::Debug for Wiper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wiper")
    }
}

/// Why something cannot be done at this moment. It may be repeated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WipeError {
    /// The account store.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The index takes no orders at this moment.
    #[error(transparent)]
    NotFollowing(#[from] NotFollowing),
    /// The index did not let go of the rows in time.
    #[error("the index still holds rows, or their bytes; try again")]
    StillHeld,
}

/// What the index still has of somebody.
struct Traces {
    /// Records.
    rows: u64,
    /// Deletions of which the feed tells.
    deletions: u64,
    /// Whether the repository was proven at the revision of the wipe or later.
    is_proven_since: bool,
}

/// What is shown, without what was wiped and whoever has left.
#[must_use]
pub fn scope(scope: Scope, exclusions: Vec<Exclusion>) -> Scope {
    let (left, wiped): (Vec<_>, Vec<_>) =
        exclusions.into_iter().partition(|exclusion| exclusion.shown == Shown::Nothing);
    let wiped = wiped.into_iter().filter_map(|exclusion| Some((exclusion.did, exclusion.rev?)));
    scope.wiping(wiped).excluding(left.into_iter().map(|exclusion| exclusion.did))
}

/// Whom and what is shown at any moment: all but whom the operator leaves out, and what people had wiped.
#[derive(Debug, Clone)]
pub struct Showing {
    /// The operator's word.
    pub roster: Roster,
    /// The people's; none where no accounts are kept.
    pub store: Option<AccountStore>,
}

impl Showing {
    /// What is shown at this moment.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn scope(&self) -> Result<Scope, AccountError> {
        let exclusions = self.store.as_ref().map(AccountStore::exclusions).transpose()?;
        Ok(scope(self.roster.scope(), exclusions.unwrap_or_default()))
    }
}

impl Wiper {
    /// Works on these terms, once [`Wiper::run`] does.
    #[must_use]
    pub fn new(terms: Terms) -> Self {
        Self(Arc::new(Inner { terms, wished: watch::Sender::new(0) }))
    }

    /// What is kept.
    #[must_use]
    pub fn store(&self) -> &AccountStore {
        &self.0.terms.store
    }

    /// Begins a wipe, or has the one go on that is not done. It is on disk when this returns, and done later.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    pub async fn begin(
        &self,
        did: &Did,
        extent: Extent,
        sessions: SessionsAfter,
        actor: Actor,
    ) -> Result<WipeView, AccountError> {
        let (did, now) = (did.clone(), self.now());
        let begin = move |store: &AccountStore| store.begin_wipe(&did, extent, sessions, actor, now);
        let wipe = self.0.terms.store.run(begin).await?;
        self.tell_wished();
        Ok(WipeView::of(&wipe))
    }

    /// Has a person's wipe go on at once that waits for something. Whether there is one.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    pub async fn go_on(&self, did: &Did) -> Result<bool, AccountError> {
        let (did, now) = (did.clone(), self.now());
        let woken = self.0.terms.store.run(move |store| store.wake_wipe(&did, now)).await?;
        self.tell_wished();
        Ok(woken)
    }

    /// The newest wipe of a person, done or not.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub async fn newest(&self, did: &Did) -> Result<Option<WipeView>, AccountError> {
        let did = did.clone();
        let wipe = self.0.terms.store.run(move |store| store.wipe(&did)).await?;
        Ok(wipe.as_ref().map(WipeView::of))
    }

    /// Somebody has signed in: whoever had left is followed again, and a wipe that waited for it goes on.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    pub async fn welcome(&self, did: &Did) -> Result<(), AccountError> {
        let (owner, now) = (did.clone(), self.now());
        let was_left_out = self.0.terms.store.run(move |store| {
            store.wake_wipe(&owner)?;
            store.welcome(&owner, now)
        });
        let is_ours = |roster: &Roster| roster.word(did) != Some(Word::Untrack);
        if was_left_out.await? && self.0.terms.roster.as_ref().is_none_or(is_ours) {
            // Where nothing is followed at the moment, the next following begins with the new scope.
            let _ = self.0.terms.engine.orders.send(Input::Include(did.clone())).await;
        }
        self.tell_wished();
        Ok(())
    }

    /// What the console wishes that has deleted a person's records itself: erases the rows of the index, and all that is held but
    /// what keeps them signed in. Returns how many rows there were.
    ///
    /// # Errors
    ///
    /// [`WipeError`].
    pub async fn purge(&self, did: &Did) -> Result<u64, WipeError> {
        let now = self.now();
        // Where its PDS does not tell how far the repository is, it is not further than this moment.
        let rev = self.latest_rev(did).await.unwrap_or_else(|| Tid::from_micros(now, 0));
        let rows = self.rows(did).await?;
        let exclusion = Exclusion { did: did.clone(), rev: Some(rev), at: now, shown: Shown::Since };
        self.0.terms.store.run::<_, AccountError>(move |store| store.exclude(&exclusion)).await?;
        self.0.terms.engine.orders.send(Input::Wipe { did: did.clone(), until: rev }).await?;
        // What the repository still has is proven and shown anew.
        self.0.terms.engine.orders.send(Input::Track(did.clone())).await?;
        if !self.is_let_go(did, Some(rev)).await? || !self.clear_index_log().await? {
            return Err(WipeError::StillHeld);
        }
        let owner = did.clone();
        let erase = move |store: &AccountStore| store.erase(&owner, SessionsAfter::Keep, now);
        self.0.terms.store.run::<_, AccountError>(erase).await?;
        Ok(rows)
    }

    /// Works on whatever is due, until `stopped` turns true; what is under way then is gone on with at the next start.
    pub async fn run(&self, mut stopped: watch::Receiver<bool>) {
        let mut wished = self.0.wished.subscribe();
        let (mut working, mut whose) = (JoinSet::new(), BTreeSet::new());
        loop {
            wished.mark_unchanged();
            for wipe in self.due().await {
                if working.len() < AT_ONCE && whose.insert(wipe.did.clone()) {
                    let work = Work::new(self.clone(), wipe);
                    working.spawn(work.run());
                }
            }
            tokio::select! {
                // Without a sender there is nobody to go on for, as well.
                () = async { drop(stopped.wait_for(|stopped| *stopped).await) } => return,
                _ = wished.changed() => {}
                () = tokio::time::sleep(PACE) => {}
                Some(ended) = working.join_next(), if !working.is_empty() => match ended {
                    Ok(did) => _ = whose.remove(&did),
                    Err(error) => {
                        // A fault of ours. Nobody knows whose it was: all are looked at anew.
                        tracing::error!(%error, "a wipe broke off");
                        working.abort_all();
                        while working.join_next().await.is_some() {}
                        whose.clear();
                        tokio::time::sleep(PACE).await;
                    }
                },
            }
        }
    }

    async fn due(&self) -> Vec<Wipe> {
        let now = self.now();
        self.0.terms.store.run(move |store| store.due_wipes(now)).await.unwrap_or_else(
            |error: AccountError| {
                tracing::error!(%error, "wipes cannot be read");
                Vec::new()
            },
        )
    }

    fn tell_wished(&self) {
        self.0.wished.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn now(&self) -> u64 {
        self.0.terms.clock.now()
    }

    /// Asks the index something.
    async fn index<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&IndexReader) -> Result<T, IndexError> + Send + 'static,
    ) -> Result<T, WipeError> {
        let index = self.0.terms.engine.index.clone();
        match tokio::task::spawn_blocking(move || ask(&index.reader()?)).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(AccountError::Ended.into()),
        }
    }

    /// Rows that the index has of somebody.
    async fn rows(&self, did: &Did) -> Result<u64, WipeError> {
        let did = did.clone();
        self.index(move |reader| reader.held(&did)).await
    }

    /// What the index still has of somebody that a wipe up to a revision, or of everything, is to erase: records, and deletions of
    /// which the feed tells.
    async fn traces(&self, did: &Did, until: Option<Tid>) -> Result<Traces, WipeError> {
        let (did, until) = (did.clone(), until.unwrap_or_else(|| Tid::from_micros(u64::MAX, u16::MAX)));
        self.index(move |reader| {
            let head = reader.repo_state(&did)?.and_then(|state| state.head);
            let is_proven_since = head.is_some_and(|head| head.rev >= until);
            let (rows, deletions) = (reader.held(&did)?, reader.deletions_told(&did, until)?);
            Ok(Traces { rows, deletions, is_proven_since })
        })
        .await
    }

    /// Waits until the index has let go of what is to be erased. It does so by one order, which it has carried out when no deletion is
    /// told any more of what was there before, and there is no row, or the repository was proven anew.
    async fn is_let_go(&self, did: &Did, until: Option<Tid>) -> Result<bool, WipeError> {
        let mut newest = self.0.terms.engine.pulse.feed();
        let gone = async {
            loop {
                newest.mark_unchanged();
                let traces = self.traces(did, until).await?;
                if traces.deletions == 0 && (traces.rows == 0 || traces.is_proven_since) {
                    return Ok(());
                }
                // Hidden rows go without a word in the feed.
                let _ = tokio::time::timeout(PACE / 10, newest.changed()).await;
            }
        };
        match tokio::time::timeout(PATIENCE, gone).await {
            Ok(gone) => gone.map(|()| true),
            Err(_) => Ok(false),
        }
    }

    /// Empties the index's log; whether that could be done.
    async fn clear_index_log(&self) -> Result<bool, WipeError> {
        const TRIES: u32 = 20;
        for _ in 0..TRIES {
            let index = self.0.terms.engine.index.clone();
            match tokio::task::spawn_blocking(move || index.clear_log()).await {
                Ok(Ok(())) => return Ok(true),
                Ok(Err(IndexError::Busy { .. })) => tokio::time::sleep(PACE / 4).await,
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => return Err(AccountError::Ended.into()),
            }
        }
        Ok(false)
    }

    /// The newest revision that a person's PDS tells.
    async fn latest_rev(&self, did: &Did) -> Option<Tid> {
        let network = self.0.terms.network.as_ref()?;
        let identity = network.directory.resolve(did, Freshness::Fresh).await.ok()?;
        network.hosts.with(Urgency::Live).latest_rev(identity.pds()?, did).await.ok()
    }
}

/// A report as it is stored.
fn stored(report: &Report) -> Json {
    serde_json::to_value(report).unwrap_or(Json::Null)
}
