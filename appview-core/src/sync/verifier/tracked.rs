//! What is kept of one repository, and how it changes: waiting, doubted, hidden, shown, forgotten.

use std::sync::Arc;

use super::super::change::{Change, Hosting, Proof, RepoState, Watch};
use super::super::frame::Event;
use super::super::park::{Park, Parked};
use super::super::stream::Ticket;
use super::super::verify::verify_sync;
use super::hint::Hinted;
use super::output::{Freshness, Handled, Output};
use super::{PARKED_BYTES, Verifier};
use crate::repo::Identity;
use crate::syntax::{Did, Tid};

#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) state: RepoState,
    pub(super) identity: Option<Arc<Identity>>,
    pub(super) phase: Phase,
    pub(super) park: Park,
    /// When what nobody has signed, or a signature that a fresh key did not explain, last had the repository fetched.
    pub(super) doubted: Option<u64>,
    /// How well what is held was proven before it was doubted.
    pub(super) proven: Option<Proof>,
    /// How many exports in a row led no further than what was held.
    pub(super) attempt: u32,
    /// Its DID document was announced to have changed while an older one, or an export, was on its way.
    pub(super) announced: bool,
    /// What is on its way was asked for before events may have been lost: it proves what it brings, and ends no doubt.
    pub(super) is_outdated: bool,
    /// The index has been told of it, and would not forget it with us.
    pub(super) written: bool,
    /// What is remembered by the clock.
    pub(super) watch: Watch,
    /// When its PDS was last asked about it without need.
    pub(super) asked_at: u64,
    /// Whether that was an audit which has not been answered.
    pub(super) is_audited: bool,
    /// When a stream last said how its account is hosted.
    pub(super) turned_at: u64,
    /// When it is to be asked again, because it had something else and the stream may bring that.
    pub(super) recheck_at: Option<u64>,
    /// The revision that its PDS was found to have then.
    pub(super) behind: Option<Tid>,
    /// What was heard of it without proof.
    pub(super) hinted: Hinted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Ready,
    /// Waiting for an identity; parked frames hold the watermark.
    Resolving(Freshness),
    /// Waiting for an export. The index knows, so parked frames need not hold the watermark: after a crash the
    /// repository is fetched again, and that brings what they said.
    Fetching,
}

/// Who said something about an account's hosting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Witness {
    /// A stream, which passes on what it was told.
    Stream,
    /// The account's PDS, which decides.
    Pds,
}

impl Verifier {
    /// Handles parked frames again, in their order. Those that wait again are parked behind each other as before.
    pub(super) fn replay_parked(&mut self, did: &Did, now: u64) {
        let Some(tracked) = self.repos.get_mut(did) else {
            return;
        };
        self.parked_bytes = self.parked_bytes.saturating_sub(tracked.park.bytes());
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

    /// Goes on with what is parked, now that the repository is proven; or with another proof, if this one was asked for too
    /// early.
    pub(super) fn go_on(&mut self, did: &Did, now: u64) {
        if self.repos.get_mut(did).is_some_and(|tracked| std::mem::take(&mut tracked.is_outdated)) {
            self.desynchronize(did);
        } else {
            self.replay_parked(did, now);
        }
    }

    /// A parked `#sync` may show that nothing changed, before the export arrives.
    pub(super) fn try_parked_sync(&mut self, did: &Did, now: u64) {
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

    pub(super) fn park(&mut self, did: &Did, ticket: Ticket, frame: &[u8], rev: Option<Tid>) -> Handled {
        let Some(tracked) = self.repos.get_mut(did) else {
            return Handled::Rejected;
        };
        let before = tracked.park.bytes();
        let room = PARKED_BYTES.saturating_sub(self.parked_bytes);
        let forgotten = tracked.park.push(Parked { ticket, frame: frame.into() }, rev, room);
        self.parked_bytes = self.parked_bytes.saturating_sub(before).saturating_add(tracked.park.bytes());
        let is_resolving = matches!(tracked.phase, Phase::Resolving(_));
        if forgotten.is_empty() {
            if is_resolving && let Some(stream) = self.streams.get_mut(ticket.stream.0) {
                stream.hold(ticket);
            }
            return Handled::Parked;
        }
        let is_crowded = frame.len() > room;
        let is_unknown = tracked.state.head.is_none() && !tracked.written && is_resolving;
        forgotten.into_iter().for_each(|ticket| self.release(ticket));
        if is_unknown && is_crowded {
            // Whoever is real among those that nobody has proven yet is found by asking who has records.
            self.forget(did);
            let detail = "too much waits to be proven".to_owned();
            return self.reject(Some(did.clone()), Some(ticket.seq), "no-room", detail);
        }
        if is_resolving {
            self.desynchronize(did);
        }
        Handled::Parked
    }

    /// Has a repository proven from its PDS, and lets the index know first: the frames parked for it then need not hold
    /// the watermark.
    pub(super) fn desynchronize(&mut self, did: &Did) {
        self.desynchronize_until(did, 0);
    }

    /// As [`Verifier::desynchronize`], to be fetched not before a moment.
    pub(super) fn desynchronize_until(&mut self, did: &Did, not_before: u64) {
        let Some(tracked) = self.repos.get_mut(did) else {
            return;
        };
        if tracked.phase == Phase::Fetching || !tracked.state.hosting.is_hosted() {
            return;
        }
        tracked.phase = Phase::Fetching;
        tracked.written = true;
        if tracked.state.proof != Proof::Desynchronized {
            tracked.proven = Some(tracked.state.proof);
        }
        tracked.state.proof = Proof::Desynchronized;
        let (held, attempt) = (tracked.state.head, tracked.attempt);
        let tickets: Vec<Ticket> = tracked.park.iter().map(|parked| parked.ticket).collect();
        tickets.into_iter().for_each(|ticket| self.release(ticket));
        self.outputs.push_back(Output::Apply(Change::Desynchronized { did: did.clone() }));
        self.outputs.push_back(Output::FetchRepo { did: did.clone(), held, attempt, not_before });
    }

    pub(super) fn set_hosting(&mut self, did: &Did, hosting: Hosting, witness: Witness) {
        let Some(tracked) = self.repos.get_mut(did) else {
            return;
        };
        let held = tracked.state.hosting;
        if witness == Witness::Stream {
            tracked.turned_at = self.now;
        }
        match (held, hosting) {
            (Hosting::Active | Hosting::Returning, Hosting::Active) => {}
            (held, said) if held == said => {}
            (_, Hosting::Active) => {
                tracked.state.hosting = Hosting::Returning;
                tracked.watch.hidden_at = None;
                let returning = Change::Hosting { did: did.clone(), hosting: Hosting::Returning };
                self.outputs.push_back(Output::Apply(returning));
                self.desynchronize(did);
            }
            (_, hosting) => {
                tracked.state.hosting = hosting;
                tracked.written = true;
                tracked.watch.hidden_at = tracked.watch.hidden_at.or(Some(self.now));
                self.settle(did);
                self.outputs.push_back(Output::Apply(Change::Hosting { did: did.clone(), hosting }));
                if witness == Witness::Stream {
                    self.outputs.push_back(Output::ConfirmHosting { did: did.clone() });
                }
            }
        }
    }

    /// Shows a repository that was proven after its account came back.
    pub(super) fn reappear(&mut self, did: &Did) {
        if let Some(tracked) = self.repos.get_mut(did)
            && tracked.state.hosting == Hosting::Returning
        {
            tracked.state.hosting = Hosting::Active;
            let active = Change::Hosting { did: did.clone(), hosting: Hosting::Active };
            self.outputs.push_back(Output::Apply(active));
        }
    }

    /// Ends all waiting for a repository.
    pub(super) fn settle(&mut self, did: &Did) {
        if let Some(tracked) = self.repos.get_mut(did) {
            tracked.phase = Phase::Ready;
            tracked.is_outdated = false;
            tracked.park.take_forgotten();
            self.parked_bytes = self.parked_bytes.saturating_sub(tracked.park.bytes());
            let tickets: Vec<Ticket> = tracked.park.drain().map(|parked| parked.ticket).collect();
            tickets.into_iter().for_each(|ticket| self.release(ticket));
        }
    }

    /// Stops to follow someone of whom nothing was ever proven or written.
    pub(super) fn forget(&mut self, did: &Did) {
        if self.repos.get(did).is_some_and(|tracked| tracked.state.head.is_none() && !tracked.written) {
            self.settle(did);
            self.repos.remove(did);
        }
    }

    pub(super) fn forget_identity(&mut self, did: &str) {
        let Some((did, _)) = self.repos.get_key_value(did) else {
            return;
        };
        let did = did.clone();
        let Some(tracked) = self.repos.get_mut(&did) else { return };
        match tracked.phase {
            // The old document stays until the new one is here: its PDS tells whether the account moved.
            Phase::Ready if tracked.identity.is_some() => {
                tracked.phase = Phase::Resolving(Freshness::Fresh);
                self.resolve(&did, Freshness::Fresh);
            }
            // What is on its way may still be of before.
            Phase::Resolving(_) => tracked.announced = true,
            Phase::Fetching => {
                tracked.announced = true;
                // It may have left the host that fails, and need not wait for the pause after that.
                if tracked.watch.postponed.is_some() {
                    let held = tracked.state.head;
                    self.fetch(&did, held, 0);
                }
            }
            // Nobody remembers where it lived: its present PDS is to say what it has.
            Phase::Ready => self.desynchronize(&did),
        }
    }
}

impl Tracked {
    pub(super) fn new(state: RepoState, watch: Watch) -> Self {
        Self {
            state,
            identity: None,
            phase: Phase::Ready,
            park: Park::default(),
            doubted: None,
            proven: state.proven,
            attempt: watch.postponed.map_or(0, |postponed| postponed.attempt),
            announced: false,
            is_outdated: false,
            written: true,
            watch,
            asked_at: 0,
            is_audited: false,
            turned_at: 0,
            recheck_at: None,
            behind: None,
            hinted: Hinted::default(),
        }
    }

    /// Whether nothing of it was ever proven, and its account was never known to be anything but hosted.
    pub(super) const fn is_stranger(&self) -> bool {
        self.state.head.is_none() && self.watch.proven_at.is_none() && self.state.hosting.is_hosted()
    }

    /// Notes that what is held was shown to be what its owner signed last.
    pub(super) const fn prove(&mut self, now: u64) {
        self.watch.proven_at = Some(now);
        self.watch.postponed = None;
        (self.recheck_at, self.behind) = (None, None);
    }

    /// A repository seen for the first time.
    pub(super) fn unknown() -> Self {
        Self { written: false, ..Self::new(RepoState::UNPROVEN, Watch::default()) }
    }
}
