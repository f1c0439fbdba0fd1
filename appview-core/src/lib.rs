//! Firehose bytes in, a verified and rebuildable SQLite index of `dev.cocore.*` records out.

pub mod block;
pub mod index;
pub mod limits;
pub mod query;
pub mod record;
pub mod repo;
pub mod sync;
pub mod syntax;
