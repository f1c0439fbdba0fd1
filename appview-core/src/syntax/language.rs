//! Language tags by BCP 47.

use super::{SyntaxError, SyntaxKind};

/// Longest tag in bytes.
const MAX_LANGUAGE: usize = 128;
/// Tags of RFC 5646's "irregular" list: valid by decree though they do not follow its grammar.
const IRREGULAR: [&str; 17] = [
    "en-GB-oed",
    "i-ami",
    "i-bnn",
    "i-default",
    "i-enochian",
    "i-hak",
    "i-klingon",
    "i-lux",
    "i-mingo",
    "i-navajo",
    "i-pwn",
    "i-tao",
    "i-tay",
    "i-tsu",
    "sgn-BE-FR",
    "sgn-BE-NL",
    "sgn-CH-DE",
];

text_type! {
    /// A language tag, e.g. `ja`, `pt-BR` or `zh-Hant`: well-formed by the grammar of RFC 5646 section 2.1, and without the
    /// repeated variants and extensions that its section 2.2.9 calls invalid.
    ///
    /// The primary language is two or three lower-case letters, as the protocol's own cases require. Whether its
    /// subtags are registered is not checked: the registry grows. At most 128 bytes.
    /// <https://atproto.com/specs/lexicon#language>
    Language(Box<str>), check_language
}

/// Whether `text` is a language tag.
#[must_use]
pub fn is_language(text: &str) -> bool {
    check_language(text).is_ok()
}

fn check_language(text: &str) -> Result<(), SyntaxError> {
    let kind = SyntaxKind::Language;
    if text.len() > MAX_LANGUAGE {
        return Err(kind.expected("at most 128 bytes"));
    }
    let mut subtags = Subtags { rest: Some(text), offset: 0 };
    if subtags.take(is_private_singleton).is_some() {
        return private_use(&mut subtags);
    }
    subtags
        .take(|subtag| subtag.bytes().all(|byte| byte.is_ascii_lowercase()) && matches!(subtag.len(), 1..=3))
        .ok_or(kind.expected_at("a language of two or three lower-case letters", 0))?;
    if IRREGULAR.iter().any(|irregular| irregular.eq_ignore_ascii_case(text)) {
        return Ok(());
    }
    if subtags.offset == 2 || text.len() == 1 {
        return Err(kind.expected_at("a language of two or three lower-case letters", 0));
    }

    for _extended_language in 0..3 {
        if subtags.take(|subtag| letters(subtag, 3..=3)).is_none() {
            break;
        }
    }
    let _script = subtags.take(|subtag| letters(subtag, 4..=4));
    let _region = subtags.take(|subtag| {
        letters(subtag, 2..=2) || subtag.len() == 3 && subtag.bytes().all(|byte| byte.is_ascii_digit())
    });

    let first_variant = subtags.clone();
    while let Some((variant, offset)) = subtags.take(is_variant) {
        let mut earlier = first_variant.clone();
        while let Some((other, other_offset)) = earlier.take(is_variant) {
            if other_offset == offset {
                break;
            }
            if other.eq_ignore_ascii_case(variant) {
                return Err(kind.expected_at("each variant once", offset));
            }
        }
    }

    // One bit per singleton; letters in either case share theirs.
    let mut seen: u128 = 0;
    while let Some((singleton, offset)) =
        subtags.take(|subtag| alphanumerics(subtag, 1..=1) && !is_private_singleton(subtag))
    {
        let bit = singleton.bytes().fold(0, |_, byte| 1 << (byte.to_ascii_lowercase() & 127));
        if seen & bit != 0 {
            return Err(kind.expected_at("each extension once", offset));
        }
        seen |= bit;
        let mut parts = 0;
        while subtags.take(|subtag| alphanumerics(subtag, 2..=8)).is_some() {
            parts += 1;
        }
        if parts == 0 {
            return Err(kind.expected_at("a subtag of the extension", subtags.offset));
        }
    }

    if subtags.take(is_private_singleton).is_some() {
        return private_use(&mut subtags);
    }
    subtags.end("a script, region, variant, extension or private-use subtag, in this order")
}

/// What follows `x-`: one subtag or more, to the end.
fn private_use(subtags: &mut Subtags<'_>) -> Result<(), SyntaxError> {
    let reason = "private-use subtags of one to eight letters and digits";
    if subtags.take(|subtag| alphanumerics(subtag, 1..=8)).is_none() {
        return Err(SyntaxKind::Language.expected_at(reason, subtags.offset));
    }
    while subtags.take(|subtag| alphanumerics(subtag, 1..=8)).is_some() {}
    subtags.end(reason)
}

fn letters(subtag: &str, length: std::ops::RangeInclusive<usize>) -> bool {
    length.contains(&subtag.len()) && subtag.bytes().all(|byte| byte.is_ascii_alphabetic())
}

fn alphanumerics(subtag: &str, length: std::ops::RangeInclusive<usize>) -> bool {
    length.contains(&subtag.len()) && subtag.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn is_variant(subtag: &str) -> bool {
    alphanumerics(subtag, 5..=8)
        || alphanumerics(subtag, 4..=4) && subtag.starts_with(|first: char| first.is_ascii_digit())
}

fn is_private_singleton(subtag: &str) -> bool {
    subtag.eq_ignore_ascii_case("x")
}

/// The subtags not yet read, and where they begin.
#[derive(Clone)]
struct Subtags<'a> {
    rest: Option<&'a str>,
    offset: usize,
}

impl<'a> Subtags<'a> {
    /// The next subtag and its offset, if there is one and it is `wanted`.
    fn take(&mut self, wanted: impl Fn(&str) -> bool) -> Option<(&'a str, usize)> {
        let rest = self.rest?;
        let (subtag, after) =
            rest.split_once('-').map_or((rest, None), |(subtag, after)| (subtag, Some(after)));
        if !wanted(subtag) {
            return None;
        }
        let offset = self.offset;
        self.rest = after;
        self.offset += subtag.len() + 1;
        Some((subtag, offset))
    }

    fn end(&self, reason: &'static str) -> Result<(), SyntaxError> {
        match self.rest {
            Some(_) => Err(SyntaxKind::Language.expected_at(reason, self.offset)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn subtags_follow_the_order_of_the_grammar() {
        for tag in
            ["zh-cmn-Hans-CN", "zh-min-nan", "de-CH-1996", "en-GB-oed", "sl-nedis", "en-x-a", "art-lojban"]
        {
            assert!(is_language(tag), "{tag}");
        }
        for tag in [
            "de-419-DE",
            "en-GB-Latn",
            "en-x",
            "x",
            "x-",
            "en-a",
            "en--GB",
            "i",
            "i-unknown",
            "en-abcdefghi",
            "",
        ] {
            assert!(!is_language(tag), "{tag}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[a-zA-Z0-9é-]{0,40}") {
            let _either_way_is_fine = is_language(&text);
        }
    }
}
