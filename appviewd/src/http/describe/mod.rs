//! The methods as their lexicons describe them: an OpenAPI document for programs, a page for people.
//!
//! The names of the methods that are answered enter, and the lexicons that this program is built with; two texts leave, made
//! once. Whatever they say stands in a lexicon, so that neither can say anything else.

mod openapi;
mod page;

use std::sync::Arc;

use appview_core::record::Catalog;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value};

use crate::pages::Sheet;

/// Errors that any method may answer with.
const ALWAYS: [(&str, &str); 3] = [
    ("RateLimitExceeded", "Too many requests from this address. `Retry-After` tells when to go on."),
    ("NotEnoughResources", "Too many queries at once, or this one took too long. Try again in a moment."),
    ("InternalServerError", "Something went wrong here."),
];

/// What is told of the methods.
#[derive(Debug)]
pub(super) struct Description {
    openapi: String,
    page: Arc<Sheet>,
}

/// One method, by its lexicon.
struct Method<'l> {
    name: &'l str,
    description: &'l str,
    parameters: Vec<Parameter<'l>>,
    /// The schema of its output.
    output: Option<&'l Value>,
    /// Names and what they mean.
    errors: Vec<(&'l str, &'l str)>,
}

/// One parameter of a method.
struct Parameter<'l> {
    name: &'l str,
    is_required: bool,
    schema: &'l Value,
}

impl Description {
    /// Describes the methods of these names, served at `origin`. A method without a lexicon is not described.
    pub(super) fn of(names: &[&str], origin: &str) -> Self {
        let documents = Catalog::builtin_documents().iter();
        let documents: Vec<Value> = documents.filter_map(|text| serde_json::from_str(text).ok()).collect();
        let by_name = |name: &&str| documents.iter().find_map(|document| Method::read(document, name));
        let methods: Vec<Method<'_>> = names.iter().filter_map(by_name).collect();
        let page = Arc::new(page::write(&methods, origin));
        Self { openapi: openapi::write(&methods, &documents, origin), page }
    }

    /// `/openapi.json`
    pub(super) fn openapi(&self) -> Response {
        let json = HeaderValue::from_static("application/json");
        ([(header::CONTENT_TYPE, json)], self.openapi.clone()).into_response()
    }

    /// What `/api` tells.
    pub(super) fn page(&self) -> Arc<Sheet> {
        Arc::clone(&self.page)
    }
}

impl<'l> Method<'l> {
    fn read(document: &'l Value, name: &str) -> Option<Self> {
        let id = document.get("id")?.as_str().filter(|id| *id == name)?;
        let main = document.pointer("/defs/main")?;
        let given = main.get("parameters");
        let required = given.and_then(|given| given.get("required")).and_then(Value::as_array);
        let is_required =
            |name: &str| required.is_some_and(|names| names.iter().any(|required| required == name));
        let properties = given.and_then(|given| given.get("properties")).and_then(Value::as_object);
        let parameters = properties.into_iter().flatten().map(|(name, schema)| Parameter {
            name,
            is_required: is_required(name),
            schema,
        });
        let errors = main.get("errors").and_then(Value::as_array).into_iter().flatten();
        Some(Self {
            name: id,
            description: described(main),
            parameters: parameters.collect(),
            output: main.pointer("/output/schema"),
            errors: errors
                .filter_map(|error| Some((error.get("name")?.as_str()?, described(error))))
                .chain(ALWAYS)
                .collect(),
        })
    }

    /// The part of its name that it shares with its family.
    fn family(&self) -> &'l str {
        self.name.rsplit_once('.').map_or(self.name, |(family, _)| family)
    }

    /// A path and query that is answered, with something in the place of what must be given.
    fn example(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for parameter in self.parameters.iter().filter(|parameter| parameter.is_required) {
            query.append_pair(parameter.name, parameter.example());
        }
        let query = query.finish();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("/xrpc/{}{mark}{query}", self.name)
    }
}

impl Parameter<'_> {
    fn example(&self) -> &'static str {
        match self.schema.get("format").and_then(Value::as_str) {
            Some("did") => "did:web:forge.example",
            Some("at-uri") => "at://did:web:forge.example/dev.cocore.compute.receipt/3jzfcijpj2z2a",
            Some("nsid") => "dev.cocore.compute.receipt",
            Some("datetime") => "2026-01-01T00:00:00Z",
            _ => "text",
        }
    }
}

/// The members of an object of a lexicon, if it has any.
fn members<'l>(schema: &'l Value, name: &str) -> Option<&'l Map<String, Value>> {
    schema.get(name).and_then(Value::as_object)
}

fn described(definition: &Value) -> &str {
    definition.get("description").and_then(Value::as_str).unwrap_or_default()
}
