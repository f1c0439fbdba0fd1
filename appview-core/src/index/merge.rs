//! A whole repository, applied as the difference to what is stored.
//!
//! Its records enter as its tree holds them, and beside them the rows that are stored, a page at a time; both are in the
//! order of their keys. Puts and deletes leave. Neither side is ever in memory as a whole, whatever the size of the
//! repository. Deliberately absent: what a put or a delete changes.

use std::collections::HashSet;
use std::iter::Peekable;
use std::vec::IntoIter;

use rusqlite::named_params;

use super::Fault;
use super::batch::{Batch, Repo};
use super::record::{InCollection, Stored};
use crate::block::{BlockError, Cid};
use crate::sync::VerifiedRepo;
use crate::syntax::RepoPath;

/// A page is read as a whole before any of its rows is changed, and whatever is written before the next one is read has a
/// key before it: SQLite leaves open what a cursor sees of a table that changes under it.
const LIST_RECORDS: &str = "
    select id, rkey, cid, verdict, time from record
     where repo = :repo and collection = :collection and rkey > :after order by rkey limit 1000";

/// The rows of a full page.
const PAGE: usize = 1_000;

/// What is stored of one collection, as far as it has been read.
struct Held {
    id: i64,
    nsid: Box<str>,
    rows: Peekable<IntoIter<(Box<str>, Stored)>>,
    /// Where the next page begins; none if there is no more.
    after: Option<Box<str>>,
}

/// Why a repository could not be applied.
enum Stop {
    Fault(Fault),
    Archive(BlockError),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<BlockError> for Stop {
    fn from(error: BlockError) -> Self {
        Self::Archive(error)
    }
}

impl Batch<'_> {
    /// Makes the rows of `repo` those of `verified`.
    pub(super) fn merge(&mut self, repo: &Repo<'_>, verified: &VerifiedRepo) -> Result<(), Fault> {
        self.try_merge(repo, verified).map_err(|stop| match stop {
            Stop::Fault(fault) => fault,
            Stop::Archive(error) => Fault::Archive(repo.did.clone(), error),
        })
    }

    fn try_merge(&mut self, repo: &Repo<'_>, verified: &VerifiedRepo) -> Result<(), Stop> {
        // In the order of `collection/rkey`, the keys of one collection stand together, and in their own order. Across
        // collections that order is not the order of pairs ("a.b-c/k" comes before "a.b/k"), so each is merged alone.
        let mut present = HashSet::new();
        let mut current: Option<Held> = None;
        verified.each_record::<Stop>(|path, cid| {
            let mut held = match current.take() {
                Some(held) if *held.nsid == *path.collection.as_str() => held,
                before => {
                    if let Some(before) = before {
                        self.delete_rest(repo, before)?;
                    }
                    Held::new(self.collection(&path.collection)?)
                }
            };
            present.insert(held.id);
            self.merge_record(repo, &mut held, path, cid, verified)?;
            current = Some(held);
            Ok(())
        })?;
        if let Some(last) = current {
            self.delete_rest(repo, last)?;
        }
        for (id, nsid) in self.collections_of(repo)? {
            if !present.contains(&id) {
                self.delete_rest(repo, Held::new(InCollection { id, nsid: &nsid }))?;
            }
        }
        Ok(())
    }

    /// Deletes what is stored before a record, and sees to it that the record is as it should be.
    fn merge_record(
        &mut self,
        repo: &Repo<'_>,
        held: &mut Held,
        path: &RepoPath,
        cid: &Cid,
        verified: &VerifiedRepo,
    ) -> Result<(), Stop> {
        let rkey = path.rkey.as_str();
        self.delete_while(repo, held, |held| held < rkey)?;
        let stored = self.next_if(repo, held, |held| held == rkey)?.map(|(_, stored)| stored);
        if stored.is_some_and(|stored| stored.cid == *cid) {
            self.applied.unchanged += 1;
            return Ok(());
        }
        let mut block = std::mem::take(&mut self.block);
        verified.read(cid, &mut block)?;
        self.put(repo, held.collection(), &path.rkey, cid, &block, stored)?;
        self.block = block;
        Ok(())
    }

    fn delete_rest(&mut self, repo: &Repo<'_>, mut held: Held) -> Result<(), Fault> {
        self.delete_while(repo, &mut held, |_| true)
    }

    /// Deletes the next stored rows as long as their keys are such.
    fn delete_while(
        &mut self,
        repo: &Repo<'_>,
        held: &mut Held,
        is_gone: impl Fn(&str) -> bool,
    ) -> Result<(), Fault> {
        while let Some((gone, stored)) = self.next_if(repo, held, &is_gone)? {
            self.delete(repo, held.collection(), &gone, stored)?;
        }
        Ok(())
    }

    /// The next stored row if its key is such a one.
    fn next_if(
        &self,
        repo: &Repo<'_>,
        held: &mut Held,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Result<Option<(Box<str>, Stored)>, Fault> {
        if held.rows.peek().is_none()
            && let Some(after) = held.after.take()
        {
            let rows = self.page(repo, held.id, &after)?;
            held.after = rows.last().filter(|_| rows.len() == PAGE).map(|(rkey, _)| rkey.clone());
            held.rows = rows.into_iter().peekable();
        }
        Ok(held.rows.next_if(|(rkey, _)| is_wanted(rkey)))
    }

    fn page(&self, repo: &Repo<'_>, collection: i64, after: &str) -> Result<Vec<(Box<str>, Stored)>, Fault> {
        let mut statement = self.conn.prepare_cached(LIST_RECORDS)?;
        let mut rows = statement.query(named_params! {
            ":repo": repo.id,
            ":collection": collection,
            ":after": after,
        })?;
        let mut page = Vec::new();
        while let Some(row) = rows.next()? {
            page.push((row.get("rkey")?, Stored::read(row)?));
        }
        Ok(page)
    }
}

impl Held {
    fn new(collection: InCollection<'_>) -> Self {
        Self {
            id: collection.id,
            nsid: collection.nsid.into(),
            rows: Vec::new().into_iter().peekable(),
            // No key is empty.
            after: Some("".into()),
        }
    }

    fn collection(&self) -> InCollection<'_> {
        InCollection { id: self.id, nsid: &self.nsid }
    }
}
