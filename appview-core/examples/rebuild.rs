//! Builds an index anew from exports, and puts it in the place of the old one when it is whole.
//!
//! `cargo run --example rebuild -- index.db repos/ plc.json`
//!
//! Readers of the old file go on undisturbed. Two AppViews that rebuild from the same exports print the same fingerprint,
//! and so does one that followed a relay to the same point.

use std::error::Error;

use appview_core::index::Index;
use appview_core::record::Catalog;
use appview_core::source::replay::{Identities, RepoFolder, prove_export};
use appview_core::sync::{Change, Scope};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, repos, identities] = arguments.as_slice() else {
        return Err("expected: INDEX REPOS IDENTITIES".into());
    };
    let identities = Identities::open(identities)?;
    let cars = RepoFolder::new(repos).cars()?;
    let index = Index::rebuild(path, Catalog::builtin()?, |writer| {
        for car in &cars {
            // Signature, tree and every block; one bad export is no reason to do without the others.
            match prove_export(car, &identities, &Scope::default()) {
                Ok((repo, _)) => drop(writer.apply(&[Change::Repo(repo)], &[], 0)?),
                Err(error) => eprintln!("left out: {error}"),
            }
        }
        Ok::<_, Box<dyn Error>>(())
    })?;
    println!("{} exports, fingerprint {}", cars.len(), index.fingerprint()?);
    Ok(())
}
