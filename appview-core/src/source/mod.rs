//! Where frames and repositories come from, and the loop that carries them into the index.
//!
//! Bytes from disk or from the network enter; batches of proven changes leave towards an [`IndexWriter`]. [`pump`] is the
//! only loop; [`replay`] reads recordings, DID documents and exports from disk. The feature `net` adds `relay`, a WebSocket
//! to a relay, whose messages travel in a `burst`, and `jetstream`, what is said on one to a Jetstream; `directory`, `handle`,
//! `pds` and `discovery`, which ask who signs, whom a handle names, what a repository holds and who has records; `authority`,
//! which asks who brokers and exchanges are; `http`, `turns`, `reach`, `spool` and `wishes`, which keep that within
//! bounds and are polite about it; `network`, which answers the pump with all of them, and `backlog`, how far it has come;
//! `rebuild`, which fills a whole index so; `queue`, the one way to the pump; `orders`, an operator's; `wire` and `clock`,
//! which are all of the world outside and can be a test's; `writing`, the thread that writes; and `follow`, which runs it all. This is the one room of the
//! library that may ask for the time. Deliberately absent: any judgement about what was received.
//!
//! [`IndexWriter`]: crate::index::IndexWriter

#[cfg(feature = "net")]
pub mod authority;
#[cfg(feature = "net")]
pub mod backlog;
pub mod burst;
#[cfg(feature = "net")]
pub mod clock;
#[cfg(feature = "net")]
mod counts;
#[cfg(feature = "net")]
pub mod directory;
#[cfg(feature = "net")]
pub mod discovery;
#[cfg(feature = "net")]
mod errand;
#[cfg(feature = "net")]
pub mod follow;
#[cfg(feature = "net")]
pub mod handle;
#[cfg(feature = "net")]
pub mod http;
#[cfg(feature = "net")]
pub mod jetstream;
#[cfg(feature = "net")]
mod kept;
#[cfg(feature = "net")]
pub mod network;
#[cfg(feature = "net")]
pub mod orders;
#[cfg(feature = "net")]
pub mod pds;
pub mod pump;
#[cfg(feature = "net")]
pub mod queue;
#[cfg(feature = "net")]
pub mod reach;
#[cfg(feature = "net")]
pub mod rebuild;
#[cfg(feature = "net")]
pub mod relay;
pub mod replay;
#[cfg(feature = "net")]
pub mod spool;
#[cfg(feature = "net")]
pub mod turns;
#[cfg(feature = "net")]
mod visit;
#[cfg(feature = "net")]
pub mod wire;
#[cfg(feature = "net")]
pub mod wishes;
#[cfg(feature = "net")]
mod writing;

use std::time::{SystemTime, UNIX_EPOCH};

/// Microseconds since the Unix epoch by the system's clock.
#[must_use]
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
