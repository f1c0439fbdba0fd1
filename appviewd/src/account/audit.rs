//! What was done in a person's name, for that person to read.
//!
//! An [`Entry`] enters at every use of a session and every change of a key; pages of them leave, newest first. They are kept for
//! ninety days, and at most ten thousand of one person. Deliberately absent: addresses, user agents, and what was written, which
//! is in the person's own repository.

use std::fmt;
use std::str::FromStr;

use appview_core::syntax::Did;
use rusqlite::{Row, Transaction, named_params};

use super::{AccountError, AccountStore, Actor, micros, moment};

/// How long entries are kept, in microseconds.
const KEPT: u64 = 90 * 24 * 60 * 60 * 1_000_000;
/// How many of one person are kept.
const MOST: u32 = 10_000;
/// Longest subject, in bytes; what is longer is cut.
const LONGEST: usize = 512;

/// Declares the actions with the words that stand for them in the file and in JSON.
macro_rules! actions {
    ($($(#[$doc:meta])* $action:ident = $word:literal,)*) => {
        /// What was done.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Action { $($(#[$doc])* $action,)* }

        impl Action {
            /// The word for it.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$action => $word,)* }
            }
        }

        impl FromStr for Action {
            type Err = ();

            fn from_str(word: &str) -> Result<Self, ()> {
                match word { $($word => Ok(Self::$action),)* _ => Err(()) }
            }
        }
    };
}

actions! {
    /// The person signed in, and this service may publish from here on.
    SignedIn = "signed-in",
    /// The console handed its session over.
    HandedOver = "handed-over",
    /// The session was renewed.
    Refreshed = "refreshed",
    /// The session was lost: the person must sign in again.
    Lost = "lost",
    /// The session was ended, and its tokens revoked.
    SignedOut = "signed-out",
    /// A record was created; its subject is the URI, as for the next two.
    Created = "record-created",
    /// A record was put.
    Put = "record-put",
    /// A record was deleted.
    Deleted = "record-deleted",
    /// Records were listed; the subject is the collection.
    Listed = "records-listed",
    /// A token for another service was asked for; the subject is the service and its method.
    ServiceAuth = "service-auth",
    /// An API key was made; the subject is its id, as for the next two.
    KeyMinted = "key-minted",
    /// An API key was revoked.
    KeyRevoked = "key-revoked",
    /// An API key was deleted.
    KeyDeleted = "key-deleted",
    /// A device was paired.
    Paired = "device-paired",
    /// A wipe began.
    WipeBegun = "wipe-begun",
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Browser => f.write_str("browser"),
            Self::Service => f.write_str("service"),
            Self::Internal => f.write_str("internal"),
            Self::Operator => f.write_str("operator"),
            Self::Daemon => f.write_str("daemon"),
        }
    }
}

impl FromStr for Actor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match (text, text.strip_prefix("key:")) {
            (_, Some(id)) => Self::Key(id.to_owned()),
            ("browser", _) => Self::Browser,
            ("service", _) => Self::Service,
            ("internal", _) => Self::Internal,
            ("operator", _) => Self::Operator,
            ("daemon", _) => Self::Daemon,
            _ => return Err(()),
        })
    }
}

/// Something that was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When, in microseconds since the Unix epoch.
    pub at: u64,
    /// What.
    pub action: Action,
    /// By whom.
    pub actor: Actor,
    /// To what; what that is, the action says.
    pub subject: Option<String>,
}

impl Entry {
    /// Something that was done to nothing in particular.
    #[must_use]
    pub const fn new(at: u64, action: Action, actor: Actor) -> Self {
        Self { at, action, actor, subject: None }
    }

    /// Names what it was done to.
    #[must_use]
    pub fn to(self, subject: impl Into<String>) -> Self {
        Self { subject: Some(subject.into()), ..self }
    }
}

/// Where a page of entries ends; the next one begins there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditCursor(pub i64);

const INSERT: &str = "
    insert into audit (did, at, action, actor, subject) values (:did, :at, :action, :actor, :subject)";

/// After how many entries, of whomever, it is looked whether one has too many.
const LOOK_EVERY: i64 = 100;

const KEEP_NEWEST: &str = "
    delete from audit where did = :did and id <=
    (select id from audit where did = :did order by id desc limit 1 offset :most)";

const SWEEP: &str = "delete from audit where at < :oldest";

const LIST: &str = "
    select id, at, action, actor, subject from audit where did = :did and id < :before order by id desc limit :limit";

impl AccountStore {
    /// Notes something that was done in a person's name.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    pub fn note(&self, did: &Did, entry: &Entry) -> Result<(), AccountError> {
        self.write(|transaction| note(transaction, did, entry))
    }

    /// What was done in a person's name, newest first; with where to go on if there may be more.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn audit(
        &self,
        did: &Did,
        limit: u32,
        after: Option<AuditCursor>,
    ) -> Result<(Vec<Entry>, Option<AuditCursor>), AccountError> {
        self.read(|conn| {
            let mut statement = conn.prepare_cached(LIST)?;
            let before = after.map_or(i64::MAX, |cursor| cursor.0);
            let mut rows =
                statement.query(named_params! {":did": did.as_str(), ":before": before, ":limit": limit})?;
            let (mut entries, mut last) = (Vec::new(), None);
            while let Some(row) = rows.next()? {
                last = Some(AuditCursor(row.get("id")?));
                entries.push(read(row)?);
            }
            let is_full = entries.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
            Ok((entries, last.filter(|_| is_full)))
        })
    }

    /// Forgets what is too old to be kept.
    ///
    /// # Errors
    ///
    /// The store cannot be written.
    pub fn sweep_audit(&self, now: u64) -> Result<usize, AccountError> {
        self.write(|transaction| {
            let oldest = moment(now.saturating_sub(KEPT));
            Ok(transaction.prepare_cached(SWEEP)?.execute(named_params! {":oldest": oldest})?)
        })
    }
}

/// Notes within the transaction that does it.
pub(super) fn note(transaction: &Transaction<'_>, did: &Did, entry: &Entry) -> Result<(), AccountError> {
    let subject = entry.subject.as_deref().map(|subject| {
        let end = subject.floor_char_boundary(LONGEST);
        subject.get(..end).unwrap_or_default()
    });
    transaction.prepare_cached(INSERT)?.execute(named_params! {
        ":did": did.as_str(),
        ":at": moment(entry.at),
        ":action": entry.action.word(),
        ":actor": entry.actor.to_string(),
        ":subject": subject,
    })?;
    if transaction.last_insert_rowid() % LOOK_EVERY == 0 {
        let most = named_params! {":did": did.as_str(), ":most": MOST};
        transaction.prepare_cached(KEEP_NEWEST)?.execute(most)?;
    }
    Ok(())
}

fn read(row: &Row<'_>) -> Result<Entry, AccountError> {
    let (action, actor): (String, String) = (row.get("action")?, row.get("actor")?);
    let unreadable = |what, found: &String| AccountError::Unreadable { what, found: found.clone() };
    Ok(Entry {
        at: micros(row, "at")?,
        action: action.parse().map_err(|()| unreadable("action", &action))?,
        actor: actor.parse().map_err(|()| unreadable("actor", &actor))?,
        subject: row.get("subject")?,
    })
}
