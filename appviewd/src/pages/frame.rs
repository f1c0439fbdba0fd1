//! What stands around every page: its head, where it belongs, and what the index it was made from adds up to.

use appview_core::index::{IndexError, IndexReader};
use appview_core::query::Scope;
use maud::{DOCTYPE, Markup, html};

use super::asset::Asset;
use super::part::{counted, identifier};
use crate::config::{Access, PublicUrl};

/// A part of the service, as the navigation has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    /// Everything at a glance.
    Network,
    /// Who offers machines.
    Providers,
    /// What they run.
    Models,
    /// How this index stands.
    Status,
    /// What programs may ask.
    Api,
    /// What is promised.
    Privacy,
    /// What is one person's.
    Account,
    /// A page that is about something else.
    Elsewhere,
}

impl Section {
    const NAVIGATION: [(Self, &'static str, &'static str); 7] = [
        (Self::Network, "Network", "/"),
        (Self::Providers, "Providers", "/providers"),
        (Self::Models, "Models", "/models"),
        (Self::Status, "Status", "/status"),
        (Self::Api, "API", "/api"),
        (Self::Privacy, "Privacy", "/privacy"),
        (Self::Account, "Account", "/account"),
    ];
}

/// What one page is, without its frame.
#[derive(Debug)]
pub(crate) struct Sheet {
    /// What it is called.
    pub(crate) title: String,
    /// Where it belongs.
    pub(crate) section: Section,
    /// After how many seconds a script may ask for it again; never if it does not change by itself.
    pub(crate) every: Option<u32>,
    /// What is on it.
    pub(crate) main: Markup,
}

/// What every page ends with: which index it was made from.
#[derive(Debug, Clone)]
pub(crate) struct Foot {
    fingerprint: String,
    records: u64,
}

impl Foot {
    /// Of the snapshot that the page is made from.
    ///
    /// # Errors
    ///
    /// Failing input or damage.
    pub(crate) fn read(index: &IndexReader) -> Result<Self, IndexError> {
        let whole = index.fingerprint_of(&Scope::Whole)?;
        Ok(Self { fingerprint: whole.fingerprint.to_string(), records: whole.records.total() })
    }
}

/// What is the same around all pages of a service.
#[derive(Debug, Clone, Default)]
pub(crate) struct Frame {
    /// The host it is reached at, where it says so.
    host: Option<String>,
    /// Who runs it, where they say so.
    operator: Option<String>,
}

impl Frame {
    /// The frame of a service that presents itself so.
    pub(crate) fn of(access: &Access) -> Self {
        let url = access.public_url.as_ref().map(PublicUrl::as_str);
        let from_url = url.and_then(|url| url.split_once("://")).map(|(_, host)| host);
        let did = access.service_did.as_ref().and_then(|did| did.as_str().strip_prefix("did:web:"));
        Self { host: from_url.or(did).map(str::to_owned), operator: access.operator.name.clone() }
    }

    /// What the service is called.
    pub(crate) fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// A whole page.
    pub(crate) fn page(&self, sheet: &Sheet, foot: Option<&Foot>) -> String {
        let Sheet { title, section, every, main } = sheet;
        let host = self.host.as_deref();
        let markup = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (title) " · " (host.unwrap_or("cocore index")) }
                    link rel="icon" type="image/svg+xml" href=(Asset::icon().path);
                    link rel="stylesheet" href=(Asset::style().path);
                    script src=(Asset::script().path) defer {}
                }
                body data-live=[every] {
                    a.skip href="#main" { "Skip to content" }
                    header.top {
                        div.wrap {
                            a.home href="/" { "cocore index" @if let Some(host) = host { " " span { (host) } } }
                            nav.nav aria-label="Main" {
                                ul {
                                    @for (place, name, path) in Section::NAVIGATION {
                                        li {
                                            @if place == *section { a href=(path) aria-current="page" { (name) } }
                                            @else { a href=(path) { (name) } }
                                        }
                                    }
                                }
                            }
                        }
                    }
                    div.ruler {}
                    main.wrap #main { (main) }
                    footer.foot {
                        div.wrap {
                            @if let Some(Foot { fingerprint, records }) = foot {
                                p {
                                    "Index " (identifier(fingerprint)) " of "
                                    (counted((*records).cast_signed(), "record", "records"))
                                }
                            }
                            p {
                                @if let Some(operator) = &self.operator { "Operated by " (operator) " · " }
                                a href="/privacy" { "No cookies for visitors, nothing from other hosts" }
                            }
                        }
                    }
                }
            }
        };
        markup.into_string()
    }
}
