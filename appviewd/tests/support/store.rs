//! An account store alone, and whom it is about.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part")]

use std::path::Path;

use appview_core::syntax::Did;
use appviewd::account::AccountStore;
use appviewd::secret::Secret;

use super::service::{SESSION_KEY, ring};

pub fn ada() -> Did {
    "did:web:ada.example".parse().unwrap()
}

pub fn boris() -> Did {
    "did:web:boris.example".parse().unwrap()
}

pub fn tokens(text: &str) -> Secret<Vec<u8>> {
    Secret::new(text.as_bytes().to_vec())
}

/// The store of a folder.
pub fn open(folder: &Path) -> AccountStore {
    AccountStore::open(folder.join("account.db"), Some(ring(SESSION_KEY))).unwrap()
}
