//! What a Jetstream says, as hints: JSON events that nobody has signed.
//!
//! Text enters; a [`Hint`] and its place leave. The records that events carry are not looked at: they come from their PDS,
//! with their proof. Deliberately absent: the socket, and compression, which needs a dictionary that changes.
//!
//! Follows the `/subscribe` endpoint of both generations of Jetstream.

use std::borrow::Cow;

use serde::Deserialize;

use super::relay::RelayUrl;
use crate::sync::Hosting;
use crate::sync::verifier::Hint;
use crate::syntax::{Did, Nsid, RecordKey, RepoPath, Tid};

/// How far before the cursor a connection begins, in microseconds: times are those of one instance, and another one of the
/// same service may be behind it by some seconds.
const REWIND: i64 = 5_000_000;

/// Why an event is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// Not JSON, or not of an event's shape.
    #[error("expected an event of a jetstream: {0}")]
    Json(#[from] serde_json::Error),
    /// A member breaks its syntax.
    #[error("{member} of an event: {reason}")]
    Member {
        /// Which.
        member: &'static str,
        /// The rule that it breaks.
        reason: String,
    },
}

#[derive(Deserialize)]
struct Event<'e> {
    #[serde(borrow)]
    did: Cow<'e, str>,
    time_us: i64,
    #[serde(borrow)]
    kind: Cow<'e, str>,
    #[serde(borrow)]
    commit: Option<Commit<'e>>,
    #[serde(borrow)]
    account: Option<Account<'e>>,
}

#[derive(Deserialize)]
struct Commit<'e> {
    #[serde(borrow)]
    rev: Cow<'e, str>,
    #[serde(borrow)]
    collection: Cow<'e, str>,
    #[serde(borrow)]
    rkey: Cow<'e, str>,
}

#[derive(Deserialize)]
struct Account<'e> {
    active: bool,
    #[serde(borrow)]
    status: Option<Cow<'e, str>>,
}

/// Where to listen for what concerns a namespace, which ends in a dot.
pub(super) fn target(url: &RelayUrl, namespace: &str, cursor: Option<i64>) -> String {
    let mut target = format!("{url}/subscribe?wantedCollections={namespace}*");
    if let Some(cursor) = cursor {
        target.push_str(&format!("&cursor={}", cursor.saturating_sub(REWIND)));
    }
    target
}

/// Reads an event: its time, which is its place in the stream, and what it hints at; no hint of a kind that is not known.
///
/// # Errors
///
/// [`EventError`].
pub fn hint(text: &str) -> Result<(i64, Option<Hint>), EventError> {
    let event: Event<'_> = serde_json::from_str(text)?;
    let did: Did = parsed("did", &event.did)?;
    let hint = match (&*event.kind, event.commit, event.account) {
        ("commit", Some(commit), _) => {
            let collection: Nsid = parsed("collection", &commit.collection)?;
            let rkey: RecordKey = parsed("rkey", &commit.rkey)?;
            let rev: Tid = parsed("rev", &commit.rev)?;
            Some(Hint::Record { did, path: RepoPath { collection, rkey }, rev })
        }
        ("identity", ..) => Some(Hint::Identity { did }),
        ("account", _, Some(account)) => Some(Hint::Account {
            did,
            hosting: Hosting::from_event(account.active, account.status.as_deref()),
        }),
        _ => None,
    };
    Ok((event.time_us, hint))
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    member: &'static str,
    text: &str,
) -> Result<T, EventError> {
    text.parse().map_err(|error: T::Err| EventError::Member { member, reason: error.to_string() })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const DID: &str = "did:plc:adaexample22222222222222";

    fn event(rest: &str) -> String {
        format!(r#"{{"did":"{DID}","time_us":1791105300123456,{rest}}}"#)
    }

    #[test]
    fn the_three_kinds_are_hints_and_others_are_none() {
        let did: Did = DID.parse().unwrap();
        let commit = event(
            r#""kind":"commit","commit":{"rev":"3mx22tmmvc22b","operation":"create",
            "collection":"dev.cocore.account.profile","rkey":"self","record":{"displayName":"A \"d\" a"},"cid":"x"}"#,
        );
        let path = "dev.cocore.account.profile/self".parse().unwrap();
        let expected = Hint::Record { did: did.clone(), path, rev: "3mx22tmmvc22b".parse().unwrap() };
        assert_eq!(hint(&commit).unwrap(), (1_791_105_300_123_456, Some(expected)));
        let identity = event(r#""kind":"identity","identity":{"handle":"ada.example.com"}"#);
        assert_eq!(hint(&identity).unwrap().1, Some(Hint::Identity { did: did.clone() }));
        let account = event(r#""kind":"account","account":{"active":false,"status":"deactivated"}"#);
        let expected = Hint::Account { did, hosting: Hosting::Deactivated };
        assert_eq!(hint(&account).unwrap().1, Some(expected));
        assert_eq!(hint(&event(r#""kind":"weather""#)).unwrap().1, None);
    }

    #[test]
    fn what_is_no_event_names_what_is_wrong_with_it() {
        let commit = |rev: &str, rkey: &str| {
            event(&format!(
                r#""kind":"commit","commit":{{"rev":"{rev}","collection":"a.b.c","rkey":"{rkey}"}}"#
            ))
        };
        assert!(hint(&commit("3mx22tmmvc22b", "self")).is_ok());
        for (text, member) in [(commit("yesterday", "self"), "rev"), (commit("3mx22tmmvc22b", "a/b"), "rkey")]
        {
            let error = hint(&text).unwrap_err().to_string();
            assert!(error.starts_with(member), "{error}");
        }
        for text in ["", "{}", "[]", "null", r#"{"did":1}"#, &event(r#""kind":"commit","commit":[]"#)] {
            assert!(matches!(hint(text), Err(EventError::Json(_))), "{text}");
        }
    }

    #[test]
    fn a_connection_begins_a_little_before_its_cursor() {
        let url = "jetstream.example".parse().unwrap();
        assert_eq!(
            target(&url, "dev.cocore.", Some(1_791_105_300_123_456)),
            "wss://jetstream.example/subscribe?wantedCollections=dev.cocore.*&cursor=1791105295123456"
        );
        assert!(!target(&url, "dev.cocore.", None).contains("cursor"));
    }
}
