//! Answers to what the machine asked for: identities, exports, and what hosts say about accounts.

use std::sync::Arc;

use super::super::change::{Change, Hosting, RepoHead, RepoState};
use super::super::verify::VerifiedRepo;
use super::Verifier;
use super::output::{Freshness, Output, Unresolved};
use super::tracked::{Phase, Tracked, Witness};
use crate::repo::Identity;
use crate::syntax::{Did, Tid};

/// How many repositories may wait for their first proof before those that nobody can be asked about are forgotten.
const MOST_UNPROVEN: u64 = 100_000;
/// How long after an audit found something else the PDS is asked again, in microseconds.
const RECHECK: u64 = 20_000_000;

impl Verifier {
    /// Handles the answer to [`Output::ResolveIdentity`].
    ///
    /// A DID that resolves to nothing is forgotten if nothing of it was ever proven; otherwise its PDS is asked. One that
    /// nobody could be asked about is fetched, which is tried until it succeeds.
    pub fn handle_identity(&mut self, did: &Did, identity: Result<Identity, Unresolved>, now: u64) {
        self.now = self.now.max(now);
        let Some(tracked) = self.repos.get_mut(did) else { return };
        let is_resolving = matches!(tracked.phase, Phase::Resolving(_));
        match identity {
            Ok(identity) => {
                let moved = self.know(did, identity);
                let Some(tracked) = self.repos.get_mut(did) else { return };
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
            Err(Unresolved::Unreachable) if is_resolving && self.is_crowded_by(did) => {
                self.forget(did);
                let detail = "too many repositories wait for their first proof".to_owned();
                self.reject(Some(did.clone()), None, "no-room", detail);
            }
            Err(Unresolved::Unreachable) if is_resolving => self.desynchronize(did),
            Err(_) => {}
        }
    }

    /// Handles the answer to [`Output::FetchRepo`]: a proven repository, and the identity that it was proven with.
    ///
    /// An export older than what is held, or than a wipe, is an answer from a stale copy: it is asked for again.
    pub fn handle_repo(&mut self, repo: VerifiedRepo, identity: Arc<Identity>, now: u64) {
        self.now = self.now.max(now);
        let did = repo.did().clone();
        let Some(tracked) = self.repos.get_mut(&did) else { return };
        let head = repo.head();
        if !tracked.state.hosting.is_hosted() {
            return;
        }
        let held = tracked.state.head;
        let is_wiped = self.scope.is_wiped(did.as_str(), head.rev);
        let leads_further = !is_wiped && held.is_none_or(|held| head.rev > held.rev);
        tracked.attempt = if leads_further { 0 } else { tracked.attempt.saturating_add(1) };
        if is_wiped || held.is_some_and(|held| head.rev < held.rev) || tracked.shows_newer_than(head) {
            let attempt = tracked.attempt;
            self.fetch(&did, None, attempt);
            return;
        }
        let forgotten = tracked.park.take_forgotten();
        tracked.state.head = Some(head);
        tracked.state.proof = repo.proof();
        tracked.phase = Phase::Ready;
        tracked.prove(now);
        (tracked.hinted.record, tracked.hinted.bytes) = (None, repo.export_bytes());
        self.tally.repos = self.tally.repos.saturating_add(1);
        self.know(&did, Arc::unwrap_or_clone(identity));
        self.outputs.push_back(Output::Apply(Change::Repo(repo)));
        self.reappear(&did);
        if forgotten.is_some_and(|rev| rev > head.rev) {
            self.desynchronize(&did);
        } else {
            self.go_on(&did, now);
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
        self.fetch_for_hint(&did);
    }

    /// Handles what an account's PDS says about its hosting, in answer to [`Output::ConfirmHosting`] or to a fetch that
    /// was refused for it. The PDS decides: a deletion that it confirms erases.
    ///
    /// `asked_at` says when it was asked, in microseconds since the Unix epoch. If a stream has told of a return since then, what
    /// was said before is out of date, and it is asked again.
    pub fn handle_hosting(&mut self, did: &Did, hosting: Hosting, asked_at: u64) {
        if let Some(tracked) = self.repos.get_mut(did) {
            tracked.is_audited = false;
        }
        if let Some(tracked) = self.repos.get(did)
            && tracked.state.hosting.is_hosted()
            && !hosting.is_hosted()
            && asked_at < tracked.turned_at
        {
            let (held, attempt) = (tracked.state.head, tracked.attempt);
            match tracked.phase {
                // It may have been the export that was refused.
                Phase::Fetching => self.fetch(did, held, attempt),
                Phase::Ready | Phase::Resolving(_) => {
                    self.outputs.push_back(Output::ConfirmHosting { did: did.clone() });
                }
            }
            return;
        }
        let is_stranger = self.repos.get(did).is_some_and(Tracked::is_stranger);
        match hosting {
            // That is also what is said of a DID that nobody knows.
            Hosting::Deleted | Hosting::Inactive if is_stranger => self.exclude_nobody(did),
            Hosting::Deleted => {
                let erased = RepoState::erased(hosting);
                if let Some(tracked) = self.repos.get_mut(did)
                    && !(tracked.state == erased && tracked.written)
                {
                    tracked.state = erased;
                    tracked.written = true;
                    tracked.watch.hidden_at = tracked.watch.hidden_at.or(Some(self.now));
                    self.settle(did);
                    self.outputs.push_back(Output::Apply(Change::Erase { did: did.clone(), hosting }));
                }
            }
            other => self.set_hosting(did, other, Witness::Pds),
        }
    }

    /// Lets go of a repository of which nothing was ever shown and nobody knows any more: what a listing or junk names leaves
    /// no trace.
    fn exclude_nobody(&mut self, did: &Did) {
        self.settle(did);
        if self.repos.remove(did).is_some_and(|tracked| tracked.written) {
            self.outputs.push_back(Output::Apply(Change::Forget { did: did.clone() }));
        }
    }

    /// Whether one that was only heard of would be one too many of those that wait for their first proof.
    fn is_crowded_by(&self, did: &Did) -> bool {
        self.standing.unproven >= MOST_UNPROVEN
            && self.repos.get(did).is_some_and(|tracked| tracked.is_stranger() && !tracked.written)
    }

    /// Handles the answer that a PDS still has exactly what was held when it was asked, in answer to [`Output::Audit`] or
    /// [`Output::FetchRepo`].
    ///
    /// Holds only if that is what is held still. It ends a doubt only if it is known how well it was proven before.
    pub fn handle_current(&mut self, did: &Did, head: RepoHead, identity: Arc<Identity>, now: u64) {
        self.now = self.now.max(now);
        let Some(tracked) = self.repos.get_mut(did) else { return };
        tracked.is_audited = false;
        if !tracked.state.hosting.is_hosted() {
            return;
        }
        let is_held = tracked.state.head == Some(head);
        match tracked.phase {
            Phase::Resolving(_) => return,
            Phase::Ready if !is_held => return,
            Phase::Ready => {
                self.tally.audits = self.tally.audits.saturating_add(1);
                tracked.prove(now);
                self.outputs.push_back(Output::Apply(Change::Current { did: did.clone(), head }));
                self.hear_identity(did, identity);
                return;
            }
            Phase::Fetching => {}
        }
        // Said to a question of before, it may hold still: the same is worth asking again. Otherwise the export is needed.
        let is_outdated = is_held && std::mem::take(&mut tracked.is_outdated);
        let is_the_end = is_held && !is_outdated && !tracked.shows_newer_than(head);
        let Some(proof) = tracked.proven.filter(|_| is_the_end) else {
            let attempt = tracked.attempt;
            self.fetch(did, is_outdated.then_some(head), attempt);
            return;
        };
        tracked.prove(now);
        tracked.state.proof = proof;
        tracked.phase = Phase::Ready;
        self.know(did, Arc::unwrap_or_clone(identity));
        self.outputs.push_back(Output::Apply(Change::Current { did: did.clone(), head }));
        self.reappear(did);
        self.replay_parked(did, now);
        self.fetch_for_hint(did);
    }

    /// Handles the answer that a PDS has another revision than what is held, in answer to [`Output::Audit`].
    ///
    /// The stream may be about to bring it: only if it has not after a while is the repository fetched.
    pub fn handle_behind(&mut self, did: &Did, rev: Tid, identity: Arc<Identity>, now: u64) {
        self.now = self.now.max(now);
        let Some(tracked) = self.repos.get_mut(did) else { return };
        tracked.is_audited = false;
        let Some(held) = tracked.state.head.filter(|_| tracked.phase == Phase::Ready) else { return };
        // A host that is older than the stream is no news, unless it stays so.
        match tracked.behind.replace(rev) {
            Some(before) if before > held.rev || rev <= before => {
                self.tally.audit_differences = self.tally.audit_differences.saturating_add(1);
                tracked.behind = None;
                self.desynchronize(did);
            }
            _ => tracked.recheck_at = Some(now.saturating_add(RECHECK)),
        }
        self.hear_identity(did, identity);
    }

    /// Handles that nobody could be asked, in answer to [`Output::Audit`]: the next round asks again.
    pub fn handle_unaudited(&mut self, did: &Did) {
        let pause = self.pace.audit / 4;
        if let Some(tracked) = self.repos.get_mut(did) {
            tracked.is_audited = false;
            tracked.recheck_at = Some(tracked.asked_at.saturating_add(pause));
        }
    }

    /// Notes an identity that came with another answer; an account that moved is proven at its new host.
    fn hear_identity(&mut self, did: &Did, identity: Arc<Identity>) {
        if self.know(did, Arc::unwrap_or_clone(identity)) {
            self.desynchronize(did);
        }
    }

    /// Notes who signs from here on, and tells whether that account has moved.
    fn know(&mut self, did: &Did, identity: Identity) -> bool {
        let Some(tracked) = self.repos.get_mut(did) else { return false };
        let identity = self.keys.apply(identity);
        let Some(before) = tracked.identity.replace(Arc::clone(&identity)) else { return false };
        let host = |identity: &Identity| identity.pds().map(str::to_owned);
        let (from, to) = (host(&before), host(&identity));
        let has_moved = from != to;
        if has_moved {
            self.outputs.push_back(Output::Moved { did: did.clone(), from, to });
        }
        has_moved
    }
}
