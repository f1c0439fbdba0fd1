//! Firehose bytes in, a verified and rebuildable SQLite index of `dev.cocore.*` records out.
//!
//! An AT Protocol repository is a signed tree of records. This crate reads the messages by which repositories change,
//! proves each of them against the repository's key and the tree that is held, and keeps the records in one SQLite
//! file, together with the head of every chain and the cursor of every stream, in one transaction. Equal repositories
//! give an equal [`Fingerprint`](index::Fingerprint) at any two indexes, however they came by them.
//!
//! ```
//! use appview_core::index::Index;
//! use appview_core::query::{Limit, ProviderFilter};
//! use appview_core::record::Catalog;
//! use appview_core::source::replay::{Identities, RepoFolder, prove_export};
//! use appview_core::sync::{Change, Scope};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("index.db");
//! // Exports of a recorded network, and the documents that say who signs for whom.
//! let recorded = "../fixtures/pds-scenario-a";
//! let identities = Identities::open(format!("{recorded}/plc.json"))?;
//!
//! let index = Index::open(path)?;
//! let mut writer = index.writer(Catalog::builtin()?)?;
//! for car in RepoFolder::new(format!("{recorded}/repos")).cars()? {
//!     // Only a proof can make a change that the writer takes.
//!     let (repo, _) = prove_export(&car, &identities, &Scope::default())?;
//!     writer.apply(&[Change::Repo(repo)], &[], 0)?;
//! }
//!
//! let newest = index.reader()?.list_providers(&ProviderFilter::default(), Limit::new(1)?, None)?;
//! assert_eq!(newest.items.len(), 1);
//! assert_eq!(index.fingerprint()?.to_string().len(), 64);
//! # Ok(())
//! # }
//! ```
//!
//! The rooms, in the order in which bytes flow; each may use those before it:
//!
//! - [`limits`], [`syntax`]: every limit of the protocol; its string types, parsed once.
//! - [`block`]: CIDs, strict DAG-CBOR, CARs.
//! - [`repo`]: keys, commits, the Merkle search tree.
//! - [`sync`]: from messages to proven changes. [`sync::verify`] proves; [`sync::Verifier`] keeps the order, without any
//!   input or output of its own.
//! - [`record`]: lexicons, how well a record keeps them, typed views.
//! - [`trust`]: whether receipts and settlements are what they say.
//! - [`index`]: the file: [`Index`](index::Index), [`IndexWriter`](index::IndexWriter),
//!   [`IndexReader`](index::IndexReader), rebuild, check.
//! - [`query`]: what a reader can be asked.
//! - [`source`]: where frames and repositories come from, and the [`Pump`](source::pump::Pump) that carries them into the
//!   index.
//!
//! Nothing but `source` knows the time, and without features nothing brings an async runtime. The one feature is `net`: it
//! follows relays and asks directories and PDSes ([`source`]), and brings tokio, a WebSocket client and an HTTP client.
//!
//! The invariants, the words and the decisions behind all of this stand in `ARCHITECTURE.md` of the repository.

pub mod block;
pub mod index;
pub mod limits;
pub mod query;
pub mod record;
pub mod repo;
pub mod source;
pub mod sync;
pub mod syntax;
pub mod trust;

#[cfg(all(doctest, feature = "net"))]
#[doc = include_str!("../../README.md")]
mod readme {}

#[cfg(doctest)]
#[doc = include_str!("../../docs/embed.md")]
mod embed {}
