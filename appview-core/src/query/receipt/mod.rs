//! Finished work.
//!
//! Receipts have an order of their own: by when the work was completed, as they say, then by key, then by DID. An index for
//! each thing that a filter may ask for gives it, and what is asked for together is where those meet (`walk`). What no index
//! gives is looked at receipt by receipt.

pub(super) mod walk;

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, named_params};
use walk::{Entry, Of, Spot, Step, Walk};

use super::page::TOP;
use super::provider::known;
use super::record::{Filled, Filling, Records, did_id, model_id};
use super::{Limit, Page, PageCursor, QueryError, RecordView, Span};
use crate::index::{Fault, IndexReader, NO_TIER};
use crate::record::Collection;
use crate::syntax::{AtUri, Did, RecordKey};

/// Most receipts that are read for one page. Only a filter in two or more ways passes over any.
const LOOKED_AT: usize = 32_768;

/// Most machines with a trust level whose owners' receipts are merged. Where there are more, receipts are looked at in order
/// until some of theirs come.
const FEW: u32 = 256;

const FIND_CLAIM: &str = "
    select 1 from provider where owner = :owner and trust_level = :trust_level";

const LIST_CLAIMANTS: &str = "select owner from provider where trust_level = :trust_level limit :limit";

const FIND_TIER: &str = "select tier from receipt where record = :record";

const NAME_DID: &str = "select did from did where id = :id";

/// Which receipts; all of what is given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReceiptFilter {
    /// The repository they are in.
    pub provider: Option<Did>,
    /// For whom they say the work was done: the provider's claim.
    pub requester: Option<Did>,
    /// The URI of the job they name, letter for letter.
    pub job: Option<String>,
    /// The model they name.
    pub model: Option<String>,
    /// The tier they claim; without one, that is `best-effort`.
    pub tier: Option<String>,
    /// The trust level that one of the provider's machines claims.
    pub trust_level: Option<String>,
    /// When the work was completed.
    pub during: Span,
}

impl IndexReader {
    /// The receipts that match `filter`, the work that was completed last first.
    ///
    /// Reads 32,768 receipts at most. Where several things are asked for at once that many receipts have each and few have
    /// together, or a trust level that many machines claim and few receipts come from, or the tier `best-effort` where hardly
    /// any has it, a page may therefore end, or be empty, before all that match are found; its cursor leads on.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cursor`], failing input or damage.
    pub fn list_receipts(
        &self,
        filter: &ReceiptFilter,
        limit: Limit<200>,
        cursor: Option<&PageCursor>,
    ) -> Result<Page<RecordView>, QueryError> {
        let place = Place::new(cursor, filter.during)?;
        Ok(self.query(|conn| list(conn, filter, limit.get(), &place, LOOKED_AT))?)
    }
}

/// Below which receipt a page starts, and before which time it ends.
#[derive(Debug)]
struct Place {
    /// Above the first receipt that may be on it.
    below: Spot,
    /// The receipt that the page before ended with, if it ended with one: its place, and whose it is.
    last: Option<(Spot, String)>,
    since: i64,
}

impl Place {
    fn new(cursor: Option<&PageCursor>, during: Span) -> Result<Self, QueryError> {
        let since = during.since.unwrap_or(i64::MIN);
        let start = Self { below: Spot::before(during.until), last: None, since };
        let Some(cursor) = cursor else { return Ok(start) };
        let (time, item) = cursor.item().split_once(' ').ok_or(QueryError::Cursor)?;
        let time: i64 = time.parse().map_err(|_| QueryError::Cursor)?;
        let (rkey, last) = match item.parse::<AtUri>() {
            Ok(uri) => (uri.rkey().ok_or(QueryError::Cursor)?.to_owned(), Some(uri.authority().to_owned())),
            Err(_) => (item.parse::<RecordKey>().map_err(|_| QueryError::Cursor)?.to_string(), None),
        };
        let spot = Spot { time, rkey };
        if spot >= start.below {
            return Ok(start);
        }
        Ok(Self { below: spot.above(), last: last.map(|did| (spot, did)), since })
    }

    /// Below whom a receipt at a place has to be.
    fn below(&self, spot: &Spot) -> &str {
        match &self.last {
            Some((last, did)) if last == spot => did,
            _ => TOP,
        }
    }
}

/// The place of a receipt.
fn cursor(receipt: &RecordView) -> PageCursor {
    PageCursor::after(format!("{} {}", receipt.time, receipt.uri()))
}

fn list(
    conn: &Connection,
    filter: &ReceiptFilter,
    limit: u32,
    place: &Place,
    looked_at: usize,
) -> Result<Page<RecordView>, Fault> {
    let Some(Plan { lists, mut also }) = Plan::of(conn, filter)? else { return Ok(Page::empty()) };
    // One more than asked for tells whether another page follows, and one more that the last place is whole.
    let at_once = limit + 2;
    let mut walk = Walk::new(conn, lists, (place.below.clone(), place.since), at_once, looked_at);
    let mut records = Records::of(conn, Collection::Receipt)?;
    let mut filling = Filling::new(limit);
    loop {
        let (spot, entries) = match walk.step()? {
            Step::End => return Ok(filling.page(cursor)),
            Step::Enough(Spot { time, rkey }) => {
                let mut page = filling.page(cursor);
                page.cursor = page.cursor.or_else(|| Some(PageCursor::after(format!("{time} {rkey}"))));
                return Ok(page);
            }
            Step::Found(spot, entries) => (spot, entries),
        };
        for entry in in_order(conn, entries, place.below(&spot))? {
            if also.wants(&entry)? && filling.add(records.read(entry.record)?) == Filled::Over {
                return Ok(filling.page(cursor));
            }
        }
    }
}

/// The receipts that share a place, of those below a DID, the greatest DID first.
fn in_order(conn: &Connection, entries: Vec<Entry>, below: &str) -> Result<Vec<Entry>, Fault> {
    if entries.len() == 1 && below == TOP {
        return Ok(entries);
    }
    let mut statement = conn.prepare_cached(NAME_DID)?;
    let mut named = Vec::with_capacity(entries.len());
    for entry in entries {
        let did: String = statement.query_row(named_params! {":id": entry.provider}, |row| row.get(0))?;
        if did.as_str() < below {
            named.push((did, entry));
        }
    }
    named.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
    Ok(named.into_iter().map(|(_, entry)| entry).collect())
}

/// How receipts are found.
struct Plan<'a> {
    /// In all of these a receipt has to be, each in parts.
    lists: Vec<Vec<Of>>,
    also: Also<'a>,
}

impl<'a> Plan<'a> {
    /// For a filter; none if nothing can match.
    fn of(conn: &'a Connection, filter: &'a ReceiptFilter) -> Result<Option<Self>, Fault> {
        let (Some(provider), Some(requester), Some(model)) = (
            known(filter.provider.as_ref(), |did| did_id(conn, did))?,
            known(filter.requester.as_ref(), |did| did_id(conn, did))?,
            known(filter.model.as_ref(), |name| model_id(conn, name))?,
        ) else {
            return Ok(None);
        };
        let mut also = Also { conn, is_of_no_tier: false, trust_level: None, claims: HashMap::new() };
        let mut lists: Vec<Vec<Of>> = Vec::new();
        let of = [
            filter.job.as_deref().map(Of::job),
            requester.map(Of::requester),
            provider.map(Of::provider),
            model.map(Of::model),
        ];
        lists.extend(of.into_iter().flatten().map(|of| vec![of]));
        match filter.tier.as_deref() {
            None => {}
            // Nearly all receipts are of it, so that no index has them.
            Some(NO_TIER) => also.is_of_no_tier = true,
            Some(tier) => lists.push(vec![Of::tier(tier)]),
        }
        if let Some(trust_level) = filter.trust_level.as_deref() {
            match (provider, claimants(conn, trust_level)?) {
                (Some(provider), _) if !claims(conn, trust_level, provider)? => return Ok(None),
                (Some(_), _) => {}
                (None, Some(claimants)) if claimants.is_empty() => return Ok(None),
                (None, Some(claimants)) => lists.push(claimants.into_iter().map(Of::provider).collect()),
                (None, None) => also.trust_level = Some(trust_level),
            }
        }
        if lists.is_empty() {
            lists.push(vec![Of::ALL]);
        }
        Ok(Some(Self { lists, also }))
    }
}

/// Who has a machine that claims a trust level, each once; nothing if there are more machines than a few.
fn claimants(conn: &Connection, trust_level: &str) -> Result<Option<Vec<i64>>, Fault> {
    let mut statement = conn.prepare_cached(LIST_CLAIMANTS)?;
    let parameters = named_params! {":trust_level": trust_level, ":limit": FEW + 1};
    let owners = statement.query_map(parameters, |row| row.get(0))?;
    let mut owners: Vec<i64> = owners.collect::<Result<_, _>>()?;
    if owners.len() > FEW as usize {
        return Ok(None);
    }
    owners.sort_unstable();
    owners.dedup();
    Ok(Some(owners))
}

/// What must hold beyond what indexes give.
struct Also<'a> {
    conn: &'a Connection,
    is_of_no_tier: bool,
    trust_level: Option<&'a str>,
    /// Whether a provider has a machine with the trust level, each looked up once.
    claims: HashMap<i64, bool>,
}

impl Also<'_> {
    fn wants(&mut self, entry: &Entry) -> Result<bool, Fault> {
        if !self.is_claimed_by(entry.provider)? {
            return Ok(false);
        }
        if !self.is_of_no_tier {
            return Ok(true);
        }
        let mut statement = self.conn.prepare_cached(FIND_TIER)?;
        let tier = statement.query_row(named_params! {":record": entry.record}, |row| {
            Ok(row.get_ref(0)?.as_str_or_null()? == Some(NO_TIER))
        });
        tier.optional()?.ok_or(Fault::Row("an entry without its receipt"))
    }

    fn is_claimed_by(&mut self, owner: i64) -> Result<bool, Fault> {
        let Some(trust_level) = self.trust_level else { return Ok(true) };
        if let Some(known) = self.claims.get(&owner) {
            return Ok(*known);
        }
        let holds = claims(self.conn, trust_level, owner)?;
        self.claims.insert(owner, holds);
        Ok(holds)
    }
}

/// Whether somebody has a machine that claims a trust level.
fn claims(conn: &Connection, trust_level: &str, owner: i64) -> Result<bool, Fault> {
    let mut statement = conn.prepare_cached(FIND_CLAIM)?;
    Ok(statement.exists(named_params! {":owner": owner, ":trust_level": trust_level})?)
}

#[cfg(test)]
mod tests;
