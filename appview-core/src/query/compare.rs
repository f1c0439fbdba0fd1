//! Which repositories two indexes do not agree on.

use std::cmp::Ordering;

use super::fingerprint::by_repo;
use super::{FingerprintOf, Limit};
use crate::index::{IndexError, IndexReader};
use crate::syntax::Did;

impl IndexReader {
    /// Repositories whose records here are others than in `other`, or that only one of them shows, by DID.
    ///
    /// Costs as much as reading the rows of both.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub fn repos_that_differ(&self, other: &Self) -> Result<Vec<Did>, IndexError> {
        let (mut ours, mut theirs) = (ByRepo::new(self), ByRepo::new(other));
        let (mut our, mut their) = (ours.next()?, theirs.next()?);
        let mut differ = Vec::new();
        loop {
            let order = match (&our, &their) {
                (None, None) => return Ok(differ),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(our), Some(their)) => our.of.as_str().cmp(their.of.as_str()),
            };
            let here = if order.is_le() { std::mem::replace(&mut our, ours.next()?) } else { None };
            let there = if order.is_ge() { std::mem::replace(&mut their, theirs.next()?) } else { None };
            match (here, there) {
                (Some(here), Some(there)) if here.fingerprint == there.fingerprint => {}
                (Some(repo), _) | (None, Some(repo)) => differ.push(repo.of),
                (None, None) => {}
            }
        }
    }
}

/// The fingerprint of each repository, by DID, read a page at a time.
struct ByRepo<'i> {
    index: &'i IndexReader,
    page: std::vec::IntoIter<FingerprintOf<Did>>,
    after: Option<String>,
}

impl<'i> ByRepo<'i> {
    fn new(index: &'i IndexReader) -> Self {
        Self { index, page: Vec::new().into_iter(), after: Some(String::new()) }
    }

    fn next(&mut self) -> Result<Option<FingerprintOf<Did>>, IndexError> {
        if self.page.len() == 0
            && let Some(after) = &self.after
        {
            let (page, _) = self.index.query(|conn| by_repo(conn, after, Limit::default(), u64::MAX))?;
            self.page = page.into_iter();
            self.after = self.page.as_slice().last().map(|last| last.of.as_str().to_owned());
        }
        Ok(self.page.next())
    }
}
