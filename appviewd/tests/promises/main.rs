//! The promises of PROMISES.md, each as a test that a broken promise fails. A test is named after its promise: `p01_…`.
//!
//! `just promises` runs them and prints the list with what came of it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod erased;
mod index;
mod keys;
mod killed;
mod list;
mod privacy;
mod sealed;
mod sessions;
mod unknown;
mod wipe;
