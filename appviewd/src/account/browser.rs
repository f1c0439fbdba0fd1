//! Browsers that are signed in: a cookie for each, held as its hash.
//!
//! A DID enters and a token leaves, once, for the cookie; then the token enters and the DID leaves, until the browser signs out
//! or the time is over. A token is made at every sign-in, so that none that was planted before is ever worth anything.
//! Deliberately absent: cookies.

use appview_core::syntax::Did;
use rusqlite::{OptionalExtension as _, named_params};

use super::{AccountError, AccountStore, did, hash, micros, moment};
use crate::secret::Secret;

/// How many browsers one person may have; the oldest is signed out beyond it.
const MOST: u32 = 50;

/// A browser that is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Browser {
    /// As whom.
    pub did: Did,
    /// Since when, in microseconds since the Unix epoch.
    pub since: u64,
    /// Until when.
    pub until: u64,
}

const SWEEP: &str = "delete from browser_session where expires_at <= :now";

const KEEP_NEWEST: &str = "
    delete from browser_session where token in
    (select token from browser_session where did = :did order by created_at desc limit -1 offset :most)";

const INSERT: &str = "
    insert into browser_session (token, did, created_at, expires_at) values (:token, :did, :now, :until)";

const SELECT: &str = "
    select did, created_at, expires_at from browser_session where token = :token and expires_at > :now";

const DELETE: &str = "delete from browser_session where token = :token";

const DELETE_ALL: &str = "delete from browser_session where did = :did";

impl AccountStore {
    /// Signs a browser in until a moment; the token is 43 characters of base64url, for its cookie.
    ///
    /// # Errors
    ///
    /// No token can be made, or the store cannot be written.
    pub fn sign_browser_in(&self, did: &Did, until: u64, now: u64) -> Result<Secret<String>, AccountError> {
        let token = Secret::<[u8; 32]>::random()?.to_base64url();
        self.write(|transaction| {
            transaction.prepare_cached(SWEEP)?.execute(named_params! {":now": moment(now)})?;
            transaction.prepare_cached(INSERT)?.execute(named_params! {
                ":token": hash(token.expose().as_bytes()),
                ":did": did.as_str(),
                ":now": moment(now),
                ":until": moment(until),
            })?;
            let mut keep = transaction.prepare_cached(KEEP_NEWEST)?;
            keep.execute(named_params! {":did": did.as_str(), ":most": MOST})?;
            Ok(())
        })?;
        Ok(token)
    }

    /// Who is signed in with this token, if anyone.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn browser(&self, token: &Secret<String>, now: u64) -> Result<Option<Browser>, AccountError> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(SELECT)?;
            let wanted = named_params! {":token": hash(token.expose().as_bytes()), ":now": moment(now)};
            let found = statement.query_row(wanted, |row| {
                Ok(did(row, "did").and_then(|did| {
                    Ok(Browser { did, since: micros(row, "created_at")?, until: micros(row, "expires_at")? })
                }))
            });
            found.optional()?.transpose()
        })
    }

    /// Signs one browser out; whether it was signed in.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    pub fn sign_browser_out(&self, token: &Secret<String>) -> Result<bool, AccountError> {
        self.write(|transaction| {
            let mut delete = transaction.prepare_cached(DELETE)?;
            Ok(delete.execute(named_params! {":token": hash(token.expose().as_bytes())})? > 0)
        })
    }

    /// Signs every browser of a person out; how many.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    pub fn sign_browsers_out(&self, did: &Did) -> Result<usize, AccountError> {
        self.write(|transaction| {
            Ok(transaction.prepare_cached(DELETE_ALL)?.execute(named_params! {":did": did.as_str()})?)
        })
    }
}
