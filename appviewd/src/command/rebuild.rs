//! `rebuild`: a new index beside the old one, swapped in when it is whole.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Error, Result, bail};
use appview_core::index::{Index, IndexWriter};
use appview_core::record::Catalog;
use appview_core::source::now;
use appview_core::source::replay::{Identities, ReplayError, RepoFolder, prove_export};
use appview_core::sync::{Change, Scope};
use serde_json::{Value as Json, json};

use super::{identities, make_folder, offline, replay, scope};
use crate::config::{AccountDb, DataDir, Format, SavedUpstream};
use crate::progress::Progress;

/// Most reasons that an error lists.
const LISTED: usize = 10;

/// Builds the index from a folder of exports or from a recording, and says whether it equals the old one. What cannot be
/// proven keeps the old one in its place, unless `partial`; then it is left out and named.
///
/// # Errors
///
/// Something cannot be read or proven, or the new index cannot be written. The old one is then untouched.
pub fn run(
    from: &Path,
    partial: bool,
    upstream: &SavedUpstream,
    (db, data): (&AccountDb, &DataDir),
    format: Format,
) -> Result<ExitCode> {
    make_folder(data)?;
    let scope = scope(data, db)?;
    let path = data.index();
    let before = fingerprint(&path).ok();
    let mut played = None;
    let mut failed = Vec::new();
    if from.is_dir() {
        let identities = identities(&upstream.identities)?;
        Index::rebuild(&path, Catalog::builtin()?, |writer| {
            failed = from_exports(writer, from, &identities, &scope)?;
            accept(&failed, partial)
        })?;
    } else {
        let upstream = offline(upstream)?;
        Index::rebuild(&path, Catalog::builtin()?, |writer| {
            let outcome = replay::play(writer, from, upstream, scope)?;
            failed = outcome.shortcomings();
            played = Some(outcome);
            accept(&failed, partial)
        })?;
    }
    let after = fingerprint(&path)?;
    let mut out = std::io::stdout().lock();
    if format.json {
        let mut summary = played.map(|played| played.to_json()).unwrap_or_default();
        let reasons: Vec<_> = failed.iter().map(ToString::to_string).collect();
        let agrees = before.as_ref().map(|before| *before == after);
        for (name, value) in [
            ("fingerprint", json!(after)),
            ("before", json!(before)),
            ("agrees", json!(agrees)),
            ("failed", json!(reasons)),
        ] {
            summary.insert(name.to_owned(), value);
        }
        writeln!(out, "{}", Json::Object(summary))?;
    } else {
        if let Some(played) = played {
            played.write(&mut out)?;
        }
        for failure in &failed {
            writeln!(out, "left out        {failure}")?;
        }
        writeln!(out, "fingerprint     {after}")?;
        match before {
            Some(before) if before == after => writeln!(out, "                as before")?,
            Some(before) => writeln!(out, "before          {before}")?,
            None => {}
        }
    }
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// An error, which keeps the old index in its place, if anything failed and that was not allowed.
fn accept(failed: &[Error], partial: bool) -> Result<()> {
    if partial || failed.is_empty() {
        return Ok(());
    }
    let mut reasons: String = failed.iter().take(LISTED).map(|reason| format!("\n  {reason}")).collect();
    let unlisted = failed.len().saturating_sub(LISTED);
    if unlisted > 0 {
        reasons.push_str(&format!("\n  and {unlisted} more"));
    }
    bail!(
        "the index stays as it was, because the new one would not be whole:{reasons}\ncheck --from, --identities and \
         --repos, or swap in what could be proven with --partial"
    )
}

/// Proves and writes every export but those that are left out or were wiped since; gives back why some could not be.
fn from_exports(
    writer: &mut IndexWriter,
    folder: &Path,
    identities: &Identities,
    scope: &Scope,
) -> Result<Vec<Error>> {
    let cars = RepoFolder::new(folder).cars()?;
    if cars.is_empty() {
        bail!("{} holds no .car files; name a folder of exports, or a recording", folder.display());
    }
    let mut progress = Progress::start("rebuilt", "repositories", Some(cars.len() as u64));
    let (mut records, mut failed) = (0, Vec::new());
    for (done, car) in (1..).zip(&cars) {
        match prove_export(car, identities, scope) {
            Ok((repo, _)) => {
                let applied = writer.apply(&[Change::Repo(repo)], &[], now())?;
                records += applied.created;
            }
            // The index is whole without it.
            Err(error @ ReplayError::LeftOut { .. }) => tracing::info!(%error, "passed over"),
            Err(error) => failed.push(error.into()),
        }
        progress.tell(done, || format!(", {records} records"));
    }
    progress.finish(cars.len() as u64, &format!(", {records} records"));
    Ok(failed)
}

fn fingerprint(path: &Path) -> Result<String> {
    if !path.exists() {
        bail!("there is no index yet");
    }
    Ok(Index::open(path)?.fingerprint()?.to_string())
}
