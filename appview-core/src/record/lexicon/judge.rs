//! Judging a value by its schema.

use unicode_segmentation::UnicodeSegmentation as _;

use super::schema::{Bounds, KeyRule, Member, Record, Schema, SchemaId, Text};
use super::{Judgement, Reading, Rule};
use crate::block::cbor::canonical_order;
use crate::block::{Map, Value};
use crate::limits;
use crate::record::bytes::decode_base64;
use crate::syntax::{is_nsid, is_tid};

/// Most bytes of an author's text that a message repeats.
const MAX_EXCERPT: usize = 64;

pub(super) fn judge(
    schemas: &[Schema],
    record_type: Option<&Record>,
    collection: &str,
    rkey: &str,
    record: &Value<'_>,
    reading: Reading,
) -> Judgement {
    let mut judge = Judge { schemas, reading, judgement: Judgement::default() };
    match record {
        Value::Map(map) => judge.record_type(collection, map),
        other => judge.wrong_type(&Path::Root, "a record", other),
    }
    if let Some(Record { key, schema }) = record_type {
        judge.record_key(key, rkey);
        if matches!(record, Value::Map(_)) {
            judge.value(*schema, record, &Path::Root, 0);
        }
    }
    judge.judgement
}

/// Where in the record, as a chain of stack frames: it becomes text only when there is something to report.
enum Path<'a> {
    Root,
    Member(&'a Path<'a>, &'a str),
    Item(&'a Path<'a>, usize),
}

impl Path<'_> {
    fn render(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Member(Path::Root, name) => (*name).to_owned(),
            Self::Member(parent, name) => format!("{}.{name}", parent.render()),
            Self::Item(parent, index) => format!("{}[{index}]", parent.render()),
        }
    }
}

struct Judge<'c> {
    schemas: &'c [Schema],
    reading: Reading,
    judgement: Judgement,
}

impl Judge<'_> {
    fn find(&mut self, path: &Path<'_>, rule: Rule, message: impl FnOnce() -> String) {
        if !self.judgement.is_settled() {
            self.judgement.add(rule, || path.render(), message());
        }
    }

    fn wrong_type(&mut self, path: &Path<'_>, expected: &str, found: &Value<'_>) {
        self.find(path, Rule::WrongType, || format!("expected {expected}, found {}", kind(found)));
    }

    fn record_type(&mut self, collection: &str, record: &Map<'_>) {
        let found = match record.get("$type") {
            Some(Value::Text(text)) if *text == collection => return,
            Some(Value::Text(text)) => excerpt(text),
            Some(other) => kind(other),
            None => "none",
        };
        self.find(&Path::Member(&Path::Root, "$type"), Rule::RecordType, || {
            format!("expected {collection}, found {found}")
        });
    }

    fn record_key(&mut self, rule: &KeyRule, rkey: &str) {
        let (kept, expected) = match rule {
            KeyRule::Any => return,
            KeyRule::Tid => (is_tid(rkey), "a tid"),
            KeyRule::Nsid => (is_nsid(rkey), "an nsid"),
            KeyRule::Literal(literal) => (rkey == &**literal, &**literal),
        };
        if !kept {
            self.find(&Path::Root, Rule::RecordKey, || {
                format!("expected {expected} as record key, found {}", excerpt(rkey))
            });
        }
    }

    fn value(&mut self, schema: SchemaId, value: &Value<'_>, path: &Path<'_>, depth: usize) {
        // Every step down here is one down in the value, so this also ends on schemas that refer to themselves.
        if depth > limits::CBOR_DEPTH {
            return self
                .find(path, Rule::TooDeep, || format!("expected at most {} levels", limits::CBOR_DEPTH));
        }
        // The arena holds every id it has given out.
        let Some(schema) = self.schemas.get(schema.0 as usize) else {
            return;
        };
        match (schema, value) {
            (Schema::Null, Value::Null) | (Schema::Link, Value::Link(_)) => {}
            (Schema::Boolean { constant }, Value::Bool(found)) => {
                if let Some(constant) = constant
                    && constant != found
                {
                    self.find(path, Rule::Const, || format!("expected {constant}, found {found}"));
                }
            }
            (Schema::Integer { constant, choices, least, most }, Value::Integer(found)) => {
                if let Some(constant) = constant
                    && constant != found
                {
                    self.find(path, Rule::Const, || format!("expected {constant}, found {found}"));
                }
                if let Some(choices) = choices
                    && !choices.contains(found)
                {
                    self.find(path, Rule::Enum, || format!("expected one of {choices:?}, found {found}"));
                }
                self.range(path, *found, *least, *most);
            }
            (Schema::Text(schema), Value::Text(text)) => self.text(schema, text, path),
            (Schema::Bytes { length }, Value::Bytes(bytes)) => {
                self.length(path, *length, bytes.len(), "bytes", (Rule::MinLength, Rule::MaxLength));
            }
            (Schema::Bytes { length }, Value::Text(text)) if self.reading == Reading::Network => {
                match decode_base64(text) {
                    Some(bytes) => {
                        self.length(path, *length, bytes.len(), "bytes", (Rule::MinLength, Rule::MaxLength));
                    }
                    None => {
                        self.find(path, Rule::Base64, || {
                            "expected bytes, found text that is not base64".to_owned()
                        });
                    }
                }
            }
            (Schema::Blob { accept, max_size }, Value::Map(map)) => {
                self.blob(accept.as_deref(), *max_size, map, path);
            }
            (Schema::List { items, length }, Value::List(found)) => {
                self.length(path, *length, found.len(), "items", (Rule::MinLength, Rule::MaxLength));
                for (index, item) in found.iter().enumerate() {
                    if self.judgement.is_settled() {
                        break;
                    }
                    self.value(*items, item, &Path::Item(path, index), depth + 1);
                }
            }
            (Schema::Object { members }, Value::Map(map)) => self.object(members, map, path, depth),
            (Schema::Union { variants, closed }, Value::Map(map)) => {
                self.union(variants, *closed, map, value, path, depth);
            }
            (Schema::Unknown, Value::Map(map)) => {
                if is_blob(map) {
                    self.find(path, Rule::WrongType, || "expected an object, found a blob".to_owned());
                }
            }
            (Schema::Token(name), Value::Text(text)) => {
                if **name != **text {
                    self.find(path, Rule::Token, || format!("expected {name}, found {}", excerpt(text)));
                }
            }
            (schema, other) => self.wrong_type(path, expectation(schema), other),
        }
    }

    fn object(&mut self, members: &[Member], map: &Map<'_>, path: &Path<'_>, depth: usize) {
        // Both sides are in canonical order: one walk meets every member without a search.
        let mut entries = map.iter();
        let mut entry = entries.next();
        for member in members {
            while let Some((name, _)) = entry
                && canonical_order(name.as_bytes(), member.name.as_bytes()).is_lt()
            {
                entry = entries.next();
            }
            match entry {
                Some((name, Value::Null)) if *name == *member.name && member.nullable => {}
                Some((name, value)) if *name == *member.name => {
                    self.value(member.schema, value, &Path::Member(path, name), depth + 1);
                }
                _ if member.required => {
                    self.find(&Path::Member(path, &member.name), Rule::Missing, || {
                        "expected a required member, found none".to_owned()
                    });
                }
                _ => {}
            }
        }
    }

    fn union(
        &mut self,
        variants: &[(Box<str>, SchemaId)],
        closed: bool,
        map: &Map<'_>,
        value: &Value<'_>,
        path: &Path<'_>,
        depth: usize,
    ) {
        let name = match map.get("$type") {
            Some(Value::Text(name)) => *name,
            Some(other) => return self.wrong_type(&Path::Member(path, "$type"), "text", other),
            None => {
                return self.find(&Path::Member(path, "$type"), Rule::Missing, || {
                    "expected the $type of a union's member, found none".to_owned()
                });
            }
        };
        match variants.iter().find(|(variant, _)| **variant == *name) {
            Some((_, schema)) => self.value(*schema, value, path, depth),
            None if closed => self.find(path, Rule::ClosedUnion, || {
                format!("expected a type of the closed union, found {}", excerpt(name))
            }),
            None => {}
        }
    }

    fn text(&mut self, schema: &Text, text: &str, path: &Path<'_>) {
        let Text { format, length, graphemes, constant, choices } = schema;
        if let Some(constant) = constant
            && **constant != *text
        {
            self.find(path, Rule::Const, || format!("expected {constant}, found {}", excerpt(text)));
        }
        if let Some(choices) = choices
            && !choices.iter().any(|choice| **choice == *text)
        {
            self.find(path, Rule::Enum, || format!("expected one of {choices:?}, found {}", excerpt(text)));
        }
        self.length(path, *length, text.len(), "bytes", (Rule::MinLength, Rule::MaxLength));
        // No character as people count them takes less than a byte: short enough text needs no counting.
        let within = graphemes.least.is_none() && graphemes.most.is_none_or(|most| text.len() as u64 <= most);
        if !within {
            let found = text.graphemes(true).count();
            self.length(path, *graphemes, found, "graphemes", (Rule::MinGraphemes, Rule::MaxGraphemes));
        }
        if let Some(format) = format
            && !format.admits(text)
        {
            self.find(path, Rule::Format, || {
                format!("expected the format {}, found {}", format.name(), excerpt(text))
            });
        }
    }

    fn blob(&mut self, accept: Option<&[Box<str>]>, max_size: Option<u64>, map: &Map<'_>, path: &Path<'_>) {
        if !is_blob(map) {
            return self.find(path, Rule::WrongType, || "expected a blob, found another object".to_owned());
        }
        match map.get("ref") {
            Some(Value::Link(_)) => {}
            other => self.blob_member(path, "ref", "a link", other),
        }
        match map.get("mimeType") {
            Some(Value::Text(found)) => {
                if let Some(accept) = accept
                    && !accept.iter().any(|pattern| accepts(pattern, found))
                {
                    self.find(&Path::Member(path, "mimeType"), Rule::Accept, || {
                        format!("expected one of {accept:?}, found {}", excerpt(found))
                    });
                }
            }
            other => self.blob_member(path, "mimeType", "text", other),
        }
        match map.get("size") {
            Some(Value::Integer(found)) => {
                let path = &Path::Member(path, "size");
                self.range(path, *found, Some(0), None);
                if let Some(most) = max_size
                    && u64::try_from(*found).is_ok_and(|found| found > most)
                {
                    self.find(path, Rule::MaxSize, || {
                        format!("expected at most {most} bytes, found {found}")
                    });
                }
            }
            other => self.blob_member(path, "size", "an integer", other),
        }
    }

    fn blob_member(&mut self, path: &Path<'_>, name: &str, expected: &str, found: Option<&Value<'_>>) {
        let path = &Path::Member(path, name);
        match found {
            Some(found) => self.wrong_type(path, expected, found),
            None => self.find(path, Rule::Missing, || "expected a required member, found none".to_owned()),
        }
    }

    fn range(&mut self, path: &Path<'_>, found: i64, least: Option<i64>, most: Option<i64>) {
        if let Some(least) = least
            && found < least
        {
            self.find(path, Rule::Minimum, || format!("expected at least {least}, found {found}"));
        }
        if let Some(most) = most
            && found > most
        {
            self.find(path, Rule::Maximum, || format!("expected at most {most}, found {found}"));
        }
    }

    fn length(
        &mut self,
        path: &Path<'_>,
        bounds: Bounds,
        found: usize,
        unit: &str,
        (short, long): (Rule, Rule),
    ) {
        let found = found as u64;
        if let Some(least) = bounds.least
            && found < least
        {
            self.find(path, short, || format!("expected at least {least} {unit}, found {found}"));
        }
        if let Some(most) = bounds.most
            && found > most
        {
            self.find(path, long, || format!("expected at most {most} {unit}, found {found}"));
        }
    }
}

fn is_blob(map: &Map<'_>) -> bool {
    map.text("$type") == Some("blob")
}

/// Whether a media type matches a pattern such as `image/png`, `image/*` or `*/*`.
fn accepts(pattern: &str, media_type: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some("*/") => media_type.contains('/'),
        Some(prefix) if prefix.ends_with('/') => media_type.starts_with(prefix),
        _ => pattern == media_type,
    }
}

fn expectation(schema: &Schema) -> &'static str {
    match schema {
        Schema::Null => "null",
        Schema::Boolean { .. } => "a boolean",
        Schema::Integer { .. } => "an integer",
        Schema::Text(_) | Schema::Token(_) => "text",
        Schema::Bytes { .. } => "bytes",
        Schema::Link => "a link",
        Schema::Blob { .. } => "a blob",
        Schema::List { .. } => "a list",
        Schema::Object { .. } | Schema::Union { .. } | Schema::Unknown => "an object",
    }
}

fn kind(value: &Value<'_>) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Integer(_) => "an integer",
        Value::Text(_) => "text",
        Value::Bytes(_) => "bytes",
        Value::Link(_) => "a link",
        Value::List(_) => "a list",
        Value::Map(_) => "an object",
    }
}

/// The beginning of an author's text.
fn excerpt(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_EXCERPT)).unwrap_or(text)
}
