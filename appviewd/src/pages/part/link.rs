//! Links within the service. Nothing that a record says is ever a link: it is a part of a path here, encoded.

use form_urlencoded::Serializer;
use maud::{Markup, html};

/// A path with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Href {
    path: String,
    parameters: Vec<(&'static str, String)>,
}

impl Href {
    /// A path of ours.
    pub(crate) fn new(path: impl Into<String>) -> Self {
        Self { path: path.into(), parameters: Vec::new() }
    }

    /// A path of ours that ends in what somebody else named so.
    pub(crate) fn to(path: &str, named: &str) -> Self {
        Self::new(format!("{path}{}", encoded(named)))
    }

    /// The same with a parameter set; without it where there is no value.
    #[must_use]
    pub(crate) fn with(&self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        let mut href = self.clone();
        href.parameters.retain(|(held, _)| *held != name);
        href.parameters.extend(value.map(|value| (name, value.into())));
        href
    }
}

impl std::fmt::Display for Href {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.path)?;
        if self.parameters.is_empty() {
            return Ok(());
        }
        let query = Serializer::new(String::new()).extend_pairs(&self.parameters).finish();
        write!(f, "?{query}")
    }
}

impl maud::Render for Href {
    fn render_to(&self, buffer: &mut String) {
        self.to_string().render_to(buffer);
    }
}

/// Text as a part of a path. A slash stays one: names of models have them.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// One choice that a list offers.
#[derive(Debug, Clone)]
pub(crate) struct Filter {
    /// What is chosen.
    pub(crate) name: &'static str,
    /// What there is to choose: its word, where it leads, and whether it is chosen.
    pub(crate) options: Vec<(String, Href, bool)>,
}

impl Filter {
    /// A choice between values of one parameter; the first value, which is none, is that of a list without it.
    pub(crate) fn of(
        name: &'static str,
        href: &Href,
        parameter: &'static str,
        chosen: Option<&str>,
        options: impl IntoIterator<Item = (Option<String>, String)>,
    ) -> Self {
        let options = options.into_iter().map(|(value, word)| {
            let is_chosen = value.as_deref() == chosen;
            (word, href.with("cursor", None::<String>).with(parameter, value), is_chosen)
        });
        Self { name, options: options.collect() }
    }
}

/// The choices that a list offers, as links.
pub(crate) fn filters(filters: &[Filter]) -> Markup {
    html! {
        nav aria-label="Filters" {
            ul.filters {
                @for Filter { name, options } in filters {
                    li {
                        span.soft { (name) }
                        @for (word, href, is_chosen) in options {
                            @if *is_chosen { a href=(href) aria-current="true" { (word) } }
                            @else { a href=(href) { (word) } }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_name_holds_it_is_a_part_of_one_path() {
        let to = |named: &str| Href::to("/model/", named).to_string();
        assert_eq!(to("mlx-community/Qwen3-8B"), "/model/mlx-community/Qwen3-8B");
        assert_eq!(to("a?b#c\"<d> e%2fé"), "/model/a%3Fb%23c%22%3Cd%3E%20e%252f%C3%A9");
        assert_eq!(to("did:web:localhost%3A8080"), "/model/did:web:localhost%253A8080");
    }

    #[test]
    fn a_parameter_is_set_once_or_left_out() {
        let href = Href::new("/providers").with("order", Some("newest")).with("q", Some("a b&c"));
        assert_eq!(href.to_string(), "/providers?order=newest&q=a+b%26c");
        assert_eq!(href.with("order", Some("recent")).to_string(), "/providers?q=a+b%26c&order=recent");
        assert_eq!(href.with("order", None::<&str>).to_string(), "/providers?q=a+b%26c");
    }
}
