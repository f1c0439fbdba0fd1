//! Backups of the store, putting one back, and bringing a store to this program's version.
//!
//! A store enters, in use or not, and a file leaves that holds what must outlive it: keys, audit, wipes, what must not come back. Sessions, sign-ins,
//! browsers and pairings are left out, so that neither a stolen backup nor a restored one signs anybody in. A
//! restore leaves out what a wipe has erased since: it asks the store that it replaces. Deliberately absent: the files of bug
//! reports, which are copied like any other.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior, named_params};

use super::schema::{self, MIGRATIONS, OwnerLock, companion};
use super::wipe::{Exclusion, exclude, exclusions};
use super::{AccountError, moment};

/// What a backup holds. Of `counter`, the row that a new store has is replaced.
const TABLES: [&str; 6] = ["api_key", "audit", "bug_report", "counter", "exclusion", "wipe"];

/// What is known of wipes that came after a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaterWipes {
    /// The store that is replaced must tell them.
    AsStored,
    /// The store that is replaced cannot be read, or there is none: what was erased since the backup comes back.
    Forgotten,
}

/// What a restore has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Keys that are back.
    pub keys: usize,
    /// Keys that are not, because their owners' data was wiped after they were made.
    pub left_out: usize,
    /// Where the store is that was replaced, if there was one.
    pub replaced: Option<PathBuf>,
}

/// What a migration has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migrated {
    /// The version before.
    pub from: i32,
    /// The version after.
    pub to: i32,
    /// The backup that was made first; none if there was nothing to do.
    pub backup: Option<PathBuf>,
}

/// Copies what must outlive the store into a new file, from one moment, whether or not a daemon uses it.
///
/// # Errors
///
/// There is no store, it is damaged or newer, or the file exists or cannot be written.
pub fn backup(store: &Path, to: &Path) -> Result<(), AccountError> {
    let version = schema::version_of(store)?;
    write_copy(store, version, to)?;
    // A backup is one only if it can be read.
    schema::version_of(to).map(drop)
}

/// Puts a backup in the place of a store, which is kept beside it.
///
/// # Errors
///
/// A daemon uses the store, the backup is damaged or newer, or the store that is replaced cannot tell of wipes: nothing was changed.
pub fn restore(from: &Path, store: &Path, wipes: LaterWipes, now: u64) -> Result<Restored, AccountError> {
    let _owner = OwnerLock::acquire(store)?;
    let version = schema::version_of(from)?;
    let erased = match wipes {
        LaterWipes::AsStored => close_replaced(store)?,
        LaterWipes::Forgotten => Vec::new(),
    };
    let new = companion(store, ".restoring");
    remove(&new)?;
    write_copy(from, version, &new)?;
    let (mut conn, _) = schema::open_any_version(&new)?;
    let (keys, left_out) = complete(&mut conn, &erased).map_err(|error| error.at(&new))?;
    close(conn, &new)?;
    let replaced = if schema::exists(store)? { Some(keep_aside(store, now)?) } else { None };
    fail::fail_point!("account::before-restore-swap");
    std::fs::rename(&new, store).map_err(AccountError::io(store))?;
    sync_folder(store)?;
    Ok(Restored { keys, left_out, replaced })
}

/// Brings a store to this program's version, after a backup beside it.
///
/// # Errors
///
/// A daemon uses the store, it is damaged or newer, or a file cannot be written. It is as it was, or at a version in between from
/// which it is gone on with.
pub fn migrate(store: &Path, now: u64) -> Result<Migrated, AccountError> {
    let _owner = OwnerLock::acquire(store)?;
    let from = schema::version_of(store)?;
    let to = schema::version();
    if from == to {
        return Ok(Migrated { from, to, backup: None });
    }
    let saved = companion(store, &format!(".v{from}-{}.backup", now / 1_000_000));
    backup(store, &saved)?;
    let (mut conn, _) = schema::open_any_version(store)?;
    schema::migrate(&mut conn, &MIGRATIONS).map_err(|error| error.at(store))?;
    Ok(Migrated { from, to, backup: Some(saved) })
}

/// What must not come back, by a store that a daemon may be using; nothing where there is no store.
///
/// # Errors
///
/// The store is damaged, or none.
pub fn excluded(store: &Path) -> Result<Vec<Exclusion>, AccountError> {
    if !schema::exists(store)? {
        return Ok(Vec::new());
    }
    exclusions(&schema::open_reader(store)?).map_err(|error| error.at(store))
}

/// Whom the store that is about to be replaced knows to be wiped; it is one file then, without a log.
fn close_replaced(store: &Path) -> Result<Vec<Exclusion>, AccountError> {
    if !schema::exists(store)? {
        return Err(AccountError::WipesUnknown {
            path: store.into(),
            why: "there is no such file".to_owned(),
        });
    }
    let read = || -> Result<Vec<Exclusion>, AccountError> {
        let (conn, _) = schema::open_any_version(store)?;
        let found = exclusions(&conn)?;
        close(conn, store)?;
        Ok(found)
    };
    read().map_err(|error| AccountError::WipesUnknown { path: store.into(), why: error.to_string() })
}

fn write_copy(from: &Path, version: i32, to: &Path) -> Result<(), AccountError> {
    if schema::exists(to)? {
        return Err(AccountError::Exists { path: to.into() });
    }
    let known = usize::try_from(version).ok().and_then(|version| MIGRATIONS.get(..version));
    let conn = schema::create(to, known.unwrap_or(&MIGRATIONS))?;
    let copy = || -> Result<(), AccountError> {
        let source = from
            .to_str()
            .ok_or_else(|| AccountError::Unreadable { what: "path", found: from.display().to_string() })?;
        conn.execute("attach database ?1 as source", [source])?;
        // One transaction reads one moment of the source.
        conn.execute_batch("begin immediate")?;
        for table in TABLES {
            conn.execute_batch(&format!("insert or replace into main.{table} select * from source.{table}"))?;
        }
        conn.execute_batch("commit; detach database source")?;
        Ok(())
    };
    copy().map_err(|error| error.at(to))?;
    close(conn, to)
}

/// Brings a copy to this version and erases what must not come back; counts the keys that are there, and those that were erased.
fn complete(conn: &mut Connection, erased: &[Exclusion]) -> Result<(usize, usize), AccountError> {
    schema::migrate(conn, &MIGRATIONS)?;
    let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for exclusion in erased {
        exclude(&transaction, exclusion)?;
    }
    let mut left_out = 0;
    for exclusion in exclusions(&transaction)? {
        let before = named_params! {":did": exclusion.did.as_str(), ":at": moment(exclusion.at)};
        let delete = |table, column| {
            transaction.execute(&format!("delete from {table} where did = :did and {column} <= :at"), before)
        };
        left_out += delete("api_key", "created_at")?;
        delete("audit", "at")?;
        delete("bug_report", "created_at")?;
    }
    let keys: i64 = transaction.query_row("select count(*) from api_key", [], |row| row.get(0))?;
    transaction.commit()?;
    Ok((usize::try_from(keys).unwrap_or(0), left_out))
}

/// Leaves one file, with nothing beside it.
fn close(conn: Connection, path: &Path) -> Result<(), AccountError> {
    let fault = |error: rusqlite::Error| AccountError::from(error).at(path);
    conn.query_row("pragma journal_mode = delete", [], |_| Ok(())).map_err(fault)?;
    conn.close().map_err(|(_, error)| fault(error))?;
    sync_folder(path)
}

/// Gives a store a second name, under which it stays when another file takes its first. One that could not be closed, because it
/// is damaged, takes its log along.
fn keep_aside(store: &Path, now: u64) -> Result<PathBuf, AccountError> {
    let aside = companion(store, &format!(".replaced-{}", now / 1_000_000));
    std::fs::hard_link(store, &aside).map_err(AccountError::io(&aside))?;
    for suffix in ["-wal", "-shm"] {
        let (from, to) = (companion(store, suffix), companion(&aside, suffix));
        match std::fs::rename(&from, &to) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(AccountError::Io { path: from, error });
            }
            _ => {}
        }
    }
    Ok(aside)
}

fn remove(path: &Path) -> Result<(), AccountError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(AccountError::io(path)(error)),
        _ => Ok(()),
    }
}

fn sync_folder(file: &Path) -> Result<(), AccountError> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(AccountError::io(folder))
}
