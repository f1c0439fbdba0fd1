//! The page of whoever is signed in: keys, sessions, what was done in their name, and the ways out.

use maud::{Markup, html};

use super::audit::Audit;
use super::keys::{FreshKey, keys};
use super::sign_in::again;
use super::{Person, moment, signed};
use crate::account::{ApiKey, Browser, HeldSession, Holdings, SessionKind};
use crate::pages::part::{Cell, Column, Mark, Moment, State, Table, counted, long_identifier};
use crate::pages::{Section, Sheet};
use crate::wipe::{WipeView, export::repository_url};

/// What is found of whoever is signed in.
#[derive(Debug)]
pub(crate) struct HomePage {
    /// Who.
    pub(crate) person: Person,
    /// The browser that asks.
    pub(crate) browser: Browser,
    /// A key that was made for this answer.
    pub(crate) fresh: Option<FreshKey>,
    /// Their keys, newest first.
    pub(crate) keys: Vec<ApiKey>,
    /// What else is held.
    pub(crate) held: Holdings,
    /// What was done in their name.
    pub(crate) audit: Audit,
    /// Their newest wipe, if there was one.
    pub(crate) wipe: Option<WipeView>,
    /// What time it is, in microseconds since the Unix epoch.
    pub(crate) now: u64,
}

impl HomePage {
    pub(crate) fn sheet(&self) -> Sheet {
        let Self { person, fresh, audit, now, .. } = self;
        let main = html! {
            div.head {
                h1.break { (person.name()) }
                (person.button("/account/sign-out", "quiet", "Sign out"))
            }
            p.small.soft { (long_identifier(person.did.as_str(), "DID")) }
            (self.news())
            (keys(person, &self.keys, fresh.as_ref(), *now))
            div.cols {
                (self.sessions())
                (audit.markup(&self.keys))
            }
            (self.export())
            (self.wipe())
        };
        Sheet { title: "Account".to_owned(), section: Section::Account, every: None, main }
    }

    /// What should be known before anything else.
    fn news(&self) -> Markup {
        let is_over =
            self.held.session.as_ref().is_none_or(|session| session.state == SessionKind::NeedsSignIn.text());
        let unfinished = self.wipe.as_ref().filter(|wipe| !wipe.complete);
        html! {
            @if let Some(wipe) = unfinished {
                div.verdict.warn {
                    strong { (Mark::new(State::Warn, "A wipe is not finished").markup()) }
                    p { "Begun " (moment(&wipe.started_at)) ". " a href="/account/wipe" { "What is done, and what is left" } }
                }
            }
            @if is_over {
                div.verdict.warn {
                    strong { (Mark::new(State::Warn, "We cannot publish for you").markup()) }
                    p { "Our access at " (self.person.host()) " is over. Your keys publish nothing until you sign in again." }
                    (again(&self.person, "/account"))
                }
            }
        }
    }

    fn sessions(&self) -> Markup {
        let live = self
            .keys
            .iter()
            .filter(|key| key.revoked_at.is_none() && key.expires_at.is_none_or(|end| end > self.now));
        let live = counted(signed(live.count()), "key", "keys");
        html! {
            section aria-labelledby="h-sessions" {
                h2 #h-sessions { "Sessions" }
                (self.session_table().markup())
                div.gap { (self.person.button("/account/sign-out-everywhere", "quiet", "Sign out everywhere")) }
                p.hint.gap {
                    "Signs out every browser, revokes " (live) " and gives up our access at " (self.person.host())
                    ". Agents that use those keys stop. “Sign out” above ends this browser alone."
                }
            }
        }
    }

    fn session_table(&self) -> Table {
        let time = |micros: u64| Cell::new(Moment::InTable(micros.cast_signed()).markup(), "");
        let browsers = self.held.browsers.iter().rev().map(|browser| {
            let name = if *browser == self.browser { "This browser" } else { "Another browser" };
            vec![Cell::text(name), time(browser.since), time(browser.until)]
        });
        let access = self.held.session.iter().map(|HeldSession { signed_in_at, changed_at, state }| {
            let name = Cell::text(format!("Access at {}", self.person.host()));
            let sealed = match state.as_str() {
                state if state == SessionKind::NeedsSignIn.text() => html! { "over: sign in again" },
                _ => html! { "sealed on disk, renewed " (Moment::Ago(changed_at.cast_signed()).markup()) },
            };
            vec![name.below(sealed), time(*signed_in_at), Cell::text("you end it")]
        });
        Table {
            caption: "Sessions",
            columns: vec![Column::lead("Session"), Column::text("Since"), Column::text("Until")],
            rows: browsers.chain(access).collect(),
            nothing: "There is none.",
        }
    }

    fn export(&self) -> Markup {
        let Self { person, .. } = self;
        html! {
            section aria-labelledby="h-export" {
                h2 #h-export { "Take your data with you" }
                div.prose {
                    p {
                        "Your records live in your own repository. Your PDS gives you all of it as one signed CAR file; it does not pass "
                        "through us."
                    }
                    p {
                        @if let Some(pds) = &person.pds {
                            a.btn.quiet href=(repository_url(pds, &person.did)) rel="noreferrer" {
                                "Download repository from " (person.host())
                            }
                        } @else { span.soft { "Your PDS cannot be found at this moment, so that there is no link to it." } }
                    }
                    p.small { a href="/account/export" { "What this service holds of you, as JSON" } }
                }
            }
        }
    }

    fn wipe(&self) -> Markup {
        html! {
            section.panel.danger aria-labelledby="h-wipe" {
                h2 #h-wipe { "Wipe all my data" }
                p {
                    "Deletes every " code { "dev.cocore.*" } " record in your repository, our copy of them in this index, your API keys, and "
                    "all else that is held of you here. It goes on after a crash and says what is left; what is wiped stays wiped."
                }
                p { a.btn.danger href="/account/wipe/new" { "See what would be wiped" } }
                p.small {
                    "Nothing happens before you confirm on the next page. To be forgotten here and keep your records where they are, "
                    a href="/account/leave" { "delete your account here" } "."
                }
            }
        }
    }
}
