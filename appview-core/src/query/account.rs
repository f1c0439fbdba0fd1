//! The directory of accounts.

use serde::Serialize;

use super::{Limit, PageCursor, QueryError};
use crate::index::IndexReader;
use crate::syntax::{Datetime, Did};

/// In which order accounts are listed. Among equals the greater DID comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AccountOrder {
    /// Last activity first.
    #[default]
    Recent,
    /// Last joined first.
    Newest,
}

/// Which accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AccountKind {
    /// All that have a record.
    #[default]
    All,
    /// Those with a machine on offer, or one that was.
    Providers,
}

/// Who is left out for somebody's sake.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Viewer {
    /// Nobody.
    #[default]
    Anyone,
    /// This account.
    Account(Did),
    /// This account, and whom it trusts.
    AccountAndFriends(Did),
}

/// Which accounts, and how; all of what is given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccountFilter {
    /// In which order.
    pub order: AccountOrder,
    /// Of which kind.
    pub kind: AccountKind,
    /// Who is left out.
    pub viewer: Viewer,
    /// A part of the profile's handle or of the DID, whatever the case of its ASCII letters; an empty one is in all.
    ///
    /// As it is to be looked for: without the `@` before it.
    pub q: String,
}

/// Where a part of the directory begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountPlace<'c> {
    /// After so many accounts that match.
    Offset(u32),
    /// Where an earlier page ended.
    After(&'c PageCursor),
}

impl Default for AccountPlace<'_> {
    fn default() -> Self {
        Self::Offset(0)
    }
}

/// One account, as the directory shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// The account.
    pub did: Did,
    /// Its handle, as its profile says; nobody has checked it.
    pub handle: Option<String>,
    /// Its name to show.
    pub display_name: Option<String>,
    /// Where its picture can be fetched.
    pub avatar_url: Option<String>,
    /// The time of its first record; none if no record of it tells one.
    pub joined_at: Option<Datetime>,
    /// The time of its last record, but not later than its repository's newest commit.
    pub last_activity_at: Option<Datetime>,
    /// How many machines it offers or has offered.
    pub provider_count: u64,
    /// Whether there is any.
    pub is_provider: bool,
}

/// A part of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accounts {
    /// The accounts.
    pub accounts: Vec<Account>,
    /// How many match, on this page or another.
    pub total: u64,
    /// Where to go on; none on the last page.
    pub cursor: Option<PageCursor>,
}

impl IndexReader {
    /// The accounts that match `filter`: active ones with at least one record that is shown.
    ///
    /// # Errors
    ///
    /// [`QueryError::Cursor`], also for one of another order; failing input or damage.
    pub fn list_accounts(
        &self,
        filter: &AccountFilter,
        limit: Limit<100>,
        place: AccountPlace<'_>,
    ) -> Result<Accounts, QueryError> {
        let _ = (filter, limit, place);
        todo!()
    }
}
