//! `replay`: a recording through the verifier into the index, requests answered from disk.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use appview_core::index::IndexWriter;
use appview_core::record::Catalog;
use appview_core::source::pump::{Notice, Upstream};
use appview_core::source::replay::{self, Recording, ReplayError};
use appview_core::sync::verifier::Closing;
use appview_core::sync::{Proof, Scope};
use serde_json::json;

use super::{offline, open};
use crate::config::{DataDir, Format, SavedUpstream};
use crate::progress::Progress;

/// Plays `frames` into the index, and tells what came of it.
///
/// # Errors
///
/// A file cannot be read, the recording is damaged, or the index cannot be written. What was played before is kept.
pub fn run(frames: &Path, upstream: &SavedUpstream, data: &DataDir, format: Format) -> Result<ExitCode> {
    let upstream = offline(upstream)?;
    let index = open(data)?;
    let mut writer = index.writer(Catalog::builtin()?)?;
    let played = play(&mut writer, frames, upstream)?;
    drop(writer);
    played.print(&index.fingerprint()?.to_string(), format)?;
    Ok(played.exit_code())
}

/// What came of a recording.
pub(super) struct Played {
    outcome: replay::Played,
    /// Repositories whose records are not fully proven, as far as the recording and the exports tell.
    desynchronized: u64,
}

/// Plays a recording with any writer.
pub(super) fn play(writer: &mut IndexWriter, frames: &Path, upstream: impl Upstream) -> Result<Played> {
    let explain = || format!("{} cannot be played; `appviewd record` writes recordings", frames.display());
    let mut recording = Recording::open(frames).with_context(explain)?;
    let mut progress = Progress::start("replayed", "frames", None);
    let outcome = replay::play(&mut recording, writer, upstream, Scope::default(), |tally| {
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
    let desynchronized = count_desynchronized(writer)?;
    Ok(Played { outcome, desynchronized })
}

fn count_desynchronized(writer: &IndexWriter) -> Result<u64> {
    let mut count = 0;
    for entry in writer.repo_states() {
        let (_, state) = entry?;
        let is_behind = state.proof == Proof::Desynchronized;
        if is_behind && state.hosting.is_visible() {
            count += 1;
        }
    }
    Ok(count)
}

impl Played {
    /// 0, or 3 if the recording ended with the service closing the stream on us.
    pub(super) fn exit_code(&self) -> ExitCode {
        if self.outcome.notices.iter().any(|notice| notice.closing == Closing::Yes) {
            ExitCode::from(3)
        } else {
            ExitCode::SUCCESS
        }
    }

    pub(super) fn print(&self, fingerprint: &str, format: Format) -> Result<()> {
        let Self { outcome: replay::Played { tally, notices, .. }, desynchronized } = self;
        let mut out = std::io::stdout().lock();
        if format.json {
            let notices: Vec<_> = notices
                .iter()
                .map(|notice| json!({"name": notice.name, "message": notice.message}))
                .collect();
            let summary = json!({
                "frames": tally.frames, "foreign": tally.foreign, "commits": tally.commits, "repos": tally.repos,
                "stale": tally.stale, "rejected": tally.rejected, "desynchronized": desynchronized, "notices": notices,
                "fingerprint": fingerprint,
            });
            writeln!(out, "{summary}")?;
            return Ok(());
        }
        writeln!(out, "frames          {}", tally.frames)?;
        writeln!(out, "  foreign       {}", tally.foreign)?;
        writeln!(out, "  known         {}", tally.stale)?;
        write!(out, "  refused       {}", tally.rejected)?;
        writeln!(out, "{}", if tally.rejected > 0 { "  (RUST_LOG=info tells which, and why)" } else { "" })?;
        writeln!(out, "commits proven  {}", tally.commits)?;
        writeln!(out, "repos fetched   {}", tally.repos)?;
        if *desynchronized > 0 {
            writeln!(out, "desynchronized  {desynchronized}  (their exports are missing: see --repos)")?;
        }
        for Notice { name, message, .. } in notices {
            writeln!(out, "the service     {name}: {}", message.as_deref().unwrap_or("no message"))?;
        }
        writeln!(out, "fingerprint     {fingerprint}")?;
        Ok(())
    }
}
