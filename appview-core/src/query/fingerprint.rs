//! What two indexes compare to see whether they agree, and where they do not.

use rusqlite::{Connection, OptionalExtension as _, Row, named_params};

use super::record::parsed;
use super::{Limit, Page, PageCursor, QueryError, VerdictCounts};
use crate::block::Cid;
use crate::index::{Fault, Fingerprint, Index, IndexError, IndexReader};
use crate::record::Verdict;
use crate::syntax::{Did, Nsid};

const FIND_WHOLE: &str = "
    select sum, valid, marked, quarantined from tally where collection = 0";

const FIND_COLLECTION: &str = "
    select sum, valid, marked, quarantined
      from collection cross join tally on tally.collection = collection.id
     where nsid = :nsid";

pub(super) const LIST_BY_COLLECTION: &str = "
    select nsid as name, sum, valid, marked, quarantined
      from collection cross join tally on tally.collection = collection.id
     where nsid > :after and valid + marked + quarantined > 0
     order by nsid limit :limit";

pub(super) const LIST_REPOS: &str = "
    select did as name, repo.id
      from did cross join repo on repo.id = did.id
     where did > :after and hosting = 0 and exists (select 1 from record where repo = did.id)
     order by did limit :limit";

const FIND_REPO: &str = "
    select repo.id from did cross join repo on repo.id = did.id where did = :did and hosting = 0";

pub(super) const LIST_RECORDS: &str = "
    select nsid, rkey, cid, verdict
      from record cross join collection on collection.id = record.collection
     where repo = :repo";

/// After so many records a page of repositories ends: adding them up takes a fraction of a second.
const ADDED_UP: u64 = 100_000;

/// What a fingerprint is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every record of every active account.
    Whole,
    /// Those of one collection.
    Collection(Nsid),
    /// Those of one account; none if it is not active.
    Repo(Did),
}

/// A part of the index, and what its records add up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FingerprintOf<T> {
    /// Which part.
    pub of: T,
    /// The fingerprint of its records.
    pub fingerprint: Fingerprint,
    /// How many records those are.
    pub records: VerdictCounts,
}

impl Index {
    /// The fingerprint of everything in the newest state of the index: what two indexes compare.
    ///
    /// # Errors
    ///
    /// Those of [`Index::reader`].
    pub fn fingerprint(&self) -> Result<Fingerprint, IndexError> {
        self.reader()?.fingerprint(&Scope::Whole)
    }
}

impl IndexReader {
    /// The fingerprint of a part of the index; of no records where there is no such part.
    ///
    /// Those of the whole and of collections are kept up to date with every write. That of a repository is added up from
    /// its rows, some microseconds for each record: kept up to date, two kilobytes for each repository would double what
    /// a commit writes, for an answer that is asked for seldom.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub fn fingerprint(&self, scope: &Scope) -> Result<Fingerprint, IndexError> {
        Ok(self.fingerprint_of(scope)?.fingerprint)
    }

    /// The same, with how many records it is about.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub fn fingerprint_of<'s>(&self, scope: &'s Scope) -> Result<FingerprintOf<&'s Scope>, IndexError> {
        let Sums { fingerprint, records } = self.query(|conn| match scope {
            Scope::Whole => find(conn, FIND_WHOLE, &[]),
            Scope::Collection(nsid) => find(conn, FIND_COLLECTION, &[(":nsid", &nsid.as_str())]),
            Scope::Repo(did) => {
                let mut statement = conn.prepare_cached(FIND_REPO)?;
                let id =
                    statement.query_row(named_params! {":did": did.as_str()}, |row| row.get(0)).optional()?;
                id.map_or(Ok(Sums::default()), |id| add_up(conn, did.as_str(), id))
            }
        })?;
        Ok(FingerprintOf { of: scope, fingerprint, records })
    }

    /// The fingerprint of each collection that has records, by NSID.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cursor`], failing input or damage.
    pub fn fingerprints_by_collection(
        &self,
        limit: Limit,
        cursor: Option<&PageCursor>,
    ) -> Result<Page<FingerprintOf<Nsid>>, QueryError> {
        let after: String = match cursor {
            Some(cursor) => named_by::<Nsid>(cursor)?,
            None => String::new(),
        };
        let items = self.query(|conn| by_collection(conn, &after, limit))?;
        Ok(Page::cut(items, limit.get(), |item| PageCursor::after(item.of.as_str())))
    }

    /// The fingerprint of each active account that has records, by DID. Costs as much as reading their rows, so that a page is
    /// short, and leads on, where there are many.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cursor`], failing input or damage.
    pub fn fingerprints_by_repo(
        &self,
        limit: Limit,
        cursor: Option<&PageCursor>,
    ) -> Result<Page<FingerprintOf<Did>>, QueryError> {
        let after: String = match cursor {
            Some(cursor) => named_by::<Did>(cursor)?,
            None => String::new(),
        };
        let (items, follows) = self.query(|conn| by_repo(conn, &after, limit, ADDED_UP))?;
        let last = items.last().filter(|_| follows);
        let cursor = last.map(|last| PageCursor::after(last.of.as_str()));
        Ok(Page { items, cursor })
    }
}

#[derive(Default)]
struct Sums {
    fingerprint: Fingerprint,
    records: VerdictCounts,
}

impl Sums {
    fn read(row: &Row<'_>) -> Result<Self, Fault> {
        let sum = row.get_ref("sum")?.as_blob();
        Ok(Self {
            fingerprint: sum
                .ok()
                .and_then(Fingerprint::from_bytes)
                .ok_or(Fault::Row("a fingerprint of another length"))?,
            records: VerdictCounts::read(row)?,
        })
    }
}

fn named_by<T: std::str::FromStr>(cursor: &PageCursor) -> Result<String, QueryError> {
    match parsed::<T>(Some(cursor.item())) {
        Some(_) => Ok(cursor.item().into()),
        None => Err(QueryError::Cursor),
    }
}

fn find(conn: &Connection, sql: &str, parameters: &[(&str, &dyn rusqlite::ToSql)]) -> Result<Sums, Fault> {
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(parameters)?;
    rows.next()?.map_or(Ok(Sums::default()), Sums::read)
}

fn by_collection(conn: &Connection, after: &str, limit: Limit) -> Result<Vec<FingerprintOf<Nsid>>, Fault> {
    let mut statement = conn.prepare_cached(LIST_BY_COLLECTION)?;
    let mut rows = statement.query(named_params! {":after": after, ":limit": limit.get() + 1})?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        let nsid = parsed(row.get_ref("name")?.as_str().ok());
        let Sums { fingerprint, records } = Sums::read(row)?;
        items.push(FingerprintOf {
            of: nsid.ok_or(Fault::Row("a collection that is none"))?,
            fingerprint,
            records,
        });
    }
    Ok(items)
}

/// The repositories after one, and whether others follow; no more than `limit`, and none after those with `most` records.
pub(super) fn by_repo(
    conn: &Connection,
    after: &str,
    limit: Limit,
    most: u64,
) -> Result<(Vec<FingerprintOf<Did>>, bool), Fault> {
    let mut statement = conn.prepare_cached(LIST_REPOS)?;
    let mut rows = statement.query(named_params! {":after": after, ":limit": limit.get() + 1})?;
    let (mut items, mut added_up) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        if items.len() == limit.get() as usize || added_up >= most {
            return Ok((items, true));
        }
        let did: Option<Did> = parsed(row.get_ref("name")?.as_str().ok());
        let of = did.ok_or(Fault::Row("a did that is none"))?;
        let Sums { fingerprint, records } = add_up(conn, of.as_str(), row.get("id")?)?;
        added_up = added_up.saturating_add(records.total());
        items.push(FingerprintOf { of, fingerprint, records });
    }
    Ok((items, false))
}

fn add_up(conn: &Connection, did: &str, repo: i64) -> Result<Sums, Fault> {
    let mut sums = Sums::default();
    let mut record = Fingerprint::default();
    let mut statement = conn.prepare_cached(LIST_RECORDS)?;
    let mut rows = statement.query(named_params! {":repo": repo})?;
    while let Some(row) = rows.next()? {
        let cid = row.get_ref("cid")?.as_blob().ok();
        let cid = cid.and_then(|cid| Cid::decode(cid).ok());
        let cid = cid.ok_or(Fault::Row("a cid that is none"))?;
        let text = |name| row.get_ref(name)?.as_str().map_err(|_| Fault::Row("a path that is no text"));
        record.set_record(did, text("nsid")?, text("rkey")?, &cid);
        sums.fingerprint.add(&record);
        match Verdict::from_code(row.get("verdict")?) {
            Some(Verdict::Valid) => sums.records.valid += 1,
            Some(Verdict::Marked) => sums.records.marked += 1,
            Some(Verdict::Quarantined) => sums.records.quarantined += 1,
            None => return Err(Fault::Row("a verdict that has no meaning")),
        }
    }
    Ok(sums)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use fixtures::recording;

    use super::*;
    use crate::record::Catalog;
    use crate::source::replay::{Identities, Offline, Recording, play};
    use crate::sync;

    #[test]
    fn a_page_of_repositories_ends_early_where_they_have_many_records() {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::open(folder.path().join("index.db")).unwrap();
        let mut writer = index.writer(Catalog::builtin().unwrap()).unwrap();
        let identities = Identities::from_json(&serde_json::from_str(recording::PLC_JSON).unwrap()).unwrap();
        let scope = sync::Scope::default();
        let upstream = Offline::new(identities, None, scope.clone());
        play(&mut Recording::new(recording::LIVE), &mut writer, upstream, scope, |_| ()).unwrap();
        let reader = index.reader().unwrap();
        let page = |after: &str, most| reader.query(|conn| by_repo(conn, after, Limit::MAX, most)).unwrap();
        let (all, follows) = page("", u64::MAX);
        assert!(!follows && all.len() > 2, "{} repositories", all.len());
        let (mut found, mut after, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let (part, follows) = page(&after, 1);
            assert_eq!(part.len(), 1, "each has at least one record");
            after = part[0].of.to_string();
            found.extend(part);
            pages += 1;
            if !follows {
                break;
            }
        }
        assert_eq!((found, pages), (all.clone(), all.len()));
    }
}
