//! A request of the pump as an errand to one place after the other, and how errands wait: before a place, or for a time.
//!
//! Requests enter as [`Errand`]s; those that may set out leave. An errand that waits is a few words in a queue and no
//! task, however many there are for one host; only a few set out at a time, so that they stand in line as tasks.
//! Whatever is asked again before it is answered joins its errand, so that nobody piles up errands by repeating a question.
//! Deliberately absent: what is done on the way, and all of politeness: that is kept by [`turns`](super::turns).

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use super::directory::Directory;
use super::kept::Wanted;
use super::turns::Urgency;
use crate::repo::Identity;
use crate::sync::{Freshness, RepoHead};
use crate::syntax::{Did, RepoPath};

/// What is to be found out about a DID.
#[derive(Debug)]
pub(super) struct Errand {
    pub(super) did: Did,
    pub(super) what: What,
    /// When it was asked for, in microseconds since the Unix epoch.
    pub(super) asked_at: u64,
    /// When it last came to a place, in microseconds since the Unix epoch.
    pub(super) came_at: u64,
    /// How often it has failed.
    pub(super) attempt: u32,
    /// Which identities will do.
    pub(super) wanted: Wanted,
    /// Who signs for the DID, once that is known.
    pub(super) identity: Option<Arc<Identity>>,
    /// When that was found out, in microseconds since the Unix epoch.
    pub(super) found_at: u64,
}

/// What is to be found out.
#[derive(Debug)]
pub(super) enum What {
    Identity,
    Repo { held: Option<RepoHead> },
    Hosting,
    Audit { held: RepoHead },
    Record { path: RepoPath },
}

/// What is asked about whom: there is one errand for it, however often it is asked.
pub(super) type Question = (Did, Kind);

/// What kind of thing is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Identity,
    NewIdentity,
    Repo,
    Hosting,
    Audit,
    Record(RepoPath),
}

/// How long frames wait for an identity that is hard to get, in microseconds: they hold up a stream.
const PATIENCE: u64 = 30 * 1_000_000;
/// How long a document will do for whoever waits before its host, in microseconds.
const OLD: u64 = 60 * 60 * 1_000_000;
/// How long it will do before a host that has a long rest.
const TOO_OLD: u64 = 4 * OLD;

impl Errand {
    /// Notes who signs.
    pub(super) fn know(&mut self, identity: Arc<Identity>, now: u64) {
        (self.identity, self.found_at) = (Some(identity), now);
    }

    /// Whether whoever waits for it has waited for long enough.
    pub(super) const fn is_late(&self, now: u64) -> bool {
        matches!(self.what, What::Identity) && now.saturating_sub(self.asked_at) >= PATIENCE
    }

    /// Whether it must be found out anew who signs before the host is asked.
    pub(super) const fn is_old(&self, now: u64) -> bool {
        now.saturating_sub(self.found_at) > OLD
    }

    /// Whether the account may have left the host that is waited for.
    pub(super) const fn is_too_old(&self, now: u64) -> bool {
        self.identity.is_none() || now.saturating_sub(self.found_at) > TOO_OLD
    }

    /// Has it found out anew who signs.
    pub(super) fn renew(self, directory: &Directory) -> Self {
        Self { identity: None, wanted: directory.wanted(Freshness::Fresh), ..self }
    }

    /// Makes one errand of two of the same kind for the same DID: what was asked last counts, and who signs is found out anew
    /// when its turn comes.
    pub(super) fn join(&mut self, newer: Self) {
        self.what = newer.what;
        self.attempt = self.attempt.max(newer.attempt);
        self.wanted = newer.wanted;
        self.found_at = 0;
    }

    pub(super) fn question(&self) -> Question {
        let kind = match &self.what {
            What::Identity if self.wanted == Wanted::Cached => Kind::Identity,
            What::Identity => Kind::NewIdentity,
            What::Repo { .. } => Kind::Repo,
            What::Hosting => Kind::Hosting,
            What::Audit { .. } => Kind::Audit,
            What::Record { path } => Kind::Record(path.clone()),
        };
        (self.did.clone(), kind)
    }

    pub(super) const fn urgency(&self) -> Urgency {
        match self.what {
            What::Identity | What::Record { .. } => Urgency::Live,
            What::Repo { .. } | What::Hosting => Urgency::Fetch,
            What::Audit { .. } => Urgency::Audit,
        }
    }
}

/// Errands that wait before places, of each urgency in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    lanes: BTreeMap<Lane, Waiting>,
    waiting: usize,
}

/// A place, and the urgency of those who go there: the urgent do not stand behind the others.
pub(super) type Lane = (Arc<str>, Urgency);

#[derive(Debug, Default)]
struct Waiting {
    errands: VecDeque<Errand>,
    under_way: usize,
}

impl Lanes {
    /// Lets an errand wait.
    pub(super) fn enter(&mut self, place: Arc<str>, errand: Errand) -> Lane {
        let lane = (place, errand.urgency());
        self.lanes.entry(lane.clone()).or_default().errands.push_back(errand);
        self.waiting = self.waiting.saturating_add(1);
        lane
    }

    /// The next errand that may set out in a lane, as long as fewer than `at_once` are under way in it.
    pub(super) fn set_out(&mut self, lane: &Lane, at_once: usize) -> Option<Errand> {
        let waiting = self.lanes.get_mut(lane)?;
        if waiting.under_way >= at_once {
            return None;
        }
        let errand = waiting.errands.pop_front()?;
        waiting.under_way = waiting.under_way.saturating_add(1);
        self.waiting = self.waiting.saturating_sub(1);
        Some(errand)
    }

    /// Takes all out who wait in a lane.
    pub(super) fn clear(&mut self, lane: &Lane) -> VecDeque<Errand> {
        let errands = self.lanes.get_mut(lane).map(|waiting| std::mem::take(&mut waiting.errands));
        let errands = errands.unwrap_or_default();
        self.waiting = self.waiting.saturating_sub(errands.len());
        errands
    }

    /// Notes that an errand is no longer under way in a lane.
    pub(super) fn leave(&mut self, lane: &Lane) {
        if let Some(waiting) = self.lanes.get_mut(lane) {
            waiting.under_way = waiting.under_way.saturating_sub(1);
        }
    }

    /// Forgets a lane that nobody is in.
    pub(super) fn tidy(&mut self, lane: &Lane) {
        if self.lanes.get(lane).is_some_and(|waiting| waiting.under_way == 0 && waiting.errands.is_empty()) {
            self.lanes.remove(lane);
        }
    }

    /// How many wait.
    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }
}

/// Errands that wait for their time.
#[derive(Debug, Default)]
pub(super) struct Later {
    errands: BTreeMap<Time, Errand>,
    put: u64,
}

/// When an errand is due, in microseconds since the Unix epoch, and a number that tells it from others due then.
pub(super) type Time = (u64, u64);

impl Later {
    /// Lets an errand wait until a moment, in microseconds since the Unix epoch.
    pub(super) fn put(&mut self, until: u64, errand: Errand) -> Time {
        self.put = self.put.wrapping_add(1);
        let time = (until, self.put);
        self.errands.insert(time, errand);
        time
    }

    /// When the next is due.
    pub(super) fn next(&self) -> Option<u64> {
        self.errands.first_key_value().map(|((until, _), _)| *until)
    }

    /// An errand that is due.
    pub(super) fn take_due(&mut self, now: u64) -> Option<Errand> {
        if self.next()? > now {
            return None;
        }
        self.errands.pop_first().map(|(_, errand)| errand)
    }

    /// The errand of a time.
    pub(super) fn take(&mut self, time: Time) -> Option<Errand> {
        self.errands.remove(&time)
    }
}

/// Every question that is not answered yet, wherever its errand is.
pub(super) type Questions = HashMap<Question, Open>;

/// A question that is not answered yet.
#[derive(Debug)]
pub(super) struct Open {
    /// What its errand waits for, if that is a time.
    pub(super) later: Option<Time>,
    /// The same asked once more while its errand is under way or waits before a place, and the moment before which that need
    /// not be answered.
    pub(super) newer: Option<(Errand, u64)>,
    /// When its errand was last hurried, in microseconds since the Unix epoch.
    hurried_at: u64,
    /// Its place among those that may be open at once, where there is an end to them.
    _place: Option<OwnedSemaphorePermit>,
}

/// How soon an errand that is put off is hurried again because the same is asked, in microseconds.
const HURRY_PAUSE: u64 = 60 * 1_000_000;

impl Open {
    pub(super) const fn new(place: Option<OwnedSemaphorePermit>) -> Self {
        Self { later: None, newer: None, hurried_at: 0, _place: place }
    }

    /// Until when an errand is put off that is asked for again, to be carried out at a moment: whoever announces something
    /// all the time does not undo the pauses of a host that fails.
    pub(super) fn hurry(&mut self, until: u64, due: u64) -> u64 {
        let due = due.max(self.hurried_at.saturating_add(HURRY_PAUSE));
        if due >= until {
            return until;
        }
        self.hurried_at = due;
        due
    }
}
