//! References: AT URIs, other URIs, and the text form of content addresses.

use super::identity::check_at_identifier;
use super::name::{check_nsid, check_record_key};
use super::{Did, Nsid, RecordKey, RepoPath, SyntaxError, SyntaxKind};

/// Longest AT URI or URI in bytes.
const MAX_URI: usize = 8192;

text_type! {
    /// An AT URI in its restricted form: `at://` authority, then perhaps a collection, then perhaps a record key.
    ///
    /// No query, no fragment, no trailing slash; at most 8192 bytes. <https://atproto.com/specs/at-uri-scheme>
    AtUri(Box<str>), check_at_uri
}

impl AtUri {
    /// The URI of one record of one repository.
    #[must_use]
    pub fn of_record(repo: &Did, collection: &Nsid, rkey: &RecordKey) -> Self {
        Self(format!("at://{repo}/{collection}/{rkey}").into())
    }

    /// The DID or handle after `at://`.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.part(0).unwrap_or_default()
    }

    /// The collection, if the URI goes that far.
    #[must_use]
    pub fn collection(&self) -> Option<&str> {
        self.part(1)
    }

    /// The record key, if the URI names a record.
    #[must_use]
    pub fn rkey(&self) -> Option<&str> {
        self.part(2)
    }

    /// The collection and the record key, if the URI names a record.
    #[must_use]
    pub fn path(&self) -> Option<RepoPath> {
        Some(RepoPath { collection: self.collection()?.parse().ok()?, rkey: self.rkey()?.parse().ok()? })
    }

    fn part(&self, index: usize) -> Option<&str> {
        self.0.strip_prefix("at://")?.split('/').nth(index)
    }
}

text_type! {
    /// A URI of any scheme: a scheme by RFC 3986, a colon, and printable ASCII without spaces; at most 8192 bytes.
    ///
    /// What the scheme says about the rest is not checked. <https://atproto.com/specs/lexicon#string-formats>
    Uri(Box<str>), check_uri
}

/// Whether `text` is an AT URI of the restricted form.
#[must_use]
pub fn is_at_uri(text: &str) -> bool {
    check_at_uri(text).is_ok()
}

/// Whether `text` is a URI.
#[must_use]
pub fn is_uri(text: &str) -> bool {
    check_uri(text).is_ok()
}

/// Whether `text` could be a CID: 8 to 256 letters, digits, `+` or `=`, and not the old version-0 form `Qm…`.
///
/// Any multibase and any hash pass, as the `cid` string format of Lexicon allows; the narrower form that addresses
/// blocks in a repository is parsed elsewhere.
#[must_use]
pub fn is_cid(text: &str) -> bool {
    (8..=256).contains(&text.len())
        && !text.starts_with("Qm")
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'='))
}

fn check_at_uri(text: &str) -> Result<(), SyntaxError> {
    let kind = SyntaxKind::AtUri;
    if text.len() > MAX_URI {
        return Err(kind.expected("at most 8192 bytes"));
    }
    let rest = text.strip_prefix("at://").ok_or(kind.expected_at("'at://'", 0))?;
    let mut start = "at://".len();
    let mut parts = rest.split('/');
    let mut part = |check: fn(&str) -> Result<(), SyntaxError>| match parts.next() {
        None => Ok(false),
        Some(part) => {
            let from = start;
            start += part.len() + 1;
            check(part).map(|()| true).map_err(|error| SyntaxError {
                kind,
                reason: error.reason,
                offset: Some(from + error.offset.unwrap_or(0)),
            })
        }
    };
    let _reached_the_end = part(check_at_identifier)? && part(check_nsid)? && part(check_record_key)?;
    match parts.next() {
        Some(_) => Err(kind.expected_at("nothing after the record key", start - 1)),
        None => Ok(()),
    }
}

fn check_uri(text: &str) -> Result<(), SyntaxError> {
    let kind = SyntaxKind::Uri;
    if text.len() > MAX_URI {
        return Err(kind.expected("at most 8192 bytes"));
    }
    let (scheme, rest) = text.split_once(':').ok_or(kind.expected("a scheme and a colon"))?;
    if !scheme.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return Err(kind.expected_at("a scheme that starts with a letter", 0));
    }
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    if let Some(at) = scheme.bytes().position(|byte| !allowed(byte)) {
        return Err(kind.expected_at("a scheme of letters, digits, '+', '-' or '.'", at));
    }
    let start = scheme.len() + 1;
    if rest.is_empty() {
        return Err(kind.expected_at("something after the scheme", start));
    }
    match rest.bytes().position(|byte| !byte.is_ascii_graphic()) {
        Some(at) => Err(kind.expected_at("printable ascii without spaces", start + at)),
        None => Ok(()),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn an_at_uri_gives_its_parts() {
        let uri: AtUri = "at://did:plc:abc/dev.cocore.compute.job/self".parse().unwrap();
        assert_eq!(uri.authority(), "did:plc:abc");
        assert_eq!(uri.collection(), Some("dev.cocore.compute.job"));
        assert_eq!(uri.rkey(), Some("self"));
        let uri: AtUri = "at://john.test".parse().unwrap();
        assert_eq!((uri.authority(), uri.collection(), uri.rkey()), ("john.test", None, None));
    }

    #[test]
    fn a_uri_made_of_parts_parses_back() {
        let uri = AtUri::of_record(
            &"did:plc:abc".parse().unwrap(),
            &"a.b.c".parse().unwrap(),
            &"x".parse().unwrap(),
        );
        assert_eq!(uri.as_str().parse::<AtUri>().unwrap(), uri);
    }

    #[test]
    fn an_error_inside_a_uri_points_into_the_whole_text() {
        let error = "at://did:plc:abc/a.b.c/x y".parse::<AtUri>().unwrap_err();
        assert_eq!((error.kind, error.offset), (SyntaxKind::AtUri, Some(24)));
    }
}
