//! When a model was last served.

use rusqlite::{Connection, OptionalExtension as _, named_params};

use super::super::Fault;
use super::super::total::{Group, HOUR, Hours, start_of};

const RAISE_SERVICE: &str = "
    insert into service (model, provider, newest) values (:model, :provider, :newest)
    on conflict do update set newest = :newest where newest < :newest";

const SET_SERVICE: &str = "
    insert into service (model, provider, newest) values (:model, :provider, :newest)
    on conflict do update set newest = :newest where newest <> :newest";

const REMOVE_SERVICE: &str = "delete from service where model = :model and provider = :provider";

const FIND_NEWEST_OF_MODEL: &str = "
    select max(time) from (
        select (select time from receipt where model = :model and millis is not null
                 order by time desc limit 1) as time
        union all
        select (select time from receipt where model = :model and millis is null
                 order by time desc limit 1))";

const FIND_LAST_WEEK: &str = "
    select week, hours from total where kind = :kind and a = :a and b = :b
     order by week desc limit 1";

/// Looks at what the provider did in one hour. The sign keeps SQLite from looking at all that anybody did with the model.
const FIND_NEWEST_IN_HOUR: &str = "
    select max(time) from (
        select (select time from receipt
                 where provider = :provider and millis is not null and time >= :from and time < :until
                   and +model = :model
                 order by time desc limit 1) as time
        union all
        select (select time from receipt
                 where provider = :provider and millis is null and time >= :from and time < :until
                   and +model = :model
                 order by time desc limit 1))";

/// Who served a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Service {
    pub(super) model: i64,
    /// The number of its DID; 0 for anybody.
    pub(super) provider: i64,
}

/// What happened to a service.
#[derive(Debug, Clone, Copy)]
pub(super) enum Served {
    /// It was given at this time, and nothing was taken away.
    At(i64),
    /// It has to be looked at.
    Otherwise,
}

/// Writes what happened.
pub(super) fn settle(conn: &Connection, service: Service, served: Served) -> Result<(), Fault> {
    let Service { model, provider } = service;
    let (sql, newest) = match served {
        Served::At(time) => (RAISE_SERVICE, Some(time)),
        Served::Otherwise => (SET_SERVICE, newest(conn, model, provider)?),
    };
    match newest {
        Some(newest) => conn
            .prepare_cached(sql)?
            .execute(named_params! {":model": model, ":provider": provider, ":newest": newest})?,
        None => conn
            .prepare_cached(REMOVE_SERVICE)?
            .execute(named_params! {":model": model, ":provider": provider})?,
    };
    Ok(())
}

/// When a model was served last, by this provider or (0) by any; none if never.
pub(in crate::index) fn newest(conn: &Connection, model: i64, provider: i64) -> Result<Option<i64>, Fault> {
    if provider == 0 {
        let mut statement = conn.prepare_cached(FIND_NEWEST_OF_MODEL)?;
        return Ok(statement.query_row(named_params! {":model": model}, |row| row.get(0))?);
    }
    let Group { kind, a, b } = Group::model_of(provider, model);
    let last = conn
        .prepare_cached(FIND_LAST_WEEK)?
        .query_row(named_params! {":kind": kind, ":a": a, ":b": b}, |row| {
            Ok((row.get::<_, i64>("week")?, row.get::<_, Vec<u8>>("hours")?))
        })
        .optional()?;
    let Some((week, hours)) = last else { return Ok(None) };
    let Some(last) = Hours::of(&hours).last() else { return Ok(None) };
    let (hour, _) = last?;
    let from = start_of(week) + i64::from(hour) * HOUR;
    let mut statement = conn.prepare_cached(FIND_NEWEST_IN_HOUR)?;
    Ok(statement.query_row(
        named_params! {":provider": provider, ":model": model, ":from": from, ":until": from + HOUR},
        |row| row.get(0),
    )?)
}
