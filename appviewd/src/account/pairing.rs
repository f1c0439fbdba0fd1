//! Devices that ask to be paired: from a code that their owner types to a key of their own.
//!
//! A device begins and gets a name for itself and a code to show. Whoever is signed in approves or denies the code. The device, by its
//! name, then gets what it was approved for, once; a key is made only at that moment, so that none exists that nobody
//! has. Ten minutes after the beginning it is over, and ten later forgotten. Deliberately absent: who may approve.

use appview_core::syntax::Did;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, named_params};

use super::api_key::{KeyName, has_room, mint};
use super::audit::note;
use super::seal::{Label, Purpose};
use super::{AccountError, AccountStore, Action, Actor, ApiKey, Entry, did, hash, hex, micros, moment};
use crate::secret::{NoRandomness, Secret};

/// How long a person has to approve, and the device to come for it, in microseconds.
pub const PAIRING_LASTS: u64 = 10 * 60 * 1_000_000;
/// How much longer it is told how it ended.
const REMEMBERED: u64 = 2 * PAIRING_LASTS;
/// How many there may be at a time, over all devices.
const MOST: u32 = 10_000;
/// What codes are made of: letters and digits that are not taken for each other.
const ALPHABET: &[u8; 31] = b"ABCDEFGHJKMNPQRSTUVWXYZ23456789";
/// Length of a code.
const CODE: usize = 8;

/// What a device gets when it begins.
#[derive(Debug)]
pub struct NewPairing {
    /// What it asks by: 32 hexadecimal digits.
    pub device: Secret<String>,
    /// What it shows: 8 characters.
    pub code: Secret<String>,
}

/// How a pairing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PairingState {
    /// Nobody has said anything.
    Pending,
    /// The device may come for it.
    Approved,
    /// It was turned down.
    Denied,
    /// The device has it.
    Consumed,
    /// It took too long.
    Expired,
}

/// What a device gets that was approved.
#[derive(Debug)]
pub enum Granted {
    /// A key that was made for it just then, with its owner.
    Key(ApiKey, Secret<String>),
    /// What whoever approved it had for it, with its owner.
    Handed(Did, Secret<Vec<u8>>),
}

/// What a device is told.
#[derive(Debug)]
pub enum Collected {
    /// There is no such pairing, or none any more.
    Unknown,
    /// There is nothing to be had, for this reason.
    Nothing(PairingState),
    /// It is approved: here it is.
    Granted(Granted),
}

const SWEEP: &str = "delete from pairing where created_at <= :oldest";

const COUNT: &str = "select count(*) from pairing";

const INSERT: &str = "
    insert into pairing (device, code, state, created_at) values (:device, :code, 'pending', :now)";

const BY_CODE: &str = "select device, state, did, sealed, created_at from pairing where code = :hash";

const BY_DEVICE: &str = "select device, state, did, sealed, created_at from pairing where device = :hash";

const SETTLE: &str = "update pairing set state = :state, did = :did, sealed = :sealed where device = :device";

struct Stored {
    device: [u8; 32],
    state: PairingState,
    did: Option<Did>,
    sealed: Option<Vec<u8>>,
}

impl AccountStore {
    /// Begins a pairing.
    ///
    /// # Errors
    ///
    /// [`AccountError::TooMany`], or the store cannot be written.
    pub fn begin_pairing(&self, now: u64) -> Result<NewPairing, AccountError> {
        let device = Secret::new(hex(Secret::<[u8; 16]>::random()?.expose()));
        let code = code()?;
        self.write(|transaction| {
            let oldest = moment(now.saturating_sub(REMEMBERED));
            transaction.prepare_cached(SWEEP)?.execute(named_params! {":oldest": oldest})?;
            let begun: i64 = transaction.prepare_cached(COUNT)?.query_row([], |row| row.get(0))?;
            if begun >= i64::from(MOST) {
                return Err(AccountError::TooMany { what: "devices that are paired at a time", limit: MOST });
            }
            transaction.prepare_cached(INSERT)?.execute(named_params! {
                ":device": hash(device.expose().as_bytes()),
                ":code": hash(code.expose().as_bytes()),
                ":now": moment(now),
            })?;
            Ok(())
        })?;
        Ok(NewPairing { device, code })
    }

    /// How the pairing with this code stands; none if there is no such one.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn pairing(&self, code: &Secret<String>, now: u64) -> Result<Option<PairingState>, AccountError> {
        Ok(self.read(|conn| select(conn, BY_CODE, code, now))?.map(|row| row.state))
    }

    /// Approves the pairing with this code, if it is pending, for a key to be made when the device comes for it, or for what is handed
    /// over. Returns how it stood before; none if there is no such one.
    ///
    /// # Errors
    ///
    /// [`AccountError::TooMany`] if the person has as many keys as one may have; [`AccountError::SessionsOff`] if something is handed
    /// over and cannot be sealed; or the store cannot be written.
    pub fn approve_pairing(
        &self,
        code: &Secret<String>,
        did: &Did,
        handed: Option<&Secret<Vec<u8>>>,
        now: u64,
    ) -> Result<Option<PairingState>, AccountError> {
        self.write(|transaction| {
            let Some(row) = select(transaction, BY_CODE, code, now)? else { return Ok(None) };
            if row.state == PairingState::Pending {
                let sealed = match handed {
                    Some(handed) => Some(self.seal(label(&hex(&row.device)), handed.expose())?),
                    None => has_room(transaction, did, now).map(|()| None)?,
                };
                settle(transaction, &row.device, ("approved", Some(did), sealed))?;
            }
            Ok(Some(row.state))
        })
    }

    /// Denies the pairing with this code, if it is pending. Returns how it stood before; none if there is no such one.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    pub fn deny_pairing(
        &self,
        code: &Secret<String>,
        now: u64,
    ) -> Result<Option<PairingState>, AccountError> {
        self.write(|transaction| {
            let Some(row) = select(transaction, BY_CODE, code, now)? else { return Ok(None) };
            if row.state == PairingState::Pending {
                settle(transaction, &row.device, ("denied", None, None))?;
            }
            Ok(Some(row.state))
        })
    }

    /// Gives a device what it was approved for, once.
    ///
    /// # Errors
    ///
    /// [`AccountError::TooMany`] if the person has as many keys as one may have by now, or the store cannot be written: nothing was
    /// given then.
    pub fn collect_pairing(
        &self,
        device: &Secret<String>,
        name: &KeyName,
        now: u64,
    ) -> Result<Collected, AccountError> {
        // Most of those who ask wait, and write nothing.
        match self.read(|conn| select(conn, BY_DEVICE, device, now))? {
            None => return Ok(Collected::Unknown),
            Some(row) if row.state != PairingState::Approved => return Ok(Collected::Nothing(row.state)),
            Some(_) => {}
        }
        self.write(|transaction| {
            let Some(row) = select(transaction, BY_DEVICE, device, now)? else {
                return Ok(Collected::Unknown);
            };
            let (PairingState::Approved, Some(did)) = (row.state, row.did) else {
                return Ok(Collected::Nothing(row.state));
            };
            settle(transaction, &row.device, ("consumed", Some(&did), None))?;
            note(transaction, &did, &Entry::new(now, Action::Paired, Actor::Service))?;
            let granted = match row.sealed {
                Some(sealed) => Granted::Handed(did, self.unseal(label(&hex(&row.device)), &sealed)?),
                None => {
                    let (key, secret) = mint(transaction, &did, name, None, Actor::Service, now)?;
                    Granted::Key(key, secret)
                }
            };
            Ok(Collected::Granted(granted))
        })
    }
}

fn settle(
    transaction: &Transaction<'_>,
    device: &[u8; 32],
    (state, did, sealed): (&str, Option<&Did>, Option<Vec<u8>>),
) -> Result<(), AccountError> {
    transaction.prepare_cached(SETTLE)?.execute(named_params! {
        ":device": device,
        ":state": state,
        ":did": did.map(Did::as_str),
        ":sealed": sealed,
    })?;
    Ok(())
}

fn select(
    conn: &Connection,
    query: &str,
    secret: &Secret<String>,
    now: u64,
) -> Result<Option<Stored>, AccountError> {
    let mut statement = conn.prepare_cached(query)?;
    let wanted = named_params! {":hash": hash(secret.expose().as_bytes())};
    let found = statement.query_row(wanted, |row| Ok(read(row, now)));
    Ok(found.optional()?.transpose()?.flatten())
}

/// None where it is so old that it is only not deleted yet.
fn read(row: &Row<'_>, now: u64) -> Result<Option<Stored>, AccountError> {
    let state: String = row.get("state")?;
    let age = now.saturating_sub(micros(row, "created_at")?);
    let state = match state.as_str() {
        _ if age >= REMEMBERED => return Ok(None),
        "pending" | "approved" if age >= PAIRING_LASTS => PairingState::Expired,
        "pending" => PairingState::Pending,
        "approved" => PairingState::Approved,
        "denied" => PairingState::Denied,
        "consumed" => PairingState::Consumed,
        _ => return Err(AccountError::Unreadable { what: "state of a pairing", found: state }),
    };
    let has_did = row.get::<_, Option<String>>("did")?.is_some();
    let did = if has_did { Some(did(row, "did")?) } else { None };
    Ok(Some(Stored { device: row.get("device")?, state, did, sealed: row.get("sealed")? }))
}

/// A code, each as likely as the others.
fn code() -> Result<Secret<String>, NoRandomness> {
    let mut code = String::with_capacity(CODE);
    while code.len() < CODE {
        for byte in Secret::<[u8; 16]>::random()?.expose() {
            // 248 is 8 times 31; the bytes above would favour the first letters.
            let letter = (*byte < 248).then(|| ALPHABET.get(usize::from(*byte) % ALPHABET.len())).flatten();
            code.extend(letter.map(|letter| char::from(*letter)));
        }
    }
    code.truncate(CODE);
    Ok(Secret::new(code))
}

fn label(subject: &str) -> Label<'_> {
    Label { purpose: Purpose::Pairing, subject, generation: 0 }
}
