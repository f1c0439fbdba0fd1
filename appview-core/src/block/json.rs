//! Blocks as JSON text and back, by the AT data model: links as `{"$link": …}`, bytes as `{"$bytes": …}`.
//!
//! A canonical block enters and JSON text leaves, streamed without a tree between; or parsed JSON enters and a
//! canonical block leaves. Deliberately absent: any knowledge of record schemas.
//!
//! Follows the [data model](https://atproto.com/specs/data-model).

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{GeneralPurposeConfig, STANDARD_NO_PAD};

use super::cbor::{self, Kind, Reader};
use super::{BlockError, Cid};
use crate::limits;

/// Standard alphabet; padding is written by some producers and left out by most.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
);

/// Why JSON is not a value of the AT data model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("{path}: {rule}")]
pub struct JsonError {
    /// Where: member names separated by slashes, `[]` for a list's items.
    pub path: String,
    /// The rule that is broken.
    pub rule: &'static str,
}

/// Appends a block to `out` as JSON text, keys in the block's own order.
///
/// # Errors
///
/// As [`cbor::decode`]; `out` then holds a part of it.
pub fn write_json(out: &mut String, block: &[u8]) -> Result<(), BlockError> {
    let mut reader = Reader::canonical(block);
    write_item(out, &mut reader, 0)?;
    reader.end()
}

/// A block as JSON text.
///
/// # Errors
///
/// As [`cbor::decode`].
pub fn to_json(block: &[u8]) -> Result<String, BlockError> {
    let mut out = String::with_capacity(block.len().saturating_mul(2));
    write_json(&mut out, block)?;
    Ok(out)
}

fn write_item(out: &mut String, reader: &mut Reader<'_>, depth: usize) -> Result<(), BlockError> {
    match reader.peek()? {
        Kind::List | Kind::Map if depth >= limits::CBOR_DEPTH => return Err(BlockError::TooDeep),
        Kind::Unsigned | Kind::Negative => write_integer(out, reader.integer()?),
        Kind::Text => write_text(out, reader.text()?),
        Kind::Bytes => {
            out.push_str("{\"$bytes\":\"");
            STANDARD_NO_PAD.encode_string(reader.bytes()?, out);
            out.push_str("\"}");
        }
        Kind::Tag => {
            out.push_str("{\"$link\":\"");
            out.push_str(&reader.link()?.to_string());
            out.push_str("\"}");
        }
        Kind::Simple => {
            if reader.null()? {
                out.push_str("null");
            } else {
                out.push_str(if reader.bool()? { "true" } else { "false" });
            }
        }
        Kind::List => {
            out.push('[');
            for index in 0..reader.list()? {
                if index > 0 {
                    out.push(',');
                }
                write_item(out, reader, depth + 1)?;
            }
            out.push(']');
        }
        Kind::Map => {
            out.push('{');
            let mut previous = None;
            for index in 0..reader.map()? {
                if index > 0 {
                    out.push(',');
                }
                let key = reader.key(previous)?;
                previous = Some(key);
                write_text(out, key);
                out.push(':');
                write_item(out, reader, depth + 1)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

fn write_integer(out: &mut String, integer: i64) {
    // The longest is that of the least integer, with its sign.
    let mut text = [0; 20];
    let mut start = text.len();
    let mut rest = integer.unsigned_abs();
    for place in text.iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        start -= 1;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if integer < 0 {
        out.push('-');
    }
    out.push_str(text.get(start..).and_then(|digits| std::str::from_utf8(digits).ok()).unwrap_or_default());
}

/// Appends `text` to `out` as a JSON string with its quotes.
pub fn write_text(out: &mut String, text: &str) {
    use std::fmt::Write as _;
    out.push('"');
    let mut rest = text;
    while let Some(at) = first_special(rest.as_bytes()) {
        // It is ASCII, hence a boundary of characters.
        let (plain, special) = rest.split_at(at);
        out.push_str(plain);
        let byte = special.as_bytes().first().copied().unwrap_or_default();
        rest = special.get(1..).unwrap_or_default();
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            other => {
                let _ = write!(out, "\\u{other:04x}");
            }
        }
    }
    out.push_str(rest);
    out.push('"');
}

/// Where the first byte is that JSON text can't hold as it is. Looks at eight at a time, since most texts have none.
fn first_special(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    /// Whether one of the bytes is zero; a false alarm only costs a second look.
    const fn has_zero(word: u64) -> bool {
        word.wrapping_sub(ONES) & !word & HIGH != 0
    }
    let is_special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let number = u64::from_ne_bytes(*word);
        let below_space = number.wrapping_sub(ONES * 0x20) & !number & HIGH != 0;
        let is_quote = has_zero(number ^ (ONES * b'"' as u64));
        let is_backslash = has_zero(number ^ (ONES * b'\\' as u64));
        if (below_space || is_quote || is_backslash)
            && let Some(within) = word.iter().position(is_special)
        {
            return Some(at * 8 + within);
        }
    }
    rest.iter().position(is_special).map(|within| words.len() * 8 + within)
}

/// Turns parsed JSON into a canonical block.
///
/// The top must be an object. `{"$link": …}`, `{"$bytes": …}` and `{"$type": "blob", …}` are recognised and must be
/// well formed; a `$type` must be a non-empty string; a number must be an integer (`1.0` is one) of 64 bits.
///
/// # Errors
///
/// [`JsonError`] names the place and the rule.
pub fn json_to_cbor(json: &serde_json::Value) -> Result<Vec<u8>, JsonError> {
    if !json.is_object() {
        return Err(refuse(&[], "the top must be an object"));
    }
    let mut out = Vec::with_capacity(512);
    encode_item(&mut out, json, &mut Vec::new())?;
    Ok(out)
}

fn refuse(path: &[&str], rule: &'static str) -> JsonError {
    JsonError { path: format!("/{}", path.join("/")), rule }
}

fn encode_item<'a>(
    out: &mut Vec<u8>,
    json: &'a serde_json::Value,
    path: &mut Vec<&'a str>,
) -> Result<(), JsonError> {
    match json {
        serde_json::Value::Null => out.push(0xf6),
        serde_json::Value::Bool(bool) => out.push(if *bool { 0xf5 } else { 0xf4 }),
        serde_json::Value::Number(number) => {
            let integer =
                integer(number).ok_or_else(|| refuse(path, "numbers must be integers of 64 bits"))?;
            cbor::write_integer(out, integer);
        }
        serde_json::Value::String(text) => cbor::write_text(out, text),
        serde_json::Value::Array(_) if path.len() >= limits::CBOR_DEPTH => {
            return Err(refuse(path, "nested too deep"));
        }
        serde_json::Value::Array(items) => {
            cbor::write_head(out, 4, items.len() as u64);
            for item in items {
                path.push("[]");
                encode_item(out, item, path)?;
                path.pop();
            }
        }
        serde_json::Value::Object(object) => encode_object(out, object, path)?,
    }
    Ok(())
}

fn encode_object<'a>(
    out: &mut Vec<u8>,
    object: &'a serde_json::Map<String, serde_json::Value>,
    path: &mut Vec<&'a str>,
) -> Result<(), JsonError> {
    if let Some(link) = object.get("$link") {
        return match link.as_str().and_then(|text| text.parse::<Cid>().ok()) {
            Some(cid) if object.len() == 1 => {
                cbor::write_link(out, &cid);
                Ok(())
            }
            _ => Err(refuse(path, "$link must be the only member and a cid")),
        };
    }
    if let Some(bytes) = object.get("$bytes") {
        return match bytes.as_str().and_then(|text| BASE64.decode(text).ok()) {
            Some(bytes) if object.len() == 1 => {
                cbor::write_bytes(out, &bytes);
                Ok(())
            }
            _ => Err(refuse(path, "$bytes must be the only member and base64")),
        };
    }
    if path.len() >= limits::CBOR_DEPTH {
        return Err(refuse(path, "nested too deep"));
    }
    match object.get("$type") {
        None => {}
        Some(serde_json::Value::String(kind)) if kind == "blob" => check_blob(object, path)?,
        Some(serde_json::Value::String(kind)) if !kind.is_empty() => {}
        Some(_) => return Err(refuse(path, "$type must be a non-empty string")),
    }
    let mut members: Vec<_> = object.iter().collect();
    members.sort_by(|a, b| cbor::canonical_order(a.0.as_bytes(), b.0.as_bytes()));
    cbor::write_head(out, 5, members.len() as u64);
    for (key, value) in members {
        cbor::write_text(out, key);
        path.push(key);
        encode_item(out, value, path)?;
        path.pop();
    }
    Ok(())
}

fn integer(number: &serde_json::Number) -> Option<i64> {
    /// Beyond 2^53 a float no longer tells neighbouring integers apart.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    number.as_i64().or_else(|| match number.as_f64() {
        #[expect(clippy::cast_possible_truncation, reason = "whole and within 2^53")]
        Some(float) if float.fract() == 0.0 && float.abs() <= EXACT => Some(float as i64),
        _ => None,
    })
}

fn check_blob(object: &serde_json::Map<String, serde_json::Value>, path: &[&str]) -> Result<(), JsonError> {
    let has_ref =
        object.get("ref").and_then(|link| link.get("$link")).is_some_and(serde_json::Value::is_string);
    let has_size = object.get("size").is_some_and(serde_json::Value::is_i64);
    let has_type = object.get("mimeType").is_some_and(serde_json::Value::is_string);
    if has_ref && has_size && has_type {
        Ok(())
    } else {
        Err(refuse(path, "a blob must have a ref, an integer size and a mimeType"))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn json_leads_to_the_block_and_back() {
        let json = serde_json::json!({
            "text": "a\"\\\n\u{1}é", "n": -5, "yes": true, "no": null, "list": [1, [], {}],
            "link": {"$link": Cid::of(b"x").to_string()}, "bytes": {"$bytes": "AAEC/w"},
        });
        let block = json_to_cbor(&json).unwrap();
        let back: serde_json::Value = serde_json::from_str(&to_json(&block).unwrap()).unwrap();
        assert_eq!(back, json);
    }

    #[test]
    fn text_and_integers_are_written_as_serde_writes_them() {
        for length in 0..20 {
            for special in ["", "\"", "\\", "\n", "\u{1f}", "\u{7f}", "é", "\u{8}\u{c}\r\t"] {
                for at in 0..=length {
                    let text = format!("{}{special}{}", "x".repeat(at), " ".repeat(length - at));
                    let mut out = String::new();
                    write_text(&mut out, &text);
                    assert_eq!(out, serde_json::to_string(&text).unwrap());
                }
            }
        }
        for integer in [0, 1, -1, 9, 10, 99, 100, i64::MAX, i64::MIN] {
            let mut out = String::new();
            write_integer(&mut out, integer);
            assert_eq!(out, integer.to_string());
        }
    }

    #[test]
    fn json_nests_as_deep_as_blocks_do() {
        let nested = |depth| {
            let innermost = serde_json::json!({"link": {"$link": Cid::of(b"x").to_string()}, "n": 1});
            serde_json::json!({"a": (2..depth).fold(innermost, |inner, _| serde_json::json!([inner]))})
        };
        let block = json_to_cbor(&nested(limits::CBOR_DEPTH)).unwrap();
        assert!(cbor::decode(&block).is_ok() && to_json(&block).is_ok());
        assert!(json_to_cbor(&nested(limits::CBOR_DEPTH + 1)).is_err());
        let deeper = [&[0x81].repeat(limits::CBOR_DEPTH), [0x80].as_slice()].concat();
        assert_eq!(to_json(&deeper), Err(BlockError::TooDeep));
    }

    #[test]
    fn a_refusal_names_the_place_and_the_rule() {
        let error = json_to_cbor(&serde_json::json!({"a": [{"b": 1.5}]})).unwrap_err();
        assert_eq!(error.to_string(), "/a/[]/b: numbers must be integers of 64 bits");
    }
}
