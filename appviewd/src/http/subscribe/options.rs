//! What a subscriber may ask for, in its URL and later in messages.
//!
//! Query parameters and the text of messages enter; a filter leaves, or a sentence about what is wrong. The rules are
//! those of Jetstream's first version: arrays are repeated keys, what is unknown is ignored, what is empty is not asked
//! for.

use std::collections::HashSet;
use std::sync::Arc;

use appview_core::index::FeedSeq;
use appview_core::query::{CollectionPattern, FeedFilter};
use appview_core::syntax::{Did, SyntaxError};
use serde_json::Value as Json;

/// Most collections that a subscriber may name, each counted once.
const COLLECTIONS: usize = 100;

/// Most accounts that a subscriber may name, each counted once.
const DIDS: usize = 10_000;

/// Why a subscriber is not served.
#[derive(Debug, thiserror::Error)]
pub(super) enum OptionsError {
    #[error("invalid cursor: expected an integer of microseconds since 1970, found {found:?}")]
    Cursor { found: String },
    #[error("invalid subscriber options: wantedCollections: expected an NSID or a prefix like a.b.*: {0}")]
    Collection(SyntaxError),
    #[error("invalid subscriber options: wantedDids: {0}")]
    Did(SyntaxError),
    #[error("invalid subscriber options: {name}: expected at most {most}")]
    TooMany { name: &'static str, most: usize },
    #[error("invalid subscriber options: {name}: expected {expected}")]
    Type { name: &'static str, expected: &'static str },
    #[error("invalid message: expected JSON")]
    Json,
}

/// What a subscriber wants to hear.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) filter: Arc<FeedFilter>,
    /// Longest event to be sent, in bytes; none if any length will do.
    pub(super) most_bytes: Option<usize>,
}

/// A whole request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) options: Options,
    /// The event to start with; none for whatever comes next.
    pub(super) cursor: Option<FeedSeq>,
    /// Whether nothing is to be sent before the first message with options.
    pub(super) waits_for_hello: bool,
}

impl Request {
    pub(super) fn parse(parameters: &[(String, String)]) -> Result<Self, OptionsError> {
        let all = |name: &'static str| {
            parameters.iter().filter(move |(found, _)| found == name).map(|(_, text)| text.as_str())
        };
        let first = |name| all(name).next().filter(|text| !text.is_empty());
        Ok(Self {
            options: Options {
                filter: filter(all("wantedCollections"), all("wantedDids"))?,
                // What is no length is no limit.
                most_bytes: first("maxMessageSizeBytes").and_then(|text| text.parse().ok()).and_then(limit),
            },
            cursor: first("cursor").map(cursor).transpose()?,
            waits_for_hello: first("requireHello") == Some("true"),
        })
    }
}

impl Options {
    /// What a message of a subscriber makes of its options; nothing if it is of a kind that nobody knows.
    pub(super) fn updated(&self, message: &str) -> Result<Option<Self>, OptionsError> {
        let message: Json = serde_json::from_str(message).map_err(|_| OptionsError::Json)?;
        if message.get("type").and_then(Json::as_str) != Some("options_update") {
            return Ok(None);
        }
        let member = |name| message.get("payload").and_then(|payload| payload.get(name));
        let texts = |name: &'static str| texts(name, member(name));
        let filter = filter(texts("wantedCollections")?.into_iter(), texts("wantedDids")?.into_iter())?;
        let name = "maxMessageSizeBytes";
        let most_bytes = match member(name) {
            // Many clients leave it out and mean what they said in their URL.
            None | Some(Json::Null) => self.most_bytes,
            Some(size) => limit(size.as_i64().ok_or(OptionsError::Type { name, expected: "an integer" })?),
        };
        Ok(Some(Self { filter, most_bytes }))
    }
}

/// A negative cursor is as good as none that is kept: everything comes.
fn cursor(text: &str) -> Result<FeedSeq, OptionsError> {
    let micros: i64 =
        text.parse().map_err(|_| OptionsError::Cursor { found: text.chars().take(64).collect() })?;
    Ok(FeedSeq::from_micros(u64::try_from(micros).unwrap_or(0)))
}

fn limit(bytes: i64) -> Option<usize> {
    usize::try_from(bytes).ok().filter(|bytes| *bytes > 0)
}

fn texts<'j>(name: &'static str, member: Option<&'j Json>) -> Result<Vec<&'j str>, OptionsError> {
    let wrong = || OptionsError::Type { name, expected: "an array of strings" };
    match member {
        None | Some(Json::Null) => Ok(Vec::new()),
        Some(Json::Array(items)) => items.iter().map(|item| item.as_str().ok_or_else(wrong)).collect(),
        Some(_) => Err(wrong()),
    }
}

fn filter<'t>(
    collections: impl Iterator<Item = &'t str>,
    dids: impl Iterator<Item = &'t str>,
) -> Result<Arc<FeedFilter>, OptionsError> {
    let mut filter = FeedFilter { collections: Vec::new(), dids: HashSet::new() };
    for text in collections {
        let pattern: CollectionPattern = text.parse().map_err(OptionsError::Collection)?;
        if !filter.collections.contains(&pattern) {
            filter.collections.push(pattern);
        }
        if filter.collections.len() > COLLECTIONS {
            return Err(OptionsError::TooMany { name: "wantedCollections", most: COLLECTIONS });
        }
    }
    for text in dids {
        filter.dids.insert(text.parse::<Did>().map_err(OptionsError::Did)?);
        if filter.dids.len() > DIDS {
            return Err(OptionsError::TooMany { name: "wantedDids", most: DIDS });
        }
    }
    Ok(Arc::new(filter))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;

    fn parsed(parameters: &[(&str, &str)]) -> Result<Request, OptionsError> {
        let owned: Vec<_> =
            parameters.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        Request::parse(&owned)
    }

    fn refused(parameters: &[(&str, &str)]) -> String {
        parsed(parameters).unwrap_err().to_string()
    }

    /// A request that names everything twice.
    fn twice(parameter: &str, names: &[String]) -> Result<Request, OptionsError> {
        let all: Vec<_> = names.iter().chain(names).map(|name| (parameter, name.as_str())).collect();
        parsed(&all)
    }

    #[test]
    fn nothing_asked_for_is_everything_from_here_on() {
        for nothing in
            [&[][..], &[("cursor", ""), ("requireHello", ""), ("unknown", "1"), ("compress", "true")]]
        {
            assert_eq!(parsed(nothing).unwrap(), Request::default());
        }
    }

    #[test]
    fn collections_are_nsids_or_prefixes_and_at_most_a_hundred() {
        let wanted = |text| parsed(&[("wantedCollections", text)]);
        let matches = |text, nsid: &str| wanted(text).unwrap().options.filter.collections[0].matches(nsid);
        assert!(matches("a.b.*", "a.b.c") && matches("a.b.*", "a.b.c.d") && !matches("a.b.*", "a.b"));
        assert!(matches("a.b.c", "a.b.c") && !matches("a.b.c", "a.b.c.d"));
        assert!(!matches("not valid.*", "a.b.c") && !matches(".*", "a.b.c"));
        for text in ["a.b.fo*", "*", "", "a.b", "a.b.c,d.e.f"] {
            assert!(wanted(text).unwrap_err().to_string().contains("wantedCollections"), "{text}");
        }
        let names: Vec<String> = (0..101).map(|number| format!("a.b.c{number}")).collect();
        assert_eq!(twice("wantedCollections", &names[..100]).unwrap().options.filter.collections.len(), 100);
        let refused = twice("wantedCollections", &names).unwrap_err().to_string();
        assert!(refused.contains("wantedCollections: expected at most 100"), "{refused}");
    }

    #[test]
    fn dids_are_checked_and_at_most_ten_thousand() {
        let names: Vec<String> = (0..=10_000).map(|number| format!("did:web:d{number}.example")).collect();
        assert_eq!(twice("wantedDids", &names[..10_000]).unwrap().options.filter.dids.len(), 10_000);
        let too_many = twice("wantedDids", &names).unwrap_err().to_string();
        assert!(too_many.contains("wantedDids: expected at most 10000"), "{too_many}");
        assert!(refused(&[("wantedDids", "alice.example")]).contains("wantedDids"));
        assert!(refused(&[("wantedDids", "")]).contains("wantedDids"));
    }

    #[test]
    fn a_cursor_is_an_integer_and_before_the_beginning_is_the_beginning() {
        let cursor = |text| parsed(&[("cursor", text)]).unwrap().cursor.map(FeedSeq::micros);
        assert_eq!(cursor("1791105300123456"), Some(1_791_105_300_123_456));
        assert_eq!((cursor("0"), cursor("-5")), (Some(0), Some(0)));
        for text in ["1.5", "now", "0x10", " 1", "99999999999999999999"] {
            assert!(refused(&[("cursor", text)]).starts_with("invalid cursor: "), "{text}");
        }
    }

    #[test]
    fn a_length_that_is_none_is_no_limit_and_only_true_is_true() {
        let most = |text| parsed(&[("maxMessageSizeBytes", text)]).unwrap().options.most_bytes;
        assert_eq!(most("5000"), Some(5_000));
        assert_eq!([most(""), most("much"), most("-1"), most("0")], [None; 4]);
        let waits = |text| parsed(&[("requireHello", text)]).unwrap().waits_for_hello;
        assert_eq!(["true", "True", "1", "false"].map(waits), [true, false, false, false]);
    }

    #[test]
    fn a_message_replaces_all_filters_and_keeps_the_length_it_does_not_name() {
        let before =
            parsed(&[("wantedDids", "did:web:a.example"), ("maxMessageSizeBytes", "9")]).unwrap().options;
        let update = |payload: &str| before.updated(&format!(r#"{{"type":"options_update"{payload}}}"#));
        let after = update(r#","payload":{"wantedCollections":["a.b.c","a.b.c"]}"#).unwrap().unwrap();
        assert_eq!(
            (after.filter.collections.len(), after.filter.dids.len(), after.most_bytes),
            (1, 0, Some(9))
        );
        for nothing in ["", r#","payload":{}"#, r#","payload":{"wantedDids":[],"wantedCollections":null}"#] {
            let after = update(nothing).unwrap().unwrap();
            assert_eq!((&*after.filter, after.most_bytes), (&FeedFilter::default(), Some(9)), "{nothing}");
        }
        let after = update(r#","payload":{"maxMessageSizeBytes":0}"#).unwrap().unwrap();
        assert_eq!(after.most_bytes, None);
        for ignored in [r#"{"type":"other","payload":7}"#, "{}", "[]", "1"] {
            assert_eq!(before.updated(ignored).unwrap(), None, "{ignored}");
        }
        for (payload, name) in [
            (r#","payload":{"wantedDids":["alice"]}"#, "wantedDids"),
            (r#","payload":{"wantedDids":"did:web:a.example"}"#, "wantedDids"),
            (r#","payload":{"wantedCollections":[1]}"#, "wantedCollections"),
            (r#","payload":{"wantedCollections":["*"]}"#, "wantedCollections"),
            (r#","payload":{"maxMessageSizeBytes":"9"}"#, "maxMessageSizeBytes"),
        ] {
            assert!(update(payload).unwrap_err().to_string().contains(name), "{payload}");
        }
        assert!(matches!(before.updated("{"), Err(OptionsError::Json)));
    }
}
