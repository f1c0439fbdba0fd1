//! Wipes: how far each has come, and what must not come back.
//!
//! A wish enters, and a [`Wipe`] leaves that says what is to be done next; whoever does it saves it after every step, so that a
//! crash repeats one step at most. An [`Exclusion`] enters with what a wipe has seen, and leaves for the index and for a restore.
//! Deliberately absent: doing any of it but [`super::erase`].

use std::str::FromStr;

use appview_core::syntax::{Did, Tid};
use rusqlite::{OptionalExtension as _, Row, Transaction, named_params};
use serde_json::Value as Json;

use super::audit::note;
use super::{AccountError, AccountStore, Action, Actor, Entry, did, micros, moment};

/// How far a wipe reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Extent {
    /// The records in the person's repository, and all that is held here.
    Everything,
    /// All that is held here; the repository stays as it is, and is left out until its owner signs in again.
    Here,
}

impl Extent {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Everything => "everything",
            Self::Here => "here",
        }
    }
}

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WipeStep {
    /// Delete the records at the person's PDS.
    Repo,
    /// Erase the rows of the index.
    Index,
    /// Erase what this store holds.
    Account,
    /// Look at all three places again.
    Verify,
    /// End the sessions, if that was wished.
    Sessions,
    /// Nothing.
    Done,
}

impl WipeStep {
    const ALL: [Self; 6] = [Self::Repo, Self::Index, Self::Account, Self::Verify, Self::Sessions, Self::Done];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Repo => "repo",
            Self::Index => "index",
            Self::Account => "account",
            Self::Sessions => "sessions",
            Self::Verify => "verify",
            Self::Done => "done",
        }
    }
}

impl FromStr for WipeStep {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|step| step.word() == word).ok_or(())
    }
}

/// Whether a person stays signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionsAfter {
    /// As if nothing had been wiped.
    Keep,
    /// Browsers are signed out, and the tokens revoked.
    End,
}

impl SessionsAfter {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::End => "end",
        }
    }
}

/// A wipe, as far as it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wipe {
    /// Whose data.
    pub did: Did,
    /// How far it reaches.
    pub extent: Extent,
    /// What is next.
    pub step: WipeStep,
    /// Whether the person stays signed in.
    pub sessions: SessionsAfter,
    /// What was done so far, as whoever does it has it.
    pub report: Json,
    /// When it was begun, in microseconds since the Unix epoch.
    pub started_at: u64,
    /// When it was last saved.
    pub changed_at: u64,
    /// When it is to be gone on with; it waits while that is later than `changed_at`.
    pub due_at: u64,
}

/// What must not come back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exclusion {
    /// Whose.
    pub did: Did,
    /// Up to which revision of the repository; none if it had none.
    pub rev: Option<Tid>,
    /// Up to when, in microseconds since the Unix epoch.
    pub at: u64,
    /// What of their repository is shown.
    pub shown: Shown,
}

/// What is shown of a repository whose owner had something wiped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// What it has said since.
    Since,
    /// Nothing, until its owner signs in here again.
    Nothing,
}

impl Shown {
    const fn word(self) -> &'static str {
        match self {
            Self::Since => "since",
            Self::Nothing => "nothing",
        }
    }
}

const SELECT: &str = "
    select did, extent, step, sessions, report, started_at, changed_at, due_at from wipe where did = :did";

const DUE: &str = "
    select did, extent, step, sessions, report, started_at, changed_at, due_at from wipe
    where step <> 'done' and due_at <= :now order by due_at";

const PUT: &str = "
    insert into wipe (did, extent, step, sessions, report, started_at, changed_at, due_at)
    values (:did, :extent, :step, :sessions, :report, :started, :changed, :due)
    on conflict (did) do update set extent = excluded.extent, step = excluded.step, sessions = excluded.sessions,
        report = excluded.report, started_at = excluded.started_at, changed_at = excluded.changed_at, due_at = excluded.due_at";

/// Sessions are left alone: whoever wishes to end them may do so at any time.
const SAVE: &str = "
    update wipe set step = :step, report = :report, changed_at = :changed, due_at = :due
    where did = :did and started_at = :started and extent = :extent";

/// Due since it was last saved: it waits for nothing any more.
const WAKE: &str = "update wipe set due_at = changed_at where did = :did and step <> 'done'";

/// Neither revision nor moment ever goes back; the later word on what is shown holds.
const EXCLUDE: &str = "
    insert into exclusion (did, rev, at, shown) values (:did, :rev, :at, :shown)
    on conflict (did) do update set
        rev = case when rev is null or excluded.rev > rev then excluded.rev else rev end,
        shown = case when excluded.at >= at then excluded.shown else shown end,
        at = max(at, excluded.at)";

const WELCOME: &str = "
    update exclusion set shown = 'since', at = max(at, :now) where did = :did and shown = 'nothing'";

impl AccountStore {
    /// Begins a wipe, or has the one go on that is not done yet: one person has one at a time. The wish to end sessions is added to
    /// it; one of another extent begins anew.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    pub fn begin_wipe(
        &self,
        did: &Did,
        extent: Extent,
        sessions: SessionsAfter,
        actor: Actor,
        now: u64,
    ) -> Result<Wipe, AccountError> {
        self.write(|transaction| {
            let before = select(transaction, did)?;
            let unfinished = before.as_ref().filter(|wipe| wipe.step != WipeStep::Done);
            let wipe = match unfinished.filter(|wipe| wipe.extent == extent) {
                Some(wipe) if sessions == SessionsAfter::Keep => {
                    Wipe { due_at: wipe.changed_at, ..wipe.clone() }
                }
                Some(wipe) => Wipe { due_at: wipe.changed_at, sessions, ..wipe.clone() },
                None => {
                    note(transaction, did, &Entry::new(now, Action::WipeBegun, actor))?;
                    // It tells this one from the one before.
                    let after = before.map_or(0, |wipe| wipe.started_at.saturating_add(1));
                    let started_at = now.max(after);
                    Wipe {
                        did: did.clone(),
                        extent,
                        step: match extent {
                            Extent::Everything => WipeStep::Repo,
                            Extent::Here => WipeStep::Index,
                        },
                        sessions,
                        report: Json::Null,
                        started_at,
                        changed_at: now,
                        due_at: now,
                    }
                }
            };
            put(transaction, &wipe)?;
            Ok(wipe)
        })
    }

    /// The newest wipe of a person, done or not.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn wipe(&self, did: &Did) -> Result<Option<Wipe>, AccountError> {
        self.read(|conn| select(conn, did))
    }

    /// What is to be gone on with by now, whoever waits longest first.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn due_wipes(&self, now: u64) -> Result<Vec<Wipe>, AccountError> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(DUE)?;
            let mut rows = statement.query(named_params! {":now": moment(now)})?;
            let mut wipes = Vec::new();
            while let Some(row) = rows.next()? {
                wipes.push(read(row)?);
            }
            Ok(wipes)
        })
    }

    /// Saves how far a wipe has come: its step, its report, and when it is to be gone on with. Whether sessions end is as it
    /// was last wished.
    ///
    /// # Errors
    ///
    /// [`AccountError::Overtaken`] if another one was begun since; or the store cannot be written.
    pub fn save_wipe(&self, wipe: &Wipe) -> Result<(), AccountError> {
        self.write(|transaction| {
            let saved = transaction.prepare_cached(SAVE)?.execute(named_params! {
                ":did": wipe.did.as_str(),
                ":extent": wipe.extent.word(),
                ":step": wipe.step.word(),
                ":report": wipe.report.to_string(),
                ":started": moment(wipe.started_at),
                ":changed": moment(wipe.changed_at),
                ":due": moment(wipe.due_at),
            })?;
            if saved == 0 { Err(AccountError::Overtaken { did: wipe.did.to_string() }) } else { Ok(()) }
        })
    }

    /// Has a wipe that is not done go on at once. Whether there is one.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    pub fn wake_wipe(&self, did: &Did) -> Result<bool, AccountError> {
        self.write(|transaction| {
            let woken = named_params! {":did": did.as_str()};
            Ok(transaction.prepare_cached(WAKE)?.execute(woken)? > 0)
        })
    }

    /// Takes somebody back whose repository was left out. Whether it was.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    pub fn welcome(&self, did: &Did, now: u64) -> Result<bool, AccountError> {
        self.write(|transaction| {
            let welcome = named_params! {":did": did.as_str(), ":now": moment(now)};
            Ok(transaction.prepare_cached(WELCOME)?.execute(welcome)? > 0)
        })
    }

    /// Notes what must not come back. What was noted before stays where it reaches further.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    pub fn exclude(&self, exclusion: &Exclusion) -> Result<(), AccountError> {
        self.write(|transaction| exclude(transaction, exclusion))
    }

    /// What must not come back of a person.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn exclusion(&self, did: &Did) -> Result<Option<Exclusion>, AccountError> {
        Ok(self.exclusions()?.into_iter().find(|exclusion| exclusion.did == *did))
    }

    /// What must not come back of anyone.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn exclusions(&self) -> Result<Vec<Exclusion>, AccountError> {
        self.read(exclusions)
    }
}

/// Everyone who was wiped, in a store of any version.
pub(super) fn exclusions(conn: &rusqlite::Connection) -> Result<Vec<Exclusion>, AccountError> {
    let mut statement = conn.prepare_cached("select did, rev, at, shown from exclusion order by did")?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let rev: Option<String> = row.get("rev")?;
        let rev = rev.map(|text| {
            text.parse().map_err(|_| AccountError::Unreadable { what: "rev", found: text.clone() })
        });
        let shown: String = row.get("shown")?;
        found.push(Exclusion {
            did: did(row, "did")?,
            rev: rev.transpose()?,
            at: micros(row, "at")?,
            shown: if shown == Shown::Nothing.word() { Shown::Nothing } else { Shown::Since },
        });
    }
    Ok(found)
}

pub(super) fn exclude(transaction: &Transaction<'_>, exclusion: &Exclusion) -> Result<(), AccountError> {
    transaction.prepare_cached(EXCLUDE)?.execute(named_params! {
        ":did": exclusion.did.as_str(),
        ":rev": exclusion.rev.map(|rev| rev.to_string()),
        ":at": moment(exclusion.at),
        ":shown": exclusion.shown.word(),
    })?;
    Ok(())
}

fn select(conn: &rusqlite::Connection, did: &Did) -> Result<Option<Wipe>, AccountError> {
    let mut statement = conn.prepare_cached(SELECT)?;
    let found = statement.query_row(named_params! {":did": did.as_str()}, |row| Ok(read(row)));
    found.optional()?.transpose()
}

fn put(transaction: &Transaction<'_>, wipe: &Wipe) -> Result<(), AccountError> {
    transaction.prepare_cached(PUT)?.execute(named_params! {
        ":did": wipe.did.as_str(),
        ":extent": wipe.extent.word(),
        ":step": wipe.step.word(),
        ":sessions": wipe.sessions.word(),
        ":report": wipe.report.to_string(),
        ":started": moment(wipe.started_at),
        ":changed": moment(wipe.changed_at),
        ":due": moment(wipe.due_at),
    })?;
    Ok(())
}

fn read(row: &Row<'_>) -> Result<Wipe, AccountError> {
    let (step, report): (String, String) = (row.get("step")?, row.get("report")?);
    let (extent, sessions): (String, String) = (row.get("extent")?, row.get("sessions")?);
    Ok(Wipe {
        did: did(row, "did")?,
        extent: if extent == Extent::Here.word() { Extent::Here } else { Extent::Everything },
        step: step
            .parse()
            .map_err(|()| AccountError::Unreadable { what: "step of a wipe", found: step.clone() })?,
        sessions: if sessions == SessionsAfter::End.word() {
            SessionsAfter::End
        } else {
            SessionsAfter::Keep
        },
        report: serde_json::from_str(&report)
            .map_err(|_| AccountError::Unreadable { what: "report of a wipe", found: report.clone() })?,
        started_at: micros(row, "started_at")?,
        changed_at: micros(row, "changed_at")?,
        due_at: micros(row, "due_at")?,
    })
}
