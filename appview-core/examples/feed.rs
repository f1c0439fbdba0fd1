//! Tells what has changed in an index since the last time: every record that is served, then whatever differs.
//!
//! `cargo run --example feed -- ./appview-data/index.db place.txt`; again, for what is new.
//!
//! The place is kept in a file, as two numbers. Within the process that writes, `Applied::feed` and `Pulse::feed` tell
//! when there is more to read; another process asks now and then.

use std::error::Error;
use std::path::Path;

use appview_core::index::{FeedSeq, Index};
use appview_core::query::{FeedCursor, FeedError, FeedEvent, FeedFilter};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, place] = arguments.as_slice() else {
        return Err("expected: INDEX PLACE".into());
    };
    let filter = FeedFilter { collections: vec!["dev.cocore.compute.*".parse()?], ..Default::default() };
    // A new reader sees the newest state, also of an index that was rebuilt meanwhile.
    let reader = Index::open_existing(path)?.reader()?;
    let mut feed = reader.feed(saved(place.as_ref())?, &filter);
    for event in feed.by_ref() {
        if let Err(FeedError::Gap { .. }) = event {
            // Whoever keeps a copy empties it here.
            std::fs::remove_file(place)?;
        }
        match event? {
            FeedEvent::Created { record, .. } => println!("created  {}", record.uri()),
            FeedEvent::Updated { record, .. } => println!("updated  {}", record.uri()),
            FeedEvent::Deleted { did, collection, rkey, .. } => {
                println!("deleted  at://{did}/{collection}/{rkey}")
            }
            FeedEvent::Shown { did, .. } => println!("shown    {did}"),
            FeedEvent::Hidden { did, hosting, .. } => println!("hidden   {did} ({hosting})"),
            FeedEvent::Erased { did, .. } => println!("erased   {did}"),
        }
    }
    let FeedCursor { after, since } = feed.cursor();
    Ok(std::fs::write(place, format!("{after} {since}"))?)
}

fn saved(place: &Path) -> Result<FeedCursor, Box<dyn Error>> {
    if !place.exists() {
        return Ok(FeedCursor::BEGINNING);
    }
    let text = std::fs::read_to_string(place)?;
    let (after, since) = text.split_once(' ').ok_or("expected two numbers")?;
    let [after, since] = [after.parse()?, since.parse()?].map(FeedSeq::from_micros);
    Ok(FeedCursor { after, since })
}
