//! Answers to what the machine asked for: identities, exports, and what hosts say about accounts.

use std::sync::Arc;

use super::super::change::{Change, Hosting, RepoHead, RepoState};
use super::super::verify::VerifiedRepo;
use super::Verifier;
use super::output::{Freshness, Output, Unresolved};
use super::tracked::{Phase, Witness};
use crate::repo::Identity;
use crate::syntax::Did;

impl Verifier {
    /// Handles the answer to [`Output::ResolveIdentity`].
    ///
    /// A DID that resolves to nothing is forgotten if nothing of it was ever proven; otherwise its PDS is asked. One that
    /// nobody could be asked about is fetched, which is tried until it succeeds.
    pub fn handle_identity(&mut self, did: &Did, identity: Result<Identity, Unresolved>, now: u64) {
        let Some(tracked) = self.repos.get_mut(did) else { return };
        let is_resolving = matches!(tracked.phase, Phase::Resolving(_));
        match identity {
            Ok(identity) => {
                let moved = tracked.identity.as_ref().is_some_and(|before| before.pds() != identity.pds());
                tracked.identity = Some(self.keys.apply(identity));
                if is_resolving && std::mem::take(&mut tracked.announced) {
                    tracked.phase = Phase::Resolving(Freshness::Fresh);
                    self.resolve(did, Freshness::Fresh);
                } else if is_resolving {
                    tracked.phase = Phase::Ready;
                    self.replay_parked(did, now);
                } else if tracked.phase == Phase::Fetching {
                    self.try_parked_sync(did, now);
                }
                if moved {
                    self.desynchronize(did);
                }
            }
            Err(Unresolved::Gone) if !tracked.written && tracked.state.head.is_none() && is_resolving => {
                self.forget(did);
            }
            Err(Unresolved::Gone) if is_resolving => {
                self.desynchronize(did);
                self.outputs.push_back(Output::ConfirmHosting { did: did.clone() });
            }
            Err(Unresolved::Unreachable) if is_resolving => self.desynchronize(did),
            Err(_) => {}
        }
    }

    /// Handles the answer to [`Output::FetchRepo`]: a proven repository, and the identity that it was proven with.
    ///
    /// An export older than what is held is an answer from a stale copy: it is asked for again.
    pub fn handle_repo(&mut self, repo: VerifiedRepo, identity: Arc<Identity>, now: u64) {
        let did = repo.did().clone();
        let Some(tracked) = self.repos.get_mut(&did) else { return };
        let head = repo.head();
        if !tracked.state.hosting.is_hosted() {
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
        tracked.identity = Some(self.keys.apply(Arc::unwrap_or_clone(identity)));
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
            if std::mem::take(&mut tracked.announced) {
                // The export came from where the document pointed before it changed.
                tracked.phase = Phase::Resolving(Freshness::Fresh);
                self.resolve(&did, Freshness::Fresh);
            }
        }
    }

    /// Handles what an account's PDS says about its hosting, in answer to [`Output::ConfirmHosting`] or to a fetch that
    /// was refused for it. The PDS decides: a deletion that it confirms erases.
    pub fn handle_hosting(&mut self, did: &Did, hosting: Hosting) {
        match hosting {
            Hosting::Deleted => {
                if let Some(tracked) = self.repos.get_mut(did) {
                    tracked.state = RepoState::ERASED;
                    self.settle(did);
                    self.outputs.push_back(Output::Apply(Change::Erase { did: did.clone() }));
                }
            }
            other => self.set_hosting(did, other, Witness::Pds),
        }
    }

    /// Handles the answer that a PDS still has exactly what was held when it was asked.
    ///
    /// Holds only if that is what is held still, and if it is known how well it was proven.
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
        tracked.identity = Some(self.keys.apply(Arc::unwrap_or_clone(identity)));
        tracked.state.proof = proof;
        tracked.phase = Phase::Ready;
        self.outputs.push_back(Output::Apply(Change::Current { did: did.clone(), head }));
        self.reappear(did);
        self.replay_parked(did, now);
    }
}
