//! `verify`: a verdict on a receipt or a settlement, with the chain of records that it was reached by; or what a proof shows
//! of a single record.

mod record;
mod tree;

use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use appview_core::record::Collection;
use appview_core::source::authority::Authorities;
use appview_core::source::http::Http;
use appview_core::source::proven::prove;
use appview_core::source::seen::Seen;
use appview_core::source::turns::Politeness;
use appview_core::syntax::AtUri;
use appview_core::trust::{
    Bundle, Evidence, Finding, Instant, Missing, Profile, Rules, Terms, verify_receipt, verify_settlement,
};
use serde::Serialize;

use super::bundle::gather;
use super::outside;
use crate::config::{DataDir, Documents, Judging, Verify};
use tree::{Source, Tree};

/// What `verify` exits with if the verdict is not ok.
const NOT_OK: u8 = 3;
/// What it exits with if there is no verdict.
const MISSING: u8 = 4;
/// What it exits with if nothing speaks against it, and not enough is at hand to say that it is ok.
const OPEN: u8 = 5;

/// Judges, and prints the verdict.
///
/// # Errors
///
/// There is no index, the bundle cannot be read, or it is about nothing of the kind.
pub fn run(what: &Verify) -> Result<ExitCode> {
    match what {
        Verify::Receipt { uri, judging } => receipt(uri, judging),
        Verify::Settlement { uri, judging } => settlement(uri, judging),
        Verify::Record(asked) => record::run(asked),
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
    let exit = exit(verdict.ok, &verdict.rules, &verdict.findings);
    if judging.format.json {
        return print(&verdict, exit);
    }
    question.print(|out, tree| tree.receipt(out, &verdict), exit)
}

fn settlement(uri: &AtUri, judging: &Judging) -> Result<ExitCode> {
    let question = Question::ask(uri, Collection::Settlement, judging)?;
    let Question { evidence, terms, profile, now, .. } = &question;
    let verdict = match verify_settlement(evidence, uri.as_str(), terms, *profile, *now) {
        Ok(verdict) => verdict,
        Err(missing) => return Ok(question.missing(&missing)),
    };
    let exit = exit(verdict.ok, &verdict.rules, &verdict.findings);
    if judging.format.json {
        return print(&verdict, exit);
    }
    // The receipt's own checks belong to the chain; where its records are missing, it has none.
    let receipt = verdict.judged.iter().find(|judged| judged.role == appview_core::trust::Role::Receipt);
    let receipt =
        receipt.and_then(|judged| verify_receipt(evidence, judged.uri.as_str(), terms, *profile, *now).ok());
    question.print(|out, tree| tree.settlement(out, &verdict, receipt.as_ref()), exit)
}

/// What is asked, and everything that the answer is made of.
struct Question {
    evidence: Evidence,
    terms: Terms,
    profile: Profile,
    now: Instant,
    source: Source,
}

impl Question {
    fn ask(uri: &AtUri, collection: Collection, judging: &Judging) -> Result<Self> {
        if uri.collection() != Some(collection.nsid()) || uri.rkey().is_none() {
            bail!("expected the address of a {collection}, found {uri}");
        }
        let terms = judging.brokers.terms()?;
        let (evidence, source) = match &judging.bundle {
            Some(file) => {
                let mut bundle = read(file)?;
                let identities = judging.brokers.identities();
                for (uri, why) in prove(&mut bundle, &identities, appview_core::source::now()) {
                    eprintln!("appviewd: the proof of {uri} does not hold: {why}");
                }
                (bundle.evidence, Source::Bundle(file.display().to_string()))
            }
            None => {
                let mut evidence = gather(uri, &judging.index)?;
                complete(&mut evidence, &terms, &judging.documents, &judging.index)?;
                (evidence, Source::Index)
            }
        };
        let profile = if judging.strict { Profile::Strict } else { Profile::Advise };
        let now = judging.instant(appview_core::source::now());
        Ok(Self { evidence, terms, profile, now, source })
    }

    fn print(
        &self,
        write: impl FnOnce(&mut dyn std::io::Write, &Tree<'_>) -> std::io::Result<()>,
        exit: ExitCode,
    ) -> Result<ExitCode> {
        let mut out = BufWriter::new(std::io::stdout().lock());
        let tree = Tree { source: &self.source, now: self.now };
        write(&mut out, &tree)?;
        out.flush()?;
        Ok(exit)
    }

    fn missing(&self, missing: &Missing) -> ExitCode {
        let advice = match &self.source {
            Source::Bundle(_) => "the bundle is not whole".to_owned(),
            Source::Index => match missing.uri.parse::<AtUri>() {
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

fn print(verdict: &impl Serialize, exit: ExitCode) -> Result<ExitCode> {
    writeln!(std::io::stdout().lock(), "{}", serde_json::to_string(verdict)?)?;
    Ok(exit)
}

fn exit(ok: bool, rules: &Rules, findings: &[Finding]) -> ExitCode {
    match ok {
        true => ExitCode::SUCCESS,
        false if rules.is_open(findings) => ExitCode::from(OPEN),
        false => ExitCode::from(NOT_OK),
    }
}

/// Adds the documents that a verdict wants and no index has: those that were seen beside it, and what their hosts say.
pub(super) fn complete(
    evidence: &mut Evidence,
    terms: &Terms,
    documents: &Documents,
    index: &DataDir,
) -> Result<()> {
    let wanted = evidence.wanted_documents(terms);
    if wanted.is_empty() {
        return Ok(());
    }
    let seen = Seen::open(index.authorities())?;
    if documents.offline {
        seen.complete(evidence, &wanted);
        return Ok(());
    }
    let outside = outside(&documents.network)?;
    let http = Http::new(&outside, Politeness::default());
    let authorities = Authorities::new(&http, outside.clock.clone(), documents.network.plc.as_str());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(authorities.complete(evidence, terms, &seen));
    Ok(())
}
