//! What passes with time alone: audits that are due, hidden records that have been kept long enough, and how all of it
//! stands.
//!
//! Moments enter; questions to PDSes, erasures and a [`Standing`] leave. Whoever was looked at longest ago is audited first,
//! a bounded number at a time, so that a large index is asked about more slowly and never all at once, and a slow host does
//! not take the turns of others. Deliberately absent: how hosts are
//! asked, and how politely.

use super::super::change::{Change, Proof, RepoState};
use super::Verifier;
use super::output::{Output, Standing};
use super::tracked::{Phase, Tracked};
use crate::syntax::Did;

/// How often the repositories are looked through, in microseconds.
const SCAN_PACE: u64 = 5_000_000;
/// Most questions of one look: 20 a second.
const AUDITS_PER_SCAN: usize = 100;
/// A question that is not answered yet is asked this many times more seldom than others: the host may be slow and have many.
const UNANSWERED_FACTOR: u64 = 8;
/// An account that has been gone for long is asked about this many times more seldom than others.
const GONE_FACTOR: u64 = 96;

/// How much time what passes with time takes. In microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Within how long each repository is to be shown to be current.
    pub audit: u64,
    /// For how long the records of a hidden account are kept.
    pub keep_hidden: u64,
}

impl Default for Pace {
    /// A quarter of an hour, and thirty days.
    fn default() -> Self {
        Self { audit: 15 * 60 * 1_000_000, keep_hidden: 30 * 24 * 60 * 60 * 1_000_000 }
    }
}

impl Verifier {
    /// Sets how much time things take.
    pub const fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
    }

    /// Notes that time has passed: to be called every second or so.
    pub fn tick(&mut self, now: u64) {
        self.now = self.now.max(now);
        self.run_due_gap();
        if self.scanned.is_some_and(|scanned| now.saturating_sub(scanned) < SCAN_PACE) {
            return;
        }
        self.scanned = Some(now);
        let mut standing = Standing::default();
        let (mut due, mut outlived) = (Vec::new(), Vec::new());
        for (did, tracked) in &self.repos {
            count(tracked, self.pace.audit, now, &mut standing);
            let next = self.next_audit(tracked);
            if next <= now {
                due.push((tracked.turn(), did.clone()));
            }
            if is_outlived(tracked, self.pace.keep_hidden, now) {
                outlived.push(did.clone());
            }
        }
        self.standing = standing;
        outlived.sort();
        outlived.iter().for_each(|did| self.outlive(did));
        due.sort();
        due.truncate(AUDITS_PER_SCAN);
        due.iter().for_each(|(_, did)| self.audit(did, now));
    }

    /// How the repositories stood at the last [`Verifier::tick`].
    #[must_use]
    pub const fn standing(&self) -> Standing {
        self.standing
    }

    /// When a repository is to be asked about next.
    fn next_audit(&self, tracked: &Tracked) -> u64 {
        match tracked.recheck_at {
            Some(at) => at,
            None => last_look(tracked).saturating_add(self.pause(tracked)),
        }
    }

    /// How long to wait before a repository is asked about again. There is less hope for an account of which nothing is held the
    /// longer it has been gone: as long as that was when it was last asked about. Not at once, because what made it gone may
    /// have been a document of before, or a stream's word that its PDS could not be asked about.
    fn pause(&self, tracked: &Tracked) -> u64 {
        let audit = self.pace.audit;
        match tracked.watch.hidden_at {
            Some(at) if !tracked.state.hosting.is_hosted() && tracked.state.head.is_none() => {
                tracked.asked_at.saturating_sub(at).clamp(audit, audit.saturating_mul(GONE_FACTOR))
            }
            _ if tracked.is_audited => audit.saturating_mul(UNANSWERED_FACTOR),
            _ => audit,
        }
    }

    fn audit(&mut self, did: &Did, now: u64) {
        let Some(tracked) = self.repos.get_mut(did) else { return };
        tracked.asked_at = now;
        tracked.recheck_at = None;
        let did = did.clone();
        match (tracked.phase, tracked.state.head) {
            _ if !tracked.state.hosting.is_hosted() => self.outputs.push_back(Output::ConfirmHosting { did }),
            (Phase::Ready, Some(held)) => {
                tracked.is_audited = true;
                self.outputs.push_back(Output::Audit { did, held });
            }
            // It is being proven anyway.
            _ => {}
        }
    }

    /// Erases what has been hidden for long enough.
    fn outlive(&mut self, did: &Did) {
        let Some(tracked) = self.repos.get_mut(did) else { return };
        let hosting = tracked.state.hosting;
        tracked.state = RepoState::erased(hosting);
        self.settle(did);
        self.outputs.push_back(Output::Apply(Change::Erase { did: did.clone(), hosting }));
    }
}

impl Tracked {
    /// The order in which repositories are asked about where there are more than may be: first those that a PDS has shown to
    /// differ; then by when they were looked at, so that failing to answer gets nobody more of it; last those whose host has not
    /// answered yet.
    fn turn(&self) -> (bool, bool, u64) {
        (self.behind.is_none(), self.is_audited, last_look(self))
    }
}

/// When a repository was last shown to be current, or asked about.
fn last_look(tracked: &Tracked) -> u64 {
    let proven = tracked.watch.proven_at.filter(|_| tracked.state.hosting.is_hosted());
    tracked.asked_at.max(proven.unwrap_or(0))
}

fn count(tracked: &Tracked, audit: u64, now: u64, standing: &mut Standing) {
    let add = |count: &mut u64, counts: bool| *count = count.saturating_add(u64::from(counts));
    let is_hosted = tracked.state.hosting.is_hosted();
    let is_proven = is_hosted && tracked.state.head.is_some();
    // One audit may be under way when the next would be due.
    let is_recent = |at: u64| now.saturating_sub(at) <= audit.saturating_mul(2);
    let is_current = tracked.phase != Phase::Fetching && tracked.watch.proven_at.is_some_and(is_recent);
    add(&mut standing.followed, true);
    add(&mut standing.hosted, is_hosted);
    add(&mut standing.proven, is_proven && tracked.state.proof == Proof::Full && is_current);
    add(&mut standing.waiting, tracked.phase == Phase::Fetching);
    add(&mut standing.unproven, is_hosted && tracked.state.head.is_none());
    if is_proven {
        let at = tracked.watch.proven_at.unwrap_or(0);
        standing.oldest_proof = Some(standing.oldest_proof.map_or(at, |oldest| oldest.min(at)));
    }
}

fn is_outlived(tracked: &Tracked, keep: u64, now: u64) -> bool {
    !tracked.state.hosting.is_hosted()
        && tracked.state.head.is_some()
        && tracked.watch.hidden_at.is_some_and(|at| now.saturating_sub(at) >= keep)
}
