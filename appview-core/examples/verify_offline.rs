//! Judges a receipt or a settlement by a bundle alone: no index, no network, no clock but the one it is told.
//!
//! `cargo run --example verify_offline -- bundle.json`; without a file, a bundle of this repository's recording is made for the
//! occasion, as `appviewd bundle` does.

use std::error::Error;
use std::path::Path;

use appview_core::index::Index;
use appview_core::query::{Limit, ReceiptFilter};
use appview_core::record::{Catalog, Collection};
use appview_core::source::replay::{Identities, RepoFolder, prove_export};
use appview_core::sync::{Change, Scope};
use appview_core::trust::{Bundle, Finding, Instant, Profile, Terms, verify_receipt, verify_settlement};

fn main() -> Result<(), Box<dyn Error>> {
    let file = match std::env::args().nth(1) {
        Some(path) => std::fs::read(path)?,
        None => recorded()?,
    };
    // A file is a stranger's: it is bounded, and hashed, before anything in it is looked at.
    // Its records stand where it says by its word, unless `source::proven` finds its proofs good.
    let Bundle { about, evidence, .. } = Bundle::read(&file)?;
    // Apple's roots, the network's broker, the built-in lexicons: all of it can be something else.
    let terms = Terms::builtin()?;
    let now = Instant::parse("2026-11-25T00:00:00Z").ok_or("a time")?;
    if about.collection() == Some(Collection::Settlement.nsid()) {
        let verdict = verify_settlement(&evidence, about.as_str(), &terms, Profile::Advise, now)?;
        println!("{about}\n  ok: {}", verdict.ok);
        tell(&verdict.findings);
    } else {
        let verdict = verify_receipt(&evidence, about.as_str(), &terms, Profile::Advise, now)?;
        println!(
            "{about}\n  ok: {}, {}, confidential: {}",
            verdict.ok, verdict.trust_level, verdict.confidential
        );
        tell(&verdict.findings);
        for judged in &verdict.judged {
            println!("  judged the {} {}", judged.role, judged.cid);
        }
    }
    Ok(())
}

fn tell(findings: &[Finding]) {
    for finding in findings {
        println!("  {} {}: {}", finding.severity, finding.code, finding.message);
    }
}

/// A bundle of the newest recorded receipt.
fn recorded() -> Result<Vec<u8>, Box<dyn Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/pds-scenario-a");
    let identities = Identities::open(folder.join("plc.json"))?;
    let scratch = tempfile::tempdir()?;
    let index = Index::create(scratch.path().join("index.db"))?;
    let mut writer = index.writer(Catalog::builtin()?)?;
    for car in RepoFolder::new(folder.join("repos")).cars()? {
        let (repo, _) = prove_export(&car, &identities, &Scope::default())?;
        writer.apply(&[Change::Repo(repo)], &[], 0)?;
    }
    let reader = index.reader()?;
    let newest = reader.list_receipts(&ReceiptFilter::default(), Limit::new(1)?, None)?;
    let about = newest.items.first().ok_or("the recording has no receipt")?.uri();
    let evidence = reader.receipt_evidence(&about)?;
    Ok(Bundle::new(about, evidence).to_car())
}
