//! How long work took.

use rusqlite::{Connection, OptionalExtension as _, Row, named_params};
use serde::Serialize;

use super::page::TOP;
use super::record::{did_id, model_id, parsed};
use super::{Limit, PageCursor, QueryError};
use crate::index::{Fault, IndexError, IndexReader, LatencyOf};
use crate::syntax::{Datetime, Did};

const FIND_LATENCY: &str = "
    select samples, p50, p95, mean, last from latency where kind = :kind and who = :who";

pub(super) const LIST_PROVIDERS: &str = "
    select did as name, newest, samples, p50, p95, mean, last
      from latency cross join did on did.id = latency.who
     where kind = 1 and newest <= :newest and (newest < :newest or did < :name)
     order by newest desc, did desc limit :limit";

pub(super) const LIST_MODELS: &str = "
    select name, newest, samples, p50, p95, mean, last
      from latency cross join model on model.id = latency.who
     where kind = 2 and newest <= :newest and (newest < :newest or name < :name)
     order by newest desc, name desc limit :limit";

/// How long the newest hundred pieces of work took that tell it, in milliseconds from `startedAt` to `completedAt`.
///
/// Percentiles are by nearest rank. A receipt tells it unless one of its times cannot be read, or they are in the wrong order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LatencyStats {
    /// How many there are, at most 100.
    pub sample_count: u32,
    /// The median; none without a sample, as all that follows.
    pub p50_ms: Option<i64>,
    /// What 95 of 100 took at most.
    pub p95_ms: Option<i64>,
    /// The mean, rounded.
    pub avg_ms: Option<i64>,
    /// The newest.
    pub last_ms: Option<i64>,
}

/// The latency of one provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProviderLatency {
    /// The provider.
    pub did: Did,
    /// Over its own newest work.
    pub stats: LatencyStats,
}

/// The latency of one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelLatency {
    /// The model's name, as receipts have it.
    pub model_id: String,
    /// Over the newest work it did.
    pub stats: LatencyStats,
}

/// The latency of everything, and of each provider and model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Latency {
    /// The moment of the question.
    pub generated_at: Datetime,
    /// Over the newest work of the network.
    pub overall: LatencyStats,
    /// Providers with a sample, that with the newest first.
    pub by_provider: Vec<ProviderLatency>,
    /// Models with a sample, that with the newest first.
    pub by_model: Vec<ModelLatency>,
    /// Where both lists go on; none if neither does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<PageCursor>,
}

impl IndexReader {
    /// How long work took, at most `limit` providers and as many models at once.
    ///
    /// `now` is told as the moment of the answer, in microseconds since 1970, and changes nothing in it.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cursor`], failing input or damage.
    pub fn latency(
        &self,
        now: u64,
        limit: Limit<1_000>,
        cursor: Option<&PageCursor>,
    ) -> Result<Latency, QueryError> {
        let (providers, models) = match cursor {
            None => (Place::start(), Place::start()),
            Some(cursor) => places(cursor.item()).ok_or(QueryError::Cursor)?,
        };
        let (overall, providers, models) = self.query(|conn| {
            let overall = find(conn, LatencyOf::ALL)?;
            let providers = list(conn, LIST_PROVIDERS, providers, limit, |name, stats| {
                let did = parsed(Some(&name)).ok_or(Fault::Row("a did that is none"))?;
                Ok(ProviderLatency { did, stats })
            })?;
            let models = list(conn, LIST_MODELS, models, limit, |name, stats| {
                Ok(ModelLatency { model_id: name, stats })
            })?;
            Ok((overall, providers, models))
        })?;
        let cursor = match (&providers.end, &models.end) {
            (None, None) => None,
            (providers, models) => {
                let text = |end: &Option<Place>| end.as_ref().map_or("-1 ".to_owned(), Place::text);
                Some(PageCursor::after(format!("{}\n{}", text(providers), text(models))))
            }
        };
        Ok(Latency {
            generated_at: Datetime::saturating(i64::try_from(now).unwrap_or(i64::MAX)),
            overall,
            by_provider: providers.groups,
            by_model: models.groups,
            cursor,
        })
    }

    /// How long the work of one provider took.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub fn latency_of_provider(&self, provider: &Did) -> Result<LatencyStats, IndexError> {
        self.query(|conn| match did_id(conn, provider)? {
            Some(provider) => find(conn, LatencyOf::provider(provider)),
            None => Ok(LatencyStats::default()),
        })
    }

    /// How long the work of one model took.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub fn latency_of_model(&self, model: &str) -> Result<LatencyStats, IndexError> {
        self.query(|conn| match model_id(conn, model)? {
            Some(model) => find(conn, LatencyOf::model(model)),
            None => Ok(LatencyStats::default()),
        })
    }
}

/// The latency of one group.
pub(super) fn find(conn: &Connection, of: LatencyOf) -> Result<LatencyStats, Fault> {
    let mut statement = conn.prepare_cached(FIND_LATENCY)?;
    let found = statement.query_row(named_params! {":kind": of.kind, ":who": of.who}, LatencyStats::read);
    Ok(found.optional()?.unwrap_or_default())
}

impl LatencyStats {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            sample_count: row.get("samples")?,
            p50_ms: row.get("p50")?,
            p95_ms: row.get("p95")?,
            avg_ms: row.get("mean")?,
            last_ms: row.get("last")?,
        })
    }
}

/// Below which group a part of a list starts.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    newest: i64,
    name: String,
}

impl Place {
    fn start() -> Self {
        Self { newest: i64::MAX, name: TOP.into() }
    }

    fn text(&self) -> String {
        format!("{} {}", self.newest, self.name)
    }
}

/// The places in both lists that a cursor names. A list that has ended goes on below -1, where nothing is.
fn places(text: &str) -> Option<(Place, Place)> {
    // No DID has a line's end in it; a model's name may.
    let (providers, models) = text.split_once('\n')?;
    let place = |text: &str| {
        let (newest, name) = text.split_once(' ')?;
        Some(Place { newest: newest.parse().ok()?, name: name.to_owned() })
    };
    Some((place(providers)?, place(models)?))
}

/// Part of a list of groups.
struct Groups<T> {
    groups: Vec<T>,
    /// Where it goes on; none if it does not.
    end: Option<Place>,
}

fn list<T>(
    conn: &Connection,
    sql: &str,
    below: Place,
    limit: Limit<1_000>,
    group: impl Fn(String, LatencyStats) -> Result<T, Fault>,
) -> Result<Groups<T>, Fault> {
    let most = limit.get() as usize;
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(named_params! {
        ":newest": below.newest,
        ":name": below.name,
        ":limit": limit.get() + 1,
    })?;
    let mut found = Groups { groups: Vec::new(), end: None };
    let mut last = None;
    while let Some(row) = rows.next()? {
        if found.groups.len() == most {
            found.end = last;
            break;
        }
        let name: String = row.get("name")?;
        last = Some(Place { newest: row.get("newest")?, name: name.clone() });
        found.groups.push(group(name, LatencyStats::read(row)?)?);
    }
    Ok(found)
}
