//! Answers in parts.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::index::IndexError;
use crate::syntax::AtUri;

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

/// The place in a list of records below which a page starts: record keys fall, and among equal keys DIDs do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Below {
    pub(super) rkey: String,
    pub(super) did: String,
}

impl Below {
    /// Above every record: no record key and no DID has a character as high as this one.
    const TOP: &str = "\u{7f}";

    pub(super) fn new(cursor: Option<&PageCursor>) -> Result<Self, QueryError> {
        let Some(cursor) = cursor else {
            return Ok(Self { rkey: Self::TOP.into(), did: Self::TOP.into() });
        };
        let uri: AtUri = cursor.item().parse().map_err(|_| QueryError::Cursor)?;
        match uri.rkey() {
            Some(rkey) => Ok(Self { rkey: rkey.into(), did: uri.authority().into() }),
            None => Err(QueryError::Cursor),
        }
    }
}

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
        assert_eq!(Below::new(Some(&cursor)).unwrap().did, "did:web:x.example");
        for text in ["", "=", "_w", "at://"] {
            let parsed = text.parse::<PageCursor>();
            assert!(parsed.and_then(|cursor| Below::new(Some(&cursor))).is_err(), "{text}");
        }
        assert!("A".repeat(CURSOR_CHARACTERS + 1).parse::<PageCursor>().is_err());
    }
}
