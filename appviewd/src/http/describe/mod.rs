//! The methods as their lexicons describe them: an OpenAPI document for programs, a page for people.
//!
//! The names of the methods that are answered enter, and the lexicons that this program is built with; two texts leave.
//! Whatever they say stands in a lexicon, so that neither can say anything else, but for what the page has to be asked for as
//! an example: that is there.

mod example;
mod openapi;
mod page;

use std::sync::Arc;

use appview_core::record::Catalog;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Map, Value};

use super::{App, XrpcError};
use crate::pages::{Foot, Sheet};
use example::Examples;

/// Errors that any method may answer with.
const ALWAYS: [(&str, &str); 4] = [
    ("PayloadTooLarge", "The request has a body, and a long one. No method reads one."),
    ("RateLimitExceeded", "Too many requests from this address. `Retry-After` tells when to go on."),
    ("NotEnoughResources", "Too many queries at once, or this one took too long. Try again in a moment."),
    ("InternalServerError", "Something went wrong here."),
];

/// What is told of the methods.
#[derive(Debug)]
pub(super) struct Description {
    /// Names, and whether answers are given again.
    names: Vec<(&'static str, bool)>,
    documents: Vec<Value>,
    origin: String,
    openapi: String,
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
    /// Whether an answer may be given again.
    is_kept: bool,
}

/// One parameter of a method.
struct Parameter<'l> {
    name: &'l str,
    is_required: bool,
    schema: &'l Value,
}

impl Description {
    /// Describes the methods of these names, with whether their answers are given again, served at `origin`. A method without
    /// a lexicon is not described.
    pub(super) fn of(names: Vec<(&'static str, bool)>, origin: &str) -> Self {
        let documents = Catalog::builtin_documents().iter();
        let documents = documents.filter_map(|text| serde_json::from_str(text).ok()).collect();
        let mut description = Self { names, documents, origin: origin.to_owned(), openapi: String::new() };
        description.openapi =
            openapi::write(&description.methods(), &description.documents, &description.origin);
        description
    }

    fn methods(&self) -> Vec<Method<'_>> {
        let by_name = |(name, is_kept): &(&str, bool)| {
            self.documents.iter().find_map(|document| Method::read(document, name, *is_kept))
        };
        self.names.iter().filter_map(by_name).collect()
    }

    /// `/openapi.json`
    pub(super) fn openapi(&self) -> Response {
        let json = HeaderValue::from_static("application/json");
        ([(header::CONTENT_TYPE, json)], self.openapi.clone()).into_response()
    }
}

/// What `/api` tells, and which index its examples are of.
pub(super) async fn page(app: &App, description: Arc<Description>) -> Result<(Sheet, Foot), XrpcError> {
    app.read(move |index| {
        let examples = Examples::of(index)?;
        let sheet = page::write(&description.methods(), &description.origin, &examples);
        Ok((sheet, Foot::read(index)?))
    })
    .await
}

impl<'l> Method<'l> {
    fn read(document: &'l Value, name: &str, is_kept: bool) -> Option<Self> {
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
            is_kept,
        })
    }

    /// The part of its name that it shares with its family.
    fn family(&self) -> &'l str {
        self.name.rsplit_once('.').map_or(self.name, |(family, _)| family)
    }
}

/// The members of an object of a lexicon, if it has any.
fn members<'l>(schema: &'l Value, name: &str) -> Option<&'l Map<String, Value>> {
    schema.get(name).and_then(Value::as_object)
}

fn described(definition: &Value) -> &str {
    definition.get("description").and_then(Value::as_str).unwrap_or_default()
}
