//! The policy of this instance: what is promised, how each promise is kept, and by which test it is watched.
//!
//! What the operator chose enters; a page leaves that says nothing else. What an instance does not do, it does not promise: it says
//! so. A test holds the names of tests on it against the tests.

use std::time::Duration;

use maud::{Markup, html};

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

/// What a promise is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    /// Whatever an instance does.
    Everything,
    /// What is kept of people who have keys here.
    Keys,
    /// What is kept of people who sign in here.
    Sessions,
}

/// A promise.
struct Promise {
    number: u32,
    title: &'static str,
    how: Markup,
    about: About,
    tests: &'static [&'static str],
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
            div.gap { (self.readings()) }
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

    fn about_keys(&self) -> Vec<Promise> {
        vec![
            Promise {
                number: 1,
                title: "Your API key is shown to you once, and never again.",
                how: html! { "It is in the one answer that makes it, and in no file, log or backup, in no form." },
                about: About::Keys,
                tests: &["p01_an_api_key_is_in_one_answer_and_nowhere_else"],
            },
            Promise {
                number: 2,
                title: "Nobody gets your key back from us.",
                how: html! { "We keep its SHA-256 hash and its first 15 characters. No method, list or export has more." },
                about: About::Keys,
                tests: &["p02_what_is_kept_of_a_key_is_its_hash_from_which_nobody_gets_it_back"],
            },
            Promise {
                number: 3,
                title: "A wrong key tells nobody anything.",
                how: html! { "Unknown, revoked, expired and malformed keys get the same answer, in the same time." },
                about: About::Keys,
                tests: &["p03_a_key_that_is_no_good_does_not_tell_why"],
            },
            Promise {
                number: 4,
                title: "The access that your PDS gives us is sealed on disk.",
                how: html! { "Tokens, and the key that they are bound to, are never written as they are: not after a refresh, not after a crash in the middle of one." },
                about: About::Sessions,
                tests: &["p04_tokens_and_the_key_that_they_are_bound_to_are_never_on_disk_as_they_are"],
            },
            Promise {
                number: 5,
                title: "What seals it is not beside it.",
                how: html! { "The key comes from a file, a credential or the environment, never from the database. Without it no session opens, and the service says so instead of starting." },
                about: About::Sessions,
                tests: &["p05_without_its_key_no_session_opens_and_the_daemon_says_so_before_anything_else"],
            },
            Promise {
                number: 6,
                title: "That access is used for your records only.",
                how: html! { "To publish, list and delete " code { "dev.cocore.*" } " records in your repository at your PDS, and for a token for our own methods. " a href="/account#h-audit" { "Your account page" } " lists each use: what, when, by whom. The list is kept for 90 days." },
                about: About::Sessions,
                tests: &[
                    "p06_a_session_is_used_for_its_owners_records_of_ours_at_its_owners_pds_and_each_use_is_told",
                ],
            },
            Promise {
                number: 18,
                title: "Signing out ends this browser; signing out everywhere ends all.",
                how: html! { "The first is refused by the server from then on, and your keys keep working. The second revokes the keys and gives up our access too." },
                about: About::Sessions,
                tests: &["p18_signing_out_ends_the_browser_alone_and_signing_out_everywhere_ends_all"],
            },
            Promise {
                number: 19,
                title: "A session that has ended is gone here at once.",
                how: html! { "Whatever your server says. It is told to forget its token, for a week if it does not hear; what waits for that is sealed." },
                about: About::Sessions,
                tests: &[
                    "p19_a_session_that_is_ended_is_gone_here_at_once_and_its_server_is_told_until_it_hears",
                ],
            },
        ]
    }

    fn about_records(&self) -> Vec<Promise> {
        vec![
            Promise {
                number: 7,
                title: "Delete a record, and it leaves this index.",
                how: html! { "Within seconds when the relay tells us; within " (span(self.keeping.audited_within)) " when it does not, because we ask your PDS ourselves." },
                about: About::Everything,
                tests: &["p07_what_is_deleted_at_its_pds_is_gone_from_the_index_within_seconds"],
            },
            Promise {
                number: 8,
                title: "What you deleted does not come back.",
                how: html! { "In whatever order, and however often, it is told again." },
                about: About::Everything,
                tests: &["p08_what_was_deleted_does_not_come_back_in_whatever_order_it_is_told"],
            },
            Promise {
                number: 9,
                title: "Your records live at your PDS. This index is a copy.",
                how: html! { "It can be deleted and built again from the network at any time, and is the same then: its " a href="/status#h-fingerprint" { "fingerprint" } " says so." },
                about: About::Everything,
                tests: &["p09_the_index_can_be_had_again_from_its_sources"],
            },
            Promise {
                number: 20,
                title: "You can take everything along, and your repository without us.",
                how: html! { "Export is a link to your own PDS, and a file of all else that is held of you. Whoever leaves is not shown until they sign in again." },
                about: About::Keys,
                tests: &[
                    "p20_everybody_can_take_their_data_along_without_us",
                    "p20_whoever_leaves_is_not_shown_until_they_sign_in_again",
                ],
            },
        ]
    }

    fn about_wiping(&self) -> Vec<Promise> {
        vec![
            Promise {
                number: 10,
                title: "You can wipe everything, in all three places.",
                how: html! { "Every " code { "dev.cocore.*" } " record in your repository, be it of a kind that we know or not; every row of this index; every key, and all else that is held but what keeps you signed in. " a href="/account#h-wipe" { "Wipe all my data" } },
                about: About::Sessions,
                tests: &["p10_a_wipe_deletes_records_rows_and_keys"],
            },
            Promise {
                number: 11,
                title: "A wipe goes on by itself, and is never called done too early.",
                how: html! { "It is on disk before it begins, goes on after a crash or a dead session, and says what is left and why until all three places were seen to be empty." },
                about: About::Keys,
                tests: &[
                    "p11_a_wipe_that_is_interrupted_anywhere_is_told_to_be_incomplete_and_goes_on",
                    "p11_a_wipe_goes_on_whose_process_is_killed_at_any_request",
                ],
            },
            Promise {
                number: 12,
                title: "What was wiped stays wiped.",
                how: html! { "No old stream, export, index or backup brings it back. We keep one line for that: your DID, and up to which revision. What you publish later is shown." },
                about: About::Keys,
                tests: &[
                    "p12_what_was_wiped_stays_wiped_whatever_tells_of_it_again",
                    "p12_neither_a_backup_nor_a_renewal_under_way_brings_back_what_was_wiped",
                ],
            },
            Promise {
                number: 13,
                title: "A wipe touches nobody else.",
                how: html! { "What others say of you in their own repositories is theirs, and stays." },
                about: About::Keys,
                tests: &["p13_a_wipe_touches_nobody_else"],
            },
            Promise {
                number: 14,
                title: "Of what is erased no byte is left.",
                how: html! { "Not in the database, its free pages or its log, whoever reads meanwhile." },
                about: About::Keys,
                tests: &[
                    "p14_of_what_is_erased_no_byte_is_left_while_others_read",
                    "p14_of_what_is_wiped_no_byte_is_left_in_any_file_of_a_daemon_that_runs",
                ],
            },
        ]
    }

    fn about_visitors(&self) -> Vec<Promise> {
        let Access { bluesky_api, .. } = self.access;
        vec![
            Promise {
                number: 15,
                title: "Prompts and replies are not kept.",
                how: html! { "No table, file or log has a place for them. Receipts hold hashes, counts and prices." },
                about: About::Everything,
                tests: &["p15_no_prompt_and_no_reply_is_kept"],
            },
            Promise {
                number: 16,
                title: "No third party hears of you through us.",
                how: html! {
                    "Pages load nothing from other hosts, and your browser is told to refuse it. We talk to relays, the DID directory, name servers "
                    "and people’s own servers."
                    @if let Some(api) = bluesky_api {
                        " " strong { "One exception, by the operator’s choice: " } (host_of(api)) " is asked for names and pictures that profiles "
                        "lack, and so learns which accounts are looked at here, though not by whom."
                    }
                },
                about: About::Everything,
                tests: &["p16_no_third_party_hears_of_anybody_through_us"],
            },
            Promise {
                number: 17,
                title: "Whoever only looks leaves no trace.",
                how: html! {
                    "No cookie, no storage, no pixel. Addresses are counted in memory to limit who asks too much, and written nowhere; the log has no "
                    "query. A cookie comes with signing in, and goes with signing out."
                },
                about: About::Everything,
                tests: &["p17_whoever_only_looks_gets_no_cookie_and_is_not_told_from_others"],
            },
            Promise {
                number: 21,
                title: "Your DID is all that is kept of who you are.",
                how: html! {
                    "No mail address, no telephone, no user agent, no history of handles. "
                    @match self.keeping.log_names {
                        LogNames::Hashes => "The log does not name your DID either: it has a word in its place that changes at each start.",
                        LogNames::Dids => { strong { "The operator has chosen that the log names DIDs." } }
                    }
                },
                about: About::Everything,
                tests: &["p21_of_who_somebody_is_the_did_is_all_that_is_kept"],
            },
            Promise {
                number: 22,
                title: "Whoever runs this program keeps the same promises.",
                how: html! { "They hold for the program as it comes, and no setting takes one back that is not told on this page." },
                about: About::Everything,
                tests: &["p22_whoever_runs_the_program_as_it_comes_keeps_the_same_promises"],
            },
            Promise {
                number: 23,
                title: "This page, the list and the tests say the same.",
                how: html! { "The tests fail if a promise here has none, or if they watch one that is not here." },
                about: About::Everything,
                tests: &["p23_the_list_and_the_tests_say_the_same"],
            },
        ]
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
