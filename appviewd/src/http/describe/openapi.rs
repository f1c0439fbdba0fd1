//! Lexicons as an [OpenAPI](https://spec.openapis.org/oas/v3.1.0) document.
//!
//! What OpenAPI has no word for is left out: lengths, which lexicons count in bytes and graphemes, and unions that are open.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::error::status_of;
use super::{Method, described, members};

/// Writes the document.
pub(super) fn write(methods: &[Method<'_>], documents: &[Value], origin: &str) -> String {
    let mut schemas = Schemas { documents, written: BTreeMap::new() };
    let mut paths = Map::new();
    for method in methods {
        paths.insert(format!("/xrpc/{}", method.name), json!({ "get": schemas.operation(method) }));
    }
    let components: Map<String, Value> = schemas.written.into_iter().collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "appviewd",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Verified records of a federated compute co-op, over XRPC. All methods are open to everybody.",
            "license": {"name": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": origin}],
        "paths": paths,
        "components": {"schemas": components, "headers": headers()},
    })
    .to_string()
}

/// The errors of a method, by the status that they come with.
fn by_status<'l>(method: &Method<'l>) -> BTreeMap<u16, Vec<(&'l str, &'l str)>> {
    let mut by_status: BTreeMap<u16, Vec<_>> = BTreeMap::new();
    for (name, meaning) in &method.errors {
        by_status.entry(status_of(name).as_u16()).or_default().push((*name, *meaning));
    }
    by_status
}

/// What comes with one status: one of these errors.
fn error(status: u16, errors: &[(&str, &str)]) -> Value {
    let names: Vec<&str> = errors.iter().map(|(name, _)| *name).collect();
    let meanings: Vec<String> = errors.iter().map(|(name, meaning)| format!("`{name}`: {meaning}")).collect();
    let headers: &[&str] = match status {
        429 => &["Retry-After", "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "X-Request-Id"],
        503 => &["Retry-After", "X-Request-Id"],
        _ => &["X-Request-Id"],
    };
    let schema = json!({
        "type": "object",
        "required": ["error", "message"],
        "properties": {
            "error": {"type": "string", "enum": names, "description": "Stable name of the error."},
            "message": {"type": "string", "description": "Explanation for a person."},
        },
    });
    json!({
        "description": meanings.join("\n\n"),
        "headers": named(headers),
        "content": {"application/json": {"schema": schema}},
    })
}

/// Headers of an answer, by reference.
fn named(names: &[&str]) -> Value {
    let reference =
        |name: &&str| ((*name).to_owned(), json!({"$ref": format!("#/components/headers/{name}")}));
    Value::Object(names.iter().map(reference).collect())
}

/// What headers mean.
fn headers() -> Value {
    let text = |meaning: &str| json!({"description": meaning, "schema": {"type": "string"}});
    let number = |meaning: &str| json!({"description": meaning, "schema": {"type": "integer"}});
    json!({
        "ETag": text("Tells this answer from others; for `If-None-Match`."),
        "Cache-Control": text("For how long the answer may be taken for the present one."),
        "X-Request-Id": text("The request's name, in the log too. One that comes with the request is taken over."),
        "Retry-After": number("After how many seconds to try again."),
        "RateLimit-Limit": number("Requests that this address may make in five minutes."),
        "RateLimit-Remaining": number("How many of them are left."),
        "RateLimit-Reset": number("When all of them are there again, in seconds since 1970."),
    })
}

/// The definitions that methods refer to, written as they are met.
struct Schemas<'l> {
    documents: &'l [Value],
    written: BTreeMap<String, Value>,
}

impl Schemas<'_> {
    fn operation(&mut self, method: &Method<'_>) -> Value {
        let parameters = method.parameters.iter().map(|parameter| {
            let mut schema = self.schema(parameter.schema, method.name);
            if let Some(schema) = schema.as_object_mut() {
                schema.remove("description");
            }
            json!({
                "name": parameter.name,
                "in": "query",
                "required": parameter.is_required,
                "description": described(parameter.schema),
                "schema": schema,
            })
        });
        let parameters: Vec<Value> = parameters.collect();
        let output = method.output.map(|output| self.schema(output, method.name));
        let mut responses = Map::new();
        responses.insert(
            "200".to_owned(),
            json!({
                "description": "The answer.",
                "headers": named(if method.is_kept { &["ETag", "Cache-Control", "X-Request-Id"] } else { &["X-Request-Id"] }),
                "content": {"application/json": {"schema": output}},
            }),
        );
        if method.is_kept {
            let unchanged = "The answer that `If-None-Match` names still holds.";
            let headers = named(&["ETag", "Cache-Control", "X-Request-Id"]);
            responses.insert("304".to_owned(), json!({"description": unchanged, "headers": headers}));
        }
        for (status, errors) in by_status(method) {
            responses.insert(status.to_string(), error(status, &errors));
        }
        json!({
            "operationId": method.name,
            "tags": [method.family()],
            "description": method.description,
            "parameters": parameters,
            "responses": responses,
        })
    }

    /// A lexicon's definition as a schema; `document` is the NSID of where it stands.
    fn schema(&mut self, definition: &Value, document: &str) -> Value {
        let mut schema = Map::new();
        if !described(definition).is_empty() {
            schema.insert("description".to_owned(), described(definition).into());
        }
        for same in ["default", "enum", "minimum", "maximum"] {
            if let Some(value) = definition.get(same) {
                schema.insert(same.to_owned(), value.clone());
            }
        }
        let text = |name: &str| definition.get(name).and_then(Value::as_str);
        match text("type") {
            Some("string") => {
                schema.insert("type".to_owned(), "string".into());
                if let Some(format) = text("format") {
                    let format = if format == "datetime" { "date-time" } else { format };
                    schema.insert("format".to_owned(), format.into());
                }
                if let Some(known) = definition.get("knownValues") {
                    schema.insert("examples".to_owned(), known.clone());
                }
            }
            Some(kind @ ("integer" | "boolean")) => {
                schema.insert("type".to_owned(), kind.into());
            }
            Some("array") => {
                schema.insert("type".to_owned(), "array".into());
                let items = definition.get("items").map(|items| self.schema(items, document));
                schema.insert("items".to_owned(), items.unwrap_or_default());
            }
            Some("object") => {
                schema.insert("type".to_owned(), "object".into());
                if let Some(required) = definition.get("required") {
                    schema.insert("required".to_owned(), required.clone());
                }
                let properties = members(definition, "properties").into_iter().flatten();
                let properties: Map<String, Value> = properties
                    .map(|(name, property)| (name.clone(), self.schema(property, document)))
                    .collect();
                schema.insert("properties".to_owned(), properties.into());
            }
            Some("ref") => {
                schema.insert("$ref".to_owned(), self.reference(text("ref").unwrap_or_default(), document));
            }
            Some("bytes") => {
                schema.insert("type".to_owned(), "object".into());
                schema.insert("properties".to_owned(), json!({"$bytes": {"type": "string"}}));
            }
            // Anything at all.
            _ => {}
        }
        schema.into()
    }

    /// A reference to a definition, which is written if it is met for the first time.
    fn reference(&mut self, reference: &str, document: &str) -> Value {
        let (nsid, name) = reference.split_once('#').unwrap_or((reference, "main"));
        let nsid = if nsid.is_empty() { document } else { nsid };
        let key = format!("{nsid}.{name}");
        if !self.written.contains_key(&key) {
            // It may refer to itself.
            self.written.insert(key.clone(), Value::Null);
            let found =
                self.documents.iter().find(|document| document.get("id").is_some_and(|id| id == nsid));
            let definition = found.and_then(|found| members(found, "defs")?.get(name));
            let schema = definition.map(|definition| self.schema(definition, nsid)).unwrap_or_default();
            self.written.insert(key.clone(), schema);
        }
        format!("#/components/schemas/{key}").into()
    }
}
