//! Records: what a block in our namespace must look like, how well it does, and what it says.
//!
//! A decoded block enters; a [`Judgement`] by its lexicon leaves, or a typed view of its members. Deliberately absent:
//! who signed the record and whether it is still there (decided before), and where it goes (decided after). Nothing
//! here drops a record: what breaks its schema is graded, and the grade travels with it.

pub mod account;
mod bytes;
mod collection;
pub mod compute;
pub mod lexicon;
mod moment;
mod view;

pub use bytes::{Blob, Bytes, FreeForm};
pub use collection::{Collection, NAMESPACE};
pub use lexicon::{Catalog, Finding, Judgement, LexiconError, Reading, Rule, Verdict};
pub use moment::moment;
pub use view::{RecordError, RecordType, StrongRef, TypedRecord};

use crate::block::{BlockError, Value, cbor};
use crate::limits;

/// Decodes a record's block.
///
/// # Errors
///
/// As [`cbor::decode`], and [`BlockError::TooLarge`] beyond [`limits::RECORD_BYTES`].
pub fn decode(block: &[u8]) -> Result<Value<'_>, BlockError> {
    if block.len() > limits::RECORD_BYTES {
        return Err(BlockError::TooLarge {
            what: "a record",
            found: block.len(),
            limit: limits::RECORD_BYTES,
        });
    }
    cbor::decode(block)
}

#[cfg(test)]
mod tests;
