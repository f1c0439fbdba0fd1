//! What follows from the rows of a group as a whole, and is looked up in them rather than added up: the first and the last of
//! them, the newest hundred.
//!
//! Which groups a transaction has touched enters; before it ends, each of them is looked at once, however many of its rows
//! changed, and its one row is what it finds. So nothing here depends on the order of changes. While a file is being
//! filled in bulk, the indexes that this needs are not there yet: everything is looked at once at the end.

mod account;
mod directory;
mod latency;
mod service;
mod trust;

use std::collections::{HashMap, HashSet};

use rusqlite::Connection;

pub(super) use account::extremes;
pub(crate) use directory::Sought;
pub(super) use directory::{names, part_of, stored};
pub(crate) use latency::LatencyOf;
pub(super) use latency::{Latency, latency};
use latency::{Sample, Window};
pub(super) use service::newest as newest_service;
use service::{Served, Service};
use trust::Trust;
pub(super) use trust::first as first_trust;

use super::Fault;
use super::total::Totals;

/// Most groups that wait to be looked at.
const HELD: usize = 16_384;

/// Most groups whose newest samples are remembered, in some two kilobytes each.
const WINDOWS: usize = 4_096;

/// Repositories whose row may have to be looked at. One that was emptied may still tell times.
const LIST_ACCOUNTS: &str = "select id from repo where shown > 0 or latest > 0";

const LIST_SHOWN: &str = "select id from repo where shown > 0 order by id";

const LIST_LATENCIES: &str = "
    select distinct 1 as kind, provider as who from receipt where millis is not null
    union all
    select distinct 2, model from receipt where millis is not null and model is not null
    union all
    select 0, 0";

const LIST_SERVICES: &str = "
    select distinct b as model, a as provider from total where kind = 3
    union all
    select distinct a, 0 from total where kind = 2 and a <> 0";

const LIST_TRUSTS: &str = "select distinct subject, friender from friend where subject is not null";

/// What happened to the samples of a group.
#[derive(Debug)]
enum Sampled {
    /// These were added.
    More(Window),
    /// The group has to be looked at.
    Otherwise,
}

/// Which groups have been touched.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// Without the indexes that are made at the end, only accounts are written before it, and only what they have gained.
    is_bulk: bool,
    accounts: HashMap<i64, account::Change>,
    latencies: HashMap<LatencyOf, Sampled>,
    /// Of groups that were looked at before. What is added to them has its place there, so that they need not be looked at
    /// again.
    windows: HashMap<LatencyOf, Window>,
    services: HashMap<Service, Served>,
    trusts: HashSet<Trust>,
    /// Parts of the directory.
    parts: HashSet<i64>,
}

/// What a receipt says that its groups are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) provider: i64,
    pub(super) requester: Option<i64>,
    pub(super) model: Option<i64>,
    pub(super) time: i64,
    pub(super) millis: Option<i64>,
    pub(super) tokens_in: i64,
    pub(super) tokens_out: i64,
}

impl Work {
    /// Whose latency it is part of, if it tells how long it took.
    fn latencies(&self) -> impl Iterator<Item = LatencyOf> {
        let of_model = self.model.map(LatencyOf::model);
        [LatencyOf::ALL, LatencyOf::provider(self.provider)].into_iter().chain(of_model)
    }

    /// Whose service it is.
    fn services(&self) -> impl Iterator<Item = Service> {
        let by = [0, self.provider];
        self.model.into_iter().flat_map(move |model| by.map(|provider| Service { model, provider }))
    }
}

impl Standing {
    pub(super) fn bulk() -> Self {
        Self { is_bulk: true, ..Self::default() }
    }

    /// A record of an account is served from here on (`step` is 1), or is not any more (-1).
    pub(super) fn account(&mut self, repo: i64, time: i64, is_offer: bool, step: i64) {
        self.accounts.entry(repo).or_default().note(time, is_offer, step);
    }

    /// The profile of an account is served from here on, or is not any more.
    pub(super) fn profile(&mut self, repo: i64) {
        if !self.is_bulk {
            self.parts.insert(part_of(repo));
        }
    }

    /// A receipt is served from here on.
    pub(super) fn add_work(&mut self, work: &Work, rkey: &str) {
        if self.is_bulk {
            return;
        }
        if let Some(millis) = work.millis {
            // A key that is no TID has no number.
            let sample = rkey.parse().ok().map(|rkey| Sample { time: work.time, rkey, millis });
            for of in work.latencies() {
                match (self.latencies.entry(of).or_insert(Sampled::More(Window::default())), sample) {
                    (Sampled::More(added), Some(sample)) => added.add(sample),
                    (sampled, _) => *sampled = Sampled::Otherwise,
                }
            }
        }
        for service in work.services() {
            match self.services.entry(service).or_insert(Served::At(work.time)) {
                Served::At(time) => *time = work.time.max(*time),
                Served::Otherwise => {}
            }
        }
    }

    /// A receipt is not served any more.
    pub(super) fn remove_work(&mut self, work: &Work) {
        if self.is_bulk {
            return;
        }
        if work.millis.is_some() {
            self.latencies.extend(work.latencies().map(|of| (of, Sampled::Otherwise)));
        }
        self.services.extend(work.services().map(|service| (service, Served::Otherwise)));
    }

    /// A declaration of trust is served from here on, or is not any more.
    pub(super) fn trust(&mut self, subject: i64, friender: i64) {
        if !self.is_bulk {
            self.trusts.insert(Trust { subject, friender });
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.accounts.len() + self.latencies.len() + self.services.len() + self.trusts.len() >= HELD
    }

    /// Looks at what was touched. What was added up must have been written.
    pub(super) fn settle(&mut self, conn: &Connection, totals: &mut Totals) -> Result<(), Fault> {
        for (id, change) in self.accounts.drain() {
            let is_other = account::settle(conn, totals, id, &change, self.is_bulk)?;
            if is_other && !self.is_bulk {
                self.parts.insert(part_of(id));
            }
        }
        if self.windows.len() >= WINDOWS {
            self.windows.clear();
        }
        for (of, sampled) in self.latencies.drain() {
            if let (Some(window), Sampled::More(added)) = (self.windows.get_mut(&of), sampled) {
                window.settle(conn, of, &added)?;
                continue;
            }
            match latency::settle(conn, of)? {
                Some(window) => self.windows.insert(of, window),
                None => self.windows.remove(&of),
            };
        }
        for (service, served) in self.services.drain() {
            service::settle(conn, service, served)?;
        }
        for trust in self.trusts.drain() {
            trust::settle(conn, totals, trust)?;
        }
        for part in self.parts.drain() {
            directory::settle(conn, part)?;
        }
        Ok(())
    }

    pub(super) fn forget(&mut self) {
        *self = Self { is_bulk: self.is_bulk, ..Self::default() };
    }
}

/// Looks at everything, in a file that was filled in bulk and has its indexes by now.
pub(super) fn settle_all(conn: &Connection) -> Result<(), Fault> {
    let mut totals = Totals::default();
    let mut accounts = conn.prepare(LIST_ACCOUNTS)?;
    // They are changed while they are listed.
    let ids = accounts.query_map([], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?;
    for id in ids {
        account::look_up(conn, id)?;
    }
    each_part(conn, |part| directory::settle(conn, part))?;
    let mut latencies = conn.prepare(LIST_LATENCIES)?;
    for of in latencies.query_map([], |row| Ok(LatencyOf { kind: row.get(0)?, who: row.get(1)? }))? {
        latency::settle(conn, of?)?;
    }
    let mut services = conn.prepare(LIST_SERVICES)?;
    for service in services.query_map([], |row| Ok(Service { model: row.get(0)?, provider: row.get(1)? }))? {
        service::settle(conn, service?, Served::Otherwise)?;
    }
    let mut trusts = conn.prepare(LIST_TRUSTS)?;
    for trust in trusts.query_map([], |row| Ok(Trust { subject: row.get(0)?, friender: row.get(1)? }))? {
        trust::settle(conn, &mut totals, trust?)?;
        if totals.is_full() {
            totals.flush(conn)?;
        }
    }
    totals.flush(conn)
}

/// Visits each part of the directory that there is to be.
pub(super) fn each_part(
    conn: &Connection,
    mut visit: impl FnMut(i64) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut accounts = conn.prepare(LIST_SHOWN)?;
    let mut last = None;
    for id in accounts.query_map([], |row| row.get(0))? {
        let part = part_of(id?);
        if last != Some(part) {
            visit(part)?;
            last = Some(part);
        }
    }
    Ok(())
}
