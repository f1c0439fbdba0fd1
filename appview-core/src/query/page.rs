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
    #[error("expected a limit of {} to {}, found {found}", Limit::MIN, Limit::MAX)]
    Limit {
        /// What was asked for.
        found: u32,
    },
    /// Text that no page ended with.
    #[error("expected a cursor from an earlier page of the same list")]
    Cursor,
    /// The index itself failed; all other variants are the caller's fault.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// How many items a page may have: 1 to 100, of itself 50.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(u32);

impl Limit {
    /// The fewest.
    pub const MIN: u32 = 1;
    /// The most.
    pub const MAX: u32 = 100;

    /// A limit within the range.
    ///
    /// # Errors
    ///
    /// [`QueryError::Limit`] outside of it; nothing is clamped here.
    pub const fn new(items: u32) -> Result<Self, QueryError> {
        if items >= Self::MIN && items <= Self::MAX {
            Ok(Self(items))
        } else {
            Err(QueryError::Limit { found: items })
        }
    }

    /// How many items.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self(50)
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
    pub(super) fn cut(mut items: Vec<T>, limit: Limit, cursor: impl Fn(&T) -> PageCursor) -> Self {
        let limit = limit.get() as usize;
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
    fn a_limit_is_one_to_a_hundred_and_nothing_is_clamped() {
        assert_eq!(Limit::default().get(), 50);
        assert_eq!(Limit::new(100).unwrap().get(), 100);
        for found in [0, 101] {
            let refused = Limit::new(found).unwrap_err();
            assert!(matches!(refused, QueryError::Limit { found: told } if told == found));
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
