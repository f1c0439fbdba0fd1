//! The policy of this instance: what is promised, how each promise is kept, and by which test it is watched.
//!
//! What the operator chose enters; a page leaves that says nothing else. What an instance does not do, it does not promise: it says
//! so. A test holds the names of tests on it against the tests.

mod promise;

use std::time::Duration;

use maud::{Markup, html};

use promise::{About, Promise};

use super::part::{counted, seconds, strip};
use super::person::Off;
use super::{Section, Sheet};
use crate::config::{Access, LogNames, Operator, PublicUrl};
use crate::http::Keeping;

/// What people are told of a service.
#[derive(Debug)]
pub(crate) struct PrivacyPage<'a> {
    /// As what it presents itself.
    pub(crate) access: &'a Access,
    /// What it keeps for how long.
    pub(crate) keeping: Keeping,
    /// What it is called.
    pub(crate) host: Option<&'a str>,
    /// Why nobody can sign in, if nobody can.
    pub(crate) off: Option<Off>,
}

impl PrivacyPage<'_> {
    pub(crate) fn sheet(&self) -> Sheet {
        let here = self.host.unwrap_or("this service");
        let main = html! {
            h1 { "Privacy" }
            p.lede {
                "What "
                @if let Some(name) = &self.access.operator.name { (name) ", who runs " (here) "," } @else { "whoever runs " (here) }
                " promises, and how the software keeps each promise. Each has a test that fails when the promise is broken."
            }
            div.roomy.gap { (self.readings()) }
            @if let Some(why) = self.off { (not_here(why)) }
            (self.group("keys", "Keys and sessions", &self.about_keys()))
            (self.group("records", "Your records", &self.about_records()))
            (self.group("wiping", "Wiping and leaving", &self.about_wiping()))
            (self.group("not-kept", "What is not kept", &self.about_visitors()))
            section aria-labelledby="h-cannot" {
                h2 #h-cannot { "What nobody here can promise" }
                ul.dots.prose {
                    li { "Records are public. Other indexes may have copied them before you deleted them." }
                    li {
                        "Records that others publish and that name you, such as a provider’s receipt for your job, are theirs to delete."
                    }
                    li { "Your PDS and the exchange have policies of their own." }
                    li { "Backups that an operator makes of the disk are theirs to keep safe and to throw away. A backup of accounts leaves sessions out." }
                }
            }
        };
        Sheet { title: "Privacy".to_owned(), section: Section::Privacy, every: None, main }
    }

    fn readings(&self) -> Markup {
        let Operator { name, contact } = &self.access.operator;
        let Keeping { audited_within, hidden_kept, deletions_told, log_names } = self.keeping;
        strip(&[
            ("Operator", html! { @match name { Some(name) => (name), None => "has not said who it is" } }),
            (
                "Contact",
                html! {
                    @match contact { Some(contact) => { a.break href=(contact.href()) rel="noreferrer" { (contact.as_str()) } } None => "none is given" }
                },
            ),
            (
                "Accounts",
                html! {
                    @match self.off { None => "people sign in here", Some(Off::Accounts) => "none are kept", Some(_) => "API keys, no sign-in" }
                },
            ),
            ("Records of hidden accounts", html! { "erased after " (span(hidden_kept)) }),
            ("Each repository is checked", html! { "within " (span(audited_within)) }),
            ("Deletions are told for", html! { (span(deletions_told)) }),
            (
                "The log names people",
                html! { @match log_names { LogNames::Hashes => "by a word that changes at each start", LogNames::Dids => "by their DIDs" } },
            ),
            (
                "Others are asked about people",
                html! {
                    @match &self.access.bluesky_api { None => "no", Some(api) => { (host_of(api)) ", for names and pictures" } }
                },
            ),
        ])
    }

    fn group(&self, id: &str, title: &str, promises: &[Promise]) -> Markup {
        html! {
            section aria-labelledby={ "h-" (id) } {
                h2 id={ "h-" (id) } { (title) }
                ul.promise.gap {
                    @for Promise { number, title, how, about, tests } in promises {
                        li id={ "p" (number) } {
                            h3 { (title) }
                            div {
                                p { (how) }
                                @if !self.is_done(*about) { p.small.warn { (why_not(*about)) } }
                                p.small.soft.break {
                                    "P" (number) ", watched by "
                                    @for (at, test) in tests.iter().enumerate() { @if at > 0 { ", " } code { (test) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn is_done(&self, about: About) -> bool {
        match about {
            About::Everything => true,
            About::Keys => self.off != Some(Off::Accounts),
            About::Sessions => self.off.is_none(),
        }
    }
}

/// What an instance says that keeps less than it could.
fn not_here(why: Off) -> Markup {
    html! {
        p.note.gap.prose {
            @match why {
                Off::Accounts => "This instance keeps no accounts: there are no API keys, sessions or wipes here. What the software promises of them is told all the same, because it holds wherever they are switched on. ",
                Off::Sessions | Off::Client => "Nobody signs in to this instance. What the software promises of sessions is told all the same, because it holds wherever they are switched on. ",
            }
            a href="/account" { "What you can do without" }
        }
    }
}

fn why_not(about: About) -> &'static str {
    match about {
        About::Sessions => "Not here: nobody signs in to this instance.",
        About::Keys | About::Everything => "Not here: this instance keeps no accounts.",
    }
}

/// A span of time, in words.
fn span(span: Duration) -> String {
    const DAY: u64 = 24 * 60 * 60;
    match span.as_secs() {
        whole if whole > 0 && whole % DAY == 0 => counted((whole / DAY).cast_signed(), "day", "days"),
        whole if whole > 0 && whole < DAY && whole % 60 == 0 => {
            counted((whole / 60).cast_signed(), "minute", "minutes")
        }
        whole => seconds(whole),
    }
}

fn host_of(url: &PublicUrl) -> &str {
    url.as_str().split_once("://").map_or(url.as_str(), |(_, host)| host)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn page(access: &Access, keeping: Keeping, off: Option<Off>) -> String {
        PrivacyPage { access, keeping, host: Some("appview.example"), off }.sheet().main.into_string()
    }

    #[test]
    fn the_policy_is_that_of_the_configuration() {
        let operator = Operator {
            name: Some("<Example> Co-op".to_owned()),
            contact: Some("privacy@appview.example".parse().unwrap()),
        };
        let bluesky_api = Some("https://public.api.example".parse().unwrap());
        let access = Access { operator, bluesky_api, ..Access::default() };
        let keeping = Keeping {
            audited_within: Duration::from_secs(20 * 60),
            hidden_kept: Duration::from_secs(7 * 24 * 60 * 60),
            log_names: LogNames::Dids,
            ..Keeping::default()
        };
        let html = page(&access, keeping, None);
        for told in [
            "&lt;Example&gt; Co-op, who runs appview.example,",
            "href=\"mailto:privacy@appview.example\"",
            "erased after 7 days",
            "within 20 minutes",
            "public.api.example is asked for names",
            "The operator has chosen that the log names DIDs.",
        ] {
            assert!(html.contains(told), "{told}: {html}");
        }
        assert!(!html.contains("Not here:"));
    }

    #[test]
    fn what_an_instance_does_not_do_it_says() {
        let not_here = |off| page(&Access::default(), Keeping::default(), off).matches("Not here:").count();
        let (without_accounts, without_sessions) =
            (not_here(Some(Off::Accounts)), not_here(Some(Off::Sessions)));
        assert_eq!((not_here(None), not_here(Some(Off::Client))), (0, without_sessions));
        assert!(0 < without_sessions && without_sessions < without_accounts && without_accounts < 22);
    }
}
