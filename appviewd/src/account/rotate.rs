//! Sealing everything with the keyring's first key, so that the others may be forgotten.
//!
//! A store enters; how many rows were sealed anew leaves. Each is written in a transaction of its own: wherever it ends, every row
//! opens with a key of the ring. Deliberately absent: telling whoever issued the tokens. If a key was seen by others, the
//! tokens that it sealed are to be revoked as well.

use rusqlite::{Row, named_params};

use super::seal::{Label, Purpose};
use super::{AccountError, AccountStore};

/// A row that another key has sealed.
struct Sealed {
    rowid: i64,
    did: String,
    generation: i64,
    bytes: Vec<u8>,
}

/// What is kept for long: its table, its purpose, and its writing.
const KEPT: [(&str, Purpose, &str); 2] =
    [("session", Purpose::Session, "generation"), ("revocation", Purpose::Revocation, "0")];

/// What is over in minutes, and is begun again instead.
const PASSING: [&str; 2] = ["sign_in", "pairing"];

impl AccountStore {
    /// Seals whatever another key of the ring has sealed with the first one; how many rows there were.
    ///
    /// # Errors
    ///
    /// [`AccountError::SessionsOff`] without a keyring; something does not open, or the store cannot be written. Everything still opens
    /// with the ring.
    pub fn rotate(&self) -> Result<usize, AccountError> {
        let first = self.ring()?.first();
        let mut rows = 0;
        for (table, purpose, generation) in KEPT {
            let others = format!(
                "select rowid as row, did, {generation} as generation, sealed from {table}
                 where sealed is not null and substr(sealed, 2, 8) <> :first limit 1"
            );
            let update = format!("update {table} set sealed = :sealed where rowid = :rowid");
            loop {
                fail::fail_point!("account::before-reseal");
                let resealed = self.write(|transaction| {
                    let mut statement = transaction.prepare_cached(&others)?;
                    let mut found = statement.query(named_params! {":first": first.bytes()})?;
                    let Some(row) = found.next()? else { return Ok(false) };
                    let Sealed { rowid, did, generation, bytes } = read(row)?;
                    let label = Label { purpose, subject: &did, generation };
                    let sealed = self.seal(label, self.unseal(label, &bytes)?.expose())?;
                    let mut update = transaction.prepare_cached(&update)?;
                    update.execute(named_params! {":sealed": sealed, ":rowid": rowid})?;
                    Ok(true)
                })?;
                if !resealed {
                    break;
                }
                rows += 1;
            }
        }
        self.write(|transaction| {
            for table in PASSING {
                let delete = format!(
                    "delete from {table} where sealed is not null and substr(sealed, 2, 8) <> :first"
                );
                transaction.execute(&delete, named_params! {":first": first.bytes()})?;
            }
            Ok(())
        })?;
        self.clear_log()?;
        Ok(rows)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Sealed> {
    Ok(Sealed {
        rowid: row.get("row")?,
        did: row.get("did")?,
        generation: row.get("generation")?,
        bytes: row.get("sealed")?,
    })
}
