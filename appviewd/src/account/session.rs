//! Sessions: that this service may publish for a person, with the tokens that let it.
//!
//! What an authorization server gave enters, as bytes whose form is the OAuth client's affair, and is sealed; the same bytes leave.
//! A session is one row for each person. Every write names the [`Generation`] that it follows, and finds itself overtaken if there
//! was another one since: what was begun before a sign-out, a wipe or a newer sign-in cannot bring the old tokens back.
//! Deliberately absent: what tokens are, and when to renew them.

use appview_core::syntax::Did;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, named_params};

use super::revocation::queue;
use super::seal::{Label, Purpose};
use super::{AccountError, AccountStore, did, micros, moment};
use crate::secret::Secret;

/// One writing of a session. They rise, over all sessions and over their deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(i64);

/// A session as it stands.
#[derive(Debug, Clone)]
pub struct Session {
    /// Whose.
    pub did: Did,
    /// Which writing of it.
    pub generation: Generation,
    /// What it is good for.
    pub state: SessionState,
    /// When the person signed in, in microseconds since the Unix epoch.
    pub signed_in_at: u64,
    /// When it was last written.
    pub changed_at: u64,
}

/// What a session is good for.
#[derive(Debug, Clone)]
pub enum SessionState {
    /// These tokens may be used.
    Ready(Secret<Vec<u8>>),
    /// The refresh token among these is being spent, or was when the process ended: whether the server took it is not known.
    Refreshing(Secret<Vec<u8>>),
    /// There are no tokens any more; the person must sign in again.
    NeedsSignIn,
}

/// The states without what is in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SessionKind {
    /// [`SessionState::Ready`]
    Ready,
    /// [`SessionState::Refreshing`]
    Refreshing,
    /// [`SessionState::NeedsSignIn`]
    NeedsSignIn,
}

impl SessionKind {
    const fn text(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Refreshing => "refreshing",
            Self::NeedsSignIn => "needs-sign-in",
        }
    }
}

const SELECT: &str = "
    select did, generation, state, sealed, signed_in_at, changed_at from session where did = :did";

const BY_STATE: &str = "select did from session where state = :state order by did";

const PUT: &str = "
    insert into session (did, generation, state, sealed, signed_in_at, changed_at)
    values (:did, :generation, :state, :sealed, :now, :now)
    on conflict (did) do update set generation = excluded.generation, state = excluded.state,
        sealed = excluded.sealed, signed_in_at = excluded.signed_in_at, changed_at = excluded.changed_at";

/// Never an upsert: a session that was ended stays ended.
const REPLACE: &str = "
    update session set generation = :generation, state = :state, sealed = :sealed, changed_at = :now
    where did = :did and generation = :from";

const NEXT_GENERATION: &str = "update counter set last = last + 1 where name = 'generation' returning last";

const DELETE: &str = "delete from session where did = :did";

impl AccountStore {
    /// Begins a session, in place of one that there may be: its tokens are queued to be revoked.
    ///
    /// # Errors
    ///
    /// [`AccountError::SessionsOff`], or the store cannot be written.
    pub fn begin_session(&self, did: &Did, tokens: &[u8], now: u64) -> Result<Generation, AccountError> {
        self.write(|transaction| {
            self.queue_tokens(transaction, did, now)?;
            let generation = next_generation(transaction)?;
            transaction.prepare_cached(PUT)?.execute(named_params! {
                ":did": did.as_str(),
                ":generation": generation.0,
                ":state": SessionKind::Ready.text(),
                ":sealed": self.seal(label(did, generation), tokens)?,
                ":now": moment(now),
            })?;
            Ok(generation)
        })
    }

    /// The session of a person, if there is one.
    ///
    /// # Errors
    ///
    /// [`AccountError::Seal`] if it does not open, or the store cannot be read.
    pub fn session(&self, did: &Did) -> Result<Option<Session>, AccountError> {
        self.read(|conn| self.select_session(conn, did))
    }

    /// Whoever has a session of this kind.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn sessions(&self, kind: SessionKind) -> Result<Vec<Did>, AccountError> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(BY_STATE)?;
            let mut rows = statement.query(named_params! {":state": kind.text()})?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(did(row, "did")?);
            }
            Ok(found)
        })
    }

    /// Writes down that the refresh token is about to be spent, before it is. The tokens stay.
    ///
    /// # Errors
    ///
    /// [`AccountError::Overtaken`], or the store cannot be written; the token must then not be spent.
    pub fn intend_refresh(&self, did: &Did, from: Generation, now: u64) -> Result<Generation, AccountError> {
        self.write(|transaction| {
            let overtaken = || AccountError::Overtaken { did: did.to_string() };
            let session = self.select_session(transaction, did)?.ok_or_else(overtaken)?;
            match session.state {
                SessionState::Ready(tokens) | SessionState::Refreshing(tokens) => {
                    self.replace(transaction, did, from, (SessionKind::Refreshing, Some(&tokens)), now)
                }
                SessionState::NeedsSignIn => Err(overtaken()),
            }
        })
    }

    /// Keeps new tokens: those that a refresh brought, or that were handed over and are newer.
    ///
    /// # Errors
    ///
    /// [`AccountError::Overtaken`], or the store cannot be written; the new tokens must then be revoked.
    pub fn keep_tokens(
        &self,
        did: &Did,
        from: Generation,
        tokens: &Secret<Vec<u8>>,
        now: u64,
    ) -> Result<Generation, AccountError> {
        self.write(|transaction| {
            self.replace(transaction, did, from, (SessionKind::Ready, Some(tokens)), now)
        })
    }

    /// Erases the tokens of a session that no server takes any more; the person must sign in again.
    ///
    /// # Errors
    ///
    /// [`AccountError::Overtaken`], or the store cannot be written.
    pub fn require_sign_in(&self, did: &Did, from: Generation, now: u64) -> Result<Generation, AccountError> {
        self.write(|transaction| self.replace(transaction, did, from, (SessionKind::NeedsSignIn, None), now))
    }

    /// Ends a session, and queues its tokens to be revoked ([`AccountStore::due_revocations`]), in one transaction. Whether there was
    /// one.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    pub fn end_session(&self, did: &Did, now: u64) -> Result<bool, AccountError> {
        self.write(|transaction| self.end_session_within(transaction, did, now))
    }

    pub(super) fn end_session_within(
        &self,
        transaction: &Transaction<'_>,
        did: &Did,
        now: u64,
    ) -> Result<bool, AccountError> {
        self.queue_tokens(transaction, did, now)?;
        Ok(transaction.prepare_cached(DELETE)?.execute(named_params! {":did": did.as_str()})? > 0)
    }

    /// Queues the tokens of the session that is about to go.
    fn queue_tokens(&self, transaction: &Transaction<'_>, did: &Did, now: u64) -> Result<(), AccountError> {
        let session = self.select_session(transaction, did)?;
        match session.map(|session| session.state) {
            Some(SessionState::Ready(tokens) | SessionState::Refreshing(tokens)) => {
                queue(self, transaction, did, tokens.expose(), now).map(drop)
            }
            Some(SessionState::NeedsSignIn) | None => Ok(()),
        }
    }

    fn select_session(&self, conn: &Connection, did: &Did) -> Result<Option<Session>, AccountError> {
        let mut statement = conn.prepare_cached(SELECT)?;
        let read = |row: &Row<'_>| Ok(self.read_session(row));
        statement.query_row(named_params! {":did": did.as_str()}, read).optional()?.transpose()
    }

    fn read_session(&self, row: &Row<'_>) -> Result<Session, AccountError> {
        let did = did(row, "did")?;
        let generation = Generation(row.get("generation")?);
        let (state, sealed): (String, Option<Vec<u8>>) = (row.get("state")?, row.get("sealed")?);
        let tokens = sealed.map(|sealed| self.unseal(label(&did, generation), &sealed)).transpose()?;
        let state = match (state.as_str(), tokens) {
            ("ready", Some(tokens)) => SessionState::Ready(tokens),
            ("refreshing", Some(tokens)) => SessionState::Refreshing(tokens),
            ("needs-sign-in", None) => SessionState::NeedsSignIn,
            _ => return Err(AccountError::Unreadable { what: "state of a session", found: state }),
        };
        let (signed_in_at, changed_at) = (micros(row, "signed_in_at")?, micros(row, "changed_at")?);
        Ok(Session { did, generation, state, signed_in_at, changed_at })
    }

    fn replace(
        &self,
        transaction: &Transaction<'_>,
        did: &Did,
        from: Generation,
        (kind, tokens): (SessionKind, Option<&Secret<Vec<u8>>>),
        now: u64,
    ) -> Result<Generation, AccountError> {
        let generation = next_generation(transaction)?;
        let seal = |tokens: &Secret<Vec<u8>>| self.seal(label(did, generation), tokens.expose());
        let replaced = transaction.prepare_cached(REPLACE)?.execute(named_params! {
            ":did": did.as_str(),
            ":from": from.0,
            ":generation": generation.0,
            ":state": kind.text(),
            ":sealed": tokens.map(seal).transpose()?,
            ":now": moment(now),
        })?;
        if replaced == 0 { Err(AccountError::Overtaken { did: did.to_string() }) } else { Ok(generation) }
    }
}

fn next_generation(transaction: &Transaction<'_>) -> Result<Generation, AccountError> {
    let last = transaction.prepare_cached(NEXT_GENERATION)?.query_row([], |row| row.get("last"))?;
    Ok(Generation(last))
}

fn label(did: &Did, generation: Generation) -> Label<'_> {
    Label { purpose: Purpose::Session, subject: did.as_str(), generation: generation.0 }
}
