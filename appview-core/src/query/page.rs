//! Answers in parts.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Span;
use crate::index::IndexError;
use crate::syntax::{AtUri, Tid};

/// Longest cursor that is looked at, in characters: that of the longest URI.
const CURSOR_CHARACTERS: usize = 11_000;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// A page of no such size.
    #[error("expected a limit of 1 to {most}, found {found}")]
    Limit {
        /// What was asked for.
        found: u32,
        /// The most that this list gives at once.
        most: u32,
    },
    /// Text that no page ended with.
    #[error("expected a cursor from an earlier page of the same list")]
    Cursor,
    /// The index itself failed; all other variants are the caller's fault.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// How many items a page may have: 1 to `MOST`, which is each list's own, of itself 50.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit<const MOST: u32 = 100>(u32);

impl<const MOST: u32> Limit<MOST> {
    /// The longest page of such a list.
    pub const MAX: Self = Self(MOST);

    /// A limit within the range.
    ///
    /// # Errors
    ///
    /// [`QueryError::Limit`] outside of it.
    pub const fn new(items: u32) -> Result<Self, QueryError> {
        if items >= 1 && items <= MOST {
            Ok(Self(items))
        } else {
            Err(QueryError::Limit { found: items, most: MOST })
        }
    }

    /// The limit next to what was asked for, for methods that promise to bring it into range.
    #[must_use]
    pub fn clamp(items: i64) -> Self {
        Self(u32::try_from(items.max(1)).unwrap_or(MOST).min(MOST))
    }

    /// How many items.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl<const MOST: u32> Default for Limit<MOST> {
    fn default() -> Self {
        Self(MOST.min(50))
    }
}

/// Where a page ended: opaque text to a caller, a function of the last item's content alone. So it outlives a rebuild,
/// stays good when that item is deleted, and means the same at another index of the same repositories.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PageCursor(String);

impl PageCursor {
    pub(super) fn after(item: impl Into<String>) -> Self {
        Self(item.into())
    }

    pub(super) fn item(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PageCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(&self.0))
    }
}

impl serde::Serialize for PageCursor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for PageCursor {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        if text.is_empty() || text.len() > CURSOR_CHARACTERS {
            return Err(QueryError::Cursor);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| QueryError::Cursor)?;
        match String::from_utf8(bytes) {
            Ok(item) => Ok(Self(item)),
            Err(_) => Err(QueryError::Cursor),
        }
    }
}

/// One part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The items, in the order of the list.
    pub items: Vec<T>,
    /// Where to go on; none on the last page.
    pub cursor: Option<PageCursor>,
}

impl<T> Page<T> {
    /// A page of the first `limit` of `items`, which hold one more if another page follows.
    pub(super) fn cut(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> PageCursor) -> Self {
        let limit = limit as usize;
        let follows = items.len() > limit;
        items.truncate(limit);
        let cursor = if follows { items.last().map(cursor) } else { None };
        Self { items, cursor }
    }
}

/// The part of a list in the order of keys that a page is from: below a place, and within a range of time. Record keys fall,
/// and among equal keys DIDs do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Keys {
    /// No greater key belongs to it.
    pub(super) rkey: String,
    /// Of records with that key, none of this DID or a greater one.
    pub(super) did: String,
    /// No smaller key belongs to it.
    pub(super) least: String,
    /// Whether the keys must tell a time.
    pub(super) timed: bool,
}

/// Above every record: no record key and no DID has a character as high as this one.
pub(super) const TOP: &str = "\u{7f}";

impl Keys {
    pub(super) fn new(cursor: Option<&PageCursor>, during: Span) -> Result<Self, QueryError> {
        let (mut rkey, mut did) = (TOP.to_owned(), TOP.to_owned());
        let least = during.since.map_or(String::new(), first_key);
        if let Some(until) = during.until {
            // Nothing is below the empty DID: the key itself does not belong to it.
            (rkey, did) = (first_key(until), String::new());
        }
        if let Some(cursor) = cursor {
            let uri: AtUri = cursor.item().parse().map_err(|_| QueryError::Cursor)?;
            let below = uri.rkey().ok_or(QueryError::Cursor)?;
            if below < rkey.as_str() {
                (rkey, did) = (below.into(), uri.authority().into());
            }
        }
        Ok(Self { rkey, did, least, timed: during != Span::ALWAYS })
    }
}

/// The first record key of a moment or later: a TID, or above all TIDs where none is as late.
fn first_key(micros: i64) -> String {
    match u64::try_from(micros) {
        Err(_) => Tid::from_micros(0, 0).to_string(),
        Ok(micros) if micros > Tid::LAST_MICROS => TOP.to_owned(),
        Ok(micros) => Tid::from_micros(micros, 0).to_string(),
    }
}

/// The condition that a key, in a column of this name, is within [`Keys`]. The pattern is that of a TID.
macro_rules! within {
    ($rkey:literal) => {
        concat!(
            $rkey,
            " <= :rkey and (",
            $rkey,
            " < :rkey or did < :did) and ",
            $rkey,
            " >= :least and (:timed = 0 or ",
            $rkey,
            " glob '[2-7a-j][2-7a-z][2-7a-z][2-7a-z][2-7a-z][2-7a-z][2-7a-z]",
            "[2-7a-z][2-7a-z][2-7a-z][2-7a-z][2-7a-z][2-7a-z]')"
        )
    };
}

pub(super) use within;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_one_to_what_its_list_gives() {
        assert_eq!(Limit::<100>::default().get(), 50);
        assert_eq!(Limit::<24>::default().get(), 24);
        assert_eq!(Limit::<100>::new(100).unwrap(), Limit::MAX);
        for found in [0, 101] {
            let refused = Limit::<100>::new(found).unwrap_err();
            assert_eq!(refused.to_string(), format!("expected a limit of 1 to 100, found {found}"));
        }
    }

    #[test]
    fn a_limit_is_brought_into_range_where_that_is_promised() {
        for (asked, given) in [(i64::MIN, 1), (0, 1), (1, 1), (24, 24), (101, 100), (i64::MAX, 100)] {
            assert_eq!(Limit::<100>::clamp(asked).get(), given);
        }
    }

    #[test]
    fn a_cursor_is_text_that_leads_back() {
        let cursor = PageCursor::after("at://did:web:x.example/dev.cocore.compute.job/3jzfcijpj2z2a");
        assert_eq!(cursor.to_string().parse::<PageCursor>().unwrap(), cursor);
        assert_eq!(Keys::new(Some(&cursor), Span::ALWAYS).unwrap().did, "did:web:x.example");
        for text in ["", "=", "_w", "at://"] {
            let parsed = text.parse::<PageCursor>();
            assert!(parsed.and_then(|cursor| Keys::new(Some(&cursor), Span::ALWAYS)).is_err(), "{text}");
        }
        assert!("A".repeat(CURSOR_CHARACTERS + 1).parse::<PageCursor>().is_err());
    }
}
