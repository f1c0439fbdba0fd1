//! Small integers in the place of long names.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _, named_params};

use super::Fault;

/// Most names of one kind that are remembered. Forgetting all at once is simpler than forgetting the oldest, and costs
/// one search for each name that is met again.
const REMEMBERED: usize = 65_536;

/// What stands for the names that a writer has met. Only good as long as no transaction is rolled back.
#[derive(Debug)]
pub(super) struct Interned {
    dids: Names,
    collections: Names,
    models: Names,
}

impl Default for Interned {
    fn default() -> Self {
        Self {
            dids: Names::new("select id from did where did = :name", "insert into did (did) values (:name)"),
            collections: Names::new(
                "select id from collection where nsid = :name",
                "insert into collection (nsid) values (:name)",
            ),
            models: Names::new(
                "select id from model where name = :name",
                "insert into model (name) values (:name)",
            ),
        }
    }
}

impl Interned {
    pub(super) fn did(&mut self, conn: &Connection, did: &str) -> Result<i64, Fault> {
        self.dids.id(conn, did)
    }

    pub(super) fn collection(&mut self, conn: &Connection, nsid: &str) -> Result<i64, Fault> {
        self.collections.id(conn, nsid)
    }

    pub(super) fn model(&mut self, conn: &Connection, name: &str) -> Result<i64, Fault> {
        self.models.id(conn, name)
    }

    pub(super) fn forget(&mut self) {
        for names in [&mut self.dids, &mut self.collections, &mut self.models] {
            names.ids.clear();
        }
    }
}

#[derive(Debug)]
struct Names {
    find: &'static str,
    add: &'static str,
    ids: HashMap<Box<str>, i64>,
}

impl Names {
    fn new(find: &'static str, add: &'static str) -> Self {
        Self { find, add, ids: HashMap::new() }
    }

    fn id(&mut self, conn: &Connection, name: &str) -> Result<i64, Fault> {
        if let Some(id) = self.ids.get(name) {
            return Ok(*id);
        }
        let found = conn
            .prepare_cached(self.find)?
            .query_row(named_params! {":name": name}, |row| row.get(0))
            .optional()?;
        let id = match found {
            Some(id) => id,
            None => conn.prepare_cached(self.add)?.insert(named_params! {":name": name})?,
        };
        if self.ids.len() >= REMEMBERED {
            self.ids.clear();
        }
        self.ids.insert(name.into(), id);
        Ok(id)
    }
}
