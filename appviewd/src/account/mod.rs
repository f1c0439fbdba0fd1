//! What is precious: keys, sessions, and what was promised to people. One SQLite file beside the index, never rebuilt, never joined with it.
//!
//! What people may do enters, and is on disk when a call returns; what they may do leaves. One process owns the file. Time is
//! handed in, in microseconds since the Unix epoch. What opens a door is held as its SHA-256, what must be had again is
//! sealed ([`seal`]), and what is erased leaves no byte ([`AccountStore::clear_log`]). Deliberately absent: HTTP, the network,
//! and any table of the index.

mod api_key;
mod audit;
mod backup;
mod browser;
mod erase;
mod error;
mod holdings;
mod keyring;
mod pairing;
mod report;
mod revocation;
mod rotate;
mod schema;
pub mod seal;
mod session;
mod sign_in;
mod upkeep;
mod view;
mod wipe;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use appview_core::syntax::Did;
use aws_lc_rs::digest::{self, SHA256};
use rusqlite::{Connection, Transaction, TransactionBehavior};

pub use api_key::{ApiKey, KeyName, KeyNameError, KeyOf, PREFIX};
pub use audit::{Action, AuditCursor, Entry};
pub use backup::{LaterWipes, Migrated, Restored, backup, excluded, migrate, restore};
pub use browser::Browser;
pub use erase::Held;
pub use error::AccountError;
pub use holdings::{HeldPairing, HeldReport, HeldSession, Holdings};
pub use keyring::{CREDENTIAL, KeyPlace, KeyPlaces, KeyProblem, Keyring, KeyringError, VARIABLE};
pub use pairing::{Collected, Granted, NewPairing, PAIRING_LASTS, PairingState};
pub use revocation::{Revocation, RevocationId};
pub use schema::APPLICATION_ID;
pub use session::{Generation, Session, SessionKind, SessionState};
pub use upkeep::keep;
pub use view::{KeyView, datetime};
pub use wipe::{Exclusion, Extent, SessionsAfter, Shown, Wipe, WipeStep};

use schema::OwnerLock;
use seal::{KeyId, Label, Purpose};

use crate::secret::Secret;

/// How often an erasure tries to empty the log while somebody reads, and how long each time.
const TRIES: u32 = 10;
const TRY: Duration = Duration::from_millis(200);

/// The store; cheap to clone, one file for all clones. Calls wait for the disk: from async code, use [`AccountStore::run`].
#[derive(Debug, Clone)]
pub struct AccountStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    ring: Option<Keyring>,
    writer: Mutex<Connection>,
    /// Of its own, so that whoever looks up a key does not wait for whoever waits for the disk.
    reader: Mutex<Connection>,
    /// When keys were used, by their ids, as far as it is not written.
    uses: Mutex<BTreeMap<String, u64>>,
    _owner: OwnerLock,
}

impl AccountStore {
    /// Opens the store, made if there is none, for this process alone.
    ///
    /// Without a keyring sessions are off: there can be none, and none is begun.
    ///
    /// # Errors
    ///
    /// [`AccountError`]: another process has it, it is damaged or of another version, or it holds what none of the keys opens.
    pub fn open(path: impl Into<PathBuf>, ring: Option<Keyring>) -> Result<Self, AccountError> {
        let path = path.into();
        let owner = OwnerLock::acquire(&path)?;
        let conn = schema::open_or_create(&path)?;
        verify_keys(&path, &conn, ring.as_ref())?;
        Self::of(path, ring, conn, owner)
    }

    /// Opens a store that is there for what needs nothing that is sealed.
    ///
    /// # Errors
    ///
    /// [`AccountError`]: another process has it, or it is missing, damaged or of another version.
    pub fn open_sealed(path: impl Into<PathBuf>) -> Result<Self, AccountError> {
        let path = path.into();
        if !schema::exists(&path)? {
            return Err(AccountError::Missing { path });
        }
        let owner = OwnerLock::acquire(&path)?;
        let conn = schema::open_or_create(&path)?;
        Self::of(path, None, conn, owner)
    }

    fn of(
        path: PathBuf,
        ring: Option<Keyring>,
        conn: Connection,
        owner: OwnerLock,
    ) -> Result<Self, AccountError> {
        let reader = schema::open_reader(&path)?;
        let (writer, reader, uses) = (Mutex::new(conn), Mutex::new(reader), Mutex::default());
        Ok(Self(Arc::new(Inner { path, ring, writer, reader, uses, _owner: owner })))
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Whether people can sign in: whether there is a key to seal their sessions with.
    #[must_use]
    pub fn has_sessions(&self) -> bool {
        self.0.ring.is_some()
    }

    /// Does work that waits for the disk, away from the threads that others wait for.
    ///
    /// # Errors
    ///
    /// What the work says; [`AccountError::Ended`] if the daemon stops before.
    pub async fn run<T, E>(&self, work: impl FnOnce(&Self) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<AccountError> + Send + 'static,
    {
        let this = self.clone();
        match tokio::task::spawn_blocking(move || work(&this)).await {
            Ok(done) => done,
            Err(_) => Err(AccountError::Ended.into()),
        }
    }

    /// Empties the log, so that what was erased before is nowhere in the files: not in the log, and not in pages that are free.
    ///
    /// # Errors
    ///
    /// [`AccountError::StillRead`] if another process kept reading for two seconds: try again later.
    pub fn clear_log(&self) -> Result<(), AccountError> {
        for _ in 0..TRIES {
            // Nobody of this process reads meanwhile.
            let (writer, _reader) = (self.writer(), self.reader());
            let cleared = clear(&writer).map_err(|error| AccountError::from(error).at(self.path()))?;
            if cleared {
                return Ok(());
            }
        }
        Err(AccountError::StillRead { path: self.path().into() })
    }

    fn read<T>(&self, ask: impl FnOnce(&Connection) -> Result<T, AccountError>) -> Result<T, AccountError> {
        ask(&self.reader()).map_err(|error| error.at(self.path()))
    }

    /// Writes in one transaction, which is on disk when this returns and did not happen if it fails.
    fn write<T>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> Result<T, AccountError>,
    ) -> Result<T, AccountError> {
        let mut conn = self.writer();
        let write = || {
            let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let changed = change(&transaction)?;
            fail::fail_point!("account::before-commit");
            transaction.commit()?;
            fail::fail_point!("account::after-commit");
            Ok(changed)
        };
        write().map_err(|error: AccountError| error.at(self.path()))
    }

    fn writer(&self) -> MutexGuard<'_, Connection> {
        self.0.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reader(&self) -> MutexGuard<'_, Connection> {
        self.0.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn uses(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.0.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) -> Result<&Keyring, AccountError> {
        self.0.ring.as_ref().ok_or(AccountError::SessionsOff)
    }

    fn seal(&self, label: Label<'_>, plain: &[u8]) -> Result<Vec<u8>, AccountError> {
        seal::seal(self.ring()?, label, plain).map_err(refused(label))
    }

    fn unseal(&self, label: Label<'_>, sealed: &[u8]) -> Result<Secret<Vec<u8>>, AccountError> {
        seal::open(self.ring()?, label, sealed).map_err(refused(label))
    }
}

/// Who did something in a person's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Whoever has this API key, by its id.
    Key(String),
    /// The person, in a browser that is signed in.
    Browser,
    /// The person, by a token of their PDS.
    Service,
    /// The console beside us, which has the internal secret.
    Internal,
    /// Whoever runs this service.
    Operator,
    /// This service by itself, as when it renews a session.
    Daemon,
}

fn refused(label: Label<'_>) -> impl FnOnce(seal::SealError) -> AccountError {
    let what = match label.purpose {
        Purpose::Session => "session",
        Purpose::SignIn => "sign-in",
        Purpose::Revocation => "revocation",
        Purpose::Pairing => "pairing",
    };
    move |error| AccountError::Seal { what, whose: label.subject.to_owned(), error }
}

/// Tries once to empty the log; whether it is empty.
fn clear(conn: &Connection) -> rusqlite::Result<bool> {
    conn.busy_timeout(TRY)?;
    let busy = conn.query_row("pragma wal_checkpoint(truncate)", [], |row| row.get::<_, i64>("busy"));
    conn.busy_timeout(schema::PATIENCE)?;
    Ok(busy? == 0)
}

/// Refuses to go on with what none of the keys opens. A sign-in or a pairing that has begun is worth nothing after ten minutes:
/// those of other keys are dropped.
fn verify_keys(path: &Path, conn: &Connection, ring: Option<&Keyring>) -> Result<(), AccountError> {
    let verify = || -> Result<(), AccountError> {
        let mut sealed = conn.prepare(
            "select substr(sealed, 1, 9) as head, count(*) as times from
             (select sealed from session where sealed is not null union all select sealed from revocation) group by head",
        )?;
        let (mut rows, mut keys) = (0, Vec::new());
        let mut heads = sealed.query([])?;
        while let Some(row) = heads.next()? {
            let head: Vec<u8> = row.get("head")?;
            let unreadable = || AccountError::Unreadable { what: "seal", found: format!("{head:02x?}") };
            let key = KeyId::of_sealed(&head).ok_or_else(unreadable)?;
            if !ring.is_some_and(|ring| ring.has(key)) {
                rows += row.get::<_, i64>("times")?;
                keys.push(key);
            }
        }
        if rows > 0 {
            return Err(AccountError::KeyMissing { path: path.into(), rows, keys });
        }
        for table in ["sign_in", "pairing"] {
            let select = format!(
                "select rowid as row, substr(sealed, 1, 9) as head from {table} where sealed is not null"
            );
            let mut statement = conn.prepare(&select)?;
            let found = statement.query_map([], |row| Ok((row.get("row")?, row.get("head")?)))?;
            for (rowid, head) in found.collect::<Result<Vec<(i64, Vec<u8>)>, _>>()? {
                let opens = KeyId::of_sealed(&head).is_some_and(|key| ring.is_some_and(|ring| ring.has(key)));
                if !opens {
                    conn.execute(&format!("delete from {table} where rowid = ?1"), [rowid])?;
                }
            }
        }
        Ok(())
    };
    verify().map_err(|error| error.at(path))
}

/// What stands for a secret in the store.
fn hash(secret: &[u8]) -> [u8; 32] {
    // A SHA-256 is never of another length.
    digest::digest(&SHA256, secret).as_ref().try_into().unwrap_or_default()
}

/// Lower-case hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A moment as SQLite has it.
fn moment(micros: u64) -> i64 {
    i64::try_from(micros).unwrap_or(i64::MAX)
}

/// A moment of ours, as SQLite had it.
fn micros(row: &rusqlite::Row<'_>, column: &str) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}

/// A DID of ours, as SQLite had it.
fn did(row: &rusqlite::Row<'_>, column: &str) -> Result<Did, AccountError> {
    let text: String = row.get(column)?;
    text.parse().map_err(|_| AccountError::Unreadable { what: "did", found: text.clone() })
}
