//! `replay`: a recording through the verifier into the index, requests answered from disk.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use appview_core::index::IndexWriter;
use appview_core::query::Scope as FingerprintScope;
use appview_core::source::now;
use appview_core::source::pump::{Notice, Pump, Upstream};
use appview_core::source::replay::Recording;
use appview_core::sync::verifier::{Closing, Tally};
use appview_core::sync::{Scope, Verifier};
use serde_json::json;

use super::{catalog, offline, open};
use crate::config::{DataDir, Format, SavedUpstream};
use crate::progress::Progress;

/// Plays `frames` into the index, and tells what came of it.
///
/// # Errors
///
/// A file cannot be read, the recording is damaged, or the index cannot be written. What was played before is kept.
pub fn run(frames: &Path, upstream: &SavedUpstream, data: &DataDir, format: Format) -> Result<ExitCode> {
    let index = open(data)?;
    let mut writer = index.writer(catalog()?)?;
    let played = play(&mut writer, frames, offline(upstream)?)?;
    drop(writer);
    let fingerprint = index.reader()?.fingerprint(&FingerprintScope::Whole)?;
    played.print(&fingerprint.to_string(), format)?;
    Ok(played.exit_code())
}

/// What came of a recording.
pub(super) struct Played {
    tally: Tally,
    notices: Vec<Notice>,
    /// Repositories whose records are not fully proven, as far as the recording and the exports tell.
    desynchronized: u64,
}

/// Plays a recording with any writer. It has no cursor of its own in the index: playing it again starts over and changes
/// nothing.
pub(super) fn play(writer: &mut IndexWriter, frames: &Path, upstream: impl Upstream) -> Result<Played> {
    let mut recording = Recording::open(frames)?;
    let states = writer.repo_states().collect::<Result<Vec<_>, _>>()?;
    let mut verifier = Verifier::new(Scope::default(), states);
    let stream = verifier.add_stream(&format!("recording:{}", frames.display()), None);
    let mut pump = Pump::new(verifier, upstream, &mut *writer, now())?;
    let mut progress = Progress::start("replayed", "frames", None);
    let mut notices = Vec::new();
    let mut frame = Vec::new();
    while recording.next_frame(&mut frame).with_context(|| frames.display().to_string())? {
        pump.handle_frame(stream, &frame, now())?;
        notices.extend(pump.take_notices());
        for rejection in pump.take_rejections() {
            tracing::info!(
                did = rejection.did.as_ref().map(tracing::field::display),
                seq = rejection.seq,
                reason = rejection.reason,
                detail = rejection.detail,
                "refused"
            );
        }
        let tally = pump.tally();
        progress.tell(tally.frames, || format!(", {} commits proven", tally.commits));
    }
    pump.flush(now())?;
    let tally = pump.tally();
    drop(pump);
    progress.finish(tally.frames, &format!(", {} commits proven", tally.commits));
    let desynchronized = count_desynchronized(writer)?;
    Ok(Played { tally, notices, desynchronized })
}

fn count_desynchronized(writer: &IndexWriter) -> Result<u64> {
    let mut count = 0;
    for entry in writer.repo_states() {
        let (_, state) = entry?;
        let is_behind = state.proof == appview_core::sync::Proof::Desynchronized;
        if is_behind && state.hosting.is_visible() {
            count += 1;
        }
    }
    Ok(count)
}

impl Played {
    /// 0, or 2 if the recording ended with the service closing the stream on us.
    pub(super) fn exit_code(&self) -> ExitCode {
        if self.notices.iter().any(|notice| notice.closing == Closing::Yes) {
            ExitCode::from(2)
        } else {
            ExitCode::SUCCESS
        }
    }

    pub(super) fn print(&self, fingerprint: &str, format: Format) -> Result<()> {
        let Self { tally, notices, desynchronized } = self;
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
        writeln!(out, "  refused       {}", tally.rejected)?;
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
