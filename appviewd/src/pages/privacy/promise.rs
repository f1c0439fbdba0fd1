//! The promises, as people read them: PROMISES.md in fewer words, with what this instance is set to.

use maud::{Markup, html};

use super::{PrivacyPage, host_of, span};
use crate::config::{Access, LogNames};

/// What a promise is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// Whatever an instance does.
    Everything,
    /// What is kept of people who have keys here.
    Keys,
    /// What is kept of people who sign in here.
    Sessions,
}

/// A promise.
pub(super) struct Promise {
    /// Its number in PROMISES.md.
    pub(super) number: u32,
    /// What is promised.
    pub(super) title: &'static str,
    /// How it is kept.
    pub(super) how: Markup,
    /// What it is about.
    pub(super) about: About,
    /// What fails when it is broken.
    pub(super) tests: &'static [&'static str],
}

impl PrivacyPage<'_> {
    pub(super) fn about_keys(&self) -> Vec<Promise> {
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

    pub(super) fn about_records(&self) -> Vec<Promise> {
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

    pub(super) fn about_wiping(&self) -> Vec<Promise> {
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

    pub(super) fn about_visitors(&self) -> Vec<Promise> {
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
