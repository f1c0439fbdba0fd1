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

/// What is to be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WipeStep {
    /// Delete the records at the person's PDS.
    Repo,
    /// Erase the rows of the index.
    Index,
    /// Erase what this store holds.
    Account,
    /// End the sessions, if that was wished.
    Sessions,
    /// Look at all three places again.
    Verify,
    /// Nothing.
    Done,
}

impl WipeStep {
    const ALL: [Self; 6] = [Self::Repo, Self::Index, Self::Account, Self::Sessions, Self::Verify, Self::Done];

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
    const fn word(self) -> &'static str {
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
}

const SELECT: &str = "
    select did, step, sessions, report, started_at, changed_at from wipe where did = :did";

const UNFINISHED: &str = "
    select did, step, sessions, report, started_at, changed_at from wipe where step <> 'done' order by started_at";

const PUT: &str = "
    insert into wipe (did, step, sessions, report, started_at, changed_at)
    values (:did, :step, :sessions, :report, :started, :changed)
    on conflict (did) do update set step = excluded.step, sessions = excluded.sessions, report = excluded.report,
        started_at = excluded.started_at, changed_at = excluded.changed_at";

/// Neither ever goes back.
const EXCLUDE: &str = "
    insert into exclusion (did, rev, at) values (:did, :rev, :at)
    on conflict (did) do update set
        rev = case when rev is null or excluded.rev > rev then excluded.rev else rev end,
        at = max(at, excluded.at)";

impl AccountStore {
    /// Begins a wipe, or returns the one that is not done yet: one person has one at a time. The wish to end sessions is added to
    /// it.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    pub fn begin_wipe(
        &self,
        did: &Did,
        sessions: SessionsAfter,
        actor: Actor,
        now: u64,
    ) -> Result<Wipe, AccountError> {
        self.write(|transaction| {
            let mut wipe = match select(transaction, did)? {
                Some(wipe) if wipe.step != WipeStep::Done => wipe,
                _ => {
                    note(transaction, did, &Entry::new(now, Action::WipeBegun, actor))?;
                    Wipe {
                        did: did.clone(),
                        step: WipeStep::Repo,
                        sessions,
                        report: Json::Null,
                        started_at: now,
                        changed_at: now,
                    }
                }
            };
            if sessions == SessionsAfter::End {
                wipe.sessions = sessions;
            }
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

    /// What is to be gone on with after a start, oldest first.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn unfinished_wipes(&self) -> Result<Vec<Wipe>, AccountError> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(UNFINISHED)?;
            let mut rows = statement.query([])?;
            let mut wipes = Vec::new();
            while let Some(row) = rows.next()? {
                wipes.push(read(row)?);
            }
            Ok(wipes)
        })
    }

    /// Saves how far a wipe has come. A wish to end sessions that was added meanwhile stays.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    pub fn save_wipe(&self, wipe: &Wipe) -> Result<(), AccountError> {
        self.write(|transaction| {
            let stored = select(transaction, &wipe.did)?;
            let ends = stored.is_some_and(|stored| stored.sessions == SessionsAfter::End);
            let sessions = if ends { SessionsAfter::End } else { wipe.sessions };
            put(transaction, &Wipe { sessions, ..wipe.clone() })
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
    let mut statement = conn.prepare_cached("select did, rev, at from exclusion order by did")?;
    let mut rows = statement.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let rev: Option<String> = row.get("rev")?;
        let rev = rev.map(|text| {
            text.parse().map_err(|_| AccountError::Unreadable { what: "rev", found: text.clone() })
        });
        found.push(Exclusion { did: did(row, "did")?, rev: rev.transpose()?, at: micros(row, "at")? });
    }
    Ok(found)
}

pub(super) fn exclude(transaction: &Transaction<'_>, exclusion: &Exclusion) -> Result<(), AccountError> {
    transaction.prepare_cached(EXCLUDE)?.execute(named_params! {
        ":did": exclusion.did.as_str(),
        ":rev": exclusion.rev.map(|rev| rev.to_string()),
        ":at": moment(exclusion.at),
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
        ":step": wipe.step.word(),
        ":sessions": wipe.sessions.word(),
        ":report": wipe.report.to_string(),
        ":started": moment(wipe.started_at),
        ":changed": moment(wipe.changed_at),
    })?;
    Ok(())
}

fn read(row: &Row<'_>) -> Result<Wipe, AccountError> {
    let (step, report): (String, String) = (row.get("step")?, row.get("report")?);
    let sessions: String = row.get("sessions")?;
    Ok(Wipe {
        did: did(row, "did")?,
        step: step
            .parse()
            .map_err(|()| AccountError::Unreadable { what: "step of a wipe", found: step.clone() })?,
        sessions: if sessions == "end" { SessionsAfter::End } else { SessionsAfter::Keep },
        report: serde_json::from_str(&report)
            .map_err(|_| AccountError::Unreadable { what: "report of a wipe", found: report.clone() })?,
        started_at: micros(row, "started_at")?,
        changed_at: micros(row, "changed_at")?,
    })
}
