//! Pages for one person: signing in, keys and sessions, what was done in their name, taking it along, wiping it, leaving.
//!
//! What is held of somebody enters; a page leaves that is for nobody else. Whatever changes something is a form, with a
//! field that no page of another session has. Deliberately absent: who asks, which is for `http` to find out, and doing any of
//! it.

mod audit;
mod home;
mod keys;
mod leave;
mod sign_in;
mod wipe;
mod wiping;

pub(crate) use audit::Audit;
pub(crate) use home::HomePage;
pub(crate) use keys::FreshKey;
pub(crate) use leave::leave;
pub(crate) use sign_in::{Off, ended, going, off, sign_in, signed_out};
pub(crate) use wipe::WipePage;
pub(crate) use wiping::wiping;

use appview_core::syntax::{Did, Handle, datetime_unix_micros};
use maud::{Markup, html};

use super::part::Moment;
use crate::secret::Secret;

/// The field of a form that only a page of the session has.
pub(crate) const FIELD: &str = "session";

/// Who is signed in.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    /// Who.
    pub(crate) did: Did,
    /// What their DID document says that they are called.
    pub(crate) handle: Option<Handle>,
    /// Where their repository is.
    pub(crate) pds: Option<String>,
    /// What every form of their session has.
    pub(crate) field: Secret<String>,
}

impl Person {
    /// What they are called, and what they type to confirm something: their handle, or their DID where they have none.
    pub(crate) fn name(&self) -> &str {
        self.handle.as_ref().map_or(self.did.as_str(), Handle::as_str)
    }

    /// Whether a text names them.
    pub(crate) fn is_called(&self, text: &str) -> bool {
        let text = text.trim();
        let text = text.strip_prefix('@').unwrap_or(text);
        text == self.did.as_str()
            || self.handle.as_ref().is_some_and(|own| own.as_str().eq_ignore_ascii_case(text))
    }

    /// Their PDS, as people call it.
    fn host(&self) -> &str {
        let pds = self.pds.as_deref().and_then(|pds| pds.split_once("://"));
        pds.map_or("your PDS", |(_, host)| host)
    }

    /// A form that is sent to a path of ours, with what is in it.
    fn form(&self, path: &str, class: &str, inside: &Markup) -> Markup {
        html! {
            form class=(class) method="post" action=(path) {
                input type="hidden" name=(FIELD) value=(self.field.expose()) autocomplete="off";
                (inside)
            }
        }
    }

    /// A form that is nothing but its button.
    fn button(&self, path: &str, class: &str, text: &str) -> Markup {
        self.form(path, "inline", &html! { button class={ "btn " (class) } type="submit" { (text) } })
    }

    /// Where they type who they are, so that nothing happens by a slip of the hand.
    fn confirmation(&self) -> Markup {
        html! {
            label for="confirm" { "Type " strong { (self.name()) } " to confirm" }
            input.mono #confirm type="text" name="confirm" required autocomplete="off" autocapitalize="none" spellcheck="false";
        }
    }
}

/// Where a page belongs that is below the account's.
fn crumb() -> Markup {
    html! { nav.crumb aria-label="You are here" { a href="/account" { "Account" } } }
}

/// A moment that is told as text.
fn moment(text: &str) -> Markup {
    match datetime_unix_micros(text) {
        Ok(micros) => Moment::InText(micros).markup(),
        Err(_) => html! { (text) },
    }
}

/// A number of things as pages count.
fn signed(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
pub(super) mod tests {
    use super::*;

    /// Somebody with a handle.
    pub(in crate::pages) fn ada() -> Person {
        Person {
            did: "did:web:ada.example".parse().unwrap(),
            handle: Some("ada.test".parse().unwrap()),
            pds: Some("https://pds.example".to_owned()),
            field: Secret::new("field".to_owned()),
        }
    }

    #[test]
    fn whoever_confirms_types_their_own_name() {
        let ada = ada();
        for good in ["ada.test", "Ada.TEST", " @ada.test ", "did:web:ada.example"] {
            assert!(ada.is_called(good), "{good}");
        }
        for bad in ["", "ada", "ada.test.", "boris.test", "did:web:boris.example"] {
            assert!(!ada.is_called(bad), "{bad}");
        }
        let nameless = Person { handle: None, ..ada };
        assert_eq!(nameless.name(), "did:web:ada.example");
        assert!(!nameless.is_called("ada.test") && !nameless.is_called(""));
    }
}
