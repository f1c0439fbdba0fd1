//! What and where in a repository: collection names, record keys and the path made of both.

use std::fmt;
use std::str::FromStr;

use super::identity::check_label;
use super::{SyntaxError, SyntaxKind};

/// Longest NSID in bytes: an authority of 253, a dot, a name of 63. Only the sum is a rule: the protocol's own valid
/// cases hold an authority of 283.
const MAX_NSID: usize = 317;
/// Longest segment of an NSID in bytes.
const MAX_SEGMENT: usize = 63;
/// Longest record key in bytes.
const MAX_RECORD_KEY: usize = 512;

text_type! {
    /// A namespaced identifier of a schema or collection, e.g. `dev.cocore.compute.receipt`. At most 317 bytes.
    ///
    /// <https://atproto.com/specs/nsid>
    Nsid(Box<str>), check_nsid
}

impl Nsid {
    /// The domain authority in its written (reversed) order: all but the last segment.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.0.rsplit_once('.').map_or("", |(authority, _)| authority)
    }

    /// The last segment.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.rsplit_once('.').map_or("", |(_, name)| name)
    }
}

text_type! {
    /// The name of one record inside its collection, 1 to 512 bytes. <https://atproto.com/specs/record-key>
    RecordKey(Box<str>), check_record_key
}

/// The place of a record in its repository, written `collection/rkey`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepoPath {
    /// The collection.
    pub collection: Nsid,
    /// The key within the collection.
    pub rkey: RecordKey,
}

impl FromStr for RepoPath {
    type Err = SyntaxError;

    fn from_str(text: &str) -> Result<Self, SyntaxError> {
        let (collection, rkey) = repo_path_parts(text)?;
        Ok(Self { collection: Nsid(collection.into()), rkey: RecordKey(rkey.into()) })
    }
}

impl TryFrom<String> for RepoPath {
    type Error = SyntaxError;

    fn try_from(text: String) -> Result<Self, SyntaxError> {
        text.parse()
    }
}

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.collection, self.rkey)
    }
}

/// Whether `text` is a namespaced identifier.
#[must_use]
pub fn is_nsid(text: &str) -> bool {
    check_nsid(text).is_ok()
}

/// Whether `text` is a record key.
#[must_use]
pub fn is_record_key(text: &str) -> bool {
    check_record_key(text).is_ok()
}

/// The two valid halves of a repository path, borrowed: `(collection, rkey)`.
///
/// # Errors
/// [`SyntaxError`] of kind `RepoPath` when there is no slash, otherwise the error of the half that is wrong. A second
/// slash is an error of the record key.
pub fn repo_path_parts(text: &str) -> Result<(&str, &str), SyntaxError> {
    let (collection, rkey) = text
        .split_once('/')
        .ok_or(SyntaxKind::RepoPath.expected("a collection and a record key with '/' between"))?;
    check_nsid(collection)?;
    check_record_key(rkey)?;
    Ok((collection, rkey))
}

pub(super) fn check_nsid(text: &str) -> Result<(), SyntaxError> {
    let kind = SyntaxKind::Nsid;
    if text.len() > MAX_NSID {
        return Err(kind.expected("at most 317 bytes"));
    }
    let Some((authority, name)) = text.rsplit_once('.') else {
        return Err(kind.expected("three segments or more with dots between"));
    };
    if !authority.contains('.') {
        return Err(kind.expected("three segments or more with dots between"));
    }
    if !authority.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return Err(kind.expected_at("a letter", 0));
    }
    let mut start = 0;
    for segment in authority.split('.') {
        check_label(kind, segment, start, MAX_SEGMENT)?;
        start += segment.len() + 1;
    }
    if name.len() > MAX_SEGMENT {
        return Err(kind.expected_at("a name of at most 63 bytes", start));
    }
    if !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return Err(kind.expected_at("a name that starts with a letter", start));
    }
    match name.bytes().position(|byte| !byte.is_ascii_alphanumeric()) {
        Some(at) => Err(kind.expected_at("a name of letters and digits", start + at)),
        None => Ok(()),
    }
}

pub(super) fn check_record_key(text: &str) -> Result<(), SyntaxError> {
    let kind = SyntaxKind::RecordKey;
    if text.is_empty() || text.len() > MAX_RECORD_KEY {
        return Err(kind.expected("1 to 512 bytes"));
    }
    if text == "." || text == ".." {
        return Err(kind.expected("a key other than '.' and '..'"));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'~' | b'.' | b':' | b'-');
    match text.bytes().position(|byte| !allowed(byte)) {
        Some(at) => Err(kind.expected_at("letters, digits, '_', '~', '.', ':' or '-'", at)),
        None => Ok(()),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_collection_and_a_key() {
        let path: RepoPath = "dev.cocore.compute.receipt/3jzfcijpj2z2a".parse().unwrap();
        assert_eq!(path.collection.name(), "receipt");
        assert_eq!(path.collection.authority(), "dev.cocore.compute");
        assert_eq!(path.to_string(), "dev.cocore.compute.receipt/3jzfcijpj2z2a");
        assert_eq!(repo_path_parts("a.b.c/x").unwrap(), ("a.b.c", "x"));
    }

    #[test]
    fn a_path_of_any_other_shape_is_refused() {
        for text in
            ["", "/", "a.b.c", "a.b.c/", "/x", "a.b/x", "a.b.c/x/y", "/a.b.c/x", "a.b.c//x", "a.b.c/.."]
        {
            assert!(repo_path_parts(text).is_err(), "{text}");
        }
    }
}
