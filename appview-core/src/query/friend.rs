//! Who trusts whom.

use rusqlite::{Connection, Row, Rows, ToSql, named_params};
use serde::Serialize;

use super::exchange::of_one_or_all;
use super::page::{TOP, within};
use super::provider::known;
use super::record::{Part, did_id, nsid_of, parsed};
use super::{Limit, Page, PageCursor, QueryError, RecordView, Span};
use crate::index::{Fault, IndexReader};
use crate::record::Collection;
use crate::syntax::{AtUri, Datetime, Did, RecordKey};

pub(super) const LIST_BY_SUBJECT: &str = concat!(
    "select did, record.rkey, cid, verdict, time, body
       from friend
       cross join record on record.id = friend.record
       cross join did on did.id = record.repo
      where subject = :subject and (:friender is null or friender = :friender) and ",
    within!("friend.rkey"),
    " order by friend.rkey desc, did desc limit :limit"
);

/// Among those of one time, the order is ours: to have SQLite sort them would cost as much for each row that shares its time
/// with none.
pub(super) const LIST_INCOMING: &str = "
    select did.did, declared, created, handle, trust.friender
      from trust
      cross join did on did.id = trust.friender
      left join profile on profile.did = did.did
     where subject = :subject and declared <= :declared
     order by declared desc";

pub(super) const LIST_EDGES: &str = "
    select friender.did, declared, created, subject.did
      from trust
      cross join did as friender on friender.id = trust.friender
      cross join did as subject on subject.id = trust.subject
     where trust.subject <> trust.friender and declared <= :declared
     order by declared desc";

/// The key of the declaration that a pair stands for. Of several that say the same, the one with the least key.
pub(super) const FIND_DECLARATION: &str = "
    select min(+rkey) from friend
     where friender = :friender and subject = :subject and declared = :declared and created is :created";

/// Which declarations of trust; all of what is given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FriendFilter {
    /// Who trusts: the repository they are in.
    pub friender: Option<Did>,
    /// Who is trusted.
    pub subject: Option<Did>,
}

/// Who trusts an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IncomingFriend {
    /// Who declared it.
    pub friender: Did,
    /// Their handle, as their own profile says; nobody has checked it.
    pub friender_handle: Option<String>,
    /// The record that declared it first.
    pub uri: AtUri,
    /// When it was first declared, as the record says it, or else as its key does.
    pub created_at: String,
}

/// That one account trusts another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FriendEdge {
    /// Who declared it.
    pub friender: Did,
    /// In whom.
    pub subject: Did,
    /// When it was first declared, as the record says it, or else as its key does.
    pub created_at: String,
}

impl IndexReader {
    /// Who trusts `subject`, each once, the latest to declare it first.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cursor`], failing input or damage.
    pub fn list_incoming_friends(
        &self,
        subject: &Did,
        limit: Limit<200>,
        cursor: Option<&PageCursor>,
    ) -> Result<Page<IncomingFriend>, QueryError> {
        let place = Place::new(cursor)?;
        Ok(self.query(|conn| incoming(conn, subject, limit.get(), &place))?)
    }

    /// Who trusts whom, each pair once, the latest to be declared first. That somebody trusts themselves is left out.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cursor`], failing input or damage.
    pub fn list_friend_edges(
        &self,
        limit: Limit<20_000>,
        cursor: Option<&PageCursor>,
    ) -> Result<Page<FriendEdge>, QueryError> {
        let place = Place::new(cursor)?;
        Ok(self.query(|conn| edges(conn, limit.get(), &place))?)
    }

    /// The declarations of trust that match `filter`, newest key first. One account may have declared the same twice.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cursor`], failing input or damage.
    pub fn list_friends(
        &self,
        filter: &FriendFilter,
        limit: Limit,
        cursor: Option<&PageCursor>,
    ) -> Result<Page<RecordView>, QueryError> {
        let part = Part::new(limit, cursor, Span::ALWAYS)?;
        Ok(self.query(|conn| list(conn, filter, &part))?)
    }
}

/// That one account trusts another, as a row tells it, and what else the row tells.
struct Declared<T> {
    at: i64,
    /// In the words of the record, if it has any.
    created: Option<String>,
    friender: Did,
    subject: Did,
    more: T,
}

impl<T> Declared<T> {
    fn cursor(&self) -> PageCursor {
        let Self { at, friender, subject, .. } = self;
        PageCursor::after(format!("{at} {friender} {subject}"))
    }

    fn pair(&self) -> (&str, &str) {
        (self.friender.as_str(), self.subject.as_str())
    }

    fn created_at(&self) -> String {
        self.created.clone().unwrap_or_else(|| Datetime::saturating(self.at).as_str().to_owned())
    }
}

/// Below which pair a page starts.
struct Place {
    declared: i64,
    friender: String,
    subject: String,
}

impl Place {
    fn new(cursor: Option<&PageCursor>) -> Result<Self, QueryError> {
        let Some(cursor) = cursor else {
            return Ok(Self { declared: i64::MAX, friender: TOP.into(), subject: TOP.into() });
        };
        let mut parts = cursor.item().split(' ');
        let (Some(declared), Some(friender), Some(subject), None) =
            (parsed(parts.next()), parsed::<Did>(parts.next()), parsed::<Did>(parts.next()), parts.next())
        else {
            return Err(QueryError::Cursor);
        };
        Ok(Self { declared, friender: friender.to_string(), subject: subject.to_string() })
    }

    fn is_above<T>(&self, declared: &Declared<T>) -> bool {
        declared.at < self.declared || declared.pair() < (self.friender.as_str(), self.subject.as_str())
    }
}

fn incoming(
    conn: &Connection,
    subject: &Did,
    limit: u32,
    place: &Place,
) -> Result<Page<IncomingFriend>, Fault> {
    let Some(id) = did_id(conn, subject)? else { return Ok(Page::empty()) };
    let mut statement = conn.prepare_cached(LIST_INCOMING)?;
    let rows = statement.query(named_params! {":subject": id, ":declared": place.declared})?;
    let page = page(rows, limit, place, |row| {
        let more: (Option<String>, i64) = (row.get(3)?, row.get(4)?);
        Declared::read(row, subject.clone(), more)
    })?;
    let nsid = nsid_of(Collection::Friend)?;
    let mut statement = conn.prepare_cached(FIND_DECLARATION)?;
    let friends = page.items.into_iter().map(|declared| {
        let (friender_handle, friender) = &declared.more;
        let of = named_params! {
            ":friender": friender,
            ":subject": id,
            ":declared": declared.at,
            ":created": declared.created,
        };
        let rkey: Option<String> = statement.query_row(of, |row| row.get(0))?;
        let rkey: RecordKey = parsed(rkey.as_deref()).ok_or(Fault::Row("trust without a declaration"))?;
        Ok(IncomingFriend {
            uri: AtUri::of_record(&declared.friender, &nsid, &rkey),
            friender_handle: friender_handle.clone(),
            created_at: declared.created_at(),
            friender: declared.friender,
        })
    });
    Ok(Page { items: friends.collect::<Result<_, Fault>>()?, cursor: page.cursor })
}

fn edges(conn: &Connection, limit: u32, place: &Place) -> Result<Page<FriendEdge>, Fault> {
    let mut statement = conn.prepare_cached(LIST_EDGES)?;
    let rows = statement.query(named_params! {":declared": place.declared})?;
    let page = page(rows, limit, place, |row| Declared::read(row, did_in(row, 3)?, ()))?;
    let edge = |declared: Declared<()>| FriendEdge {
        created_at: declared.created_at(),
        friender: declared.friender,
        subject: declared.subject,
    };
    Ok(Page { items: page.items.into_iter().map(edge).collect(), cursor: page.cursor })
}

impl<T> Declared<T> {
    /// Reads what every list of trust gives first: who declared it, when, and in which words.
    fn read(row: &Row<'_>, subject: Did, more: T) -> Result<Self, Fault> {
        Ok(Self { at: row.get(1)?, created: row.get(2)?, friender: did_in(row, 0)?, subject, more })
    }
}

fn did_in(row: &Row<'_>, column: usize) -> Result<Did, Fault> {
    parsed(row.get_ref(column)?.as_str().ok()).ok_or(Fault::Row("a did that is none"))
}

/// A page of rows that come in the order of their times and go on beyond it if the list does. Among equal times the greater
/// friender comes first, then the greater subject.
fn page<T>(
    mut rows: Rows<'_>,
    limit: u32,
    place: &Place,
    read: impl Fn(&Row<'_>) -> Result<Declared<T>, Fault>,
) -> Result<Page<Declared<T>>, Fault> {
    // One more than asked for tells whether another page follows.
    let most = limit as usize + 1;
    let mut found: Vec<Declared<T>> = Vec::new();
    // Where those begin that share the time of the last one.
    let mut tied = 0;
    while let Some(row) = rows.next()? {
        let next = read(row)?;
        if found.last().is_some_and(|last| last.at != next.at) {
            if found.len() >= most {
                break;
            }
            sort(&mut found, tied);
            tied = found.len();
        }
        if place.is_above(&next) {
            found.push(next);
        }
        // However many share a time, no more are held than two pages of them.
        if found.len() >= tied + 2 * most {
            sort(&mut found, tied);
            found.truncate(tied + most);
        }
    }
    sort(&mut found, tied);
    Ok(Page::cut(found, limit, Declared::cursor))
}

fn sort<T>(found: &mut [Declared<T>], from: usize) {
    if let Some(tied) = found.get_mut(from..) {
        tied.sort_unstable_by(|a, b| b.pair().cmp(&a.pair()));
    }
}

fn list(conn: &Connection, filter: &FriendFilter, part: &Part) -> Result<Page<RecordView>, Fault> {
    let Some(subject) = &filter.subject else {
        return of_one_or_all(conn, Collection::Friend, filter.friender.as_ref(), part);
    };
    let (Some(friender), Some(subject)) =
        (known(filter.friender.as_ref(), |did| did_id(conn, did))?, did_id(conn, subject)?)
    else {
        return Ok(Page::empty());
    };
    let filter: [(&str, &dyn ToSql); 2] = [(":subject", &subject), (":friender", &friender)];
    part.read(conn, Collection::Friend, LIST_BY_SUBJECT, &filter)
}
