//! Lexicons as a page for people: each method with a form that asks it.

use maud::{Markup, html};
use serde_json::Value;

use super::{Method, Parameter, described};
use crate::pages::{Section, Sheet};

/// Writes the page.
pub(super) fn write(methods: &[Method<'_>], origin: &str) -> Sheet {
    let mut families: Vec<&str> = Vec::new();
    for method in methods {
        if !families.contains(&method.family()) {
            families.push(method.family());
        }
    }
    let main = html! {
        h1 { "API" }
        p.lede {
            "Verified records of a federated compute co-op, over XRPC. These " (methods.len()) " methods are told from the "
            "lexicons that this service is built with; each is open to everybody, and each form sends a real request."
        }
        section aria-labelledby="h-short" {
            h2 #h-short { "In short" }
            pre tabindex="0" aria-label="Example" {
                code data-copy="example" { "curl '" (origin) "/xrpc/dev.cocore.compute.listReceipts?limit=2'" }
            }
            ul.dots.small.gap {
                li { "Lists end with a " code { "cursor" } " while there is more. One of this service works at another." }
                li {
                    "An error is " code { "{\"error\": name, \"message\": text}" } " with a status that fits. Names are "
                    "stable, texts may change."
                }
                li { "Answers have an " code { "ETag" } "; pages of any origin may read them." }
                li {
                    "Changes are told at " code { "/subscribe" } ", a WebSocket for clients of Jetstream. For programs there "
                    "is an " a href="/openapi.json" { "OpenAPI document" } "."
                }
            }
        }
        @for family in families {
            section aria-labelledby=(family) {
                h2 id=(family) { code { (family) } }
                div.gap {
                    @for method in methods.iter().filter(|method| method.family() == family) { (entry(method, origin)) }
                }
            }
        }
    };
    Sheet { title: "API".to_owned(), section: Section::Api, every: None, main }
}

fn entry(method: &Method<'_>, origin: &str) -> Markup {
    let short = method.name.rsplit('.').next().unwrap_or_default();
    html! {
        details.method id=(method.name) {
            summary {
                code { (short) }
                " " span.small.soft { (prose(first_sentence(method.description))) }
            }
            div {
                @if first_sentence(method.description) != method.description { p { (prose(method.description)) } }
                pre tabindex="0" aria-label={ "Example of " (short) } {
                    code data-copy="example" { "curl '" (origin) (method.example()) "'" }
                }
            }
            form method="get" action={ "/xrpc/" (method.name) } {
                @for parameter in &method.parameters { (field(method.name, parameter)) }
                p { button.btn.quiet type="submit" { "Ask " (short) } }
            }
            div {
                table {
                    caption { "Errors" }
                    tbody {
                        @for (name, meaning) in &method.errors {
                            tr { th scope="row" { code { (name) } } td { (prose(meaning)) } }
                        }
                    }
                }
            }
        }
    }
}

fn field(method: &str, parameter: &Parameter<'_>) -> Markup {
    let id = format!("{method}-{}", parameter.name);
    let hint = format!("{id}-hint");
    let kind = kind(parameter);
    let words = parameter.schema.get("enum").and_then(Value::as_array);
    let is_flag = parameter.schema.get("type").and_then(Value::as_str) == Some("boolean");
    let words: Option<Vec<&str>> = match words {
        Some(words) => Some(words.iter().filter_map(Value::as_str).collect()),
        None if is_flag => Some(vec!["true"]),
        None => None,
    };
    html! {
        p {
            label for=(id) { code { (parameter.name) } " " span.soft { (kind) } }
            @match words {
                Some(words) => {
                    select.mono id=(id) name=(parameter.name) aria-describedby=(hint) {
                        option value="" { "not given" }
                        @for word in words { option { (word) } }
                    }
                }
                None => {
                    input.mono id=(id) name=(parameter.name) type="text" required[parameter.is_required]
                        aria-describedby=(hint) autocapitalize="none" spellcheck="false";
                }
            }
            span.hint id=(hint) { (prose(described(parameter.schema))) }
        }
    }
}

/// What a parameter may be, in a few words.
fn kind(parameter: &Parameter<'_>) -> String {
    let schema = parameter.schema;
    let mut kind =
        schema.get("format").or(schema.get("type")).and_then(Value::as_str).unwrap_or_default().to_owned();
    if let (Some(from), Some(to)) = (schema.get("minimum"), schema.get("maximum")) {
        kind.push_str(&format!(", {from} to {to}"));
    }
    if let Some(words) = schema.get("knownValues").and_then(Value::as_array) {
        let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
        kind.push_str(&format!(": {}", words.join(", ")));
    }
    if let Some(default) = schema.get("default") {
        let default = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
        kind.push_str(&format!("; {default} if left out"));
    }
    if parameter.is_required {
        kind.push_str("; required");
    }
    kind
}

fn first_sentence(text: &str) -> &str {
    text.find(". ").and_then(|end| text.get(..=end)).unwrap_or(text)
}

/// Text of a lexicon: what stands in code marks is code.
fn prose(text: &str) -> Markup {
    html! {
        @for (at, part) in text.split('`').enumerate() {
            @if at % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}
