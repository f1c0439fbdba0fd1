//! `bundle`: evidence from the index, in a file, with the proofs that can be had.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use appview_core::block::Cid;
use appview_core::record::Collection;
use appview_core::source::network::Network;
use appview_core::source::now;
use appview_core::source::turns::Urgency;
use appview_core::sync::verify::verify_record;
use appview_core::sync::{Freshness, RecordChange, Scope};
use appview_core::syntax::{AtUri, Did};
use appview_core::trust::{
    Bundle, Evidence, Instant, Judged, Profile, Terms, verify_receipt, verify_settlement,
};
use futures_util::future::join_all;
use tokio::time::timeout;

use super::verify::complete;
use super::{existing, outside};
use crate::config::{Bundling, DataDir, Documents};

/// How long fetching one proof may take, with finding out who signs.
const PATIENCE: Duration = Duration::from_secs(10);

/// Writes the bundle of a receipt or a settlement.
///
/// # Errors
///
/// There is no index, it has no such record, or the file cannot be written. A proof that is not to be had is told, and left out.
pub fn run(bundling: &Bundling) -> Result<()> {
    let Bundling { uri, output, brokers, index, documents } = bundling;
    let mut evidence = gather(uri, index)?;
    if evidence.find(uri.as_str()).is_none() {
        bail!(
            "the index has no {uri}; `appviewd repo status {}` tells what it knows of the account",
            uri.authority()
        );
    }
    let terms = brokers.terms()?;
    complete(&mut evidence, &terms, documents, index)?;
    evidence.put_pinned(&terms);
    let mut bundle = Bundle::new(uri.clone(), evidence);
    if !documents.offline {
        bundle.proofs = proofs(&judged(&bundle, &terms), documents, index)?;
    }
    let Bundle { evidence, proofs, .. } = &bundle;
    let (records, known) = (evidence.exhibits().len(), evidence.documents().count());
    let told = format!("{records} records, {} proofs, {known} documents", proofs.len());
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

/// The records that a verdict names; none where there is no verdict.
fn judged(bundle: &Bundle, terms: &Terms) -> Vec<Judged> {
    let (evidence, about) = (&bundle.evidence, bundle.about.as_str());
    let now = Instant::from_unix_millis((now() / 1_000).cast_signed());
    let receipt = verify_receipt(evidence, about, terms, Profile::Strict, now).map(|verdict| verdict.judged);
    let settlement = || verify_settlement(evidence, about, terms, Profile::Strict, now);
    receipt.or_else(|_| settlement().map(|verdict| verdict.judged)).unwrap_or_default()
}

/// Has the hosts of these records prove them.
fn proofs(judged: &[Judged], documents: &Documents, index: &DataDir) -> Result<BTreeMap<AtUri, Vec<u8>>> {
    let outside = outside(&documents.network)?;
    let plc = documents.network.plc.as_str();
    let network = Network::new(&outside, plc, index.data_dir.clone(), Scope::default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let network = &network;
    let asked = judged.iter().map(|Judged { uri, cid, .. }| async move {
        let proof = timeout(PATIENCE, proof(network, uri, *cid)).await;
        (uri, proof.unwrap_or_else(|_| Err(anyhow!("the repository's host did not answer in time"))))
    });
    let mut proofs = BTreeMap::new();
    for (uri, proof) in runtime.block_on(join_all(asked)) {
        match proof {
            Ok(car) => drop(proofs.insert(uri.clone(), car)),
            Err(error) => eprintln!("appviewd: no proof of {uri}: {error:#}"),
        }
    }
    Ok(proofs)
}

async fn proof(network: &Network, uri: &AtUri, wanted: Cid) -> Result<Vec<u8>> {
    let did: Did = uri.authority().parse()?;
    let path = uri.path().ok_or_else(|| anyhow!("expected the address of a record"))?;
    let identity = network.directory.resolve(&did, Freshness::Fresh).await?;
    let pds = identity.pds().ok_or_else(|| anyhow!("the account names no host"))?;
    let car = network.hosts.with(Urgency::Live).record(pds, &did, &path).await?;
    match verify_record(&car, &path, &identity, now())?.change() {
        RecordChange::Put { cid, .. } if *cid == wanted => Ok(car),
        _ => bail!("the repository's host has another version of it, or none"),
    }
}
