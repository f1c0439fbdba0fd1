//! Lexicons: the public schema, and how well a record keeps it.
//!
//! Lexicon documents enter and become a [`Catalog`]; a decoded record enters and a [`Judgement`] leaves. Documents are
//! compiled once into an arena in which every reference is already followed, so that judging a record walks its members
//! beside the schema's and allocates nothing until it finds a breach. Deliberately absent: validation of queries and
//! procedures (their documents are checked for form only), and any decision about what a grade is good for.
//!
//! Follows <https://atproto.com/specs/lexicon>.

mod builtin;
mod compile;
mod form;
mod format;
mod judge;
mod judgement;
mod schema;

use std::collections::{BTreeMap, HashMap};

use serde_json::Value as Json;
use thiserror::Error;

use crate::block::Value;
use crate::syntax::Nsid;
use compile::Compiler;
pub use judgement::{Finding, Judgement, Rule, Verdict};
use schema::{Record, Schema};

/// Counted up when the same documents would judge differently, so that [`Catalog::schema_set_id`] changes with it.
const RULES_VERSION: u32 = 1;

/// How a record's bytes came to us, which decides what counts as bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reading {
    /// As records are on the network: base64 text in the place of bytes is the same value.
    Network,
    /// As the protocol is written: bytes are byte strings.
    Strict,
}

/// A document that is not a lexicon, or a set of them that does not fit together.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LexiconError {
    /// A document is not JSON.
    #[error("document {index} is not json: {reason}")]
    NotJson {
        /// Its place in the set, from 0.
        index: usize,
        /// What the JSON parser met.
        reason: String,
    },
    /// A document's `lexicon` member is not the number of a language version this crate reads.
    #[error("document {index}: expected lexicon version 1")]
    Version {
        /// Its place in the set, from 0.
        index: usize,
    },
    /// A document's `id` is not an NSID.
    #[error("document {index}: expected an nsid as its id")]
    Id {
        /// Its place in the set, from 0.
        index: usize,
    },
    /// Two documents have the same `id`.
    #[error("{id} is defined by two documents")]
    Duplicate {
        /// The NSID.
        id: String,
    },
    /// A definition breaks a rule of the language.
    #[error("{place}: expected {expected}")]
    Definition {
        /// Where: the document's NSID, then member names with slashes between.
        place: String,
        /// What the language asks for there.
        expected: &'static str,
    },
    /// A reference leads to a definition that its document lacks, or a record's schema leads to a document that is
    /// not in the set.
    #[error("{place}: no document defines {reference}")]
    Dangling {
        /// Where the reference stands.
        place: String,
        /// The full name referred to.
        reference: String,
    },
}

/// A set of lexicon documents, compiled.
#[derive(Debug)]
pub struct Catalog {
    records: HashMap<Box<str>, Record>,
    schemas: Vec<Schema>,
    schema_set_id: String,
}

impl Catalog {
    /// The catalogue of the documents this crate is built with: all of `lexicons/`.
    ///
    /// # Errors
    /// None that can happen in a crate that passed its tests; see [`Catalog::parse`].
    pub fn builtin() -> Result<Self, LexiconError> {
        Self::parse(builtin::DOCUMENTS.iter().copied())
    }

    /// The JSON texts of those documents, for whoever describes methods by them.
    #[must_use]
    pub const fn builtin_documents() -> &'static [&'static str] {
        builtin::DOCUMENTS
    }

    /// Compiles the JSON texts of lexicon documents, in any order.
    ///
    /// `com.atproto.repo.strongRef` is known even if no document defines it. A reference to a
    /// document outside the set is allowed where no record's schema can reach it, e.g. in the output of a query.
    ///
    /// # Errors
    /// [`LexiconError`] for the first document that is no lexicon, and for references that dangle.
    pub fn parse<'a>(documents: impl IntoIterator<Item = &'a str>) -> Result<Self, LexiconError> {
        let mut by_id = BTreeMap::new();
        for (index, text) in documents.into_iter().enumerate() {
            let (id, document) = read_document(index, text)?;
            if by_id.insert(id.clone(), document).is_some() {
                return Err(LexiconError::Duplicate { id });
            }
        }
        let (id, strong_ref) = read_document(by_id.len(), builtin::STRONG_REF)?;
        by_id.entry(id).or_insert(strong_ref);

        form::check_form(&by_id)?;
        let mut compiler = Compiler::new(&by_id);
        let mut records = HashMap::new();
        for id in by_id.keys() {
            if let Some(record) = compiler.record(id)? {
                records.insert(id.as_str().into(), record);
            }
        }
        Ok(Self { records, schemas: compiler.finish(), schema_set_id: schema_set_id(&by_id) })
    }

    /// A hash, in hex, of everything that can change a judgement: the documents and the rules of judging.
    ///
    /// A verdict stored under another id is out of date. The order of the documents and their whitespace do not count.
    #[must_use]
    pub fn schema_set_id(&self) -> &str {
        &self.schema_set_id
    }

    /// The NSIDs of all record types, in no particular order.
    pub fn collections(&self) -> impl Iterator<Item = &str> {
        self.records.keys().map(|id| &**id)
    }

    /// Judges a record by the lexicon of its collection.
    ///
    /// A record of a collection without a lexicon here has only its `$type` judged.
    #[must_use]
    pub fn judge(&self, collection: &str, rkey: &str, record: &Value<'_>, reading: Reading) -> Judgement {
        judge::judge(&self.schemas, self.records.get(collection), collection, rkey, record, reading)
    }

    /// Decodes a block and judges it; one that does not decode is quarantined for that.
    #[must_use]
    pub fn judge_block(&self, collection: &str, rkey: &str, block: &[u8], reading: Reading) -> Judgement {
        match super::decode(block) {
            Ok(record) => self.judge(collection, rkey, &record, reading),
            Err(error) => {
                let mut judgement = Judgement::default();
                judgement.add(Rule::Undecodable, String::new, error.to_string());
                judgement
            }
        }
    }
}

fn read_document(index: usize, text: &str) -> Result<(String, Json), LexiconError> {
    let document: Json = serde_json::from_str(text)
        .map_err(|error| LexiconError::NotJson { index, reason: error.to_string() })?;
    if document.get("lexicon").and_then(Json::as_i64) != Some(1) {
        return Err(LexiconError::Version { index });
    }
    let id = document.get("id").and_then(Json::as_str).filter(|id| id.parse::<Nsid>().is_ok());
    let id = id.ok_or(LexiconError::Id { index })?.to_owned();
    Ok((id, document))
}

fn schema_set_id(documents: &BTreeMap<String, Json>) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&RULES_VERSION.to_le_bytes());
    for document in documents.values() {
        hash_json(&mut hasher, document);
    }
    hasher.finalize().to_hex().to_string()
}

/// Hashes a JSON value independently of key order, which the parser may or may not have kept.
fn hash_json(hasher: &mut blake3::Hasher, json: &Json) {
    match json {
        Json::Object(members) => {
            hasher.update(format!("{{{}", members.len()).as_bytes());
            let sorted: BTreeMap<_, _> = members.iter().collect();
            for (key, value) in sorted {
                hasher.update(format!("{}:{key}", key.len()).as_bytes());
                hash_json(hasher, value);
            }
        }
        Json::Array(items) => {
            hasher.update(format!("[{}", items.len()).as_bytes());
            for item in items {
                hash_json(hasher, item);
            }
        }
        // A scalar's JSON text ends where it ends: text in its quotes, all others before the next mark.
        scalar => {
            hasher.update(format!("{scalar},").as_bytes());
        }
    }
}

#[cfg(test)]
mod tests;
