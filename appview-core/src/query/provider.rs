//! Machines on offer.

use rusqlite::{Connection, OptionalExtension as _, ToSql, named_params};

use super::exchange::of_one_or_all;
use super::page::within;
use super::record::{Filled, Filling, Part, Records, did_id, model_id};
use super::{Limit, Page, PageCursor, QueryError, RecordView, Span};
use crate::index::{Fault, IndexReader, number_of};
use crate::record::Collection;
use crate::syntax::Did;

/// All records of one collection, newest key first. Receipts are in no such list.
pub(super) const LIST_OF_COLLECTION: &str = concat!(
    "select did, rkey, cid, verdict, time, body
       from record
       cross join did on did.id = record.repo
      where collection = :collection and served = 1 and collection <> 12 and ",
    within!("rkey"),
    " order by rkey desc, did desc limit :limit"
);

/// Machines of a table with one claim in common, in order.
macro_rules! offers {
    ($table:literal, $condition:literal) => {
        concat!(
            "select record, did, rkey from ",
            $table,
            " cross join did on did.id = owner where ",
            $condition,
            " and ",
            within!("rkey"),
            " order by rkey desc, did desc"
        )
    };
}

pub(super) const LIST_BY_MODEL: &str = offers!("provider_model", "model = :model");

pub(super) const LIST_BY_TRUST_LEVEL: &str = offers!("provider", "trust_level = :trust_level");

pub(super) const LIST_BY_TIER: &str = offers!("provider", "tier = :tier");

const FIND_OFFER: &str = "
    select owner, trust_level, tier,
           :model is null or exists (select 1 from provider_model where record = :record and model = :model)
      from provider where record = :record";

/// Which machines; all of what is given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProviderFilter {
    /// The repository they are in.
    pub owner: Option<Did>,
    /// A model that they can serve.
    pub model: Option<String>,
    /// The trust level they claim.
    pub trust_level: Option<String>,
    /// The tier they claim; without one, that is `best-effort`.
    pub tier: Option<String>,
    /// When they were first offered, by their keys.
    pub during: Span,
}

impl IndexReader {
    /// The machines that match `filter`, those that are switched off included, newest key first.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cursor`], failing input or damage.
    pub fn list_providers(
        &self,
        filter: &ProviderFilter,
        limit: Limit<100>,
        cursor: Option<&PageCursor>,
    ) -> Result<Page<RecordView>, QueryError> {
        let part = Part::new(limit, cursor, filter.during)?;
        Ok(self.query(|conn| list(conn, filter, &part))?)
    }
}

fn list(conn: &Connection, filter: &ProviderFilter, part: &Part) -> Result<Page<RecordView>, Fault> {
    let ProviderFilter { owner, model, trust_level, tier, during: _ } = filter;
    if model.is_none() && trust_level.is_none() && tier.is_none() {
        return of_one_or_all(conn, Collection::Provider, owner.as_ref(), part);
    }
    let (Some(owner), Some(model)) = (
        known(owner.as_ref(), |did| did_id(conn, did))?,
        known(model.as_ref(), |name| model_id(conn, name))?,
    ) else {
        return Ok(Page::empty());
    };
    let offers =
        Offers { conn, owner, model, trust_level: trust_level.as_deref(), tier: tier.as_deref(), part };
    match (model, trust_level, tier) {
        (Some(_), _, _) => offers.list(LIST_BY_MODEL, (":model", &model)),
        (None, Some(_), _) => offers.list(LIST_BY_TRUST_LEVEL, (":trust_level", trust_level)),
        _ => offers.list(LIST_BY_TIER, (":tier", tier)),
    }
}

/// A list of machines by what they claim.
struct Offers<'a> {
    conn: &'a Connection,
    owner: Option<i64>,
    model: Option<i64>,
    trust_level: Option<&'a str>,
    tier: Option<&'a str>,
    part: &'a Part,
}

impl Offers<'_> {
    /// Walks over the machines that a statement gives in order, and keeps those that match in everything else too.
    fn list(&self, sql: &str, driver: (&str, &dyn ToSql)) -> Result<Page<RecordView>, Fault> {
        let mut records = Records::of(self.conn, Collection::Provider)?;
        let mut filling = Filling::new(self.part.limit);
        let mut statement = self.conn.prepare_cached(sql)?;
        let mut parameters: Vec<(&str, &dyn ToSql)> = self.part.parameters().to_vec();
        parameters.push(driver);
        let mut rows = statement.query(parameters.as_slice())?;
        while let Some(row) = rows.next()? {
            let record: i64 = row.get("record")?;
            if self.wants(record)? && filling.add(records.read(record)?) == Filled::Over {
                break;
            }
        }
        Ok(filling.page(RecordView::cursor))
    }

    fn wants(&self, record: i64) -> Result<bool, Fault> {
        let mut statement = self.conn.prepare_cached(FIND_OFFER)?;
        let wanted = statement
            .query_row(named_params! {":record": record, ":model": self.model}, |row| {
                let is = |wanted: Option<&str>, column| {
                    let claimed = row.get_ref(column)?.as_str_or_null()?;
                    Ok::<_, rusqlite::Error>(wanted.is_none() || wanted == claimed)
                };
                let owner: i64 = row.get(0)?;
                Ok(self.owner.is_none_or(|wanted| wanted == owner)
                    && is(self.trust_level, 1)?
                    && is(self.tier, 2)?
                    && row.get(3)?)
            })
            .optional()?;
        wanted.ok_or(Fault::Row("a model without its machine"))
    }
}

/// The served records of a collection.
pub(super) fn of_collection(
    conn: &Connection,
    collection: Collection,
    part: &Part,
) -> Result<Page<RecordView>, Fault> {
    part.read(conn, collection, LIST_OF_COLLECTION, &[(":collection", &number_of(collection))])
}

/// The integer of a name that may not have been asked for; nothing if it was, and no row names it.
pub(super) fn known<T>(
    name: Option<&T>,
    find: impl FnOnce(&T) -> Result<Option<i64>, Fault>,
) -> Result<Option<Option<i64>>, Fault> {
    match name {
        None => Ok(Some(None)),
        Some(name) => Ok(find(name)?.map(Some)),
    }
}
