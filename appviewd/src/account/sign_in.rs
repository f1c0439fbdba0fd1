//! Sign-ins that have begun at an authorization server and have not come back.
//!
//! What must be had again when the browser returns enters, and is sealed; it leaves once, to the browser that it began in, within ten
//! minutes. Deliberately absent: what it is.

use rusqlite::{OptionalExtension as _, named_params};

use super::seal::{Label, Purpose};
use super::{AccountError, AccountStore, hash, hex, micros, moment};
use crate::secret::Secret;

/// How long a person may take to approve, in microseconds.
const PATIENCE: u64 = 10 * 60 * 1_000_000;
/// How many may have begun at a time, over all people.
const MOST: u32 = 10_000;

const SWEEP: &str = "delete from sign_in where expires_at <= :now";

const COUNT: &str = "select count(*) from sign_in";

const INSERT: &str = "
    insert into sign_in (state, browser, sealed, expires_at) values (:state, :browser, :sealed, :expires)";

const TAKE: &str = "delete from sign_in where state = :state returning browser, sealed, expires_at";

impl AccountStore {
    /// Keeps what a sign-in needs when it comes back. `state` is what the server will bring back, `browser` what the browser's cookie
    /// holds; both must be random.
    ///
    /// # Errors
    ///
    /// [`AccountError::SessionsOff`], [`AccountError::TooMany`], or the store cannot be written.
    pub fn begin_sign_in(
        &self,
        state: &Secret<String>,
        browser: &Secret<String>,
        kept: &[u8],
        now: u64,
    ) -> Result<(), AccountError> {
        let state = hash(state.expose().as_bytes());
        self.write(|transaction| {
            transaction.prepare_cached(SWEEP)?.execute(named_params! {":now": moment(now)})?;
            let begun: i64 = transaction.prepare_cached(COUNT)?.query_row([], |row| row.get(0))?;
            if begun >= i64::from(MOST) {
                return Err(AccountError::TooMany { what: "sign-ins at a time", limit: MOST });
            }
            transaction.prepare_cached(INSERT)?.execute(named_params! {
                ":state": state,
                ":browser": hash(browser.expose().as_bytes()),
                ":sealed": self.seal(label(&hex(&state)), kept)?,
                ":expires": moment(now.saturating_add(PATIENCE)),
            })?;
            Ok(())
        })
    }

    /// Takes what was kept, which nobody can take again, whatever comes of it. Nothing if there is no such sign-in, if it took longer
    /// than ten minutes, or if it began in another browser.
    ///
    /// # Errors
    ///
    /// It does not open, or the store cannot be written.
    pub fn take_sign_in(
        &self,
        state: &Secret<String>,
        browser: &Secret<String>,
        now: u64,
    ) -> Result<Option<Secret<Vec<u8>>>, AccountError> {
        let state = hash(state.expose().as_bytes());
        let taken = self.write(|transaction| {
            let read = |row: &rusqlite::Row<'_>| {
                Ok((row.get::<_, [u8; 32]>("browser")?, row.get("sealed")?, micros(row, "expires_at")?))
            };
            let mut take = transaction.prepare_cached(TAKE)?;
            Ok(take.query_row(named_params! {":state": state}, read).optional()?)
        })?;
        let Some((begun_in, sealed, expires_at)): Option<([u8; 32], Vec<u8>, u64)> = taken else {
            return Ok(None);
        };
        if expires_at <= now || !Secret::new(begun_in).is(hash(browser.expose().as_bytes())) {
            return Ok(None);
        }
        self.unseal(label(&hex(&state)), &sealed).map(Some)
    }
}

fn label(subject: &str) -> Label<'_> {
    Label { purpose: Purpose::SignIn, subject, generation: 0 }
}
