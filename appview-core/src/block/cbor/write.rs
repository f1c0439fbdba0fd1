//! The way back: items in their one canonical form, added to a buffer.
//!
//! Deliberately absent: any check, since what is written was read, or made of types that cannot be wrong.

use super::{LINK_HEAD, Value};
use crate::block::Cid;

pub(super) fn write_value(out: &mut Vec<u8>, value: &Value<'_>) {
    match value {
        Value::Null => out.push(0xf6),
        Value::Bool(false) => out.push(0xf4),
        Value::Bool(true) => out.push(0xf5),
        Value::Integer(integer) => write_integer(out, *integer),
        Value::Text(text) => write_text(out, text),
        Value::Bytes(bytes) => write_bytes(out, bytes),
        Value::Link(cid) => write_link(out, cid),
        Value::List(items) => {
            write_head(out, 4, items.len() as u64);
            for item in items {
                write_value(out, item);
            }
        }
        Value::Map(map) => {
            write_head(out, 5, map.len() as u64);
            for (key, value) in map.iter() {
                write_text(out, key);
                write_value(out, value);
            }
        }
    }
}

/// Writes the head of an item in its shortest form. `major` is CBOR's major type, 0 to 7.
pub(crate) fn write_head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let major = major << 5;
    let bytes = argument.to_be_bytes();
    match argument {
        0..=23 => out.push(major | bytes[7]),
        24..=0xff => out.extend_from_slice(&[major | 24, bytes[7]]),
        0x100..=0xffff => out.extend_from_slice(&[major | 25, bytes[6], bytes[7]]),
        0x1_0000..=0xffff_ffff => {
            out.push(major | 26);
            out.extend_from_slice(&bytes[4..]);
        }
        _ => {
            out.push(major | 27);
            out.extend_from_slice(&bytes);
        }
    }
}

/// Writes an integer.
pub(crate) fn write_integer(out: &mut Vec<u8>, integer: i64) {
    match u64::try_from(integer) {
        Ok(unsigned) => write_head(out, 0, unsigned),
        // The encoding of -1 is 0, of -2 is 1: the complement, never an overflow.
        Err(_) => write_head(out, 1, (!integer).unsigned_abs()),
    }
}

/// Writes text.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &str) {
    write_head(out, 3, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Writes a byte string.
pub(crate) fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    write_head(out, 2, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Writes a link.
pub(crate) fn write_link(out: &mut Vec<u8>, cid: &Cid) {
    out.extend_from_slice(&LINK_HEAD);
    out.extend_from_slice(&cid.to_bytes());
}
