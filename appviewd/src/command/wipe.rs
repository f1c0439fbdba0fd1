//! `wipe`: has a running daemon wipe all that is somebody's, and tells how it goes.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use appview_core::syntax::Did;

use crate::account::{Extent, SessionsAfter};
use crate::admin::Client;
use crate::config::{DataDir, Format};
use crate::progress::Progress;
use crate::wipe::{CollectionView, Look, Wait, WipeView};

/// How often it is asked how it goes.
const PACE: Duration = Duration::from_millis(500);

/// Wipes, or tells what there is to be wiped. Exits with 1 if it has to wait for something.
///
/// # Errors
///
/// Nothing runs, or what runs refuses.
pub fn run(
    did: &Did,
    dry_run: bool,
    (extent, sessions): (Extent, SessionsAfter),
    data: &DataDir,
    format: Format,
) -> Result<ExitCode> {
    let client = Client::new(&data.socket());
    let mut out = std::io::stdout();
    if dry_run {
        let look: Look = client.get(&format!("/wipe/{did}/look"))?;
        match format.json {
            true => writeln!(out, "{}", serde_json::to_string(&look)?)?,
            false => tell_look(&mut out, &look)?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    client.post(&format!("/wipe/{did}?extent={}&sessions={}", extent.word(), sessions.word()))?;
    let mut progress = Progress::start("deleted", "records", None);
    let wipe = loop {
        let wipe: WipeView = client.get(&format!("/wipe/{did}"))?;
        progress.tell(wipe.deleted, || format!(", {}", wipe.step));
        let has_to_wait = matches!(wipe.waits_for, Some(Wait::SignIn | Wait::Account | Wait::Permission));
        if wipe.complete || has_to_wait {
            break wipe;
        }
        std::thread::sleep(PACE);
    };
    progress.finish(wipe.deleted, "");
    match format.json {
        true => writeln!(out, "{}", serde_json::to_string(&wipe)?)?,
        false => tell_wipe(&mut out, &wipe)?,
    }
    Ok(if wipe.complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn tell_look(out: &mut impl std::io::Write, look: &Look) -> Result<()> {
    for (collection, count) in &look.repo {
        writeln!(out, "repository      {count} {collection}")?;
    }
    match &look.repo_unknown {
        Some(why) => writeln!(out, "repository      not known: {why}")?,
        None if look.repo.is_empty() => writeln!(out, "repository      nothing")?,
        None => {}
    }
    if !look.has_session {
        writeln!(out, "                there is no session to delete any of it with")?;
    }
    writeln!(out, "index           {} rows", look.index)?;
    let held = look.account;
    writeln!(
        out,
        "held here       {} keys, {} pairings, {} audit entries, {} bug reports, {} browsers, {} sessions",
        held.keys, held.pairings, held.audit, held.reports, held.browsers, held.sessions
    )?;
    Ok(writeln!(out, "Nothing was changed.")?)
}

fn tell_wipe(out: &mut impl std::io::Write, wipe: &WipeView) -> Result<()> {
    for CollectionView { collection, deleted, left } in &wipe.collections {
        let left = if *left > 0 { format!(", {left} left") } else { String::new() };
        writeln!(out, "repository      {deleted} {collection} deleted{left}")?;
    }
    writeln!(out, "index           {} rows erased", wipe.rows_erased)?;
    let held = wipe.erased;
    writeln!(
        out,
        "held here       {} keys, {} pairings, {} audit entries, {} bug reports, {} browsers, {} sessions erased",
        held.keys, held.pairings, held.audit, held.reports, held.browsers, held.sessions
    )?;
    for problem in &wipe.problems {
        let about =
            problem.collection.as_ref().map(|collection| format!(" {collection}")).unwrap_or_default();
        writeln!(
            out,
            "went wrong      {}{about}: {} ({} times)",
            problem.step, problem.message, problem.times
        )?;
    }
    let next = match wipe.waits_for {
        _ if wipe.complete => "Done: everything was seen to be gone.",
        Some(Wait::SignIn) => {
            "Not done: its owner has to sign in, and it goes on by itself. `--only-here` erases what is held here without that."
        }
        Some(Wait::Account) => "Not done: the account takes no writes at its PDS. It goes on when it does.",
        Some(Wait::Permission) => {
            "Not done: some records cannot be deleted with this session; their owner has to do it elsewhere."
        }
        _ => "Not done yet: it goes on by itself.",
    };
    Ok(writeln!(out, "{next}")?)
}
