//! What accounts are called where a record names them, each looked up once for a page.
//!
//! Whoever is hidden is not named: that is what their host asked for, whoever else's record says otherwise.

use std::cell::RefCell;
use std::collections::HashMap;

use appview_core::index::{IndexError, IndexReader};
use appview_core::query::Called;
use appview_core::syntax::Did;
use maud::{Markup, html};

use super::part::{Cell, Href, identifier};

/// The names of one snapshot.
#[derive(Debug)]
pub(crate) struct Names<'i> {
    index: &'i IndexReader,
    known: RefCell<HashMap<Did, Name>>,
}

/// An account, as a page may name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Name {
    /// By its DID, and the handle that its profile claims.
    Of(Did, Option<String>),
    /// It is not to be named.
    Hidden,
    /// Something stands there that is nobody's DID.
    Nobody,
}

impl<'i> Names<'i> {
    pub(crate) fn of(index: &'i IndexReader) -> Self {
        Self { index, known: RefCell::default() }
    }

    pub(crate) fn name(&self, did: &Did) -> Result<Name, IndexError> {
        if let Some(known) = self.known.borrow().get(did) {
            return Ok(known.clone());
        }
        let name = match self.index.called(did)? {
            Called::Hidden => Name::Hidden,
            Called::Handle(handle) => Name::Of(did.clone(), Some(handle.to_string())),
            Called::Did => Name::Of(did.clone(), None),
        };
        self.known.borrow_mut().insert(did.clone(), name.clone());
        Ok(name)
    }

    /// The name of whoever a record means.
    pub(crate) fn meant(&self, text: &str) -> Result<Name, IndexError> {
        text.parse().map_or(Ok(Name::Nobody), |did| self.name(&did))
    }
}

/// Which page of an account is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// What it offers.
    Provider,
    /// Everything else.
    Person,
}

impl Name {
    /// Its page.
    pub(crate) fn href(&self, side: Side) -> Option<Href> {
        let Self::Of(did, _) = self else { return None };
        Some(Href::to(if side == Side::Provider { "/provider/" } else { "/u/" }, did.as_str()))
    }

    /// What it is called, for a text.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Of(did, None) => did.to_string(),
            Self::Of(_, Some(handle)) => handle.clone(),
            Self::Hidden => "hidden".to_owned(),
            Self::Nobody => "nobody".to_owned(),
        }
    }

    /// A link to its page.
    pub(crate) fn link(&self, side: Side) -> Markup {
        match (self, self.href(side)) {
            (Self::Of(did, Some(handle)), Some(href)) => {
                html! { a href=(href) title=(did.as_str()) { (handle) } }
            }
            (Self::Of(did, None), Some(href)) => html! { a href=(href) { (identifier(did.as_str())) } },
            _ => html! { span.soft { (self.text()) } },
        }
    }

    /// The same in a table.
    pub(crate) fn cell(&self, side: Side) -> Cell {
        let value = match self {
            Self::Of(did, _) => did.to_string(),
            Self::Hidden | Self::Nobody => String::new(),
        };
        Cell::new(self.link(side), value)
    }
}
