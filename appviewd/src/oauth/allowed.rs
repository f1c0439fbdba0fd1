//! What a session may be used for: writing, deleting and listing its owner's records of our namespace, and asking for a token for one of
//! its methods. There is no other way to a token than one of these.
//!
//! A [`Use`] enters; the request that a PDS is sent leaves, always about the owner's own repository. Deliberately absent: who may ask for
//! it, and sending.

use std::fmt;
use std::str::FromStr;

use appview_core::record::NAMESPACE;
use appview_core::source::wire::Method;
use appview_core::syntax::{Did, Nsid, RecordKey, SyntaxError};
use serde_json::{Map, Value as Json, json};

use super::client::encode;
use crate::account::Action;

/// A collection of our namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct OurCollection(Nsid);

/// A text that names no collection of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CollectionError {
    /// Not even an NSID.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// Another's.
    #[error("expected a collection that begins with {NAMESPACE}")]
    Namespace,
}

impl OurCollection {
    /// Its name.
    #[must_use]
    pub const fn nsid(&self) -> &Nsid {
        &self.0
    }
}

impl FromStr for OurCollection {
    type Err = CollectionError;

    fn from_str(text: &str) -> Result<Self, CollectionError> {
        if !text.starts_with(NAMESPACE) {
            return Err(CollectionError::Namespace);
        }
        Ok(Self(text.parse()?))
    }
}

impl fmt::Display for OurCollection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.as_str())
    }
}

/// What a record must be for a write to happen.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Swap {
    /// Whatever it is.
    #[default]
    Any,
    /// There must be none.
    Absent,
    /// It must be this one.
    This(String),
}

/// What a PDS is told beside what is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Terms {
    /// What the record must be.
    pub swap_record: Swap,
    /// What the repository's commit must be.
    pub swap_commit: Option<String>,
    /// Whether the PDS is to judge the record by a lexicon; left to it if nothing is said.
    pub validate: Option<bool>,
}

/// One of the writes that are done together.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// A record more.
    Create {
        /// Where.
        collection: OurCollection,
        /// Its key, or else the PDS chooses one.
        rkey: Option<RecordKey>,
        /// What it says.
        value: Json,
    },
    /// A record that is there says something else.
    Update {
        /// Where.
        collection: OurCollection,
        /// Its key.
        rkey: RecordKey,
        /// What it says.
        value: Json,
    },
    /// A record less.
    Delete {
        /// Where.
        collection: OurCollection,
        /// Its key.
        rkey: RecordKey,
    },
}

/// What a session is used for.
#[derive(Debug, Clone, PartialEq)]
pub enum Use {
    /// A record more.
    Create {
        /// Where.
        collection: OurCollection,
        /// Its key, or else the PDS chooses one.
        rkey: Option<RecordKey>,
        /// What it says.
        record: Json,
        /// On which terms.
        terms: Terms,
    },
    /// A record at a key, whether or not there was one.
    Put {
        /// Where.
        collection: OurCollection,
        /// Its key.
        rkey: RecordKey,
        /// What it says.
        record: Json,
        /// On which terms.
        terms: Terms,
    },
    /// A record less.
    Delete {
        /// Where.
        collection: OurCollection,
        /// Its key.
        rkey: RecordKey,
        /// On which terms.
        terms: Terms,
    },
    /// Several writes in one commit, at most [`MOST_WRITES`].
    Apply {
        /// In their order.
        writes: Vec<Write>,
        /// What the repository's commit must be.
        swap_commit: Option<String>,
    },
    /// A page of a collection.
    List {
        /// Which.
        collection: OurCollection,
        /// How many, at most 100.
        limit: Option<u8>,
        /// Where the page before ended.
        cursor: Option<String>,
        /// Whether the oldest come first.
        reverse: Option<bool>,
    },
    /// One record.
    Get {
        /// Where.
        collection: OurCollection,
        /// Its key.
        rkey: RecordKey,
    },
    /// A token for one method of another service.
    ServiceAuth {
        /// The service: a DID, perhaps with a fragment.
        audience: String,
        /// The method, one of our namespace.
        method: OurCollection,
        /// When it is to be over, in seconds since the Unix epoch.
        expires: Option<u64>,
    },
}

/// Most writes that a PDS takes in one commit.
pub const MOST_WRITES: usize = 200;

/// A request to a PDS.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Call {
    pub(super) verb: Method,
    /// The method, with its query.
    pub(super) path: String,
    pub(super) body: Option<Json>,
}

impl Use {
    /// What it is called in the owner's list, and what it is about.
    #[must_use]
    pub fn told(&self, owner: &Did) -> (Action, String) {
        let record =
            |collection: &OurCollection, rkey: &RecordKey| format!("at://{owner}/{collection}/{rkey}");
        match self {
            Self::Create { collection, rkey: Some(rkey), .. } => (Action::Created, record(collection, rkey)),
            Self::Create { collection, rkey: None, .. } => {
                (Action::Created, format!("at://{owner}/{collection}"))
            }
            Self::Put { collection, rkey, .. } => (Action::Put, record(collection, rkey)),
            Self::Delete { collection, rkey, .. } => (Action::Deleted, record(collection, rkey)),
            Self::Apply { writes, .. } => {
                let is_delete = |write: &Write| matches!(write, Write::Delete { .. });
                let action = if writes.iter().all(is_delete) { Action::Deleted } else { Action::Put };
                (action, format!("at://{owner}, {} records", writes.len()))
            }
            Self::List { collection, .. } => (Action::Listed, collection.to_string()),
            Self::Get { collection, rkey } => (Action::Listed, record(collection, rkey)),
            Self::ServiceAuth { audience, method, .. } => {
                (Action::ServiceAuth, format!("{audience} {method}"))
            }
        }
    }

    /// The request, about the owner's repository.
    pub(super) fn call(&self, owner: &Did) -> Call {
        let post = |method: &str, members: Members| Call {
            verb: Method::POST,
            path: format!("com.atproto.repo.{method}"),
            body: Some(Json::Object(members.0)),
        };
        let of = |collection: &OurCollection| {
            Members::default().with("repo", owner.as_str()).with("collection", collection.nsid().as_str())
        };
        let get = |method: &str, query: &[(&str, Option<String>)]| {
            let said = query.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
            let pairs: Vec<_> = said.map(|(name, value)| format!("{name}={}", encode(value))).collect();
            Call { verb: Method::GET, path: format!("com.atproto.{method}?{}", pairs.join("&")), body: None }
        };
        let text = |text: &dyn ToString| Some(text.to_string());
        match self {
            Self::Create { collection, rkey, record, terms } => {
                let members = of(collection).with("rkey", rkey.as_ref().map(|rkey| rkey.as_str()));
                post("createRecord", members.with("record", record.clone()).on(terms))
            }
            Self::Put { collection, rkey, record, terms } => {
                let members = of(collection).with("rkey", rkey.as_str()).with("record", record.clone());
                post("putRecord", members.on(terms))
            }
            Self::Delete { collection, rkey, terms } => {
                post("deleteRecord", of(collection).with("rkey", rkey.as_str()).on(terms))
            }
            Self::Apply { writes, swap_commit } => {
                let writes: Vec<Json> = writes.iter().map(Write::json).collect();
                let members = Members::default().with("repo", owner.as_str()).with("writes", writes);
                post("applyWrites", members.with("swapCommit", swap_commit.as_deref()))
            }
            Self::List { collection, limit, cursor, reverse } => get(
                "repo.listRecords",
                &[
                    ("repo", text(owner)),
                    ("collection", text(collection)),
                    ("limit", limit.map(|limit| limit.to_string())),
                    ("cursor", cursor.clone()),
                    ("reverse", reverse.map(|reverse| reverse.to_string())),
                ],
            ),
            Self::Get { collection, rkey } => get(
                "repo.getRecord",
                &[("repo", text(owner)), ("collection", text(collection)), ("rkey", text(rkey))],
            ),
            Self::ServiceAuth { audience, method, expires } => get(
                "server.getServiceAuth",
                &[
                    ("aud", text(audience)),
                    ("lxm", text(method)),
                    ("exp", expires.map(|expires| expires.to_string())),
                ],
            ),
        }
    }
}

impl Write {
    fn json(&self) -> Json {
        let of = |kind: &str, collection: &OurCollection| {
            let kind = format!("com.atproto.repo.applyWrites#{kind}");
            Members::default().with("$type", kind).with("collection", collection.nsid().as_str())
        };
        let members = match self {
            Self::Create { collection, rkey, value } => of("create", collection)
                .with("rkey", rkey.as_ref().map(|rkey| rkey.as_str()))
                .with("value", value.clone()),
            Self::Update { collection, rkey, value } => {
                of("update", collection).with("rkey", rkey.as_str()).with("value", value.clone())
            }
            Self::Delete { collection, rkey } => of("delete", collection).with("rkey", rkey.as_str()),
        };
        Json::Object(members.0)
    }
}

/// Members of an object, of which those that say nothing are left out.
#[derive(Default)]
struct Members(Map<String, Json>);

impl Members {
    fn with(mut self, name: &str, value: impl Into<Json>) -> Self {
        match value.into() {
            Json::Null => {}
            value => _ = self.0.insert(name.to_owned(), value),
        }
        self
    }

    fn on(mut self, terms: &Terms) -> Self {
        match &terms.swap_record {
            Swap::Any => {}
            Swap::Absent => _ = self.0.insert("swapRecord".to_owned(), Json::Null),
            Swap::This(cid) => _ = self.0.insert("swapRecord".to_owned(), json!(cid)),
        }
        self.with("swapCommit", terms.swap_commit.as_deref()).with("validate", terms.validate)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    const ADA: &str = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";

    fn ada() -> Did {
        ADA.parse().unwrap()
    }

    #[test]
    fn a_collection_of_anybody_else_is_none_of_ours() {
        assert!("dev.cocore.compute.job".parse::<OurCollection>().is_ok());
        for other in ["app.bsky.feed.post", "dev.cocore", "dev.cocorex.job", "dev.cocore.a b", "dev.cocore."]
        {
            assert!(other.parse::<OurCollection>().is_err(), "{other}");
        }
    }

    #[test]
    fn every_request_is_about_the_owner() {
        let collection: OurCollection = "dev.cocore.account.friend".parse().unwrap();
        let rkey: RecordKey = "a".parse().unwrap();
        let terms = Terms { swap_record: Swap::Absent, ..Terms::default() };
        let put = Use::Put { collection: collection.clone(), rkey: rkey.clone(), record: json!({}), terms };
        assert_eq!(
            put.call(&ada()),
            Call {
                verb: Method::POST,
                path: "com.atproto.repo.putRecord".to_owned(),
                body: Some(
                    json!({"repo": ADA, "collection": "dev.cocore.account.friend", "rkey": "a", "record": {}, "swapRecord": null})
                ),
            }
        );
        assert_eq!(put.told(&ada()), (Action::Put, format!("at://{ADA}/dev.cocore.account.friend/a")));
        let list = Use::List {
            collection: collection.clone(),
            limit: Some(9),
            cursor: Some("a&b".to_owned()),
            reverse: None,
        };
        assert_eq!(
            list.call(&ada()).path,
            "com.atproto.repo.listRecords?repo=did%3Aplc%3Aaaaaaaaaaaaaaaaaaaaaaaaa&collection=dev.cocore.account.friend&limit=9&cursor=a%26b"
        );
        let apply = Use::Apply { writes: vec![Write::Delete { collection, rkey }], swap_commit: None };
        assert_eq!(apply.told(&ada()), (Action::Deleted, format!("at://{ADA}, 1 records")));
        assert_eq!(
            apply.call(&ada()).body.unwrap().pointer("/writes/0/$type").unwrap(),
            "com.atproto.repo.applyWrites#delete"
        );
    }
}
