//! `rebuild`: a new index beside the old one, swapped in when it is whole.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Error, Result, bail};
use appview_core::index::{Index, IndexWriter};
use appview_core::record::Catalog;
use appview_core::source::replay::{Identities, RepoFolder, prove_export};
use appview_core::sync::{Change, Scope};
use serde_json::json;

use super::{identities, make_folder, offline, replay};
use crate::config::{DataDir, Format, SavedUpstream};
use crate::progress::Progress;

/// Builds the index from a folder of exports or from a recording, and says whether it equals the old one.
///
/// # Errors
///
/// Something cannot be read or proven, or the new index cannot be written. The old one is then untouched.
pub fn run(from: &Path, upstream: &SavedUpstream, data: &DataDir, format: Format) -> Result<ExitCode> {
    make_folder(data)?;
    let path = data.index();
    let before = fingerprint(&path).ok();
    let mut played = None;
    let mut failed = Vec::new();
    if from.is_dir() {
        let identities = identities(&upstream.identities)?;
        Index::rebuild(&path, Catalog::builtin()?, |writer| {
            failed = from_exports(writer, from, &identities)?;
            Ok::<_, Error>(())
        })?;
    } else {
        let upstream = offline(upstream)?;
        Index::rebuild(&path, Catalog::builtin()?, |writer| {
            played = Some(replay::play(writer, from, upstream)?);
            Ok::<_, Error>(())
        })?;
    }
    let after = fingerprint(&path)?;
    let mut out = std::io::stdout().lock();
    if format.json {
        let failed: Vec<_> = failed.iter().map(ToString::to_string).collect();
        let summary = json!({"fingerprint": after, "before": before, "agrees": before.as_ref().map(|b| *b == after), "failed": failed});
        writeln!(out, "{summary}")?;
    } else {
        for failure in &failed {
            writeln!(out, "left out     {failure}")?;
        }
        writeln!(out, "fingerprint  {after}")?;
        match before {
            Some(before) if before == after => writeln!(out, "             as before")?,
            Some(before) => writeln!(out, "before       {before}")?,
            None => {}
        }
    }
    Ok(if failed.is_empty() {
        played.map_or(ExitCode::SUCCESS, |played| played.exit_code())
    } else {
        ExitCode::FAILURE
    })
}

/// Proves and writes every export; gives back why some could not be.
fn from_exports(writer: &mut IndexWriter, folder: &Path, identities: &Identities) -> Result<Vec<Error>> {
    let cars = RepoFolder::new(folder).cars()?;
    if cars.is_empty() {
        bail!("{} holds no .car files; name a folder of exports, or a recording", folder.display());
    }
    let mut progress = Progress::start("rebuilt", "repositories", Some(cars.len() as u64));
    let (mut records, mut failed) = (0, Vec::new());
    for (done, car) in (1..).zip(&cars) {
        match prove_export(car, identities, &Scope::default()) {
            Ok((repo, _)) => {
                let applied = writer.apply(&[Change::Repo(repo)], &[])?;
                records += applied.created;
            }
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
