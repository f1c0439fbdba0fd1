//! One decoded message at a time: commits and syncs are proven or wait, accounts appear and disappear.

use std::sync::Arc;

use super::super::change::{Change, Hosting, Proof};
use super::super::frame::{CommitEvent, Event, SyncEvent};
use super::super::stream::{Stream, StreamId, Ticket};
use super::super::verify::{
    Disposition, VerifyError, check_event, malformed_paths, verify_commit, verify_sync,
};
use super::output::{Closing, Freshness, Handled, Output, Rejection};
use super::tracked::{Phase, Tracked, Witness};
use super::{FETCHES_PER_FRAME, REFRESH_PAUSE, Verifier};
use crate::syntax::{Did, Tid};

impl Verifier {
    pub(super) fn handle_event(
        &mut self,
        stream: StreamId,
        event: &Event<'_>,
        frame: &[u8],
        now: u64,
    ) -> Handled {
        if let Some(seq) = event.seq()
            && !self.begin(stream, seq)
        {
            return self.reject(None, Some(seq), "repeated-seq", "the stream repeats itself".to_owned());
        }
        let epoch = self.streams.get(stream.0).map_or(0, Stream::epoch);
        let ticket = Ticket { stream, seq: event.seq().unwrap_or_default(), epoch, fetches: 0 };
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
                    self.set_hosting(&did, Hosting::from_event(active, status), Witness::Stream);
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

    pub(super) fn handle_commit(
        &mut self,
        ticket: Ticket,
        event: &CommitEvent<'_>,
        frame: &[u8],
        now: u64,
    ) -> Handled {
        if self.scope.is_wiped_commit(event.repo, event.rev) {
            return self.pass_over();
        }
        let did = match self.repos.get_key_value(event.repo) {
            Some((did, _)) => did.clone(),
            None if self.scope.excludes(event.repo) => return Handled::Foreign,
            None => match event.repo.parse::<Did>() {
                Ok(did) => {
                    // What can be seen to be junk is not kept until a key arrives.
                    if let Err(error) = check_event(event, now) {
                        return self.reject(Some(did), Some(ticket.seq), error.label(), error.to_string());
                    }
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
        if !tracked.state.hosting.is_hosted() {
            let detail = format!("the account is {}", tracked.state.hosting);
            // Whoever writes may be back, or have been taken for gone by mistake.
            let is_later = tracked.watch.hidden_at.is_some_and(|at| event.rev.micros() > at);
            if is_later && is_due(tracked.doubted, now) {
                tracked.doubted = Some(now);
                self.outputs.push_back(Output::ConfirmHosting { did: did.clone() });
            }
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
                tracked.prove(now);
                self.tally.commits = self.tally.commits.saturating_add(1);
                self.tally.malformed_paths = self.tally.malformed_paths.saturating_add(malformed);
                self.outputs.push_back(Output::Apply(Change::Commit(commit)));
                Handled::Done
            }
            Err(error) => self.refuse(&did, ticket, frame, Some(event.rev), &error, now),
        }
    }

    pub(super) fn handle_sync(
        &mut self,
        ticket: Ticket,
        event: &SyncEvent<'_>,
        frame: &[u8],
        now: u64,
    ) -> Handled {
        let Some((did, _)) = self.repos.get_key_value(event.did) else {
            return Handled::Foreign;
        };
        if self.scope.is_wiped(event.did, event.rev) {
            return self.pass_over();
        }
        let did = did.clone();
        let Some(tracked) = self.repos.get_mut(&did) else {
            return Handled::Rejected;
        };
        if !tracked.state.hosting.is_hosted() {
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
                tracked.prove(now);
                if !is_repeated || held.proof != tracked.state.proof {
                    self.outputs.push_back(Output::Apply(Change::Head(head)));
                }
                self.reappear(&did);
                self.go_on(&did, now);
                Handled::Done
            }
            Err(_) if tracked.phase == Phase::Fetching => self.park(&did, ticket, frame, Some(event.rev)),
            Err(error) => self.refuse(&did, ticket, frame, Some(event.rev), &error, now),
        }
    }

    /// Counts what is out of date, and goes on.
    pub(super) const fn pass_over(&mut self) -> Handled {
        self.tally.stale = self.tally.stale.saturating_add(1);
        Handled::Stale
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
            // Nobody has signed what these are about, so a courier could make them up at any rate.
            Disposition::Resync if !error.is_signed() && !is_due(tracked.doubted, now) => {}
            Disposition::Resync => {
                if !error.is_signed() {
                    tracked.doubted = Some(now);
                }
                self.desynchronize(did);
                self.reject(Some(did.clone()), Some(ticket.seq), error.label(), error.to_string());
                let ticket = Ticket { fetches: ticket.fetches.saturating_add(1), ..ticket };
                return self.park(did, ticket, frame, rev);
            }
            Disposition::RefreshKey => {
                if self.budget.allows(did, now) {
                    tracked.phase = Phase::Resolving(Freshness::Fresh);
                    self.resolve(did, Freshness::Fresh);
                    return self.park(did, ticket, frame, rev);
                }
                if tracked.state.head.is_some() && is_due(tracked.doubted, now) {
                    // The key may have been in use when no one could tell us. The PDS knows what is signed; the frame
                    // itself, which anyone can have made, is not kept.
                    tracked.doubted = Some(now);
                    self.desynchronize(did);
                }
            }
        }
        // Junk in the name of someone who was never proven is no reason to follow them.
        if self.repos.get(did).is_some_and(|tracked| tracked.phase == Phase::Ready) {
            self.forget(did);
        }
        self.reject(Some(did.clone()), Some(ticket.seq), error.label(), error.to_string())
    }
}

/// Whether enough time has passed since the last time.
fn is_due(last: Option<u64>, now: u64) -> bool {
    last.is_none_or(|at| now.saturating_sub(at) >= REFRESH_PAUSE)
}
