//! Before a wipe: what will happen, how much of it there is, what stays.

use maud::{Markup, html};

use super::sign_in::{again, below};
use super::{Person, signed};
use crate::account::Held;
use crate::pages::Sheet;
use crate::pages::part::{Mark, State, counted, number};
use crate::wipe::Look;

/// What there is to be wiped of somebody, who is asked whether they wish it.
#[derive(Debug)]
pub(crate) struct WipePage {
    /// Who.
    pub(crate) person: Person,
    /// What there is.
    pub(crate) look: Look,
    /// Accounts that say in their own records that they trust them.
    pub(crate) trusted_by: u64,
}

impl WipePage {
    pub(crate) fn sheet(&self) -> Sheet {
        let Self { person, look, .. } = self;
        let main = html! {
            h1 { "Wipe all my data" }
            p.lede { "Nothing has been changed yet. This was counted a moment ago." }
            @if !look.has_session { (self.no_session()) }
            section.panel.danger aria-label="Wipe all my data" {
                p { "This deletes, for good and in this order:" }
                (self.places())
                (self.stays())
                (person.form("/account/wipe/new", "", &confirm(person)))
                p.small.soft {
                    "There is no undo. You will see progress in each place, and you may close the page: the work goes on, also after "
                    "a restart."
                }
            }
            p.small.soft.gap {
                "You can " a href="/account/export" { "take along" } " first what is held here, and from " (person.host())
                " your whole repository. To leave your records as they are, "
                a href="/account/leave" { "delete your account here" } "."
            }
        };
        below("Wipe all my data", None, &main)
    }

    fn no_session(&self) -> Markup {
        let mark = Mark::new(State::Warn, "Sign in again first");
        html! {
            div.verdict.warn {
                strong { (mark.markup()) }
                p { "Our access at " (self.person.host()) " is over, and nobody else may delete your records there." }
                (again(&self.person, "/account/wipe/new"))
            }
        }
    }

    fn places(&self) -> Markup {
        let Self { person, look, .. } = self;
        let Look { repo, repo_unknown, index, account, .. } = look;
        let records: u64 = repo.values().sum();
        html! {
            table.stack {
                caption.vh { "Places" }
                tbody {
                    tr {
                        th.lead scope="row" { "At " (person.host()) }
                        td.wide {
                            "every " code { "dev.cocore.*" } " record in your repository"
                            @if let Some(why) = repo_unknown {
                                span.sub { "They could not be counted: " (why) }
                            } @else if !repo.is_empty() {
                                details.more {
                                    summary { (counted(signed(repo.len()), "collection", "collections")) }
                                    ul.dots {
                                        @for (collection, count) in repo {
                                            li { code { (collection) } " " span.soft { (number(signed(*count))) } }
                                        }
                                    }
                                }
                            }
                        }
                        td.num.side {
                            @if repo_unknown.is_some() { "not counted" } @else { (counted(signed(records), "record", "records")) }
                        }
                    }
                    tr {
                        th.lead scope="row" { "In this index" }
                        td.wide { "our copy of those records, and your figures" }
                        td.num.side { (counted(signed(*index), "row", "rows")) }
                    }
                    tr {
                        th.lead scope="row" { "In this service" }
                        td.wide { (held(account)) }
                        td.num.side { (counted(signed(account.keys), "key", "keys")) }
                    }
                }
            }
        }
    }

    fn stays(&self) -> Markup {
        html! {
            p.small {
                "What stays: your account, and everything outside " code { "dev.cocore.*" } ". What others say of you in their own "
                "repositories, such as receipts for your jobs"
                @if self.trusted_by > 0 {
                    ", or that they trust you (" (counted(signed(self.trusted_by), "account does", "accounts do")) ")"
                }
                ", is theirs. So that no old copy comes back, we keep one line: your DID, and up to which revision it was wiped. "
                "Agents that use your keys stop."
            }
        }
    }
}

/// All else that is held, in words.
fn held(account: &Held) -> Markup {
    let Held { pairings, audit, reports, browsers, .. } = *account;
    html! {
        "your API keys, " (counted(signed(audit), "entry", "entries")) " of what was done in your name"
        @if pairings > 0 { ", " (counted(signed(pairings), "pairing", "pairings")) }
        @if reports > 0 { ", " (counted(signed(reports), "bug report", "bug reports")) }
        span.sub { (counted(signed(browsers), "browser stays", "browsers stay")) " signed in, unless you say otherwise below" }
    }
}

fn confirm(person: &Person) -> Markup {
    html! {
        p.check {
            input #end type="checkbox" name="endSessions" value="true";
            label for="end" { "End my sessions too: sign out every browser and give up our access at your PDS, as the last step" }
        }
        div.row {
            p { (person.confirmation()) }
            button.btn.danger type="submit" { "Wipe all my data" }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::tests::ada;
    use super::*;

    #[test]
    fn what_there_is_is_told_by_place_and_what_is_not_known_is_not_made_up() {
        let look = Look {
            repo: BTreeMap::from([
                ("dev.cocore.compute.job".to_owned(), 1_204),
                ("dev.cocore.new".to_owned(), 1),
            ]),
            repo_unknown: None,
            has_session: true,
            index: 1_205,
            account: Held { keys: 3, browsers: 2, ..Held::default() },
        };
        let page = |look| WipePage { person: ada(), look, trusted_by: 2 }.sheet().main.into_string();
        let html = page(look.clone());
        for told in [
            "1,205 records",
            "1,205 rows",
            "3 keys",
            "2 browsers stay",
            "<code>dev.cocore.new</code>",
            "2 accounts do",
        ] {
            assert!(html.contains(told), "{told}: {html}");
        }
        assert!(!html.contains("Sign in again"));
        let unknown = Look {
            repo: BTreeMap::new(),
            repo_unknown: Some("pds.example: 500".to_owned()),
            has_session: false,
            ..look
        };
        let html = page(unknown);
        assert!(html.contains("not counted") && html.contains("pds.example: 500"), "{html}");
        assert!(!html.contains("0 records") && html.contains("Sign in again at pds.example"), "{html}");
    }
}
