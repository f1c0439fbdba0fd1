//! `rebuild --from network`: everyone asked and proven anew, beside the index that is in use.
//!
//! A daemon that runs on the folder is asked to do it. Where there is none, it is done here, and the index has no other
//! writer meanwhile.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use appview_core::index::{Index, IndexError, IndexWriter};
use appview_core::record::Catalog;
use appview_core::source::orders::Orders;
use appview_core::source::rebuild::{Anew, Asked, Progressed};
use appview_core::source::relay::RelayUrl;
use serde_json::Value as Json;

use super::{collections, make_folder, network, outside, scope};
use crate::admin::{AdminError, Client};
use crate::config::{AccountDb, DataDir, Format, NetworkAccess};
use crate::progress::Progress;
use crate::renewal::Outcome;
use crate::roster::{Roster, Word};

/// Builds, compares, and swaps in what is whole, or what there is if `partial`; 1 if the two indexes differ or anything
/// could not be proven.
///
/// # Errors
///
/// The index has another writer, or a file cannot be written. The old index is then untouched.
pub fn run(
    partial: bool,
    directories: Vec<RelayUrl>,
    access: &NetworkAccess,
    (db, data): (&AccountDb, &DataDir),
    format: Format,
) -> Result<ExitCode> {
    make_folder(data)?;
    if let Some(outcome) = ask_daemon(data, partial)? {
        return tell(&outcome, format);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outside = outside(access)?;
    let roster = Roster::open(data.roster())?;
    let asked = Asked {
        network: network(access, data, &outside, scope(data, db)?),
        directories,
        collections: collections()?,
        tracked: roster.all(Word::Track),
        orders: Orders::default(),
    };
    let outcome = runtime.block_on(rebuild(&data.index(), asked, partial))?.to_json();
    tell(&outcome, format)
}

/// Has a daemon do it, if one runs on this folder.
fn ask_daemon(data: &DataDir, partial: bool) -> Result<Option<Json>> {
    let client = Client::new(&data.socket());
    let lines = match client.post_and_listen(&format!("/rebuild?partial={partial}")) {
        Err(AdminError::Nobody(_)) => return Ok(None),
        lines => lines?,
    };
    let mut progress = Progress::start("found", "repositories", None);
    for line in lines {
        let told: Json = serde_json::from_str(&line?)?;
        if let Some(error) = told.get("error").and_then(Json::as_str) {
            bail!("the daemon could not rebuild: {error}");
        }
        if let Some(outcome) = told.get("result") {
            return Ok(Some(outcome.clone()));
        }
        let count = |name: &str| told.get("progress")?.get(name)?.as_u64();
        let progressed = Progressed {
            found: count("found").unwrap_or_default(),
            settled: count("settled").unwrap_or_default(),
            put_off: count("putOff").unwrap_or_default(),
            left: count("leftSeconds").map(Duration::from_secs),
        };
        progress.tell(progressed.found, || describe(progressed));
    }
    bail!("the daemon stopped before the new index was whole; its index stays as it was")
}

async fn rebuild(path: &Path, asked: Asked, partial: bool) -> Result<Outcome> {
    let (writer, scope) = (writer(path)?, asked.network.scope.clone());
    let mut progress = Progress::start("found", "repositories", None);
    let mut last = Progressed::default();
    let mut anew = Anew::build(path, Catalog::builtin()?, asked, |progressed| {
        progress.tell(progressed.found, || describe(progressed));
        last = progressed;
    })
    .await?;
    progress.finish(last.found, &describe(last));
    // What the old index has at a later revision, or shows otherwise, deserves a second look.
    anew.catch_up(scope).await?;
    let comparison = anew.compare()?;
    let swapped = partial || comparison.is_whole();
    if swapped {
        match writer {
            Some(writer) => drop(anew.swap(writer)?),
            None => drop(anew.swap_in()?),
        }
    }
    Ok(Outcome { comparison, swapped })
}

/// Keeps everyone else from writing the old index, if there is one that can be read at all.
fn writer(path: &Path) -> Result<Option<IndexWriter>> {
    match Index::open_existing(path) {
        Ok(index) => match index.writer(Catalog::builtin()?) {
            Err(IndexError::Corrupt { .. }) => Ok(None),
            writer => Ok(Some(writer?)),
        },
        Err(IndexError::Missing { .. } | IndexError::SchemaMismatch { .. } | IndexError::Corrupt { .. }) => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn describe(Progressed { settled, put_off, left, .. }: Progressed) -> String {
    let mut more = format!(", {settled} proven");
    if put_off > 0 {
        more.push_str(&format!(", {put_off} cannot be had and are tried again"));
    }
    if let Some(left) = left.filter(|left| left.as_secs() > 0) {
        more.push_str(&format!(", {} s left", left.as_secs()));
    }
    more
}

/// Writes the outcome, which came from here or from a daemon.
fn tell(outcome: &Json, format: Format) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    if format.json {
        writeln!(out, "{outcome}")?;
    } else {
        write(&mut out, outcome)?;
    }
    let is_whole = is(outcome, "whole") == Some(true);
    Ok(if is_whole && is(outcome, "agrees") != Some(false) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn is(outcome: &Json, name: &str) -> Option<bool> {
    outcome.get(name)?.as_bool()
}

fn write(out: &mut impl std::io::Write, outcome: &Json) -> Result<()> {
    let text = |name: &str| outcome.get(name)?.as_str();
    let agrees = is(outcome, "agrees");
    writeln!(out, "fingerprint     {}", text("fingerprint").unwrap_or_default())?;
    match text("before") {
        Some(_) if agrees == Some(true) => writeln!(out, "                as before")?,
        Some(before) => writeln!(out, "before          {before}")?,
        None => {}
    }
    for (label, name) in
        [("differs", "differs"), ("moved", "moved"), ("not proven", "failed"), ("not asked", "unread")]
    {
        for item in outcome.get(name).and_then(Json::as_array).into_iter().flatten() {
            writeln!(out, "{label:<16}{}", item.as_str().unwrap_or_default())?;
        }
    }
    match (is(outcome, "swapped"), agrees) {
        (Some(true), Some(false)) => {
            writeln!(out, "The new index is in place: what it shows is proven.")?;
        }
        (Some(true), _) => {}
        _ => writeln!(
            out,
            "The index stays as it was, because the new one would not be whole. Try again later, or swap in what could \
             be proven with --partial."
        )?,
    }
    Ok(())
}
