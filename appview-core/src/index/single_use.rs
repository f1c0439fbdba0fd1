//! What records use and should use once: by which two that use the same are found.
//!
//! A served record enters, at most one row leaves. That a thing is used twice is no fault of the index and changes nothing
//! in it; who judges a record asks which others share its mark. Deliberately absent: which of them was first.

use rusqlite::{Connection, named_params};

use super::Fault;
use super::project::{Place, link_key};
use crate::block::Map;
use crate::record::Collection;

const ADD: &str =
    "insert into single_use (record, rkey, mark, charged) values (:record, :rkey, :mark, :charged)";

const REMOVE: &str = "delete from single_use where record = :record";

/// A thing that should be used once, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SingleUse<'a> {
    /// The nonce of a requester's job.
    JobNonce { requester: &'a str, nonce: &'a str },
    /// The nonce of a broker's witness.
    Witness { authority: &'a str, nonce: &'a str },
    /// An authorization that an exchange draws on: a session's more than once, within its budget.
    Authorization { exchange: &'a str, uri: &'a str },
}

impl<'a> SingleUse<'a> {
    /// What a record of the repository `did` uses, if anything.
    pub(crate) fn of(collection: Collection, did: &'a str, record: &Map<'a>) -> Option<Self> {
        match collection {
            Collection::Job => Some(Self::JobNonce { requester: did, nonce: record.text("nonce")? }),
            Collection::Receipt => {
                let witness = record.map("brokerageCountersignature")?;
                Some(Self::Witness { authority: witness.text("authority")?, nonce: witness.text("nonce")? })
            }
            Collection::Settlement => {
                let uri = record.map("requesterAuthorization")?.text("uri")?;
                Some(Self::Authorization { exchange: did, uri })
            }
            _ => None,
        }
    }

    /// What stands for it in a row: what belongs to one authorization lies together, as that which is found by a link does;
    /// a nonce lies anywhere.
    pub(crate) fn mark(&self) -> Vec<u8> {
        let hash = |kind: &[u8], whose: &str, what: &str| {
            let mut hasher = blake3::Hasher::new();
            hasher.update(kind).update(whose.as_bytes()).update(&[0]).update(what.as_bytes());
            hasher.finalize().as_bytes().iter().copied().take(16).collect::<Vec<u8>>()
        };
        match self {
            Self::JobNonce { requester, nonce } => hash(b"job ", requester, nonce),
            Self::Witness { authority, nonce } => hash(b"witness ", authority, nonce),
            Self::Authorization { exchange, uri } => {
                let time = link_key(uri).into_iter().take(8);
                time.chain(hash(b"authorization ", exchange, uri)).collect()
            }
        }
    }
}

/// Writes the row of a served record that has none yet.
pub(super) fn add(
    conn: &Connection,
    collection: Collection,
    place: Place<'_>,
    record: &Map<'_>,
) -> Result<(), Fault> {
    if let Some(used) = SingleUse::of(collection, place.did, record) {
        conn.prepare_cached(ADD)?.execute(named_params! {
            ":record": place.record,
            ":rkey": place.rkey,
            ":mark": used.mark(),
            ":charged": charged(collection, record),
        })?;
    }
    Ok(())
}

/// What a settled settlement charges.
fn charged(collection: Collection, record: &Map<'_>) -> Option<i64> {
    let settles = collection == Collection::Settlement && record.text("status") == Some("settled");
    record.map("amountCharged").filter(|_| settles)?.integer("amount")
}

/// Takes away the row of a record, if it has one.
pub(super) fn remove(conn: &Connection, collection: Collection, record: i64) -> Result<(), Fault> {
    if matches!(collection, Collection::Job | Collection::Receipt | Collection::Settlement) {
        conn.prepare_cached(REMOVE)?.execute(named_params! {":record": record})?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_has_a_mark_of_its_own() {
        let (a, b) = ("did:web:a.example", "did:web:b.example");
        let marks = [
            SingleUse::JobNonce { requester: a, nonce: "1" },
            SingleUse::JobNonce { requester: b, nonce: "1" },
            SingleUse::JobNonce { requester: a, nonce: "2" },
            SingleUse::Witness { authority: a, nonce: "1" },
            SingleUse::Authorization { exchange: a, uri: "1" },
            SingleUse::Authorization { exchange: b, uri: "1" },
        ];
        let marks = marks.map(|used| used.mark());
        for (at, mark) in marks.iter().enumerate() {
            assert!(!marks.iter().skip(at + 1).any(|other| other == mark), "{at}");
        }
    }
}
