//! What one would write first: one table whose key is the URI, filled from a serde struct.
//!
//! Generous to itself: statements are prepared once, many records share a transaction, bodies stay as they were signed
//! (JSON text costs a tenth more), and nobody looks whether a record keeps its lexicon or what all of them add up to.

use std::path::Path;

use rusqlite::{Connection, params};
use serde::Deserialize;

#[derive(Deserialize)]
struct Receipt<'a> {
    requester: Option<&'a str>,
    model: Option<&'a str>,
    #[serde(rename = "startedAt")]
    started_at: Option<&'a str>,
}

pub(crate) struct Naive(Connection);

impl Naive {
    pub(crate) fn create(path: &Path) -> Self {
        let conn = Connection::open(path).unwrap();
        conn.execute_batch(
            "pragma journal_mode = wal;
             pragma synchronous = normal;
             pragma cache_size = -65536;
             create table record (
                 uri        text primary key,
                 did        text not null,
                 collection text not null,
                 rkey       text not null,
                 cid        text not null,
                 requester  text,
                 model      text,
                 started_at text,
                 body       blob not null
             );
             create index record_did on record (did, collection, rkey);
             create index record_collection on record (collection, rkey);
             create index record_requester on record (requester, rkey);
             create index record_model on record (model, started_at);",
        )
        .unwrap();
        Self(conn)
    }

    /// Writes records, each as repository, path, address and block, in one transaction.
    pub(crate) fn put<'a>(&mut self, records: impl IntoIterator<Item = (&'a str, String, String, &'a [u8])>) {
        let transaction = self.0.transaction().unwrap();
        for (did, path, cid, block) in records {
            let receipt: Receipt<'_> = serde_ipld_dagcbor::from_slice(block).unwrap();
            let (collection, rkey) = path.split_once('/').unwrap();
            transaction
                .prepare_cached("insert or replace into record values (?, ?, ?, ?, ?, ?, ?, ?, ?)")
                .unwrap()
                .execute(params![
                    format!("at://{did}/{path}"),
                    did,
                    collection,
                    rkey,
                    cid,
                    receipt.requester,
                    receipt.model,
                    receipt.started_at,
                    block,
                ])
                .unwrap();
        }
        transaction.commit().unwrap();
    }
}

/// Times of the clock on the wall, beside those of the thread.
#[derive(Default)]
pub(crate) struct Walls(Vec<std::time::Duration>);

impl Walls {
    pub(crate) fn time<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = std::time::Instant::now();
        let done = work();
        self.0.push(start.elapsed());
        done
    }

    /// Prints the middle one for each of `count` elements.
    pub(crate) fn tell(mut self, name: &str, count: u64) {
        self.0.sort();
        if let Some(middle) = self.0.get(self.0.len() / 2) {
            println!("{name}: wall {:.2} µs each", middle.as_secs_f64() * 1e6 / count as f64);
        }
    }
}
