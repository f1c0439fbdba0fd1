//! A wipe as it goes: what is gone in each place, what is left and why, and whether all of it was seen to be gone.
//!
//! Partial is never called done. Whatever halts it is said in words, with what its owner can do.

use maud::{Markup, html};

use super::sign_in::{again, below};
use super::{Person, moment, signed};
use crate::account::{Extent, Held, WipeStep};
use crate::pages::Sheet;
use crate::pages::part::{Mark, State, counted, facts, number};
use crate::wipe::{SeenView, Wait, WipeView};

/// After how many seconds it is looked again: while something is done, and while something is waited for.
const WORKING: u32 = 2;
const WAITING: u32 = 30;

/// How a wipe stands.
pub(crate) fn wiping(person: &Person, wipe: &WipeView) -> Sheet {
    let wiping = Wiping { person, wipe };
    let (title, lede, every) = match (wipe.complete, wipe.waits_for) {
        (true, _) if wiping.is_of_all() => (
            "Your data is wiped",
            "All three places were looked at and found empty. Nothing comes back from a replay of the network, a rebuild of the \
             index or a restored backup.",
            None,
        ),
        (true, _) => ("Your account here is deleted", "Nothing of you is held here or shown here.", None),
        (false, Some(_)) => {
            ("Wipe not finished", "Here is what is left, and what happens next.", Some(WAITING))
        }
        (false, None) => (
            "Wiping your data",
            "You may close this page. The wish is on disk and the work goes on, also after a restart.",
            Some(WORKING),
        ),
    };
    let main = html! {
        h1 { (title) }
        p.lede { (lede) }
        @if let Some(wait) = wipe.waits_for { (wiping.verdict(wait)) }
        section aria-label="Progress" { ol.steps { (wiping.steps()) } }
        section aria-label="This wipe" {
            (wiping.facts())
            (wiping.problems())
            @if wipe.complete { (wiping.afterwards()) }
            @else {
                div.gap {
                    @if wipe.waits_for.is_some() { (person.button("/account/wipe/retry", "", "Try now")) }
                    @else { a.btn.quiet href="/account/wipe" { "Look again" } }
                }
            }
        }
    };
    below(title, every, &main)
}

struct Wiping<'w> {
    person: &'w Person,
    wipe: &'w WipeView,
}

/// How far one place is.
enum Place {
    /// Its turn has not come.
    Later,
    /// It is worked on.
    Working,
    /// It is worked on, and waits for something.
    Halted,
    /// It is empty.
    Empty,
    /// It is done with but for what nobody lets us delete.
    Left(u64),
}

impl Place {
    fn mark(&self) -> Mark {
        match self {
            Self::Later => Mark::new(State::None, "waiting"),
            Self::Working => Mark::new(State::Info, "working"),
            Self::Halted => Mark::new(State::Warn, "will go on"),
            Self::Empty => Mark::new(State::Pass, "done"),
            Self::Left(left) => Mark::new(State::Warn, format!("{} left", number(signed(*left)))),
        }
    }

    fn is_over(&self) -> bool {
        matches!(self, Self::Empty | Self::Left(_))
    }
}

impl Wiping<'_> {
    fn is_of_all(&self) -> bool {
        self.wipe.extent == Extent::Everything.word()
    }

    fn step(&self) -> WipeStep {
        self.wipe.step.parse().unwrap_or(WipeStep::Repo)
    }

    /// How far the place of a step is. What was seen to be empty is, whatever another place is begun anew for.
    fn place(&self, step: WipeStep, seen: impl Fn(&SeenView) -> u64) -> Place {
        let seen = self.wipe.seen.as_ref().map(seen);
        match (seen, self.step()) {
            (Some(0), _) => Place::Empty,
            (Some(left), _) if self.wipe.waits_for == Some(Wait::Permission) => Place::Left(left),
            (_, at) if at < step => Place::Later,
            (_, at) if at == step && self.wipe.waits_for.is_some() => Place::Halted,
            (_, at) if at == step => Place::Working,
            _ => Place::Empty,
        }
    }

    fn steps(&self) -> Markup {
        let wipe = self.wipe;
        let repo = self.place(WipeStep::Repo, |seen| seen.repo);
        let index = self.place(WipeStep::Index, |seen| seen.index);
        let account = self.place(WipeStep::Account, |seen| seen.account);
        let left: u64 = wipe.collections.iter().map(|collection| collection.left).sum();
        let all = wipe.deleted.saturating_add(left);
        html! {
            @if self.is_of_all() {
                (row("Your PDS", &repo, Some((wipe.deleted, all)), &html! {
                    (self.at_pds(&repo, all))
                }, &self.collections()))
            }
            (row("This index", &index, None, &html! {
                @match index {
                    Place::Empty => {
                        "No row of yours is left, also in the files on disk; "
                        (number(signed(wipe.rows_erased))) " erased by this step, all others with their records"
                    }
                    Place::Left(left) => { (counted(signed(left), "row", "rows")) ", of what is left at your PDS" }
                    _ => "Our copy of your records; erased when the one before is done",
                }
            }, &html! {}))
            (row("This service", &account, None, &html! {
                @if account.is_over() { (erased(&wipe.erased)) }
                @else { "Keys, and what was done in your name; erased last, because the first place needs our access" }
            }, &html! {}))
            @if wipe.end_sessions {
                @let ended = if wipe.complete { Place::Empty } else { Place::Later };
                (row("Your sessions", &ended, None, &html! {
                    @if wipe.complete { "ended; your PDS is told to forget our access" }
                    @else { "End as the last step, when everything else was seen to be empty. This browser is then signed out." }
                }, &html! {}))
            }
        }
    }

    /// What was deleted in the repository, of how much there was.
    fn at_pds(&self, place: &Place, all: u64) -> Markup {
        let (deleted, host) = (self.wipe.deleted, self.person.host());
        html! {
            @match place {
                Place::Empty => {
                    (counted(signed(deleted), "record", "records")) " deleted at " (host) ", the list asked again: 0"
                }
                _ if all == 0 => { "Looking for your records at " (host) }
                _ => { (number(signed(deleted))) " of " (counted(signed(all), "record", "records")) " deleted at " (host) }
            }
        }
    }

    fn collections(&self) -> Markup {
        html! {
            @if !self.wipe.collections.is_empty() {
                details.more {
                    summary { "By collection" }
                    ul.dots {
                        @for collection in &self.wipe.collections {
                            li {
                                code { (collection.collection) } " "
                                span.soft {
                                    (number(signed(collection.deleted))) " deleted, " (number(signed(collection.left))) " left"
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn verdict(&self, wait: Wait) -> Markup {
        let host = self.person.host();
        let left = self.wipe.seen.as_ref().map_or(0, |seen| seen.repo);
        let next = self.wipe.next_try_at.as_deref().map(moment);
        let title = match wait {
            Wait::SignIn => "Sign in again".to_owned(),
            Wait::Account => format!("Your account is not active at {host}"),
            Wait::Permission => format!("{} left", counted(signed(left), "record", "records")),
            Wait::Service => "It could not go on".to_owned(),
        };
        html! {
            div.verdict.warn {
                strong { (Mark::new(State::Warn, title).markup()) }
                p {
                    @match wait {
                        Wait::SignIn => { "Our access at " (host) " is over, and nobody else may delete your records there. Nothing is erased before. " }
                        Wait::Account => { "Such a PDS takes no deletions. Make it active there, and it goes on. " }
                        Wait::Permission => {
                            "What you allowed at " (host) " does not cover what is left. Signing in again helps if it is of a kind that this "
                            "service has learned since; otherwise delete it with any AT Protocol client. "
                        }
                        Wait::Service => { (self.newest_problem()) " " }
                    }
                    @if let Some(next) = next { "We try again at " (next) "." }
                }
                @if matches!(wait, Wait::SignIn | Wait::Permission) { (again(self.person, "/account/wipe")) }
            }
        }
    }

    /// What went wrong last, in the words of whoever said no.
    fn newest_problem(&self) -> String {
        let newest = self.wipe.problems.iter().max_by(|one, other| one.at.cmp(&other.at));
        newest.map_or_else(
            || "Something was not ready.".to_owned(),
            |problem| format!("“{}”.", problem.message),
        )
    }

    fn problems(&self) -> Markup {
        html! {
            @if !self.wipe.problems.is_empty() {
                details.more {
                    summary { (counted(signed(self.wipe.problems.len()), "thing", "things")) " went wrong on the way" }
                    ul.dots {
                        @for problem in &self.wipe.problems {
                            li {
                                (moment(&problem.at)) ": "
                                @if let Some(collection) = &problem.collection { code { (collection) } ", " }
                                span.break { (problem.message) }
                                @if problem.times > 1 { span.soft { ", " (number(problem.times.into())) " times" } }
                            }
                        }
                    }
                }
            }
        }
    }

    fn facts(&self) -> Markup {
        facts(&[("Begun", moment(&self.wipe.started_at)), ("Last step", moment(&self.wipe.changed_at))])
    }

    fn afterwards(&self) -> Markup {
        html! {
            p.note.gap.prose {
                @if self.is_of_all() {
                    "We keep one line: your DID, up to which revision it was wiped, and these counts, so that old copies stay out. What "
                    "others say of you in their own repositories is theirs and stays. If you publish again, it is shown again."
                } @else {
                    "We keep one line, so that nothing of yours is shown: your DID, that you left, and these counts. If you sign in again, your "
                    "records are shown again."
                }
            }
            p.gap { a.btn.quiet href="/account" { "Back to your account" } }
        }
    }
}

/// One place: how far it is, of how much, in words, with whatever else there is to say.
fn row(name: &str, place: &Place, of: Option<(u64, u64)>, words: &Markup, more: &Markup) -> Markup {
    let (value, most) = match (of, place.is_over()) {
        (Some((done, all)), false) => (done, all.max(1)),
        (Some((done, all)), true) if matches!(place, Place::Left(_)) => (done, all),
        (_, over) => (u64::from(over), 1),
    };
    html! {
        li {
            h2 { (name) }
            div {
                p { (words) }
                progress value=(value) max=(most) aria-label=(name) {}
                (more)
            }
            p.num { (place.mark().markup()) }
        }
    }
}

/// What was erased of all that was held.
fn erased(erased: &Held) -> Markup {
    let Held { keys, pairings, audit, reports, browsers, .. } = *erased;
    html! {
        (counted(signed(keys), "API key", "API keys")) " and "
        (counted(signed(audit), "entry", "entries")) " of what was done in your name erased"
        @if pairings > 0 { ", " (counted(signed(pairings), "pairing", "pairings")) }
        @if reports > 0 { ", " (counted(signed(reports), "bug report", "bug reports")) }
        @if browsers > 0 { ", " (counted(signed(browsers), "browser", "browsers")) " signed out" }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::ada;
    use super::*;
    use crate::wipe::{CollectionView, ProblemView};

    fn at(step: &str) -> WipeView {
        let time = "2026-11-22T13:08:02.000Z".to_owned();
        WipeView {
            complete: false,
            extent: "everything".to_owned(),
            step: step.to_owned(),
            end_sessions: false,
            started_at: time.clone(),
            changed_at: time,
            waits_for: None,
            next_try_at: None,
            deleted: 11,
            collections: vec![CollectionView {
                collection: "dev.cocore.compute.job".to_owned(),
                deleted: 11,
                left: 5,
            }],
            rows_erased: 0,
            erased: Held::default(),
            problems: Vec::new(),
            seen: None,
        }
    }

    fn seen(repo: u64) -> Option<SeenView> {
        Some(SeenView { at: "2026-11-22T13:08:02.000Z".to_owned(), repo, index: 0, account: 0 })
    }

    fn html(wipe: &WipeView) -> (Sheet, String) {
        let sheet = wiping(&ada(), wipe);
        let html = sheet.main.clone().into_string();
        (sheet, html)
    }

    #[test]
    fn what_is_under_way_is_looked_at_again_and_what_is_done_is_not() {
        let (sheet, page) = html(&at("repo"));
        assert_eq!((sheet.every, sheet.title.as_str()), (Some(WORKING), "Wiping your data"));
        assert!(
            page.contains("11 of 16 records deleted at pds.example")
                && page.contains("value=\"11\" max=\"16\""),
            "{page}"
        );
        assert_eq!(page.matches("working</span>").count(), 1);
        assert_eq!(page.matches("waiting</span>").count(), 2);
        let (sheet, page) = html(&WipeView {
            complete: true,
            seen: seen(0),
            deleted: 16,
            collections: Vec::new(),
            ..at("done")
        });
        assert_eq!((sheet.every, sheet.title.as_str()), (None, "Your data is wiped"));
        assert_eq!(page.matches("done</span>").count(), 3);
        assert!(page.contains("16 records deleted at pds.example, the list asked again: 0"), "{page}");
    }

    #[test]
    fn what_is_left_is_never_called_done() {
        let (sheet, page) = html(&WipeView {
            waits_for: Some(Wait::Permission),
            seen: seen(4),
            rows_erased: 16,
            ..at("repo")
        });
        assert_eq!((sheet.every, sheet.title.as_str()), (Some(WAITING), "Wipe not finished"));
        assert!(page.contains("4 records left") && page.contains("4 left</span>"), "{page}");
        assert_eq!(page.matches("done</span>").count(), 2, "the other two places are empty: {page}");
        assert!(
            page.contains("action=\"/account/wipe/retry\"") && page.contains("Sign in again at pds.example")
        );
        let problem = ProblemView {
            at: "2026-11-22T13:08:02.000Z".to_owned(),
            step: "repo".to_owned(),
            collection: None,
            message: "429 <slow down>".to_owned(),
            times: 3,
        };
        let wipe = WipeView { waits_for: Some(Wait::Service), problems: vec![problem], ..at("repo") };
        let (_, page) = html(&wipe);
        assert!(page.contains("“429 &lt;slow down&gt;”.") && page.contains("will go on</span>"), "{page}");
    }
}
