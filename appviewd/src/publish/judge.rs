//! Whether a record may be written: as JSON, before anyone is asked to.
//!
//! JSON enters, and stays as it is but for its `$type`, which is added where it is missing; or why it is no record of its collection,
//! with the name of the member. What would be served with a mark is written: it is the network's ordinary state.

use appview_core::block::json::json_to_cbor;
use appview_core::record::{Catalog, Reading, Verdict};
use appview_core::syntax::RecordKey;
use serde_json::Value as Json;

use crate::oauth::OurCollection;

/// A key for judging a record whose key the PDS is to choose.
const ANY_KEY: &str = "3jzfcijpj2z2a";

/// Why a record is none of its collection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record{}: {problem}", if path.is_empty() { String::new() } else { format!(".{path}") })]
pub struct BadRecord {
    /// Which member; empty for the record itself.
    pub path: String,
    /// The rule, and how it is broken.
    pub problem: String,
}

/// Judges a record that is to be written.
///
/// # Errors
///
/// [`BadRecord`], where the record would be kept from every list.
pub fn judge(
    catalog: &Catalog,
    collection: &OurCollection,
    rkey: Option<&RecordKey>,
    record: &mut Json,
) -> Result<(), BadRecord> {
    let bad = |path: String, problem: String| BadRecord { path, problem };
    let Some(members) = record.as_object_mut() else {
        return Err(bad(String::new(), "expected an object".to_owned()));
    };
    members.entry("$type").or_insert_with(|| collection.nsid().as_str().into());
    let block = json_to_cbor(record).map_err(|error| {
        bad(error.path.trim_start_matches('/').replace("/[]", "[]").replace('/', "."), error.rule.to_owned())
    })?;
    let rkey = rkey.map_or(ANY_KEY, RecordKey::as_str);
    let judgement = catalog.judge_block(collection.nsid().as_str(), rkey, &block, Reading::Network);
    if judgement.verdict != Verdict::Quarantined {
        return Ok(());
    }
    let grave = judgement.findings.into_iter().find(|finding| finding.rule.verdict() == Verdict::Quarantined);
    Err(grave.map_or_else(
        || bad(String::new(), "breaks its lexicon".to_owned()),
        |finding| bad(finding.path, format!("{} ({})", finding.message, finding.rule)),
    ))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use serde_json::json;

    use super::*;

    fn judged(collection: &str, mut record: Json) -> Result<Json, String> {
        let catalog = Catalog::builtin().unwrap();
        let judged = judge(&catalog, &collection.parse().unwrap(), None, &mut record);
        judged.map(|()| record).map_err(|error| error.to_string())
    }

    #[test]
    fn a_refusal_names_the_member_and_the_rule() {
        let friend = "dev.cocore.account.friend";
        let good = json!({"subject": "did:web:a.example", "createdAt": "2026-01-01T00:00:00.000Z"});
        assert_eq!(judged(friend, good.clone()).unwrap()["$type"], friend);
        let refused = |member: &str, value: Json| {
            let mut record = good.clone();
            record[member] = value;
            judged(friend, record).unwrap_err()
        };
        let wrong = refused("subject", json!(7));
        assert!(wrong.starts_with("record.subject: ") && wrong.ends_with("(wrong-type)"), "{wrong}");
        assert_eq!(
            refused("note", json!([{"a": 1.5}])),
            "record.note[].a: numbers must be integers of 64 bits"
        );
        assert!(refused("$type", json!("app.bsky.feed.post")).ends_with("(record-type)"));
        let missing = judged(friend, json!({"createdAt": "2026-01-01T00:00:00.000Z"})).unwrap_err();
        assert!(missing.contains("subject") && missing.ends_with("(missing)"), "{missing}");
        assert_eq!(judged(friend, json!([])).unwrap_err(), "record: expected an object");
    }

    #[test]
    fn what_is_served_with_a_mark_is_published() {
        let friend = json!({"subject": "nobody", "createdAt": "yesterday"});
        assert!(judged("dev.cocore.account.friend", friend).is_ok());
        assert!(
            judged("dev.cocore.future.thing", json!({"text": 1})).is_ok(),
            "there is no lexicon to break"
        );
    }
}
