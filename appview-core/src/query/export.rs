//! Everything, in one order.

use rusqlite::{Connection, Rows, named_params};

use super::RecordView;
use super::record::parsed;
use crate::index::{Fault, IndexError, IndexReader};
use crate::syntax::{Did, Nsid};

const LIST_REPOS: &str = "select id, did from repo cross join did using (id) where hosting = 0";

const FIND_REPO: &str = "select id, did from repo cross join did using (id) where did = :did";

/// Steps from collection to collection in the index, whatever the number of records in each.
const LIST_COLLECTIONS: &str = "
    with recursive present (id) as (
        select min(collection) from record where repo = :repo
        union all
        select (select min(collection) from record where repo = :repo and collection > present.id)
          from present where present.id is not null
    )
    select id, nsid from present cross join collection using (id)";

pub(super) const LIST_RECORDS: &str = "
    select :did as did, rkey, cid, verdict, time, body from record
     where repo = :repo and collection = :collection
     order by rkey";

/// Which part of everything; all of what is given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExportFilter {
    /// Records of these repositories only; of all if there is none.
    pub repos: Vec<Did>,
    /// Records of these collections only; of all if there is none.
    pub collections: Vec<Nsid>,
}

impl IndexReader {
    /// Gives every record of every active account to `visit`, quarantined ones included, in the order of their URIs as
    /// text. What it gives is exactly what the fingerprint is about.
    ///
    /// Streams: holds one record at a time, and the names of all active accounts.
    ///
    /// # Errors
    ///
    /// What `visit` returns, at once; failing input or damage.
    pub fn export<E: From<IndexError>>(
        &self,
        filter: &ExportFilter,
        mut visit: impl FnMut(RecordView) -> Result<(), E>,
    ) -> Result<(), E> {
        for repo in self.query(|conn| repos(conn, filter))? {
            for collection in self.query(|conn| collections(conn, filter, repo.id))? {
                // An error of the visitor's own passes through SQLite's closure as a value.
                self.query(|conn| records(conn, &repo, &collection, &mut visit))??;
            }
        }
        Ok(())
    }

    /// Gives every record that is held of one account to `visit`, in the same order: quarantined ones, and those of an account that
    /// is hidden, as well. It is for the account's owner, and for nobody who reads what is served.
    ///
    /// # Errors
    ///
    /// What `visit` returns, at once; failing input or damage.
    pub fn export_held<E: From<IndexError>>(
        &self,
        did: &Did,
        mut visit: impl FnMut(RecordView) -> Result<(), E>,
    ) -> Result<(), E> {
        let everything = ExportFilter::default();
        for repo in self.query(|conn| repo(conn, did))? {
            for collection in self.query(|conn| collections(conn, &everything, repo.id))? {
                self.query(|conn| records(conn, &repo, &collection, &mut visit))??;
            }
        }
        Ok(())
    }
}

struct Named {
    id: i64,
    name: String,
}

/// Sorts names as the URIs that they begin sort: there a slash follows, which some characters of names come before.
fn sort_as_in_uris(names: &mut [Named]) {
    names.sort_unstable_by(|a, b| {
        let (a, b) = (a.name.bytes(), b.name.bytes());
        a.chain([b'/']).cmp(b.chain([b'/']))
    });
}

fn repos(conn: &Connection, filter: &ExportFilter) -> Result<Vec<Named>, Fault> {
    let wanted = |name: &str| filter.repos.is_empty() || filter.repos.iter().any(|did| did.as_str() == name);
    named(conn.prepare_cached(LIST_REPOS)?.query([])?, "did", wanted)
}

fn repo(conn: &Connection, did: &Did) -> Result<Vec<Named>, Fault> {
    named(conn.prepare_cached(FIND_REPO)?.query(named_params! {":did": did.as_str()})?, "did", |_| true)
}

fn collections(conn: &Connection, filter: &ExportFilter, repo: i64) -> Result<Vec<Named>, Fault> {
    let wanted = |name: &str| {
        filter.collections.is_empty() || filter.collections.iter().any(|nsid| nsid.as_str() == name)
    };
    named(conn.prepare_cached(LIST_COLLECTIONS)?.query(named_params! {":repo": repo})?, "nsid", wanted)
}

fn named(mut rows: Rows<'_>, column: &str, wanted: impl Fn(&str) -> bool) -> Result<Vec<Named>, Fault> {
    let mut names = Vec::new();
    while let Some(row) = rows.next()? {
        let name: String = row.get(column)?;
        if wanted(&name) {
            names.push(Named { id: row.get("id")?, name });
        }
    }
    sort_as_in_uris(&mut names);
    Ok(names)
}

fn records<E>(
    conn: &Connection,
    repo: &Named,
    collection: &Named,
    visit: &mut impl FnMut(RecordView) -> Result<(), E>,
) -> Result<Result<(), E>, Fault> {
    let nsid: Nsid = parsed(Some(&collection.name)).ok_or(Fault::Row("a collection that is none"))?;
    let mut statement = conn.prepare_cached(LIST_RECORDS)?;
    let mut rows = statement.query(named_params! {
        ":did": repo.name,
        ":repo": repo.id,
        ":collection": collection.id,
    })?;
    while let Some(row) = rows.next()? {
        if let Err(error) = visit(RecordView::read_in(row, nsid.clone())?) {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}
