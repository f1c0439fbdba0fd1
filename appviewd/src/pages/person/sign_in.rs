//! Signing in and out: what somebody reads who is not signed in here, or cannot be.

use maud::{Markup, html};

use super::super::{Section, Sheet};
use super::{Person, crumb, signed};
use crate::oauth::SignedOut;
use crate::pages::part::counted;

/// Why nobody can sign in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Off {
    /// Nothing is kept of anybody.
    Accounts,
    /// There is nothing to seal sessions with.
    Sessions,
    /// Authorization servers would not know us.
    Client,
}

/// Where somebody says who they are. `host` is what this service is called.
pub(crate) fn sign_in(host: Option<&str>, return_to: &str) -> Sheet {
    let here = host.unwrap_or("this service");
    let main = html! {
        h1 { "Sign in" }
        p.lede { "With your AT Protocol account. You approve it at your own PDS; your password never reaches us." }
        section.cols aria-label="Sign in" {
            form.panel method="post" action="/account/sign-in" {
                input type="hidden" name="returnTo" value=(return_to);
                p {
                    label for="who" { "Handle, DID, or the address of your PDS" }
                    input.mono #who type="text" name="account" required autocomplete="username" autocapitalize="none"
                        spellcheck="false" placeholder="ada.example.net" aria-describedby="who-hint";
                }
                p.hint #who-hint { "Next: your PDS asks whether " (here) " may act for you." }
                p { button.btn type="submit" { "Continue to your PDS" } }
            }
            div.prose {
                h2 { "What you are asked to allow" }
                ul.dots {
                    li { "publish, change and delete records in " code { "dev.cocore.*" } " collections, each by its name" }
                    li { "nothing else: no posts, no messages, no mail address, no other collection" }
                }
                h2 { "What we then keep" }
                ul.dots {
                    li { "your DID" }
                    li { "the access that your PDS gives us, sealed on disk" }
                    li { "a cookie in this browser, which says that it is yours" }
                    li { "hashes of the API keys that you make, and a list of what was done in your name" }
                }
                p.small { a href="/privacy" { "The whole policy, and how each promise is kept" } }
            }
        }
    };
    sheet("Sign in", main)
}

/// Sends somebody on to their own server. Browsers let no form lead to another host, so that a page does.
pub(crate) fn going(url: &str) -> Sheet {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest.split(['/', '?']).next().unwrap_or(rest));
    let main = html! {
        h1 { "Continue at " (host) }
        p.lede { "That is your account’s own server. It asks who you are, and whether we may act for you." }
        section.prose aria-label="Continue" {
            p { a.btn href=(url) rel="noreferrer" { "Go to " (host) } }
            p.small.soft { "You have ten minutes. If you say no there, nothing is kept here." }
        }
    };
    sheet("Sign in", main)
}

/// What a browser is told whose session is over.
pub(crate) fn signed_out() -> Sheet {
    let main = html! {
        h1 { "You are signed out" }
        p.lede { "This browser was signed in here, and is not any more. Nothing was changed by looking at this page." }
        section.prose aria-label="What may have happened" {
            ul.dots {
                li { "You signed out everywhere, or a month has passed." }
                li {
                    "A wipe of yours has ended your sessions, as you wished. That is its last step, and is done only after all "
                    "three places were seen to be empty."
                }
            }
            p { a.btn href="/account" { "Sign in" } }
        }
    };
    sheet("Signed out", main)
}

/// What has ended with signing out everywhere.
pub(crate) fn ended(ended: SignedOut) -> Sheet {
    let SignedOut { session, keys, browsers } = ended;
    let main = html! {
        h1 { "Signed out everywhere" }
        p.lede { "Nobody can act for you through this service any more, until you sign in again." }
        section.prose aria-label="What has ended" {
            ul.dots {
                li { (counted(signed(browsers), "browser is", "browsers are")) " signed out, this one too" }
                li { (counted(signed(keys), "API key is", "API keys are")) " revoked" }
                li {
                    @if session { "Our access at your PDS is deleted here; your PDS is told to forget it, until it hears" }
                    @else { "We had no access at your PDS" }
                }
            }
            p.small.soft { "Your records are where they were: in your repository, and in this index." }
            p { a.btn.quiet href="/account" { "Sign in again" } }
        }
    };
    sheet("Signed out everywhere", main)
}

/// What is said where nobody can sign in, and how whoever runs the service changes that.
pub(crate) fn off(why: Off) -> Sheet {
    let (title, lede) = match why {
        Off::Accounts => (
            "No accounts here",
            "This instance shows what is public, and keeps nothing of anybody: no keys, no sessions, no cookies.",
        ),
        Off::Sessions | Off::Client => (
            "Nobody can sign in here",
            "This instance has API keys, which people make with a token of their PDS. Signing in by a browser is off.",
        ),
    };
    let main = html! {
        h1 { (title) }
        p.lede { (lede) }
        div.cols {
            section aria-labelledby="h-without" {
                h2 #h-without { "What you can do without" }
                ul.dots {
                    li { "Everything that this index shows can be read without an account." }
                    li { "Your records live in your own repository; delete one there, and it leaves this index." }
                    li { "Your repository is to be had from your PDS, by " code { "com.atproto.sync.getRepo" } "." }
                    li { a href="/privacy" { "What this instance promises" } }
                }
            }
            section aria-labelledby="h-operator" {
                h2 #h-operator { "If you run it" }
                (switch(why))
                p.small.soft { code { "appviewd serve --help" } " tells more of each." }
            }
        }
    };
    sheet(title, main)
}

/// How an operator has people sign in.
fn switch(why: Off) -> Markup {
    html! {
        ol.dots.gap-below {
            @if why == Off::Accounts {
                li { "Give the service a name, under which tokens are made for it: " code { "--service-did did:web:…" } "." }
            }
            @if why != Off::Client {
                li {
                    "Make a key that seals sessions, and keep it out of backups of the data: "
                    code { "openssl rand -hex 32 > session.key" } ", then " code { "--session-key-file session.key" } "."
                }
            }
            li {
                "Say where browsers reach it and by which key servers know it: " code { "--public-url https://…" } " and "
                code { "--oauth-client-keys keys.json" } ", which " code { "appviewd account client-key keys.json" }
                " makes. On your own machine "
                code { "--loopback-sign-in" } " is enough."
            }
        }
    }
}

/// A form by which somebody signs in again who is known, and comes back.
pub(super) fn again(person: &Person, return_to: &str) -> Markup {
    html! {
        form.inline method="post" action="/account/sign-in" {
            input type="hidden" name="account" value=(person.did.as_str());
            input type="hidden" name="returnTo" value=(return_to);
            button.btn type="submit" { "Sign in again at " (person.host()) }
        }
    }
}

fn sheet(title: &str, main: Markup) -> Sheet {
    Sheet { title: title.to_owned(), section: Section::Account, every: None, main }
}

/// A page below the account's, with this title.
pub(super) fn below(title: &str, every: Option<u32>, main: &Markup) -> Sheet {
    let main = html! { (crumb()) (main) };
    Sheet { title: title.to_owned(), section: Section::Account, every, main }
}
