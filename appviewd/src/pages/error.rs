//! What whoever asked for a page is told when there is none: what happened, and what to do.

use maud::{Markup, html};

use super::{Section, Sheet};

/// The page for an error of this status and name, of which the service says `message`.
pub(crate) fn error((status, name): (u16, &str), path: &str, message: &str) -> Sheet {
    let is_own = path.starts_with("/account") || path.starts_with("/oauth");
    let (title, explanation) = match (status, name) {
        (_, "SignInFailed") => {
            ("You are not signed in", "Signing in did not come to its end. Nothing was changed.")
        }
        (400, _) if is_own => {
            ("That cannot be done", "Something in the form could not be read. Nothing was changed.")
        }
        (401, _) => ("Sign in first", "That is for whoever is signed in. Nothing was changed."),
        (403, _) => (
            "Not from one of our pages",
            "What changes something must come from a page of this service. Nothing was changed.",
        ),
        (404, _) => ("Not in this index", "There is no page or record at this address."),
        (400, _) => (
            "This address does not make sense here",
            "Something in it could not be read. Nothing was changed.",
        ),
        (429, _) => {
            ("Too many requests", "This address has asked for as much as it may. It may go on in a moment.")
        }
        (503, "SessionsUnavailable") => {
            ("Nobody can sign in here", "Its operator has to allow it. Nothing was changed.")
        }
        (503, _) => ("Too busy", "As many questions are being worked on as fit. Try again in a moment."),
        (405, _) => ("Not like this", "Pages are for reading: GET and HEAD."),
        _ => ("Something went wrong here", "It is not your fault, and nothing was changed."),
    };
    let main = html! {
        h1 { (title) }
        p.lede { (explanation) " " span.soft { (status) } }
        section.prose aria-label="What may have happened" {
            p.small.mono.break { (path) }
            p.break { (sentence(message)) }
            @if status == 404 { (reasons()) }
            @if is_own { (start_again(name)) } @else { (look_up()) }
        }
    };
    let section = if is_own { Section::Account } else { Section::Elsewhere };
    Sheet { title: title.to_owned(), section, every: None, main }
}

/// Where whoever wanted something of their account goes on.
fn start_again(name: &str) -> Markup {
    html! {
        p { a.btn href="/account" { @if name == "SignInFailed" { "Start again" } @else { "Back to your account" } } }
        @if name == "SignInFailed" {
            p.small.soft {
                "You have ten minutes at your PDS, and each sign-in counts once. If this comes back at once, your browser may be "
                "refusing our one sign-in cookie."
            }
        }
    }
}

fn look_up() -> Markup {
    html! {
        form.panel method="get" action="/go" {
            p {
                label for="go" { "Look up a DID, the address of a record, or a part of a handle" }
                input.mono #go type="text" name="q" autocapitalize="none" spellcheck="false";
            }
            p { button.btn.quiet type="submit" { "Look up" } }
        }
    }
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
