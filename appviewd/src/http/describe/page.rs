//! Lexicons as a page for people.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Method, Parameter, described};

/// Writes the page.
pub(super) fn write(methods: &[Method<'_>], origin: &str) -> String {
    let mut out = String::from(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Methods of this AppView</title>\n<link rel=\"stylesheet\" href=\"/api.css\">\n</head>\n<body>\n<main>\n\
         <h1>Methods of this AppView</h1>\n\
         <p>Verified records of a federated compute co-op. Every method is a <code>GET</code> request and open to everybody, \
         pages of other origins included. Answers are JSON, with an <code>ETag</code>; an error is \
         <code>{\"error\": name, \"message\": text}</code>. Lists go on where <code>cursor</code> says, and end where there is \
         none. Changes are told at <code>/subscribe</code>, a WebSocket for clients of Jetstream. For programs there is an \
         <a href=\"/openapi.json\">OpenAPI document</a>.</p>\n",
    );
    contents(&mut out, methods);
    for method in methods {
        section(&mut out, method, origin);
    }
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn contents(out: &mut String, methods: &[Method<'_>]) {
    out.push_str("<nav aria-label=\"Methods\">\n");
    let mut family = "";
    for method in methods {
        if method.family() != family {
            if !family.is_empty() {
                out.push_str("</ul>\n");
            }
            family = method.family();
            push(out, format_args!("<h2>{}</h2>\n<ul>\n", escaped(family)));
        }
        let (name, short) = (escaped(method.name), method.name.rsplit('.').next().unwrap_or_default());
        push(out, format_args!("<li><a href=\"#{name}\">{}</a></li>\n", escaped(short)));
    }
    out.push_str("</ul>\n</nav>\n");
}

fn section(out: &mut String, method: &Method<'_>, origin: &str) {
    let name = escaped(method.name);
    push(out, format_args!("<section id=\"{name}\">\n<h2><code>{name}</code></h2>\n"));
    push(out, format_args!("<p>{}</p>\n", prose(method.description)));
    if !method.parameters.is_empty() {
        out.push_str(
            "<table>\n<caption>Parameters</caption>\n<thead><tr><th scope=\"col\">Name</th><th scope=\"col\">Type</th>\
             <th scope=\"col\">Meaning</th></tr></thead>\n<tbody>\n",
        );
        for parameter in &method.parameters {
            row(out, parameter);
        }
        out.push_str("</tbody>\n</table>\n");
    }
    out.push_str("<h3>Errors</h3>\n<dl>\n");
    for (name, meaning) in &method.errors {
        push(out, format_args!("<dt><code>{}</code></dt><dd>{}</dd>\n", escaped(name), prose(meaning)));
    }
    out.push_str("</dl>\n<h3>Example</h3>\n");
    let example = escaped(&method.example());
    push(out, format_args!("<pre><code>curl '{}{example}'</code></pre>\n", escaped(origin)));
    push(out, format_args!("<p><a href=\"{example}\">Ask this</a></p>\n</section>\n"));
}

fn row(out: &mut String, parameter: &Parameter<'_>) {
    let schema = parameter.schema;
    let mut kind =
        schema.get("format").or(schema.get("type")).and_then(Value::as_str).unwrap_or_default().to_owned();
    if let (Some(from), Some(to)) = (schema.get("minimum"), schema.get("maximum")) {
        push(&mut kind, format_args!(", {from} to {to}"));
    }
    if let Some(words) = schema.get("enum").or(schema.get("knownValues")).and_then(Value::as_array) {
        let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
        push(&mut kind, format_args!(": {}", words.join(", ")));
    }
    if let Some(default) = schema.get("default") {
        let default = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
        push(&mut kind, format_args!("; {default} if left out"));
    }
    if parameter.is_required {
        kind.push_str("; required");
    }
    push(
        out,
        format_args!(
            "<tr><th scope=\"row\"><code>{}</code></th><td>{}</td><td>{}</td></tr>\n",
            escaped(parameter.name),
            escaped(&kind),
            prose(described(schema))
        ),
    );
}

/// Writing to a string does not fail.
fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}

/// Text of a lexicon: what stands in code marks is code.
fn prose(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, part) in text.split('`').enumerate() {
        if at > 0 {
            out.push_str(if at % 2 == 1 { "<code>" } else { "</code>" });
        }
        out.push_str(&escaped(part));
    }
    out
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
