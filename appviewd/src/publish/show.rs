//! A record, as its PDS proves it at this moment, in the index.
//!
//! A path enters; the record's proof is fetched, and goes to the pump as any answer does. What leaves is whether the index shows it, which is
//! waited for: seconds at most, because the stream brings it as well. Deliberately absent: any way around the pump.

use std::sync::Arc;
use std::time::Duration;

use appview_core::repo::Identity;
use appview_core::source::directory::ResolveError;
use appview_core::source::orders::NotFollowing;
use appview_core::source::pds::PdsError;
use appview_core::source::pump::{Answer, Input};
use appview_core::source::turns::Urgency;
use appview_core::sync::verify::{VerifyError, verify_record};
use appview_core::sync::{Freshness, RecordChange, VerifiedRecord};
use appview_core::syntax::{AtUri, Did, RepoPath, Tid};
use tokio::time::timeout;

use super::Publisher;

/// How long it is waited for the index.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long for one proof: a repository that was not followed is fetched first, after which the record is to be proven again.
const STRETCH: Duration = Duration::from_secs(1);

/// Whether the index shows what a PDS has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// It does.
    Yes,
    /// It did not in time, and will when the stream, or an audit, brings it.
    NotYet,
}

/// Why a record cannot be proven at this moment.
#[derive(Debug, thiserror::Error)]
enum Unproven {
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    #[error(transparent)]
    Pds(#[from] PdsError),
    #[error(transparent)]
    Verify(#[from] VerifyError),
    #[error(transparent)]
    NotFollowing(#[from] NotFollowing),
    #[error("the did document names no pds")]
    NoPds,
    #[error("the pds proves {proven}, and has told {told}")]
    Behind { proven: Tid, told: Tid },
}

impl Publisher {
    /// Has the index show a record as its PDS has it, which is at `least` at a revision.
    pub(super) async fn show(&self, did: &Did, path: &RepoPath, least: Option<Tid>) -> Shown {
        let showing = async {
            loop {
                match timeout(STRETCH, self.try_to_show(did, path, least)).await {
                    Ok(Ok(())) => return,
                    Ok(Err(error)) => {
                        tracing::debug!(%error, "a published record is not proven yet");
                        tokio::time::sleep(STRETCH / 4).await;
                    }
                    Err(_) => {}
                }
            }
        };
        match timeout(PATIENCE, showing).await {
            Ok(()) => Shown::Yes,
            Err(_) => Shown::NotYet,
        }
    }

    async fn try_to_show(&self, did: &Did, path: &RepoPath, least: Option<Tid>) -> Result<(), Unproven> {
        let (pulse, orders) = (&self.0.engine.pulse, &self.0.engine.orders);
        let mut newest = pulse.feed();
        let (record, identity) = self.prove(did, path).await?;
        let proven = record.head().rev;
        if let Some(told) = least.filter(|told| proven < *told) {
            return Err(Unproven::Behind { proven, told });
        }
        newest.mark_unchanged();
        if self.is_shown(did, &record).await {
            return Ok(());
        }
        orders.send(Input::Track(did.clone())).await?;
        orders.send(Input::Answer(Answer::Record { record: record.clone(), identity })).await?;
        loop {
            // The sender lives as long as the engine.
            let _ = newest.changed().await;
            if self.is_shown(did, &record).await {
                return Ok(());
            }
        }
    }

    /// The record at this moment, by its PDS's proof.
    async fn prove(&self, did: &Did, path: &RepoPath) -> Result<(VerifiedRecord, Arc<Identity>), Unproven> {
        let network = &self.0.network;
        let mut freshness = Freshness::Cached;
        loop {
            let identity = network.directory.resolve(did, freshness).await?;
            let pds = identity.pds().ok_or(Unproven::NoPds)?;
            let car = network.hosts.with(Urgency::Live).record(pds, did, path).await?;
            match verify_record(&car, path, &identity, network.clock.now()) {
                // Its key may have been rotated.
                Err(VerifyError::Signature(_)) if freshness == Freshness::Cached => {
                    freshness = Freshness::Fresh
                }
                proven => return Ok((proven?, identity)),
            }
        }
    }

    /// Whether the index holds the record as it was proven, or, if it was proven to be gone, holds none.
    async fn is_shown(&self, did: &Did, record: &VerifiedRecord) -> bool {
        let (index, did, change) = (self.0.engine.index.clone(), did.clone(), record.change().clone());
        let read = tokio::task::spawn_blocking(move || {
            let reader = index.reader().ok()?;
            let at = |path: &RepoPath| AtUri::of_record(&did, &path.collection, &path.rkey);
            Some(match &change {
                RecordChange::Put { path, cid, .. } => {
                    reader.record(&at(path)).ok()?.is_some_and(|shown| shown.cid == *cid)
                }
                RecordChange::Delete { path } => reader.record(&at(path)).ok()?.is_none(),
            })
        });
        read.await.ok().flatten().unwrap_or(false)
    }
}
