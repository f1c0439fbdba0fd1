//! Questions to the index, and their answers.
//!
//! A filter, a [`Limit`] and perhaps a [`PageCursor`] enter; a [`Page`] of [`RecordView`]s leaves. Each question is one
//! named SQL text beside its function. What is not to be shown (quarantined records, those of accounts that are not
//! active) is not among the rows that lists are made from, so no list can forget to leave it out. Every order is a
//! function of the records alone: two indexes of the same repositories give the same pages and accept each other's
//! cursors. Deliberately absent: HTTP, and anything that writes.

mod account;
mod activity;
mod attestation;
mod compare;
mod count;
mod evidence;
mod exchange;
mod export;
mod feed;
mod fingerprint;
mod friend;
mod job;
mod latency;
mod page;
mod profile;
mod provider;
mod receipt;
mod record;
mod settlement;
mod span;
mod sums;
mod total;

pub use account::{
    Account, AccountFilter, AccountKind, AccountOrder, AccountPlace, Accounts, Called, Viewer,
};
pub use activity::{Activity, ActivityWindows, ModelActivity, ModelUse, ProviderActivity};
pub use count::{Counts, RepoCounts, VerdictCounts};
pub use exchange::DisputeFilter;
pub use export::ExportFilter;
pub use feed::{CollectionPattern, Feed, FeedCursor, FeedError, FeedEvent, FeedFilter, FeedPage};
pub use fingerprint::{FingerprintOf, Scope};
pub use friend::{FriendEdge, FriendFilter, IncomingFriend};
pub use latency::{Latency, LatencyStats, ModelLatency, ProviderLatency};
pub use page::{Limit, Page, PageCursor, QueryError};
pub use profile::{AccountProfile, MachineView, WEEKS, WeekSeries};
pub use provider::ProviderFilter;
pub use receipt::ReceiptFilter;
pub use record::{FindingView, RecordView};
pub use settlement::SettlementFilter;
pub use span::Span;
pub use total::{Steps, Totals, TotalsOf};

#[cfg(test)]
mod tests;
