//! Lexicons as an [OpenAPI](https://spec.openapis.org/oas/v3.1.0) document.
//!
//! What OpenAPI has no word for is left out: lengths, which lexicons count in bytes and graphemes, and unions that are open.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Method, described, members};

/// Writes the document.
pub(super) fn write(methods: &[Method<'_>], documents: &[Value], origin: &str) -> String {
    let mut schemas = Schemas { documents, written: BTreeMap::new() };
    let mut paths = Map::new();
    for method in methods {
        paths.insert(format!("/xrpc/{}", method.name), json!({ "get": schemas.operation(method) }));
    }
    let error = json!({
        "type": "object",
        "required": ["error", "message"],
        "properties": {
            "error": {"type": "string", "description": "Stable name of the error."},
            "message": {"type": "string", "description": "Explanation for a person."},
        },
    });
    let mut components: Map<String, Value> = schemas.written.into_iter().collect();
    components.insert("error".to_owned(), error);
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
        "components": {"schemas": components},
    })
    .to_string()
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
        let names: Vec<String> =
            method.errors.iter().map(|(name, meaning)| format!("`{name}`: {meaning}")).collect();
        json!({
            "operationId": method.name,
            "tags": [method.family()],
            "description": method.description,
            "parameters": parameters,
            "responses": {
                "200": {
                    "description": "The answer.",
                    "content": {"application/json": {"schema": output}},
                },
                "default": {
                    "description": names.join("\n\n"),
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/error"}}},
                },
            },
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
