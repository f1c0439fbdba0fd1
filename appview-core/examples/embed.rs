//! Asks an index: the newest receipts with their prices, and the fingerprint of everything.
//!
//! `cargo run --example embed -- ./appview-data/index.db`; without a path, an index of this repository's recording is
//! made for the occasion.

use std::error::Error;
use std::path::Path;

use appview_core::index::Index;
use appview_core::query::{Limit, ReceiptFilter};
use appview_core::record::compute::Receipt;
use appview_core::record::{Catalog, TypedRecord as _};
use appview_core::source::replay::{Identities, Offline, Recording, RepoFolder, play};
use appview_core::sync::Scope;

fn main() -> Result<(), Box<dyn Error>> {
    let scratch = tempfile::tempdir()?;
    let index = match std::env::args().nth(1) {
        Some(path) => Index::open(path)?,
        None => recorded(&scratch.path().join("index.db"))?,
    };
    // A reader is one snapshot: all answers agree with each other, whatever is written meanwhile.
    let page = index.reader()?.list_receipts(&ReceiptFilter::default(), Limit::new(5)?, None)?;
    for record in &page.items {
        let receipt = Receipt::from_block(&record.block)?;
        println!("{}  {}  {} {}", record.uri(), receipt.model, receipt.price.amount, receipt.price.currency);
    }
    println!("fingerprint {}", index.fingerprint()?);
    Ok(())
}

/// Plays a recorded stream into a new index, with saved documents and exports in the place of a network.
fn recorded(path: &Path) -> Result<Index, Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/pds-scenario-a");
    let identities = Identities::open(folder.join("plc.json"))?;
    let upstream = Offline::new(identities, Some(RepoFolder::new(folder.join("repos"))), Scope::default());
    let mut recording = Recording::open(folder.join("frames-live.bin"))?;
    let index = Index::create(path)?;
    let mut writer = index.writer(Catalog::builtin()?)?;
    let played = play(&mut recording, &mut writer, upstream, Scope::default(), |_| ())?;
    println!("{} messages, {} commits proven", played.tally.frames, played.tally.commits);
    Ok(index)
}
