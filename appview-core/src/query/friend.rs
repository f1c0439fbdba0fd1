//! Who trusts whom.

use rusqlite::{Connection, Row, ToSql, named_params};
use serde::Serialize;

use super::exchange::of_one_or_all;
use super::page::{TOP, within};
use super::provider::known;
use super::record::{Part, did_id, parsed};
use super::{Limit, Page, PageCursor, QueryError, RecordView, Span};
use crate::index::{Fault, IndexReader};
use crate::record::Collection;
use crate::syntax::{Datetime, Did};

pub(super) const LIST_BY_SUBJECT: &str = concat!(
    "select did, record.rkey, cid, verdict, time, body
       from friend
       cross join record on record.id = friend.record
       cross join did on did.id = record.repo
      where subject = :subject and (:friender is null or friender = :friender) and ",
    within!("friend.rkey"),
    " order by friend.rkey desc, did desc limit :limit"
);

pub(super) const LIST_INCOMING: &str = "
    select did, declared, created
      from trust cross join did on did.id = trust.friender
     where subject = :subject
       and declared <= :declared and (declared < :declared or did < :friender)
     order by declared desc, did desc limit :limit";

pub(super) const LIST_EDGES: &str = "
    select friender.did as did, declared, created, subject.did as subject
      from trust
      cross join did as friender on friender.id = trust.friender
      cross join did as subject on subject.id = trust.subject
     where trust.subject <> trust.friender
       and declared <= :declared
       and (declared < :declared or (friender.did, subject.did) < (:friender, :subject))
     order by declared desc, friender.did desc, subject.did desc limit :limit";

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
    /// Their handle. No record tells it, so that it is none here; whoever knows may say.
    pub friender_handle: Option<String>,
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
        let Place { declared, friender, .. } = Place::new(cursor)?;
        let items = self.query(|conn| match did_id(conn, subject)? {
            Some(id) => {
                let mut statement = conn.prepare_cached(LIST_INCOMING)?;
                let rows = statement.query(named_params! {
                    ":subject": id,
                    ":declared": declared,
                    ":friender": friender,
                    ":limit": limit.get() + 1,
                })?;
                edges(rows, |_| Ok(subject.clone()))
            }
            None => Ok(Vec::new()),
        })?;
        let Page { items, cursor } = Page::cut(items, limit.get(), Declared::cursor);
        let items = items.into_iter().map(|declared| {
            let FriendEdge { friender, created_at, .. } = declared.edge;
            IncomingFriend { friender, friender_handle: None, created_at }
        });
        Ok(Page { items: items.collect(), cursor })
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
        let Place { declared, friender, subject } = Place::new(cursor)?;
        let items = self.query(|conn| {
            let mut statement = conn.prepare_cached(LIST_EDGES)?;
            let rows = statement.query(named_params! {
                ":declared": declared,
                ":friender": friender,
                ":subject": subject,
                ":limit": limit.get() + 1,
            })?;
            edges(rows, |row| {
                let subject = row.get_ref(3)?.as_str();
                parsed(subject.ok()).ok_or(Fault::Row("a did that is none"))
            })
        })?;
        let Page { items, cursor } = Page::cut(items, limit.get(), Declared::cursor);
        Ok(Page { items: items.into_iter().map(|declared| declared.edge).collect(), cursor })
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

/// An edge with the time that gives it its place.
struct Declared {
    edge: FriendEdge,
    at: i64,
}

impl Declared {
    fn cursor(&self) -> PageCursor {
        let FriendEdge { friender, subject, .. } = &self.edge;
        PageCursor::after(format!("{} {friender} {subject}", self.at))
    }
}

/// Below which edge a page starts.
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
}

fn edges(
    mut rows: rusqlite::Rows<'_>,
    subject: impl Fn(&Row<'_>) -> Result<Did, Fault>,
) -> Result<Vec<Declared>, Fault> {
    let mut edges = Vec::new();
    while let Some(row) = rows.next()? {
        let at: i64 = row.get(1)?;
        let created: Option<String> = row.get(2)?;
        let friender = row.get_ref(0)?.as_str();
        let edge = FriendEdge {
            friender: parsed(friender.ok()).ok_or(Fault::Row("a did that is none"))?,
            subject: subject(row)?,
            created_at: created.unwrap_or_else(|| Datetime::saturating(at).as_str().to_owned()),
        };
        edges.push(Declared { edge, at });
    }
    Ok(edges)
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
