//! `bundle`: evidence from the index, in a file.

use std::io::Write as _;

use anyhow::{Context as _, Result, bail};
use appview_core::record::Collection;
use appview_core::syntax::AtUri;
use appview_core::trust::{Bundle, Evidence};

use super::existing;
use super::verify::{complete, terms};
use crate::config::{Bundling, DataDir};

/// Writes the bundle of a receipt or a settlement.
///
/// # Errors
///
/// There is no index, it has no such record, or the file cannot be written.
pub fn run(bundling: &Bundling) -> Result<()> {
    let Bundling { uri, output, broker, index, documents } = bundling;
    let mut evidence = gather(uri, index)?;
    if evidence.find(uri.as_str()).is_none() {
        bail!(
            "the index has no {uri}; `appviewd repo status {}` tells what it knows of the account",
            uri.authority()
        );
    }
    complete(&mut evidence, &terms(broker)?, documents)?;
    let told = format!("{} records, {} documents", evidence.exhibits().len(), evidence.documents().count());
    let bundle = Bundle { about: uri.clone(), evidence };
    match output {
        None => std::io::stdout().lock().write_all(bundle.to_json().as_bytes())?,
        Some(path) => {
            let is_car = path.extension().is_some_and(|extension| extension == "car");
            let file = if is_car { bundle.to_car() } else { bundle.to_json().into_bytes() };
            std::fs::write(path, file).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    eprintln!("appviewd: {told}");
    Ok(())
}

/// What the index has about a receipt or a settlement; nothing if it is not there.
pub(super) fn gather(uri: &AtUri, index: &DataDir) -> Result<Evidence> {
    let reader = existing(index)?.reader()?;
    match uri.collection().and_then(Collection::from_nsid) {
        Some(Collection::Receipt) => Ok(reader.receipt_evidence(uri)?),
        Some(Collection::Settlement) => Ok(reader.settlement_evidence(uri)?),
        _ => bail!("expected the address of a receipt or a settlement, found {uri}"),
    }
}
