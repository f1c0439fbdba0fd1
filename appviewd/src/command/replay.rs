//! `replay`: a recording through the verifier into the index, requests answered from disk.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Error, Result};
use appview_core::index::IndexWriter;
use appview_core::record::Catalog;
use appview_core::source::pump::{Notice, Upstream};
use appview_core::source::replay::{self, Recording, ReplayError};
use appview_core::sync::verifier::Closing;
use appview_core::sync::{Followed, Hosting, Proof, Scope};
use appview_core::syntax::Did;
use serde_json::{Map, Value as Json, json};

use super::{offline, open, scope};
use crate::config::{AccountDb, DataDir, Format, SavedUpstream};
use crate::progress::Progress;

/// Plays `frames` into the index, and tells what came of it.
///
/// # Errors
///
/// A file cannot be read, the recording is damaged, or the index cannot be written. What was played before is kept.
pub fn run(
    frames: &Path,
    upstream: &SavedUpstream,
    db: &AccountDb,
    data: &DataDir,
    format: Format,
) -> Result<ExitCode> {
    let upstream = offline(upstream)?;
    let index = open(data)?;
    let mut writer = index.writer(Catalog::builtin()?)?;
    let played = play(&mut writer, frames, upstream, scope(data, db)?)?;
    drop(writer);
    let fingerprint = index.fingerprint()?.to_string();
    let mut out = std::io::stdout().lock();
    if format.json {
        let mut summary = played.to_json();
        summary.insert("fingerprint".to_owned(), fingerprint.into());
        writeln!(out, "{}", Json::Object(summary))?;
    } else {
        played.write(&mut out)?;
        writeln!(out, "fingerprint     {fingerprint}")?;
    }
    Ok(played.exit_code())
}

/// What came of a recording.
pub(super) struct Played {
    outcome: replay::Played,
    /// Repositories that the index has a state of, whatever it is.
    known: u64,
    /// Hosted accounts whose repositories are not proven up to where the recording ends.
    desynchronized: Vec<Did>,
    /// Accounts that are hidden until their repositories have been proven again.
    returning: Vec<Did>,
}

/// Plays what is in scope of a recording with any writer.
pub(super) fn play(
    writer: &mut IndexWriter,
    frames: &Path,
    upstream: impl Upstream,
    scope: Scope,
) -> Result<Played> {
    let explain = || format!("{} cannot be played; `appviewd record` writes recordings", frames.display());
    let mut recording = Recording::open(frames).with_context(explain)?;
    let mut progress = Progress::start("replayed", "frames", None);
    let outcome = replay::play(&mut recording, writer, upstream, scope, |tally| {
        progress.tell(tally.frames, || format!(", {} commits proven", tally.commits));
    });
    let outcome = match outcome {
        Err(ReplayError::Index(error)) => return Err(error.into()),
        outcome => outcome.with_context(explain)?,
    };
    progress.finish(outcome.tally.frames, &format!(", {} commits proven", outcome.tally.commits));
    for rejection in &outcome.rejections {
        tracing::info!(
            did = rejection.did.as_ref().map(tracing::field::display),
            seq = rejection.seq,
            reason = rejection.reason,
            detail = rejection.detail,
            "refused"
        );
    }
    let (mut known, mut desynchronized, mut returning) = (0, Vec::new(), Vec::new());
    for entry in writer.repo_states() {
        let Followed { did, state, .. } = entry?;
        known += 1;
        match (state.hosting, state.proof) {
            (Hosting::Returning, _) => returning.push(did),
            (Hosting::Active, Proof::Desynchronized) => desynchronized.push(did),
            _ => {}
        }
    }
    Ok(Played { outcome, known, desynchronized, returning })
}

impl Played {
    /// 3 if the recording ended with the service closing the stream on us, 4 if a repository could not be proven.
    fn exit_code(&self) -> ExitCode {
        if self.closing().next().is_some() {
            ExitCode::from(3)
        } else if self.desynchronized.is_empty() && self.returning.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(4)
        }
    }

    /// Why what was played is less than the whole, if it is.
    pub(super) fn shortcomings(&self) -> Vec<Error> {
        let nothing = match (self.outcome.tally.frames, self.known) {
            (0, _) => Some(Error::msg("the recording holds no frames")),
            (_, 0) => Some(Error::msg("the recording leads to no repository")),
            _ => None,
        };
        let closing = self.closing().map(|notice| {
            let message = notice.message.as_deref().unwrap_or("no message");
            Error::msg(format!("the service closed the stream with {}: {message}", notice.name))
        });
        let missing = "its export is missing or cannot be proven";
        let behind =
            self.desynchronized.iter().map(|did| Error::msg(format!("{did} is desynchronized: {missing}")));
        let waiting = self
            .returning
            .iter()
            .map(|did| Error::msg(format!("{did} is waiting to be proven again: {missing}")));
        nothing.into_iter().chain(closing).chain(behind).chain(waiting).collect()
    }

    fn closing(&self) -> impl Iterator<Item = &Notice> {
        self.outcome.notices.iter().filter(|notice| notice.closing == Closing::Yes)
    }

    pub(super) fn to_json(&self) -> Map<String, Json> {
        let Self { outcome: replay::Played { tally, notices, .. }, desynchronized, returning, .. } = self;
        let notices: Vec<_> =
            notices.iter().map(|notice| json!({"name": notice.name, "message": notice.message})).collect();
        [
            ("frames", json!(tally.frames)),
            ("foreign", json!(tally.foreign)),
            ("commits", json!(tally.commits)),
            ("repos", json!(tally.repos)),
            ("stale", json!(tally.stale)),
            ("rejected", json!(tally.rejected)),
            ("desynchronized", json!(desynchronized.len())),
            ("returning", json!(returning.len())),
            ("notices", json!(notices)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into_iter()
        .collect()
    }

    pub(super) fn write(&self, out: &mut impl Write) -> Result<()> {
        let Self { outcome: replay::Played { tally, notices, .. }, desynchronized, returning, .. } = self;
        writeln!(out, "frames          {}", tally.frames)?;
        writeln!(out, "  foreign       {}", tally.foreign)?;
        writeln!(out, "  known         {}", tally.stale)?;
        write!(out, "  refused       {}", tally.rejected)?;
        writeln!(out, "{}", if tally.rejected > 0 { "  (RUST_LOG=info tells which, and why)" } else { "" })?;
        writeln!(out, "commits proven  {}", tally.commits)?;
        writeln!(out, "repos fetched   {}", tally.repos)?;
        if !desynchronized.is_empty() {
            let count = desynchronized.len();
            writeln!(out, "desynchronized  {count}  (their exports are missing: see --repos)")?;
        }
        if !returning.is_empty() {
            let count = returning.len();
            writeln!(out, "returning       {count}  (hidden, waiting to be proven again: see --repos)")?;
        }
        for Notice { name, message, .. } in notices {
            writeln!(out, "the service     {name}: {}", message.as_deref().unwrap_or("no message"))?;
        }
        Ok(())
    }
}
