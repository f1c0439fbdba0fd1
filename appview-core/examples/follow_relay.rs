//! Follows a relay into an index until interrupted, and says now and then how far it has come.
//!
//! `cargo run --features net --example follow_relay -- index.db wss://relay.example`
//!
//! Who signs is asked of the PLC directory, repositories are fetched from their PDSes, and the relay is asked who has any.
//! Started again, it goes on after the cursor that was written with the last rows.

use std::error::Error;
use std::time::Duration;

use appview_core::index::Index;
use appview_core::record::{Catalog, Collection};
use appview_core::source::follow::{Answers, Following, Pulse, Source, follow};
use appview_core::source::network::Network;
use appview_core::source::wire::{Outside, Reach};
use appview_core::sync::Scope;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, relay] = arguments.as_slice() else {
        return Err("expected: INDEX RELAY".into());
    };
    let index = Index::open(path)?;
    // Who answers when a key or a whole repository is needed: here the network, elsewhere whatever implements `Upstream`.
    let outside = Outside::internet(Reach::Public)?;
    let network = Network::new(&outside, "https://plc.directory", std::env::temp_dir(), Scope::default());
    let collections = Collection::ALL.iter().map(|collection| collection.nsid().parse());
    let answers = Answers::Network { network, collections: collections.collect::<Result<_, _>>()? };
    let following = Following::new(vec![Source::Relay(relay.parse()?)], answers, outside);

    // A pulse is shared: the engine writes it, anyone reads it.
    let pulse = Pulse::default();
    let watched = pulse.clone();
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_secs(10));
        loop {
            tick.tick().await;
            let beat = watched.read();
            eprintln!(
                "{} messages, {} commits proven, {:?}",
                beat.tally.frames, beat.tally.commits, beat.cursors
            );
        }
    });

    // Returns after the last transaction, with everything that was received.
    let shutdown = async { drop(tokio::signal::ctrl_c().await) };
    let writer = follow(index.writer(Catalog::builtin()?)?, following, pulse, shutdown).await?;
    drop(writer);
    println!("fingerprint {}", index.fingerprint()?);
    Ok(())
}
