//! One transaction at work on the feed: which place a change gets, and what no record can tell.
//!
//! A change of what is served enters; a place leaves, later than every one before it. A record that is served bears the
//! place of its last change itself, so that the feed holds each record once, and no body twice. Deletions and what became
//! of accounts are rows of their own, removed when they are old; of what an account was called in turn, the last word is
//! kept. Deliberately absent: reading changes, which is the `query` room's, and any sense of time but the moment of the
//! transaction.

use std::fmt;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, named_params};

use super::Fault;
use super::IndexError;
use super::batch::{Batch, Repo};
use super::reader::IndexReader;
use super::record::InCollection;

/// How long the feed tells of deletions and accounts if nobody says otherwise: a week.
pub const FEED_RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Rows that one transaction may remove because they are old, however few it added.
const PRUNED_AT_ONCE: i64 = 256;

/// Beyond every moment that a clock may tell, so that there are always places left.
const LAST_MOMENT: u64 = 1 << 62;

/// Each of the three is the end of a B-tree.
const FIND_NEWEST: &str = "
    select max(
        coalesce((select max(seq) from record where served = 1), 0),
        coalesce((select max(seq) from feed), 0),
        coalesce((select seq from feed_floor), 0)
    )";

const FIND_FLOOR: &str = "select seq from feed_floor";

const SET_FLOOR: &str = "
    insert into feed_floor (only_row, seq) values (1, :seq)
    on conflict do update set seq = :seq";

const MOVE_RECORDS: &str = "update record set seq = seq + :by where served = 1";

/// Places are unique: one that is moved on must not meet the next that is not moved yet.
const MOVE_ASIDE: &str = "update feed set seq = -(seq + :by)";

const MOVE_BACK: &str = "update feed set seq = -seq";

const MOVE_FLOOR: &str = "update feed_floor set seq = seq + :by";

const ADD_DELETION: &str = "
    insert into feed (seq, repo, collection, rkey, rev) values (:seq, :repo, :collection, :rkey, :rev)";

const ADD_ACCOUNT: &str =
    "insert into feed (seq, repo, hosting, erased) values (:seq, :repo, :hosting, :erased)";

const REMOVE_OF_REPO: &str = "delete from feed where repo = :repo";

/// An erasure stays: whoever has not heard of it keeps what is gone, whatever the account is called afterwards.
const REMOVE_ACCOUNT: &str = "
    delete from feed where repo = :repo and hosting is not null and erased = 0";

/// Twice as many as are at this moment's place or later, which are those that the transaction added: what is old gets
/// fewer, however much is added at once. Where places run ahead of the clock, older ones count too.
const FIND_OLD: &str = "
    select max(seq) from (
        select seq from feed where seq < :before order by seq
         limit max(:least, 2 * (select count(*) from feed where seq >= :now)))";

const REMOVE_OLD: &str = "delete from feed where seq <= :seq";

/// A place in one index's feed of changes: the moment of a change in microseconds since 1970, or as much later as it
/// takes to be later than the change before. What Jetstream calls `time_us`.
///
/// It means nothing at another index, be it one of the same repositories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct FeedSeq(u64);

impl FeedSeq {
    /// Before every change.
    pub const START: Self = Self(0);

    /// The place that is [`FeedSeq::micros`].
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970.
    #[must_use]
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// The place just before this one.
    #[must_use]
    pub const fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    pub(crate) fn from_row(seq: i64) -> Result<Self, Fault> {
        u64::try_from(seq).map(Self).map_err(|_| Fault::Row("a place in the feed before its start"))
    }

    /// The number in a row; one that no row has for a place that a caller made up.
    pub(crate) fn to_row(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}

impl fmt::Display for FeedSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The place of the newest change that the index has told; the start if there was none. A transaction asks before it
/// changes anything: the newest change may be of a record that it removes.
pub(crate) fn newest(conn: &Connection) -> Result<FeedSeq, Fault> {
    FeedSeq::from_row(conn.prepare_cached(FIND_NEWEST)?.query_row([], |row| row.get(0))?)
}

/// Before which place deletions may be missing; none in a feed without any change.
pub(crate) fn floor(conn: &Connection) -> Result<Option<FeedSeq>, Fault> {
    let floor = conn.prepare_cached(FIND_FLOOR)?.query_row([], |row| row.get(0)).optional()?;
    floor.map(FeedSeq::from_row).transpose()
}

/// Has the feed of a file begin after that of the file whose place it takes: every place in it is moved by as much as that
/// takes.
pub(super) fn move_after(conn: &mut Connection, replaced: FeedSeq) -> Result<(), Fault> {
    let begin = FeedSeq(replaced.0.saturating_add(1));
    let by = match floor(conn)? {
        Some(floor) => begin.0.saturating_sub(floor.0),
        None => return set_floor(conn, begin),
    };
    if by > 0 {
        let transaction = conn.transaction()?;
        for statement in [MOVE_RECORDS, MOVE_ASIDE, MOVE_FLOOR] {
            transaction.execute(statement, named_params! {":by": FeedSeq(by).to_row()})?;
        }
        transaction.execute(MOVE_BACK, [])?;
        transaction.commit()?;
    }
    Ok(())
}

fn set_floor(conn: &Connection, floor: FeedSeq) -> Result<(), Fault> {
    conn.prepare_cached(SET_FLOOR)?.execute(named_params! {":seq": floor.to_row()})?;
    Ok(())
}

impl IndexReader {
    /// Before which place deletions, and what became of accounts, may be missing: they were old, or the place is in the
    /// feed of another file. None in a feed without any change.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub fn feed_floor(&self) -> Result<Option<FeedSeq>, IndexError> {
        self.query(floor)
    }
}

impl Batch<'_> {
    /// The place of a change that happens in this moment, if it is one of what is served.
    pub(super) fn seq_if(&mut self, served: bool) -> Result<Option<i64>, Fault> {
        if served { self.next_seq().map(Some) } else { Ok(None) }
    }

    fn next_seq(&mut self) -> Result<i64, Fault> {
        let next = self.newest.0.saturating_add(1).max(self.now.min(LAST_MOMENT));
        let is_first = self.newest == FeedSeq::START;
        self.newest = FeedSeq(next);
        if is_first {
            // Whoever comes with an earlier place has it from another file.
            set_floor(self.conn, self.newest)?;
        }
        Ok(self.newest.to_row())
    }

    /// Tells that a record is not served any more. Also where its account is hidden: whoever keeps the records of hidden
    /// accounts would otherwise show it again with the others.
    pub(super) fn tell_deletion(
        &mut self,
        repo: i64,
        collection: InCollection<'_>,
        rkey: &str,
        rev: Option<i64>,
    ) -> Result<(), Fault> {
        let seq = self.next_seq()?;
        self.conn.prepare_cached(ADD_DELETION)?.execute(named_params! {
            ":seq": seq,
            ":repo": repo,
            ":collection": collection.id,
            ":rkey": rkey,
            ":rev": rev,
        })?;
        Ok(())
    }

    /// Tells what an account has become.
    pub(super) fn tell_account(&mut self, repo: &Repo<'_>) -> Result<(), Fault> {
        self.add_account(repo, false)
    }

    /// Tells that an account's records are gone for good, and nothing else of it.
    pub(super) fn tell_erasure(&mut self, repo: &Repo<'_>) -> Result<(), Fault> {
        self.conn.prepare_cached(REMOVE_OF_REPO)?.execute(named_params! {":repo": repo.id})?;
        self.add_account(repo, true)
    }

    /// What was told of it before is told no more: whoever goes on from any place hears what it is now. Looks at what is
    /// told of this account, as hiding and showing it look at all its records.
    fn add_account(&mut self, repo: &Repo<'_>, erased: bool) -> Result<(), Fault> {
        self.conn.prepare_cached(REMOVE_ACCOUNT)?.execute(named_params! {":repo": repo.id})?;
        let seq = self.next_seq()?;
        self.conn.prepare_cached(ADD_ACCOUNT)?.execute(named_params! {
            ":seq": seq,
            ":repo": repo.id,
            ":hosting": repo.state.hosting.code(),
            ":erased": erased,
        })?;
        Ok(())
    }

    /// Removes some of what is older than `retention`, the oldest first.
    pub(super) fn prune_feed(&mut self, retention: Duration) -> Result<(), Fault> {
        let retention = u64::try_from(retention.as_micros()).unwrap_or(u64::MAX);
        let before = FeedSeq(self.now.saturating_sub(retention));
        let old: Option<i64> = self.conn.prepare_cached(FIND_OLD)?.query_row(
            named_params! {
                ":before": before.to_row(),
                ":least": PRUNED_AT_ONCE,
                ":now": FeedSeq(self.now.min(LAST_MOMENT)).to_row(),
            },
            |row| row.get(0),
        )?;
        if let Some(seq) = old {
            self.conn.prepare_cached(REMOVE_OLD)?.execute(named_params! {":seq": seq})?;
            set_floor(self.conn, FeedSeq::from_row(seq)?)?;
        }
        Ok(())
    }
}
