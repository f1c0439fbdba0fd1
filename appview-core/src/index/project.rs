//! From a record to its typed row: what its collection's table holds of it.
//!
//! A decoded record enters, at most one row leaves. Never fails on what an author wrote: a member that is missing, of
//! another type or senselessly long is null. Deliberately absent: any judgement of the record.

use rusqlite::{Connection, named_params};

use super::Fault;
use super::intern::Interned;
use crate::block::Map;
use crate::record::Collection;
use crate::syntax::{AtUri, Tid, datetime_unix_micros, is_did};

/// Longest name that is copied out of a record, in bytes: four times what the lexicons allow. Only a marked record has a
/// longer one.
const NAME_BYTES: usize = 1_024;

const ADD_RECEIPT: &str = "
    insert into receipt (
        record, provider, rkey, requester, job, model, started, completed,
        tokens_in, tokens_out, price, currency, tier, pro_bono
    ) values (
        :record, :provider, :rkey, :requester, :job, :model, :started, :completed,
        :tokens_in, :tokens_out, :price, :currency, :tier, :pro_bono
    )";

const ADD_SETTLEMENT: &str = "
    insert into settlement (record, rkey, receipt, requester)
    values (:record, :rkey, :receipt, :requester)";

const ADD_FRIEND: &str = "
    insert into friend (record, rkey, subject) values (:record, :rkey, :subject)";

const ADD_PROFILE: &str = "
    insert into profile (record, did, handle, display_name)
    values (:record, :did, :handle, :display_name)";

/// Where a record stands, in the index's terms.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) record: i64,
    pub(super) repo: i64,
    pub(super) did: &'a str,
    pub(super) rkey: &'a str,
}

/// The statement that takes away a record's typed row, for collections that have a table.
pub(super) const fn remove_sql(collection: Collection) -> Option<&'static str> {
    match collection {
        Collection::Receipt => Some("delete from receipt where record = :record"),
        Collection::Settlement => Some("delete from settlement where record = :record"),
        Collection::Friend => Some("delete from friend where record = :record"),
        Collection::Profile => Some("delete from profile where record = :record"),
        _ => None,
    }
}

/// The statement that tells whether a record has its typed row, for collections that have a table.
pub(super) const fn find_sql(collection: Collection) -> Option<&'static str> {
    match collection {
        Collection::Receipt => Some("select 1 from receipt where record = :record"),
        Collection::Settlement => Some("select 1 from settlement where record = :record"),
        Collection::Friend => Some("select 1 from friend where record = :record"),
        Collection::Profile => Some("select 1 from profile where record = :record"),
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

/// Writes the typed row of a served record that has none yet.
pub(super) fn add(
    conn: &Connection,
    interned: &mut Interned,
    collection: Collection,
    place: Place<'_>,
    record: &Map<'_>,
) -> Result<(), Fault> {
    if !has_row(collection, place.rkey) {
        return Ok(());
    }
    match collection {
        Collection::Receipt => add_receipt(conn, interned, place, record),
        Collection::Settlement => add_settlement(conn, interned, place, record),
        Collection::Friend => add_friend(conn, interned, place, record),
        Collection::Profile => add_profile(conn, place, record),
        _ => Ok(()),
    }
}

/// Takes away the typed row of a record, if it has one.
pub(super) fn remove(conn: &Connection, collection: Collection, record: i64) -> Result<(), Fault> {
    if let Some(sql) = remove_sql(collection) {
        conn.prepare_cached(sql)?.execute(named_params! {":record": record})?;
    }
    Ok(())
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
) -> Result<(), Fault> {
    let requester = did(conn, interned, record.text("requester"))?;
    let model = match name(record, "model") {
        Some(model) => Some(interned.model(conn, model)?),
        None => None,
    };
    let tokens = record.map("tokens");
    let price = record.map("price");
    conn.prepare_cached(ADD_RECEIPT)?.execute(named_params! {
        ":record": place.record,
        ":provider": place.repo,
        ":rkey": place.rkey,
        ":requester": requester,
        ":job": link(record, "job"),
        ":model": model,
        ":started": micros(record, "startedAt"),
        ":completed": micros(record, "completedAt"),
        ":tokens_in": tokens.and_then(|tokens| tokens.integer("in")),
        ":tokens_out": tokens.and_then(|tokens| tokens.integer("out")),
        ":price": price.and_then(|price| price.integer("amount")),
        ":currency": price.and_then(|price| name(price, "currency")),
        ":tier": name(record, "tier"),
        ":pro_bono": record.get("proBono").and_then(crate::block::Value::as_bool),
    })?;
    Ok(())
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

fn add_friend(
    conn: &Connection,
    interned: &mut Interned,
    place: Place<'_>,
    record: &Map<'_>,
) -> Result<(), Fault> {
    let subject = did(conn, interned, record.text("subject"))?;
    conn.prepare_cached(ADD_FRIEND)?.execute(named_params! {
        ":record": place.record,
        ":rkey": place.rkey,
        ":subject": subject,
    })?;
    Ok(())
}

fn add_profile(conn: &Connection, place: Place<'_>, record: &Map<'_>) -> Result<(), Fault> {
    conn.prepare_cached(ADD_PROFILE)?.execute(named_params! {
        ":record": place.record,
        ":did": place.did,
        ":handle": name(record, "handle"),
        ":display_name": name(record, "displayName"),
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

fn name<'a>(record: &Map<'a>, key: &str) -> Option<&'a str> {
    record.text(key).filter(|text| text.len() <= NAME_BYTES)
}

fn micros(record: &Map<'_>, key: &str) -> Option<i64> {
    datetime_unix_micros(record.text(key)?).ok()
}
