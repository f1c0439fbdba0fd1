//! Which models are used, how much, and on whose machines.

use rusqlite::{Connection, named_params};
use serde::Serialize;

use super::page::TOP;
use super::record::parsed;
use super::sums::{Adder, Of};
use super::{Limit, Page, PageCursor, QueryError};
use crate::index::{Fault, HOUR, IndexReader, Sum};
use crate::syntax::{Datetime, Did};

pub(super) const LIST_MODELS: &str = "
    select model.id, name, newest
      from service cross join model on model.id = service.model
     where provider = 0 and newest <= :newest and (newest < :newest or name < :name)
     order by newest desc, name desc limit :limit";

/// Among those of one time, the order is ours: to have SQLite sort them would cost as much for each row that shares its time
/// with none.
pub(super) const LIST_PROVIDERS: &str = "
    select did.id, did, newest
      from service cross join did on did.id = service.provider
     where model = ?1 and provider <> 0
     order by newest desc";

/// Providers that the models of a page share.
const SHARED: i64 = 250;

/// How much was asked of a model in one window of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Activity {
    /// How many receipts.
    pub requests: i64,
    /// Tokens read and produced.
    pub tokens: i64,
}

/// How much was asked of a model within the last hour, 24 hours, 7 days and 30 days. Each includes those before it, its
/// first moment, and whatever is dated later than the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ActivityWindows {
    /// Within an hour.
    pub hour: Activity,
    /// Within 24 hours.
    pub day: Activity,
    /// Within 7 days.
    pub week: Activity,
    /// Within 30 days.
    pub month: Activity,
}

/// One provider's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProviderActivity {
    /// The provider.
    pub did: Did,
    /// What its machines did with the model.
    pub stats: ActivityWindows,
}

/// The use of one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelUse {
    /// The model's name, as receipts have it.
    pub model_id: String,
    /// Over all providers, listed or not.
    pub totals: ActivityWindows,
    /// The providers that served it most recently, the latest first.
    pub by_provider: Vec<ProviderActivity>,
}

/// The use of models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ModelActivity {
    /// The moment of the question.
    pub generated_at: Datetime,
    /// The models, the one used last first; those that nobody uses any more included.
    pub models: Vec<ModelUse>,
    /// Where the models go on; none if there are no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<PageCursor>,
}

impl IndexReader {
    /// How much each model was used in the time before `now` (microseconds since 1970), and by at most `providers`
    /// providers of each. Without a number, 250 of them are shared evenly among the models of a page, at least one for each:
    /// a model may have thousands.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cursor`], failing input or damage.
    pub fn model_activity(
        &self,
        now: u64,
        providers: Option<Limit<1_000>>,
        limit: Limit<1_000>,
        cursor: Option<&PageCursor>,
    ) -> Result<ModelActivity, QueryError> {
        let below = match cursor {
            None => (i64::MAX, TOP.to_owned()),
            Some(cursor) => {
                let (newest, name) = cursor.item().split_once(' ').ok_or(QueryError::Cursor)?;
                (newest.parse().map_err(|_| QueryError::Cursor)?, name.to_owned())
            }
        };
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let (models, cursor) = self.query(|conn| {
            let Page { items, cursor } = models(conn, below, limit)?;
            let share = SHARED.checked_div(items.len() as i64).unwrap_or(SHARED).max(1);
            let providers = providers.unwrap_or(Limit::clamp(share));
            let mut adder = Adder::new(conn)?;
            let uses = items.into_iter().map(|model| {
                Ok(ModelUse {
                    totals: windows(&mut adder, Of::Model(model.id), now)?,
                    by_provider: by_provider(conn, &mut adder, model.id, now, providers)?,
                    model_id: model.name,
                })
            });
            Ok((uses.collect::<Result<_, Fault>>()?, cursor))
        })?;
        Ok(ModelActivity { generated_at: Datetime::saturating(now), models, cursor })
    }
}

/// A model, and when it was last used.
struct Model {
    id: i64,
    name: String,
    newest: i64,
}

fn models(
    conn: &Connection,
    (newest, name): (i64, String),
    limit: Limit<1_000>,
) -> Result<Page<Model>, Fault> {
    let mut statement = conn.prepare_cached(LIST_MODELS)?;
    // One more than asked for tells whether another page follows.
    let below = named_params! {":newest": newest, ":name": name, ":limit": limit.get() + 1};
    let rows = statement
        .query_map(below, |row| Ok(Model { id: row.get(0)?, name: row.get(1)?, newest: row.get(2)? }))?;
    let models = rows.collect::<Result<_, _>>()?;
    Ok(Page::cut(models, limit.get(), |last| PageCursor::after(format!("{} {}", last.newest, last.name))))
}

fn by_provider(
    conn: &Connection,
    adder: &mut Adder<'_>,
    model: i64,
    now: i64,
    limit: Limit<1_000>,
) -> Result<Vec<ProviderActivity>, Fault> {
    let most = limit.get() as usize;
    let mut statement = conn.prepare_cached(LIST_PROVIDERS)?;
    let mut rows = statement.query([model])?;
    let mut providers: Vec<(i64, Did, i64)> = Vec::new();
    while let Some(row) = rows.next()? {
        let newest = row.get(2)?;
        if providers.len() >= most && providers.last().is_some_and(|(last, _, _)| *last != newest) {
            break;
        }
        let did = row.get_ref(1)?.as_str();
        providers.push((newest, parsed(did.ok()).ok_or(Fault::Row("a did that is none"))?, row.get(0)?));
    }
    providers.sort_unstable_by(|a, b| b.cmp(a));
    providers.truncate(most);
    let activity = providers.into_iter().map(|(_, did, provider)| {
        Ok(ProviderActivity { did, stats: windows(adder, Of::ProviderModel { provider, model }, now)? })
    });
    activity.collect()
}

fn windows(adder: &mut Adder<'_>, of: Of, now: i64) -> Result<ActivityWindows, Fault> {
    let within = |hours: i64| (now.saturating_sub(hours * HOUR), i64::MAX);
    let spans = [within(1), within(24), within(7 * 24), within(30 * 24)];
    let [hour, day, week, month] = adder
        .within(of, spans)?
        .map(|sum: Sum| Activity { requests: sum.records, tokens: sum.tokens_in + sum.tokens_out });
    Ok(ActivityWindows { hour, day, week, month })
}
