//! Whose turn it is to ask a host: few at once, so many in a while, and nobody while the host rests.
//!
//! The origin of a host enters; a [`Turn`] leaves as soon as the host may be asked, and is told what came of it. A host
//! rests because it asked to, because its allowance is used up, or because it has failed too often in a row; after the
//! last, one request at a time finds out whether it is back. Whoever waits stands in line, the urgent first; nobody who
//! waits keeps anybody else from another host. Deliberately absent: what is asked, and what becomes of a question that
//! was not answered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::clock::{Clock, micros};
use super::wishes::Allowance;

/// The time over which requests to one host are counted: that of a PDS's own limits.
const WINDOW: Duration = Duration::from_secs(5 * 60);
/// How long an urgent request waits for its turn: what waits for it holds up a stream.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// A rest beyond this is long: whoever can wait elsewhere does not wait for its end.
const LONG: Duration = Duration::from_secs(10 * 60);
/// Failures in a row after which a host is left alone.
const TOO_MANY: u32 = 3;
/// How long a host is left alone after that; doubled with each failure that follows.
const FIRST_REST: Duration = Duration::from_secs(10);
/// How long a host rests that says 429 and nothing more, as whatever stands in front of one does.
const UNSAID_REST: Duration = Duration::from_secs(60);
/// The longest rest, whatever a host asks for.
const LONGEST_REST: Duration = Duration::from_secs(60 * 60);
/// Hosts that are remembered without need.
const REMEMBERED: usize = 10_000;

/// How much a host is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manners {
    /// Requests under way at once.
    pub at_once: usize,
    /// Requests in any five minutes. A tenth of them may follow each other without a pause.
    pub in_five_minutes: u32,
    /// The longest that it is left alone because it fails.
    pub longest_rest: Duration,
}

/// How much hosts are asked, by their kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Politeness {
    /// A PDS, a relay, or the host of a did:web.
    pub host: Manners,
    /// The directory of did:plc, which everybody asks about everyone.
    pub directory: Manners,
}

impl Default for Politeness {
    /// A PDS takes 3,000 requests in five minutes from one address, and others may share ours.
    fn default() -> Self {
        let host = Manners { at_once: 2, in_five_minutes: 2_000, longest_rest: LONGEST_REST };
        let longest_rest = Duration::from_secs(60);
        Self { host, directory: Manners { at_once: 8, in_five_minutes: 3_000, longest_rest } }
    }
}

impl Manners {
    /// The pause, in microseconds, in which one more request becomes possible.
    fn interval(self) -> u64 {
        micros(WINDOW) / u64::from(self.in_five_minutes.saturating_sub(self.burst()).max(1))
    }

    const fn burst(self) -> u32 {
        let burst = self.in_five_minutes / 10;
        if burst == 0 { 1 } else { burst }
    }

    /// How far ahead of an even pace requests may be, in microseconds. What has time leaves half of it to what has none.
    fn ahead(self, urgency: Urgency) -> u64 {
        let ahead = self.interval().saturating_mul(u64::from(self.burst().saturating_sub(1)));
        if urgency == Urgency::Audit { ahead / 2 } else { ahead }
    }
}

/// How urgent a request is; the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    /// Frames wait for the answer, and a stream's cursor with them. Does not wait longer than 30 seconds for its turn.
    Live,
    /// A repository is to be fetched, or found.
    Fetch,
    /// Something is looked at once more. Does not wait longer than ten minutes for its turn.
    Audit,
}

/// The host is not to be asked for longer than the request may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the host is left alone for a while")]
pub struct Resting;

/// Everybody's turns at every host; cheap to clone, one for all clones.
#[derive(Debug, Clone)]
pub struct Turns(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    hosts: Mutex<Hosts>,
}

#[derive(Debug)]
struct Hosts {
    by_origin: BTreeMap<String, Arc<Host>>,
    /// How many make it worthwhile to look for those that need not be remembered.
    tidy_at: usize,
}

#[derive(Debug, Default)]
struct Host {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    under_way: usize,
    line: BTreeSet<(Urgency, u64)>,
    tickets: u64,
    /// When requests at an even pace would have come as far, in microseconds since the Unix epoch.
    even_at: u64,
    resting_until: u64,
    /// Whether it has been asked since its last rest began.
    is_resting: bool,
    /// In a row.
    failures: u32,
}

impl Turns {
    /// Nobody has asked anyone yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let hosts = Hosts { by_origin: BTreeMap::new(), tidy_at: REMEMBERED };
        Self(Arc::new(Inner { clock, hosts: Mutex::new(hosts) }))
    }

    /// Waits until a host may be asked.
    ///
    /// # Errors
    ///
    /// [`Resting`]; never for [`Urgency::Fetch`].
    pub async fn turn(&self, origin: &str, urgency: Urgency, manners: Manners) -> Result<Turn, Resting> {
        let clock = &self.0.clock;
        let host = self.host(origin);
        let patience = match urgency {
            Urgency::Live => clock.now().saturating_add(micros(PATIENCE)),
            Urgency::Fetch => u64::MAX,
            Urgency::Audit => clock.now().saturating_add(micros(LONG)),
        };
        let place = InLine::at(&host, urgency);
        loop {
            let mut changed = std::pin::pin!(host.changed.notified());
            changed.as_mut().enable();
            let now = clock.now();
            let until = match place.try_leave(manners, now) {
                Ok(()) => break,
                Err(until) => until,
            };
            if now >= patience || until.is_some_and(|until| until > patience) {
                return Err(Resting);
            }
            let until = until.unwrap_or(u64::MAX).min(patience);
            tokio::select! {
                biased;
                () = changed => {}
                () = clock.until(until), if until < u64::MAX => {}
            }
        }
        drop(place);
        Ok(Turn { host, clock: clock.clone(), manners })
    }

    /// Until when a host has a long rest, in microseconds since the Unix epoch; none if it has none.
    #[must_use]
    pub fn long_rest(&self, origin: &str) -> Option<u64> {
        let hosts = self.0.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let until = hosts.by_origin.get(origin)?.state().resting_until;
        (until > self.0.clock.now().saturating_add(micros(LONG))).then_some(until)
    }

    fn host(&self, origin: &str) -> Arc<Host> {
        let mut hosts = self.0.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(host) = hosts.by_origin.get(origin) {
            return Arc::clone(host);
        }
        if hosts.by_origin.len() >= hosts.tidy_at {
            let now = self.0.clock.now();
            hosts.by_origin.retain(|_, host| Arc::strong_count(host) > 1 || !host.may_be_forgotten(now));
            hosts.tidy_at = REMEMBERED.max(hosts.by_origin.len().saturating_mul(2));
        }
        let host = Arc::new(Host::default());
        hosts.by_origin.insert(origin.to_owned(), Arc::clone(&host));
        host
    }
}

impl Host {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it would be asked no more than it should be if nothing were known of it.
    fn may_be_forgotten(&self, now: u64) -> bool {
        let mut state = self.state();
        let is_new = state.even_at <= now && state.resting_until <= now && state.failures == 0;
        if is_new && std::mem::take(&mut state.is_resting) {
            metrics::gauge!("appview_hosts_resting").decrement(1);
        }
        is_new
    }

    fn rest(&self, clock: &Clock, rest: Duration, reason: &'static str) {
        let mut state = self.state();
        let until = clock.now().saturating_add(micros(rest.min(LONGEST_REST)));
        state.resting_until = state.resting_until.max(until);
        metrics::counter!("appview_host_rests_total", "reason" => reason).increment(1);
        if !std::mem::replace(&mut state.is_resting, true) {
            metrics::gauge!("appview_hosts_resting").increment(1);
        }
    }
}

/// A place in the line before a host, left by being let in or by giving up.
struct InLine<'h> {
    host: &'h Host,
    place: (Urgency, u64),
}

impl<'h> InLine<'h> {
    fn at(host: &'h Host, urgency: Urgency) -> Self {
        let mut state = host.state();
        state.tickets = state.tickets.wrapping_add(1);
        let place = (urgency, state.tickets);
        state.line.insert(place);
        Self { host, place }
    }

    /// Lets in whoever is first, if the host may be asked; otherwise tells when to try again, or that something must
    /// change first.
    fn try_leave(&self, manners: Manners, now: u64) -> Result<(), Option<u64>> {
        let mut state = self.host.state();
        if now < state.resting_until {
            return Err(Some(state.resting_until));
        }
        let at_once = if state.failures >= TOO_MANY { 1 } else { manners.at_once.max(1) };
        if state.line.first() != Some(&self.place) || state.under_way >= at_once {
            return Err(None);
        }
        let welcome = state.even_at.saturating_sub(manners.ahead(self.place.0));
        if now < welcome {
            return Err(Some(welcome));
        }
        state.even_at = state.even_at.max(now).saturating_add(manners.interval());
        state.under_way = state.under_way.saturating_add(1);
        if std::mem::take(&mut state.is_resting) {
            metrics::gauge!("appview_hosts_resting").decrement(1);
        }
        Ok(())
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.host.state().line.remove(&self.place);
        self.host.changed.notify_waiters();
    }
}

/// The right to have one request under way at a host, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    host: Arc<Host>,
    clock: Clock,
    manners: Manners,
}

impl Turn {
    /// Whether the host failed to answer the last request.
    #[must_use]
    pub fn is_doubtful(&self) -> bool {
        self.host.state().failures > 0
    }

    /// The host has answered, be it with a refusal.
    pub fn answered(&self) {
        self.host.state().failures = 0;
    }

    /// The host could not be reached, or is broken.
    pub fn failed(&self) {
        let over = {
            let mut state = self.host.state();
            state.failures = state.failures.saturating_add(1);
            state.failures.checked_sub(TOO_MANY)
        };
        if let Some(over) = over {
            let rest = FIRST_REST.saturating_mul(1 << over.min(16)).min(self.manners.longest_rest);
            self.host.rest(&self.clock, self.clock.jitter(rest), "failing");
        }
    }

    /// The host wants to be left alone: for as long as it says, at least a second and at most an hour.
    pub fn rest(&self, asked: Option<Duration>) {
        let rest = asked.unwrap_or(UNSAID_REST).max(Duration::from_secs(1));
        self.host.rest(&self.clock, rest, "asked");
    }

    /// The host has told how many more requests it takes: what is under way may use up the last of them.
    pub fn allowed(&self, allowance: Allowance) {
        if allowance.remaining < self.manners.at_once as u64 {
            self.host.rest(&self.clock, allowance.resets_in, "allowance");
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.host.state();
        state.under_way = state.under_way.saturating_sub(1);
        drop(state);
        self.host.changed.notify_waiters();
    }
}
