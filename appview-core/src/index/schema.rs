//! The file's format: its marks, its tables, its pragmas; open or refuse.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::lock::{SwapLock, open_private};
use super::{Fault, IndexError, number_of};
use crate::record::Collection;

/// The number in `application_id` that tells an index from every other SQLite file: `ccix` in ASCII.
pub const APPLICATION_ID: i32 = 0x6363_6978;

/// The number in `user_version`. Another one, older or newer, is refused: there are no migrations.
pub const SCHEMA_VERSION: i32 = 4;

const TABLES: &str = include_str!("schema.sql");

/// How long a connection waits for another one.
const PATIENCE: Duration = Duration::from_secs(5);

/// For every connection. `secure_delete` is on so that an erased record's bytes are overwritten, not only unlinked.
const PRAGMAS: &str = "
    pragma foreign_keys = on;
    pragma trusted_schema = off;
    pragma secure_delete = on;
    pragma temp_store = memory;
    pragma cell_size_check = on;
";

/// For the writer. 32,768 pages are a log of 256 MB, which is as long as it gets while it can be written back; to cut it
/// shorter each time would have the file system look for the same space again.
const WRITER_PRAGMAS: &str = "
    pragma synchronous = normal;
    pragma wal_autocheckpoint = 32768;
    pragma journal_size_limit = 268435456;
    pragma cache_size = -65536;
";

/// For a new file. Three receipts fill a page of 4 KiB and leave a fourth of it empty; seven fill one of 8. Larger pages
/// would have each commit write more of them in vain, since its rows belong to as many places as the index has lists.
const NEW_PRAGMAS: &str = "pragma page_size = 8192";

/// For filling a file that nobody else sees, that holds nothing but what this process wrote, and that is thrown away if
/// anything fails.
const BULK_PRAGMAS: &str = "
    pragma locking_mode = exclusive;
    pragma journal_mode = off;
    pragma synchronous = off;
    pragma cell_size_check = off;
    pragma cache_size = -262144;
";

/// For readers. The file is not mapped: a page that is mapped is checked (`cell_size_check`) each time it is visited, one in
/// the cache once, which makes a page of a list twice as quick. And whatever of a mapped file was read counts as memory. Each connection
/// keeps its cache for as long as it is kept; what does not fit into 8 MiB is read again from the system's.
const READER_PRAGMAS: &str = "
    pragma query_only = on;
    pragma cache_size = -8192;
";

/// Prepared statements that a connection keeps: more than this crate has.
const STATEMENTS: usize = 192;

/// Whether there is a file with anything in it. SQLite itself takes an empty file for a database without tables.
pub(super) fn exists(path: &Path) -> Result<bool, IndexError> {
    match std::fs::metadata(path) {
        Ok(metadata) => Ok(metadata.len() > 0),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(IndexError::io(path)(error)),
    }
}

/// Opens the writer's connection to an index.
pub(super) fn connect_writer(path: &Path) -> Result<Connection, IndexError> {
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let prepare = || -> Result<(), Fault> {
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        Ok(conn.execute_batch(WRITER_PRAGMAS)?)
    };
    prepare().map_err(Fault::at(path))?;
    verify_kind(path, &conn)?;
    Ok(conn)
}

/// Creates an index to be filled at once.
pub(super) fn connect_bulk(path: &Path) -> Result<Connection, IndexError> {
    let conn = connect_new(path)?;
    let prepare = || -> Result<(), Fault> {
        conn.execute_batch(BULK_PRAGMAS)?;
        create_tables(&conn)
    };
    prepare().map_err(Fault::at(path))?;
    Ok(conn)
}

/// Opens an index that is about to be replaced, whatever its version, or nothing where there is no file.
///
/// Only another program's file is an error: a damaged one of ours is what a rebuild is for.
pub(super) fn connect_replaced(path: &Path) -> Result<Option<Connection>, IndexError> {
    if !exists(path)? {
        return Ok(None);
    }
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    match verify_kind(path, &conn) {
        Ok(()) | Err(IndexError::SchemaMismatch { .. }) => Ok(Some(conn)),
        Err(IndexError::Corrupt { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Refuses what may not be replaced. Writes nothing: the file may have a writer.
pub(super) fn verify_replaceable(path: &Path) -> Result<(), IndexError> {
    if !exists(path)? {
        return Ok(());
    }
    match connect_reader(path) {
        Ok(_) | Err(IndexError::SchemaMismatch { .. } | IndexError::Corrupt { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Opens a reader's connection to an index.
pub(super) fn connect_reader(path: &Path) -> Result<Connection, IndexError> {
    let _opening = SwapLock::for_opening(path)?;
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    conn.execute_batch(READER_PRAGMAS).map_err(Fault::at(path))?;
    verify_kind(path, &conn)?;
    Ok(conn)
}

/// Refuses whatever is not a sound index of this version.
pub(super) fn verify(path: &Path) -> Result<(), IndexError> {
    let conn = {
        // Until the first page is read, with which the connection gets its log: it must not be another file's.
        let _opening = SwapLock::for_opening(path)?;
        let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        verify_kind(path, &conn)?;
        conn
    };
    let first: String =
        conn.query_row("pragma quick_check(1)", [], |row| row.get(0)).map_err(Fault::at(path))?;
    if first == "ok" { Ok(()) } else { Err(IndexError::Corrupt { path: path.into(), detail: first }) }
}

/// Refuses what is not an index of this version, by its marks alone.
fn verify_kind(path: &Path, conn: &Connection) -> Result<(), IndexError> {
    let application = pragma(path, conn, "application_id")?;
    if application != APPLICATION_ID {
        return Err(IndexError::Foreign { path: path.into(), found: application });
    }
    let version = pragma(path, conn, "user_version")?;
    if version != SCHEMA_VERSION {
        return Err(IndexError::SchemaMismatch {
            path: path.into(),
            found: version,
            expected: SCHEMA_VERSION,
        });
    }
    Ok(())
}

fn pragma(path: &Path, conn: &Connection, name: &str) -> Result<i32, IndexError> {
    conn.pragma_query_value(None, name, |row| row.get(0)).map_err(Fault::at(path))
}

fn connect_new(path: &Path) -> Result<Connection, IndexError> {
    // SQLite would create the file for everyone to read; its companions take their mode from it.
    drop(open_private(path)?);
    let conn = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    conn.execute_batch(NEW_PRAGMAS).map_err(Fault::at(path))?;
    Ok(conn)
}

fn connect(path: &Path, mode: OpenFlags) -> Result<Connection, IndexError> {
    let open = || -> Result<Connection, Fault> {
        // Without `SQLITE_OPEN_URI`, a path is a path whatever it begins with.
        let conn = Connection::open_with_flags(path, mode | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        conn.busy_timeout(PATIENCE)?;
        // A plan must not depend on the values bound. Without this, SQLite compiles many a statement anew each time it
        // is used, because another value might deserve another plan: a third of the writer's time.
        conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        conn.set_prepared_statement_cache_capacity(STATEMENTS);
        conn.execute_batch(PRAGMAS)?;
        Ok(conn)
    };
    open().map_err(Fault::at(path))
}

fn create_tables(conn: &Connection) -> Result<(), Fault> {
    let known = Collection::ALL.iter().map(|known| format!("({}, '{known}')", number_of(*known)));
    let known = known.collect::<Vec<_>>().join(", ");
    conn.execute_batch(&format!(
        "begin immediate;
         {TABLES}
         insert into collection (id, nsid) values {known};
         pragma application_id = {APPLICATION_ID};
         pragma user_version = {SCHEMA_VERSION};
         commit;"
    ))?;
    Ok(())
}
