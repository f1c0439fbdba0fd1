//! Compiled schemas: what remains of a lexicon when every reference has been followed.

use super::format::Format;

/// Place of a schema in the catalogue's arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SchemaId(pub(super) u32);

/// A record type: which keys it may have and what it must look like.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) key: KeyRule,
    pub(super) schema: SchemaId,
}

/// What record keys a record type allows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum KeyRule {
    Any,
    Tid,
    Nsid,
    Literal(Box<str>),
}

/// One schema. References are absent: a place that refers holds the target's [`SchemaId`].
#[derive(Debug)]
pub(super) enum Schema {
    Null,
    Boolean {
        constant: Option<bool>,
    },
    Integer {
        constant: Option<i64>,
        choices: Option<Box<[i64]>>,
        least: Option<i64>,
        most: Option<i64>,
    },
    Text(Box<Text>),
    Bytes {
        length: Bounds,
    },
    Link,
    Blob {
        accept: Option<Box<[Box<str>]>>,
        max_size: Option<u64>,
    },
    List {
        items: SchemaId,
        length: Bounds,
    },
    /// Members in canonical order, that of a decoded map, so that both can be walked side by side.
    Object {
        members: Box<[Member]>,
    },
    /// Alternatives by their `$type`.
    Union {
        variants: Box<[(Box<str>, SchemaId)]>,
        closed: bool,
    },
    Unknown,
    /// Text that is the token's full name.
    Token(Box<str>),
}

#[derive(Debug, Default)]
pub(super) struct Text {
    pub(super) format: Option<Format>,
    /// In bytes of UTF-8.
    pub(super) length: Bounds,
    pub(super) graphemes: Bounds,
    pub(super) constant: Option<Box<str>>,
    pub(super) choices: Option<Box<[Box<str>]>>,
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: Box<str>,
    pub(super) schema: SchemaId,
    pub(super) required: bool,
    pub(super) nullable: bool,
}

/// An inclusive range of lengths, open where a bound is absent.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bounds {
    pub(super) least: Option<u64>,
    pub(super) most: Option<u64>,
}
