//! The file's format: its marks, its migrations, its pragmas; open or refuse.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::AccountError;

/// The number in `application_id` that tells an account store from every other SQLite file: `ccac` in ASCII.
pub const APPLICATION_ID: i32 = 0x6363_6163;

/// What brings a file from one version to the next. The version is how many of them a file has seen, in `user_version`. What
/// was published is never changed again.
pub(super) const MIGRATIONS: [&str; 1] = [include_str!("migrations/0001_init.sql")];

/// How long a connection waits for one of another process.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How often, and how long apart, it is tried to become the owner: one that is about to end is waited for, as at a restart.
const TRIES: u32 = 50;
const TRY: Duration = Duration::from_millis(20);

/// For every connection. `secure_delete` has what is deleted overwritten with zeros, from the file's first day on.
const PRAGMAS: &str = "
    pragma foreign_keys = on;
    pragma trusted_schema = off;
    pragma secure_delete = on;
    pragma temp_store = memory;
    pragma cell_size_check = on;
";

/// `full`, because what is promised to a person must outlive a loss of power.
const WRITER_PRAGMAS: &str = "
    pragma synchronous = full;
    pragma journal_size_limit = 67108864;
";

/// The version of this program.
pub(super) fn version() -> i32 {
    i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX)
}

/// The right to use a store: one process at a time. Refresh tokens serve once, so that two daemons with the same sessions would
/// end them all.
#[derive(Debug)]
pub(super) struct OwnerLock {
    _file: File,
}

impl OwnerLock {
    pub(super) fn acquire(store: &Path) -> Result<Self, AccountError> {
        let lock = companion(store, ".lock");
        let file = private().open(&lock).map_err(AccountError::io(&lock))?;
        for _ in 0..TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) => std::thread::sleep(TRY),
                Err(TryLockError::Error(error)) => return Err(AccountError::Io { path: lock, error }),
            }
        }
        Err(AccountError::Owned { path: store.into(), lock })
    }
}

/// `path` with `suffix` after its last character, as SQLite names its own companions.
pub(super) fn companion(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    options
}

/// Whether there is a file with anything in it.
pub(super) fn exists(path: &Path) -> Result<bool, AccountError> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len() > 0),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(AccountError::io(path)(error)),
    }
}

/// Opens the store to write, and makes it where there is none. What is damaged is not written.
pub(super) fn open_or_create(path: &Path) -> Result<Connection, AccountError> {
    let conn = create(path, &MIGRATIONS)?;
    verify(path, &conn)?;
    let fault = |error: rusqlite::Error| AccountError::from(error).at(path);
    conn.query_row("pragma journal_mode = wal", [], |_| Ok(())).map_err(fault)?;
    conn.execute_batch(WRITER_PRAGMAS).map_err(fault)?;
    Ok(conn)
}

/// Opens a database to write, and makes it by these migrations where there is none. What is there is left as it is.
pub(super) fn create(path: &Path, migrations: &[&str]) -> Result<Connection, AccountError> {
    // SQLite would create the file for everyone to read; its companions take their mode from it.
    drop(private().open(path).map_err(AccountError::io(path))?);
    let mut conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let fill = |conn: &mut Connection| -> Result<(), AccountError> {
        // A creation that was cut short leaves no table and no mark: an empty database is nobody's.
        if is_blank(conn)? { migrate(conn, migrations) } else { Ok(()) }
    };
    fill(&mut conn).map_err(|error| error.at(path))?;
    Ok(conn)
}

/// Opens a store that is there, whatever its version, to write; with that version.
pub(super) fn open_any_version(path: &Path) -> Result<(Connection, i32), AccountError> {
    let version = version_of(path)?;
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    conn.execute_batch(WRITER_PRAGMAS).map_err(|error| AccountError::from(error).at(path))?;
    Ok((conn, version))
}

/// Opens a connection that cannot write.
pub(super) fn open_reader(path: &Path) -> Result<Connection, AccountError> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    conn.execute_batch("pragma query_only = on").map_err(|error| AccountError::from(error).at(path))?;
    Ok(conn)
}

/// The version of a sound store that is there, and not newer than this program.
pub(super) fn version_of(path: &Path) -> Result<i32, AccountError> {
    if !exists(path)? {
        return Err(AccountError::Missing { path: path.into() });
    }
    let conn = open_reader(path)?;
    let found = verify_kind(path, &conn)?;
    verify_whole(path, &conn)?;
    let expected = version();
    if found <= expected {
        Ok(found)
    } else {
        Err(AccountError::Newer { path: path.into(), found, expected })
    }
}

/// Brings a database from the version that it has to the newest, each step in a transaction of its own.
pub(super) fn migrate(conn: &mut Connection, migrations: &[&str]) -> Result<(), AccountError> {
    let from: i32 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (at, migration) in (1..).zip(migrations).skip(usize::try_from(from).unwrap_or(0)) {
        fail::fail_point!("account::before-migration");
        let transaction = conn.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        transaction.execute_batch(migration)?;
        transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
        transaction.pragma_update(None, "user_version", at)?;
        fail::fail_point!("account::before-migration-commit");
        transaction.commit()?;
    }
    Ok(())
}

/// Refuses whatever is not a sound store of this version.
pub(super) fn verify(path: &Path, conn: &Connection) -> Result<(), AccountError> {
    let found = verify_kind(path, conn)?;
    verify_whole(path, conn)?;
    let expected = version();
    match found {
        found if found == expected => Ok(()),
        found if found < expected => Err(AccountError::Older { path: path.into(), found, expected }),
        found => Err(AccountError::Newer { path: path.into(), found, expected }),
    }
}

/// Refuses another program's file by its mark; returns the version.
fn verify_kind(path: &Path, conn: &Connection) -> Result<i32, AccountError> {
    let number = |name| {
        let number = conn.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        number.map_err(|error| AccountError::from(error).at(path))
    };
    if number("application_id")? != APPLICATION_ID {
        return Err(AccountError::Foreign { path: path.into() });
    }
    number("user_version")
}

/// Refuses a damaged file. The store is small, so that all of it is looked at.
fn verify_whole(path: &Path, conn: &Connection) -> Result<(), AccountError> {
    let first = conn.query_row("pragma integrity_check(1)", [], |row| row.get::<_, String>(0));
    let first = first.map_err(|error| AccountError::from(error).at(path))?;
    if first == "ok" { Ok(()) } else { Err(AccountError::Damaged { path: path.into(), detail: first }) }
}

fn is_blank(conn: &Connection) -> Result<bool, AccountError> {
    let tables: i64 = conn.query_row("select count(*) from sqlite_schema", [], |row| row.get(0))?;
    let mark: i32 = conn.pragma_query_value(None, "application_id", |row| row.get(0))?;
    Ok(tables == 0 && mark == 0)
}

fn connect(path: &Path, mode: OpenFlags) -> Result<Connection, AccountError> {
    let open = || -> Result<Connection, AccountError> {
        // Without `SQLITE_OPEN_URI`, a path is a path whatever it begins with.
        let conn = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        conn.busy_timeout(PATIENCE)?;
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        conn.execute_batch(PRAGMAS)?;
        Ok(conn)
    };
    open().map_err(|error| error.at(path))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::account::AccountStore;

    const FIRST: &str = "create table a (id integer primary key, name text not null) strict;";
    const SECOND: &str = "alter table a add column more text; update a set more = name || '!';";
    const WRONG: &str = "create table b (id integer primary key) strict; insert into nowhere values (1);";

    fn version_in(conn: &Connection) -> i32 {
        conn.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
    }

    #[test]
    fn each_migration_is_done_once_and_wholly_and_rows_are_kept() {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, &[FIRST]).unwrap();
        conn.execute("insert into a (name) values ('ada')", []).unwrap();
        assert!(migrate(&mut conn, &[FIRST, WRONG]).is_err());
        let tables: i64 = conn.query_row("select count(*) from sqlite_schema", [], |row| row.get(0)).unwrap();
        assert_eq!((version_in(&conn), tables), (1, 1), "nothing is left of what failed");
        for _ in 0..2 {
            migrate(&mut conn, &[FIRST, SECOND]).unwrap();
            let more: String = conn.query_row("select more from a", [], |row| row.get(0)).unwrap();
            assert_eq!((version_in(&conn), more.as_str()), (2, "ada!"));
        }
    }

    #[test]
    fn a_store_of_another_version_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("account.db");
        drop(AccountStore::open(&path, None).unwrap());
        let told = |found: i32| {
            Connection::open(&path).unwrap().pragma_update(None, "user_version", found).unwrap();
            AccountStore::open(&path, None).unwrap_err().to_string()
        };
        assert!(told(version() - 1).contains("`appviewd account migrate`"));
        assert!(told(version() + 1).contains("a newer appviewd wrote it"));
    }

    #[test]
    fn every_connection_overwrites_what_it_deletes_and_the_writer_waits_for_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("account.db");
        let writer = open_or_create(&path).unwrap();
        let pragma = |conn: &Connection, name: &str| -> String {
            conn.pragma_query_value(None, name, |row| {
                let value: rusqlite::types::Value = row.get(0)?;
                Ok(format!("{value:?}"))
            })
            .unwrap()
        };
        for conn in [&writer, &open_reader(&path).unwrap()] {
            for (name, on) in [("secure_delete", "1"), ("foreign_keys", "1"), ("trusted_schema", "0")] {
                assert_eq!(pragma(conn, name), format!("Integer({on})"), "{name}");
            }
            assert_eq!(pragma(conn, "journal_mode"), "Text(\"wal\")");
        }
        assert_eq!(pragma(&writer, "synchronous"), "Integer(2)");
        for file in ["account.db", "account.db-wal", "account.db-shm"] {
            let mode = std::fs::metadata(folder.path().join(file)).unwrap().permissions();
            let mode = std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777;
            assert_eq!(mode, 0o600, "{file}");
        }
    }

    #[test]
    fn one_process_at_a_time_has_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("account.db");
        let first = AccountStore::open(&path, None).unwrap();
        let told = AccountStore::open(&path, None).unwrap_err().to_string();
        assert!(told.contains("in use by another appviewd"), "{told}");
        drop(first);
        AccountStore::open(&path, None).unwrap();
    }
}
