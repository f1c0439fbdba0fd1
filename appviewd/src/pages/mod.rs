//! Pages for people: what the index holds, and how it stands, as HTML.
//!
//! Each page is a file: it asks a snapshot of the index its questions, and what it found becomes markup. What pages are made
//! of is in `part`, what stands around each in `frame`. They need no script and are better with one; nothing is asked of
//! another host. Deliberately absent: paths and parameters, which are `http`'s, SQL, and any word of a record that is not
//! escaped or that leads out of here.

mod account;
mod asset;
mod chain;
mod earned;
mod error;
mod frame;
mod machine;
mod model;
mod models;
mod name;
mod network;
pub(crate) mod part;
pub(crate) mod person;
mod privacy;
mod provider;
mod providers;
mod range;
mod receipt;
mod receipts;
mod status;
mod verdict;

pub(crate) use account::AccountPage;
pub(crate) use asset::Asset;
pub(crate) use error::error;
pub(crate) use frame::{Foot, Frame, Section, Sheet};
pub(crate) use model::{ModelAsked, ModelPage};
pub(crate) use models::ModelsPage;
pub(crate) use network::NetworkPage;
pub(crate) use privacy::PrivacyPage;
pub(crate) use provider::{ProviderAsked, ProviderPage};
pub(crate) use providers::{ProvidersAsked, ProvidersPage};
pub(crate) use range::Range;
pub(crate) use receipt::ReceiptPage;
pub(crate) use receipts::{Judged, Judgement, Receipts};
pub(crate) use status::StatusPage;

use appview_core::query::PageCursor;
use appview_core::record::Collection;
use appview_core::syntax::{AtUri, Did};
use maud::{Markup, html};

use part::{Href, Table};

/// Rows of a list on one page.
const ROWS: i64 = 25;

/// What was found for a page, and how it is written.
pub(crate) trait Page: Send + 'static {
    /// The receipts on it, which are judged before it is written.
    fn receipts(&mut self) -> Option<&mut Receipts> {
        None
    }

    /// Its list, for those who want it as a file.
    fn list(&self) -> Option<List> {
        None
    }

    /// The page.
    fn sheet(&self) -> Sheet;
}

/// A list as a file.
#[derive(Debug)]
pub(crate) struct List {
    /// The file's name, without its ending.
    pub(crate) name: String,
    /// What is in it.
    pub(crate) table: Table,
    /// The page that goes on where this one ends.
    pub(crate) next: Option<Href>,
}

/// The page of whatever somebody has in hand: a DID, the address of a record, or a part of a provider's name.
pub(crate) fn lookup(q: &str) -> Href {
    if let Ok(uri) = q.parse::<AtUri>() {
        return match (uri.collection(), uri.rkey()) {
            (Some(collection), Some(_)) if collection == Collection::Receipt.nsid() => {
                Href::to("/receipt/", q)
            }
            (_, Some(_)) => Href::new("/xrpc/dev.cocore.appview.getRecord").with("uri", Some(q)),
            _ => Href::to("/u/", uri.authority()),
        };
    }
    match q.parse::<Did>() {
        Ok(did) => Href::to("/u/", did.as_str()),
        Err(_) => Href::new("/providers").with("q", Some(q).filter(|q| !q.is_empty())),
    }
}

/// Links to the other parts of a list.
fn pager(href: &Href, is_first: bool, cursor: Option<&PageCursor>) -> Markup {
    let first = href.with("cursor", None::<String>);
    let next = cursor.map(|cursor| href.with("cursor", Some(cursor.to_string())));
    html! {
        @if !is_first || next.is_some() {
            nav.pager aria-label="Pages" {
                @if !is_first { a href=(first) { "First page" } }
                @if let Some(next) = next { a href=(next) rel="next" { "Next page" } }
            }
        }
    }
}
