//! JSON text, read by its letter and written in canonical form in one pass.
//!
//! No parser that hands out numbers will do here: they no longer tell `1.0` from `1` or `-0` from `0`, and of a member
//! that is there twice they keep one.

use std::ops::Range;

use super::{CanonicalError, write_integer, write_key};
use crate::block::json::write_text;
use crate::limits;

/// Most characters of a number that an error repeats.
const TOKEN: usize = 32;

pub(super) fn write_canonical(out: &mut String, json: &str) -> Result<(), CanonicalError> {
    let mut text = Text { json, at: 0 };
    text.value(out, 0)?;
    text.space();
    match text.peek() {
        None => Ok(()),
        Some(_) => Err(text.expected("the end of the text")),
    }
}

struct Text<'a> {
    json: &'a str,
    at: usize,
}

impl Text<'_> {
    fn peek(&self) -> Option<u8> {
        self.json.as_bytes().get(self.at).copied()
    }

    fn passes(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    const fn expected(&self, expected: &'static str) -> CanonicalError {
        CanonicalError::Syntax { at: self.at, expected }
    }

    fn value(&mut self, out: &mut String, depth: usize) -> Result<(), CanonicalError> {
        self.space();
        match self.peek() {
            Some(b'{') => self.object(out, deeper(depth)?),
            Some(b'[') => self.list(out, deeper(depth)?),
            Some(b'"') => {
                write_text(out, &self.string()?);
                Ok(())
            }
            Some(b'-' | b'0'..=b'9') => self.number(out),
            _ => {
                for word in ["null", "true", "false"] {
                    if self.json.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
                        self.at += word.len();
                        out.push_str(word);
                        return Ok(());
                    }
                }
                Err(self.expected("a value"))
            }
        }
    }

    fn list(&mut self, out: &mut String, depth: usize) -> Result<(), CanonicalError> {
        self.at += 1;
        out.push('[');
        self.space();
        if !self.passes(b']') {
            loop {
                self.value(out, depth)?;
                self.space();
                if self.passes(b']') {
                    break;
                }
                if !self.passes(b',') {
                    return Err(self.expected("',' or ']'"));
                }
                out.push(',');
            }
        }
        out.push(']');
        Ok(())
    }

    /// Writes the members in the order of the text, then once more in theirs.
    fn object(&mut self, out: &mut String, depth: usize) -> Result<(), CanonicalError> {
        self.at += 1;
        let start = out.len();
        let mut members: Vec<(String, Range<usize>)> = Vec::new();
        self.space();
        if !self.passes(b'}') {
            loop {
                self.space();
                if self.peek() != Some(b'"') {
                    return Err(self.expected("a member's name"));
                }
                let key = self.string()?;
                self.space();
                if !self.passes(b':') {
                    return Err(self.expected("':'"));
                }
                let from = out.len();
                write_key(out, &key)?;
                self.value(out, depth)?;
                members.push((key, from..out.len()));
                self.space();
                if self.passes(b'}') {
                    break;
                }
                if !self.passes(b',') {
                    return Err(self.expected("',' or '}'"));
                }
            }
        }
        members.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let mut sorted = String::with_capacity(out.len() - start + members.len() + 2);
        sorted.push('{');
        let mut previous = None;
        for (key, place) in &members {
            if previous == Some(key) {
                return Err(CanonicalError::DuplicateKey { key: key.as_str().into() });
            }
            if previous.replace(key).is_some() {
                sorted.push(',');
            }
            sorted.push_str(out.get(place.clone()).unwrap_or_default());
        }
        sorted.push('}');
        out.truncate(start);
        out.push_str(&sorted);
        Ok(())
    }

    fn number(&mut self, out: &mut String) -> Result<(), CanonicalError> {
        let start = self.at;
        let is_negative = self.passes(b'-');
        let digits = self.at;
        self.digits()?;
        if self.json.as_bytes().get(digits) == Some(&b'0') && self.at > digits + 1 {
            return Err(CanonicalError::Syntax { at: digits, expected: "a number without leading zeros" });
        }
        let integer_end = self.at;
        if self.passes(b'.') {
            self.digits()?;
        }
        if self.passes(b'e') || self.passes(b'E') {
            let _is_signed = self.passes(b'+') || self.passes(b'-');
            self.digits()?;
        }
        let token = self.json.get(start..self.at).unwrap_or_default();
        let cut = || token.get(..TOKEN).unwrap_or(token).into();
        if self.at > integer_end {
            return Err(match token.parse::<f64>() {
                Ok(float) if float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0 => {
                    CanonicalError::NonIntegerLiteral { token: cut() }
                }
                _ => CanonicalError::Float { token: cut() },
            });
        }
        match token.parse::<i64>() {
            Ok(0) if is_negative => Err(CanonicalError::NonIntegerLiteral { token: cut() }),
            Ok(integer) => write_integer(out, integer),
            Err(_) => Err(CanonicalError::UnsafeInteger { token: cut() }),
        }
    }

    fn digits(&mut self) -> Result<(), CanonicalError> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(self.expected("a digit")) }
    }

    /// Reads a string that begins here.
    fn string(&mut self) -> Result<String, CanonicalError> {
        self.at += 1;
        let mut string = String::new();
        loop {
            let plain = self.at;
            while self.peek().is_some_and(|byte| byte >= 0x20 && byte != b'"' && byte != b'\\') {
                self.at += 1;
            }
            // Both ends are beside ASCII, hence boundaries of characters.
            string.push_str(self.json.get(plain..self.at).unwrap_or_default());
            if self.passes(b'"') {
                return Ok(string);
            }
            if !self.passes(b'\\') {
                return Err(self.expected("a string's end, without control characters before it"));
            }
            let escape = self.peek().ok_or_else(|| self.expected("an escape"))?;
            self.at += 1;
            string.push(match escape {
                b'"' | b'\\' | b'/' => char::from(escape),
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'u' => self.escaped()?,
                _ => {
                    self.at -= 1;
                    return Err(self.expected("an escape"));
                }
            });
        }
    }

    /// Reads what follows `\u`.
    fn escaped(&mut self) -> Result<char, CanonicalError> {
        let start = self.at.saturating_sub(2);
        let unit = self.hex()?;
        let code = match unit {
            0xd800..=0xdbff => {
                if !(self.passes(b'\\') && self.passes(b'u')) {
                    return Err(CanonicalError::LoneSurrogate { at: start });
                }
                match self.hex()? {
                    low @ 0xdc00..=0xdfff => 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00),
                    _ => return Err(CanonicalError::LoneSurrogate { at: start }),
                }
            }
            _ => unit,
        };
        char::from_u32(code).ok_or(CanonicalError::LoneSurrogate { at: start })
    }

    fn hex(&mut self) -> Result<u32, CanonicalError> {
        let digits = self.json.get(self.at..self.at.saturating_add(4));
        let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let unit = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let unit = unit.ok_or_else(|| self.expected("four hex digits"))?;
        self.at += 4;
        Ok(unit)
    }
}

const fn deeper(depth: usize) -> Result<usize, CanonicalError> {
    if depth < limits::JSON_DEPTH { Ok(depth + 1) } else { Err(CanonicalError::TooDeep) }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(json: &str) -> Result<String, CanonicalError> {
        let mut out = String::new();
        write_canonical(&mut out, json).map(|()| out)
    }

    #[test]
    fn text_is_taken_at_its_word() {
        assert_eq!(
            canonical(r#" {"b" : [1, -0.5e1]} "#),
            Err(CanonicalError::NonIntegerLiteral { token: "-0.5e1".into() })
        );
        assert_eq!(canonical(r#"{"a":1,"\u0061":2}"#), Err(CanonicalError::DuplicateKey { key: "a".into() }));
        assert_eq!(canonical(r#"["\ud83d\ude00\/"]"#).unwrap(), "[\"😀/\"]");
        for broken in ["", "01", "1.", "1e", "-", "+1", "nul", "[1,]", "{\"a\"}", "\"\n\"", "\"\\x\"", "1 2"]
        {
            assert!(matches!(canonical(broken), Err(CanonicalError::Syntax { .. })), "{broken:?}");
        }
    }

    #[test]
    fn nesting_ends_at_the_limit() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(canonical(&nested(limits::JSON_DEPTH)).is_ok());
        assert_eq!(canonical(&nested(limits::JSON_DEPTH + 1)), Err(CanonicalError::TooDeep));
        assert_eq!(canonical(&"[".repeat(1_000_000)), Err(CanonicalError::TooDeep));
    }

    proptest! {
        #[test]
        fn what_is_accepted_means_the_same_to_another_parser(
            json in r#"[ \[\]{},:"\\a-cé0-9.eE+-]{0,24}|\{("[a-c]{0,2}":[0-9-]{1,3},?){0,4}\}|"(\\u[0-9a-fD-F]{4}|.){0,6}""#,
        ) {
            if let Ok(text) = canonical(&json) {
                let (theirs, ours): (serde_json::Value, serde_json::Value) =
                    (serde_json::from_str(&json).unwrap(), serde_json::from_str(&text).unwrap());
                prop_assert_eq!(theirs, ours);
                prop_assert_eq!(canonical(&text).unwrap(), text);
            }
        }
    }
}
