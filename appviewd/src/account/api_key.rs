//! API keys: made once, shown once, held as a SHA-256 alone.
//!
//! A name enters and a key leaves; from then on the key enters, and whoever it belongs to leaves, unless it is unknown, revoked or
//! over. The three are one answer. A look-up reads by hash and compares in constant time, and writes nothing: when a key was
//! last used is gathered in memory, and written once a minute for all of them ([`AccountStore::write_key_uses`]).
//! Deliberately absent: who may do this.

use std::str::FromStr;

use appview_core::syntax::Did;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, named_params};

use super::audit::note;
use super::{AccountError, AccountStore, Action, Actor, Entry, did, hash, micros, moment};
use crate::secret::Secret;

/// What every key begins with.
pub const PREFIX: &str = "cocore-";
/// How many characters follow: 32 bytes in base64url.
const DIGITS: usize = 43;
/// How many characters of a key its owner is shown later on.
const SHOWN: usize = 15;
/// How many keys of one person may be good at a time.
const MOST: u32 = 50;
/// Longest name, in UTF-16 code units.
const LONGEST_NAME: usize = 100;

/// What a person calls a key: 1 to 100 UTF-16 code units.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyName(String);

impl KeyName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A name that is too short or too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 1 to {LONGEST_NAME} characters, found {found}")]
pub struct KeyNameError {
    found: usize,
}

impl FromStr for KeyName {
    type Err = KeyNameError;

    fn from_str(text: &str) -> Result<Self, KeyNameError> {
        match text.encode_utf16().count() {
            1..=LONGEST_NAME => Ok(Self(text.to_owned())),
            found => Err(KeyNameError { found }),
        }
    }
}

/// A key, without what makes it one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// Its name for machines, a UUID.
    pub id: String,
    /// Whose it is.
    pub did: Did,
    /// Its name for people.
    pub name: String,
    /// Its first 15 characters.
    pub prefix: String,
    /// Since when there is one, in microseconds since the Unix epoch, as are the others.
    pub created_at: u64,
    /// From when on it is over.
    pub expires_at: Option<u64>,
    /// Since when it is revoked.
    pub revoked_at: Option<u64>,
    /// When it was last used, to a minute.
    pub last_used_at: Option<u64>,
}

/// How far a revocation or a deletion reaches.
#[derive(Debug, Clone, Copy)]
pub enum KeyOf<'a> {
    /// Only a key of this person.
    Person(&'a Did),
    /// Whosever it is: an operator's.
    Anyone,
}

const INSERT: &str = "
    insert into api_key (id, did, name, prefix, hash, created_at, expires_at)
    values (:id, :did, :name, :prefix, :hash, :now, :expires)";

const COUNT_LIVE: &str = "
    select count(*) from api_key
    where did = :did and revoked_at is null and (expires_at is null or expires_at > :now)";

const COLUMNS: &str = "id, did, name, prefix, created_at, expires_at, revoked_at, last_used_at";

/// What is no good is not read, so that it takes as long as what is not there.
const BY_HASH: &str = "
    select id, did, name, prefix, created_at, expires_at, revoked_at, last_used_at, hash from api_key
    where hash = :hash and revoked_at is null and (expires_at is null or expires_at > :now)";

const REVOKE: &str = "
    update api_key set revoked_at = :now
    where id = :id and (:did is null or did = :did) and revoked_at is null returning did";

const REVOKE_ALL: &str = "update api_key set revoked_at = :now where did = :did and revoked_at is null";

const DELETE: &str = "delete from api_key where id = :id and (:did is null or did = :did) returning did";

const USED: &str = "
    update api_key set last_used_at = :at where id = :id and (last_used_at is null or last_used_at < :at)";

impl AccountStore {
    /// Makes a key. What is returned beside it is the key itself, and the only time that it is anywhere.
    ///
    /// # Errors
    ///
    /// [`AccountError::TooMany`], or the store cannot be written.
    pub fn mint_key(
        &self,
        did: &Did,
        name: &KeyName,
        expires_at: Option<u64>,
        actor: Actor,
        now: u64,
    ) -> Result<(ApiKey, Secret<String>), AccountError> {
        self.write(|transaction| mint(transaction, did, name, expires_at, actor, now))
    }

    /// Whose key this is, if it is good, and notes that it was used. What is malformed, unknown, revoked or over is none.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn key(&self, text: &Secret<String>, now: u64) -> Result<Option<ApiKey>, AccountError> {
        if !is_key(text.expose()) {
            return Ok(None);
        }
        let hash = hash(text.expose().as_bytes());
        let found = self.read(|conn| {
            let mut statement = conn.prepare_cached(BY_HASH)?;
            let read =
                |row: &Row<'_>| Ok(read(row).and_then(|key| Ok((key, row.get::<_, [u8; 32]>("hash")?))));
            let wanted = named_params! {":hash": hash, ":now": moment(now)};
            statement.query_row(wanted, read).optional()?.transpose()
        })?;
        let key = found.filter(|(_, stored)| Secret::new(*stored).is(hash)).map(|(key, _)| key);
        if let Some(key) = &key {
            self.uses().insert(key.id.clone(), now);
        }
        Ok(key)
    }

    /// The keys of a person, or of all, newest first; revoked ones and those that are over as well.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn keys(&self, of: KeyOf<'_>) -> Result<Vec<ApiKey>, AccountError> {
        let mut keys = self.read(|conn| {
            let mut statement = conn.prepare_cached(&format!(
                "select {COLUMNS} from api_key where :did is null or did = :did order by created_at desc, id"
            ))?;
            let mut rows = statement.query(named_params! {":did": of.did()})?;
            let mut keys = Vec::new();
            while let Some(row) = rows.next()? {
                keys.push(read(row)?);
            }
            Ok(keys)
        })?;
        let uses = self.uses();
        for key in &mut keys {
            key.last_used_at = key.last_used_at.max(uses.get(&key.id).copied());
        }
        Ok(keys)
    }

    /// Revokes a key, which stays in the list. False if it is unknown, another's, or revoked already.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    pub fn revoke_key(&self, of: KeyOf<'_>, id: &str, actor: Actor, now: u64) -> Result<bool, AccountError> {
        self.write(|transaction| {
            let mut statement = transaction.prepare_cached(REVOKE)?;
            let wanted = named_params! {":id": id, ":did": of.did(), ":now": moment(now)};
            let revoked = statement.query_row(wanted, |row| Ok(did(row, "did"))).optional()?.transpose()?;
            if let Some(did) = &revoked {
                note(transaction, did, &Entry::new(now, Action::KeyRevoked, actor).to(id))?;
            }
            Ok(revoked.is_some())
        })
    }

    /// Revokes every key of a person; how many there were.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    pub fn revoke_keys(&self, did: &Did, actor: Actor, now: u64) -> Result<usize, AccountError> {
        self.write(|transaction| {
            let mut statement = transaction.prepare_cached(REVOKE_ALL)?;
            let revoked = statement.execute(named_params! {":did": did.as_str(), ":now": moment(now)})?;
            if revoked > 0 {
                note(transaction, did, &Entry::new(now, Action::KeyRevoked, actor).to("all"))?;
            }
            Ok(revoked)
        })
    }

    /// Deletes a key: nothing is left of it but that it was. False if it is unknown or another's.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    pub fn delete_key(&self, of: KeyOf<'_>, id: &str, actor: Actor, now: u64) -> Result<bool, AccountError> {
        self.write(|transaction| {
            let mut statement = transaction.prepare_cached(DELETE)?;
            let wanted = named_params! {":id": id, ":did": of.did()};
            let deleted = statement.query_row(wanted, |row| Ok(did(row, "did"))).optional()?.transpose()?;
            if let Some(did) = &deleted {
                note(transaction, did, &Entry::new(now, Action::KeyDeleted, actor).to(id))?;
            }
            Ok(deleted.is_some())
        })
    }

    /// Writes when keys were last used, as far as it is not written: to be called once a minute, and before the end.
    ///
    /// # Errors
    ///
    /// The store cannot be written. What was gathered is then lost, and worth no more than that.
    pub fn write_key_uses(&self) -> Result<(), AccountError> {
        let uses = std::mem::take(&mut *self.uses());
        if uses.is_empty() {
            return Ok(());
        }
        self.write(|transaction| {
            let mut statement = transaction.prepare_cached(USED)?;
            for (id, at) in &uses {
                statement.execute(named_params! {":id": id, ":at": moment(*at)})?;
            }
            Ok(())
        })
    }
}

impl KeyOf<'_> {
    fn did(&self) -> Option<&str> {
        match self {
            Self::Person(did) => Some(did.as_str()),
            Self::Anyone => None,
        }
    }
}

/// Makes a key within a transaction.
pub(super) fn mint(
    transaction: &Transaction<'_>,
    did: &Did,
    name: &KeyName,
    expires_at: Option<u64>,
    actor: Actor,
    now: u64,
) -> Result<(ApiKey, Secret<String>), AccountError> {
    has_room(transaction, did, now)?;
    let secret = Secret::new([PREFIX, Secret::<[u8; 32]>::random()?.to_base64url().expose()].concat());
    let key = ApiKey {
        id: uuid()?,
        did: did.clone(),
        name: name.as_str().to_owned(),
        prefix: secret.expose().chars().take(SHOWN).collect(),
        created_at: now,
        expires_at,
        revoked_at: None,
        last_used_at: None,
    };
    transaction.prepare_cached(INSERT)?.execute(named_params! {
        ":id": key.id,
        ":did": did.as_str(),
        ":name": key.name,
        ":prefix": key.prefix,
        ":hash": hash(secret.expose().as_bytes()),
        ":now": moment(now),
        ":expires": expires_at.map(moment),
    })?;
    note(transaction, did, &Entry::new(now, Action::KeyMinted, actor).to(&key.id))?;
    Ok((key, secret))
}

/// Whether a person may have another key.
pub(super) fn has_room(conn: &Connection, did: &Did, now: u64) -> Result<(), AccountError> {
    let mut statement = conn.prepare_cached(COUNT_LIVE)?;
    let wanted = named_params! {":did": did.as_str(), ":now": moment(now)};
    match statement.query_row(wanted, |row| row.get::<_, i64>(0))? < i64::from(MOST) {
        true => Ok(()),
        false => Err(AccountError::TooMany { what: "keys of one account that are good", limit: MOST }),
    }
}

/// Whether it looks like a key at all: what does not is never hashed.
fn is_key(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    text.strip_prefix(PREFIX).is_some_and(|digits| digits.len() == DIGITS && digits.bytes().all(is_digit))
}

fn read(row: &Row<'_>) -> Result<ApiKey, AccountError> {
    let maybe = |column: &str| -> rusqlite::Result<Option<u64>> {
        Ok(row.get::<_, Option<i64>>(column)?.and_then(|at| u64::try_from(at).ok()))
    };
    Ok(ApiKey {
        id: row.get("id")?,
        did: did(row, "did")?,
        name: row.get("name")?,
        prefix: row.get("prefix")?,
        created_at: micros(row, "created_at")?,
        expires_at: maybe("expires_at")?,
        revoked_at: maybe("revoked_at")?,
        last_used_at: maybe("last_used_at")?,
    })
}

/// A random UUID, version 4.
fn uuid() -> Result<String, AccountError> {
    let bits = u128::from_be_bytes(*Secret::<[u8; 16]>::random()?.expose());
    let bits = bits & !(0xf << 76) & !(0b11 << 62) | 0x4 << 76 | 0b10 << 62;
    let digits = format!("{bits:032x}");
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| digits.get(range).unwrap_or_default());
    Ok(parts.join("-"))
}
