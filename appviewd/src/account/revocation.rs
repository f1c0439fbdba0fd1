//! Tokens that an authorization server is still to be told to forget.
//!
//! Tokens of a session that has ended enter, and are sealed; they leave when they are due, and again later where the server could not
//! be told. The person's session is gone as soon as they enter. Deliberately absent: telling anyone.

use appview_core::syntax::Did;
use rusqlite::{Row, Transaction, named_params};

use super::seal::{Label, Purpose};
use super::{AccountError, AccountStore, did, moment};
use crate::secret::Secret;

/// For how long a server is told: what it has not heard in a week has run out, or the server is gone.
const PATIENCE: u64 = 7 * 24 * 60 * 60 * 1_000_000;
/// Microseconds until the second attempt; twice as long each time.
const FIRST_REST: u64 = 60 * 1_000_000;
/// The longest time between two attempts, in microseconds.
const LONGEST_REST: u64 = 6 * 60 * 60 * 1_000_000;

/// Names one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RevocationId(i64);

/// Tokens that are to be revoked.
#[derive(Debug, Clone)]
pub struct Revocation {
    /// Its name.
    pub id: RevocationId,
    /// Whose they were.
    pub did: Did,
    /// What was kept of the session.
    pub tokens: Secret<Vec<u8>>,
    /// How often it was tried.
    pub attempts: u32,
}

const INSERT: &str = "
    insert into revocation (did, sealed, attempts, due_at, since) values (:did, :sealed, 0, :now, :now)";

const DUE: &str = "
    select id, did, sealed, attempts from revocation where due_at <= :now order by due_at limit 100";

const PUT_OFF: &str = "
    update revocation set attempts = attempts + 1, due_at = :due where id = :id and since >= :oldest";

const DELETE: &str = "delete from revocation where id = :id";

impl AccountStore {
    /// Queues tokens that never became a session, or were replaced.
    ///
    /// # Errors
    ///
    /// [`AccountError::SessionsOff`], or the store cannot be written.
    pub fn queue_revocation(&self, did: &Did, tokens: &[u8], now: u64) -> Result<RevocationId, AccountError> {
        self.write(|transaction| queue(self, transaction, did, tokens, now))
    }

    /// What is to be revoked by now, at most a hundred at a time.
    ///
    /// # Errors
    ///
    /// One does not open, or the store cannot be read.
    pub fn due_revocations(&self, now: u64) -> Result<Vec<Revocation>, AccountError> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(DUE)?;
            let mut rows = statement.query(named_params! {":now": moment(now)})?;
            let mut due = Vec::new();
            while let Some(row) = rows.next()? {
                due.push(self.read_revocation(row)?);
            }
            Ok(due)
        })
    }

    /// Forgets tokens that the server has forgotten, or that it cannot be told of.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    pub fn revoked(&self, id: RevocationId) -> Result<(), AccountError> {
        self.write(|transaction| {
            transaction.prepare_cached(DELETE)?.execute(named_params! {":id": id.0})?;
            Ok(())
        })
    }

    /// Puts off what the server could not be told: after the `attempts` that there were, for ever longer, and after a week for good.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    pub fn put_off_revocation(&self, revocation: &Revocation, now: u64) -> Result<(), AccountError> {
        let rest = FIRST_REST.saturating_mul(1 << revocation.attempts.min(16)).min(LONGEST_REST);
        self.write(|transaction| {
            let later = transaction.prepare_cached(PUT_OFF)?.execute(named_params! {
                ":id": revocation.id.0,
                ":due": moment(now.saturating_add(rest)),
                ":oldest": moment(now.saturating_sub(PATIENCE)),
            })?;
            if later == 0 {
                transaction.prepare_cached(DELETE)?.execute(named_params! {":id": revocation.id.0})?;
            }
            Ok(())
        })
    }

    fn read_revocation(&self, row: &Row<'_>) -> Result<Revocation, AccountError> {
        let (id, did) = (RevocationId(row.get("id")?), did(row, "did")?);
        let tokens = self.unseal(label(&did), &row.get::<_, Vec<u8>>("sealed")?)?;
        Ok(Revocation { id, did, tokens, attempts: row.get("attempts")? })
    }
}

/// Queues tokens within the transaction that ends their session.
pub(super) fn queue(
    store: &AccountStore,
    transaction: &Transaction<'_>,
    did: &Did,
    tokens: &[u8],
    now: u64,
) -> Result<RevocationId, AccountError> {
    transaction.prepare_cached(INSERT)?.execute(named_params! {
        ":did": did.as_str(),
        ":sealed": store.seal(label(did), tokens)?,
        ":now": moment(now),
    })?;
    Ok(RevocationId(transaction.last_insert_rowid()))
}

fn label(did: &Did) -> Label<'_> {
    Label { purpose: Purpose::Revocation, subject: did.as_str(), generation: 0 }
}
