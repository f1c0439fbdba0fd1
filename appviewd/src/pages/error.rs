//! What whoever asked for a page is told when there is none: what happened, and what to do.

use maud::{Markup, html};

use super::{Section, Sheet};

/// The page for an error of this status, of which the service says `message`.
pub(crate) fn error(status: u16, path: &str, message: &str) -> Sheet {
    let (title, explanation) = match status {
        404 => ("Not in this index", "There is no page or record at this address."),
        400 => (
            "This address does not make sense here",
            "Something in it could not be read. Nothing was changed.",
        ),
        429 => {
            ("Too many requests", "This address has asked for as much as it may. It may go on in a moment.")
        }
        503 => ("Too busy", "As many questions are being worked on as fit. Try again in a moment."),
        405 => ("Not like this", "Pages are for reading: GET and HEAD."),
        _ => ("Something went wrong here", "It is not your fault, and nothing was changed."),
    };
    let main = html! {
        h1 { (title) }
        p.lede { (explanation) " " span.soft { (status) } }
        section.prose aria-label="What may have happened" {
            p.small.mono.break { (path) }
            p { (sentence(message)) }
            @if status == 404 { (reasons()) }
            form.panel method="get" action="/go" {
                p {
                    label for="go" { "Look up a DID, the address of a record, or a part of a handle" }
                    input.mono #go type="text" name="q" autocapitalize="none" spellcheck="false";
                }
                p { button.btn.quiet type="submit" { "Look up" } }
            }
        }
    };
    Sheet { title: title.to_owned(), section: Section::Elsewhere, every: None, main }
}

fn reasons() -> Markup {
    html! {
        ul.dots {
            li { "Its owner deleted it. It is then forgotten here, and can’t be told from one that never was." }
            li { "Its account is hidden: taken down, deactivated or deleted at its host." }
            li { "It was published a moment ago. " a href="/status" { "How far this index has come." } }
        }
    }
}

/// A message of the service as a sentence.
fn sentence(message: &str) -> String {
    let mut chars = message.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    let end = if message.ends_with(['.', '?', '!']) { "" } else { "." };
    format!("{first}{}{end}", chars.as_str())
}
