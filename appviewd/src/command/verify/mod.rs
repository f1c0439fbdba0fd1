//! `verify`: a verdict on a receipt or a settlement, with the chain of records that it was reached by.

mod tree;

use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use appview_core::record::Collection;
use appview_core::source::authority::Authorities;
use appview_core::source::http::Http;
use appview_core::source::turns::Politeness;
use appview_core::syntax::{AtUri, Did};
use appview_core::trust::{
    Bundle, Evidence, Instant, Missing, Profile, Terms, verify_receipt, verify_settlement,
};
use serde::Serialize;

use super::bundle::gather;
use super::outside;
use crate::config::{Documents, Judging, Verify};
use tree::{Footing, Tree};

/// What `verify` exits with if the verdict is not ok.
const NOT_OK: u8 = 3;
/// What it exits with if there is no verdict.
const MISSING: u8 = 4;

/// Judges, and prints the verdict.
///
/// # Errors
///
/// There is no index, the bundle cannot be read, or it is about nothing of the kind.
pub fn run(what: &Verify) -> Result<ExitCode> {
    match what {
        Verify::Receipt { uri, judging } => receipt(uri, judging),
        Verify::Settlement { uri, judging } => settlement(uri, judging),
    }
}

fn receipt(uri: &AtUri, judging: &Judging) -> Result<ExitCode> {
    let question = Question::ask(uri, Collection::Receipt, judging)?;
    let verdict =
        verify_receipt(&question.evidence, uri.as_str(), &question.terms, question.profile, question.now);
    let verdict = match verdict {
        Ok(verdict) => verdict,
        Err(missing) => return Ok(question.missing(&missing)),
    };
    if judging.format.json {
        return print(&verdict, verdict.ok);
    }
    question.print(|out, tree| tree.receipt(out, &verdict), verdict.ok)
}

fn settlement(uri: &AtUri, judging: &Judging) -> Result<ExitCode> {
    let question = Question::ask(uri, Collection::Settlement, judging)?;
    let Question { evidence, terms, profile, now, .. } = &question;
    let verdict = match verify_settlement(evidence, uri.as_str(), terms, *profile, *now) {
        Ok(verdict) => verdict,
        Err(missing) => return Ok(question.missing(&missing)),
    };
    if judging.format.json {
        return print(&verdict, verdict.ok);
    }
    // The receipt's own checks belong to the chain; where its records are missing, it has none.
    let receipt = verdict.judged.iter().find(|judged| judged.role == appview_core::trust::Role::Receipt);
    let receipt =
        receipt.and_then(|judged| verify_receipt(evidence, judged.uri.as_str(), terms, *profile, *now).ok());
    question.print(|out, tree| tree.settlement(out, &verdict, receipt.as_ref()), verdict.ok)
}

/// What is asked, and everything that the answer is made of.
struct Question {
    evidence: Evidence,
    terms: Terms,
    profile: Profile,
    now: Instant,
    footing: Footing,
}

impl Question {
    fn ask(uri: &AtUri, collection: Collection, judging: &Judging) -> Result<Self> {
        if uri.collection() != Some(collection.nsid()) || uri.rkey().is_none() {
            bail!("expected the address of a {collection}, found {uri}");
        }
        let terms = terms(&judging.broker)?;
        let (evidence, footing) = match &judging.bundle {
            Some(file) => (read(file)?.evidence, Footing::Bundle(file.display().to_string())),
            None => {
                let mut evidence = gather(uri, &judging.index)?;
                complete(&mut evidence, &terms, &judging.documents)?;
                (evidence, Footing::Index)
            }
        };
        let profile = if judging.strict { Profile::Strict } else { Profile::Advise };
        let now = judging.instant(appview_core::source::now());
        Ok(Self { evidence, terms, profile, now, footing })
    }

    fn print(
        &self,
        write: impl FnOnce(&mut dyn std::io::Write, &Tree<'_>) -> std::io::Result<()>,
        ok: bool,
    ) -> Result<ExitCode> {
        let mut out = BufWriter::new(std::io::stdout().lock());
        let tree = Tree { footing: &self.footing, now: self.now };
        write(&mut out, &tree)?;
        out.flush()?;
        Ok(exit(ok))
    }

    fn missing(&self, missing: &Missing) -> ExitCode {
        let advice = match &self.footing {
            Footing::Bundle(_) => "the bundle is not whole".to_owned(),
            Footing::Index => match missing.uri.parse::<AtUri>() {
                Ok(uri) => format!("`appviewd repo status {}` tells why", uri.authority()),
                Err(_) => "what names it names no record".to_owned(),
            },
        };
        eprintln!("appviewd: {missing}; {advice}");
        ExitCode::from(MISSING)
    }
}

fn read(file: &Path) -> Result<Bundle> {
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    Bundle::read(&bytes).with_context(|| format!("{} is no bundle", file.display()))
}

fn print(verdict: &impl Serialize, ok: bool) -> Result<ExitCode> {
    writeln!(std::io::stdout().lock(), "{}", serde_json::to_string(verdict)?)?;
    Ok(exit(ok))
}

fn exit(ok: bool) -> ExitCode {
    if ok { ExitCode::SUCCESS } else { ExitCode::from(NOT_OK) }
}

/// The network's own terms, but for its brokers.
pub(super) fn terms(brokers: &[Did]) -> Result<Terms> {
    Ok(Terms { brokerages: brokers.to_vec(), ..Terms::builtin()? })
}

/// Asks for the documents that a verdict wants and no index has.
pub(super) fn complete(evidence: &mut Evidence, terms: &Terms, documents: &Documents) -> Result<()> {
    if documents.offline || evidence.wanted_documents(terms).is_empty() {
        return Ok(());
    }
    let outside = outside(&documents.network)?;
    let http = Http::new(&outside, Politeness::default());
    let authorities = Authorities::new(&http, outside.clock.clone(), documents.network.plc.as_str());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(authorities.complete(evidence, terms));
    Ok(())
}
