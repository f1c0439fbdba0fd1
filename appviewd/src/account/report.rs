//! Bug reports that people's machines send: a row here, the bytes in a file, which nobody looks into.
//!
//! Bytes enter and a ticket leaves. What is in them may be anything, so that the file is its owner's alone and goes with the rest of
//! what is held of a person. Deliberately absent: reading one.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use appview_core::syntax::Did;
use rusqlite::{Transaction, named_params};

use super::{AccountError, AccountStore, hash, hex, moment};
use crate::secret::Secret;

/// How far back the allowance of a person looks, in microseconds.
const DAY: u64 = 24 * 60 * 60 * 1_000_000;
/// How many reports one person may send in that time.
const MOST: u32 = 10;
/// How many bytes.
const MOST_BYTES: i64 = 262_144_000;
/// The folder beside the store.
const FOLDER: &str = "bug-reports";

const SENT: &str = "
    select count(*) as reports, coalesce(sum(bytes), 0) as bytes from bug_report
    where did = :did and created_at > :since";

const INSERT: &str = "
    insert into bug_report (ticket, did, file, bytes, created_at) values (:ticket, :did, :file, :bytes, :now)";

const DELETE: &str = "delete from bug_report where ticket = :ticket";

impl AccountStore {
    /// Keeps a report; returns its ticket, `br_` and 8 hexadecimal digits.
    ///
    /// # Errors
    ///
    /// [`AccountError::TooMany`] beyond 10 reports or 262,144,000 bytes a day; or nothing can be written.
    pub fn keep_report(&self, did: &Did, bytes: &[u8], now: u64) -> Result<String, AccountError> {
        let ticket = format!("br_{}", hex(Secret::<[u8; 4]>::random()?.expose()));
        let whose: String = hex(&hash(did.as_str().as_bytes())).chars().take(12).collect();
        let file = format!("{ticket}-{whose}.tar.gz");
        let size = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        // The row first: a file without a row would outlive its owner.
        self.write(|transaction| {
            room(transaction, did, size, now)?;
            transaction.prepare_cached(INSERT)?.execute(named_params! {
                ":ticket": ticket,
                ":did": did.as_str(),
                ":file": file,
                ":bytes": size,
                ":now": moment(now),
            })?;
            Ok(())
        })?;
        let folder = self.report_folder();
        let path = folder.join(&file);
        if let Err(error) = write(&folder, &path, bytes) {
            self.write(|transaction| {
                transaction.prepare_cached(DELETE)?.execute(named_params! {":ticket": ticket})?;
                Ok(())
            })?;
            return Err(AccountError::Io { path, error });
        }
        Ok(ticket)
    }

    /// Where the files are.
    pub(super) fn report_folder(&self) -> PathBuf {
        self.path().parent().unwrap_or(Path::new(".")).join(FOLDER)
    }
}

fn room(transaction: &Transaction<'_>, did: &Did, more: i64, now: u64) -> Result<(), AccountError> {
    let mut statement = transaction.prepare_cached(SENT)?;
    let since = named_params! {":did": did.as_str(), ":since": moment(now.saturating_sub(DAY))};
    let (reports, bytes): (i64, i64) =
        statement.query_row(since, |row| Ok((row.get("reports")?, row.get("bytes")?)))?;
    if reports >= i64::from(MOST) {
        return Err(AccountError::TooMany { what: "reports a day", limit: MOST });
    }
    if bytes.saturating_add(more) > MOST_BYTES {
        return Err(AccountError::TooMany { what: "megabytes of reports a day", limit: 262 });
    }
    Ok(())
}

fn write(folder: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
