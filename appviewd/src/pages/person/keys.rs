//! API keys: the list of them, the one that was made at this moment, and a form for another.

use maud::{Markup, html};

use super::Person;
use crate::account::ApiKey;
use crate::pages::part::{Cell, Column, Href, Mark, Moment, State, Table, day};
use crate::secret::Secret;

/// For how many days a key may be good, and how that is said; the first is chosen if nobody chooses.
const LASTS: [(&str, &str); 4] =
    [("90", "in 90 days"), ("30", "in 30 days"), ("365", "in a year"), ("", "never")];

/// A key that was made for the answer that it is in, and is nowhere else.
#[derive(Debug)]
pub(crate) struct FreshKey {
    /// What people call it.
    pub(crate) name: String,
    /// The key itself.
    pub(crate) secret: Secret<String>,
}

impl FreshKey {
    fn markup(&self) -> Markup {
        html! {
            div.panel.once role="status" {
                h3 { "Your new key “" (self.name) "”" }
                pre.key-once tabindex="0" { code data-copy="key" { (self.secret.expose()) } }
                p.small {
                    strong { "Copy it now." }
                    " This page shows it once. We keep only its SHA-256 hash and can’t show it again; if you lose it, revoke it and "
                    "make another."
                }
            }
        }
    }
}

pub(super) fn keys(person: &Person, keys: &[ApiKey], fresh: Option<&FreshKey>, now: u64) -> Markup {
    html! {
        section aria-labelledby="h-keys" {
            h2 #h-keys { "API keys" }
            @if let Some(fresh) = fresh { (fresh.markup()) }
            div.gap { (table(person, keys, now).markup()) }
            (person.form("/account/keys", "panel gap", &another()))
        }
    }
}

/// The form for another key.
fn another() -> Markup {
    html! {
        h3 { "New key" }
        div.row {
            p {
                label for="key-name" { "Name" }
                input #key-name type="text" name="name" required maxlength="100" autocomplete="off" aria-describedby="key-hint";
            }
            p {
                label for="key-lasts" { "Expires" }
                select #key-lasts name="days" { @for (days, word) in LASTS { option value=(days) { (word) } } }
            }
            button.btn type="submit" { "Create key" }
        }
        p.hint #key-hint {
            "A name for the place where it is used, up to 100 characters. Whoever has the key can publish and delete "
            code { "dev.cocore.*" } " records in your repository."
        }
    }
}

fn table(person: &Person, keys: &[ApiKey], now: u64) -> Table {
    let rows = keys.iter().map(|key| {
        let ApiKey { id, name, prefix, created_at, expires_at, revoked_at, last_used_at, .. } = key;
        let (state, action) = match (revoked_at, expires_at) {
            (Some(_), _) => (Mark::new(State::None, "revoked"), Action::Delete),
            (None, Some(end)) if *end <= now => (Mark::new(State::None, "expired"), Action::Delete),
            (None, _) => (Mark::new(State::Pass, "active"), Action::Revoke),
        };
        vec![
            Cell::new(html! { span.break { (name) } }, name.clone()),
            Cell::new(action.button(person, id, name), ""),
            Cell::mark(&state),
            Cell::new(html! { code { (prefix) "…" } }, prefix.clone()),
            Cell::text(day(created_at.cast_signed())),
            match last_used_at {
                Some(at) => Cell::new(Moment::Ago(at.cast_signed()).markup(), ""),
                None => Cell::text("never"),
            },
            Cell::text(expires_at.map_or_else(|| "does not".to_owned(), |end| day(end.cast_signed()))),
        ]
    });
    Table {
        caption: "Keys",
        columns: vec![
            Column::lead("Name"),
            Column::side("Change"),
            Column::text("State"),
            Column::text("Begins with"),
            Column::text("Created"),
            Column::text("Last used"),
            Column::text("Expires"),
        ],
        rows: rows.collect(),
        nothing: "You have no API key. An agent or a program needs one to publish for you.",
    }
}

/// What can be done with a key.
#[derive(Debug, Clone, Copy)]
enum Action {
    Revoke,
    Delete,
}

impl Action {
    fn button(self, person: &Person, id: &str, name: &str) -> Markup {
        let (word, path, class) = match self {
            Self::Revoke => ("Revoke", "revoke", "btn text"),
            Self::Delete => ("Delete", "delete", "btn text bad"),
        };
        let href = Href::to("/account/keys/", id).to_string();
        let button = html! { button class=(class) type="submit" aria-label={ (word) " " (name) } { (word) } };
        person.form(&format!("{href}/{path}"), "inline", &button)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::ada;
    use super::*;

    fn key(expires_at: Option<u64>, revoked_at: Option<u64>) -> ApiKey {
        ApiKey {
            id: "0-1".to_owned(),
            did: ada().did,
            name: "<b>laptop</b>".to_owned(),
            prefix: "cocore-muU9i1EW".to_owned(),
            created_at: 1,
            expires_at,
            revoked_at,
            last_used_at: None,
        }
    }

    #[test]
    fn a_key_that_is_good_can_be_revoked_and_any_other_deleted() {
        let page = |key: ApiKey| keys(&ada(), &[key], None, 100).into_string();
        for (key, word, path) in [
            (key(None, None), "active", "/account/keys/0-1/revoke"),
            (key(Some(101), None), "active", "/account/keys/0-1/revoke"),
            (key(Some(100), None), "expired", "/account/keys/0-1/delete"),
            (key(None, Some(1)), "revoked", "/account/keys/0-1/delete"),
        ] {
            let html = page(key);
            assert!(html.contains(&format!("{word}</span>")) && html.contains(path), "{word}: {html}");
            assert!(
                html.contains("name=\"session\" value=\"field\"") && !html.contains("<b>laptop"),
                "{html}"
            );
        }
    }
}
