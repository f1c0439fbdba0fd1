//! What was done in somebody's name: every use of what their PDS lets us do, and every change of a key.

use std::collections::BTreeMap;

use appview_core::syntax::AtUri;
use maud::{Markup, html};

use crate::account::{Action, Actor, ApiKey, AuditCursor, Entry};
use crate::pages::part::{Cell, Column, Href, Table};

/// A part of the list.
#[derive(Debug)]
pub(crate) struct Audit {
    /// The entries, newest first.
    pub(crate) entries: Vec<Entry>,
    /// Where the next part begins.
    pub(crate) next: Option<AuditCursor>,
    /// Whether it begins with the newest.
    pub(crate) is_first: bool,
}

impl Audit {
    pub(super) fn markup(&self, keys: &[ApiKey]) -> Markup {
        let here = Href::new("/account");
        let next = self.next.map(|AuditCursor(id)| here.with("before", Some(id.to_string())));
        html! {
            section aria-labelledby="h-audit" {
                h2 #h-audit { "What was done in your name" }
                p.small.soft.gap-below {
                    "Every use of our access at your PDS and every change of a key, kept for 90 days. What was written is in your "
                    "repository, and not here."
                }
                (self.table(keys).markup())
                @if !self.is_first || next.is_some() {
                    nav.pager aria-label="Pages" {
                        @if !self.is_first { a href="/account#h-audit" { "Newest" } }
                        @if let Some(next) = next { a href={ (next) "#h-audit" } rel="next" { "Older" } }
                    }
                }
            }
        }
    }

    fn table(&self, keys: &[ApiKey]) -> Table {
        let names: BTreeMap<&str, &str> =
            keys.iter().map(|key| (key.id.as_str(), key.name.as_str())).collect();
        let rows = self.entries.iter().map(|entry| {
            vec![
                Cell::new(what(entry, &names), entry.action.word()),
                Cell::moment(entry.at.cast_signed()),
                Cell::new(by(&entry.actor, &names), entry.actor.to_string()),
            ]
        });
        Table {
            caption: "Uses",
            columns: vec![Column::lead("What"), Column::side("When"), Column::text("By")],
            rows: rows.collect(),
            nothing: "Nothing yet.",
        }
    }
}

/// What was done, to what.
fn what(entry: &Entry, names: &BTreeMap<&str, &str>) -> Markup {
    let text = match entry.action {
        Action::SignedIn => "signed in",
        Action::HandedOver => "took over a session from the console",
        Action::Refreshed => "renewed our access",
        Action::Lost => "lost our access: your PDS takes it no more",
        Action::SignedOut => "signed out everywhere",
        Action::Created => "published",
        Action::Put => "wrote",
        Action::Deleted => "deleted",
        Action::Listed => "listed",
        Action::ServiceAuth => "asked for a token for",
        Action::KeyMinted => "made the key",
        Action::KeyRevoked => "revoked the key",
        Action::KeyDeleted => "deleted the key",
        Action::Paired => "paired a device",
        Action::WipeBegun => "began a wipe",
    };
    let subject = entry.subject.as_deref().filter(|_| entry.action != Action::Paired);
    html! {
        (text)
        @if let Some(subject) = subject {
            " "
            @match entry.action {
                Action::KeyMinted | Action::KeyRevoked | Action::KeyDeleted => { (key(subject, names)) }
                _ => { code title=(subject) { (short(subject)) } }
            }
        }
    }
}

/// Who did it.
fn by(actor: &Actor, names: &BTreeMap<&str, &str>) -> Markup {
    match actor {
        Actor::Key(id) => key(id, names),
        Actor::Browser => html! { "you, in a browser" },
        Actor::Service => html! { "you, by a token of your PDS" },
        Actor::Internal => html! { "the console" },
        Actor::Operator => html! { "the operator" },
        Actor::Daemon => html! { "this service" },
    }
}

fn key(id: &str, names: &BTreeMap<&str, &str>) -> Markup {
    match (names.get(id), id) {
        (Some(name), _) => html! { span.break { "“" (name) "”" } },
        (None, "all") => html! { "– all of them" },
        (None, _) => html! { span.soft title=(id) { "one that is deleted" } },
    }
}

/// A subject as short as it still says something: of a record, its collection.
fn short(subject: &str) -> String {
    let collection = subject.parse::<AtUri>().ok().and_then(|uri| uri.collection().map(ToString::to_string));
    let text = collection.unwrap_or_else(|| subject.to_owned());
    text.strip_prefix("dev.cocore.").unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_says_what_was_done_and_names_a_key_as_its_owner_does() {
        let names = BTreeMap::from([("1", "<laptop>")]);
        let created = Entry::new(1, Action::Created, Actor::Key("1".to_owned()))
            .to("at://did:web:ada.example/dev.cocore.compute.job/3n2vutf4m5p2h");
        assert!(what(&created, &names).into_string().ends_with(">compute.job</code>"));
        assert!(what(&created, &names).into_string().starts_with("published <code title=\"at://did:web:ada"));
        assert_eq!(by(&created.actor, &names).into_string(), "<span class=\"break\">“&lt;laptop&gt;”</span>");
        assert!(by(&Actor::Key("2".to_owned()), &names).into_string().contains("one that is deleted"));
        let all = Entry::new(1, Action::KeyRevoked, Actor::Browser).to("all");
        assert_eq!(what(&all, &names).into_string(), "revoked the key – all of them");
    }
}
