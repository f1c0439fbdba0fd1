//! From lexicon documents to compiled schemas.
//!
//! The same code runs twice: once over every definition without following references, to check their form, and once
//! from each record type onwards, following them.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map as JsonMap, Value as Json};

use super::LexiconError;
use super::format::Format;
use super::schema::{Bounds, KeyRule, Member, Record, Schema, SchemaId, Text};
use crate::block::cbor::canonical_order;
use crate::syntax::{is_nsid, is_record_key};

type Object = JsonMap<String, Json>;
pub(super) type Result<T> = std::result::Result<T, LexiconError>;

/// Deepest chain of members and references compiled, so that no set of documents can exhaust the stack.
const MAX_DEPTH: usize = 128;
/// What stands for a reference's target while references are not followed.
const NOT_FOLLOWED: SchemaId = SchemaId(0);

pub(super) struct Compiler<'d> {
    documents: &'d BTreeMap<String, Json>,
    schemas: Vec<Schema>,
    /// Full names of definitions that have a place in `schemas`.
    defined: HashMap<String, SchemaId>,
    follow: bool,
    /// The document being read, for references that name none.
    pub(super) document: &'d str,
    /// Where in the documents, for errors.
    pub(super) place: Vec<String>,
}

impl<'d> Compiler<'d> {
    pub(super) fn new(documents: &'d BTreeMap<String, Json>) -> Self {
        Self {
            documents,
            schemas: Vec::new(),
            defined: HashMap::new(),
            follow: true,
            document: "",
            place: Vec::new(),
        }
    }

    /// One that follows no references, to check form only.
    pub(super) fn checking(documents: &'d BTreeMap<String, Json>) -> Self {
        Self { follow: false, ..Self::new(documents) }
    }

    pub(super) fn finish(self) -> Vec<Schema> {
        self.schemas
    }

    /// Compiles the record type a document defines, if it defines one.
    pub(super) fn record(&mut self, id: &'d str) -> Result<Option<Record>> {
        let Some(main) = self.find(id, "main").filter(|main| type_of(main) == Some("record")) else {
            return Ok(None);
        };
        self.place = vec![id.to_owned()];
        let main = self.object(main)?;
        let key = self.key_rule(main)?;
        let schema = self.definition(id, "main")?;
        Ok(Some(Record { key, schema }))
    }

    /// The compiled form of a definition; compiled now unless it has been before.
    fn definition(&mut self, id: &str, name: &str) -> Result<SchemaId> {
        let full_name = full_name(id, name);
        if let Some(known) = self.defined.get(&full_name) {
            return Ok(*known);
        }
        let found = self.documents.get_key_value(id).zip(self.find(id, name));
        let Some(((id, _), definition)) = found else {
            return Err(LexiconError::Dangling { place: self.place.join("/"), reference: full_name });
        };
        // The place is taken before the schema is known, so that a definition may refer to itself.
        let place = self.push(Schema::Unknown)?;
        self.defined.insert(full_name.clone(), place);
        let outer = std::mem::replace(&mut self.document, id);
        let schema = self.within(&full_name, |compiler| match type_of(definition) {
            Some("record") => {
                let definition = compiler.object(definition)?;
                compiler.member(definition, "record", Compiler::object_schema)
            }
            Some("token") => Ok(Schema::Token(full_name.as_str().into())),
            _ => compiler.schema(definition),
        })?;
        self.document = outer;
        if let Some(slot) = self.schemas.get_mut(place.0 as usize) {
            *slot = schema;
        }
        Ok(place)
    }

    fn find(&self, id: &str, name: &str) -> Option<&'d Json> {
        self.documents.get(id)?.get("defs")?.get(name)
    }

    fn push(&mut self, schema: Schema) -> Result<SchemaId> {
        let Ok(id) = u32::try_from(self.schemas.len()) else {
            return self.expected("fewer schemas");
        };
        self.schemas.push(schema);
        Ok(SchemaId(id))
    }

    pub(super) fn key_rule(&mut self, record: &'d Object) -> Result<KeyRule> {
        match self.required_text(record, "key")? {
            "any" => Ok(KeyRule::Any),
            "tid" => Ok(KeyRule::Tid),
            "nsid" => Ok(KeyRule::Nsid),
            other => match other.strip_prefix("literal:") {
                Some(key) if is_record_key(key) => Ok(KeyRule::Literal(key.into())),
                _ => self.within("key", |compiler| {
                    compiler.expected("any, tid, nsid or literal: with a record key")
                }),
            },
        }
    }

    // Schemas.

    fn add(&mut self, json: &'d Json) -> Result<SchemaId> {
        if type_of(json) == Some("ref") {
            let reference = self.object(json)?;
            let reference = self.required_text(reference, "ref")?;
            return self.reference(reference).map(|(_, target)| target);
        }
        let schema = self.schema(json)?;
        self.push(schema)
    }

    pub(super) fn schema(&mut self, json: &'d Json) -> Result<Schema> {
        let object = self.object(json)?;
        self.text(object, "description")?;
        Ok(match self.required_text(object, "type")? {
            "null" => Schema::Null,
            "boolean" => {
                self.boolean(object, "default")?;
                Schema::Boolean { constant: self.boolean(object, "const")? }
            }
            "integer" => {
                self.integer(object, "default")?;
                let (least, most) = (self.integer(object, "minimum")?, self.integer(object, "maximum")?);
                if least.zip(most).is_some_and(|(least, most)| least > most) {
                    return self.expected("a minimum not above the maximum");
                }
                let choices = self.list_of(object, "enum", |json| json.as_i64(), "a list of integers")?;
                Schema::Integer { constant: self.integer(object, "const")?, choices, least, most }
            }
            "string" => Schema::Text(Box::new(self.text_schema(object)?)),
            "bytes" => Schema::Bytes { length: self.bounds(object, "minLength", "maxLength")? },
            "cid-link" => Schema::Link,
            "blob" => Schema::Blob {
                accept: self.list_of(object, "accept", boxed_text, "a list of media types")?,
                max_size: self.count(object, "maxSize")?,
            },
            "array" => Schema::List {
                length: self.bounds(object, "minLength", "maxLength")?,
                items: self.member(object, "items", Self::add)?,
            },
            "object" => self.object_schema(json)?,
            "union" => self.union(object)?,
            "unknown" => Schema::Unknown,
            // A reference is never a schema of its own: `add` has followed it.
            _ => return self.expected("a type of the lexicon language that can stand here"),
        })
    }

    fn text_schema(&mut self, object: &'d Object) -> Result<Text> {
        let format = match self.text(object, "format")? {
            None => None,
            Some(name) => match Format::from_name(name) {
                Some(format) => Some(format),
                None => {
                    return self.within("format", |compiler| compiler.expected("a string format"));
                }
            },
        };
        self.text(object, "default")?;
        self.list_of(object, "knownValues", boxed_text, "a list of strings")?;
        Ok(Text {
            format,
            length: self.bounds(object, "minLength", "maxLength")?,
            graphemes: self.bounds(object, "minGraphemes", "maxGraphemes")?,
            constant: self.text(object, "const")?.map(Box::from),
            choices: self.list_of(object, "enum", boxed_text, "a list of strings")?,
        })
    }

    pub(super) fn object_schema(&mut self, json: &'d Json) -> Result<Schema> {
        if type_of(json) != Some("object") {
            return self.expected("the type object");
        }
        let object = self.object(json)?;
        Ok(Schema::Object { members: self.members(object)? })
    }

    pub(super) fn members(&mut self, object: &'d Object) -> Result<Box<[Member]>> {
        let required =
            self.list_of(object, "required", boxed_text, "a list of member names")?.unwrap_or_default();
        let nullable =
            self.list_of(object, "nullable", boxed_text, "a list of member names")?.unwrap_or_default();
        let mut members = Vec::new();
        self.optional(object, "properties", |compiler, properties| {
            for (name, member) in compiler.object(properties)? {
                members.push(Member {
                    name: name.as_str().into(),
                    schema: compiler.within(name, |compiler| compiler.add(member))?,
                    required: required.iter().any(|listed| **listed == **name),
                    nullable: nullable.iter().any(|listed| **listed == **name),
                });
            }
            Ok(())
        })?;
        if required.iter().chain(&nullable).any(|listed| !members.iter().any(|member| member.name == *listed))
        {
            return self.expected("required and nullable to name members that properties define");
        }
        members.sort_by(|a, b| canonical_order(a.name.as_bytes(), b.name.as_bytes()));
        Ok(members.into())
    }

    fn union(&mut self, object: &'d Object) -> Result<Schema> {
        let closed = self.boolean(object, "closed")?.unwrap_or(false);
        let mut variants = Vec::new();
        self.member(object, "refs", |compiler, refs| {
            compiler.each(refs, |compiler, reference| match reference.as_str() {
                Some(reference) => {
                    let (full_name, target) = compiler.reference(reference)?;
                    variants.push((full_name.into(), target));
                    Ok(())
                }
                None => compiler.expected("a reference"),
            })
        })?;
        Ok(Schema::Union { variants: variants.into(), closed })
    }

    /// Follows `#name`, `nsid` or `nsid#name`; gives the full name and the target.
    fn reference(&mut self, reference: &'d str) -> Result<(String, SchemaId)> {
        let (id, name) = reference.split_once('#').unwrap_or((reference, "main"));
        let id = if id.is_empty() { self.document } else { id };
        if name.is_empty() || !is_nsid(id) {
            return self.expected("a reference: an nsid, # and a name, or both");
        }
        // A document of the set that lacks the name is a slip wherever it is referred to.
        let dangling = self.documents.contains_key(id) && self.find(id, name).is_none();
        if dangling {
            return Err(LexiconError::Dangling {
                place: self.place.join("/"),
                reference: full_name(id, name),
            });
        }
        let target = if self.follow { self.definition(id, name)? } else { NOT_FOLLOWED };
        Ok((full_name(id, name), target))
    }

    // Reading members of a JSON object, each with an error that names the place.

    pub(super) fn expected<T>(&self, expected: &'static str) -> Result<T> {
        Err(LexiconError::Definition { place: self.place.join("/"), expected })
    }

    pub(super) fn within<T>(&mut self, name: &str, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.place.len() >= MAX_DEPTH {
            return self.expected("less nesting");
        }
        self.place.push(name.to_owned());
        let value = read(self)?;
        self.place.pop();
        Ok(value)
    }

    /// Reads a member that must be there.
    pub(super) fn member<T>(
        &mut self,
        object: &'d Object,
        name: &str,
        read: impl FnOnce(&mut Self, &'d Json) -> Result<T>,
    ) -> Result<T> {
        self.within(name, |compiler| match object.get(name) {
            Some(json) => read(compiler, json),
            None => compiler.expected("this member to be there"),
        })
    }

    pub(super) fn optional(
        &mut self,
        object: &'d Object,
        name: &str,
        read: impl FnOnce(&mut Self, &'d Json) -> Result<()>,
    ) -> Result<()> {
        match object.get(name) {
            Some(json) => self.within(name, |compiler| read(compiler, json)),
            None => Ok(()),
        }
    }

    pub(super) fn each(
        &mut self,
        json: &'d Json,
        mut read: impl FnMut(&mut Self, &'d Json) -> Result<()>,
    ) -> Result<()> {
        match json.as_array() {
            Some(items) => items.iter().try_for_each(|item| read(self, item)),
            None => self.expected("a list"),
        }
    }

    pub(super) fn object(&mut self, json: &'d Json) -> Result<&'d Object> {
        json.as_object().map_or_else(|| self.expected("an object"), Ok)
    }

    fn scalar<T>(
        &mut self,
        object: &'d Object,
        name: &str,
        read: impl FnOnce(&'d Json) -> Option<T>,
        expected: &'static str,
    ) -> Result<Option<T>> {
        match object.get(name) {
            None => Ok(None),
            Some(json) => match read(json) {
                Some(value) => Ok(Some(value)),
                None => self.within(name, |compiler| compiler.expected(expected)),
            },
        }
    }

    pub(super) fn text(&mut self, object: &'d Object, name: &str) -> Result<Option<&'d str>> {
        self.scalar(object, name, Json::as_str, "a string")
    }

    pub(super) fn required_text(&mut self, object: &'d Object, name: &str) -> Result<&'d str> {
        match self.text(object, name)? {
            Some(text) => Ok(text),
            None => self.within(name, |compiler| compiler.expected("a string")),
        }
    }

    fn boolean(&mut self, object: &'d Object, name: &str) -> Result<Option<bool>> {
        self.scalar(object, name, Json::as_bool, "a boolean")
    }

    fn integer(&mut self, object: &'d Object, name: &str) -> Result<Option<i64>> {
        self.scalar(object, name, Json::as_i64, "an integer")
    }

    fn count(&mut self, object: &'d Object, name: &str) -> Result<Option<u64>> {
        self.scalar(object, name, Json::as_u64, "an integer not below zero")
    }

    fn bounds(&mut self, object: &'d Object, least: &str, most: &str) -> Result<Bounds> {
        let bounds = Bounds { least: self.count(object, least)?, most: self.count(object, most)? };
        if bounds.least.zip(bounds.most).is_some_and(|(least, most)| least > most) {
            return self.expected("a minimum length not above the maximum length");
        }
        Ok(bounds)
    }

    fn list_of<T>(
        &mut self,
        object: &'d Object,
        name: &str,
        read: impl Fn(&'d Json) -> Option<T>,
        expected: &'static str,
    ) -> Result<Option<Box<[T]>>> {
        self.scalar(object, name, |json| json.as_array()?.iter().map(read).collect(), expected)
    }
}

pub(super) fn type_of(json: &Json) -> Option<&str> {
    json.get("type").and_then(Json::as_str)
}

fn boxed_text(json: &Json) -> Option<Box<str>> {
    json.as_str().map(Box::from)
}

/// A definition's name as `$type` spells it: the main one goes by the NSID alone.
fn full_name(id: &str, name: &str) -> String {
    if name == "main" { id.to_owned() } else { format!("{id}#{name}") }
}
