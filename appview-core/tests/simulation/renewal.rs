//! An index that is built anew from the simulated network while the old one goes on, and takes its place as in the daemon.

use std::future::pending;
use std::sync::Arc;

use appview_core::index::{Index, IndexWriter};
use appview_core::source::clock::Clock;
use appview_core::source::rebuild::{Anew, Asked};
use appview_core::sync::Scope;

use crate::run::CATALOG;

/// Looks at what moved while the network is followed.
const LOOKS: u32 = 3;

/// What became of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Renewed {
    /// It is in the place of the old one, and has everyone.
    Whole,
    /// It is in its place, and others are still to be proven or found.
    InPart,
    /// It was left aside, because it had not everyone.
    LeftAside,
}

impl Renewed {
    pub const ALL: [Self; 3] = [Self::Whole, Self::InPart, Self::LeftAside];
}

/// Builds one from a moment on; never, if there is none.
pub async fn build(index: &Index, clock: &Clock, asked: Asked, at: Option<u64>) -> Anew {
    match at {
        Some(at) => clock.until(at).await,
        None => pending().await,
    }
    let mut anew = Anew::build(index.path(), Arc::clone(&CATALOG), asked, |_| ()).await.unwrap();
    for _ in 0..LOOKS {
        if anew.catch_up(Scope::default()).await.unwrap() == 0 {
            break;
        }
    }
    anew
}

/// Puts one in the place of the index that `writer` writes, while nobody follows; in part only if that will do.
pub async fn put(mut anew: Anew, writer: IndexWriter, in_part: bool) -> (Renewed, IndexWriter) {
    anew.catch_up(Scope::default()).await.unwrap();
    match anew.compare().unwrap().is_whole() {
        true => (Renewed::Whole, anew.swap(writer).unwrap()),
        false if in_part => (Renewed::InPart, anew.swap(writer).unwrap()),
        false => (Renewed::LeftAside, writer),
    }
}
