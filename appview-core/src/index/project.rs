//! From a record to its typed row: what its collection's table holds of it.
//!
//! A decoded record enters, at most one row leaves, and what it adds to the sums of others. Never fails on what an author
//! wrote: a member that is missing, of another type or senselessly long is null. Deliberately absent: any judgement of the
//! record.

use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};

use super::Fault;
use super::intern::Interned;
use super::standing::Work;
use crate::block::{Map, Value};
use crate::record::Collection;
use crate::syntax::{AtUri, Tid, datetime_unix_micros, is_did};

/// Longest name that is copied out of a record, in bytes: four times what the lexicons allow. Only a marked record has a
/// longer one.
const NAME_BYTES: usize = 1_024;

/// The most tokens that one receipt may add to a sum. No model reads as many; sums of a billion receipts fit.
pub(crate) const TOKENS: i64 = 1 << 32;

/// Most models of one machine: what its lexicon allows.
const MODELS: usize = 256;

/// The tier that is meant where a record has none, by the lexicon.
pub(crate) const NO_TIER: &str = "best-effort";

const ADD_RECEIPT: &str = "
    insert into receipt (
        record, provider, rkey, time, millis, requester, job, model, tier, tokens_in, tokens_out
    ) values (
        :record, :provider, :rkey, :time, :millis, :requester, :job, :model, :tier, :tokens_in, :tokens_out
    )";

const ADD_SETTLEMENT: &str = "
    insert into settlement (record, rkey, receipt, requester)
    values (:record, :rkey, :receipt, :requester)";

const ADD_PROVIDER: &str = "
    insert into provider (record, owner, rkey, trust_level, tier, key)
    values (:record, :owner, :rkey, :trust_level, :tier, :key)";

const ADD_PROVIDER_MODEL: &str = "
    insert into provider_model (record, model, rkey, owner) values (:record, :model, :rkey, :owner)
    on conflict do nothing";

const ADD_DISPUTE: &str = "
    insert into dispute (record, rkey, settlement, raised_by)
    values (:record, :rkey, :settlement, :raised_by)";

const ADD_FRIEND: &str = "
    insert into friend (record, friender, rkey, subject, declared, created)
    values (:record, :friender, :rkey, :subject, :declared, :created)";

const ADD_PROFILE: &str = "
    insert into profile (record, did, time, handle, display_name, avatar_url)
    values (:record, :did, :time, :handle, :display_name, :avatar_url)";

/// Where a record stands, in the index's terms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) record: i64,
    pub(super) repo: i64,
    pub(super) did: &'a str,
    pub(super) rkey: &'a str,
    /// When the record was made; 0 for none.
    pub(super) time: i64,
}

/// What a record adds to the sums of others than its repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Adds {
    /// Nothing.
    Nothing,
    /// A receipt: to those of requester and model.
    Work(Work),
    /// A declaration of trust in this account.
    Trust(i64),
}

impl Adds {
    /// Whether a row that says so can be one of this repository's record of this time.
    pub(super) fn fits(&self, repo: i64, time: i64) -> bool {
        match self {
            Self::Work(work) => (work.provider, work.time) == (repo, time),
            Self::Nothing | Self::Trust(_) => true,
        }
    }
}

/// The statement that takes away a record's typed row and gives it, for collections that have a table.
const fn remove_sql(collection: Collection) -> Option<&'static str> {
    match collection {
        Collection::Receipt => Some(
            "delete from receipt where record = :record
             returning provider, requester, model, time, millis, tokens_in, tokens_out",
        ),
        Collection::Settlement => Some("delete from settlement where record = :record returning record"),
        Collection::Provider => Some("delete from provider where record = :record returning record"),
        Collection::Dispute => Some("delete from dispute where record = :record returning record"),
        Collection::Friend => Some("delete from friend where record = :record returning subject"),
        Collection::Profile => Some("delete from profile where record = :record returning record"),
        _ => None,
    }
}

/// The statement that gives a record's typed row, for collections that have a table.
pub(super) const fn find_sql(collection: Collection) -> Option<&'static str> {
    match collection {
        Collection::Receipt => Some(
            "select provider, requester, model, time, millis, tokens_in, tokens_out
               from receipt where record = :record",
        ),
        Collection::Settlement => Some("select record from settlement where record = :record"),
        Collection::Provider => Some("select record from provider where record = :record"),
        Collection::Dispute => Some("select record from dispute where record = :record"),
        Collection::Friend => Some("select subject from friend where record = :record"),
        Collection::Profile => Some("select record from profile where record = :record"),
        _ => None,
    }
}

/// Whether a served record at this key has a typed row.
pub(super) fn has_row(collection: Collection, rkey: &str) -> bool {
    match collection {
        Collection::Profile => rkey == "self",
        other => find_sql(other).is_some(),
    }
}

/// Writes the typed row of a served record that has none yet, if its collection has a table.
pub(super) fn add(
    conn: &Connection,
    interned: &mut Interned,
    collection: Collection,
    place: Place<'_>,
    record: &Map<'_>,
) -> Result<Adds, Fault> {
    if !has_row(collection, place.rkey) {
        return Ok(Adds::Nothing);
    }
    match collection {
        Collection::Receipt => return add_receipt(conn, interned, place, record),
        Collection::Friend => return add_friend(conn, interned, place, record),
        Collection::Settlement => add_settlement(conn, interned, place, record)?,
        Collection::Provider => add_provider(conn, interned, place, record)?,
        Collection::Dispute => add_dispute(conn, interned, place, record)?,
        Collection::Profile => add_profile(conn, place, record)?,
        _ => {}
    }
    Ok(Adds::Nothing)
}

/// Takes away the typed row of a record, if it has one; returns what it had added.
pub(super) fn remove(conn: &Connection, collection: Collection, record: i64) -> Result<Adds, Fault> {
    match remove_sql(collection) {
        Some(sql) => Ok(find(conn, sql, collection, record)?.unwrap_or(Adds::Nothing)),
        None => Ok(Adds::Nothing),
    }
}

/// What the typed row that a statement gives adds to others; none if it gives none.
pub(super) fn find(
    conn: &Connection,
    sql: &str,
    collection: Collection,
    record: i64,
) -> Result<Option<Adds>, Fault> {
    let mut statement = conn.prepare_cached(sql)?;
    let found = statement.query_row(named_params! {":record": record}, |row| {
        Ok(match collection {
            Collection::Receipt => Adds::Work(Work::read(row)?),
            Collection::Friend => row.get::<_, Option<i64>>("subject")?.map_or(Adds::Nothing, Adds::Trust),
            _ => Adds::Nothing,
        })
    });
    Ok(found.optional()?)
}

impl Work {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            provider: row.get("provider")?,
            requester: row.get("requester")?,
            model: row.get("model")?,
            time: row.get("time")?,
            millis: row.get("millis")?,
            tokens_in: row.get("tokens_in")?,
            tokens_out: row.get("tokens_out")?,
        })
    }
}

/// What stands for a URI where records are found by a link: the time in its key, so that what belongs together lies
/// together in an index and is written together, and the first 16 bytes of its BLAKE3. A key that is no TID has the time 0.
pub(crate) fn link_key(uri: &str) -> [u8; 24] {
    let rkey = uri.rsplit('/').next().unwrap_or_default();
    let time = rkey.parse::<Tid>().map_or(0, |tid| tid.bits());
    let mut key = [0; 24];
    let (before, hash) = key.split_at_mut(8);
    before.copy_from_slice(&time.to_be_bytes());
    for (byte, hashed) in hash.iter_mut().zip(blake3::hash(uri.as_bytes()).as_bytes()) {
        *byte = *hashed;
    }
    key
}

fn add_receipt(
    conn: &Connection,
    interned: &mut Interned,
    place: Place<'_>,
    record: &Map<'_>,
) -> Result<Adds, Fault> {
    let model = match name(record, "model").filter(|model| !model.is_empty()) {
        Some(model) => Some(interned.model(conn, model)?),
        None => None,
    };
    let tokens = |member| {
        let tokens = record.map("tokens").and_then(|tokens| tokens.integer(member));
        tokens.unwrap_or(0).clamp(0, TOKENS)
    };
    let work = Work {
        provider: place.repo,
        requester: did(conn, interned, record.text("requester"))?,
        model,
        time: place.time,
        millis: millis(record),
        tokens_in: tokens("in"),
        tokens_out: tokens("out"),
    };
    conn.prepare_cached(ADD_RECEIPT)?.execute(params![
        place.record,
        work.provider,
        place.rkey,
        work.time,
        work.millis,
        work.requester,
        link(record, "job"),
        work.model,
        tier(record),
        work.tokens_in,
        work.tokens_out,
    ])?;
    Ok(Adds::Work(work))
}

/// How long the work took. Each time is cut to milliseconds first.
fn millis(record: &Map<'_>) -> Option<i64> {
    let moment = |member| Some(micros(record, member)?.div_euclid(1_000));
    let millis = moment("completedAt")? - moment("startedAt")?;
    (millis >= 0).then_some(millis)
}

fn add_settlement(
    conn: &Connection,
    interned: &mut Interned,
    place: Place<'_>,
    record: &Map<'_>,
) -> Result<(), Fault> {
    let authorization = record
        .map("requesterAuthorization")
        .and_then(|link| link.text("uri"))
        .and_then(|uri| uri.parse::<AtUri>().ok());
    let requester = did(conn, interned, authorization.as_ref().map(AtUri::authority))?;
    conn.prepare_cached(ADD_SETTLEMENT)?.execute(named_params! {
        ":record": place.record,
        ":rkey": place.rkey,
        ":receipt": link(record, "receipt"),
        ":requester": requester,
    })?;
    Ok(())
}

fn add_provider(
    conn: &Connection,
    interned: &mut Interned,
    place: Place<'_>,
    record: &Map<'_>,
) -> Result<(), Fault> {
    conn.prepare_cached(ADD_PROVIDER)?.execute(named_params! {
        ":record": place.record,
        ":owner": place.repo,
        ":rkey": place.rkey,
        ":trust_level": name(record, "trustLevel"),
        ":tier": tier(record),
        ":key": name(record, "attestationPubKey").map(key_text),
    })?;
    let Some(Value::List(models)) = record.get("supportedModels") else { return Ok(()) };
    for model in models.iter().filter_map(Value::as_text).take(MODELS) {
        if model.is_empty() || model.len() > NAME_BYTES {
            continue;
        }
        conn.prepare_cached(ADD_PROVIDER_MODEL)?.execute(named_params! {
            ":record": place.record,
            ":model": interned.model(conn, model)?,
            ":rkey": place.rkey,
            ":owner": place.repo,
        })?;
    }
    Ok(())
}

/// A key as it is looked up: spelled without what other readers of base64 pass over.
pub(crate) fn key_text(text: &str) -> String {
    text.chars().filter(|char| !char.is_ascii_whitespace() && *char != '=').collect()
}

fn add_dispute(
    conn: &Connection,
    interned: &mut Interned,
    place: Place<'_>,
    record: &Map<'_>,
) -> Result<(), Fault> {
    let raised_by = did(conn, interned, record.text("raisedBy"))?;
    conn.prepare_cached(ADD_DISPUTE)?.execute(named_params! {
        ":record": place.record,
        ":rkey": place.rkey,
        ":settlement": link(record, "settlement"),
        ":raised_by": raised_by,
    })?;
    Ok(())
}

fn add_friend(
    conn: &Connection,
    interned: &mut Interned,
    place: Place<'_>,
    record: &Map<'_>,
) -> Result<Adds, Fault> {
    let subject = did(conn, interned, record.text("subject"))?;
    let declared = micros(record, "createdAt").map(|micros| micros.clamp(0, Tid::LAST_MICROS.cast_signed()));
    conn.prepare_cached(ADD_FRIEND)?.execute(named_params! {
        ":record": place.record,
        ":friender": place.repo,
        ":rkey": place.rkey,
        ":subject": subject,
        ":declared": declared.unwrap_or(place.time),
        ":created": name(record, "createdAt"),
    })?;
    Ok(subject.map_or(Adds::Nothing, Adds::Trust))
}

fn add_profile(conn: &Connection, place: Place<'_>, record: &Map<'_>) -> Result<(), Fault> {
    let text = |member| name(record, member).filter(|text| !text.is_empty());
    conn.prepare_cached(ADD_PROFILE)?.execute(named_params! {
        ":record": place.record,
        ":did": place.did,
        ":time": place.time,
        ":handle": text("handle"),
        ":display_name": text("displayName"),
        ":avatar_url": text("avatarUrl"),
    })?;
    Ok(())
}

fn did(conn: &Connection, interned: &mut Interned, text: Option<&str>) -> Result<Option<i64>, Fault> {
    match text {
        Some(text) if is_did(text) => Ok(Some(interned.did(conn, text)?)),
        _ => Ok(None),
    }
}

fn link(record: &Map<'_>, key: &str) -> Option<[u8; 24]> {
    record.map(key)?.text("uri").map(link_key)
}

/// The tier that a record claims; none if that is senselessly long.
fn tier<'a>(record: &Map<'a>) -> Option<&'a str> {
    match record.text("tier") {
        Some(_) => name(record, "tier"),
        None => Some(NO_TIER),
    }
}

fn name<'a>(record: &Map<'a>, key: &str) -> Option<&'a str> {
    record.text(key).filter(|text| text.len() <= NAME_BYTES)
}

fn micros(record: &Map<'_>, key: &str) -> Option<i64> {
    datetime_unix_micros(record.text(key)?).ok()
}
