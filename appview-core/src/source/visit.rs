//! What is done for one errand at one place: a directory, or the PDS that it named.
//!
//! An [`Errand`] whose turn may come enters; its answer leaves for the pump, or it goes on elsewhere, or is put off.
//! Deliberately absent: in which order errands go, and how hosts are spared.

use std::sync::Arc;
use std::time::Duration;

use super::clock::{Clock, micros};
use super::directory::ResolveError;
use super::errand::{Errand, What};
use super::network::Network;
use super::orders::Orders;
use super::pds::{Export, PdsError, Place, in_place_or_beside};
use super::pump::{Answer, Input};
use super::queue::Outbox;
use super::relay::Received;
use super::turns::Urgency;
use crate::block::car::Archive;
use crate::repo::Identity;
use crate::sync::verifier::Unresolved;
use crate::sync::verify::{VerifyError, verify_record, verify_repo};
use crate::sync::{Freshness, Hosting, Postponed, RepoHead, VerifiedRepo};
use crate::syntax::{Did, RepoPath};

/// First pause before trying again; doubled each time up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// Longest pause before trying again.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(60 * 60);
/// Pause before trying again what our own disk has kept from succeeding: time for somebody to make room, and no more of
/// a host's bandwidth for nothing than need be.
const DISK_PAUSE: Duration = Duration::from_secs(5 * 60);
/// How often an identity or a hosting is tried before it is left at that.
const TRIES: u32 = 3;
/// How often an audit is tried before the next has to do.
const AUDIT_TRIES: u32 = 2;

/// When to try again after so many failures in a row, in microseconds since the Unix epoch.
pub(super) fn pause(clock: &Clock, failures: u32) -> u64 {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(16));
    clock.now().saturating_add(micros(clock.jitter(doubled.min(LONGEST_PAUSE))))
}

/// Where errands are carried out.
pub(super) struct Desk {
    pub(super) network: Network,
    pub(super) orders: Orders,
    pub(super) inbox: Outbox,
}

/// How a visit ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// The pump has its answer, or gets none.
    Done,
    /// There is another place to go to.
    Onward(Errand),
    /// It failed; to be tried again at this moment.
    Again(Errand, u64),
}

/// Why a repository could not be proven this time.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error(transparent)]
    Pds(#[from] PdsError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error("the did document names no pds")]
    NoPds,
}

impl Failure {
    const fn label(&self) -> &'static str {
        match self {
            Self::Resolve(_) => "unresolved",
            Self::Pds(error) => error.label(),
            Self::Verify(_) => "unproven",
            Self::NoPds => "no-pds",
        }
    }

    /// Whether it is our own disk that failed, so that it says nothing about the host, nor about the repository.
    const fn is_of_disk(&self) -> bool {
        matches!(self, Self::Pds(PdsError::Disk { .. }))
    }
}

impl Desk {
    pub(super) async fn visit(&self, mut errand: Errand) -> Ended {
        self.orders.running().await;
        errand.came_at = self.network.clock.now();
        let Some(mut identity) = errand.identity.clone() else {
            let found = self.network.directory.find(&errand.did, errand.wanted, errand.urgency()).await;
            return match found {
                Err(error) => self.unresolved(errand, error).await,
                Ok(identity) if matches!(errand.what, What::Identity) => {
                    let identity = Ok(identity.as_ref().clone());
                    self.answer(Answer::Identity { did: errand.did, identity }).await
                }
                Ok(identity) => {
                    errand.know(identity, self.network.clock.now());
                    Ended::Onward(errand)
                }
            };
        };
        if errand.urgency() == Urgency::Fetch && errand.is_old(self.network.clock.now()) {
            (errand, identity) = match self.look_again(errand, &identity).await {
                Ok(renewed) => renewed,
                Err(ended) => return ended,
            };
        }
        match &errand.what {
            What::Repo { held } => match self.fetch(&errand.did, *held, Arc::clone(&identity)).await {
                Err(Failure::Pds(PdsError::Inactive(hosting))) => {
                    self.heard(errand, &identity, hosting).await
                }
                fetched => self.fetched(errand, fetched).await,
            },
            What::Hosting => match self.hosting(&errand.did, &identity).await {
                Ok(hosting) => self.heard(errand, &identity, hosting).await,
                Err(failure) => self.try_again(errand, TRIES, &failure).await,
            },
            What::Audit { held } => {
                let held = *held;
                self.audit(errand, held, identity).await
            }
            What::Record { path } => match self.record(&errand.did, path, identity).await {
                Ok(answer) => {
                    count("appview_records_fetched_total", "proven");
                    self.answer(answer).await
                }
                Err(failure) => {
                    count("appview_records_fetched_total", failure.label());
                    tracing::debug!(%failure, "a record cannot be proven");
                    Ended::Done
                }
            },
            // Whoever knows who signs has nowhere else to go.
            What::Identity => Ended::Done,
        }
    }

    async fn answer(&self, answer: Answer) -> Ended {
        // The pump may have stopped meanwhile.
        let _ = self.inbox.send(Received::Input(Input::Answer(answer))).await;
        Ended::Done
    }

    async fn unresolved(&self, errand: Errand, error: ResolveError) -> Ended {
        let hosting = match error {
            ResolveError::Tombstoned { .. } => Some(Hosting::Deleted),
            // Without a DID there is no account; but whoever does not know it may be wrong, and what is erased is lost.
            ResolveError::Gone { .. } => Some(Hosting::Inactive),
            _ => None,
        };
        if let Some(hosting) = hosting
            && !matches!(errand.what, What::Identity | What::Record { .. })
        {
            return self.hosted(errand, hosting).await;
        }
        match errand.what {
            What::Identity if error.is_final() => {
                tracing::debug!(%error, "an identity is of no use");
                self.answer(Answer::Identity { did: errand.did, identity: Err(Unresolved::Gone) }).await
            }
            What::Repo { .. } => self.fetched(errand, Err(error.into())).await,
            What::Audit { .. } => self.try_again(errand, AUDIT_TRIES, &error.into()).await,
            What::Identity | What::Hosting => self.try_again(errand, TRIES, &error.into()).await,
            What::Record { .. } => {
                count("appview_records_fetched_total", "unresolved");
                Ended::Done
            }
        }
    }

    /// Finds out anew who signs. Who waits for a host for long comes first when its turn comes, and so must not stand in
    /// line again unless the account has left that host.
    async fn look_again(
        &self,
        mut errand: Errand,
        before: &Identity,
    ) -> Result<(Errand, Arc<Identity>), Ended> {
        let Network { directory, clock, .. } = &self.network;
        let wanted = directory.wanted(Freshness::Fresh);
        match directory.find(&errand.did, wanted, errand.urgency()).await {
            Ok(newest) => {
                errand.know(Arc::clone(&newest), clock.now());
                if newest.pds() == before.pds() {
                    return Ok((errand, newest));
                }
                // Not at once: a document may say something else each time.
                errand.attempt = errand.attempt.saturating_add(1);
                let until = pause(clock, errand.attempt);
                Err(Ended::Again(errand, until))
            }
            Err(error) => Err(self.unresolved(errand, error).await),
        }
    }

    /// Passes on what a PDS said about an account, if it still is the account's: the host that an account has left calls
    /// it deactivated, and a document may have grown old while its host's turn was waited for.
    async fn heard(&self, errand: Errand, identity: &Identity, hosting: Hosting) -> Ended {
        if hosting == Hosting::Active {
            return self.hosted(errand, hosting).await;
        }
        match self.look_again(errand, identity).await {
            Ok((errand, _)) => self.hosted(errand, hosting).await,
            Err(ended) => ended,
        }
    }

    /// Says what is known of an account's hosting, whatever was asked.
    async fn hosted(&self, errand: Errand, hosting: Hosting) -> Ended {
        match errand.what {
            What::Repo { .. } => {
                count("appview_fetches_total", "not-hosted");
                self.network.progress.settle();
            }
            What::Audit { .. } => count("appview_audits_total", "not-hosted"),
            What::Identity | What::Hosting | What::Record { .. } => {}
        }
        // Whatever it takes to check who was asked, it was said then.
        self.answer(Answer::Hosting { did: errand.did, hosting, asked_at: errand.came_at }).await
    }

    /// Puts an errand off that need not succeed, or leaves it at that.
    async fn try_again(&self, mut errand: Errand, tries: u32, failure: &Failure) -> Ended {
        tracing::debug!(%failure, attempt = errand.attempt, "a question is not answered now");
        errand.attempt = errand.attempt.saturating_add(1);
        if errand.attempt < tries && !errand.is_late(self.network.clock.now()) {
            errand.identity = None;
            let until = pause(&self.network.clock, errand.attempt);
            return Ended::Again(errand, until);
        }
        match errand.what {
            What::Identity => {
                let identity = Err(Unresolved::Unreachable);
                self.answer(Answer::Identity { did: errand.did, identity }).await
            }
            What::Audit { .. } => {
                count("appview_audits_total", failure.label());
                self.answer(Answer::Unaudited { did: errand.did }).await
            }
            What::Repo { .. } | What::Hosting | What::Record { .. } => Ended::Done,
        }
    }

    /// Answers with what was fetched, or puts the fetching off, and lets the index know until when.
    async fn fetched(&self, mut errand: Errand, fetched: Result<(Answer, Option<Place>), Failure>) -> Ended {
        let failure = match fetched {
            // What was fetched keeps its place among those at once until there is room for it: a slow index slows the
            // fetching.
            Ok((answer, _place)) => {
                let is_current = matches!(answer, Answer::Current { .. });
                count("appview_fetches_total", if is_current { "current" } else { "proven" });
                self.network.progress.settle();
                return self.answer(answer).await;
            }
            Err(failure) => failure,
        };
        count("appview_fetches_total", failure.label());
        let (did, identity) = (errand.did.clone(), errand.identity.take());
        let clock = &self.network.clock;
        let until = if failure.is_of_disk() {
            tracing::error!(%did, %failure, "a repository cannot be proven now; make room, or mend the folder");
            clock.now().saturating_add(micros(clock.jitter(DISK_PAUSE)))
        } else {
            errand.attempt = errand.attempt.saturating_add(1);
            // None before it is known who signs.
            let host = identity.as_ref().and_then(|identity| identity.pds());
            tracing::info!(%did, host, %failure, attempt = errand.attempt, "a repository cannot be proven now");
            pause(clock, errand.attempt)
        };
        let postponed = Postponed { attempt: errand.attempt, until };
        let _ = self.inbox.send(Received::Input(Input::Postponed { did, postponed })).await;
        Ended::Again(errand, until)
    }

    async fn fetch(
        &self,
        did: &Did,
        held: Option<RepoHead>,
        identity: Arc<Identity>,
    ) -> Result<(Answer, Option<Place>), Failure> {
        let Network { hosts, directory, .. } = &self.network;
        let pds = identity.pds().ok_or(Failure::NoPds)?;
        if let Some(held) = held
            && hosts.latest_rev(pds, did).await? == held.rev
        {
            return Ok((Answer::Current { did: did.clone(), head: held, identity }, None));
        }
        let Export { archive, place } = hosts.repo(pds, did).await?;
        match self.prove(archive, &identity).await {
            // A repository that moved in may still be signed by the key of the host that it left.
            Err(VerifyError::Signature(_)) => {}
            proven => return Ok((Answer::Repo { repo: proven?, identity }, Some(place))),
        }
        drop(place);
        let identity = directory.resolve_with_history(did).await?;
        let pds = identity.pds().ok_or(Failure::NoPds)?;
        let Export { archive, place } = hosts.repo(pds, did).await?;
        let repo = self.prove(archive, &identity).await?;
        Ok((Answer::Repo { repo, identity }, Some(place)))
    }

    /// Proves an export; on a thread of its own if it is large, because that takes a while.
    async fn prove(&self, archive: Archive, identity: &Arc<Identity>) -> Result<VerifiedRepo, VerifyError> {
        let (identity, scope) = (Arc::clone(identity), self.network.scope.clone());
        let now = self.network.clock.now();
        in_place_or_beside(archive.block_bytes(), move || {
            verify_repo(archive, &identity, scope.as_str(), now)
        })
        .await
    }

    async fn hosting(&self, did: &Did, identity: &Identity) -> Result<Hosting, Failure> {
        let pds = identity.pds().ok_or(Failure::NoPds)?;
        Ok(self.network.hosts.hosting(pds, did).await?)
    }

    /// Asks the PDS of a document that need not be the newest.
    async fn audit(&self, errand: Errand, held: RepoHead, identity: Arc<Identity>) -> Ended {
        let Network { hosts, directory, .. } = &self.network;
        let said = match identity.pds() {
            Some(pds) => hosts.with(Urgency::Audit).latest_rev(pds, &errand.did).await.map_err(Failure::from),
            None => Err(Failure::NoPds),
        };
        let newest = directory.known(&errand.did, errand.wanted);
        let has_changed = newest.is_some_and(|newest| newest.is_ok_and(|newest| newest != identity));
        match said {
            Ok(_) if has_changed => Ended::Onward(Errand { identity: None, ..errand }),
            Ok(rev) if rev == held.rev => {
                count("appview_audits_total", "current");
                self.answer(Answer::Current { did: errand.did, head: held, identity }).await
            }
            Ok(rev) => {
                count("appview_audits_total", "behind");
                self.answer(Answer::Behind { did: errand.did, rev, identity }).await
            }
            Err(Failure::Pds(PdsError::Inactive(hosting))) => self.heard(errand, &identity, hosting).await,
            Err(failure) => self.try_again(errand, AUDIT_TRIES, &failure).await,
        }
    }

    async fn record(&self, did: &Did, path: &RepoPath, identity: Arc<Identity>) -> Result<Answer, Failure> {
        let pds = identity.pds().ok_or(Failure::NoPds)?;
        let car = self.network.hosts.with(Urgency::Live).record(pds, did, path).await?;
        let record = verify_record(&car, path, &identity, self.network.clock.now())?;
        Ok(Answer::Record { record, identity })
    }
}

fn count(what: &'static str, outcome: &'static str) {
    metrics::counter!(what, "outcome" => outcome).increment(1);
}
